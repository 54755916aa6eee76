package state_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// TestManyInOneService makes, moves and removes more containers of one service
// than one row of a group holds.
func TestManyInOneService(t *testing.T) {
	const many = 400
	w := newWorld(t)
	w.ok(joining(w.token("j1", model.NodeMember, 1), "n2", "two", model.NodeMember))
	w.ok(app("t1", "a1", "shop", map[string]model.ServiceSpec{"web": spec(many)}))
	draw := rand.New(rand.NewPCG(1, 2))
	there, on := map[string]int{}, map[string]string{}
	for _, slot := range draw.Perm(many) {
		c := containerOf("a1-web", command.NewID(), fmt.Sprintf("web-%03d", slot), fmt.Sprintf("10.42.%d.%d", slot/200, slot%200), slot+1)
		w.ok(&command.PutContainers{Head: by("p"), Containers: []model.Container{c}})
		there[c.ID], on[c.ID] = slot+1, "n1"
	}
	check := func() {
		t.Helper()
		v := w.store.View()
		slot, count := 0, 0
		for c := range v.ContainersOfService("a1-web") {
			if c.Slot <= slot || there[c.ID] != c.Slot {
				t.Fatalf("slot %d comes after slot %d", c.Slot, slot)
			}
			slot, count = c.Slot, count+1
		}
		if count != len(there) {
			t.Fatalf("%d of %d are found by their service", count, len(there))
		}
		count = 0
		for _, n := range []string{"n1", "n2"} {
			var names []string
			for c := range v.ContainersOnNode(n) {
				names = append(names, c.Name)
				if on[c.ID] != n {
					t.Fatalf("%s is found on %s", c.Name, n)
				}
			}
			if !slices.IsSorted(names) {
				t.Fatal("not by name")
			}
			count += len(names)
		}
		if count != len(there) {
			t.Fatalf("%d of %d are found by their node", count, len(there))
		}
		if msg := broken(v); msg != "" {
			t.Fatal(msg)
		}
	}
	check()
	for id := range there {
		c, _ := w.store.View().Container(id)
		switch draw.IntN(3) {
		case 0:
			w.ok(&command.AssignContainers{Head: by("p"), Items: []command.AssignItem{{ID: id, ExpectVersion: command.AnyVersion, Assign: model.Assignment{NodeID: "n2", Address: c.Assign.Address}}}})
			on[id] = "n2"
		case 1:
			w.ok(&command.AssignContainers{Head: by("p"), Items: []command.AssignItem{{ID: id, ExpectVersion: command.AnyVersion, Assign: model.Assignment{Remove: true}}}},
				&command.ForgetContainers{Head: by("p"), NodeID: "n1", IDs: []string{id}})
			delete(there, id)
		}
	}
	check()
}

// TestGroupsAreWatched wants a watcher of a service or a node to wake at every
// change of one of its containers.
func TestGroupsAreWatched(t *testing.T) {
	w := newWorld(t)
	w.ok(app("t1", "a1", "shop", map[string]model.ServiceSpec{"web": spec(1)}))
	enough := errors.New("enough")
	for name, read := range map[string]func(*state.View) int{
		"service": func(v *state.View) int { return len(slices.Collect(v.ContainersOfService("a1-web"))) },
		"node":    func(v *state.View) int { return len(slices.Collect(v.ContainersOnNode("n1"))) },
	} {
		read := func(v *state.View) (int, error) { return read(v), nil }
		id := command.NewID()
		steps := []command.Command{
			&command.PutContainers{Head: by("p"), Containers: []model.Container{containerOf("a1-web", id, "c-"+name, "", 1)}},
			status(id, 1, model.PhaseStarting), status(id, 1, model.PhaseRunning),
			&command.AssignContainers{Head: by("p"), Items: []command.AssignItem{{ID: id, ExpectVersion: command.AnyVersion, Assign: model.Assignment{Remove: true}}}},
			&command.ForgetContainers{Head: by("p"), NodeID: "n1", IDs: []string{id}},
		}
		turn := 0
		err := state.Watch(t.Context(), w.store, read, func(_ context.Context, n int) error {
			if turn == len(steps) {
				return enough
			}
			w.ok(steps[turn]) // between the read and the wait: the watch must see it
			turn++
			return nil
		})
		if !errors.Is(err, enough) {
			t.Fatal(err)
		}
	}
}
