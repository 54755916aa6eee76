package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skerryhq/skerry/raft/model"
)

// Membership is who takes part in raft, as this node knows it. The leader knows
// everything; another node knows the members, the leader and itself.
type Membership struct {
	ThisID      string // of the node that answered
	LeaderID    string // empty if none is known
	Term        uint64
	CommitIndex uint64
	Degraded    bool // see Node.Degraded; said by the leader only
	Servers     []Server
}

// Server is one member.
type Server struct {
	ID     string
	Voter  bool // otherwise a standby
	Leader bool
	// MatchIndex is the newest entry of the log that the member has on its disk;
	// 0 if that is not known here.
	MatchIndex uint64
	// LastContact is when the member last answered the leader, or, told by
	// another node, when the leader last spoke to that one. Zero: not in this
	// leader's time, or not known here.
	LastContact time.Time
	Alive       bool // LastContact is not long ago; always true of the node that answers
}

// aliveWithin is how old a sign of life may be. It is a matter of showing and
// of choosing whom to hand the lead to; who is down is decided elsewhere.
const aliveWithin = 1500 * time.Millisecond

// Voters counts the voters.
func (m *Membership) Voters() int {
	k := 0
	for _, s := range m.Servers {
		if s.Voter {
			k++
		}
	}
	return k
}

// Server finds a member by id.
func (m *Membership) Server(id string) (Server, bool) {
	for _, s := range m.Servers {
		if s.ID == id {
			return s, true
		}
	}
	return Server{}, false
}

// Members gives the members. It answers on every node, also while there is no
// leader. Errors: none but ctx's and "closing".
func (n *Node) Members(ctx context.Context) (Membership, error) {
	if err := ctx.Err(); err != nil {
		return Membership{}, context.Cause(ctx)
	}
	leads := n.Leads()
	m := Membership{ThisID: n.cfg.ID, LeaderID: n.LeaderID(), Term: n.raft.CurrentTerm(), CommitIndex: n.raft.CommitIndex()}
	if leads {
		m.Degraded = n.Degraded()
	}
	now := time.Now()
	for _, s := range n.servers() {
		out := Server{ID: string(s.ID), Voter: s.Suffrage == raft.Voter, Leader: string(s.ID) == m.LeaderID}
		known := n.peers.now(s.ID)
		switch {
		case out.ID == n.cfg.ID:
			out.MatchIndex, out.LastContact, out.Alive = n.raft.LastIndex(), now, true
		case leads:
			if known.term == m.Term {
				out.MatchIndex = known.match
			}
			out.LastContact = known.heard
			out.Alive = now.Sub(known.heard) < aliveWithin
		case out.Leader:
			out.LastContact = n.raft.LastContact()
			out.Alive = now.Sub(out.LastContact) < aliveWithin
		}
		m.Servers = append(m.Servers, out)
	}
	return m, nil
}

// servers is raft's newest list of members, committed or not.
func (n *Node) servers() []raft.Server {
	f := n.raft.GetConfiguration()
	if f.Error() != nil {
		return nil
	}
	return f.Configuration().Servers
}

// alone says whether this node is the only voter.
func (n *Node) alone() bool {
	for _, s := range n.servers() {
		if s.Suffrage == raft.Voter && string(s.ID) != n.cfg.ID {
			return false
		}
	}
	return true
}

// AddStandby lets a node take part without a vote; one that takes part already
// stays as it is. The node gets the whole state. Leader only: "no_leader".
func (n *Node) AddStandby(ctx context.Context, id string) error {
	return n.change(ctx, id, func(s raft.Server, there bool, d time.Duration) raft.Future {
		if there {
			return nil
		}
		return n.raft.AddNonvoter(raft.ServerID(id), raft.ServerAddress(id), 0, d)
	})
}

// AddVoter gives a node a vote. Let it catch up as standby first: until then it
// counts for the majority and cannot help it. Leader only: "no_leader".
func (n *Node) AddVoter(ctx context.Context, id string) error {
	return n.change(ctx, id, func(s raft.Server, there bool, d time.Duration) raft.Future {
		if there && s.Suffrage == raft.Voter {
			return nil
		}
		return n.raft.AddVoter(raft.ServerID(id), raft.ServerAddress(id), 0, d)
	})
}

