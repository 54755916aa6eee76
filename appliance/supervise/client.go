package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNoParent means that no process parent serves the run dir.
var ErrNoParent = errors.New("no process parent is running")

// Config is the daemon's side.
type Config struct {
	RunDir, DataDir string // absolute
	// Argv starts a process parent in the foreground; empty: Binary with "supervise" and the two folders.
	Argv   []string
	Binary string // absolute path of skerry-nodeproc; used when Argv is empty
}

// startPatience is how long a new parent may take until it answers.
const startPatience = 10 * time.Second

// Client talks to the parent of one run dir.
type Client struct{ layout layout }

// Connect returns the living parent of the run dir, or ErrNoParent.
func Connect(ctx context.Context, runDir, dataDir string) (*Client, error) {
	c := &Client{layout: layout{runDir: runDir, dataDir: dataDir}}
	if err := c.layout.check(); err != nil {
		return nil, err
	}
	if _, err := c.Status(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// Ensure returns the living parent of the run dir, or starts one, detached from this process, which then adopts
// whatever an earlier one left running. Calling it again is free; two callers at once get the same parent.
func Ensure(ctx context.Context, cfg Config) (*Client, error) {
	c, err := Connect(ctx, cfg.RunDir, cfg.DataDir)
	if !errors.Is(err, ErrNoParent) {
		return c, err
	}
	c = &Client{layout: layout{runDir: cfg.RunDir, dataDir: cfg.DataDir}}
	if err := c.layout.make(); err != nil {
		return nil, err
	}
	started, ended, err := c.launch(cfg)
	if err != nil {
		return nil, err
	}
	mine := false
	defer func() {
		if !mine { // another caller's was first, or ours is no use: it must not come up later by itself
			_ = started.Kill()
			<-ended //nolint:errcheck // it was killed: how it ended says nothing
		}
	}()
	deadline := time.NewTimer(startPatience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		st, err := c.Status(ctx)
		if !errors.Is(err, ErrNoParent) {
			mine = err == nil && st.PID == started.Pid
			return c, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case err := <-ended:
			ended <- err // for the deferred
			if _, again := c.Status(ctx); again == nil {
				return c, nil
			}
			return nil, fmt.Errorf("start process parent: it ended: %w; see %s", err, c.layout.log("supervise"))
		case <-deadline.C:
			return nil, fmt.Errorf("start process parent: no answer on %s after %s; see %s", c.layout.socket(), startPatience, c.layout.log("supervise"))
		case <-tick.C:
		}
	}
}

// launch starts a parent in its own session. The channel tells if it ends while this process lives.
func (c *Client) launch(cfg Config) (*os.Process, chan error, error) {
	argv := cfg.Argv
	if len(argv) == 0 {
		argv = []string{cfg.Binary, "supervise", "--run-dir", cfg.RunDir, "--data-dir", cfg.DataDir}
	}
	if !filepath.IsAbs(argv[0]) {
		return nil, nil, fmt.Errorf("start process parent: program %q must be an absolute path", argv[0])
	}
	out, err := os.OpenFile(c.layout.log("supervise"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("start process parent: %w", err)
	}
	defer out.Close()
	cmd := &exec.Cmd{Path: argv[0], Args: argv, Dir: "/", Stdout: out, Stderr: out, SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	if err := cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("start process parent: %w", err)
	}
	ended := make(chan error, 1)
	go func() { // reaps it if it ends first; when this process does, the system reaps it
		err := cmd.Wait()
		if err == nil {
			err = errors.New("exit status 0")
		}
		ended <- err
	}()
	return cmd.Process, ended, nil
}

// Ensure makes a process run as spec says. A running one with the same spec is left alone, one with another is
// restarted. It returns when the process has been started, which does not mean that it is ready.
func (c *Client) Ensure(ctx context.Context, spec Spec) error {
	_, err := c.do(ctx, request{Op: opEnsure, Spec: &spec})
	return err
}

// Stop ends a process and forgets it. Stopping an unknown one does nothing.
func (c *Client) Stop(ctx context.Context, name string) error {
	_, err := c.do(ctx, request{Op: opStop, Name: name})
	return err
}

// Status asks for the parent and its processes.
func (c *Client) Status(ctx context.Context) (Status, error) {
	r, err := c.do(ctx, request{Op: opStatus})
	if err != nil {
		return Status{}, err
	}
	if r.Status == nil {
		return Status{}, errors.New("ask process parent for its status: the reply has none")
	}
	return *r.Status, nil
}

// Shutdown ends all processes, the last one first, and then the parent. It returns when the parent is gone. Without
// a parent it does nothing.
func (c *Client) Shutdown(ctx context.Context) error {
	conn, err := c.dial()
	if errors.Is(err, ErrNoParent) {
		return nil
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := send(conn, request{Op: opShutdown}); err != nil {
		return fmt.Errorf("shut process parent down: %w", err)
	}
	var r reply
	if err := receive(conn, &r); err != nil {
		return cmpCause(ctx, fmt.Errorf("shut process parent down: %w", err))
	}
	lock, err := takeLock(ctx, c.layout.lock(), func() bool { return false }) // free when it is gone
	if err != nil {
		return fmt.Errorf("wait for process parent to end: %w", err)
	}
	return lock.Close()
}

// Keep holds a parent and the given processes up until ctx ends: whenever the parent dies it starts another one,
// which adopts them. It returns nil when ctx ends; failures are logged and tried again.
func Keep(ctx context.Context, cfg Config, specs []Spec, log *slog.Logger) error {
	var back backoff
	for {
		began := time.Now()
		err := keepOnce(ctx, cfg, specs)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end of ctx is how this ends
		}
		wait := back.after(time.Since(began))
		log.Warn("process parent is replaced", "retry_in_ms", wait.Milliseconds(), "err", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

func keepOnce(ctx context.Context, cfg Config, specs []Spec) error {
	c, err := Ensure(ctx, cfg)
	if err != nil {
		return err
	}
	for _, spec := range specs {
		if err := c.Ensure(ctx, spec); err != nil {
			return err
		}
	}
	conn, err := c.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := send(conn, request{Op: opWatch}); err != nil {
		return fmt.Errorf("watch process parent: %w", err)
	}
	var r reply
	if err := receive(conn, &r); err != nil {
		return fmt.Errorf("watch process parent: %w", err)
	}
	return receive(conn, &r) // nothing more is ever sent: this is the end
}

func (c *Client) dial() (*net.UnixConn, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: c.layout.socket(), Net: "unix"})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) {
		return nil, fmt.Errorf("connect to %s: %w", c.layout.socket(), ErrNoParent)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to process parent: %w", err)
	}
	return conn, nil
}

func (c *Client) do(ctx context.Context, req request) (reply, error) {
	var r reply
	conn, err := c.dial()
	if err != nil {
		return r, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	err = send(conn, req)
	if err == nil {
		err = receive(conn, &r)
	}
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE):
		return r, cmpCause(ctx, fmt.Errorf("ask process parent for %s: it went away: %w", req.Op, ErrNoParent))
	case err != nil:
		return r, cmpCause(ctx, fmt.Errorf("ask process parent for %s: %w", req.Op, err))
	case r.Error != "":
		return r, errors.New("process parent: " + r.Error)
	}
	return r, nil
}

// cmpCause prefers the context's cause, which is why the connection broke.
func cmpCause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
