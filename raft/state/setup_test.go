package state_test

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// world is a store and the index that it is at.
type world struct {
	tb    testing.TB
	store *state.Store
	index uint64
}

func by(actor string) command.Head { return command.By(model.Origin{Actor: actor, Time: epoch}) }

func newWorld(tb testing.TB) *world {
	tb.Helper()
	w := &world{tb: tb, store: state.New()}
	w.ok(&command.InitCluster{
		Head: by("local"),
		Cluster: model.Cluster{ID: "cluster", FeatureLevel: 1, Pool: netip.MustParsePrefix("10.42.0.0/16"), VIPPool: netip.MustParsePrefix("10.43.0.0/16"),
			PortMin: 30000, PortMax: 30003, CACert: []byte("cert"), CAKey: model.Sealed("sealed"), SetupHash: []byte("hash")},
		Tenant:      model.Tenant{Meta: model.Meta{ID: "t1", Name: model.DefaultTenant}},
		Environment: model.Environment{Meta: model.Meta{ID: "e1", Name: model.DefaultEnvironment}},
		Node:        model.Node{Meta: model.Meta{ID: "n1", Name: "one"}, Blocks: []netip.Prefix{netip.MustParsePrefix("10.42.0.0/26")}},
		Images:      []model.Image{{Meta: model.Meta{ID: "i1", Name: "library/welcome:1"}, Public: true, Digest: "sha256:1"}},
	})
	w.ok(&command.PutTenant{Head: by("local"), Tenant: model.Tenant{Meta: model.Meta{ID: "t2", Name: "other"}}})
	return w
}

// apply sends commands through the codec, as raft does, and applies them as one
// entry.
func (w *world) apply(cmds ...command.Command) []command.Outcome {
	w.tb.Helper()
	var in []command.Command
	for _, c := range cmds {
		b, err := command.Encode(c)
		if err != nil {
			w.tb.Fatal(err)
		}
		d, err := command.Decode(b)
		if err != nil {
			w.tb.Fatal(err)
		}
		in = append(in, d)
	}
	w.index++
	return w.store.Apply([]state.Entry{{Index: w.index, Commands: in}})[0]
}

// ok applies commands that must not be refused.
func (w *world) ok(cmds ...command.Command) {
	w.tb.Helper()
	for i, o := range w.apply(cmds...) {
		if o.Err != nil || len(o.Refused) > 0 {
			w.tb.Fatalf("%s was refused: %v %v", cmds[i].Type().Name(), o.Err, o.Refused)
		}
	}
}

// refused applies a command that must be refused and change nothing.
func (w *world) refused(c command.Command) *model.Error {
	w.tb.Helper()
	before := w.dump()
	o := w.apply(c)[0]
	if o.Err == nil {
		w.tb.Fatalf("%s was not refused", c.Type().Name())
	}
	w.index-- // so that the dumps compare
	w.store.Apply([]state.Entry{{Index: w.index}})
	if after := w.dump(); !bytes.Equal(before, after) {
		w.tb.Fatalf("the refused %s changed the state:\n%s\n---\n%s", c.Type().Name(), before, after)
	}
	return o.Err
}

func (w *world) dump() []byte {
	w.tb.Helper()
	var b bytes.Buffer
	if err := w.store.View().WriteSnapshot(&b, "test"); err != nil {
		w.tb.Fatal(err)
	}
	return b.Bytes()
}

func spec(replicas int, ports ...model.PortSpec) model.ServiceSpec {
	return model.ServiceSpec{Replicas: replicas, Ports: ports, Container: model.ContainerSpec{Image: "library/welcome:1", ImageDigest: "sha256:1", Restart: model.RestartAlways}}
}

func port(host, container uint16) model.PortSpec {
	return model.PortSpec{Protocol: model.TCP, HostPort: host, Container: container}
}

// app makes a PutApp that creates an app; service ids are APP-SERVICE.
func app(tenant, id, name string, services map[string]model.ServiceSpec) *command.PutApp {
	ids := map[string]string{}
	for s := range services {
		ids[s] = id + "-" + s
	}
	return &command.PutApp{Head: by("ada"), ServiceIDs: ids, App: model.App{Meta: model.Meta{ID: id, Name: name}, TenantID: tenant, EnvironmentID: "e1",
		Spec: model.AppSpec{Services: services}}}
}

// again makes a PutApp that changes an app.
func again(c *command.PutApp) *command.PutApp {
	n := *c
	n.ExpectVersion = command.AnyVersion
	return &n
}

func containerOf(service, id, name, addr string, slot int) model.Container {
	c := model.Container{Meta: model.Meta{ID: id, Name: name}, ServiceID: service, Slot: slot, Revision: 1, Spec: spec(1).Container, Assign: model.Assignment{NodeID: "n1"}}
	if addr != "" {
		c.Assign.Address = netip.MustParseAddr(addr)
	}
	return c
}

func status(id string, task uint64, phase model.Phase) *command.SetContainerStatus {
	return &command.SetContainerStatus{Head: by("system:agent"), NodeID: "n1", Items: []command.StatusItem{{ID: id, Status: model.ContainerStatus{Phase: phase, Task: task}}}}
}
