package registry_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/skerryhq/skerry/appliance/exchange"
	"github.com/skerryhq/skerry/appliance/registry"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/runtime/runtimetest"
)

// fleet is some members of one cluster, each with an engine of its own.
type fleet struct {
	t     *testing.T
	rigs  []*rig
	nodes []*member
}

// member is a member as the others reach it.
type member struct {
	id      string
	handler atomic.Pointer[http.ServeMux]
	down    atomic.Bool
	content *exchange.Exchange
	blobs   *registry.Blobs
	gets    sync.Map // how often a blob was handed out, by digest: *atomic.Int64
	srv     *httptest.Server
	client  *http.Client
}

func (m *member) served(d digest.Digest) int64 {
	n, ok := m.gets.Load(d.String())
	if !ok {
		return 0
	}
	return n.(*atomic.Int64).Load()
}

func (m *member) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if m.down.Load() {
		panic(http.ErrAbortHandler)
	}
	if d, ok := strings.CutPrefix(req.URL.Path, exchange.Prefix); ok && req.Method == http.MethodGet {
		n, _ := m.gets.LoadOrStore(d, new(atomic.Int64))
		n.(*atomic.Int64).Add(1)
	}
	m.handler.Load().ServeHTTP(w, req)
}

type toward struct {
	from, host string
	http.RoundTripper
}

func (t toward) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.URL.Host = t.host
	req.Header.Set("Test-From", t.from)
	return t.RoundTripper.RoundTrip(req)
}

// from gives a node's ways to the others.
func (f *fleet) from(id string) wires { return wires{f, id} }

type wires struct {
	f  *fleet
	id string
}

func (w wires) Client(to string) *http.Client {
	for _, m := range w.f.nodes {
		if m.id == to {
			return &http.Client{Transport: toward{w.id, m.srv.Listener.Addr().String(), m.srv.Client().Transport}}
		}
	}
	return &http.Client{Transport: toward{w.id, "127.0.0.1:1", http.DefaultTransport}}
}

func newFleet(t *testing.T, n int, change func(*registry.Config)) *fleet {
	t.Helper()
	f := &fleet{t: t}
	for i := range n {
		m := &member{id: fmt.Sprint("n", i+1)}
		m.srv = httptest.NewUnstartedServer(m)
		m.srv.EnableHTTP2 = true
		m.srv.StartTLS()
		t.Cleanup(m.srv.Close)
		f.nodes = append(f.nodes, m)
	}
	for i := range n {
		f.add(i, change)
	}
	return f
}

func (f *fleet) add(i int, change func(*registry.Config)) {
	f.t.Helper()
	m := f.nodes[i]
	log := slog.New(slog.DiscardHandler)
	r := newRigOn(f.t, runtimetest.New(f.t), func(r *rig) {
		if i > 0 {
			r.joins = f.rigs[0]
			f.join(r.joins, m.id)
		}
		r.config = func(c *registry.Config) {
			c.NodeID, c.Peers, c.CopyEvery = m.id, f.from(m.id), 200*time.Millisecond
			cluster := r.cluster
			m.blobs = c.Blobs
			m.content = exchange.New(exchange.Config{NodeID: m.id, Images: r.host.Images, Blobs: c.Blobs, Peers: c.Peers, Log: log,
				Holders: func(d string) []exchange.Holder { return exchange.HoldersIn(cluster.View(), m.id, d) }})
			c.Fetch = m.content
			if change != nil {
				change(c)
			}
		}
	})
	mux := http.NewServeMux()
	mux.Handle(exchange.Prefix, exchange.NewHandler(exchange.HandlerConfig{Blobs: m.blobs, View: r.cluster.View,
		Asker: func(context.Context) (exchange.Asker, bool) { return exchange.Asker{Role: model.NodeMember}, true }}))
	mux.Handle(registry.PeerPrefix, r.reg.PeerHandler())
	m.handler.Store(mux)
	f.rigs = append(f.rigs, r)
}

