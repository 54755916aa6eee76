// Package fsm joins hashicorp/raft to raft/state: it decodes log entries,
// applies them, appends them to the audit and makes snapshots.
//
// It is deterministic and has no effect but on the state and the audit files.
// An entry that it cannot apply (an unknown command, damage) ends the node
// before anything changes, because passing over it would let the replicas
// differ. raft calls it from one goroutine; Store, Audit and the index may be
// read by anybody.
package fsm

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// Config is what an FSM needs.
type Config struct {
	Version string      // of this binary, for sentences
	Audit   *Audit      // nil keeps no audit (tests)
	Fatal   func(error) // called once with the reason why this node cannot go on; must not be nil
}

// FSM implements raft.BatchingFSM.
type FSM struct {
	cfg   Config
	store *state.Store

	broken   error         // why nothing is applied any more; used by raft's goroutine only
	stop     chan struct{} // closed by Close
	stopOnce sync.Once

	mu      sync.Mutex
	carried map[*byte][]command.Command // guarded by mu; see Carry
	applied uint64                      // guarded by mu; index of the last entry applied
	waiting map[*waiter]struct{}        // guarded by mu
}

// waiter waits for an index.
type waiter struct {
	index uint64
	done  chan struct{}
}

// Result is what raft hands back for one entry: an outcome for each command,
// or why the entry was not applied.
type Result struct {
	Outcomes []command.Outcome
	Err      error
}

var (
	_ raft.BatchingFSM = (*FSM)(nil)
	// ErrStopped is the result of entries that reach an FSM that cannot go on.
	ErrStopped = errors.New("this node has stopped applying")
)

// New makes an FSM over an empty state.
func New(cfg Config) *FSM {
	return &FSM{cfg: cfg, store: state.New(), stop: make(chan struct{}),
		carried: map[*byte][]command.Command{}, waiting: map[*waiter]struct{}{}}
}

// Store is the state.
func (f *FSM) Store() *state.Store { return f.store }

// Close lets an FSM that stopped at an entry give way to raft's shutdown.
func (f *FSM) Close() { f.stopOnce.Do(func() { close(f.stop) }) }

// Carry hands over the commands of an entry that this node encoded and is about
// to propose, so that it need not decode its own bytes again. cmds must be what
// decoding entry gives (command.Copy) and belong to the FSM from now on. The
// entry is known by its place in memory: an entry with the same bytes that comes
// from the disk or another node is another one, and is decoded. Whoever carries
// calls Drop when the entry's fate is known.
func (f *FSM) Carry(entry []byte, cmds []command.Command) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.carried[&entry[0]] = cmds
}

// Drop forgets what was carried for an entry, if it was not applied.
func (f *FSM) Drop(entry []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.carried, &entry[0])
}

// commands gives the commands of an entry.
func (f *FSM) commands(entry []byte) ([]command.Command, error) {
	if len(entry) > 0 {
		f.mu.Lock()
		cmds, ok := f.carried[&entry[0]]
		delete(f.carried, &entry[0])
		f.mu.Unlock()
		if ok {
			return cmds, nil
		}
	}
	return command.DecodeEntry(entry)
}

// Apply applies one entry.
func (f *FSM) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch applies entries in one transaction of the state.
func (f *FSM) ApplyBatch(logs []*raft.Log) []any {
	out := make([]any, len(logs))
	if f.broken != nil {
		return f.refuse(out)
	}
	entries := make([]state.Entry, 0, len(logs))
	at := make([]int, 0, len(logs)) // position in logs of each entry
	for i, l := range logs {
		if l.Type != raft.LogCommand {
			continue
		}
		cmds, err := f.commands(l.Data)
		if err != nil {
			return f.fail(out, l.Index, err)
		}
		entries = append(entries, state.Entry{Index: l.Index, Commands: cmds})
		at = append(at, i)
	}
	if len(entries) == 0 {
		return out
	}
	outcomes := f.store.Apply(entries)
	for i, o := range outcomes {
		out[at[i]] = Result{Outcomes: o}
	}
	if f.cfg.Audit != nil {
		if err := f.cfg.Audit.append(entries, outcomes); err != nil {
			return f.fail(out, entries[0].Index, fmt.Errorf("write the audit: %w", err))
		}
	}
	f.advance(entries[len(entries)-1].Index)
	return out
}

// fail ends the node: nothing after the entry may be applied. It returns only
// when the node closes.
func (f *FSM) fail(out []any, index uint64, err error) []any {
	if u, ok := errors.AsType[*command.UnknownError](err); ok {
		err = &model.Error{Kind: model.KindUnavailable, Code: "version_too_old", Detail: fmt.Sprintf("this is version %s, and %s", f.cfg.Version, u), Err: err}
	}
	f.broken = fmt.Errorf("raft entry %d: %w", index, err)
	f.cfg.Fatal(f.broken)
	<-f.stop
	return f.refuse(out)
}

// refuse answers entries that come after the one that ended the node.
func (f *FSM) refuse(out []any) []any {
	for i := range out {
		out[i] = Result{Err: fmt.Errorf("%w: %w", ErrStopped, f.broken)}
	}
	return out
}

// Applied is the index of the last entry applied here.
func (f *FSM) Applied() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.applied
}

// advance publishes an index and wakes who waits for it.
func (f *FSM) advance(index uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.applied = index
	for w := range f.waiting {
		if w.index <= index {
			close(w.done)
			delete(f.waiting, w)
		}
	}
}

// Await gives a channel that is closed once index is applied here, and a
// function that must be called when it is no longer wanted.
func (f *FSM) Await(index uint64) (done <-chan struct{}, forget func()) {
	w := &waiter{index: index, done: make(chan struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.applied >= index {
		close(w.done)
		return w.done, func() {}
	}
	f.waiting[w] = struct{}{}
	return w.done, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.waiting, w)
	}
}

// Snapshot captures the state; the capture costs next to nothing, writing it
// happens beside further entries.
func (f *FSM) Snapshot() (raft.FSMSnapshot, error) {
	if f.broken != nil {
		return nil, fmt.Errorf("%w: %w", ErrStopped, f.broken)
	}
	return &snapshot{view: f.store.View(), version: f.cfg.Version, audit: f.cfg.Audit}, nil
}

// Restore replaces the state by a snapshot's.
func (f *FSM) Restore(r io.ReadCloser) error {
	if err := f.store.Restore(r); err != nil {
		return err
	}
	f.advance(f.store.View().Index())
	return nil
}

// snapshot is one captured state.
type snapshot struct {
	view    *state.View
	version string
	audit   *Audit
}

// Persist writes the snapshot. The audit goes to disk first: once the snapshot
// is there, raft may drop the entries that the audit could be made from.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	write := func() error {
		if s.audit != nil {
			if err := s.audit.Sync(); err != nil {
				return fmt.Errorf("sync the audit: %w", err)
			}
		}
		return s.view.WriteSnapshot(sink, s.version)
	}
	if err := write(); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// Release has nothing to release: a view needs no closing.
func (s *snapshot) Release() {}
