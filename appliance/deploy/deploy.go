// Package deploy decides which containers a service needs: which to create,
// which to remove, which to replace, which to move to another node. It is pure:
// no I/O, clock, randomness or logging. The control loop feeds it what is, and
// proposes what it answers.
//
// A replica is identified by its slot. A container whose spec is of an older
// revision is replaced: it is removed first, and its slot filled when it is
// gone, so that name, address, port and volume never have two owners. One that
// is to leave its node is moved the other way round: its twin, of the same slot
// and another name, runs before it goes.
package deploy

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/skerryhq/skerry/raft/model"
)

// Input is everything about one service.
type Input struct {
	Service    *model.Service
	Containers []*model.Container     // all of that service, in any order
	Stopped    bool                   // the app or the service is stopped as a whole
	Taken      func(name string) bool // whether a container name is used in the tenant
	// Leave says why a container is to leave its node ("node a is drained"); empty
	// if it may stay. Nil: all may.
	Leave func(*model.Container) string
	// Bound says what keeps a container on its node ("its volume data lives
	// there"); empty if nothing does. Nil: nothing does.
	Bound func(*model.Container) string
	// Down says whether a container's node is down. Nil: none is.
	Down func(*model.Container) bool
}

// Create is one container to make.
type Create struct {
	Slot int
	Name string
}

// Wait is a container that cannot be helped now.
type Wait struct {
	ContainerID string
	Name        string
	Reason      string // a sentence without its subject
	Down        bool   // its node is down
}

// Plan is what to do for one service. An empty plan means all is as asked, but
// for what waits.
type Plan struct {
	Create []Create
	Remove []string // container ids to mark for removal
	Evict  []string // container ids to give up: their node is down
	Waits  []Wait
}

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Create)+len(p.Remove)+len(p.Evict) == 0 }

// For plans one service.
func For(in Input) Plan {
	w := &planner{in: in, s: in.Service, slots: map[int]*slot{}}
	w.sort()
	if len(w.plan.Evict) > 0 || w.s.Removing {
		return w.plan // slots and names of what is given up are free afterwards
	}
	w.settle()
	w.update()
	w.move()
	w.fill()
	return w.plan
}

// planner is one plan under way.
type planner struct {
	in       Input
	s        *model.Service
	plan     Plan
	slots    map[int]*slot
	outdated []*model.Container // the one of its slot
	leaving  []*model.Container // the one of its slot, of the present revision
	moving   int                // slots with a twin
}

// slot is what bears one number.
type slot struct {
	live []*model.Container
	rows int // those that are going included
}

// sort gives up what is lost and removes what is too much.
func (w *planner) sort() {
	for _, c := range sorted(w.in.Containers) {
		if w.down(c) {
			if w.lost(c) {
				w.plan.Evict = append(w.plan.Evict, c.ID)
				continue
			}
			w.wait(c, cmp.Or(w.bound(c), w.rests(c))+", and the node is down")
		}
		if c.Assign.Remove {
			w.at(c.Slot).rows++
			continue
		}
		if w.s.Removing || c.Slot > w.s.Spec.Replicas {
			w.plan.Remove = append(w.plan.Remove, c.ID)
			continue
		}
		s := w.at(c.Slot)
		s.rows++
		s.live = append(s.live, c)
	}
}

func (w *planner) at(number int) *slot {
	if w.slots[number] == nil {
		w.slots[number] = &slot{}
	}
	return w.slots[number]
}

func (w *planner) down(c *model.Container) bool {
	return c.Assign.NodeID != "" && w.in.Down != nil && w.in.Down(c)
}

func (w *planner) bound(c *model.Container) string {
	if w.in.Bound == nil {
		return ""
	}
	return w.in.Bound(c)
}

func (w *planner) leave(c *model.Container) string {
	if w.in.Leave == nil || c.Assign.NodeID == "" {
		return ""
	}
	return w.in.Leave(c)
}

