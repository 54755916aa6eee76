package image_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"github.com/skerryhq/skerry/runtime/engine"
	"github.com/skerryhq/skerry/runtime/image"
	"github.com/skerryhq/skerry/runtime/runtimetest"
)

func small(t *testing.T) []byte {
	return runtimetest.Tar(t, []runtimetest.File{{Name: "hello", Body: []byte("hello")}})
}

func gz(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zst(t *testing.T, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(b, nil)
}

// held counts what the engine keeps.
func held(t *testing.T, h *runtimetest.Host) (blobs, snaps, leases, ingests int) {
	t.Helper()
	ctx := t.Context()
	if err := h.Client.ContentStore().Walk(ctx, func(content.Info) error { blobs++; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := h.Client.SnapshotService(engine.Snapshotter).Walk(ctx, func(context.Context, snapshots.Info) error { snaps++; return nil }); err != nil {
		t.Fatal(err)
	}
	ls, err := h.Client.LeasesService().List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	is, err := h.Client.ContentStore().ListStatuses(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return blobs, snaps, len(ls), len(is)
}

func TestImport(t *testing.T) {
	h := runtimetest.New(t)
	ctx := runtimetest.Context(t, time.Minute)
	layer := small(t)
	cfg := runtimetest.ImageConfig{Cmd: []string{"/hello"}, Env: []string{"A=b"}}
	docker := runtimetest.Tar(t, runtimetest.DockerArchive(t, "shop/web:1", cfg, layer))
	oci := runtimetest.Tar(t, runtimetest.OCILayout(t, "shop/web:1", cfg, layer))
	var digests []digest.Digest
	for name, b := range map[string][]byte{"docker": docker, "docker gzip": gz(t, docker), "docker zstd": zst(t, docker),
		"oci": oci, "oci gzip": gz(t, oci), "oci zstd": zst(t, oci), "docker with gzip layer": runtimetest.Tar(t, gzipLayer(t, cfg, layer))} {
		var steps []string
		got, err := h.Images.Import(ctx, bytes.NewReader(b), image.ImportOptions{Progress: func(p image.Progress) { steps = append(steps, p.Step) }})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(got) != 1 || !slices.Equal(got[0].Names, []string{"shop/web:1"}) {
			t.Errorf("%s: got %+v", name, got)
		}
		for _, s := range []string{"read", "unpack"} {
			if !slices.Contains(steps, s) {
				t.Errorf("%s: no progress of step %q", name, s)
			}
		}
		d, err := h.Images.Inspect(ctx, got[0].Digest)
		if err != nil || !slices.Equal(d.Config.Cmd, []string{"/hello"}) || len(d.Layers) != 1 || len(d.History) != 1 || d.Size == 0 || len(d.Platforms) != 1 {
			t.Errorf("%s: %+v %v", name, d, err)
		}
		res, err := h.Images.Resolve(ctx, got[0].Digest)
		if err != nil || res.ChainID == "" {
			t.Errorf("%s: %+v %v", name, res, err)
		}
		digests = append(digests, got[0].Digest)
	}
	slices.Sort(digests)
	digests = slices.Compact(digests)
	list, err := h.Images.List(ctx)
	if err != nil || len(list) != len(digests) {
		t.Errorf("list: %d images %v, want %d", len(list), err, len(digests))
	}

	// What is exported can be imported again as the same image.
	var out bytes.Buffer
	if err := h.Images.Export(ctx, &out, image.ExportItem{Digest: digests[0], Names: []string{"docker.io/shop/web:2"}}); err != nil {
		t.Fatal(err)
	}
	for _, d := range digests {
		if err := h.Images.Remove(ctx, d); err != nil {
			t.Error(err)
		}
		if err := h.Images.Remove(ctx, d); err != nil {
			t.Errorf("again: %v", err)
		}
	}
	if b, s, l, i := held(t, h); b+s+l+i != 0 {
		t.Errorf("after removal the engine holds %d blobs, %d snapshots, %d leases, %d ingests", b, s, l, i)
	}
	got, err := h.Images.Import(ctx, &out, image.ImportOptions{})
	if err != nil || len(got) != 1 || got[0].Digest != digests[0] || len(got[0].Names) != 1 {
		t.Errorf("import of an export: %+v %v, want %s", got, err, digests[0])
	}
}

func gzipLayer(t *testing.T, cfg runtimetest.ImageConfig, layer []byte) []runtimetest.File {
	files := runtimetest.DockerArchive(t, "shop/web:1", cfg, layer)
	for i := range files {
		if strings.HasSuffix(files[i].Name, "layer.tar") {
			files[i].Body = gz(t, files[i].Body)
		}
	}
	return files
}

// TestRefused sends broken and hostile archives: each is refused with one
// sentence, and nothing of it stays.
func TestRefused(t *testing.T) {
	h := runtimetest.New(t)
	ctx := runtimetest.Context(t, time.Minute)
	type file = runtimetest.File
	cfg := runtimetest.ImageConfig{Cmd: []string{"/x"}}
	arch := func(files ...file) []byte { return runtimetest.Tar(t, files) }
	with := func(layer ...file) []byte {
		return runtimetest.Tar(t, runtimetest.OCILayout(t, "x", cfg, runtimetest.Tar(t, layer)))
	}
	wrong := runtimetest.OCILayout(t, "x", cfg, small(t))
	for i := range wrong {
		if strings.HasPrefix(wrong[i].Name, "blobs/") && bytes.Contains(wrong[i].Body, []byte("hello")) {
			wrong[i].Body = bytes.Replace(wrong[i].Body, []byte("hello"), []byte("jello"), -1)
		}
	}
	swapped := runtimetest.DockerArchive(t, "x", cfg, small(t))
	for i := range swapped {
		if strings.HasSuffix(swapped[i].Name, "layer.tar") {
			swapped[i].Body = arch(file{Name: "other", Body: []byte("other")})
		}
	}
	noLayer := slices.DeleteFunc(runtimetest.OCILayout(t, "x", cfg, small(t)), func(f file) bool { return bytes.Contains(f.Body, []byte("hello")) })
	whole := runtimetest.Tar(t, runtimetest.OCILayout(t, "x", cfg, small(t)))
	bomb := with(file{Name: "zeros", Body: make([]byte, 8<<20)})
	many := make([]file, 200)
	for i := range many {
		many[i] = file{Name: strings.Repeat("d/", i) + "f"}
	}
	for _, c := range []struct {
		name, says string
		b          []byte
		lim        image.Limits
	}{
		{name: "empty", b: nil, says: "not an image archive"},
		{name: "no tar", b: bytes.Repeat([]byte("no tar "), 1000), says: "not a readable tar"},
		{name: "a tar of something else", b: arch(file{Name: "readme", Body: []byte("hi")}), says: "neither a manifest.json"},
		{name: "truncated", b: whole[:len(whole)*2/3], says: "truncated"},
		{name: "truncated gzip", b: gz(t, whole)[:300], says: "truncated"},
		{name: "upwards", b: arch(file{Name: "../../etc/cron.d/x", Body: []byte("x")}), says: "leads out of the archive"},
		{name: "absolute", b: arch(file{Name: "/etc/cron.d/x", Body: []byte("x")}), says: "absolute path"},
		{name: "link upwards", b: arch(file{Name: "a", Type: tar.TypeSymlink, Link: "../../etc"}), says: "outside of the archive"},
		{name: "link absolute", b: arch(file{Name: "a", Type: tar.TypeSymlink, Link: "/etc/passwd"}), says: "outside of the archive"},
		{name: "hard link upwards", b: arch(file{Name: "a", Type: tar.TypeLink, Link: "../x"}), says: "outside of the archive"},
		{name: "device", b: arch(file{Name: "a", Type: tar.TypeChar}), says: "neither a file"},
		{name: "wrong digest", b: runtimetest.Tar(t, wrong), says: "other bytes than its digest says"},
		{name: "layer of another image", b: runtimetest.Tar(t, swapped), says: "configuration says"},
		{name: "layer missing", b: runtimetest.Tar(t, noLayer), says: "is not in the archive"},
		{name: "layer upwards", b: with(file{Name: "../../evil", Body: []byte("x")}), says: "leads out of the container's root"},
		{name: "layer absolute", b: with(file{Name: "/evil", Body: []byte("x")}), says: "absolute path"},
		{name: "layer through a link", b: with(file{Name: "l", Type: tar.TypeSymlink, Link: "../../../etc"}, file{Name: "l/evil", Body: []byte("x")}), says: "written through the link"},
		{name: "layer hard link", b: with(file{Name: "l", Type: tar.TypeLink, Link: "../../../etc/shadow"}), says: "hard link"},
		{name: "too large", b: bomb, lim: image.Limits{Size: 4 << 20}, says: "larger than 4194304 bytes"},
		{name: "too many entries", b: with(many...), lim: image.Limits{Entries: 100}, says: "more than 100 entries"},
		{name: "bad manifest", b: arch(file{Name: "manifest.json", Body: []byte("{")}), says: "not valid"},
		{name: "empty manifest", b: arch(file{Name: "manifest.json", Body: []byte("[]")}), says: "holds no image"},
		{name: "bad layout digest", b: arch(file{Name: "blobs/sha256/xyz", Body: []byte("x")}), says: "not named by a sha256 digest"},
	} {
		_, err := h.Images.Import(ctx, bytes.NewReader(c.b), image.ImportOptions{Limits: c.lim})
		if !errors.Is(err, image.ErrRefused) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want a refusal that says %q", c.name, err, c.says)
		}
	}
	// A reader that fails or a caller that gives up is no refusal, and leaves nothing either.
	if _, err := h.Images.Import(ctx, io.MultiReader(bytes.NewReader(whole[:2000]), brokenReader{}), image.ImportOptions{}); err == nil {
		t.Error("a failing reader: no error")
	}
	gone, cancel := context.WithCancel(ctx)
	if _, err := h.Images.Import(gone, io.MultiReader(bytes.NewReader(whole[:2000]), cancelling{cancel}), image.ImportOptions{}); err == nil {
		t.Error("cancelled: no error")
	}
	if b, s, l, i := held(t, h); b+s+l+i != 0 {
		t.Errorf("the engine holds %d blobs, %d snapshots, %d leases, %d ingests", b, s, l, i)
	}
	if h.EnginePID() == 0 {
		t.Error("the engine is gone")
	}
}

// The content store is everybody's: an archive that only names a layer that
// somebody else brought gets nothing of it.
func TestADigestIsNoRightToContent(t *testing.T) {
	h := runtimetest.New(t)
	ctx := runtimetest.Context(t, time.Minute)
	files := runtimetest.OCILayout(t, "x", runtimetest.ImageConfig{Cmd: []string{"/x"}}, small(t))
	if _, err := h.Images.Import(ctx, bytes.NewReader(runtimetest.Tar(t, files)), image.ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	names := slices.DeleteFunc(files, func(f runtimetest.File) bool { return bytes.Contains(f.Body, []byte("hello")) })
	_, err := h.Images.Import(ctx, bytes.NewReader(runtimetest.Tar(t, names)), image.ImportOptions{})
	if !errors.Is(err, image.ErrRefused) || !strings.Contains(err.Error(), "is not in the archive") {
		t.Errorf("got %v", err)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

type cancelling struct{ cancel func() }

func (c cancelling) Read([]byte) (int, error) { c.cancel(); return 0, io.ErrUnexpectedEOF }

func TestBombIsStoppedEarly(t *testing.T) {
	h := runtimetest.New(t)
	ctx := runtimetest.Context(t, time.Minute)
	// Half a terabyte of zeros in a few hundred kilobytes would take minutes to read.
	r, w := io.Pipe()
	go func() {
		z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest))
		if err != nil {
			w.CloseWithError(err)
			return
		}
		tw := tar.NewWriter(z)
		_ = tw.WriteHeader(&tar.Header{Name: "layer.tar", Typeflag: tar.TypeReg, Size: 512 << 30, Mode: 0o644})
		zeros := make([]byte, 1<<20)
		for range 512 << 10 {
			if _, err := tw.Write(zeros); err != nil {
				return // the reader has seen enough
			}
		}
	}()
	_, err := h.Images.Import(ctx, r, image.ImportOptions{})
	r.Close()
	if !errors.Is(err, image.ErrRefused) || !strings.Contains(err.Error(), "decompression bomb") {
		t.Errorf("got %v, want the bomb refused", err)
	}
	if b, s, l, i := held(t, h); b+s+l+i != 0 {
		t.Errorf("the engine holds %d blobs, %d snapshots, %d leases, %d ingests", b, s, l, i)
	}
}

// TestDiskFull imports onto a disk that is too small: the sentence says so and
// the space is given back, so a smaller image fits afterwards.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		t.Skipf("skipped: no small disk can be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	h := runtimetest.NewAt(t, dir+"/root")
	ctx := runtimetest.Context(t, time.Minute)
	free := func() uint64 {
		var st syscall.Statfs_t
		if err := syscall.Statfs(dir, &st); err != nil {
			t.Fatal(err)
		}
		return st.Bavail * uint64(st.Bsize)
	}
	before := free()
	noise := make([]byte, 30<<20)
	for i := range noise {
		noise[i] = byte(i*7 + i>>8)
	}
	big := runtimetest.Tar(t, runtimetest.OCILayout(t, "big", runtimetest.ImageConfig{Cmd: []string{"/x"}}, runtimetest.Tar(t, []runtimetest.File{{Name: "noise", Body: noise}})))
	if _, err := h.Images.Import(ctx, bytes.NewReader(big), image.ImportOptions{}); !errors.Is(err, image.ErrDiskFull) {
		t.Errorf("got %v, want ErrDiskFull", err)
	}
	if b, s, l, i := held(t, h); b+s+l+i != 0 {
		t.Errorf("the engine holds %d blobs, %d snapshots, %d leases, %d ingests", b, s, l, i)
	}
	if after := free(); after+(1<<20) < before {
		t.Errorf("%d bytes are free, %d were before", after, before)
	}
	ok := runtimetest.Tar(t, runtimetest.OCILayout(t, "small", runtimetest.ImageConfig{Cmd: []string{"/x"}}, small(t)))
	if _, err := h.Images.Import(ctx, bytes.NewReader(ok), image.ImportOptions{}); err != nil {
		t.Errorf("a small image afterwards: %v", err)
	}
}
