package node

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skerryhq/skerry/raft/fsm"
	"github.com/skerryhq/skerry/raft/model"
)

// LastLog gives the term and the index of the newest entry that this node has
// on its disk, committed or not. Of several nodes the one with the higher term,
// then the higher index, has everything that any of them acknowledged.
func (n *Node) LastLog() (term, index uint64) {
	term, index, err := lastLog(n.logs, n.stores.Snapshots)
	if err != nil {
		n.log.Error("the end of the log cannot be read", "err", err)
	}
	return term, index
}

// LastLog is (*Node).LastLog for the data directory of a node that does not run;
// zeros if it holds no log. Errors: "data_damaged", "data_in_use".
func LastLog(dir string) (term, index uint64, err error) {
	if _, err := os.Stat(filepath.Join(dir, dirRaft, fileLog)); errors.Is(err, fs.ErrNotExist) {
		return 0, 0, nil
	}
	s, err := openStores(Config{Dir: dir, ID: "unnamed", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return 0, 0, err
	}
	term, index, err = lastLog(s.Log, s.Snapshots)
	return term, index, errors.Join(err, s.Close())
}

func lastLog(logs raft.LogStore, snaps raft.SnapshotStore) (term, index uint64, err error) {
	last, err := logs.LastIndex()
	if err != nil {
		return 0, 0, fmt.Errorf("read the log: %w", err)
	}
	list, err := snaps.List()
	if err != nil {
		return 0, 0, fmt.Errorf("list the snapshots: %w", err)
	}
	if len(list) > 0 && list[0].Index >= last {
		return list[0].Term, list[0].Index, nil
	}
	if last == 0 {
		return 0, 0, nil
	}
	var l raft.Log
	if err := logs.GetLog(last, &l); err != nil {
		return 0, 0, fmt.Errorf("read entry %d of the log: %w", last, err)
	}
	return l.Term, l.Index, nil
}

// Recover makes the node of a data directory the only voter of its cluster,
// after a quorum was lost for good. The node must not run; Open it afterwards.
// Everything that is in its log is kept, also what was not committed yet. It may
// be repeated, and a crash in between leaves what was there.
//
// The other members must never run with their old data again: propose
// RaiseGeneration first of all. Errors: "data_damaged", "data_in_use",
// "version_too_old", "not_initialized" if there is nothing to recover.
func Recover(dir, id string) error {
	if dir == "" || id == "" {
		return model.Errorf(model.KindInvalid, "config_invalid", "a recovery needs a data directory and an id")
	}
	cfg := Config{Dir: dir, ID: id, Log: slog.New(slog.DiscardHandler)}
	s, err := openStores(cfg)
	if err != nil {
		return err
	}
	return errors.Join(recoverStores(cfg, s), s.Close())
}

func recoverStores(cfg Config, s Stores) error {
	has, err := raft.HasExistingState(s.Log, s.Stable, s.Snapshots)
	if err != nil {
		return fmt.Errorf("look for a cluster in %s: %w", cfg.Dir, err)
	}
	if !has {
		return model.Errorf(model.KindConflict, "not_initialized", "%s holds nothing of a cluster; there is nothing to recover", cfg.Dir)
	}
	var broken error
	var machine *fsm.FSM
	machine = fsm.New(fsm.Config{Version: cfg.Version, Audit: s.Audit, Fatal: func(err error) {
		broken = err
		machine.Close() // so that it gives way instead of waiting for the end of the process
	}})
	n := &Node{cfg: cfg, log: cfg.Log}
	only := raft.Configuration{Servers: []raft.Server{{ID: raft.ServerID(cfg.ID), Address: raft.ServerAddress(cfg.ID)}}}
	err = raft.RecoverCluster(n.raftConfig(nil), machine, s.Log, s.Stable, s.Snapshots, s.Transport, only)
	if err = errors.Join(broken, err); err != nil {
		return fmt.Errorf("recover the log in %s: %w", cfg.Dir, err)
	}
	return nil
}

// PutAside moves what a stopped node has of raft to a directory beside it and
// gives its path, so that the node can join its cluster again with nothing.
// Nothing is deleted; the audit stays. Errors: "data_in_use", "not_found".
//
// A voter that forgot its log could help to elect a leader that lacks what the
// voter acknowledged: the others must have taken its vote (Remove) before it is
// opened again, and then add it as standby.
func PutAside(dir string) (path string, err error) {
	from := filepath.Join(dir, dirRaft)
	if _, err := os.Stat(from); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return "", model.Errorf(model.KindNotFound, "not_found", "%s holds nothing of a cluster", dir)
		}
		return "", fmt.Errorf("look at %s: %w", from, err)
	}
	free, err := lock(filepath.Join(from, fileLog))
	if err != nil {
		return "", err
	}
	defer free()
	path = from + ".aside-" + time.Now().UTC().Format("20060102T150405.000000000")
	if err := os.Rename(from, path); err != nil {
		return "", fmt.Errorf("put the log aside: %w", err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return path, fmt.Errorf("sync %s: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return path, fmt.Errorf("sync %s: %w", dir, err)
	}
	return path, nil
}

// lock takes the lock that a running node holds on its log, which may be damaged
// or missing.
func lock(path string) (free func(), err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		cause := errors.Join(err, f.Close())
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, &model.Error{Kind: model.KindConflict, Code: "data_in_use", Detail: fmt.Sprintf("another process has %s open; end that one first", path), Err: cause}
		}
		return nil, fmt.Errorf("lock the log: %w", cause)
	}
	return func() { _ = f.Close() }, nil // closing frees the lock; there is nothing to lose
}
