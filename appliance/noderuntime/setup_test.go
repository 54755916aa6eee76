package noderuntime

import (
	"context"
	"io"
	"iter"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
	"github.com/skerryhq/skerry/runtime/logs"
	"github.com/skerryhq/skerry/runtime/workload"
)

// world is a state with one container on one node.
type world struct {
	tb    testing.TB
	store *state.Store
	index uint64
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	w := &world{tb: tb, store: state.New()}
	spec := model.ContainerSpec{Image: "library/welcome:1", ImageDigest: "sha256:1", Restart: model.RestartAlways}
	w.apply(&command.InitCluster{
		Head: head(),
		Cluster: model.Cluster{ID: "cluster", FeatureLevel: 1, Pool: netip.MustParsePrefix("10.42.0.0/16"), VIPPool: netip.MustParsePrefix("10.43.0.0/16"),
			PortMin: 30000, PortMax: 30003, CACert: []byte("cert"), CAKey: model.Sealed("sealed"), SetupHash: []byte("hash")},
		Tenant:      model.Tenant{Meta: model.Meta{ID: "t1", Name: model.DefaultTenant}},
		Environment: model.Environment{Meta: model.Meta{ID: "e1", Name: model.DefaultEnvironment}},
		Node:        model.Node{Meta: model.Meta{ID: "n1", Name: "one"}, Blocks: []netip.Prefix{netip.MustParsePrefix("10.42.0.0/26")}},
		Images:      []model.Image{{Meta: model.Meta{ID: "i1", Name: spec.Image}, Public: true, Digest: spec.ImageDigest}},
	})
	w.apply(&command.PutApp{Head: head(), ServiceIDs: map[string]string{"web": "s1"}, App: model.App{
		Meta: model.Meta{ID: "a1", Name: "shop"}, TenantID: "t1", EnvironmentID: "e1",
		Spec: model.AppSpec{Services: map[string]model.ServiceSpec{"web": {Replicas: 1, Container: spec}}},
	}})
	w.apply(&command.PutContainers{Head: head(), Containers: []model.Container{{
		Meta: model.Meta{ID: "c1", Name: "shop-web-1"}, ServiceID: "s1", Slot: 1, Revision: 1, Spec: spec, Assign: model.Assignment{NodeID: "n1"},
	}}})
	return w
}

func head() command.Head {
	return command.By(model.Origin{Actor: "test", Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)})
}

func (w *world) apply(c command.Command) {
	w.tb.Helper()
	w.index++
	for _, o := range w.store.Apply([]state.Entry{{Index: w.index, Commands: []command.Command{c}}})[0] {
		if o.Err != nil || len(o.Refused) > 0 {
			w.tb.Errorf("%s was refused: %v %v", c.Type().Name(), o.Err, o.Refused)
		}
	}
}

// is reports what the agent sees of the container.
func (w *world) is(phase model.Phase, task uint64) {
	w.tb.Helper()
	st := model.ContainerStatus{Phase: phase, Task: task}
	if phase == model.PhaseExited || phase == model.PhaseBackoff {
		st.ExitCode = new(int)
	}
	w.apply(&command.SetContainerStatus{Head: head(), NodeID: "n1", Items: []command.StatusItem{{ID: "c1", Status: st}}})
}

func (w *world) container() *model.Container {
	w.tb.Helper()
	c, ok := w.store.View().Container("c1")
	if !ok {
		w.tb.Fatal("the container is gone")
	}
	return c
}

func (w *world) runtime(l Logs, c Containers) *Runtime {
	return New(Config{NodeID: "n1", Store: w.store, Logs: l, Containers: c, Log: slog.New(slog.DiscardHandler)})
}

// kept is a log that answers each reading with the next of its rounds, and with
// the last for ever.
type kept struct {
	rounds []round
	asked  []logs.Options
	enough func() // ends a reader that spins: in a bubble no time would ever pass
}

// round is one reading: its records, and then its error or the log's end.
type round struct {
	lines []string
	err   error
	lasts time.Duration
}

const spins = 1000

func (k *kept) Read(ctx context.Context, _ string, o logs.Options) iter.Seq2[logs.Record, error] {
	return func(yield func(logs.Record, error) bool) {
		r := k.rounds[min(len(k.asked), len(k.rounds)-1)]
		k.asked = append(k.asked, o)
		if len(k.asked) == spins {
			k.enough()
		}
		if ctx.Err() != nil {
			yield(logs.Record{}, context.Cause(ctx))
			return
		}
		for _, l := range r.lines {
			if !yield(logs.Record{Time: time.Now(), Stream: logs.Stdout, Line: []byte(l)}, nil) {
				return
			}
		}
		if r.err != nil {
			yield(logs.Record{}, r.err)
			return
		}
		select {
		case <-ctx.Done():
			yield(logs.Record{}, context.Cause(ctx))
		case <-time.After(r.lasts):
		}
	}
}

func (k *kept) Attach(context.Context, string, logs.AttachOptions) (*logs.Attachment, error) {
	return nil, logs.ErrNotOpen
}

// hull answers what a test says and panics for everything else.
type hull struct {
	Containers
	copyIn error
}

func (h hull) CopyIn(context.Context, workload.ID, string, io.Reader) error { return h.copyIn }
func (h hull) CloseStdin(context.Context, workload.ID) error                { return nil }
