package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerryhq/skerry/appliance/nodeview"
	"github.com/skerryhq/skerry/netfw/iptables"
	"github.com/skerryhq/skerry/netfw/link"
	"github.com/skerryhq/skerry/netfw/overlay"
	"github.com/skerryhq/skerry/netfw/rules"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
	"github.com/skerryhq/skerry/runtime/workload"
)

// told is a source that says what a test tells it.
type told struct {
	mu      sync.Mutex
	view    nodeview.View
	changed chan struct{}
}

func (s *told) tell(v nodeview.View) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view = v
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *told) Now() nodeview.View {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view
}

func (s *told) Changed(context.Context) (nodeview.View, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view, s.changed, nil
}

func (s *told) Watch(ctx context.Context, each func(context.Context, nodeview.View) error) error {
	for {
		v, changed, _ := s.Changed(ctx)
		if err := each(ctx, v); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// host is an engine, a network and a log in memory: what a keeper needs, with
// the one rule that matters here, that an address has one owner.
type host struct {
	mu      sync.Mutex
	tasks   map[string]workload.State
	owner   map[netip.Addr]string
	said    []string // what was done, in order
	hold    chan struct{}
	refuses int // removals that fail before one succeeds
}

func (h *host) note(format string, args ...any) {
	h.said = append(h.said, fmt.Sprintf(format, args...))
}

func (h *host) has(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, there := h.tasks[id]
	return there
}

func (h *host) done() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.said)
}

func (h *host) Sweep(context.Context) (int, error) { return 0, nil }

func (h *host) engine() []workload.State {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Values(h.tasks))
}

// engine and net give the two Lists a host of their own.
type engine struct{ *host }
type net struct{ *host }
type logd struct{ *host }

func (e engine) List(context.Context) ([]workload.State, error) { return e.engine(), nil }
func (n net) List() (link.Present, error)                       { return link.Present{}, nil }

func (e engine) Events(ctx context.Context, _ func(workload.Event)) error {
	<-ctx.Done()
	return ctx.Err()
}

func (e engine) Inspect(_ context.Context, id workload.ID) (workload.State, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, ok := e.tasks[string(id)]
	if !ok {
		return s, workload.ErrNotFound
	}
	return s, nil
}

func (e engine) Create(context.Context, workload.Spec) error { return nil }

func (e engine) Start(_ context.Context, id workload.ID) (workload.State, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.note("start %s", id)
	s := workload.State{ID: id, Phase: workload.PhaseRunning, StartedAt: time.Now()}
	e.tasks[string(id)] = s
	return s, nil
}

func (e engine) Stop(_ context.Context, id workload.ID, _ workload.StopOptions) (workload.State, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, ok := e.tasks[string(id)]
	if !ok {
		return s, workload.ErrNotFound
	}
	s.Phase, s.FinishedAt = workload.PhaseStopped, time.Now()
	e.tasks[string(id)] = s
	return s, nil
}

func (e engine) Remove(_ context.Context, id workload.ID) error {
	if e.hold != nil {
		<-e.hold
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.refuses > 0 {
		e.refuses--
		return errors.New("the engine has a fault")
	}
	if _, there := e.tasks[string(id)]; there {
		e.note("remove %s", id)
	}
	delete(e.tasks, string(id))
	for address, owner := range e.owner {
		if owner == string(id) {
			delete(e.owner, address)
		}
	}
	return nil
}

func (n net) Path(id string) string { return "/netns/" + id }
func (n net) Veth(id string) string { return "skv" + id }

func (n net) Ensure(_ context.Context, s link.Spec) (link.Attachment, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if other, taken := n.owner[s.Address]; taken && other != s.ID {
		n.note("clash of %s with %s", s.ID, other)
		return link.Attachment{}, errors.New("address is routed to another interface")
	}
	n.owner[s.Address] = s.ID
	return link.Attachment{}, nil
}

func (n net) Remove(context.Context, string) error { return nil }

func (n net) RemoveVeth(string) error { return nil }

func (logd) Open(context.Context, string, LogOptions) (workload.Stdio, error) {
	return workload.Stdio{}, nil
}
func (logd) Close(context.Context, string) error  { return nil }
func (logd) Remove(context.Context, string) error { return nil }

type disks struct{ Volumes }

func (disks) List() ([]string, error) { return nil, nil }

// cluster takes what is proposed, or is away.
type cluster struct {
	mu       sync.Mutex
	away     bool
	attempts int
	statuses map[string]model.ContainerStatus
	forgot   []string
}

func (c *cluster) Propose(_ context.Context, cmds ...command.Command) (node.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attempts++
	if c.away {
		return node.Result{}, errors.New("no leader can be reached")
	}
	for _, cmd := range cmds {
		switch cmd := cmd.(type) {
		case *command.SetContainerStatus:
			for _, i := range cmd.Items {
				c.statuses[i.ID] = i.Status
			}
		case *command.ForgetContainers:
			c.forgot = append(c.forgot, cmd.IDs...)
		}
	}
	return node.Result{}, nil
}

func (c *cluster) set(away bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = away
}

func (c *cluster) said(id string) model.Phase {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.statuses[id].Phase
}

func (c *cluster) forgotten() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.forgot)
}

