package overlay_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/skerryhq/skerry/netfw/iptables"
	"github.com/skerryhq/skerry/netfw/link"
	"github.com/skerryhq/skerry/netfw/netnstest"
	"github.com/skerryhq/skerry/netfw/overlay"
	"github.com/skerryhq/skerry/netfw/rules"
)

const (
	soon = 2 * time.Second        // for answers that must come
	late = 200 * time.Millisecond // for answers that must not
)

// node is a host with links, overlay and rules.
type node struct {
	*netnstest.Host
	id, dir string
	block   netip.Prefix
	links   *link.Links
	over    *overlay.Overlay
	table   *iptables.Table
	ends    []rules.Endpoint
	unknown bool // to the others: removed, or not joined yet
	applied overlay.Applied
}

// cluster is nodes of one environment, brought up to date together.
type cluster struct {
	t     *testing.T
	nodes []*node
	ports []rules.Port
}

// filters runs fn once with each iptables of this machine.
func filters(t *testing.T, fn func(t *testing.T, command string)) {
	netnstest.Require(t)
	found := 0
	for _, command := range []string{"iptables-nft", "iptables-legacy"} {
		if _, err := exec.LookPath(command); err != nil {
			t.Logf("%s is not installed: not tried", command)
			continue
		}
		found++
		t.Run(command, func(t *testing.T) { fn(t, command) })
	}
	if found == 0 {
		t.Skip("neither iptables-nft nor iptables-legacy is installed")
	}
}

func (c *cluster) log() *slog.Logger { return slog.New(slog.NewTextHandler(c.t.Output(), nil)) }

func newCluster(t *testing.T, command string, hosts []*netnstest.Host) *cluster {
	t.Helper()
	c := &cluster{t: t}
	for i, h := range hosts {
		n := &node{Host: h, id: fmt.Sprintf("node-%d", i+1), block: netip.MustParsePrefix(fmt.Sprintf("10.42.%d.0/26", i))}
		log := c.log()
		dir := t.TempDir()
		n.dir = dir
		h.Must(func() (err error) {
			if n.links, err = link.New(link.Config{Dir: filepath.Join(dir, "netns")}); err != nil {
				return err
			}
			if _, err = n.links.EnsureHost(); err != nil {
				return err
			}
			if n.over, err = overlay.New(overlay.Config{Dir: dir, Log: log}); err != nil {
				return err
			}
			n.table, err = iptables.New(iptables.Config{Command: command, Log: log})
			return err
		})
		h.Run(command, "-P", "FORWARD", "DROP") // another container engine's policy must not close ours
		t.Cleanup(func() {
			h.Must(func() error {
				present, err := n.links.List()
				if err != nil {
					return err
				}
				for _, id := range present.IDs {
					if err := n.links.Remove(context.Background(), id); err != nil {
						return err
					}
				}
				return nil
			})
			if t.Failed() {
				routes, _ := h.Try("ip", "route")
				filter, _ := h.Try(command+"-save", "-c")
				t.Logf("%s routes:\n%s\n%s", n.id, routes, filter)
			}
			n.over.Close()
			n.links.Close()
			n.table.Close()
		})
		c.nodes = append(c.nodes, n)
	}
	return c
}

// container connects one; it is known after the next apply.
func (c *cluster) container(on int, id, address string, networks ...string) *netnstest.Host {
	c.t.Helper()
	n := c.nodes[on]
	a := netip.MustParseAddr(address)
	var made link.Attachment
	n.Must(func() (err error) {
		made, err = n.links.Ensure(c.t.Context(), link.Spec{ID: id, Address: a})
		return err
	})
	n.ends = append(n.ends, rules.Endpoint{Address: a, Veth: made.Veth, Networks: networks})
	h := netnstest.Adopt(c.t, id, made.NetNS)
	h.ServeName(id, 80)
	return h
}

func (c *cluster) publish(port uint16, backends ...string) {
	for _, proto := range []rules.Protocol{rules.TCP, rules.UDP} {
		p := rules.Port{Proto: proto, HostPort: port}
		for _, b := range backends {
			p.Backends = append(p.Backends, netip.MustParseAddrPort(b))
		}
		c.ports = append(c.ports, p)
	}
}

// wishes are what a node should hold, given the paths to the others.
func (c *cluster) wishes(n *node) (overlay.Desired, func([]overlay.Path) rules.Desired) {
	o := overlay.Desired{NodeID: n.id, Address: n.Address, Blocks: []netip.Prefix{n.block}}
	r := rules.Desired{Pool: netip.MustParsePrefix("10.42.0.0/16"), NodePools: o.Blocks, Endpoints: n.ends, Ports: c.ports, Control: []uint16{7443},
		Resolver: netip.MustParseAddrPort("169.254.42.53:53"), Ingress: n.block.Addr(), Overlay: n.over.Port()}
	for _, m := range c.nodes {
		if m == n || m.unknown {
			continue
		}
		o.Peers = append(o.Peers, overlay.Peer{NodeID: m.id, Address: m.Address, Blocks: []netip.Prefix{m.block}})
		for _, e := range m.ends {
			r.Remotes = append(r.Remotes, rules.Remote{Address: e.Address, Networks: e.Networks})
		}
	}
	return o, func(paths []overlay.Path) rules.Desired {
		for i, p := range o.Peers {
			r.Peers = append(r.Peers, rules.Peer{Address: p.Address, Blocks: p.Blocks, Device: paths[i].Device})
		}
		return r
	}
}

// apply brings all nodes up to date and says how many connections each deleted.
func (c *cluster) apply() []uint {
	c.t.Helper()
	var deleted []uint
	for _, n := range c.nodes {
		want, filter := c.wishes(n)
		n.Must(func() (err error) {
			if n.applied, err = n.over.Apply(c.t.Context(), want); err != nil {
				return err
			}
			change, err := n.table.Apply(c.t.Context(), filter(n.applied.Paths))
			deleted = append(deleted, change.Connections)
			return err
		})
	}
	return deleted
}

// answers asserts that address answers from name, and that it saw the client as seen (any, when empty).
func answers(t *testing.T, from *netnstest.Host, address, name, seen string) {
	t.Helper()
	for proto, ask := range map[string]func(string, time.Duration) ([]string, error){"tcp": from.Ask, "udp": from.AskUDP} {
		words, err := ask(address, soon)
		if err != nil {
			t.Fatalf("%s asks %s by %s: %v", from.Name, address, proto, err)
		}
		if words[0] != name || (seen != "" && words[1] != seen) {
			t.Fatalf("%s asks %s by %s: answered %v, want %s seeing %s", from.Name, address, proto, words, name, seen)
		}
	}
}

// silent asserts that address gives no answer, neither by TCP nor by UDP.
func silent(t *testing.T, from *netnstest.Host, address string) {
	t.Helper()
	if words, err := from.Ask(address, late); err == nil {
		t.Fatalf("%s asks %s by TCP: answered %v, want none", from.Name, address, words)
	}
	if words, err := from.AskUDP(address, late); err == nil {
		t.Fatalf("%s asks %s by UDP: answered %v, want none", from.Name, address, words)
	}
}
