package logs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// block is how much is read at once, in bytes. A record is much shorter.
const block = 64 << 10

// place is a position in a row of log files.
type place struct {
	seq uint64
	off int64
}

// cursor reads whole lines of one file forward. A line whose newline is not there yet is not taken: it may still
// be cut back and written anew.
type cursor struct {
	f          *os.File
	off        int64 // of buf[end] in the file
	buf        []byte
	start, end int
}

func openCursor(dir string, at place, buf []byte) (*cursor, error) {
	f, err := os.Open(filepath.Join(dir, FileName(at.seq)))
	if err != nil {
		return nil, fmt.Errorf("open log file: %w", err)
	}
	return &cursor{f: f, off: at.off, buf: buf}, nil
}

// next returns the next line without its newline, or false when there is no whole line yet.
func (c *cursor) next() ([]byte, bool, error) {
	for {
		if i := bytes.IndexByte(c.buf[c.start:c.end], '\n'); i >= 0 {
			line := c.buf[c.start : c.start+i]
			c.start += i + 1
			return line, true, nil
		}
		if c.start > 0 {
			c.end = copy(c.buf, c.buf[c.start:c.end])
			c.start = 0
		}
		if c.end == len(c.buf) {
			c.end = 0 // no record is that long: skip what is no record
		}
		n, err := c.f.ReadAt(c.buf[c.end:], c.off)
		c.end += n
		c.off += int64(n)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, false, fmt.Errorf("read log file: %w", err)
		}
		if n == 0 {
			c.off -= int64(c.end)
			c.end = 0
			return nil, false, nil
		}
	}
}

func (c *cursor) close() error { return c.f.Close() }

// backward gives the whole lines of r from the last to the first, each with its offset, until each returns false.
func backward(r io.ReaderAt, size int64, each func(off int64, line []byte) (more bool)) error {
	var carry []byte // beginning of a line whose rest came before
	pos, whole := size, false
	for pos > 0 {
		n := min(int64(block), pos)
		pos -= n
		data := make([]byte, n, int(n)+len(carry))
		if _, err := r.ReadAt(data, pos); err != nil {
			if errors.Is(err, io.EOF) {
				return nil // cut back while being read: the caller sees fewer lines
			}
			return fmt.Errorf("read log file: %w", err)
		}
		data = append(data, carry...)
		if !whole {
			data = data[:bytes.LastIndexByte(data, '\n')+1] // what follows is not a line yet
			whole = len(data) > 0
		}
		for len(data) > 0 {
			begin := bytes.LastIndexByte(data[:len(data)-1], '\n') + 1
			if begin == 0 && pos > 0 {
				break
			}
			if !each(pos+int64(begin), data[begin:len(data)-1]) {
				return nil
			}
			data = data[:begin]
		}
		carry = data
	}
	return nil
}

// locate walks back from the newest record while want accepts, and returns the place of the oldest it accepted, or
// the end when it accepted none. A file that rotates away meanwhile ends the walk.
func locate(dir string, want func(recordHead) bool) (place, error) {
	seqs, err := Sequence(dir)
	if err != nil || len(seqs) == 0 {
		return place{}, err
	}
	at, stopped := place{seq: seqs[len(seqs)-1]}, false
	for i := len(seqs) - 1; i >= 0 && !stopped; i-- {
		f, err := os.Open(filepath.Join(dir, FileName(seqs[i])))
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return place{}, fmt.Errorf("open log file: %w", err)
		}
		info, err := f.Stat()
		if err == nil {
			if i == len(seqs)-1 {
				at.off = info.Size()
			}
			err = backward(f, info.Size(), func(off int64, line []byte) bool {
				h, err := parseHead(line)
				if err != nil {
					return true // damaged: not ours to count
				}
				if stopped = !want(h); !stopped {
					at = place{seq: seqs[i], off: off}
				}
				return !stopped
			})
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return place{}, err
		}
	}
	return at, nil
}

// TailBytes gives the raw output at the end of the kept log, at most n bytes and whole records only, oldest first.
// data is valid during the call. The caller makes sure that nothing is written meanwhile.
func TailBytes(dir string, n int64, each func(s Stream, data []byte)) error {
	at, err := locate(dir, func(h recordHead) bool {
		n -= int64(len(h.text)) + 1
		return n >= 0
	})
	if err != nil {
		return err
	}
	seqs, err := Sequence(dir)
	if err != nil {
		return err
	}
	buf := make([]byte, block)
	for _, seq := range seqs {
		if seq < at.seq {
			continue
		}
		if seq > at.seq {
			at = place{seq: seq}
		}
		if err := tailFile(dir, at, buf, each); err != nil {
			return err
		}
	}
	return nil
}

func tailFile(dir string, at place, buf []byte, each func(s Stream, data []byte)) error {
	c, err := openCursor(dir, at, buf)
	if err != nil {
		return err
	}
	defer func() { _ = c.close() }()
	for {
		line, ok, err := c.next()
		if err != nil || !ok {
			return err
		}
		h, err := parseHead(line)
		if err != nil || h.tag == tagLost {
			continue
		}
		data := h.text
		if h.tag == tagFull {
			data = append(bytes.Clone(data), '\n')
		}
		each(h.stream, data)
	}
}
