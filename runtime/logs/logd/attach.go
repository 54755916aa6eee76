package logd

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/runtime/logs"
	"github.com/skerryhq/skerry/runtime/logs/internal/wire"
)

const (
	// attachBuffer is what may wait for one attacher in bytes; more and it is cut off.
	attachBuffer = 1 << 20
	// maxReplay bounds the kept output that an attacher can ask for in bytes.
	maxReplay = attachBuffer / 2
	// lastWords is how long an attacher that is cut off may take to read what was waiting.
	lastWords = 10 * time.Second
)

// attacher is one client that sees live output. Putting something into it never blocks.
type attacher struct {
	mu     sync.Mutex
	buf    []byte // frames to send
	ending bool   // buf ends with the last frame
	wake   chan struct{}
	conn   net.Conn
}

func (a *attacher) signal() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// put queues output; false means that the attacher is too slow and must be forgotten.
func (a *attacher) put(t wire.FrameType, data []byte) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer a.signal()
	if len(a.buf)+len(data) > attachBuffer {
		a.endLocked(wire.FrameSlow, "output came faster than it was read")
		return false
	}
	for len(data) > 0 {
		n := min(len(data), wire.MaxFrame)
		a.buf = wire.AppendFrame(a.buf, t, data[:n])
		data = data[n:]
	}
	return true
}

func (a *attacher) end(t wire.FrameType, text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.endLocked(t, text)
	a.signal()
}

func (a *attacher) endLocked(t wire.FrameType, text string) {
	if !a.ending {
		a.buf = wire.AppendFrame(a.buf, t, []byte(text))
		a.ending = true
		_ = a.conn.SetWriteDeadline(time.Now().Add(lastWords)) // a closed connection needs none
	}
}

// note queues a frame that is no output; a full queue swallows it.
func (a *attacher) note(t wire.FrameType, text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.ending && len(a.buf) < attachBuffer {
		a.buf = wire.AppendFrame(a.buf, t, []byte(text))
		a.signal()
	}
}

// cut ends the connection at once.
func (a *attacher) cut() { _ = a.conn.Close() }

// send writes what is queued until the last frame is out, the connection breaks or done is closed.
func (a *attacher) send(done <-chan struct{}) error {
	var spare []byte
	for {
		a.mu.Lock()
		out, last := a.buf, a.ending
		a.buf = spare[:0]
		a.mu.Unlock()
		if len(out) > 0 {
			if _, err := a.conn.Write(out); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
		if spare = out; cap(spare) > wire.MaxFrame {
			spare = nil // a burst must not stay in memory
		}
		select {
		case <-a.wake:
		case <-done:
			return nil
		}
	}
}

// broadcast gives output to every attacher. The caller holds c.mu.
func (c *container) broadcast(name logs.Stream, data []byte) {
	t := wire.FrameStdout
	if name == logs.Stderr {
		t = wire.FrameStderr
	}
	for a := range c.attachers {
		if !a.put(t, data) {
			delete(c.attachers, a)
			c.log.Warn("attacher dropped", "container", c.id, "reason", "slow")
		}
	}
}

// join adds an attacher. What is kept on disk, what waits in the pipes as an unfinished line and what comes live
// reach it in this order, without gap and without repetition.
func (c *container) join(a *attacher, replay int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.journal == nil {
		return fmt.Errorf("attach to %s: %w", c.id, logs.ErrNotOpen)
	}
	if replay > 0 {
		err := logs.TailBytes(c.file.dir, min(replay, maxReplay), func(name logs.Stream, data []byte) {
			t := wire.FrameStdout
			if name == logs.Stderr {
				t = wire.FrameStderr
			}
			a.put(t, data)
		})
		if err != nil {
			return err
		}
		for _, s := range c.streams {
			if s.sent == 0 {
				continue
			}
			pending := make([]byte, s.sent)
			err := s.control(func(fd uintptr) error {
				n, err := c.peeker.peek(fd, pending)
				pending = pending[:n]
				return err
			})
			if err != nil {
				return err
			}
			t := wire.FrameStdout
			if s.name == logs.Stderr {
				t = wire.FrameStderr
			}
			a.put(t, pending)
		}
	}
	c.attachers[a] = struct{}{}
	return nil
}

func (c *container) leave(a *attacher) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.attachers, a)
}

// serveAttach answers the request and then carries frames both ways until one side ends.
func (c *container) serveAttach(conn net.Conn, replay int64) error {
	a := &attacher{wake: make(chan struct{}, 1), conn: conn}
	if err := c.join(a, replay); err != nil {
		return err
	}
	defer c.leave(a)
	if err := wire.WriteJSON(conn, wire.Reply{}); err != nil {
		return nil // it went away
	}
	done := make(chan struct{})
	var sender sync.WaitGroup
	sender.Go(func() {
		_ = a.send(done) // the client is gone or had its last frame; either way this ends
		_ = conn.Close()
	})
	defer sender.Wait()
	defer close(done)
	buf := make([]byte, wire.MaxFrame)
	for {
		t, data, err := wire.ReadFrame(conn, buf)
		if err != nil {
			return nil // detached
		}
		switch t {
		case wire.FrameStdin:
			if err := c.writeStdin(data); err != nil {
				a.note(wire.FrameStdinGone, err.Error())
			}
		case wire.FrameCloseStdin:
			c.closeStdin()
		default:
			return fmt.Errorf("attach to %s: frame of unknown type %d", c.id, t)
		}
	}
}

var errStdinClosed = errors.New("stdin is closed")

// writeStdin blocks while the container does not read, which holds up this attacher only.
func (c *container) writeStdin(data []byte) error {
	c.mu.Lock()
	f := c.stdin
	c.mu.Unlock()
	if f == nil {
		return errStdinClosed
	}
	if _, err := f.Write(data); err != nil {
		if errors.Is(err, os.ErrClosed) || errors.Is(err, io.ErrClosedPipe) {
			return errStdinClosed
		}
		return fmt.Errorf("write stdin: %w", err)
	}
	return nil
}

// closeStdin lets the container see the end of its input. Calling it again does nothing. When the shim has not
// opened its end yet, the input is kept for it and the end follows as soon as it has.
func (c *container) closeStdin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stdin == nil || c.journal == nil {
		return
	}
	// A second, write-only descriptor keeps the pipe and its bytes alive and shows whether anyone reads.
	w, err := os.OpenFile(c.stdin.Name(), os.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		c.log.Warn("stdin closed before it was read", "container", c.id, "err", err)
	}
	c.journal.closed = 1
	_ = c.stdin.Close() // a pipe has nothing to flush
	c.stdin = nil
	if w == nil || c.ending {
		if w != nil {
			_ = w.Close()
		}
		c.keep.remove(c.id, wire.StdinFIFO)
		return
	}
	c.pumps.Go(func() {
		defer c.keep.remove(c.id, wire.StdinFIFO)
		defer w.Close()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for !hasReader(w) {
			select {
			case <-tick.C:
			case <-c.over:
				return
			}
		}
	})
}

// hasReader says whether anyone has the other end of a write-only descriptor open.
func hasReader(w *os.File) bool {
	rc, err := w.SyscallConn()
	if err != nil {
		return true
	}
	reader := true
	err = rc.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		if _, err := unix.Poll(p, 0); err == nil {
			reader = p[0].Revents&unix.POLLERR == 0
		}
	})
	return reader || err != nil
}
