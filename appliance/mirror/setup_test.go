package mirror_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/appliance/mirror"
	"github.com/skerryhq/skerry/appliance/pki"
	"github.com/skerryhq/skerry/appliance/registry"
	"github.com/skerryhq/skerry/appliance/registry/auth"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
	"github.com/skerryhq/skerry/raft/state"
	"github.com/skerryhq/skerry/runtime/runtimetest"
)

// cluster is a replica of one: what is proposed is applied at once.
type cluster struct {
	mu    sync.Mutex
	store *state.Store
	index uint64
}

func (c *cluster) View() *state.View { return c.store.View() }

func (c *cluster) Propose(_ context.Context, cmds ...command.Command) (node.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.index++
	out := c.store.Apply([]state.Entry{{Index: c.index, Commands: cmds}})[0]
	for _, o := range out {
		if o.Err != nil {
			return node.Result{}, o.Err
		}
	}
	return node.Result{Index: c.index, Outcomes: out}, nil
}

// rig is a registry with a mirror over a real engine. root administers the
// platform, ada develops in the tenant default (t1), bob in the tenant other (t2).
type rig struct {
	t       testing.TB
	host    *runtimetest.Host
	cluster *cluster
	mirror  *mirror.Mirror
	blobs   *registry.Blobs
	reg     *registry.Registry
	web     *httptest.Server
	secrets map[string]string // API tokens by user
	ahead   atomic.Int64      // how far the mirror's clock goes before ours
	log     *lines
}

// lines is a log that a test reads.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

type nobody struct{}

func (nobody) Record(command.AuditEntry) {}

func newRig(t testing.TB, cache int64) *rig {
	t.Helper()
	r := &rig{t: t, host: runtimetest.New(t), cluster: &cluster{store: state.New()}, secrets: map[string]string{}, log: &lines{}}
	by := command.By(model.Origin{Actor: "test", Time: time.Now().UTC()})
	r.propose(&command.InitCluster{Head: by,
		Cluster: model.Cluster{ID: "c", FeatureLevel: command.Level, Pool: netip.MustParsePrefix("10.42.0.0/16"), VIPPool: netip.MustParsePrefix("10.43.0.0/16"), PortMin: 30000, PortMax: 30100, SetupHash: []byte("x")},
		Tenant:  model.Tenant{Meta: model.Meta{ID: "t1", Name: model.DefaultTenant}}, Environment: model.Environment{Meta: model.Meta{ID: "e1", Name: "default"}},
		Node: model.Node{Meta: model.Meta{ID: "n1", Name: "one"}}})
	r.propose(&command.PutTenant{Head: by, Tenant: model.Tenant{Meta: model.Meta{ID: "t2", Name: "other"}}})
	for _, u := range []model.User{
		{Meta: model.Meta{ID: "root", Name: "root"}, Spec: model.UserSpec{PlatformRole: model.RoleAdmin}},
		{Meta: model.Meta{ID: "ada", Name: "ada"}, Spec: model.UserSpec{Tenants: map[string]model.Role{"t1": model.RoleDeveloper}}},
		{Meta: model.Meta{ID: "bob", Name: "bob"}, Spec: model.UserSpec{Tenants: map[string]model.Role{"t2": model.RoleDeveloper}}},
	} {
		id := command.NewID()
		text, hash := access.NewToken(id)
		role := model.RoleOwner
		if u.Spec.PlatformRole != "" {
			role = u.Spec.PlatformRole
		}
		r.propose(&command.PutUser{Head: by, User: u})
		r.propose(&command.PutAPIToken{Head: by, Token: model.APIToken{Meta: model.Meta{ID: id, Name: "t"}, UserID: u.ID, Role: role, Hash: hash}})
		r.secrets[u.Name] = text
	}
	box, err := pki.OpenBox(filepath.Join(t.TempDir(), "seal.key"))
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(r.log, nil))
	if r.blobs, err = registry.NewBlobs(t.Context(), r.host.Client, filepath.Join(t.TempDir(), "registry"), log); err != nil {
		t.Fatal(err)
	}
	r.mirror = mirror.New(mirror.Config{Cluster: r.cluster, Blobs: r.blobs, Box: box, Cache: cache, State: filepath.Join(t.TempDir(), "pulled.json"), UserAgent: "skerry/test",
		Now: func() time.Time { return time.Now().Add(time.Duration(r.ahead.Load())) }, Log: log})
	door, err := auth.New(auth.Config{Cluster: r.cluster, People: access.NewPeople(r.cluster), Recorder: nobody{}, Key: bytes.Repeat([]byte("k"), 32), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	r.reg, err = registry.New(registry.Config{Blobs: r.blobs, Cluster: r.cluster, Access: door, Mirror: r.mirror, Images: r.host.Images, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(auth.TokenPath, door)
	mux.Handle("/v2/", r.reg)
	r.web = httptest.NewTLSServer(mux)
	t.Cleanup(r.web.Close)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(r.log.String())
		}
	})
	return r
}

func (r *rig) propose(cmd command.Command) {
	r.t.Helper()
	if _, err := r.cluster.Propose(r.t.Context(), cmd); err != nil {
		r.t.Fatal(err)
	}
}

// caller is somebody who acts in a tenant.
func (r *rig) caller(name, tenantID string) access.Caller {
	r.t.Helper()
	p, err := access.ByToken(r.cluster.View(), time.Now(), r.secrets[name])
	if err != nil {
		r.t.Fatal(err)
	}
	return access.Caller{Principal: p, Origin: model.Origin{Actor: name, TenantID: tenantID}}
}

