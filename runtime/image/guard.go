package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
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

// checkLayer reads a stored layer once: its bytes must match want (the digest of
// the uncompressed tar), its entries must stay inside the container's root, and
// size, count and ratio must be within bounds. strict also refuses absolute
// names, which pulled images are known to have (they mean the container's root).
func (s *Store) checkLayer(ctx context.Context, d ocispec.Descriptor, want digest.Digest, lim Limits, strict bool) error {
	what := "layer " + d.Digest.String()
	ra, err := s.client.ContentStore().ReaderAt(ctx, d)
	if err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	defer ra.Close()
	counted := &countingReader{r: content.NewReader(ra)}
	plain, closer, err := decompress(counted)
	if err != nil {
		return inLayer(what, err)
	}
	defer closer()
	h := digest.SHA256.Digester()
	tee := io.TeeReader(&boundedReader{r: plain, compressed: counted, lim: lim, what: what}, h.Hash())
	if err := scanLayer(tee, what, lim, strict); err != nil {
		return err
	}
	// The tar reader stops at the end marker; the digest covers what follows it too.
	if _, err := io.Copy(io.Discard, tee); err != nil {
		return brokenTar(what, err)
	}
	if got := h.Digest(); got != want {
		return refuse("%s: its content has the digest %s, but the image's configuration says %s", what, got, want)
	}
	return nil
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
