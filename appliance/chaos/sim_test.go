package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
	"github.com/skerryhq/skerry/raft/rafttest"
	"github.com/skerryhq/skerry/raft/state"
)

// memoryCloud is members in memory, in a bubble. Clients find them through
// pointers of their own, because only one goroutine may use the cluster.
type memoryCloud struct {
	cluster *rafttest.Cluster
	nodes   []atomic.Pointer[node.Node]
}

func (m *memoryCloud) size() int { return len(m.nodes) }

// do asks a member.
func (m *memoryCloud) do(ctx context.Context, i int, in input, seen uint64) output {
	n := m.nodes[i].Load()
	if n == nil {
		return output{why: notDone}
	}
	switch in.kind {
	case strong:
		index, err := n.ReadIndex(ctx)
		if err == nil {
			err = n.WaitIndex(ctx, index)
		}
		if err != nil {
			return output{why: notDone}
		}
		return look(n.View(), in.name)
	case local:
		if err := n.WaitIndex(ctx, seen); err != nil {
			return output{why: notDone}
		}
		return look(n.View(), in.name)
	}
	r, err := n.Propose(ctx, order(in))
	return output{why: reason(err), index: r.Index}
}

// look reads an app from a view.
func look(v *state.View, name string) output {
	out := output{index: v.Index()}
	a, ok := v.AppByName(rafttest.TenantID, name)
	switch {
	case ok && a.Removing:
		out.slot.phase = leaving
	case ok:
		out.slot = slot{present, a.Spec.Services["s"].Replicas}
	}
	return out
}

// order is a request as a command.
func order(in input) command.Command {
	head := command.By(model.Origin{Actor: "chaos", Time: time.Now().UTC()})
	pair, _ := place(in.name)
	switch in.kind {
	case scale:
		return &command.SetServiceReplicas{Head: head, ServiceID: "s-" + in.name, Replicas: in.replicas}
	case remove:
		return &command.RemoveApp{Head: head, ID: in.name}
	}
	return &command.PutApp{Head: head, ExpectVersion: command.MustNotExist, ServiceIDs: map[string]string{"s": "s-" + in.name},
		App: model.App{Meta: model.Meta{ID: in.name, Name: in.name}, TenantID: rafttest.TenantID, EnvironmentID: rafttest.EnvironmentID,
			Spec: model.AppSpec{Services: map[string]model.ServiceSpec{"s": {Replicas: in.replicas,
				Ports:     []model.PortSpec{{Protocol: model.TCP, HostPort: uint16(8000 + pair), Container: 80}},
				Container: model.ContainerSpec{Image: "x", ImageDigest: "sha256:x", Restart: model.RestartAlways}}}}}}
}

// reason is what a client may conclude from an error.
func reason(err error) string {
	switch code := model.CodeOf(err); {
	case err == nil:
		return ""
	case errors.Is(err, node.ErrOutcomeUnknown), code == "not_caught_up": // the latter hides what the outcome was
		return unknown
	case code == "already_exists", code == "name_taken":
		return taken
	case code == "app_removing", code == "service_removing":
		return going
	case code == "not_found", code == "port_taken":
		return code
	case code == "no_leader", code == "closing", code == "busy":
		return notDone
	default:
		return "unexpected: " + err.Error()
	}
}

