package state

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/skerryhq/skerry/raft/model"
)

// working is what one Apply has changed in the rows for many containers, and
// which containers it wrote. Those rows are changed in place here and reach the
// tables once, by settle: an entry that makes a thousand containers of one
// service writes its rows once and not a thousand times. And reading an index of
// memdb within the transaction that writes it costs the next write a copy of its
// whole path, so what is read while containers are written is read here, or from
// the base.
type working struct {
	base       *memdb.Txn                  // as of the beginning, or of the last settle
	containers map[string]*model.Container // written since; nil means deleted
	parts      map[partKey]*part
	blocks     map[netip.Addr]*block
	opened     []*part // in the order of opening, as maps have none
	blocked    []*block
}

// partKey names a part as it is in the base. Where none is there for an id yet,
// it is the first of its group.
type partKey struct {
	grouping int
	of, low  string
}

// part is one part of a group being changed. It grows into several.
type part struct {
	table  string
	base   *group   // nil if it is not in the base
	pieces []*group // never seen by a View before they are settled; the first has the base's Low
}

// block is one block of addresses being changed.
type block struct {
	base *addressBlock // nil if it is not in the base
	now  addressBlock
}

// container finds a container by id.
func (w *working) container(id string) (*model.Container, bool) {
	if c, ok := w.containers[id]; ok {
		return c, c != nil
	}
	o, err := w.base.First(tabContainers, idxID, key(id))
	must(err)
	c, ok := o.(*model.Container)
	return c, ok
}

// wrote notes a container that was written; nil: deleted.
func (w *working) wrote(id string, c *model.Container) {
	if w.containers == nil {
		w.containers = map[string]*model.Container{}
	}
	w.containers[id] = c
}

// find gives the part where an order belongs, nil if nobody opened it, and its
// row in the base.
func (w *working) find(g int, of, at string) (partKey, *part, *group) {
	base, ok := covering(w.base, groupings[g].table, of, at)
	k := partKey{grouping: g, of: of}
	if ok {
		k.low = base.Low
	}
	return k, w.parts[k], base
}

// piece opens the part where an order belongs and gives the piece of it.
func (w *working) piece(g int, of, at string) (*part, int) {
	k, p, base := w.find(g, of, at)
	if p == nil {
		p = &part{table: groupings[g].table, base: base}
		first := &group{Of: of}
		if base != nil {
			first.Low = base.Low
			first.Rows = append(make([]*model.Container, 0, len(base.Rows)+1), base.Rows...)
		}
		p.pieces = []*group{first}
		if w.parts == nil {
			w.parts = map[partKey]*part{}
		}
		w.parts[k] = p
		w.opened = append(w.opened, p)
	}
	return p, p.at(at)
}

// at gives the piece where an order belongs.
func (p *part) at(at string) int {
	i := len(p.pieces) - 1
	for i > 0 && p.pieces[i].Low > at {
		i--
	}
	return i
}

// put adds a container to a group, or puts it in the place of an older one.
func (w *working) put(g int, of string, c *model.Container) {
	at := groupings[g].by(c)
	p, i := w.piece(g, of, at)
	n := p.pieces[i]
	row, there := n.search(groupings[g].by, at)
	if there {
		n.Rows[row] = c
		return
	}
	n.Rows = slices.Insert(n.Rows, row, c)
	if len(n.Rows) > groupRows {
		upper := slices.Clone(n.Rows[groupRows/2:])
		clear(n.Rows[groupRows/2:])
		n.Rows = n.Rows[:groupRows/2]
		p.pieces = slices.Insert(p.pieces, i+1, &group{Of: of, Low: groupings[g].by(upper[0]), Rows: upper})
	}
}

// take removes a container from a group.
func (w *working) take(g int, of string, c *model.Container) {
	at := groupings[g].by(c)
	p, i := w.piece(g, of, at)
	n := p.pieces[i]
	if row, there := n.search(groupings[g].by, at); there {
		n.Rows = slices.Delete(n.Rows, row, row+1)
	}
}

