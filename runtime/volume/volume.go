// Package volume owns local directory volumes: folders of one host that outlive
// the containers using them. Volume id lives in ROOT/id/_data; ROOT/.trash holds
// those that were put aside.
//
// It never mounts anything and never follows a link that a container may have
// made: removal and measuring stay inside the volume's own folder. The first
// container's image fills an empty volume (Populate). Called by the agent and by
// runtime/ctrd. A Store is safe for concurrent use; two operations on the same
// volume must not overlap with Remove.
package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrInvalid says that the id cannot name a volume.
var ErrInvalid = errors.New("invalid volume")

// Store is the volumes of one host.
type Store struct{ root string }

// New returns a Store whose volumes live below root (an absolute path).
func New(root string) (*Store, error) {
	if !filepath.IsAbs(root) {
		return nil, fmt.Errorf("volume root %q: must be an absolute path", root)
	}
	return &Store{root: filepath.Clean(root)}, nil
}

const (
	dataDir = "_data"
	maxID   = 128
)

// Path is where the volume's content lives, whether it exists or not.
// Errors: ErrInvalid.
func (s *Store) Path(id string) (string, error) {
	if id == "" || len(id) > maxID || strings.HasPrefix(id, ".") {
		return "", fmt.Errorf("volume id %q: must have 1 to %d characters and not begin with a dot: %w", clip(id), maxID, ErrInvalid)
	}
	for _, c := range []byte(id) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return "", fmt.Errorf("volume id %q: character %q is not allowed: use letters, digits and . _ -: %w", clip(id), string(c), ErrInvalid)
		}
	}
	return filepath.Join(s.root, id, dataDir), nil
}

// Ensure makes the volume if it is not there and returns the path of its content.
func (s *Store) Ensure(id string) (string, error) {
	p, err := s.Path(id)
	if err != nil {
		return "", err
	}
	// Only root may pass the outer folder; the inner one is the container's business.
	if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
		return "", fmt.Errorf("make volume %s: %w", id, err)
	}
	if err := os.Mkdir(p, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make volume %s: %w", id, err)
	}
	fi, err := os.Lstat(p)
	if err != nil {
		return "", fmt.Errorf("make volume %s: %w", id, err)
	}
	if !fi.IsDir() {
		return "", fmt.Errorf("volume %s: %s is not a directory: %w", id, p, ErrInvalid)
	}
	return p, nil
}

// Remove deletes the volume and everything in it. One that is not there is no error.
func (s *Store) Remove(id string) error {
	p, err := s.Path(id)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Dir(p)); err != nil {
		return fmt.Errorf("remove volume %s: %w", id, err)
	}
	return nil
}

// trashDir holds what Discard put aside, below the root.
const trashDir = ".trash"

// Discard puts the volume aside, out of reach of Ensure and List, and returns
// the folder where its content now lives until somebody deletes it by hand. One
// that is not there is no error and gives an empty path.
func (s *Store) Discard(id string) (string, error) {
	p, err := s.Path(id)
	if err != nil {
		return "", err
	}
	if _, err := os.Lstat(filepath.Dir(p)); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	trash := filepath.Join(s.root, trashDir)
	if err := os.MkdirAll(trash, 0o700); err != nil {
		return "", fmt.Errorf("put volume %s aside: %w", id, err)
	}
	to := filepath.Join(trash, id)
	for i := 1; ; i++ { // what lies there already is kept as well
		if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return "", fmt.Errorf("put volume %s aside: %w", id, err)
		}
		to = filepath.Join(trash, fmt.Sprintf("%s.%d", id, i))
	}
	if err := os.Rename(filepath.Dir(p), to); err != nil {
		return "", fmt.Errorf("put volume %s aside: %w", id, err)
	}
	return to, nil
}

// List returns the ids of the volumes on this host.
func (s *Store) List() ([]string, error) {
	entries, err := os.ReadDir(s.root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list volumes: %w", err)
	}
	var out []string
	for _, e := range entries {
		if _, err := s.Path(e.Name()); err == nil && e.IsDir() {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

// Use is what a volume takes on its disk.
type Use struct {
	// Bytes are allocated blocks; a file with several names counts once.
	Bytes int64
	Files int64
}

// Usage measures the volume. Files that vanish meanwhile are left out.
// Errors: fs.ErrNotExist when there is no such volume.
func (s *Store) Usage(ctx context.Context, id string) (Use, error) {
	p, err := s.Path(id)
	if err != nil {
		return Use{}, err
	}
	if _, err := os.Lstat(p); err != nil {
		return Use{}, fmt.Errorf("measure volume %s: %w", id, err)
	}
	var u Use
	seen := map[uint64]bool{}
	err = filepath.WalkDir(p, func(_ string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		fi, err := d.Info()
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		st, ok := fi.Sys().(*syscall.Stat_t)
		if !ok {
			return nil
		}
		if st.Nlink > 1 && !fi.IsDir() {
			if seen[st.Ino] {
				return nil
			}
			seen[st.Ino] = true
		}
		u.Bytes += st.Blocks * 512
		u.Files++
		return nil
	})
	if err != nil {
		return Use{}, fmt.Errorf("measure volume %s: %w", id, err)
	}
	u.Files-- // the volume's own folder
	return u, nil
}

// Empty reports whether dir holds nothing.
func Empty(dir string) (bool, error) {
	f, err := os.Open(dir)
	if err != nil {
		return false, fmt.Errorf("look into the volume: %w", err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return false, fmt.Errorf("look into the volume: %w", err)
	}
	if !fi.IsDir() {
		return false, nil
	}
	names, err := f.Readdirnames(1)
	return err != nil && len(names) == 0, nil
}

// Populate copies everything in src (an open directory, for instance of an
// image) into the empty directory dst, keeping owners, modes, times, links and
// extended attributes, and gives dst the owner and mode of src. The copy is made
// beside dst and put in its place at once, so an interrupted one leaves dst empty.
func Populate(dst string, src *os.File) error {
	tmp := filepath.Join(filepath.Dir(dst), ".populate")
	if err := os.RemoveAll(tmp); err != nil {
		return fmt.Errorf("fill the volume: %w", err)
	}
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return fmt.Errorf("fill the volume: %w", err)
	}
	to, err := os.Open(tmp)
	if err != nil {
		return fmt.Errorf("fill the volume: %w", err)
	}
	defer to.Close()
	c := copier{links: map[inode]string{}, root: to}
	if err := c.dir(src, to, ""); err != nil {
		return errors.Join(fmt.Errorf("fill the volume: %w", err), os.RemoveAll(tmp))
	}
	// Replacing an empty directory is atomic; one that has been filled meanwhile refuses.
	if err := unix.Rename(tmp, dst); err != nil {
		return errors.Join(fmt.Errorf("fill the volume: %w", err), os.RemoveAll(tmp))
	}
	return nil
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}
