package peer

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/skerryhq/skerry/raft/model"
)

// The bounds of connections that have not said yet what they are.
const (
	maxPending     = 8192 // all
	maxPendingHost = 2048 // of one host; a crowd behind one address is no attack
)

// door accepts connections and finds out what they want.
type door struct {
	public *handed // browsers, API, registry, plain HTTP

	mu      sync.Mutex
	pending map[string]int // connections by host that are still at the door; guarded by mu
	all     int            // guarded by mu
}

func newDoor() *door { return &door{public: newHanded(), pending: map[string]int{}} }

// enter counts a connection in, or refuses it.
func (d *door) enter(host string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.all >= maxPending || d.pending[host] >= maxPendingHost {
		return false
	}
	d.all++
	d.pending[host]++
	return true
}

func (d *door) leave(host string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all--
	if d.pending[host]--; d.pending[host] == 0 {
		delete(d.pending, host)
	}
}

// accept takes connections from l until ctx ends. Then it closes l and all that
// were accepted and not handed on.
func (s *Server) accept(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	var work sync.WaitGroup
	defer work.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() || isTemporary(err) {
				s.log.Warn("a connection could not be accepted, trying again", "err", err)
				if !pause(ctx, 100*time.Millisecond) {
					return nil
				}
				continue
			}
			return err
		}
		host := hostOf(c.RemoteAddr())
		if !s.door.enter(host) {
			s.log.Debug("too many connections at the door", "remote", host)
			_ = c.Close()
			continue
		}
		work.Go(func() { s.attend(ctx, c, host) })
	}
}

// attend finds out what a connection wants and serves it.
func (s *Server) attend(ctx context.Context, c net.Conn, host string) {
	outside := sync.OnceFunc(func() { s.door.leave(host) })
	defer outside()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	watchOver(c)
	_ = c.SetDeadline(time.Now().Add(s.helloTimeout)) // a closed connection fails soon enough
	proto, ahead, err := peek(c)
	if err != nil {
		stop()
		_ = c.Close()
		return
	}
	if proto == "" {
		_ = c.SetDeadline(time.Time{})
		if stop() {
			s.door.public.hand(&buffered{c, ahead})
		}
		return
	}
	defer stop()
	defer c.Close()
	s.speak(ctx, tls.Server(&buffered{c, ahead}, s.serverTLS(proto)), proto, outside)
}

// speak serves one of the protocols among nodes.
func (s *Server) speak(ctx context.Context, c *tls.Conn, proto string, outside func()) {
	remote := c.RemoteAddr().String()
	if err := c.HandshakeContext(ctx); err != nil {
		s.refused(hostOf(c.RemoteAddr()), "refused a connection of a node: the TLS handshake failed", "remote", remote, "protocol", proto, "err", err)
		return
	}
	if proto == protoJoin {
		outside() // it bounds itself
		s.admit(ctx, c)
		return
	}
	caller, err := s.receive(c, proto)
	if err != nil {
		s.refused(hostOf(c.RemoteAddr()), "refused a connection of a node", "remote", remote, "protocol", proto, "node", caller.NodeID, "err", err)
		linger(c)
		return
	}
	_ = c.SetDeadline(time.Time{})
	outside()
	leave, ok := s.seat(c, caller.NodeID)
	if !ok {
		s.refused(hostOf(c.RemoteAddr()), "ended a connection of a node: it has too many", "remote", remote, "protocol", proto, "node", caller.NodeID)
		return
	}
	defer leave()
	switch proto {
	case protoPeer:
		s.serveHTTP(ctx, c, caller)
	case protoPropose:
		s.serveProposals(ctx, c, caller)
	case protoRaft:
		closed := make(chan struct{})
		if s.stream.incoming.hand(&watched{Conn: c, done: sync.OnceFunc(func() { close(closed) })}) {
			select {
			case <-closed:
			case <-ctx.Done():
			}
		}
	}
}

// linger lets the other side read a refusal before the connection goes.
func linger(c *tls.Conn) {
	_ = c.CloseWrite()
	_ = c.SetReadDeadline(time.Now().Add(time.Second))
	_, _ = io.CopyN(io.Discard, c, maxHello)
}

