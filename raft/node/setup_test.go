package node_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
)

const (
	tenantID = "tenant-1"
	envID    = "environment-1"
	nodeID   = "node-1"
)

func by(actor string) command.Head {
	return command.By(model.Origin{Actor: actor, Time: time.Now().UTC(), RequestID: "request-1"})
}

func initCommand() *command.InitCluster {
	return &command.InitCluster{
		Head: by("local"),
		Cluster: model.Cluster{ID: "cluster-1", FeatureLevel: 1, Pool: netip.MustParsePrefix("10.42.0.0/16"), VIPPool: netip.MustParsePrefix("10.43.0.0/16"),
			PortMin: 30000, PortMax: 32767, SetupHash: []byte("hash")},
		Tenant:      model.Tenant{Meta: model.Meta{ID: tenantID, Name: model.DefaultTenant}},
		Environment: model.Environment{Meta: model.Meta{ID: envID, Name: model.DefaultEnvironment}},
		Node:        model.Node{Meta: model.Meta{ID: nodeID, Name: "one"}},
	}
}

// open opens a node in dir and closes it with the test.
func open(tb testing.TB, dir string) *node.Node {
	tb.Helper()
	n, err := node.Open(node.Config{Dir: dir, ID: nodeID, Version: "1.0.0", Fatal: func(err error) { tb.Errorf("node cannot go on: %v", err) }})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := n.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return n
}

// openInit opens a node in an empty dir and makes a cluster.
func openInit(tb testing.TB, dir string) *node.Node {
	tb.Helper()
	n := open(tb, dir)
	if err := n.Bootstrap(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	propose(tb, n, initCommand())
	return n
}

func propose(tb testing.TB, n *node.Node, cmds ...command.Command) node.Result {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	r, err := n.Propose(ctx, cmds...)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// seedContainers deploys an app with k containers and gives their ids.
func seedContainers(tb testing.TB, n *node.Node, k int) []string {
	tb.Helper()
	spec := model.ServiceSpec{Replicas: k, Container: model.ContainerSpec{Image: "library/welcome:1", Restart: model.RestartAlways,
		Env: []model.EnvVar{{Name: "A", Value: "b"}}}}
	propose(tb, n, &command.PutApp{Head: by("ada"), ServiceIDs: map[string]string{"web": "service-1"}, App: model.App{Meta: model.Meta{ID: "app-1", Name: "shop"},
		TenantID: tenantID, EnvironmentID: envID, Spec: model.AppSpec{Services: map[string]model.ServiceSpec{"web": spec}}}})
	put := &command.PutContainers{Head: by("system:control")}
	ids := make([]string, k)
	for i := range k {
		ids[i] = command.NewID()
		put.Containers = append(put.Containers, model.Container{Meta: model.Meta{ID: ids[i], Name: fmt.Sprintf("shop-web-%d", i+1)}, ServiceID: "service-1",
			Slot: i + 1, Revision: 1, Spec: spec.Container, Assign: model.Assignment{NodeID: nodeID, Address: netip.AddrFrom4([4]byte{10, 42, byte(i >> 8), byte(i)})}})
	}
	propose(tb, n, put)
	return ids
}
