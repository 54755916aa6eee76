package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/http2"

	"github.com/skerryhq/skerry/raft/model"
)

// headStart is how long an address is tried alone before the next one is tried
// beside it.
const headStart = 300 * time.Millisecond

// Peers is this node's way to the others. Connections are made when they are
// needed, kept, and made anew when they break or the node moves.
type Peers struct {
	s *Server

	mu      sync.Mutex
	clients map[string]*http.Client // guarded by mu
	links   map[string]*link        // for forwarded writes; guarded by mu
	open    map[*outgoing]struct{}  // guarded by mu
	asked   map[string]time.Time    // when others were asked for a node's address; guarded by mu
	tags    map[string]string       // which page of a node's book was fetched last; guarded by mu
}

func newPeers(s *Server) *Peers {
	return &Peers{s: s, clients: map[string]*http.Client{}, links: map[string]*link{}, open: map[*outgoing]struct{}{}, asked: map[string]time.Time{}, tags: map[string]string{}}
}

// outgoing is a connection that this node made.
type outgoing struct {
	*tls.Conn
	p      *Peers
	nodeID string
	once   sync.Once
}

// Close closes the connection.
func (c *outgoing) Close() error {
	c.once.Do(func() {
		c.p.mu.Lock()
		delete(c.p.open, c)
		c.p.mu.Unlock()
	})
	return c.Conn.Close()
}