// Demote takes a node's vote; it stays as standby. Errors: "no_leader",
// "not_found", "last_voter". A leader that is to demote itself hands the lead
// over first and answers "no_leader": ask again.
func (n *Node) Demote(ctx context.Context, id string) error {
	return n.leave(ctx, id, true, func(s raft.Server, there bool, d time.Duration) raft.Future {
		if there && s.Suffrage != raft.Voter {
			return nil
		}
		return n.raft.DemoteVoter(raft.ServerID(id), 0, d)
	})
}

// Remove takes a node out of raft; one that is not in it is no error. Otherwise
// as Demote.
func (n *Node) Remove(ctx context.Context, id string) error {
	return n.leave(ctx, id, false, func(s raft.Server, there bool, d time.Duration) raft.Future {
		if !there {
			return nil
		}
		return n.raft.RemoveServer(raft.ServerID(id), 0, d)
	})
}

// leave is a change that takes a vote.
func (n *Node) leave(ctx context.Context, id string, must bool, f func(raft.Server, bool, time.Duration) raft.Future) error {
	s, there := n.server(id)
	if must && !there && n.Leads() {
		return model.Errorf(model.KindNotFound, "not_found", "node %s takes no part in raft", id)
	}
	if there && s.Suffrage == raft.Voter && n.Leads() {
		voters := 0
		for _, o := range n.servers() {
			if o.Suffrage == raft.Voter {
				voters++
			}
		}
		if voters == 1 {
			return model.Errorf(model.KindConflict, "last_voter", "node %s is the only member that votes; give another its vote first", id)
		}
		if id == n.cfg.ID {
			if err := n.TransferLeadership(ctx); err != nil {
				return err
			}
			return errNoLeader(fmt.Errorf("%w: the lead was handed over, ask the next leader", ErrNotLeader))
		}
	}
	return n.change(ctx, id, f)
}

func (n *Node) server(id string) (raft.Server, bool) {
	for _, s := range n.servers() {
		if string(s.ID) == id {
			return s, true
		}
	}
	return raft.Server{}, false
}

// change makes one change of the members, unless there is nothing to change.
func (n *Node) change(ctx context.Context, id string, f func(s raft.Server, there bool, d time.Duration) raft.Future) error {
	if id == "" {
		return model.Errorf(model.KindInvalid, "id_missing", "a member has an id")
	}
	if n.isClosing() {
		return errClosing()
	}
	if !n.Leads() {
		return errNoLeader(ErrNotLeader)
	}
	s, there := n.server(id)
	future := f(s, there, timeLeft(ctx))
	if future == nil {
		return nil
	}
	if err := n.await(ctx, future); err != nil {
		return fmt.Errorf("change the members: %w", err)
	}
	return nil
}

// transferTime bounds a transfer of the lead when ctx does not.
const transferTime = 2 * time.Second

// TransferLeadership hands the lead to the voter that has most of the log and is
// alive, and waits until this node leads no more. A node that does not lead has
// nothing to do. Errors: "no_successor" if no other voter is alive.
func (n *Node) TransferLeadership(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, transferTime)
	defer cancel()
	for n.raft.State() == raft.Leader {
		to, ok := n.successor()
		if !ok {
			return model.Errorf(model.KindUnavailable, "no_successor", "no other voting member is alive; the lead stays here")
		}
		err := n.await(ctx, n.raft.LeadershipTransferToServer(to, raft.ServerAddress(to)))
		if err == nil {
			return nil
		}
		n.log.Debug("handing the lead over", "to", string(to), "err", err)
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return model.Errorf(model.KindUnavailable, "not_handed_over", "the lead could not be handed over in time: %v", err)
		}
	}
	return nil
}

// successor is the best voter to lead after this node.
func (n *Node) successor() (raft.ServerID, bool) {
	type candidate struct {
		id    raft.ServerID
		known peer
	}
	var all []candidate
	for _, s := range n.servers() {
		if s.Suffrage != raft.Voter || string(s.ID) == n.cfg.ID {
			continue
		}
		if k := n.peers.now(s.ID); time.Since(k.heard) < aliveWithin && !k.away {
			all = append(all, candidate{s.ID, k})
		}
	}
	if len(all) == 0 {
		return "", false
	}
	return slices.MaxFunc(all, func(a, b candidate) int {
		switch {
		case a.known.match < b.known.match:
			return -1
		case a.known.match > b.known.match:
			return 1
		}
		return 0
	}).id, true
}
