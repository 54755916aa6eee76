package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/apptest"
	"github.com/skerryhq/skerry/raft/model"
)

// watch asks an address over and over and remembers the longest time without an
// answer.
type watch struct {
	mu      sync.Mutex
	answers int           // guarded by mu, as are the next
	longest time.Duration // without an answer
	last    time.Time
	stop    context.CancelFunc
	over    chan struct{}
}

// watching begins to ask; from may be called by several goroutines.
func watching(t *testing.T, each time.Duration, ask func() bool) *watch {
	ctx, cancel := context.WithCancel(t.Context())
	w := &watch{last: time.Now(), stop: cancel, over: make(chan struct{})}
	go func() {
		defer close(w.over)
		tick := time.NewTicker(each)
		defer tick.Stop()
		for {
			ok := ask()
			w.mu.Lock()
			now := time.Now()
			w.longest = max(w.longest, now.Sub(w.last))
			if ok {
				w.answers++
				w.last = now
			}
			w.mu.Unlock()
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() { w.end() })
	return w
}

// end stops asking and gives the longest gap.
func (w *watch) end() (longest time.Duration, answers int) {
	w.stop()
	<-w.over
	return w.longest, w.answers
}

// reset forgets the gap so far and gives it.
func (w *watch) reset() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	was := max(w.longest, time.Since(w.last))
	w.longest, w.last = 0, time.Now()
	return was
}

// askHost asks a port of a host of the bed from the client.
func askHost(b *apptest.Bed, i, port int) bool {
	words, err := b.Client.Ask(netip.AddrPortFrom(b.Host(i).Host.Address, uint16(port)).String(), time.Second)
	return err == nil && len(words) > 0
}

// web runs an app of replicas that answer on a port, and waits for them.
func web(t *testing.T, b *apptest.Bed, via int, name string, port, replicas int, flags ...string) {
	t.Helper()
	args := append([]string{"run", "-d", "-n", name, "-p", fmt.Sprintf("%d:80", port), "--replicas", fmt.Sprint(replicas), "--restart", "always"}, flags...)
	b.Host(via).OK(append(args, "probe", "tcp", "80")...)
	running(t, b, via, name, replicas)
}

// running waits until an app has so many running replicas.
func running(t *testing.T, b *apptest.Bed, via int, name string, replicas int) map[string]string {
	t.Helper()
	var placed map[string]string
	b.Host(via).Eventually(30*time.Second, fmt.Sprintf("%d replicas of %s run", replicas, name), func() bool {
		placed = b.Placed(via, name)
		return len(placed) == replicas
	})
	return placed
}

// apps are the names of the apps that a host's API lists.
func apps(b *apptest.Bed, via int, headers ...string) ([]string, http.Header) {
	status, body, header := b.Ask(context.Background(), via, http.MethodGet, "/api/v1/apps", nil, headers...)
	if status != http.StatusOK {
		return nil, nil
	}
	var page struct{ Items []model.App }
	if json.Unmarshal(body, &page) != nil {
		return nil, nil
	}
	var out []string
	for _, a := range page.Items {
		out = append(out, a.Name)
	}
	return out, header
}

// putVolume makes a volume, the smallest write there is, and gives the status
// and the reply's index.
func putVolume(b *apptest.Bed, via int, name string) (int, string) {
	ctx, cancel := context.WithTimeout(context.Background(), 12*time.Second)
	defer cancel()
	status, _, header := b.Ask(ctx, via, http.MethodPost, "/api/v1/volumes", map[string]any{"name": name})
	return status, header.Get("Skerry-Index")
}

// mended gives a bed to a subtest and heals its wire afterwards, so that one that
// fails takes no other with it.
func mended(t *testing.T, bed *apptest.Bed) *apptest.Bed {
	b := bed.In(t)
	t.Cleanup(b.Heal)
	return b
}

