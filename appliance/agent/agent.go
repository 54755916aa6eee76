// Package agent makes one node be what the cluster asks of it. It watches the
// node's view (appliance/nodeview), drives the runtime and the network one step
// at a time, and reports what it sees. It decides nothing about placement and
// never reads another node's business.
//
// Each container has a keeper, a goroutine of its own that knows one container
// and nothing else; the packet filter and the names have one loop each. After a
// restart everything that runs is adopted by looking: the engine's own records
// and the kernel's objects bear the container ids.
package agent

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skerryhq/skerry/appliance/nodeview"
	"github.com/skerryhq/skerry/netfw/link"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
	"github.com/skerryhq/skerry/runtime/workload"
)

// Containers is the part of runtime/ctrd that keepers need.
type Containers interface {
	Create(ctx context.Context, spec workload.Spec) error
	Start(ctx context.Context, id workload.ID) (workload.State, error)
	Stop(ctx context.Context, id workload.ID, o workload.StopOptions) (workload.State, error)
	Remove(ctx context.Context, id workload.ID) error
	Sweep(ctx context.Context) (layers int, err error)
	Inspect(ctx context.Context, id workload.ID) (workload.State, error)
	List(ctx context.Context) ([]workload.State, error)
	Events(ctx context.Context, handle func(workload.Event)) error
}

// Links is the part of netfw/link that keepers need.
type Links interface {
	Path(id string) string
	Veth(id string) string
	Ensure(ctx context.Context, s link.Spec) (link.Attachment, error)
	Remove(ctx context.Context, id string) error
	List() (link.Present, error)
	RemoveVeth(name string) error
}

// Logs is the part of the log daemon's client that keepers need.
type Logs interface {
	Open(ctx context.Context, id string, o LogOptions) (workload.Stdio, error)
	Close(ctx context.Context, id string) error  // after the task's end: drain and forget the pipes
	Remove(ctx context.Context, id string) error // with the files
}

// LogOptions says how a container's output is kept.
type LogOptions struct {
	TTY, Stdin bool
	MaxBytes   int64 // per file; 0 means the daemon's default
	MaxFiles   int   // 0 means the daemon's default
}

// Volumes is the part of runtime/volume that the agent needs.
type Volumes interface {
	Ensure(id string) (path string, err error)
	Remove(id string) error
	Discard(id string) (path string, err error)
	List() ([]string, error)
}

// Proposer changes the cluster's state.
type Proposer interface {
	Propose(ctx context.Context, cmds ...command.Command) (node.Result, error)
}

// Config is what an agent needs; every field is required.
type Config struct {
	NodeID     string
	FilesDir   string // <run-dir>/containers: resolv.conf, hosts and hostname of each container
	CgroupRoot string // cgroup below which containers live, e.g. "/skerry/<node-id>"
	Resolver   netip.Addr
	Views      nodeview.Source
	Proposer   Proposer
	Containers Containers
	Links      Links
	Logs       Logs
	Volumes    Volumes
	Firewall   Firewall
	Overlay    Overlay
	Names      func(ctx context.Context, v nodeview.View) error // publishes what the edge answers
	Control    []uint16                                         // the node's own ports, closed to containers
	Log        *slog.Logger
	// EndedAt is when the node last ended its containers with itself; they are
	// begun again as after a reboot. Zero if it did not.
	EndedAt time.Time
}

// Agent keeps one node as asked.
type Agent struct {
	cfg    Config
	log    *slog.Logger
	report *reporter
	timing *timing
	starts chan struct{} // bounds how many containers start at once

	mu      sync.Mutex
	keepers map[string]*keeper  // guarded by mu
	leaving map[string]*leaving // guarded by mu
	serving map[string][]string // app id/service -> containers that answer; guarded by mu
	volumes map[string]bool     // ids of those that a view has named; only adopt and see
	strays  []string            // what adopt could not take back; only adopt and see
	acted   mark                // only see
	wg      sync.WaitGroup
}

// mark is the newest view that a loop has acted on. Each loop has its own.
type mark struct {
	view    nodeview.View // Generation and Index only
	unknown bool          // it was said that the cluster does not know this node
}

