package overlay_test

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/netfw/netnstest"
	"github.com/skerryhq/skerry/netfw/overlay"
	"github.com/skerryhq/skerry/netfw/rules"
)

// wires are the two ways in which three hosts may be connected.
var wires = map[string]func(t *testing.T) []*netnstest.Host{
	"one wire": func(t *testing.T) []*netnstest.Host { return netnstest.Cluster(t, 3) },
	"behind a router": func(t *testing.T) []*netnstest.Host {
		hosts, _ := netnstest.Routed(t, 2, 1) // the first two on one wire, the third alone
		return hosts
	},
}

// everywhere runs fn with every filter on every wire.
func everywhere(t *testing.T, fn func(t *testing.T, c *cluster)) {
	for name, hosts := range wires {
		t.Run(name, func(t *testing.T) {
			filters(t, func(t *testing.T, command string) { fn(t, newCluster(t, command, hosts(t))) })
		})
	}
}

// shop is an app with a replica on every node and a bank that it must not see.
func shop(c *cluster) (web [3]*netnstest.Host, bank *netnstest.Host) {
	web[0] = c.container(0, "web1", "10.42.0.2", "shop")
	web[1] = c.container(1, "web2", "10.42.1.2", "shop")
	web[2] = c.container(2, "web3", "10.42.2.2", "shop")
	bank = c.container(2, "bank", "10.42.2.9", "bank")
	return web, bank
}

func TestContainersOfOneAppTalkAcrossHosts(t *testing.T) {
	everywhere(t, func(t *testing.T, c *cluster) {
		web, bank := shop(c)
		c.apply()
		at := []string{"10.42.0.2", "10.42.1.2", "10.42.2.2"}
		for i, from := range web {
			for j, to := range web {
				answers(t, from, at[j]+":80", to.Name, map[bool]string{true: at[i]}[i != j]) // with its own address
			}
			silent(t, from, "10.42.2.9:80") // another app's, here or elsewhere
			if i < 2 {
				silent(t, bank, at[i]+":80")
			}
			silent(t, from, "10.42.1.60:80") // nobody's
		}
		for _, size := range []int{0, 1472, 4000} { // large ones, too: the way by a router is narrower than a container believes
			netnstest.Eventually(t, soon, fmt.Sprintf("ping of %d bytes is answered", size), func() bool {
				return web[0].Ping("10.42.2.2", size, late) == nil
			})
		}
		if web[0].Ping("10.42.2.9", 0, late) == nil {
			t.Error("another app's container answers a ping")
		}
		bulk(t, web[0], web[2], "10.42.2.2")
		// The host itself reaches every container, as it does on its own.
		answers(t, c.nodes[0].Host, "10.42.2.9:80", "bank", "10.42.0.0")
		answers(t, c.nodes[0].Host, "10.42.1.2:80", "web2", "10.42.0.0")
	})
}

// bulk sends a megabyte by TCP, whose packets must not be larger than the way.
func bulk(t *testing.T, from, to *netnstest.Host, address string) {
	t.Helper()
	const size = 1 << 20
	l := to.Listen("0.0.0.0:81")
	got := make(chan int64, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			got <- -1
			return
		}
		defer c.Close()
		n, _ := io.Copy(io.Discard, c)
		got <- n
	}()
	c, err := from.Dial("tcp4", address+":81", soon)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if n := <-got; n != size {
		t.Errorf("%d of %d bytes arrived", n, size)
	}
}

