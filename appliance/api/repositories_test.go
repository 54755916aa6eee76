package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// fakeRegistry is a small working registry: rows are really written, content is
// counted and not there.
type fakeRegistry struct{ r *rig }

func (f fakeRegistry) may(c access.Caller, o *model.Repository) error {
	if !access.MayWrite(&c.Principal, o) {
		return model.Errorf(model.KindDenied, "denied", "you may not write here")
	}
	return nil
}

func (f fakeRegistry) CreateRepository(ctx context.Context, c access.Caller, in RepositoryInput) (*model.Repository, error) {
	o := model.Repository{Meta: model.Meta{ID: command.NewID(), Name: in.Name}, TenantID: c.TenantID(), CreatedBy: c.Principal.UserID, Spec: in.Spec}
	if _, err := f.r.node.Propose(ctx, &command.PutRepository{Head: command.By(c.Origin), Repository: o, ExpectVersion: command.MustNotExist}); err != nil {
		return nil, err
	}
	got, _ := f.r.node.View().Repository(o.ID)
	return got, nil
}

func (f fakeRegistry) UpdateRepository(ctx context.Context, c access.Caller, o *model.Repository, expect uint64, spec model.RepositorySpec) (*model.Repository, error) {
	if err := f.may(c, o); err != nil {
		return nil, err
	}
	next := *o
	next.Spec = spec
	if _, err := f.r.node.Propose(ctx, &command.PutRepository{Head: command.By(c.Origin), Repository: next, ExpectVersion: expect}); err != nil {
		return nil, err
	}
	got, _ := f.r.node.View().Repository(o.ID)
	return got, nil
}

func (f fakeRegistry) DeleteRepository(ctx context.Context, c access.Caller, o *model.Repository, expect uint64, _ bool) (int64, error) {
	if err := f.may(c, o); err != nil {
		return 0, err
	}
	_, err := f.r.node.Propose(ctx, &command.DeleteRepository{Head: command.By(c.Origin), ID: o.ID, ExpectVersion: expect})
	return 7, err
}

func (f fakeRegistry) PutTag(ctx context.Context, c access.Caller, o *model.Repository, tag, digest string) error {
	if err := f.may(c, o); err != nil {
		return err
	}
	_, err := f.r.node.Propose(ctx, &command.PutTag{Head: command.By(c.Origin), RepositoryID: o.ID, Name: tag, Digest: digest})
	return err
}

func (f fakeRegistry) DeleteTag(ctx context.Context, c access.Caller, o *model.Repository, tag string) (int64, error) {
	if err := f.may(c, o); err != nil {
		return 0, err
	}
	_, err := f.r.node.Propose(ctx, &command.DeleteTag{Head: command.By(c.Origin), RepositoryID: o.ID, Name: tag})
	return 5, err
}

func (f fakeRegistry) DeleteManifest(ctx context.Context, c access.Caller, o *model.Repository, reference string, _ bool) (int64, error) {
	if err := f.may(c, o); err != nil {
		return 0, err
	}
	_, err := f.r.node.Propose(ctx, &command.DeleteManifest{Head: command.By(c.Origin), RepositoryID: o.ID, Digest: reference})
	return 6, err
}

func (f fakeRegistry) PushImage(_ context.Context, c access.Caller, ref string, in PushInput, report Report) (*PushResult, error) {
	report(Progress{Step: "pushing", ID: ref})
	return &PushResult{Name: in.To, Digest: "sha256:" + strings.Repeat("a", 64)}, nil
}
func (f fakeRegistry) FreesImage(context.Context, *model.Image) (int64, error) { return 11, nil }
func (f fakeRegistry) FreesManifest(context.Context, *model.Repository, string) (int64, error) {
	return 12, nil
}
func (f fakeRegistry) Address() RegistryAddress {
	return RegistryAddress{Hosts: []string{"10.0.0.5:7443"}, TrustHost: "10.0.0.5:7443", CAPEM: "PEM\n", CAFingerprint: "sha256:1"}
}
func (f fakeRegistry) Usage(context.Context) (RegistryUsage, error) {
	return RegistryUsage{Blobs: 3}, nil
}
func (f fakeRegistry) Collect(context.Context) (CollectResult, error) {
	return CollectResult{Blobs: 1, Bytes: 2}, nil
}
func (f fakeRegistry) ManifestConfig(context.Context, model.Descriptor) (*ImageConfig, []ImageLayer, error) {
	return nil, nil, model.Errorf(model.KindNotFound, "no_image", "no image")
}
func (f fakeRegistry) ExportManifest(_ context.Context, d model.Descriptor, name string, w io.Writer) error {
	_, err := fmt.Fprint(w, name)
	return err
}

