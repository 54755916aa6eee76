package iptables_test

import (
	"context"
	"log/slog"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"github.com/skerryhq/skerry/netfw/iptables"
	"github.com/skerryhq/skerry/netfw/link"
	"github.com/skerryhq/skerry/netfw/netnstest"
	"github.com/skerryhq/skerry/netfw/rules"
)

const (
	soon = time.Second            // for answers that must come
	late = 200 * time.Millisecond // for answers that must not
)

// node is a host with rules and containers, and a client on the same wire.
type node struct {
	t             *testing.T
	host, outside *netnstest.Host
	links         *link.Links
	table         *iptables.Table
	desired       rules.Desired
}

// backends runs fn once with each iptables of this machine.
func backends(t *testing.T, fn func(t *testing.T, command string)) {
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

func newNode(t *testing.T, command string) *node {
	t.Helper()
	hosts := netnstest.Cluster(t, 2)
	n := &node{t: t, host: hosts[0], outside: hosts[1]}
	dir := t.TempDir()
	n.host.Must(func() (err error) {
		if n.links, err = link.New(link.Config{Dir: dir}); err != nil {
			return err
		}
		if _, err = n.links.EnsureHost(); err != nil {
			return err
		}
		n.table, err = iptables.New(iptables.Config{Command: command, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
		return err
	})
	n.desired = rules.Desired{
		Pool:      netip.MustParsePrefix("10.42.0.0/16"),
		NodePools: []netip.Prefix{netip.MustParsePrefix("10.42.0.0/26")},
		Control:   []uint16{7443},
		Resolver:  netip.MustParseAddrPort("169.254.42.53:53"),
	}
	t.Cleanup(func() {
		n.host.Must(func() error {
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
			out, _ := n.host.Try(command + "-save")
			routes, _ := n.host.Try("ip", "route")
			t.Logf("rules:\n%s\nroutes:\n%s", out, routes)
		}
		n.links.Close()
		n.table.Close()
	})
	return n
}

// container connects one; it is in the rules after the next apply.
func (n *node) container(id, address string, networks ...string) *netnstest.Host {
	n.t.Helper()
	a := netip.MustParseAddr(address)
	var made link.Attachment
	n.host.Must(func() (err error) {
		made, err = n.links.Ensure(n.t.Context(), link.Spec{ID: id, Address: a})
		return err
	})
	n.desired.Endpoints = append(n.desired.Endpoints, rules.Endpoint{Address: a, Veth: made.Veth, Networks: networks})
	return netnstest.Adopt(n.t, id, made.NetNS)
}

func (n *node) publish(proto rules.Protocol, hostIP string, port uint16, backends ...string) {
	p := rules.Port{Proto: proto, HostPort: port}
	if hostIP != "" {
		p.HostIP = netip.MustParseAddr(hostIP)
	}
	for _, b := range backends {
		p.Backends = append(p.Backends, netip.MustParseAddrPort(b))
	}
	n.desired.Ports = append(n.desired.Ports, p)
}

func (n *node) apply() iptables.Change {
	n.t.Helper()
	var change iptables.Change
	n.host.Must(func() (err error) {
		change, err = n.table.Apply(n.t.Context(), n.desired)
		return err
	})
	return change
}

// answers asserts that address answers from name, and that it saw the client as seen (any, when empty).
func answers(t *testing.T, from *netnstest.Host, udp bool, address, name, seen string) {
	t.Helper()
	ask := from.Ask
	if udp {
		ask = from.AskUDP
	}
	words, err := ask(address, soon)
	if err != nil {
		t.Fatalf("%s asks %s (udp %t): %v", from.Name, address, udp, err)
	}
	if words[0] != name || (seen != "" && words[1] != seen) {
		t.Fatalf("%s asks %s (udp %t): answered %v, want %s seeing %s", from.Name, address, udp, words, name, seen)
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
