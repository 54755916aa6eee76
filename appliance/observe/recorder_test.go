package observe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// machine is a fake host: a node and some containers whose use follows from the
// time, and which a test can switch off.
type machine struct {
	mu    sync.Mutex
	away  bool
	cores map[string]float64 // container -> what it uses; it writes one MB/s for each core
	since map[string]time.Time
}

func (m *machine) set(id string, cores float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cores[id], m.since[id] = cores, time.Now() // as a new task: its counters begin again
}

func (m *machine) Sample(_ context.Context, into *Snapshot) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		return errors.New("nothing can be measured")
	}
	*into = Snapshot{At: time.Now(), Containers: into.Containers[:0]}
	into.Node = Use{ID: "n1", Memory: 4 << 30, Disk: 9 << 30, Load1: 0.25, PIDs: 200}
	for _, id := range []string{"c1", "c2"} {
		cores, runs := m.cores[id]
		if !runs {
			continue
		}
		ran := time.Since(m.since[id])
		into.Containers = append(into.Containers, Use{
			ID: id, ServiceID: "s1", Name: "shop-web-" + id[1:], CPU: time.Duration(float64(ran) * cores), Memory: 100 << 20, PIDs: 3,
			BlockWrite: uint64(ran.Seconds() * cores * 1e6), NetworkUnknown: true,
		})
	}
	return nil
}

func newMachine() *machine {
	return &machine{cores: map[string]float64{}, since: map[string]time.Time{}}
}

// run runs a Recorder until stop is called.
func run(t *testing.T, dir string, p Probe) (r *Recorder, stop func()) {
	t.Helper()
	r = New(Config{Dir: dir, Probe: p, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return r, func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run ended with %v", err)
		}
	}
}

// draw shows a series as text: a hole is a dot, equal values are counted.
func draw(values []float64) string {
	var out []string
	for i := 0; i < len(values); {
		j := i
		word := func(k int) string {
			if math.IsNaN(values[k]) {
				return "."
			}
			return fmt.Sprintf("%.4g", values[k])
		}
		for j < len(values) && word(j) == word(i) {
			j++
		}
		out = append(out, fmt.Sprintf("%sx%d", word(i), j-i))
		i = j
	}
	return strings.Join(out, " ")
}

// ask gives the drawing of some metrics of the answer.
func ask(t *testing.T, r *Recorder, q Query, metrics ...Metric) string {
	t.Helper()
	got, err := r.Range(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "from %s step %v count %d\n", got.From.UTC().Format("15:04:05"), got.Step, got.Count)
	for _, s := range got.Series {
		if len(s.Values) != got.Count || (s.Max != nil && len(s.Max) != got.Count) {
			t.Errorf("%s has %d values and %d highest, want %d", s.Metric, len(s.Values), len(s.Max), got.Count)
		}
		for _, m := range metrics {
			if m != s.Metric {
				continue
			}
			fmt.Fprintf(&b, "%s %s %s %s\n", s.ID, s.Name, s.Metric, draw(s.Values))
			if s.Max != nil && draw(s.Max) != draw(s.Values) {
				fmt.Fprintf(&b, "  max %s\n", draw(s.Max))
			}
		}
	}
	return b.String()
}

func back(kind Kind, id string, d, step time.Duration) Query {
	return Query{Kind: kind, ID: id, From: time.Now().Add(-d), To: time.Now(), Step: step}
}

