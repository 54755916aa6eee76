package mirror_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/skerryhq/skerry/appliance/mirror"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/runtime/image"
	"github.com/skerryhq/skerry/runtime/runtimetest"
)

// dead is an address that nobody listens at.
func dead(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// engine pulls an image for a tenant's containers.
func (r *rig) engine(name, tenantID, ref, user, password string) (digest.Digest, error) {
	r.t.Helper()
	src, err := r.mirror.Source(r.caller(name, tenantID), ref, user, password)
	if err != nil {
		return "", err
	}
	defer src.Close()
	d, err := r.host.Images.Pull(r.t.Context(), src, image.PullOptions{})
	return d, mirror.Explain(ref, err)
}

// TestThrough pulls through the mirror with a real client and a real upstream.
func TestThrough(t *testing.T) {
	r := newRig(t, 0)
	up := r.upstreamServer()
	up.push("shop/web:1", "one")
	spec := up.spec("t1")
	spec.Endpoints = append([]string{"https://" + dead(t)}, spec.Endpoints...) // the first of the list is away
	r.upstream("registry.corp", spec, botPassword)
	const name = "registry.corp/shop/web:1"

	// Many clients at once: the upstream is asked once for each blob.
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if out, err := r.pull("ada", name); err != nil {
				t.Errorf("pull: %v %s", err, out)
			}
		})
	}
	all.Wait()
	if n := up.asked("GET", "/blobs/"); n != 2 { // config and layer
		t.Errorf("the upstream was asked %d times for 2 blobs:\n%s", n, up.log)
	}
	repo, ok := r.cluster.View().RepositoryByPath("registry.corp/shop/web")
	if !ok || len(slices.Collect(r.cluster.View().BlobLinks(repo.ID))) != 2 {
		t.Fatalf("cached: %+v", repo)
	}

	for who, want := range map[string]string{"bob": "is no upstream that serves you", "": "sign in to use the mirror"} {
		out, err := r.pull(who, name)
		if err == nil || !strings.Contains(out, want) && !strings.Contains(out, "unauthorized") && !strings.Contains(out, "authentication required") {
			t.Errorf("%q pulled: %v %s", who, err, out)
		}
	}
	if out, err := r.pull("ada", "registry.corp/shop/none:1"); err == nil || !strings.Contains(out, "manifest unknown") && !strings.Contains(out, "no such image") {
		t.Errorf("an image that is not there: %v %s", err, out)
	}
	if out, err := r.pull("ada", "elsewhere.corp/shop/web:1"); err == nil {
		t.Errorf("a host that is no upstream was reached: %s", out)
	}

	// A tag that moves is seen after a minute, not before.
	up.push("shop/web:1", "two")
	before, _ := r.cluster.View().Tag(repo.ID, "1")
	if out, err := r.pull("ada", name); err != nil {
		t.Fatal(err, out)
	}
	if now, _ := r.cluster.View().Tag(repo.ID, "1"); now.Digest != before.Digest {
		t.Error("the upstream was asked within the minute")
	}
	r.ahead.Add(int64(2 * time.Minute))
	if out, err := r.pull("ada", name); err != nil {
		t.Fatal(err, out)
	}
	moved, _ := r.cluster.View().Tag(repo.ID, "1")
	if moved.Digest == before.Digest {
		t.Error("the tag did not follow")
	}

	// The upstream is gone: what was pulled is served on, also to the engine.
	up.stop()
	r.ahead.Add(int64(2 * time.Minute))
	if out, err := r.pull("ada", name); err != nil {
		t.Errorf("without the upstream: %v %s", err, out)
	}
	if !strings.Contains(r.log.String(), "the upstream is away; a tag is served as it was") {
		t.Error("nothing of it in the log")
	}
	if d, err := r.engine("ada", "t1", name, "", ""); err != nil || d.String() != moved.Digest {
		t.Errorf("the engine without the upstream: %s %v", d, err)
	}
	out, err := r.pull("ada", "registry.corp/shop/web:2")
	if err == nil || !strings.Contains(out, "503 Service Unavailable") {
		t.Errorf("what was never pulled: %v %s", err, out)
	}

	// Without its upstream row there is nothing left.
	u, _ := r.cluster.View().UpstreamByName("registry.corp")
	r.propose(&command.DeleteUpstream{Head: command.By(model.Origin{Actor: "root"}), ID: u.ID, ExpectVersion: command.AnyVersion})
	if out, err := r.pull("ada", name); err == nil {
		t.Errorf("the cache outlives its upstream: %s", out)
	}
}

