package nodeview_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/nodeview"
	"github.com/skerryhq/skerry/appliance/pki"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// caller names the node in a header; the real one is in a certificate.
type callerKey struct{}

// member serves streams of a store over HTTP/2.
type member struct {
	*httptest.Server
	away  atomic.Bool // cut off from the leader
	asked atomic.Int32
}

func newMember(t *testing.T, store *state.Store) *member {
	m := &member{}
	h := nodeview.NewStream(nodeview.StreamConfig{
		Store:  store,
		Caller: func(ctx context.Context) (string, bool) { id, ok := ctx.Value(callerKey{}).(string); return id, ok },
		Ready: func() error {
			if m.away.Load() {
				return model.Errorf(model.KindUnavailable, "cut_off", "this member hears no leader")
			}
			return nil
		},
		Refuse: func(w http.ResponseWriter, err error) { http.Error(w, err.Error(), http.StatusServiceUnavailable) },
		Log:    slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	m.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.asked.Add(1)
		if id := r.Header.Get("Node"); id != "" {
			r = r.WithContext(context.WithValue(r.Context(), callerKey{}, id))
		}
		h.ServeHTTP(w, r)
	}))
	m.EnableHTTP2 = true
	m.StartTLS()
	t.Cleanup(m.kill)
	return m
}

func (m *member) kill() {
	m.CloseClientConnections()
	m.Server.Close()
}

// as is a client that is a node, and keeps every byte it was sent.
func (m *member) as(node string, heard io.Writer) *http.Client {
	return &http.Client{Transport: tap{m.Client().Transport, node, m.URL, heard}}
}

type tap struct {
	http.RoundTripper
	node, url string
	heard     io.Writer
}

func (p tap) RoundTrip(r *http.Request) (*http.Response, error) {
	url := p.url + "/?" + r.URL.RawQuery
	q, err := http.NewRequestWithContext(r.Context(), r.Method, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	q.Header.Set("Node", p.node)
	res, err := p.RoundTripper.RoundTrip(q)
	if err == nil {
		if res.ProtoMajor != 2 {
			return nil, fmt.Errorf("spoken over %s", res.Proto)
		}
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(res.Body, p.heard), res.Body}
	}
	return res, err
}

// ring is the members that a node knows.
type ring struct {
	mu      sync.Mutex
	clients []*http.Client
	at      int
}

func (r *ring) Member() (string, *http.Client, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.clients) == 0 {
		return "", nil, errors.New("no member is known")
	}
	i := r.at % len(r.clients)
	return fmt.Sprintf("m%d", i), r.clients[i], nil
}

func (r *ring) Failed(string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at++
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// remote is a node that follows members.
type remote struct {
	*nodeview.Remote
	t    *testing.T
	dir  string
	box  *pki.Box
	said *buffer
	end  func()
}

func newRemote(t *testing.T, dir, node string, clients ...*http.Client) *remote {
	t.Helper()
	box, err := pki.OpenBox(filepath.Join(dir, "seal.key"))
	if err != nil {
		t.Fatal(err)
	}
	r := &remote{t: t, dir: dir, box: box, said: &buffer{}}
	r.Remote = nodeview.NewRemote(nodeview.RemoteConfig{NodeID: node, Members: &ring{clients: clients}, URL: "https://peer/peer/v1/nodeview",
		File: filepath.Join(dir, "view"), Sealer: box, Log: slog.New(slog.NewTextHandler(r.said, nil))})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = r.Run(ctx) }()
	r.end = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(r.end)
	return r
}

func (r *remote) until(what string, ok func(nodeview.View) bool) nodeview.View {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 15*time.Second)
	defer cancel()
	var out nodeview.View
	found := errors.New("found")
	err := r.Watch(ctx, func(_ context.Context, v nodeview.View) error {
		if ok(v) {
			out = v
			return found
		}
		return nil
	})
	if !errors.Is(err, found) {
		r.t.Fatalf("%s: %v; it has %+v\n%s", what, err, r.Now(), r.said)
	}
	return out
}

// file is what is kept on disk, opened.
func (r *remote) file() string {
	r.t.Helper()
	sealed, err := os.ReadFile(filepath.Join(r.dir, "view"))
	if err != nil {
		r.t.Fatal(err)
	}
	plain, err := r.box.Open("nodeview", sealed)
	if err != nil {
		r.t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte("containers")) {
		r.t.Error("the view lies open on the disk")
	}
	return string(plain)
}

// level brings a view into the order of a remote one.
func level(v nodeview.View) nodeview.View {
	v.Names, v.Ports = slices.Clone(v.Names), slices.Clone(v.Ports)
	slices.SortFunc(v.Names, func(a, b nodeview.Name) int {
		return cmp.Compare(a.Address.String()+a.Container, b.Address.String()+b.Container)
	})
	slices.SortFunc(v.Ports, func(a, b nodeview.Port) int {
		return cmp.Compare(fmt.Sprintf("%s %s %05d", a.Protocol, a.HostIP, a.HostPort), fmt.Sprintf("%s %s %05d", b.Protocol, b.HostIP, b.HostPort))
	})
	return v
}

