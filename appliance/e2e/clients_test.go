package e2e

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/apptest"
	"github.com/skerryhq/skerry/appliance/apptest/debimage"
)

// The registry as clients on another machine see it: by the node's address, of
// which Docker does not say that it may be trusted blindly.
const (
	registryHost = "192.0.2.1:7443"
	clientPass   = "correct horse battery staple"
)

// clientRig is a node and a machine with every client on the same wire.
type clientRig struct {
	n     *apptest.Node
	m     *apptest.Machine
	trust map[string][]string // client -> shell lines, as the API gives them

	mu   sync.Mutex
	said strings.Builder // what was typed and answered; guarded by mu
}

// note writes down what was typed on the clients' machine. SKERRY_TRANSCRIPT
// names the file that docs/registry.md is made from.
func (r *clientRig) note(typed, answer string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(&r.said, "# %s\n%s\n", typed, strings.TrimSpace(answer))
}

// newClientRig starts node and machine, makes the user ada (developer) and puts
// an image onto the machine as /srv/image.tar.
func newClientRig(t *testing.T) *clientRig {
	t.Helper()
	system, err := debimage.System(t.Context(), "systemd", "systemd-sysv", "iptables", "ca-certificates", "curl", "docker.io", "podman", "buildah", "skopeo", "openssl")
	if errors.Is(err, debimage.ErrNoPackages) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	tools := clientTools(t)
	image, err := debimage.Archive(t.Context(), "busybox")
	if err != nil {
		t.Fatal(err)
	}
	r := &clientRig{n: apptest.Start(t), trust: map[string][]string{}}
	r.m = apptest.BootOn(t, r.n.Outside, "clients", system)
	r.m.Put(image, "/srv/image.tar")
	for _, tool := range tools {
		r.m.Install(tool)
	}
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte(clientPass), 0o600); err != nil {
		t.Fatal(err)
	}
	r.n.OK("user", "create", "ada", "--member", "default=developer", "--password-file", password)
	if err := r.m.Write("/srv/password", []byte(clientPass)); err != nil {
		t.Fatal(err)
	}
	var info struct {
		Hosts []string
		Trust []struct {
			Client string
			Lines  []string
		}
	}
	if status, body := r.n.Send(http.MethodGet, "/api/v1/registry", nil); status != http.StatusOK || json.Unmarshal([]byte(body), &info) != nil {
		t.Fatalf("GET /registry: %d %s", status, body)
	}
	if len(info.Hosts) == 0 || info.Hosts[0] != registryHost {
		t.Fatalf("the registry is to be reached at %v, want %s first", info.Hosts, registryHost)
	}
	for _, c := range info.Trust {
		r.trust[c.Client] = c.Lines
	}
	return r
}

// clientTools builds the clients that are Go modules.
func clientTools(t *testing.T) []string {
	t.Helper()
	dir, err := filepath.Abs("../../.cache/clients")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "../../packaging/clients/build.sh", dir).CombinedOutput(); err != nil {
		t.Fatalf("build the clients: %v\n%s", err, out)
	}
	var tools []string
	for _, name := range []string{"crane", "regctl", "orasgo"} {
		tools = append(tools, filepath.Join(dir, name))
	}
	return tools
}

// forget takes back whatever makes a client trust the registry or know a user.
func (r *clientRig) forget() {
	r.m.OK("sh", "-c", "rm -rf /etc/docker/certs.d /etc/containers/certs.d ~/.docker ~/.regctl /run/containers/0/auth.json /usr/local/share/ca-certificates/skerry*; update-ca-certificates --fresh >/dev/null 2>&1")
}

// believe runs the very lines that the console prints for a client.
func (r *clientRig) believe(t *testing.T, client string) {
	t.Helper()
	lines := r.trust[client]
	if len(lines) == 0 {
		t.Fatalf("no lines make %s trust the registry: %v", client, r.trust)
	}
	text := strings.Join(lines, "\n")
	r.note(text, r.m.In(t).OK("sh", "-e", "-c", text))
}

