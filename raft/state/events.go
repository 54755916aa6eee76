package state

import "github.com/skerryhq/skerry/raft/model"

// MaxEvents is how many events are kept at least; older ones go by the chunk.
const MaxEvents = 10_000

const (
	// eventsPerIndex is the room that Event.Seq leaves for one raft index.
	eventsPerIndex = 1024
	// chunkEvents bounds the events of one chunk, but for those of one index.
	chunkEvents = 256
)

// event adds an event. Beyond the room of one index further ones are dropped.
func (t *tx) event(e model.Event) {
	if len(t.fresh) >= eventsPerIndex {
		return
	}
	e.Seq = t.index*eventsPerIndex + uint64(len(t.fresh))
	e.Time = t.now
	t.fresh = append(t.fresh, &e)
}

// keepEvents puts the events of the present index into the table and drops the
// oldest chunks beyond MaxEvents.
func (t *tx) keepEvents() {
	if len(t.fresh) == 0 {
		return
	}
	t.newEvents = true
	t.meta.Events += len(t.fresh)
	last, ok := t.lastChunk()
	if !ok || len(last.Events) >= chunkEvents {
		last = &eventChunk{First: t.fresh[0].Seq}
	}
	// Views that hold the old chunk see only its own length of the array.
	n := eventChunk{First: last.First, Events: append(last.Events, t.fresh...)}
	must(t.txn.Insert(tabEvents, &n))
	for t.meta.Events > MaxEvents {
		oldest, ok := firstPrefix[eventChunk](&t.v, tabEvents, idxID, nil)
		if !ok || t.meta.Events-len(oldest.Events) < MaxEvents {
			return
		}
		must(t.txn.Delete(tabEvents, oldest))
		t.meta.Events -= len(oldest.Events)
	}
}

func (t *tx) lastChunk() (*eventChunk, bool) {
	it, err := t.txn.ReverseLowerBound(tabEvents, idxID, keyNumber(nil, 1<<64-1))
	must(err)
	c, ok := it.Next().(*eventChunk)
	return c, ok
}

// EventsSince gives the events in scope with a number above seq, the oldest
// first, at most limit (0: all that are kept). Events of the platform itself
// (no tenant) are seen by AllTenants only.
func (v *View) EventsSince(s Scope, seq uint64, limit int) []*model.Event {
	if v.ws != nil {
		it, err := v.txn.Get(tabEvents, idxID, []byte(nil))
		must(err)
		v.ws.Add(it.WatchCh())
	}
	from := keyNumber(nil, 0)
	if it, err := v.txn.ReverseLowerBound(tabEvents, idxID, keyNumber(nil, seq)); err == nil {
		if c, ok := it.Next().(*eventChunk); ok {
			from = keyNumber(nil, c.First) // the chunk that seq is in
		}
	}
	it, err := v.txn.LowerBound(tabEvents, idxID, from)
	must(err)
	var out []*model.Event
	for o := it.Next(); o != nil; o = it.Next() {
		for _, e := range o.(*eventChunk).Events {
			if e.Seq <= seq || !s.Covers(e.TenantID) {
				continue
			}
			out = append(out, e)
			if limit > 0 && len(out) == limit {
				return out
			}
		}
	}
	return out
}

// LatestEvents gives the newest events in scope that keep accepts (nil: all),
// the newest first, at most limit (0 means DefaultLimit), with numbers below
// before (0: no bound).
func (v *View) LatestEvents(s Scope, before uint64, limit int, keep func(*model.Event) bool) []*model.Event {
	if before == 0 {
		before = 1<<64 - 1
	}
	if v.ws != nil {
		it, err := v.txn.Get(tabEvents, idxID, []byte(nil))
		must(err)
		v.ws.Add(it.WatchCh())
	}
	it, err := v.txn.ReverseLowerBound(tabEvents, idxID, keyNumber(nil, before))
	must(err)
	limit = Page{Limit: limit}.limit()
	var out []*model.Event
	for o := it.Next(); o != nil; o = it.Next() {
		events := o.(*eventChunk).Events
		for i := len(events) - 1; i >= 0; i-- {
			e := events[i]
			if e.Seq >= before || !s.Covers(e.TenantID) || keep != nil && !keep(e) {
				continue
			}
			out = append(out, e)
			if len(out) == limit {
				return out
			}
		}
	}
	return out
}
