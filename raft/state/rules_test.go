package state_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// TestEveryCommandHasARule applies an empty command of every type: none may
// fall through to the panic for unknown ones.
func TestEveryCommandHasARule(t *testing.T) {
	for _, typ := range command.Types() {
		w := newWorld(t)
		b := []byte{1, byte(typ >> 8), byte(typ), '{', '}'}
		c, err := command.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		w.apply(c)
	}
}

func TestPorts(t *testing.T) {
	w := newWorld(t)
	w.ok(app("t1", "a1", "shop", map[string]model.ServiceSpec{"web": spec(1, port(8080, 80), port(0, 81))}))
	got := func(service string) string {
		s, ok := w.store.View().Service(service)
		if !ok {
			return "gone"
		}
		var out []string
		for _, p := range s.Ports {
			out = append(out, fmt.Sprintf("%d->%d", p.HostPort, p.Container))
		}
		return strings.Join(out, " ")
	}
	if g := got("a1-web"); g != "8080->80 30000->81" {
		t.Fatalf("ports %q", g)
	}
	for _, tt := range []struct {
		name, want string
		c          command.Command
	}{
		{"same tenant", "spec.services.web.ports[0]: port 8080/tcp is already published by service web of app shop; choose another or remove it",
			app("t1", "a2", "two", map[string]model.ServiceSpec{"web": spec(1, port(8080, 80))})},
		{"other tenant", "spec.services.web.ports[0]: port 8080/tcp is already published by somebody else; choose another",
			app("t2", "a2", "two", map[string]model.ServiceSpec{"web": spec(1, port(8080, 80))})},
		{"twice in one app", "spec.services.web.ports[0]: port 9000/tcp is already published by service db of app two; choose another or remove it",
			app("t1", "a2", "two", map[string]model.ServiceSpec{"db": spec(1, port(9000, 80)), "web": spec(1, port(9000, 80))})},
		{"twice in one service", "spec.services.web.ports[1]: port 9000/tcp is asked for twice in service web; give each its own number",
			app("t1", "a2", "two", map[string]model.ServiceSpec{"web": spec(1, port(9000, 80), port(9000, 81))})},
		{"more than there are", "spec.services.web.ports[3]: every tcp port from 30000 to 30003 is in use; ask for one outside by number or remove an app",
			app("t1", "a2", "two", map[string]model.ServiceSpec{"web": spec(1, port(0, 1), port(0, 2), port(0, 3), port(0, 4))})},
	} {
		if err := w.refused(tt.c); err.Error() != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, err.Error(), tt.want)
		}
	}
	// A chosen number stays with its container port, through changes around it.
	w.ok(again(app("t1", "a1", "shop", map[string]model.ServiceSpec{"web": spec(2, port(0, 90), port(0, 81))})))
	if g := got("a1-web"); g != "30001->90 30000->81" {
		t.Fatalf("ports after a change %q", g)
	}
	// A number moves from one service to another within one change.
	w.ok(again(app("t1", "a1", "shop", map[string]model.ServiceSpec{"web": spec(1, port(8080, 80)), "api": spec(1, port(8081, 80))})))
	w.ok(again(app("t1", "a1", "shop", map[string]model.ServiceSpec{"web": spec(1, port(8081, 80)), "api": spec(1, port(8080, 80))})))
	if g := got("a1-web") + " " + got("a1-api"); g != "8081->80 8080->80" {
		t.Fatalf("swapped ports %q", g)
	}
	// Another protocol is another port.
	udp := port(8080, 80)
	udp.Protocol = model.UDP
	w.ok(app("t1", "a3", "three", map[string]model.ServiceSpec{"web": spec(1, udp)}))
	// Removing an app gives its ports back.
	w.ok(&command.RemoveApp{Head: by("ada"), ID: "a1"})
	w.ok(app("t2", "a2", "two", map[string]model.ServiceSpec{"web": spec(1, port(8080, 80))}))
}