// obey says whether a loop may act on a view. It may not on one that is older
// than what it has acted on, because what came since would be undone; and not on
// one without this node: a node that was removed, or is not known yet, leaves
// everything as it is.
func (m *mark) obey(v nodeview.View, log *slog.Logger) bool {
	if v.Node == nil {
		if !m.unknown && log != nil {
			log.Warn("the cluster does not know this node; what runs here goes on running, and nothing is changed")
		}
		m.unknown = true
		return false
	}
	if v.Older(m.view) {
		if log != nil {
			log.Warn("a view of an earlier moment is passed over", "index", v.Index, "generation", v.Generation, "acted_index", m.view.Index, "acted_generation", m.view.Generation)
		}
		return false
	}
	m.view, m.unknown = nodeview.View{Index: v.Index, Generation: v.Generation}, false
	return true
}

// startsAtOnce bounds parallel starts: more only make each of them slower.
const startsAtOnce = 12

// New makes an agent. It touches nothing yet.
func New(cfg Config) *Agent {
	log := cfg.Log.With("component", "agent", "node", cfg.NodeID)
	return &Agent{
		cfg: cfg, log: log,
		report:  newReporter(cfg.NodeID, cfg.Proposer, log),
		timing:  &timing{of: map[string][]span{}},
		starts:  make(chan struct{}, startsAtOnce),
		keepers: map[string]*keeper{},
		leaving: map[string]*leaving{},
	}
}

// Run adopts what is there, gives back what nobody asked for, and keeps the
// node as asked until ctx ends. Containers go on running after it.
func (a *Agent) Run(ctx context.Context) error {
	if !a.known(ctx) {
		return nil
	}
	found, err := a.adopt(ctx)
	for err != nil { // the engine may just be starting again
		a.log.Warn("cannot see what runs, trying again", "err", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retryAfter):
		}
		found, err = a.adopt(ctx)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.report.run(ctx) })
	g.Go(func() error { return a.cfg.Containers.Events(ctx, a.hear) })
	g.Go(func() error { return a.network(ctx) })
	g.Go(func() error { return a.names(ctx) })
	g.Go(func() error {
		err := a.cfg.Views.Watch(ctx, func(ctx context.Context, v nodeview.View) error {
			if a.see(ctx, v, found) {
				found = nil
			}
			return nil
		})
		a.wg.Wait()
		return err
	})
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// known waits until the cluster knows this node; false if ctx ended before.
func (a *Agent) known(ctx context.Context) bool {
	var m mark
	for {
		v, changed, err := a.cfg.Views.Changed(ctx)
		if err == nil && m.obey(v, a.log) {
			return true
		}
		if err != nil {
			a.log.Warn("cannot see what is asked of this node, trying again", "err", err)
			changed = nil
		}
		select {
		case <-ctx.Done():
			return false
		case <-changed:
		case <-time.After(retryAfter):
		}
	}
}

// see hands every container its newest wish. found is what the engine held at
// the start; nil afterwards. It reports whether the view was acted on.
func (a *Agent) see(ctx context.Context, v nodeview.View, found map[string]workload.State) bool {
	before := a.acted.view.Generation
	if !a.acted.obey(v, a.log) {
		return false
	}
	a.dropVolumes(ctx, v)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.serving = servers(v)
	asked := make(map[string]bool, len(v.Containers))
	for _, c := range v.Containers {
		asked[c.ID] = true
	}
	// First who goes, then who comes: they may be given the same address.
	for id, k := range a.keepers {
		if asked[id] {
			continue
		}
		delete(a.keepers, id)
		if k.end() {
			continue
		}
		a.log.Warn("removing a container whose row is gone without our doing", "container", id)
		k.cancel()
		a.leave(ctx, id, k.address(), k.ended)
	}
	a.seeOrphans(ctx, v.Orphans)
	for _, id := range a.strays {
		a.leave(ctx, id, netip.Addr{}, nil)
	}
	a.strays = nil
	for _, c := range v.Containers {
		k, ok := a.keepers[c.ID]
		if !ok {
			k = newKeeper(a, c)
			if st, there := found[c.ID]; there {
				k.saw(st)
			}
			a.keepers[c.ID] = k
			own, cancel := context.WithCancel(ctx)
			k.cancel = cancel
			a.wg.Go(func() {
				defer close(k.ended)
				defer cancel()
				k.run(own)
			})
		}
		k.ask(c)
		if before != 0 && v.Generation != before {
			k.repeat() // the recovery may have lost what was said last
		}
	}
	return true
}

