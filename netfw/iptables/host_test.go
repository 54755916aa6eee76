package iptables_test

import (
	"fmt"
	"log/slog"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/netfw/iptables"
	"github.com/skerryhq/skerry/netfw/netnstest"
	"github.com/skerryhq/skerry/netfw/rules"
)

func TestPublishedPorts(t *testing.T) {
	backends(t, func(t *testing.T, command string) {
		n := newNode(t, command)
		// Another container engine's policy must not close our ports.
		n.host.Run(command, "-P", "FORWARD", "DROP")
		n.outside.ServeName("outside", 9000)
		a := n.container("a", "10.42.0.2", "shop")
		b := n.container("b", "10.42.0.3", "shop")
		other := n.container("other", "10.42.0.4", "bank")
		a.ServeName("a", 80)
		b.ServeName("b", 80)
		other.ServeName("other", 80)
		for _, proto := range []rules.Protocol{rules.TCP, rules.UDP} {
			n.publish(proto, "", 8080, "10.42.0.2:80")
			n.publish(proto, "127.0.0.1", 8081, "10.42.0.2:80")
			n.publish(proto, "0.0.0.0", 30005, "10.42.0.4:80")
		}
		n.apply()

		host := n.host.Address.String()
		for _, udp := range []bool{false, true} {
			answers(t, n.outside, udp, host+":8080", "a", n.outside.Address.String())
			answers(t, n.outside, udp, host+":30005", "other", "")
			answers(t, n.host, udp, host+":8080", "a", host)
			answers(t, n.host, udp, "127.0.0.1:8080", "a", rules.DefaultGateway)
			answers(t, n.host, udp, "127.0.0.1:8081", "a", rules.DefaultGateway)
			answers(t, n.host, udp, "10.42.0.2:80", "a", host)          // a health probe
			answers(t, a, udp, host+":8080", "a", rules.DefaultGateway) // itself, through the host
			answers(t, b, udp, host+":8080", "a", "10.42.0.3")          // a sibling, its address kept
			answers(t, other, udp, host+":8080", "a", "10.42.0.4")      // published is published, also for strangers
			answers(t, a, udp, "10.42.0.3:80", "b", "10.42.0.2")        // inside one network
			answers(t, a, udp, n.outside.Address.String()+":9000", "outside", host)
		}
		silent(t, n.outside, host+":8081")
		silent(t, a, "10.42.0.4:80") // another network
		silent(t, other, "10.42.0.2:80")

		n.host.Run(command, "-P", "FORWARD", "ACCEPT") // what is closed is closed by us
		silent(t, a, "10.42.0.4:80")
		// Straight at the container, and at loopback, by a neighbour that adds routes.
		n.outside.Run("ip", "route", "add", "10.42.0.0/16", "via", host)
		silent(t, n.outside, "10.42.0.2:80")
		n.outside.Run("ip", "route", "del", "local", "127.0.0.0/8", "table", "local")
		n.outside.Run("ip", "route", "del", "local", "127.0.0.1", "table", "local")
		n.outside.Run("ip", "route", "add", "127.0.0.0/8", "via", host, "src", n.outside.Address.String())
		n.outside.Run("sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1")
		n.host.Run("sysctl", "-qw", "net.ipv4.conf.eth0.route_localnet=1") // the admin's own mistake
		const guard = "-d 127.0.0.0/8 ! -i lo "
		before := counter(n.host, command, guard)
		silent(t, n.outside, "127.0.0.1:8081")
		if after := counter(n.host, command, guard); after == before {
			t.Errorf("packets from outside to 127.0.0.1 were not dropped by our rule (counter stays %s)", after)
		}
	})
}

func TestReplicasShareConnections(t *testing.T) {
	backends(t, func(t *testing.T, command string) {
		n := newNode(t, command)
		var to []string
		for i := range 4 {
			c := n.container(fmt.Sprintf("c%d", i), fmt.Sprintf("10.42.0.%d", 10+i))
			c.ServeName(c.Name, 80)
			to = append(to, fmt.Sprintf("10.42.0.%d:80", 10+i))
		}
		n.publish(rules.TCP, "", 30000, to...)
		n.apply()
		const rounds = 400
		count := map[string]int{}
		for range rounds {
			words, err := n.outside.Ask(n.host.Address.String()+":30000", soon)
			if err != nil {
				t.Fatal(err)
			}
			count[words[0]]++
		}
		// Each expects 100 with a standard deviation of 8.7: five of them are left on both sides.
		for i := range 4 {
			if got := count[fmt.Sprintf("c%d", i)]; got < 56 || got > 144 {
				t.Errorf("c%d answered %d of %d connections, want about a quarter: %v", i, got, rounds, count)
			}
		}
	})
}

