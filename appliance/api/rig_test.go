package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
)

const (
	setupToken = "setup-token-for-tests"
	password   = "correct horse battery"
)

// rig is a real one-node cluster in a folder of its own, with the server over
// it; only what reaches containers and images is faked.
type rig struct {
	t        testing.TB
	node     *node.Node
	server   *Server
	ops      *fakeOperations
	runtime  *fakeRuntime
	own      string // id of the tenant "default"
	other    string // id of the tenant "other"
	web      *httptest.Server
	users    map[string]string // name -> id
	secrets  map[string]string // name of a token -> its text
	deadline time.Duration
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := bareRig(t)
	r.found()
	return r
}

// bareRig is a rig whose node has no cluster yet.
func bareRig(t testing.TB) *rig {
	t.Helper()
	n, err := node.Open(node.Config{Dir: t.TempDir(), ID: "node-1", Version: "test", Fatal: func(err error) { t.Errorf("node: %v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := n.Bootstrap(ctx); err != nil {
		t.Fatal(err)
	}
	if err := n.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, node: n, users: map[string]string{}, secrets: map[string]string{}, deadline: 10 * time.Second}
	r.ops, r.runtime = &fakeOperations{node: n}, newFakeRuntime()
	r.server, err = New(Config{Cluster: n, Operations: r.ops, Runtime: r.runtime, Version: "v0-test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	r.web = httptest.NewServer(r.server.Handler())
	t.Cleanup(r.web.Close)
	return r
}

func (r *rig) propose(cmds ...command.Command) {
	r.t.Helper()
	if _, err := r.node.Propose(r.t.Context(), cmds...); err != nil {
		r.t.Fatalf("propose: %v", err)
	}
}

// found makes the cluster with two tenants.
func (r *rig) found() {
	r.own, r.other = command.NewID(), command.NewID()
	by := command.By(model.Origin{Actor: "test", Time: time.Now()})
	r.propose(
		&command.InitCluster{
			Head: by,
			Cluster: model.Cluster{ID: command.NewID(), Pool: netip.MustParsePrefix("10.42.0.0/16"), VIPPool: netip.MustParsePrefix("10.43.0.0/16"),
				PortMin: 30000, PortMax: 32767, SetupHash: access.SecretHash(setupToken)},
			Tenant:      model.Tenant{Meta: model.Meta{ID: r.own, Name: model.DefaultTenant}},
			Environment: model.Environment{Meta: model.Meta{ID: command.NewID(), Name: model.DefaultEnvironment}},
			Node:        model.Node{Meta: model.Meta{ID: "node-1", Name: "one"}, Status: model.NodeStatus{Ready: true}},
			Images:      []model.Image{{Meta: model.Meta{ID: command.NewID(), Name: "docker.io/library/welcome:latest"}, Public: true, Digest: "sha256:" + strings.Repeat("ab", 32)}},
		},
	)
	r.propose(&command.PutTenant{Head: by, Tenant: model.Tenant{Meta: model.Meta{ID: r.other, Name: "other"}}})
}

// user makes a user without a password.
func (r *rig) user(name string, spec model.UserSpec) string {
	r.t.Helper()
	id := command.NewID()
	r.propose(&command.PutUser{Head: command.By(model.Origin{Actor: "test"}), User: model.User{Meta: model.Meta{ID: id, Name: name}, Spec: spec}})
	r.users[name] = id
	return id
}

// token makes an API token; userID may be empty.
func (r *rig) token(name, userID, tenantID string, role model.Role, expires time.Time) string {
	r.t.Helper()
	t := model.APIToken{Meta: model.Meta{ID: command.NewID(), Name: name}, UserID: userID, TenantID: tenantID, Role: role, ExpiresAt: expires}
	text, hash := access.NewToken(t.ID)
	t.Hash = hash
	r.propose(&command.PutAPIToken{Head: command.By(model.Origin{Actor: "test"}), Token: t})
	r.secrets[name] = text
	return text
}

// admin is the text of a token that may do everything.
func (r *rig) admin() string {
	if text, ok := r.secrets["admin"]; ok {
		return text
	}
	return r.token("admin", "", "", model.RoleAdmin, time.Time{})
}

// session signs a user in without a password.
func (r *rig) session(userID string) (cookie, csrf string) {
	r.t.Helper()
	cookie, csrf = access.NewSecret(), access.NewSecret()
	now := time.Now()
	r.propose(&command.PutSession{Head: command.By(model.Origin{Actor: "test"}), Session: model.Session{
		ID: access.SessionID(cookie), UserID: userID, CSRF: csrf, CreatedAt: now, ExpiresAt: now.Add(access.SessionTime)}})
	return cookie, csrf
}

// answer is a reply that was read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) problem(t testing.TB) Problem {
	t.Helper()
	var p Problem
	if err := json.Unmarshal(a.body, &p); err != nil || a.header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("status %d is no problem document: %q", a.status, a.body)
	}
	return p
}

func into[T any](t testing.TB, a answer, status int) T {
	t.Helper()
	var v T
	if a.status != status {
		t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("read %q: %v", a.body, err)
	}
	return v
}

type edit func(*http.Request)

func bearer(token string) edit {
	return func(q *http.Request) { q.Header.Set("Authorization", "Bearer "+token) }
}

func header(name, value string) edit { return func(q *http.Request) { q.Header.Set(name, value) } }

func browser(cookie, csrf string) edit {
	return func(q *http.Request) {
		q.AddCookie(&http.Cookie{Name: cookieName, Value: cookie})
		if csrf != "" {
			q.Header.Set(headerCSRF, csrf)
		}
	}
}

// do sends a request to the test server. body may be nil, a string or a value
// for JSON.
func (r *rig) do(method, path string, body any, edits ...edit) answer {
	r.t.Helper()
	return send(r.t, http.DefaultClient, method, r.web.URL+base+path, body, edits...)
}

// as is do with the administrator's token.
func (r *rig) as(method, path string, body any, edits ...edit) answer {
	r.t.Helper()
	return r.do(method, path, body, append([]edit{bearer(r.admin())}, edits...)...)
}

func send(t testing.TB, c *http.Client, method, url string, body any, edits ...edit) answer {
	t.Helper()
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		in = bytes.NewReader(raw)
	}
	q, err := http.NewRequestWithContext(t.Context(), method, url, in)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		q.Header.Set("Content-Type", "application/json")
	}
	for _, e := range edits {
		e(q)
	}
	resp, err := c.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, out}
}

