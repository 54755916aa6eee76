package edge_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/appliance/edge"
	"github.com/skerryhq/skerry/netfw/dns"
	"github.com/skerryhq/skerry/netfw/iptables"
	"github.com/skerryhq/skerry/netfw/link"
	"github.com/skerryhq/skerry/netfw/netnstest"
	"github.com/skerryhq/skerry/netfw/rules"
)

const resolver = "169.254.42.53:53"

// build makes the edge's own small program, without cgo as the real one.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "edgeproc")
	cmd := exec.Command("go", "build", "-o", program, "./testdata/edgeproc")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the edge: %v\n%s", err, out)
	}
	return program
}

// node is a host with an edge, rules and containers.
type node struct {
	t                   *testing.T
	host                *netnstest.Host
	links               *link.Links
	runDir, dataDir     string
	resolvConf, program string
	rules               rules.Desired
	snapshot            edge.Snapshot
	table               *iptables.Table
}

func newNode(t *testing.T) *node {
	t.Helper()
	dir := t.TempDir()
	n := &node{t: t, host: netnstest.Cluster(t, 1)[0], runDir: filepath.Join(dir, "run"), dataDir: filepath.Join(dir, "data"),
		resolvConf: filepath.Join(dir, "resolv.conf"), program: build(t)}
	n.write("nameserver 127.0.0.53\n")
	n.host.Must(func() (err error) {
		if n.links, err = link.New(link.Config{Dir: filepath.Join(n.runDir, "netns")}); err != nil {
			return err
		}
		n.table, err = iptables.New(iptables.Config{Log: slog.New(slog.DiscardHandler)})
		return err
	})
	pool := netip.MustParsePrefix("10.42.0.0/16")
	n.rules = rules.Desired{Pool: pool, NodePools: []netip.Prefix{pool}, Resolver: netip.MustParseAddrPort(resolver)}
	n.snapshot.DNS.Pool = pool
	t.Cleanup(func() {
		n.host.Must(func() error {
			present, err := n.links.List()
			for _, id := range present.IDs {
				err = errors.Join(err, n.links.Remove(context.Background(), id))
			}
			return err
		})
		n.links.Close()
		n.table.Close()
	})
	return n
}

