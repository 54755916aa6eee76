package control

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/skerryhq/skerry/appliance/deploy"
	"github.com/skerryhq/skerry/appliance/ipalloc"
	"github.com/skerryhq/skerry/appliance/scheduler"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

const (
	// batchMost is how many containers one turn creates at most, so that a huge
	// deployment is many proposals and not one that blocks everybody's.
	batchMost = 2000
	// usable is how many addresses a block has for containers.
	usable = 1<<(32-ipalloc.BlockBits) - 2
	// spare is how many free addresses a node should have at least.
	spare = 8
)

// Planner is the thinking part of the deploy loop: it keeps what it knows of the
// cluster between its turns and says what to propose. It does no I/O and has no
// clock of its own, so that the simulator drives the same code. One goroutine
// uses it.
type Planner struct {
	now   func() time.Time
	newID func() string
	know  *cache
	last  map[string]netip.Addr // node id -> address given most recently
}

// NewPlanner makes a planner that knows nothing yet.
func NewPlanner(now func() time.Time, newID func() string) *Planner {
	return &Planner{now: now, newID: newID, know: newCache(), last: map[string]netip.Addr{}}
}

// Turn plans what a view shows missing. hold says which nodes are not trusted
// with new containers. more: there is more to plan as soon as this was proposed.
// again: look again after so long even if nothing changes; 0: no need.
func (d *Planner) Turn(v *state.View, hold Untrusted) (cmds []command.Command, more bool, again time.Duration) {
	again = d.know.look(v, hold)
	cmds, more = d.turn()
	return cmds, more, again
}

// Refused tells that the state refused a command of the last turn: it has moved
// on, and what the command was about is planned again.
func (d *Planner) Refused(v *state.View, cmd command.Command) {
	switch c := cmd.(type) {
	case *command.PutContainers:
		d.know.dirty[c.Containers[0].ServiceID] = true
	case *command.SetServiceStatus:
		d.know.dirty[c.ServiceID] = true
	case *command.AssignContainers:
		for _, item := range c.Items {
			if k, ok := v.Container(item.ID); ok {
				d.know.dirty[k.ServiceID] = true
			}
		}
	case *command.EvictContainers:
		d.know.touch(v, c.NodeID)
	}
}

// Forget tells that nobody knows what became of the last turn: everything is
// planned again.
func (d *Planner) Forget() {
	for id := range d.know.services {
		d.know.dirty[id] = true
	}
}

// Used says how much of a node is reserved, and how many containers it has, as
// the planner believes.
func (d *Planner) Used(nodeID string) (model.Resources, int) { return d.know.board.Used(nodeID) }

func (d *Planner) by() command.Head {
	return command.By(model.Origin{Actor: "system:deploy", Time: d.now()})
}

// plan is the commands of one turn, in the order in which they are applied.
type plan struct {
	evict  map[string][]string // node id -> containers
	assign []command.Command
	homes  []command.Command // volumes that get their node
	put    []command.Command
	status []command.Command
	short  map[string]int      // node id -> addresses that it lacks
	given  map[netip.Addr]bool // in this turn
	names  map[string]bool     // tenant id + "/" + name, in this turn
	made   int
	pool   bool // it has a block that no node has
}

// turn plans every dirty service. more says that some are left for another.
func (d *Planner) turn() (cmds []command.Command, more bool) {
	k := d.know
	if k.cluster == nil {
		return nil, false
	}
	p := &plan{evict: map[string][]string{}, short: map[string]int{}, given: map[netip.Addr]bool{}, names: map[string]bool{}, pool: d.poolLeft()}
	for _, s := range k.order() {
		if p.made >= batchMost {
			more = true
			break
		}
		delete(k.dirty, s.ID)
		delete(k.unmet, s.ID)
		d.service(p, s)
	}
	for _, id := range sortedKeys(p.evict) {
		cmds = append(cmds, &command.EvictContainers{Head: d.by(), NodeID: id, IDs: p.evict[id]})
	}
	cmds = slices.Concat(cmds, p.assign, p.homes, p.put, p.status, d.blocks(p.short))
	return cmds, more
}