// TestEngine pulls for containers: with the upstream's password for those whom it
// serves, with one that comes along, and without any.
func TestEngine(t *testing.T) {
	r := newRig(t, 0)
	up := r.upstreamServer()
	up.push("shop/web:1", "one")
	r.upstream("registry.corp", up.spec("t1"), botPassword)
	const name = "registry.corp/shop/web:1"

	d, err := r.engine("ada", "t1", name, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.host.Images.Resolve(t.Context(), d); err != nil {
		t.Errorf("it does not start: %v", err)
	}
	// What came with the password once need not come again for whom it serves.
	before := up.asked("GET", "/blobs/")
	if _, err := r.engine("ada", "t1", name, "", ""); err != nil || up.asked("GET", "/blobs/") != before {
		t.Errorf("again: %v, %d requests for blobs", err, up.asked("GET", "/blobs/")-before)
	}
	if _, err := r.engine("bob", "t2", name, "", ""); model.CodeOf(err) != "registry_denied" || !strings.Contains(err.Error(), "wants a user name and password") {
		t.Errorf("a tenant that is not served: %v", err)
	}
	if _, err := r.engine("bob", "t2", name, botUser, "wrong"); model.CodeOf(err) != "registry_denied" || strings.Contains(err.Error(), "wrong") {
		t.Errorf("a wrong password: %v", err)
	}
	before = up.asked("GET", "/blobs/")
	if _, err := r.engine("bob", "t2", name, botUser, botPassword); err != nil || up.asked("GET", "/blobs/") == before {
		t.Errorf("a password of his own: %v, and the bytes must come: %d requests", err, up.asked("GET", "/blobs/")-before)
	}
	if _, err := r.engine("ada", "t1", "registry.corp/shop/none:1", "", ""); model.CodeOf(err) != "image_not_found" {
		t.Errorf("no such image: %v", err)
	}
	if _, err := r.engine("ada", "t1", "127.0.0.1:5000/shop/web:1", "", ""); model.CodeOf(err) != "registry_not_public" {
		t.Errorf("this host's own ports: %v", err)
	}

	r.upstream("registry.corp", model.UpstreamSpec{Endpoints: []string{"https://" + up.addr}, CA: up.ca, Username: botUser}, "changed")
	if _, err := r.engine("ada", "t1", name, "", ""); model.CodeOf(err) != "registry_denied" {
		t.Errorf("the upstream's password is wrong: %v", err)
	}
	off := up.spec()
	off.Disabled = true
	r.upstream("registry.corp", off, botPassword)
	if _, err := r.engine("ada", "t1", name, "", ""); model.CodeOf(err) != "upstream_disabled" {
		t.Errorf("switched off: %v", err)
	}
	if strings.Contains(r.log.String(), botPassword) {
		t.Error("the password is in the log")
	}
}

// TestTrial: a platform administrator tries out a registry on this host, which
// nobody else reaches; other bytes than their digest says are never kept.
func TestTrial(t *testing.T) {
	r := newRig(t, 0)
	up := r.upstreamServer()
	up.push("shop/web:1", "one")
	r.upstream("registry.corp", up.spec(), botPassword)
	d, err := r.engine("ada", "t1", "registry.corp/shop/web:1", "", "")
	if err != nil {
		t.Fatal(err)
	}
	corrupt := false
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b, err := r.blobs.Read(req.Context(), d, 1<<20)
		if strings.Contains(req.URL.Path, "/blobs/") {
			b, err = r.blobs.Read(req.Context(), digest.Digest(req.URL.Path[strings.LastIndexByte(req.URL.Path, '/')+1:]), 64<<20)
		} else {
			w.Header().Set("Content-Type", model.MediaTypeOCIManifest)
		}
		if err != nil {
			http.NotFound(w, req)
			return
		}
		if corrupt && strings.Contains(req.URL.Path, "/blobs/") {
			b[len(b)-1] ^= 1
		}
		w.Write(b)
	}))
	defer front.Close()
	name := strings.TrimPrefix(front.URL, "http://") + "/x/y:1"
	if _, err := r.engine("bob", "t2", name, "", ""); model.CodeOf(err) != "registry_not_public" {
		t.Errorf("bob reached this host: %v", err)
	}
	if got, err := r.engine("root", "t1", name, "", ""); err != nil || got != d {
		t.Errorf("root: %s %v", got, err)
	}
	corrupt = true
	r.upstream("broken.corp", model.UpstreamSpec{Endpoints: []string{front.URL}}, "")
	if _, err := r.engine("bob", "t2", "broken.corp/x/y:1", "", ""); model.CodeOf(err) != "registry_nonsense" {
		t.Errorf("corrupt, engine: %v", err)
	}
	if out, err := r.pull("bob", "broken.corp/x/y:1"); err == nil {
		t.Errorf("corrupt, mirror: %s", out)
	}
	v := r.cluster.View()
	repo, ok := v.RepositoryByPath("broken.corp/x/y")
	if !ok || len(slices.Collect(v.BlobLinks(repo.ID))) != 0 {
		t.Errorf("something corrupt is cached in %+v", repo)
	}
}

