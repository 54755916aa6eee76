package state_test

import (
	"bytes"
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

// TestManyInOneEntry applies random entries of many large commands, some of them
// refused after they have written, to one store each alone and to another all at
// once: the rows for many containers hold what they should, both are the same,
// and so is what a snapshot of them restores.
func TestManyInOneEntry(t *testing.T) {
	w, twin := newWorld(t), newWorld(t)
	start := []command.Command{joining(w.token("j1", model.NodeMember, 1), "n2", "two", model.NodeMember),
		app("t1", "a1", "shop", map[string]model.ServiceSpec{"web": spec(1), "db": spec(1)}), app("t1", "a2", "blog", map[string]model.ServiceSpec{"web": spec(1)})}
	w.ok(start...)
	twin.token("j1", model.NodeMember, 1)
	twin.ok(start...)
	draw := rand.New(rand.NewPCG(7, 3))
	var entries []state.Entry
	slots, refusals, most := 0, 0, 0
	for range 40 {
		view := w.store.View()
		there := slices.Collect(view.Containers())
		var cmds []command.Command
		for range 1 + draw.IntN(6) {
			switch draw.IntN(8) {
			case 0, 1, 2, 3: // sometimes the last of them has a name or address of the first
				c := &command.PutContainers{Head: by("p")}
				service := []string{"a1-web", "a1-db", "a2-web"}[draw.IntN(3)]
				for range 1 + draw.IntN(3*state.GroupRows) {
					slots++
					k := containerOf(service, fmt.Sprintf("c%08x", draw.Uint32()), fmt.Sprintf("%04d-%d", draw.IntN(10_000), slots), fmt.Sprintf("10.42.%d.%d", slots/250, slots%250), slots)
					c.Containers = append(c.Containers, k)
				}
				if draw.IntN(3) == 0 {
					last := c.Containers[0]
					last.ID = "again"
					c.Containers = append(c.Containers, last)
				}
				cmds = append(cmds, c)
			case 4:
				st := &command.SetContainerStatus{Head: by("a"), NodeID: "n1"}
				for _, k := range there {
					if draw.IntN(4) == 0 {
						st.Items = append(st.Items, command.StatusItem{ID: k.ID, Status: model.ContainerStatus{Phase: model.PhaseRunning, Task: k.Status.Task + 1}})
					}
				}
				cmds = append(cmds, st)
			case 5:
				move := &command.AssignContainers{Head: by("p")}
				for _, k := range there {
					if draw.IntN(6) == 0 {
						to := model.Assignment{NodeID: []string{"n1", "n2"}[draw.IntN(2)], Address: k.Assign.Address, Reason: "moved"}
						move.Items = append(move.Items, command.AssignItem{ID: k.ID, ExpectVersion: command.AnyVersion, Assign: to})
					}
				}
				cmds = append(cmds, move)
			case 6:
				gone, done := &command.AssignContainers{Head: by("p")}, []command.Command(nil)
				for _, node := range []string{"n1", "n2"} {
					d := &command.ForgetContainers{Head: by("a"), NodeID: node}
					for _, k := range there {
						if k.Assign.NodeID == node && draw.IntN(3) == 0 {
							gone.Items = append(gone.Items, command.AssignItem{ID: k.ID, ExpectVersion: command.AnyVersion, Assign: model.Assignment{Remove: true}})
							d.IDs = append(d.IDs, k.ID)
						}
					}
					done = append(done, d)
				}
				cmds = append(append(cmds, gone), done...)
			case 7: // reads its containers
				cmds = append(cmds, again(app("t1", "a1", "shop", map[string]model.ServiceSpec{"web": spec(draw.IntN(4)), "db": spec(1)})))
			}
		}
		for _, o := range w.apply(cmds...) {
			if o.Err != nil {
				refusals++
			}
		}
		entries = append(entries, state.Entry{Index: w.index, Commands: cmds})
		most = max(most, len(there))
		if msg := state.BrokenRows(w.store.View()); msg != "" {
			t.Fatal(msg)
		}
	}
	if refusals < 10 || most < 8*state.GroupRows {
		t.Fatalf("%d refusals, %d containers at most: nothing was tried", refusals, most)
	}
	twin.store.Apply(entries)
	again := state.New()
	if err := again.Restore(bytes.NewReader(w.dump())); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*state.Store{"all at once": twin.store, "restored": again} {
		if msg := broken(s.View()); msg != "" {
			t.Fatalf("%s: %s", name, msg)
		}
		var b bytes.Buffer
		if err := s.View().WriteSnapshot(&b, "test"); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(afterIndex(b.Bytes()), afterIndex(w.dump())) {
			t.Fatalf("%s: another state", name)
		}
	}
	samePages(t, w.store.View())
}

// samePages walks all containers by pages, and finds each by its name.
func samePages(t *testing.T, v *state.View) {
	t.Helper()
	all := slices.Collect(v.Containers())
	for _, scope := range []state.Scope{state.AllTenants(), state.InTenant("t1")} {
		var got []*model.Container
		for cursor := ""; ; {
			l, err := v.ListContainers(scope, state.Page{Limit: 17, Cursor: cursor}, func(c *model.Container) bool { return c.Slot%5 != 0 })
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, l.Items...)
			if cursor = l.Next; cursor == "" {
				break
			}
		}
		want := slices.DeleteFunc(slices.Clone(all), func(c *model.Container) bool { return c.Slot%5 == 0 })
		if !slices.Equal(got, want) {
			t.Fatalf("pages gave %d of %d containers, or in another order", len(got), len(want))
		}
	}
	for _, c := range all {
		if o, ok := v.ContainerByName(c.TenantID, c.Name); !ok || o != c {
			t.Fatalf("%s is not found by its name", c.Name)
		}
	}
	if _, ok := v.ContainerByName("t1", "nobody"); ok {
		t.Fatal("found nobody")
	}
	if l, err := v.ListContainers(state.InTenant("t2"), state.Page{}, nil); err != nil || len(l.Items) > 0 {
		t.Fatalf("another tenant sees %d containers", len(l.Items))
	}
}

