package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/apptest"
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
	get := func(host int, from, name string) string {
		out, code := b.Host(host).Try("exec", from, "wget", "-q", "-T", "2", "-O", "-", "http://"+name+"/")
		t.Log(host, from, name, code, out)
		return strings.TrimSpace(out)
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
