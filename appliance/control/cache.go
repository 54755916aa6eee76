package control

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/skerryhq/skerry/appliance/scheduler"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// cache is what the deploy loop keeps between its turns, so that a change costs
// what it touches and not a walk over every container: containers are read again
// only for services whose mark is stale.
type cache struct {
	view     *state.View
	cluster  *model.Cluster
	board    *scheduler.Board
	nodes    map[string]*model.Node
	services map[string]*service
	volumes  map[string]*model.Volume
	volMark  state.Mark
	imgMark  state.Mark
	orphans  map[string]int // addresses that given up containers still hold, by node
	orphMark state.Mark
	turn     uint64
	dirty    map[string]bool // ids of services to plan
	unmet    map[string]bool // ids of services that lack something; planned again when the cluster has more to give
}

// service is a service with its containers.
type service struct {
	*model.Service
	containers  []*model.Container
	mark        state.Mark
	load        map[string]int // node id -> containers
	constraints []scheduler.Constraint
	seen        uint64
}

func newCache() *cache {
	return &cache{
		board: scheduler.NewBoard(), nodes: map[string]*model.Node{}, services: map[string]*service{}, volumes: map[string]*model.Volume{},
		orphans: map[string]int{}, dirty: map[string]bool{}, unmet: map[string]bool{},
	}
}

// Untrusted says how long a node gets nothing new because it keeps going down,
// and how often it did.
type Untrusted func(nodeID string) (wait time.Duration, falls int)

// look brings the cache up to a view. It gives the time after which it must
// look again even if nothing changes; 0: never.
func (c *cache) look(v *state.View, hold Untrusted) time.Duration {
	c.view = v
	c.turn++
	c.cluster, _ = v.Cluster()
	more, next := c.lookNodes(v, hold)
	if c.volMark.Stale() {
		c.volumes, c.volMark = state.Marked(v, func(v *state.View) map[string]*model.Volume {
			out := map[string]*model.Volume{}
			for vol := range v.Volumes() {
				out[vol.ID] = vol
			}
			return out
		})
		more = true
	}
	if c.imgMark.Stale() {
		var holders map[string]map[string]bool
		holders, c.imgMark = state.Marked(v, imageHolders)
		c.board.SetImages(holders)
	}
	if c.orphMark.Stale() {
		c.orphans, c.orphMark = state.Marked(v, func(v *state.View) map[string]int {
			out := map[string]int{}
			for o := range v.Orphans() {
				out[o.NodeID]++
			}
			return out
		})
		more = true
	}
	if c.lookServices(v) || more {
		maps.Copy(c.dirty, c.unmet)
	}
	return next
}

func imageHolders(v *state.View) map[string]map[string]bool {
	out := map[string]map[string]bool{}
	for img := range v.Images() {
		for _, id := range img.NodeIDs {
			if out[img.Digest] == nil {
				out[img.Digest] = map[string]bool{}
			}
			out[img.Digest][id] = true
		}
	}
	return out
}

// lookNodes reports whether a node changed in a way that may help what waits.
func (c *cache) lookNodes(v *state.View, hold Untrusted) (more bool, next time.Duration) {
	seen := 0
	for n := range v.Nodes() {
		seen++
		old := c.nodes[n.ID]
		wait, falls := hold(n.ID)
		if wait > 0 && (next == 0 || wait < next) {
			next = wait
		}
		closed := closedFor(n, wait > 0, falls)
		if was, there := c.board.Node(n.ID); there && old == n && was.Closed == closed {
			continue
		}
		c.nodes[n.ID] = n
		c.board.SetNode(nodeOf(n, closed))
		more = true
		if old == nil {
			continue
		}
		if n.Down() || drains(n) != drains(old) || n.EnvironmentID != old.EnvironmentID || !maps.Equal(n.Spec.Labels, old.Spec.Labels) ||
			old.Down() || n.Role != old.Role {
			c.touch(v, n.ID)
		}
	}
	if seen < len(c.nodes) {
		for id := range c.nodes {
			if _, there := v.Node(id); !there {
				delete(c.nodes, id)
				c.board.DropNode(id)
			}
		}
		more = true
	}
	return more, next
}

// touch has every service planned that has containers on a node.
func (c *cache) touch(v *state.View, nodeID string) {
	for k := range v.ContainersOnNode(nodeID) {
		c.dirty[k.ServiceID] = true
	}
}

func drains(n *model.Node) bool { return n.Spec.Availability == model.NodeDrain }

// closedFor says in words why a node takes no new containers; empty if it does.
func closedFor(n *model.Node, hold bool, falls int) string {
	switch {
	case n.Down():
		return strings.TrimSuffix("is down: "+n.Health.Reason, ": ")
	case drains(n):
		return "is drained"
	case !n.Status.Ready && len(n.Status.Conditions) > 0:
		return "is not ready: " + n.Status.Conditions[0].Message
	case !n.Status.Ready:
		return "is not ready: it has not reported yet"
	case hold:
		return fmt.Sprintf("went down %d times in a short while and takes nothing new until it has been up for longer", falls)
	}
	return ""
}

