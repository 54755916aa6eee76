package appliance

import (
	"context"
	"time"

	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/appliance/quorum"
	"github.com/skerryhq/skerry/raft/node"
	"github.com/skerryhq/skerry/raft/state"
)

// voters fits raft's configuration to the autopilot.
type voters struct{ *node.Node }

var _ quorum.Raft = voters{}

// Peers lists who takes part in raft, as the leader sees them.
func (v voters) Peers(ctx context.Context) ([]quorum.Peer, error) {
	m, err := v.Members(ctx)
	if err != nil {
		return nil, err
	}
	return peersOf(&m, time.Now()), nil
}

// Transfer gives the lead to another member.
func (v voters) Transfer(ctx context.Context, id string) error {
	return v.TransferLeadership(ctx)
}

func peersOf(m *node.Membership, now time.Time) []quorum.Peer {
	var out []quorum.Peer
	for _, s := range m.Servers {
		p := quorum.Peer{ID: s.ID, Voter: s.Voter, Leader: s.Leader, LastContact: -1, Lag: -1}
		if !s.LastContact.IsZero() {
			p.LastContact = max(0, now.Sub(s.LastContact))
		}
		if s.MatchIndex > 0 {
			p.Lag = max(0, int64(m.CommitIndex)-int64(s.MatchIndex))
		}
		out = append(out, p)
	}
	return out
}

// quorumOf puts in words and figures what raft and the state know of the members.
func quorumOf(m *node.Membership, v *state.View, applied uint64, now time.Time) *api.Quorum {
	servers := quorum.Servers(v, peersOf(m, now))
	out := &api.Quorum{
		Generation: 1, Term: m.Term, CommitIndex: m.CommitIndex, AppliedIndex: applied, LeaderID: m.LeaderID,
		Degraded: m.Degraded, Members: []api.QuorumMember{},
	}
	if cl, ok := v.Cluster(); ok {
		out.Generation = max(1, cl.Generation)
	}
	voting, _, canLose := quorum.Margin(servers)
	out.Voters, out.CanLose, out.Summary = voting, canLose, quorum.Sentence(servers, m.Degraded)
	for _, s := range servers {
		if s.Gone {
			continue
		}
		q := api.QuorumMember{
			NodeID: s.ID, Name: s.Name, Part: api.QuorumMemberPart(s.Part), Leader: s.Leader, Alive: s.Alive, Lag: -1, LastContactMillis: -1,
			Reason: quorum.Why(s, servers), Wish: s.Wish,
		}
		if n, ok := v.Node(s.ID); ok {
			q.Address, q.Version = n.Status.Address, n.Status.SkerryVersion
		}
		if r, ok := m.Server(s.ID); ok {
			if r.MatchIndex > 0 {
				q.Lag = max(0, int64(m.CommitIndex)-int64(r.MatchIndex))
			}
			if !r.LastContact.IsZero() {
				q.LastContactMillis = max(0, now.Sub(r.LastContact).Milliseconds())
			}
		}
		out.Members = append(out.Members, q)
	}
	return out
}
