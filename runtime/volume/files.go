package volume

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/runtime/filetree"
)

// Files runs do on the volume's content. With create the volume is made first
// if it is not there; without, that is fs.ErrNotExist. Nothing outside of the
// volume can be reached, whatever a container has put into it. Errors:
// ErrInvalid, fs.ErrNotExist, and those of do.
func (s *Store) Files(id string, create bool, do func(filetree.Tree) error) error {
	p, err := s.Path(id)
	if err == nil && create {
		p, err = s.Ensure(id)
	}
	if err != nil {
		return err
	}
	fd, err := unix.Open(p, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open volume %s: %w", id, err)
	}
	defer unix.Close(fd)
	if err := do(filetree.At(fd)); err != nil {
		return fmt.Errorf("files of volume %s: %w", id, err)
	}
	return nil
}
