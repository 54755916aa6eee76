package operation

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

func TestParseImage(t *testing.T) {
	ours := func(host string) bool { return host == model.RegistryHost || host == "10.0.0.5:7443" }
	d := "sha256:" + strings.Repeat("a", 64)
	for in, want := range map[string]imageName{
		"nginx":                         {full: "docker.io/library/nginx:latest", pull: "docker.io/library/nginx:latest", path: "nginx", tag: "latest"},
		"shop/web:1":                    {full: "docker.io/shop/web:1", pull: "docker.io/shop/web:1", path: "shop/web", tag: "1"},
		"a/b/c@" + d:                    {full: "docker.io/a/b/c", pull: "docker.io/a/b/c@" + d, digest: d, path: "a/b/c"},
		"web:1@" + d:                    {full: "docker.io/library/web:1", pull: "docker.io/library/web@" + d, digest: d, path: "web", tag: "1"},
		"docker.io/nginx":               {full: "docker.io/library/nginx:latest", pull: "docker.io/library/nginx:latest", host: true, path: "library/nginx", tag: "latest"},
		"quay.io/x/y:2":                 {full: "quay.io/x/y:2", pull: "quay.io/x/y:2", host: true, path: "x/y", tag: "2"},
		"localhost:5000/y":              {full: "localhost:5000/y:latest", pull: "localhost:5000/y:latest", host: true, path: "y", tag: "latest"},
		"10.0.0.5:7443/shop/web:1":      {full: "skerry.internal/shop/web:1", pull: "skerry.internal/shop/web:1", host: true, ours: true, path: "shop/web", tag: "1"},
		"10.0.0.5:7443/web":             {full: "skerry.internal/web:latest", pull: "skerry.internal/web:latest", host: true, ours: true, path: "web", tag: "latest"},
		"10.0.0.5:5000/shop/web":        {full: "10.0.0.5:5000/shop/web:latest", pull: "10.0.0.5:5000/shop/web:latest", host: true, path: "shop/web", tag: "latest"},
		"skerry.internal/shop/web@" + d: {full: "skerry.internal/shop/web", pull: "skerry.internal/shop/web@" + d, digest: d, host: true, ours: true, path: "shop/web"},
	} {
		got, err := parseImage(in, ours)
		if err != nil || got != want {
			t.Errorf("%s: %v\n got %+v\nwant %+v", in, err, got, want)
		}
	}
	for _, in := range []string{"", " x", "x y", "UPPER", "a//b", "../x", "x:", "x@sha256:1", "10.0.0.5:7443/", "http://x/y", strings.Repeat("a", 300)} {
		if _, err := parseImage(in, ours); model.CodeOf(err) != "image_name_invalid" {
			t.Errorf("%q: %v", in, err)
		}
	}
}

// stock fills repositories: path:tag -> digest.
func (w *world) stock(t *testing.T, tags map[string]string) {
	t.Helper()
	for _, at := range slices.Sorted(maps.Keys(tags)) {
		path, tag, _ := strings.Cut(at, ":")
		tenant, name, _ := strings.Cut(path, "/")
		v := w.node.View()
		tn, ok := v.TenantByName(tenant)
		if !ok {
			w.propose(t, &command.PutTenant{Tenant: model.Tenant{Meta: model.Meta{ID: "t-" + tenant, Name: tenant}}})
			tn, _ = w.node.View().TenantByName(tenant)
		}
		r, ok := v.RepositoryByPath(path)
		if !ok {
			spec := model.RepositorySpec{Visibility: model.VisibilityTenant}
			if tenant == model.LibraryTenant {
				spec.Visibility = model.VisibilityPublic
			}
			w.propose(t, &command.PutRepository{Repository: model.Repository{Meta: model.Meta{ID: command.NewID(), Name: name}, TenantID: tn.ID, Spec: spec}, ExpectVersion: command.MustNotExist})
			r, _ = w.node.View().RepositoryByPath(path)
		}
		layer := "sha256:" + strings.Repeat("0", 56) + tags[at][7:15] // one of its own for each image
		w.propose(t, &command.LinkBlobs{Links: []model.BlobLink{{RepositoryID: r.ID, Digest: layer, Size: 1000}}},
			&command.PutManifest{Tags: []string{tag}, Manifest: model.Manifest{RepositoryID: r.ID,
				Descriptor: model.Descriptor{Digest: tags[at], Size: 10, MediaType: "application/vnd.oci.image.manifest.v1+json"}, Refs: []model.Descriptor{{Digest: layer, Size: 1000}}}})
	}
}

