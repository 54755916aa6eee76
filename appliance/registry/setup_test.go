package registry_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/appliance/registry"
	"github.com/skerryhq/skerry/appliance/registry/auth"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
	"github.com/skerryhq/skerry/raft/state"
	"github.com/skerryhq/skerry/runtime/runtimetest"
)

// cluster is a replica of one: what is proposed is applied at once, by the way
// over bytes that raft takes.
type cluster struct {
	mu     sync.Mutex
	store  *state.Store
	index  uint64
	refuse func(command.Command) error // guarded by mu: stands for a cluster without a leader
}

func (c *cluster) View() *state.View { return c.store.View() }

func (c *cluster) Propose(_ context.Context, cmds ...command.Command) (node.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var res node.Result
	for _, cmd := range cmds {
		if c.refuse != nil {
			if err := c.refuse(cmd); err != nil {
				return res, err
			}
		}
		b, err := command.Encode(cmd)
		if err != nil {
			return res, err
		}
		if cmd, err = command.Decode(b); err != nil {
			return res, err
		}
		c.index++
		out := c.store.Apply([]state.Entry{{Index: c.index, Commands: []command.Command{cmd}}})[0]
		res.Index, res.Outcomes = c.index, append(res.Outcomes, out...)
	}
	for _, o := range res.Outcomes {
		if o.Err != nil {
			return res, o.Err
		}
	}
	return res, nil
}

// rig is a registry over a real engine, with people and their API tokens: root
// administers the platform, ada develops in the tenant default, vic views there,
// bob develops in the tenant other.
type rig struct {
	t       testing.TB
	host    *runtimetest.Host
	cluster *cluster
	door    *auth.Door
	reg     *registry.Registry
	dir     string
	url     string // of the server
	http    *http.Client
	secrets map[string]string // API tokens by user
	config  func(*registry.Config)
	joins   *rig // another member of the same cluster; nil: a cluster of its own
	stopRun func()
}

func newRig(t testing.TB, change ...func(*registry.Config)) *rig {
	t.Helper()
	return newRigOn(t, runtimetest.New(t), func(r *rig) {
		r.config = func(c *registry.Config) {
			for _, f := range change {
				f(c)
			}
		}
	})
}

func newRigOn(t testing.TB, host *runtimetest.Host, change func(*rig)) *rig {
	t.Helper()
	r := &rig{t: t, host: host, cluster: &cluster{store: state.New()}, dir: filepath.Join(t.TempDir(), "registry"), secrets: map[string]string{}}
	r.config = func(*registry.Config) {}
	change(r)
	if r.joins != nil {
		r.cluster, r.door, r.secrets = r.joins.cluster, r.joins.door, r.joins.secrets
	} else {
		r.found()
	}
	r.start()
	handler := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { r.reg.ServeHTTP(w, req) })
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	r.url, r.http = srv.URL, srv.Client()
	t.Cleanup(func() { r.stopRun() })
	return r
}