// TestRemoteFollows changes the state in all ways and wants the remote view to be
// the local one each time, and never anything foreign in stream or file.
func TestRemoteFollows(t *testing.T) {
	w := islands(t)
	var heard buffer
	r := newRemote(t, t.TempDir(), "n1", newMember(t, w.store).as("n1", &heard))
	same := func(what string) {
		t.Helper()
		want := level(w.of("n1"))
		got := r.until(what, func(v nodeview.View) bool { v.Index = want.Index; return reflect.DeepEqual(v, want) })
		if got.Index == 0 || got.Index > want.Index {
			t.Errorf("%s: index %d, the state is at %d", what, got.Index, want.Index)
		}
	}
	same("at first")
	w.secretive("shop-web", "own4", "n1", "10.42.0.4", 4)
	same("a container more")
	w.secretive("shop-db", "near5", "n2", "10.42.1.5", 1)
	same("a name more")
	w.do(&command.SetContainerStatus{Head: by(), NodeID: "n2", Items: []command.StatusItem{{ID: "near2", Status: model.ContainerStatus{Phase: model.PhaseExited, Task: 1}}}})
	same("a backend less")
	w.do(&command.SetNodeHealth{Head: by(), NodeID: "n2", Health: model.NodeHealth{State: model.NodeDown, Since: w.at(), Reason: "no heartbeat"}})
	same("a peer down")
	w.do(&command.SetAppStopped{Head: by(), ID: "shop", Stopped: true})
	same("the app stopped")
	w.do(&command.PutVolume{Head: by(), Volume: model.Volume{Meta: model.Meta{ID: "v1", Name: "v1"}, TenantID: "t1", NodeID: "n1"}})
	same("a volume")
	w.do(&command.SetNodeHealth{Head: by(), NodeID: "n1", Health: model.NodeHealth{State: model.NodeDown, Since: w.at(), Reason: "no heartbeat"}})
	w.do(&command.EvictContainers{Head: by(), NodeID: "n1", IDs: []string{"own4"}})
	same("an orphan")
	w.do(&command.ForgetContainers{Head: by(), NodeID: "n1", IDs: []string{"own4"}})
	same("no orphan")
	w.do(&command.RaiseGeneration{Head: by(), Generation: 2, LastIndex: w.index})
	if v := r.until("the generation", func(v nodeview.View) bool { return v.Generation == 2 }); len(v.Containers) != 1 {
		t.Errorf("containers %v", ids(v))
	}
	w.do(&command.RemoveNode{Head: by(), ID: "n1", ExpectVersion: command.AnyVersion, Force: true})
	r.until("removed", func(v nodeview.View) bool { return v.Node == nil })

	for what, text := range map[string]string{"stream": heard.String(), "file": r.file()} {
		for _, word := range []string{secretOf("far3"), secretOf("near2"), secretOf("near5"), "hidden", "harbour", "10.42.2.", "192.0.2.3"} {
			if strings.Contains(text, word) {
				t.Errorf("%s holds %q, which is none of this node's business", what, word)
			}
		}
	}
	if !strings.Contains(heard.String(), secretOf("own4")) {
		t.Error("the tap on the stream is not on the stream")
	}
	if n := strings.Count(heard.String(), secretOf("own1")); n > 2 {
		t.Errorf("a container was sent %d times, though it changed once", n)
	}
}

// TestRemoteMovesOn kills the member that is followed, and cuts the next one off:
// a third one is found each time, and one that is behind is not believed.
func TestRemoteMovesOn(t *testing.T) {
	w := islands(t)
	old := islands(t) // the same world, a moment earlier
	w.secretive("shop-web", "own4", "n1", "10.42.0.4", 4)
	a, behind, b, c := newMember(t, w.store), newMember(t, old.store), newMember(t, w.store), newMember(t, w.store)
	r := newRemote(t, t.TempDir(), "n1", a.as("n1", io.Discard), behind.as("n1", io.Discard), b.as("n1", io.Discard), c.as("n1", io.Discard))
	r.until("the first member", func(v nodeview.View) bool { return len(v.Containers) == 2 })
	a.kill()
	w.secretive("shop-web", "own5", "n1", "10.42.0.5", 5)
	r.until("the second member", func(v nodeview.View) bool { return len(v.Containers) == 3 })
	if behind.asked.Load() == 0 {
		t.Error("the member that is behind was not asked")
	}
	b.away.Store(true) // it says so with its next sign of life
	for c.asked.Load() == 0 {
		if t.Context().Err() != nil {
			t.Fatal("the third member was never asked")
		}
		<-time.After(5 * time.Millisecond)
	}
	w.secretive("shop-web", "own6", "n1", "10.42.0.6", 6)
	r.until("the third member", func(v nodeview.View) bool { return len(v.Containers) == 4 })
}

