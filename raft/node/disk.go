package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/skerryhq/skerry/raft/fsm"
	"github.com/skerryhq/skerry/raft/model"
)

// What lies in <Dir>/raft.
const (
	dirRaft       = "raft"
	dirAudit      = "audit"
	fileLog       = "log.db"
	dirSnapshots  = "snapshots"
	keptSnapshots = 2
)

// openStores opens and verifies the files of a data directory.
func openStores(cfg Config) (Stores, error) {
	dir := filepath.Join(cfg.Dir, dirRaft)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Stores{}, fmt.Errorf("make the raft directory: %w", err)
	}
	path := filepath.Join(dir, fileLog)
	db, err := openLog(path)
	if err != nil {
		return Stores{}, err
	}
	fail := func(err error) (Stores, error) { return Stores{}, errors.Join(err, db.Close()) }
	snaps, err := raft.NewFileSnapshotStoreWithLogger(dir, keptSnapshots, newLogger(cfg.Log.With("component", "raft")))
	if err != nil {
		return fail(fmt.Errorf("open snapshots in %s: %w", dir, err))
	}
	first, err := verifyLog(db, db, path, cfg.Version)
	if err != nil {
		return fail(err)
	}
	if err := verifySnapshots(snaps, filepath.Join(dir, dirSnapshots), path, first); err != nil {
		return fail(err)
	}
	audit, err := fsm.OpenAudit(filepath.Join(cfg.Dir, dirAudit), cfg.Audit)
	if err != nil {
		return fail(err)
	}
	trans, closeTrans := newTransport(cfg)
	return Stores{Log: db, Stable: db, Snapshots: snaps, Transport: trans, Audit: audit,
		Close: func() error { return errors.Join(closeTrans(), audit.Close(), db.Close()) }}, nil
}

// openLog opens the log file, waiting a moment for a predecessor to let go.
func openLog(path string) (*raftboltdb.BoltStore, error) {
	err := verifyFile(path)
	var db *raftboltdb.BoltStore
	if err == nil {
		err = guard(func() (err error) {
			db, err = raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: &bbolt.Options{
				Timeout:        lockTimeout,
				NoFreelistSync: true, // it is found again by reading the pages; writing it would cost every commit
				FreelistType:   bbolt.FreelistMapType,
			}})
			return err
		})
	}
	switch {
	case err == nil:
		return db, nil
	case errors.Is(err, bbolterrors.ErrTimeout):
		return nil, &model.Error{Kind: model.KindConflict, Code: "data_in_use",
			Detail: fmt.Sprintf("another process has %s open; end that one first", path), Err: err}
	case model.CodeOf(err) != "":
		return nil, err
	default:
		return nil, damaged(path, err)
	}
}

// damaged is the sentence for a file that cannot be read.
func damaged(path string, cause error) error {
	return &model.Error{Kind: model.KindUnavailable, Code: "data_damaged",
		Detail: fmt.Sprintf("%s is damaged; if other members are alive, `skerry join --rejoin HOST:7443` fetches everything from one of them and keeps what is here aside; otherwise restore a backup with `skerry backup restore`", path),
		Err:    cause}
}
