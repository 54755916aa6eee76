package quorum

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// The times of the autopilot.
const (
	every = 250 * time.Millisecond
	// silent is how long the leader may have heard nothing of a member that still
	// counts as alive.
	silent = 3 * time.Second
	// deadAfter is how long a voter must be silent until a standby takes its place.
	deadAfter = 20 * time.Second
	// closeBy is how many entries a standby may be behind when it becomes a voter.
	closeBy      = 256
	stepMax      = 10 * time.Second // bound of one step
	afterFailure = 2 * time.Second
)

// Peer is one server of raft's configuration, as the leader sees it.
type Peer struct {
	ID          string
	Voter       bool
	Leader      bool
	LastContact time.Duration // since the leader heard of it; negative: never
	Lag         int64         // entries that it is behind; negative: not known
}

// Raft changes raft's configuration; every method works on the leader only.
type Raft interface {
	Peers(ctx context.Context) ([]Peer, error)
	AddStandby(ctx context.Context, id string) error
	AddVoter(ctx context.Context, id string) error
	Demote(ctx context.Context, id string) error
	Remove(ctx context.Context, id string) error
	Transfer(ctx context.Context, id string) error
}

// Servers joins what raft and the state know. A member is dead when it has been
// silent for deadAfter.
func Servers(v *state.View, peers []Peer) []Server {
	var out []Server
	known := map[string]bool{}
	for _, p := range peers {
		known[p.ID] = true
		s := Server{ID: p.ID, Name: p.ID, Part: Standby, Leader: p.Leader}
		if p.Voter {
			s.Part = Voter
		}
		s.Alive = p.Leader || p.LastContact >= 0 && p.LastContact < silent
		s.Dead = !s.Alive && (p.LastContact < 0 || p.LastContact >= deadAfter)
		s.CaughtUp = p.Leader || s.Alive && p.Lag >= 0 && p.Lag <= closeBy
		n, ok := v.Node(p.ID)
		s.Gone = !ok || !n.Member()
		if ok {
			s.Name, s.Zone, s.Wish = n.Name, n.Spec.Labels["zone"], n.Spec.Suffrage
		}
		out = append(out, s)
	}
	for n := range v.Nodes() {
		if n.Member() && !known[n.ID] {
			out = append(out, Server{ID: n.ID, Name: n.Name, Zone: n.Spec.Labels["zone"], Wish: n.Spec.Suffrage, Part: None, Down: n.Down()})
		}
	}
	return out
}

// Loop follows the autopilot until ctx, the leader's term, ends.
func Loop(ctx context.Context, r Raft, view func() *state.View, log *slog.Logger) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	began := time.Now()
	for {
		if err := turn(ctx, r, view, began, log); err != nil && ctx.Err() == nil {
			log.Warn("a change of the voters was not made, trying again", "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(afterFailure):
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// turn takes all steps that can be taken now. Who was not heard of in this term,
// which began then, has been silent since then.
func turn(ctx context.Context, r Raft, view func() *state.View, began time.Time, log *slog.Logger) error {
	for {
		peers, err := r.Peers(ctx)
		if err != nil {
			return err
		}
		for i := range peers {
			if peers[i].LastContact < 0 {
				peers[i].LastContact = time.Since(began)
			}
		}
		v := view()
		if _, ok := v.Cluster(); !ok {
			return nil
		}
		s, ok := Next(Servers(v, peers))
		if !ok {
			return nil
		}
		log.Info("changing the part of a member", "action", string(s.Action), "member", s.ID, "reason", s.Reason)
		if err := take(ctx, r, s); err != nil {
			return err
		}
	}
}

func take(ctx context.Context, r Raft, s Step) error {
	ctx, cancel := context.WithTimeout(ctx, stepMax)
	defer cancel()
	switch s.Action {
	case AddStandby:
		return r.AddStandby(ctx, s.ID)
	case Promote:
		return r.AddVoter(ctx, s.ID)
	case Demote:
		return r.Demote(ctx, s.ID)
	case Remove:
		return r.Remove(ctx, s.ID)
	case Transfer:
		return r.Transfer(ctx, s.ID)
	default:
		return errors.New("the autopilot asked for an unknown step: " + string(s.Action))
	}
}

// Why says in a sentence what keeps a member from the part that it is wished to
// have; empty if nothing does.
func Why(s Server, all []Server) string {
	switch {
	case s.Part == None && s.Down:
		return "it is down; it is told of the log when it is back"
	case s.Part == None:
		return "it has joined and is about to be told of the log"
	case s.Part == Voter && s.Wish == model.SuffrageStandby:
		return "it stays a voter until another member can take its vote"
	case s.Part == Standby && s.Wish == model.SuffrageVoter && !s.CaughtUp:
		return "it becomes a voter when it has caught up"
	case s.Part == Standby && s.Wish == model.SuffrageVoter:
		voters, _, _ := Margin(all)
		if voters >= Target(len(all)) {
			return "an odd number of voters is safest: it becomes one when one more joins or another voter is demoted"
		}
		return "it becomes a voter when another standby has caught up as well"
	case !s.Alive:
		return "it does not answer"
	default:
		return ""
	}
}