// sh runs shell text on the clients' machine; it must succeed.
func (r *clientRig) sh(t *testing.T, text string) string {
	t.Helper()
	out := r.m.In(t).OK("sh", "-e", "-c", text)
	r.note(text, out)
	return out
}

// refused runs shell text that must fail, with one of the words.
func (r *clientRig) refused(t *testing.T, text string, words ...string) {
	t.Helper()
	out, status := r.m.In(t).Try("sh", "-e", "-c", text)
	r.note(text, out)
	if status == 0 {
		t.Errorf("%s: accepted\n%s", text, out)
		return
	}
	for _, w := range words {
		if strings.Contains(strings.ToLower(out), strings.ToLower(w)) {
			return
		}
	}
	t.Errorf("%s: refused with %q, want one of %q in it", text, out, words)
}

var digestForm = regexp.MustCompile(`sha256:[0-9a-f]{64}`)

// Every client pushes and pulls as its manual says; before that it refuses the
// registry that it does not trust, and what makes it trust are the lines that
// the API gives and nothing else. What was pushed runs.
func TestRealClients(t *testing.T) {
	r := newClientRig(t)
	const untrusted = "certificate signed by unknown authority"
	if file := os.Getenv("SKERRY_TRANSCRIPT"); file != "" {
		defer func() {
			if err := os.WriteFile(file, []byte(r.said.String()), 0o644); err != nil {
				t.Error(err)
			}
		}()
	}

	t.Run("docker", func(t *testing.T) {
		r.forget()
		r.sh(t, "docker info >/dev/null; docker load -q -i /srv/image.tar; docker tag busybox:latest "+registryHost+"/default/docker:1")
		r.refused(t, "docker push "+registryHost+"/default/docker:1", untrusted)
		r.refused(t, "docker login -u ada --password-stdin "+registryHost+" </srv/password", untrusted)
		r.believe(t, "docker")
		r.refused(t, "docker push "+registryHost+"/default/docker:1", "denied", "unauthorized", "authentication required")
		r.refused(t, "echo wrong | docker login -u ada --password-stdin "+registryHost, "unauthorized", "incorrect", "denied", "401")
		r.sh(t, "docker login -u ada --password-stdin "+registryHost+" </srv/password")
		pushed := digestForm.FindString(r.sh(t, "docker push "+registryHost+"/default/docker:1"))
		r.refused(t, "docker push -q "+registryHost+"/elsewhere/docker:1 || docker tag busybox:latest "+registryHost+"/elsewhere/docker:1 && docker push "+registryHost+"/elsewhere/docker:1", "denied", "unauthorized", "not found", "unknown")
		r.sh(t, "docker rmi "+registryHost+"/default/docker:1 busybox:latest >/dev/null")
		pulled := r.sh(t, "docker pull "+registryHost+"/default/docker:1")
		if pushed == "" || !strings.Contains(pulled, pushed) {
			t.Errorf("pushed %s, pulled:\n%s", pushed, pulled)
		}
		if out := r.sh(t, "docker run --rm --network none "+registryHost+"/default/docker:1 echo by docker"); !strings.Contains(out, "by docker") {
			t.Errorf("run: %s", out)
		}
		r.runs(t, "default/docker:1", pushed)
	})
	t.Run("podman", func(t *testing.T) {
		r.forget()
		const ref = registryHost + "/default/podman:1"
		r.sh(t, "podman load -q -i /srv/image.tar; podman tag busybox:latest "+ref)
		r.refused(t, "podman push --creds ada:'"+clientPass+"' "+ref, untrusted)
		r.believe(t, "podman")
		r.refused(t, "podman push "+ref, "denied", "unauthorized", "authentication required")
		r.refused(t, "echo wrong | podman login -u ada --password-stdin "+registryHost, "invalid username/password", "unauthorized")
		r.sh(t, "podman login -u ada --password-stdin "+registryHost+" </srv/password")
		r.sh(t, "podman push --digestfile /srv/podman.digest "+ref+"; podman rmi -a -f >/dev/null; podman pull -q "+ref)
		r.runs(t, "default/podman:1", r.sh(t, "cat /srv/podman.digest"))
	})
	t.Run("buildah", func(t *testing.T) {
		r.forget()
		const ref = registryHost + "/default/buildah:1"
		r.sh(t, "c=$(buildah from --pull-never docker-archive:/srv/image.tar); echo hello >/srv/hello; buildah copy -q $c /srv/hello /hello; buildah config --cmd 'cat /hello' $c; buildah commit -q $c "+ref)
		r.refused(t, "buildah push --creds ada:'"+clientPass+"' "+ref, untrusted)
		r.believe(t, "buildah")
		r.sh(t, "buildah login -u ada --password-stdin "+registryHost+" </srv/password")
		r.sh(t, "buildah push -q --digestfile /srv/buildah.digest "+ref+"; buildah rmi -a -f >/dev/null; buildah pull -q "+ref)
		r.runs(t, "default/buildah:1", r.sh(t, "cat /srv/buildah.digest"))
	})
	t.Run("skopeo", func(t *testing.T) { r.skopeo(t, untrusted) })
	t.Run("crane", func(t *testing.T) {
		r.forget()
		const ref = registryHost + "/default/crane:1"
		r.refused(t, "crane auth login -u ada -p '"+clientPass+"' "+registryHost+" && crane push /srv/image.tar "+ref, untrusted)
		r.believe(t, "crane")
		r.sh(t, "crane auth login -u ada -p '"+clientPass+"' "+registryHost)
		pushed := r.sh(t, "crane push /srv/image.tar "+ref+" 2>/dev/null")
		pushed = digestForm.FindString(pushed[strings.LastIndex(pushed, "\n")+1:])
		r.sh(t, "crane validate --remote "+ref+"; crane tag "+ref+" two; crane pull "+ref+" /srv/crane.tar")
		if out := r.sh(t, "crane ls "+registryHost+"/default/crane"); out != "1\ntwo" {
			t.Errorf("crane ls: %q", out)
		}
		if out := r.sh(t, "crane catalog "+registryHost); !strings.Contains(out, "default/crane") {
			t.Errorf("crane catalog: %q", out)
		}
		r.runs(t, "default/crane:two", pushed)
		r.sh(t, "crane delete "+registryHost+"/default/crane:two")
		if out := r.sh(t, "crane ls "+registryHost+"/default/crane"); out != "1" {
			t.Errorf("after the deletion of a tag: %q", out)
		}
	})
	t.Run("regctl", func(t *testing.T) {
		r.forget()
		const ref = registryHost + "/default/regctl:1"
		r.sh(t, "rm -rf /srv/layout; skopeo copy -q docker-archive:/srv/image.tar oci:/srv/layout:1")
		r.refused(t, "regctl image copy ocidir:///srv/layout:1 "+ref, untrusted, "failed to verify certificate")
		r.believe(t, "regctl")
		r.sh(t, "regctl registry login -u ada --pass-stdin "+registryHost+" </srv/password")
		r.sh(t, "regctl image copy ocidir:///srv/layout:1 "+ref+"; regctl image export "+ref+" /srv/regctl.tar; regctl blob put "+registryHost+"/default/regctl </srv/hello")
		if out := r.sh(t, "regctl tag ls "+registryHost+"/default/regctl"); out != "1" {
			t.Errorf("regctl tag ls: %q", out)
		}
		r.runs(t, "default/regctl:1", r.sh(t, "regctl image digest "+ref))
	})
	t.Run("oras", func(t *testing.T) { r.oras(t, untrusted) })
	t.Run("many", r.many)
}