func (w *world) propose(t *testing.T, cmds ...command.Command) {
	t.Helper()
	if _, err := w.node.Propose(t.Context(), cmds...); err != nil {
		t.Fatal(err)
	}
}

func dig(c string) string { return "sha256:" + strings.Repeat(c, 64) }

// TestNamesMeanRepositories holds the order in which a name is looked for.
func TestNamesMeanRepositories(t *testing.T) {
	w := newWorld(t)
	w.desk.cfg.OwnHost = func(h string) bool { return h == "10.0.0.5:7443" }
	w.stock(t, map[string]string{
		"default/web:1": dig("1"), "default/team/api:1": dig("2"), "library/web:1": dig("3"), "library/nginx:1": dig("4"),
		"team/api:1": dig("5"), "other/secret:1": dig("6"), "shared/tool:1": dig("7"),
	})
	shared, _ := w.node.View().RepositoryByPath("shared/tool")
	open := *shared
	open.Spec.Visibility = model.VisibilityPublic
	w.propose(t, &command.PutRepository{Repository: open, ExpectVersion: command.AnyVersion})
	for in, want := range map[string]string{
		"web:1":                           "skerry.internal/default/web:1 " + dig("1"),
		"web":                             "docker.io/library/web:latest " + digestA, // the image row: no repository has the tag
		"default/web:1":                   "skerry.internal/default/web:1 " + dig("1"),
		"library/web:1":                   "skerry.internal/library/web:1 " + dig("3"),
		"nginx:1":                         "skerry.internal/library/nginx:1 " + dig("4"),
		"team/api:1":                      "skerry.internal/default/team/api:1 " + dig("2"), // the own tenant's comes first
		"shared/tool:1":                   "skerry.internal/shared/tool:1 " + dig("7"),
		"10.0.0.5:7443/shared/tool:1":     "skerry.internal/shared/tool:1 " + dig("7"),
		"10.0.0.5:7443/web:1":             "skerry.internal/default/web:1 " + dig("1"),
		"skerry.internal/default/web:1":   "skerry.internal/default/web:1 " + dig("1"),
		"default/web@" + dig("1"):         "skerry.internal/default/web " + dig("1"),
		"default/web:1@" + dig("1"):       "skerry.internal/default/web:1 " + dig("1"),
		"other/secret:1":                  "image_not_found", // asked upstream, which has none
		"10.0.0.5:7443/other/secret:1":    "image_not_found",
		"10.0.0.5:7443/default/web:2":     "tag_unknown",
		"default/web@" + dig("9"):         "manifest_unknown",
		"default/web:2":                   "tag_unknown", // nobody outside has it either
		"10.0.0.5:7443/web@" + dig("9"):   "manifest_unknown",
		"docker.io/library/nginx:1":       "image_not_found", // a foreign host is never a repository of ours
		"docker.io/library/web":           "docker.io/library/web:latest " + digestA,
		"10.0.0.5:7443/nobody/anything:1": "image_not_found",
	} {
		full, digest, err := w.desk.resolve(t.Context(), w.developer(), in, api.PullPolicyMissing, quiet)
		got := full + " " + digest
		if err != nil {
			got = model.CodeOf(err)
		}
		if got != want {
			t.Errorf("%s: %s (%v), want %s", in, got, err, want)
		}
	}
	if !slices.Contains(w.shelf.adopted, dig("7")) || slices.Contains(w.shelf.adopted, digestA) {
		t.Errorf("the engine was asked to take %v", w.shelf.adopted)
	}
}