func TestContainersAreConfined(t *testing.T) {
	backends(t, func(t *testing.T, command string) {
		n := newNode(t, command)
		a := n.container("a", "10.42.0.2", "shop")
		b := n.container("b", "10.42.0.3", "shop")
		b.ServeName("b", 80)
		n.host.ServeName("control", 7443)
		n.host.ServeNameAt("resolver", "169.254.42.53", 53)
		n.host.ServeName("plain", 8000)
		n.outside.Run("ip", "addr", "add", "169.254.169.254/32", "dev", "eth0")
		n.outside.Run("ip", "addr", "add", "100.100.100.200/32", "dev", "eth0")
		n.host.Run("ip", "route", "add", "169.254.169.254/32", "dev", "eth0")
		n.host.Run("ip", "route", "add", "100.100.100.200/32", "dev", "eth0")
		n.outside.ServeName("metadata", 80)
		n.publish(rules.TCP, "", 30000, "10.42.0.3:80")
		n.publish(rules.UDP, "", 53, "10.42.0.3:80") // takes nobody's names away
		n.publish(rules.TCP, "", 53, "10.42.0.3:80")
		n.apply()

		host := n.host.Address.String()
		answers(t, n.outside, true, host+":53", "b", "")
		answers(t, n.host, false, "169.254.169.254:80", "metadata", "") // the host itself may
		answers(t, n.outside, false, host+":7443", "control", "")
		for _, udp := range []bool{false, true} {
			answers(t, a, udp, "169.254.42.53:53", "resolver", "10.42.0.2")
			answers(t, a, udp, host+":8000", "plain", "10.42.0.2")
		}
		// Where the host lets nothing in or out, containers still have names.
		n.host.Run(command, "-P", "INPUT", "DROP")
		n.host.Run(command, "-P", "OUTPUT", "DROP")
		answers(t, a, true, "169.254.42.53:53", "resolver", "10.42.0.2")
		answers(t, a, false, "169.254.42.53:53", "resolver", "10.42.0.2")
		n.host.Run(command, "-P", "INPUT", "ACCEPT")
		n.host.Run(command, "-P", "OUTPUT", "ACCEPT")
		for _, address := range []string{host + ":7443", "169.254.1.1:7443", "169.254.42.53:7443", "169.254.42.53:8000",
			"169.254.169.254:80", "100.100.100.200:80", "10.42.200.1:80"} {
			silent(t, a, address)
		}
		// The refusals come at once, they are no timeouts.
		for _, address := range []string{host + ":7443", "169.254.169.254:80", "10.42.200.1:80"} {
			if _, err := a.Ask(address, 5*time.Second); !netnstest.Refused(err) {
				t.Errorf("%s: %v, want refused", address, err)
			}
		}

		// A stolen address: the neighbour's, one of nobody, one of the outside, loopback.
		for _, stolen := range []string{"10.42.0.3", "10.42.0.60", "192.0.2.77", "8.8.8.8"} {
			a.Run("ip", "addr", "add", stolen+"/32", "dev", "eth0")
			a.Run("ip", "route", "replace", "default", "via", "169.254.1.1", "dev", "eth0", "src", stolen)
			before := dropped(n.host, command)
			silent(t, a, n.outside.Address.String()+":80")
			silent(t, a, host+":8000")
			if after := dropped(n.host, command); after == before {
				t.Errorf("packets from %s were not dropped by our rule (counter stays %s)", stolen, after)
			}
			a.Run("ip", "addr", "del", stolen+"/32", "dev", "eth0")
		}
		a.Run("ip", "route", "replace", "default", "via", "169.254.1.1", "dev", "eth0")
		answers(t, a, false, host+":8000", "plain", "10.42.0.2")

		// A container's address from outside.
		n.outside.Run("ip", "addr", "add", "10.42.0.3/32", "dev", "eth0")
		n.outside.Run("ip", "route", "add", host+"/32", "dev", "eth0", "src", "10.42.0.3")
		before := counter(n.host, command, "-s 10.42.0.0/26 ! -i skv+ ")
		silent(t, n.outside, host+":8000")
		if after := counter(n.host, command, "-s 10.42.0.0/26 ! -i skv+ "); after == before {
			t.Errorf("packets from outside with a container's address were not dropped by our rule (counter stays %s)", after)
		}
	})
}