func TestPublishedPortAnswersOnEveryNode(t *testing.T) {
	everywhere(t, func(t *testing.T, c *cluster) {
		web, bank := shop(c)
		c.publish(8080, "10.42.0.2:80")
		c.publish(8081, "10.42.2.9:80")
		c.apply()
		n := c.nodes
		at := func(i int, port string) string { return n[i].Address.String() + ":" + port }
		answers(t, n[1].Host, at(0, "8080"), "web1", n[1].Address.String()) // where it is: the client's own address
		answers(t, n[0].Host, at(1, "8080"), "web1", "10.42.1.0")           // elsewhere: the ingress node's
		answers(t, n[2].Host, at(1, "8080"), "web1", "10.42.1.0")
		answers(t, n[1].Host, at(2, "8080"), "web1", "10.42.2.0")
		answers(t, n[1].Host, at(1, "8080"), "web1", "10.42.1.0") // a process of the host that has none
		answers(t, n[1].Host, "127.0.0.1:8080", "web1", "10.42.1.0")
		answers(t, n[0].Host, "127.0.0.1:8080", "web1", rules.DefaultGateway)
		// Containers: of the same app and of others, at their own host and at others, and itself around the corner.
		for i := range n {
			for _, from := range []*netnstest.Host{web[0], web[1], bank} {
				answers(t, from, at(i, "8080"), "web1", "")
				answers(t, from, at(i, "8081"), "bank", "")
			}
		}
		// Straight at a container, or through a node that is no way to it: only by published ports.
		n[1].Run("ip", "route", "replace", "10.42.0.2/32", "via", gateway(n[1], n[0]), "src", n[1].Address.String())
		silent(t, n[1].Host, "10.42.0.2:80")
	})
}

// gateway is the next hop from one host to another.
func gateway(from, to *node) string {
	out := from.Run("ip", "-o", "route", "get", to.Address.String())
	if words := strings.Fields(out); slices.Contains(words, "via") {
		return words[slices.Index(words, "via")+1]
	}
	return to.Address.String()
}

func TestReplicasOnSeveralNodesShareAndTheDeadGetNone(t *testing.T) {
	everywhere(t, func(t *testing.T, c *cluster) {
		shop(c)
		c.publish(8080, "10.42.0.2:80", "10.42.1.2:80", "10.42.2.2:80")
		c.apply()
		count := func() map[string]int {
			out := map[string]int{}
			for range 90 {
				words, err := c.nodes[0].Ask(c.nodes[1].Address.String()+":8080", soon)
				if err != nil {
					t.Fatal(err)
				}
				out[words[0]]++
			}
			return out
		}
		// Each expects 30 with a standard deviation of 4.5.
		if got := count(); len(got) != 3 || got["web1"] < 8 || got["web2"] < 8 || got["web3"] < 8 {
			t.Errorf("shares %v, want about a third each", got)
		}
		// The third node is cut off: what the view leaves out gets nothing, not even of a client that goes on sending.
		conn, err := c.nodes[0].Dial("udp4", c.nodes[1].Address.String()+":8080", soon)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		c.nodes[2].Run("ip", "link", "set", "eth0", "down")
		c.ports = nil
		c.publish(8080, "10.42.0.2:80", "10.42.1.2:80")
		survivors := *c
		survivors.nodes = c.nodes[:2]
		c.nodes[2].ends = c.nodes[2].ends[:0]
		survivors.apply()
		if got := count(); len(got) != 2 || got["web1"] < 20 || got["web2"] < 20 {
			t.Errorf("shares %v after node 3 went, want half each", got)
		}
	})
}

// TestConnectionsEndWithTheirContainer keeps one UDP socket open to a container on another node, straight and by a
// published port, while that container goes and another app gets its address: nothing of the old connection leads there.
func TestConnectionsEndWithTheirContainer(t *testing.T) {
	everywhere(t, func(t *testing.T, c *cluster) {
		web, _ := shop(c)
		c.publish(8080, "10.42.2.2:80")
		c.apply()
		open := func(from *netnstest.Host, address string) func() string {
			conn, err := from.Dial("udp4", address, soon)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			return func() string {
				if _, err := conn.Write([]byte("x")); err != nil {
					return ""
				}
				if err := conn.SetReadDeadline(time.Now().Add(late)); err != nil {
					t.Fatal(err)
				}
				buf := make([]byte, 100)
				n, _ := conn.Read(buf)
				name, _, _ := strings.Cut(string(buf[:n]), " ")
				return name
			}
		}
		straight, published := open(web[0], "10.42.2.2:80"), open(c.nodes[1].Host, c.nodes[0].Address.String()+":8080")
		for what, ask := range map[string]func() string{"straight": straight, "published": published} {
			if got := ask(); got != "web3" {
				t.Fatalf("%s: answered by %q", what, got)
			}
		}
		third := c.nodes[2]
		third.ends = slices.DeleteFunc(third.ends, func(e rules.Endpoint) bool { return e.Address == netip.MustParseAddr("10.42.2.2") })
		third.Must(func() error { return third.links.Remove(t.Context(), "web3") })
		thief := c.container(2, "thief", "10.42.2.2", "bank")
		c.ports = nil
		c.publish(8080, "10.42.0.2:80")
		changes := c.apply()
		if changes[0] == 0 {
			t.Error("the node where the connections come in kept them")
		}
		if got := straight(); got != "" {
			t.Errorf("straight: answered by %q", got)
		}
		netnstest.Eventually(t, soon, "the published port leads to the other replica", func() bool { return published() == "web1" })
		// Nor from the new owner of the address back to the old friend.
		silent(t, thief, "10.42.0.2:80")
		// What goes on is left in peace by changes elsewhere.
		alive := open(web[0], "10.42.1.2:80")
		if got := alive(); got != "web2" {
			t.Fatalf("answered by %q", got)
		}
		c.container(1, "more", "10.42.1.7", "shop")
		if changes := c.apply(); changes[0] != 0 {
			t.Errorf("%d connections deleted for a container more", changes[0])
		}
		if got := alive(); got != "web2" {
			t.Errorf("answered by %q", got)
		}
	})
}