// shelf is a registry with repositories in both tenants, and people.
func shelf(t *testing.T) (*rig, map[string]edit) {
	t.Helper()
	r := newRig(t)
	r.server.cfg.Registry, r.server.cfg.RegistryNode = fakeRegistry{r}, fakeRegistry{r}
	who := map[string]edit{"admin": bearer(r.admin())}
	for name, spec := range map[string]model.UserSpec{
		"ada": {Tenants: map[string]model.Role{r.own: model.RoleDeveloper}}, "eve": {Tenants: map[string]model.Role{r.own: model.RoleDeveloper}},
		"vic": {Tenants: map[string]model.Role{r.own: model.RoleViewer}},
		"bob": {Tenants: map[string]model.Role{r.other: model.RoleDeveloper}},
		"two": {Tenants: map[string]model.Role{r.own: model.RoleViewer, r.other: model.RoleOwner}},
	} {
		id := r.user(name, spec)
		who[name] = bearer(r.token("t-"+name, id, "", model.RoleOwner, time.Now().Add(time.Hour)))
	}
	who["nobody"] = func(*http.Request) {}
	digest := "sha256:" + strings.Repeat("a", 64)
	for _, o := range []model.Repository{
		{Meta: model.Meta{ID: "r-open", Name: "open"}, TenantID: r.own, Spec: model.RepositorySpec{Visibility: model.VisibilityPublic}},
		{Meta: model.Meta{ID: "r-ours", Name: "team/ours"}, TenantID: r.own, Spec: model.RepositorySpec{Visibility: model.VisibilityTenant}},
		{Meta: model.Meta{ID: "r-mine", Name: "mine"}, TenantID: r.own, CreatedBy: r.users["ada"], Spec: model.RepositorySpec{Visibility: model.VisibilityPrivate}},
		{Meta: model.Meta{ID: "r-theirs", Name: "theirs"}, TenantID: r.other, Spec: model.RepositorySpec{Visibility: model.VisibilityTenant}},
	} {
		layer := "sha256:" + strings.Repeat("b", 64)
		r.propose(&command.PutRepository{Repository: o, ExpectVersion: command.MustNotExist}, &command.LinkBlobs{Links: []model.BlobLink{{RepositoryID: o.ID, Digest: layer, Size: 90}}},
			&command.PutManifest{Tags: []string{"1"}, Manifest: model.Manifest{RepositoryID: o.ID, Descriptor: model.Descriptor{Digest: digest, Size: 10, MediaType: "m", Platform: "linux/amd64"},
				Refs: []model.Descriptor{{Digest: layer, Size: 90}}}})
	}
	return r, who
}

// TestRepositoryMatrix walks who may read and change what, whatever way the
// repository is named.
func TestRepositoryMatrix(t *testing.T) {
	r, who := shelf(t)
	own, _ := r.node.View().Tenant(r.own)
	other, _ := r.node.View().Tenant(r.other)
	id := map[string]string{own.Name + "%2Fopen": "r-open", own.Name + "%2Fteam%2Fours": "r-ours", own.Name + "%2Fmine": "r-mine", other.Name + "%2Ftheirs": "r-theirs"}
	for path, want := range map[string]map[string]string{ // who: read/write
		own.Name + "%2Fopen":        {"admin": "200/200", "ada": "200/200", "vic": "200/403", "bob": "200/403", "two": "200/403", "nobody": "401/401"},
		own.Name + "%2Fteam%2Fours": {"admin": "200/200", "ada": "200/200", "vic": "200/403", "bob": "404/404", "two": "200/403", "nobody": "401/401"},
		own.Name + "%2Fmine":        {"admin": "200/200", "ada": "200/200", "eve": "404/404", "vic": "404/403", "bob": "404/404", "two": "404/403", "nobody": "401/401"},
		other.Name + "%2Ftheirs":    {"admin": "200/200", "ada": "404/404", "vic": "404/403", "bob": "200/200", "two": "200/200", "nobody": "401/401"},
		other.Name + "%2Fmissing":   {"admin": "404/404", "ada": "404/404", "vic": "404/403", "bob": "404/404"},
		"nobody%2Fmissing":          {"admin": "404/404", "ada": "404/404", "vic": "404/403"},
		"..%2F..%2Fetc":             {"admin": "404/404", "ada": "404/404"},
		strings.Repeat("x", 300):    {"ada": "404/404"},
	} {
		for name, codes := range want {
			for _, ref := range []string{path, id[path]} {
				if ref == "" {
					continue
				}
				o, _ := r.node.View().Repository(id[path])
				spec := model.RepositorySpec{Visibility: model.VisibilityTenant}
				if o != nil {
					spec = o.Spec
				}
				read := r.do(http.MethodGet, "/repositories/"+ref, nil, who[name])
				write := r.do(http.MethodPut, "/repositories/"+ref, spec, who[name])
				if got := fmt.Sprintf("%d/%d", read.status, write.status); got != codes {
					t.Errorf("%s at %s: %s, want %s\n%s\n%s", name, ref, got, codes, read.body, write.body)
				}
				for _, below := range []string{"/tags", "/manifests/1", "/manifests/1/export"} {
					if got := r.do(http.MethodGet, "/repositories/"+ref+below, nil, who[name]); fmt.Sprint(got.status) != codes[:3] {
						t.Errorf("%s at %s%s: %d, want %s", name, ref, below, got.status, codes[:3])
					}
				}
			}
		}
	}
}