// dropped reads how many packets the guard of sources has dropped.
func dropped(h *netnstest.Host, command string) string {
	return counter(h, command, "! --match-set "+rules.SourceSet)
}

// counter reads how many packets a rule of the raw table has dropped.
func counter(h *netnstest.Host, command, rule string) string {
	for line := range strings.Lines(h.Run(command+"-save", "-c", "-t", "raw")) {
		if strings.Contains(line, rule) && strings.HasSuffix(strings.TrimSpace(line), "-j DROP") {
			count, _, _ := strings.Cut(line, " ")
			return count
		}
	}
	return "no rule"
}

func TestForeignRulesStayAndRemovalLeavesNothing(t *testing.T) {
	backends(t, func(t *testing.T, command string) {
		n := newNode(t, command)
		for _, rule := range []string{
			"-N DOCKER-USER", "-A FORWARD -j DOCKER-USER", "-A DOCKER-USER -j RETURN", "-P FORWARD DROP",
			"-t nat -N DOCKER", "-t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
			"-t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE",
			"-A INPUT -p tcp -m tcp --dport 22 -m comment --comment admin -j ACCEPT",
			"-t mangle -A PREROUTING -j MARK --set-xmark 0x1/0xffffffff", "-t raw -A PREROUTING -i docker0 -j NOTRACK",
		} {
			n.host.Run(append([]string{command}, strings.Fields(rule)...)...)
		}
		n.host.Run("ipset", "create", "admins", "hash:ip")
		before, setsBefore := saved(n.host, command), n.host.Run("ipset", "save")

		n.container("a", "10.42.0.2", "shop")
		n.publish(rules.UDP, "", 53000, "10.42.0.2:53")
		n.apply()
		if got := foreign(saved(n.host, command)); !slices.Equal(got, foreign(before)) {
			t.Errorf("foreign rules changed by Apply:\n%s\nbefore:\n%s", strings.Join(got, "\n"), strings.Join(before, "\n"))
		}
		n.desired.Endpoints, n.desired.Ports = nil, nil
		n.apply()
		if text := strings.Join(saved(n.host, command), "\n"); strings.Contains(text, "53000") || strings.Contains(text, "UDP-") {
			t.Errorf("an unpublished port left something:\n%s", text)
		}
		if sets := n.host.Run("ipset", "save"); strings.Contains(sets, "10.42.0.2") || strings.Contains(sets, rules.SetPrefix+"n-") {
			t.Errorf("a removed container left something in the sets:\n%s", sets)
		}
		for range 2 { // the second finds nothing
			n.host.Must(func() error { return n.table.Remove(t.Context()) })
			if got := saved(n.host, command); !slices.Equal(got, before) {
				t.Errorf("after removal:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(before, "\n"))
			}
			if got := n.host.Run("ipset", "save"); got != setsBefore {
				t.Errorf("sets after removal:\n%swant:\n%s", got, setsBefore)
			}
		}
	})
}

// saved is iptables-save without dates and counters.
func saved(h *netnstest.Host, command string) []string {
	var out []string
	for line := range strings.Lines(h.Run(command + "-save")) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "#") {
			line, _, _ = strings.Cut(line, " [")
			out = append(out, line)
		}
	}
	return out
}

func foreign(lines []string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return strings.Contains(l, rules.Prefix) })
}

