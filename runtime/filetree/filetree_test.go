package filetree_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/runtime/filetree"
)

// grow makes a tree beside a secret that nobody may reach from it.
func grow(t *testing.T) (tree filetree.Tree, root, secret string) {
	t.Helper()
	outer := t.TempDir()
	root, secret = filepath.Join(outer, "root"), filepath.Join(outer, "secret")
	check(t, os.Mkdir(root, 0o755))
	check(t, os.WriteFile(secret, []byte("host secret"), 0o644))
	d, err := os.Open(root)
	check(t, err)
	t.Cleanup(func() { _ = d.Close() })
	return filetree.At(int(d.Fd())), root, secret
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func names(of []filetree.Entry) []string {
	var out []string
	for _, e := range of {
		out = append(out, e.Name)
	}
	return out
}

func TestListKeepsEveryName(t *testing.T) {
	tree, root, _ := grow(t)
	files := []string{"a\nb", "🦭.txt", "\xff\xfe", " ", "-rf", "<img src=x onerror=alert(1)>", "plain"}
	for _, f := range files {
		check(t, os.WriteFile(filepath.Join(root, f), []byte("x"), 0o640))
	}
	check(t, os.Mkdir(filepath.Join(root, "zz"), 0o750))
	check(t, os.Symlink("/nowhere", filepath.Join(root, "link")))
	check(t, unix.Mkfifo(filepath.Join(root, "fifo"), 0o600))
	got, truncated, err := tree.List(t.Context(), "/")
	check(t, err)
	want := append(slices.Clone(files), "fifo", "link")
	slices.Sort(want)
	want = append([]string{"zz"}, want...) // the folder first
	if !slices.Equal(names(got), want) || truncated {
		t.Fatalf("got %q, want %q", names(got), want)
	}
	by := map[string]filetree.Entry{}
	for _, e := range got {
		by[e.Name] = e
	}
	if e := by["plain"]; e.Kind != filetree.File || e.Size != 1 || e.Mode != 0o640 || e.ModTime.IsZero() || e.Mount {
		t.Errorf("plain: %+v", e)
	}
	if e := by["link"]; e.Kind != filetree.Link || e.LinkTarget != "/nowhere" {
		t.Errorf("link: %+v", e)
	}
	if by["fifo"].Kind != filetree.Other || by["zz"].Kind != filetree.Folder || by["zz"].Mode != 0o750 {
		t.Errorf("fifo %+v, folder %+v", by["fifo"], by["zz"])
	}
	for _, f := range files { // and each of them can be opened and removed by its name
		r, _, err := tree.Open("/" + f)
		if err != nil {
			t.Errorf("open %q: %v", f, err)
			continue
		}
		_ = r.Close()
		if err := tree.Remove(t.Context(), "/"+f, false); err != nil {
			t.Errorf("remove %q: %v", f, err)
		}
	}
}

func TestListIsBounded(t *testing.T) {
	tree, root, _ := grow(t)
	check(t, os.WriteFile(filepath.Join(root, "one"), nil, 0o600))
	for i := range filetree.MaxEntries {
		check(t, os.Link(filepath.Join(root, "one"), filepath.Join(root, fmt.Sprint(i))))
	}
	got, truncated, err := tree.List(t.Context(), "/")
	if err != nil || len(got) != filetree.MaxEntries || !truncated {
		t.Errorf("%d entries, truncated %v, %v", len(got), truncated, err)
	}
}

// TestNothingLeadsOut tries every door of a hostile tree.
func TestNothingLeadsOut(t *testing.T) {
	tree, root, secret := grow(t)
	up := strings.Repeat("../", 40)
	for name, to := range map[string]string{
		"abs": secret, "rel": up + strings.TrimPrefix(secret, "/"), "dir": filepath.Dir(secret), "one": "../secret",
		"proc": "/proc/self/root" + secret, "loop": "loop", "dirup": "..",
	} {
		check(t, os.Symlink(to, filepath.Join(root, name)))
	}
	for _, name := range []string{"/abs", "/rel", "/dir/secret", "/one", "/proc", "/loop", "/../secret", "../secret", "/dirup/secret", up + secret} {
		if f, _, err := tree.Open(name); err == nil {
			b, _ := io.ReadAll(f)
			t.Errorf("open %s gave %q", name, b)
		} else if !errors.Is(err, filetree.ErrNotFound) && !errors.Is(err, filetree.ErrLoop) {
			t.Errorf("open %s: %v", name, err)
		}
	}
	for _, name := range []string{"/abs", "/rel", "/one", "/dir/planted", "/dirup/planted", "/loop"} {
		_, err := tree.Write(t.Context(), name, strings.NewReader("planted"))
		_ = err // some of them land inside of the tree, which is right
	}
	if b, err := os.ReadFile(secret); err != nil || string(b) != "host secret" {
		t.Errorf("the secret is now %q, %v", b, err)
	}
	if _, err := tree.Mkdir("/dirup/made"); err != nil { // ".." of the root is the root
		t.Error(err)
	}
	for _, name := range []string{"/dirup", "/dir", "/abs"} {
		if err := tree.Remove(t.Context(), name, true); err != nil {
			t.Errorf("remove the link %s: %v", name, err)
		}
	}
	around, err := os.ReadDir(filepath.Dir(root))
	if err != nil || len(around) != 2 {
		t.Errorf("beside the tree there is now %v, %v", around, err)
	}
}

func TestOpenOnlyRegularFiles(t *testing.T) {
	tree, root, _ := grow(t)
	check(t, unix.Mkfifo(filepath.Join(root, "fifo"), 0o600)) // opening it for real would block
	check(t, os.Mkdir(filepath.Join(root, "d"), 0o755))
	check(t, os.WriteFile(filepath.Join(root, "d", "f"), []byte("inside"), 0o600))
	check(t, os.Symlink("/d/f", filepath.Join(root, "l")))
	for name, want := range map[string]error{
		"/fifo": filetree.ErrNotRegular, "/d": filetree.ErrIsFolder, "/": filetree.ErrIsFolder, "/none": filetree.ErrNotFound,
		"/d/f/x": filetree.ErrNotFolder, "/" + strings.Repeat("x", 300): filetree.ErrName,
	} {
		if _, _, err := tree.Open(name); !errors.Is(err, want) {
			t.Errorf("%.20s: got %v, want %v", name, err, want)
		}
	}
	f, e, err := tree.Open("/l") // as the container would see it
	check(t, err)
	defer f.Close()
	if b, err := io.ReadAll(f); err != nil || string(b) != "inside" || e.Size != 6 {
		t.Errorf("%q %+v %v", b, e, err)
	}
	proc, err := os.Open("/proc")
	check(t, err)
	defer proc.Close()
	kernel := filetree.At(int(proc.Fd()))
	if _, _, err := kernel.Open("/version"); !errors.Is(err, filetree.ErrKernel) {
		t.Errorf("/proc/version: %v", err)
	}
	if _, err := kernel.Write(t.Context(), "/sys/kernel/hostname", strings.NewReader("x")); !errors.Is(err, filetree.ErrKernel) {
		t.Errorf("/proc/sys: %v", err)
	}
	if _, _, err := kernel.List(t.Context(), "/sys/kernel"); err != nil {
		t.Error(err)
	}
}

func TestWrite(t *testing.T) {
	tree, root, _ := grow(t)
	e, err := tree.Write(t.Context(), "/new", strings.NewReader("one"))
	if err != nil || e.Name != "new" || e.Size != 3 || e.Mode != 0o644 || e.UID != 0 {
		t.Fatalf("%+v %v", e, err)
	}
	old := filepath.Join(root, "old")
	check(t, os.WriteFile(old, []byte("before"), 0o600))
	check(t, os.Chown(old, 1000, 1001))
	check(t, unix.Chmod(old, 0o4710))
	check(t, os.Mkdir(filepath.Join(root, "d"), 0o755))
	check(t, os.Symlink("../old", filepath.Join(root, "d", "l")))
	reading, err := os.Open(old)
	check(t, err)
	defer reading.Close()
	if e, err = tree.Write(t.Context(), "/d/l", strings.NewReader("after")); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	check(t, unix.Stat(old, &st))
	if b, _ := os.ReadFile(old); string(b) != "after" || st.Uid != 1000 || st.Gid != 1001 || st.Mode&0o7777 != unix.S_ISUID|0o710 {
		t.Errorf("%q, owner %d:%d, mode %o", b, st.Uid, st.Gid, st.Mode)
	}
	if b, _ := io.ReadAll(reading); string(b) != "before" {
		t.Errorf("who had it open now reads %q", b)
	}
	check(t, os.Symlink("/d/born", filepath.Join(root, "hanging")))
	if _, err := tree.Write(t.Context(), "/hanging", strings.NewReader("x")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(root, "d", "born")); err != nil {
		t.Error(err)
	}
	check(t, unix.Mkfifo(filepath.Join(root, "fifo"), 0o600))
	for name, want := range map[string]error{
		"/d": filetree.ErrIsFolder, "/": filetree.ErrIsFolder, "/none/f": filetree.ErrNotFound, "/old/f": filetree.ErrNotFolder, "/fifo": filetree.ErrNotRegular,
	} {
		if _, err := tree.Write(t.Context(), name, strings.NewReader("x")); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
	}
}

// TestBrokenWriteLeavesNothing breaks off in every way that an upload does.
func TestBrokenWriteLeavesNothing(t *testing.T) {
	tree, root, _ := grow(t)
	check(t, os.WriteFile(filepath.Join(root, "f"), []byte("kept"), 0o600))
	torn := errors.New("torn")
	big := io.MultiReader(io.LimitReader(zeros{}, 64<<20), iotest.ErrReader(torn))
	if _, err := tree.Write(t.Context(), "/f", big); !errors.Is(err, torn) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := tree.Write(ctx, "/f", io.MultiReader(strings.NewReader("x"), onRead(cancel), zeros{})); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	left, err := os.ReadDir(root)
	check(t, err)
	if b, err := os.ReadFile(filepath.Join(root, "f")); err != nil || string(b) != "kept" || len(left) != 1 {
		t.Errorf("%q, %v, left %v", b, err, left)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type onRead func()

func (f onRead) Read([]byte) (int, error) { f(); return 0, io.EOF }

func TestRemove(t *testing.T) {
	tree, root, _ := grow(t)
	at := filepath.Join(root, "d")
	for i := range 3 {
		check(t, os.MkdirAll(filepath.Join(at, fmt.Sprint(i), "sub"), 0o755))
	}
	for i := range 3000 { // more than one batch
		check(t, os.WriteFile(filepath.Join(at, "1", fmt.Sprint(i)), nil, 0o600))
	}
	check(t, os.Symlink("/", filepath.Join(at, "root")))
	check(t, unix.Mkfifo(filepath.Join(at, "fifo"), 0o600))
	check(t, os.WriteFile(filepath.Join(root, "stays"), nil, 0o600))
	if err := tree.Remove(t.Context(), "/d", false); !errors.Is(err, filetree.ErrNotEmpty) {
		t.Errorf("not recursive: %v", err)
	}
	for _, name := range []string{"/", "", "/.", "/..", "/d/.."} {
		if err := tree.Remove(t.Context(), name, true); !errors.Is(err, filetree.ErrRoot) {
			t.Errorf("%q: %v", name, err)
		}
	}
	check(t, tree.Remove(t.Context(), "/d", true))
	left, err := os.ReadDir(root)
	if err != nil || len(left) != 1 {
		t.Errorf("left %v, %v", left, err)
	}
	if err := tree.Remove(t.Context(), "/d", true); !errors.Is(err, filetree.ErrNotFound) {
		t.Errorf("again: %v", err)
	}
	deep := strings.Repeat("/x", 600)
	check(t, os.MkdirAll(filepath.Join(root, "deep")+deep, 0o755))
	check(t, os.WriteFile(filepath.Join(root, "deep", "kept"), nil, 0o600))
	if err := tree.Remove(t.Context(), "/deep", true); !errors.Is(err, filetree.ErrDeep) {
		t.Errorf("deep: %v", err)
	}
	if _, err := os.Stat(filepath.Join(root, "deep", "kept")); err != nil {
		t.Errorf("something was removed although the whole could not be: %v", err)
	}
}

// TestMountsStay runs in a mount namespace of its own, like the tree of a
// container: what is mounted there is not mounted here, and the kernel would
// take it away without a word.
func TestMountsStay(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("skipped: mounting needs root")
	}
	_, root, _ := grow(t)
	check(t, os.MkdirAll(filepath.Join(root, "a", "b", "vol"), 0o755))
	check(t, os.WriteFile(filepath.Join(root, "a", "first"), []byte("x"), 0o600))
	check(t, os.WriteFile(filepath.Join(root, "hosts"), []byte("below"), 0o600))
	data := t.TempDir()
	check(t, os.WriteFile(filepath.Join(data, "precious"), []byte("x"), 0o600))
	fds := make(chan int)
	done := make(chan struct{})
	go func() { // the thread ends with the goroutine, and its mounts with it
		runtime.LockOSThread()
		fd := -1
		err := errors.Join(unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""),
			unix.Mount(data, filepath.Join(root, "a", "b", "vol"), "", unix.MS_BIND, ""),
			unix.Mount(filepath.Join(data, "precious"), filepath.Join(root, "hosts"), "", unix.MS_BIND, ""))
		if err != nil {
			t.Error(err)
		} else if fd, err = unix.Open(root, unix.O_PATH|unix.O_DIRECTORY, 0); err != nil {
			t.Error(err)
		}
		fds <- fd
		<-done
		if _, err := os.Stat(filepath.Join(root, "a", "b", "vol", "precious")); err != nil {
			t.Errorf("the volume is no longer mounted: %v", err)
		}
		if b, _ := os.ReadFile(filepath.Join(root, "hosts")); string(b) != "x" {
			t.Errorf("the file is no longer mounted: %q", b)
		}
		fds <- 0
	}()
	fd := <-fds
	defer func() { close(done); <-fds }()
	if fd < 0 {
		return
	}
	defer unix.Close(fd)
	tree := filetree.At(fd)
	for _, name := range []string{"/a", "/a/b", "/a/b/vol", "/hosts"} {
		if err := tree.Remove(t.Context(), name, true); !errors.Is(err, filetree.ErrMount) {
			t.Errorf("remove %s: %v", name, err)
		}
	}
	if _, err := tree.Write(t.Context(), "/hosts", strings.NewReader("y")); !errors.Is(err, filetree.ErrMount) {
		t.Errorf("write: %v", err)
	}
	if _, err := tree.Stat("/a/first"); err != nil {
		t.Errorf("something was removed although the whole could not be: %v", err)
	}
	if _, err := tree.Write(t.Context(), "/a/b/vol/more", strings.NewReader("y")); err != nil { // into a volume is fine
		t.Error(err)
	}
	l, _, err := tree.List(t.Context(), "/a/b")
	if err != nil || len(l) != 1 || !l[0].Mount {
		t.Errorf("%+v %v", l, err)
	}
}
