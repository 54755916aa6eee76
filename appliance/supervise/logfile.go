package supervise

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// trim bounds a log file that others append to: when it is longer than most bytes, it becomes path.1 and begins
// again. Its writers hold it open in append mode and outlive their parent, so it is copied and emptied rather than
// renamed; a line written in the instant between is lost.
func trim(path string, most int64) (err error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() <= most {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stat log: %w", err)
	}
	in, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	defer in.Close()
	// What matters most is that the disk is bounded: of a file that grew far too long only the end is kept.
	if skip := info.Size() - 2*most; skip > 0 {
		if _, err := in.Seek(skip, io.SeekStart); err != nil {
			return fmt.Errorf("skip in log: %w", err)
		}
	}
	out, err := os.OpenFile(path+".1", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err == nil {
		_, err = io.Copy(out, in)
		err = errors.Join(err, out.Close())
	}
	// Emptied even when the copy failed: a full disk is the likely reason.
	return errors.Join(err, in.Truncate(0))
}