// eventually polls until ok, for at most the rig's deadline.
func (r *rig) eventually(what string, ok func() bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), r.deadline)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			r.t.Fatalf("did not happen: %s", what)
		case <-tick.C:
		}
	}
}

// app makes a running app with one service through the state, as the loops
// would, and gives its container.
func (r *rig) app(tenantID, name string) *model.Container {
	r.t.Helper()
	by := command.By(model.Origin{Actor: "test", TenantID: tenantID})
	env, err := r.node.View().FindEnvironment(model.DefaultEnvironment)
	if err != nil {
		r.t.Fatal(err)
	}
	appID, svcID, ctID := command.NewID(), command.NewID(), command.NewID()
	spec := model.ContainerSpec{Image: "docker.io/library/welcome:latest", ImageDigest: "sha256:" + strings.Repeat("ab", 32), Restart: model.RestartNo}
	r.propose(
		&command.PutApp{Head: by, App: model.App{Meta: model.Meta{ID: appID, Name: name}, TenantID: tenantID, EnvironmentID: env.ID,
			Spec: model.AppSpec{Services: map[string]model.ServiceSpec{"web": {Container: spec, Replicas: 1}}}}, ServiceIDs: map[string]string{"web": svcID}},
		&command.PutContainers{Head: by, Containers: []model.Container{{Meta: model.Meta{ID: ctID, Name: name + "-web-1"}, AppID: appID, ServiceID: svcID,
			TenantID: tenantID, Slot: 1, Revision: 1, Spec: spec, Assign: model.Assignment{NodeID: "node-1"}}}},
	)
	r.status(ctID, model.ContainerStatus{Phase: model.PhaseRunning, Task: 1, StartedAt: time.Now()})
	c, ok := r.node.View().Container(ctID)
	if !ok {
		r.t.Fatal("the container is not there")
	}
	return c
}

func (r *rig) status(id string, st model.ContainerStatus) {
	r.t.Helper()
	r.propose(&command.SetContainerStatus{Head: command.By(model.Origin{Actor: "system:agent"}), NodeID: "node-1", Items: []command.StatusItem{{ID: id, Status: st}}})
}

// serve runs the server as production does, with TLS and a unix socket.
func (r *rig) serve() (public string, local *http.Client, stop func()) {
	r.t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	socket := r.t.TempDir() + "/s.sock"
	unix, err := net.Listen("unix", socket)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.t.Context()))
	done, conf := make(chan error, 1), testTLS(r.t)
	go func() { done <- r.server.Run(ctx, Listeners{Public: tcp, TLS: conf, Local: unix}) }()
	local = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		local.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("Run: %v", err)
		}
	}
	r.t.Cleanup(stop)
	return tcp.Addr().String(), local, stop
}
