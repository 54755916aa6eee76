package logd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/skerryhq/skerry/runtime/logs"
)

const (
	// pace is the pause after a small batch. It bounds the work that a container writing line by line can cause and
	// is far too short for its pipe to fill.
	pace = 10 * time.Millisecond
	// lookAgain is how often a pipe with an unfinished line is looked at without being told to: some kernels wake an
	// edge-triggered poller only when the pipe was empty before.
	lookAgain = 2 * time.Second
	// afterError is the pause before a stream that failed is tried again.
	afterError = time.Second
)

// buffers are borrowed for a batch only, so that an idle stream costs a goroutine and nothing more.
type buffers struct {
	raw     [peekSize]byte
	records []byte
}

var bufferPool = sync.Pool{New: func() any { return &buffers{records: make([]byte, 0, peekSize)} }}

// stream moves one FIFO into its container's log.
type stream struct {
	name logs.Stream
	f    *os.File
	rc   syscall.RawConn
	c    *container

	closing chan struct{} // closed: take what is in the pipe now and end

	// Only the pump's goroutine, or recovery before it starts, uses these.
	held int // bytes at the pipe's head known to be an unfinished line

	sent int // bytes at the pipe's head that attachers already have; guarded by c.mu
}

func newStream(c *container, name logs.Stream, path string) (*stream, error) {
	f, err := openFIFO(path)
	if err != nil {
		return nil, err
	}
	rc, err := f.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("poll pipe %s: %w", path, err), f.Close())
	}
	s := &stream{name: name, f: f, rc: rc, c: c, closing: make(chan struct{})}
	if err := s.control(growPipe); err != nil {
		c.log.Warn("pipe stays small", "container", c.id, "stream", name.String(), "err", err)
	}
	return s, nil
}

// control runs fn with the descriptor.
func (s *stream) control(fn func(fd uintptr) error) error {
	var inner error
	if err := s.rc.Control(func(fd uintptr) { inner = fn(fd) }); err != nil {
		return err
	}
	return inner
}

// pump runs until the stream is closing or the daemon lets go of the log.
func (s *stream) pump() {
	for {
		err := s.wait()
		if s.c.letting.Load() { // its file is closed, whatever the error says
			return
		}
		closing := isClosed(s.closing)
		var moved int
		if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			moved, err = s.move(closing)
		}
		if s.c.letting.Load() {
			return
		}
		pause := time.Duration(0)
		switch {
		case err != nil:
			s.c.log.Error("stream cannot be read", "container", s.c.id, "stream", s.name.String(), "err", err)
			pause = afterError
		case moved < peekSize/2:
			pause = pace
		}
		if closing {
			return
		}
		if pause > 0 {
			select {
			case <-s.c.over:
			case <-time.After(pause):
			}
		}
	}
}

// wait blocks until the pipe holds more than the known unfinished line, or closing, or it is time to look again.
func (s *stream) wait() error {
	deadline := time.Time{}
	if s.held > 0 {
		deadline = time.Now().Add(lookAgain)
	}
	if isClosed(s.closing) {
		return nil
	}
	if err := s.f.SetReadDeadline(deadline); err != nil {
		return err
	}
	if isClosed(s.closing) { // close sets its own deadline after closing the channel; do not overwrite that
		return nil
	}
	var inner error
	err := s.rc.Read(func(fd uintptr) bool {
		n, err := available(fd)
		inner = err
		return err != nil || n > s.held
	})
	return errors.Join(err, inner)
}

// close makes the pump end after what is in the pipe.
func (s *stream) close() {
	close(s.closing)
	_ = s.f.SetReadDeadline(time.Unix(1, 0)) // wakes the pump; a file that is closed already has no pump to wake
}

// move takes what is there, batch by batch, and returns how many raw bytes that were. When closing it takes the
// unfinished line too, but not more than was there at the start: a writer that goes on must not keep it for ever.
func (s *stream) move(closing bool) (moved int, err error) {
	err = s.control(func(fd uintptr) error {
		there, err := available(fd)
		if err != nil {
			return err
		}
		for !closing || moved < there {
			n, err := s.batch(fd, false)
			moved += n
			if err != nil {
				return err
			}
			if n == 0 {
				break
			}
			if !closing && isClosed(s.c.over) {
				return nil // the next turn ends it
			}
		}
		if closing {
			n, err := s.batch(fd, true)
			moved += n
			return err
		}
		return nil
	})
	return moved, err
}

// batch moves one batch from the pipe to the file and to the attachers and returns its raw bytes; 0 means that
// there is nothing but the beginning of a line.
func (s *stream) batch(fd uintptr, flush bool) (int, error) {
	b := bufferPool.Get().(*buffers)
	defer bufferPool.Put(b)
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()

	n, err := c.peeker.peek(fd, b.raw[:])
	if err != nil || n == 0 {
		s.held, s.sent = 0, 0
		return 0, err
	}
	raw := b.raw[:n]
	if n > s.sent {
		c.broadcast(s.name, raw[s.sent:])
		s.sent = n
	}
	c.stamps.Set(time.Now().UnixNano())
	records := b.records[:0]
	clears := c.journal.lost[s.name] > 0
	if clears {
		records = logs.AppendLost(records, &c.stamps, s.name, c.journal.lost[s.name], c.lostWhy)
	}
	marker := len(records)
	records, used := cut(records, &c.stamps, s.name, raw, flush || c.meta.TTY, c.batchLimit())
	if used == 0 && full(fd) {
		// Many tiny pieces can fill a pipe with less than a line's worth of bytes; the container must not block.
		records, used = cut(records[:marker], &c.stamps, s.name, raw, true, c.batchLimit())
	}
	if cap(records) <= 2*batchOut {
		b.records = records
	}
	if used == 0 {
		s.held = n
		return 0, nil
	}
	s.held = 0
	s.sent -= used
	c.taken += int64(used)
	return used, c.commit(s, fd, raw[:used], records, clears)
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// commit writes the records of raw and only then takes raw from the pipe. When the disk refuses, raw is dropped
// and counted instead. The caller holds c.mu. raw is overwritten.
func (c *container) commit(s *stream, fd uintptr, raw, records []byte, clears bool) error {
	err := c.file.makeRoom(len(records))
	if err == nil {
		c.journal.begin(s.name, raw, c.file.seq, c.file.size, len(records), clears)
		err = c.file.write(records)
	}
	if err != nil {
		c.journal.clears = 0
		c.journal.lost[s.name] += int64(len(raw))
		c.journal.step.Store(stepIdle)
		c.lost += int64(len(raw))
		c.lostWhy = reason(err)
		if c.lastErr == "" {
			c.log.LogAttrs(context.Background(), slog.LevelError, "output is dropped", slog.String("container", c.id), slog.Any("err", err))
		}
		c.lastErr = err.Error()
		var last byte
		return consume(fd, raw, &last)
	}
	if c.lastErr != "" {
		c.log.LogAttrs(context.Background(), slog.LevelInfo, "output is kept again", slog.String("container", c.id), slog.Int64("lost_bytes", c.lost))
		c.lastErr = ""
	}
	c.journal.step.Store(stepConsume)
	err = consume(fd, raw, &c.journal.mark)
	c.journal.done()
	return err
}
