package state_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

var update = flag.Bool("update", false, "write golden files")

func TestListing(t *testing.T) {
	w := newWorld(t)
	want := map[string][]string{}
	for i := range 25 {
		tenant := []string{"t1", "t2"}[i%2]
		name := fmt.Sprintf("v%02d", (i*7)%25)
		w.ok(&command.PutVolume{Head: by("ada"), Volume: model.Volume{Meta: model.Meta{ID: fmt.Sprintf("id%d", i), Name: name}, TenantID: tenant}})
		want[tenant] = append(want[tenant], name)
	}
	walk := func(s state.Scope, limit int, keep func(*model.Volume) bool) []string {
		t.Helper()
		var got []string
		p := state.Page{Limit: limit}
		for {
			l, err := w.store.View().ListVolumes(s, p, keep)
			if err != nil {
				t.Fatal(err)
			}
			if len(l.Items) > limit {
				t.Fatalf("%d items on a page of %d", len(l.Items), limit)
			}
			for _, v := range l.Items {
				got = append(got, v.Name)
			}
			if l.Next == "" {
				return got
			}
			p.Cursor = l.Next
		}
	}
	for _, limit := range []int{1, 3, 13, 100} {
		one, two, all := walk(state.InTenant("t1"), limit, nil), walk(state.InTenant("t2"), limit, nil), walk(state.AllTenants(), limit, nil)
		if len(one) != 13 || len(two) != 12 || len(all) != 25 {
			t.Fatalf("limit %d: %d + %d, all %d", limit, len(one), len(two), len(all))
		}
		for i := 1; i < len(one); i++ {
			if one[i-1] >= one[i] {
				t.Fatalf("limit %d: %s before %s", limit, one[i-1], one[i])
			}
		}
	}
	if got := walk(state.Scope{}, 5, nil); len(got) != 0 {
		t.Fatalf("the empty scope sees %v", got)
	}
	if got := walk(state.AllTenants(), 2, func(v *model.Volume) bool { return strings.HasSuffix(v.Name, "1") }); len(got) != 3 {
		t.Fatalf("filtered: %v", got)
	}
	if _, err := w.store.View().ListVolumes(state.AllTenants(), state.Page{Cursor: "%"}, nil); model.CodeOf(err) != "cursor_invalid" {
		t.Fatalf("a bad cursor: %v", err)
	}
}

func TestFind(t *testing.T) {
	w := newWorld(t)
	w.ok(app("t1", "a1", "shop", nil), app("t2", "a2", "shop", nil), app("t2", "a3", "blog", nil))
	for _, tt := range []struct {
		scope     state.Scope
		ref, want string
	}{
		{state.InTenant("t1"), "shop", "a1"}, {state.InTenant("t2"), "shop", "a2"}, {state.InTenant("t1"), "a1", "a1"},
		{state.InTenant("t1"), "a2", "not_found"}, {state.InTenant("t1"), "blog", "not_found"}, {state.AllTenants(), "blog", "a3"},
		{state.AllTenants(), "shop", "name_ambiguous"}, {state.Scope{}, "a1", "not_found"}, {state.Scope{}, "shop", "not_found"},
	} {
		a, err := w.store.View().FindApp(tt.scope, tt.ref)
		got := model.CodeOf(err)
		if err == nil {
			got = a.ID
		}
		if got != tt.want {
			t.Errorf("%+v %s: %s, want %s", tt.scope, tt.ref, got, tt.want)
		}
	}
	w.ok(&command.PutImage{Head: by("bob"), Image: model.Image{Meta: model.Meta{ID: "i2", Name: "mine:1"}, TenantID: "t1"}})
	l, err := w.store.View().ListImages(state.InTenant("t2"), state.Page{}, nil)
	if err != nil || len(l.Items) != 1 || l.Items[0].ID != "i1" {
		t.Fatalf("another tenant's images: %+v %v", l, err)
	}
	if i, ok := w.store.View().ImageFor("t2", "library/welcome:1"); !ok || i.ID != "i1" {
		t.Fatal("a public image is not found")
	}
	if _, ok := w.store.View().ImageFor("t2", "mine:1"); ok {
		t.Fatal("another tenant's image is found")
	}
}