// TestCluster is three hosts and what happens to them in a bad week.
func TestCluster(t *testing.T) {
	bed := apptest.NewBed(t, 3)
	bed.Form()
	bed.Host(0).Probe()
	web(t, bed, 1, "web", 8080, 3)

	t.Run("members", func(t *testing.T) {
		b := mended(t, bed)
		for i := range 3 {
			q, ok := b.Quorum(i)
			if !ok || len(q.Members) != 3 || q.LeaderID == "" {
				t.Errorf("n%d sees the quorum %+v", i+1, q)
			}
		}
		b.Host(0).Eventually(20*time.Second, "all three vote and one more may be lost", func() bool {
			q, _ := b.Quorum(0)
			return q.Voters == 3 && q.CanLose == 1
		})
		placed := b.Placed(2, "web")
		where := map[string]bool{}
		for _, host := range placed {
			where[host] = true
		}
		if len(where) != 3 {
			t.Errorf("three replicas lie on %v", placed)
		}
	})

	t.Run("every host answers on the published port", func(t *testing.T) {
		b := mended(t, bed)
		for i := range 3 {
			names := map[string]bool{}
			b.Host(i).Eventually(15*time.Second, fmt.Sprintf("n%d answers for all replicas", i+1), func() bool {
				words, err := b.Client.Ask(fmt.Sprintf("%s:8080", b.Host(i).Host.Address), time.Second)
				if err == nil && len(words) > 0 {
					names[words[0]] = true
				}
				return len(names) == 3
			})
		}
	})

	t.Run("console and API on every host", func(t *testing.T) {
		b := mended(t, bed)
		token := strings.Fields(b.Host(0).OK("api-token", "create", "everywhere", "--role", "owner"))
		client := b.Web(token[len(token)-1])
		for i := range 3 {
			for _, path := range []string{"/", "/api/v1/apps"} {
				res, err := client.Get("https://" + b.Door(i) + path)
				if err != nil {
					t.Errorf("n%d %s: %v", i+1, path, err)
					continue
				}
				_ = res.Body.Close()
				if res.StatusCode != http.StatusOK {
					t.Errorf("n%d %s: %s", i+1, path, res.Status)
				}
			}
		}
	})

	t.Run("read your writes anywhere", func(t *testing.T) {
		b := mended(t, bed)
		for k := range 30 {
			name := fmt.Sprintf("v%d", k)
			status, index := putVolume(b, k%3, name)
			if status != http.StatusCreated || index == "" {
				t.Fatalf("make volume %s through n%d: %d, index %q", name, k%3+1, status, index)
			}
			for i := range 3 {
				if s, body, _ := b.Ask(t.Context(), i, http.MethodGet, "/api/v1/volumes/"+name, nil, "Skerry-Index", index); s != http.StatusOK {
					t.Errorf("volume %s, written through n%d, is not on n%d at index %s: %d %s", name, k%3+1, i+1, index, s, body)
				}
				if s, body, _ := b.Ask(t.Context(), i, http.MethodGet, "/api/v1/volumes/"+name+"?consistency=strong", nil); s != http.StatusOK {
					t.Errorf("a strong read of %s from n%d: %d %s", name, i+1, s, body)
				}
			}
		}
	})

	t.Run("the leader's daemon is killed", func(t *testing.T) {
		b := mended(t, bed)
		before := b.Placed(0, "web")
		for round := range 3 {
			leader := b.Leader(0)
			other := b.Other(leader)
			n := 0
			w := watching(t, time.Millisecond, func() bool {
				n++
				s, _ := putVolume(b, other, fmt.Sprintf("gap-%d-%d", round, n))
				return s == http.StatusCreated
			})
			b.Host(other).Eventually(10*time.Second, "writes go", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.answers > 10 })
			b.Host(leader).Kill()
			b.Host(other).Eventually(10*time.Second, "there is another leader", func() bool { q, ok := b.Quorum(other); return ok && q.LeaderID != "" && b.Leader(other) != leader })
			at := w.answersNow()
			b.Host(other).Eventually(10*time.Second, "writes go again", func() bool { return w.answersNow() > at+10 })
			gap, _ := w.end()
			t.Logf("round %d: %s between two acknowledged writes", round, gap)
			if gap > 4*time.Second {
				t.Errorf("no write for %s after the leader was killed", gap)
			}
			b.Start(leader)
			b.AwaitReady(30 * time.Second)
		}
		if after := b.Placed(0, "web"); !sameMap(before, after) {
			t.Errorf("a killed daemon moved replicas: %v, now %v", before, after)
		}
	})

	t.Run("a cut of 3 s moves nothing", func(t *testing.T) {
		b := mended(t, bed)
		before := b.Placed(0, "web")
		for _, i := range []int{b.Leader(0), b.Other(b.Leader(0))} {
			b.Cut(i)
			wait(t, 3*time.Second)
			b.Heal()
			b.AwaitReady(20 * time.Second)
			if after := b.Placed(0, "web"); !sameMap(before, after) {
				t.Errorf("cut off for 3 s, n%d lost replicas: %v, now %v", i+1, before, after)
			}
		}
	})

	t.Run("a cut of 10 s re-places, and heals without a clash", func(t *testing.T) {
		b := mended(t, bed)
		via := b.Other(b.Leader(0))
		gone := b.Other(via, b.Leader(via))
		name := b.Host(gone).Name
		tasks := b.Host(gone).Tasks()
		begun := time.Now()
		b.Cut(gone)
		b.Host(via).Eventually(20*time.Second, "its replicas run elsewhere", func() bool {
			placed := b.Placed(via, "web")
			for _, host := range placed {
				if host == name {
					return false
				}
			}
			return len(placed) == 3
		})
		took := time.Since(begun)
		t.Logf("re-placed %.1f s after the cut (5 s of it grace)", took.Seconds())
		if took > 8*time.Second {
			t.Errorf("it took %s to re-place", took)
		}
		if now := b.Host(gone).Tasks(); !slices.Equal(now, tasks) {
			t.Errorf("a host that is cut off ends what runs there: %v, now %v", tasks, now)
		}
		if left := 10*time.Second - time.Since(begun); left > 0 {
			wait(t, left)
		}
		b.Heal()
		b.AwaitReady(30 * time.Second)
		clean(t, b, "web", 3, 8080)
	})

	t.Run("an address changes", func(t *testing.T) {
		b := mended(t, bed)
		for k, i := range []int{b.Other(b.Leader(0)), b.Leader(0)} {
			begun := time.Now()
			b.SetAddress(i, netip.AddrFrom4([4]byte{192, 0, 2, byte(100 + k)}))
			b.AwaitReady(30 * time.Second)
			via := b.Other(i)
			b.Host(via).Eventually(30*time.Second, "the others know its new address", func() bool {
				return strings.HasPrefix(b.Nodes(via)[b.Host(i).Name].Status.Address, b.Host(i).Host.Address.String())
			})
			if s, _ := putVolume(b, i, fmt.Sprintf("moved-%d", k)); s != http.StatusCreated {
				t.Errorf("n%d takes no write after its address changed: %d", i+1, s)
			}
			t.Logf("n%d was whole again %.1f s after its address changed", i+1, time.Since(begun).Seconds())
		}
		clean(t, b, "web", 3, 8080)
	})

	t.Run("all daemons are away", func(t *testing.T) { away(t, mended(t, bed)) })

	t.Run("a node is drained and removed, and refused", func(t *testing.T) { leave(t, mended(t, bed)) })
}