// telling is a node that has the content of everything.
type telling struct{ fakeRegistry }

func (telling) ManifestConfig(context.Context, model.Descriptor) (*ImageConfig, []ImageLayer, error) {
	return &ImageConfig{User: "of-somebody"}, nil, nil
}

// TestMirroredNamesGiveNoContent: a stranger's manifest that was pulled through may
// name what only another tenant has shown to have.
func TestMirroredNamesGiveNoContent(t *testing.T) {
	r, who := shelf(t)
	r.server.cfg.RegistryNode = telling{fakeRegistry{r}}
	dig := func(c string) string { return "sha256:" + strings.Repeat(c, 64) }
	config := model.Descriptor{Digest: dig("c"), Size: 5, MediaType: "application/vnd.oci.image.config.v1+json"}
	image := model.Descriptor{Digest: dig("d"), Size: 10, MediaType: model.MediaTypeOCIManifest}
	r.propose(&command.CacheManifest{UpstreamID: model.DefaultUpstream, RepositoryID: "r-far", Name: "docker.io/evil/x", Tags: []string{"1"}, Manifest: model.Manifest{Descriptor: image, Refs: []model.Descriptor{config}}},
		&command.CacheManifest{UpstreamID: model.DefaultUpstream, RepositoryID: "r-far", Name: "docker.io/evil/x", Tags: []string{"all"},
			Manifest: model.Manifest{Descriptor: model.Descriptor{Digest: dig("e"), Size: 10, MediaType: model.MediaTypeOCIIndex}, Refs: []model.Descriptor{{Digest: dig("f"), Size: 10, MediaType: model.MediaTypeOCIManifest}}}})
	shows := func(tag string) bool {
		t.Helper()
		var d ManifestDetail
		r.do(http.MethodGet, "/repositories/docker.io%2Fevil%2Fx/manifests/"+tag, nil, who["ada"]).into(t, &d)
		return d.Config != nil
	}
	for _, tag := range []string{"1", "all"} {
		if shows(tag) {
			t.Errorf("%s shows a configuration that the upstream did not send", tag)
		}
		if got := r.do(http.MethodGet, "/repositories/docker.io%2Fevil%2Fx/manifests/"+tag+"/export", nil, who["ada"]); got.status != http.StatusConflict {
			t.Errorf("%s is exported: %d", tag, got.status)
		}
	}
	r.propose(&command.LinkBlobs{Links: []model.BlobLink{{RepositoryID: "r-far", Digest: config.Digest, Size: 5}, {RepositoryID: "r-far", Digest: dig("f"), Size: 10}}})
	if shows("all") {
		t.Error("an index whose manifest was fetched as a blob shows what that names")
	}
	if !shows("1") {
		t.Error("what the upstream sent is not shown")
	}
}

func TestRepositoryListing(t *testing.T) {
	r, who := shelf(t)
	for name, want := range map[string][]string{
		"ada": {"mine", "open", "team/ours"}, "eve": {"open", "team/ours"}, "bob": {"open", "theirs"}, "admin": {"mine", "open", "team/ours"},
	} {
		var l RepositoryList
		r.do(http.MethodGet, "/repositories", nil, who[name]).into(t, &l)
		got := []string{}
		for _, o := range l.Items {
			got = append(got, o.Name)
			if o.Status.Tags != 1 || o.Status.SizeBytes != 100 || o.Path == o.Name || o.Status.Writable == (name == "bob" && o.Name == "open") {
				t.Errorf("%s: %+v", name, o)
			}
		}
		if len(got) != len(want) || !sameSet(got, want) {
			t.Errorf("%s lists %v, want %v", name, got, want)
		}
	}
	var all RepositoryList
	r.do(http.MethodGet, "/repositories?tenant=*", nil, who["admin"]).into(t, &all)
	if len(all.Items) != 4 {
		t.Errorf("everything: %+v", all)
	}
	var filtered RepositoryList
	r.do(http.MethodGet, "/repositories?name=team", nil, who["ada"]).into(t, &filtered)
	if len(filtered.Items) != 1 {
		t.Errorf("filtered: %+v", filtered)
	}
}