func TestLifeOfAnApp(t *testing.T) {
	w := newWorld(t)
	shop := app("t1", "a1", "shop", map[string]model.ServiceSpec{"web": spec(2, port(8080, 80)), "db": spec(1)})
	w.ok(shop)
	w.ok(&command.PutContainers{Head: by("system:control"), Containers: []model.Container{
		containerOf("a1-web", "c1", "shop-web-1", "10.42.0.2", 1), containerOf("a1-web", "c2", "shop-web-2", "10.42.0.3", 2), containerOf("a1-db", "c3", "shop-db-1", "10.42.0.4", 1)}})
	w.ok(status("c1", 1, model.PhaseRunning), status("c2", 1, model.PhaseStarting), status("c3", 1, model.PhaseRunning))
	v := w.store.View()
	if s, _ := v.Service("a1-web"); s.Status.Running != 1 {
		t.Fatalf("%d running, want 1", s.Status.Running)
	}
	if err := w.refused(&command.PutContainers{Head: by("x"), Containers: []model.Container{containerOf("a1-web", "c9", "shop-web-9", "10.42.0.3", 9)}}); err.Code != "address_taken" {
		t.Fatal(err)
	}
	if err := w.refused(&command.PutContainers{Head: by("x"), Containers: []model.Container{
		containerOf("a1-web", "c8", "shop-web-8", "10.42.0.8", 8), containerOf("a1-web", "c9", "shop-web-2", "10.42.0.9", 9)}}); err.Code != "name_taken" {
		t.Fatal(err)
	}
	// A service that the spec no longer names leaves with its last container.
	w.ok(again(app("t1", "a1", "shop", map[string]model.ServiceSpec{"web": spec(2, port(8080, 80))})))
	if s, ok := w.store.View().ServiceByName("a1", "db"); !ok || !s.Removing {
		t.Fatal("db must wait for its container")
	}
	forget := func(ids ...string) {
		t.Helper()
		var items []command.AssignItem
		for _, id := range ids {
			items = append(items, command.AssignItem{ID: id, ExpectVersion: command.AnyVersion, Assign: model.Assignment{NodeID: "n1", Remove: true}})
		}
		w.ok(&command.AssignContainers{Head: by("system:control"), Items: items})
		w.ok(&command.ForgetContainers{Head: by("system:agent"), NodeID: "n1", IDs: ids})
	}
	forget("c3")
	if _, ok := w.store.View().ServiceByName("a1", "db"); ok {
		t.Fatal("db must be gone")
	}
	w.ok(&command.RemoveApp{Head: by("ada"), ID: "a1"})
	if err := w.refused(again(shop)); err.Code != "app_removing" {
		t.Fatal(err)
	}
	if err := w.refused(app("t1", "a2", "shop", nil)); err.Code != "name_taken" || !strings.Contains(err.Detail, "still being removed") {
		t.Fatal(err)
	}
	if err := w.refused(&command.PutContainers{Head: by("x"), Containers: []model.Container{containerOf("a1-web", "c9", "shop-web-9", "", 9)}}); err.Code != "service_removing" {
		t.Fatal(err)
	}
	forget("c1")
	if s, _ := w.store.View().Service("a1-web"); s.Status.Running != 0 {
		t.Fatalf("%d running after the running one is gone", s.Status.Running)
	}
	if _, ok := w.store.View().Port("e1", model.TCP, 8080); !ok {
		t.Fatal("the port must stay until the last container is gone")
	}
	forget("c2")
	v = w.store.View()
	if _, ok := v.App("a1"); ok {
		t.Fatal("the app must be gone")
	}
	if _, ok := v.Port("e1", model.TCP, 8080); ok {
		t.Fatal("the port must be free")
	}
	if n := len(slices.Collect(v.Revisions("a1"))); n != 0 {
		t.Fatalf("%d revisions are left", n)
	}
	w.ok(app("t1", "a2", "shop", nil))
}

func TestRevisions(t *testing.T) {
	w := newWorld(t)
	c := app("t1", "a1", "shop", map[string]model.ServiceSpec{"web": spec(1)})
	w.ok(c)
	w.ok(again(c)) // the same spec makes no revision
	w.ok(&command.SetAppStopped{Head: by("ada"), ID: "a1", Stopped: true})
	w.ok(&command.SetServiceReplicas{Head: by("ada"), ServiceID: "a1-web", ExpectVersion: command.AnyVersion, Replicas: 3})
	v := w.store.View()
	a, _ := v.App("a1")
	s, _ := v.Service("a1-web")
	if a.Revision != 2 || a.Spec.Services["web"].Replicas != 3 || s.Spec.Replicas != 3 || s.Revision != 1 || !a.Spec.Stopped {
		t.Fatalf("app %+v service %+v", a, s)
	}
	if r, _ := v.Revision("a1", 1); r.Spec.Services["web"].Replicas != 1 {
		t.Fatal("the first revision changed")
	}
	for i := range 60 {
		w.ok(&command.SetServiceReplicas{Head: by("ada"), ServiceID: "a1-web", ExpectVersion: command.AnyVersion, Replicas: 4 + i})
	}
	kept := slices.Collect(w.store.View().Revisions("a1"))
	if len(kept) != state.MaxRevisions || kept[len(kept)-1].Number != 62 || kept[0].Number != 13 {
		t.Fatalf("%d revisions from %d to %d", len(kept), kept[0].Number, kept[len(kept)-1].Number)
	}
	if err := w.refused(&command.SetServiceReplicas{Head: by("ada"), ServiceID: "a1-web", ExpectVersion: 3, Replicas: 1}); err.Kind != model.KindStale {
		t.Fatal(err)
	}
}

