package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

const (
	ttl = 2 // seconds that an answer of ours may be kept: containers come and go

	// maxUDP is the answer that fits every path without fragments; a larger one is asked for again by TCP.
	maxUDP = 1232

	maxTCP          = 512 // connections in all
	maxTCPPerClient = 16
	tcpIdle         = 8 * time.Second
)

// Config says where to serve and whom else to ask.
type Config struct {
	Listen     netip.AddrPort // UDP and TCP; the address need not be on the host yet
	ResolvConf string         // the host's resolvers; empty: /etc/resolv.conf. Read again when it changes
	Log        *slog.Logger
}

// Server speaks DNS.
type Server struct {
	cfg     Config
	names   atomic.Pointer[Names]
	rotate  atomic.Uint32
	forward *forwarder
	udp     net.PacketConn
	tcp     net.Listener
}

// NewServer opens both sockets, so that the caller can give up the right to do so before Run. Until the first Set
// nobody is answered.
func NewServer(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.Log == nil {
		return nil, errors.New("dns: no logger given")
	}
	if !cfg.Listen.IsValid() || !cfg.Listen.Addr().Is4() {
		return nil, fmt.Errorf("dns: address %s to serve at is not IPv4 with a port", cfg.Listen)
	}
	if cfg.ResolvConf == "" {
		cfg.ResolvConf = "/etc/resolv.conf"
	}
	open := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		if err := c.Control(func(fd uintptr) {
			failed = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_FREEBIND, 1)
		}); err != nil {
			return err
		}
		return failed
	}}
	udp, err := open.ListenPacket(ctx, "udp4", cfg.Listen.String())
	if err != nil {
		return nil, fmt.Errorf("serve names by UDP: %w", err)
	}
	// With port 0 (tests) TCP follows the port that UDP was given.
	tcp, err := open.Listen(ctx, "tcp4", udp.LocalAddr().String())
	if err != nil {
		_ = udp.Close()
		return nil, fmt.Errorf("serve names by TCP: %w", err)
	}
	s := &Server{cfg: cfg, udp: udp, tcp: newFairListener(tcp), forward: newForwarder(cfg.ResolvConf, cfg.Listen.Addr())}
	s.names.Store(NewNames(Snapshot{}))
	return s, nil
}

// Address is where the server serves.
func (s *Server) Address() netip.AddrPort { return s.udp.LocalAddr().(*net.UDPAddr).AddrPort() }

// Set replaces all names at once; questions under way are answered from the old ones.
func (s *Server) Set(snapshot Snapshot) { s.names.Store(NewNames(snapshot)) }

// Close closes the sockets of a server that is not run.
func (s *Server) Close() error { return errors.Join(s.udp.Close(), s.tcp.Close()) }

// Run serves until ctx ends, which is no error, or a socket fails.
func (s *Server) Run(ctx context.Context) error {
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) { s.serve(ctx, w, r) })
	servers := []*dns.Server{
		{PacketConn: s.udp, Handler: handler, UDPSize: 4096},
		{Listener: s.tcp, Handler: handler, ReadTimeout: 2 * time.Second, IdleTimeout: func() time.Duration { return tcpIdle }},
	}
	failed := make(chan error, len(servers))
	var running sync.WaitGroup
	for _, srv := range servers {
		started := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(started) }
		running.Go(func() { failed <- srv.ActivateAndServe() })
		select {
		case <-started:
		case err := <-failed:
			return fmt.Errorf("serve names: %w", errors.Join(err, s.Close()))
		}
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
		err = fmt.Errorf("serve names: %w", err)
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	for _, srv := range servers {
		if stopErr := srv.ShutdownContext(bounded); stopErr != nil && err == nil && !errors.Is(stopErr, context.DeadlineExceeded) {
			s.cfg.Log.WarnContext(ctx, "stop serving names", "error", stopErr)
		}
	}
	running.Wait()
	return err
}

func (s *Server) serve(ctx context.Context, w dns.ResponseWriter, r *dns.Msg) {
	asker, stream := client(w.RemoteAddr())
	reply := s.answer(ctx, asker, stream, r)
	size := dns.MinMsgSize
	if opt := r.IsEdns0(); opt != nil {
		size = min(max(size, int(opt.UDPSize())), maxUDP)
	}
	if stream {
		size = dns.MaxMsgSize
	}
	reply.Truncate(size)
	if err := w.WriteMsg(reply); err != nil {
		s.cfg.Log.DebugContext(ctx, "answer not sent", "client", asker, "error", err)
	}
}