// TestImpatient: a client that gives up while a large blob is fetched finds it
// when it comes again; a pull for the engine that is given up ends the fetch.
func TestImpatient(t *testing.T) {
	r := newRig(t, 0)
	blob := []byte(strings.Repeat("0123456789abcdef", 64<<10)) // 1 MiB
	d := digest.FromBytes(blob)
	var asked, ended atomic.Int64
	more := make(chan struct{})
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Length", "1048576")
		w.Write(blob[:100])
		w.(http.Flusher).Flush()
		select {
		case <-more:
			w.Write(blob[100:])
		case <-req.Context().Done():
			ended.Add(1)
		}
	}))
	defer front.Close()
	r.upstream("slow.corp", model.UpstreamSpec{Endpoints: []string{front.URL}}, "")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.mirror.Blob(ctx, r.caller("ada", ""), "slow.corp/a/b", d.String()); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("given up: %v", err)
	}
	close(more)
	if _, err := r.mirror.Blob(t.Context(), r.caller("ada", ""), "slow.corp/a/b", d.String()); err != nil || asked.Load() != 1 {
		t.Errorf("again: %v, asked %d times", err, asked.Load())
	}

	more = make(chan struct{})
	src, err := r.mirror.Source(r.caller("bob", "t2"), "slow.corp/a/b:1", "own", "password")
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := src.Fetch(ctx, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: d, Size: int64(len(blob))}, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("given up: %v", err)
	}
	runtimetest.Eventually(t, 10*time.Second, "the fetch ends", func() bool { return ended.Load() == 1 })
}

