package appliance

import (
	"slices"
	"testing"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/rafttest"
)

// TestWantedHere has three members hold an image that one of them has, and none of
// them one whose only holder is down.
func TestWantedHere(t *testing.T) {
	n := rafttest.Single(t)
	propose := func(c command.Command) {
		t.Helper()
		if _, err := n.Propose(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"b", "c"} {
		propose(&command.PutNode{Node: model.Node{Meta: model.Meta{ID: id, Name: id}, EnvironmentID: rafttest.EnvironmentID, Role: model.NodeMember}})
	}
	propose(&command.PutNode{Node: model.Node{Meta: model.Meta{ID: "w", Name: "w"}, EnvironmentID: rafttest.EnvironmentID, Role: model.NodeWorker}})
	for name, held := range map[string][]string{"docker.io/library/here:1": {rafttest.NodeID}, "docker.io/library/lost:1": {"c"}} {
		propose(&command.PutImage{Image: model.Image{Meta: model.Meta{ID: name, Name: name}, TenantID: rafttest.TenantID, Digest: "sha256:" + name, NodeIDs: held}})
	}
	propose(&command.SetNodeHealth{NodeID: "c", Health: model.NodeHealth{State: model.NodeDown, Since: time.Now()}})
	want := []string{"sha256:docker.io/library/here:1"}
	for id, w := range map[string][]string{rafttest.NodeID: nil, "b": want, "c": want, "w": nil} {
		if got := wantedHere(n.View(), id, time.Now()); !slices.Equal(got, w) {
			t.Errorf("%s is to bring %v, want %v", id, got, w)
		}
	}
}