func TestDestination(t *testing.T) {
	w := newWorld(t)
	w.stock(t, map[string]string{"default/team/api:1": dig("2"), "team/api:1": dig("5"), "mine/x:1": dig("6")})
	dev := w.developer()
	dev.Principal.Tenants = map[string]model.Role{w.tenant: model.RoleDeveloper, "t-mine": model.RoleViewer}
	ours := func(h string) bool { return h == "me:1" }
	for _, c := range []struct {
		by   access.Caller
		name string
		want string
	}{
		{dev, "web:1", "default/web"}, {dev, "default/web", "default/web"}, {dev, "team/api:2", "default/team/api"}, {dev, "team/new:2", "default/team/new"},
		{dev, "mine/x:2", "mine/x"}, {dev, "library/x", "default/library/x"}, {dev, "me:1/team/new", "not_found"}, {dev, "me:1/default/new", "default/new"}, {dev, "me:1/new", "default/new"},
		{w.admin(), "team/new", "team/new"}, {w.admin(), "library/x", "library/x"}, {w.admin(), "me:1/team/new", "team/new"}, {w.admin(), "nobody/x", "default/nobody/x"},
	} {
		n, err := parseImage(c.name, ours)
		if err != nil {
			t.Fatal(err)
		}
		tenant, name, err := destination(w.node.View(), c.by, n)
		got := tenant + "/" + name
		if err != nil {
			got = model.CodeOf(err)
		}
		if got != c.want {
			t.Errorf("%s by %s: %s, want %s", c.name, c.by.Principal.Name, got, c.want)
		}
	}
}

