package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/skerryhq/skerry/appliance/apptest"
	"github.com/skerryhq/skerry/runtime/runtimetest"
)

// registryInfo is what the node says about its registry.
type registryInfo struct {
	Hosts         []string
	CACertificate string `json:"caCertificate"`
	Trust         []struct {
		Client string
		Lines  []string
	}
}

// wire is a client's way to the registry, from the other host on the wire; it
// trusts what the registry says of itself and nothing else.
func wire(t *testing.T, n *apptest.Node, info registryInfo) http.RoundTripper {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(info.CACertificate)) {
		t.Fatal("the registry shows no certificate")
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
		return n.Outside.Dial(network, address, 5*time.Second)
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// busybox is an image with the usual tools and one file of its own.
func busyboxImage(t *testing.T, mark string) v1.Image {
	t.Helper()
	layer := func(files []runtimetest.File) v1.Layer {
		b := runtimetest.Tar(t, files)
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil })
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	img, err := mutate.AppendLayers(empty.Image, layer(runtimetest.BusyboxLayer(t)), layer([]runtimetest.File{{Name: "mark", Mode: 0o644, Body: []byte(mark)}}))
	if err != nil {
		t.Fatal(err)
	}
	cf, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cf = cf.DeepCopy()
	cf.OS, cf.Architecture = "linux", "amd64"
	cf.Config.Cmd, cf.Config.Env, cf.Config.StopSignal = []string{"sleep", "1000000"}, []string{"PATH=/usr/bin:/bin"}, "SIGKILL"
	if img, err = mutate.ConfigFile(img, cf); err != nil {
		t.Fatal(err)
	}
	return img
}

