package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Limits bound what one import or pull may bring in. Zero fields mean the default.
type Limits struct {
	// Size in bytes of the uncompressed archive and of the uncompressed layers; 64 GiB.
	Size int64
	// Entries in the archive and in each layer; 2 million.
	Entries int
	// Ratio of uncompressed to compressed bytes above the first GiB; 200.
	Ratio int64
}

func (l Limits) withDefaults() Limits {
	if l.Size == 0 {
		l.Size = 64 << 30
	}
	if l.Entries == 0 {
		l.Entries = 2_000_000
	}
	if l.Ratio == 0 {
		l.Ratio = 200
	}
	return l
}

// ratioFloor is how much may be unpacked before the compression ratio counts:
// small layers of zeros are harmless.
const ratioFloor = 1 << 30

// maxJSON bounds index, manifest and configuration documents.
const maxJSON = 8 << 20

// Progress tells how far an import or pull is.
type Progress struct {
	// Step is "read", "download" or "unpack".
	Step string
	// Item is a digest or empty.
	Item string
	// Done and Total are bytes; Total is 0 when not known.
	Done, Total int64
}

// ImportOptions of one import.
type ImportOptions struct {
	Limits Limits
	// Progress is called from one goroutine; may be nil.
	Progress func(Progress)
}

// Imported is one image that an archive held.
type Imported struct {
	Digest digest.Digest
	// Names as written in the archive, not normalized; often one, may be none.
	Names []string
}

// Import reads a docker-archive or OCI layout tar, plain or compressed by gzip
// or zstd, and returns its images, ready to start from. It reads r once, as a
// stream. When it fails nothing of the archive is kept.
// Errors: ErrRefused with one sentence, ErrPlatform, ErrDiskFull.
func (s *Store) Import(ctx context.Context, r io.Reader, opt ImportOptions) ([]Imported, error) {
	im := &importer{store: s, cs: s.client.ContentStore(), lim: opt.Limits.withDefaults(), progress: opt.Progress,
		files: map[string]ocispec.Descriptor{}, links: map[string]string{}, docs: map[string][]byte{}}
	var out []Imported
	err := s.hold(ctx, func(ctx context.Context) error {
		if err := im.read(ctx, r); err != nil {
			return err
		}
		roots, err := im.roots(ctx)
		if err != nil {
			return err
		}
		for i := range roots {
			if err := s.adopt(ctx, roots[i].target, im.lim, true, im.holds, opt.Progress); err != nil {
				return err
			}
			out = append(out, Imported{Digest: roots[i].target.Digest, Names: roots[i].names})
		}
		return nil
	})
	if errors.Is(err, ErrRefused) {
		return nil, err // its sentence says all
	}
	if err != nil {
		return nil, fmt.Errorf("import image archive: %w", err)
	}
	return out, nil
}

type root struct {
	target ocispec.Descriptor
	names  []string
}

type importer struct {
	store    *Store
	cs       content.Store
	lim      Limits
	progress func(Progress)

	files map[string]ocispec.Descriptor // stored files by name in the archive
	links map[string]string             // symbolic and hard links of old docker archives
	docs  map[string][]byte             // index.json, manifest.json, oci-layout
}

// read stores every file of the archive and checks every name.
func (im *importer) read(ctx context.Context, r io.Reader) error {
	counted := &countingReader{r: r}
	plain, closer, err := decompress(counted)
	if err != nil {
		return err
	}
	defer closer()
	bounded := &boundedReader{r: plain, compressed: counted, lim: im.lim, what: "the archive"}
	tr := tar.NewReader(bounded)
	for n := 0; ; n++ {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return brokenTar("the archive", err)
		}
		if n >= im.lim.Entries {
			return refuse("the archive has more than %d entries", im.lim.Entries)
		}
		name, err := archiveName(h.Name)
		if err != nil {
			return err
		}
		if im.progress != nil {
			im.progress(Progress{Step: "read", Item: name, Done: counted.n})
		}
		switch h.Typeflag {
		case tar.TypeDir, tar.TypeXGlobalHeader:
		case tar.TypeSymlink, tar.TypeLink:
			target := h.Linkname
			if h.Typeflag == tar.TypeSymlink && !path.IsAbs(target) {
				target = path.Join(path.Dir(name), target)
			}
			clean, err := archiveName(target)
			if err != nil {
				return refuse("the archive's entry %q links to %q, which is outside of the archive", clip(h.Name), clip(h.Linkname))
			}
			im.links[name] = clean
		case tar.TypeReg:
			if err := im.file(ctx, name, h.Size, tr); err != nil {
				return err
			}
		default:
			return refuse("the archive's entry %q is neither a file, a folder nor a link", clip(h.Name))
		}
	}
}

