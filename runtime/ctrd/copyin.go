package ctrd

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/runtime/workload"
)

// CopyIn unpacks a tar into the directory dir of the container, running or
// stopped. Owners, modes and times are the tar's. An existing file is replaced, a
// directory is kept and filled; a file never replaces a directory. Entries whose
// names are absolute or lead upwards are refused, and links, old or new, can
// never lead the writing out of the container's root.
// Errors: ErrNotFound, ErrPathNotFound, ErrInvalid.
func (r *Runtime) CopyIn(ctx context.Context, id workload.ID, dir string, tarball io.Reader) error {
	err := r.rootOf(ctx, id, func(t *tree) error {
		top, err := t.open(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return err
		}
		defer top.Close()
		u := &unpacker{t: t, dir: path.Clean("/" + dir)}
		tr := tar.NewReader(contextReader{ctx, tarball})
		for {
			h, err := tr.Next()
			if errors.Is(err, io.EOF) {
				return u.finish()
			}
			if err != nil {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				return workload.Invalidf("what was sent is not a whole tar: %v", err)
			}
			if err := u.entry(h, tr); err != nil {
				return fmt.Errorf("entry %q: %w", clip(h.Name), err)
			}
		}
	})
	if err != nil {
		return fmt.Errorf("copy into %q of container %s: %w", clip(dir), id, err)
	}
	return nil
}

type unpacker struct {
	t   *tree
	dir string
	// dirs get their modes and times last: they change while being filled, and a
	// read-only one could not be filled.
	dirs []*tar.Header
}

func (u *unpacker) place(name string) (string, error) {
	if path.IsAbs(name) {
		return "", workload.Invalidf("has an absolute path: use one relative to the target directory")
	}
	clean := path.Clean(name)
	if clean == ".." || strings.HasPrefix(clean, "../") {
		return "", workload.Invalidf("leads out of the target directory")
	}
	return path.Join(u.dir, clean), nil
}

func (u *unpacker) entry(h *tar.Header, body io.Reader) error {
	at, err := u.place(h.Name)
	if err != nil {
		return err
	}
	if at == u.dir {
		if h.Typeflag != tar.TypeDir {
			return workload.Invalidf("is the target directory itself")
		}
		return nil // "./": the target keeps what it is
	}
	dir, base, err := u.parent(at)
	if err != nil {
		return err
	}
	defer dir.Close()
	d := int(dir.Fd())
	if h.Typeflag == tar.TypeDir {
		if err := unix.Mkdirat(d, base, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
		own := *h
		own.Name = at
		u.dirs = append(u.dirs, &own)
		return nil
	}
	if err := unix.Unlinkat(d, base, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		if errors.Is(err, unix.EISDIR) {
			return workload.Invalidf("is a directory in the container and a file in what was sent")
		}
		return err
	}
	switch h.Typeflag {
	case tar.TypeReg:
		f, err := openAt(dir, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, body)
		if err == nil {
			err = applyMeta(f, h)
		}
		return errors.Join(err, f.Close())
	case tar.TypeSymlink:
		if err := unix.Symlinkat(h.Linkname, d, base); err != nil {
			return err
		}
		return unix.Fchownat(d, base, h.Uid, h.Gid, unix.AT_SYMLINK_NOFOLLOW)
	case tar.TypeLink:
		from, err := u.place(h.Linkname)
		if err != nil {
			return err
		}
		src, name, err := u.t.parent(from)
		if err != nil {
			return err
		}
		defer src.Close()
		return unix.Linkat(int(src.Fd()), name, d, base, 0)
	case tar.TypeFifo:
		if err := unix.Mknodat(d, base, unix.S_IFIFO|uint32(h.Mode&0o7777), 0); err != nil {
			return err
		}
		return unix.Fchownat(d, base, h.Uid, h.Gid, unix.AT_SYMLINK_NOFOLLOW)
	case tar.TypeChar, tar.TypeBlock:
		// A device would give the container what its cgroup is there to deny, or worse on a volume.
		return workload.Invalidf("is a device node: those are not copied into containers")
	}
	return workload.Invalidf("has the unknown type %q", string(h.Typeflag))
}

// parent opens the directory that will hold at, making missing ones.
func (u *unpacker) parent(at string) (*os.File, string, error) {
	dir, base, err := u.t.parent(at)
	if !errors.Is(err, workload.ErrPathNotFound) {
		return dir, base, err
	}
	missing := path.Dir(at)
	up, name, err := u.parent(missing)
	if err != nil {
		return nil, "", err
	}
	defer up.Close()
	if err := unix.Mkdirat(int(up.Fd()), name, 0o755); err != nil {
		return nil, "", err
	}
	return u.t.parent(at)
}

func (u *unpacker) finish() error {
	for i := len(u.dirs) - 1; i >= 0; i-- {
		h := u.dirs[i]
		f, err := u.t.open(h.Name, openDir|unix.O_NOFOLLOW, 0)
		if err != nil {
			if errors.Is(err, workload.ErrPathNotFound) || errors.Is(err, unix.ELOOP) {
				continue // replaced by a later entry, or a link to a directory that keeps its own mode
			}
			return err
		}
		err = applyMeta(f, h)
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// applyMeta gives an open file the owner, mode and time of a tar entry. The owner
// goes first: changing it clears the set-user-ID bits.
func applyMeta(f *os.File, h *tar.Header) error {
	fd := int(f.Fd())
	if err := unix.Fchown(fd, h.Uid, h.Gid); err != nil {
		return err
	}
	if err := unix.Fchmod(fd, uint32(h.Mode&0o7777)); err != nil {
		return err
	}
	if h.ModTime.IsZero() {
		return nil
	}
	tv := unix.NsecToTimeval(h.ModTime.UnixNano())
	return unix.Futimes(fd, []unix.Timeval{tv, tv})
}
