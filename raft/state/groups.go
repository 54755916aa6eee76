package state

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/skerryhq/skerry/raft/model"
)

// There are far more containers than anything else, and an index of memdb costs
// each of them some four hundred bytes. So only their id and their name are
// indexes; who belongs to a service, who to a node and who has which address is
// kept in rows for many containers at once. Those of services and nodes are made
// from the containers and are in no snapshot.

// group is a part of the containers of one service or node: those whose id is
// not below Low and below the next part's.
type group struct {
	Of  string   // id of the service or node
	Low string   // empty in the first part
	IDs []string // sorted
}

// groupRows is how many containers a part has at most; a change copies one part.
const groupRows = 64

// part finds the part of a group where an id belongs.
func (t *tx) part(table, of, id string) (*group, bool) {
	it, err := t.txn.ReverseLowerBound(table, idxID, key(of, id))
	must(err)
	g, ok := it.Next().(*group)
	return g, ok && g.Of == of
}

// regroup follows one change of a container in the groups of one table. Also a
// change that moves it nowhere is written, so that who watches the group wakes.
func (t *tx) regroup(table, id, from, to string) {
	if from != "" {
		old, ok := t.part(table, from, id)
		i, there := 0, false
		if ok {
			i, there = slices.BinarySearch(old.IDs, id)
		}
		switch {
		case !there:
		case from == to:
			t.write(table, old, old)
			return
		case len(old.IDs) == 1:
			t.erase(table, old)
		default:
			n := &group{Of: old.Of, Low: old.Low, IDs: make([]string, 0, len(old.IDs)-1)}
			n.IDs = append(append(n.IDs, old.IDs[:i]...), old.IDs[i+1:]...)
			t.write(table, old, n)
		}
	}
	if to == "" {
		return
	}
	old, ok := t.part(table, to, id)
	if !ok {
		t.write(table, nil, &group{Of: to, IDs: []string{id}})
		return
	}
	i, there := slices.BinarySearch(old.IDs, id)
	if there {
		t.write(table, old, old)
		return
	}
	ids := make([]string, 0, len(old.IDs)+1)
	ids = append(append(append(ids, old.IDs[:i]...), id), old.IDs[i:]...)
	if len(ids) > groupRows {
		upper := slices.Clone(ids[groupRows/2:])
		t.write(table, nil, &group{Of: old.Of, Low: upper[0], IDs: upper})
		ids = slices.Clone(ids[:groupRows/2])
	}
	t.write(table, old, &group{Of: old.Of, Low: old.Low, IDs: ids})
}

// follow keeps the groups in step with a container; old or o may be nil.
func (t *tx) follow(old, o any) {
	was, _ := old.(*model.Container)
	is, _ := o.(*model.Container)
	var none model.Container
	was, is = cmp.Or(was, &none), cmp.Or(is, &none)
	id := cmp.Or(is.ID, was.ID)
	t.regroup(tabByService, id, was.ServiceID, is.ServiceID)
	t.regroup(tabByNode, id, was.Assign.NodeID, is.Assign.NodeID)
}

// grouped gives the containers of a service or a node in an order. A watching
// view watches the groups, which change with every one of their containers.
func (v *View) grouped(table, of string, order func(a, b *model.Container) int) iter.Seq[*model.Container] {
	return func(yield func(*model.Container) bool) {
		quiet := &View{txn: v.txn}
		var all []*model.Container
		for g := range under[group](v, table, idxID, key(of)) {
			for _, id := range g.IDs {
				if c, ok := quiet.Container(id); ok {
					all = append(all, c)
				}
			}
		}
		slices.SortFunc(all, order)
		for _, c := range all {
			if !yield(c) {
				return
			}
		}
	}
}

// hasContainers says whether a service has any.
func (v *View) hasContainers(serviceID string) bool {
	_, ok := firstPrefix[group](v, tabByService, idxID, key(serviceID))
	return ok
}

func bySlot(a, b *model.Container) int {
	return cmp.Or(cmp.Compare(a.Slot, b.Slot), strings.Compare(a.ID, b.ID))
}

func byName(a, b *model.Container) int {
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
	block, ok := first[addressBlock](v, tabAddresses, idxID, baseOf(a).AsSlice())
	if !ok {
		return "", false
	}
	i, ok := slices.BinarySearchFunc(block.Owners, a, compareAddress)
	if !ok {
		return "", false
	}
	return block.Owners[i].ContainerID, true
}

// setOwner gives an address to a container; an empty id gives it back.
func (t *tx) setOwner(a netip.Addr, id string) {
	base := baseOf(a)
	old, ok := first[addressBlock](&t.v, tabAddresses, idxID, base.AsSlice())
	if !ok {
		if id != "" {
			t.write(tabAddresses, nil, &addressBlock{Base: base, Owners: []address{{a, id}}})
		}
		return
	}
	i, there := slices.BinarySearchFunc(old.Owners, a, compareAddress)
	n := &addressBlock{Base: base, Owners: make([]address, 0, len(old.Owners)+1)}
	n.Owners = append(n.Owners, old.Owners[:i]...)
	if id != "" {
		n.Owners = append(n.Owners, address{a, id})
	}
	if there {
		i++
	}
	n.Owners = append(n.Owners, old.Owners[i:]...)
	if len(n.Owners) == 0 {
		t.erase(tabAddresses, old)
		return
	}
	t.write(tabAddresses, old, n)
}

// load puts one row of a snapshot into the state.
func (t *tx) load(table string, o any) error {
	t.journal = t.journal[:0]
	switch o := o.(type) {
	case *model.Container:
		if s, ok := t.v.Service(o.ServiceID); ok { // services come before containers
			shareSpec(o, s)
		}
		if n, ok := t.v.Node(o.Assign.NodeID); ok {
			o.Assign.NodeID = n.ID
		}
		o.Status.Phase = shared(o.Status.Phase)
		old, ok := t.v.Container(o.ID)
		if err := t.txn.Insert(table, o); err != nil {
			return err
		}
		if ok {
			t.follow(old, o)
		} else {
			t.follow(nil, o)
		}
		return nil
	case *address:
		if !o.Addr.IsValid() {
			return memdb.ErrNotFound
		}
		t.setOwner(o.Addr, o.ContainerID)
		return nil
	default:
		return t.txn.Insert(table, o)
	}
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
