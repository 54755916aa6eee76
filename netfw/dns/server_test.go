package dns_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/skerryhq/skerry/netfw/dns"
	"github.com/skerryhq/skerry/netfw/netnstest"
)

// world is a host with a server.
type world struct {
	t      *testing.T
	host   *netnstest.Host
	server *dns.Server
}

const resolver = "169.254.42.53:53"

func newWorld(t *testing.T, resolvConf string) *world {
	t.Helper()
	w := &world{t: t, host: netnstest.NewHost(t, "host")}
	// The containers' addresses are the host's own here: only the source of a question matters.
	for _, a := range []string{"169.254.42.53", "10.42.0.2", "10.42.0.3", "10.42.0.5", "10.42.9.9", "192.0.2.1"} {
		w.host.Run("ip", "addr", "add", a+"/32", "dev", "lo")
	}
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte(resolvConf), 0o600); err != nil {
		t.Fatal(err)
	}
	w.host.Must(func() (err error) {
		w.server, err = dns.NewServer(t.Context(), dns.Config{Listen: netip.MustParseAddrPort(resolver), ResolvConf: conf,
			Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
		return err
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("server: %v", err)
		}
	})
	w.server.Set(snapshot())
	return w
}

func snapshot() dns.Snapshot {
	a := netip.MustParseAddr
	return dns.Snapshot{Pool: netip.MustParsePrefix("10.42.0.0/16"), Endpoints: []dns.Endpoint{
		{Address: a("10.42.0.2"), Name: "web-1", Service: "web", App: "shop", Networks: []string{"n1"}, Serving: true},
		{Address: a("10.42.0.3"), Name: "web-2", Service: "web", App: "shop", Networks: []string{"n1"}, Serving: true},
		{Address: a("10.42.0.5"), Name: "db-1", Service: "db", App: "shop", Networks: []string{"n1"}, Serving: true},
	}}
}

// ask sends one question from an address of the host.
func (w *world) ask(from, network, name string, qtype uint16) (*mdns.Msg, error) {
	q := new(mdns.Msg)
	q.SetQuestion(mdns.Fqdn(name), qtype)
	var c net.Conn
	err := w.host.Do(func() (err error) {
		d := net.Dialer{Timeout: time.Second, FallbackDelay: -1}
		if network == "udp4" {
			d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0))
		} else {
			d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0))
		}
		c, err = d.Dial(network, resolver)
		return err
	})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	client := mdns.Client{Net: network, Timeout: 5 * time.Second}
	reply, _, err := client.ExchangeWithConn(q, &mdns.Conn{Conn: c})
	return reply, err
}

func (w *world) mustAsk(from, network, name string, qtype uint16) *mdns.Msg {
	w.t.Helper()
	reply, err := w.ask(from, network, name, qtype)
	if err != nil {
		w.t.Fatalf("%s asks %s by %s: %v", from, name, network, err)
	}
	return reply
}

func addresses(m *mdns.Msg) (out []string) {
	for _, rr := range m.Answer {
		if a, ok := rr.(*mdns.A); ok {
			out = append(out, a.A.String())
		}
	}
	return out
}

func TestServer(t *testing.T) {
	w := newWorld(t, "")
	for _, network := range []string{"udp4", "tcp4"} {
		first := map[string]int{}
		for range 10 {
			got := addresses(w.mustAsk("10.42.0.5", network, "web", mdns.TypeA))
			if len(got) != 2 {
				t.Fatalf("web: %v", got)
			}
			first[got[0]]++
		}
		if first["10.42.0.2"] != 5 || first["10.42.0.3"] != 5 {
			t.Errorf("which replica comes first: %v, want in turn", first)
		}
		reply := w.mustAsk("10.42.0.5", network, "web.shop.skerry.internal", mdns.TypeAAAA)
		if reply.Rcode != mdns.RcodeSuccess || len(reply.Answer) != 0 || len(reply.Ns) != 1 || !reply.Authoritative {
			t.Errorf("AAAA: %v", reply)
		}
		reply = w.mustAsk("10.42.0.5", network, "2.0.42.10.in-addr.arpa", mdns.TypePTR)
		if len(reply.Answer) != 1 || reply.Answer[0].(*mdns.PTR).Ptr != "web-1.shop.skerry.internal." {
			t.Errorf("PTR: %v", reply)
		}
		for _, tc := range []struct {
			from, name string
			rcode      int
		}{
			{"10.42.0.5", "nobody", mdns.RcodeNameError},
			{"10.42.0.5", "nobody.shop.skerry.internal", mdns.RcodeNameError},
			{"10.42.0.5", "nobody.shop", mdns.RcodeNameError}, // nobody can be asked, and the app is ours
			{"10.42.9.9", "web", mdns.RcodeServerFailure},     // a container that is not known yet
			{"192.0.2.1", "web", mdns.RcodeRefused},
			{"10.42.0.5", "debian.org", mdns.RcodeServerFailure},
		} {
			start := time.Now()
			if got := w.mustAsk(tc.from, network, tc.name, mdns.TypeA); got.Rcode != tc.rcode {
				t.Errorf("%s asks %s: %s, want %s", tc.from, tc.name, mdns.RcodeToString[got.Rcode], mdns.RcodeToString[tc.rcode])
			}
			if took := time.Since(start); took > time.Second {
				t.Errorf("%s took %s, want at once", tc.name, took)
			}
		}
	}
}