// order gives the dirty services in the order of planning: those that want to
// be near others last.
func (c *cache) order() []*service {
	var out []*service
	for id := range c.dirty {
		if s := c.services[id]; s != nil {
			out = append(out, s)
		} else {
			delete(c.dirty, id)
		}
	}
	slices.SortFunc(out, func(a, b *service) int {
		return cmp.Or(cmp.Compare(len(a.Spec.Placement.Affinity), len(b.Spec.Placement.Affinity)), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// service plans one service.
func (d *Planner) service(p *plan, s *service) {
	k := d.know
	want := deploy.For(deploy.Input{
		Service: s.Service, Containers: s.containers, Stopped: k.stopped(s.Service),
		Taken: func(name string) bool {
			_, taken := k.view.ContainerByName(s.TenantID, name)
			return taken || p.names[s.TenantID+"/"+name]
		},
		Leave: func(c *model.Container) string { return k.leave(s, c) },
		Bound: k.bound,
		Down:  func(c *model.Container) bool { n := k.nodes[c.Assign.NodeID]; return n != nil && n.Down() },
	})
	for _, c := range s.containers {
		if slices.Contains(want.Evict, c.ID) {
			p.evict[c.Assign.NodeID] = append(p.evict[c.Assign.NodeID], c.ID)
		}
	}
	place := placing{d: d, p: p, s: s}
	items := place.remove(want.Remove)
	if len(want.Evict) == 0 && !s.Removing {
		items = append(items, place.pending(want.Remove)...)
		place.create(want.Create)
	}
	if len(items) > 0 {
		p.assign = append(p.assign, &command.AssignContainers{Head: d.by(), Items: items})
	}
	if len(want.Waits) > 0 || place.lacking != "" {
		k.unmet[s.ID] = true
	}
	if cmd := place.conditions(want.Waits); cmd != nil && !s.Removing {
		p.status = append(p.status, cmd)
	}
}

func (c *cache) stopped(s *model.Service) bool {
	a, ok := c.view.App(s.AppID)
	return s.Stopped || ok && a.Spec.Stopped
}

// leave says why a container may not stay on its node; empty if it may.
func (c *cache) leave(s *service, k *model.Container) string {
	n := c.nodes[k.Assign.NodeID]
	switch {
	case n == nil:
		return ""
	case drains(n):
		return "node " + n.Name + " is drained"
	case n.EnvironmentID != s.EnvironmentID:
		return "node " + n.Name + " belongs to another environment"
	}
	return c.board.Misplaced(s.constraints, n.ID)
}

// bound says what keeps a container on its node; empty if nothing does.
func (c *cache) bound(k *model.Container) string {
	for _, m := range k.Spec.Mounts {
		if vol := c.volumes[m.VolumeID]; vol != nil && local(vol) && vol.NodeID == k.Assign.NodeID {
			return boundBy(vol, c.nodes[vol.NodeID])
		}
	}
	return ""
}

func boundBy(vol *model.Volume, n *model.Node) string {
	name := vol.NodeID
	if n != nil {
		name = n.Name
	}
	return fmt.Sprintf("it waits for node %s, which holds its volume %s", name, vol.Name)
}

// placing places the containers of one service.
type placing struct {
	d       *Planner
	p       *plan
	s       *service
	run     *scheduler.Run
	lacking string // why a replica has no node
	missing int    // replicas without one
}

// remove marks containers as to be removed.
func (w *placing) remove(ids []string) (items []command.AssignItem) {
	for _, c := range w.s.containers {
		if slices.Contains(ids, c.ID) {
			a := c.Assign
			a.Remove = true
			items = append(items, command.AssignItem{ID: c.ID, ExpectVersion: command.AnyVersion, Assign: a})
		}
	}
	return items
}

// pending tries again for containers that have no node yet.
func (w *placing) pending(going []string) (items []command.AssignItem) {
	for _, c := range w.s.containers {
		if c.Assign.NodeID != "" || c.Assign.Remove || slices.Contains(going, c.ID) {
			continue
		}
		a, ok := w.next()
		if ok && (a.NodeID != "" || !sameWords(a.Reason, c.Assign.Reason)) {
			items = append(items, command.AssignItem{ID: c.ID, ExpectVersion: c.Version, Assign: a})
		}
	}
	return items
}

// sameWords compares sentences but for their numbers, which change all the time.
func sameWords(a, b string) bool {
	bare := func(s string) string {
		return strings.Map(func(r rune) rune {
			if unicode.IsDigit(r) || r == '.' {
				return -1
			}
			return r
		}, s)
	}
	return a == b || bare(a) == bare(b)
}

// create makes the containers that are missing.
func (w *placing) create(wanted []deploy.Create) {
	put := &command.PutContainers{Head: w.d.by()}
	for _, want := range wanted {
		a, ok := w.next()
		if !ok {
			w.d.know.dirty[w.s.ID] = true // its node gets a block of addresses first
			continue
		}
		c := model.Container{ServiceID: w.s.ID, AppID: w.s.AppID, Slot: want.Slot, Revision: w.s.Revision, Spec: w.s.Spec.Container, Assign: a}
		c.ID, c.Name = w.d.newID(), want.Name
		c.Status.Phase = model.PhasePending
		w.p.names[w.s.TenantID+"/"+c.Name] = true
		put.Containers = append(put.Containers, c)
	}
	if len(put.Containers) > 0 {
		w.p.put = append(w.p.put, put)
		w.p.made += len(put.Containers)
	}
}

// next places one replica and gives it an address. It reports false when a node
// was found but waits for addresses; the replica is tried again in the next
// turn. Without any node the assignment says why.
func (w *placing) next() (model.Assignment, bool) {
	k := w.d.know
	for {
		if w.run == nil {
			w.run = k.board.Run(k.request(w.s))
		}
		choice := w.run.Next()
		if choice.NodeID == "" {
			w.lacking = choice.Reason
			w.missing++
			return model.Assignment{Reason: choice.Reason}, true
		}
		n := k.nodes[choice.NodeID]
		addr, ok := ipalloc.Next(ipalloc.Node{Blocks: n.Blocks, Last: w.d.last[n.ID]}, func(a netip.Addr) bool {
			return w.p.given[a] || k.view.AddressTaken(a)
		})
		if !ok && w.p.pool {
			w.p.short[n.ID]++
			w.s.placed(n.ID) // until the next look, so that others see it as taken
			return model.Assignment{}, false
		}
		if !ok {
			w.run.Refuse(n.ID)
			continue
		}
		w.d.last[n.ID], w.p.given[addr] = addr, true
		w.s.placed(n.ID)
		w.home(n.ID)
		return model.Assignment{NodeID: n.ID, Address: addr, Reason: choice.Reason}, true
	}
}

// home gives the volumes that have no node yet the one of their first container.
func (w *placing) home(nodeID string) {
	k := w.d.know
	for _, m := range w.s.Spec.Container.Mounts {
		vol := k.volumes[m.VolumeID]
		if vol == nil || !local(vol) || vol.NodeID != "" {
			continue
		}
		mine := *vol
		mine.NodeID = nodeID
		w.p.homes = append(w.p.homes, &command.PutVolume{Head: w.d.by(), Volume: mine, ExpectVersion: vol.Version})
		k.volumes[vol.ID], k.volMark = &mine, state.Mark{}
		w.run = nil // from now on it is bound
	}
}

// conditions says what the service lacks; nil if it says so already.
func (w *placing) conditions(waits []deploy.Wait) command.Command {
	var now []model.Condition
	if w.missing > 0 {
		now = append(now, model.Condition{Type: "Placed", Reason: "NoNodeFits", Message: count(w.missing, "replica") + " without a node: " + w.lacking})
	}
	const most = 3
	for i, wait := range waits {
		if i == most {
			now = append(now, model.Condition{Type: "Moved", Reason: "Waits", Message: count(len(waits)-most, "more container") + " as well"})
			break
		}
		c := model.Condition{Type: "Moved", Reason: "Waits", Message: wait.Name + ": " + wait.Reason}
		if wait.Down {
			c.Type, c.Reason = "Placed", "WaitsForNode"
		}
		now = append(now, c)
	}
	was := w.s.Status.Conditions
	if slices.EqualFunc(was, now, func(a, b model.Condition) bool {
		return a.Type == b.Type && a.Reason == b.Reason && sameWords(a.Message, b.Message)
	}) {
		return nil
	}
	for i := range now {
		now[i].Since = w.d.now()
		for _, c := range was {
			if c.Type == now[i].Type && c.Reason == now[i].Reason && sameWords(c.Message, now[i].Message) {
				now[i].Since = c.Since
			}
		}
	}
	return &command.SetServiceStatus{Head: w.d.by(), ServiceID: w.s.ID, Conditions: now}
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// poolLeft says whether the pool has a block that no node has.
func (d *Planner) poolLeft() bool {
	pool := d.know.cluster.Pool
	if !pool.IsValid() {
		return false
	}
	blocks := 0
	for _, n := range d.know.nodes {
		blocks += len(n.Blocks)
	}
	return blocks < 1<<max(0, ipalloc.BlockBits-pool.Bits())
}

// blocks gives nodes that run short of addresses more of them.
func (d *Planner) blocks(short map[string]int) []command.Command {
	var cmds []command.Command
	var taken map[netip.Prefix]bool // made when it is needed
	k := d.know
	for _, id := range sortedKeys(k.nodes) {
		n := k.nodes[id]
		_, used := k.board.Used(id)
		free := len(n.Blocks)*usable - used - k.orphans[id]
		want := 0
		if free < spare || short[id] > 0 {
			want = 1 + short[id]/usable
		}
		if want == 0 {
			continue
		}
		if taken == nil {
			taken = map[netip.Prefix]bool{}
			for _, other := range k.nodes {
				for _, b := range other.Blocks {
					taken[b] = true
				}
			}
		}
		more := *n
		more.Blocks = slices.Clone(n.Blocks)
		for range want {
			b, ok := ipalloc.NextBlock(k.cluster.Pool, func(b netip.Prefix) bool { return taken[b] })
			if !ok {
				break // the assignments say that addresses have run out
			}
			taken[b] = true
			more.Blocks = append(more.Blocks, b)
		}
		if len(more.Blocks) > len(n.Blocks) {
			cmds = append(cmds, &command.PutNode{Head: d.by(), Node: more, ExpectVersion: n.Version})
		}
	}
	return cmds
}
