package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// Forwarder carries what only the leader can do from this node to it. It is
// called by many goroutines at once.
type Forwarder interface {
	// Forward hands encoded commands to Node.ProposeEncoded of the leader and
	// gives its answer. An error after which it is certain that the leader did
	// not get them (no connection) wraps ErrNotDone; the errors that the leader
	// gives keep their kind and code. After every other error the outcome is
	// unknown.
	Forward(ctx context.Context, leaderID string, envelopes [][]byte) (index uint64, outcomes []command.Outcome, err error)
	// ReadIndex gives the answer of the leader's Node.LocalReadIndex.
	ReadIndex(ctx context.Context, leaderID string) (uint64, error)
}

var (
	// ErrNotDone is under the error of a Forward whose commands certainly did
	// not reach the leader.
	ErrNotDone = errors.New("not done")
	// ErrNotLeader is under the error of what only the leader answers, asked of
	// another node. Nothing was done.
	ErrNotLeader = errors.New("not the leader")
)

// How long Propose waits for a leader, and how often it looks.
const (
	leaderPatience = 5 * time.Second
	leaderLook     = 5 * time.Millisecond
)

// LeaderID is the id of the node that leads, as far as this one knows; empty if
// it knows none.
func (n *Node) LeaderID() string {
	_, id := n.raft.LeaderWithID()
	return string(id)
}

// notDone says whether an error means that nothing was handed to raft, and that
// the next leader may take it.
func notDone(err error) bool {
	if errors.Is(err, ErrOutcomeUnknown) {
		return false
	}
	if errors.Is(err, ErrNotDone) || errors.Is(err, ErrNotLeader) {
		return true
	}
	switch model.CodeOf(err) {
	case "no_leader", "closing", "not_leader":
		return true
	}
	return false
}

// route commits a proposal here or at the leader, whoever that is by then. It
// tries again as long as it is certain that nothing was done.
func (n *Node) route(ctx context.Context, p *proposal) (Result, error) {
	var patience *time.Timer
	var tick *time.Ticker
	for {
		r, err := n.attempt(ctx, p)
		if err == nil || !notDone(err) {
			return r, err
		}
		if model.CodeOf(err) == "closing" && n.isClosing() {
			return r, err
		}
		if patience == nil {
			patience, tick = time.NewTimer(leaderPatience), time.NewTicker(leaderLook)
			defer patience.Stop()
			defer tick.Stop()
		}
		select {
		case <-tick.C:
		case <-patience.C:
			return Result{}, err
		case <-ctx.Done():
			return Result{}, err
		case <-n.closing:
			return Result{}, errClosing()
		}
	}
}

// attempt tries once.
func (n *Node) attempt(ctx context.Context, p *proposal) (Result, error) {
	leader := n.LeaderID()
	switch {
	case leader == n.cfg.ID && (p.level == 0 || n.fsm.Store().FeatureLevel() > 0):
		return n.local(ctx, p)
	case leader == n.cfg.ID || leader == "" || n.cfg.Forward == nil: // or it leads and has not applied what was there before
		return Result{}, errNoLeader(ErrNotLeader)
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultTimeout)
		defer cancel()
	}
	index, outcomes, err := n.cfg.Forward.Forward(ctx, leader, p.envelopes)
	switch {
	case err != nil && (notDone(err) || model.CodeOf(err) != "" && model.CodeOf(err) != "outcome_unknown"):
		return Result{}, err
	case err != nil:
		return Result{}, unknown(err)
	case len(outcomes) != len(p.envelopes):
		return Result{}, unknown(fmt.Errorf("the leader gave %d outcomes for %d commands", len(outcomes), len(p.envelopes)))
	}
	r := Result{Index: index, Outcomes: outcomes}
	if err := n.WaitIndex(ctx, index); err != nil {
		if refused := refusal(r); refused != nil {
			return r, refused // it was not made, wherever this node is
		}
		return r, &model.Error{Kind: model.KindUnavailable, Code: "not_caught_up",
			Detail: fmt.Sprintf("the change was made (index %d), but this node has not caught up with it; look at another", index), Err: err}
	}
	return r, nil
}

// ProposeEncoded is the leader's side of a Forward: it commits commands that
// another member encoded. Refusals are in the outcomes, not in the error. Errors:
// ErrNotLeader under "no_leader", "closing", "busy", "level_too_low",
// "command_invalid", "command_too_large" (nothing was done); ErrOutcomeUnknown.
func (n *Node) ProposeEncoded(ctx context.Context, envelopes [][]byte) (Result, error) {
	if len(envelopes) == 0 {
		return Result{}, model.Errorf(model.KindInvalid, "command_invalid", "a forwarded change holds no command")
	}
	if n.LeaderID() != n.cfg.ID {
		return Result{}, errNoLeader(ErrNotLeader)
	}
	if n.fsm.Store().FeatureLevel() == 0 { // it leads, and has not applied what was there before
		if err := n.Barrier(ctx); err != nil {
			return Result{}, errNoLeader(err)
		}
	}
	p := &proposal{envelopes: envelopes, copies: make([]command.Command, len(envelopes)), done: make(chan reply, 1)}
	for i, e := range envelopes {
		c, err := command.Decode(e)
		if err != nil {
			return Result{}, &model.Error{Kind: model.KindInvalid, Code: "command_invalid",
				Detail: "this node (version " + n.cfg.Version + ") cannot read a forwarded change; bring all members to the same version", Err: err}
		}
		if err := n.checkLevel(c); err != nil {
			return Result{}, err
		}
		p.copies[i] = c
		p.size += len(e)
	}
	if err := checkSize(p.size); err != nil {
		return Result{}, err
	}
	return n.local(ctx, p)
}

func errNoLeader(cause error) error {
	return &model.Error{Kind: model.KindUnavailable, Code: "no_leader", Detail: "the cluster has no leader that can take this at the moment; try again", Err: cause}
}

func (n *Node) isClosing() bool {
	select {
	case <-n.closing:
		return true
	default:
		return false
	}
}