// TestRegistryWithPeople pushes an image as a person would, runs it, changes it,
// rolls on and back, shares it and deletes it.
func TestRegistryWithPeople(t *testing.T) {
	n := apptest.New(t)
	n.Daemon("--san", "registry.test")
	n.OK("init")
	secret := filepath.Join(t.TempDir(), "password")
	const pass = "correct horse battery staple"
	if err := os.WriteFile(secret, []byte(pass), 0o600); err != nil {
		t.Fatal(err)
	}
	n.OK("tenant", "create", "other")
	n.OK("user", "create", "jane", "--member", "default=developer", "--password-file", secret)
	n.OK("user", "create", "bob", "--member", "other=developer", "--password-file", secret)

	var info registryInfo
	n.JSON(&info, "registry", "info")
	if info.Hosts[0] != "registry.test:7443" {
		t.Errorf("the registry's hosts are %v", info.Hosts)
	}
	if lines := n.OK("registry", "trust", "docker"); !strings.Contains(lines, "/etc/docker/certs.d/registry.test:7443/ca.crt") || !strings.Contains(lines, strings.TrimSpace(info.CACertificate)) {
		t.Errorf("docker's lines are\n%s", lines)
	}
	n.Refused("no lines for the client", "registry", "trust", "rocket")

	way := wire(t, n, info)
	const host = "192.0.2.1:7443"
	as := func(user string) []remote.Option {
		return []remote.Option{remote.WithTransport(way), remote.WithAuth(&authn.Basic{Username: user, Password: pass})}
	}
	ref := func(s string) name.Reference {
		r, err := name.ParseReference(host + "/" + s)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	one := busyboxImage(t, "one")

	// Nobody pushes without a sign-in, nor into a foreign tenant.
	if err := remote.Write(ref("default/web:1"), one, remote.WithTransport(way)); statusOf(err) != http.StatusUnauthorized {
		t.Errorf("pushed without a sign-in: %v", err)
	}
	if err := remote.Write(ref("default/web:1"), one, as("bob")...); statusOf(err) != http.StatusNotFound {
		t.Errorf("bob pushed into jane's tenant: %v", err)
	}
	if err := remote.Write(ref("default/web:1"), one, as("jane")...); err != nil {
		t.Fatal(err)
	}

	// Push end to running.
	begin := time.Now()
	n.OK("run", "-d", "-n", "web", "default/web:1")
	t.Logf("push end to running: %s with unpacking", time.Since(begin).Round(time.Millisecond))
	begin = time.Now()
	n.OK("run", "-d", "-n", "again", "web:1")
	t.Logf("a second container of it: %s", time.Since(begin).Round(time.Millisecond))
	n.OK("app", "rm", "again")
	if out := n.OK("exec", "web", "cat", "/mark"); out != "one" {
		t.Errorf("the container reads %q", out)
	}
	if c := n.Container("web"); c.Spec.Image != "skerry.internal/default/web:1" {
		t.Errorf("the container's image is %q", c.Spec.Image)
	}
	var repos struct {
		Items []struct {
			Path   string
			Status struct{ Tags, Manifests int }
		}
	}
	n.JSON(&repos, "repo", "ls")
	if len(repos.Items) != 1 || repos.Items[0].Path != "default/web" || repos.Items[0].Status.Tags != 1 {
		t.Errorf("repositories: %+v", repos)
	}

	// A tag that moves changes nothing by itself.
	if err := remote.Write(ref("default/web:1"), busyboxImage(t, "two"), as("jane")...); err != nil {
		t.Fatal(err)
	}
	n.OK("service", "update", "web", "-e", "A=1")
	if out := n.OK("exec", "web", "cat", "/mark"); out != "one" {
		t.Errorf("a change of the environment moved the image: %q", out)
	}
	n.OK("service", "update", "web", "--image", "192.0.2.1:7443/default/web:1")
	if out := n.OK("exec", "web", "cat", "/mark"); out != "two" {
		t.Errorf("asked for by name, the container reads %q", out)
	}

	// Commit, roll on, roll back.
	n.OK("exec", "web", "sh", "-c", "echo three > /mark")
	if out := n.OK("commit", "web", "web:3"); !strings.HasPrefix(out, "default/web:3 sha256:") {
		t.Errorf("commit printed %q", out)
	}
	n.Refused("names another registry", "commit", "web", "quay.io/x/web:3")
	n.OK("service", "update", "web", "--image", "web:3")
	if out := n.OK("exec", "web", "cat", "/mark"); strings.TrimSpace(out) != "three" {
		t.Errorf("the committed image reads %q", out)
	}
	n.OK("app", "rollback", "web")
	if out := n.OK("exec", "web", "cat", "/mark"); out != "two" {
		t.Errorf("rolled back, the container reads %q", out)
	}
	if _, err := remote.Image(ref("default/web:3"), as("jane")...); err != nil {
		t.Errorf("what was committed cannot be pulled: %v", err)
	}

	// Foreign tenants: by name, by digest, by mount.
	digest, _ := one.Digest()
	for _, what := range []string{"default/web:1", "default/web@" + digest.String(), "default/absent:1"} {
		if _, err := remote.Image(ref(what), as("bob")...); statusOf(err) != http.StatusNotFound {
			t.Errorf("bob read %s: %v", what, err)
		}
	}
	n.Refused("there is no", "run", "-d", "-n", "stolen", "--tenant", "other", "192.0.2.1:7443/default/absent:1")
	for _, visibility := range []string{"public", "tenant"} {
		n.OK("repo", "set", "default/web", "--visibility", visibility)
		_, err := remote.Image(ref("default/web:1"), as("bob")...)
		if (err == nil) != (visibility == "public") {
			t.Errorf("%s: bob got %v", visibility, err)
		}
		_, err = remote.Image(ref("default/web:1"), remote.WithTransport(way))
		if (err == nil) != (visibility == "public") {
			t.Errorf("%s: somebody got %v", visibility, err)
		}
		if visibility == "public" {
			home := t.TempDir()
			if _, errs, status := n.Remote(home, "login", "https://192.0.2.1:7443", "-u", "bob", "--password-file", secret, "--ca-fingerprint", fingerprint(t, n)); status != 0 {
				t.Fatal(errs)
			}
			if _, errs, status := n.Remote(home, "run", "-d", "-n", "shared", "default/web:1"); status != 0 {
				t.Errorf("bob cannot run a public image: %s", errs)
			}
			if _, errs, status := n.Remote(home, "repo", "set", "default/web", "--visibility", "private"); status != 1 || !strings.Contains(errs, "may not write") {
				t.Errorf("bob changed a foreign repository: %d %s", status, errs)
			}
			if _, errs, status := n.Remote(home, "image", "push", "default/web:1", "copy:1"); status != 0 {
				t.Errorf("bob cannot copy a public image: %s", errs)
			}
			if _, errs, status := n.Remote(home, "image", "rm", "default/web:1"); status != 1 || !strings.Contains(errs, "may not write") {
				t.Errorf("bob deleted from a foreign repository: %d %s", status, errs)
			}
		}
	}
	if _, err := remote.Image(ref("other/copy:1"), as("bob")...); err != nil {
		t.Errorf("what bob copied: %v", err)
	}

	// An image that was imported gets a tag without a byte sent.
	n.Busybox()
	n.OK("image", "push", "busybox", "tools:1")
	if _, err := remote.Image(ref("default/tools:1"), as("jane")...); err != nil {
		t.Errorf("what was pushed from the engine: %v", err)
	}
	n.OK("image", "push", "default/tools:1", "tools:2")
	tarFile := filepath.Join(t.TempDir(), "tools.tar")
	n.OK("image", "export", "tools:2", "-o", tarFile)
	if s, err := os.Stat(tarFile); err != nil || s.Size() < 1<<20 {
		t.Errorf("the export: %v", err)
	}
	// What bears this registry's name goes back to where it came from.
	n.OK("image", "rm", "tools:2")
	if out := n.OK("image", "import", tarFile); !strings.Contains(out, "default/tools:2") {
		t.Errorf("import printed %q", out)
	}
	if out := n.OK("image", "ls"); strings.Contains(out, "tools") {
		t.Errorf("the import made a second thing of that name: %s", out)
	}
	// With and without the tenant the same repository is meant.
	n.OK("repo", "create", "default/made")
	n.OK("repo", "rm", "made")
	n.Refused("has no tag 9", "run", "-d", "-n", "none", "web:9")

	// Deleting.
	n.Refused("in use", "repo", "rm", "default/web")
	n.OK("image", "rm", "web:3")
	var detail struct{ FreesBytes int64 }
	n.JSON(&detail, "image", "inspect", "tools:1")
	n.OK("image", "rm", "tools:1", "tools:2")
	n.OK("repo", "rm", "default/tools")
	n.Refused("there is no repository", "repo", "inspect", "default/tools")

	// What a kept revision names and somebody deleted all the same.
	n.OK("repo", "rm", "-f", "default/web")
	if out := n.OK("exec", "web", "cat", "/mark"); out != "two" {
		t.Errorf("deleting the repository touched the container: %q", out)
	}
	n.OK("service", "update", "web", "-e", "A=2")
	n.Refused("default/web", "app", "rollback", "web", "--to", "1")
	n.OK("registry", "collect")
	n.OK("stop", "web")
	n.OK("start", "web")
	if out := n.OK("exec", "web", "cat", "/mark"); out != "two" {
		t.Errorf("after a collection the container reads %q", out)
	}
	if out := n.OK("audit", "--operation", "registry"); !strings.Contains(out, "jane") || !strings.Contains(out, "default/web") {
		t.Errorf("the audit does not tell of jane's push:\n%s", out)
	}
}

// fingerprint is that of the cluster's authority.
func fingerprint(t *testing.T, n *apptest.Node) string {
	t.Helper()
	var r struct {
		CAFingerprint string `json:"caFingerprint"`
	}
	n.JSON(&r, "registry", "info")
	return r.CAFingerprint
}

// statusOf is the HTTP status that a registry client was refused with.
func statusOf(err error) int {
	if e, ok := errors.AsType[*transport.Error](err); ok {
		return e.StatusCode
	}
	return 0
}

// TestRepositoryOutlivesItsImage takes the image's name away and restarts the
// daemon: what a repository holds runs on, and again after a collection.
func TestRepositoryOutlivesItsImage(t *testing.T) {
	n := apptest.Start(t)
	n.Busybox()
	n.OK("image", "push", "busybox", "tools:1")
	n.OK("image", "rm", "docker.io/library/busybox:latest")
	n.OK("run", "-d", "-n", "x", "tools:1")
	n.OK("stop", "x")
	n.Kill()
	n.Daemon()
	n.OK("start", "x")
	n.OK("exec", "x", "true")
	n.OK("app", "rm", "x")
	n.OK("registry", "collect") // the engine's record goes, the content stays
	n.OK("run", "-d", "-n", "x", "tools:1")
	n.OK("exec", "x", "true")
	status, body := n.Send(http.MethodGet, "/api/v1/repositories/default%2Ftools/manifests/1", nil)
	var d struct {
		Layers []any
		Config *struct{ Command []string }
		UsedBy []any
	}
	if err := json.Unmarshal([]byte(body), &d); err != nil || status != http.StatusOK || len(d.Layers) != 1 || d.Config == nil || len(d.UsedBy) < 2 {
		t.Errorf("detail: %d %s", status, body)
	}
}

// TestPushElsewhere sends images to another registry, with and without
// credentials, and only where the caller may reach.
func TestPushElsewhere(t *testing.T) {
	n := apptest.Start(t)
	n.Busybox()
	n.OK("image", "push", "busybox", "tools:1")
	serve := func(h http.Handler) (host string) {
		l := n.Host.Listen("127.0.0.1:0")
		srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
		go func() { _ = srv.Serve(l) }() // ends with Close
		t.Cleanup(func() { _ = srv.Close() })
		return l.Addr().String()
	}
	store := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
	open := serve(store)
	closed := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, pass, _ := r.BasicAuth(); user != "ci" || pass != "hunter2 hunter2" {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		store.ServeHTTP(w, r)
	}))
	var got struct {
		Name, Digest string
		BytesSent    int64
	}
	n.JSON(&got, "image", "push", "default/tools:1", open+"/a/tools:1")
	if got.Name != open+"/a/tools:1" || got.BytesSent < 100<<10 || !strings.HasPrefix(got.Digest, "sha256:") {
		t.Errorf("pushed %+v", got)
	}
	first := got.BytesSent
	n.JSON(&got, "image", "push", "busybox", open+"/a/tools:2")
	if got.BytesSent > first/10 {
		t.Errorf("what is there was sent again: %d bytes, first %d", got.BytesSent, first)
	}
	// What arrived is whole: pulled back it runs.
	n.OK("run", "-d", "-n", "back", open+"/a/tools:1")
	n.OK("exec", "back", "true")

	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte("hunter2 hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	n.Refused("was not pushed", "image", "push", "tools:1", closed+"/b/tools:1")
	n.OK("image", "push", "tools:1", closed+"/b/tools:1", "-u", "ci", "--password-file", secret)
	n.Refused("takes no other user name", "image", "push", "tools:1", "tools:9", "-u", "ci", "--password-file", secret)
	n.Refused("there is no image", "image", "push", "absent:1", open+"/b/tools:1")
	n.Refused("is not an image name", "image", "push", "tools:1", "a//b")
	n.Refused("names a digest", "image", "push", "tools:1", open+"/b/tools@"+got.Digest)

	// Whoever is no administrator of the platform reaches no private address.
	n.OK("user", "create", "jane", "--member", "default=developer", "--password-file", secret)
	home := t.TempDir()
	if _, errs, status := n.Remote(home, "login", "https://192.0.2.1:7443", "-u", "jane", "--password-file", secret, "--ca-fingerprint", fingerprint(t, n)); status != 0 {
		t.Fatal(errs)
	}
	if _, errs, status := n.Remote(home, "image", "push", "tools:1", open+"/b/tools:1"); status != 1 || !strings.Contains(errs, "public") && !strings.Contains(errs, "https only") {
		t.Errorf("jane pushed to a private address: %d %s", status, errs)
	}
	// She signs her machine's clients in.
	if out, errs, status := n.Remote(home, "registry", "login", "192.0.2.1:7443"); status != 0 || !strings.Contains(out, "192.0.2.1:7443") {
		t.Errorf("registry login: %d %s", status, errs)
	}
	var config struct {
		Auths map[string]struct{ Auth string }
	}
	b, err := os.ReadFile(filepath.Join(home, ".docker", "config.json"))
	if err != nil || json.Unmarshal(b, &config) != nil {
		t.Fatalf("%v %s", err, b)
	}
	pair, err := base64.StdEncoding.DecodeString(config.Auths["192.0.2.1:7443"].Auth)
	user, token, _ := strings.Cut(string(pair), ":")
	if err != nil || user != "jane" {
		t.Fatalf("kept %s %v", pair, err)
	}
	var info registryInfo
	n.JSON(&info, "registry", "info")
	ref, err := name.ParseReference("192.0.2.1:7443/default/tools:1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Image(ref, remote.WithTransport(wire(t, n, info)), remote.WithAuth(&authn.Basic{Username: user, Password: token})); err != nil {
		t.Errorf("the kept credentials: %v", err)
	}
}