// Client is an HTTP client for a node, over HTTP/2 with one connection that many
// requests share. URLs are https://peer/peer/v1/...; ctx bounds a request.
func (p *Peers) Client(nodeID string) *http.Client {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, ok := p.clients[nodeID]; ok {
		return c
	}
	c := &http.Client{
		Transport: &http2.Transport{
			DialTLSContext: func(ctx context.Context, _, _ string, _ *tls.Config) (net.Conn, error) {
				ctx, cancel := context.WithTimeout(ctx, dialTimeout)
				defer cancel()
				return p.dial(ctx, nodeID, protoPeer)
			},
			ReadIdleTimeout: 3 * time.Second, // then the other side is asked whether it is there
			PingTimeout:     3 * time.Second,
			IdleConnTimeout: 5 * time.Minute,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	p.clients[nodeID] = c
	return c
}

// Address is where a node is believed to be, host:port; empty if not known.
func (p *Peers) Address(nodeID string) string {
	if all := p.addresses(nodeID); len(all) > 0 {
		return all[0]
	}
	return ""
}

// Members lists the members that are known here besides this node, by the state
// or by what they announced.
func (p *Peers) Members() []Node {
	var out []Node
	for _, n := range p.known() {
		if n.Role == model.NodeMember {
			out = append(out, n)
		}
	}
	return out
}

// known lists all other nodes, with the address to try first.
func (p *Peers) known() []Node {
	seen := map[string]bool{p.s.cfg.NodeID: true}
	var out []Node
	for _, n := range append(p.s.cfg.Directory.Nodes(), p.s.book.nodes()...) {
		if seen[n.ID] {
			continue
		}
		seen[n.ID] = true
		if _, _, err := p.s.cfg.Directory.Node(n.ID); err != nil {
			continue // removed
		}
		n.Address = p.Address(n.ID)
		out = append(out, n)
	}
	return out
}

// addresses lists where a node may be, the newest word first. Trying a wrong one
// does no harm: who answers there must prove to be the node.
func (p *Peers) addresses(nodeID string) []string {
	var out []string
	add := func(a string) {
		if a == "" {
			return
		}
		for _, x := range out {
			if x == a {
				return
			}
		}
		out = append(out, a)
	}
	if nodeID == p.s.cfg.NodeID {
		add(p.s.cfg.Advertise())
	}
	for _, a := range p.s.book.addresses(nodeID) {
		add(a)
	}
	if n, ok, _ := p.s.cfg.Directory.Node(nodeID); ok {
		add(n.Address)
	}
	return out
}

// dial connects to a node, wherever it is. When it is at none of the known
// addresses the other nodes are asked for its newest one, in the background: the
// next attempt finds it.
func (p *Peers) dial(ctx context.Context, nodeID, proto string) (net.Conn, error) {
	if _, _, err := p.s.cfg.Directory.Node(nodeID); err != nil {
		return nil, err
	}
	all := p.addresses(nodeID)
	if len(all) == 0 {
		p.inquire(ctx, nodeID)
		return nil, model.Errorf(model.KindUnavailable, "address_unknown", "no address of node %s is known yet", nodeID)
	}
	c, err := p.race(ctx, all, nodeID, proto)
	if err != nil {
		p.inquire(ctx, nodeID)
		if e, ok := errors.AsType[*model.Error](err); ok {
			return nil, e
		}
		return nil, &model.Error{Kind: model.KindUnavailable, Code: "node_unreachable", Detail: fmt.Sprintf("node %s cannot be reached at %s", nodeID, all[0]), Err: err}
	}
	out := &outgoing{Conn: c, p: p, nodeID: nodeID}
	p.mu.Lock()
	p.open[out] = struct{}{}
	p.mu.Unlock()
	return out, nil
}

// race tries addresses one after the other, each with a head start.
func (p *Peers) race(ctx context.Context, all []string, nodeID, proto string) (*tls.Conn, error) {
	if len(all) == 1 {
		return p.s.connect(ctx, all[0], nodeID, proto)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the others' attempts
	type result struct {
		c   *tls.Conn
		err error
	}
	results := make(chan result)
	next := make(chan struct{}, len(all)) // an attempt failed: the next one need not wait
	for i, a := range all {
		go func() {
			for range i { // ends with the race
				t := time.NewTimer(headStart)
				select {
				case <-t.C:
				case <-next:
				case <-ctx.Done():
				}
				t.Stop()
			}
			var r result
			if r.err = ctx.Err(); r.err == nil {
				if r.c, r.err = p.s.connect(ctx, a, nodeID, proto); r.err != nil {
					next <- struct{}{}
				}
			}
			select {
			case results <- r:
			case <-ctx.Done():
				if r.c != nil {
					_ = r.c.Close()
				}
			}
		}()
	}
	var errs []error
	for range all {
		select {
		case r := <-results:
			if r.err == nil {
				return r.c, nil
			}
			errs = append(errs, r.err)
		case <-ctx.Done():
			return nil, errors.Join(append(errs, context.Cause(ctx))...)
		}
	}
	return nil, errors.Join(errs...)
}

// drop closes the connections for which gone says so.
func (p *Peers) drop(gone func(*outgoing) bool) {
	p.mu.Lock()
	var closing []*outgoing
	for c := range p.open {
		if gone(c) {
			closing = append(closing, c)
		}
	}
	p.mu.Unlock()
	for _, c := range closing {
		_ = c.NetConn().Close() // without the farewell of TLS, which a dead way would hold up
		_ = c.Close()
	}
}

// moved closes the connections to a node that go to another address than its
// newest one: they lead nowhere soon, or already.
func (p *Peers) moved(nodeID, address string) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return // a name says nothing about where the connection goes
	}
	p.drop(func(c *outgoing) bool {
		at, err := netip.ParseAddrPort(c.RemoteAddr().String())
		return err == nil && c.nodeID == nodeID && at.Addr().Unmap() != ip.Unmap()
	})
}

// uprooted closes the connections that leave from an address that this host no
// longer has.
func (p *Peers) uprooted() {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return
	}
	here := map[netip.Addr]bool{}
	for _, a := range all {
		if x, err := netip.ParsePrefix(a.String()); err == nil {
			here[x.Addr().Unmap()] = true
		}
	}
	p.drop(func(c *outgoing) bool {
		at, err := netip.ParseAddrPort(c.LocalAddr().String())
		from := at.Addr().Unmap()
		return err == nil && !from.IsLoopback() && !here[from]
	})
}

func (p *Peers) closeAll() {
	p.drop(func(*outgoing) bool { return true })
}
