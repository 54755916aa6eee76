package state_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// dig is a digest of one repeated digit.
func dig(c byte) string { return "sha256:" + strings.Repeat(string(c), 64) }

func repository(id, tenant, name string) *command.PutRepository {
	return &command.PutRepository{Head: by("ada"), Repository: model.Repository{Meta: model.Meta{ID: id, Name: name}, TenantID: tenant, CreatedBy: "u1",
		Spec: model.RepositorySpec{Visibility: model.VisibilityTenant}}}
}

func link(repo string, digests ...string) *command.LinkBlobs {
	c := &command.LinkBlobs{Head: by("ada")}
	for _, d := range digests {
		c.Links = append(c.Links, model.BlobLink{RepositoryID: repo, Digest: d, Size: 10})
	}
	return c
}

func manifest(repo, digest string, refs []string, tags ...string) *command.PutManifest {
	m := model.Manifest{RepositoryID: repo, Descriptor: model.Descriptor{MediaType: model.MediaTypeOCIManifest, Digest: digest, Size: 100}}
	for _, r := range refs {
		m.Refs = append(m.Refs, model.Descriptor{MediaType: "application/octet-stream", Digest: r, Size: 10})
	}
	return &command.PutManifest{Head: by("ada"), Manifest: m, Tags: tags}
}

func index(repo, digest string, refs []string, tags ...string) *command.PutManifest {
	c := manifest(repo, digest, refs, tags...)
	c.Manifest.Descriptor.MediaType = model.MediaTypeOCIIndex
	for i := range c.Manifest.Refs {
		c.Manifest.Refs[i].MediaType, c.Manifest.Refs[i].Size = model.MediaTypeOCIManifest, 100
	}
	return c
}

func unlink(repo, digest string, at time.Time) *command.UnlinkBlobs {
	return &command.UnlinkBlobs{Head: by("ada"), Items: []model.BlobLink{{RepositoryID: repo, Digest: digest, LinkedAt: at}}}
}