func TestDriftIsFoundAndRepaired(t *testing.T) {
	backends(t, func(t *testing.T, command string) {
		n := newNode(t, command)
		a := n.container("a", "10.42.0.2", "shop")
		a.ServeName("a", 80)
		n.publish(rules.TCP, "", 8080, "10.42.0.2:80")
		n.apply()
		host := n.host.Address.String()
		answers(t, n.outside, false, host+":8080", "a", "")

		harms := [][]string{
			{command, "-F"},
			{command, "-t", "nat", "-F"},
			{command, "-t", "nat", "-F", rules.Prefix + "PORTS"},
			{command, "-t", "nat", "-D", "PREROUTING", "-j", rules.Prefix + "NAT"},
			{command, "-I", "FORWARD", "-s", "198.51.100.1", "-j", "DROP"}, // ours is not first any more
			{command, "-A", "FORWARD", "-j", rules.Prefix + "FORWARD"},     // twice
			{command, "-I", rules.Prefix + "INPUT", "-j", "ACCEPT"},
			{command, "-R", rules.Prefix + "INPUT", "1", "-j", "ACCEPT"}, // one replaced, their number is the same
			{command, "-t", "nat", "-D", rules.Prefix + "PORTS", "1"},
			{"ipset", "flush", rules.SourceSet},
			{"sh", "-c", command + " -F; " + command + " -X; " + command + " -t nat -F; " + command + " -t nat -X; " +
				command + " -t raw -F; " + command + " -t raw -X; ipset destroy"},
		}
		if _, err := exec.LookPath("nft"); err != nil {
			t.Log("nft is not installed: nft flush ruleset was not tried")
		} else if command == "iptables-nft" {
			harms = append(harms, []string{"nft", "flush", "ruleset"})
		}
		for _, harm := range harms {
			n.host.Run(harm...)
			var drift, rest []string
			n.host.Must(func() (err error) {
				if drift, err = n.table.Repair(t.Context()); err != nil {
					return err
				}
				rest, err = n.table.Drifted(t.Context())
				return err
			})
			if len(drift) == 0 || len(rest) != 0 {
				t.Fatalf("after %q: drift found %q, left after the repair %q", harm, drift, rest)
			}
			answers(t, n.outside, false, host+":8080", "a", "")
		}
		// A small change on top of a flushed kernel finds out by itself.
		n.host.Run("sh", "-c", command+" -t nat -F; "+command+" -t nat -X")
		b := n.container("b", "10.42.0.3", "shop")
		b.ServeName("b", 80)
		n.publish(rules.TCP, "", 8081, "10.42.0.3:80")
		n.apply()
		n.host.Must(func() error {
			_, err := n.table.Repair(t.Context())
			return err
		})
		answers(t, n.outside, false, host+":8080", "a", "")
		answers(t, n.outside, false, host+":8081", "b", "")
	})
}

func TestAdoptionRewritesNothing(t *testing.T) {
	backends(t, func(t *testing.T, command string) {
		n := newNode(t, command)
		n.container("a", "10.42.0.2", "shop")
		n.publish(rules.TCP, "", 8080, "10.42.0.2:80")
		n.apply()
		n.host.Must(func() error {
			again, err := iptables.New(iptables.Config{Command: command, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				return err
			}
			defer again.Close()
			change, err := again.Apply(t.Context(), n.desired)
			if change.Chains != 0 || change.SetEntries != 0 {
				t.Errorf("a second process rewrote %+v, want nothing", change)
			}
			return err
		})
	})
}

func TestUDPClientFollowsTheBackend(t *testing.T) {
	backends(t, func(t *testing.T, command string) {
		n := newNode(t, command)
		a := n.container("a", "10.42.0.2")
		b := n.container("b", "10.42.0.3")
		a.ServeName("a", 53)
		b.ServeName("b", 53)
		n.apply()

		// One socket all along: the kernel sees one connection.
		c, err := n.outside.Dial("udp4", n.host.Address.String()+":5353", soon)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ask := func() (string, error) {
			if _, err := c.Write([]byte("x")); err != nil {
				return "", err
			}
			if err := c.SetReadDeadline(time.Now().Add(late)); err != nil {
				return "", err
			}
			buf := make([]byte, 100)
			got, err := c.Read(buf)
			name, _, _ := strings.Cut(string(buf[:got]), " ")
			return name, err
		}
		if got, err := ask(); err == nil {
			t.Fatalf("answered by %s before anything was published", got)
		}
		n.publish(rules.UDP, "", 5353, "10.42.0.2:53")
		if change := n.apply(); change.Connections == 0 {
			t.Error("the connection from before the port was published was not deleted")
		}
		waitFor := func(name string) {
			t.Helper()
			netnstest.Eventually(t, 2*time.Second, "answer from "+name, func() bool {
				got, err := ask()
				return err == nil && got == name
			})
		}
		waitFor("a")
		n.desired.Ports = nil
		n.publish(rules.UDP, "", 5353, "10.42.0.3:53")
		n.apply()
		waitFor("b")
		if change := n.apply(); change.Chains+change.SetEntries != 0 || change.Connections != 0 {
			t.Errorf("an unchanged Desired changed %+v", change)
		}
		waitFor("b")
	})
}