// TestViewNeverChanges holds a view through changes.
func TestViewNeverChanges(t *testing.T) {
	w := newWorld(t)
	w.ok(app("t1", "a1", "shop", map[string]model.ServiceSpec{"web": spec(1)}))
	old := w.store.View()
	dump := func(v *state.View) string {
		var b bytes.Buffer
		if err := v.WriteSnapshot(&b, "test"); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	before := dump(old)
	for i := range 20 {
		w.ok(&command.SetServiceReplicas{Head: by("ada"), ServiceID: "a1-web", ExpectVersion: command.AnyVersion, Replicas: i + 2})
	}
	if err := w.store.Restore(strings.NewReader(before)); err != nil {
		t.Fatal(err)
	}
	if dump(old) != before {
		t.Fatal("a view changed")
	}
}

func TestEvents(t *testing.T) {
	w := newWorld(t)
	more := w.store.EventSignal()
	w.ok(app("t1", "a1", "shop", map[string]model.ServiceSpec{"web": spec(1)}), app("t2", "a2", "blog", nil))
	select {
	case <-more:
	default:
		t.Fatal("no signal")
	}
	more = w.store.EventSignal()
	w.ok(&command.SetServiceStatus{Head: by("system:control"), ServiceID: "a1-web"})
	select {
	case <-more:
		t.Fatal("a signal without an event")
	default:
	}
	v := w.store.View()
	if e := v.EventsSince(state.InTenant("t2"), 0, 0); len(e) != 2 || e[1].Message != "app blog was deployed by ada as revision 1: no services" || e[1].AppID != "a2" {
		t.Fatalf("events of a tenant: %+v", e)
	}
	all := v.EventsSince(state.AllTenants(), 0, 0)
	if some := v.EventsSince(state.AllTenants(), all[1].Seq, 2); len(some) != 2 || some[0] != all[2] {
		t.Fatalf("events behind a number: %+v", some)
	}
	for i := range 11_000 {
		w.ok(&command.SetServiceReplicas{Head: by("ada"), ServiceID: "a1-web", ExpectVersion: command.AnyVersion, Replicas: 2 + i})
	}
	v = w.store.View()
	all = v.EventsSince(state.AllTenants(), 0, 0)
	if len(all) < state.MaxEvents || len(all) > state.MaxEvents+1000 {
		t.Fatalf("%d events are kept", len(all))
	}
	for i := 1; i < len(all); i++ {
		if all[i-1].Seq >= all[i].Seq {
			t.Fatal("events are out of order")
		}
	}
	latest := v.LatestEvents(state.AllTenants(), 0, 300, nil)
	older := v.LatestEvents(state.AllTenants(), latest[299].Seq, 300, nil)
	if latest[0] != all[len(all)-1] || older[0] != all[len(all)-301] {
		t.Fatal("the latest events are not the last ones")
	}
	if tail := v.EventsSince(state.AllTenants(), all[len(all)-3].Seq, 0); len(tail) != 2 {
		t.Fatalf("%d events behind the last but two", len(tail))
	}
}

// TestWatch wakes for what was read, for a restore, and at the end of ctx.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		over := errors.New("over")
		var seen []int
		done := make(chan error, 1)
		read := func(v *state.View) (int, error) {
			n := 0
			for range v.Volumes() {
				n++
			}
			return n, nil
		}
		go func() {
			done <- state.Watch(ctx, w.store, read, func(_ context.Context, n int) error { seen = append(seen, n); return nil })
		}()
		synctest.Wait()
		snap := w.dump()
		w.ok(&command.PutVolume{Head: by("ada"), Volume: model.Volume{Meta: model.Meta{ID: "v1", Name: "data"}, TenantID: "t1"}})
		synctest.Wait()
		w.ok(app("t1", "a1", "shop", nil)) // nothing that was read
		synctest.Wait()
		if fmt.Sprint(seen) != "[0 1]" {
			t.Fatalf("seen %v", seen)
		}
		if err := w.store.Restore(bytes.NewReader(snap)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if seen[len(seen)-1] != 0 {
			t.Fatalf("a restore was not seen: %v", seen)
		}
		_, ch, err := state.Changed(ctx, w.store, read)
		if err != nil {
			t.Fatal(err)
		}
		w.ok(&command.PutVolume{Head: by("ada"), Volume: model.Volume{Meta: model.Meta{ID: "v2", Name: "data"}, TenantID: "t1"}})
		<-ch
		synctest.Wait()
		cancel(over)
		if err := <-done; !errors.Is(err, over) {
			t.Fatalf("watch ended with %v", err)
		}
	})
}

