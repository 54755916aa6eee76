package worker

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"
)

// The bounds of a passage.
const (
	helloTimeout = 10 * time.Second // until the client has said what it wants
	dialTimeout  = 2 * time.Second  // to one member
	maxHello     = 64 << 10         // bytes of a ClientHello
	maxPassages  = 4096             // connections at once
)

// Passage reads no more than the ClientHello of a connection. Those of other
// nodes it keeps for this one's own door; all others it passes, byte by byte, to
// a member, which ends their TLS.
type Passage struct {
	Own     func(protocol string) bool // whether an ALPN protocol is for this node
	Members func() []string            // addresses (host:port) of members, the best first
	Log     *slog.Logger

	accepted chan net.Conn
	once     sync.Once
}

// Listener gives the connections that are for this node, as they came.
func (p *Passage) Listener(addr net.Addr) net.Listener {
	p.init()
	return &kept{p: p, addr: addr, closed: make(chan struct{})}
}

func (p *Passage) init() { p.once.Do(func() { p.accepted = make(chan net.Conn) }) }

// Run takes connections of l until ctx ends.
func (p *Passage) Run(ctx context.Context, l net.Listener) error {
	p.init()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	slots := make(chan struct{}, maxPassages)
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
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

// take decides about one connection.
func (p *Passage) take(ctx context.Context, conn net.Conn) {
	_ = conn.SetReadDeadline(time.Now().Add(helloTimeout))
	read, protocols := peek(conn)
	_ = conn.SetReadDeadline(time.Time{})
	for _, name := range protocols {
		if p.Own(name) {
			select {
			case p.accepted <- &replayed{Conn: conn, read: io.MultiReader(bytes.NewReader(read), conn)}:
			case <-ctx.Done():
				_ = conn.Close()
			}
			return
		}
	}
	defer conn.Close()
	if len(read) == 0 {
		return
	}
	member, err := p.dial(ctx)
	if err != nil {
		p.Log.Warn("no member answers; a client was turned away", "remote", conn.RemoteAddr().String(), "err", err)
		return
	}
	defer member.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close(); _ = member.Close() })()
	splice(conn, member, read)
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
func splice(client, member net.Conn, first []byte) {
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := member.Write(first); err == nil {
			_, _ = io.Copy(member, client)
		}
		closeWrite(member)
	})
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

// errSeen ends a handshake that was begun for its first message only.
var errSeen = errors.New("seen")

// peek reads the ClientHello and gives it back with the protocols that it
// offers. What is no TLS is given back as far as it was read.
func peek(conn net.Conn) (read []byte, protocols []string) {
	tee := &recorder{Conn: conn}
	first := make([]byte, 1)
	if n, err := tee.Read(first); n == 0 || err != nil || first[0] != 0x16 {
		return tee.seen.Bytes(), nil
	}
	again := &recorder{Conn: conn, before: first, seen: bytes.Buffer{}}
	err := tls.Server(again, &tls.Config{ //nolint:gosec // nothing is agreed on: the handshake ends with its first message
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			protocols = hello.SupportedProtos
			return nil, errSeen
		},
	}).Handshake()
	if err == nil || again.seen.Len() == 0 {
		return nil, nil
	}
	return again.seen.Bytes(), protocols
}

// recorder keeps what is read and swallows what is written.
type recorder struct {
	net.Conn
	before []byte // given before anything is read
	seen   bytes.Buffer
}

// Read records.
func (r *recorder) Read(b []byte) (int, error) {
	if len(r.before) > 0 {
		n := copy(b, r.before)
		r.before = r.before[n:]
		r.seen.Write(b[:n])
		return n, nil
	}
	if r.seen.Len() > maxHello {
		return 0, io.ErrShortBuffer
	}
	n, err := r.Conn.Read(b)
	r.seen.Write(b[:n])
	return n, err
}

// Write takes the alert with which the handshake ends.
func (r *recorder) Write(b []byte) (int, error) { return len(b), nil }

// SetDeadline and its kin belong to the passage.
func (r *recorder) SetDeadline(time.Time) error { return nil }

// Close leaves the connection open.
func (r *recorder) Close() error { return nil }

// replayed is a connection whose beginning was read already.
type replayed struct {
	net.Conn
	read io.Reader
}

// Read gives the beginning again.
func (r *replayed) Read(b []byte) (int, error) { return r.read.Read(b) }

// kept is the listener of what is for this node.
type kept struct {
	p      *Passage
	addr   net.Addr
	closed chan struct{}
	once   sync.Once
}

// Accept waits for a connection of another node.
func (k *kept) Accept() (net.Conn, error) {
	select {
	case c := <-k.p.accepted:
		return c, nil
	case <-k.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (k *kept) Close() error { k.once.Do(func() { close(k.closed) }); return nil }

// Addr is the address that is listened on.
func (k *kept) Addr() net.Addr { return k.addr }

// OwnProtocol says whether an ALPN protocol is one between nodes.
func OwnProtocol(name string) bool { return strings.HasPrefix(name, "skerry-") }