// TestForeignLayer: ada's layer is on this node; bob knows its digest and has a
// registry that names it and does not have it.
func TestForeignLayer(t *testing.T) {
	r := newRig(t, 0)
	up := r.upstreamServer()
	up.push("shop/secret:1", "a secret")
	r.upstream("registry.corp", up.spec("t1"), botPassword)
	d, err := r.engine("ada", "t1", "registry.corp/shop/secret:1", "", "")
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := r.blobs.Read(t.Context(), d, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.Contains(req.URL.Path, "/manifests/") {
			w.Header().Set("Content-Type", model.MediaTypeOCIManifest)
			w.Write(manifest)
			return
		}
		http.NotFound(w, req)
	}))
	defer evil.Close()
	r.upstream("evil.corp", model.UpstreamSpec{Endpoints: []string{evil.URL}, TenantIDs: []string{"t2"}}, "")
	if _, err := r.engine("bob", "t2", "evil.corp/x/y:1", "", ""); model.CodeOf(err) != "image_not_found" {
		t.Errorf("the engine took it: %v", err)
	}
	if out, err := r.pull("bob", "evil.corp/x/y:1"); err == nil {
		t.Errorf("the mirror gave it: %s", out)
	}
	// An index that names it, beside an image of bob's own, gives bob nothing.
	layer := manifestLayer(t, manifest)
	for _, first := range []bool{false, true} {
		own := `{"mediaType":"` + model.MediaTypeOCIManifest + `","digest":"sha256:` + strings.Repeat("0", 64) + `","size":1,"platform":{"os":"linux","architecture":"` + runtime.GOARCH + `"}}`
		secret := strings.Replace(own, "sha256:"+strings.Repeat("0", 64), d.String(), 1)
		index := `{"mediaType":"` + model.MediaTypeOCIIndex + `","manifests":[` + own + `,` + secret + `]}`
		if first { // the part that an engine would have fetched
			index = `{"mediaType":"` + model.MediaTypeOCIIndex + `","manifests":[` + secret + `,` + own + `]}`
		}
		id := digest.FromString(index)
		release, err := r.blobs.Put(t.Context(), id, int64(len(index)), strings.NewReader(index))
		if err != nil {
			t.Fatal(err)
		}
		r.propose(&command.PutImage{Head: command.By(model.Origin{Actor: "bob"}), Image: model.Image{Meta: model.Meta{ID: "i8", Name: "x.corp/x:1"}, TenantID: "t2", Digest: id.String()}})
		src, err := r.mirror.Source(r.caller("bob", "t2"), "evil.corp/x/y:1", "", "")
		if err != nil {
			t.Fatal(err)
		}
		if src.Holds(layer) != first {
			t.Errorf("named first %v: holds %v", first, !first)
		}
		src.Close()
		release()
	}
	img, _ := r.cluster.View().ImageByName("t2", "x.corp/x:1")
	r.propose(&command.DeleteImage{Head: command.By(model.Origin{Actor: "bob"}), ID: img.ID, ExpectVersion: command.AnyVersion})
	// The same for the tenant that has it as an image.
	r.propose(&command.PutImage{Head: command.By(model.Origin{Actor: "bob"}), Image: model.Image{Meta: model.Meta{ID: "i9", Name: "registry.corp/shop/secret:1"}, TenantID: "t2", Digest: d.String()}})
	if _, err := r.engine("bob", "t2", "evil.corp/x/y:1", "", ""); err != nil {
		t.Errorf("who has the image: %v", err)
	}
}

// manifestLayer is the only layer of a manifest.
func manifestLayer(t *testing.T, manifest []byte) digest.Digest {
	t.Helper()
	var m ocispec.Manifest
	if err := json.Unmarshal(manifest, &m); err != nil || len(m.Layers) != 1 {
		t.Fatal(m, err)
	}
	return m.Layers[0].Digest
}