// runs starts a container on the node from what a client pushed, by its name and
// by its digest.
func (r *clientRig) runs(t *testing.T, name, digest string) {
	t.Helper()
	n := r.n.In(t)
	if out := n.OK("run", "--rm", name, "echo", "runs here"); !strings.Contains(out, "runs here") {
		t.Errorf("skerry run %s: %q", name, out)
	}
	repo, _, _ := strings.Cut(name, ":")
	if digest = strings.TrimSpace(digest); !digestForm.MatchString(digest) {
		t.Errorf("%s: the client named no digest: %q", name, digest)
		return
	}
	if out := n.OK("run", "--rm", registryHost+"/"+repo+"@"+digest, "echo", "runs here"); !strings.Contains(out, "runs here") {
		t.Errorf("skerry run %s@%s: %q", repo, digest, out)
	}
}

// skopeo copies in, between repositories (where nothing is sent twice) and out.
func (r *clientRig) skopeo(t *testing.T, untrusted string) {
	r.forget()
	const from, to = registryHost + "/default/skopeo:1", registryHost + "/default/copy:1"
	creds := "ada:'" + clientPass + "'"
	r.refused(t, "skopeo copy --dest-creds "+creds+" docker-archive:/srv/image.tar docker://"+from, untrusted)
	r.believe(t, "skopeo")
	r.sh(t, "skopeo login -u ada --password-stdin "+registryHost+" </srv/password")
	r.sh(t, "skopeo copy -q docker-archive:/srv/image.tar docker://"+from)
	before := r.stored(t)
	// --debug tells every request; a layer that is mounted is not sent.
	out := r.sh(t, "skopeo --debug copy docker://"+from+" docker://"+to+" 2>&1")
	layers := strings.Count(r.sh(t, "skopeo inspect --raw docker://"+from), `"digest"`) - 1 // skopeo sends the configuration always
	if mounted := strings.Count(out, "mount OK"); mounted != layers || layers < 1 {
		t.Errorf("%d of %d layers were mounted:\n%s", mounted, layers, out)
	}
	if sent := strings.Count(out, "PATCH https://"); sent > 1 {
		t.Errorf("skopeo sent %d blobs, want the configuration alone:\n%s", sent, out)
	}
	if after := r.stored(t); after != before {
		t.Errorf("the copy made blobs: %d before, %d after", before, after)
	}
	r.sh(t, "rm -rf /srv/out; skopeo copy -q docker://"+to+" oci:/srv/out:1; skopeo inspect docker://"+to+" >/dev/null; skopeo list-tags docker://"+registryHost+"/default/copy")
	one, two := r.sh(t, "skopeo inspect -f '{{.Digest}}' docker://"+from), r.sh(t, "skopeo inspect -f '{{.Digest}}' docker://"+to)
	if one != two {
		t.Errorf("%s became %s by copying", one, two)
	}
	r.runs(t, "default/copy:1", two)
	r.sh(t, "skopeo delete docker://"+to)
	r.refused(t, "skopeo inspect docker://"+to, "unknown")
	r.sh(t, "skopeo inspect docker://"+from+" >/dev/null")
}

