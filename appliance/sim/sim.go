// Package sim runs a whole cluster in virtual time, for tests only: the real
// state, the real planner of the deploy loop and the real leases, with agents,
// hosts and a network that are played. Everything follows from a seed: the same
// seed gives the same run, so that a failure repeats.
//
// It knows nothing of raft (raft/rafttest does) nor of containers: an agent
// here starts a container by waiting a while. A World is used by one goroutine.
package sim

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/skerryhq/skerry/appliance/control"
	"github.com/skerryhq/skerry/appliance/control/lease"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// step is how far one tick of the world moves the clock.
const step = 250 * time.Millisecond

// World is a cluster in virtual time.
type World struct {
	rand    *rand.Rand
	now     time.Time
	index   uint64
	ids     int
	store   *state.Store
	planner *control.Planner
	leases  *lease.Table
	hosts   map[string]*host
	Trace   []string // what happened, for whoever reads a failure
	refused int
}

// host is a machine with its agent.
type host struct {
	id    string
	on    bool // powered
	cut   bool // from the leader
	tasks map[string]*task
}

// task is a container as it is on its host.
type task struct {
	address netip.Addr
	ready   time.Time // runs from then on
	ends    time.Time // removed then; zero: it is to stay
	number  uint64
	told    model.Phase
}

// New makes a cluster of so many nodes.
func New(seed uint64, nodes int) *World {
	w := &World{
		rand: rand.New(rand.NewPCG(seed, 4711)), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), store: state.New(),
		leases: lease.New(control.Grace), hosts: map[string]*host{},
	}
	w.planner = control.NewPlanner(func() time.Time { return w.now }, w.newID)
	w.apply(&command.InitCluster{
		Head: w.by("local"),
		Cluster: model.Cluster{ID: "cluster", FeatureLevel: command.Level, Pool: netip.MustParsePrefix("10.0.0.0/10"), VIPPool: netip.MustParsePrefix("10.128.0.0/16"),
			PortMin: 30000, PortMax: 32767},
		Tenant:      model.Tenant{Meta: model.Meta{ID: "t", Name: model.DefaultTenant}},
		Environment: model.Environment{Meta: model.Meta{ID: "e", Name: model.DefaultEnvironment}},
		Node:        w.node(1),
	})
	w.start(w.nodeID(1))
	for i := 2; i <= nodes; i++ {
		w.apply(&command.PutNode{Head: w.by("local"), Node: w.node(i)})
		w.start(w.nodeID(i))
	}
	return w
}

func (w *World) nodeID(i int) string { return fmt.Sprintf("node-%03d", i) }

// node makes a host's row: labels and sizes differ, but not by chance.
func (w *World) node(i int) model.Node {
	n := model.Node{Meta: model.Meta{ID: w.nodeID(i), Name: w.nodeID(i)}, EnvironmentID: "e", Role: model.NodeMember}
	if i%3 == 0 {
		n.Role = model.NodeWorker
	}
	n.Spec.Labels = map[string]string{"zone": string(rune('a' + i%3)), "disk": []string{"ssd", "hdd"}[i%2]}
	return n
}

func (w *World) start(id string) {
	w.hosts[id] = &host{id: id, on: true, tasks: map[string]*task{}}
	n, _ := w.store.View().Node(id)
	cpus := 8
	w.apply(&command.SetNodeStatus{Head: w.by("system:agent"), NodeID: n.ID, Status: model.NodeStatus{Ready: true, OS: "linux", Architecture: "amd64", CPUs: cpus, MemoryBytes: 16 << 30}})
}

func (w *World) newID() string { w.ids++; return fmt.Sprintf("id-%07d", w.ids) }

func (w *World) by(actor string) command.Head {
	return command.By(model.Origin{Actor: actor, Time: w.now})
}

// View is the state as it is now.
func (w *World) View() *state.View { return w.store.View() }

// apply applies commands as one log entry.
func (w *World) apply(cmds ...command.Command) []command.Outcome {
	w.index++
	return w.store.Apply([]state.Entry{{Index: w.index, Commands: cmds}})[0]
}

func (w *World) note(format string, args ...any) {
	w.Trace = append(w.Trace, w.now.Format("15:04:05.00 ")+fmt.Sprintf(format, args...))
}

