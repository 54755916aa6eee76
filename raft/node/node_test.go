package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/fsm"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
	"github.com/skerryhq/skerry/raft/state"
)

func volume(name string) *command.PutVolume {
	return &command.PutVolume{Head: by("ada"), Volume: model.Volume{Meta: model.Meta{ID: "id-" + name, Name: name}, TenantID: tenantID, NodeID: nodeID, Spec: model.VolumeSpec{Driver: "local"}}}
}

func TestProposeIsAppliedHere(t *testing.T) {
	n := openInit(t, t.TempDir())
	r := propose(t, n, volume("data"))
	v := n.View()
	got, ok := v.VolumeByName(tenantID, "data")
	if !ok || got.Version != r.Index || v.Index() != r.Index || n.AppliedIndex() != r.Index {
		t.Fatalf("volume %+v (%t), view at %d, applied %d, proposal at %d", got, ok, v.Index(), n.AppliedIndex(), r.Index)
	}
	if err := n.WaitIndex(t.Context(), r.Index); err != nil {
		t.Fatal(err)
	}
}

func TestRefusalIsTheError(t *testing.T) {
	n := openInit(t, t.TempDir())
	r, err := n.Propose(t.Context(), volume("a"), &command.DeleteVolume{Head: by("ada"), ID: "nothing"}, volume("b"))
	if model.KindOf(err) != model.KindNotFound || len(r.Outcomes) != 3 || r.Outcomes[0].Err != nil || r.Outcomes[1].Err == nil || r.Outcomes[2].Err != nil {
		t.Fatalf("error %v, outcomes %+v", err, r.Outcomes)
	}
	if _, ok := n.View().VolumeByName(tenantID, "b"); !ok {
		t.Fatal("the command behind the refused one was not applied")
	}
}

func TestNothingBeforeInit(t *testing.T) {
	n := open(t, t.TempDir())
	if n.Bootstrapped() {
		t.Fatal("a new node says that it belongs to a cluster")
	}
	if _, err := n.Propose(t.Context(), volume("a")); model.CodeOf(err) != "not_initialized" {
		t.Fatalf("propose before init: %v", err)
	}
	if err := n.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := n.Bootstrap(t.Context()); model.CodeOf(err) != "already_initialized" {
		t.Fatalf("second bootstrap: %v", err)
	}
}

func TestTooLarge(t *testing.T) {
	n := openInit(t, t.TempDir())
	v := volume("a")
	v.Volume.Spec.Labels = map[string]string{"x": strings.Repeat("y", command.MaxEntry)}
	if _, err := n.Propose(t.Context(), v); model.KindOf(err) != model.KindTooLarge {
		t.Fatalf("a command of more than %d bytes: %v", command.MaxEntry, err)
	}
}

// TestRestart closes and opens again, with and without a snapshot between, and
// finds state and audit as they were.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	n, err := node.Open(node.Config{Dir: dir, ID: nodeID, Version: "1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	propose(t, n, initCommand())
	var want []byte
	for round := range 4 {
		for i := range 20 {
			propose(t, n, volume(fmt.Sprintf("data-%d-%d", round, i)))
		}
		if round%2 == 1 {
			if err := n.Snapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
			propose(t, n, volume(fmt.Sprintf("behind-%d", round)))
		}
		want = dump(t, n.View())
		audit := readAudit(t, n)
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if n, err = node.Open(node.Config{Dir: dir, ID: nodeID, Version: "1.0.0"}); err != nil {
			t.Fatal(err)
		}
		if err := n.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Logf("ready after %v", time.Since(begin))
		if got := dump(t, n.View()); !bytes.Equal(got, want) {
			t.Fatalf("round %d: state after restart differs:\n%s\nwant\n%s", round, got, want)
		}
		if got := readAudit(t, n); len(got) != len(audit) {
			t.Fatalf("round %d: %d audit records after restart, %d before", round, len(got), len(audit))
		}
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Propose(t.Context(), volume("late")); model.CodeOf(err) != "closing" {
		t.Fatalf("propose on a closed node: %v", err)
	}
}

func dump(t *testing.T, v *state.View) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := v.WriteSnapshot(&b, "test"); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func readAudit(t *testing.T, n *node.Node) []fsm.AuditRecord {
	t.Helper()
	var all []fsm.AuditRecord
	q := fsm.AuditQuery{System: true, Limit: 7}
	for {
		p, err := n.Audit().Read(q)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p.Records...)
		if p.Next == "" {
			return all
		}
		q.Cursor = p.Next
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	openInit(t, dir)
	if _, err := node.Open(node.Config{Dir: dir, ID: nodeID}); model.CodeOf(err) != "data_in_use" {
		t.Fatalf("opening a data directory twice: %v", err)
	}
}