func (w *planner) wait(c *model.Container, reason string) {
	w.plan.Waits = append(w.plan.Waits, Wait{c.ID, c.Name, reason, w.down(c)})
}

// lost says whether a container on a node that is down is to be given up.
func (w *planner) lost(c *model.Container) bool {
	if c.Assign.Remove || w.s.Removing || c.Slot > w.s.Spec.Replicas {
		return true // nothing but the confirmation of a dead node is missing
	}
	return w.bound(c) == "" && w.rests(c) == ""
}

// rests says why a container without a task is kept where it is: making it anew
// elsewhere would run what has run, or what its user stopped.
func (w *planner) rests(c *model.Container) string { return Rests(c, w.in.Stopped) }

// Rests says why a container that does not run is kept where it is; empty if it
// is not. stopped: its app or service is stopped as a whole.
func Rests(c *model.Container, stopped bool) string {
	switch {
	case c.Intent.Stopped:
		return "it was stopped, and its files stay until it is started or its app removed"
	case c.Status.Phase == model.PhaseExited && !stopped:
		return "it has ended, and its files and log stay until its app is removed"
	}
	return ""
}

// settle picks one container of every slot; its twins go as soon as nobody
// misses them.
func (w *planner) settle() {
	for number := 1; number <= w.s.Spec.Replicas; number++ {
		s := w.slots[number]
		if s == nil || len(s.live) == 0 {
			continue
		}
		s.live = w.dropStale(s.live)
		best := slices.MaxFunc(s.live, func(a, b *model.Container) int { return cmp.Or(w.rank(a)-w.rank(b), cmp.Compare(b.ID, a.ID)) })
		kept := 0
		for _, c := range s.live {
			if c == best {
				continue
			}
			if settled(best) || c.Status.Phase != model.PhaseRunning && best.Assign.NodeID != "" {
				w.plan.Remove = append(w.plan.Remove, c.ID)
				continue
			}
			kept++
			if best.Assign.NodeID == "" {
				w.wait(c, w.leave(c)+", but "+best.Name+", which is to take its place, has no node: "+best.Assign.Reason)
			}
		}
		if kept > 0 {
			w.moving++
			continue
		}
		switch why := w.leave(best); {
		case best.Revision != w.s.Revision:
			w.outdated = append(w.outdated, best)
		case why == "" || len(s.live) > 1 || w.down(best):
		case w.bound(best) != "":
			w.wait(best, why+", but "+w.bound(best))
		case w.rests(best) != "":
			w.wait(best, why+", but "+w.rests(best))
		default:
			w.leaving = append(w.leaving, best)
		}
	}
}

// dropStale removes twins that were made of an older revision and do not run:
// what comes next is a container of the present one.
func (w *planner) dropStale(live []*model.Container) []*model.Container {
	var keep []*model.Container
	for _, c := range live {
		if len(live) > 1 && c.Revision != w.s.Revision && c.Status.Phase != model.PhaseRunning {
			w.plan.Remove = append(w.plan.Remove, c.ID)
			continue
		}
		keep = append(keep, c)
	}
	if len(keep) == 0 { // all were; one more turn finds the slot empty
		w.plan.Remove = w.plan.Remove[:len(w.plan.Remove)-1]
		keep = live[len(live)-1:]
	}
	return keep
}

// rank orders the containers of one slot, the one to keep highest.
func (w *planner) rank(c *model.Container) int {
	r := 0
	stays, runs := w.leave(c) == "", c.Status.Phase == model.PhaseRunning
	if c.Revision == w.s.Revision {
		r += 8
	}
	if stays && runs {
		r += 4
	}
	if stays {
		r += 2
	}
	if runs {
		r++
	}
	return r
}

// budget is how many replicas may be away at once.
func (w *planner) budget() int { return budget(w.s) }

func budget(s *model.Service) int { return max(1, s.Spec.MaxUnavailable) }