func (im *importer) file(ctx context.Context, name string, size int64, r io.Reader) error {
	switch name {
	case "index.json", "manifest.json", "oci-layout", "repositories":
		if size > maxJSON {
			return refuse("the archive's %s has %d bytes: at most %d are read", name, size, maxJSON)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			return brokenTar("the archive", err)
		}
		im.docs[name] = b
		return nil
	}
	var want digest.Digest
	if hex, ok := strings.CutPrefix(name, "blobs/sha256/"); ok {
		want = digest.Digest("sha256:" + hex)
		if want.Validate() != nil {
			return refuse("the archive's blob %q is not named by a sha256 digest", clip(name))
		}
	}
	desc, err := im.store.ingest(ctx, r, size, want, "import-"+name)
	if err != nil {
		return err
	}
	im.files[name] = desc
	return nil
}

// ingest writes r into the content store. want may be empty. The read side's
// errors are told apart from the store's.
func (s *Store) ingest(ctx context.Context, r io.Reader, size int64, want digest.Digest, ref string) (ocispec.Descriptor, error) {
	desc := ocispec.Descriptor{Size: size, Digest: want}
	w, err := content.OpenWriter(ctx, s.client.ContentStore(), content.WithRef(ref), content.WithDescriptor(desc))
	if err != nil {
		if errdefs.IsAlreadyExists(err) && want != "" {
			// The blob is here; the archive's copy must still be what it says it is.
			v := want.Verifier()
			if _, err := io.Copy(v, r); err != nil {
				return desc, brokenTar("the archive", err)
			}
			if !v.Verified() {
				return desc, refuse("the archive's blob %s holds other bytes than its digest says", want)
			}
			return desc, nil
		}
		return desc, fmt.Errorf("store a blob: %w", err)
	}
	defer w.Close()
	if err := w.Truncate(0); err != nil { // a ref of an earlier, interrupted try
		return desc, fmt.Errorf("store a blob: %w", err)
	}
	h := digest.SHA256.Digester()
	src := &errReader{r: r}
	n, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(w, h.Hash())}, struct{ io.Reader }{src}, make([]byte, 1<<20))
	if err != nil {
		if src.err != nil {
			return desc, brokenTar("the archive", src.err)
		}
		return desc, fmt.Errorf("store a blob: %w", err)
	}
	got := h.Digest()
	if want != "" && got != want {
		return desc, refuse("the archive's blob %s holds other bytes than its digest says (%s)", want, got)
	}
	if n != size {
		return desc, refuse("the archive is truncated: a file has %d of its %d bytes", n, size)
	}
	desc.Digest = got
	if err := w.Commit(ctx, size, got); err != nil && !errdefs.IsAlreadyExists(err) {
		return desc, fmt.Errorf("store a blob: %w", err)
	}
	return desc, nil
}

// holds says whether the archive brought a blob itself.
func (im *importer) holds(d digest.Digest) bool {
	for _, f := range im.files {
		if f.Digest == d {
			return true
		}
	}
	return false
}

// roots finds the archive's images.
func (im *importer) roots(ctx context.Context) ([]root, error) {
	var docker []dockerEntry
	if b, ok := im.docs["manifest.json"]; ok {
		if err := json.Unmarshal(b, &docker); err != nil {
			return nil, refuse("the archive's manifest.json is not valid: %v", err)
		}
	}
	var out []root
	var err error
	switch {
	case im.docs["index.json"] != nil && im.docs["oci-layout"] != nil:
		out, err = im.ociRoots(ctx, docker)
	case docker != nil:
		out, err = im.dockerRoots(ctx, docker)
	default:
		return nil, refuse("this is not an image archive: it has neither a manifest.json nor an oci-layout with index.json")
	}
	if err == nil && len(out) == 0 {
		return nil, refuse("the archive holds no image")
	}
	return out, err
}

