package state

import (
	"bytes"
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
	// gone is closed when a Restore replaces the state that the view is of.
	gone <-chan struct{}
	tx   *tx // nil unless this is how a transaction sees the state
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

// Page asks for a part of a listing, which is ordered by name, then id; a
// listing over all tenants by tenant first.
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

// after gives the key of the last object of the page before.
func (p Page) after() ([]byte, error) {
	k, err := base64.RawURLEncoding.DecodeString(p.Cursor)
	if err != nil || len(k) > 0 && k[len(k)-1] != 0 {
		return nil, model.Errorf(model.KindInvalid, "cursor_invalid",
			"this cursor did not come from a listing; begin again without one").At("cursor")
	}
	return k, nil
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

// key is an object's key in the order of listings.
func (n named[T]) key(o *T) []byte {
	m := n.meta(o)
	if n.tenant == nil {
		return key(m.Name, m.ID)
	}
	return key(n.tenant(o), m.Name, m.ID)
}

// index is the index of listings.
func (n named[T]) index() string {
	if n.tenant == nil {
		return idxName
	}
	return idxTenant
}

// list gives one page of the objects in scope that keep accepts; keep may be
// nil.
func (n named[T]) list(v *View, s Scope, p Page, keep func(*T) bool) (List[T], error) {
	after, err := p.after()
	if err != nil {
		return List[T]{}, err
	}
	var prefix []byte
	if n.tenant != nil && !s.all {
		if s.tenantID == "" {
			return List[T]{}, nil
		}
		prefix = key(s.tenantID)
	}
	var out List[T]
	limit := p.limit()
	for t := range n.from(v, prefix, after) {
		if prefix != nil && n.tenant(t) != s.tenantID {
			break
		}
		if keep != nil && !keep(t) {
			continue
		}
		if len(out.Items) == limit {
			out.Next = base64.RawURLEncoding.EncodeToString(n.key(out.Items[limit-1]))
			break
		}
		out.Items = append(out.Items, t)
	}
	return out, nil
}

// from walks the objects under a prefix in the order of listings, behind after.
func (n named[T]) from(v *View, prefix, after []byte) iter.Seq[*T] {
	if all, ok := any(v.walk(prefix, after)).(iter.Seq[*T]); ok {
		return all
	}
	return func(yield func(*T) bool) {
		if v.ws != nil { // a lower bound cannot be watched: watch the whole range
			it, err := v.txn.Get(n.table, n.index(), prefix)
			must(err)
			v.ws.Add(it.WatchCh())
		}
		seek := prefix
		if bytes.HasPrefix(after, prefix) && len(after) > 0 {
			seek = append(after, 0) // just behind that object
		}
		it, err := v.txn.LowerBound(n.table, n.index(), seek)
		must(err)
		for o := it.Next(); o != nil; o = it.Next() {
			if !yield(o.(*T)) {
				return
			}
		}
	}
}

// called finds the object that has a name.
func (n named[T]) called(v *View, tenantID, name string) (*T, bool) {
	if n.table == tabContainers {
		c, ok := v.ContainerByName(tenantID, name)
		o, _ := any(c).(*T)
		return o, ok
	}
	if n.tenant == nil {
		return firstPrefix[T](v, n.table, idxName, key(name))
	}
	return firstPrefix[T](v, n.table, idxTenant, key(tenantID, name))
}

// find gives the object in scope that has the id or the name ref. An id wins
// over a name. Errors: "not_found", also for another tenant's objects;
// "name_ambiguous" if several tenants have the name and the scope is wide.
func (n named[T]) find(v *View, s Scope, ref string) (*T, error) {
	if o, ok := first[T](v, n.table, idxID, key(ref)); ok && n.covers(s, o) {
		return o, nil
	}
	var found *T
	switch {
	case n.tenant == nil:
		found, _ = n.called(v, "", ref)
	case !s.all:
		if s.tenantID != "" {
			found, _ = n.called(v, s.tenantID, ref)
		}
	default:
		for t := range v.Tenants() {
			o, ok := n.called(v, t.ID, ref)
			if ok && found != nil {
				return nil, model.Errorf(model.KindConflict, "name_ambiguous",
					"more than one tenant has %s %s named %q; name the tenant or use the id", article(n.word), n.word, ref)
			}
			if ok {
				found = o
			}
		}
	}
	if found == nil {
		return nil, notFound(n.word, ref)
	}
	return found, nil
}

func (n named[T]) covers(s Scope, o *T) bool { return n.tenant == nil || s.Covers(n.tenant(o)) }

func article(word string) string {
	if word != "user" && strings.ContainsRune("aeiou", rune(word[0])) { // "user" begins with the sound of a y
		return "an"
	}
	return "a"
}

func notFound(word, ref string) *model.Error {
	return model.Errorf(model.KindNotFound, "not_found", "there is no %s %q here", word, ref)
}
