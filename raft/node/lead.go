package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/skerryhq/skerry/raft/model"
)

// errTermOver is the cause with which a term's context ends.
var errTermOver = errors.New("this node no longer leads")

// terms remembers whether this node leads now.
type terms struct {
	mu      sync.Mutex
	number  uint64          // guarded by mu; rises with every term of ours
	ctx     context.Context //nolint:containedctx // guarded by mu; nil while another node leads; ends with the term
	changed chan struct{}   // guarded by mu; closed and replaced at every change
	since   time.Time       // guarded by mu; beginning of the newest term of ours
}

// age is how long ago the newest term of ours began.
func (t *terms) age() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Since(t.since)
}

func (t *terms) now() (number uint64, ctx context.Context, changed <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.number, t.ctx, t.changed
}

// follow turns raft's notices into terms, one by one.
func (n *Node) follow(lead <-chan bool) {
	end := context.CancelCauseFunc(func(error) {})
	defer func() { end(errTermOver) }()
	set := func(ctx context.Context) {
		n.terms.mu.Lock()
		defer n.terms.mu.Unlock()
		if ctx != nil {
			n.terms.number++
			n.terms.since = time.Now()
		}
		n.terms.ctx = ctx //nolint:fatcontext // replaced, not nested
		close(n.terms.changed)
		n.terms.changed = make(chan struct{})
	}
	for {
		select {
		case leads := <-lead:
			end(errTermOver) // also when two notices say true: that is a new term
			if !leads {
				set(nil)
				continue
			}
			ctx, cancel := context.WithCancelCause(context.Background())
			end = cancel
			set(ctx)
		case <-n.closing:
			return
		}
	}
}

// Leads says whether this node believes that it leads.
func (n *Node) Leads() bool {
	_, ctx, _ := n.terms.now()
	return ctx != nil && ctx.Err() == nil
}

// Leading runs work for each term in which this node leads: after everything
// that was committed before is applied here, with a context that ends with the
// term, and never twice at once. It returns when ctx ends (its cause), when the
// node closes, or with the error of work that ended while its term went on.
func (n *Node) Leading(ctx context.Context, work func(term context.Context) error) error {
	var last uint64
	for {
		number, term, changed := n.terms.now()
		if term == nil || number == last || term.Err() != nil {
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-n.closing:
				return errClosing()
			}
		}
		last = number
		if err := n.lead(ctx, term, work); err != nil {
			return err
		}
	}
}

// lead is one term.
func (n *Node) lead(ctx, term context.Context, work func(context.Context) error) error {
	both, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(term, func() { cancel(context.Cause(term)) })()
	if err := n.Barrier(both); err != nil {
		n.log.Debug("barrier at the beginning of a term", "err", err)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return nil // the term is over, or raft says so soon
	}
	err := work(both)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case term.Err() != nil:
		return nil
	case err == nil:
		return fmt.Errorf("leader's work ended although the term goes on")
	default:
		return err
	}
}

// WaitReady waits until this node can serve: there is a leader and everything
// committed before is applied here. A member that was just started knows a leader
// long before it knows how much of its own log is committed: what it would find in
// its state until then is the past. Errors: "no_leader".
func (n *Node) WaitReady(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if n.Leads() {
			if err := n.Barrier(ctx); err == nil {
				return nil
			}
		} else if id := n.LeaderID(); id != "" && id != n.cfg.ID {
			if n.cfg.Forward == nil {
				return nil // nobody to ask
			}
			if index, err := n.readIndex(ctx); err == nil && n.WaitIndex(ctx, index) == nil {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return &model.Error{Kind: model.KindUnavailable, Code: "no_leader", Detail: "the cluster has no leader", Err: context.Cause(ctx)}
		case <-n.closing:
			return errClosing()
		}
	}
}