func nodeOf(n *model.Node, closed string) scheduler.Node {
	out := scheduler.Node{
		ID: n.ID, Name: n.Name, EnvironmentID: n.EnvironmentID, Role: n.Role, Architecture: n.Status.Architecture, OS: n.Status.OS,
		Labels: n.Spec.Labels, Closed: closed,
		Capacity: model.Resources{CPUMillis: int64(n.Status.CPUs) * 1000, MemoryBytes: n.Status.MemoryBytes},
	}
	if out.Role == "" {
		out.Role = model.NodeMember
	}
	if at, err := netip.ParseAddrPort(n.Status.Address); err == nil {
		out.Address = at.Addr().Unmap()
	}
	return out
}

// lookServices reads what changed, and reports whether something on a node was
// freed or came to be, which may help what waits.
func (c *cache) lookServices(v *state.View) (moved bool) {
	seen := 0
	for s := range v.Services() {
		seen++
		mine := c.services[s.ID]
		if mine == nil {
			mine = &service{}
			c.services[s.ID] = mine
		}
		mine.seen = c.turn
		fresh := mine.Service != s
		if !fresh && !mine.mark.Stale() {
			continue
		}
		c.dirty[s.ID] = true
		var list []*model.Container
		list, mine.mark = state.Marked(v, func(v *state.View) []*model.Container {
			return slices.Collect(v.ContainersOfService(s.ID))
		})
		moved = c.take(mine, s, list) || moved
	}
	if seen < len(c.services) {
		for id, mine := range c.services {
			if mine.seen != c.turn {
				c.count(mine, nil)
				delete(c.services, id)
				delete(c.dirty, id)
				delete(c.unmet, id)
				moved = true
			}
		}
	}
	return moved
}

// take puts a service as it is now into the cache.
func (c *cache) take(mine *service, s *model.Service, list []*model.Container) (moved bool) {
	load := map[string]int{}
	for _, k := range list {
		if k.Assign.NodeID != "" {
			load[k.Assign.NodeID]++
		}
	}
	if mine.Service == nil || mine.Spec.Reserve != s.Spec.Reserve || !slices.Equal(mine.Spec.Placement.Constraints, s.Spec.Placement.Constraints) {
		if mine.Service != nil {
			c.count(mine, nil)
		}
		mine.constraints = nil
		for _, text := range s.Spec.Placement.Constraints {
			if k, err := scheduler.ParseConstraint(text); err == nil { // others were refused when the app was deployed
				mine.constraints = append(mine.constraints, k)
			}
		}
	}
	mine.Service, mine.containers = s, list
	if maps.Equal(mine.load, load) {
		return false
	}
	c.count(mine, load)
	return true
}

// count replaces what the board knows of a service.
func (c *cache) count(mine *service, load map[string]int) {
	for id, n := range mine.load {
		c.board.Add(id, mine.ID, mine.Spec.Reserve, -n)
	}
	for id, n := range load {
		c.board.Add(id, mine.ID, mine.Spec.Reserve, n)
	}
	mine.load = load
}

// placed notes that a container of a service was given to a node, which the
// board knows already.
func (s *service) placed(nodeID string) {
	if s.load == nil {
		s.load = map[string]int{}
	}
	s.load[nodeID]++
	s.mark = state.Mark{} // read it again, whatever becomes of the proposal
}

// request words what the replicas of a service ask for.
func (c *cache) request(s *service) scheduler.Request {
	p := s.Spec.Placement
	r := scheduler.Request{
		ServiceID: s.ID, EnvironmentID: s.EnvironmentID, Strategy: p.Strategy, Reserve: s.Spec.Reserve, Constraints: s.constraints,
		SpreadBy: p.SpreadBy, Image: s.Spec.Container.ImageDigest,
	}
	for _, m := range s.Spec.Container.Mounts {
		if vol := c.volumes[m.VolumeID]; vol != nil && local(vol) {
			r.Homes = append(r.Homes, scheduler.Home{Volume: vol.Name, NodeID: vol.NodeID})
		}
	}
	for _, port := range s.Spec.Ports {
		if port.HostIP.IsValid() {
			r.HostIPs = append(r.HostIPs, port.HostIP)
		}
	}
	peer := func(name string) scheduler.Peer {
		if other, ok := c.view.ServiceByName(s.AppID, name); ok {
			return scheduler.Peer{ServiceID: other.ID, Name: name}
		}
		return scheduler.Peer{Name: name}
	}
	for _, name := range p.Affinity {
		r.Near = append(r.Near, peer(name))
	}
	for _, name := range p.AntiAffinity {
		r.Apart = append(r.Apart, peer(name))
	}
	for other := range c.view.ServicesOf(s.AppID) { // who wants to be apart from it is to be left alone
		if other.ID != s.ID && slices.Contains(other.Spec.Placement.AntiAffinity, s.Name) {
			r.Apart = append(r.Apart, scheduler.Peer{ServiceID: other.ID, Name: other.Name})
		}
	}
	return r
}

// local says whether a volume's data is on one node.
func local(v *model.Volume) bool { return v.Spec.Driver == "" || v.Spec.Driver == "local" }
