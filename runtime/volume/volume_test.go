package volume_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/skerryhq/skerry/runtime/volume"
)

func TestPathIsSafe(t *testing.T) {
	s, err := volume.New("/data/volumes")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"", ".", "..", "../x", "a/b", "a b", ".hidden", "ü", strings.Repeat("x", 129), "a\x00"} {
		if p, err := s.Path(id); !errors.Is(err, volume.ErrInvalid) {
			t.Errorf("%q: got %q %v, want ErrInvalid", id, p, err)
		}
	}
	if p, err := s.Path("db-1.data"); err != nil || p != "/data/volumes/db-1.data/_data" {
		t.Errorf("got %q %v", p, err)
	}
	if _, err := volume.New("relative"); err == nil {
		t.Error("a relative root was accepted")
	}
}

func TestLife(t *testing.T) {
	root := filepath.Join(t.TempDir(), "volumes")
	s, err := volume.New(root)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Ensure("v")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.Ensure("v"); err != nil || again != p {
		t.Errorf("again: %q %v", again, err)
	}
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p, "f"), make([]byte, 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(p, "f"), filepath.Join(p, "g")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(p, "l")); err != nil {
		t.Fatal(err)
	}
	u, err := s.Usage(t.Context(), "v")
	if err != nil || u.Bytes < 100_000 || u.Bytes > 300_000 {
		t.Errorf("usage %+v %v, want the file once and nothing outside", u, err)
	}
	if ids, err := s.List(); err != nil || !slices.Equal(ids, []string{"v"}) {
		t.Errorf("list %v %v", ids, err)
	}
	for range 2 {
		if err := s.Remove("v"); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(outside); err != nil {
		t.Errorf("removal followed a link: %v", err)
	}
	if _, err := s.Usage(t.Context(), "v"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("usage of a removed volume: %v", err)
	}
}

func TestDiscard(t *testing.T) {
	root := filepath.Join(t.TempDir(), "volumes")
	s, err := volume.New(root)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"v", "v.1", "v.2"} {
		p, err := s.Ensure("v")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(p, "f"), []byte{byte('0' + i)}, 0o600); err != nil {
			t.Fatal(err)
		}
		to, err := s.Discard("v")
		if err != nil || to != filepath.Join(root, ".trash", want) {
			t.Fatalf("put aside to %q, %v; want %s", to, err, want)
		}
		if b, err := os.ReadFile(filepath.Join(to, "_data", "f")); err != nil || string(b) != string(rune('0'+i)) {
			t.Errorf("its content: %q %v", b, err)
		}
		if _, err := os.Lstat(p); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("it is still in its place: %v", err)
		}
	}
	if ids, err := s.List(); err != nil || len(ids) != 0 {
		t.Errorf("the list names %v, %v", ids, err)
	}
	if fi, err := os.Stat(filepath.Join(root, ".trash")); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("the trash is open to others: %v %v", fi, err)
	}
	if to, err := s.Discard("never"); err != nil || to != "" {
		t.Errorf("one that is not there: %q %v", to, err)
	}
	if _, err := s.Discard("../v"); !errors.Is(err, volume.ErrInvalid) {
		t.Errorf("an id that is a way out: %v", err)
	}
}

func TestPopulate(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("skipped: keeping owners needs root")
	}
	dir := t.TempDir()
	src, dst := filepath.Join(dir, "src"), filepath.Join(dir, "v", "_data")
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(os.MkdirAll(filepath.Join(src, "sub"), 0o755))
	do(os.MkdirAll(dst, 0o755))
	do(os.WriteFile(filepath.Join(src, "sub", "f"), []byte("x"), 0o600))
	do(os.Chown(filepath.Join(src, "sub", "f"), 12, 34))
	do(os.Chmod(filepath.Join(src, "sub", "f"), 0o711|os.ModeSetuid))
	do(os.Link(filepath.Join(src, "sub", "f"), filepath.Join(src, "hard")))
	do(os.Symlink("/etc/passwd", filepath.Join(src, "link")))
	do(syscall.Mkfifo(filepath.Join(src, "fifo"), 0o640))
	do(syscall.Setxattr(filepath.Join(src, "sub"), "user.color", []byte("grey"), 0))
	do(os.Chown(src, 7, 8))
	do(os.Chmod(src, 0o750))
	in, err := os.Open(src)
	do(err)
	defer in.Close()
	if empty, err := volume.Empty(dst); err != nil || !empty {
		t.Errorf("empty: %v %v", empty, err)
	}
	do(volume.Populate(dst, in))
	if empty, err := volume.Empty(dst); err != nil || empty {
		t.Errorf("after filling, empty: %v %v", empty, err)
	}
	stat := func(name string) *syscall.Stat_t {
		t.Helper()
		var st syscall.Stat_t
		do(syscall.Lstat(filepath.Join(dst, name), &st))
		return &st
	}
	if st := stat("sub/f"); st.Uid != 12 || st.Gid != 34 || st.Mode&0o7777 != 0o4711 || st.Nlink != 2 || st.Ino != stat("hard").Ino {
		t.Errorf("file: %+v", st)
	}
	if st := stat("."); st.Uid != 7 || st.Gid != 8 || st.Mode&0o7777 != 0o750 {
		t.Errorf("directory: %+v", st)
	}
	if st := stat("fifo"); st.Mode&syscall.S_IFMT != syscall.S_IFIFO {
		t.Errorf("fifo: %+v", st)
	}
	if l, err := os.Readlink(filepath.Join(dst, "link")); err != nil || l != "/etc/passwd" {
		t.Errorf("link: %q %v", l, err)
	}
	buf := make([]byte, 16)
	if n, err := syscall.Getxattr(filepath.Join(dst, "sub"), "user.color", buf); err != nil || string(buf[:n]) != "grey" {
		t.Errorf("attribute: %q %v", buf[:max(n, 0)], err)
	}
	if err := volume.Populate(dst, in); err == nil {
		t.Error("a volume with content was replaced")
	}
	if entries, err := os.ReadDir(filepath.Dir(dst)); err != nil || len(entries) != 1 {
		t.Errorf("left beside the volume: %v %v", entries, err)
	}
}