func (n *node) write(resolvConf string) {
	n.t.Helper()
	if err := os.WriteFile(n.resolvConf, []byte(resolvConf), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) container(id, address, service, app, network string) *netnstest.Host {
	n.t.Helper()
	a := netip.MustParseAddr(address)
	var made link.Attachment
	n.host.Must(func() (err error) {
		made, err = n.links.Ensure(n.t.Context(), link.Spec{ID: id, Address: a})
		return err
	})
	n.rules.Endpoints = append(n.rules.Endpoints, rules.Endpoint{Address: a, Veth: made.Veth, Networks: []string{network}})
	n.snapshot.DNS.Endpoints = append(n.snapshot.DNS.Endpoints,
		dns.Endpoint{Address: a, Name: id, Service: service, App: app, Networks: []string{network}, Serving: true})
	return netnstest.Adopt(n.t, id, made.NetNS)
}

func (n *node) publish() {
	n.t.Helper()
	n.snapshot.Version++
	if err := edge.Publish(n.dataDir, n.snapshot); err != nil {
		n.t.Fatal(err)
	}
	n.host.Must(func() error {
		_, err := n.table.Apply(n.t.Context(), n.rules)
		return err
	})
}

// start starts the edge and waits until it answers its door.
func (n *node) start() *os.Process {
	n.t.Helper()
	p := n.host.Start(n.program, n.runDir, n.dataDir, n.resolvConf)
	netnstest.Eventually(n.t, 5*time.Second, "the edge's door", func() bool {
		s, err := edge.Probe(n.t.Context(), n.runDir)
		return err == nil && s.PID == p.Pid
	})
	return p
}

// ask asks from inside a container for an A record: addresses, or the name of the refusal.
func ask(t *testing.T, from *netnstest.Host, name string) string {
	t.Helper()
	c, err := from.Dial("udp4", resolver, time.Second)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	q := new(mdns.Msg)
	q.SetQuestion(mdns.Fqdn(name), mdns.TypeA)
	reply, _, err := (&mdns.Client{Timeout: 8 * time.Second}).ExchangeWithConn(q, &mdns.Conn{Conn: c})
	if err != nil {
		return err.Error()
	}
	if reply.Rcode != mdns.RcodeSuccess {
		return mdns.RcodeToString[reply.Rcode]
	}
	var out []string
	for _, rr := range reply.Answer {
		if a, ok := rr.(*mdns.A); ok {
			out = append(out, a.A.String())
		}
	}
	return strings.Join(out, " ")
}

func expect(t *testing.T, from *netnstest.Host, name, want string) {
	t.Helper()
	if got := ask(t, from, name); got != want {
		t.Errorf("%s asks %s: %q, want %q", from.Name, name, got, want)
	}
}

func TestEdgeAnswersContainersWithoutTheDaemon(t *testing.T) {
	n := newNode(t)
	web := n.container("web-1", "10.42.0.2", "web", "shop", "n1")
	n.container("db-1", "10.42.0.3", "db", "shop", "n1")
	stranger := n.container("web-9", "10.42.0.4", "web", "bank", "n2")
	n.publish()
	p := n.start() // before its address is on the host
	n.host.Must(func() error {
		_, err := n.links.EnsureHost()
		return err
	})
	expect(t, web, "db", "10.42.0.3")
	expect(t, web, "db.shop.skerry.internal", "10.42.0.3")
	expect(t, stranger, "web", "10.42.0.4")
	expect(t, stranger, "db.shop.skerry.internal", "NXDOMAIN")

	status, err := edge.Probe(t.Context(), n.runDir)
	if err != nil || status.PID != p.Pid || status.Version != 1 || status.Endpoints != 3 {
		t.Errorf("status %+v, %v", status, err)
	}

	// A change is there a few milliseconds after it was published.
	n.container("db-2", "10.42.0.5", "db", "shop", "n1")
	n.snapshot.DNS.Endpoints[1].Serving = false
	start := time.Now()
	n.publish()
	if status, err = edge.Await(t.Context(), n.runDir, 2); err != nil || status.Version != 2 {
		t.Fatalf("wait for version 2: %+v, %v", status, err)
	}
	t.Logf("published and loaded in %s", time.Since(start))
	expect(t, web, "db", "10.42.0.5")

	// A damaged file changes nothing; a killed edge comes back from what is on disk.
	file := filepath.Join(n.dataDir, "edge", "snapshot")
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	damaged := filepath.Join(n.dataDir, "edge", "damaged")
	if err := errors.Join(os.WriteFile(damaged, good[:len(good)-3], 0o600), os.Rename(damaged, file)); err != nil {
		t.Fatal(err)
	}
	expect(t, web, "db", "10.42.0.5")
	if err := os.WriteFile(file, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	// Until its last thread is gone its sockets are open; the status stays for whoever reaps it.
	if err := unix.Waitid(unix.P_PID, p.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatalf("wait for the killed edge: %v", err)
	}
	n.start()
	expect(t, web, "db", "10.42.0.5")
}

func TestEdgeForwardsAndFailsFast(t *testing.T) {
	n := newNode(t)
	web := n.container("web-1", "10.42.0.2", "web", "shop", "n1")
	n.publish()
	n.host.Must(func() error {
		_, err := n.links.EnsureHost()
		return err
	})
	upstream := n.host.ListenPacket("127.0.0.53:53")
	n.start()
	go func() {
		buf := make([]byte, 1500)
		for {
			size, from, err := upstream.ReadFrom(buf)
			if err != nil {
				return
			}
			var q, m mdns.Msg
			if err := q.Unpack(buf[:size]); err != nil {
				t.Error(err)
				return
			}
			m.SetReply(&q)
			m.Answer = []mdns.RR{&mdns.A{Hdr: mdns.RR_Header{Name: q.Question[0].Name, Rrtype: mdns.TypeA, Class: mdns.ClassINET, Ttl: 60}, A: net.IPv4(203, 0, 113, 7)}}
			packed, err := m.Pack()
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := upstream.WriteTo(packed, from); err != nil {
				return
			}
		}
	}()
	expect(t, web, "debian.org", "203.0.113.7")
	expect(t, web, "proxy.other", "203.0.113.7") // not ours, so theirs

	// Nobody there; nobody named; nothing but silence.
	for what, conf := range map[string]string{"nobody listens": "nameserver 127.0.0.54\n", "nobody is named": "",
		"no route": "nameserver 198.51.100.1\n", "only ourselves": "nameserver 169.254.42.53\n"} {
		n.write(conf + "# " + what + "\n")
		if what == "no route" {
			n.host.Run("ip", "route", "del", "default")
		}
		netnstest.Eventually(t, 5*time.Second, "SERVFAIL where "+what, func() bool {
			return ask(t, web, fmt.Sprintf("n%d.example.org", time.Now().UnixNano())) == "SERVFAIL"
		})
		start := time.Now()
		expect(t, web, "other.example.org", "SERVFAIL")
		if took := time.Since(start); took > 200*time.Millisecond {
			t.Errorf("%s: SERVFAIL took %s, want at once", what, took)
		}
		expect(t, web, "web", "10.42.0.2")
	}
	silent := n.host.ListenPacket("127.0.0.55:53")
	_ = silent // takes questions and never answers
	n.write("nameserver 127.0.0.55\n# silent\n")
	var took []time.Duration
	netnstest.Eventually(t, 15*time.Second, "the silent resolver to be left alone", func() bool {
		start := time.Now()
		got := ask(t, web, fmt.Sprintf("n%d.example.org", start.UnixNano()))
		took = append(took, time.Since(start))
		return got == "SERVFAIL" && took[len(took)-1] < 100*time.Millisecond && len(took) > 5
	})
	for _, d := range took {
		if d > 4*time.Second {
			t.Errorf("a question to a silent resolver took %s", d)
		}
	}
}

func TestEdgeIsSmallAndHasNoPrivileges(t *testing.T) {
	n := newNode(t)
	web := n.container("web-1", "10.42.0.2", "web", "shop", "n1")
	for i := range 1000 {
		n.snapshot.DNS.Endpoints = append(n.snapshot.DNS.Endpoints, dns.Endpoint{Address: netip.AddrFrom4([4]byte{10, 42, byte(4 + i>>8), byte(i)}),
			Name: fmt.Sprintf("c-%d", i), Service: fmt.Sprintf("s-%d", i%50), App: "shop", Networks: []string{"n1"}, Serving: true})
	}
	n.publish()
	n.host.Must(func() error {
		_, err := n.links.EnsureHost()
		return err
	})
	p := n.start()
	for range 50 {
		n.publish() // as while many containers start
	}
	if _, err := edge.Await(t.Context(), n.runDir, n.snapshot.Version); err != nil {
		t.Fatal(err)
	}
	for i := range 500 {
		if got := ask(t, web, fmt.Sprintf("c-%d", i)); !strings.HasPrefix(got, "10.42.") {
			t.Fatalf("c-%d: %s", i, got)
		}
	}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.Pid))
	if err != nil || len(tasks) < 3 {
		t.Fatalf("threads %v, %v", tasks, err)
	}
	for _, file := range append(tasks, fmt.Sprintf("/proc/%d/status", p.Pid)) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			words := strings.Fields(line)
			switch words[0] {
			case "CapEff:", "CapPrm:":
				if words[1] != "0000000000000400" { // CAP_NET_BIND_SERVICE
					t.Errorf("%s: %s %s", file, words[0], words[1])
				}
			case "CapInh:", "CapAmb:":
				if strings.Trim(words[1], "0") != "" {
					t.Errorf("%s: %s %s", file, words[0], words[1])
				}
			case "NoNewPrivs:":
				if words[1] != "1" {
					t.Errorf("%s: privileges can be regained", file)
				}
			case "VmRSS:":
				kib, err := strconv.Atoi(words[1])
				if err != nil || kib > 15<<10 {
					t.Errorf("%s: %d KiB resident with 1000 containers, want at most 15 MiB (%v)", file, kib, err)
				}
				if file == fmt.Sprintf("/proc/%d/status", p.Pid) {
					t.Logf("resident with 1000 containers: %d KiB", kib)
				}
			}
		}
	}
}

