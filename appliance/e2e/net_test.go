package e2e

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/apptest"
	"github.com/skerryhq/skerry/raft/model"
)

const nodeIP = "192.0.2.1"

// ask connects over TCP and gives the first line.
func ask(n *apptest.Node, outside bool, address string) string {
	host := n.Host
	if outside {
		host = n.Outside
	}
	lines, err := host.Ask(address, 2*time.Second)
	if err != nil || len(lines) == 0 {
		return ""
	}
	return lines[0]
}

func answers(n *apptest.Node, outside bool, address, want string) {
	n.Eventually(10*time.Second, address+" answers", func() bool { return ask(n, outside, address) == want })
}

// hostPort reads the port that a container's service got.
func hostPort(t *testing.T, n *apptest.Node, service string) model.Port {
	t.Helper()
	var s model.Service
	n.JSON(&s, "service", "inspect", service)
	if len(s.Ports) != 1 {
		t.Fatalf("%s has the ports %v", service, s.Ports)
	}
	return s.Ports[0]
}

// TestPorts publishes in every way, from every side, and takes back.
func TestPorts(t *testing.T) {
	n := apptest.Start(t)
	n.Probe()
	before := n.Footprint()
	web, udpEcho := "tcp 80", "udp 53"
	run := func(name, publish, does string) {
		t.Helper()
		n.OK(append([]string{"run", "-d", "-n", name, "-p", publish, "probe"}, strings.Fields(does)...)...)
	}
	run("tcp", "8080:80", web)
	answers(n, true, nodeIP+":8080", "tcp")
	answers(n, false, nodeIP+":8080", "tcp")
	answers(n, false, "127.0.0.1:8080", "tcp")

	run("udp", "5300:53/udp", udpEcho)
	n.Eventually(15*time.Second, "UDP answers from outside", func() bool {
		lines, err := n.Outside.AskUDP(nodeIP+":5300", time.Second)
		return err == nil && len(lines) > 0 && lines[0] == "udp"
	})

	run("local", "127.0.0.1:8081:80", web)
	answers(n, false, "127.0.0.1:8081", "local")
	for _, address := range []string{nodeIP + ":8081", "127.0.0.1:8081"} {
		if got := ask(n, true, address); got != "" {
			t.Errorf("a port on 127.0.0.1 answers outside at %s: %q", address, got)
		}
	}
	// A neighbour on the wire sends packets for 127.0.0.1 our way.
	n.Outside.Run("sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1")
	n.Outside.Run("ip", "address", "flush", "dev", "lo")
	n.Outside.Run("ip", "route", "add", "127.0.0.1/32", "via", nodeIP)
	if route := n.Outside.Run("ip", "route", "get", "127.0.0.1"); !strings.Contains(route, "via "+nodeIP) {
		t.Errorf("the neighbour's packets do not come to us: %s", route)
	}
	if got := ask(n, true, "127.0.0.1:8081"); got != "" {
		t.Errorf("a port on 127.0.0.1 answers a neighbour: %q", got)
	}

	n.Host.Run("ip", "address", "add", "192.0.2.50/24", "dev", "eth0")
	run("one", "192.0.2.50:8082:80", web)
	answers(n, true, "192.0.2.50:8082", "one")
	if got := ask(n, true, nodeIP+":8082"); got != "" {
		t.Errorf("a port on 192.0.2.50 answers on %s: %q", nodeIP, got)
	}

	run("any", ":80", web)
	p := hostPort(t, n, "any")
	if p.HostPort < 30000 || p.HostPort > 32767 {
		t.Errorf("allocated %d, want one of the range", p.HostPort)
	}
	answers(n, true, fmt.Sprintf("%s:%d", nodeIP, p.HostPort), "any")

	refuse := func(want, publish string) {
		t.Helper()
		n.Refused(want, "run", "-d", "-n", "no", "-p", publish, "probe", "tcp", "80")
		if out := n.OK("app", "ls", "-q"); strings.Contains(out, "no\n") {
			t.Errorf("-p %s was refused and the app is there:\n%s", publish, out)
		}
	}
	refuse("tcp", "8080:80") // held by the app tcp
	refuse("8080/tcp", "127.0.0.1:8080:80")
	refuse("Skerry", "7443:80")
	listener := n.Host.Start("nc", "-l", "-k", "-p", "8090")
	n.Eventually(5*time.Second, "nc listens", func() bool { return strings.Contains(n.Host.Run("ss", "-ltn"), ":8090 ") })
	refuse("nc", "8090:80")
	_ = listener
	refuse("1 to 65535", "70000:80")
	refuse("port", "-5:80")
	refuse("port", "80:0")
	refuse("abc", "abc:80")
	run("low", "81:80", web) // privileged numbers are the platform's to give
	answers(n, true, nodeIP+":81", "low")
	run("mixed", "8080:53/udp", udpEcho) // the same number of the other protocol is free

	n.OK("stop", "tcp")
	if got := ask(n, true, nodeIP+":8080"); got != "" {
		t.Errorf("a stopped container answers %q", got)
	}
	n.OK("start", "tcp")
	answers(n, true, nodeIP+":8080", "tcp")
	n.OK("rm", "-f", "tcp")
	if got := ask(n, true, nodeIP+":8080"); got != "" {
		t.Errorf("a removed container answers %q", got)
	}
	run("again", "8080:80", web) // the port is free again
	answers(n, true, nodeIP+":8080", "again")
	n.OK("rm", "-f", "udp", "local", "one", "any", "low", "mixed", "again")
	n.Restored(before)
}