func TestVolumes(t *testing.T) {
	w := newWorld(t)
	mounts := spec(1)
	mounts.Container.Mounts = []model.Mount{{Type: model.MountVolume, Source: "data", Path: "/data"}}
	c := app("t1", "a1", "shop", map[string]model.ServiceSpec{"web": mounts})
	if err := w.refused(c); err.Code != "volume_missing" || err.Field != "spec.services.web.container.mounts[0]" {
		t.Fatal(err)
	}
	c.Volumes = []model.Volume{{Meta: model.Meta{ID: "v1", Name: "data"}, NodeID: "n1", Spec: model.VolumeSpec{Driver: "local"}}}
	w.ok(c)
	s, _ := w.store.View().Service("a1-web")
	if s.Spec.Container.Mounts[0].VolumeID != "v1" {
		t.Fatalf("mount %+v", s.Spec.Container.Mounts[0])
	}
	if err := w.refused(&command.DeleteVolume{Head: by("ada"), ID: "v1"}); err.Error() != "volume data belongs to service web of app shop; remove that first" {
		t.Fatal(err)
	}
	k := containerOf("a1-web", "c1", "shop-web-1", "", 1)
	k.Spec = s.Spec.Container
	w.ok(&command.PutContainers{Head: by("system:control"), Containers: []model.Container{k}})
	if err := w.refused(&command.DeleteVolume{Head: by("ada"), ID: "v1"}); err.Error() != "volume data is mounted by container shop-web-1 of app shop; remove that first" {
		t.Fatal(err)
	}
	if err := w.refused(&command.DeleteImage{Head: by("ada"), ID: "i1"}); err.Code != "image_in_use" {
		t.Fatal(err)
	}
	w.ok(&command.DeleteImage{Head: by("ada"), ID: "i1", Force: true})
}

func TestPhases(t *testing.T) {
	w := newWorld(t)
	w.ok(app("t1", "a1", "shop", map[string]model.ServiceSpec{"web": spec(1)}))
	w.ok(&command.PutContainers{Head: by("system:control"), Containers: []model.Container{containerOf("a1-web", "c1", "shop-web-1", "10.42.0.2", 1)}})
	for _, tt := range []struct {
		task  uint64
		phase model.Phase
		code  string
	}{
		{1, model.PhasePreparing, ""}, {1, model.PhaseRunning, ""}, {1, model.PhaseStarting, "phase_backwards"}, {1, model.PhaseExited, ""},
		{1, model.PhaseRunning, "phase_backwards"}, {2, model.PhaseStarting, ""}, {1, model.PhaseExited, "phase_backwards"}, {2, model.PhaseBackoff, ""},
		{2, model.PhaseStarting, ""}, {2, model.PhaseFailed, ""}, {2, model.PhasePreparing, ""}, {2, "asleep", "phase_invalid"},
	} {
		o := w.apply(status("c1", tt.task, tt.phase))[0]
		code := ""
		if len(o.Refused) > 0 {
			code = o.Refused[0].Err.Code
		}
		if code != tt.code {
			t.Errorf("task %d %s: %q, want %q", tt.task, tt.phase, code, tt.code)
		}
	}
	other := status("c1", 9, model.PhaseRunning)
	other.NodeID = "n2"
	if o := w.apply(other)[0]; len(o.Refused) != 1 || o.Refused[0].Err.Code != "wrong_node" {
		t.Fatalf("another node's status: %+v", o)
	}
}

