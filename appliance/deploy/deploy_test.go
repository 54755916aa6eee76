package deploy_test

import (
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/skerryhq/skerry/appliance/deploy"
	"github.com/skerryhq/skerry/raft/model"
)

func service(replicas int, revision uint64) *model.Service {
	s := &model.Service{AppName: "shop", Revision: revision}
	s.ID, s.Name = "svc1234567", "web"
	s.Spec.Replicas = replicas
	return s
}

func container(slot int, revision uint64, phase model.Phase) *model.Container {
	c := &model.Container{Slot: slot, Revision: revision}
	c.ID = fmt.Sprintf("c%d", slot)
	c.Status.Phase, c.Assign.NodeID = phase, "n"
	return c
}

func free(string) bool { return false }

func TestForService(t *testing.T) {
	run := model.PhaseRunning
	removing := service(2, 1)
	removing.Removing = true
	for _, c := range []struct {
		name string
		svc  *model.Service
		have []*model.Container
		want deploy.Plan
	}{
		{"new", service(2, 1), nil, deploy.Plan{Create: []deploy.Create{{1, "shop-web-1"}, {2, "shop-web-2"}}}},
		{"as asked", service(1, 1), []*model.Container{container(1, 1, run)}, deploy.Plan{}},
		{"fewer: the highest slots go", service(1, 1), []*model.Container{container(2, 1, run), container(1, 1, run)}, deploy.Plan{Remove: []string{"c2"}}},
		{"more: the hole is filled", service(3, 1), []*model.Container{container(1, 1, run), container(3, 1, run)}, deploy.Plan{Create: []deploy.Create{{2, "shop-web-2"}}}},
		{"an ended one keeps its slot", service(1, 1), []*model.Container{container(1, 1, model.PhaseExited)}, deploy.Plan{}},
		{"update begins with one", service(2, 2), []*model.Container{container(1, 1, run), container(2, 1, run)}, deploy.Plan{Remove: []string{"c1"}}},
		{"update waits for the new one", service(2, 2), []*model.Container{container(1, 2, model.PhaseStarting), container(2, 1, run)}, deploy.Plan{}},
		{"update goes on", service(2, 2), []*model.Container{container(1, 2, run), container(2, 1, run)}, deploy.Plan{Remove: []string{"c2"}}},
		{"what does not serve goes at once", service(2, 2), []*model.Container{container(1, 1, model.PhaseFailed), container(2, 1, run)}, deploy.Plan{Remove: []string{"c1"}}},
		{"removal takes all", removing, []*model.Container{container(1, 1, run), container(2, 1, run)}, deploy.Plan{Remove: []string{"c1", "c2"}}},
		{"no replicas", service(0, 1), []*model.Container{container(1, 1, run)}, deploy.Plan{Remove: []string{"c1"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := deploy.For(deploy.Input{Service: c.svc, Containers: c.have, Taken: free}); !reflect.DeepEqual(got, c.want) {
				t.Fatalf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestContainerName(t *testing.T) {
	s := service(1, 1)
	s.Name, s.AppName = "web", "web"
	if got := deploy.ContainerName(s, 1, free); got != "web" {
		t.Fatalf("the one replica of a run: got %q", got)
	}
	if got := deploy.ContainerName(s, 2, free); got != "web-2" {
		t.Fatalf("its second: got %q", got)
	}
	if got := deploy.ContainerName(s, 2, func(n string) bool { return n == "web-2" }); got != "web-2-svc123" {
		t.Fatalf("a taken name: got %q", got)
	}
}

// TestUpdateConverges plays agent and state: whatever the start, planning until
// nothing is left gives exactly the replicas of the new revision, and a healthy
// service never loses more than one serving replica at a time.
func TestUpdateConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := service(rapid.IntRange(0, 6).Draw(t, "replicas"), 2)
		var have []*model.Container
		most := rapid.IntRange(0, 8).Draw(t, "have")
		for slot := 1; slot <= most; slot++ {
			have = append(have, container(slot, uint64(rapid.IntRange(1, 2).Draw(t, "rev")),
				rapid.SampledFrom([]model.Phase{model.PhaseRunning, model.PhaseStarting, model.PhaseFailed}).Draw(t, "phase")))
		}
		for turn := 0; ; turn++ {
			if turn > 100 {
				t.Fatalf("does not converge: %d containers left", len(have))
			}
			p := deploy.For(deploy.Input{Service: s, Containers: have, Taken: free})
			serving := 0
			for _, id := range p.Remove {
				for _, c := range have {
					if c.ID == id && c.Slot <= s.Spec.Replicas && c.Status.Phase == model.PhaseRunning {
						serving++
					}
				}
			}
			if serving > 1 {
				t.Fatalf("took %d serving replicas at once", serving)
			}
			var next []*model.Container
			moved := false
			for _, c := range have {
				gone := false
				for _, id := range p.Remove {
					gone = gone || id == c.ID
				}
				if !gone {
					moved = moved || c.Status.Phase != model.PhaseRunning
					c.Status.Phase = model.PhaseRunning
					next = append(next, c)
				}
			}
			for _, c := range p.Create {
				next = append(next, container(c.Slot, 2, model.PhaseStarting))
			}
			have = next
			if p.Empty() && !moved {
				break
			}
		}
		if len(have) != s.Spec.Replicas {
			t.Fatalf("%d containers, want %d", len(have), s.Spec.Replicas)
		}
		for _, c := range have {
			if c.Revision != 2 {
				t.Fatalf("slot %d is of revision %d", c.Slot, c.Revision)
			}
		}
	})
}