func TestTruncation(t *testing.T) {
	w := newWorld(t, "")
	s := snapshot()
	for i := range 200 {
		s.Endpoints = append(s.Endpoints, dns.Endpoint{Address: netip.AddrFrom4([4]byte{10, 42, 1, byte(i)}),
			Name: fmt.Sprintf("many-%d", i), Service: "many", App: "shop", Networks: []string{"n1"}, Serving: true})
	}
	w.server.Set(s)
	// The client's buffer has 512 bytes: a longer answer would not be read.
	if got := w.mustAsk("10.42.0.5", "udp4", "many", mdns.TypeA); !got.Truncated || len(got.Answer) < 10 {
		t.Errorf("by UDP: truncated %t, %d answers", got.Truncated, len(got.Answer))
	}
	if got := w.mustAsk("10.42.0.5", "tcp4", "many", mdns.TypeA); got.Truncated || len(got.Answer) != 200 {
		t.Errorf("by TCP: truncated %t, %d answers", got.Truncated, len(got.Answer))
	}
}

// TestForward has its upstream on this machine's own loopback, where the forwarder's sockets are: a goroutine does
// not take its network namespace along.
func TestForward(t *testing.T) {
	pc, err := net.ListenPacket("udp4", "127.0.42.53:53")
	if err != nil {
		t.Skipf("needs port 53 of 127.0.42.53: %v", err)
	}
	l, err := net.Listen("tcp4", "127.0.42.53:53")
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int64
	handler := mdns.HandlerFunc(func(w mdns.ResponseWriter, r *mdns.Msg) {
		asked.Add(1)
		m := new(mdns.Msg)
		m.SetReply(r)
		if r.Question[0].Name == "missing.example." {
			m.Rcode = mdns.RcodeNameError
		} else {
			rr, err := mdns.NewRR(r.Question[0].Name + " 60 IN A 203.0.113.7")
			if err != nil {
				t.Error(err)
			}
			m.Answer = []mdns.RR{rr}
		}
		if err := w.WriteMsg(m); err != nil {
			t.Log(err)
		}
	})
	for _, s := range []*mdns.Server{{PacketConn: pc, Handler: handler}, {Listener: l, Handler: handler}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go func() {
			if err := s.ActivateAndServe(); err != nil {
				t.Log(err)
			}
		}()
		<-started
		t.Cleanup(func() {
			if err := s.Shutdown(); err != nil {
				t.Error(err)
			}
		})
	}
	w := newWorld(t, "nameserver 169.254.42.53\nnameserver 127.0.42.53\n")
	for range 3 {
		got := w.mustAsk("10.42.0.5", "udp4", "www.Example", mdns.TypeA)
		if !slices.Equal(addresses(got), []string{"203.0.113.7"}) || got.Authoritative || !got.RecursionAvailable || got.Question[0].Name != "www.Example." {
			t.Fatalf("forwarded: %v", got)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times for one name, want once", n)
	}
	if got := w.mustAsk("10.42.0.5", "tcp4", "www.example", mdns.TypeA); !slices.Equal(addresses(got), []string{"203.0.113.7"}) {
		t.Errorf("by TCP: %v", got)
	}
	if got := w.mustAsk("10.42.0.5", "udp4", "missing.example", mdns.TypeA); got.Rcode != mdns.RcodeNameError {
		t.Errorf("missing name: %v", got)
	}
	if got := w.mustAsk("192.0.2.1", "udp4", "www.example", mdns.TypeA); got.Rcode != mdns.RcodeRefused {
		t.Errorf("a stranger: %v", got)
	}
}

// FuzzMessage throws bytes at the whole server: it goes on answering.
func FuzzMessage(f *testing.F) {
	good := new(mdns.Msg)
	good.SetQuestion("web.shop.", mdns.TypeA)
	good.SetEdns0(4096, true)
	packed, err := good.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	f.Add([]byte{})
	f.Add(packed[:12])
	conf := filepath.Join(f.TempDir(), "none")
	s, err := dns.NewServer(context.Background(), dns.Config{Listen: netip.MustParseAddrPort("127.0.0.1:0"), ResolvConf: conf, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	snap := snapshot()
	snap.Pool = netip.MustParsePrefix("127.0.0.0/8")
	snap.Endpoints[0].Address = netip.MustParseAddr("127.0.0.1")
	s.Set(snap)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	f.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			f.Error(err)
		}
	})
	c, err := net.Dial("udp4", s.Address().String())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { c.Close() })
	f.Fuzz(func(t *testing.T, in []byte) {
		if _, err := c.Write(in); err != nil && len(in) < 1400 {
			t.Fatal(err)
		}
		q := new(mdns.Msg)
		q.SetQuestion("web.", mdns.TypeA)
		reply, _, err := (&mdns.Client{Net: "udp4", Timeout: 2 * time.Second}).Exchange(q, s.Address().String())
		if err != nil || len(reply.Answer) != 2 {
			t.Fatalf("after %x: %v, %v", in, reply, err)
		}
	})
}
