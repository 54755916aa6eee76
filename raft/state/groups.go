package state

import (
	"bytes"
	"cmp"
	"iter"
	"net/netip"
	"slices"
	"strings"

	"github.com/skerryhq/skerry/raft/model"
)

// There are far more containers than anything else, and an index of memdb costs
// each of them some four hundred bytes. So only their id and their name are
// indexes; who belongs to a service, who to a node and who has which address is
// kept in rows for many containers at once. Those of services and nodes are made
// from the containers and are in no snapshot.

// group is a part of the containers of one tenant, service or node, in an order:
// those from Low on and below the next part's Low.
type group struct {
	Of   string // id of the tenant, service or node
	Low  string // empty in the first part
	Rows []*model.Container
}

// groupRows is how many containers a part has at most; a change copies one part.
const groupRows = 64

// The groupings. Every one of them has a table, and every container is in one
// group of it, if of gives its name. A change of a container changes its row in
// each, so that who watches a group wakes.
const (
	byName = iota
	byService
	byNode
)

var groupings = [...]struct {
	table string
	of    func(*model.Container) string
	by    func(*model.Container) string // never changes, and is in the group once
}{
	byName:    {tabByName, func(c *model.Container) string { return c.TenantID }, func(c *model.Container) string { return c.Name }},
	byService: {tabByService, func(c *model.Container) string { return c.ServiceID }, idOf},
	byNode:    {tabByNode, func(c *model.Container) string { return c.Assign.NodeID }, idOf},
}

func idOf(c *model.Container) string { return c.ID }

// grouped gives the containers of a service or a node in an order. A watching
// view watches the groups, which change with every one of their containers.
func (v *View) grouped(g int, of string, order func(a, b *model.Container) int) iter.Seq[*model.Container] {
	return func(yield func(*model.Container) bool) {
		v.settled()
		var all []*model.Container
		for part := range under[group](v, groupings[g].table, idxID, key(of)) {
			all = append(all, part.Rows...)
		}
		slices.SortFunc(all, order)
		for _, c := range all {
			if !yield(c) {
				return
			}
		}
	}
}

// settled brings the tables up to date if this is the view of a transaction.
func (v *View) settled() {
	if v.tx != nil {
		v.tx.settled()
	}
}

// hasContainers says whether a service has any.
func (v *View) hasContainers(serviceID string) bool {
	if v.tx != nil {
		for _, p := range v.tx.w.opened {
			if p.table == tabByService && p.pieces[0].Of == serviceID && slices.ContainsFunc(p.pieces, func(g *group) bool { return len(g.Rows) > 0 }) {
				return true
			}
		}
		v.settled()
	}
	_, ok := firstPrefix[group](v, tabByService, idxID, key(serviceID))
	return ok
}

// walk gives all containers by tenant, then name, from the first on whose key in
// the order of listings is behind after.
func (v *View) walk(prefix, after []byte) iter.Seq[*model.Container] {
	return func(yield func(*model.Container) bool) {
		v.settled()
		if v.ws != nil { // a lower bound cannot be watched: watch the whole range
			it, err := v.txn.Get(tabByName, idxID, prefix)
			must(err)
			v.ws.Add(it.WatchCh())
		}
		seek := prefix
		if len(after) > 0 && bytes.HasPrefix(after, prefix) {
			seek = after
			parts := strings.SplitN(string(after), "\x00", 3)
			if len(parts) > 1 {
				if g, ok := covering(v.txn, tabByName, parts[0], parts[1]); ok {
					seek = key(g.Of, g.Low)
				}
			}
		}
		skip := len(after) > 0
		it, err := v.txn.LowerBound(tabByName, idxID, seek)
		must(err)
		for g, ok := it.Next().(*group); ok; g, ok = it.Next().(*group) {
			if !bytes.HasPrefix(key(g.Of), prefix) {
				return
			}
			for _, c := range g.Rows {
				if skip && bytes.Compare(containers.key(c), after) <= 0 {
					continue
				}
				skip = false // all others are behind it as well
				if !yield(c) {
					return
				}
			}
		}
	}
}

func bySlot(a, b *model.Container) int {
	return cmp.Or(cmp.Compare(a.Slot, b.Slot), strings.Compare(a.ID, b.ID))
}

func inNames(a, b *model.Container) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
}

// address is one address with its owner, a container or an orphan; snapshots
// hold these.
type address struct {
	Addr        netip.Addr `json:"addr"`
	ContainerID string     `json:"containerId"`
}

// addressBlock is the owners of up to 64 neighbouring addresses.
type addressBlock struct {
	Base   netip.Addr
	Owners []address // by address
}

func baseOf(a netip.Addr) netip.Addr {
	return netip.PrefixFrom(a, a.BitLen()-6).Masked().Addr()
}

func compareAddress(a address, to netip.Addr) int { return a.Addr.Compare(to) }

// owner gives the id of the container or orphan that has an address.
func (v *View) owner(a netip.Addr) (id string, taken bool) {
	if !a.IsValid() {
		return "", false
	}
	var b addressBlock
	if v.tx != nil {
		b, _ = v.tx.w.block(a)
	} else if there, ok := first[addressBlock](v, tabAddresses, idxID, baseOf(a).AsSlice()); ok {
		b = *there
	}
	i, ok := slices.BinarySearchFunc(b.Owners, a, compareAddress)
	if !ok {
		return "", false
	}
	return b.Owners[i].ContainerID, true
}

// shared gives a known phase the memory that all have in common.
func shared(p model.Phase) model.Phase {
	for _, known := range []model.Phase{model.PhaseRunning, model.PhasePending, model.PhasePreparing, model.PhaseStarting, model.PhaseStopping,
		model.PhaseExited, model.PhaseBackoff, model.PhaseFailed} {
		if p == known {
			return known
		}
	}
	return p
}
