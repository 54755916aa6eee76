package state_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

func TestCertificate(t *testing.T) {
	w := newWorld(t)
	if err := w.refused(&command.SetCertificate{Head: by("ada")}); err.Code != "not_found" {
		t.Errorf("taking away what is not there: %v", err)
	}
	if err := w.refused(&command.WarnCertificate{Head: by("node"), Days: 30}); err.Code != "not_found" {
		t.Errorf("warning of what is not there: %v", err)
	}
	put := func(name string) {
		w.ok(&command.SetCertificate{Head: by("ada"), Certificate: &model.ServerCertificate{
			Chain: []byte("pem"), Key: model.Sealed("sealed"), NotAfter: epoch.Add(40 * 24 * time.Hour), Names: []string{name}, Warned: 3}})
	}
	put("a.example")
	now := func() *model.ServerCertificate {
		c, _ := w.store.View().Cluster()
		return c.Certificate
	}
	if c := now(); c == nil || c.Names[0] != "a.example" || c.Warned != 0 {
		t.Fatalf("%+v", c)
	}
	// Each step towards the end is told once, and never backwards.
	for _, step := range []struct {
		days  int
		first bool
	}{{30, true}, {30, false}, {7, true}, {30, false}, {1, true}, {-1, true}, {-1, false}, {1, false}} {
		warn := &command.WarnCertificate{Head: by("node"), Days: step.days}
		if step.first {
			w.ok(warn)
		} else if err := w.refused(warn); err.Code != "already_warned" {
			t.Errorf("%d days: %v", step.days, err)
		}
	}
	told := w.store.View().LatestEvents(state.AllTenants(), 0, 100, func(e *model.Event) bool { return e.Object == "certificate" && e.Warning })
	if len(told) != 4 {
		t.Errorf("%d warnings, want 4", len(told))
	}
	put("b.example") // its successor begins anew
	w.ok(&command.WarnCertificate{Head: by("node"), Days: 30})

	var b bytes.Buffer
	if err := w.store.View().WriteSnapshot(&b, "test"); err != nil {
		t.Fatal(err)
	}
	again := state.New()
	if err := again.Restore(&b); err != nil {
		t.Fatal(err)
	}
	if c, _ := again.View().Cluster(); c.Certificate == nil || c.Certificate.Names[0] != "b.example" || c.Certificate.Warned != 30 {
		t.Errorf("a snapshot lost it: %+v", c.Certificate)
	}
	w.ok(&command.SetCertificate{Head: by("ada")})
	if now() != nil {
		t.Error("it is still there")
	}
}