func TestRepositories(t *testing.T) {
	w := newWorld(t)
	w.ok(repository("r1", "t1", "shop/web"), repository("r2", "t2", "shop/web"))
	for _, tt := range []struct {
		c    *command.PutRepository
		want string
	}{
		{repository("r3", "t1", "shop/web"), "name_taken"},
		{repository("r1", "t1", "other"), "already_exists"},
		{repository("", "t1", "x"), "id_missing"},
		{repository("r3", "nobody", "x"), "not_found"},
		{repository("r3", "t1", ""), "name_invalid"},
		{&command.PutRepository{Head: by("ada"), Repository: model.Repository{Meta: model.Meta{ID: "r3", Name: "x"}, TenantID: "t1", Spec: model.RepositorySpec{Visibility: "secret"}}}, "visibility_invalid"},
		{&command.PutRepository{Head: by("ada"), ExpectVersion: 99, Repository: model.Repository{Meta: model.Meta{ID: "r1", Name: "shop/web"}, Spec: model.RepositorySpec{Visibility: model.VisibilityPublic}}}, "stale_version"},
		{&command.PutRepository{Head: by("ada"), ExpectVersion: command.AnyVersion, Repository: model.Repository{Meta: model.Meta{ID: "r1", Name: "y"}, Spec: model.RepositorySpec{Visibility: model.VisibilityPublic}}}, "name_fixed"},
		{&command.PutRepository{Head: by("ada"), ExpectVersion: command.AnyVersion, Repository: model.Repository{Meta: model.Meta{ID: "r1", Name: "shop/web"}, TenantID: "t2", Spec: model.RepositorySpec{Visibility: model.VisibilityPublic}}}, "repository_fixed"},
		{&command.PutRepository{Head: by("ada"), Repository: model.Repository{Meta: model.Meta{ID: "r3", Name: "docker.io/x"}, TenantID: "t1", UpstreamID: "up", Spec: model.RepositorySpec{Visibility: model.VisibilityPublic}}}, "repository_fixed"},
	} {
		if err := w.refused(tt.c); err.Code != tt.want {
			t.Errorf("%+v: %v, want %s", tt.c.Repository, err, tt.want)
		}
	}
	public := repository("r1", "t1", "shop/web")
	public.ExpectVersion, public.Repository.Spec.Visibility, public.Repository.CreatedBy = command.AnyVersion, model.VisibilityPublic, "somebody else"
	w.ok(public)
	upstream := repository("r9", "", "docker.io/library/nginx")
	upstream.Repository.UpstreamID = "up"
	w.ok(upstream)
	v := w.store.View()
	r, ok := v.RepositoryByPath("default/shop/web")
	if !ok || r.ID != "r1" || r.CreatedBy != "u1" || v.RepositoryPath(r) != "default/shop/web" {
		t.Fatalf("%+v", r)
	}
	if r, ok := v.RepositoryByPath("docker.io/library/nginx"); !ok || r.ID != "r9" {
		t.Fatal("an upstream's repository is not found by its path")
	}
	for _, bad := range []string{"", "/", "web", "default/", "/shop/web", "nobody/shop/web", "default/shop"} {
		if r, ok := v.RepositoryByPath(bad); ok {
			t.Errorf("%q is %s", bad, r.ID)
		}
	}
	for _, tt := range []struct {
		scope     state.Scope
		ref, want string
	}{
		{state.InTenant("t1"), "shop/web", "r1"}, {state.InTenant("t2"), "shop/web", "r2"}, {state.InTenant("t2"), "default/shop/web", "r1"},
		{state.InTenant("t1"), "other/shop/web", "not_found"}, {state.InTenant("t1"), "r2", "not_found"}, {state.InTenant("t2"), "r1", "r1"},
		{state.AllTenants(), "other/shop/web", "r2"}, {state.AllTenants(), "shop/web", "name_ambiguous"}, {state.Scope{}, "r1", "not_found"},
	} {
		r, err := v.FindRepository(tt.scope, tt.ref)
		got := model.CodeOf(err)
		if err == nil {
			got = r.ID
		}
		if got != tt.want {
			t.Errorf("%+v %s: %s, want %s", tt.scope, tt.ref, got, tt.want)
		}
	}
	ids := func(s state.Scope) (out []string) {
		l, err := v.ListRepositories(s, state.Page{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range l.Items {
			out = append(out, r.ID)
		}
		return out
	}
	if got := fmt.Sprint(ids(state.InTenant("t1")), ids(state.InTenant("t2")), ids(state.Scope{}), len(ids(state.AllTenants()))); got != "[r1] [r1 r2] [] 3" {
		t.Fatal(got)
	}
	if err := w.refused(&command.DeleteTenant{Head: by("ada"), ID: "t2"}); err.Code != "tenant_in_use" {
		t.Fatal(err)
	}
	w.ok(&command.DeleteRepository{Head: by("ada"), ID: "r2"}, &command.DeleteTenant{Head: by("ada"), ID: "t2"})
}

func TestManifests(t *testing.T) {
	w := newWorld(t)
	w.ok(repository("r1", "t1", "web"), repository("r2", "t2", "web"), link("r1", dig('a'), dig('b')))
	wrongSize := manifest("r1", dig('1'), []string{dig('a')})
	wrongSize.Manifest.Refs[0].Size = 11
	twice := manifest("r1", dig('1'), []string{dig('a'), dig('a')})
	blobAsChild := index("r1", dig('2'), []string{dig('a')})
	blobAsChild.Manifest.Refs[0].Size = 10
	long := manifest("r1", dig('1'), nil)
	long.Manifest.Descriptor.Annotations = map[string]string{"a": strings.Repeat("x", state.MaxManifestAnnotations)}
	many := manifest("r1", dig('1'), nil)
	for i := range state.MaxManifestRefs + 1 {
		many.Manifest.Refs = append(many.Manifest.Refs, model.Descriptor{Digest: fmt.Sprintf("sha256:%064x", i), Size: 1})
	}
	empty := manifest("r1", dig('1'), nil)
	empty.Manifest.Descriptor.Size = 0
	subject := manifest("r1", dig('1'), nil)
	subject.Manifest.Subject = "../../etc/passwd"
	for _, tt := range []struct {
		c    command.Command
		want string
	}{
		{manifest("r1", dig('1'), []string{dig('c')}), "blob_unknown"},
		{manifest("r2", dig('1'), []string{dig('a')}), "blob_unknown"}, // linked in another repository only
		{manifest("r3", dig('1'), nil), "not_found"},
		{manifest("r1", "sha256:short", nil), "digest_invalid"},
		{manifest("r1", dig('1'), []string{dig('a')}, "-x"), "tag_invalid"},
		{manifest("r1", dig('1'), []string{dig('a')}, "good", "a/b"), "tag_invalid"},
		{manifest("r1", dig('1'), nil, slices.Repeat([]string{"t"}, state.MaxManifestTags+1)...), "too_many_tags"},
		{wrongSize, "size_differs"}, {twice, "manifest_invalid"}, {blobAsChild, "blob_unknown"}, {long, "manifest_invalid"}, {many, "manifest_invalid"},
		{empty, "manifest_invalid"}, {subject, "digest_invalid"},
		{index("r1", dig('2'), []string{dig('1')}), "blob_unknown"},
		{&command.PutTag{Head: by("ada"), RepositoryID: "r1", Name: "x", Digest: dig('1')}, "manifest_unknown"},
		{&command.DeleteTag{Head: by("ada"), RepositoryID: "r1", Name: "x"}, "not_found"},
		{&command.DeleteManifest{Head: by("ada"), RepositoryID: "r1", Digest: dig('1')}, "manifest_unknown"},
		{&command.LinkBlobs{Head: by("ada"), Links: []model.BlobLink{{RepositoryID: "r1", Digest: dig('c'), Size: 1}, {RepositoryID: "r3", Digest: dig('c')}}}, "not_found"},
		{&command.LinkBlobs{Head: by("ada"), Links: []model.BlobLink{{RepositoryID: "r1", Digest: "x"}}}, "digest_invalid"},
		{&command.LinkBlobs{Head: by("ada"), Links: []model.BlobLink{{RepositoryID: "r1", Digest: dig('c'), Size: -1}}}, "size_invalid"},
		{&command.MountBlob{Head: by("ada"), FromID: "r1", RepositoryID: "r2", Digest: dig('c')}, "blob_unknown"},
	} {
		if err := w.refused(tt.c); err.Code != tt.want {
			t.Errorf("%s %+v: %v, want %s", tt.c.Type().Name(), tt.c, err, tt.want)
		}
	}
	w.ok(manifest("r1", dig('1'), []string{dig('a'), dig('b')}, "1.0", "latest"), index("r1", dig('2'), []string{dig('1')}, "multi"))
	art := manifest("r1", dig('3'), nil)
	art.Manifest.Subject = dig('9') // missing, which is allowed
	w.ok(art, &command.MountBlob{Head: by("ada"), FromID: "r1", RepositoryID: "r2", Digest: dig('a')})

	v := w.store.View()
	if m, ok := v.Manifest("r1", dig('1')); !ok || m.PushedBy != "ada" || !m.PushedAt.Equal(epoch) {
		t.Fatalf("%+v", m)
	}
	if l, ok := v.BlobLink("r2", dig('a')); !ok || l.Size != 10 || !v.LinkedAnywhere(dig('b')) || !v.LinkedAnywhere(dig('1')) || v.LinkedAnywhere(dig('c')) {
		t.Fatal("links")
	}
	for m := range v.Referrers("r1", dig('9')) {
		if m.Descriptor.Digest != dig('3') {
			t.Fatal(m)
		}
	}
	if n := len(slices.Collect(v.Referrers("r1", dig('9')))); n != 1 {
		t.Fatalf("%d referrers", n)
	}
	if u := v.RepositoryUsage("r1"); u != (state.RepositoryUsage{Tags: 3, Manifests: 3, Blobs: 2, Bytes: 320}) {
		t.Fatalf("%+v", u)
	}
	if o := w.apply(unlink("r1", dig('a'), epoch))[0]; len(o.Refused) != 1 || o.Refused[0].Err.Code != "blob_in_use" {
		t.Fatalf("%+v", o)
	}
	if o := w.apply(unlink("r2", dig('a'), epoch.Add(-time.Hour)))[0]; len(o.Refused) != 1 || o.Refused[0].Err.Code != "stale_version" {
		t.Fatalf("%+v", o)
	}
	if err := w.refused(&command.DeleteManifest{Head: by("ada"), RepositoryID: "r1", Digest: dig('1')}); err.Code != "manifest_in_use" {
		t.Fatal(err)
	}
	w.ok(&command.DeleteTag{Head: by("ada"), RepositoryID: "r1", Name: "multi"},
		&command.DeleteManifest{Head: by("ada"), RepositoryID: "r1", Digest: dig('2')},
		&command.DeleteManifest{Head: by("ada"), RepositoryID: "r1", Digest: dig('1')},
		unlink("r1", dig('a'), epoch), unlink("r2", dig('a'), epoch), unlink("r2", dig('a'), epoch))
	v = w.store.View()
	if tags, _ := v.Tags("r1", "", -1); len(tags) != 0 || v.LinkedAnywhere(dig('a')) {
		t.Fatalf("%d tags of deleted manifests", len(tags))
	}
	w.ok(&command.DeleteRepository{Head: by("ada"), ID: "r1"})
	if v := w.store.View(); v.LinkedAnywhere(dig('b')) || v.LinkedAnywhere(dig('3')) {
		t.Fatal("a deleted repository leaves something behind")
	}
}

// TestDeleteUntagged: what is given up because nothing names it stays if somebody
// has named it meanwhile.
func TestDeleteUntagged(t *testing.T) {
	w := newWorld(t)
	w.ok(repository("r1", "t1", "web"), link("r1", dig('a')), manifest("r1", dig('1'), []string{dig('a')}, "one"), manifest("r1", dig('2'), []string{dig('a')}))
	give := func(d string) *command.DeleteManifest {
		return &command.DeleteManifest{Head: by("ada"), RepositoryID: "r1", Digest: d, OnlyUntagged: true}
	}
	if err := w.refused(give(dig('1'))); err.Code != "manifest_in_use" {
		t.Fatal(err)
	}
	if tag, ok := w.store.View().Tag("r1", "one"); !ok || tag.Digest != dig('1') {
		t.Fatalf("%+v", tag)
	}
	w.ok(give(dig('2')))
	all := give(dig('1'))
	all.OnlyUntagged = false
	w.ok(all)
}

func TestTagPages(t *testing.T) {
	w := newWorld(t)
	w.ok(repository("r1", "t1", "web"), repository("r2", "t1", "web2"), manifest("r1", dig('1'), nil), manifest("r2", dig('1'), nil, "other"))
	names := []string{"1", "1-a", "1.0", "1.0.1", "A", "_x", "a", "a-b", "a.b", "aa", "z"}
	for _, n := range names {
		w.ok(&command.PutTag{Head: by("ada"), RepositoryID: "r1", Name: n, Digest: dig('1')})
	}
	slices.Sort(names)
	v := w.store.View()
	for _, limit := range []int{1, 2, 5, 11, 12} {
		var got []string
		for after, more := "", true; more; {
			var tags []*model.Tag
			tags, more = v.Tags("r1", after, limit)
			for _, o := range tags {
				got = append(got, o.Name)
				after = o.Name
			}
		}
		if !slices.Equal(got, names) {
			t.Fatalf("pages of %d: %q, want %q", limit, got, names)
		}
	}
	if tags, more := v.Tags("r1", "", 0); len(tags) != 0 || !more {
		t.Fatal("a page of none")
	}
	if tags, more := v.Tags("r1", "a-", -1); len(tags) != 4 || more {
		t.Fatalf("%d tags behind one that is not there", len(tags)) // a-b a.b aa z
	}
	if tags, _ := v.Tags("r1", "zz", -1); len(tags) != 0 {
		t.Fatal("tags behind the last")
	}
}

// TestPrivateEvents keeps the names of private repositories out of a tenant's
// events.
func TestPrivateEvents(t *testing.T) {
	w := newWorld(t)
	secret := repository("r1", "t1", "secret")
	secret.Repository.Spec.Visibility = model.VisibilityPrivate
	w.ok(secret, manifest("r1", dig('1'), nil, "1"), repository("r2", "t1", "open"), manifest("r2", dig('1'), nil, "1"), manifest("r2", dig('1'), nil, "1"))
	var got []string
	for _, e := range w.store.View().EventsSince(state.InTenant("t1"), 0, 0) {
		if e.Kind == "repository" {
			got = append(got, e.Reason+" "+e.Object)
		}
	}
	if fmt.Sprint(got) != "[Created default/open Pushed default/open]" {
		t.Fatalf("%q", got)
	}
}

// drawRegistry makes a random command over few repositories and digests.
func drawRegistry(t *rapid.T) command.Command {
	pick := func(label string, from ...string) string { return rapid.SampledFrom(from).Draw(t, label) }
	repo := func() string { return pick("repository", "r1", "r2", "r3") }
	blob := func() string { return dig(pick("blob", "a", "b", "c")[0]) }
	mani := func() string { return dig(pick("manifest", "1", "2", "3", "4")[0]) }
	tag := func() string { return pick("tag", "x", "y", "bad/tag") }
	switch rapid.IntRange(0, 11).Draw(t, "kind") {
	case 0, 1:
		c := repository(repo(), pick("tenant", "t1", "t2", "t3"), pick("name", "web", "db"))
		c.ExpectVersion = rapid.SampledFrom([]uint64{command.MustNotExist, command.AnyVersion}).Draw(t, "version")
		c.Repository.Spec.Visibility = rapid.SampledFrom([]model.Visibility{model.VisibilityPrivate, model.VisibilityPublic, "no"}).Draw(t, "visibility")
		return c
	case 2:
		return &command.DeleteRepository{Head: by("p"), ID: repo(), ExpectVersion: command.AnyVersion}
	case 3, 4:
		return link(repo(), blob(), blob())
	case 5, 6:
		var refs []string
		for range rapid.IntRange(0, 2).Draw(t, "refs") {
			refs = append(refs, blob())
		}
		return manifest(repo(), mani(), refs, tag())
	case 7:
		c := index(repo(), mani(), []string{mani()}, tag())
		if rapid.Bool().Draw(t, "subject") {
			c.Manifest.Subject = mani()
		}
		return c
	case 8:
		if rapid.Bool().Draw(t, "put") {
			return &command.PutTag{Head: by("p"), RepositoryID: repo(), Name: tag(), Digest: mani()}
		}
		return &command.DeleteTag{Head: by("p"), RepositoryID: repo(), Name: tag()}
	case 9:
		return &command.DeleteManifest{Head: by("p"), RepositoryID: repo(), Digest: mani()}
	case 10:
		return &command.MountBlob{Head: by("p"), FromID: repo(), RepositoryID: repo(), Digest: blob()}
	default:
		c := unlink(repo(), blob(), epoch)
		c.Items = append(c.Items, model.BlobLink{RepositoryID: repo(), Digest: blob(), LinkedAt: rapid.SampledFrom([]time.Time{epoch, epoch.Add(1)}).Draw(t, "at")})
		return c
	}
}

// brokenRegistry says which rule between repositories, manifests, tags and
// links does not hold.
func brokenRegistry(v *state.View) string {
	names := map[string]bool{}
	ids := map[string]bool{}
	for r := range v.Repositories() {
		k := r.TenantID + "/" + r.Name
		if names[k] {
			return "two repositories " + k
		}
		names[k], ids[r.ID] = true, true
		if _, ok := v.Tenant(r.TenantID); !ok {
			return "repository " + r.ID + " has no tenant"
		}
		tags, _ := v.Tags(r.ID, "", -1)
		for _, o := range tags {
			if _, ok := v.Manifest(r.ID, o.Digest); !ok {
				return "tag " + o.Name + " names no manifest"
			}
		}
		for m := range v.Manifests(r.ID) {
			for _, ref := range m.Refs {
				_, child := v.Manifest(r.ID, ref.Digest)
				l, linked := v.BlobLink(r.ID, ref.Digest)
				if !child && !(linked && l.Size == ref.Size) {
					return fmt.Sprintf("manifest %s lacks %s", m.Descriptor.Digest, ref.Digest)
				}
				if !slices.Contains(slices.Collect(v.ManifestsNeeding(r.ID, ref.Digest)), m) {
					return "the index of references is wrong"
				}
			}
			if m.Subject != "" && !slices.Contains(slices.Collect(v.Referrers(r.ID, m.Subject)), m) {
				return "the index of referrers is wrong"
			}
		}
	}
	sum := map[string]int64{}
	for d, n := range v.RegistryDigests() {
		if !v.LinkedAnywhere(d) {
			return d + " is held and not linked"
		}
		sum[d] = n
	}
	for l := range v.AllBlobLinks() {
		if !ids[l.RepositoryID] {
			return "a link in no repository"
		}
		if !slices.Contains(slices.Collect(v.BlobLinksOf(l.Digest)), l) {
			return "the index of links is wrong"
		}
	}
	return ""
}

// TestRegistrySequences applies random sequences and checks after each what
// must hold between the rows, that a refusal leaves no trace, and that a
// snapshot and one batch give the same.
func TestRegistrySequences(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w, twin := newWorld(t), newWorld(t)
		var all []state.Entry
		for range rapid.IntRange(5, 60).Draw(rt, "steps") {
			c := drawRegistry(rt)
			before := w.dump()
			o := w.apply(c)[0]
			all = append(all, state.Entry{Index: w.index, Commands: []command.Command{c}})
			if o.Err != nil && !bytes.Equal(afterIndex(before), afterIndex(w.dump())) {
				rt.Fatalf("%s was refused (%v) and left a trace", c.Type().Name(), o.Err)
			}
			if msg := brokenRegistry(w.store.View()); msg != "" {
				rt.Fatalf("after %s (refused: %v): %s", c.Type().Name(), o.Err, msg)
			}
		}
		restored := state.New()
		if err := restored.Restore(bytes.NewReader(w.dump())); err != nil {
			rt.Fatal(err)
		}
		var b bytes.Buffer
		if err := restored.View().WriteSnapshot(&b, "test"); err != nil {
			rt.Fatal(err)
		}
		if !bytes.Equal(b.Bytes(), w.dump()) {
			rt.Fatalf("a restored snapshot differs:\n%s\n---\n%s", b.Bytes(), w.dump())
		}
		if msg := brokenRegistry(restored.View()); msg != "" {
			rt.Fatalf("after a restore: %s", msg)
		}
		twin.batch(all)
		if got := twin.dump(); !bytes.Equal(got, w.dump()) {
			rt.Fatalf("one batch differs from one by one:\n%s\n---\n%s", got, w.dump())
		}
	})
}

// TestGoldenRegistrySnapshot restores the registry's rows as they were written
// when their form was made.
func TestGoldenRegistrySnapshot(t *testing.T) {
	w := newWorld(t)
	m := manifest("r1", dig('1'), []string{dig('a')}, "1.0")
	m.Manifest.Subject = dig('9')
	m.Manifest.Descriptor.ArtifactType, m.Manifest.Descriptor.Annotations = "text/plain", map[string]string{"k": "v"}
	m.Manifest.Descriptor.Platform = "linux/amd64"
	w.ok(repository("r1", "t1", "shop/web"), link("r1", dig('a')), m)
	path := filepath.Join("testdata", "v1", "registry.jsonl")
	if *update {
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
