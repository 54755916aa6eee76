package rules_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/skerryhq/skerry/netfw/rules"
)

var update = flag.Bool("update", false, "rewrite testdata")

func addr(s string) netip.Addr         { return netip.MustParseAddr(s) }
func addrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// full is a node with everything on it.
func full() rules.Desired {
	return rules.Desired{
		Pool:      netip.MustParsePrefix("10.42.0.0/16"),
		NodePools: []netip.Prefix{netip.MustParsePrefix("10.42.1.64/26"), netip.MustParsePrefix("10.42.0.0/26")},
		Endpoints: []rules.Endpoint{
			{Address: addr("10.42.1.70"), Veth: "skvccc", Networks: []string{"bank"}},
			{Address: addr("10.42.0.2"), Veth: "skvaaa", Networks: []string{"shop", "bank"}},
			{Address: addr("10.42.0.3"), Veth: "skvbbb", Networks: []string{"shop"}},
			{Address: addr("10.42.0.4"), Veth: "skvddd"},
		},
		Ports: []rules.Port{
			{Proto: rules.UDP, HostPort: 53, Backends: []netip.AddrPort{addrPort("10.42.0.2:53")}},
			{Proto: rules.TCP, HostPort: 30001, Backends: []netip.AddrPort{addrPort("10.42.0.3:80"), addrPort("10.42.0.2:80"), addrPort("10.42.1.70:80")}},
			{Proto: rules.TCP, HostPort: 8080, HostIP: addr("0.0.0.0"), Backends: []netip.AddrPort{addrPort("10.42.0.2:80")}},
			{Proto: rules.TCP, HostPort: 8080, HostIP: addr("127.0.0.1"), Backends: []netip.AddrPort{addrPort("10.42.0.3:80")}},
			{Proto: rules.TCP, HostPort: 9000},
			{Proto: rules.TCP, HostPort: 65535, Backends: []netip.AddrPort{addrPort("10.42.0.4:1")}},
		},
		Control:  []uint16{9090, 7443},
		Resolver: addrPort("169.254.42.53:53"),
	}
}

// cluster is the same node with two others: one on a wire of ours with two blocks, one behind a router.
func cluster() rules.Desired {
	d := full()
	d.Ingress, d.Overlay = addr("10.42.1.64"), 51820
	d.Peers = []rules.Peer{
		{Address: addr("198.51.100.7"), Device: "skerry-vx", Blocks: []netip.Prefix{netip.MustParsePrefix("10.42.7.0/26")}},
		{Address: addr("192.0.2.2"), Device: "eth0", Blocks: []netip.Prefix{netip.MustParsePrefix("10.42.3.0/26"), netip.MustParsePrefix("10.42.2.0/26")}},
		{Blocks: []netip.Prefix{netip.MustParsePrefix("10.42.9.0/26")}}, // no way to it at present
	}
	d.Remotes = []rules.Remote{
		{Address: addr("10.42.7.3"), Networks: []string{"shop"}},
		{Address: addr("10.42.2.3"), Networks: []string{"shop", "theirs"}},
		{Address: addr("10.42.2.4"), Networks: []string{"theirs"}},
	}
	d.Ports = append(d.Ports, rules.Port{Proto: rules.TCP, HostPort: 30100, Backends: []netip.AddrPort{addrPort("10.42.0.2:80"), addrPort("10.42.2.4:80")}},
		rules.Port{Proto: rules.TCP, HostPort: 30200, Backends: []netip.AddrPort{addrPort("10.42.7.3:80")}})
	return d
}

