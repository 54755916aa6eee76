package node

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skerryhq/skerry/raft/fsm"
	"github.com/skerryhq/skerry/raft/model"
)

// gauge tells for how long something has been going on.
type gauge struct{ since atomic.Pointer[time.Time] }

// begin marks the beginning; the function that it gives marks the end.
func (g *gauge) begin() func() {
	now := time.Now()
	g.since.Store(&now)
	return func() { g.since.Store(nil) }
}

// lasts is how long it has been going on; 0 if it is not.
func (g *gauge) lasts() time.Duration {
	if t := g.since.Load(); t != nil {
		return time.Since(*t)
	}
	return 0
}

// logStore is raft's log with a watch on it: how long a write takes, whether one
// failed, and which entries are commands. It lies below raft's cache.
type logStore struct {
	raft.LogStore
	writing gauge
	failed  func(error) // called for every write that failed

	mu    sync.Mutex
	other map[uint64]struct{} // guarded by mu; newest entries that are no commands
}

// watchLog reads the end of the log, back to its last command.
func watchLog(inner raft.LogStore, failed func(error)) (*logStore, error) {
	s := &logStore{LogStore: inner, failed: failed, other: map[uint64]struct{}{}}
	first, err := inner.FirstIndex()
	if err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	last, err := inner.LastIndex()
	if err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	for i := last; i >= first && i > 0; i-- {
		var l raft.Log
		if err := inner.GetLog(i, &l); err != nil {
			return nil, fmt.Errorf("read entry %d of the log: %w", i, err)
		}
		if l.Type == raft.LogCommand {
			break
		}
		s.other[i] = struct{}{}
	}
	return s, nil
}

// keptOther bounds how many entries that are no commands are remembered.
const keptOther = 4096

// StoreLog writes one entry.
func (s *logStore) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs writes entries.
func (s *logStore) StoreLogs(logs []*raft.Log) error {
	end := s.writing.begin()
	err := s.LogStore.StoreLogs(logs)
	end()
	if err != nil {
		s.failed(err)
		return err
	}
	for _, l := range logs {
		if l.Type != raft.LogCommand {
			s.note(l.Index)
		}
	}
	return nil
}

func (s *logStore) note(index uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.other[index] = struct{}{}
	if len(s.other) < 2*keptOther {
		return
	}
	for i := range s.other { // the order does not matter
		if i+keptOther < index {
			delete(s.other, i)
		}
	}
}

// DeleteRange deletes entries: the oldest after a snapshot, or the newest that
// another leader does not have.
func (s *logStore) DeleteRange(from, to uint64) error {
	end := s.writing.begin()
	err := s.LogStore.DeleteRange(from, to)
	end()
	if err != nil {
		s.failed(err)
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.other {
		if i >= from && i <= to {
			delete(s.other, i)
		}
	}
	return nil
}

// command gives the newest entry up to index that is a command, as far as is
// remembered.
func (s *logStore) command(index uint64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ; index > 0; index-- {
		if _, ok := s.other[index]; !ok {
			return index
		}
	}
	return 0
}

// stableStore is raft's record of its term and its vote. raft ends the whole
// process, with a trace, where that cannot be written; here the node says what
// is wrong and takes no further part.
type stableStore struct {
	raft.StableStore
	failed  func(error)
	closing <-chan struct{}
}

// Set writes a value.
func (s *stableStore) Set(key, val []byte) error { return s.end(s.StableStore.Set(key, val)) }

// SetUint64 writes a number.
func (s *stableStore) SetUint64(key []byte, val uint64) error {
	return s.end(s.StableStore.SetUint64(key, val))
}

// end ends the goroutine of raft that could not write: it would go on with a
// term or a vote that is not on the disk.
func (s *stableStore) end(err error) error {
	if err == nil {
		return nil
	}
	s.failed(err)
	<-s.closing
	runtime.Goexit()
	return err
}

// brokenDisk is the sentence for a disk that does not take what must be written.
func brokenDisk(dir string, cause error) error {
	if errors.Is(cause, syscall.ENOSPC) || errors.Is(cause, syscall.EDQUOT) {
		return &model.Error{Kind: model.KindUnavailable, Code: "disk_full",
			Detail: fmt.Sprintf("the disk of %s is full, so this node cannot keep what the cluster writes; free some space and start it again, nothing is lost", dir), Err: cause}
	}
	return &model.Error{Kind: model.KindUnavailable, Code: "disk_failed",
		Detail: fmt.Sprintf("the disk of %s refuses what the cluster writes; look at the kernel's messages, mend it and start this node again", dir), Err: cause}
}

// timedFSM is the state machine with a watch on it.
type timedFSM struct {
	*fsm.FSM
	applying gauge
}

// Apply applies one entry.
func (f *timedFSM) Apply(l *raft.Log) any {
	defer f.applying.begin()()
	return f.FSM.Apply(l)
}

// ApplyBatch applies entries.
func (f *timedFSM) ApplyBatch(logs []*raft.Log) []any {
	defer f.applying.begin()()
	return f.FSM.ApplyBatch(logs)
}

// Restore replaces the state.
func (f *timedFSM) Restore(r io.ReadCloser) error { return f.FSM.Restore(r) }
