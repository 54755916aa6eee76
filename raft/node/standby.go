package node

import (
	"time"

	"github.com/hashicorp/raft"
)

// A cluster of two members has one voter and one standby: two voters would stop
// when either dies. The voter commits alone, so it acknowledges a write only
// once the standby has it on its disk too; otherwise a write could be lost with
// the voter although two members held the state.
const (
	standbyPatience = 2 * time.Second // how long a write waits for the standby; then the cluster is degraded
	standbySlack    = 8               // entries that a standby may lack and still count as caught up
)

// Degraded says whether this node leads alone: it is the only voter, and the
// standby has not followed for a while. Writes are then acknowledged from this
// disk only, and do not wait.
func (n *Node) Degraded() bool {
	standbys := n.standbysOfOne()
	if len(standbys) == 0 || !n.Leads() {
		return false
	}
	if missed := n.missed.Load(); missed > 0 {
		return !caughtUp(n.matched(standbys), missed, n.raft.LastIndex())
	}
	return n.lost(standbys)
}

// caughtUp says whether a standby that has entries up to has need not be passed
// over any more: it has the entry that it once missed and nearly all of the log.
func caughtUp(has, missed, last uint64) bool { return has >= missed && has+standbySlack >= last }

// standbysOfOne gives the standbys if this node is the only voter.
func (n *Node) standbysOfOne() []raft.ServerID {
	servers := n.servers()
	if len(servers) < 2 {
		return nil
	}
	var out []raft.ServerID
	voters := 0
	for _, s := range servers {
		switch {
		case s.Suffrage == raft.Voter:
			voters++
		default:
			out = append(out, s.ID)
		}
	}
	if voters != 1 {
		return nil
	}
	return out
}

// matched is the newest entry that any of the standbys has on its disk.
func (n *Node) matched(standbys []raft.ServerID) uint64 {
	term, most := n.raft.CurrentTerm(), uint64(0)
	for _, id := range standbys {
		if k := n.peers.now(id); k.term == term {
			most = max(most, k.match)
		}
	}
	return most
}

// lost says whether none of the standbys was heard of for so long that no write
// needs to find that out by waiting.
func (n *Node) lost(standbys []raft.ServerID) bool {
	if n.terms.age() < standbyPatience {
		return false
	}
	for _, id := range standbys {
		if time.Since(n.peers.now(id).heard) < standbyPatience {
			return false
		}
	}
	return true
}

// awaitStandby waits until a standby has an entry on its disk, where that is
// needed. It reports false where this node closes before that is known: then the
// write must not be acknowledged.
func (n *Node) awaitStandby(index uint64) bool {
	var patience <-chan time.Time
	for {
		changed := n.peers.watch()
		standbys := n.standbysOfOne()
		if len(standbys) == 0 {
			n.follows()
			return true
		}
		has, missed := n.matched(standbys), n.missed.Load()
		switch {
		case has >= index:
			n.follows()
			return true
		case missed > 0 && !caughtUp(has, missed, index):
			return true
		case n.lost(standbys):
			n.misses(index)
			return true
		}
		n.follows()
		if patience == nil {
			t := time.NewTimer(standbyPatience)
			defer t.Stop()
			patience = t.C
		}
		look := time.NewTimer(200 * time.Millisecond) // the members may have changed
		select {
		case <-changed:
		case <-look.C:
		case <-patience:
			n.misses(index)
			look.Stop()
			return true
		case <-n.closing:
			look.Stop()
			return false
		}
		look.Stop()
	}
}

// misses begins the degraded mode with an entry that no standby has.
func (n *Node) misses(index uint64) {
	if n.missed.Swap(index) == 0 {
		n.log.Warn("the standby does not follow; writes are kept on this node's disk only until it has caught up", "index", index)
	}
}

// follows ends the degraded mode.
func (n *Node) follows() {
	if n.missed.Swap(0) != 0 {
		n.log.Info("the standby has caught up; every write is on two disks again")
	}
}