func TestGolden(t *testing.T) {
	empty := full()
	empty.Endpoints, empty.Ports, empty.Control, empty.Resolver = nil, nil, nil, netip.AddrPort{}
	blockless := cluster()
	blockless.NodePools, blockless.Ingress, blockless.Endpoints, blockless.Peers[0].Device = nil, netip.Addr{}, nil, ""
	for name, d := range map[string]rules.Desired{"full": full(), "empty": empty, "cluster": cluster(), "blockless": blockless} {
		r, err := rules.Render(d)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		file := filepath.Join("testdata", name+".rules")
		if *update {
			if err := os.WriteFile(file, []byte(r.Text()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Text(); got != string(want) {
			t.Errorf("%s differs from %s (go test -update, then read the difference):\n%s", name, file, got)
		}
	}
}

func TestOrderOfInputDoesNotMatter(t *testing.T) {
	r, err := rules.Render(cluster())
	if err != nil {
		t.Fatal(err)
	}
	want := r.Text()
	for seed := range uint64(20) {
		d, rnd := cluster(), rand.New(rand.NewPCG(seed, 0))
		rnd.Shuffle(len(d.Endpoints), func(i, j int) { d.Endpoints[i], d.Endpoints[j] = d.Endpoints[j], d.Endpoints[i] })
		rnd.Shuffle(len(d.Ports), func(i, j int) { d.Ports[i], d.Ports[j] = d.Ports[j], d.Ports[i] })
		slices.Reverse(d.Control)
		slices.Reverse(d.Peers)
		slices.Reverse(d.Remotes)
		for _, p := range d.Peers {
			slices.Reverse(p.Blocks)
		}
		slices.Reverse(d.NodePools)
		for _, p := range d.Ports {
			slices.Reverse(p.Backends)
		}
		input := fmt.Sprintf("%v", d)
		r, err := rules.Render(d)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Text(); got != want {
			t.Fatalf("seed %d renders differently:\n%s", seed, got)
		}
		if fmt.Sprintf("%v", d) != input {
			t.Fatal("Render changed its input")
		}
	}
}

func TestRefusedInput(t *testing.T) {
	for _, tc := range []struct {
		name string
		harm func(*rules.Desired)
		says string
	}{
		{"no pool", func(d *rules.Desired) { d.Pool = netip.Prefix{} }, "pool"},
		{"host bits", func(d *rules.Desired) { d.Pool = netip.MustParsePrefix("10.42.0.1/16") }, "10.42.0.1/16"},
		{"everything", func(d *rules.Desired) { d.Pool = netip.MustParsePrefix("0.0.0.0/0") }, "0.0.0.0/0"},
		{"IPv6 pool", func(d *rules.Desired) { d.Pool = netip.MustParsePrefix("fd00::/8") }, "fd00::/8"},
		{"node pool elsewhere", func(d *rules.Desired) { d.NodePools[0] = netip.MustParsePrefix("10.43.0.0/26") }, "10.43.0.0/26"},
		{"address elsewhere", func(d *rules.Desired) { d.Endpoints[0].Address = addr("10.42.9.9") }, "10.42.9.9"},
		{"address twice", func(d *rules.Desired) { d.Endpoints[0].Address = addr("10.42.0.2") }, "two containers"},
		{"veth twice", func(d *rules.Desired) { d.Endpoints[0].Veth = "skvaaa" }, "skvaaa"},
		{"foreign veth", func(d *rules.Desired) { d.Endpoints[0].Veth = "eth0" }, "eth0"},
		{"injected veth", func(d *rules.Desired) { d.Endpoints[0].Veth = "skv -j ACCEPT" }, "15 characters"},
		{"injected prefix", func(d *rules.Desired) { d.VethPrefix = "a\nCOMMIT" }, "prefix"},
		{"protocol", func(d *rules.Desired) { d.Ports[0].Proto = "sctp" }, "sctp"},
		{"port 0", func(d *rules.Desired) { d.Ports[0].HostPort = 0 }, "port 0"},
		{"port twice", func(d *rules.Desired) { d.Ports[0] = d.Ports[1] }, "twice"},
		{"unspecified is any", func(d *rules.Desired) { d.Ports[3].HostIP = netip.Addr{} }, "twice"},
		{"IPv6 port", func(d *rules.Desired) { d.Ports[0].HostIP = addr("::1") }, "::1"},
		{"backend elsewhere", func(d *rules.Desired) { d.Ports[0].Backends[0] = addrPort("192.0.2.1:80") }, "192.0.2.1:80"},
		{"backend port 0", func(d *rules.Desired) { d.Ports[0].Backends[0] = addrPort("10.42.0.2:0") }, "10.42.0.2:0"},
		{"control port", func(d *rules.Desired) { d.Ports[1].HostPort = 7443 }, "7443"},
		{"control 0", func(d *rules.Desired) { d.Control[0] = 0 }, "control port"},
		{"peer's address", func(d *rules.Desired) { d.Peers[0].Address = addr("::1") }, "::1"},
		{"injected device", func(d *rules.Desired) { d.Peers[0].Device = "eth0 -j ACCEPT" }, "-j ACCEPT"},
		{"wildcard device", func(d *rules.Desired) { d.Peers[0].Device = "eth+" }, "eth+"},
		{"a container's device", func(d *rules.Desired) { d.Peers[0].Device = "skvaaa" }, "skvaaa"},
		{"peer's block elsewhere", func(d *rules.Desired) { d.Peers[0].Blocks[0] = netip.MustParsePrefix("10.43.0.0/26") }, "10.43.0.0/26"},
		{"peer's block is ours", func(d *rules.Desired) { d.Peers[0].Blocks[0] = netip.MustParsePrefix("10.42.0.0/26") }, "this node's as well"},
		{"remote address elsewhere", func(d *rules.Desired) { d.Remotes[0].Address = addr("192.0.2.9") }, "192.0.2.9"},
		{"remote address is ours", func(d *rules.Desired) { d.Remotes[0].Address = addr("10.42.0.9") }, "10.42.0.9"},
		{"remote address twice", func(d *rules.Desired) { d.Remotes[0].Address = d.Remotes[1].Address }, "two containers"},
		{"ingress", func(d *rules.Desired) { d.Ingress = addr("10.42.0.1") }, "10.42.0.1"},
		{"resolver", func(d *rules.Desired) { d.Resolver = addrPort("[::1]:53") }, "resolver"},
	} {
		d := cluster()
		tc.harm(&d)
		_, err := rules.Render(d)
		if err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want an error that names %q", tc.name, err, tc.says)
		}
	}
}

// TestSmallChangesStaySmall holds the layout's promise: what one container or port costs.
func TestSmallChangesStaySmall(t *testing.T) {
	d := full()
	for i := range 1000 {
		d.Ports = append(d.Ports, rules.Port{Proto: rules.TCP, HostPort: uint16(31000 + i), Backends: []netip.AddrPort{addrPort("10.42.0.2:80")}})
	}
	before, err := rules.Render(d)
	if err != nil {
		t.Fatal(err)
	}
	changed := func() (names []string) {
		after, err := rules.Render(d)
		if err != nil {
			t.Fatal(err)
		}
		had := map[string][]string{}
		for _, c := range before.Chains {
			had[c.Name] = c.Rules
		}
		for _, c := range after.Chains {
			if !slices.Equal(had[c.Name], c.Rules) {
				names = append(names, c.Name)
			}
			if len(c.Rules) > 200 {
				t.Errorf("%s has %d rules", c.Name, len(c.Rules))
			}
		}
		return names
	}
	d.Endpoints = append(d.Endpoints, rules.Endpoint{Address: addr("10.42.0.50"), Veth: "skvzzz", Networks: []string{"shop"}})
	if got := changed(); len(got) != 0 {
		t.Errorf("a container in a known network changes chains %v", got)
	}
	d.Ports = append(d.Ports, rules.Port{Proto: rules.TCP, HostPort: 32000, Backends: []netip.AddrPort{addrPort("10.42.0.50:80")}})
	if got := changed(); !slices.Equal(got, []string{"SKERRY-TCP-32000"}) && len(got) > 2 {
		t.Errorf("a port changes chains %v", got)
	}
}

// TestRemotesOfForeignNetworksCostNothing: a set of a network that nobody here is in would only be long.
func TestRemotesOfForeignNetworksCostNothing(t *testing.T) {
	before, err := rules.Render(cluster())
	if err != nil {
		t.Fatal(err)
	}
	d := cluster()
	for i := range 200 {
		d.Remotes = append(d.Remotes, rules.Remote{Address: netip.AddrFrom4([4]byte{10, 42, 8, byte(i)}), Networks: []string{"theirs"}})
	}
	after, err := rules.Render(d)
	if err != nil {
		t.Fatal(err)
	}
	if before.Text() != after.Text() {
		t.Error("containers of networks that nobody here is in change the rules")
	}
}

// TestSharesAreFair computes from the rendered probabilities what each backend gets.
func TestSharesAreFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 60).Draw(t, "backends")
		d := rules.Desired{Pool: netip.MustParsePrefix("10.42.0.0/16"), Ports: []rules.Port{{Proto: rules.TCP, HostPort: 80}}}
		for i := range n {
			d.Ports[0].Backends = append(d.Ports[0].Backends, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 42, 0, byte(i)}), 80))
		}
		r, err := rules.Render(d)
		if err != nil {
			t.Fatal(err)
		}
		left, seen := 1.0, 0
		for line := range strings.Lines(r.Text()) {
			if !strings.Contains(line, "--to-destination") {
				continue
			}
			share := 1.0
			if _, rest, found := strings.Cut(line, "--probability "); found {
				if _, err := fmt.Sscanf(rest, "%f", &share); err != nil {
					t.Fatal(err)
				}
			}
			if got := left * share * float64(n); got < 0.999 || got > 1.001 {
				t.Fatalf("backend %d of %d gets %f of its share", seen, n, got)
			}
			left, seen = left*(1-share), seen+1
		}
		if seen != n || left > 1e-9 {
			t.Fatalf("%d of %d backends, %g of the connections go nowhere", seen, n, left)
		}
	})
}

