package state_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

func upstream(id, host string, spec model.UpstreamSpec) *command.PutUpstream {
	return &command.PutUpstream{Head: by("ada"), Upstream: model.Upstream{Meta: model.Meta{ID: id, Name: host}, Spec: spec}}
}

func cached(upstreamID, repoID, name, digest string, refs []string, tags ...string) *command.CacheManifest {
	m := manifest("", digest, refs).Manifest
	return &command.CacheManifest{Head: by("ada"), UpstreamID: upstreamID, RepositoryID: repoID, Name: name, Manifest: m, Tags: tags}
}

func TestUpstreams(t *testing.T) {
	w := newWorld(t)
	w.ok(upstream("up1", "registry.corp:5000", model.UpstreamSpec{Username: "bot", TenantIDs: []string{"t2"}}))
	for _, c := range []struct {
		cmd  command.Command
		code string
	}{
		{upstream("up2", "registry.corp:5000", model.UpstreamSpec{}), "name_taken"},
		{upstream("up2", "other.corp", model.UpstreamSpec{TenantIDs: []string{"nobody"}}), "not_found"},
		{upstream("up2", "other.corp", model.UpstreamSpec{TenantIDs: []string{"t1", "t1"}}), "tenant_twice"},
		{upstream("up2", "other.corp", model.UpstreamSpec{Endpoints: make([]string, 17)}), "too_many_endpoints"},
		{upstream("up2", "other.corp", model.UpstreamSpec{CA: strings.Repeat("x", 65<<10)}), "ca_invalid"},
		{&command.PutUpstream{Head: by("ada"), ExpectVersion: command.AnyVersion, Upstream: model.Upstream{Meta: model.Meta{ID: "up1", Name: "new.corp"}}}, "name_fixed"},
		{&command.DeleteUpstream{Head: by("ada"), ID: "nope", ExpectVersion: command.AnyVersion}, "not_found"},
		{cached("nope", "c9", "nope/x", dig('1'), nil), "not_found"},
		{cached("up1", "c9", "docker.io/x", dig('1'), nil), "name_invalid"},
		{cached("up1", "c9", "registry.corp:5000/x", "sha256:short", nil), "digest_invalid"},
		{cached("up1", "c9", "registry.corp:5000/x", dig('1'), []string{"../../etc"}), "digest_invalid"},
		{cached("up1", "c9", "registry.corp:5000/x", dig('1'), nil, "..", "ok"), "tag_invalid"},
		{&command.DeleteTenant{Head: by("ada"), ID: "t2", ExpectVersion: command.AnyVersion}, "tenant_in_use"},
	} {
		if err := w.refused(c.cmd); err.Code != c.code {
			t.Errorf("%T: %v, want %s", c.cmd, err, c.code)
		}
	}
	u, ok := w.store.View().UpstreamByName("registry.corp:5000")
	if !ok || u.ID != "up1" || !u.Serves("t2") || u.Serves("t1") {
		t.Fatalf("%+v", u)
	}

	// What is cached needs no layer to be here; tags follow what comes.
	w.ok(cached("up1", "c1", "registry.corp:5000/shop/web", dig('1'), []string{dig('a'), dig('b')}, "1.0", "latest"))
	w.ok(cached("up1", "c2", "registry.corp:5000/shop/web", dig('2'), []string{dig('a')}, "latest"), link("c1", dig('a')))
	r, ok := w.store.View().RepositoryByPath("registry.corp:5000/shop/web")
	if !ok || r.ID != "c1" || r.UpstreamID != "up1" || r.TenantID != "" {
		t.Fatalf("%+v", r)
	}
	if tag, ok := w.store.View().Tag("c1", "latest"); !ok || tag.Digest != dig('2') {
		t.Errorf("latest: %+v", tag)
	}
	var b bytes.Buffer
	if err := w.store.View().WriteSnapshot(&b, "test"); err != nil {
		t.Fatal(err)
	}
	if err := state.New().Restore(bytes.NewReader(b.Bytes())); err != nil {
		t.Errorf("restore: %v", err)
	}

	// The same account with another password keeps what is cached; another account does not.
	change := upstream("up1", "registry.corp:5000", model.UpstreamSpec{Username: "bot"})
	change.ExpectVersion, change.Upstream.Password = command.AnyVersion, model.Sealed("new")
	w.ok(change)
	if n := len(slices.Collect(w.store.View().UpstreamRepositories("up1"))); n != 1 {
		t.Errorf("%d repositories after another password", n)
	}
	change.Upstream.Spec.Username = "other"
	w.ok(change)
	if _, there := w.store.View().BlobLink("c1", dig('a')); there || len(slices.Collect(w.store.View().UpstreamRepositories("up1"))) != 0 {
		t.Error("another account sees what the first one fetched")
	}

	w.ok(cached("up1", "c3", "registry.corp:5000/shop/web", dig('1'), nil, "1.0"))
	w.ok(&command.DeleteUpstream{Head: by("ada"), ID: "up1", ExpectVersion: command.AnyVersion})
	if _, there := w.store.View().RepositoryByPath("registry.corp:5000/shop/web"); there || w.store.View().LinkedAnywhere(dig('1')) {
		t.Error("the cache outlives its upstream")
	}
}

// TestDefaultUpstream caches from docker.io without a row, until there is one.
func TestDefaultUpstream(t *testing.T) {
	w := newWorld(t)
	w.ok(cached(model.DefaultUpstream, "c1", "docker.io/library/nginx", dig('1'), nil, "latest"))
	w.ok(upstream("up1", "docker.io", model.UpstreamSpec{Username: "bot"}))
	if _, there := w.store.View().RepositoryByPath("docker.io/library/nginx"); there {
		t.Error("what was fetched anonymously counts as the account's")
	}
	if err := w.refused(cached(model.DefaultUpstream, "c2", "docker.io/library/nginx", dig('1'), nil)); err.Code != "not_found" {
		t.Errorf("beside the row: %v", err)
	}
	w.ok(cached("up1", "c2", "docker.io/library/nginx", dig('1'), nil))
}
