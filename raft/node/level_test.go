package node_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
)

// TestNewerData appends an entry of a newer version to a stopped node's log: the
// node must refuse to start and name that version.
func TestNewerData(t *testing.T) {
	dir := t.TempDir()
	n, err := node.Open(node.Config{Dir: dir, ID: nodeID, Version: "1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	propose(t, n, initCommand())
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	appendEntry(t, dir, command.EncodeEntry("9.9.9", [][]byte{append([]byte{1}, binary.BigEndian.AppendUint16(nil, 60000)...)}))
	_, err = node.Open(node.Config{Dir: dir, ID: nodeID, Version: "1.0.0"})
	if model.CodeOf(err) != "version_too_old" || !strings.Contains(err.Error(), "9.9.9") || !strings.Contains(err.Error(), "60000") {
		t.Fatalf("opening a newer log: %v", err)
	}
}

// TestHigherLevel refuses to raise the cluster to a level that this binary does
// not know, and to open the data of a cluster that was raised.
func TestHigherLevel(t *testing.T) {
	dir := t.TempDir()
	n, err := node.Open(node.Config{Dir: dir, ID: nodeID, Version: "1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	propose(t, n, initCommand())
	raise := &command.RaiseLevel{Head: by("local"), Level: command.Level + 1}
	if _, err := n.Propose(t.Context(), raise); model.CodeOf(err) != "version_too_old" {
		t.Fatalf("proposing a level that this binary does not know: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	envelope, err := command.Encode(raise)
	if err != nil {
		t.Fatal(err)
	}
	appendEntry(t, dir, command.EncodeEntry("9.9.9", [][]byte{envelope}))
	_, err = node.Open(node.Config{Dir: dir, ID: nodeID, Version: "1.0.0"})
	if model.CodeOf(err) != "version_too_old" || !strings.Contains(err.Error(), "feature level 2") || !strings.Contains(err.Error(), "9.9.9") {
		t.Fatalf("opening data of a newer feature level: %v", err)
	}
}

func appendEntry(t *testing.T, dir string, data []byte) {
	t.Helper()
	db, err := raftboltdb.NewBoltStore(dir + "/raft/log.db")
	if err != nil {
		t.Fatal(err)
	}
	last, err := db.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	var l raft.Log
	if err := db.GetLog(last, &l); err != nil {
		t.Fatal(err)
	}
	if err := db.StoreLog(&raft.Log{Index: last + 1, Term: l.Term, Type: raft.LogCommand, Data: data}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
