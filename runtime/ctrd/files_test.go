package ctrd_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/skerryhq/skerry/runtime/filetree"
	"github.com/skerryhq/skerry/runtime/runtimetest"
	"github.com/skerryhq/skerry/runtime/workload"
)

// TestFiles browses a running and a stopped container whose tree is hostile.
func TestFiles(t *testing.T) {
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
	ctx := start(t, h, workload.Spec{ID: "c", ImageDigest: img, Mounts: []workload.Mount{{Source: vol, Destination: "/data/vol"}},
		Command: []string{"sh", "-c", "mkdir /d; echo one >/d/f; chown 7:8 /d/f; chmod 640 /d/f; ln -s " + secret + " /d/abs; ln -s " + up + strings.TrimPrefix(secret, "/") +
			" /d/rel; ln -s f /d/l; mkfifo /d/fifo; touch \"/d/$(printf 'a\\nb')\" \"/d/$(printf '\\377')\" /ready; " + forever}})
	runtimetest.Eventually(t, 10*time.Second, "files are there", func() bool {
		_, err := h.Runtime.Stat(ctx, "c", "/ready")
		return err == nil
	})
	in := func(do func(filetree.Tree) error) error { return h.Runtime.Files(ctx, "c", do) }
	round := 0
	check := func(t *testing.T) {
		round++
		err := in(func(tree filetree.Tree) error {
			torn := io.MultiReader(strings.NewReader(strings.Repeat("x", 1<<20)), iotest.ErrReader(io.ErrClosedPipe))
			if _, err := tree.Write(ctx, "/d/torn", torn); !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("a torn upload: %v", err)
			}
			all, _, err := tree.List(ctx, "/d") // has nothing of it
			if err != nil {
				return err
			}
			var names []string
			for _, e := range all {
				names = append(names, e.Name)
			}
			if got, want := strings.Join(names, "|"), "a\nb|abs|f|fifo|l|rel|\xff"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			for _, name := range []string{"/d/abs", "/d/rel", "/d/fifo", "/proc/kcore", "/proc/1/environ", "/dev/null", "/.." + secret} {
				if f, _, err := tree.Open(name); err == nil {
					b, _ := io.ReadAll(f)
					t.Errorf("%s gave %q", name, b)
				}
			}
			body := strings.Repeat("x", round)
			if e, err := tree.Write(ctx, "/d/l", strings.NewReader(body)); err != nil || e.Name != "f" || e.UID != 7 || e.GID != 8 || e.Mode != 0o640 {
				t.Errorf("write through a link: %+v %v", e, err)
			}
			f, _, err := tree.Open("/d/l")
			if err != nil {
				return err
			}
			defer f.Close()
			if b, err := io.ReadAll(f); err != nil || string(b) != body {
				t.Errorf("got %q, %v", b, err)
			}
			if _, err := tree.Write(ctx, "/data/vol/up", strings.NewReader(body)); err != nil {
				t.Errorf("into the volume: %v", err)
			}
			if b, err := os.ReadFile(filepath.Join(vol, "up")); err != nil || string(b) != body {
				t.Errorf("the volume has %q, %v", b, err)
			}
			for _, name := range []string{"/data", "/data/vol"} {
				if err := tree.Remove(ctx, name, true); !errors.Is(err, filetree.ErrMount) {
					t.Errorf("remove %s: %v", name, err)
				}
			}
			if _, err := tree.Mkdir("/tmp/made"); err != nil {
				t.Errorf("make a folder: %v", err)
			}
			return tree.Remove(ctx, "/tmp/made", true)
		})
		if err != nil {
			t.Error(err)
		}
		if b, err := os.ReadFile(secret); err != nil || string(b) != "host secret" {
			t.Errorf("the secret is %q, %v", b, err)
		}
	}
	t.Run("running", func(t *testing.T) {
		check(t)
		// The platform's own files are mounted one by one.
		err := in(func(tree filetree.Tree) error { return tree.Remove(ctx, "/proc/version", false) })
		if !errors.Is(err, filetree.ErrKernel) && !errors.Is(err, filetree.ErrMount) {
			t.Errorf("remove of the kernel's: %v", err)
		}
	})
	if _, err := h.Runtime.Stop(ctx, "c", workload.StopOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Run("stopped", check)
	if err := h.Runtime.Files(ctx, "none", nil); !errors.Is(err, workload.ErrNotFound) {
		t.Errorf("a container that is not there: %v", err)
	}
}

// TestSampler compares with Stats, over a restart of the container.
func TestSampler(t *testing.T) {
	h := runtimetest.New(t)
	img := h.ImportBusybox()
	ctx := start(t, h, workload.Spec{ID: "c", ImageDigest: img, Command: []string{"sh", "-c", "dd if=/dev/zero of=/big bs=1M count=4 2>/dev/null; while :; do :; done"}})
	s := h.Runtime.NewSampler()
	defer s.Close()
	look := func() workload.Stats {
		t.Helper()
		st, err := s.Sample(ctx, "c")
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	first := look()
	runtimetest.Eventually(t, 20*time.Second, "CPU is counted", func() bool { return look().CPUTotal > first.CPUTotal+100*time.Millisecond })
	got := look()
	want, err := h.Runtime.Stats(ctx, "c")
	if err != nil {
		t.Fatal(err)
	}
	if d := want.CPUTotal - got.CPUTotal; d < 0 || d > 2*time.Second || got.PIDs != want.PIDs || got.BlockWrite > want.BlockWrite {
		t.Errorf("the sampler says %+v, Stats %+v", got, want)
	}
	if d := int64(want.MemoryUsage) - int64(got.MemoryUsage); got.MemoryUsage == 0 || max(d, -d) > 8<<20 {
		t.Errorf("memory %d and %d", got.MemoryUsage, want.MemoryUsage)
	}
	if _, err := h.Runtime.Stop(ctx, "c", workload.StopOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sample(ctx, "c"); !errors.Is(err, workload.ErrNotRunning) {
		t.Errorf("a stopped container: %v", err)
	}
	if err := h.Runtime.Start(ctx, "c"); err != nil {
		t.Fatal(err)
	}
	runtimetest.Eventually(t, 10*time.Second, "the new task is measured", func() bool {
		st, err := s.Sample(ctx, "c")
		return err == nil && st.PIDs > 0
	})
	s.Sweep()
	s.Sweep() // closes what nobody asked for in between
	if _, err := s.Sample(ctx, "c"); err != nil {
		t.Error(err)
	}
	if _, err := s.Sample(ctx, "none"); !errors.Is(err, workload.ErrNotFound) {
		t.Errorf("a container that is not there: %v", err)
	}
}
