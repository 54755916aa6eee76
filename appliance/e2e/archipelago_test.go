package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/apptest"
)

// archipelago is the app of the README's cluster chapter.
const archipelago = `name: shop
services:
  web:
    image: nginx
    ports: ["8080:80"]
    restart: always
    deploy:
      replicas: 3
  cache:
    image: redis
    ports: ["6379:6379"]
    restart: always
    volumes: ["cache:/data"]
    command: ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--dir", "/data", "--appendonly", "yes"]
    deploy:
      placement:
        constraints: ["node.name==n1"]
volumes:
  cache:
`

// clients measure while things happen: a browser that asks nginx on a host that
// lives, a program that counts in redis, and an administrator who writes.
type clients struct {
	t              *testing.T
	web, redis     *watch
	writes         *watch
	askFrom, admin atomic.Int32 // hosts that are asked now
	counted        atomic.Int64 // what redis said last
	written        atomic.Int64
	lost           atomic.Bool // redis has forgotten something
}

func begin(t *testing.T, b *apptest.Bed) *clients {
	c := &clients{t: t}
	c.web = watching(t, 25*time.Millisecond, func() bool {
		at := b.Host(int(c.askFrom.Load())).Host.Address
		out, err := b.Client.Try("curl", "-s", "-m", "1", "-o", "/dev/null", "-w", "%{http_code}", fmt.Sprintf("http://%s:8080/", at))
		return err == nil && strings.TrimSpace(out) == "200"
	})
	c.redis = watching(t, 50*time.Millisecond, func() bool {
		at := b.Host(int(c.askFrom.Load())).Host.Address
		out, err := b.Client.Try("timeout", "1", "redis-cli", "-h", at.String(), "incr", "visits")
		var n int64
		if _, serr := fmt.Sscan(out, &n); err != nil || serr != nil {
			return false
		}
		if n <= c.counted.Load() {
			c.lost.Store(true)
		}
		c.counted.Store(n)
		return true
	})
	c.writes = watching(t, 20*time.Millisecond, func() bool {
		return b.Write(int(c.admin.Load()), fmt.Sprintf("w-%d", c.written.Add(1)))
	})
	return c
}

// row says how a step went, as the README has it.
func (c *clients) row(what, took string) {
	c.t.Logf("| %s | %s | %.2f s | %.2f s | %.2f s |", what, took, c.web.reset().Seconds(), c.redis.reset().Seconds(), c.writes.reset().Seconds())
}

func (c *clients) skip() { c.web.reset(); c.redis.reset(); c.writes.reset() }