// faults does things to the members until ctx ends, then undoes all of them.
func (m *memoryCloud) faults(ctx context.Context, r *rand.Rand) {
	k := len(m.nodes)
	stop := func(i int, end func(int)) {
		m.nodes[i].Store(nil)
		m.cluster.Disk(i).Resume() // a process that is killed does not wait for its disk
		end(i)
	}
	start := func(i int) {
		if m.nodes[i].Load() == nil {
			m.cluster.Disk(i).Resume()
			m.cluster.Start(i)
			m.nodes[i].Store(m.cluster.Node(i))
		}
	}
	leader := func() int {
		for i := range k {
			if n := m.nodes[i].Load(); n != nil && n.Leads() {
				return i
			}
		}
		return r.IntN(k)
	}
	for {
		pause := time.NewTimer(time.Duration(50+r.IntN(1200)) * time.Millisecond)
		select {
		case <-ctx.Done():
			pause.Stop()
		case <-pause.C:
		}
		if ctx.Err() != nil {
			break
		}
		i := r.IntN(k)
		if r.IntN(2) == 0 {
			i = leader()
		}
		switch r.IntN(12) {
		case 0, 1:
			stop(i, m.cluster.Kill)
		case 2:
			stop(i, m.cluster.Stop)
		case 3, 4:
			m.cluster.Cut(i)
		case 5:
			m.cluster.Part(i, (i+1)%k)
		case 6, 7:
			m.cluster.Heal()
		case 8:
			for j := range k {
				start(j)
			}
		case 9: // full: the member gives up, and is started again later
			m.cluster.Disk(i).Fill()
			short := time.NewTimer(time.Duration(r.IntN(300)) * time.Millisecond)
			<-short.C
			stop(i, m.cluster.Kill)
		case 10: // slow
			m.cluster.Disk(i).Hang()
			short := time.NewTimer(time.Duration(r.IntN(900)) * time.Millisecond)
			<-short.C
			m.cluster.Disk(i).Resume()
		case 11:
			if n := m.nodes[i].Load(); n != nil {
				one, cancel := context.WithTimeout(ctx, time.Second)
				_ = n.Snapshot(one) // a member that is cut off may have none to make
				if r.IntN(2) == 0 {
					_ = n.TransferLeadership(one) // nor anybody to hand over to
				}
				cancel()
			}
		}
	}
	m.cluster.Heal()
	for i := range k {
		start(i)
	}
	m.cluster.Heal()
}

// simulate is one run in virtual time.
func simulate(t *testing.T, seed uint64) (requests, lost int) {
	var events []event
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(seed, 1))
		k := 3 + r.IntN(3)
		m := &memoryCloud{cluster: rafttest.New(t, k), nodes: make([]atomic.Pointer[node.Node], k)}
		defer m.cluster.Close()
		for i := range k {
			m.nodes[i].Store(m.cluster.Node(i))
		}
		c := &crew{cloud: m, clients: 8, think: 60 * time.Millisecond, limit: 4 * time.Second, most: 1000}
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
		defer cancel()
		over := make(chan []event)
		go func() { over <- c.work(ctx, seed) }()
		m.faults(ctx, r)
		events = <-over
		// Whole again: everybody is asked once more, and all hold the same.
		last := m.cluster.Propose(&command.PutVolume{Head: command.By(model.Origin{Actor: "chaos", Time: time.Now().UTC()}),
			Volume: model.Volume{Meta: model.Meta{ID: "v", Name: "v"}, TenantID: rafttest.TenantID}})
		m.cluster.RequireSameState(last.Index)
		at := events[len(events)-1].finish + time.Minute
		for i := range k {
			for p := range pairs * 2 {
				e := event{client: 100 + i, node: i, in: input{kind: strong, name: appName(p/2, p%2)}, call: at, finish: at + time.Second}
				if e.out = m.do(t.Context(), i, e.in, last.Index); e.out.why != "" {
					t.Errorf("member %d does not answer after everything is healed: %s", i, e.out.why)
				}
				events = append(events, e)
			}
		}
	})
	judge(t, events)
	for _, e := range events {
		if e.out.why == unknown {
			lost++
		}
	}
	return len(events), lost
}

// TestSimulated runs clusters of three to five members in virtual time, a seed
// each; -sim says how many.
func TestSimulated(t *testing.T) {
	requests, lost := 0, 0
	for seed := *firstSeed; seed < *firstSeed+uint64(*simulated); seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			r, l := simulate(t, seed)
			requests, lost = requests+r, lost+l
		})
	}
	t.Logf("%d runs, %d requests, of which %d with an unknown outcome", *simulated, requests, lost)
	if requests < 200**simulated {
		t.Errorf("%d requests in %d runs are too few to show anything", requests, *simulated)
	}
}
