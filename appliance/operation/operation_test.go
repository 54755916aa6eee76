package operation

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
	"github.com/skerryhq/skerry/raft/rafttest"
)

// shelf is an image store that has what it is given and counts what is taken.
type shelf struct {
	archive []Stored
	removed []string
	adopted []string
	pushed  []string
	parts   map[string]map[string]int64 // image -> what it consists of
	made    Stored                      // what Commit gives
}

func (s *shelf) Pull(_ context.Context, _ access.Caller, ref, _, _ string, _ api.Report) (Stored, error) {
	return Stored{}, model.Errorf(model.KindNotFound, "image_not_found", "no registry has %s", ref)
}
func (s *shelf) Import(context.Context, io.Reader, api.Report) ([]Stored, error) {
	return s.archive, nil
}
func (s *shelf) Commit(context.Context, *model.Container, api.CommitInput) (Stored, error) {
	if s.made.Digest == "" {
		return Stored{}, errors.New("not asked for")
	}
	return s.made, nil
}
func (s *shelf) Remove(_ context.Context, digest string) error {
	s.removed = append(s.removed, digest)
	return nil
}

func (s *shelf) Adopt(_ context.Context, d model.Descriptor, _ api.Report) error {
	s.adopted = append(s.adopted, d.Digest)
	return nil
}
func (s *shelf) Push(_ context.Context, _ access.Caller, d model.Descriptor, ref, _, _ string, _ api.Report) (string, int64, error) {
	s.pushed = append(s.pushed, ref)
	return d.Digest, d.Size, nil
}
func (s *shelf) HostPart(_ context.Context, digest string) (model.Descriptor, error) {
	return model.Descriptor{Digest: digest}, nil
}

func (s *shelf) Held(_ context.Context, except map[string]bool) (map[string]int64, error) {
	out := map[string]int64{}
	for image, parts := range s.parts {
		if !except[image] {
			maps.Copy(out, parts)
		}
	}
	return out, nil
}

const digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
const digestB = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

type world struct {
	node   *node.Node
	desk   *Desk
	shelf  *shelf
	tenant string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	n := rafttest.Single(t)
	w := &world{node: n, shelf: &shelf{}}
	w.tenant = rafttest.TenantID
	w.desk = New(Config{
		Store: n.Store(), Proposer: n, Images: w.shelf, NodeID: rafttest.NodeID, Control: []uint16{7443},
		Overlay: 51820,
		Holder: func(_ context.Context, _ string, p model.PortSpec) (string, string, error) {
			if p.HostPort == 22 {
				return "sshd (pid 612)", "elsewhere", nil
			}
			return "", "", nil
		},
		Log: slog.New(slog.DiscardHandler),
	})
	img := model.Image{TenantID: w.tenant, Digest: digestA}
	img.ID, img.Name = command.NewID(), "docker.io/library/web:latest"
	if _, err := n.Propose(t.Context(), &command.PutImage{Head: command.By(model.Origin{Actor: "t"}), Image: img}); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) admin() access.Caller {
	return access.Caller{Principal: access.Local(), Origin: model.Origin{Actor: "local", TenantID: w.tenant}}
}

func (w *world) developer() access.Caller {
	p := access.Principal{UserID: "u", Name: "dev", Tenants: map[string]model.Role{w.tenant: model.RoleDeveloper}}
	return access.Caller{Principal: p, Origin: model.Origin{Actor: "dev", UserID: "u", TenantID: w.tenant}}
}

func quiet(api.Progress) {}

func web(replicas int) model.ServiceSpec {
	return model.ServiceSpec{Replicas: replicas, Container: model.ContainerSpec{Image: "web"}}
}

