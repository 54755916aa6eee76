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
		v := &View{txn: g.db.Txn(false), ws: memdb.NewWatchSet()}
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
	v := &View{txn: g.db.Txn(false), ws: memdb.NewWatchSet()}
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