// TestRemoteForgets holds that a view which cannot be kept leaves no older one
// behind: by that one the next start would remove what came since.
func TestRemoteForgets(t *testing.T) {
	w := islands(t)
	m, dir := newMember(t, w.store), t.TempDir()
	r := newRemote(t, dir, "n1", m.as("n1", io.Discard))
	r.until("a view", func(v nodeview.View) bool { return v.Node != nil })
	if _, err := os.Stat(filepath.Join(dir, "view")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "view.new"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.secretive("shop-web", "own4", "n1", "10.42.0.4", 4)
	r.until("a view that cannot be kept", func(v nodeview.View) bool { return len(v.Containers) == 2 })
	r.end()
	m.kill()
	again := newRemote(t, dir, "n1")
	defer again.end()
	if got := again.Now(); got.Node != nil {
		t.Errorf("it starts with %v", ids(got))
	}
}

// TestRemoteRemembers starts again while nobody can be reached.
func TestRemoteRemembers(t *testing.T) {
	w := islands(t)
	m, dir := newMember(t, w.store), t.TempDir()
	r := newRemote(t, dir, "n1", m.as("n1", io.Discard))
	want := r.until("a view", func(v nodeview.View) bool { return v.Node != nil })
	r.end()
	m.kill()
	again := newRemote(t, dir, "n1")
	if got := again.Now(); !reflect.DeepEqual(got, want) {
		t.Errorf("after the start it has %+v\nwant %+v", got, want)
	}
	again.end()
	// A member of before must not lead it back.
	w.secretive("shop-web", "own4", "n1", "10.42.0.4", 4)
	newer := newMember(t, w.store)
	r = newRemote(t, dir, "n1", newer.as("n1", io.Discard))
	r.until("a newer view", func(v nodeview.View) bool { return len(v.Containers) == 2 })
	r.end()
	old := newMember(t, islands(t).store)
	r = newRemote(t, dir, "n1", old.as("n1", io.Discard))
	for old.asked.Load() < 1 || !strings.Contains(r.said.String(), "behind") && !strings.Contains(r.said.String(), "not seen yet") {
		if t.Context().Err() != nil {
			t.Fatal("it was never told that the member is behind")
		}
		<-time.After(5 * time.Millisecond)
	}
	if got := r.Now(); len(got.Containers) != 2 {
		t.Errorf("it went back to %v", ids(got))
	}
	r.end()

	for name, harm := range map[string]func() error{
		"damaged":      func() error { return os.WriteFile(filepath.Join(dir, "view"), []byte("nonsense"), 0o600) },
		"another key":  func() error { return os.Remove(filepath.Join(dir, "seal.key")) },
		"another node": func() error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			node := "n1"
			if name == "another node" {
				node = "n2"
			}
			if err := harm(); err != nil {
				t.Fatal(err)
			}
			r := newRemote(t, dir, node)
			if got := r.Now(); got.Node != nil || !strings.Contains(r.said.String(), "goes on running") {
				t.Errorf("it has %+v and said %q", got, r.said)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if _, _, err := r.Changed(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a node without any view gave one (%v)", err)
			}
		})
	}
}

// TestStreamRefuses asks as nobody, and with nonsense.
func TestStreamRefuses(t *testing.T) {
	m := newMember(t, islands(t).store)
	for url, c := range map[string]struct{ node, says string }{
		"":                         {"", "only nodes"},
		"?index=-1":                {"n1", "not a whole number"},
		"?generation=x":            {"n1", "not a whole number"},
		"?generation=9&index=1":    {"n1", "not seen yet"},
		"?generation=1&index=9999": {"n1", "not seen yet"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://peer/"+url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res, err := m.as(c.node, io.Discard).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode == http.StatusOK || !strings.Contains(string(b), c.says) {
			t.Errorf("%q as %q: %s %s", url, c.node, res.Status, b)
		}
	}
}

// TestRemoteRefusesAnothersView believes no member that mixes nodes up.
func TestRemoteRefusesAnothersView(t *testing.T) {
	m := newMember(t, islands(t).store)
	r := newRemote(t, t.TempDir(), "n1", m.as("n2", io.Discard))
	for !strings.Contains(r.said.String(), "the view of node n2") {
		if t.Context().Err() != nil {
			t.Fatal("it was not refused")
		}
		<-time.After(5 * time.Millisecond)
	}
	if got := r.Now(); got.Node != nil {
		t.Errorf("it believes %+v", got)
	}
}

// TestBurstIsSentTogether applies two hundred changes at once.
func TestBurstIsSentTogether(t *testing.T) {
	w := islands(t)
	var heard buffer
	r := newRemote(t, t.TempDir(), "n1", newMember(t, w.store).as("n1", &heard))
	r.until("a view", func(v nodeview.View) bool { return v.Node != nil })
	began := time.Now()
	for i := range 200 {
		w.secretive("shop-web", fmt.Sprintf("c%d", i), "n1", netip.AddrFrom4([4]byte{10, 42, 0, byte(i + 10)}).String(), i+10)
	}
	r.until("all", func(v nodeview.View) bool { return len(v.Containers) == 201 })
	most := 3 + int(time.Since(began)/(25*time.Millisecond))
	lines := 0
	for line := range strings.Lines(heard.String()) {
		var f map[string]any
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatal(err)
		}
		if len(f) > 0 {
			lines++
		}
	}
	if lines > most {
		t.Errorf("%d lines for 400 changes in %s, want at most %d", lines, time.Since(began), most)
	}
}
