package ctrd_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skerryhq/skerry/runtime/runtimetest"
	"github.com/skerryhq/skerry/runtime/workload"
)

// unpack reads a tar into name -> content or "-> target".
func unpack(t *testing.T, b []byte) map[string]string {
	t.Helper()
	out := map[string]string{}
	for tr := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		out[h.Name] = string(body)
		if h.Linkname != "" {
			out[h.Name] = "-> " + h.Linkname
		}
	}
}

func TestCopy(t *testing.T) {
	h := runtimetest.New(t)
	img := h.ImportBusybox()
	secret := filepath.Join(h.Dir, "secret")
	if err := os.WriteFile(secret, []byte("host secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	vol := filepath.Join(h.Dir, "vol")
	if err := os.Mkdir(vol, 0o755); err != nil {
		t.Fatal(err)
	}
	up := strings.Repeat("../", 40)
	ctx := start(t, h, workload.Spec{ID: "c", ImageDigest: img, Mounts: []workload.Mount{{Source: vol, Destination: "/vol"}},
		Command: []string{"sh", "-c", "mkdir /d; echo one >/d/f; ln /d/f /d/hard; ln -s " + secret + " /d/abs; ln -s " + up + strings.TrimPrefix(secret, "/") +
			" /d/rel; ln -s " + h.Dir + " /d/dir; ln -s / /d/root; mkdir -p /real; ln -s /real /link; touch /ready; " + forever}})
	runtimetest.Eventually(t, 10e9, "files are there", func() bool {
		_, err := h.Runtime.Stat(ctx, "c", "/ready")
		return err == nil
	})
	out := func(name string) (map[string]string, error) {
		var b bytes.Buffer
		err := h.Runtime.CopyOut(ctx, "c", name, &b)
		if err != nil {
			return nil, err
		}
		return unpack(t, b.Bytes()), nil
	}
	in := func(dir string, files ...runtimetest.File) error {
		return h.Runtime.CopyIn(ctx, "c", dir, bytes.NewReader(runtimetest.Tar(t, files)))
	}
	check := func(t *testing.T) {
		got, err := out("/d")
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"d/", "d/abs", "d/dir", "d/f", "d/hard", "d/rel", "d/root"}
		if keys := slices.Sorted(maps.Keys(got)); !slices.Equal(keys, want) || got["d/f"] != "one\n" || got["d/hard"] != "-> d/f" || got["d/abs"] != "-> "+secret {
			t.Errorf("got %q", got)
		}
		for _, name := range []string{"/d/abs/.", "/d/dir/secret", "/d/root" + secret, "../../../.." + secret, "/d/rel/."} {
			if got, err := out(name); err == nil {
				t.Errorf("%s: got %q, want an error", name, got)
			} else if !errors.Is(err, workload.ErrPathNotFound) {
				t.Errorf("%s: got %v, want ErrPathNotFound", name, err)
			}
		}
		if got, err := out("/d/root/d/f"); err != nil || got["f"] != "one\n" {
			t.Errorf("through a link inside: %q %v", got, err)
		}
		for name, f := range map[string]runtimetest.File{
			"upwards":  {Name: "../evil", Body: []byte("x")},
			"absolute": {Name: "/evil", Body: []byte("x")},
			"device":   {Name: "evil", Type: tar.TypeBlock},
			"hardlink": {Name: "evil", Type: tar.TypeLink, Link: "../../etc/passwd"},
		} {
			if err := in("/tmp", f); !errors.Is(err, workload.ErrInvalid) {
				t.Errorf("%s: got %v, want ErrInvalid", name, err)
			}
		}
		// Writing through links that point outside of the container.
		err = in("/tmp", runtimetest.File{Name: "out", Type: tar.TypeSymlink, Link: h.Dir}, runtimetest.File{Name: "out/planted", Body: []byte("x")})
		if _, serr := os.Stat(filepath.Join(h.Dir, "planted")); serr == nil {
			t.Error("a file was planted on the host")
		}
		if err != nil && !errors.Is(err, workload.ErrPathNotFound) {
			t.Logf("planting: %v", err)
		}
		if err := in("/d/dir", runtimetest.File{Name: "planted", Body: []byte("x")}); !errors.Is(err, workload.ErrPathNotFound) {
			t.Errorf("into a link that leads outside: got %v", err)
		}
		if err := h.Runtime.CopyIn(ctx, "c", "/tmp", strings.NewReader("this is no tar at all, but long enough to be looked at"+strings.Repeat("x", 600))); !errors.Is(err, workload.ErrInvalid) {
			t.Errorf("no tar: got %v", err)
		}
		// The good case, also through a link and over a file.
		err = in("/link", runtimetest.File{Name: "sub/", Type: tar.TypeDir, Mode: 0o500, UID: 5}, runtimetest.File{Name: "sub/new", Mode: 0o4755, UID: 1000, GID: 1001, Body: []byte("new")},
			runtimetest.File{Name: "f", Body: []byte("1")}, runtimetest.File{Name: "f", Body: []byte("2")})
		if err != nil {
			t.Fatal(err)
		}
		got, err = out("/real/.")
		if err != nil || got["sub/new"] != "new" || got["f"] != "2" {
			t.Errorf("got %q %v", got, err)
		}
		info, err := h.Runtime.Stat(ctx, "c", "/real/sub/new")
		if err != nil || info.Mode != 0o755|os.ModeSetuid {
			t.Errorf("got %+v %v", info, err)
		}
		if err := in("/vol", runtimetest.File{Name: "x", Body: []byte("in volume")}); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(vol, "x")); err != nil || string(b) != "in volume" {
			t.Errorf("volume: %q %v", b, err)
		}
		if _, err := out("/proc/1/root/etc/shadow"); err == nil {
			t.Error("a magic link was followed")
		}
		if err := os.Remove(filepath.Join(vol, "x")); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("running", check)
	if _, err := h.Runtime.Stop(ctx, "c", workload.StopOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Run("stopped", check)
}
