// Package lease judges from heartbeats which nodes are alive. It is pure: the
// caller hands in the time and acts on the verdict; the table starts nothing
// and knows no clock of its own. Times should bear Go's monotonic reading, so
// that setting a host's clock moves nobody. A Table is used under one lock.
//
// A node that joined, and every node when a leader's term begins, starts with a
// fresh lease: only silence that this leader has witnessed counts.
package lease

import (
	"cmp"
	"slices"
	"time"
)

// stall is how long nobody may look at the table before the time in between does
// not count: this process stood still, and heartbeats could not come in.
const stall = 2 * time.Second

// Bounds of how long a node that came back waits until it gets new containers.
const (
	holdFirst = 10 * time.Second // after the second time down within calmAfter; doubled each time
	holdMost  = 10 * time.Minute
	calmAfter = 30 * time.Minute // up for so long: the past is forgotten
)

// doubt is how long beyond the grace the leader looks for the fault in its own
// network when most nodes are silent. It leads by a majority of the voters, so
// after that the fault is on the other side.
const doubt = time.Minute

// Table holds the leases of all nodes of a term.
type Table struct {
	grace time.Duration
	nodes map[string]*entry
	awake time.Time // when this process last looked
}

type entry struct {
	last      time.Time // of the newest heartbeat, or of the fresh lease
	down      bool      // as the state says
	excused   time.Time // not given up before; zero: no longer than the grace
	suspected bool      // silent while most nodes were
	falls     int       // times down within calmAfter of each other
	fell      time.Time
	trusted   time.Time // takes new containers from then on; zero: at once
}

// New makes an empty table. A node that was silent for grace is down.
func New(grace time.Duration) *Table {
	return &Table{grace: grace, nodes: map[string]*entry{}}
}

// Sync takes in which nodes there are and which of them the state calls down.
// New ones get a fresh lease from now; what is gone is forgotten.
func (t *Table) Sync(down map[string]bool, now time.Time) {
	for id := range t.nodes {
		if _, there := down[id]; !there {
			delete(t.nodes, id)
		}
	}
	for id, is := range down {
		e := t.nodes[id]
		if e == nil {
			e = &entry{last: now, down: is}
			if is {
				e.last = now.Add(-t.grace) // it is down until it speaks
			}
			t.nodes[id] = e
		}
		e.note(is, now)
	}
}

// note remembers a change of the state's word about a node.
func (e *entry) note(down bool, now time.Time) {
	switch {
	case down && !e.down:
		if now.Sub(e.fell) > calmAfter {
			e.falls = 0
		}
		e.falls, e.fell, e.trusted, e.suspected = e.falls+1, now, time.Time{}, false
	case !down && e.down && e.falls > 1:
		hold := holdFirst
		for range e.falls - 2 {
			hold = min(2*hold, holdMost)
		}
		e.trusted = now.Add(hold)
	}
	e.down = down
}

// Witness tells that this process is awake. Silence counts only while it is: when
// it stood still (paused, starved, suspended), nobody is to blame for it.
func (t *Table) Witness(now time.Time) {
	if gap := now.Sub(t.awake); gap > stall && !t.awake.IsZero() {
		for _, e := range t.nodes {
			if !e.down && e.last.Before(now) {
				e.last = earlier(e.last.Add(gap), now)
			}
		}
	}
	t.awake = now
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// Beat notes a heartbeat. It reports false for a node that is not known.
func (t *Table) Beat(nodeID string, at time.Time) bool {
	e := t.nodes[nodeID]
	if e == nil {
		return false
	}
	if at.After(e.last) {
		e.last = at
	}
	e.excused = time.Time{}
	return true
}

// Excuse keeps a node from being given up before a time, because it said that its
// daemon ends and what it runs goes on. Its next heartbeat ends that.
func (t *Table) Excuse(nodeID string, until time.Time) {
	if e := t.nodes[nodeID]; e != nil {
		e.excused = until
	}
}

// Verdict is what has changed since the state's last word about the nodes.
type Verdict struct {
	Down []Silent // their leases ran out; sorted by id
	Back []string // the state calls them down, and they speak
	// Suspected are silent, but so are most others: the leader's own network may
	// be at fault, and nobody is given up. Sorted by id; only those not yet told.
	Suspected []Silent
	Cleared   []string // told as Suspected before, and they speak again
	// Next is how long the verdict holds if no heartbeat comes.
	Next time.Duration
}

// Silent is a node that was not heard of for a while.
type Silent struct {
	NodeID string
	For    time.Duration
}

// Judge gives the verdict at a time. Nodes that the state calls up while their
// leases ran out are down, unless fewer than half of those that it calls up are
// alive: then they are suspected for a minute before they are down. It is to be called at least every second. What it tells as Suspected or Cleared it
// tells once.
func (t *Table) Judge(now time.Time) Verdict {
	t.Witness(now)
	var v Verdict
	var silent []Silent
	up := 0
	v.Next = t.grace
	for id, e := range t.nodes {
		quiet := now.Sub(e.last)
		alive := quiet < t.grace || !e.down && now.Before(e.excused)
		switch {
		case e.down && alive:
			v.Back = append(v.Back, id)
		case e.down:
		case alive:
			up++
			v.Next = min(v.Next, max(t.grace-quiet, time.Second))
			if e.suspected {
				e.suspected = false
				v.Cleared = append(v.Cleared, id)
			}
		default:
			up++
			silent = append(silent, Silent{id, quiet})
		}
	}
	slices.Sort(v.Back)
	slices.Sort(v.Cleared)
	slices.SortFunc(silent, func(a, b Silent) int { return cmp.Compare(a.NodeID, b.NodeID) })
	if alive := up - len(silent); 2*alive >= up {
		v.Down = silent
		return v
	}
	for _, s := range silent {
		if s.For >= t.grace+doubt {
			v.Down = append(v.Down, s)
			continue
		}
		if e := t.nodes[s.NodeID]; !e.suspected {
			e.suspected = true
			v.Suspected = append(v.Suspected, s)
		}
	}
	return v
}

// Untrusted says how long a node that went down again and again still gets no
// new containers, and how often it went down; 0 for one that is trusted.
func (t *Table) Untrusted(nodeID string, now time.Time) (wait time.Duration, falls int) {
	e := t.nodes[nodeID]
	if e == nil || !e.trusted.After(now) {
		return 0, 0
	}
	return e.trusted.Sub(now), e.falls
}
