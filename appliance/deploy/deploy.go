// Package deploy decides which containers a service needs: which to create,
// which to remove, which to replace. It is pure: no I/O, clock, randomness or
// logging. The control loop feeds it what is, and proposes what it answers.
//
// A replica is identified by its slot. A container whose spec is of an older
// revision is replaced: it is removed first, and its slot filled when it is
// gone, so that name, address, port and volume never have two owners.
package deploy

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/skerryhq/skerry/raft/model"
)

// Create is one container to make.
type Create struct {
	Slot int
	Name string
}

// Plan is what to do for one service. An empty plan means all is as asked.
type Plan struct {
	Create []Create
	Remove []string // container ids to mark for removal
}

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Create) == 0 && len(p.Remove) == 0 }

// ForService plans one service. containers are all of that service, in any
// order; taken says whether a container name is used in the tenant.
func ForService(s *model.Service, containers []*model.Container, taken func(name string) bool) Plan {
	var p Plan
	bySlot := map[int]*model.Container{}
	current, outdated := 0, []*model.Container{}
	for _, c := range sorted(containers) {
		bySlot[c.Slot] = c
		switch {
		case c.Assign.Remove:
		case s.Removing || c.Slot > s.Spec.Replicas:
			p.Remove = append(p.Remove, c.ID)
		case c.Revision != s.Revision:
			outdated = append(outdated, c)
		case settled(c):
			current++
		}
	}
	if s.Removing {
		return p
	}
	p.Remove = append(p.Remove, replace(outdated, len(bySlot) < s.Spec.Replicas || current < len(bySlot)-len(outdated))...)
	used := map[string]bool{}
	for slot := 1; slot <= s.Spec.Replicas; slot++ {
		if bySlot[slot] != nil {
			continue
		}
		name := ContainerName(s, slot, func(n string) bool { return used[n] || taken(n) })
		used[name] = true
		p.Create = append(p.Create, Create{Slot: slot, Name: name})
	}
	return p
}

// replace chooses which outdated containers go now: all that do not serve, and
// at most one that does, and that only while nobody else is on the way.
func replace(outdated []*model.Container, busy bool) []string {
	var go_ []string
	for _, c := range outdated {
		if c.Status.Phase != model.PhaseRunning {
			go_ = append(go_, c.ID)
		}
	}
	if len(go_) > 0 || busy || len(outdated) == 0 {
		return go_
	}
	return []string{outdated[0].ID}
}

// settled reports whether an update may go on past this container: it runs, or
// it is not meant to, or it ended or failed in a way that waiting will not
// change.
func settled(c *model.Container) bool {
	switch c.Status.Phase {
	case model.PhaseRunning, model.PhaseExited:
		return true
	default:
		return c.Intent.Stopped
	}
}

// ContainerName gives the name of a replica. The one replica of an app with a
// single service of the same name (what `skerry run` makes) bears the app's
// name. A name that is taken gets the service's id behind it.
func ContainerName(s *model.Service, slot int, taken func(string) bool) string {
	name := fmt.Sprintf("%s-%s-%d", s.AppName, s.Name, slot)
	if s.AppName == s.Name {
		if name = s.Name; slot > 1 {
			name = fmt.Sprintf("%s-%d", s.Name, slot)
		}
	}
	if taken(name) {
		name = fmt.Sprintf("%s-%d-%s", s.Name, slot, s.ID[:min(6, len(s.ID))])
	}
	return name
}

func sorted(containers []*model.Container) []*model.Container {
	return slices.SortedFunc(slices.Values(containers), func(a, b *model.Container) int {
		return cmp.Or(cmp.Compare(a.Slot, b.Slot), cmp.Compare(a.ID, b.ID))
	})
}
