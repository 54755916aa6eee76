package scheduler

import (
	"slices"
	"strings"

	"github.com/skerryhq/skerry/raft/model"
)

// Board is what the scheduler knows of the cluster: its nodes, and what runs or
// is about to run on them. It is changed step by step, never rebuilt.
type Board struct {
	nodes    map[string]*place
	order    []*place // by id; made anew when stale
	stale    bool
	services map[string]map[*place]int32 // service id -> replicas by node
	images   map[string]map[string]bool  // digest -> node ids
	// What depends on the nodes alone is worked out once, by rank.
	groups map[string]*grouping // by label
	meets  map[string][]bool    // by text of the constraint
	run    *Run                 // that uses spare
	spare  []spot
}

// grouping is the nodes by their value of a label.
type grouping struct {
	values []string
	of     []int32 // index of the value of each node, by rank
	order  []int32 // ranks, by value and then rank
}

// place is a node with what is on it.
type place struct {
	Node
	rank       int32 // position by id
	used       model.Resources
	containers int32
}

// NewBoard makes an empty board.
func NewBoard() *Board {
	return &Board{nodes: map[string]*place{}, services: map[string]map[*place]int32{}, images: map[string]map[string]bool{}}
}

// SetNode adds a node or changes what is known of it.
func (b *Board) SetNode(n Node) {
	p := b.nodes[n.ID]
	if p == nil {
		p = &place{}
		b.nodes[n.ID], b.stale = p, true
	}
	p.Node = n
	b.groups, b.meets = nil, nil
}

// DropNode forgets a node and what was on it.
func (b *Board) DropNode(id string) {
	p := b.nodes[id]
	if p == nil {
		return
	}
	delete(b.nodes, id)
	for service, on := range b.services {
		if delete(on, p); len(on) == 0 {
			delete(b.services, service)
		}
	}
	b.stale, b.run = true, nil
}

// Node gives what is known of a node.
func (b *Board) Node(id string) (Node, bool) {
	p := b.nodes[id]
	if p == nil {
		return Node{}, false
	}
	return p.Node, true
}

// Add notes replicas of a service on a node; a negative count takes them away.
// A node that the board does not know is passed over.
func (b *Board) Add(nodeID, serviceID string, reserve model.Resources, count int) {
	p := b.nodes[nodeID]
	if p == nil {
		return
	}
	b.add(p, serviceID, reserve, int32(count))
}

func (b *Board) add(p *place, serviceID string, reserve model.Resources, count int32) {
	p.containers += count
	p.used.CPUMillis += int64(count) * reserve.CPUMillis
	p.used.MemoryBytes += int64(count) * reserve.MemoryBytes
	on := b.services[serviceID]
	if on == nil {
		on = map[*place]int32{}
		b.services[serviceID] = on
	}
	if on[p] += count; on[p] == 0 {
		delete(on, p)
	}
	if len(on) == 0 {
		delete(b.services, serviceID)
	}
}

// SetImages says which nodes hold which content: digest -> node ids.
func (b *Board) SetImages(holders map[string]map[string]bool) { b.images = holders }

// Replicas says how many replicas of a service are on a node.
func (b *Board) Replicas(serviceID, nodeID string) int {
	return int(b.services[serviceID][b.nodes[nodeID]])
}

// Used says how much of a node is reserved, and how many containers it has.
func (b *Board) Used(nodeID string) (model.Resources, int) {
	p := b.nodes[nodeID]
	if p == nil {
		return model.Resources{}, 0
	}
	return p.used, int(p.containers)
}

// sorted gives the nodes by id.
func (b *Board) sorted() []*place {
	if b.stale || len(b.order) != len(b.nodes) {
		b.order = b.order[:0]
		for _, p := range b.nodes {
			b.order = append(b.order, p)
		}
		slices.SortFunc(b.order, func(x, y *place) int { return strings.Compare(x.ID, y.ID) })
		for i, p := range b.order {
			p.rank = int32(i)
		}
		b.stale, b.groups, b.meets = false, nil, nil
	}
	return b.order
}

// grouped gives the nodes by their value of a label; the empty label groups all
// into one.
func (b *Board) grouped(label string) *grouping {
	all := b.sorted()
	if g := b.groups[label]; g != nil {
		return g
	}
	g := &grouping{of: make([]int32, len(all))}
	index := map[string]int32{}
	for i, p := range all {
		value := ""
		if label != "" {
			value = p.Labels[label]
		}
		at, known := index[value]
		if !known {
			at = int32(len(g.values))
			index[value] = at
			g.values = append(g.values, value)
		}
		g.of[i] = at
	}
	g.order = make([]int32, len(all))
	for i := range g.order {
		g.order[i] = int32(i)
	}
	slices.SortStableFunc(g.order, func(x, y int32) int { return int(g.of[x]) - int(g.of[y]) })
	if b.groups == nil {
		b.groups = map[string]*grouping{}
	}
	b.groups[label] = g
	return g
}

// meeting says of every node whether it meets a constraint.
func (b *Board) meeting(c *Constraint) []bool {
	all := b.sorted()
	if m := b.meets[c.Text]; m != nil {
		return m
	}
	m := make([]bool, len(all))
	for i, p := range all {
		m[i] = c.Holds(&p.Node)
	}
	if b.meets == nil {
		b.meets = map[string][]bool{}
	}
	b.meets[c.Text] = m
	return m
}

// Misplaced says why a replica may not stay on the node that it is on, because
// a constraint does not hold there (any more); empty if it may.
func (b *Board) Misplaced(constraints []Constraint, nodeID string) string {
	p := b.nodes[nodeID]
	if p == nil {
		return ""
	}
	for i := range constraints {
		if !constraints[i].Holds(&p.Node) {
			return "node " + p.Name + " does not meet the constraint " + constraints[i].Text
		}
	}
	return ""
}
