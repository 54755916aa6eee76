package e2e

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/apptest"
)

var (
	figures = flag.Bool("figures", false, "measure clusters; `make bench` asks for it")
	kills   = flag.Int("kills", 50, "how often the leader is killed with -figures")
)

// figure prints one for the benchmark: median, lowest and highest.
func figure(t *testing.T, name, unit string, values []float64) {
	t.Helper()
	slices.Sort(values)
	if len(values) == 0 {
		t.Errorf("nothing was measured for %s", name)
		return
	}
	t.Logf("figure %s=%.1f %s [%.1f-%.1f]", name, values[len(values)/2], unit, values[0], values[len(values)-1])
}

// TestClusterFigures measures what a person sees of a cluster.
func TestClusterFigures(t *testing.T) {
	if !*figures {
		t.Skip("figures are measured by `make bench` (-figures)")
	}
	var joins, workers []float64
	for range 3 {
		b := apptest.NewBed(t, 3)
		b.Start()
		b.Host(0).OK("init")
		for i, flags := range [][]string{nil, {"--worker"}} {
			var create []string
			if i == 1 {
				create = []string{"--role", "worker"}
			}
			token := b.Token(0, create...)
			begun := time.Now()
			b.Host(i + 1).OK(append([]string{"join", token, b.Door(0)}, flags...)...)
			b.Host(0).Eventually(20*time.Second, "it is ready", func() bool { return b.Nodes(0)[b.Host(i+1).Name].Status.Ready })
			took := time.Since(begun).Seconds() * 1000
			if i == 0 {
				joins = append(joins, took)
			} else {
				workers = append(workers, took)
			}
		}
		for i := range 3 {
			b.Host(i).Kill()
		}
	}
	figure(t, "cluster_join_member_to_ready", "ms", joins)
	figure(t, "cluster_join_worker_to_ready", "ms", workers)

	b := apptest.NewBed(t, 3)
	b.Form()
	b.Host(0).Probe()
	b.Host(0).Eventually(20*time.Second, "all three vote", func() bool { q, _ := b.Quorum(0); return q.Voters == 3 })

	var gaps []float64
	for range *kills {
		leader := b.Leader(b.Other())
		other := b.Other(leader)
		w := watching(t, time.Millisecond, func() bool { s, _ := putVolume(b, other, fresh("g")); return s == 201 })
		b.Host(other).Eventually(10*time.Second, "writes go", func() bool { return w.answersNow() > 20 })
		w.reset()
		b.Host(leader).Kill()
		at := w.answersNow()
		b.Host(other).Eventually(20*time.Second, "writes go again", func() bool { q, ok := b.Quorum(other); return ok && q.LeaderID != "" && w.answersNow() > at+20 })
		gap, _ := w.end()
		gaps = append(gaps, gap.Seconds()*1000)
		b.Start(leader)
		b.AwaitReady(30 * time.Second)
	}
	figure(t, "cluster_write_gap_leader_killed", "ms", gaps)
	slices.Sort(gaps)
	t.Logf("figure cluster_write_gap_leader_killed_p99=%.1f ms of %d kills", gaps[min(len(gaps)*99/100, len(gaps)-1)], len(gaps))

	web(t, b, 0, "web", 8080, 3)
	var moved []float64
	for range 3 {
		via := b.Leader(0)
		gone := b.Other(via)
		b.Host(via).Eventually(20*time.Second, "a replica lies where the cut will be", func() bool {
			for _, host := range b.Placed(via, "web") {
				if host == b.Host(gone).Name {
					return true
				}
			}
			return false
		})
		begun := time.Now()
		b.Cut(gone)
		b.Host(via).Eventually(30*time.Second, "its replicas run elsewhere", func() bool {
			placed := b.Placed(via, "web")
			for _, host := range placed {
				if host == b.Host(gone).Name {
					return false
				}
			}
			return len(placed) == 3
		})
		moved = append(moved, time.Since(begun).Seconds()*1000)
		b.Heal()
		b.AwaitReady(30 * time.Second)
		b.Host(0).OK("service", "scale", "web=0")
		b.Host(0).Eventually(20*time.Second, "none runs", func() bool { return len(b.Placed(0, "web")) == 0 })
		b.Host(0).OK("service", "scale", "web=3")
		running(t, b, 0, "web", 3)
	}
	figure(t, "cluster_replaced_after_cut_grace_of_5000_included", "ms", moved)

	b.Host(0).OK("service", "scale", "web=150")
	running(t, b, 0, "web", 150)
	follower := b.Other(b.Leader(0))
	wait(t, 5*time.Second)
	for what, i := range map[string]int{"leader": b.Leader(0), "follower": follower} {
		before := cpuTicks(t, b.Host(i).Pid())
		begun := time.Now()
		wait(t, 15*time.Second)
		used := float64(cpuTicks(t, b.Host(i).Pid())-before) / 100 / time.Since(begun).Seconds() * 100 // 100 ticks a second
		t.Logf("figure cluster_idle_%s_daemon_cpu=%.2f percent of a core, 50 containers a host", what, used)
		t.Logf("figure cluster_idle_%s_daemon_rss=%.1f MiB, 50 containers a host", what, residentMiB(t, b.Host(i).Pid()))
	}
}

// cpuTicks is the processor time of a process.
func cpuTicks(t *testing.T, pid int) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	user, err1 := strconv.ParseInt(words[11], 10, 64)
	system, err2 := strconv.ParseInt(words[12], 10, 64)
	if err1 != nil || err2 != nil {
		t.Fatalf("read the processor time from %q", b)
	}
	return user + system
}

// residentMiB is the memory of a process.
func residentMiB(t *testing.T, pid int) float64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	var kib float64
	for line := range strings.Lines(string(b)) {
		if n, _ := fmt.Sscanf(line, "VmRSS: %f kB", &kib); n == 1 {
			break
		}
	}
	return kib / 1024
}
