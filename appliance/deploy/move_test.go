package deploy_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/skerryhq/skerry/appliance/deploy"
	"github.com/skerryhq/skerry/raft/model"
)

// at puts a container on a node.
func at(c *model.Container, node string) *model.Container {
	c.Assign.NodeID = node
	if node == "" {
		c.Assign.Reason = "no node fits"
	}
	return c
}

func twin(c *model.Container) *model.Container {
	c.ID, c.Name = c.ID+"b", "twin"
	return c
}

func TestMove(t *testing.T) {
	run, pending, start := model.PhaseRunning, model.PhasePending, model.PhaseStarting
	stopped := at(container(1, 1, model.PhaseExited), "old")
	stopped.Intent.Stopped = true
	for _, c := range []struct {
		name           string
		svc            *model.Service
		have           []*model.Container
		max            int
		bound, down    bool // what is on the node called old
		create, remove string
		evict, waits   string
	}{
		{name: "a twin first", svc: service(2, 1), have: []*model.Container{at(container(1, 1, run), "old"), at(container(2, 1, run), "new")}, create: "1"},
		{name: "one at a time", svc: service(2, 1), have: []*model.Container{at(container(1, 1, run), "old"), at(container(2, 1, run), "old")}, create: "1"},
		{name: "as many as may be away", svc: service(3, 1), max: 2, have: []*model.Container{at(container(1, 1, run), "old"), at(container(2, 1, run), "old"), at(container(3, 1, run), "old")}, create: "1 2"},
		{name: "wait for the twin", svc: service(1, 1), have: []*model.Container{at(container(1, 1, run), "old"), twin(at(container(1, 1, start), "new"))}},
		{name: "the twin runs", svc: service(1, 1), have: []*model.Container{at(container(1, 1, run), "old"), twin(at(container(1, 1, run), "new"))}, remove: "c1"},
		{name: "the twin has no node", svc: service(1, 1), have: []*model.Container{at(container(1, 1, run), "old"), twin(at(container(1, 1, pending), ""))}, waits: "which is to take its place, has no node: no node fits"},
		{name: "activated before the twin ran", svc: service(1, 1), have: []*model.Container{at(container(1, 1, run), "new"), twin(at(container(1, 1, pending), ""))}, remove: "c1b"},
		{name: "what does not serve goes at once", svc: service(1, 1), have: []*model.Container{at(container(1, 1, start), "old")}, remove: "c1"},
		{name: "what is bound waits", svc: service(1, 1), bound: true, have: []*model.Container{at(container(1, 1, run), "old")}, waits: "is drained, but its volume lives there"},
		{name: "what was stopped waits", svc: service(1, 1), have: []*model.Container{stopped}, waits: "but it was stopped"},
		{name: "given up with its node", svc: service(2, 1), down: true, have: []*model.Container{at(container(1, 1, run), "old"), at(container(2, 1, run), "new")}, evict: "c1"},
		{name: "bound to a node that is down", svc: service(1, 1), down: true, bound: true, have: []*model.Container{at(container(1, 1, run), "old")}, waits: "its volume lives there, and the node is down"},
		{name: "too many on a node that is down", svc: service(0, 1), down: true, bound: true, have: []*model.Container{at(container(1, 1, run), "old")}, evict: "c1"},
		{name: "an ended job is not run again", svc: service(1, 1), down: true, have: []*model.Container{at(container(1, 1, model.PhaseExited), "old")}, waits: "it has ended"},
		{name: "an old revision's twin makes way", svc: service(1, 2), have: []*model.Container{at(container(1, 1, run), "old"), twin(at(container(1, 1, pending), ""))}, remove: "c1b c1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.svc.Spec.MaxUnavailable = c.max
			onOld := func(k *model.Container, is bool, why string) string {
				if is && k.Assign.NodeID == "old" {
					return why
				}
				return ""
			}
			got := deploy.For(deploy.Input{Service: c.svc, Containers: c.have, Taken: free,
				Leave: func(k *model.Container) string { return onOld(k, !c.down, "node old is drained") },
				Bound: func(k *model.Container) string { return onOld(k, c.bound, "its volume lives there") },
				Down:  func(k *model.Container) bool { return c.down && k.Assign.NodeID == "old" }})
			var create []string
			for _, x := range got.Create {
				create = append(create, fmt.Sprint(x.Slot))
			}
			if s := strings.Join(create, " "); s != c.create {
				t.Errorf("creates %q, want %q", s, c.create)
			}
			if s := strings.Join(got.Remove, " "); s != c.remove {
				t.Errorf("removes %q, want %q", s, c.remove)
			}
			if s := strings.Join(got.Evict, " "); s != c.evict {
				t.Errorf("gives up %q, want %q", s, c.evict)
			}
			if s := fmt.Sprint(got.Waits); (c.waits == "") != (len(got.Waits) == 0) || !strings.Contains(s, c.waits) {
				t.Errorf("waits %s, want %q", s, c.waits)
			}
		})
	}
}

