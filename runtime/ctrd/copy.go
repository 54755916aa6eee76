package ctrd

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/runtime/workload"
)

// PathInfo describes one path inside a container.
type PathInfo struct {
	Name    string
	Mode    fs.FileMode
	Size    int64
	ModTime time.Time
	// LinkTarget is set for a symbolic link.
	LinkTarget string
}

// rootOf runs do on the container's file system, running or stopped, and keeps
// it from being started or removed meanwhile only when it is stopped.
func (r *Runtime) rootOf(ctx context.Context, id workload.ID, do func(*tree) error) error {
	if err := id.Validate(); err != nil {
		return err
	}
	unlock, err := r.lock(ctx, id)
	if err != nil {
		return err
	}
	st, err := r.look(ctx, id, nil)
	var f *facts
	if err == nil {
		f, err = r.factsOf(ctx, id)
	}
	if err != nil {
		unlock()
		return err
	}
	if st.PID > 0 {
		unlock() // a long copy must not block stop or kill
		return r.withProcessRoot(f, st.PID, do)
	}
	defer unlock()
	return r.withRoot(f, 0, do)
}

// Stat describes a path in the container; a final link is not followed.
// Errors: ErrNotFound, ErrPathNotFound.
func (r *Runtime) Stat(ctx context.Context, id workload.ID, name string) (PathInfo, error) {
	var info PathInfo
	err := r.rootOf(ctx, id, func(t *tree) error {
		f, err := t.open(name, unix.O_PATH|unix.O_NOFOLLOW, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		fi, err := f.Stat()
		if err != nil {
			return err
		}
		info = PathInfo{Name: path.Base(path.Clean("/" + name)), Mode: fi.Mode(), Size: fi.Size(), ModTime: fi.ModTime()}
		if fi.Mode()&fs.ModeSymlink != 0 {
			info.LinkTarget, err = readlink(int(f.Fd()), "")
		}
		return err
	})
	if err != nil {
		return info, fmt.Errorf("look at %q in container %s: %w", clip(name), id, err)
	}
	return info, nil
}

// CopyOut writes a tar of what is at name in the container, running or stopped:
// one top entry with name's last element, and below it what a directory holds. A
// final link is sent as a link; name ending in "/." sends the directory's content
// without the top entry. Nothing outside of the container's root can be reached.
// Errors: ErrNotFound, ErrPathNotFound.
func (r *Runtime) CopyOut(ctx context.Context, id workload.ID, name string, w io.Writer) error {
	err := r.rootOf(ctx, id, func(t *tree) error {
		out := &packer{ctx: ctx, tw: tar.NewWriter(w), seen: map[[2]uint64]string{}}
		if strings.HasSuffix(name, "/.") || path.Clean("/"+name) == "/" {
			dir, err := t.open(name, openDir, 0)
			if err != nil {
				return err
			}
			defer dir.Close()
			if err := out.children(dir, ""); err != nil {
				return err
			}
			return out.tw.Close()
		}
		dir, base, err := t.parent(name)
		if err != nil {
			return err
		}
		defer dir.Close()
		if err := out.entry(dir, base, base); err != nil {
			return err
		}
		return out.tw.Close()
	})
	if err != nil {
		return fmt.Errorf("copy %q out of container %s: %w", clip(name), id, err)
	}
	return nil
}

type packer struct {
	ctx  context.Context //nolint:containedctx // a packer lives as long as one call
	tw   *tar.Writer
	seen map[[2]uint64]string // names of files that have several
}

func (p *packer) children(dir *os.File, prefix string) error {
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, n := range names {
		if err := p.entry(dir, n, path.Join(prefix, n)); err != nil && !(prefix != "" && errors.Is(err, workload.ErrPathNotFound)) {
			return err // one that vanished meanwhile is left out
		}
	}
	return nil
}

// entry packs base in dir as name. base is never resolved through a link.
func (p *packer) entry(dir *os.File, base, name string) error {
	if p.ctx.Err() != nil {
		return context.Cause(p.ctx)
	}
	var st unix.Stat_t
	if err := unix.Fstatat(int(dir.Fd()), base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		if errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("%q: %w", clip(name), workload.ErrPathNotFound)
		}
		return err
	}
	h := &tar.Header{
		Name: name, Mode: int64(st.Mode & 0o7777), Uid: int(st.Uid), Gid: int(st.Gid),
		ModTime: time.Unix(st.Mtim.Unix()), Format: tar.FormatPAX,
	}
	kind := st.Mode & unix.S_IFMT
	if kind != unix.S_IFDIR && st.Nlink > 1 {
		key := [2]uint64{uint64(st.Dev), st.Ino}
		if first, ok := p.seen[key]; ok {
			h.Typeflag, h.Linkname = tar.TypeLink, first
			return p.tw.WriteHeader(h)
		}
		p.seen[key] = name
	}
	switch kind {
	case unix.S_IFDIR:
		h.Typeflag = tar.TypeDir
		h.Name += "/"
		if err := p.tw.WriteHeader(h); err != nil {
			return err
		}
		sub, err := openAt(dir, base, openDir|unix.O_NOFOLLOW, 0)
		if err != nil {
			return err
		}
		defer sub.Close()
		return p.children(sub, name)
	case unix.S_IFREG:
		return p.file(dir, base, h)
	case unix.S_IFLNK:
		target, err := readlink(int(dir.Fd()), base)
		if err != nil {
			return err
		}
		h.Typeflag, h.Linkname = tar.TypeSymlink, target
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	case unix.S_IFCHR, unix.S_IFBLK:
		h.Typeflag = tar.TypeChar
		if kind == unix.S_IFBLK {
			h.Typeflag = tar.TypeBlock
		}
		h.Devmajor, h.Devminor = int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))
	default:
		return nil // a socket
	}
	return p.tw.WriteHeader(h)
}

func (p *packer) file(dir *os.File, base string, h *tar.Header) error {
	f, err := openAt(dir, base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() {
		return nil // swapped for something else meanwhile
	}
	h.Typeflag, h.Size = tar.TypeReg, fi.Size()
	if err := p.tw.WriteHeader(h); err != nil {
		return err
	}
	n, err := io.Copy(p.tw, io.LimitReader(contextReader{p.ctx, f}, h.Size))
	if err != nil {
		return err
	}
	// A file that shrank while it was read is filled up: its size is already sent.
	_, err = io.CopyN(p.tw, zeros{}, h.Size-n)
	return err
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type contextReader struct {
	ctx context.Context //nolint:containedctx // io.Reader has no context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}

func openAt(dir *os.File, name string, flags int, mode uint32) (*os.File, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, flags|unix.O_CLOEXEC, mode)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

func readlink(dir int, name string) (string, error) {
	buf := make([]byte, 4096)
	n, err := unix.Readlinkat(dir, name, buf)
	return string(buf[:max(n, 0)]), err
}
