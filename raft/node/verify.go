package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// guard runs f and turns what a damaged, memory-mapped file can do to a reader
// (wild pages, addresses beyond its end) into an error.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	return f()
}

// verifyFile reads every page of the log file that is in use, without changing
// anything. Opening a damaged file for writing could end the process.
func verifyFile(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil // a node that was never started, or ended while its file was made
	}
	if err != nil {
		return fmt.Errorf("look at the log: %w", err)
	}
	err = guard(func() error {
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: lockTimeout})
		if err != nil {
			return err
		}
		return errors.Join(db.View(readAll), db.Close())
	})
	if err == nil || errors.Is(err, bbolterrors.ErrTimeout) {
		return err
	}
	return damaged(path, err)
}

// readAll walks every bucket to the last byte.
func readAll(tx *bbolt.Tx) error {
	var sum byte
	err := tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
		return b.ForEach(func(k, v []byte) error {
			for i := 0; i < len(k); i += 512 {
				sum ^= k[i]
			}
			for i := 0; i < len(v); i += 512 {
				sum ^= v[i]
			}
			return nil
		})
	})
	_ = sum
	return err
}

// keyTerm is where raft keeps its term.
var keyTerm = []byte("CurrentTerm")

// verifyLog reads every entry: none may be missing, their terms must rise, and
// this binary must know every command. path names the file in sentences.
func verifyLog(logs raft.LogStore, stable raft.StableStore, path, version string) (first uint64, err error) {
	err = guard(func() error {
		var last, term uint64
		newest, err := stable.GetUint64(keyTerm)
		if err != nil && !errors.Is(err, raftboltdb.ErrKeyNotFound) {
			return fmt.Errorf("the term: %w", err)
		}
		if first, err = logs.FirstIndex(); err != nil {
			return err
		}
		if last, err = logs.LastIndex(); err != nil {
			return err
		}
		for i := first; i <= last && last > 0; i++ {
			var l raft.Log
			if err := logs.GetLog(i, &l); err != nil {
				return fmt.Errorf("entry %d: %w", i, err)
			}
			if l.Index != i {
				return fmt.Errorf("entry %d says that it is %d", i, l.Index)
			}
			if l.Term < term || l.Term > newest {
				return fmt.Errorf("entry %d of term %d lies behind term %d, and the newest term is %d", i, l.Term, term, newest)
			}
			term = l.Term
			switch l.Type {
			case raft.LogCommand:
			case raft.LogConfiguration:
				if c := raft.DecodeConfiguration(l.Data); len(c.Servers) == 0 { // it panics if it cannot, which guard catches
					return fmt.Errorf("entry %d is a list of no members", i)
				}
				continue
			case raft.LogNoop, raft.LogBarrier:
				continue
			default:
				return fmt.Errorf("entry %d is of the unknown kind %d", i, l.Type)
			}
			if err := command.CheckEntry(l.Data); err != nil {
				return fmt.Errorf("entry %d: %w", i, err)
			}
		}
		return nil
	})
	if err == nil {
		return first, nil
	}
	if u, ok := errors.AsType[*command.UnknownError](err); ok {
		return 0, &model.Error{Kind: model.KindUnavailable, Code: "version_too_old",
			Detail: fmt.Sprintf("this is version %s, and %s", version, u), Err: err}
	}
	return 0, damaged(path, err)
}

// verifySnapshots reads the newest snapshot to its end (the store compares its
// checksum), refuses one of a newer feature level, and finds a gap between it
// and the first entry of the log.
func verifySnapshots(snaps raft.SnapshotStore, dir, logPath string, firstEntry uint64) error {
	list, err := snaps.List()
	if err != nil {
		return fmt.Errorf("list snapshots in %s: %w", dir, err)
	}
	var newest uint64
	if len(list) > 0 {
		newest = list[0].Index
	}
	if err := unreadable(dir, newest); err != nil {
		return err
	}
	if firstEntry > newest+1 {
		return damaged(logPath, fmt.Errorf("the log begins at entry %d, the newest snapshot ends at %d", firstEntry, newest))
	}
	if len(list) == 0 {
		return nil
	}
	path := filepath.Join(dir, list[0].ID, "state.bin")
	_, r, err := snaps.Open(list[0].ID)
	if err != nil {
		return damaged(path, err)
	}
	_, _, err = state.SnapshotLevel(r)
	err = errors.Join(err, r.Close())
	if model.CodeOf(err) == "version_too_old" {
		return err
	}
	if err != nil {
		return damaged(path, err)
	}
	return nil
}

// unreadable finds a snapshot that is newer than the newest readable one; raft
// would pass over it in silence and begin with an older state.
func unreadable(dir string, newest uint64) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list snapshots in %s: %w", dir, err)
	}
	for _, e := range entries {
		var term, index, ms uint64
		if n, _ := fmt.Sscanf(e.Name(), "%d-%d-%d", &term, &index, &ms); !e.IsDir() || strings.HasSuffix(e.Name(), ".tmp") || n != 3 || index <= newest {
			continue
		}
		path := filepath.Join(dir, e.Name(), "meta.json")
		b, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(b, new(raft.SnapshotMeta))
		}
		if err == nil {
			err = errors.New("raft cannot read it")
		}
		return damaged(path, err)
	}
	return nil
}

// lockTimeout is how long a predecessor may take to let go of the log.
const lockTimeout = 2 * time.Second