// TestRollbackToWhatARepositoryHolds holds what becomes of revisions whose image
// was deleted: what runs may go on and change, others are refused in words.
func TestRollbackToWhatARepositoryHolds(t *testing.T) {
	w := newWorld(t)
	w.stock(t, map[string]string{"default/web:1": dig("1"), "default/web:2": dig("2")})
	spec := model.ServiceSpec{Replicas: 1, Container: model.ContainerSpec{Image: "default/web:1"}}
	app, err := w.desk.CreateApp(t.Context(), w.developer(), api.AppChange{Name: "shop", Services: map[string]model.ServiceSpec{"web": spec}}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	svc, _ := w.node.View().ServiceByName(app.ID, "web")
	update := func(c api.ServiceChange) error {
		_, err := w.desk.UpdateService(t.Context(), w.developer(), svc.ID, command.AnyVersion, c, quiet)
		return err
	}
	if err := update(api.ServiceChange{Image: "web:2"}); err != nil {
		t.Fatal(err)
	}
	w.stock(t, map[string]string{"default/web:2": dig("3")}) // the tag moves
	env := svc.Spec.Container.Clone()
	env.Image = ""
	env.Env = []model.EnvVar{{Name: "A", Value: "1"}}
	if err := update(api.ServiceChange{Container: &env}); err != nil {
		t.Fatal(err)
	}
	if now, _ := w.node.View().Service(svc.ID); now.Spec.Container.ImageDigest != dig("2") {
		t.Errorf("a change of the environment moved the image to %s", now.Spec.Container.ImageDigest)
	}
	if err := update(api.ServiceChange{Container: &env, Pull: api.PullPolicyAlways}); err != nil {
		t.Fatal(err)
	}
	if now, _ := w.node.View().Service(svc.ID); now.Spec.Container.ImageDigest != dig("3") {
		t.Errorf("--pull always kept %s", now.Spec.Container.ImageDigest)
	}
	if _, err := w.desk.RollbackApp(t.Context(), w.developer(), app.ID, command.AnyVersion, 1, quiet); err != nil {
		t.Errorf("back to what is there: %v", err)
	}
	r, _ := w.node.View().RepositoryByPath("default/web")
	if _, err := w.desk.DeleteManifest(t.Context(), w.developer(), r, dig("1"), false); model.CodeOf(err) != "image_in_use" {
		t.Errorf("deleted what runs: %v", err)
	}
	for _, d := range []string{dig("1"), dig("2")} {
		if _, err := w.desk.DeleteManifest(t.Context(), w.developer(), r, d, true); err != nil {
			t.Fatal(err)
		}
	}
	env.Env[0].Value = "2"
	if err := update(api.ServiceChange{Container: &env}); err != nil {
		t.Errorf("what runs may not change any more: %v", err)
	}
	_, err = w.desk.RollbackApp(t.Context(), w.developer(), app.ID, command.AnyVersion, 2, quiet)
	if model.CodeOf(err) != "manifest_unknown" || !strings.Contains(err.Error(), "default/web does not hold "+dig("2")) {
		t.Errorf("back to what was deleted: %v", err)
	}
}

// TestFreed adds up what a deletion gives back: shared and used content stays.
func TestFreed(t *testing.T) {
	w := newWorld(t)
	w.stock(t, map[string]string{"default/web:1": dig("1"), "default/web:2": dig("2"), "other/web:1": dig("2")})
	r, _ := w.node.View().RepositoryByPath("default/web")
	frees := func(d string) int64 {
		n, err := w.desk.FreesManifest(t.Context(), r, d)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := frees(dig("1")); n != 1010 {
		t.Errorf("an image of its own frees %d", n)
	}
	if n := frees(dig("2")); n != 0 {
		t.Errorf("what another tenant holds too frees %d", n)
	}
	w.shelf.parts = map[string]map[string]int64{"sha256:pulled": {"sha256:" + strings.Repeat("0", 56) + "11111111": 1000}}
	if n := frees(dig("1")); n != 10 {
		t.Errorf("with its layer in a pulled image it frees %d", n)
	}
	w.shelf.parts = nil
	freed, err := w.desk.DeleteTag(t.Context(), w.developer(), r, "1")
	if err != nil || freed != 1010 {
		t.Errorf("delete the tag: %d %v", freed, err)
	}
	if _, there := w.node.View().Manifest(r.ID, dig("1")); there {
		t.Error("the manifest of the only tag stays")
	}
	if _, err := w.desk.CreateApp(t.Context(), w.developer(), api.AppChange{Name: "shop", Services: map[string]model.ServiceSpec{"web": {Replicas: 1, Container: model.ContainerSpec{Image: "web:2"}}}}, quiet); err != nil {
		t.Fatal(err)
	}
	if freed, err := w.desk.DeleteTag(t.Context(), w.developer(), r, "2"); err != nil || freed != 0 {
		t.Errorf("delete the tag of what runs: %d %v", freed, err)
	}
	if _, there := w.node.View().Manifest(r.ID, dig("2")); !there {
		t.Error("the manifest of what runs went with its tag")
	}
	if _, err := w.desk.DeleteRepository(t.Context(), w.developer(), r, command.AnyVersion, false); model.CodeOf(err) != "image_in_use" || !strings.Contains(err.Error(), "shop.web") {
		t.Errorf("deleted a repository in use: %v", err)
	}
	if _, err := w.desk.DeleteRepository(t.Context(), w.developer(), r, command.AnyVersion, true); err != nil {
		t.Error(err)
	}
}

// TestForeignRepositories holds that the gate's tenant is no right to another
// tenant's repository.
func TestForeignRepositories(t *testing.T) {
	w := newWorld(t)
	w.stock(t, map[string]string{"library/nginx:1": dig("4")})
	r, _ := w.node.View().RepositoryByPath("library/nginx")
	dev := w.developer()
	for what, err := range map[string]error{
		"update": func() error {
			_, err := w.desk.UpdateRepository(t.Context(), dev, r, command.AnyVersion, model.RepositorySpec{Visibility: model.VisibilityPrivate})
			return err
		}(),
		"delete": func() error {
			_, err := w.desk.DeleteRepository(t.Context(), dev, r, command.AnyVersion, true)
			return err
		}(),
		"tag":      w.desk.PutTag(t.Context(), dev, r, "2", dig("4")),
		"untag":    func() error { _, err := w.desk.DeleteTag(t.Context(), dev, r, "1"); return err }(),
		"manifest": func() error { _, err := w.desk.DeleteManifest(t.Context(), dev, r, "1", true); return err }(),
	} {
		if model.KindOf(err) != model.KindDenied {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, name := range []string{"", "Web", "a//b", "../x", strings.Repeat("a", 256)} {
		if _, err := w.desk.CreateRepository(t.Context(), dev, api.RepositoryInput{Name: name}); model.KindOf(err) != model.KindInvalid {
			t.Errorf("made %q: %v", name, err)
		}
	}
	for _, spec := range []model.RepositorySpec{{Visibility: "secret"}, {Description: strings.Repeat("x", 5000)}, {Labels: map[string]string{"": "x"}}} {
		if _, err := w.desk.CreateRepository(t.Context(), dev, api.RepositoryInput{Name: "x", Spec: spec}); model.KindOf(err) != model.KindInvalid {
			t.Errorf("made %s: %v", fmt.Sprint(spec)[:20], err)
		}
	}
	if got, err := w.desk.CreateRepository(t.Context(), dev, api.RepositoryInput{Name: "team/x"}); err != nil || got.Spec.Visibility != model.VisibilityTenant || got.CreatedBy != "u" {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := w.desk.CreateRepository(t.Context(), dev, api.RepositoryInput{Name: "team/x"}); model.CodeOf(err) != "name_taken" {
		t.Errorf("made twice: %v", err)
	}
}
