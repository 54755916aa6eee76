package edge

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The door is a socket where the daemon asks how the edge is, and waits for a version. One line with the version to
// wait for (0: do not wait), one line of JSON back.

const (
	doorName  = "edge.sock"
	doorLimit = 10 * time.Second // for one conversation
)

// Status is how a running edge is.
type Status struct {
	PID       int       `json:"pid"`
	Version   uint64    `json:"version"` // of the snapshot it works from; 0 before the first
	Endpoints int       `json:"endpoints"`
	StartedAt time.Time `json:"startedAt"`
}

// Probe asks the edge how it is. An error means that it does not run, or hangs.
func Probe(ctx context.Context, runDir string) (Status, error) { return Await(ctx, runDir, 0) }

// Await returns once the edge works from the given version or a newer one, which takes a few milliseconds after
// Publish. It waits at most ten seconds, or until ctx ends.
func Await(ctx context.Context, runDir string, version uint64) (Status, error) {
	var s Status
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(runDir, doorName))
	if err != nil {
		return s, fmt.Errorf("ask the edge: %w", err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	deadline := time.Now().Add(doorLimit)
	if until, ok := ctx.Deadline(); ok && until.Before(deadline) {
		deadline = until
	}
	if err := c.SetDeadline(deadline); err != nil {
		return s, fmt.Errorf("ask the edge: %w", err)
	}
	if _, err := fmt.Fprintf(c, "%d\n", version); err != nil {
		return s, fmt.Errorf("ask the edge: %w", err)
	}
	if err := json.NewDecoder(c).Decode(&s); err != nil {
		return s, fmt.Errorf("wait for version %d of the edge's snapshot: %w", version, errors.Join(err, ctx.Err()))
	}
	return s, nil
}

// openDoor takes over the socket of an edge that ended.
func (e *edge) openDoor(ctx context.Context) (net.Listener, error) {
	path := filepath.Join(e.cfg.RunDir, doorName)
	if c, err := net.Dial("unix", path); err == nil { //nolint:noctx // were it cancelled, it would look as if no other edge were there
		c.Close()
		return nil, fmt.Errorf("another edge answers at %s", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (e *edge) answerDoor(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("take a question at %s: %w", l.Addr(), err)
		}
		go func() {
			defer c.Close()
			if err := e.answer(ctx, c); err != nil {
				e.cfg.Log.DebugContext(ctx, "question to the edge not answered", "error", err)
			}
		}()
	}
}

func (e *edge) answer(ctx context.Context, c net.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, doorLimit)
	defer cancel()
	if err := c.SetDeadline(time.Now().Add(doorLimit)); err != nil {
		return err
	}
	line, err := bufio.NewReaderSize(c, 64).ReadString('\n')
	if err != nil {
		return err
	}
	version, err := strconv.ParseUint(strings.TrimSpace(line), 10, 64)
	if err != nil {
		return fmt.Errorf("a version was expected: %w", err)
	}
	for {
		e.mu.Lock()
		s := Status{PID: os.Getpid(), Version: e.current.Version, Endpoints: e.count, StartedAt: e.started}
		changed := e.changed
		e.mu.Unlock()
		if s.Version >= version {
			return json.NewEncoder(c).Encode(s)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