func TestNodesAreGuarded(t *testing.T) {
	everywhere(t, func(t *testing.T, c *cluster) {
		web, _ := shop(c)
		for _, n := range c.nodes {
			n.ServeName("control", 7443)
			n.ServeName("plain", 8000)
		}
		c.apply()
		for _, n := range c.nodes {
			for _, from := range web {
				silent(t, from, n.Address.String()+":7443")               // by its address
				silent(t, from, n.block.Addr().String()+":7443")          // by the one that it speaks from
				answers(t, from, n.Address.String()+":8000", "plain", "") // as open as on a container's own host
			}
			for _, m := range c.nodes {
				answers(t, m.Host, n.Address.String()+":7443", "control", "")
			}
		}
		if _, err := web[0].Ask(c.nodes[2].Address.String()+":7443", soon); !netnstest.Refused(err) {
			t.Errorf("another node's control port: %v, want refused at once", err)
		}
	})
}

// TestStolenAddresses lets a machine that is no node send what only a node may.
func TestStolenAddresses(t *testing.T) {
	filters(t, func(t *testing.T, command string) {
		hosts := netnstest.Cluster(t, 4)
		c := newCluster(t, command, hosts[:3])
		web, _ := shop(c)
		c.apply()
		thief := hosts[3]
		n := c.nodes[0]
		// As a container of the same app, on another node: by the wire that the packets do come in by. The plain
		// mode trusts the wire for that (see the package), but not for addresses that nobody gave out.
		for _, stolen := range []string{"10.42.0.7", "10.42.200.1"} { // the node's own, and of no node's block
			thief.Run("ip", "addr", "add", stolen+"/32", "dev", "eth0")
			thief.Run("ip", "route", "replace", "10.42.0.2/32", "via", n.Address.String(), "src", stolen)
			thief.Run("ip", "route", "replace", "10.42.0.0/32", "via", n.Address.String(), "src", stolen)
			silent(t, thief, "10.42.0.2:80")
			n.ServeName("host-"+stolen, 9000+uint16(len(stolen)))
			silent(t, thief, "10.42.0.0:9009")
			thief.Run("ip", "addr", "del", stolen+"/32", "dev", "eth0")
		}
		// As a process of the host itself, and to one, though the interface is open to such packets.
		n.ServeNameAt("local", "127.0.0.1", 9100)
		for _, line := range []string{"ip route del local 127.0.0.0/8 table local", "ip route del local 127.0.0.1 table local", "ip route add 127.0.0.0/8 via " + n.Address.String() + " src " + thief.Address.String(),
			"sysctl -qw net.ipv4.conf.all.route_localnet=1"} {
			thief.Run(strings.Fields(line)...)
		}
		silent(t, thief, "127.0.0.1:9100")
		// Encapsulated, from an address that is no node's.
		thief.Run("ip", "link", "add", "vx", "type", "vxlan", "id", "5458777", "dstport", "51820", "remote", n.Address.String(), "dev", "eth0")
		before := drops(n.Host, command)
		thief.Run("ip", "link", "set", "vx", "up")
		thief.Run("ip", "addr", "add", "10.99.0.1/24", "dev", "vx")
		if thief.Ping("10.99.0.2", 0, late) == nil {
			t.Error("somebody answers inside the thief's packets")
		}
		if after := drops(n.Host, command); after == before {
			t.Errorf("encapsulated packets from a stranger were not dropped by our rule (counter stays %s)", after)
		}
		// A container that makes such packets itself.
		for _, node := range c.nodes {
			conn, err := web[0].Dial("udp4", node.Address.String()+":51820", soon)
			if err != nil {
				t.Fatal(err)
			}
			node.Must(func() error { return node.over.Remove() }) // the kernel itself holds the port where there is VXLAN
			heard := node.ListenPacket(":51820")
			for range 3 {
				if _, err := conn.Write([]byte("x")); err != nil && !netnstest.Refused(err) {
					t.Fatal(err)
				}
			}
			if err := heard.SetReadDeadline(time.Now().Add(late)); err != nil {
				t.Fatal(err)
			}
			if _, from, err := heard.ReadFrom(make([]byte, 10)); err == nil {
				t.Errorf("%s hears a container as %s at the port between nodes", node.id, from)
			}
			heard.Close()
			conn.Close()
		}
	})
}