// TestGoldenSnapshot restores a snapshot of this format as it was written when
// the format was made. It must restore for ever.
func TestGoldenSnapshot(t *testing.T) {
	w := newWorld(t)
	c := app("t1", "a1", "shop", map[string]model.ServiceSpec{"web": spec(2, port(8080, 80), port(0, 81))})
	w.ok(c)
	w.ok(&command.PutContainers{Head: by("system:control"), Containers: []model.Container{containerOf("a1-web", "c1", "shop-web-1", "10.42.0.2", 1)}})
	w.ok(status("c1", 1, model.PhaseRunning))
	w.ok(&command.PutVolume{Head: by("ada"), Volume: model.Volume{Meta: model.Meta{ID: "v1", Name: "data"}, TenantID: "t1", NodeID: "n1"}})
	w.ok(&command.UseSetupToken{Head: by("setup"), Hash: []byte("hash"), User: model.User{Meta: model.Meta{ID: "u1", Name: "ada"}, PasswordHash: "x"}})
	w.ok(&command.PutSession{Head: by("ada"), Session: model.Session{ID: "s1", UserID: "u1", ExpiresAt: epoch}})
	w.ok(&command.PutAPIToken{Head: by("ada"), Token: model.APIToken{Meta: model.Meta{ID: "k1", Name: "ci"}, UserID: "u1", Hash: []byte("k"), Role: model.RoleAdmin}})
	path := filepath.Join("testdata", "v1", "snapshot.jsonl")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, w.dump(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := state.New()
	if err := s.Restore(bytes.NewReader(golden)); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := s.View().WriteSnapshot(&b, "test"); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), w.dump()) {
		t.Fatalf("the golden snapshot reads back as\n%s\nand is written today as\n%s", b.Bytes(), w.dump())
	}
}

// FuzzRestore throws damaged snapshots at Restore: it refuses or gives a state
// that holds together and writes itself the same way again.
func FuzzRestore(f *testing.F) {
	golden, err := os.ReadFile(filepath.Join("testdata", "v1", "snapshot.jsonl"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add(golden[:len(golden)/2])
	f.Add([]byte(`{"magic":"skerry-state","format":2}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		s := state.New()
		if s.Restore(bytes.NewReader(in)) != nil {
			if s.View().Index() != 0 {
				t.Fatal("a refused snapshot changed the state")
			}
			return
		}
		var one, two bytes.Buffer
		if err := s.View().WriteSnapshot(&one, "test"); err != nil {
			t.Skip("a time that JSON cannot hold")
		}
		again := state.New()
		if err := again.Restore(bytes.NewReader(one.Bytes())); err != nil {
			t.Fatal(err)
		}
		if err := again.View().WriteSnapshot(&two, "test"); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(one.Bytes(), two.Bytes()) {
			t.Fatalf("%s\n---\n%s", one.Bytes(), two.Bytes())
		}
	})
}