// TestMoveConverges drains nodes at random under a service and plays agent and
// state: in the end nothing is left on a drained node, every slot has exactly
// one container, and no serving replica goes before its twin serves.
func TestMoveConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes := []string{"a", "b", "c"}
		s := service(rapid.IntRange(1, 6).Draw(t, "replicas"), 1)
		s.Spec.MaxUnavailable = rapid.IntRange(0, 3).Draw(t, "max")
		drained := map[string]bool{}
		var have []*model.Container
		for slot := 1; slot <= s.Spec.Replicas; slot++ {
			have = append(have, at(container(slot, 1, model.PhaseRunning), rapid.SampledFrom(nodes).Draw(t, "node")))
		}
		ids := 0
		for turn := 0; ; turn++ {
			if turn > 200 {
				t.Fatal("does not converge")
			}
			if turn < 40 && rapid.IntRange(0, 3).Draw(t, "event") == 0 {
				n := rapid.SampledFrom(nodes[:2]).Draw(t, "which") // c always takes what comes
				drained[n] = !drained[n]
			}
			taken := map[string]bool{}
			for _, c := range have {
				taken[c.Name] = true
			}
			p := deploy.For(deploy.Input{Service: s, Containers: have, Taken: func(n string) bool { return taken[n] },
				Leave: func(c *model.Container) string {
					if drained[c.Assign.NodeID] {
						return "drained"
					}
					return ""
				}})
			moved := false
			have = slices.DeleteFunc(have, func(c *model.Container) bool { return slices.Contains(p.Remove, c.ID) })
			serving := map[int]bool{}
			for _, c := range have {
				serving[c.Slot] = serving[c.Slot] || c.Status.Phase == model.PhaseRunning
				if c.Status.Phase != model.PhaseRunning {
					moved = true
					if rapid.Bool().Draw(t, "starts") {
						c.Status.Phase = model.PhaseRunning
					}
				}
			}
			if len(serving) < s.Spec.Replicas || slices.Contains(slices.Collect(maps.Values(serving)), false) {
				t.Fatalf("a replica is away: %v", serving)
			}
			for _, x := range p.Create {
				if taken[x.Name] {
					t.Fatalf("the name %s is given twice", x.Name)
				}
				ids++
				c := container(x.Slot, 1, model.PhaseStarting)
				c.ID, c.Name = fmt.Sprintf("t%d", ids), x.Name
				for _, n := range []string{"b", "a", "c"} {
					if !drained[n] {
						c.Assign.NodeID = n
					}
				}
				have = append(have, c)
			}
			if turn >= 40 && p.Empty() && !moved {
				break
			}
		}
		seen := map[int]bool{}
		for _, c := range have {
			if drained[c.Assign.NodeID] || seen[c.Slot] {
				t.Fatalf("slot %d is on %s, twice: %v", c.Slot, c.Assign.NodeID, seen[c.Slot])
			}
			seen[c.Slot] = true
		}
		if len(seen) != s.Spec.Replicas {
			t.Fatalf("%d slots of %d", len(seen), s.Spec.Replicas)
		}
	})
}