func TestEdgeInProcess(t *testing.T) {
	dir := t.TempDir()
	cfg := edge.Config{RunDir: dir, DataDir: dir, Listen: netip.MustParseAddrPort("127.0.0.1:0"), Log: slog.New(slog.DiscardHandler), KeepPrivileges: true}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- edge.Run(ctx, cfg) }()
	netnstest.Eventually(t, 5*time.Second, "the edge's door", func() bool {
		_, err := edge.Probe(t.Context(), dir)
		return err == nil
	})
	if err := edge.Run(ctx, cfg); err == nil || !strings.Contains(err.Error(), "another edge") {
		t.Errorf("a second edge: %v, want refused", err)
	}
	brief, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if s, err := edge.Await(brief, dir, 7); err == nil {
		t.Errorf("version 7 was never published, got %+v", s)
	}
	for version := range uint64(200) { // each is seen, however fast they come
		if err := edge.Publish(dir, edge.Snapshot{Version: version + 1}); err != nil {
			t.Fatal(err)
		}
		if s, err := edge.Await(t.Context(), dir, version+1); err != nil || s.Version != version+1 {
			t.Fatalf("version %d: %+v, %v", version+1, s, err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("edge ended with %v", err)
	}
	if _, err := edge.Probe(t.Context(), dir); err == nil {
		t.Error("an edge that ended answers")
	}
	for _, bad := range []edge.Config{{}, {Log: cfg.Log}, {Log: cfg.Log, RunDir: dir, DataDir: dir, Listen: netip.MustParseAddrPort("[::1]:53")}} {
		if err := edge.Run(t.Context(), bad); err == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
}
