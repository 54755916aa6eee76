package filetree

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Write makes the file at name hold what body gives, wholly or not at all: the
// bytes go to a file without a name, which takes the place of the old one when
// all of them are on disk. Owner and mode of a replaced file stay; a new one is
// root's with mode 0644. A link at name is followed inside the tree. What body
// fails with is returned as it is; nothing is left behind then, nor when this
// process is killed (where the file system has files without names).
func (t Tree) Write(ctx context.Context, name string, body io.Reader) (Entry, error) {
	dir, base, old, err := t.target(name)
	if err != nil {
		return Entry{}, err
	}
	defer dir.Close()
	d := int(dir.Fd())
	if err := ofStorage(d); err != nil {
		return Entry{}, err
	}
	f, tmp, err := scratch(d)
	if err != nil {
		return Entry{}, classify(err)
	}
	defer func() {
		if tmp != "" {
			_ = unix.Unlinkat(d, tmp, 0) // the error that led here is the one to tell
		}
		_ = f.Close()
	}()
	if _, err := io.Copy(f, reader{ctx, body}); err != nil {
		return Entry{}, err
	}
	mode := uint32(0o644)
	if old != nil {
		mode = old.Mode
		if err := unix.Fchown(int(f.Fd()), int(old.UID), int(old.GID)); err != nil {
			return Entry{}, err
		}
	}
	if err := unix.Fchmod(int(f.Fd()), mode); err != nil { // after the owner: a change of that clears bits
		return Entry{}, err
	}
	if err := f.Sync(); err != nil {
		return Entry{}, err
	}
	if tmp == "" {
		name := scratchName()
		if err := unix.Linkat(int(f.Fd()), "", d, name, unix.AT_EMPTY_PATH); err != nil {
			return Entry{}, classify(err)
		}
		tmp = name
	}
	if err := unix.Renameat(d, tmp, d, base); err != nil {
		return Entry{}, classify(err)
	}
	tmp = ""
	return look(d, base)
}

// target opens the folder that holds, or will hold, the file at name; old is
// the file that is there.
func (t Tree) target(name string) (dir *os.File, base string, old *Entry, err error) {
	at, base := split(name)
	for range maxLinks {
		if base == "/" || base == "." || base == ".." {
			return nil, "", nil, ErrIsFolder
		}
		if len(base) > 255 {
			return nil, "", nil, ErrName
		}
		if dir, err = t.open(at, unix.O_PATH|unix.O_DIRECTORY); err != nil {
			return nil, "", nil, err
		}
		e, err := look(int(dir.Fd()), base)
		if errors.Is(err, ErrNotFound) {
			return dir, base, nil, nil
		}
		if err == nil && e.Kind == File && !e.Mount {
			return dir, base, &e, nil
		}
		_ = dir.Close()
		switch {
		case err != nil:
			return nil, "", nil, err
		case e.Kind == Folder:
			return nil, "", nil, ErrIsFolder
		case e.Mount:
			return nil, "", nil, ErrMount
		case e.Kind != Link:
			return nil, "", nil, ErrNotRegular
		}
		// Not cleaned: "a/../b" goes by where a leads. The kernel keeps it inside.
		next := e.LinkTarget
		if !strings.HasPrefix(next, "/") {
			next = at + "/" + next
		}
		if strings.HasSuffix(next, "/") {
			return nil, "", nil, ErrIsFolder
		}
		at, base = path.Split(next)
	}
	return nil, "", nil, ErrLoop
}

func scratchName() string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return ".skerry-" + hex.EncodeToString(b[:]) + "~"
}

// scratch opens a file in an open folder that has no name yet, or where the
// file system cannot do so (overlays before Linux 6.2) one with a name of ours.
func scratch(dir int) (f *os.File, name string, err error) {
	fd, err := unix.Openat(dir, ".", unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), "upload"), "", nil
	}
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) {
		return nil, "", err
	}
	name = scratchName()
	fd, err = unix.Openat(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, "", err
	}
	return os.NewFile(uintptr(fd), name), name, nil
}

type reader struct {
	ctx context.Context //nolint:containedctx // io.Reader has no context
	r   io.Reader
}

func (c reader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}
