package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/fsm"
	"github.com/skerryhq/skerry/raft/model"
)

// Group commit: proposals that arrive while an entry is on its way share the next
// one. An idle pipeline hands a proposal on at once.
//
// What an entry costs by itself (the disks, the wire, who must wake) grows with
// the members: of three it is more than ten writes cost. So a node alone has two
// entries on their way, one to the disk and one being applied, and several
// members have one at a time, with twice as many writes in it.
const (
	maxBatch      = 512       // proposals in one entry
	maxBatchBytes = 256 << 10 // bytes of commands after which an entry takes no more
	pipelineDepth = 2         // entries on their way of a node alone

	gatherMost = 3 * time.Millisecond   // how long an entry waits for those who were just answered and write again
	gatherIdle = 100 * time.Millisecond // after so long without any proposal nobody is waited for
)

const defaultTimeout = 10 * time.Second

// ErrOutcomeUnknown is under the error of a Propose whose command may or may
// not have been committed, now or later. Look at the state, or propose again:
// commands are safe to repeat (fixed ids, expected versions).
var ErrOutcomeUnknown = errors.New("outcome unknown")

// Result is what a Propose gave.
type Result struct {
	Index    uint64            // raft index; the state's View().Index() is at least this
	Outcomes []command.Outcome // one for each command, in order
}

// proposal is one call of Propose on its way.
type proposal struct {
	envelopes [][]byte
	copies    []command.Command // what decoding the envelopes gives; nil if that is to be done
	size      int
	level     uint64     // feature level that the commands need
	done      chan reply // has room for the one reply
}

type reply struct {
	res Result
	err error
}

// batch is one log entry on its way.
type batch struct {
	proposals []*proposal
	entry     []byte
	future    raft.ApplyFuture
	slots     int // of the pipeline, that it takes
	sent      time.Time
}

// Propose commits commands, in order, and waits until they are applied here.
// Commands are judged one by one: the error is the first refusal (a
// *model.Error), Result says which were applied. An Origin without a Time gets
// the present one. ctx bounds the wait (10 s if it has no deadline).
//
// Every member takes them: one that does not lead hands them to the leader and
// waits until the index is applied here. While there is no leader, Propose waits
// for one, up to leaderPatience.
//
// Errors besides refusals: "no_leader", "closing", "busy", "command_too_large",
// "level_too_low" (nothing was done); "not_caught_up" (done, but not seen here
// yet); ErrOutcomeUnknown.
func (n *Node) Propose(ctx context.Context, cmds ...command.Command) (Result, error) {
	if len(cmds) == 0 {
		return Result{Index: n.AppliedIndex()}, nil
	}
	p, err := n.prepare(cmds)
	if err != nil {
		return Result{}, err
	}
	r, err := n.route(ctx, p)
	if err != nil {
		return r, err
	}
	return r, refusal(r)
}

// local commits a proposal on this node, which must lead.
func (n *Node) local(ctx context.Context, p *proposal) (Result, error) {
	var late <-chan time.Time // a timer costs less than a context with a deadline
	if _, ok := ctx.Deadline(); !ok {
		t := time.NewTimer(defaultTimeout)
		defer t.Stop()
		late = t.C
	}
	select {
	case n.proposals <- p:
	case <-ctx.Done():
		return Result{}, busy(context.Cause(ctx))
	case <-late:
		return Result{}, busy(context.DeadlineExceeded)
	case <-n.closing:
		return Result{}, errClosing()
	}
	select {
	case r := <-p.done:
		return r.res, r.err
	case <-ctx.Done():
		return Result{}, unknown(context.Cause(ctx))
	case <-late:
		return Result{}, unknown(context.DeadlineExceeded)
	case <-n.ended:
	}
	select {
	case r := <-p.done:
		return r.res, r.err
	default: // it came in behind refuseRest
		return Result{}, errClosing()
	}
}

// refusal is the first one in a result.
func refusal(r Result) error {
	for _, o := range r.Outcomes {
		if o.Err != nil {
			return o.Err
		}
	}
	return nil
}

// checkLevel refuses a command that the cluster, or this binary, does not know.
func (n *Node) checkLevel(c command.Command) error {
	level := n.fsm.Store().FeatureLevel()
	if need := c.Type().MinLevel(); need > level {
		if level == 0 {
			return model.Errorf(model.KindUnavailable, "not_initialized", "there is no cluster yet; make one with `skerry init`")
		}
		return model.Errorf(model.KindUnavailable, "level_too_low",
			"%s needs feature level %d and the cluster is at %d: finish the upgrade on every node", c.Type().Name(), need, level)
	}
	if r, ok := c.(*command.RaiseLevel); ok && r.Level > command.Level {
		return model.Errorf(model.KindUnavailable, "version_too_old",
			"this binary (version %s) knows feature level %d at most, not %d: install the newer version first", n.cfg.Version, command.Level, r.Level)
	}
	return nil
}

func checkSize(size int) error {
	if size > command.MaxEntry {
		return model.Errorf(model.KindTooLarge, "command_too_large",
			"this change is %d bytes long; at most %d fit into one", size, command.MaxEntry)
	}
	return nil
}

