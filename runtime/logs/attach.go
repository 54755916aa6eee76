package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skerryhq/skerry/runtime/logs/internal/wire"
)

// AttachOptions choose what an attacher sees first.
type AttachOptions struct {
	Replay int64 // so many bytes of kept output, whole lines, at most 512 KiB; 0: only what comes
}

// Attachment is one live connection to a container. Recv may be called by one goroutine at a time, the other
// methods by any.
type Attachment struct {
	conn net.Conn
	stop func() bool
	ctx  context.Context //nolint:containedctx // only its cause is read: it owns the connection's life
	buf  []byte

	noStdin atomic.Bool // the daemon said so
	mu      sync.Mutex  // one frame is written at a time
}

// Attach connects to an open log: raw output as it comes and a way to the container's stdin. The attachment ends
// with ctx. ErrNotOpen when the container does not run; ErrDaemonGone as for the other requests.
func (c *Client) Attach(ctx context.Context, id string, o AttachOptions) (*Attachment, error) {
	if err := wire.CheckID(id); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	deadline := time.Now().Add(patience)
	for {
		conn, err := c.dial(ctx, deadline)
		if err != nil {
			return nil, err
		}
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
		reply, err := exchange(conn, wire.Request{Op: wire.OpAttach, ID: id, Replay: o.Replay})
		if err == nil {
			err = replyError(reply)
		}
		if err == nil {
			return &Attachment{conn: conn, stop: stop, ctx: ctx, buf: make([]byte, wire.MaxFrame)}, nil
		}
		stop()
		_ = conn.Close()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if !isGone(err) || time.Now().After(deadline) {
			return nil, fmt.Errorf("attach to %s: %w", id, err)
		}
	}
}

// Recv returns the next piece of output; data is valid until the next call. The end is io.EOF when the log was
// closed, ErrSlow when this side read too slowly, ErrDaemonGone when the daemon went away (attach again), or the
// context's cause.
func (a *Attachment) Recv() (s Stream, data []byte, err error) {
	for {
		t, data, err := wire.ReadFrame(a.conn, a.buf)
		if err != nil {
			if a.ctx.Err() != nil {
				return 0, nil, context.Cause(a.ctx)
			}
			if errors.Is(err, net.ErrClosed) {
				return 0, nil, err
			}
			return 0, nil, fmt.Errorf("receive output: %w", ErrDaemonGone)
		}
		switch t {
		case wire.FrameStdout:
			return Stdout, data, nil
		case wire.FrameStderr:
			return Stderr, data, nil
		case wire.FrameClosed:
			return 0, nil, io.EOF
		case wire.FrameSlow:
			return 0, nil, ErrSlow
		case wire.FrameStdinGone:
			a.noStdin.Store(true)
		default: // a newer daemon's; it can be done without
		}
	}
}

// Copy writes output to the two writers until the end and returns nil for io.EOF. A nil writer discards.
func (a *Attachment) Copy(stdout, stderr io.Writer) error {
	for {
		s, data, err := a.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		w := stdout
		if s == Stderr {
			w = stderr
		}
		if w == nil {
			continue
		}
		if _, err := w.Write(data); err != nil {
			return fmt.Errorf("pass output on: %w", err)
		}
	}
}

// Write sends input to the container. It waits while the container reads slowly. ErrNoStdin when stdin is closed
// or was never opened, as far as Recv has heard of it.
func (a *Attachment) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	sent := 0
	for sent < len(p) {
		if a.noStdin.Load() {
			return sent, ErrNoStdin
		}
		n := min(len(p)-sent, wire.MaxFrame)
		if _, err := a.conn.Write(wire.AppendFrame(nil, wire.FrameStdin, p[sent:sent+n])); err != nil {
			if a.ctx.Err() != nil {
				return sent, context.Cause(a.ctx)
			}
			return sent, fmt.Errorf("send input: %w", ErrDaemonGone)
		}
		sent += n
	}
	return sent, nil
}

// CloseStdin ends the container's input after what was written. Doing it again does nothing.
func (a *Attachment) CloseStdin() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, err := a.conn.Write(wire.AppendFrame(nil, wire.FrameCloseStdin, nil)); err != nil {
		return fmt.Errorf("close stdin: %w", ErrDaemonGone)
	}
	return nil
}

// Close detaches; the container goes on.
func (a *Attachment) Close() error {
	a.stop()
	return a.conn.Close()
}