type noFirewall struct{}

func (noFirewall) Apply(context.Context, rules.Desired) (iptables.Change, error) {
	return iptables.Change{}, nil
}
func (noFirewall) Repair(context.Context) ([]string, error) { return nil, nil }

type noOverlay struct{}

func (noOverlay) Apply(context.Context, overlay.Desired) (overlay.Applied, error) {
	return overlay.Applied{}, nil
}
func (noOverlay) Port() uint16 { return 51820 }

// stage is an agent with a host, a source and a cluster around it.
type stage struct {
	*Agent
	t       *testing.T
	host    *host
	views   *told
	cluster *cluster
	log     *strings.Builder
	names   int
}

func newStage(t *testing.T, running ...string) *stage {
	s := &stage{t: t, host: &host{tasks: map[string]workload.State{}, owner: map[netip.Addr]string{}}, log: &strings.Builder{},
		views: &told{changed: make(chan struct{})}, cluster: &cluster{statuses: map[string]model.ContainerStatus{}}}
	for i, id := range running {
		s.host.tasks[id] = workload.State{ID: workload.ID(id), Phase: workload.PhaseRunning, StartedAt: time.Now()}
		s.host.owner[address(i+1)] = id
	}
	s.Agent = New(Config{NodeID: "n1", FilesDir: t.TempDir(), Views: s.views, Proposer: s.cluster,
		Containers: engine{s.host}, Links: net{s.host}, Logs: logd{s.host}, Volumes: disks{}, Firewall: noFirewall{}, Overlay: noOverlay{},
		Names: func(context.Context, nodeview.View) error { s.names++; return nil },
		Log:   slog.New(slog.NewTextHandler(s.log, nil))})
	return s
}

func (s *stage) run() (end func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	}
}

func address(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 42, 0, byte(i)}) }

// view is the node's view at an index with the containers of those numbers.
func view(index uint64, containers ...int) nodeview.View {
	v := nodeview.View{Index: index, Generation: 1, Node: &model.Node{Meta: model.Meta{ID: "n1"}}}
	for _, i := range containers {
		v.Containers = append(v.Containers, container(fmt.Sprintf("c%d", i), i))
	}
	return v
}

func container(id string, at int) *model.Container {
	return &model.Container{Meta: model.Meta{ID: id, Name: id}, Spec: model.ContainerSpec{Restart: model.RestartAlways},
		Assign: model.Assignment{NodeID: "n1", Address: address(at)}, Status: model.ContainerStatus{Phase: model.PhaseRunning, Task: 1}}
}