func (w *watch) answersNow() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.answers
}

func sameMap(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

// clean waits until an app runs just so often and every host publishes just its
// replicas.
func clean(t *testing.T, b *apptest.Bed, app string, replicas, port int) {
	t.Helper()
	why := ""
	check := func() bool {
		var page struct{ Items []model.Container }
		if b.Get(0, "/api/v1/containers?limit=500&consistency=strong", &page) != http.StatusOK {
			why = "n1 does not answer"
			return false
		}
		nodes := b.Nodes(0)
		var want []string
		for i := range b.Size() {
			id := nodes[b.Host(i).Name].ID
			var here []string
			for _, c := range page.Items {
				if c.Assign.NodeID == id && c.Status.Phase == model.PhaseRunning {
					here = append(here, c.ID)
				}
			}
			slices.Sort(here)
			if got := b.Host(i).Tasks(); !slices.Equal(got, here) {
				why = fmt.Sprintf("n%d runs %v and the state says %v", i+1, got, here)
				return false
			}
		}
		for _, c := range page.Items {
			if c.AppName == app && c.Status.Phase == model.PhaseRunning {
				want = append(want, c.Assign.Address.String()+":80")
			}
		}
		slices.Sort(want)
		if len(want) != replicas || len(slices.Compact(slices.Clone(want))) != replicas {
			why = fmt.Sprintf("%s runs at %v", app, want)
			return false
		}
		for i := range b.Size() {
			if got := b.Host(i).Published()[fmt.Sprint(port)]; !slices.Equal(got, want) {
				why = fmt.Sprintf("n%d sends port %d to %v and not to %v", i+1, port, got, want)
				return false
			}
		}
		return true
	}
	for deadline := time.Now().Add(30 * time.Second); !check(); {
		if time.Now().After(deadline) {
			t.Errorf("30 s after it was healed: %s", why)
			return
		}
		wait(t, 50*time.Millisecond)
	}
}

// away kills all daemons for a minute while a container logs 1 MB/s and clients
// ask the published port.
func away(t *testing.T, b *apptest.Bed) {
	b.Host(0).OK("run", "-d", "-n", "writer", "--stop-timeout", "5", "probe", "lines")
	b.Host(0).Eventually(20*time.Second, "the writer runs", func() bool { return len(b.Placed(0, "writer")) == 1 })
	before := map[int][]string{}
	pids := map[int]int{}
	for i := range 3 {
		before[i] = b.Host(i).Tasks()
		pids[i] = b.Host(i).Process("containerd")
	}
	w := watching(t, 50*time.Millisecond, func() bool { return askHost(b, 0, 8080) && askHost(b, 1, 8080) && askHost(b, 2, 8080) })
	for i := range 3 {
		b.Host(i).Kill()
	}
	begun := time.Now()
	wait(t, time.Minute)
	b.Start()
	b.AwaitReady(30 * time.Second)
	longest, answers := w.end()
	t.Logf("away for %.0f s; %d answers, the longest gap %s", time.Since(begun).Seconds(), answers, longest)
	if longest > 1500*time.Millisecond {
		t.Errorf("the published port did not answer for %s", longest)
	}
	for i := range 3 {
		if now := b.Host(i).Tasks(); !slices.Equal(now, before[i]) {
			t.Errorf("n%d ran %v, now %v", i+1, before[i], now)
		}
		if pid := b.Host(i).Process("containerd"); pid != pids[i] {
			t.Errorf("n%d has another engine", i+1)
		}
	}
	b.Host(1).OK("stop", "writer")
	out, errs, status := b.Host(2).Run(nil, "logs", "writer")
	if status != 0 {
		t.Fatalf("logs: %s", errs)
	}
	lines := strings.Split(strings.TrimRight(out, "\n"), "\n")
	first := -1
	for k, l := range lines {
		var n int
		if _, err := fmt.Sscanf(l, "%d", &n); err != nil {
			t.Fatalf("line %d of the log is %q", k, l)
		}
		if first < 0 {
			first = n
		} else if n != first+k {
			t.Fatalf("behind line %d comes line %d", first+k-1, n)
		}
	}
	// The log is bounded: old lines go, and none in between.
	if !strings.Contains(errs, fmt.Sprintf("lines %d ", first+len(lines))) {
		t.Errorf("the log ends with line %d; the writer says %q", first+len(lines)-1, errs)
	}
	b.Host(0).OK("rm", "-f", "writer")
}

// leave drains a member, removes it and lets it come back.
func leave(t *testing.T, b *apptest.Bed) {
	leader := b.Leader(0)
	out := b.Other(leader)
	via := b.Other(out, leader)
	name := b.Host(out).Name
	w := watching(t, 20*time.Millisecond, func() bool { return askHost(b, via, 8080) })
	b.Host(via).OK("node", "drain", name)
	placed := running(t, b, via, "web", 3)
	for c, host := range placed {
		if host == name {
			t.Errorf("%s is still on the drained %s", c, host)
		}
	}
	if n := len(b.Host(out).Tasks()); n != 0 {
		t.Errorf("%d containers run on the drained host", n)
	}
	if gap := w.reset(); gap > 2*time.Second {
		t.Errorf("during the drain the port did not answer for %s", gap)
	}
	b.Host(via).OK("node", "rm", "--force", name) // its volumes are given up
	b.Host(via).Eventually(20*time.Second, "two members are left", func() bool { q, ok := b.Quorum(via); return ok && len(q.Members) == 2 })
	b.Host(out).Kill()
	b.Host(out).Launch()
	b.Host(out).Eventually(20*time.Second, "the removed node says why it is refused", func() bool {
		return strings.Contains(b.Host(out).Log(), "removed")
	})
	if s, _ := putVolume(b, out, "from-outside"); s == http.StatusCreated {
		t.Error("a removed node takes writes")
	}
	if got := b.Nodes(via); len(got) != 2 {
		t.Errorf("the cluster has %d nodes", len(got))
	}
}
