package state

import (
	"encoding/base64"
	"iter"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/skerryhq/skerry/raft/model"
)

// View is the whole state at one moment. It never changes and needs no closing.
// The objects it hands out are shared: Clone before changing one.
type View struct {
	txn *memdb.Txn
	ws  memdb.WatchSet // nil unless Watch made this view
}

// Scope says whose objects a query may see. The zero Scope sees nothing.
type Scope struct {
	tenantID string
	all      bool
}

// AllTenants sees everything: for our own loops and for platform roles.
func AllTenants() Scope { return Scope{all: true} }

// InTenant sees what one tenant owns.
func InTenant(id string) Scope { return Scope{tenantID: id} }

// Covers says whether an object of a tenant is in the scope.
func (s Scope) Covers(tenantID string) bool {
	return s.all || (s.tenantID != "" && s.tenantID == tenantID)
}

// The bounds of Page.Limit.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// Page asks for a part of a listing, which is ordered by name, then id.
type Page struct {
	Limit  int    // 0 means DefaultLimit; at most MaxLimit
	Cursor string // List.Next of the page before; empty means from the beginning
}

// List is a part of a listing.
type List[T any] struct {
	Items []*T
	Next  string // cursor of the next page; empty means that this is the last
}

func (p Page) limit() int {
	switch {
	case p.Limit <= 0:
		return DefaultLimit
	case p.Limit > MaxLimit:
		return MaxLimit
	default:
		return p.Limit
	}
}

// after gives name and id of the last object of the page before.
func (p Page) after() (name, id string, err error) {
	if p.Cursor == "" {
		return "", "", nil
	}
	b, err := base64.RawURLEncoding.DecodeString(p.Cursor)
	name, id, ok := strings.Cut(string(b), "\x00")
	if err != nil || !ok {
		return "", "", model.Errorf(model.KindInvalid, "cursor_invalid",
			"this cursor did not come from a listing; begin again without one").At("cursor")
	}
	return name, id, nil
}

func cursor(name, id string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(name + "\x00" + id))
}

// Index is the raft index of the last entry in this view.
func (v *View) Index() uint64 {
	m, ok := first[meta](v, tabMeta, idxID, key("meta"))
	if !ok {
		return 0
	}
	return m.Index
}

// must turns memdb's errors, which can only be faults of the schema, into a
// panic that every test would meet.
func must(err error) {
	if err != nil {
		panic("state: " + err.Error())
	}
}

// first finds the object under a key, or the first one under a prefix of keys.
func first[T any](v *View, table, idx string, k []byte) (*T, bool) {
	if v.ws == nil {
		o, err := v.txn.First(table, idx, k)
		must(err)
		t, ok := o.(*T)
		return t, ok
	}
	ch, o, err := v.txn.FirstWatch(table, idx, k)
	must(err)
	v.ws.Add(ch)
	t, ok := o.(*T)
	return t, ok
}

// firstPrefix finds the first object whose key in a unique index begins with k.
func firstPrefix[T any](v *View, table, idx string, k []byte) (*T, bool) {
	for o := range under[T](v, table, idx, k) {
		return o, true
	}
	return nil, false
}

// under walks the objects whose keys begin with k, in the order of the keys.
func under[T any](v *View, table, idx string, k []byte) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		it, err := v.txn.Get(table, idx, k)
		must(err)
		if v.ws != nil {
			v.ws.Add(it.WatchCh())
		}
		for o := it.Next(); o != nil; o = it.Next() {
			if !yield(o.(*T)) {
				return
			}
		}
	}
}

// named is what a listing needs to know about a noun.
type named[T any] struct {
	table  string
	word   string // for sentences
	meta   func(*T) *model.Meta
	tenant func(*T) string // nil for nouns that belong to the platform
}

// list gives one page of the objects in scope that keep accepts; keep may be
// nil.
func (n named[T]) list(v *View, s Scope, p Page, keep func(*T) bool) (List[T], error) {
	name, id, err := p.after()
	if err != nil {
		return List[T]{}, err
	}
	var prefix []byte
	idx := idxName
	if n.tenant != nil && !s.all {
		if s.tenantID == "" {
			return List[T]{}, nil
		}
		idx, prefix = idxTenant, key(s.tenantID)
	}
	if v.ws != nil { // a lower bound cannot be watched: watch the whole range
		it, err := v.txn.Get(n.table, idx, prefix)
		must(err)
		v.ws.Add(it.WatchCh())
	}
	seek := prefix
	if p.Cursor != "" {
		seek = append(append([]byte(nil), prefix...), key(name, id)...)
		seek = append(seek, 0) // just behind that object
	}
	it, err := v.txn.LowerBound(n.table, idx, seek)
	must(err)
	var out List[T]
	limit := p.limit()
	for o := it.Next(); o != nil; o = it.Next() {
		t := o.(*T)
		if idx == idxTenant && n.tenant(t) != s.tenantID {
			break
		}
		if keep != nil && !keep(t) {
			continue
		}
		if len(out.Items) == limit {
			last := n.meta(out.Items[limit-1])
			out.Next = cursor(last.Name, last.ID)
			break
		}
		out.Items = append(out.Items, t)
	}
	return out, nil
}

// find gives the object in scope that has the id or the name ref. An id wins
// over a name. Errors: "not_found", also for another tenant's objects;
// "name_ambiguous" if several tenants have the name and the scope is wide.
func (n named[T]) find(v *View, s Scope, ref string) (*T, error) {
	if o, ok := first[T](v, n.table, idxID, key(ref)); ok && n.covers(s, o) {
		return o, nil
	}
	var found *T
	if n.tenant != nil && !s.all {
		if s.tenantID != "" {
			found, _ = firstPrefix[T](v, n.table, idxTenant, key(s.tenantID, ref))
		}
	} else {
		for o := range under[T](v, n.table, idxName, key(ref)) {
			if found != nil {
				return nil, model.Errorf(model.KindConflict, "name_ambiguous",
					"more than one tenant has %s %s named %q; name the tenant or use the id", article(n.word), n.word, ref)
			}
			found = o
		}
	}
	if found == nil {
		return nil, notFound(n.word, ref)
	}
	return found, nil
}

func (n named[T]) covers(s Scope, o *T) bool { return n.tenant == nil || s.Covers(n.tenant(o)) }

func article(word string) string {
	if strings.ContainsRune("aeiou", rune(word[0])) {
		return "an"
	}
	return "a"
}

func notFound(word, ref string) *model.Error {
	return model.Errorf(model.KindNotFound, "not_found", "there is no %s %q here", word, ref)
}