// answer makes the reply to one question, whoever is right about it.
func (s *Server) answer(ctx context.Context, asker netip.Addr, stream bool, r *dns.Msg) *dns.Msg {
	reply := new(dns.Msg)
	if r.Response || r.Opcode != dns.OpcodeQuery || len(r.Question) != 1 {
		return reply.SetRcode(r, dns.RcodeFormatError)
	}
	reply.SetReply(r)
	reply.RecursionAvailable = true
	if opt := r.IsEdns0(); opt != nil {
		reply.SetEdns0(maxUDP, opt.Do())
	}
	q := r.Question[0]
	names := s.names.Load()
	if q.Qclass != dns.ClassINET {
		reply.Rcode = dns.RcodeRefused
		return reply
	}

	var outcome Outcome
	if address, isReverse := reverseAddress(q.Name); isReverse && q.Qtype == dns.TypePTR {
		var name string
		if name, outcome = names.Reverse(asker, address); outcome == Answered {
			reply.Answer = []dns.RR{&dns.PTR{Hdr: header(q, dns.TypePTR), Ptr: dns.Fqdn(name)}}
		}
	} else {
		var addresses []netip.Addr
		if addresses, outcome = names.Lookup(asker, q.Name); outcome == Answered && (q.Qtype == dns.TypeA || q.Qtype == dns.TypeANY) {
			reply.Answer = s.rotated(q, addresses)
		}
	}
	switch outcome {
	case Answered:
	case NoSuchName:
		reply.Rcode = dns.RcodeNameError
	case NotYet:
		reply.Rcode = dns.RcodeServerFailure
		return reply
	case Refused:
		reply.Rcode = dns.RcodeRefused
		return reply
	case Elsewhere:
		passed, err := s.forward.ask(ctx, asker, stream, r)
		if err == nil {
			return passed
		}
		reply.Rcode = dns.RcodeServerFailure
		if errors.Is(err, errNobody) && names.InApp(asker, q.Name) {
			reply.Rcode = dns.RcodeNameError
		}
		return reply
	}
	reply.Authoritative = true
	if len(reply.Answer) == 0 {
		reply.Ns = []dns.RR{soa(names.domain)} // says how briefly to remember that there is nothing
	}
	return reply
}

// rotated begins with another address each time: clients take the first.
func (s *Server) rotated(q dns.Question, addresses []netip.Addr) []dns.RR {
	out := make([]dns.RR, len(addresses))
	if len(addresses) == 0 {
		return out
	}
	first := int(s.rotate.Add(1) % uint32(len(addresses)))
	for i := range addresses {
		out[i] = &dns.A{Hdr: header(q, dns.TypeA), A: addresses[(first+i)%len(addresses)].AsSlice()}
	}
	return out
}

func header(q dns.Question, rrtype uint16) dns.RR_Header {
	return dns.RR_Header{Name: q.Name, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl}
}

func soa(domain string) dns.RR {
	zone := dns.Fqdn(domain)
	return &dns.SOA{Hdr: dns.RR_Header{Name: zone, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 1},
		Ns: "ns." + zone, Mbox: "admin." + zone, Serial: 1, Refresh: 60, Retry: 60, Expire: 60, Minttl: 1}
}

// reverseAddress reads the address out of a name such as 2.0.42.10.in-addr.arpa.
func reverseAddress(name string) (netip.Addr, bool) {
	labels := dns.SplitDomainName(dns.CanonicalName(name))
	if len(labels) != 6 || labels[4] != "in-addr" || labels[5] != "arpa" {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(labels[3] + "." + labels[2] + "." + labels[1] + "." + labels[0])
	return a, err == nil
}

func client(a net.Addr) (address netip.Addr, stream bool) {
	switch a := a.(type) {
	case *net.UDPAddr:
		return a.AddrPort().Addr().Unmap(), false
	case *net.TCPAddr:
		return a.AddrPort().Addr().Unmap(), true
	}
	return netip.Addr{}, true
}

// fairListener closes what one client opens beyond its share, so that it cannot keep the others out.
type fairListener struct {
	net.Listener
	mu    sync.Mutex
	total int                // guarded by mu
	open  map[netip.Addr]int // guarded by mu
}

func newFairListener(l net.Listener) *fairListener {
	return &fairListener{Listener: l, open: map[netip.Addr]int{}}
}

// Accept implements net.Listener.
func (l *fairListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		who, _ := client(c.RemoteAddr())
		l.mu.Lock()
		if l.total < maxTCP && l.open[who] < maxTCPPerClient {
			l.total++
			l.open[who]++
			l.mu.Unlock()
			return &fairConn{Conn: c, leave: sync.OnceFunc(func() { l.leave(who) })}, nil
		}
		l.mu.Unlock()
		c.Close()
	}
}

func (l *fairListener) leave(who netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.open[who]--; l.open[who] == 0 {
		delete(l.open, who)
	}
}

type fairConn struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *fairConn) Close() error {
	c.leave()
	return c.Conn.Close()
}
