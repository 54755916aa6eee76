package nodeview

import (
	"context"

	"github.com/skerryhq/skerry/raft/state"
)

// Source is where a node's view comes from: the local replica (Local) or another
// node (Remote). Views are read only. All methods are safe for concurrent use.
type Source interface {
	// Now is the newest view.
	Now() View
	// Watch calls each with the newest view and again whenever it has changed,
	// one call after the other, until ctx ends or each fails. Views in between may
	// be left out.
	Watch(ctx context.Context, each func(ctx context.Context, v View) error) error
	// Changed gives the newest view and a channel that is closed once there is a
	// newer one, or ctx has ended.
	Changed(ctx context.Context) (View, <-chan struct{}, error)
}

// Local computes the views of a node from the replica on this host.
func Local(store *state.Store, nodeID string) Source { return local{store, nodeID} }

type local struct {
	store  *state.Store
	nodeID string
}

func (l local) read(v *state.View) (View, error) { return Of(v, l.nodeID), nil }

func (l local) Now() View { return Of(l.store.View(), l.nodeID) }

func (l local) Watch(ctx context.Context, each func(context.Context, View) error) error {
	return state.Watch(ctx, l.store, l.read, each)
}

func (l local) Changed(ctx context.Context) (View, <-chan struct{}, error) {
	return state.Changed(ctx, l.store, l.read)
}