// TestNamesAreWatched wants who looks for a container by its name to wake when
// one of that name comes, changes and goes.
func TestNamesAreWatched(t *testing.T) {
	w := newWorld(t)
	w.ok(app("t1", "a1", "shop", map[string]model.ServiceSpec{"web": spec(1)}))
	steps := []command.Command{
		&command.PutContainers{Head: by("p"), Containers: []model.Container{containerOf("a1-web", "c1", "web-1", "", 1)}},
		status("c1", 1, model.PhaseRunning),
		&command.AssignContainers{Head: by("p"), Items: []command.AssignItem{{ID: "c1", ExpectVersion: command.AnyVersion, Assign: model.Assignment{Remove: true}}}},
		&command.ForgetContainers{Head: by("p"), NodeID: "n1", IDs: []string{"c1"}},
	}
	for _, others := range []int{0, 3 * state.GroupRows} {
		for i := range others {
			w.ok(&command.PutContainers{Head: by("p"), Containers: []model.Container{containerOf("a1-web", command.NewID(), fmt.Sprintf("web-%d", i+2), "", i+2)}})
		}
		for i, step := range steps {
			there, mark := state.Marked(w.store.View(), func(v *state.View) bool { _, ok := v.ContainerByName("t1", "web-1"); return ok })
			_, page := state.Marked(w.store.View(), func(v *state.View) error {
				_, err := v.ListContainers(state.InTenant("t1"), state.Page{Limit: 1}, nil)
				return err
			})
			if mark.Stale() || page.Stale() || there != (i > 0) {
				t.Fatalf("before step %d with %d others: stale, or there: %v", i, others, there)
			}
			w.ok(step)
			if !mark.Stale() || !page.Stale() {
				t.Fatalf("step %d with %d others was missed", i, others)
			}
		}
	}
}

// TestRestoreRefusesDoubles: what must be there once is, or the snapshot is
// damaged.
func TestRestoreRefusesDoubles(t *testing.T) {
	w := newWorld(t)
	w.ok(app("t1", "a1", "shop", map[string]model.ServiceSpec{"web": spec(2)}), &command.PutContainers{Head: by("p"), Containers: []model.Container{
		containerOf("a1-web", "c1", "web-1", "10.42.0.1", 1), containerOf("a1-web", "c2", "web-2", "10.42.0.2", 2)}})
	for from, to := range map[string]string{`"id":"c2"`: `"id":"c1"`, `"name":"web-2"`: `"name":"web-1"`, `"addr":"10.42.0.2"`: `"addr":"10.42.0.1"`} {
		dump := bytes.ReplaceAll(w.dump(), []byte(from), []byte(to))
		if bytes.Equal(dump, w.dump()) {
			t.Fatalf("%s is not in the snapshot", from)
		}
		s := state.New()
		if err := s.Restore(bytes.NewReader(dump)); !errors.Is(err, state.ErrSnapshot) {
			t.Errorf("%s: got %v", to, err)
		}
		if s.View().Index() != 0 {
			t.Errorf("%s: a refused snapshot changed the state", to)
		}
	}
	for _, cut := range []int{1, len(w.dump()) / 2} { // also in the middle of a row
		if err := state.New().Restore(bytes.NewReader(w.dump()[:len(w.dump())-cut])); !errors.Is(err, state.ErrSnapshot) {
			t.Errorf("cut by %d: got %v", cut, err)
		}
	}
}