// TestOrphansGoFirst comes back to a cluster that has given a container up and
// has given its address to another one: no clash, and the word that it is gone.
func TestOrphansGoFirst(t *testing.T) {
	for _, fresh := range []bool{false, true} { // heard while running, or at the start
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t, "c1", "c2")
			after := view(20, 2)
			after.Orphans = []model.Orphan{{ID: "c1", NodeID: "n1", Address: address(1)}}
			next := container("c9", 1)
			next.Status = model.ContainerStatus{Phase: model.PhasePending}
			after.Containers = append(after.Containers, next)
			s.host.hold, s.host.refuses = make(chan struct{}), 2
			if fresh {
				s.views.tell(after)
				close(s.host.hold)
			} else {
				s.views.tell(view(10, 1, 2))
			}
			defer s.run()()
			synctest.Wait()
			if !fresh {
				s.views.tell(after)
				synctest.Wait()
				if s.host.has("c9") {
					t.Fatal("it started while the address was still in use")
				}
				close(s.host.hold)
			}
			time.Sleep(5 * time.Second)
			synctest.Wait()
			if got := s.host.done(); !slices.Equal(got, []string{"remove c1", "start c9"}) {
				t.Errorf("done: %q", got)
			}
			if got := s.cluster.forgotten(); !slices.Equal(got, []string{"c1"}) {
				t.Errorf("confirmed: %q, want c1 once", got)
			}
			if !s.host.has("c2") || s.cluster.said("c9") != model.PhaseRunning {
				t.Errorf("the others: %v, c9 is %s", s.host.engine(), s.cluster.said("c9"))
			}
			settled := view(21, 2)
			settled.Containers = append(settled.Containers, next)
			s.views.tell(settled)
			synctest.Wait()
			if len(s.leaving) != 0 {
				t.Errorf("remembered for ever: %v", s.leaving)
			}
		})
	}
}

// TestOrphanIsConfirmedWhenTheClusterIsBack cannot say that it is done, and says
// it as soon as somebody hears.
func TestOrphanIsConfirmedWhenTheClusterIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, "c1")
		v := view(10)
		v.Orphans = []model.Orphan{{ID: "c1", NodeID: "n1", Address: address(1)}}
		s.cluster.set(true)
		s.views.tell(v)
		defer s.run()()
		time.Sleep(time.Minute)
		if s.host.has("c1") || len(s.cluster.forgotten()) != 0 {
			t.Fatalf("there: %v, confirmed: %v", s.host.has("c1"), s.cluster.forgotten())
		}
		s.cluster.set(false)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got := s.cluster.forgotten(); !slices.Equal(got, []string{"c1"}) {
			t.Errorf("confirmed: %q", got)
		}
	})
}

// TestRowGoneWithoutUs loses a row that nobody asked us to remove (as recovery
// from a lost quorum may do it): nothing of it stays, and nothing is confirmed.
func TestRowGoneWithoutUs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, "c1", "c2")
		s.views.tell(view(10, 1, 2))
		defer s.run()()
		synctest.Wait()
		s.views.tell(view(11, 2))
		synctest.Wait()
		if s.host.has("c1") || !s.host.has("c2") || len(s.cluster.forgotten()) != 0 || len(s.leaving) != 0 {
			t.Errorf("c1 %v, c2 %v, confirmed %q, leaving %v", s.host.has("c1"), s.host.has("c2"), s.cluster.forgotten(), s.leaving)
		}
	})
}

// TestAskedRemovalIsDoneOnce removes as it was asked to; that the row then goes
// is no surprise.
func TestAskedRemovalIsDoneOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, "c1")
		s.views.tell(view(10, 1))
		defer s.run()()
		synctest.Wait()
		v := view(11, 1)
		v.Containers[0].Assign.Remove = true
		s.cluster.set(true) // the confirmation fails for a while
		s.views.tell(v)
		time.Sleep(10 * time.Minute)
		s.cluster.set(false)
		time.Sleep(1100 * time.Millisecond) // not the minute that a failing start would wait
		synctest.Wait()
		if got := s.cluster.forgotten(); !slices.Equal(got, []string{"c1"}) {
			t.Errorf("confirmed: %q", got)
		}
		s.views.tell(view(12))
		synctest.Wait()
		if got := s.log.String(); strings.Contains(got, "without our doing") {
			t.Errorf("it took its own removal for somebody else's:\n%s", got)
		}
	})
}