// join puts a member into the state.
func (f *fleet) join(r *rig, id string) {
	f.t.Helper()
	by := command.By(model.Origin{Actor: "test", Time: time.Now().UTC()})
	hash := digest.FromString(id)
	r.propose(
		&command.PutJoinToken{Head: by, Token: model.JoinToken{Meta: model.Meta{ID: "j" + id, Name: "j" + id}, Hash: []byte(hash.Encoded()[:32]), Role: model.NodeMember, EnvironmentID: "e1", Uses: 1, ExpiresAt: time.Now().Add(time.Hour)}},
		&command.JoinNode{Head: by, Hash: []byte(hash.Encoded()[:32]), Node: model.Node{Meta: model.Meta{ID: id, Name: "node-" + id}, Role: model.NodeMember, PublicKey: []byte(id), Blocks: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.42.%s.0/26", id[1:]))}}},
	)
}

// health is the leader's word about a member.
func (f *fleet) health(id string, state model.HealthState, since time.Time) {
	f.t.Helper()
	f.rigs[0].propose(&command.SetNodeHealth{Head: command.By(model.Origin{Actor: "test", Time: since}), NodeID: id, Health: model.NodeHealth{State: state, Since: since, Reason: "test"}})
}

// has says on which members a blob is.
func (f *fleet) has(d digest.Digest) []string {
	var out []string
	for _, m := range f.nodes {
		if m.blobs == nil {
			continue
		}
		if _, err := m.blobs.Stat(f.t.Context(), d); err == nil {
			out = append(out, m.id)
		}
	}
	return out
}

// parts are everything of an image.
func parts(m doc) []digest.Digest {
	out := []digest.Digest{m.desc().Digest, m.Config.Digest}
	for _, l := range m.Layers {
		out = append(out, l.Digest)
	}
	return out
}

func TestPushIsOnTwoMembersWhenItIsAcknowledged(t *testing.T) {
	f := newFleet(t, 2, nil)
	layer := random(3 << 20)
	m := f.rigs[0].image("ada", "default/app", layer)
	res := f.rigs[0].put("ada", "default/app", "v1", m)
	if res.Header.Get("Warning") != "" {
		t.Errorf("warned: %s", res.Header.Get("Warning"))
	}
	for _, d := range parts(m) {
		if at := f.has(d); len(at) != 2 {
			t.Errorf("%s is on %v", d, at)
		}
	}
	if n := f.nodes[0].served(digest.FromBytes(layer)); n != 1 {
		t.Errorf("the layer crossed %d times", n)
	}
	if got := f.rigs[1].do(ask{as: "ada", method: "GET", path: "/v2/default/app/manifests/v1"}, 200); !bytes.Equal(got.b, m.bytes()) {
		t.Errorf("the other member has %q", got.b)
	}
}

// An upload that goes from one member to the other with every request.
func TestUploadOverTwoMembers(t *testing.T) {
	f := newFleet(t, 2, nil)
	a, b := f.rigs[0], f.rigs[1]
	whole := random(3 << 20)
	loc := a.do(ask{as: "ada", method: "POST", path: "/v2/default/app/blobs/uploads/"}, 202).Header.Get("Location")
	if !strings.HasSuffix(loc, "-n1") {
		t.Fatalf("the upload is at %s", loc)
	}
	res := b.do(ask{as: "ada", method: "PATCH", path: loc, body: bytes.NewReader(whole[:1<<20]), header: map[string]string{"Content-Range": fmt.Sprintf("0-%d", 1<<20-1)}}, 202)
	if res.Header.Get("Range") != fmt.Sprintf("0-%d", 1<<20-1) || res.Header.Get("Location") != loc {
		t.Errorf("answered %v", res.Header)
	}
	a.do(ask{as: "ada", method: "PATCH", path: loc, body: bytes.NewReader(whole[1<<20 : 2<<20])}, 202)
	if got := b.do(ask{as: "ada", method: "GET", path: loc}, 204).Header.Get("Range"); got != fmt.Sprintf("0-%d", 2<<20-1) {
		t.Errorf("it is at %s", got)
	}
	b.refused(ask{as: "bob", method: "PATCH", path: loc, body: strings.NewReader("x")}, 404, "NAME_UNKNOWN")
	b.refused(ask{method: "PATCH", path: loc, body: strings.NewReader("x")}, 401, "UNAUTHORIZED")
	b.refused(ask{as: "ada", method: "PATCH", path: loc, body: strings.NewReader("x"), header: map[string]string{"Content-Range": "5-5"}}, 416, "BLOB_UPLOAD_INVALID")
	d := digest.FromBytes(whole)
	b.do(ask{as: "ada", method: "PUT", path: loc, query: map[string][]string{"digest": {d.String()}}, body: bytes.NewReader(whole[2<<20:])}, 201)
	for _, r := range f.rigs {
		if got := r.do(ask{as: "ada", method: "GET", path: "/v2/default/app/blobs/" + d.String()}, 200); !bytes.Equal(got.b, whole) {
			t.Errorf("%d bytes", len(got.b))
		}
	}
	b.refused(ask{as: "ada", method: "GET", path: "/v2/default/app/blobs/uploads/" + strings.Repeat("a", 26) + "-n9"}, 404, "BLOB_UPLOAD_UNKNOWN")
	loc = a.do(ask{as: "ada", method: "POST", path: "/v2/default/app/blobs/uploads/"}, 202).Header.Get("Location")
	f.nodes[0].down.Store(true)
	res = b.do(ask{as: "ada", method: "PATCH", path: loc, body: strings.NewReader("x")}, 503)
	if !strings.Contains(string(res.b), "one") || !strings.Contains(string(res.b), "does not answer") {
		t.Errorf("a member that is away: %s", res.b)
	}
}

// What is not here is read from another member and stored, once for many askers;
// of the wrong bytes nothing is kept.
func TestReadFromAnotherMember(t *testing.T) {
	f := newFleet(t, 2, func(c *registry.Config) { c.CopyEvery = time.Hour })
	f.nodes[1].down.Store(true)
	f.health("n2", model.NodeDown, time.Now().UTC())
	layer := random(5 << 20)
	m := f.rigs[0].image("ada", "default/app", layer)
	f.rigs[0].put("ada", "default/app", "v1", m)
	if at := f.has(digest.FromBytes(layer)); len(at) != 1 {
		t.Fatalf("it is on %v", at)
	}
	f.nodes[1].down.Store(false)
	f.health("n2", model.NodeUp, time.Now().UTC())
	var g sync.WaitGroup
	for range 20 {
		g.Go(func() {
			got, err := f.rigs[1].try(ask{as: "ada", method: "GET", path: "/v2/default/app/blobs/" + digest.FromBytes(layer).String()})
			if err != nil || got.StatusCode != 200 || !bytes.Equal(got.b, layer) {
				t.Errorf("%v, %d bytes", err, len(got.b))
			}
		})
	}
	g.Wait()
	if n := f.nodes[0].served(digest.FromBytes(layer)); n != 1 {
		t.Errorf("it crossed %d times", n)
	}
	if at := f.has(digest.FromBytes(layer)); len(at) != 2 {
		t.Errorf("it is on %v", at)
	}
}

// liar hands out other bytes than were asked for.
type liar struct{ n int }

func (l liar) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Content-Length", fmt.Sprint(l.n))
	if req.Method == http.MethodGet {
		_, _ = w.Write(bytes.Repeat([]byte("x"), l.n))
	}
}

func TestWrongBytesOfAnotherMemberAreNotKept(t *testing.T) {
	f := newFleet(t, 3, func(c *registry.Config) { c.CopyEvery = time.Hour })
	for _, id := range []string{"n2", "n3"} {
		f.health(id, model.NodeDown, time.Now().UTC())
	}
	layer := random(1 << 20)
	d := f.rigs[0].push("ada", "default/app", layer)
	for _, id := range []string{"n2", "n3"} {
		f.health(id, model.NodeUp, time.Now().UTC())
	}
	mux := http.NewServeMux()
	mux.Handle("/", liar{len(layer)})
	f.nodes[1].handler.Store(mux)
	release, err := f.nodes[2].content.Blob(t.Context(), d, int64(len(layer)), "n2", "n1")
	if err != nil {
		t.Fatal(err)
	}
	release()
	if f.nodes[1].served(d) != 1 || f.nodes[0].served(d) != 1 {
		t.Errorf("asked %d and %d times", f.nodes[1].served(d), f.nodes[0].served(d))
	}
	if b, err := f.nodes[2].blobs.Read(t.Context(), d, 1<<21); err != nil || !bytes.Equal(b, layer) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

// A push is acknowledged, with a warning, when the others do not answer, and
// copied when they do again.
func TestPushWhileOthersAreAway(t *testing.T) {
	f := newFleet(t, 2, nil)
	f.nodes[1].down.Store(true) // but the state does not know yet
	m := f.rigs[0].image("ada", "default/app", random(1<<20))
	if res := f.rigs[0].put("ada", "default/app", "v1", m); res.Header.Get("Warning") == "" {
		t.Error("nobody was warned")
	}
	f.nodes[1].down.Store(false)
	runtimetest.Eventually(t, 20*time.Second, "the copies", func() bool {
		for _, d := range parts(m) {
			if len(f.has(d)) != 2 {
				return false
			}
		}
		return true
	})
}

// Four members: three keep a copy; when one is removed another takes its place;
// and what is kept beyond that goes when the others confirm that they have it.
func TestCopiesFollowTheMembers(t *testing.T) {
	f := newFleet(t, 4, func(c *registry.Config) { c.Grace = time.Millisecond })
	m := f.rigs[0].image("ada", "default/app", random(1<<20), random(1000))
	f.rigs[0].put("ada", "default/app", "v1", m)
	kept := func(d digest.Digest, among ...string) bool {
		want := registry.Duty(f.rigs[0].cluster.View(), d.String())
		for _, id := range want {
			if !strings.Contains(strings.Join(f.has(d), " "), id) {
				return false
			}
		}
		return len(among) == 0 || len(f.has(d)) == len(want)
	}
	all := func(exactly ...string) func() bool {
		return func() bool {
			for _, d := range parts(m) {
				if !kept(d, exactly...) {
					return false
				}
			}
			return true
		}
	}
	runtimetest.Eventually(t, 20*time.Second, "three copies", all())
	runtimetest.Eventually(t, 30*time.Second, "no fourth one", func() bool {
		for _, r := range f.rigs {
			if err := r.reg.Round(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		return all("exactly")()
	})
	gone := registry.Duty(f.rigs[0].cluster.View(), m.Layers[0].Digest.String())[0]
	f.rigs[0].propose(&command.RemoveNode{Head: command.By(model.Origin{Actor: "test", Time: time.Now().UTC()}), ID: gone, Force: true})
	for _, n := range f.nodes {
		if n.id == gone {
			n.down.Store(true)
		}
	}
	runtimetest.Eventually(t, 20*time.Second, "three copies again", all())
	for i, r := range f.rigs { // and everybody can still be asked
		if f.nodes[i].id == gone {
			continue
		}
		for _, d := range parts(m)[1:] {
			r.do(ask{as: "ada", method: "GET", path: "/v2/default/app/blobs/" + d.String()}, 200)
		}
	}
}

func TestCollectOnAllMembers(t *testing.T) {
	f := newFleet(t, 2, nil)
	a, b := f.rigs[0], f.rigs[1]
	m := a.image("ada", "default/app", random(1<<20))
	a.put("ada", "default/app", "v1", m)
	keep := a.image("ada", "default/keep", random(1<<20))
	a.put("ada", "default/keep", "v1", keep)
	b.do(ask{as: "ada", method: "DELETE", path: "/v2/default/app/manifests/" + m.desc().Digest.String()}, 202)
	u, err := b.reg.UsageAll(t.Context())
	if err != nil || u.Reclaimable < 2<<20 {
		t.Errorf("usage %+v %v", u, err)
	}
	blobs, freed, err := b.reg.CollectAll(t.Context())
	if err != nil || blobs != 6 || freed < 2<<20 {
		t.Errorf("freed %d blobs, %d bytes, %v", blobs, freed, err)
	}
	for _, d := range parts(m) {
		if at := f.has(d); len(at) != 0 {
			t.Errorf("%s is left on %v", d, at)
		}
	}
	for _, d := range parts(keep) {
		if at := f.has(d); len(at) != 2 {
			t.Errorf("%s is on %v only", d, at)
		}
	}
}

func TestPeersAskNonsense(t *testing.T) {
	f := newFleet(t, 2, nil)
	for path, body := range map[string]string{"hold": "{", "have": "[]", "hold ": `{"items":[{"digest":"md5:1"}]}`} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://peer"+registry.PeerPrefix+strings.TrimSpace(path), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res, err := f.from("n1").Client("n2").Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != 400 {
			t.Errorf("%s %s: %d %s", path, body, res.StatusCode, b)
		}
	}
}
