package sim_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/control"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// large is a state that a benchmark fills.
type large struct {
	b     *testing.B
	store *state.Store
	index uint64
}

func (l *large) apply(cmds ...command.Command) {
	l.b.Helper()
	l.index++
	for i, o := range l.store.Apply([]state.Entry{{Index: l.index, Commands: cmds}})[0] {
		if o.Err != nil || len(o.Refused) > 0 {
			l.b.Fatalf("%s: %v %v", cmds[i].Type().Name(), o.Err, o.Refused)
		}
	}
}

// BenchmarkCluster deploys 100,000 replicas on 1,000 nodes through planner and
// state, then measures what one change of a container costs the planner, what
// the death of a node costs, and what the state weighs.
func BenchmarkCluster(b *testing.B) {
	const nodes, services, replicas = 1000, 1000, 100
	for b.Loop() {
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		l := &large{b: b, store: state.New()}
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		by := command.By(model.Origin{Actor: "bench", Time: now})
		node := func(i int) model.Node {
			return model.Node{Meta: model.Meta{ID: fmt.Sprintf("n%04d", i), Name: fmt.Sprintf("n%04d", i)}, EnvironmentID: "e",
				Spec: model.NodeSpec{Labels: map[string]string{"zone": fmt.Sprint(i % 5), "disk": []string{"ssd", "hdd"}[i%2]}}}
		}
		l.apply(&command.InitCluster{Head: by, Cluster: model.Cluster{ID: "c", FeatureLevel: command.Level, Pool: netip.MustParsePrefix("10.0.0.0/10"),
			VIPPool: netip.MustParsePrefix("10.128.0.0/16"), PortMin: 30000, PortMax: 32767}, Tenant: model.Tenant{Meta: model.Meta{ID: "t", Name: model.DefaultTenant}},
			Environment: model.Environment{Meta: model.Meta{ID: "e", Name: model.DefaultEnvironment}}, Node: node(0)})
		for i := range nodes {
			if i > 0 {
				l.apply(&command.PutNode{Head: by, Node: node(i)})
			}
			l.apply(&command.SetNodeStatus{Head: by, NodeID: node(i).ID, Status: model.NodeStatus{Ready: true, CPUs: 64, MemoryBytes: 256 << 30}})
		}
		for i := range services {
			spec := model.ServiceSpec{Replicas: replicas, Reserve: model.Resources{CPUMillis: 100, MemoryBytes: 64 << 20}, Placement: model.Placement{SpreadBy: "zone"},
				Container: model.ContainerSpec{Image: "image:1", Restart: model.RestartAlways}}
			if i%4 == 0 {
				spec.Placement.Constraints = []string{"node.labels.disk==ssd"}
			}
			id := fmt.Sprintf("a%04d", i)
			l.apply(&command.PutApp{Head: by, ServiceIDs: map[string]string{"web": id + "-web"}, App: model.App{Meta: model.Meta{ID: id, Name: id}, TenantID: "t",
				EnvironmentID: "e", Spec: model.AppSpec{Services: map[string]model.ServiceSpec{"web": spec}}}})
		}
		planner := control.NewPlanner(func() time.Time { return now }, command.NewID)
		trusted := func(string) (time.Duration, int) { return 0, 0 }
		began := time.Now()
		var planning time.Duration
		for {
			at := time.Now()
			cmds, more, _ := planner.Turn(l.store.View(), trusted)
			planning += time.Since(at)
			if len(cmds) == 0 && !more {
				break
			}
			l.apply(cmds...)
		}
		took := time.Since(began)
		placed := 0
		var one *model.Container
		for c := range l.store.View().Containers() {
			if c.Assign.NodeID != "" {
				placed++
				one = c
			}
		}
		if placed != services*replicas {
			b.Fatalf("%d placed", placed)
		}
		b.ReportMetric(float64(placed)/took.Seconds(), "placements/s")
		b.ReportMetric(float64(placed)/planning.Seconds(), "planned/s")
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(placed), "bytes/replica")
		const changes = 200
		var turns time.Duration
		for i := range changes {
			l.apply(&command.SetContainerStatus{Head: by, NodeID: one.Assign.NodeID, Items: []command.StatusItem{{ID: one.ID, Status: model.ContainerStatus{Phase: model.PhaseRunning, Task: uint64(i + 1)}}}})
			at := time.Now()
			planner.Turn(l.store.View(), trusted)
			turns += time.Since(at)
		}
		b.ReportMetric(float64(turns.Microseconds())/changes, "µs/change")
		began = time.Now()
		dead := one.Assign.NodeID
		l.apply(&command.SetNodeHealth{Head: by, NodeID: dead, Health: model.NodeHealth{State: model.NodeDown, Reason: "silent"}})
		for {
			cmds, more, _ := planner.Turn(l.store.View(), trusted)
			if len(cmds) == 0 && !more {
				break
			}
			l.apply(cmds...)
		}
		b.ReportMetric(float64(time.Since(began).Milliseconds()), "ms/node-death")
		var snapshot bytes.Buffer
		if err := l.store.View().WriteSnapshot(&snapshot, "bench"); err != nil {
			b.Fatal(err)
		}
		began = time.Now()
		if err := state.New().Restore(bytes.NewReader(snapshot.Bytes())); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(began).Seconds(), "s/restore")
	}
}