// FuzzRender: what is accepted renders to lines of our own chains only, whatever the input holds.
func FuzzRender(f *testing.F) {
	seed, err := json.Marshal(cluster())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, in []byte) {
		var d rules.Desired
		if json.NewDecoder(bytes.NewReader(in)).Decode(&d) != nil {
			return
		}
		r, err := rules.Render(d)
		if err != nil {
			return
		}
		again, err := rules.Render(d)
		if err != nil || again.Text() != r.Text() {
			t.Fatalf("rendered differently the second time (%v)", err)
		}
		for line := range strings.Lines(rules.Restore(r.Chains, nil)) {
			ok := strings.HasPrefix(line, "*") || line == "COMMIT\n" || strings.HasPrefix(line, ":"+rules.Prefix) ||
				strings.HasPrefix(line, "-A "+rules.Prefix)
			if !ok || strings.Count(line, `"`)%2 != 0 || len(line) > 500 {
				t.Fatalf("line %q", line)
			}
		}
		for _, s := range r.Sets {
			if !strings.HasPrefix(s.Name, rules.SetPrefix) || len(s.Name) > 31 {
				t.Fatalf("set %q", s.Name)
			}
		}
		for _, c := range r.Chains {
			if len(c.Name) > 28 {
				t.Fatalf("chain %q is longer than the kernel takes", c.Name)
			}
		}
	})
}
