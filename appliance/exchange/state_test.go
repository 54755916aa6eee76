package exchange_test

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/exchange"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// replica is a state that takes commands at once.
type replica struct {
	*state.Store
	index uint64
}

func by() command.Head {
	return command.By(model.Origin{Actor: "test", Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)})
}

func (r *replica) apply(t *testing.T, cmds ...command.Command) {
	t.Helper()
	for _, c := range cmds {
		r.index++
		for _, o := range r.Apply([]state.Entry{{Index: r.index, Commands: []command.Command{c}}})[0] {
			if o.Err != nil || len(o.Refused) > 0 {
				t.Fatalf("%s was refused: %v %v", c.Type().Name(), o.Err, o.Refused)
			}
		}
	}
}

// newState is a cluster with the member a and the worker w1.
func newState(t *testing.T) *replica {
	t.Helper()
	r := &replica{Store: state.New()}
	hash := bytes.Repeat([]byte("h"), 32)
	r.apply(t, &command.InitCluster{
		Head: by(),
		Cluster: model.Cluster{ID: "cluster", FeatureLevel: 1, Pool: netip.MustParsePrefix("10.42.0.0/16"), VIPPool: netip.MustParsePrefix("10.43.0.0/16"),
			PortMin: 30000, PortMax: 30003, CACert: []byte("cert"), CAKey: model.Sealed("sealed"), SetupHash: []byte("hash")},
		Tenant:      model.Tenant{Meta: model.Meta{ID: "t1", Name: model.DefaultTenant}},
		Environment: model.Environment{Meta: model.Meta{ID: "e1", Name: model.DefaultEnvironment}},
		Node:        model.Node{Meta: model.Meta{ID: "a", Name: "node-a"}, Blocks: []netip.Prefix{netip.MustParsePrefix("10.42.0.0/26")}},
	},
		&command.PutJoinToken{Head: by(), Token: model.JoinToken{Meta: model.Meta{ID: "j1", Name: "j1"}, Hash: hash, Role: model.NodeWorker, EnvironmentID: "e1", Uses: 1, ExpiresAt: by().Origin.Time.Add(time.Hour)}},
		&command.JoinNode{Head: by(), Hash: hash, Node: model.Node{Meta: model.Meta{ID: "w1", Name: "node-w1"}, Role: model.NodeWorker, PublicKey: []byte("key"), Blocks: []netip.Prefix{netip.MustParsePrefix("10.42.0.64/26")}}},
	)
	return r
}

// assign puts a container of an image onto a node.
func assign(t *testing.T, r *replica, node, dgst string) {
	t.Helper()
	spec := model.ContainerSpec{Image: "example.com/big:1", ImageDigest: dgst, Restart: model.RestartAlways}
	r.apply(t,
		&command.PutImage{Head: by(), ExpectVersion: command.MustNotExist, Image: model.Image{Meta: model.Meta{ID: "i1", Name: spec.Image}, TenantID: "t1", Digest: dgst, NodeIDs: []string{"a"}}},
		&command.PutApp{Head: by(), ServiceIDs: map[string]string{"web": "s1"}, App: model.App{
			Meta: model.Meta{ID: "a1", Name: "shop"}, TenantID: "t1", EnvironmentID: "e1",
			Spec: model.AppSpec{Services: map[string]model.ServiceSpec{"web": {Replicas: 1, Container: spec}}}}},
		&command.PutContainers{Head: by(), Containers: []model.Container{{
			Meta: model.Meta{ID: "c1", Name: "shop-web-1"}, ServiceID: "s1", Slot: 1, Revision: 1, Spec: spec, Assign: model.Assignment{NodeID: node}}}},
	)
}

func TestHoldersIn(t *testing.T) {
	r := newState(t)
	assign(t, r, "w1", "sha256:1")
	if got := exchange.HoldersIn(r.View(), "w1", "sha256:1"); len(got) != 1 || got[0] != (exchange.Holder{ID: "a", Name: "node-a"}) {
		t.Errorf("%+v", got)
	}
	if got := exchange.HoldersIn(r.View(), "a", "sha256:1"); len(got) != 0 {
		t.Errorf("a node asks itself or a worker that has nothing: %+v", got)
	}
	r.apply(t, &command.SetNodeHealth{Head: by(), NodeID: "a", Health: model.NodeHealth{State: model.NodeDown, Since: by().Origin.Time}})
	if got := exchange.HoldersIn(r.View(), "w1", "sha256:1"); len(got) != 0 {
		t.Errorf("a node that is down is asked: %+v", got)
	}
}
