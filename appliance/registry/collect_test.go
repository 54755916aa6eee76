package registry_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/opencontainers/go-digest"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/runtime/runtimetest"
	"github.com/skerryhq/skerry/runtime/workload"
)

func (r *rig) by() command.Head {
	return command.By(model.Origin{Actor: "test", Time: time.Now().UTC()})
}

func (r *rig) repository(path string) *model.Repository {
	r.t.Helper()
	repo, ok := r.cluster.View().RepositoryByPath(path)
	if !ok {
		r.t.Fatalf("no repository %s", path)
	}
	return repo
}

func (r *rig) drop(path string) {
	r.t.Helper()
	r.propose(&command.DeleteRepository{Head: r.by(), ID: r.repository(path).ID, ExpectVersion: command.AnyVersion})
}

// collect wants a collection to free so many blobs.
func (r *rig) collect(want int) int64 {
	r.t.Helper()
	before, _ := r.files()
	u, err := r.reg.Usage(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	n, size, err := r.reg.Collect(r.t.Context())
	after, _ := r.files()
	if err != nil || n != want || before-after != want || u.Reclaimable != size {
		r.t.Fatalf("%d blobs of %d bytes were freed, want %d; files %d -> %d, announced %d bytes: %v", n, size, want, before, after, u.Reclaimable, err)
	}
	return size
}

// garbage lets the engine collect.
func (r *rig) garbage() {
	r.t.Helper()
	lm := r.host.Client.LeasesService()
	l, err := lm.Create(r.t.Context(), leases.WithRandomID())
	if err == nil {
		err = lm.Delete(r.t.Context(), l, leases.SynchronousDelete)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func TestCollect(t *testing.T) {
	r := newRig(t)
	shared, own := random(5000), random(7000)
	m := r.image("ada", "default/one", shared, own)
	r.put("ada", "default/one", "1", m)
	two := r.image("ada", "default/two", shared)
	r.put("ada", "default/two", "1", two)
	r.collect(0)
	r.garbage()
	r.expectManifest("default/one", "1", m, m.desc().Digest)

	// One repository goes; what the other holds stays.
	r.drop("default/one")
	if size := r.collect(3); size != int64(len(own)+m.Config.Size+len(m.bytes())) { // manifest, config and its own layer
		t.Fatalf("%d bytes", size)
	}
	r.expectBlob("default/two", two.Layers[0].Digest, shared)
	r.do(ask{as: "ada", method: "GET", path: "/v2/default/two/manifests/1"}, 200)

	// A manifest goes, and with it what only it needed; a blob that waits for its
	// manifest stays.
	waiting := r.push("ada", "default/two", random(100))
	r.do(ask{as: "ada", method: "DELETE", path: "/v2/default/two/manifests/" + two.desc().Digest.String()}, 202)
	r.collect(3)
	r.do(ask{as: "ada", method: "GET", path: "/v2/default/two/blobs/" + waiting.String()}, 200)
	r.refused(ask{as: "ada", method: "GET", path: "/v2/default/two/blobs/" + two.Layers[0].Digest.String()}, 404, "BLOB_UNKNOWN")
	r.do(ask{as: "ada", method: "DELETE", path: "/v2/default/two/blobs/" + waiting.String()}, 202)
	r.collect(1)

	// An index of images, all gone at once.
	c, d := r.image("ada", "default/multi", random(10)), r.image("ada", "default/multi", random(10))
	r.put("ada", "default/multi", c.desc().Digest.String(), c)
	r.put("ada", "default/multi", d.desc().Digest.String(), d)
	r.put("ada", "default/multi", "all", doc{SchemaVersion: 2, MediaType: model.MediaTypeOCIIndex, Manifests: []desc{c.desc(), d.desc()}})
	r.collect(0)
	r.drop("default/multi")
	r.collect(7)
	if blobs, open := r.files(); blobs != 0 || open != 0 {
		t.Fatalf("%d blobs and %d writes are left", blobs, open)
	}
}

// TestCollectGrace keeps for a while, without being told to hurry, what nothing
// needs any more.
func TestCollectGrace(t *testing.T) {
	r := newRig(t)
	m := r.image("ada", "default/one", random(100))
	r.put("ada", "default/one", "1", m)
	r.drop("default/one")
	for range 3 {
		if err := r.reg.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if blobs, _ := r.files(); blobs != 3 {
		t.Fatalf("%d blobs", blobs)
	}
	r.collect(3)
}

// TestCollectInUse keeps what services, containers, revisions and images need,
// whether a repository still has it or not.
func TestCollectInUse(t *testing.T) {
	r := newRig(t)
	m := r.image("ada", "default/one", random(100), random(200))
	r.put("ada", "default/one", "1", m)
	multi := doc{SchemaVersion: 2, MediaType: model.MediaTypeOCIIndex, Manifests: []desc{m.desc()}}
	r.put("ada", "default/one", "all", multi)
	d := multi.desc().Digest.String()
	spec := func(digest string) model.ServiceSpec {
		return model.ServiceSpec{Replicas: 1, Container: model.ContainerSpec{Image: "x", ImageDigest: digest, Restart: model.RestartAlways}}
	}
	put := func(digest string, expect uint64) {
		r.propose(&command.PutApp{Head: r.by(), ExpectVersion: expect, ServiceIDs: map[string]string{"web": "s1"}, App: model.App{Meta: model.Meta{ID: "a1", Name: "shop"}, TenantID: "t1", EnvironmentID: "e1",
			Spec: model.AppSpec{Services: map[string]model.ServiceSpec{"web": spec(digest)}}}})
	}
	put(d, command.MustNotExist)
	r.drop("default/one")
	r.collect(0)
	put("sha256:other", command.AnyVersion) // a revision still names it
	r.collect(0)
	r.propose(&command.PutImage{Head: r.by(), Image: model.Image{Meta: model.Meta{ID: "i1", Name: "docker.io/library/x:1"}, TenantID: "t1", Digest: d}}, &command.RemoveApp{Head: r.by(), ID: "a1", ExpectVersion: command.AnyVersion})
	r.collect(0)
	r.propose(&command.DeleteImage{Head: r.by(), ID: "i1", ExpectVersion: command.AnyVersion})
	r.collect(5)
}

// TestCollectCrash finds what a crash left between the engine and the state.
func TestCollectCrash(t *testing.T) {
	r := newRig(t)
	r.push("ada", repoA, []byte("x"))
	away := model.Errorf(model.KindUnavailable, "no_leader", "the cluster has no leader at the moment")
	r.cluster.mu.Lock()
	r.cluster.refuse = func(command.Command) error { return away }
	r.cluster.mu.Unlock()
	b := random(1000)
	d := digest.FromBytes(b)
	r.refused(ask{as: "ada", method: "POST", path: "/v2/" + repoA + "/blobs/uploads/", query: url.Values{"digest": {d.String()}}, body: bytes.NewReader(b)}, 503, "UNAVAILABLE")
	m := doc{SchemaVersion: 2, MediaType: model.MediaTypeOCIIndex, Manifests: []desc{}}
	r.refused(ask{as: "ada", method: "PUT", path: "/v2/" + repoA + "/manifests/1", body: bytes.NewReader(m.bytes())}, 503, "UNAVAILABLE")
	r.cluster.mu.Lock()
	r.cluster.refuse = nil
	r.cluster.mu.Unlock()
	r.refused(ask{as: "ada", method: "GET", path: "/v2/" + repoA + "/blobs/" + d.String()}, 404, "BLOB_UNKNOWN")
	r.collect(2)
	r.pushAs("ada", repoA, b, d)

	// The other way: a row whose blob the engine does not keep.
	const root = "containerd.io/gc.root"
	cs := r.host.Client.ContentStore()
	hold, err := r.host.Client.LeasesService().Create(t.Context(), leases.WithRandomID())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.host.Client.LeasesService().AddResource(t.Context(), hold, leases.Resource{Type: "content", ID: d.String()}); err != nil {
		t.Fatal(err)
	}
	if _, err := cs.Update(t.Context(), content.Info{Digest: d, Labels: map[string]string{root: ""}}, "labels."+root); err != nil {
		t.Fatal(err)
	}
	if err := r.reg.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.host.Client.LeasesService().Delete(t.Context(), hold, leases.SynchronousDelete); err != nil {
		t.Fatal(err)
	}
	r.expectBlob(repoA, d, b)
}

// TestCollectRacesPushes pushes, pulls and deletes few blobs in few repositories
// while the collector runs all the time: what was answered to be here is here.
func TestCollectRacesPushes(t *testing.T) {
	r := newRig(t)
	pool := make([][]byte, 5)
	for i := range pool {
		pool[i] = random(1000 + i)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
	defer cancel()
	var all sync.WaitGroup
	var pushes, rounds atomic.Int64
	all.Go(func() {
		tick := time.NewTicker(3 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if _, _, err := r.reg.Collect(t.Context()); err != nil {
				t.Error(err)
				return
			}
			rounds.Add(1)
		}
	})
	for worker := range 4 {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(worker), 1))
			repo := fmt.Sprintf("default/race%d", worker)
			must := func(a ask, status ...int) bool {
				res, err := r.try(a)
				if err != nil {
					t.Error(err)
					return false
				}
				for _, s := range status {
					if res.StatusCode == s {
						return true
					}
				}
				t.Errorf("%s %s: %d %s", a.method, a.path, res.StatusCode, res.b)
				return false
			}
			for ctx.Err() == nil {
				b := pool[rng.IntN(len(pool))]
				l := descOf(typeLayer, b)
				m := doc{SchemaVersion: 2, MediaType: model.MediaTypeOCIManifest, Config: &l}
				blob, mani := "/v2/"+repo+"/blobs/"+l.Digest.String(), "/v2/"+repo+"/manifests/"+m.desc().Digest.String()
				if !must(ask{as: "ada", method: "POST", path: "/v2/" + repo + "/blobs/uploads/", query: url.Values{"digest": {l.Digest.String()}}, body: bytes.NewReader(b)}, http.StatusCreated) ||
					!must(ask{as: "ada", method: "GET", path: blob}, 200) ||
					!must(ask{as: "ada", method: "PUT", path: mani, body: bytes.NewReader(m.bytes())}, 201) ||
					!must(ask{as: "ada", method: "GET", path: mani}, 200) || !must(ask{as: "ada", method: "GET", path: blob}, 200) {
					return
				}
				pushes.Add(1)
				if rng.IntN(2) == 0 {
					if !must(ask{as: "ada", method: "DELETE", path: mani}, 202) {
						return
					}
					if !must(ask{as: "ada", method: "DELETE", path: blob}, 202, 404) {
						return
					}
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d pushes, %d collections", pushes.Load(), rounds.Load())
	r.garbage()
	for d := range r.cluster.View().RegistryDigests() {
		if _, err := r.host.Client.ContentStore().Info(t.Context(), digest.Digest(d)); err != nil {
			t.Errorf("%s is in a repository and not in the engine: %v", d, err)
		}
	}
}

// TestPublishAndRun publishes an image of the engine, loses the engine's record of
// it, and starts a container from the repository: nothing is copied or fetched.
func TestPublishAndRun(t *testing.T) {
	r := newRig(t)
	ctx := runtimetest.Context(t, time.Minute)
	d := digest.Digest(r.host.ImportBusybox())
	target, err := r.host.Images.Target(ctx, d)
	if err != nil {
		t.Fatal(err)
	}
	r.push("ada", "default/app", []byte("x"))
	before, _ := r.files()
	repo := r.repository("default/app")
	got, err := r.reg.Publish(ctx, model.Origin{Actor: "ada", UserID: "ada"}, repo, model.Descriptor{MediaType: target.MediaType, Digest: d.String(), Size: target.Size}, []string{"1.0", "latest"})
	if err != nil {
		t.Fatal(err)
	}
	if after, _ := r.files(); after != before {
		t.Fatalf("%d blobs became %d", before, after)
	}
	for _, tag := range []string{"1.0", "latest"} {
		res := r.do(ask{as: "vic", method: "GET", path: "/v2/default/app/manifests/" + tag}, 200)
		if res.Header.Get("Docker-Content-Digest") != got.Digest {
			t.Fatalf("%v", res.Header)
		}
	}
	v := r.cluster.View()
	for m := range v.Manifests(repo.ID) {
		for _, ref := range m.Refs {
			if !model.IsManifestType(ref.MediaType) {
				r.do(ask{as: "vic", method: "GET", path: "/v2/default/app/blobs/" + ref.Digest}, 200)
			}
		}
	}
	if err := r.host.Images.Remove(ctx, d); err != nil {
		t.Fatal(err)
	}
	r.garbage()
	if after, _ := r.files(); after != before {
		t.Fatalf("the engine's record kept them: %d blobs of %d", after, before)
	}
	target.Digest, target.MediaType, target.Size = digest.Digest(got.Digest), got.MediaType, got.Size
	if err := r.host.Images.Adopt(ctx, target, nil); err != nil {
		t.Fatal(err)
	}
	spec := workload.Spec{ID: "pushed", ImageDigest: got.Digest, Command: []string{"sh", "-c", "exit 7"}, CgroupParent: r.host.CgroupParent}
	if err := r.host.Runtime.Create(ctx, spec); err != nil {
		t.Fatal(err)
	}
	if err := r.host.Runtime.Start(ctx, spec.ID); err != nil {
		t.Fatal(err)
	}
	st, err := r.host.Runtime.Wait(ctx, spec.ID)
	if err != nil || st.ExitCode != 7 {
		t.Fatalf("%+v %v", st, err)
	}
	if err := r.host.Runtime.Remove(ctx, spec.ID); err != nil {
		t.Fatal(err)
	}
	// The repository goes, and with it the record and every byte.
	r.drop("default/app")
	runtimetest.Eventually(t, 30*time.Second, "everything is given back", func() bool {
		if _, _, err := r.reg.Collect(ctx); err != nil {
			t.Fatal(err)
		}
		blobs, _ := r.files()
		return blobs == 0
	})
	if list, err := r.host.Images.List(ctx); err != nil || len(list) != 0 {
		t.Fatalf("%v %v", list, err)
	}
	if _, err := r.reg.Publish(ctx, model.Origin{Actor: "ada"}, repo, got, nil); model.CodeOf(err) != "image_not_found" {
		t.Fatal(err)
	}
}

// TestPublishPart publishes of an index what is here.
func TestPublishPart(t *testing.T) {
	r := newRig(t)
	m := r.image("ada", "default/src", random(10))
	r.put("ada", "default/src", "1", m)
	here := m.desc()
	here.Platform = map[string]string{"os": "linux", "architecture": "amd64"}
	gone := desc{MediaType: model.MediaTypeOCIManifest, Digest: digest.FromString("arm"), Size: 10, Platform: map[string]string{"os": "linux", "architecture": "arm64"}}
	multi := doc{SchemaVersion: 2, MediaType: model.MediaTypeOCIIndex, Manifests: []desc{gone, here}}
	r.push("ada", "default/dst", []byte("x"))
	release, err := r.reg.Blobs().Put(t.Context(), multi.desc().Digest, int64(len(multi.bytes())), bytes.NewReader(multi.bytes()))
	defer release()
	if err != nil {
		t.Fatal(err)
	}
	d := model.Descriptor{MediaType: multi.MediaType, Digest: multi.desc().Digest.String(), Size: int64(len(multi.bytes()))}
	got, err := r.reg.Publish(t.Context(), model.Origin{Actor: "ada"}, r.repository("default/dst"), d, []string{"1"})
	if err != nil || got.Digest != m.desc().Digest.String() {
		t.Fatalf("%+v %v", got, err)
	}
	r.expectManifest("default/dst", "1", m, m.desc().Digest)
}

// TestKeptElsewhere: a layer that its maker keeps need not be pushed. That gives
// nobody the content which somebody else has pushed, however it is named.
func TestKeptElsewhere(t *testing.T) {
	r := newRig(t)
	secret := random(1000)
	r.push("ada", "default/secret", secret)
	own := []byte(`{"os":"linux","architecture":"amd64","rootfs":{"type":"layers"}}`)
	r.push("bob", "other/x", own)
	const elsewhere = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
	c := descOf(typeConfig, own)
	manifest := func(config desc, layers ...desc) doc {
		return doc{SchemaVersion: 2, MediaType: model.MediaTypeOCIManifest, Config: &config, Layers: layers}
	}
	for name, m := range map[string]doc{
		"the configuration":           manifest(descOf(elsewhere, secret)),
		"a type like it":              manifest(c, descOf("application/vnd.oci.image.layer.v1.foreign.tar", secret)),
		"a layer said twice":          manifest(c, descOf(elsewhere, secret), descOf(typeLayer, secret)),
		"a layer and what configures": manifest(descOf(typeConfig, secret), descOf(elsewhere, secret)),
	} {
		res := r.do(ask{as: "bob", method: "PUT", path: "/v2/other/x/manifests/1", body: bytes.NewReader(m.bytes())}, 201, 400)
		if res.StatusCode != 400 {
			t.Errorf("%s is taken", name)
		}
	}
	m := manifest(c, descOf(elsewhere, secret))
	r.put("bob", "other/x", "1", m)
	r.push("bob", "other/y", []byte("x"))
	d := model.Descriptor{MediaType: m.MediaType, Digest: m.desc().Digest.String(), Size: int64(len(m.bytes()))}
	if _, err := r.reg.Publish(t.Context(), model.Origin{Actor: "bob"}, r.repository("other/y"), d, []string{"1"}); err != nil {
		t.Fatal(err)
	}
	r.do(ask{as: "bob", method: "GET", path: "/v2/other/y/manifests/1"}, 200)
	for _, repo := range []string{"other/x", "other/y"} {
		r.do(ask{as: "bob", method: "GET", path: "/v2/" + repo + "/blobs/" + digest.FromBytes(secret).String()}, 404)
	}
}

// TestMountRights mounts only from where the caller may read.
func TestMountRights(t *testing.T) {
	r := newRig(t)
	b := random(1000)
	d := digest.FromBytes(b)
	r.pushAs("ada", "default/closed", b, d)
	repo := *r.repository("default/closed")
	visible := func(v model.Visibility) {
		t.Helper()
		n := repo
		n.Spec.Visibility = v
		r.propose(&command.PutRepository{Head: r.by(), Repository: n, ExpectVersion: command.AnyVersion})
	}
	mount := func(as, to, from string) ask {
		q := url.Values{"mount": {d.String()}}
		if from != "" {
			q.Set("from", from)
		}
		return ask{as: as, method: "POST", path: "/v2/" + to + "/blobs/uploads/", query: q}
	}
	for _, tt := range []struct {
		visibility model.Visibility
		as, to     string
		status     int
	}{
		{model.VisibilityTenant, "ada", "default/mine", 201}, {model.VisibilityTenant, "bob", "other/mine", 202}, {model.VisibilityTenant, "root", "other/mine", 201},
		{model.VisibilityPrivate, "bob", "other/mine", 202}, {model.VisibilityPublic, "bob", "other/mine", 201},
	} {
		visible(tt.visibility)
		for _, from := range []string{"default/closed", ""} {
			res := r.do(mount(tt.as, tt.to, from), tt.status)
			path := "/v2/" + tt.to + "/blobs/" + d.String()
			if tt.status == 202 {
				r.do(ask{as: tt.as, method: "DELETE", path: res.Header.Get("Location")}, 204)
				r.do(ask{as: tt.as, method: "GET", path: path}, 404)
				continue
			}
			r.do(ask{as: tt.as, method: "GET", path: path}, 200)
			r.do(ask{as: tt.as, method: "DELETE", path: path}, 202)
		}
	}
	visible(model.VisibilityPublic)
	r.do(ask{method: "GET", path: "/v2/default/closed/blobs/" + d.String()}, 200) // nobody needs to sign in
	r.do(ask{method: "DELETE", path: "/v2/default/closed/blobs/" + d.String()}, 401)
	r.refused(ask{as: "bob", method: "DELETE", path: "/v2/default/closed/blobs/" + d.String()}, 403, "DENIED")
	r.refused(ask{as: "bob", method: "POST", path: "/v2/default/closed/blobs/uploads/"}, 403, "DENIED")
}

// TestFreshen keeps the blob that a pusher was told is here until its manifest
// comes, whatever its age.
func TestFreshen(t *testing.T) {
	r := newRig(t)
	b := random(100)
	d := r.push("ada", repoA, b)
	old := r.by()
	old.Origin.Time = time.Now().Add(-48 * time.Hour)
	id := r.repository(repoA).ID
	age := func() time.Duration {
		t.Helper()
		l, ok := r.cluster.View().BlobLink(id, d.String())
		if !ok {
			t.Fatal("not linked")
		}
		return time.Since(l.LinkedAt)
	}
	r.propose(&command.LinkBlobs{Head: old, Links: []model.BlobLink{{RepositoryID: id, Digest: d.String(), Size: 100}}})
	path := "/v2/" + repoA + "/blobs/" + d.String()
	r.do(ask{as: "vic", method: "HEAD", path: path}, 200) // who cannot push is no pusher
	r.do(ask{as: "ada", method: "GET", path: path}, 200)
	if age() < 47*time.Hour {
		t.Fatal("reading made it young")
	}
	r.do(ask{as: "ada", method: "HEAD", path: path}, 200)
	if age() > time.Minute {
		t.Fatal("it is still old")
	}
	if err := r.reg.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.expectBlob(repoA, d, b)
	r.propose(&command.LinkBlobs{Head: old, Links: []model.BlobLink{{RepositoryID: id, Digest: d.String(), Size: 100}}})
	if err := r.reg.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.refused(ask{as: "ada", method: "GET", path: path}, 404, "BLOB_UNKNOWN")
}
