package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/runtime/logs/internal/wire"
)

// Errors that callers tell apart with errors.Is.
var (
	ErrNotFound   = errors.New("the container has no log")
	ErrNotOpen    = errors.New("the container's log is not open")
	ErrInvalid    = errors.New("invalid log request")
	ErrDaemonGone = errors.New("the log daemon is not running") // it is restarted by its parent; try again
	ErrSlow       = errors.New("output came faster than it was read")
	ErrNoStdin    = errors.New("stdin is closed")
)

// Defaults of OpenOptions.
const (
	DefaultMaxBytes = 10 << 20
	DefaultMaxFiles = 3
)

// patience is how long a request waits for a daemon that is being restarted.
const patience = 5 * time.Second

// Client talks to the log daemon of one run dir and reads the files of one data dir.
type Client struct {
	layout wire.Layout
	watch  watcher
}

// NewClient takes the folders that the daemon was started with, as absolute paths. It connects to nothing.
func NewClient(runDir, dataDir string) *Client {
	return &Client{layout: wire.Layout{RunDir: runDir, DataDir: dataDir}}
}

// OpenOptions say how a container's log is kept.
type OpenOptions struct {
	TTY      bool  // one raw stream, kept as it comes
	Stdin    bool  // make a pipe for input
	MaxBytes int64 // of one file; 0 means DefaultMaxBytes; at least 65536
	MaxFiles int   // including the one being written; 0 means DefaultMaxFiles
}

// Pipes are the paths for containerd's task I/O; one that does not exist is empty.
type Pipes struct{ Stdin, Stdout, Stderr string }

// PipesOf names the pipes that Open makes, without looking.
func (c *Client) PipesOf(id string, o OpenOptions) Pipes {
	dir := c.layout.Pipe(id)
	p := Pipes{Stdout: filepath.Join(dir, wire.StdoutFIFO)}
	if !o.TTY {
		p.Stderr = filepath.Join(dir, wire.StderrFIFO)
	}
	if o.Stdin {
		p.Stdin = filepath.Join(dir, wire.StdinFIFO)
	}
	return p
}

// Open makes the pipes of a container and begins to keep what comes through them. It must be done before the task
// is created: the shim waits for somebody to open the other ends. Opening an open log with the same options does
// nothing; with other options it is ErrInvalid. Otherwise: ErrDaemonGone, or what the disk said.
func (c *Client) Open(ctx context.Context, id string, o OpenOptions) (Pipes, error) {
	meta := &wire.Meta{TTY: o.TTY, Stdin: o.Stdin, MaxBytes: o.MaxBytes, MaxFiles: o.MaxFiles}
	if meta.MaxBytes == 0 {
		meta.MaxBytes = DefaultMaxBytes
	}
	if meta.MaxFiles == 0 {
		meta.MaxFiles = DefaultMaxFiles
	}
	if _, err := c.do(ctx, wire.Request{Op: wire.OpOpen, ID: id, Meta: meta}); err != nil {
		return Pipes{}, err
	}
	return c.PipesOf(id, o), nil
}

// Close takes what is still in the pipes, ends followers and attachers and forgets the pipes. Call it when the task
// is over and before the container's next one. Closing a log that is not open does nothing.
func (c *Client) Close(ctx context.Context, id string) error {
	_, err := c.do(ctx, wire.Request{Op: wire.OpClose, ID: id})
	return err
}

// Remove closes the log and deletes its files. Removing an unknown log does nothing.
func (c *Client) Remove(ctx context.Context, id string) error {
	_, err := c.do(ctx, wire.Request{Op: wire.OpRemove, ID: id})
	return err
}

// CloseStdin lets the container see the end of its input; what was written before still arrives. ErrNotOpen when
// the log is not open; again, or without stdin, it does nothing.
func (c *Client) CloseStdin(ctx context.Context, id string) error {
	_, err := c.do(ctx, wire.Request{Op: wire.OpCloseStdin, ID: id})
	return err
}

// Status of the daemon and its open logs.
type Status = wire.Status

// LogStatus is one open log.
type LogStatus = wire.LogStatus

// Status asks the daemon for its open logs, sorted by id.
func (c *Client) Status(ctx context.Context) (Status, error) {
	reply, err := c.do(ctx, wire.Request{Op: wire.OpStatus})
	if err != nil {
		return Status{}, err
	}
	if reply.Status == nil {
		return Status{}, errors.New("ask log daemon for its status: the reply has none")
	}
	return *reply.Status, nil
}

// do sends one request. All that go through it may safely be sent twice, so a daemon that was killed in the middle
// is asked again.
func (c *Client) do(ctx context.Context, req wire.Request) (wire.Reply, error) {
	deadline := time.Now().Add(patience)
	for {
		conn, err := c.dial(ctx, deadline)
		if err != nil {
			return wire.Reply{}, err
		}
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
		reply, err := exchange(conn, req)
		stop()
		_ = conn.Close()
		switch {
		case err == nil:
			return reply, replyError(reply)
		case ctx.Err() != nil:
			return wire.Reply{}, context.Cause(ctx)
		case !isGone(err) || time.Now().After(deadline):
			return wire.Reply{}, fmt.Errorf("ask log daemon to %s %s: %w", req.Op, req.ID, err)
		}
	}
}

func exchange(conn net.Conn, req wire.Request) (wire.Reply, error) {
	var reply wire.Reply
	if err := wire.WriteJSON(conn, req); err != nil {
		return reply, err
	}
	return reply, wire.ReadJSON(conn, &reply)
}

// dial waits until the deadline for a daemon that is not there.
func (c *Client) dial(ctx context.Context, deadline time.Time) (*net.UnixConn, error) {
	for {
		conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: c.layout.Socket(), Net: "unix"})
		if err == nil {
			return conn, nil
		}
		if !isGone(err) {
			return nil, fmt.Errorf("connect to log daemon: %w", err)
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("connect to %s: %w", c.layout.Socket(), ErrDaemonGone)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// isGone says whether the other side is away and may come back.
func isGone(err error) bool {
	for _, e := range []error{unix.ENOENT, unix.ECONNREFUSED, unix.ECONNRESET, unix.EPIPE, unix.EAGAIN, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func replyError(r wire.Reply) error {
	switch r.Kind {
	case wire.KindNone:
		return nil
	case wire.KindInvalid:
		return fmt.Errorf("%w: %s", ErrInvalid, r.Error)
	case wire.KindNotOpen:
		return ErrNotOpen
	default:
		return errors.New("log daemon: " + r.Error)
	}
}
