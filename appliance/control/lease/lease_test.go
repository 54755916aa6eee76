package lease

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const grace = 5 * time.Second

// clock is a table with a time of its own and the state's word about nodes.
type clock struct {
	*Table
	now  time.Time
	down map[string]bool
}

func newClock(nodes ...string) *clock {
	c := &clock{Table: New(grace), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), down: map[string]bool{}}
	for _, n := range nodes {
		c.down[n] = false
	}
	c.Sync(c.down, c.now)
	return c
}

// pass lets time go by, with a heartbeat of the nodes named every half second.
func (c *clock) pass(d time.Duration, alive ...string) {
	for end := c.now.Add(d); c.now.Before(end); {
		c.now = c.now.Add(500 * time.Millisecond)
		for _, n := range alive {
			c.Beat(n, c.now)
		}
		c.Witness(c.now)
	}
}

func TestStandstill(t *testing.T) {
	c := newClock("a", "b")
	c.pass(time.Second, "a", "b")
	c.obey()
	c.now = c.now.Add(time.Minute) // paused
	c.Beat("a", c.now)             // it hears itself first
	if v := c.obey(); v.Down != nil {
		t.Fatalf("a node was given up for a silence that nobody witnessed: %+v", v)
	}
	c.pass(5*time.Second, "a")
	if v := c.obey(); !slices.Equal(names(v.Down), []string{"b"}) {
		t.Fatalf("got %+v", v)
	}
}

// obey judges and writes the verdict down, as the leader does.
func (c *clock) obey() Verdict {
	v := c.Judge(c.now)
	for _, s := range v.Down {
		c.down[s.NodeID] = true
	}
	for _, id := range v.Back {
		c.down[id] = false
	}
	c.Sync(c.down, c.now)
	return v
}

func names(list []Silent) (out []string) {
	for _, s := range list {
		out = append(out, s.NodeID)
	}
	return out
}

func TestShortCutMovesNothing(t *testing.T) {
	c := newClock("a", "b", "c")
	c.pass(10*time.Second, "a", "b", "c")
	c.pass(3*time.Second, "a", "b")
	if v := c.obey(); v.Down != nil || v.Suspected != nil {
		t.Fatalf("a cut of 3 s: %+v", v)
	}
	c.pass(time.Second, "a", "b", "c")
	if v := c.obey(); v.Down != nil || v.Back != nil {
		t.Fatalf("after a cut of 3 s: %+v", v)
	}
}

func TestDownAndBack(t *testing.T) {
	c := newClock("a", "b", "c")
	c.pass(4500*time.Millisecond, "a", "b")
	if v := c.obey(); v.Down != nil {
		t.Fatalf("given up before the grace was over: %+v", v)
	}
	c.pass(500*time.Millisecond, "a", "b")
	v := c.obey()
	if !slices.Equal(names(v.Down), []string{"c"}) || v.Down[0].For != grace {
		t.Fatalf("got %+v", v)
	}
	if v := c.obey(); v.Down != nil {
		t.Fatalf("told twice: %+v", v)
	}
	c.pass(time.Second, "a", "b", "c")
	if v := c.obey(); !slices.Equal(v.Back, []string{"c"}) {
		t.Fatalf("got %+v", v)
	}
	if wait, _ := c.Untrusted("c", c.now); wait != 0 {
		t.Fatalf("a node that went down once waits for %s", wait)
	}
}

func TestFreshLease(t *testing.T) {
	c := newClock("a", "b")
	c.Table = New(grace) // a new leader
	c.down["b"] = true   // as the one before it said
	c.Sync(c.down, c.now)
	if v := c.obey(); v.Down != nil || v.Back != nil {
		t.Fatalf("judged before anything was heard: %+v", v)
	}
	c.down["new"] = false
	c.Sync(c.down, c.now)
	c.pass(4*time.Second, "a", "b")
	if v := c.obey(); v.Down != nil || !slices.Equal(v.Back, []string{"b"}) {
		t.Fatalf("got %+v", v)
	}
	delete(c.down, "new")
	c.pass(10*time.Second, "a", "b")
	c.Sync(c.down, c.now)
	if v := c.obey(); v.Down != nil {
		t.Fatalf("a removed node is judged: %+v", v)
	}
	if c.Beat("new", c.now) {
		t.Fatal("a heartbeat of a removed node counts")
	}
}