func TestIntent(t *testing.T) {
	w := newWorld(t)
	w.ok(app("t1", "a1", "shop", map[string]model.ServiceSpec{"web": spec(1)}))
	w.ok(&command.PutContainers{Head: by("system:control"), Containers: []model.Container{containerOf("a1-web", "c1", "shop-web-1", "10.42.0.2", 1)}})
	w.ok(status("c1", 1, model.PhaseRunning))
	do := func(a command.Action) model.Intent {
		t.Helper()
		w.ok(&command.SetIntent{Head: by("ada"), ContainerID: "c1", Action: a})
		c, _ := w.store.View().Container("c1")
		return c.Intent
	}
	for _, tt := range []struct {
		action command.Action
		want   model.Intent
	}{
		{command.ActionStart, model.Intent{}}, // it runs
		{command.ActionStop, model.Intent{Stopped: true}},
		{command.ActionStart, model.Intent{Restarts: 1}},
		{command.ActionRestart, model.Intent{Restarts: 2}},
		{command.ActionKill, model.Intent{Stopped: true, Restarts: 2, Signal: "SIGKILL", GraceSecs: -1}},
	} {
		if got := do(tt.action); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.action, got, tt.want)
		}
	}
	w.ok(&command.SetAppStopped{Head: by("ada"), ID: "a1", Stopped: false})
	if c, _ := w.store.View().Container("c1"); c.Intent != (model.Intent{Restarts: 3}) {
		t.Fatalf("starting the app leaves %+v", c.Intent)
	}
}

func TestPeople(t *testing.T) {
	w := newWorld(t)
	setup := &command.UseSetupToken{Head: by("setup"), Hash: []byte("hash"), User: model.User{Meta: model.Meta{ID: "u1", Name: "ada"}, PasswordHash: "x"}}
	wrong := *setup
	wrong.Hash = []byte("guess")
	if err := w.refused(&wrong); err.Kind != model.KindDenied {
		t.Fatal(err)
	}
	w.ok(setup)
	if err := w.refused(setup); err.Code != "setup_token_invalid" {
		t.Fatal(err)
	}
	for _, c := range []command.Command{
		&command.DeleteUser{Head: by("x"), ID: "u1"},
		&command.PutUser{Head: by("x"), ExpectVersion: command.AnyVersion, User: model.User{Meta: model.Meta{ID: "u1", Name: "ada"}}},
	} {
		if err := w.refused(c); err.Code != "last_admin" {
			t.Fatal(err)
		}
	}
	w.ok(&command.PutUser{Head: by("ada"), User: model.User{Meta: model.Meta{ID: "u2", Name: "bob"}, PasswordHash: "old", Spec: model.UserSpec{Tenants: map[string]model.Role{"t2": model.RoleOwner}}}})
	for _, id := range []string{"s1", "s2"} {
		w.ok(&command.PutSession{Head: by("bob"), Session: model.Session{ID: id, UserID: "u2", ExpiresAt: epoch.Add(time.Hour)}})
	}
	w.ok(&command.PutAPIToken{Head: by("bob"), Token: model.APIToken{Meta: model.Meta{ID: "k1", Name: "ci"}, UserID: "u2", TenantID: "t2", Hash: []byte("k"), Role: model.RoleOwner}})
	w.ok(&command.SetPassword{Head: by("bob"), UserID: "u2", PasswordHash: "new", KeepSession: "s2"})
	v := w.store.View()
	if _, ok := v.Session("s1"); ok {
		t.Fatal("a new password must end the other sessions")
	}
	if k, ok := v.TokenByHash([]byte("k")); !ok || k.ID != "k1" {
		t.Fatal("token not found by its hash")
	}
	w.ok(&command.PutUser{Head: by("ada"), ExpectVersion: command.AnyVersion, User: model.User{Meta: model.Meta{ID: "u2", Name: "bob"}, Spec: model.UserSpec{Disabled: true, Tenants: map[string]model.Role{"t2": model.RoleOwner}}}})
	v = w.store.View()
	if u, _ := v.User("u2"); u.PasswordHash != "new" {
		t.Fatal("the password was lost")
	}
	if _, ok := v.Session("s2"); ok {
		t.Fatal("a disabled user keeps a session")
	}
	w.ok(&command.DeleteTenant{Head: by("ada"), ID: "t2"})
	v = w.store.View()
	if u, _ := v.User("u2"); len(u.Spec.Tenants) != 0 {
		t.Fatal("a role in a deleted tenant is left")
	}
	if _, ok := v.Token("k1"); ok {
		t.Fatal("a token of a deleted tenant is left")
	}
	w.ok(&command.DeleteUser{Head: by("ada"), ID: "u2"})
}
