package ctrd

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/runtime/workload"
)

// TestDoomedThreads: whatever thread a look into a layer ran on, the process's
// own mount namespace stays what it was.
func TestDoomedThreads(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("skipped: a mount namespace needs root")
	}
	before, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			err := onDoomedThread(func() error {
				if unix.Gettid() == unix.Getpid() {
					t.Error("ran on the first thread")
				}
				runtime.Gosched()
				return privateMounts()
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if after, err := os.Readlink("/proc/self/ns/mnt"); err != nil || after != before {
		t.Errorf("the first thread is in %s %v, was in %s", after, err, before)
	}
}

// TestTreeStaysInside opens what links and dots point to from within a folder.
func TestTreeStaysInside(t *testing.T) {
	dir := t.TempDir()
	root := dir + "/root"
	for _, err := range []error{
		os.MkdirAll(root+"/etc", 0o755), os.WriteFile(dir+"/secret", []byte("host"), 0o644), os.WriteFile(root+"/etc/passwd", []byte("inside"), 0o644),
		os.Symlink("../../../../../../../../"+strings.TrimPrefix(dir, "/")+"/secret", root+"/up"), os.Symlink(dir+"/secret", root+"/abs"),
		os.Symlink("/etc", root+"/conf"), os.Symlink("loop", root+"/loop"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	tr := &tree{fd}
	for name, want := range map[string]string{"/etc/passwd": "inside", "../../etc/passwd": "inside", "/conf/passwd": "inside", "/up": "", "/abs": "", "/missing": "", "/etc/passwd/x": ""} {
		b, err := tr.readSmall(name, 100)
		if string(b) != want || err != nil {
			t.Errorf("%s: got %q %v, want %q", name, b, err, want)
		}
	}
	if _, err := tr.readSmall("/loop", 100); err == nil {
		t.Error("a loop of links was opened")
	}
	if _, err := tr.readSmall("/etc/passwd", 3); err == nil {
		t.Error("the bound was not kept")
	}
	for name, want := range map[string]error{"/etc/passwd": workload.ErrNotExecutable, "nothing": workload.ErrCommandNotFound, "./etc/passwd": workload.ErrNotExecutable} {
		if got := tr.checkCommand(name, "/", []string{"PATH=/bin:/etc"}); got == nil || !errors.Is(got.Err, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}
