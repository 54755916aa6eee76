package runtimetest

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/skerryhq/skerry/runtime/image"
)

// File is one entry of a layer or archive.
type File struct {
	Name string
	// Type is a tar type flag; 0 is a regular file.
	Type     byte
	Mode     int64
	UID, GID int
	Body     []byte
	Link     string
}

// Busybox is where Debian's busybox-static puts its binary.
const Busybox = "/bin/busybox"

var applets = []string{"sh", "cat", "echo", "ls", "sleep", "id", "env", "pwd", "kill", "true", "false", "dd", "head", "tail", "mkdir", "rm", "touch",
	"ln", "stat", "hostname", "mount", "ps", "tar", "test", "tr", "wc", "yes", "stty", "chmod", "chown", "cp", "mv", "ip", "seq", "printf", "date", "mknod", "grep", "nc", "httpd", "trap"}

// BusyboxLayer is the content of a small root file system with busybox and some
// accounts. It skips the test when busybox is not installed.
func BusyboxLayer(t testing.TB) []File {
	t.Helper()
	bin, err := os.ReadFile(Busybox)
	if err != nil {
		t.Skipf("skipped: %v: install busybox-static", err)
	}
	files := []File{
		{Name: "bin/", Type: tar.TypeDir, Mode: 0o755},
		{Name: "etc/", Type: tar.TypeDir, Mode: 0o755},
		{Name: "tmp/", Type: tar.TypeDir, Mode: 0o1777},
		{Name: "dev/", Type: tar.TypeDir, Mode: 0o755},
		{Name: "proc/", Type: tar.TypeDir, Mode: 0o755},
		{Name: "sys/", Type: tar.TypeDir, Mode: 0o755},
		{Name: "root/", Type: tar.TypeDir, Mode: 0o700},
		{Name: "data/", Type: tar.TypeDir, Mode: 0o750, UID: 1000, GID: 1001},
		{Name: "data/seed", Mode: 0o640, UID: 1000, GID: 1001, Body: []byte("seed\n")},
		{Name: "data/link", Type: tar.TypeSymlink, Link: "seed"},
		{Name: "etc/passwd", Mode: 0o644, Body: []byte("root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001:app:/home/app:/bin/sh\n")},
		{Name: "etc/group", Mode: 0o644, Body: []byte("root:x:0:\napp:x:1001:\nextra:x:2000:app\n")},
		{Name: "etc/plain", Mode: 0o644, Body: []byte("not a program\n")},
		{Name: "bin/lost", Mode: 0o755, Body: []byte("#!/no/such/interpreter\n")},
		{Name: "bin/busybox", Mode: 0o755, Body: bin},
	}
	for _, a := range applets {
		files = append(files, File{Name: "bin/" + a, Type: tar.TypeSymlink, Link: "busybox"})
	}
	return files
}

