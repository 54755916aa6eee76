package worker

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

// The bounds of a passage.
const (
	dialTimeout = 2 * time.Second // to one member
	maxPassages = 4096            // connections at once
)

// Passage passes connections, byte by byte, to a member, which ends their TLS:
// a worker never sees what a browser or a registry client says.
type Passage struct {
	Members func() []string // addresses (host:port) of members, the best first
	Log     *slog.Logger
}

// Run takes connections of l until ctx ends. Their first bytes must not have been
// taken from them.
func (p *Passage) Run(ctx context.Context, l net.Listener) error {
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	slots := make(chan struct{}, maxPassages)
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return ctx.Err()
			}
			p.Log.Warn("a connection was not accepted", "err", err)
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(50 * time.Millisecond): // out of files: they come back
			}
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			p.Log.Warn("too many connections at once; one was closed", "remote", conn.RemoteAddr().String())
			_ = conn.Close()
			continue
		}
		wg.Go(func() { defer func() { <-slots }(); p.take(ctx, conn) })
	}
}

// take passes one connection on.
func (p *Passage) take(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	member, err := p.dial(ctx)
	if err != nil {
		p.Log.Warn("no member answers; a client was turned away", "remote", conn.RemoteAddr().String(), "err", err)
		return
	}
	defer member.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close(); _ = member.Close() })()
	splice(conn, member)
}

// dial connects to the first member that answers.
func (p *Passage) dial(ctx context.Context) (net.Conn, error) {
	err := errors.New("none is known")
	d := net.Dialer{Timeout: dialTimeout}
	for _, addr := range p.Members() {
		var c net.Conn
		if c, err = d.DialContext(ctx, "tcp", addr); err == nil {
			return c, nil
		}
	}
	return nil, err
}

// splice passes bytes both ways until both sides have ended.
func splice(client, member net.Conn) {
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(member, client); closeWrite(member) })
	wg.Go(func() { _, _ = io.Copy(client, member); closeWrite(client) })
	wg.Wait()
}

func closeWrite(c net.Conn) {
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		_ = w.CloseWrite()
		return
	}
	_ = c.Close()
}