// Starved says why nothing of a service can be replaced or moved: so many of its
// replicas have no node that no more may be away. Empty if it is not so.
func Starved(s *model.Service, containers []*model.Container) string {
	n, why := 0, ""
	for _, c := range containers {
		if c.Assign.NodeID == "" && !c.Assign.Remove {
			if n++; why == "" || c.Assign.Reason < why {
				why = c.Assign.Reason
			}
		}
	}
	if n < budget(s) {
		return ""
	}
	return fmt.Sprintf("%d of its service's replicas have no node and no more than %d may be away: %s", n, budget(s), why)
}

// starved is Starved without what this plan removes.
func (w *planner) starved() string {
	return Starved(w.s, slices.DeleteFunc(slices.Clone(w.in.Containers), func(c *model.Container) bool { return slices.Contains(w.plan.Remove, c.ID) }))
}

// away counts the replicas that do not serve.
func (w *planner) away() int {
	n := 0
	for number := 1; number <= w.s.Spec.Replicas; number++ {
		if s := w.slots[number]; s == nil || !slices.ContainsFunc(s.live, settled) {
			n++
		}
	}
	return n
}

// update chooses which outdated containers go now: all that do not serve; when
// there are none of them, as many as may be away.
func (w *planner) update() {
	idle := 0
	for _, c := range w.outdated {
		if c.Status.Phase != model.PhaseRunning {
			w.plan.Remove = append(w.plan.Remove, c.ID)
			idle++
		}
	}
	if idle > 0 {
		return
	}
	for _, c := range w.outdated[:max(0, min(len(w.outdated), w.budget()-w.away()))] {
		w.plan.Remove = append(w.plan.Remove, c.ID)
	}
	if why := w.starved(); why != "" && len(w.outdated) > 0 { // those that serve go on serving
		w.wait(w.outdated[0], "it is of an older revision, but "+why)
	}
}

// move makes twins for containers that are to leave their nodes, or removes
// those that do not serve anyway.
func (w *planner) move() {
	for _, c := range w.leaving {
		switch {
		case c.Status.Phase != model.PhaseRunning:
			w.plan.Remove = append(w.plan.Remove, c.ID)
		case w.moving >= w.budget():
			if why := w.starved(); why != "" {
				w.wait(c, w.leave(c)+", but "+why)
			}
		default:
			w.moving++
			w.create(c.Slot)
		}
	}
}

// fill creates what is missing.
func (w *planner) fill() {
	for number := 1; number <= w.s.Spec.Replicas; number++ {
		if s := w.slots[number]; s == nil || s.rows == 0 {
			w.create(number)
		}
	}
	slices.SortFunc(w.plan.Create, func(a, b Create) int { return a.Slot - b.Slot })
}

func (w *planner) create(number int) {
	name := ContainerName(w.s, number, func(n string) bool {
		return slices.ContainsFunc(w.plan.Create, func(c Create) bool { return c.Name == n }) || w.in.Taken(n)
	})
	w.plan.Create = append(w.plan.Create, Create{Slot: number, Name: name})
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
// name. A name that is taken, perhaps by the twin that it replaces, gets the
// service's id behind it.
func ContainerName(s *model.Service, slot int, taken func(string) bool) string {
	name := fmt.Sprintf("%s-%s-%d", s.AppName, s.Name, slot)
	if s.AppName == s.Name {
		if name = s.Name; slot > 1 {
			name = fmt.Sprintf("%s-%d", s.Name, slot)
		}
	}
	base := fmt.Sprintf("%s-%d-%s", s.Name, slot, s.ID[:min(6, len(s.ID))])
	for n := 1; taken(name); n++ {
		if name = base; n > 1 {
			name = fmt.Sprintf("%s-%d", base, n)
		}
	}
	return name
}

func sorted(containers []*model.Container) []*model.Container {
	return slices.SortedFunc(slices.Values(containers), func(a, b *model.Container) int {
		return cmp.Or(cmp.Compare(a.Slot, b.Slot), cmp.Compare(a.ID, b.ID))
	})
}