// do applies a user's command, which may be refused.
func (w *World) do(cmd command.Command, format string, args ...any) {
	o := w.apply(cmd)[0]
	if o.Err != nil {
		w.note("%s: refused: %v", fmt.Sprintf(format, args...), o.Err)
		return
	}
	w.note(format, args...)
}

// Tick moves the world on by one step.
func (w *World) Tick() {
	w.now = w.now.Add(step)
	for _, id := range slices.Sorted(maps.Keys(w.hosts)) {
		h := w.hosts[id]
		if h.on && !h.cut {
			w.leases.Beat(h.id, w.now)
		}
		if h.on {
			w.agent(h)
		}
	}
	w.lead()
}

// lead plays the leader: health, then the deploy loop until it rests.
func (w *World) lead() {
	down := map[string]bool{}
	for n := range w.View().Nodes() {
		down[n.ID] = n.Down()
	}
	w.leases.Sync(down, w.now)
	if cmds := control.HealthCommands(w.leases.Judge(w.now), w.now); len(cmds) > 0 {
		for _, c := range cmds {
			h := c.(*command.SetNodeHealth)
			w.note("%s is %s %s", h.NodeID, h.Health.State, h.Health.Reason)
		}
		w.apply(cmds...)
	}
	for range 20 {
		cmds, more, _ := w.planner.Turn(w.View(), func(id string) (time.Duration, int) { return w.leases.Untrusted(id, w.now) })
		if len(cmds) == 0 && !more {
			return
		}
		for i, o := range w.apply(cmds...) {
			if o.Err != nil {
				w.refused++
				w.note("refused: %s: %v", cmds[i].Type().Name(), o.Err)
				w.planner.Refused(w.View(), cmds[i])
			}
		}
	}
}

// agent plays the agent of one host: it starts and removes what it is told, and
// reports, unless it is cut off; then everything stays as it is.
func (w *World) agent(h *host) {
	if h.cut {
		return
	}
	v := w.View()
	told := map[string]bool{}
	var gone []string
	report := &command.SetContainerStatus{Head: w.by("system:agent"), NodeID: h.id}
	orphaned := false
	for o := range v.OrphansOf(h.id) { // before anything is started
		told[o.ID] = true
		if !w.removed(h, o.ID) {
			orphaned = true
			continue
		}
		gone = append(gone, o.ID)
	}
	for c := range v.ContainersOnNode(h.id) {
		told[c.ID] = true
		if c.Assign.Remove {
			if w.removed(h, c.ID) {
				gone = append(gone, c.ID)
			}
			continue
		}
		t := h.tasks[c.ID]
		if t == nil && orphaned {
			continue
		}
		ended := c.Status.Phase == model.PhaseExited
		if t == nil && !ended {
			t = &task{address: c.Assign.Address, ready: w.now.Add(time.Duration(w.rand.IntN(8)) * step), number: c.Status.Task + 1}
			h.tasks[c.ID] = t
		}
		if ended {
			continue
		}
		phase := model.PhaseStarting
		if !w.now.Before(t.ready) {
			phase = model.PhaseRunning
		}
		if phase == model.PhaseRunning && c.Spec.Restart == model.RestartNo && w.now.After(t.ready.Add(5*time.Second)) {
			phase = model.PhaseExited
		}
		if t.told != phase {
			t.told = phase
			report.Items = append(report.Items, command.StatusItem{ID: c.ID, Status: model.ContainerStatus{Phase: phase, Task: t.number}})
		}
	}
	for id := range h.tasks { // of a service that went while the host was away
		if !told[id] {
			delete(h.tasks, id)
		}
	}
	if len(report.Items) > 0 {
		w.apply(report)
	}
	if len(gone) > 0 {
		w.apply(&command.ForgetContainers{Head: w.by("system:agent"), NodeID: h.id, IDs: gone})
	}
}

// removed moves the removal of a container on and says whether nothing is left.
func (w *World) removed(h *host, id string) bool {
	t := h.tasks[id]
	if t == nil {
		return true
	}
	if t.ends.IsZero() {
		t.ends = w.now.Add(time.Duration(1+w.rand.IntN(4)) * step)
	}
	if w.now.Before(t.ends) {
		return false
	}
	delete(h.tasks, id)
	return true
}
