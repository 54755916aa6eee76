package fsm_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/fsm"
	"github.com/skerryhq/skerry/raft/model"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func tenantBy(actor string, i int) *command.PutTenant {
	return &command.PutTenant{Head: command.By(model.Origin{Actor: actor, TenantID: "t", Time: epoch.Add(time.Duration(i) * time.Minute)}),
		Tenant: model.Tenant{Meta: model.Meta{ID: fmt.Sprintf("id%d", i), Name: fmt.Sprintf("name%d", i)}}}
}

func log(t *testing.T, index uint64, cmds ...command.Command) *raft.Log {
	t.Helper()
	var envelopes [][]byte
	for _, c := range cmds {
		b, err := command.Encode(c)
		if err != nil {
			t.Fatal(err)
		}
		envelopes = append(envelopes, b)
	}
	return &raft.Log{Index: index, Type: raft.LogCommand, Data: command.EncodeEntry("1", envelopes)}
}

func openAudit(t *testing.T, dir string, cfg fsm.AuditConfig) *fsm.Audit {
	t.Helper()
	a, err := fsm.OpenAudit(dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newFSM(t *testing.T, a *fsm.Audit) *fsm.FSM {
	t.Helper()
	return fsm.New(fsm.Config{Version: "1", Audit: a, Fatal: func(err error) { t.Errorf("fatal: %v", err) }})
}

func readAll(t *testing.T, a *fsm.Audit, q fsm.AuditQuery) []fsm.AuditRecord {
	t.Helper()
	var all []fsm.AuditRecord
	for {
		p, err := a.Read(q)
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

func TestAuditReplayIsFree(t *testing.T) {
	dir := t.TempDir()
	cfg := fsm.AuditConfig{FileBytes: 700} // many files
	var logs []*raft.Log
	for i := range 40 {
		actor := "ada"
		if i%3 == 0 {
			actor = "system:control"
		}
		logs = append(logs, log(t, uint64(10+i), tenantBy(actor, i), tenantBy("bob", i))) // the second is refused
	}
	a := openAudit(t, dir, cfg)
	newFSM(t, a).ApplyBatch(logs[:30])
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	// A crash tears the newest line; replay begins well before it.
	paths, err := filepath.Glob(filepath.Join(dir, "people-*.jsonl"))
	if err != nil || len(paths) < 3 {
		t.Fatalf("%d files: %v", len(paths), err)
	}
	last := paths[len(paths)-1]
	info, err := os.Stat(last)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(last, info.Size()-5); err != nil {
		t.Fatal(err)
	}
	a = openAudit(t, dir, cfg)
	defer a.Close()
	f := newFSM(t, a)
	f.ApplyBatch(logs[:15])
	f.ApplyBatch(logs[15:])
	all := readAll(t, a, fsm.AuditQuery{System: true, Limit: 3})
	if len(all) != 80 {
		t.Fatalf("%d records, want 80", len(all))
	}
	for i, r := range all { // newest first: the refused one of each pair before the other
		index, pos := uint64(49-i/2), 1-i%2
		if r.Index != index || r.Pos != pos || (r.Code == "already_exists") != (pos == 1) {
			t.Fatalf("record %d is %+v, want %d-%d", i, r, index, pos)
		}
	}
}

func TestAuditFilters(t *testing.T) {
	a := openAudit(t, t.TempDir(), fsm.AuditConfig{})
	defer a.Close()
	f := newFSM(t, a)
	for i := range 10 {
		f.Apply(log(t, uint64(i+1), tenantBy([]string{"ada", "bob", "system:gc"}[i%3], i)))
	}
	f.Apply(log(t, 20, &command.AuditOnly{Head: command.By(model.Origin{Actor: "system:gate"}), Entries: []command.AuditEntry{
		{Origin: model.Origin{Actor: "eve", Time: epoch}, Action: "login.refused", Code: "password_wrong", Detail: "no"},
		{Origin: model.Origin{Actor: "ada", Time: epoch}, Action: "container.exec", Objects: []command.Ref{{Kind: "container", ID: "c1"}}}}}))
	for _, tt := range []struct {
		name string
		q    fsm.AuditQuery
		want int
	}{
		{"all people", fsm.AuditQuery{}, 9}, {"all", fsm.AuditQuery{System: true}, 12}, {"ada", fsm.AuditQuery{Actor: "ada"}, 5},
		{"action", fsm.AuditQuery{Action: "login.refused"}, 1}, {"prefix", fsm.AuditQuery{Action: "tenant."}, 7}, {"refused", fsm.AuditQuery{Refused: true}, 1},
		{"object", fsm.AuditQuery{ObjectID: "c1"}, 1}, {"object by id", fsm.AuditQuery{ObjectID: "id3"}, 1},
		{"since", fsm.AuditQuery{Since: epoch.Add(6 * time.Minute)}, 3}, {"until", fsm.AuditQuery{Until: epoch.Add(2 * time.Minute)}, 4},
		{"nobody", fsm.AuditQuery{Actor: "nobody"}, 0}, {"tenant", fsm.AuditQuery{TenantID: "t", System: true}, 10},
	} {
		if got := readAll(t, a, tt.q); len(got) != tt.want {
			t.Errorf("%s: %d records, want %d: %+v", tt.name, len(got), tt.want, got)
		}
	}
	if _, err := a.Read(fsm.AuditQuery{Cursor: "x"}); model.CodeOf(err) != "cursor_invalid" {
		t.Fatalf("a bad cursor: %v", err)
	}
}

func TestAuditRetention(t *testing.T) {
	dir := t.TempDir()
	a := openAudit(t, dir, fsm.AuditConfig{FileBytes: 1000, MaxBytes: 5000, MaxSystemBytes: 2000, MaxAge: 24 * time.Hour})
	defer a.Close()
	f := newFSM(t, a)
	f.Apply(log(t, 1, tenantBy("ada", 0)))
	for i := range 300 { // 300 minutes of machinery
		f.Apply(log(t, uint64(i+2), tenantBy("system:control", i)))
	}
	if got := readAll(t, a, fsm.AuditQuery{}); len(got) != 1 {
		t.Fatalf("the machinery pushed out what people did: %d records are left", len(got))
	}
	size := func(name string) (total int64) {
		paths, err := filepath.Glob(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range paths {
			info, err := os.Stat(p)
			if err != nil {
				t.Fatal(err)
			}
			total += info.Size()
		}
		return total
	}
	if s := size("system-*"); s > 3500 {
		t.Fatalf("%d bytes of system records are kept, about 2000 were asked for", s)
	}
	for i := range 40 { // by people, a day later: age drops the first
		f.Apply(log(t, uint64(i+400), tenantBy("bob", 24*60+i+1)))
	}
	for _, r := range readAll(t, a, fsm.AuditQuery{}) {
		if r.Origin.Actor == "ada" {
			t.Fatal("a record is kept beyond its age")
		}
	}
	if s := size("people-*"); s > 6500 {
		t.Fatalf("%d bytes of records are kept, about 5000 were asked for", s)
	}
}

// TestUnknownCommandStops feeds entries of a newer version, damage and a level
// that is not known: nothing before them in the batch is lost to the state's
// order, nothing of them or behind them is applied.
func TestUnknownCommandStops(t *testing.T) {
	good := log(t, 1, tenantBy("ada", 1))
	damaged := log(t, 2, tenantBy("ada", 2))
	damaged.Data[len(damaged.Data)-3] ^= 1
	for name, bad := range map[string]*raft.Log{
		"unknown": {Index: 2, Type: raft.LogCommand, Data: command.EncodeEntry("9.9.9", [][]byte{{1, 0xff, 0, '{', '}'}})},
		"damaged": damaged,
		"level":   log(t, 2, &command.RaiseLevel{Level: command.Level + 1}),
	} {
		t.Run(name, func(t *testing.T) {
			fatal := make(chan error, 1)
			f := fsm.New(fsm.Config{Version: "1", Fatal: func(err error) { fatal <- err }})
			f.Apply(good)
			done := make(chan []any, 1)
			go func() { done <- f.ApplyBatch([]*raft.Log{bad, log(t, 3, tenantBy("ada", 3))}) }()
			err := <-fatal
			if !strings.Contains(err.Error(), "raft entry 2") {
				t.Fatalf("the reason does not name the entry: %v", err)
			}
			if (name == "damaged") == (model.CodeOf(err) == "version_too_old") {
				t.Fatalf("the reason: %v", err)
			}
			if v := f.Store().View(); v.Index() != 1 || f.Applied() != 1 {
				t.Fatalf("state went on to %d", v.Index())
			}
			f.Close()
			for _, r := range <-done {
				if r.(fsm.Result).Err == nil {
					t.Fatal("an entry behind the stop has a good result")
				}
			}
			if r := f.Apply(log(t, 4, tenantBy("ada", 4))).(fsm.Result); r.Err == nil || f.Store().View().Index() != 1 {
				t.Fatal("an entry was applied behind the stop")
			}
			if _, err := f.Snapshot(); err == nil {
				t.Fatal("a snapshot was taken behind the stop")
			}
		})
	}
}
