package filetree_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSwappedWhileLooking exchanges a folder and a link that leads out of the
// tree as fast as it can, as a container may, while everything is tried that
// opens, writes and removes below that name.
func TestSwappedWhileLooking(t *testing.T) {
	tree, root, secret := grow(t)
	outside := filepath.Join(filepath.Dir(secret), "outside")
	check(t, os.MkdirAll(filepath.Join(outside, "sub"), 0o755))
	check(t, os.WriteFile(filepath.Join(outside, "f"), []byte("host"), 0o600))
	check(t, os.WriteFile(filepath.Join(outside, "sub", "f"), []byte("host"), 0o600))
	check(t, os.Symlink(outside, filepath.Join(root, "link")))
	var swaps atomic.Int64
	stop := make(chan struct{})
	over := make(chan struct{})
	go func() {
		defer close(over)
		a, b := filepath.Join(root, "d"), filepath.Join(root, "link")
		for {
			select {
			case <-stop:
				return
			default:
			}
			if unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE) == nil {
				swaps.Add(1)
			}
		}
	}()
	end := time.Now().Add(2 * time.Second)
	for i := 0; time.Now().Before(end) || swaps.Load() < 100; i++ {
		if i > 1_000_000 {
			t.Fatalf("only %d swaps", swaps.Load())
		}
		_ = os.MkdirAll(filepath.Join(root, "d", "sub"), 0o755) // may go to either place, as the container's own would
		if f, _, err := tree.Open("/d/f"); err == nil {
			b := make([]byte, 8)
			n, _ := f.Read(b)
			_ = f.Close()
			if string(b[:n]) == "host" {
				t.Fatal("read a file of the host")
			}
		}
		_, _ = tree.Write(t.Context(), "/d/f", strings.NewReader("planted"))
		_, _ = tree.Write(t.Context(), "/d/sub/f", strings.NewReader("planted"))
		_, _, _ = tree.List(t.Context(), "/d/sub")
		_ = tree.Remove(t.Context(), "/d/sub", true)
		_, _ = tree.Mkdir("/d/planted")
		if i%5 == 0 { // removes the folder or the link; put back what is missing
			_ = tree.Remove(t.Context(), "/d", true)
			_ = os.Mkdir(filepath.Join(root, "d"), 0o755)
			_ = os.Symlink(outside, filepath.Join(root, "link"))
		}
	}
	close(stop)
	<-over
	for _, f := range []string{"f", "sub/f"} {
		if b, err := os.ReadFile(filepath.Join(outside, f)); err != nil || string(b) != "host" {
			t.Errorf("after %d swaps %s outside is %q, %v", swaps.Load(), f, b, err)
		}
	}
	if _, err := os.Stat(filepath.Join(outside, "planted")); err == nil {
		t.Error("a folder was made outside")
	}
	t.Logf("%d swaps", swaps.Load())
}
