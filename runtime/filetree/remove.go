package filetree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Remove removes the file, link or folder at name; a folder that holds
// something only if recursive. The root is refused, and so is, before anything
// is removed, what is mounted or has something mounted below it.
func (t Tree) Remove(ctx context.Context, name string, recursive bool) error {
	dir, base, err := t.parent(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	d := int(dir.Fd())
	if err := ofStorage(d); err != nil {
		return err
	}
	e, err := look(d, base)
	switch {
	case err != nil:
		return err
	case e.Mount:
		return ErrMount
	case e.Kind != Folder:
		return classify(unix.Unlinkat(d, base, 0))
	case !recursive:
		return classify(unix.Unlinkat(d, base, unix.AT_REMOVEDIR))
	}
	w := walker{ctx: ctx}
	if err := w.folder(d, base, 0); err != nil {
		return err
	}
	w.remove = true
	return w.folder(d, base, 0)
}

// walker goes through a folder twice: to see that nothing is mounted in it, and
// to remove it.
type walker struct {
	ctx    context.Context //nolint:containedctx // a walker lives as long as one call
	remove bool
}

func (w *walker) folder(dir int, base string, depth int) error {
	if depth > maxDepth {
		return ErrDeep
	}
	f, err := openat2(dir, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, inFolder)
	if err != nil {
		return gone(err)
	}
	err = w.content(f, depth)
	if err = errors.Join(err, f.Close()); err != nil || !w.remove {
		return err
	}
	return gone(classify(unix.Unlinkat(dir, base, unix.AT_REMOVEDIR)))
}

// batch is how many names of a folder are held at once.
const batch = 1024

func (w *walker) content(f *os.File, depth int) error {
	for {
		names, err := f.Readdirnames(batch)
		for _, n := range names {
			if w.ctx.Err() != nil {
				return context.Cause(w.ctx)
			}
			if err := w.one(int(f.Fd()), n, depth); err != nil {
				return fmt.Errorf("%q: %w", n, err)
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case w.remove: // what was removed may have moved the reading position
			if _, err := f.Seek(0, io.SeekStart); err != nil {
				return err
			}
		}
	}
}

func (w *walker) one(dir int, name string, depth int) error {
	at, err := openat2(dir, name, unix.O_PATH|unix.O_NOFOLLOW, inFolder)
	if err != nil {
		return gone(err) // ErrMount for what is mounted
	}
	var st unix.Stat_t
	err = unix.Fstat(int(at.Fd()), &st)
	if err = errors.Join(err, at.Close()); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return w.folder(dir, name, depth+1)
	}
	if !w.remove {
		return nil
	}
	return gone(classify(unix.Unlinkat(dir, name, 0)))
}

// gone forgives that somebody else was faster.
func gone(err error) error {
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