// TestArchipelago is the cluster chapter of the README: three hosts run nginx and
// redis while everything happens to them that such hosts live through, and
// clients measure. `make archipelago` prints the chapter's table.
func TestArchipelago(t *testing.T) {
	b := apptest.NewBed(t, 3)
	b.Start()
	n1 := b.Host(0)
	n1.OK("init")
	load(t, n1, "nginx", "redis")
	begun := time.Now()
	b.Join(1, 0)
	second := time.Since(begun)
	begun = time.Now()
	b.Join(2, 0)
	b.AwaitReady(30 * time.Second)
	t.Logf("| what happens | it takes | nginx away | redis away | writes away |")
	t.Logf("| join two hosts | %.2f s and %.2f s | - | - | - |", second.Seconds(), time.Since(begun).Seconds())
	file := filepath.Join(t.TempDir(), "compose.yaml")
	if err := os.WriteFile(file, []byte(archipelago), 0o600); err != nil {
		t.Fatal(err)
	}
	begun = time.Now()
	n1.OK("app", "deploy", "-f", file)
	deployed := time.Since(begun)
	n1.Eventually(30*time.Second, "the three hosts vote", func() bool { q, _ := b.Quorum(0); return q.Voters == 3 })
	c := begin(t, b)
	n1.Eventually(30*time.Second, "all clients are served", func() bool {
		return c.web.answersNow() > 3 && c.redis.answersNow() > 3 && c.writes.answersNow() > 3
	})
	t.Logf("| deploy nginx x3 and redis | %.2f s | - | - | - |", deployed.Seconds())

	c.skip()
	leader := b.Leader(0)
	other := b.Other(leader)
	c.admin.Store(int32(other))
	<-time.After(time.Second)
	c.skip()
	b.Host(leader).Kill()
	<-time.After(3 * time.Second)
	c.row("kill -9 of the leader's daemon", "-")
	b.Start(leader)
	b.AwaitReady(30 * time.Second)

	c.skip()
	c.askFrom.Store(0)
	c.admin.Store(0)
	<-time.After(time.Second)
	c.skip()
	begun = time.Now()
	b.Cut(2)
	n1.Eventually(30*time.Second, "what ran on n3 runs elsewhere", func() bool {
		placed := b.Placed(0, "shop")
		return len(placed) == 4 && !contains(placed, "n3")
	})
	c.row("cut n3 off until its replicas run elsewhere", fmt.Sprintf("%.1f s, 5.0 s of it grace", time.Since(begun).Seconds()))
	begun = time.Now()
	b.Heal()
	b.AwaitReady(30 * time.Second)
	n1.Eventually(30*time.Second, "n3 has given back what is too many", func() bool { return len(b.Host(2).Tasks()) == 0 })
	c.row("heal it until its extra replicas are gone", fmt.Sprintf("%.1f s", time.Since(begun).Seconds()))

	begun = time.Now()
	n1.OK("node", "drain", "n2")
	c.row("drain n2", fmt.Sprintf("%.1f s", time.Since(begun).Seconds()))
	begun = time.Now()
	n1.OK("node", "rm", "n2")
	n1.Eventually(20*time.Second, "two members are left", func() bool { q, ok := b.Quorum(0); return ok && len(q.Members) == 2 })
	c.row("remove n2", fmt.Sprintf("%.1f s", time.Since(begun).Seconds()))
	b.Host(1).Kill()
	b.Host(1).Launch()
	n1.Eventually(20*time.Second, "the removed host stops and says why", func() bool { over, why := b.Host(1).Ended(); return over && strings.Contains(why, "removed") })
	b.Host(1).OK("reset", "--data", "--data-dir", b.Host(1).DataDir, "--run-dir", b.Host(1).RunDir)
	begun = time.Now()
	b.Start(1)
	b.Join(1, 0)
	b.AwaitReady(30 * time.Second)
	n1.Eventually(30*time.Second, "the three hosts vote again", func() bool { q, _ := b.Quorum(0); return q.Voters == 3 && q.CanLose == 1 })
	c.row("wipe it, join it again, until you can lose 1 more node", fmt.Sprintf("%.1f s", time.Since(begun).Seconds()))

	begun = time.Now()
	b.Host(1).Reboot()
	b.Host(2).Reboot()
	n1.OK("recover", "--yes", "--force")
	n1.Eventually(30*time.Second, "the survivor takes writes", func() bool { return b.Write(0, fresh("after")) })
	took := time.Since(begun)
	n1.Eventually(30*time.Second, "everything runs on the survivor", func() bool { return len(b.Placed(0, "shop")) == 4 && !contains(b.Placed(0, "shop"), "n2", "n3") })
	c.row("lose n2 and n3 for good, `skerry recover` on n1", fmt.Sprintf("writable after %.1f s", took.Seconds()))
	if took > 30*time.Second {
		t.Errorf("writable only %s after the quorum was lost", took)
	}
	if c.lost.Load() {
		t.Error("redis has forgotten what it counted")
	}
	for _, w := range []*watch{c.web, c.redis, c.writes} {
		if _, answers := w.end(); answers == 0 {
			t.Error("a client was never answered")
		}
	}
}

// contains says whether some container is on one of the hosts.
func contains(placed map[string]string, hosts ...string) bool {
	for _, at := range placed {
		for _, h := range hosts {
			if at == h {
				return true
			}
		}
	}
	return false
}
