package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/runtime/workload"
)

// leaving is a container of which nothing is to be left on this host, though
// nobody asks for its removal any more: it was given up while this node was
// away, or its row is gone. Who comes after it may have its address, and waits.
type leaving struct {
	address netip.Addr
	gone    chan struct{} // closed when nothing is left of it
	confirm bool          // the cluster waits for our word; guarded by Agent.mu
	done    bool          // and has it, or does not wait; guarded by Agent.mu
}

// leave takes back everything of a container once after is closed (nil: at
// once), however often that takes. a.mu is held.
func (a *Agent) leave(ctx context.Context, id string, address netip.Addr, after <-chan struct{}) *leaving {
	if l, there := a.leaving[id]; there {
		return l
	}
	l := &leaving{address: address, gone: make(chan struct{})}
	a.leaving[id] = l
	a.wg.Go(func() {
		if after != nil {
			<-after
		}
		a.report.drop(id)
		if !insist(ctx, func() error { return a.discard(ctx, id) }) {
			return
		}
		close(l.gone)
		if insist(ctx, func() error { return a.confirm(ctx, id, l) }) {
			a.log.Info("a container that was not to be here is gone", "container", id)
		}
	})
	return l
}

// confirm gives the cluster our word that nothing is left, if it waits for that.
func (a *Agent) confirm(ctx context.Context, id string, l *leaving) error {
	a.mu.Lock()
	if !l.confirm {
		l.done = true
		delete(a.leaving, id)
		a.mu.Unlock()
		return nil
	}
	a.mu.Unlock()
	cmd := &command.ForgetContainers{Head: command.By(origin("agent")), NodeID: a.cfg.NodeID, IDs: []string{id}}
	if _, err := a.cfg.Proposer.Propose(ctx, cmd); err != nil {
		return err
	}
	a.mu.Lock()
	l.done = true // it goes from the map with the view that names it no more
	a.mu.Unlock()
	return nil
}

// seeOrphans begins to remove what was given up, and forgets what is settled.
// a.mu is held.
func (a *Agent) seeOrphans(ctx context.Context, orphans []model.Orphan) {
	named := make(map[string]bool, len(orphans))
	for _, o := range orphans {
		named[o.ID] = true
		a.leave(ctx, o.ID, o.Address, nil).confirm = true
	}
	for id, l := range a.leaving {
		if l.done && !named[id] {
			delete(a.leaving, id)
		}
	}
}

// insist calls do until it succeeds, with growing pauses; false if ctx ended.
func insist(ctx context.Context, do func() error) bool {
	const most = 2 * time.Second
	for failures := 0; ; failures++ {
		if ctx.Err() != nil {
			return false
		}
		if do() == nil {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(min(pause(failures), most)):
		}
	}
}

// vacated waits, for a moment, until nobody who is leaving holds an address.
func (a *Agent) vacated(ctx context.Context, address netip.Addr) error {
	const patience = 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		l, id := a.holder(address)
		if l == nil {
			return nil
		}
		select {
		case <-l.gone:
		case <-ctx.Done():
			return fmt.Errorf("address %s is still held by container %s, which is being removed: %w", address, id, context.Cause(ctx))
		}
	}
}

func (a *Agent) holder(address netip.Addr) (*leaving, string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, l := range a.leaving {
		if l.address != address {
			continue
		}
		select {
		case <-l.gone:
		default:
			return l, id
		}
	}
	return nil, ""
}

// discardAll takes back several at once, so that the first wishes need not wait
// for one after the other. What could not be taken back is remembered for see.
func (a *Agent) discardAll(ctx context.Context, ids []string) {
	var g errgroup.Group
	g.SetLimit(startsAtOnce)
	failed := make([]bool, len(ids))
	for i, id := range ids {
		g.Go(func() error {
			failed[i] = a.discard(ctx, id) != nil
			return nil
		})
	}
	_ = g.Wait() // none of them fails
	for i, id := range ids {
		if failed[i] {
			a.strays = append(a.strays, id)
		}
	}
}

// discard ends a container the short way and takes back everything of it.
func (a *Agent) discard(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if _, err := a.cfg.Containers.Stop(ctx, workload.ID(id), workload.StopOptions{}); err != nil && !errors.Is(err, workload.ErrNotFound) && !errors.Is(err, workload.ErrNotRunning) {
		a.log.Warn("cannot end a container that is to go", "container", id, "err", err)
	}
	if err := a.giveBack(ctx, id); err != nil {
		a.log.Warn("cannot remove a container whole, trying again", "container", id, "err", err)
		return err
	}
	return nil
}