// stored counts the blobs on the node.
func (r *clientRig) stored(t *testing.T) int {
	t.Helper()
	var info struct{ Blobs int }
	status, body := r.n.In(t).Send(http.MethodGet, "/api/v1/registry", nil)
	if status != http.StatusOK || json.Unmarshal([]byte(body), &info) != nil {
		t.Fatalf("GET /registry: %d %s", status, body)
	}
	return info.Blobs
}

// oras stores what is no image, and what is about something else.
func (r *clientRig) oras(t *testing.T, untrusted string) {
	r.forget()
	const ref = registryHost + "/default/artifact:1"
	as := "export ORAS_USER=ada ORAS_PASSWORD='" + clientPass + "'; "
	r.sh(t, "echo '{\"bill\":\"of materials\"}' >/srv/sbom.json; echo payload >/srv/payload.txt")
	r.refused(t, as+"orasgo push "+ref+" application/vnd.example.thing /srv/payload.txt", untrusted)
	r.believe(t, "oras")
	r.refused(t, "orasgo push "+ref+" application/vnd.example.thing /srv/payload.txt", "unauthorized", "denied", "basic credential not found", "401")
	r.sh(t, as+"orasgo push "+ref+" application/vnd.example.thing /srv/payload.txt")
	sbom := r.sh(t, as+"orasgo attach "+ref+" application/vnd.example.sbom /srv/sbom.json")
	signature := r.sh(t, as+"orasgo attach "+ref+" application/vnd.example.signature /srv/payload.txt")
	found := r.sh(t, as+"orasgo discover "+ref)
	if !strings.Contains(found, sbom+" application/vnd.example.sbom") || !strings.Contains(found, signature+" application/vnd.example.signature") {
		t.Errorf("discover: %q, want %s and %s", found, sbom, signature)
	}
	if out := r.sh(t, as+"orasgo pull "+registryHost+"/default/artifact@"+sbom+" /srv/got; cat /srv/got/sbom.json"); !strings.Contains(out, "of materials") {
		t.Errorf("pull: %q", out)
	}
	// The same by another client: regctl knows referrers, too.
	r.believe(t, "regctl")
	r.sh(t, "regctl registry login -u ada --pass-stdin "+registryHost+" </srv/password")
	if out := r.sh(t, "regctl artifact list "+ref); !strings.Contains(out, sbom) {
		t.Errorf("regctl artifact list: %q", out)
	}
}

