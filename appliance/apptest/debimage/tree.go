package debimage

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// epoch is the time of every file that no package brings.
var epoch = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// entry is one file of a tree.
type entry struct {
	header tar.Header
	data   []byte
}

// tree is the content of one layer, by path without a leading slash. It is written
// sorted, so its bytes do not depend on the order in which it was filled.
type tree struct{ entries map[string]entry }

func newTree() *tree { return &tree{entries: map[string]entry{}} }

// clean turns any spelling of a path into its place on a system with a merged
// /usr, where /bin, /sbin and /lib* are links.
func clean(name string) string {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	top, _, _ := strings.Cut(name, "/")
	switch top {
	case "bin", "sbin", "lib", "lib32", "lib64", "libx32":
		return "usr/" + name
	}
	return name
}

// addDir puts a folder, and its parents where they are missing.
func (t *tree) addDir(name string, mode int64, uid, gid int) {
	name = clean(name)
	t.addParents(name)
	t.put(name, tar.Header{Typeflag: tar.TypeDir, Mode: mode, Uid: uid, Gid: gid, ModTime: epoch}, nil)
}

// addFile puts a file of root's.
func (t *tree) addFile(name string, data []byte, mode int64) {
	name = clean(name)
	t.addParents(name)
	t.put(name, tar.Header{Typeflag: tar.TypeReg, Mode: mode, ModTime: epoch}, data)
}

// addLink puts a symbolic link.
func (t *tree) addLink(name, target string) {
	name = clean(name)
	t.addParents(name)
	t.put(name, tar.Header{Typeflag: tar.TypeSymlink, Linkname: target, Mode: 0o777, ModTime: epoch}, nil)
}

// addWhiteout hides a file of a lower layer.
func (t *tree) addWhiteout(name string) {
	name = clean(name)
	t.addFile(path.Join(path.Dir(name), ".wh."+path.Base(name)), nil, 0)
}

func (t *tree) addParents(name string) {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if _, have := t.entries[dir]; !have {
			t.put(dir, tar.Header{Typeflag: tar.TypeDir, Mode: 0o755, ModTime: epoch}, nil)
		}
	}
}

func (t *tree) put(name string, h tar.Header, data []byte) {
	h.Name = name
	h.Size = int64(len(data))
	if h.Typeflag == tar.TypeDir {
		h.Name += "/"
	}
	t.entries[name] = entry{header: h, data: data}
}

// keepAll keeps every file of a package.
func keepAll(string) bool { return true }

// keepSmall leaves out what no container reads: documentation, translations,
// service units, character set converters, and PostgreSQL's just-in-time compiler.
func keepSmall(name string) bool {
	for _, prefix := range []string{
		"usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale/", "usr/share/lintian", "usr/share/bug",
		"usr/share/zoneinfo/posix", "usr/share/zoneinfo/right", "usr/share/doc-base", "usr/share/postgresql-common",
		"usr/lib/systemd", "etc/init.d", "etc/cron", "etc/logrotate.d", "etc/logcheck", "etc/ufw", "usr/share/apport",
	} {
		if strings.HasPrefix(name, prefix) {
			return false
		}
	}
	for _, part := range []string{"/gconv/", "/lib/bitcode", "/llvmjit", "/share/locale/"} {
		if strings.Contains(name, part) {
			return false
		}
	}
	return true
}

// addPackage puts the files of a Debian package that keep wants. A hard link
// becomes a copy, so that no order of files has to be kept.
func (t *tree) addPackage(ctx context.Context, deb string, keep func(string) bool) (err error) {
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start dpkg-deb: %w", err)
	}
	defer func() {
		_, drainErr := io.Copy(io.Discard, out) // else dpkg-deb would die of a closed pipe
		if waitErr := cmd.Wait(); waitErr != nil {
			err = errors.Join(err, fmt.Errorf("dpkg-deb --fsys-tarfile %s: %w: %s", deb, waitErr, stderr.String()), drainErr)
		}
	}()
	in := tar.NewReader(out)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", deb, err)
		}
		name := clean(h.Name)
		if name == "" || !keep(name) {
			continue
		}
		kept := tar.Header{Typeflag: h.Typeflag, Mode: h.Mode, Uid: h.Uid, Gid: h.Gid, Linkname: h.Linkname, ModTime: h.ModTime.UTC()}
		var data []byte
		switch h.Typeflag {
		case tar.TypeReg:
			if data, err = io.ReadAll(in); err != nil {
				return fmt.Errorf("read %s of %s: %w", name, deb, err)
			}
		case tar.TypeLink:
			target, ok := t.entries[clean(h.Linkname)]
			if !ok {
				return fmt.Errorf("%s links to %s, which is not in %s", name, h.Linkname, deb)
			}
			kept, data = target.header, target.data
		case tar.TypeDir:
			if _, have := t.entries[name]; have {
				continue
			}
		case tar.TypeSymlink:
		default:
			continue // no package used here has devices or sockets
		}
		t.addParents(name)
		t.put(name, kept, data)
	}
}

