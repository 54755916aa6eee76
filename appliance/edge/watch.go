package edge

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// watch tells when a file is moved into a folder. The file system tells it, so nothing is polled, and a daemon that
// dies right after writing is no matter.
type watch struct{ file *os.File }

func newWatch(dir string) (*watch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", dir, err)
	}
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_MOVED_TO|unix.IN_ONLYDIR); err != nil {
		return nil, errors.Join(fmt.Errorf("watch %s: %w", dir, err), unix.Close(fd))
	}
	return &watch{file: os.NewFile(uintptr(fd), "inotify")}, nil // non-blocking: Close wakes a Read
}

// Close ends a watch that is not run.
func (w *watch) Close() error { return w.file.Close() }

// Run calls changed after every change, several changes at once being one, until ctx ends, which is no error.
func (w *watch) Run(ctx context.Context, changed func()) error {
	stop := context.AfterFunc(ctx, func() { w.file.Close() })
	defer stop()
	events := make([]byte, 4096)
	for {
		if _, err := w.file.Read(events); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("watch for snapshots: %w", err)
		}
		changed()
	}
}