// follow keeps the groups in step with a container; old or c may be nil.
func (w *working) follow(old, c *model.Container) {
	for g := range groupings {
		from, to := "", ""
		if old != nil {
			from = groupings[g].of(old)
		}
		if c != nil {
			to = groupings[g].of(c)
		}
		if from != "" && from != to {
			w.take(g, from, old)
		}
		if to != "" {
			w.put(g, to, c)
		}
	}
}

// named finds a container by its name.
func (w *working) named(tenantID, name string) (*model.Container, bool) {
	_, p, n := w.find(byName, tenantID, name)
	if p != nil {
		n = p.pieces[p.at(name)]
	}
	if n == nil {
		return nil, false
	}
	i, ok := n.search(groupings[byName].by, name)
	if !ok {
		return nil, false
	}
	return n.Rows[i], true
}

// block gives the block of an address as it is now.
func (w *working) block(a netip.Addr) (addressBlock, *block) {
	base := baseOf(a)
	if b := w.blocks[base]; b != nil {
		return b.now, b
	}
	o, err := w.base.First(tabAddresses, idxID, base.AsSlice())
	must(err)
	if there, ok := o.(*addressBlock); ok {
		return *there, nil
	}
	return addressBlock{Base: base}, nil
}

// setOwner gives an address to a container; an empty id gives it back.
func (w *working) setOwner(a netip.Addr, id string) {
	was, b := w.block(a)
	if b == nil {
		b = &block{now: addressBlock{Base: was.Base, Owners: append(make([]address, 0, len(was.Owners)+1), was.Owners...)}}
		if len(was.Owners) > 0 {
			b.base = &was
		}
		if w.blocks == nil {
			w.blocks = map[netip.Addr]*block{}
		}
		w.blocks[was.Base] = b
		w.blocked = append(w.blocked, b)
	}
	i, there := slices.BinarySearchFunc(b.now.Owners, a, compareAddress)
	switch {
	case there && id != "":
		b.now.Owners[i].ContainerID = id
	case there:
		b.now.Owners = slices.Delete(b.now.Owners, i, i+1)
	case id != "":
		b.now.Owners = slices.Insert(b.now.Owners, i, address{a, id})
	}
}

// settle writes what is open into the tables.
func (w *working) settle(txn *memdb.Txn) {
	for _, p := range w.opened {
		for i, n := range p.pieces {
			switch {
			case len(n.Rows) > 0:
				n.Rows = tight(n.Rows)
				must(txn.Insert(p.table, n))
			case i == 0 && p.base != nil:
				must(txn.Delete(p.table, p.base))
			}
		}
	}
	for _, b := range w.blocked {
		switch {
		case len(b.now.Owners) > 0:
			b.now.Owners = tight(b.now.Owners)
			must(txn.Insert(tabAddresses, &b.now))
		case b.base != nil:
			must(txn.Delete(tabAddresses, b.base))
		}
	}
	w.opened, w.blocked, w.parts, w.blocks = nil, nil, nil, nil
}

// settled brings the tables up to date in the middle of an Apply, for a reader
// that walks them.
func (t *tx) settled() {
	if len(t.w.opened) == 0 && len(t.w.blocked) == 0 {
		return
	}
	t.w.settle(t.txn)
	t.w.base, t.w.containers = t.txn.Snapshot(), nil
}

// tight gives back the room that a row will not need for as long as it stays.
func tight[T any](rows []T) []T {
	if cap(rows)-len(rows) > 2 {
		return append(make([]T, 0, len(rows)), rows...)
	}
	return rows
}

// search finds a row.
func (g *group) search(by func(*model.Container) string, at string) (int, bool) {
	return slices.BinarySearchFunc(g.Rows, at, func(c *model.Container, at string) int { return strings.Compare(by(c), at) })
}

// covering finds the part of a group where an order belongs.
func covering(txn *memdb.Txn, table, of, at string) (*group, bool) {
	it, err := txn.ReverseLowerBound(table, idxID, key(of, at))
	must(err)
	g, ok := it.Next().(*group)
	if !ok || g.Of != of {
		return nil, false
	}
	return g, true
}