// hear hands the engine's events to the keepers.
func (a *Agent) hear(e workload.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch e.Kind {
	case workload.EventResync: // also the first one: it makes up for what ended since adopt looked
		for _, k := range a.keepers {
			k.doubt()
		}
	case workload.EventExit:
		if k := a.keepers[string(e.ID)]; k != nil {
			k.exited(e.State)
		}
	}
}

// adopt lists what the engine has, and gives back every container, namespace
// and interface that the state does not name: what a crash left between making
// something and writing it down, or between the two ends of a removal. Volumes
// that it does not name are only put aside.
func (a *Agent) adopt(ctx context.Context) (map[string]workload.State, error) {
	if n, err := a.cfg.Containers.Sweep(ctx); err != nil {
		return nil, err
	} else if n > 0 {
		a.log.Info("removed layers that a crash had left", "layers", n)
	}
	states, err := a.cfg.Containers.List(ctx)
	if err != nil {
		return nil, err
	}
	asked, veths, given := map[string]bool{}, map[string]bool{}, map[string]bool{}
	view := a.cfg.Views.Now()
	for _, c := range view.Containers {
		asked[c.ID], veths[a.cfg.Links.Veth(c.ID)] = true, true
	}
	for _, o := range view.Orphans {
		given[o.ID] = true
	}
	found := map[string]workload.State{}
	var discard []string
	for _, s := range states {
		switch id := string(s.ID); {
		case asked[id]:
			found[id] = a.judge(s)
			continue
		case given[id]:
			a.log.Info("removing a container that was given up while this node was away", "container", id)
		default:
			a.log.Warn("removing a container that the cluster does not know", "container", id)
		}
		discard = append(discard, string(s.ID))
	}
	present, err := a.cfg.Links.List()
	if err != nil {
		return nil, err
	}
	for _, id := range present.IDs {
		if !asked[id] && !slices.Contains(discard, id) {
			discard = append(discard, id)
		}
	}
	a.discardAll(ctx, discard)
	for _, v := range present.Veths {
		if !veths[v] {
			if err := a.cfg.Links.RemoveVeth(v); err != nil {
				a.log.Warn("an interface is left over", "interface", v, "err", err)
			}
		}
	}
	if err := a.adoptVolumes(view); err != nil {
		return nil, err
	}
	a.log.Info("adopted", "containers", len(found))
	return found, nil
}

// judge tells a task that the node ended with itself from one that ended: the
// former is lost, and begun again as after a reboot.
func (a *Agent) judge(s workload.State) workload.State {
	ended := a.cfg.EndedAt
	if !ended.IsZero() && s.Phase == workload.PhaseStopped && s.StartedAt.Before(ended) && !s.FinishedAt.Before(ended) {
		s.Reason = workload.ReasonLost
	}
	return s
}

// giveBack removes all that a container had on this host, side by side: each
// part waits for the kernel, none for another. Nothing of it runs. Calling it
// again is free.
func (a *Agent) giveBack(ctx context.Context, id string) error {
	parts := []func() error{
		func() error {
			err := a.cfg.Containers.Remove(ctx, workload.ID(id))
			if errors.Is(err, workload.ErrNotFound) {
				return nil
			}
			return err
		},
		func() error { return a.cfg.Links.Remove(ctx, id) },
		func() error { return a.cfg.Logs.Remove(ctx, id) },
		func() error { return removeFiles(a.cfg.FilesDir, id) },
	}
	errs := make([]error, len(parts))
	var wg sync.WaitGroup
	for i, part := range parts {
		wg.Go(func() { errs[i] = part() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func origin(loop string) model.Origin {
	return model.Origin{Actor: "system:" + loop, Time: time.Now().UTC()}
}
