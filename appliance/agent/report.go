package agent

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// reporter writes container statuses into the state: the newest of each, all
// that have gathered while the write before was under way.
type reporter struct {
	nodeID   string
	proposer Proposer
	log      *slog.Logger

	mu      sync.Mutex
	pending map[string]model.ContainerStatus // guarded by mu; one for each container, however long nobody takes them
	dropped map[string]bool                  // since take; guarded by mu
	wake    chan struct{}
}

func newReporter(nodeID string, p Proposer, log *slog.Logger) *reporter {
	return &reporter{nodeID: nodeID, proposer: p, log: log, pending: map[string]model.ContainerStatus{}, dropped: map[string]bool{}, wake: make(chan struct{}, 1)}
}

// put hands over a status. It never waits.
func (r *reporter) put(id string, st model.ContainerStatus) {
	r.mu.Lock()
	r.pending[id] = st
	delete(r.dropped, id)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// drop forgets a status that nobody will read any more.
func (r *reporter) drop(id string) {
	r.mu.Lock()
	delete(r.pending, id)
	r.dropped[id] = true
	r.mu.Unlock()
}

func (r *reporter) take() []command.StatusItem {
	r.mu.Lock()
	defer r.mu.Unlock()
	items := make([]command.StatusItem, 0, len(r.pending))
	for id, st := range r.pending {
		items = append(items, command.StatusItem{ID: id, Status: st})
	}
	clear(r.pending)
	clear(r.dropped)
	return items
}

// untake puts back what could not be written, unless something newer came or
// nobody will read it any more.
func (r *reporter) untake(items []command.StatusItem) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, i := range items {
		if _, newer := r.pending[i.ID]; !newer && !r.dropped[i.ID] {
			r.pending[i.ID] = i.Status
		}
	}
}

func (r *reporter) run(ctx context.Context) error {
	const again, most, patience = 200 * time.Millisecond, 500 * time.Millisecond, 10 * time.Second
	pause := again
	var retry <-chan time.Time
	for {
		wake := r.wake
		if retry != nil {
			wake = nil // while nobody listens, news wait for the next attempt
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wake:
		case <-retry:
		}
		retry = nil
		items := r.take()
		if len(items) == 0 {
			continue
		}
		cmd := &command.SetContainerStatus{Head: command.By(origin("agent")), NodeID: r.nodeID, Items: items}
		bounded, cancel := context.WithTimeout(ctx, patience)
		res, err := r.proposer.Propose(bounded, cmd)
		cancel()
		if err != nil {
			r.log.Debug("statuses not written, trying again", "count", len(items), "err", err)
			r.untake(items)
			retry = time.After(pause)
			pause = min(2*pause, most)
			continue
		}
		pause = again
		for _, o := range res.Outcomes {
			for _, refused := range o.Refused {
				r.log.Debug("status refused", "container", refused.ID, "err", refused.Err)
			}
		}
	}
}
