package scheduler_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/skerryhq/skerry/appliance/scheduler"
)

func TestPlace(t *testing.T) {
	ready := func(id string, n int, volumes ...string) scheduler.Node {
		v := map[string]bool{}
		for _, x := range volumes {
			v[x] = true
		}
		return scheduler.Node{ID: id, Name: id, EnvironmentID: "e", Ready: true, Containers: n, Volumes: v}
	}
	down := scheduler.Node{ID: "n9", Name: "n9", EnvironmentID: "e", NotReady: "its engine does not answer"}
	foreign := scheduler.Node{ID: "n0", Name: "n0", EnvironmentID: "other", Ready: true}
	for _, c := range []struct {
		name   string
		nodes  []scheduler.Node
		wants  []string
		node   string
		reason string
	}{
		{"fewest wins", []scheduler.Node{ready("n1", 3), ready("n2", 1), foreign}, nil, "n2", "fewest containers (1) of 2"},
		{"tie goes to the lower id", []scheduler.Node{ready("n2", 1), ready("n1", 1)}, nil, "n1", "fewest"},
		{"a volume binds", []scheduler.Node{ready("n1", 0), ready("n2", 9, "v")}, []string{"v"}, "n2", "its volume lives on n2"},
		{"a new volume does not bind", []scheduler.Node{ready("n1", 0), ready("n2", 9)}, []string{"v"}, "n1", "fewest"},
		{"volumes apart", []scheduler.Node{ready("n1", 0, "v"), ready("n2", 9, "w")}, []string{"v", "w"}, "", "different nodes"},
		{"not ready says why", []scheduler.Node{down, foreign}, nil, "", "its engine does not answer"},
		{"no node at all", []scheduler.Node{foreign}, nil, "", "has no node"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := scheduler.Place(scheduler.Request{EnvironmentID: "e", Volumes: c.wants}, c.nodes)
			if d.NodeID != c.node || !strings.Contains(d.Reason, c.reason) {
				t.Fatalf("got %+v, want node %q and a reason with %q", d, c.node, c.reason)
			}
		})
	}
}

func TestPlaceDoesNotDependOnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var nodes []scheduler.Node
		for i := range rapid.IntRange(0, 8).Draw(t, "nodes") {
			nodes = append(nodes, scheduler.Node{
				ID: fmt.Sprintf("n%d", i), Name: fmt.Sprintf("n%d", i),
				EnvironmentID: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "env"),
				Ready:         rapid.Bool().Draw(t, "ready"),
				Containers:    rapid.IntRange(0, 3).Draw(t, "n"),
			})
		}
		one := scheduler.Place(scheduler.Request{EnvironmentID: "a"}, nodes)
		mixed := slices.Clone(nodes)
		rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)).Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		if two := scheduler.Place(scheduler.Request{EnvironmentID: "a"}, mixed); two != one {
			t.Fatalf("order changed the choice: %+v, then %+v", one, two)
		}
		if one.Reason == "" {
			t.Fatal("a decision without a reason")
		}
	})
}