// mergeUsr puts the links that make /bin, /sbin and /lib* part of /usr.
func (t *tree) mergeUsr() {
	for _, dir := range []string{"bin", "sbin", "lib", "lib64"} {
		t.addDir("usr/"+dir, 0o755, 0, 0)
		t.put(dir, tar.Header{Typeflag: tar.TypeSymlink, Linkname: "usr/" + dir, Mode: 0o777, ModTime: epoch}, nil)
	}
}

// addBase puts what a maintainer script or the installer would have made: users,
// folders, and busybox as the shell and the small tools. scratch is a folder for
// the moment.
func (t *tree) addBase(ctx context.Context, scratch string) error {
	t.mergeUsr()
	t.addFile("etc/passwd", []byte("root:x:0:0:root:/root:/bin/sh\n"+
		"daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"+
		"www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n"+
		"redis:x:101:101:redis:/var/lib/redis:/usr/sbin/nologin\n"+
		"postgres:x:102:102:postgres:/var/lib/postgresql:/bin/sh\n"+
		"app:x:1000:1000:app:/home/app:/bin/sh\n"+
		"nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"), 0o644)
	t.addFile("etc/group", []byte("root:x:0:\ndaemon:x:1:\nadm:x:4:\ntty:x:5:\nwww-data:x:33:\nredis:x:101:\npostgres:x:102:\n"+
		"app:x:1000:\nextra:x:1001:app\nnogroup:x:65534:\n"), 0o644)
	t.addFile("etc/nsswitch.conf", []byte("passwd: files\ngroup: files\nhosts: files dns\n"), 0o644)
	t.addDir("root", 0o700, 0, 0)
	t.addDir("tmp", 0o1777, 0, 0)
	t.addDir("var/tmp", 0o1777, 0, 0)
	t.addDir("run", 0o755, 0, 0)
	t.addDir("proc", 0o555, 0, 0)
	t.addDir("sys", 0o555, 0, 0)
	t.addDir("dev", 0o755, 0, 0)
	t.addDir("home/app", 0o755, 1000, 1000)
	t.addLink("var/run", "../run")

	busybox, ok := t.entries["usr/bin/busybox"]
	if !ok {
		return errors.New("package busybox-static brought no bin/busybox")
	}
	program := filepath.Join(scratch, "busybox")
	if err := os.WriteFile(program, busybox.data, 0o755); err != nil {
		return err
	}
	defer os.Remove(program)
	list, err := exec.CommandContext(ctx, program, "--list").Output()
	if err != nil {
		return fmt.Errorf("ask busybox for its programs: %w", err)
	}
	for applet := range strings.FieldsSeq(string(list)) {
		name := "usr/bin/" + applet
		if _, have := t.entries[name]; !have && applet != "busybox" {
			t.addLink(name, "busybox")
		}
	}
	return nil
}

// dropKnown removes the folders that a lower layer already has; a layer above may
// say something different only about files.
func (t *tree) dropKnown(lower ...*tree) {
	for name, e := range t.entries {
		for _, l := range lower {
			known, have := l.entries[name]
			if have && e.header.Typeflag == tar.TypeDir && known.header.Typeflag == tar.TypeDir && e.header.ModTime.Equal(epoch) &&
				e.header.Mode&0o7777 == known.header.Mode&0o7777 && e.header.Uid == known.header.Uid {
				delete(t.entries, name)
			}
		}
	}
}

// write writes the tree as an uncompressed layer.
func (t *tree) write(w io.Writer) error {
	out := tar.NewWriter(w)
	for _, name := range slices.Sorted(maps.Keys(t.entries)) {
		e := t.entries[name]
		e.header.Format = tar.FormatPAX
		if err := out.WriteHeader(&e.header); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		if _, err := out.Write(e.data); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return out.Close()
}

// unpackLayer writes a layer's files under root, with owners and modes, and applies
// its whiteouts. Only layers that this package wrote are unpacked with it.
func unpackLayer(root, layerPath string) error {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	f, err := os.Open(layerPath)
	if err != nil {
		return err
	}
	defer f.Close()
	in := tar.NewReader(f)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", layerPath, err)
		}
		if err := unpackEntry(root, h, in); err != nil {
			return fmt.Errorf("unpack %s: %w", h.Name, err)
		}
	}
}

func unpackEntry(root string, h *tar.Header, in io.Reader) error {
	dest := filepath.Join(root, h.Name)
	if hidden, ok := strings.CutPrefix(path.Base(h.Name), ".wh."); ok {
		return os.RemoveAll(filepath.Join(filepath.Dir(dest), hidden))
	}
	switch h.Typeflag {
	case tar.TypeDir:
		if err := os.MkdirAll(dest, 0o755); err != nil {
			return err
		}
	case tar.TypeSymlink:
		if err := os.RemoveAll(dest); err != nil {
			return err
		}
		if err := os.Symlink(h.Linkname, dest); err != nil {
			return err
		}
		return os.Lchown(dest, h.Uid, h.Gid)
	default:
		if err := os.RemoveAll(dest); err != nil {
			return err
		}
		f, err := os.OpenFile(dest, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, in)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	if err := os.Lchown(dest, h.Uid, h.Gid); err != nil {
		return err
	}
	return unix.Chmod(dest, uint32(h.Mode)&0o7777) // os.Chmod would lose setuid bits
}