// drops reads how many encapsulated packets were dropped.
func drops(h *netnstest.Host, command string) string {
	for line := range strings.Lines(h.Run(command+"-save", "-c", "-t", "raw")) {
		if strings.Contains(line, rules.HostSet) {
			count, _, _ := strings.Cut(line, " ")
			return count
		}
	}
	return "no rule"
}

func TestWays(t *testing.T) {
	filters(t, func(t *testing.T, command string) {
		hosts, _ := netnstest.Routed(t, 2, 1)
		c := newCluster(t, command, hosts)
		c.apply()
		want := []overlay.Path{{NodeID: "node-2", Device: "eth0"}, {NodeID: "node-3", Device: overlay.DefaultDevice, Encapsulated: true}}
		if got := c.nodes[0].applied.Paths; !slices.Equal(got, want) {
			t.Errorf("paths %+v, want %+v", got, want)
		}
		out := c.nodes[0].Run("ip", "-d", "link", "show", overlay.DefaultDevice)
		for _, word := range []string{"mtu 1450", "nolearning", "dstport 51820", "local 198.18.1.1"} {
			if !strings.Contains(out, word) {
				t.Errorf("the interface lacks %q:\n%s", word, out)
			}
		}
		// The third node moves to the others' wire: no VXLAN is needed any more.
		c.nodes = c.nodes[:2]
		c.apply()
		if out, err := c.nodes[0].Try("ip", "link", "show", overlay.DefaultDevice); err == nil {
			t.Errorf("the interface is left over:\n%s", out)
		}
		if got := c.nodes[0].Run("ip", "route", "show", "10.42.2.0/26"); got != "" {
			t.Errorf("a route is left over: %s", got)
		}
	})
}

func TestUnreachablePeers(t *testing.T) {
	c := newCluster(t, "iptables", netnstest.Cluster(t, 1))
	n := c.nodes[0]
	d := overlay.Desired{NodeID: n.id, Address: n.Address, Blocks: []netip.Prefix{n.block}, Peers: []overlay.Peer{
		{NodeID: "silent", Blocks: []netip.Prefix{netip.MustParsePrefix("10.42.5.0/26")}},
		{NodeID: "same", Address: n.Address, Blocks: []netip.Prefix{netip.MustParsePrefix("10.42.6.0/26")}},
		{NodeID: "fine", Address: netip.MustParseAddr("192.0.2.9"), Blocks: []netip.Prefix{netip.MustParsePrefix("10.42.7.0/26")}},
	}}
	n.Must(func() error {
		got, err := n.over.Apply(t.Context(), d)
		if err == nil && (got.Paths[0].Device != "" || got.Paths[1].Device != "" || got.Paths[2].Device != "eth0") {
			t.Errorf("paths %+v", got.Paths)
		}
		return err
	})
	for _, block := range []string{"10.42.5.0/26", "10.42.6.0/26", "10.42.0.0/26"} { // not by the default route, to strangers
		if got := n.Run("ip", "route", "show", block); !strings.Contains(got, "unreachable") {
			t.Errorf("route to %s: %q", block, got)
		}
	}
	for name, harm := range map[string]func(*overlay.Desired){
		"another node": func(d *overlay.Desired) { d.Peers[2].Blocks = d.Blocks },
		"missing":      func(d *overlay.Desired) { d.Peers[0].NodeID = "" },
		"network":      func(d *overlay.Desired) { d.Peers[0].Blocks = []netip.Prefix{netip.MustParsePrefix("fd00::/64")} },
		"own":          func(d *overlay.Desired) { d.Peers[0].NodeID = d.NodeID },
	} {
		bad := d
		bad.Peers = slices.Clone(d.Peers)
		harm(&bad)
		n.Must(func() error {
			if _, err := n.over.Apply(t.Context(), bad); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %v", name, err)
			}
			return nil
		})
	}
}