// A refused or a good change of one service leaves its neighbours in the state
// as they are: what the state holds is shared and never filled in.
func TestChangingOneServiceLeavesOthers(t *testing.T) {
	w := newWorld(t)
	db := web(1)
	db.Container.Mounts = []model.Mount{{Type: model.MountVolume, Source: "data", Path: "/data"}}
	app, err := w.desk.CreateApp(t.Context(), w.admin(), api.AppChange{Name: "shop", Services: map[string]model.ServiceSpec{"db": db, "web": web(1)}}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := w.node.View().ServiceByName(app.ID, "db")
	volume, revision := before.Spec.Container.Mounts[0].VolumeID, before.Revision
	if volume == "" {
		t.Fatal("the volume has no id")
	}
	front, _ := w.node.View().ServiceByName(app.ID, "web")
	check := func(when string) {
		t.Helper()
		s, _ := w.node.View().ServiceByName(app.ID, "db")
		if got := s.Spec.Container.Mounts[0].VolumeID; got != volume || s.Revision != revision {
			t.Errorf("%s: db mounts volume %q at revision %d, want %q at %d", when, got, s.Revision, volume, revision)
		}
	}
	if _, err := w.desk.UpdateService(t.Context(), w.admin(), front.ID, command.AnyVersion, api.ServiceChange{Image: "nowhere"}, quiet); err == nil {
		t.Fatal("an unknown image was accepted")
	}
	check("after a refused change")
	spec := front.Spec.Container.Clone()
	spec.Env = []model.EnvVar{{Name: "A", Value: "1"}}
	if _, err := w.desk.UpdateService(t.Context(), w.admin(), front.ID, command.AnyVersion, api.ServiceChange{Container: &spec}, quiet); err != nil {
		t.Fatal(err)
	}
	check("after a good change")
	if _, err := w.desk.RollbackApp(t.Context(), w.admin(), app.ID, command.AnyVersion, 1, quiet); err != nil {
		t.Fatal(err)
	}
	check("after a rollback")
}

func TestHostAccessIsForAdministrators(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(*model.ContainerSpec){
		"privileged": func(c *model.ContainerSpec) { c.Privileged = true },
		"bind": func(c *model.ContainerSpec) {
			c.Mounts = []model.Mount{{Type: model.MountBind, Source: "/srv", Path: "/srv"}}
		},
		"capability": func(c *model.ContainerSpec) { c.CapAdd = []string{"SYS_ADMIN"} },
	} {
		s := web(1)
		change(&s.Container)
		in := api.AppChange{Name: "x-" + name, Services: map[string]model.ServiceSpec{"web": s}}
		if _, err := w.desk.CreateApp(t.Context(), w.developer(), in, quiet); model.CodeOf(err) != "host_access_denied" || model.KindOf(err) != model.KindDenied {
			t.Errorf("%s by a developer: got %v", name, err)
		}
		if _, err := w.desk.CreateApp(t.Context(), w.admin(), in, quiet); err != nil {
			t.Errorf("%s by an administrator: %v", name, err)
			continue
		}
		app, _ := w.node.View().AppByName(w.tenant, "x-"+name)
		svc, _ := w.node.View().ServiceByName(app.ID, "web")
		two := 2
		if _, err := w.desk.UpdateService(t.Context(), w.developer(), svc.ID, command.AnyVersion, api.ServiceChange{Replicas: &two}, quiet); model.CodeOf(err) != "host_access_denied" {
			t.Errorf("%s scaled by a developer: got %v", name, err)
		}
		if _, err := w.desk.RollbackApp(t.Context(), w.developer(), app.ID, command.AnyVersion, 1, quiet); model.CodeOf(err) != "host_access_denied" {
			t.Errorf("%s rolled back by a developer: got %v", name, err)
		}
	}
	s := web(1)
	s.Container.CapAdd = []string{"NET_ADMIN"}
	if _, err := w.desk.CreateApp(t.Context(), w.developer(), api.AppChange{Name: "own", Services: map[string]model.ServiceSpec{"web": s}}, quiet); err != nil {
		t.Errorf("a capability within the container's own namespaces: %v", err)
	}
}

func TestRefusalsNameTheField(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		change func(*model.ServiceSpec)
		field  string
		words  string
	}{
		"foreign port": {func(s *model.ServiceSpec) { s.Ports = []model.PortSpec{{HostPort: 22, Container: 80}} }, "services.web.ports[0].hostPort", "sshd (pid 612)"},
		"own port":     {func(s *model.ServiceSpec) { s.Ports = []model.PortSpec{{HostPort: 7443, Container: 80}} }, "services.web.ports[0].hostPort", "Skerry's own"},
		"port twice": {func(s *model.ServiceSpec) {
			s.Ports = []model.PortSpec{{HostPort: 81, Container: 80}, {HostPort: 81, Container: 80}}
		}, "services.web.ports[1].hostPort", "twice"},
		"little memory":  {func(s *model.ServiceSpec) { s.Container.MemoryBytes = 1 << 20 }, "services.web.container.memoryBytes", "6 MiB"},
		"negative":       {func(s *model.ServiceSpec) { s.Container.CPUMillis = -5 }, "services.web.container.cpuMillis", "-5"},
		"replicas":       {func(s *model.ServiceSpec) { s.Replicas = 100000 }, "services.web.replicas", "100000"},
		"dots":           {func(s *model.ServiceSpec) { s.Container.Mounts = []model.Mount{{Source: "v", Path: "/a/../b"}} }, "services.web.container.mounts[0].path", ".."},
		"root":           {func(s *model.ServiceSpec) { s.Container.Mounts = []model.Mount{{Source: "v", Path: "/"}} }, "services.web.container.mounts[0].path", "root"},
		"volume name":    {func(s *model.ServiceSpec) { s.Container.Mounts = []model.Mount{{Source: "../v", Path: "/v"}} }, "services.web.container.mounts[0].source", "volume"},
		"image name":     {func(s *model.ServiceSpec) { s.Container.Image = "UPPER CASE" }, "services.web.container.image", "blanks"},
		"signal":         {func(s *model.ServiceSpec) { s.Container.StopSignal = "SIGNOPE" }, "services.web.container.stopSignal", "SIGNOPE"},
		"restart policy": {func(s *model.ServiceSpec) { s.Container.Restart = "sometimes" }, "services.web.container.restart", "sometimes"},
	} {
		s := web(1)
		c.change(&s)
		_, err := w.desk.CreateApp(t.Context(), w.admin(), api.AppChange{Name: "x", Services: map[string]model.ServiceSpec{"web": s}}, quiet)
		e, ok := errors.AsType[*model.Error](err)
		if !ok || e.Field != c.field || !strings.Contains(e.Error(), c.words) {
			t.Errorf("%s: got %v, want field %s and %q", name, err, c.field, c.words)
		}
	}
	for _, name := range []string{"", "with space", "ünïcode", strings.Repeat("x", 300), "-dash", "UPPER"} {
		if _, err := w.desk.CreateApp(t.Context(), w.admin(), api.AppChange{Name: name, Services: map[string]model.ServiceSpec{"web": web(1)}}, quiet); model.CodeOf(err) != "name_invalid" {
			t.Errorf("name %.20q: got %v", name, err)
		}
	}
	for range w.node.View().Apps() {
		t.Error("a refused request left an app")
	}
}

