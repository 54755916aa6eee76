package e2e

import (
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/apptest"
	"github.com/skerryhq/skerry/netfw/netnstest"
)

// TestAcrossHosts is an app whose replicas lie on three hosts, beside one that
// must not see it.
func TestAcrossHosts(t *testing.T) {
	b := apptest.NewBed(t, 3)
	b.Form()
	b.Host(0).Busybox()
	serve := func(name string, replicas int) map[string]string {
		b.Host(0).OK("run", "-d", "-n", name, "--replicas", fmt.Sprint(replicas), "--restart", "always", "busybox",
			"sh", "-c", "mkdir -p /tmp/w && hostname > /tmp/w/index.html && exec httpd -f -p 80 -h /tmp/w")
		return running(t, b, 0, name, replicas)
	}
	where, other := serve("talk", 3), serve("stranger", 1)
	hosts := map[string]int{}
	for i := range b.Size() {
		hosts[b.Host(i).Name] = i
	}
	at := map[int]string{} // the app's container on each host
	for name, host := range where {
		at[hosts[host]] = name
	}
	if len(at) != 3 {
		t.Fatalf("three replicas lie on %v", where)
	}
	// The static busybox looks names up with nslookup only; what it finds is asked from the container's network.
	get := func(host int, from, name string) string {
		address := name
		if _, err := netip.ParseAddr(name); err != nil {
			out, _ := b.Host(host).Try("exec", from, "nslookup", name)
			_, found, ok := strings.Cut(out, "Name:")
			words := strings.Fields(found)
			i := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, "Address") })
			if !ok || i < 0 {
				return ""
			}
			for _, w := range words[i:] {
				if _, err := netip.ParseAddr(w); err == nil {
					address = w
					break
				}
			}
		}
		return pageOf(t, b.Host(host), b.Host(host).Container(from).ID, address)
	}
	for host, from := range at {
		for _, name := range at {
			b.Host(host).Eventually(10*time.Second, from+" reaches "+name+" by name", func() bool { return get(host, from, name) == name })
		}
		seen := map[string]bool{}
		b.Host(host).Eventually(20*time.Second, "the service's name leads to all replicas", func() bool {
			seen[get(host, from, "talk")] = true
			return seen[at[0]] && seen[at[1]] && seen[at[2]]
		})
	}
	for stranger, host := range other {
		for _, name := range at {
			address := b.Host(0).Container(name).Assign.Address.String()
			if got := get(hosts[host], stranger, name); got == name {
				t.Errorf("another app finds %s by name", name)
			}
			if got := get(hosts[host], stranger, address); got == name {
				t.Errorf("another app reaches %s at %s", name, address)
			}
		}
	}

	// A host is lost: its replica serves nobody any more, and the name leads only to those that are there.
	via := b.Other(b.Leader(0))
	lost := b.Other(via, b.Leader(via))
	b.Cut(lost)
	b.Host(via).Eventually(20*time.Second, "its replica runs elsewhere", func() bool {
		placed := b.Placed(via, "talk")
		for _, host := range placed {
			if hosts[host] == lost {
				return false
			}
		}
		return len(placed) == 3
	})
	for range 12 {
		if got := get(via, at[via], "talk"); got == "" {
			t.Error("the service's name leads to a host that is lost")
		}
	}
	b.Heal()
	b.AwaitReady(30 * time.Second)
	b.Host(via).Eventually(20*time.Second, "what was given up is gone from the host that came back", func() bool {
		return len(b.Host(lost).Tasks()) == len(placedOn(b, via, b.Host(lost).Name, "talk", "stranger"))
	})
}

// pageOf asks a web server from inside a container's network.
func pageOf(t *testing.T, n *apptest.Node, container, address string) string {
	t.Helper()
	c, err := netnstest.Adopt(t, container, filepath.Join(n.RunDir, "netns", container)).Dial("tcp4", address+":80", 2*time.Second)
	if err != nil {
		return ""
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("GET /index.html HTTP/1.0\r\n\r\n")); err != nil {
		return ""
	}
	all, err := io.ReadAll(c)
	_, body, found := strings.Cut(string(all), "\r\n\r\n")
	if err != nil || !found {
		return ""
	}
	return strings.TrimSpace(body)
}

// placedOn lists the containers of apps that should run on a host.
func placedOn(b *apptest.Bed, via int, host string, apps ...string) []string {
	var out []string
	for _, app := range apps {
		for name, on := range b.Placed(via, app) {
			if on == host {
				out = append(out, name)
			}
		}
	}
	return out
}