// many is 200 clients that pull one tag at the same time, each with a token of
// its own; each gets every byte.
func (r *clientRig) many(t *testing.T) {
	const pulls = 200
	r.forget()
	r.believe(t, "skopeo")
	r.sh(t, "skopeo copy -q --dest-creds ada:'"+clientPass+"' docker-archive:/srv/image.tar docker://"+registryHost+"/default/many:1")
	errs := make(chan error, pulls)
	var all sync.WaitGroup
	begun := time.Now()
	for range pulls {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			errs <- r.pull(ctx, "default/many", "1")
		})
	}
	all.Wait()
	close(errs)
	failed := 0
	for err := range errs {
		if err != nil {
			if failed++; failed <= 5 {
				t.Error(err)
			}
		}
	}
	if failed > 0 {
		t.Fatalf("%d of %d pulls failed", failed, pulls)
	}
	t.Logf("%d pulls at once took %s", pulls, time.Since(begun).Round(10*time.Millisecond))
}

// pull does what a client does on a connection of its own: it is challenged,
// fetches a token, the manifest and every blob, and checks their digests.
func (r *clientRig) pull(ctx context.Context, repo, tag string) error {
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // TestRealClients is about trust
		DialContext: func(_ context.Context, network, addr string) (net.Conn, error) {
			return r.n.Outside.Dial(network, addr, 30*time.Second)
		},
	}
	defer transport.CloseIdleConnections()
	c := &http.Client{Transport: transport}
	get := func(url string, header ...string) ([]byte, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return nil, err
		}
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		if strings.Contains(url, "/token?") {
			req.SetBasicAuth("ada", clientPass)
		}
		res, err := c.Do(req)
		if err != nil {
			return nil, err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			return nil, fmt.Errorf("GET %s: %w", url, err)
		}
		if res.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("GET %s: %s: %.200s", url, res.Status, body)
		}
		return body, nil
	}
	base := "https://" + registryHost
	var token struct{ Token string }
	body, err := get(base + "/registry/token?service=skerry&scope=repository:" + repo + ":pull")
	if err == nil {
		err = json.Unmarshal(body, &token)
	}
	if err != nil {
		return fmt.Errorf("token: %w", err)
	}
	bearer := "Bearer " + token.Token
	body, err = get(base+"/v2/"+repo+"/manifests/"+tag, "Authorization", bearer, "Accept", "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json")
	if err != nil {
		return err
	}
	type descriptor struct{ Digest string }
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	if err := json.Unmarshal(body, &manifest); err != nil || len(manifest.Layers) == 0 {
		return fmt.Errorf("manifest: %w: %.200s", err, body)
	}
	for _, d := range append(manifest.Layers, manifest.Config) {
		blob, err := get(base+"/v2/"+repo+"/blobs/"+d.Digest, "Authorization", bearer)
		if err != nil {
			return err
		}
		if sum := sha256.Sum256(blob); "sha256:"+hex.EncodeToString(sum[:]) != d.Digest {
			return fmt.Errorf("blob %s has other bytes", d.Digest)
		}
	}
	return nil
}