// TestDriftIsRepaired breaks every part of it, one after the other.
func TestDriftIsRepaired(t *testing.T) {
	filters(t, func(t *testing.T, command string) {
		hosts, _ := netnstest.Routed(t, 2, 1)
		c := newCluster(t, command, hosts)
		web, _ := shop(c)
		c.apply()
		for _, harm := range []string{
			"ip route del 10.42.1.0/26",
			"ip route replace 10.42.2.0/26 dev eth0",
			"ip route flush proto 83",
			"ip route add 10.42.9.0/26 via 198.18.1.2 proto 83",
			"ip link set skerry-vx down",
			"ip link set skerry-vx mtu 1000",
			"ip link set skerry-vx address 02:00:00:00:00:09",
			"ip link del skerry-vx",
			"ip neigh flush nud permanent dev skerry-vx",
			"bridge fdb del $(bridge fdb show dev skerry-vx | head -1 | cut -d' ' -f1) dev skerry-vx",
			"bridge fdb add 02:00:00:00:00:09 dev skerry-vx dst 198.18.2.9",
			"ip link del skerry-vx; ip link add skerry-vx type vxlan id 7 dstport 4789; ip link set skerry-vx up",
			"ip addr flush dev lo label lo:skerry",
			"ip addr add 10.42.77.0/32 dev lo label lo:skerry",
		} {
			n := c.nodes[0]
			n.Run("sh", "-c", harm)
			c.apply()
			if len(n.applied.Changes) == 0 {
				t.Errorf("%s: not noticed", harm)
			}
			c.apply()
			if len(n.applied.Changes) != 0 {
				t.Errorf("%s: the second look changed %q", harm, n.applied.Changes)
			}
			answers(t, web[0], "10.42.1.2:80", "web2", "10.42.0.2")
			answers(t, web[0], "10.42.2.2:80", "web3", "10.42.0.2")
			answers(t, n.Host, "10.42.2.2:80", "web3", "10.42.0.0")
			if out := n.Run("ip", "route") + n.Run("ip", "addr", "show", "lo"); strings.Contains(out, "10.42.9.") || strings.Contains(out, "10.42.77.") {
				t.Errorf("%s: something foreign is left:\n%s", harm, out)
			}
		}
	})
}

// TestRemoveLeavesNothing takes back what another process has made.
func TestRemoveLeavesNothing(t *testing.T) {
	filters(t, func(t *testing.T, command string) {
		hosts, _ := netnstest.Routed(t, 2, 1)
		look := func() string {
			return hosts[0].Run("sh", "-c", "ip -o link show; ip route show table all; ip addr show lo; cat /proc/sys/net/ipv4/conf/eth0/route_localnet")
		}
		c := newCluster(t, command, hosts)
		before := look()
		c.apply()
		if look() == before {
			t.Fatal("nothing was made")
		}
		for range 2 {
			hosts[0].Must(func() error {
				again, err := overlay.New(overlay.Config{Dir: c.nodes[0].dir, Log: c.log()})
				if err != nil {
					return err
				}
				defer again.Close()
				return again.Remove()
			})
			if got := look(); got != before {
				t.Errorf("after the removal:\n%s\nbefore:\n%s", got, before)
			}
		}
	})
}