// watched is a connection that tells when it is closed.
type watched struct {
	net.Conn
	done func()
}

// Close closes the connection.
func (c *watched) Close() error { c.done(); return c.Conn.Close() }

// serverTLS is the configuration for a protocol among nodes. Certificates are
// asked for and judged after the handshake, so that a refusal can be a sentence.
func (s *Server) serverTLS(proto string) *tls.Config {
	t := &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{proto},
		SessionTicketsDisabled: true, // every connection proves itself anew
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return s.cfg.Certs.Node(), nil
		},
	}
	if proto != protoJoin {
		t.ClientAuth = tls.RequestClientCert
	}
	return t
}

const recordHandshake = 0x16 // first byte of a TLS connection

var errSeen = errors.New("seen")

// peek reads a connection's beginning without taking it away: ahead gives it
// again. proto is the protocol among nodes that it asks for, empty for all others.
func peek(c net.Conn) (proto string, ahead *bufio.Reader, err error) {
	r := bufio.NewReaderSize(c, 4<<10)
	first, err := r.Peek(1)
	if err != nil {
		return "", nil, err
	}
	if first[0] != recordHandshake {
		return "", r, nil
	}
	// The TLS library reads the ClientHello from a copy and is stopped behind it.
	in := &recording{Conn: c, r: r}
	err = tls.Server(in, &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		for _, p := range h.SupportedProtos {
			switch p {
			case protoRaft, protoPeer, protoPropose, protoJoin:
				proto = p
			}
		}
		return nil, errSeen
	}}).Handshake()
	if !errors.Is(err, errSeen) && in.failed != nil {
		return "", nil, in.failed
	}
	// What is no ClientHello goes on as well: whoever serves it answers in its way.
	return proto, bufio.NewReaderSize(io.MultiReader(in.kept(), r), 4<<10), nil
}

// recording is a connection that is only read, and keeps what was.
type recording struct {
	net.Conn
	r      io.Reader
	seen   []byte
	failed error
}

func (c *recording) kept() io.Reader { return &ended{c.seen} }

// Read keeps what it reads.
func (c *recording) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.seen = append(c.seen, b[:n]...)
	if err != nil {
		c.failed = err
	}
	return n, err
}

// Write swallows the alert that ends the reading.
func (c *recording) Write(b []byte) (int, error) { return len(b), nil }

// Close leaves the connection open.
func (c *recording) Close() error { return nil }

// SetDeadline changes nothing; the door's deadline holds.
func (c *recording) SetDeadline(time.Time) error { return nil }

// SetReadDeadline changes nothing.
func (c *recording) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline changes nothing.
func (c *recording) SetWriteDeadline(time.Time) error { return nil }

// ended reads bytes once.
type ended struct{ b []byte }

// Read gives the rest.
func (e *ended) Read(b []byte) (int, error) {
	if len(e.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b, e.b)
	e.b = e.b[n:]
	return n, nil
}

// handed is a listener whose connections were accepted elsewhere.
type handed struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	addr   net.Addr
}

func newHanded() *handed {
	return &handed{conns: make(chan net.Conn), closed: make(chan struct{}), addr: named("skerry")}
}

// hand gives a connection to whoever accepts, and closes it when nobody will.
func (h *handed) hand(c net.Conn) bool {
	select {
	case h.conns <- c:
		return true
	case <-h.closed:
		_ = c.Close()
		return false
	}
}

// Accept gives the next connection.
func (h *handed) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept; connections that were given stay.
func (h *handed) Close() error { h.once.Do(func() { close(h.closed) }); return nil }

// Addr is no address of the network.
func (h *handed) Addr() net.Addr { return h.addr }

// named is an address that is a name only.
type named string

// Network says that it is none.
func (named) Network() string { return "skerry" }

// String is the name.
func (n named) String() string { return string(n) }

// isTemporary says whether accepting failed for a while only: the process or the
// host has no more file descriptors.
func isTemporary(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// pause waits, and says whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// notMember is the answer of a worker to what only members do.
func notMember() *model.Error {
	return model.Errorf(model.KindUnavailable, "not_member", "this node is a worker; ask a member of the cluster")
}
