package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/labels"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/skerryhq/skerry/runtime/engine"
)

// archiveName cleans a name of the outer archive; one that is absolute or leads
// out of the archive is refused.
func archiveName(name string) (string, error) {
	if path.IsAbs(name) {
		return "", refuse("the archive's entry %q has an absolute path: an image archive has only relative ones", clip(name))
	}
	clean := path.Clean(name)
	if clean == ".." || strings.HasPrefix(clean, "../") || strings.ContainsRune(name, 0) {
		return "", refuse("the archive's entry %q leads out of the archive", clip(name))
	}
	return clean, nil
}

// proven reports whether the engine itself has unpacked the blob d and found the
// content want in it: it notes so on the blob, and nobody else can.
func (s *Store) proven(ctx context.Context, d, want digest.Digest) bool {
	info, err := s.client.ContentStore().Info(ctx, d)
	return err == nil && info.Labels[labels.LabelUncompressed] == want.String()
}

// unpackChecked unpacks an image. Each layer must hold what the configuration
// says, its entries must stay inside the container's root, and size, count and
// ratio must be within bounds. That is looked at while the engine unpacks, which
// computes the digests: what is wrong ends the unpacking, and what that had made
// goes with the lease.
//
// Layers that the engine has unpacked for somebody else it skips by the digest
// that the configuration merely names. Of those the bytes are read, so that
// naming a digest gives nobody the content.
func (s *Store) unpackChecked(ctx context.Context, target ocispec.Descriptor, m ocispec.Manifest, cfg ocispec.Image, lim Limits, strict bool) error {
	scan, stopScan := context.WithCancel(ctx)
	defer stopScan()
	unpack, stopUnpack := context.WithCancel(ctx)
	defer stopUnpack()
	scanned := make(chan error, 1)
	go func() {
		err := s.scanLayers(scan, m, cfg, lim, strict)
		if err != nil {
			stopUnpack()
		}
		scanned <- err
	}()
	err := s.unpack(unpack, images.Image{Name: target.Digest.String(), Target: target})
	if err != nil && ctx.Err() == nil {
		// Reading says better what is wrong with a layer, if it is the layer.
		serr := <-scanned
		for i, l := range m.Layers {
			if serr == nil {
				serr = s.checkLayer(ctx, l, cfg.RootFS.DiffIDs[i], lim, strict)
			}
		}
		if errors.Is(serr, ErrRefused) {
			return serr
		}
		return err
	}
	if serr := <-scanned; serr != nil {
		return serr
	}
	if err != nil {
		return err
	}
	for i, l := range m.Layers {
		if want := cfg.RootFS.DiffIDs[i]; !s.proven(ctx, l.Digest, want) {
			if err := s.checkLayer(ctx, l, want, lim, strict); err != nil {
				return err
			}
		}
	}
	return nil
}

// scanLayers looks through the layers that were not unpacked before.
func (s *Store) scanLayers(ctx context.Context, m ocispec.Manifest, cfg ocispec.Image, lim Limits, strict bool) error {
	for i, l := range m.Layers {
		if !strict && s.proven(ctx, l.Digest, cfg.RootFS.DiffIDs[i]) {
			continue
		}
		if err := s.checkLayer(ctx, l, "", lim, strict); err != nil {
			return err
		}
	}
	return nil
}

// openLayer opens a stored layer: its file where the engine keeps it, which is
// several times faster than asking the engine for the bytes, else through the
// engine.
func (s *Store) openLayer(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	if root := s.contentRoot(ctx); root != "" && d.Digest.Validate() == nil {
		f, err := os.Open(filepath.Join(root, "blobs", d.Digest.Algorithm().String(), d.Digest.Encoded()))
		if err == nil {
			return f, nil
		}
	}
	ra, err := s.client.ContentStore().ReaderAt(ctx, d)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{content.NewReader(ra), ra}, nil
}

// contentRoot asks the engine once where its files are; empty while it does not
// say.
func (s *Store) contentRoot(ctx context.Context) string {
	s.mu.Lock()
	root := s.content
	s.mu.Unlock()
	if root == "" {
		root = engine.ContentRoot(ctx, s.client)
		s.mu.Lock()
		s.content = root
		s.mu.Unlock()
	}
	return root
}

