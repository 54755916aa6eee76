package state_test

import (
	"testing"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// TestMarked reads the containers of two services: only the mark of the one that
// changes becomes stale.
func TestMarked(t *testing.T) {
	w := newWorld(t)
	w.ok(app("t1", "a1", "one", map[string]model.ServiceSpec{"web": spec(1)}), app("t1", "a2", "two", map[string]model.ServiceSpec{"web": spec(1)}))
	put := &command.PutContainers{Head: by("system:control"), Containers: []model.Container{
		containerOf("a1-web", "c1", "one-web-1", "10.42.0.1", 1), containerOf("a2-web", "c2", "two-web-1", "10.42.0.2", 1)}}
	w.ok(put)
	read := func(service string) (int, state.Mark) {
		return state.Marked(w.store.View(), func(v *state.View) int {
			n := 0
			for range v.ContainersOfService(service) {
				n++
			}
			return n
		})
	}
	n, one := read("a1-web")
	_, two := read("a2-web")
	if n != 1 || one.Stale() || two.Stale() || !(state.Mark{}).Stale() {
		t.Fatalf("read %d; stale: %v, %v", n, one.Stale(), two.Stale())
	}
	w.ok(status("c1", 1, model.PhaseRunning))
	if !one.Stale() || two.Stale() {
		t.Fatalf("after a change of the first: stale %v, %v", one.Stale(), two.Stale())
	}
}

// TestVolumeGetsItsNode gives a volume without a node the one of its first
// container; then it stays.
func TestVolumeGetsItsNode(t *testing.T) {
	w := newWorld(t)
	v := model.Volume{Meta: model.Meta{ID: "v1", Name: "data"}, TenantID: "t1", Spec: model.VolumeSpec{Driver: "local"}}
	w.ok(&command.PutVolume{Head: by("ada"), Volume: v})
	v.NodeID = "nobody"
	w.refused(&command.PutVolume{Head: by("system:deploy"), Volume: v, ExpectVersion: command.AnyVersion})
	v.NodeID = "n1"
	w.ok(&command.PutVolume{Head: by("system:deploy"), Volume: v, ExpectVersion: command.AnyVersion})
	if got, _ := w.store.View().Volume("v1"); got.NodeID != "n1" {
		t.Fatalf("it lives on %q", got.NodeID)
	}
	v.NodeID = "n2"
	if err := w.refused(&command.PutVolume{Head: by("system:deploy"), Volume: v, ExpectVersion: command.AnyVersion}); err.Code != "volume_fixed" {
		t.Fatalf("got %v", err)
	}
}

// TestOrphanKeepsItsAddress gives up a container: its address is nobody's until
// its node has confirmed that it is gone.
func TestOrphanKeepsItsAddress(t *testing.T) {
	w := newWorld(t)
	w.ok(app("t1", "a1", "one", map[string]model.ServiceSpec{"web": spec(2)}))
	first := containerOf("a1-web", "c1", "one-web-1", "10.42.0.1", 1)
	w.ok(&command.PutContainers{Head: by("system:control"), Containers: []model.Container{first}},
		&command.SetNodeHealth{Head: by("system:health"), NodeID: "n1", Health: model.NodeHealth{State: model.NodeDown, Reason: "silent"}},
		&command.EvictContainers{Head: by("system:deploy"), NodeID: "n1", IDs: []string{"c1"}})
	second := &command.PutContainers{Head: by("system:control"), Containers: []model.Container{containerOf("a1-web", "c2", "one-web-1", "10.42.0.1", 1)}}
	if err := w.refused(second); err.Code != "address_taken" {
		t.Fatalf("got %v", err)
	}
	if !w.store.View().AddressTaken(first.Assign.Address) {
		t.Fatal("the address counts as free")
	}
	w.ok(&command.ForgetContainers{Head: by("system:agent"), NodeID: "n1", IDs: []string{"c1"}}, second)
}
