package logd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/runtime/logs"
)

// logFile is the row of numbered files of one container; the highest number is written. Numbers only grow, so a
// crash in the middle of a rotation leaves nothing to repair. It is guarded by its container's lock.
type logFile struct {
	dir      string
	maxBytes int64
	maxFiles int
	f        *os.File // nil when the disk refused to make it; append tries again
	seq      uint64
	size     int64
}

// openLogFile opens the newest file of dir to go on with it.
func openLogFile(dir string, maxBytes int64, maxFiles int) (*logFile, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make log folder: %w", err)
	}
	l := &logFile{dir: dir, maxBytes: maxBytes, maxFiles: maxFiles}
	seqs, err := logs.Sequence(dir)
	if err != nil {
		return nil, err
	}
	if len(seqs) > 0 {
		l.seq = seqs[len(seqs)-1]
	}
	if err := l.open(); err != nil && !isDiskRefusal(err) {
		return nil, err
	}
	return l, nil
}

// open opens file number seq and finds its end.
func (l *logFile) open() error {
	f, err := os.OpenFile(filepath.Join(l.dir, logs.FileName(l.seq)), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("open log file: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("stat log file: %w", err), f.Close())
	}
	l.f, l.size = f, info.Size()
	return nil
}

// mend cuts away what follows the last newline: a host that lost power may leave half a record.
func (l *logFile) mend() error {
	if l.f == nil || l.size == 0 {
		return nil
	}
	buf := make([]byte, min(l.size, 2*(logs.MaxLine+128)))
	if _, err := l.f.ReadAt(buf, l.size-int64(len(buf))); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read end of log file: %w", err)
	}
	keep := bytes.LastIndexByte(buf, '\n') + 1
	return l.truncate(l.size - int64(len(buf)-keep))
}

func (l *logFile) truncate(size int64) error {
	if size == l.size {
		return nil
	}
	if err := l.f.Truncate(size); err != nil {
		return fmt.Errorf("cut log file back to %d bytes: %w", size, err)
	}
	l.size = size
	return nil
}

// makeRoom rotates when n more bytes would make the file too long. Old files go first, so that the space of one
// is there for the next.
func (l *logFile) makeRoom(n int) error {
	if l.f != nil && (l.size == 0 || l.size+int64(n) <= l.maxBytes) {
		return nil
	}
	if l.f != nil {
		seqs, err := logs.Sequence(l.dir)
		if err != nil {
			return err
		}
		for len(seqs) >= l.maxFiles {
			if err := os.Remove(filepath.Join(l.dir, logs.FileName(seqs[0]))); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("remove old log file: %w", err)
			}
			seqs = seqs[1:]
		}
		err = l.f.Close()
		l.f = nil
		l.seq++
		if err != nil {
			return fmt.Errorf("close log file: %w", err)
		}
	}
	if err := os.MkdirAll(l.dir, 0o700); err != nil { // someone may have removed it
		return fmt.Errorf("make log folder: %w", err)
	}
	return l.open()
}

// write puts records behind what is there. After an error nothing of them remains.
func (l *logFile) write(records []byte) error {
	_, err := l.f.WriteAt(records, l.size)
	if err == nil {
		l.size += int64(len(records))
		return nil
	}
	// A full disk takes the beginning first, and the count that comes with the error does not include it.
	if cutErr := l.f.Truncate(l.size); cutErr != nil {
		return errors.Join(err, cutErr)
	}
	return fmt.Errorf("write log file: %w", err)
}

func (l *logFile) close() error {
	if l.f == nil {
		return nil
	}
	return l.f.Close()
}

// isDiskRefusal says whether the disk, not this program, is the reason.
func isDiskRefusal(err error) bool {
	for _, e := range []error{unix.ENOSPC, unix.EDQUOT, unix.EIO, unix.EROFS} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// reason is the short text for a marker record.
func reason(err error) string {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return "the log file could not be written"
}