func TestOwnNetworkSuspected(t *testing.T) {
	c := newClock("a", "b", "c", "d", "e")
	c.pass(6*time.Second, "a", "b")
	v := c.obey()
	if v.Down != nil || !slices.Equal(names(v.Suspected), []string{"c", "d", "e"}) {
		t.Fatalf("got %+v", v)
	}
	if v := c.obey(); v.Suspected != nil {
		t.Fatalf("said twice: %+v", v)
	}
	c.pass(50*time.Second, "a", "b")
	if v := c.obey(); v.Down != nil {
		t.Fatalf("given up after all: %+v", v)
	}
	c.pass(time.Second, "a", "b", "c")
	if v := c.obey(); !slices.Equal(v.Cleared, []string{"c"}) || !slices.Equal(names(v.Down), []string{"d", "e"}) {
		t.Fatalf("with most of them alive again: %+v", v)
	}
}

// TestDoubtEnds gives up what is silent for a minute more, however many they are:
// a leader whose own network failed would not lead for so long.
func TestDoubtEnds(t *testing.T) {
	c := newClock("a", "b", "c")
	c.pass(6*time.Second, "a")
	if v := c.obey(); v.Down != nil || len(v.Suspected) != 2 {
		t.Fatalf("got %+v", v)
	}
	c.pass(time.Minute, "a")
	if v := c.obey(); !slices.Equal(names(v.Down), []string{"b", "c"}) {
		t.Fatalf("after a minute: %+v", v)
	}
}

func TestTwoNodes(t *testing.T) {
	c := newClock("a", "b")
	c.pass(6*time.Second, "a")
	if v := c.obey(); !slices.Equal(names(v.Down), []string{"b"}) {
		t.Fatalf("got %+v", v)
	}
}

func TestFlapping(t *testing.T) {
	c := newClock("a", "b", "c")
	var holds []time.Duration
	for range 9 {
		c.pass(6*time.Second, "a", "b")
		c.obey()
		c.pass(time.Second, "a", "b", "c")
		c.obey()
		wait, _ := c.Untrusted("c", c.now)
		holds = append(holds, wait)
	}
	if want := []time.Duration{0, 10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second, 320 * time.Second, 600 * time.Second, 600 * time.Second}; !slices.Equal(holds, want) {
		t.Fatalf("got %v, want %v", holds, want)
	}
	if _, falls := c.Untrusted("c", c.now); falls != 9 {
		t.Fatalf("counted %d falls", falls)
	}
	c.pass(601*time.Second, "a", "b", "c")
	if wait, _ := c.Untrusted("c", c.now); wait != 0 {
		t.Fatalf("still not trusted for %s", wait)
	}
	c.pass(31*time.Minute, "a", "b", "c")
	c.pass(6*time.Second, "a", "b")
	c.obey()
	c.pass(time.Second, "a", "b", "c")
	c.obey()
	if wait, _ := c.Untrusted("c", c.now); wait != 0 {
		t.Fatalf("the past is held against it for %s", wait)
	}
}

// TestProperties lets nodes live and die at random: nobody is given up that was
// heard of within the grace, nobody stays up that was silent for longer while
// most are alive, and whoever speaks comes back.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []string
		for i := range rapid.IntRange(1, 7).Draw(t, "nodes") {
			all = append(all, fmt.Sprintf("n%d", i))
		}
		c := newClock(all...)
		last := map[string]time.Time{}
		for _, n := range all {
			last[n] = c.now
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			c.now = c.now.Add(time.Duration(rapid.IntRange(1, 2000).Draw(t, "ms")) * time.Millisecond)
			for _, n := range all {
				if rapid.Bool().Draw(t, n) {
					c.Beat(n, c.now)
					last[n] = c.now
				}
			}
			up, alive := 0, 0
			was := map[string]bool{}
			for _, n := range all {
				was[n] = c.down[n]
				if !c.down[n] {
					up++
					if c.now.Sub(last[n]) < grace {
						alive++
					}
				}
			}
			v := c.obey()
			for _, n := range all {
				silent := c.now.Sub(last[n]) >= grace
				fell := slices.Contains(names(v.Down), n)
				switch {
				case fell && (!silent || was[n] || 2*alive < up && c.now.Sub(last[n]) < grace+doubt):
					t.Fatalf("%s was given up: silent %v, was down %v, %d of %d alive", n, silent, was[n], alive, up)
				case !fell && silent && !was[n] && (2*alive >= up || c.now.Sub(last[n]) >= grace+doubt):
					t.Fatalf("%s was not given up", n)
				case slices.Contains(v.Back, n) != (was[n] && !silent):
					t.Fatalf("%s back: %v", n, v.Back)
				}
			}
		}
	})
}