// prepare encodes commands, in the caller's goroutine.
func (n *Node) prepare(cmds []command.Command) (*proposal, error) {
	p := &proposal{envelopes: make([][]byte, len(cmds)), copies: make([]command.Command, 0, len(cmds)), done: make(chan reply, 1)}
	behind := n.fsm.Store().FeatureLevel() == 0 && !n.alone() // this node has not caught up yet: the leader judges
	for i, c := range cmds {
		if !behind {
			if err := n.checkLevel(c); err != nil {
				return nil, err
			}
		}
		p.level = max(p.level, c.Type().MinLevel())
		if o := c.From(); o.Time.IsZero() {
			o.Time = time.Now().UTC()
		}
		e, err := command.Encode(c)
		if err != nil {
			return nil, err
		}
		p.envelopes[i] = e
		p.size += len(e)
		if same, ok := command.Copy(c); ok && p.copies != nil {
			p.copies = append(p.copies, same)
		} else {
			p.copies = nil
		}
	}
	return p, checkSize(p.size)
}

// submit gathers proposals into entries and hands them to raft, as many at a
// time as the pipeline has room for; while they are on their way, what comes in
// gathers.
func (n *Node) submit(slots chan struct{}, inflight chan<- *batch) {
	defer close(inflight)
	var want int
	for {
		b := &batch{slots: 1}
		if !n.alone() {
			b.slots = pipelineDepth
		}
		for range b.slots {
			select {
			case slots <- struct{}{}:
			case <-n.closing:
				n.refuseRest()
				return
			}
		}
		free, patience := time.Now(), min(gatherMost, time.Duration(n.took.Load())/2)
		select {
		case p := <-n.proposals:
			b.proposals = []*proposal{p}
			if time.Since(free) > gatherIdle {
				want = 0
			}
			n.fill(b, want, patience)
			want = max(len(b.proposals), want*7/8)
			inflight <- b.send(n)
		case <-n.closing:
			n.refuseRest()
			return
		}
	}
}

// fill adds the proposals that are waiting already, and, as long as there are
// fewer than want, those that come soon.
func (n *Node) fill(b *batch, want int, patience time.Duration) {
	size := b.proposals[0].size
	var late <-chan time.Time
	for len(b.proposals) < maxBatch && size < maxBatchBytes {
		var p *proposal
		select {
		case p = <-n.proposals:
		default:
			if len(b.proposals) >= want {
				return
			}
			if late == nil {
				t := time.NewTimer(patience)
				defer t.Stop()
				late = t.C
			}
			select {
			case p = <-n.proposals:
			case <-late:
				return
			case <-n.closing:
				return
			}
		}
		b.proposals = append(b.proposals, p)
		size += p.size
	}
}

// send hands a batch to raft.
func (b *batch) send(n *Node) *batch {
	envelopes := make([][]byte, 0, len(b.proposals))
	copies := make([]command.Command, 0, len(b.proposals))
	for _, p := range b.proposals {
		envelopes = append(envelopes, p.envelopes...)
		copies = append(copies, p.copies...)
	}
	b.entry = command.EncodeEntry(n.cfg.Version, envelopes)
	if len(copies) == len(envelopes) { // otherwise the entry is decoded, as on other nodes
		n.fsm.Carry(b.entry, copies)
	}
	b.sent = time.Now()
	b.future = n.raft.Apply(b.entry, defaultTimeout)
	return b
}

// refuseRest answers the proposals that were never handed to raft.
func (n *Node) refuseRest() {
	for {
		select {
		case p := <-n.proposals:
			p.done <- reply{err: errClosing()}
		default:
			return
		}
	}
}

// collect waits for entries in order and answers their proposals.
func (n *Node) collect(slots <-chan struct{}, inflight <-chan *batch) {
	for b := range inflight {
		var outcomes []command.Outcome
		err := fromRaft(b.future.Error())
		if err == nil {
			r, ok := b.future.Response().(fsm.Result)
			switch {
			case !ok:
				err = fmt.Errorf("raft gave %T for an entry", b.future.Response())
			case r.Err != nil:
				err = unknown(r.Err)
			}
			outcomes = r.Outcomes
			n.watched.committed()
			if !n.awaitStandby(b.future.Index()) {
				err = unknown(errClosing())
			}
		} else if model.CodeOf(err) == "" {
			err = unknown(err) // the log refused it, which says nothing about what is on the disk
		}
		n.fsm.Drop(b.entry)
		n.took.Store(int64(time.Since(b.sent)))
		for range b.slots {
			<-slots
		}
		for _, p := range b.proposals {
			if err != nil {
				p.done <- reply{err: err}
				continue
			}
			k := len(p.envelopes)
			p.done <- reply{res: Result{Index: b.future.Index(), Outcomes: outcomes[:k:k]}}
			outcomes = outcomes[k:]
		}
	}
}

// fromRaft turns raft's errors into ours.
func fromRaft(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return &model.Error{Kind: model.KindUnavailable, Code: "no_leader", Detail: "no leader can take this change at the moment; try again", Err: err}
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return busy(err)
	case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrAbortedByRestore), errors.Is(err, raft.ErrRaftShutdown):
		return unknown(err)
	default:
		return fmt.Errorf("raft: %w", err)
	}
}

func unknown(cause error) error {
	return &model.Error{Kind: model.KindUnavailable, Code: "outcome_unknown",
		Detail: "whether this change was made is not known yet; look again before repeating it",
		Err:    fmt.Errorf("%w: %w", ErrOutcomeUnknown, cause)}
}

// busy is the answer for what was never handed to raft.
func busy(cause error) error {
	return &model.Error{Kind: model.KindUnavailable, Code: "busy", Detail: "the cluster takes no more changes at the moment; try again", Err: cause}
}

func errClosing() error {
	return model.Errorf(model.KindUnavailable, "closing", "this node is shutting down")
}

// timeLeft is how long ctx allows, for raft's own timeouts.
func timeLeft(ctx context.Context) time.Duration {
	if d, ok := ctx.Deadline(); ok {
		return max(time.Until(d), time.Millisecond)
	}
	return defaultTimeout
}