// found makes the cluster with its people.
func (r *rig) found() {
	t := r.t
	t.Helper()
	by := command.By(model.Origin{Actor: "test", Time: time.Now().UTC()})
	r.propose(&command.InitCluster{Head: by,
		Cluster: model.Cluster{ID: "c", FeatureLevel: command.Level, Pool: netip.MustParsePrefix("10.42.0.0/16"), VIPPool: netip.MustParsePrefix("10.43.0.0/16"), PortMin: 30000, PortMax: 30100, SetupHash: []byte("x")},
		Tenant:  model.Tenant{Meta: model.Meta{ID: "t1", Name: model.DefaultTenant}}, Environment: model.Environment{Meta: model.Meta{ID: "e1", Name: "default"}},
		Node: model.Node{Meta: model.Meta{ID: "n1", Name: "one"}}})
	r.propose(&command.PutTenant{Head: by, Tenant: model.Tenant{Meta: model.Meta{ID: "t2", Name: "other"}}})
	for _, u := range []model.User{
		{Meta: model.Meta{ID: "root", Name: "root"}, Spec: model.UserSpec{PlatformRole: model.RoleAdmin}},
		{Meta: model.Meta{ID: "ada", Name: "ada"}, Spec: model.UserSpec{Tenants: map[string]model.Role{"t1": model.RoleDeveloper}}},
		{Meta: model.Meta{ID: "vic", Name: "vic"}, Spec: model.UserSpec{Tenants: map[string]model.Role{"t1": model.RoleViewer}}},
		{Meta: model.Meta{ID: "bob", Name: "bob"}, Spec: model.UserSpec{Tenants: map[string]model.Role{"t2": model.RoleDeveloper}}},
	} {
		id := command.NewID()
		text, hash := access.NewToken(id)
		role := model.RoleOwner
		if u.Spec.PlatformRole != "" {
			role = u.Spec.PlatformRole
		}
		r.propose(&command.PutUser{Head: by, User: u}, &command.PutAPIToken{Head: by, Token: model.APIToken{Meta: model.Meta{ID: id, Name: "t"}, UserID: u.ID, Role: role, Hash: hash}})
		r.secrets[u.Name] = text
	}
	var err error
	r.door, err = auth.New(auth.Config{Cluster: r.cluster, People: access.NewPeople(r.cluster), Recorder: nobody{}, Key: bytes.Repeat([]byte("k"), 32), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
}

type nobody struct{}

func (nobody) Record(command.AuditEntry) {}

// start opens the registry over what is there, as a starting daemon does.
func (r *rig) start() {
	r.t.Helper()
	blobs, err := registry.NewBlobs(r.t.Context(), r.host.Client, r.dir, slog.New(slog.DiscardHandler))
	if err != nil {
		r.t.Fatal(err)
	}
	cfg := registry.Config{Blobs: blobs, Cluster: r.cluster, Access: r.door, Images: r.host.Images, Log: slog.New(slog.NewTextHandler(testLog{r.t}, nil))}
	r.config(&cfg)
	reg, err := registry.New(cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.reg = reg
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = reg.Run(ctx) // ends with ctx
	}()
	r.stopRun = sync.OnceFunc(func() { cancel(); <-done })
}

// restart is what a daemon's end and next start do to the registry.
func (r *rig) restart() {
	r.t.Helper()
	r.stopRun()
	r.start()
}

type testLog struct{ t testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Helper()
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

func (r *rig) propose(cmds ...command.Command) {
	r.t.Helper()
	if _, err := r.cluster.Propose(r.t.Context(), cmds...); err != nil {
		r.t.Fatal(err)
	}
}

// ask is one request; path may be a Location.
type ask struct {
	as, method, path string
	query            url.Values
	header           map[string]string
	body             io.Reader
	length           int64 // 0: as the body says
}

// answer is its reply, read to the end.
type answer struct {
	*http.Response
	b []byte
}

// codes are the error codes of the answer.
func (a answer) codes() []string {
	var e struct {
		Errors []struct{ Code, Message string }
	}
	_ = json.Unmarshal(a.b, &e)
	var out []string
	for _, one := range e.Errors {
		if one.Message == "" {
			out = append(out, one.Code+" without a message")
			continue
		}
		out = append(out, one.Code)
	}
	return out
}

func (r *rig) try(a ask) (answer, error) {
	u := a.path
	if !strings.HasPrefix(u, "http") {
		u = r.url + u
	}
	if a.query != nil {
		sep := "?"
		if strings.Contains(u, "?") {
			sep = "&"
		}
		u += sep + a.query.Encode()
	}
	req, err := http.NewRequestWithContext(r.t.Context(), a.method, u, a.body)
	if err != nil {
		return answer{}, err
	}
	if a.as != "" {
		req.Header.Set("Authorization", "Bearer "+r.secrets[a.as])
	}
	for k, v := range a.header {
		req.Header.Set(k, v)
	}
	if a.length != 0 {
		req.ContentLength = a.length
	}
	res, err := r.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return answer{res, b}, err
}

// do sends a request that must be answered with one of the statuses.
func (r *rig) do(a ask, status ...int) answer {
	r.t.Helper()
	res, err := r.try(a)
	if err != nil {
		r.t.Fatalf("%s %s: %v", a.method, a.path, err)
	}
	if !slices.Contains(status, res.StatusCode) {
		r.t.Fatalf("%s %s %v as %q: %d, want %v\n%s", a.method, a.path, a.query, a.as, res.StatusCode, status, res.b)
	}
	return res
}

// refused sends a request that must be refused with a code of the specification.
func (r *rig) refused(a ask, status int, code string) {
	r.t.Helper()
	res := r.do(a, status)
	if a.method != http.MethodHead && !slices.Equal(res.codes(), []string{code}) {
		r.t.Fatalf("%s %s as %q: %d %s, want %s", a.method, a.path, a.as, res.StatusCode, res.b, code)
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// push uploads a blob in one request after the first.
func (r *rig) push(as, repo string, b []byte) digest.Digest {
	r.t.Helper()
	d := digest.FromBytes(b)
	r.pushAs(as, repo, b, d)
	return d
}

func (r *rig) pushAs(as, repo string, b []byte, d digest.Digest) {
	r.t.Helper()
	loc := r.do(ask{as: as, method: "POST", path: "/v2/" + repo + "/blobs/uploads/"}, 202).Header.Get("Location")
	r.do(ask{as: as, method: "PUT", path: loc, query: url.Values{"digest": {d.String()}}, body: bytes.NewReader(b)}, 201)
}

type desc struct {
	MediaType    string            `json:"mediaType"`
	Digest       digest.Digest     `json:"digest"`
	Size         int               `json:"size"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	Data         []byte            `json:"data,omitempty"`
	URLs         []string          `json:"urls,omitempty"`
	Platform     map[string]string `json:"platform,omitempty"`
}

type doc struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType,omitempty"`
	ArtifactType  string            `json:"artifactType,omitempty"`
	Config        *desc             `json:"config,omitempty"`
	Layers        []desc            `json:"layers,omitempty"`
	Manifests     []desc            `json:"manifests,omitempty"`
	Subject       *desc             `json:"subject,omitempty"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

func (m doc) bytes() []byte {
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

func (m doc) desc() desc {
	b := m.bytes()
	return desc{MediaType: m.MediaType, Digest: digest.FromBytes(b), Size: len(b)}
}

const (
	typeConfig = "application/vnd.oci.image.config.v1+json"
	typeLayer  = "application/vnd.oci.image.layer.v1.tar+gzip"
	typeBytes  = "application/octet-stream"
)

func descOf(mediaType string, b []byte) desc {
	return desc{MediaType: mediaType, Digest: digest.FromBytes(b), Size: len(b)}
}

// image pushes layers and a config and gives the manifest, which it does not
// push.
func (r *rig) image(as, repo string, layers ...[]byte) doc {
	r.t.Helper()
	config := fmt.Appendf(nil, `{"os":"linux","architecture":"amd64","rootfs":{"type":"layers"},"nonce":%q}`, digest.FromBytes(random(8)))
	r.push(as, repo, config)
	c := descOf(typeConfig, config)
	m := doc{SchemaVersion: 2, MediaType: model.MediaTypeOCIManifest, Config: &c}
	for _, l := range layers {
		r.push(as, repo, l)
		m.Layers = append(m.Layers, descOf(typeLayer, l))
	}
	return m
}

// put pushes a manifest.
func (r *rig) put(as, repo, ref string, m doc) answer {
	r.t.Helper()
	return r.do(ask{as: as, method: "PUT", path: "/v2/" + repo + "/manifests/" + ref, body: bytes.NewReader(m.bytes()), header: map[string]string{"Content-Type": m.MediaType}}, 201)
}

func withRef(ref string) content.WriterOpt { return content.WithRef(ref) }