// TestDockerHub: names without a host are Docker Hub's, and a row of that name
// says where that is. The way goes through an HTTP proxy.
func TestDockerHub(t *testing.T) {
	r := newRig(t, 0)
	up := r.upstreamServer()
	up.push("library/nginx:1", "nginx")
	var asked atomic.Value
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		asked.Store(req.Method + " " + req.Host)
		to, err := net.Dial("tcp", up.addr)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.WriteHeader(http.StatusOK)
		from, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		go func() { io.Copy(to, buffered); to.Close() }()
		io.Copy(from, to)
		from.Close()
	}))
	defer proxy.Close()
	spec := up.spec()
	spec.Endpoints, spec.Proxy = []string{"https://registry.corp"}, proxy.URL
	r.upstream("docker.io", spec, botPassword)
	for _, name := range []string{"library/nginx:1", "docker.io/library/nginx:1", "docker.io/nginx:1"} {
		if out, err := r.pull("ada", name); err != nil {
			t.Errorf("%s: %v %s", name, err, out)
		}
	}
	if asked.Load() != "CONNECT registry.corp:443" {
		t.Errorf("the proxy was asked for %v", asked.Load())
	}
	if _, err := r.engine("ada", "t1", "nginx:1", "", ""); err != nil {
		t.Errorf("engine: %v", err)
	}
	// A client that takes us for a mirror of Docker Hub says so by ?ns=.
	for token, want := range map[string]int{r.secrets["ada"]: http.StatusOK, "": http.StatusUnauthorized} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.web.URL+"/v2/library/nginx/manifests/1?ns=docker.io", nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := r.web.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("?ns=docker.io: %s, want %d", resp.Status, want)
		}
	}
	if _, ok := r.cluster.View().RepositoryByPath("docker.io/library/nginx"); !ok {
		t.Error("it is not cached under its name")
	}
	spec.Proxy = "http://" + dead(t)
	r.upstream("docker.io", spec, botPassword)
	if _, err := r.engine("ada", "t1", "nginx:2", "", ""); err == nil || !strings.Contains(err.Error(), "through the proxy "+spec.Proxy) {
		t.Errorf("without the proxy: %v", err)
	}
}

// TestEvict drops what nobody pulled for the longest time, and nothing that
// somebody needs.
func TestEvict(t *testing.T) {
	r := newRig(t, 5<<19) // two of the images of 1.1 MB
	up := r.upstreamServer()
	r.upstream("registry.corp", up.spec(), botPassword)
	for _, n := range []string{"a", "b", "c"} {
		up.push("x/"+n+":1", n)
		if out, err := r.pull("ada", "registry.corp/x/"+n+":1"); err != nil {
			t.Fatal(err, out)
		}
		r.ahead.Add(int64(time.Minute))
	}
	if out, err := r.pull("ada", "registry.corp/x/a:1"); err != nil { // in use again
		t.Fatal(err, out)
	}
	d, err := r.engine("ada", "t1", "registry.corp/x/b:1", "", "")
	if err != nil {
		t.Fatal(err)
	}
	r.propose(&command.PutImage{Head: command.By(model.Origin{Actor: "ada"}), Image: model.Image{Meta: model.Meta{ID: "i9", Name: "registry.corp/x/b:1"}, TenantID: "t1", Digest: d.String()}})
	has := func(n string) bool {
		_, ok := r.cluster.View().RepositoryByPath("registry.corp/x/" + n)
		return ok
	}
	if err := r.mirror.Evict(t.Context()); err != nil || !has("a") || !has("b") || !has("c") {
		t.Fatalf("young ones went: %v", err)
	}
	r.ahead.Add(int64(time.Hour))
	if err := r.mirror.Evict(t.Context()); err != nil || !has("a") || has("b") || !has("c") {
		t.Fatalf("b should be gone, and only it: %v, a %v b %v c %v", err, has("a"), has("b"), has("c"))
	}
	if err := r.mirror.Evict(t.Context()); err != nil || !has("a") || !has("c") {
		t.Errorf("the rest fits and went: %v", err)
	}
	// b's content stays: an image needs it.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, _, err := r.reg.Collect(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := r.host.Images.Inspect(t.Context(), d); err != nil {
		t.Errorf("an image went with the cache: %v", err)
	}
	if out, err := r.pull("ada", "registry.corp/x/b:1"); err != nil {
		t.Errorf("what was dropped does not come again: %v %s", err, out)
	}
}