// TestRevisionsKeepTheirImage: what a kept revision runs is not given back with
// the last name of it.
func TestRevisionsKeepTheirImage(t *testing.T) {
	w := newWorld(t)
	next := model.Image{Meta: model.Meta{ID: command.NewID(), Name: "docker.io/library/web:2"}, TenantID: w.tenant, Digest: digestB}
	if _, err := w.node.Propose(t.Context(), &command.PutImage{Head: command.By(model.Origin{Actor: "t"}), Image: next}); err != nil {
		t.Fatal(err)
	}
	app, err := w.desk.CreateApp(t.Context(), w.developer(), api.AppChange{Name: "shop", Services: map[string]model.ServiceSpec{"web": web(1)}}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	svc, _ := w.node.View().ServiceByName(app.ID, "web")
	if _, err := w.desk.UpdateService(t.Context(), w.developer(), svc.ID, command.AnyVersion, api.ServiceChange{Image: "web:2"}, quiet); err != nil {
		t.Fatal(err)
	}
	old, _ := w.node.View().ImageByName(w.tenant, "docker.io/library/web:latest")
	if err := w.desk.DeleteImage(t.Context(), w.developer(), old.ID, command.AnyVersion); err != nil {
		t.Fatal(err)
	}
	if len(w.shelf.removed) != 0 {
		t.Errorf("given back: %v, which revision 1 runs", w.shelf.removed)
	}
	// And it can be gone back to, whatever the registry outside says by now.
	if _, err := w.desk.RollbackApp(t.Context(), w.developer(), app.ID, command.AnyVersion, 1, quiet); err != nil {
		t.Errorf("back to revision 1: %v", err)
	}
}

func TestImportIsWholeOrNothing(t *testing.T) {
	w := newWorld(t)
	w.shelf.archive = []Stored{{Digest: digestA, Names: []string{"one:1"}}, {Digest: digestB, Names: []string{"NOT A NAME"}}}
	if _, err := w.desk.ImportImage(t.Context(), w.developer(), "", strings.NewReader(""), quiet); model.CodeOf(err) != "image_name_invalid" {
		t.Fatalf("got %v", err)
	}
	if _, there := w.node.View().ImageByName(w.tenant, "docker.io/library/one:1"); there {
		t.Error("half of the archive was kept")
	}
	if len(w.shelf.removed) != 1 || w.shelf.removed[0] != digestB {
		t.Errorf("given back: %v; want %s alone, the other content is in use", w.shelf.removed, digestB)
	}
}

func TestRemovingOneContainerKeepsTheApp(t *testing.T) {
	w := newWorld(t)
	app, err := w.desk.CreateApp(t.Context(), w.admin(), api.AppChange{Name: "shop", Services: map[string]model.ServiceSpec{"db": web(1), "worker": web(0)}}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	svc, _ := w.node.View().ServiceByName(app.ID, "db")
	c := model.Container{ServiceID: svc.ID, AppID: app.ID, Slot: 1, Revision: svc.Revision, Spec: svc.Spec.Container}
	c.ID, c.Name = command.NewID(), "shop-db-1"
	c.Assign = model.Assignment{NodeID: w.node.ID(), Address: netip.MustParseAddr("10.42.0.9")}
	if _, err := w.node.Propose(t.Context(), &command.PutContainers{Head: command.By(model.Origin{Actor: "t"}), Containers: []model.Container{c}}); err != nil {
		t.Fatal(err)
	}
	if err := w.desk.RemoveContainer(t.Context(), w.admin(), c.ID, command.AnyVersion, true); err != nil {
		t.Fatal(err)
	}
	if a, ok := w.node.View().App(app.ID); !ok || a.Removing {
		t.Error("the app went with one of its containers")
	}
	if got, ok := w.node.View().Container(c.ID); !ok || !got.Assign.Remove || got.Assign.Address != c.Assign.Address {
		t.Errorf("the container is not on its way: %+v", got)
	}
}

// Whoever imports or pulls content that other nodes hold already adds this node
// to them; new content is nowhere but here.
func TestKeepingAnImageAddsThisNode(t *testing.T) {
	w := newWorld(t)
	holders := func(want ...string) {
		t.Helper()
		img, _ := w.node.View().ImageByName(w.tenant, "docker.io/library/web:latest")
		if !slices.Equal(img.NodeIDs, want) {
			t.Errorf("held by %v, want %v", img.NodeIDs, want)
		}
	}
	for _, o := range []struct{ from, want []string }{
		{[]string{"other", "third"}, []string{"other", "third", rafttest.NodeID}},
		{[]string{"other", rafttest.NodeID}, []string{"other", rafttest.NodeID}},
		{nil, []string{rafttest.NodeID}},
	} {
		img := model.Image{TenantID: w.tenant, Digest: digestA, NodeIDs: o.from}
		img.ID, img.Name = command.NewID(), "docker.io/library/web:latest"
		if _, err := w.node.Propose(t.Context(), &command.PutImage{Head: command.By(model.Origin{Actor: "t"}), Image: img}); err != nil {
			t.Fatal(err)
		}
		w.shelf.archive = []Stored{{Digest: digestA, Names: []string{"web:latest"}}}
		if _, err := w.desk.ImportImage(t.Context(), w.developer(), "", strings.NewReader(""), quiet); err != nil {
			t.Fatal(err)
		}
		holders(o.want...)
	}
	w.shelf.archive = []Stored{{Digest: digestB, Names: []string{"web:latest"}}}
	if _, err := w.desk.ImportImage(t.Context(), w.developer(), "", strings.NewReader(""), quiet); err != nil {
		t.Fatal(err)
	}
	holders(rafttest.NodeID)
}

// racer proposes, but somebody else has noted first that another node holds the
// image.
type racer struct {
	Proposer
	before func()
}

func (r *racer) Propose(ctx context.Context, cmds ...command.Command) (node.Result, error) {
	if f := r.before; f != nil {
		r.before = nil
		f()
	}
	return r.Proposer.Propose(ctx, cmds...)
}

func TestKeepingAnImageBesideOthers(t *testing.T) {
	w := newWorld(t)
	const name = "docker.io/library/web:latest"
	w.desk.cfg.Proposer = &racer{Proposer: w.desk.cfg.Proposer, before: func() {
		img, _ := w.node.View().ImageByName(w.tenant, name)
		n := img.Clone()
		n.NodeIDs = append(n.NodeIDs, "other")
		if _, err := w.node.Propose(t.Context(), &command.PutImage{Head: command.By(model.Origin{Actor: "t"}), Image: *n, ExpectVersion: img.Version}); err != nil {
			t.Fatal(err)
		}
	}}
	w.shelf.archive = []Stored{{Digest: digestA, Names: []string{"web:latest"}}}
	if _, err := w.desk.ImportImage(t.Context(), w.developer(), "", strings.NewReader(""), quiet); err != nil {
		t.Fatal(err)
	}
	if img, _ := w.node.View().ImageByName(w.tenant, name); !slices.Equal(img.NodeIDs, []string{"other", rafttest.NodeID}) {
		t.Errorf("held by %v", img.NodeIDs)
	}
}
