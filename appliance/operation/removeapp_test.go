package operation

import (
	"context"
	"testing"

	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
	"github.com/skerryhq/skerry/raft/rafttest"
)

// meanwhile lets something happen between the look at the state and the proposal.
type meanwhile struct {
	Proposer
	first func()
}

func (m *meanwhile) Propose(ctx context.Context, cmds ...command.Command) (node.Result, error) {
	if m.first != nil {
		m.first()
		m.first = nil
	}
	return m.Proposer.Propose(ctx, cmds...)
}

// TestForcedRemovalCounts says that an app is being removed when it is, although
// one of its containers was on its way out already and took no kill.
func TestForcedRemovalCounts(t *testing.T) {
	w := newWorld(t)
	app, err := w.desk.CreateApp(t.Context(), w.admin(), api.AppChange{Name: "shop", Services: map[string]model.ServiceSpec{"web": {Container: model.ContainerSpec{Image: "web"}, Replicas: 1}}}, func(api.Progress) {})
	if err != nil {
		t.Fatal(err)
	}
	service, _ := w.node.View().ServiceByName(app.ID, "web")
	c := model.Container{Meta: model.Meta{ID: "c1", Name: "shop-web-1"}, ServiceID: service.ID, Slot: 1, Assign: model.Assignment{NodeID: rafttest.NodeID}}
	if _, err := w.node.Propose(t.Context(), &command.PutContainers{Containers: []model.Container{c}}); err != nil {
		t.Fatal(err)
	}
	w.desk.cfg.Proposer = &meanwhile{Proposer: w.node, first: func() {
		going := c.Assign
		going.Remove = true
		if _, err := w.node.Propose(t.Context(), &command.AssignContainers{Items: []command.AssignItem{{ID: c.ID, ExpectVersion: command.AnyVersion, Assign: going}}}); err != nil {
			t.Error(err)
		}
	}}
	if err := w.desk.RemoveApp(t.Context(), w.admin(), app.ID, command.AnyVersion, api.RemoveOptions{Force: true}); err != nil {
		t.Errorf("the removal was made and answered with %v", err)
	}
	if got, ok := w.node.View().App(app.ID); ok && !got.Removing {
		t.Error("the app stays")
	}
}