type dockerEntry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func (im *importer) ociRoots(ctx context.Context, docker []dockerEntry) ([]root, error) {
	var idx ocispec.Index
	if err := json.Unmarshal(im.docs["index.json"], &idx); err != nil {
		return nil, refuse("the archive's index.json is not valid: %v", err)
	}
	var out []root
	at := map[digest.Digest]int{}
	for _, d := range idx.Manifests {
		if images.IsAttestationType(d.MediaType) || d.Annotations["vnd.docker.reference.type"] != "" {
			continue
		}
		if d.Digest.Validate() != nil {
			return nil, refuse("the archive's index.json names an invalid digest %q", clip(string(d.Digest)))
		}
		have, ok := im.files["blobs/sha256/"+d.Digest.Encoded()]
		if !ok || have.Size != d.Size {
			return nil, refuse("the archive's index.json names the manifest %s of %d bytes, which is not in the archive", d.Digest, d.Size)
		}
		name := d.Annotations[images.AnnotationImageName]
		if name == "" {
			name = d.Annotations[ocispec.AnnotationRefName]
		}
		i, seen := at[d.Digest]
		if !seen {
			i = len(out)
			at[d.Digest] = i
			d.Annotations, d.Platform = nil, nil
			out = append(out, root{target: d})
		}
		if name != "" {
			out[i].names = append(out[i].names, name)
		}
	}
	// Docker writes the full names only in manifest.json.
	if len(out) == 1 && len(docker) == 1 && len(docker[0].RepoTags) > 0 {
		out[0].names = docker[0].RepoTags
	}
	return out, nil
}

func (im *importer) dockerRoots(ctx context.Context, entries []dockerEntry) ([]root, error) {
	var out []root
	for _, e := range entries {
		cfg, ok := im.lookup(e.Config)
		if !ok {
			return nil, refuse("the archive's manifest.json names the configuration %q, which is not in the archive", clip(e.Config))
		}
		cfg.MediaType = ocispec.MediaTypeImageConfig
		m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: cfg}
		for _, l := range e.Layers {
			d, ok := im.lookup(l)
			if !ok {
				return nil, refuse("the archive's manifest.json names the layer %q, which is not in the archive", clip(l))
			}
			mt, err := im.store.layerType(ctx, d)
			if err != nil {
				return nil, err
			}
			d.MediaType = mt
			m.Layers = append(m.Layers, d)
		}
		b, err := json.Marshal(m)
		if err != nil {
			return nil, fmt.Errorf("write a manifest: %w", err)
		}
		d, err := im.store.ingest(ctx, bytes.NewReader(b), int64(len(b)), digest.FromBytes(b), "import-manifest")
		if err != nil {
			return nil, err
		}
		d.MediaType = ocispec.MediaTypeImageManifest
		out = append(out, root{target: d, names: e.RepoTags})
	}
	return out, nil
}

// lookup follows the archive's own links, a bounded number of times.
func (im *importer) lookup(name string) (ocispec.Descriptor, bool) {
	name = path.Clean(name)
	for range 16 {
		if d, ok := im.files[name]; ok {
			return d, true
		}
		next, ok := im.links[name]
		if !ok {
			break
		}
		name = next
	}
	return ocispec.Descriptor{}, false
}

// layerType tells a stored layer's media type by its first bytes.
func (s *Store) layerType(ctx context.Context, d ocispec.Descriptor) (string, error) {
	ra, err := s.client.ContentStore().ReaderAt(ctx, d)
	if err != nil {
		return "", fmt.Errorf("read layer %s: %w", d.Digest, err)
	}
	defer ra.Close()
	head := make([]byte, 4)
	n, err := ra.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read layer %s: %w", d.Digest, err)
	}
	switch compressionOf(head[:n]) {
	case "gzip":
		return ocispec.MediaTypeImageLayerGzip, nil
	case "zstd":
		return ocispec.MediaTypeImageLayerZstd, nil
	}
	return ocispec.MediaTypeImageLayer, nil
}

func compressionOf(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return "gzip"
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return "zstd"
	}
	return ""
}

// decompress sees by the first bytes how r is compressed.
func decompress(r io.Reader) (io.Reader, func(), error) {
	br := bufio.NewReaderSize(r, 256<<10)
	head, err := br.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, brokenTar("the archive", err)
	}
	switch compressionOf(head) {
	case "gzip":
		z, err := gzip.NewReader(br)
		if err != nil {
			return nil, nil, brokenTar("the archive", err)
		}
		return z, func() {}, nil
	case "zstd":
		z, err := zstd.NewReader(br, zstd.WithDecoderMaxMemory(256<<20), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, nil, brokenTar("the archive", err)
		}
		return z, z.Close, nil
	}
	return br, func() {}, nil
}
