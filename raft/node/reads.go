package node

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// reads confirms the lead for strong reads. Callers that come while a
// confirmation is under way share the next one.
type reads struct {
	mu      sync.Mutex
	next    *round // guarded by mu; nil if nobody waits for one
	running bool   // guarded by mu
	// The next three are used by the running round only.
	settled uint64 // term of raft in which everything committed before is applied here
	barrier uint64 // index up to which that is
	base    uint64 // newest command up to barrier
}

// round is one confirmation.
type round struct {
	done  chan struct{}
	index uint64
	err   error
}

// roundTime bounds one confirmation.
const roundTime = 3 * time.Second

// ReadIndex gives an index such that a view at it (WaitIndex) has every write
// that was acknowledged anywhere before the call: what a linearizable read
// needs. The leader confirms with a majority that it still leads; another node
// asks the leader. Errors: "no_leader".
func (n *Node) ReadIndex(ctx context.Context) (uint64, error) {
	patience := time.NewTimer(leaderPatience)
	defer patience.Stop()
	tick := time.NewTicker(leaderLook)
	defer tick.Stop()
	for {
		index, err := n.readIndex(ctx)
		if err == nil || !notDone(err) || n.isClosing() {
			return index, err
		}
		select {
		case <-tick.C:
		case <-patience.C:
			return 0, err
		case <-ctx.Done():
			return 0, err
		case <-n.closing:
			return 0, errClosing()
		}
	}
}

// LocalReadIndex is the leader's side of a Forwarder's ReadIndex: it answers at
// once if this node does not lead. Errors: ErrNotLeader under "no_leader".
func (n *Node) LocalReadIndex(ctx context.Context) (uint64, error) {
	if n.LeaderID() != n.cfg.ID {
		return 0, errNoLeader(ErrNotLeader)
	}
	return n.confirm(ctx)
}

func (n *Node) readIndex(ctx context.Context) (uint64, error) {
	leader := n.LeaderID()
	switch {
	case leader == n.cfg.ID:
		return n.confirm(ctx)
	case leader == "" || n.cfg.Forward == nil:
		return 0, errNoLeader(ErrNotLeader)
	}
	index, err := n.cfg.Forward.ReadIndex(ctx, leader)
	if err != nil && ctx.Err() == nil && !notDone(err) {
		return 0, errNoLeader(err) // asking changes nothing, so it may always be repeated
	}
	return index, err
}

// confirm takes part in the next round.
func (n *Node) confirm(ctx context.Context) (uint64, error) {
	n.reads.mu.Lock()
	r := n.reads.next
	if r == nil {
		r = &round{done: make(chan struct{})}
		n.reads.next = r
	}
	if !n.reads.running {
		n.reads.running = true
		go n.rounds() // ends when nobody waits any more
	}
	n.reads.mu.Unlock()
	select {
	case <-r.done:
		return r.index, r.err
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

func (n *Node) rounds() {
	for {
		n.reads.mu.Lock()
		r := n.reads.next
		n.reads.next = nil
		if r == nil {
			n.reads.running = false
			n.reads.mu.Unlock()
			return
		}
		n.reads.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), roundTime)
		r.index, r.err = n.confirmOnce(ctx)
		cancel()
		close(r.done)
	}
}

// confirmOnce confirms that this node leads and gives the newest command that
// was committed before.
func (n *Node) confirmOnce(ctx context.Context) (uint64, error) {
	term := n.raft.CurrentTerm()
	if n.reads.settled != term { // until then the commit index may be older than what the last leader acknowledged
		if err := n.Barrier(ctx); err != nil {
			return 0, errNoLeader(err)
		}
		if n.raft.CurrentTerm() != term {
			return 0, errNoLeader(ErrNotLeader)
		}
		n.reads.settled = term
		n.reads.barrier = n.raft.AppliedIndex() // nothing of it is a command that the state lacks
		n.reads.base = n.fsm.Applied()
	}
	index := n.logs.command(n.raft.CommitIndex())
	if index <= n.reads.barrier { // what lies in a snapshot is not known to be a command
		index = min(index, n.reads.base)
	}
	asked := n.peers.last()
	if err := n.await(ctx, n.raft.VerifyLeader()); err != nil { // which sends heartbeats at once
		return 0, errNoLeader(err)
	}
	if err := n.majority(ctx, term, asked); err != nil {
		return 0, err
	}
	return index, nil
}

// majority waits until a majority of the voters took a request of this term that
// was sent after number asked. raft's own check also counts answers of standbys,
// and answers to what was sent before it was asked.
func (n *Node) majority(ctx context.Context, term, asked uint64) error {
	for {
		changed := n.peers.watch()
		voters, agree := 0, 0
		for _, s := range n.servers() {
			if s.Suffrage != raft.Voter {
				continue
			}
			voters++
			if string(s.ID) == n.cfg.ID {
				agree++
			} else if k := n.peers.now(s.ID); k.term == term && k.confirmed > asked {
				agree++
			}
		}
		if n.raft.State() != raft.Leader || n.raft.CurrentTerm() != term {
			return errNoLeader(ErrNotLeader)
		}
		if agree > voters/2 {
			return nil
		}
		select {
		case <-changed:
		case <-time.After(50 * time.Millisecond): // to see that the term is over
		case <-ctx.Done():
			return errNoLeader(context.Cause(ctx))
		case <-n.closing:
			return errClosing()
		}
	}
}