func sameSet(a, b []string) bool {
	in := map[string]int{}
	for _, s := range a {
		in[s]++
	}
	for _, s := range b {
		in[s]--
	}
	for _, n := range in {
		if n != 0 {
			return false
		}
	}
	return true
}

func TestRepositoryLife(t *testing.T) {
	r, who := shelf(t)
	var made Repository
	r.do(http.MethodPost, "/repositories", RepositoryInput{Name: "new", Spec: model.RepositorySpec{Visibility: model.VisibilityTenant}}, who["ada"]).into(t, &made)
	if made.Path == "" || made.CreatedBy != "ada" || !made.Status.Writable {
		t.Errorf("%+v", made)
	}
	if got := r.do(http.MethodPut, "/repositories/"+made.ID, made.Spec, who["ada"], header("If-Match", `"1"`)); got.status != http.StatusPreconditionFailed {
		t.Errorf("a stale change: %d", got.status)
	}
	var tags TagList
	r.do(http.MethodGet, "/repositories/open/tags", nil, who["ada"]).into(t, &tags)
	if len(tags.Items) != 1 || tags.Items[0].SizeBytes != 100 || len(tags.Items[0].Platforms) != 1 {
		t.Errorf("%+v", tags)
	}
	var tag Tag
	r.do(http.MethodPut, "/repositories/open/tags/2", TagInput{Digest: tags.Items[0].Digest}, who["ada"]).into(t, &tag)
	if tag.Name != "2" || tag.UpdatedBy == "" {
		t.Errorf("%+v", tag)
	}
	var d ManifestDetail
	r.do(http.MethodGet, "/repositories/open/manifests/2", nil, who["ada"]).into(t, &d)
	if !strings.HasSuffix(d.Name, "/open:2") || len(d.Tags) != 2 || d.FreesBytes != 12 || d.SizeBytes != 100 {
		t.Errorf("%+v", d)
	}
	for _, bad := range []string{"/repositories/open/tags/3", "/repositories/open/tags/.x"} {
		if got := r.do(http.MethodPut, bad, TagInput{Digest: "sha256:" + strings.Repeat("9", 64)}, who["ada"]); got.status != 404 && got.status != 400 {
			t.Errorf("%s: %d", bad, got.status)
		}
	}
	if got := r.do(http.MethodPut, "/repositories/open/tags/3", map[string]any{}, who["ada"]); got.status != http.StatusBadRequest {
		t.Errorf("a tag of nothing: %d", got.status)
	}
	var freed Freed
	r.do(http.MethodDelete, "/repositories/open/tags/2", nil, who["ada"]).into(t, &freed)
	r.do(http.MethodDelete, "/repositories/new", nil, who["ada"]).into(t, &freed)
	if freed.Bytes != 7 {
		t.Errorf("%+v", freed)
	}
	var pushed PushResult
	r.do(http.MethodPost, "/images/web/pushes", PushInput{To: "web:1"}, who["ada"]).into(t, &pushed)
	if pushed.Name != "web:1" {
		t.Errorf("%+v", pushed)
	}
	if got := r.do(http.MethodPost, "/images/web/pushes", PushInput{}, who["ada"]); got.status != http.StatusBadRequest {
		t.Errorf("a push to nowhere: %d", got.status)
	}
	var reg Registry
	r.do(http.MethodGet, "/registry", nil, who["vic"]).into(t, &reg)
	if len(reg.Trust) != 9 || reg.Blobs != 3 || reg.Hosts[0] != "10.0.0.5:7443" {
		t.Errorf("%+v", reg)
	}
	if got := r.do(http.MethodPost, "/registry/collections", nil, who["ada"]); got.status != http.StatusForbidden {
		t.Errorf("a developer collects: %d", got.status)
	}
}

// into reads a good answer.
func (a answer) into(t testing.TB, v any) {
	t.Helper()
	if a.status >= 300 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
}