// TestOlderViewRemovesNothing hears views of the past: of a lower index, and of
// a lower generation with a higher index.
func TestOlderViewRemovesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, "c1", "c2")
		v := view(10, 1, 2)
		v.Generation = 2
		s.views.tell(v)
		defer s.run()()
		synctest.Wait()
		older, former := view(9, 1), view(99, 1)
		older.Generation = 2
		for _, v := range []nodeview.View{older, former} {
			s.views.tell(v)
			time.Sleep(time.Minute)
			if !s.host.has("c2") {
				t.Fatalf("generation %d index %d removed a container", v.Generation, v.Index)
			}
		}
		// A newer generation counts, though its index is lower.
		newer := view(5, 1)
		newer.Generation = 3
		s.views.tell(newer)
		synctest.Wait()
		if s.host.has("c2") {
			t.Error("a recovered cluster is not obeyed")
		}
	})
}

// TestRecoveryHearsTheStatusAgain raises the generation: what was said before may
// have been lost with the old one.
func TestRecoveryHearsTheStatusAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		v := view(10, 1)
		v.Containers[0].Status = model.ContainerStatus{Phase: model.PhasePending}
		s.views.tell(v)
		defer s.run()()
		time.Sleep(time.Second)
		if got := s.cluster.said("c1"); got != model.PhaseRunning {
			t.Fatalf("it is %q", got)
		}
		s.cluster.statuses = map[string]model.ContainerStatus{}
		again := *v.Containers[0]
		v.Containers, v.Generation, v.Index = []*model.Container{&again}, 2, 8
		s.views.tell(v)
		time.Sleep(time.Second)
		if got := s.cluster.said("c1"); got != model.PhaseRunning {
			t.Errorf("the recovered cluster believes it is %q", got)
		}
	})
}

// TestRemovedNodeDoesNothing is not known to the cluster, first at its start and
// then all of a sudden: everything stays, and that is said once each time.
func TestRemovedNodeDoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, "c1", "c2")
		s.views.tell(nodeview.View{Index: 5, Generation: 1})
		defer s.run()()
		for i := range 5 {
			time.Sleep(10 * time.Second)
			s.views.tell(nodeview.View{Index: uint64(6 + i), Generation: 1})
		}
		synctest.Wait()
		if !s.host.has("c1") || !s.host.has("c2") || s.names > 0 {
			t.Fatalf("something was done: %q, %d names", s.host.done(), s.names)
		}
		s.views.tell(view(20, 1, 2))
		synctest.Wait()
		published := s.names
		for i := range 5 {
			s.views.tell(nodeview.View{Index: uint64(21 + i), Generation: 1})
			time.Sleep(10 * time.Second)
		}
		if !s.host.has("c1") || !s.host.has("c2") || s.names != published || published == 0 {
			t.Errorf("done after the removal: %q, names published %d times, then %d", s.host.done(), published, s.names)
		}
		if n := strings.Count(s.log.String(), "the cluster does not know this node"); n != 2 {
			t.Errorf("said %d times:\n%s", n, s.log)
		}
	})
}

// TestCutOffKeepsTheLastWord reports a thousand changes to nobody: the containers
// go on, nothing piles up, and the cluster hears the last word of each.
func TestCutOffKeepsTheLastWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, "c1", "c2", "c3")
		s.cluster.set(true)
		s.views.tell(view(10, 1, 2, 3))
		defer s.run()()
		synctest.Wait()
		for i := range 1000 {
			for _, id := range []string{"c1", "c2", "c3"} {
				s.report.put(id, model.ContainerStatus{Phase: model.PhaseRunning, Task: uint64(i + 1)})
			}
			if i == 500 {
				s.report.drop("c3")
			}
			if i > 500 {
				s.report.drop("c3")
			}
			time.Sleep(100 * time.Millisecond)
		}
		s.report.mu.Lock()
		pending := len(s.report.pending)
		s.report.mu.Unlock()
		if pending > 2 || s.cluster.attempts > 300 {
			t.Errorf("%d statuses wait after %d attempts", pending, s.cluster.attempts)
		}
		s.cluster.set(false)
		time.Sleep(time.Second)
		synctest.Wait()
		for _, id := range []string{"c1", "c2"} {
			if got := s.cluster.statuses[id].Task; got != 1000 {
				t.Errorf("%s: the last word is about task %d", id, got)
			}
		}
		if _, said := s.cluster.statuses["c3"]; said {
			t.Error("a dropped status was reported")
		}
		if len(s.host.engine()) != 3 || len(s.host.done()) != 0 {
			t.Errorf("the containers were touched: %q", s.host.done())
		}
	})
}
