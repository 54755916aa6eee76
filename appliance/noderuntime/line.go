package noderuntime

import (
	"context"
	"errors"
	"sync"

	"github.com/skerryhq/skerry/runtime/logs"
)

// line is a client's way to a container's input. It outlives a log daemon: when
// the daemon has come back, what follows goes through the new attachment.
type line struct {
	mu    sync.Mutex
	a     *logs.Attachment // never nil; guarded by mu
	moved chan struct{}    // closed when a is replaced; guarded by mu
}

// now gives the present attachment and what is closed when there is a later one.
func (l *line) now() (*logs.Attachment, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.a, l.moved
}

// move replaces an attachment whose daemon has gone.
func (l *line) move(to *logs.Attachment) {
	l.mu.Lock()
	old, moved := l.a, l.moved
	l.a, l.moved = to, make(chan struct{})
	l.mu.Unlock()
	_ = old.Close() // wakes a writer that still waits on it
	close(moved)
}

func (l *line) hangUp() {
	a, _ := l.now()
	_ = a.Close()
}

// do tries something with each attachment until one's daemon stays, or ctx ends.
func (l *line) do(ctx context.Context, try func(*logs.Attachment) error) error {
	for {
		a, moved := l.now()
		err := try(a)
		if !errors.Is(err, logs.ErrDaemonGone) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-moved:
		}
	}
}

func (l *line) closeStdin(ctx context.Context) error {
	return l.do(ctx, (*logs.Attachment).CloseStdin)
}

// input writes to the line until ctx ends.
type input struct {
	ctx  context.Context //nolint:containedctx // io.Writer has no room for it
	line *line
}

// Write waits while there is no daemon. What a daemon took before it died is
// not sent again: the container may have got it.
func (i input) Write(p []byte) (int, error) {
	sent := 0
	err := i.line.do(i.ctx, func(a *logs.Attachment) error {
		n, err := a.Write(p[sent:])
		sent += n
		return err
	})
	return sent, err
}