// checkLayer reads a stored layer once: its bytes must match want (the digest of
// the uncompressed tar; empty: not looked at), its entries must stay inside the
// container's root, and size, count and ratio must be within bounds. strict also
// refuses absolute names, which pulled images are known to have (they mean the
// container's root).
func (s *Store) checkLayer(ctx context.Context, d ocispec.Descriptor, want digest.Digest, lim Limits, strict bool) error {
	what := "layer " + d.Digest.String()
	stored, err := s.openLayer(ctx, d)
	if err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	defer stored.Close()
	counted := &countingReader{r: &endingReader{ctx: ctx, r: stored}}
	plain, closer, err := decompress(counted)
	if err != nil {
		return inLayer(what, err)
	}
	defer closer()
	var in io.Reader = &boundedReader{r: plain, compressed: counted, lim: lim, what: what}
	h := digest.SHA256.Digester()
	if want != "" {
		in = io.TeeReader(in, h.Hash())
	}
	if err := scanLayer(in, what, lim, strict); err != nil {
		return err
	}
	// The tar reader stops at the end marker; the digest covers what follows it too.
	if _, err := io.Copy(io.Discard, in); err != nil {
		return brokenTar(what, err)
	}
	if got := h.Digest(); want != "" && got != want {
		return refuse("%s: its content has the digest %s, but the image's configuration says %s", what, got, want)
	}
	return nil
}

// endingReader ends with its context.
type endingReader struct {
	ctx context.Context //nolint:containedctx // io.Reader has no context
	r   io.Reader
}

func (e *endingReader) Read(p []byte) (int, error) {
	if err := e.ctx.Err(); err != nil {
		return 0, err
	}
	return e.r.Read(p)
}

func inLayer(what string, err error) error {
	if errors.Is(err, ErrRefused) {
		return refuse("%s: %v", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// scanLayer checks every entry of a layer's tar.
func scanLayer(r io.Reader, what string, lim Limits, strict bool) error {
	tr := tar.NewReader(r)
	escaping := map[string]string{} // links that climb above the root, by name
	for n := 0; ; n++ {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return brokenTar(what, err)
		}
		if n >= lim.Entries {
			return refuse("%s has more than %d entries", what, lim.Entries)
		}
		name, err := layerName(h.Name, what, strict)
		if err != nil {
			return err
		}
		for dir := path.Dir(name); dir != "." && len(escaping) > 0; dir = path.Dir(dir) {
			if target, ok := escaping[dir]; ok {
				return refuse("%s: entry %q is written through the link %q to %q, which leads out of the container's root", what, clip(name), clip(dir), clip(target))
			}
		}
		delete(escaping, name)
		switch h.Typeflag {
		case tar.TypeLink:
			if _, err := layerName(h.Linkname, what, false); err != nil {
				return refuse("%s: entry %q is a hard link to %q, which is outside of the container's root", what, clip(h.Name), clip(h.Linkname))
			}
		case tar.TypeSymlink:
			if !path.IsAbs(h.Linkname) && leavesRoot(path.Join(path.Dir(name), h.Linkname)) {
				escaping[name] = h.Linkname
			}
		}
	}
}

func layerName(name, what string, strict bool) (string, error) {
	if strict && path.IsAbs(name) {
		return "", refuse("%s: entry %q has an absolute path: write it relative to the container's root", what, clip(name))
	}
	clean := path.Clean(strings.TrimLeft(name, "/"))
	if leavesRoot(clean) || slices.Contains(strings.Split(name, "/"), "..") && leavesRoot(path.Clean("./"+name)) {
		return "", refuse("%s: entry %q leads out of the container's root", what, clip(name))
	}
	return clean, nil
}

func leavesRoot(p string) bool { return p == ".." || strings.HasPrefix(p, "../") }

// brokenTar turns what the readers below report into one sentence.
func brokenTar(what string, err error) error {
	switch {
	case errors.Is(err, ErrRefused), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return refuse("%s is truncated: it ends in the middle of a file", what)
	}
	return refuse("%s is not a readable tar, or its compression is broken: %v", what, err)
}

// countingReader counts what passes through it.
type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// boundedReader fails when more comes out than the limits allow.
type boundedReader struct {
	r          io.Reader
	compressed *countingReader
	lim        Limits
	what       string
	n          int64
}

func (b *boundedReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.n += int64(n)
	if b.n > b.lim.Size {
		return n, refuse("%s is larger than %d bytes", b.what, b.lim.Size)
	}
	if b.n > ratioFloor && b.n/max(b.compressed.n, 1) > b.lim.Ratio {
		return n, refuse("%s unpacks to more than %d times its size: it looks like a decompression bomb", b.what, b.lim.Ratio)
	}
	return n, err
}

// errReader remembers a failure of its source, so that a copy's error can be
// put down to the right side.
type errReader struct {
	r   io.Reader
	err error
}

func (e *errReader) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		e.err = err
	}
	return n, err
}

func clip(s string) string {
	if len(s) > 120 {
		return s[:120] + "..."
	}
	return s
}