// upstream adds an upstream, or changes it, as the API does.
func (r *rig) upstream(name string, spec model.UpstreamSpec, password string) *model.Upstream {
	r.t.Helper()
	old, ok := r.cluster.View().UpstreamByName(name)
	version := command.AnyVersion
	if !ok {
		old, version = nil, command.MustNotExist
	}
	row, err := r.mirror.Check(old, name, spec, &password)
	if err != nil {
		r.t.Fatal(err)
	}
	r.propose(&command.PutUpstream{Head: command.By(model.Origin{Actor: "root"}), Upstream: *row, ExpectVersion: version})
	return row
}

// skopeo runs skopeo and gives what it said.
func (r *rig) skopeo(args ...string) (string, error) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "skopeo", append([]string{"--tmpdir", r.t.TempDir()}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+r.t.TempDir(), "XDG_RUNTIME_DIR="+r.t.TempDir())
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// pull copies an image out of our registry as a client outside does.
func (r *rig) pull(user, name string) (string, error) {
	r.t.Helper()
	args := []string{"copy", "--src-tls-verify=false"}
	if user != "" {
		args = append(args, "--src-creds", user+":"+r.secrets[user])
	} else {
		args = append(args, "--src-no-creds")
	}
	return r.skopeo(append(args, "docker://"+strings.TrimPrefix(r.web.URL, "https://")+"/"+name, "dir:"+r.t.TempDir())...)
}

// upstreamServer is Debian's docker-registry with a password and a certificate
// of a private authority, for 127.0.0.1 and registry.corp.
type upstreamServer struct {
	r    *rig
	addr string
	ca   string
	cmd  *exec.Cmd
	file string
	log  *lines
}

const (
	botUser     = "bot"
	botPassword = "pa55 word"
)

func (r *rig) upstreamServer() *upstreamServer {
	r.t.Helper()
	dir := r.t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	u := &upstreamServer{r: r, addr: l.Addr().String(), file: filepath.Join(dir, "config.yml"), log: &lines{}}
	l.Close()
	cert, key := u.certificate()
	hash, err := bcrypt.GenerateFromPassword([]byte(botPassword), bcrypt.MinCost)
	if err != nil {
		r.t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"cert.pem": cert, "key.pem": key, "htpasswd": []byte(botUser + ":" + string(hash) + "\n"),
		"config.yml": []byte(fmt.Sprintf(`version: 0.1
log: {level: info, accesslog: {disabled: false}}
storage: {filesystem: {rootdirectory: %[1]s/data}}
http: {addr: %[2]s, tls: {certificate: %[1]s/cert.pem, key: %[1]s/key.pem}}
auth: {htpasswd: {realm: corp, path: %[1]s/htpasswd}}
`, dir, u.addr)),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
	u.start()
	r.t.Cleanup(u.stop)
	return u
}

// certificate makes an authority and a certificate with its key.
func (u *upstreamServer) certificate() (cert, key []byte) {
	t := u.r.t
	ck, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Corp CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &ck.PublicKey, ck)
	if err != nil {
		t.Fatal(err)
	}
	u.ca = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}))
	sk, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, DNSNames: []string{"registry.corp"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &sk.PublicKey, ck)
	if err != nil {
		t.Fatal(err)
	}
	kb, err := x509.MarshalECPrivateKey(sk)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: kb})
}

func (u *upstreamServer) start() {
	u.r.t.Helper()
	bin, err := exec.LookPath("docker-registry")
	if err != nil {
		u.r.t.Fatal("docker-registry is missing: run packaging/deps.sh test")
	}
	u.cmd = exec.Command(bin, "serve", u.file)
	u.cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	u.cmd.Stdout, u.cmd.Stderr = u.log, u.log
	u.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := u.cmd.Start(); err != nil {
		u.r.t.Fatal(err)
	}
	runtimetest.Eventually(u.r.t, 10*time.Second, "the upstream listens", func() bool {
		c, err := net.Dial("tcp", u.addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func (u *upstreamServer) stop() {
	if u.cmd != nil {
		_ = u.cmd.Process.Kill()
		_ = u.cmd.Wait()
		u.cmd = nil
	}
}

// push puts an image with a layer of its own into the upstream.
func (u *upstreamServer) push(name, text string) {
	u.r.t.Helper()
	dir := u.r.t.TempDir()
	layer := runtimetest.Tar(u.r.t, append(runtimetest.BusyboxLayer(u.r.t), runtimetest.File{Name: "text", Body: []byte(text)}))
	for _, f := range runtimetest.OCILayout(u.r.t, "x", runtimetest.ImageConfig{Cmd: []string{"/bin/sh"}}, layer) {
		p := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			u.r.t.Fatal(err)
		}
		if err := os.WriteFile(p, f.Body, 0o644); err != nil {
			u.r.t.Fatal(err)
		}
	}
	if out, err := u.r.skopeo("copy", "--dest-tls-verify=false", "--dest-creds", botUser+":"+botPassword, "oci:"+dir, "docker://"+u.addr+"/"+name); err != nil {
		u.r.t.Fatalf("push %s: %v %s", name, err, out)
	}
}

// asked counts the requests of a method whose path contains a word.
func (u *upstreamServer) asked(method, word string) int {
	n := 0
	for line := range strings.Lines(u.log.String()) {
		if strings.Contains(line, `"`+method+" /v2/") && strings.Contains(line, word) && strings.Contains(line, "skerry") {
			n++
		}
	}
	return n
}

// spec is how the upstream is reached.
func (u *upstreamServer) spec(tenants ...string) model.UpstreamSpec {
	return model.UpstreamSpec{Endpoints: []string{"https://" + u.addr}, CA: u.ca, Username: botUser, TenantIDs: tenants}
}
