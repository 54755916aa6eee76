package state

import (
	"context"

	"github.com/hashicorp/go-memdb"
)

// Watch calls read on a fresh view and each with its result, then again after
// anything that read looked at has changed or a Restore replaced the state. It
// returns when ctx ends (its cause), or with the first error of read or each.
//
// Nothing is missed between two turns, but turns also come for changes nearby:
// each compares, it never counts. read must not keep the view.
func Watch[T any](ctx context.Context, s *Store, read func(*View) (T, error), each func(context.Context, T) error) error {
	for {
		g := s.cur.Load()
		v := &View{txn: g.db.Txn(false), ws: memdb.NewWatchSet(), gone: g.abandoned}
		v.ws.Add(g.abandoned)
		val, err := read(v)
		if err != nil {
			return err
		}
		if err := each(ctx, val); err != nil {
			return err
		}
		if err := v.ws.WatchCtx(ctx); err != nil {
			return context.Cause(ctx)
		}
	}
}

// Changed gives a channel that is closed once anything that read looked at has
// changed since, and read's result; for loops that wait for more than the
// state. The channel is closed when ctx ends, too.
func Changed[T any](ctx context.Context, s *Store, read func(*View) (T, error)) (T, <-chan struct{}, error) {
	g := s.cur.Load()
	v := &View{txn: g.db.Txn(false), ws: memdb.NewWatchSet(), gone: g.abandoned}
	v.ws.Add(g.abandoned)
	val, err := read(v)
	if err != nil {
		return val, nil, err
	}
	ch := make(chan struct{})
	go func() {
		defer close(ch)
		_ = v.ws.WatchCtx(ctx)
	}()
	return val, ch, nil
}

// Mark remembers what a read looked at, to tell later whether it has changed. The
// zero Mark is stale.
type Mark struct{ ws memdb.WatchSet }

// Stale says whether anything has changed that the read looked at, or near it.
func (m Mark) Stale() bool {
	for ch := range m.ws {
		select {
		case <-ch:
			return true
		default:
		}
	}
	return m.ws == nil
}

// Marked reads from a view and marks what was read: a loop that keeps many
// small results asks each mark, and reads again only what is stale.
func Marked[T any](v *View, read func(*View) T) (T, Mark) {
	w := &View{txn: v.txn, ws: memdb.NewWatchSet(), gone: v.gone}
	if v.gone != nil {
		w.ws.Add(v.gone)
	}
	val := read(w)
	return val, Mark{w.ws}
}