// TestReplicasShare spreads the connections to one port over the replicas, and
// leaves out those that are gone.
func TestReplicasShare(t *testing.T) {
	n := apptest.Start(t)
	n.Probe()
	n.OK("run", "-d", "-n", "pool", "-p", "8080:80", "--replicas", "3", "probe", "tcp", "80")
	who := func() map[string]int {
		seen := map[string]int{}
		for range 60 {
			if name := ask(n, true, nodeIP+":8080"); name != "" {
				seen[name]++
			}
		}
		return seen
	}
	n.Eventually(30*time.Second, "all three answer", func() bool {
		seen := who()
		return len(seen) == 3 && seen["pool"] >= 5 && seen["pool-2"] >= 5 && seen["pool-3"] >= 5 && seen["pool"]+seen["pool-2"]+seen["pool-3"] == 60
	})
	n.OK("stop", "pool-2")
	n.Eventually(10*time.Second, "the stopped one is left out", func() bool {
		seen := who()
		return len(seen) == 2 && seen["pool"]+seen["pool-3"] == 60
	})
}

// TestNames asks for names from inside, and tries to reach what is not ours.
func TestNames(t *testing.T) {
	n := apptest.Start(t)
	n.Busybox()
	n.Probe()
	before := n.Footprint()
	for _, app := range []string{"shop", "bank"} {
		compose := write(t, app+".yaml", `
name: `+app+`
services:
  web:
    image: probe
    command: ["tcp", "80"]
    deploy: {replicas: 2}
  client:
    image: busybox
`)
		n.OK("app", "deploy", "-f", compose)
	}
	addresses := map[string]bool{n.Container("shop-web-1").Assign.Address.String(): true, n.Container("shop-web-2").Assign.Address.String(): true}
	for _, name := range []string{"web", "web.shop", "web.shop.skerry.internal"} {
		n.Eventually(10*time.Second, name+" resolves to both replicas", func() bool {
			out, _ := n.Try("exec", "shop-client-1", "nslookup", "-type=a", name)
			found := 0
			for _, line := range strings.Split(out, "\n") {
				if f := strings.Fields(line); len(f) > 1 && addresses[f[len(f)-1]] {
					found++
				}
			}
			return found == 2
		})
		n.Eventually(10*time.Second, name+" answers", func() bool {
			out, _ := n.Try("exec", "shop-client-1", "timeout", "2", "nc", name, "80")
			return strings.HasPrefix(out, "shop-web-")
		})
	}
	for _, name := range []string{"web.bank", "web.bank.skerry.internal", "nothing", "nothing.skerry.internal"} {
		if out, status := n.Try("exec", "shop-client-1", "nslookup", "-type=a", name); status == 0 && strings.Contains(out, "10.42.") {
			t.Errorf("%s resolves from another app:\n%s", name, out)
		}
	}
	// A stopped replica is no longer named, a started one is again.
	n.OK("stop", "shop-web-2")
	n.Eventually(10*time.Second, "only one is left", func() bool {
		out, _ := n.Try("exec", "shop-client-1", "nslookup", "-type=a", "web")
		return strings.Contains(out, n.Container("shop-web-1").Assign.Address.String()) && !strings.Contains(out, n.Container("shop-web-2").Assign.Address.String())
	})

	// What a container may reach, and what not.
	reach := func(from, address string, port int) bool {
		_, status := n.Try("exec", from, "timeout", "2", "nc", "-w", "1", address, strconv.Itoa(port), "-e", "true")
		return status == 0
	}
	own, other := n.Container("shop-web-1").Assign.Address, n.Container("bank-web-1").Assign.Address
	if !reach("shop-client-1", own.String(), 80) {
		t.Errorf("its own app's %s is closed", own)
	}
	if reach("shop-client-1", other.String(), 80) {
		t.Errorf("another app's %s is open", other)
	}
	gate := netip.MustParseAddr(nodeIP)
	for _, address := range []string{gate.String(), "127.0.0.1", "169.254.42.53"} {
		if reach("shop-client-1", address, 7443) {
			t.Errorf("the node's control port is open at %s", address)
		}
	}
	// Outbound: the neighbour sees the node's address, and answers come back.
	n.Outside.ServeName("outside", 9000)
	out := n.OK("exec", "shop-client-1", "timeout", "3", "nc", "192.0.2.2", "9000")
	if !strings.Contains(out, "outside") {
		t.Errorf("outbound: %q", out)
	}
	if !strings.Contains(out, nodeIP) {
		t.Errorf("outbound is not masqueraded: the neighbour answers %q", out)
	}
	n.OK("app", "rm", "-f", "shop", "bank")
	n.Restored(before)
}