// Tar writes files as a tar.
func Tar(t testing.TB, files []File) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f.Name, Typeflag: f.Type, Mode: f.Mode, Uid: f.UID, Gid: f.GID, Linkname: f.Link, ModTime: time.Unix(1_700_000_000, 0)}
		if f.Type == 0 {
			h.Typeflag, h.Size = tar.TypeReg, int64(len(f.Body))
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.Body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Digest is the sha256 of b as an image digest.
func Digest(b []byte) string {
	s := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(s[:])
}

// ImageConfig is the part of an image configuration that tests set.
type ImageConfig struct {
	Entrypoint []string `json:",omitempty"`
	Cmd        []string `json:",omitempty"`
	Env        []string `json:",omitempty"`
	WorkingDir string   `json:",omitempty"`
	User       string   `json:",omitempty"`
	StopSignal string   `json:",omitempty"`
}

func configJSON(t testing.TB, cfg ImageConfig, layers [][]byte) []byte {
	t.Helper()
	var diff []string
	for _, l := range layers {
		diff = append(diff, Digest(l))
	}
	b, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "config": cfg, "created": "2024-01-01T00:00:00Z",
		"rootfs":  map[string]any{"type": "layers", "diff_ids": diff},
		"history": []map[string]string{{"created": "2024-01-01T00:00:00Z", "created_by": "test"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// DockerArchive is what "docker save" wrote for many years.
func DockerArchive(t testing.TB, name string, cfg ImageConfig, layers ...[]byte) []File {
	t.Helper()
	config := configJSON(t, cfg, layers)
	cname := Digest(config)[len("sha256:"):] + ".json"
	files := []File{{Name: cname, Body: config}}
	var paths []string
	for i, l := range layers {
		p := fmt.Sprintf("layer%d/layer.tar", i)
		files = append(files, File{Name: p, Body: l})
		paths = append(paths, p)
	}
	m, err := json.Marshal([]map[string]any{{"Config": cname, "RepoTags": []string{name}, "Layers": paths}})
	if err != nil {
		t.Fatal(err)
	}
	return append(files, File{Name: "manifest.json", Body: m})
}

// OCILayout is an OCI image layout.
func OCILayout(t testing.TB, name string, cfg ImageConfig, layers ...[]byte) []File {
	t.Helper()
	config := configJSON(t, cfg, layers)
	blob := func(b []byte) File { return File{Name: "blobs/sha256/" + Digest(b)[len("sha256:"):], Body: b} }
	desc := func(mt string, b []byte) map[string]any {
		return map[string]any{"mediaType": mt, "digest": Digest(b), "size": len(b)}
	}
	files := []File{{Name: "oci-layout", Body: []byte(`{"imageLayoutVersion":"1.0.0"}`)}, blob(config)}
	var ls []map[string]any
	for _, l := range layers {
		files = append(files, blob(l))
		ls = append(ls, desc("application/vnd.oci.image.layer.v1.tar", l))
	}
	m, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": desc("application/vnd.oci.image.config.v1+json", config), "layers": ls})
	if err != nil {
		t.Fatal(err)
	}
	d := desc("application/vnd.oci.image.manifest.v1+json", m)
	d["annotations"] = map[string]string{"io.containerd.image.name": name}
	idx, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []any{d}})
	if err != nil {
		t.Fatal(err)
	}
	return append(files, blob(m), File{Name: "index.json", Body: idx})
}

// Compressed is an OCI image layout of one layer that is stored packed.
func Compressed(t testing.TB, name string, layer, packed []byte) []File {
	t.Helper()
	files := OCILayout(t, name, ImageConfig{}, layer)
	plain, zipped := Digest(layer), Digest(packed)
	var out []File
	for _, f := range files {
		switch {
		case bytes.Equal(f.Body, layer):
			out = append(out, File{Name: "blobs/sha256/" + zipped[len("sha256:"):], Body: packed})
		case bytes.Contains(f.Body, []byte("image.layer.v1.tar")):
			old := []byte(fmt.Sprintf(`"digest":"%s","mediaType":"application/vnd.oci.image.layer.v1.tar","size":%d`, plain, len(layer)))
			fresh := []byte(fmt.Sprintf(`"digest":"%s","mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","size":%d`, zipped, len(packed)))
			if !bytes.Contains(f.Body, old) {
				t.Fatalf("the manifest is not as expected: %s", f.Body)
			}
			body := bytes.Replace(f.Body, old, fresh, 1)
			was, is := Digest(f.Body), Digest(body)
			out = append(out, File{Name: "blobs/sha256/" + is[len("sha256:"):], Body: body})
			for i := range files {
				if files[i].Name == "index.json" {
					files[i].Body = bytes.Replace(files[i].Body, []byte(was), []byte(is), 1)
					files[i].Body = bytes.Replace(files[i].Body, fmt.Appendf(nil, `"size":%d`, len(f.Body)), fmt.Appendf(nil, `"size":%d`, len(body)), 1)
				}
			}
		default:
			out = append(out, f)
		}
	}
	for i := range out {
		if out[i].Name == "index.json" {
			for _, f := range files {
				if f.Name == "index.json" {
					out[i].Body = f.Body
				}
			}
		}
	}
	return out
}

// ImportBusybox imports the busybox image and returns its digest.
func (h *Host) ImportBusybox() string {
	h.t.Helper()
	return h.Import(OCILayout(h.t, "busybox:test", ImageConfig{Cmd: []string{"sh"}, Env: []string{"FROM_IMAGE=1"}}, Tar(h.t, BusyboxLayer(h.t))))
}

// Import imports an archive that holds one image.
func (h *Host) Import(files []File) string {
	h.t.Helper()
	got, err := h.Images.Import(Context(h.t, time.Minute), bytes.NewReader(Tar(h.t, files)), image.ImportOptions{})
	if err != nil {
		h.t.Fatalf("import: %v", err)
	}
	if len(got) != 1 {
		h.t.Fatalf("import: got %d images, want 1", len(got))
	}
	return got[0].Digest.String()
}
