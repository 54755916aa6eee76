// Package state is what the cluster knows: an in-memory, copy-on-write store of
// the nouns in raft/model, changed only by applying commands.
//
// It owns the tables, every rule that must hold across objects (unique names,
// ports and addresses, what may be deleted), the table of events and the form
// of snapshots. It never reads a clock, makes an id, starts or wakes anything,
// or logs: applying the same commands in the same order gives the same state on
// every node. raft/fsm applies and snapshots; everybody else reads Views.
//
// Store is safe for concurrent use: one goroutine applies, any number read. A
// View never changes; the objects it hands out are shared and must not be
// changed either.
package state

import (
	"fmt"
	"sync/atomic"

	"github.com/hashicorp/go-memdb"

	"github.com/skerryhq/skerry/raft/command"
)

// Store holds the state and lets it be watched.
type Store struct {
	cur    atomic.Pointer[generation]
	events atomic.Pointer[chan struct{}] // closed and replaced by every commit that adds events
	level  atomic.Uint64                 // View.FeatureLevel of the newest commit
}

// generation is one life of the database; Restore begins a new one.
type generation struct {
	db        *memdb.MemDB
	abandoned chan struct{} // closed when a Restore replaced this generation
}

// New makes an empty store.
func New() *Store {
	s := &Store{}
	s.cur.Store(newGeneration())
	ch := make(chan struct{})
	s.events.Store(&ch)
	return s
}

func newGeneration() *generation {
	db, err := memdb.NewMemDB(schema())
	if err != nil {
		panic(fmt.Sprintf("state: schema: %v", err)) // a fault in this file, found by every test
	}
	return &generation{db: db, abandoned: make(chan struct{})}
}

// View takes a consistent snapshot, which costs next to nothing.
func (s *Store) View() *View {
	g := s.cur.Load()
	return &View{txn: g.db.Txn(false), gone: g.abandoned}
}

// FeatureLevel is View().FeatureLevel() for every proposal to ask, without a view.
func (s *Store) FeatureLevel() uint64 { return s.level.Load() }

// EventSignal gives a channel that is closed at the next commit that adds
// events, or at a Restore. Take it before reading, so that nothing is missed:
//
//	for {
//		more := s.EventSignal()
//		for _, e := range s.View().EventsSince(scope, seq, 0) { send(e); seq = e.Seq }
//		select { case <-more: case <-ctx.Done(): return }
//	}
func (s *Store) EventSignal() <-chan struct{} { return *s.events.Load() }

func (s *Store) signalEvents() {
	ch := make(chan struct{})
	close(*s.events.Swap(&ch))
}

// Entry is one log entry, decoded.
type Entry struct {
	Index    uint64 // raft index
	Commands []command.Command
}

// Apply applies entries in order and gives the outcome of every command. All of
// them become visible at once. A refused command changes nothing. Only one
// goroutine may call Apply, and never at the same time as Restore.
func (s *Store) Apply(entries []Entry) [][]command.Outcome {
	g := s.cur.Load()
	t := &tx{txn: g.db.Txn(true)}
	t.w.base = g.db.Txn(false)
	defer t.txn.Abort() // no effect after Commit; leaves no lock behind if a fault of ours panics
	out := make([][]command.Outcome, len(entries))
	for i, e := range entries {
		t.begin(e.Index)
		out[i] = make([]command.Outcome, len(e.Commands))
		for j, c := range e.Commands {
			out[i][j] = t.apply(c)
		}
		t.end()
	}
	t.w.settle(t.txn)
	level := t.v.FeatureLevel()
	t.txn.Commit()
	s.level.Store(level)
	if t.newEvents {
		s.signalEvents()
	}
	return out
}