// TestDrift flushes the node's packet filter and leaves foreign rules alone.
func TestDrift(t *testing.T) {
	n := apptest.Start(t)
	n.Probe()
	n.Host.Run("iptables", "-N", "ADMIN")
	n.Host.Run("iptables", "-A", "ADMIN", "-s", "203.0.113.7", "-j", "DROP")
	n.Host.Run("iptables", "-I", "INPUT", "-j", "ADMIN")
	n.Host.Run("iptables", "-t", "nat", "-A", "POSTROUTING", "-s", "203.0.113.0/24", "-j", "MASQUERADE")
	foreign := func() string {
		var keep []string
		for _, l := range strings.Split(n.Host.Run("iptables-save"), "\n") {
			if strings.Contains(l, "ADMIN") || strings.Contains(l, "203.0.113") {
				if i := strings.Index(l, " ["); i < 0 || !strings.HasPrefix(l, ":") {
					keep = append(keep, l)
				}
			}
		}
		return strings.Join(keep, "\n")
	}
	was := foreign()
	n.OK("run", "-d", "-n", "web", "-p", "8080:80", "probe", "tcp", "80")
	answers(n, true, nodeIP+":8080", "web")
	if is := foreign(); is != was {
		t.Errorf("foreign rules changed:\n%s\nwere:\n%s", is, was)
	}
	ours := func() int { return strings.Count(strings.ToUpper(n.Host.Run("iptables-save")), "SKERRY") }
	want := ours()

	n.Host.Run("iptables", "-F")
	n.Host.Run("iptables", "-t", "nat", "-F")
	n.Eventually(20*time.Second, "flushed chains are repaired", func() bool { return ours() == want })
	answers(n, true, nodeIP+":8080", "web")

	n.Host.Run("nft", "flush", "ruleset")
	n.Eventually(20*time.Second, "a flushed ruleset is repaired", func() bool { return ours() == want })
	answers(n, true, nodeIP+":8080", "web")

	n.Host.Run("iptables", "-N", "ADMIN")
	n.Host.Run("iptables", "-A", "ADMIN", "-s", "203.0.113.7", "-j", "DROP")
	n.Host.Run("iptables", "-I", "INPUT", "-j", "ADMIN")
	was = foreign()
	n.OK("rm", "-f", "web")
	if is := foreign(); is != was {
		t.Errorf("foreign rules after removal:\n%s\nwere:\n%s", is, was)
	}
}
