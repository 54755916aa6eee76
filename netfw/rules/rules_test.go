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

func TestGolden(t *testing.T) {
	empty := full()
	empty.Endpoints, empty.Ports, empty.Control, empty.Resolver = nil, nil, nil, netip.AddrPort{}
	for name, d := range map[string]rules.Desired{"full": full(), "empty": empty} {
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
	r, err := rules.Render(full())
	if err != nil {
		t.Fatal(err)
	}
	want := r.Text()
	for seed := range uint64(20) {
		d, rnd := full(), rand.New(rand.NewPCG(seed, 0))
		rnd.Shuffle(len(d.Endpoints), func(i, j int) { d.Endpoints[i], d.Endpoints[j] = d.Endpoints[j], d.Endpoints[i] })
		rnd.Shuffle(len(d.Ports), func(i, j int) { d.Ports[i], d.Ports[j] = d.Ports[j], d.Ports[i] })
		slices.Reverse(d.Control)
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
		{"resolver", func(d *rules.Desired) { d.Resolver = addrPort("[::1]:53") }, "resolver"},
	} {
		d := full()
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
	seed, err := json.Marshal(full())
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