// TestCloseAnswersEverybody closes in the middle of a storm: every Propose must
// return, and what it acknowledged must be there.
func TestCloseAnswersEverybody(t *testing.T) {
	dir := t.TempDir()
	n, err := node.Open(node.Config{Dir: dir, ID: nodeID})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	propose(t, n, initCommand())
	var mu sync.Mutex
	var acked []string
	var wg sync.WaitGroup
	half := make(chan struct{})
	var once sync.Once
	for c := range 16 {
		wg.Go(func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("v-%d-%d", c, i)
				_, err := n.Propose(context.Background(), volume(name))
				if err != nil {
					if code := model.CodeOf(err); code != "closing" && !errors.Is(err, node.ErrOutcomeUnknown) && code != "no_leader" {
						t.Errorf("propose while closing: %v", err)
					}
					return
				}
				mu.Lock()
				acked = append(acked, name)
				if len(acked) > 200 {
					once.Do(func() { close(half) })
				}
				mu.Unlock()
			}
		})
	}
	<-half
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	n = open(t, dir)
	if err := n.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	requireVolumes(t, n.View(), acked)
}

func requireVolumes(t *testing.T, v *state.View, names []string) {
	t.Helper()
	for _, name := range names {
		if _, ok := v.VolumeByName(tenantID, name); !ok {
			t.Fatalf("volume %s was acknowledged and is gone (%d were)", name, len(names))
		}
	}
}

// TestDamage damages files of a stopped node, each in its own way, and wants a
// sentence that names the file.
func TestDamage(t *testing.T) {
	good := t.TempDir()
	n, err := node.Open(node.Config{Dir: good, ID: nodeID})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	propose(t, n, initCommand())
	for i := range 50 {
		propose(t, n, volume(fmt.Sprintf("data-%d", i)))
	}
	if err := n.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	propose(t, n, volume("last"))
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	one := func(t *testing.T, dir, pattern string) string {
		t.Helper()
		m, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(m) == 0 {
			t.Fatalf("no file like %s: %v", pattern, err)
		}
		return m[len(m)-1]
	}
	const logFile, snapFile, metaFile = "raft/log.db", "raft/snapshots/*/state.bin", "raft/snapshots/*/meta.json"
	overwrite := func(at float64, with []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteAt(with, int64(float64(info.Size())*at)); err != nil {
				t.Fatal(err)
			}
		}
	}
	truncate := func(to float64) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, int64(float64(info.Size())*to)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tt := range []struct {
		name, file string
		harm       func(*testing.T, string)
	}{
		{"log cut in half", logFile, truncate(0.5)},
		{"log cut to a page", logFile, func(t *testing.T, p string) {
			if err := os.Truncate(p, 4096); err != nil {
				t.Fatal(err)
			}
		}},
		{"log begins with text", logFile, overwrite(0, bytes.Repeat([]byte("not a log "), 2000))},
		{"an entry changed", logFile, func(t *testing.T, p string) {
			b, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(p, bytes.ReplaceAll(b, []byte("data-4"), []byte("data-9")), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"the page of the last entry zeroed", logFile, func(t *testing.T, p string) {
			b, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			at := bytes.LastIndex(b, []byte("id-last")) &^ 4095
			copy(b[at:], make([]byte, 4096))
			if err := os.WriteFile(p, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"the last entry torn", logFile, func(t *testing.T, p string) {
			b, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			copy(b[bytes.LastIndex(b, []byte("id-last"))-40:], bytes.Repeat([]byte{0xff}, 80))
			if err := os.WriteFile(p, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"both heads of the log gone", logFile, overwrite(0, make([]byte, 8192))},
		{"the term forgotten", logFile, func(t *testing.T, p string) {
			db, err := raftboltdb.NewBoltStore(p)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(db.SetUint64([]byte("CurrentTerm"), 0), db.Close()); err != nil {
				t.Fatal(err)
			}
		}},
		{"snapshot cut", snapFile, truncate(0.7)},
		{"snapshot empty", snapFile, truncate(0)},
		{"snapshot changed", snapFile, overwrite(0.5, []byte("\x00\x00\x00"))},
		{"snapshot gone", snapFile, func(t *testing.T, p string) {
			if err := os.Remove(p); err != nil {
				t.Fatal(err)
			}
		}},
		{"snapshot meta changed", metaFile, overwrite(0, []byte("!!!!"))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(good)); err != nil {
				t.Fatal(err)
			}
			path := one(t, dir, tt.file)
			tt.harm(t, path)
			n, err := node.Open(node.Config{Dir: dir, ID: nodeID})
			if err == nil {
				_ = n.Close()
				t.Fatal("a damaged data directory was opened")
			}
			if model.CodeOf(err) != "data_damaged" || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "skerry backup restore") || !strings.Contains(err.Error(), "skerry join --rejoin HOST:7443") {
				t.Fatalf("the sentence does not name %s or what to do: %v", path, err)
			}
		})
	}
}