// TestGolden lives through three hours in virtual time and compares what is
// answered; testdata is rewritten with SKERRY_UPDATE=1.
func TestGolden(t *testing.T) {
	dir := t.TempDir()
	var b strings.Builder
	say := func(what, text string) { fmt.Fprintf(&b, "== %s\n%s", what, text) }
	synctest.Test(t, func(t *testing.T) {
		m := newMachine()
		r, stop := run(t, dir, m)
		m.set("c1", 0.5)
		m.set("c2", 1)
		time.Sleep(2 * time.Hour) // the bubble begins at midnight
		say("live, a minute", ask(t, r, back(Container, "c1", time.Minute, 0), CPU, Memory, BlockWrite, NetworkRx))
		m.mu.Lock()
		m.away = true
		m.mu.Unlock()
		time.Sleep(20 * time.Second)
		m.mu.Lock()
		m.away = false
		m.mu.Unlock()
		time.Sleep(20 * time.Second)
		say("a hole of 20 seconds stays one", ask(t, r, back(Container, "c1", time.Minute, 0), CPU, Memory))
		m.set("c1", 0.25)
		time.Sleep(20 * time.Second)
		say("counters that begin again are no spike", ask(t, r, back(Container, "c1", 30*time.Second, 0), CPU, BlockWrite))
		time.Sleep(8 * time.Minute)
		say("15 minutes", ask(t, r, back(Container, "c1", 15*time.Minute, 0), CPU))
		say("30 seconds a step", ask(t, r, back(Container, "c1", 15*time.Minute, 30*time.Second), CPU))
		say("an hour, from disk", ask(t, r, back(Container, "c1", time.Hour, 0), CPU, PIDs))
		say("three hours by ten minutes", ask(t, r, back(Container, "c1", 3*time.Hour, 10*time.Minute), CPU))
		m.mu.Lock()
		delete(m.cores, "c2") // its row goes too
		m.mu.Unlock()
		time.Sleep(30 * time.Minute)
		say("a service has what it had", ask(t, r, back(Service, "s1", 2*time.Hour, 20*time.Minute), CPU))
		say("a node", ask(t, r, back(Node, "n1", time.Minute, 10*time.Second), Load1, Disk, PIDs, CPU))
		say("a week", ask(t, r, back(Node, "n1", 7*24*time.Hour, 0), Load1))
		say("unknown", ask(t, r, back(Container, "s1", time.Hour, 0), CPU))
		say("a container is no node", ask(t, r, back(Node, "c1", time.Hour, 0), CPU))
		stop()

		time.Sleep(5 * time.Minute) // the daemon is away
		r, stop = run(t, dir, m)
		time.Sleep(2 * time.Minute)
		say("15 minutes after a restart, the time before from disk", ask(t, r, back(Container, "c1", 15*time.Minute, 0), Memory))
		say("an hour after a restart", ask(t, r, back(Container, "c1", time.Hour, 0), Memory))
		stop()
	})
	golden := filepath.Join("testdata", "range.golden")
	if os.Getenv("SKERRY_UPDATE") != "" {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the answers are not those of %s (rewrite with SKERRY_UPDATE=1):\n%s", golden, b.String())
	}
}

// TestStepsAreBounded asks for windows of many lengths.
func TestStepsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Config{Dir: t.TempDir(), Probe: newMachine(), Log: slog.New(slog.DiscardHandler)})
		for _, d := range []time.Duration{time.Second, 59 * time.Second, 10 * time.Minute, 15 * time.Minute, 16 * time.Minute, time.Hour, 24 * time.Hour, 7*24*time.Hour - time.Second, 31 * 24 * time.Hour} {
			for _, kind := range []Kind{Container, Service, Node} {
				got, err := r.Range(t.Context(), back(kind, "x", d, 0))
				if err != nil || got.Count < 1 || got.Count > 600 || got.Step%time.Second != 0 {
					t.Errorf("%v: %d values, one every %v, %v", d, got.Count, got.Step, err)
				}
			}
		}
	})
}

// TestForgetsWhatIsGone sees that memory does not grow with containers that were.
func TestForgetsWhatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine()
		r, stop := run(t, filepath.Join(t.TempDir(), "metrics"), m)
		m.set("c1", 1)
		time.Sleep(time.Minute)
		m.mu.Lock()
		delete(m.cores, "c1")
		m.mu.Unlock()
		time.Sleep(20 * time.Minute)
		r.mu.RLock()
		n := len(r.objects)
		r.mu.RUnlock()
		if n != 1 {
			t.Errorf("%d objects are kept, want the node alone", n)
		}
		stop()
	})
}
