package exchange_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/skerryhq/skerry/appliance/exchange"
	"github.com/skerryhq/skerry/appliance/registry"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
	"github.com/skerryhq/skerry/runtime/image"
	"github.com/skerryhq/skerry/runtime/runtimetest"
)

// host is a node with an engine, as others reach it by HTTP/2.
type host struct {
	*runtimetest.Host
	id      string
	blobs   *registry.Blobs
	x       *exchange.Exchange
	srv     *httptest.Server
	handler http.Handler
	spoil   func(http.ResponseWriter, *http.Request) http.ResponseWriter // nil: not
	gets    sync.Map                                                     // requests by path: *atomic.Int64
}

func (h *host) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method == http.MethodGet {
		n, _ := h.gets.LoadOrStore(req.URL.Path, new(atomic.Int64))
		n.(*atomic.Int64).Add(1)
	}
	if h.spoil != nil {
		w = h.spoil(w, req)
	}
	h.handler.ServeHTTP(w, req)
}

func (h *host) served(d digest.Digest) int64 {
	n, ok := h.gets.Load(exchange.Prefix + d.String())
	if !ok {
		return 0
	}
	return n.(*atomic.Int64).Load()
}

type net map[string]*host

type toward struct {
	host string
	http.RoundTripper
}

func (t toward) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.URL.Host = t.host
	return t.RoundTripper.RoundTrip(req)
}

func (n net) Client(id string) *http.Client {
	h, ok := n[id]
	if !ok {
		return &http.Client{Transport: toward{"127.0.0.1:1", http.DefaultTransport}}
	}
	return &http.Client{Transport: toward{h.srv.Listener.Addr().String(), h.srv.Client().Transport}}
}

// add starts a node that looks at all nodes of the net, in the order given.
func (n net) add(t *testing.T, id string, asker exchange.Asker, view func() *state.View, order ...string) *host {
	t.Helper()
	h := &host{Host: runtimetest.New(t), id: id}
	log := slog.New(slog.DiscardHandler)
	var err error
	if h.blobs, err = registry.NewBlobs(t.Context(), h.Client, filepath.Join(t.TempDir(), "registry"), log); err != nil {
		t.Fatal(err)
	}
	h.x = exchange.New(exchange.Config{NodeID: id, Images: h.Images, Blobs: h.blobs, Peers: n, Log: log, Holders: func(string) []exchange.Holder {
		var out []exchange.Holder
		for _, o := range order {
			out = append(out, exchange.Holder{ID: o, Name: "node-" + o})
		}
		return out
	}})
	h.handler = exchange.NewHandler(exchange.HandlerConfig{Blobs: h.blobs, View: view,
		Asker: func(context.Context) (exchange.Asker, bool) { return asker, asker.NodeID != "" },
		Fetch: func(ctx context.Context, d digest.Digest) (func(), error) { return h.x.Blob(ctx, d, -1) }})
	h.srv = httptest.NewUnstartedServer(h)
	h.srv.EnableHTTP2 = true
	h.srv.StartTLS()
	t.Cleanup(h.srv.Close)
	n[id] = h
	return h
}

var aMember = exchange.Asker{NodeID: "any", Role: model.NodeMember}

// bigImage imports an image with a layer that does not compress.
func bigImage(t *testing.T, h *host, n int) (dgst digest.Digest, layer digest.Digest) {
	t.Helper()
	b := make([]byte, n)
	_, _ = rand.Read(b)
	tar := runtimetest.Tar(t, append(runtimetest.BusyboxLayer(t), runtimetest.File{Name: "big", Body: b, Mode: 0o644}))
	dgst = digest.Digest(h.Import(runtimetest.OCILayout(t, "example.com/big:1", runtimetest.ImageConfig{Cmd: []string{"/bin/true"}}, tar)))
	d, err := h.Images.Inspect(t.Context(), dgst)
	if err != nil {
		t.Fatal(err)
	}
	return dgst, d.Layers[0].Digest
}

// An image comes from another node, once for all who ask, and a container can be
// made of it.
func TestBring(t *testing.T) {
	n := net{}
	a := n.add(t, "a", aMember, nil)
	b := n.add(t, "b", aMember, nil, "nobody", "a")
	img, layer := bigImage(t, a, 8<<20)
	var g sync.WaitGroup
	var told atomic.Int64
	for range 10 {
		g.Go(func() {
			if err := b.x.Bring(t.Context(), img.String(), func(p image.Progress) {
				if p.Step == "download" {
					told.Add(1)
				}
			}); err != nil {
				t.Error(err)
			}
		})
	}
	g.Wait()
	if n := a.served(layer); n != 1 {
		t.Errorf("the layer was handed out %d times", n)
	}
	if told.Load() == 0 {
		t.Error("nobody was told how far it is")
	}
	r, err := b.Images.Resolve(t.Context(), img)
	if err != nil || r.ChainID == "" || r.Config.Config.Cmd[0] != "/bin/true" {
		t.Errorf("%+v %v", r, err)
	}
	if err := b.x.Bring(t.Context(), img.String(), nil); err != nil {
		t.Errorf("once more: %v", err)
	}
}

// A node that breaks off in the middle is followed by the next, which sends the
// rest; one that sends other bytes is not believed.
func TestBringFromTheNext(t *testing.T) {
	n := net{}
	a := n.add(t, "a", aMember, nil)
	b := n.add(t, "b", aMember, nil, "a")
	c := n.add(t, "c", aMember, nil, "a", "b")
	img, layer := bigImage(t, a, 8<<20)
	if err := b.x.Bring(t.Context(), img.String(), nil); err != nil {
		t.Fatal(err)
	}
	a.spoil = func(w http.ResponseWriter, req *http.Request) http.ResponseWriter {
		if req.Method == http.MethodGet && strings.HasSuffix(req.URL.Path, layer.String()) {
			return &breaking{ResponseWriter: w, left: 3 << 20}
		}
		return w
	}
	var from atomic.Value
	b.spoil = func(w http.ResponseWriter, req *http.Request) http.ResponseWriter {
		if strings.HasSuffix(req.URL.Path, layer.String()) {
			from.Store(req.Header.Get("Range"))
		}
		return w
	}
	if err := c.x.Bring(t.Context(), img.String(), nil); err != nil {
		t.Fatal(err)
	}
	if r, _ := from.Load().(string); !strings.HasPrefix(r, "bytes=") || r == "bytes=0-" {
		t.Errorf("the next was asked for %q", r)
	}
	d := n.add(t, "d", aMember, nil, "a", "b")
	a.spoil = func(w http.ResponseWriter, req *http.Request) http.ResponseWriter {
		if req.Method == http.MethodGet && strings.HasSuffix(req.URL.Path, layer.String()) {
			return &lying{ResponseWriter: w}
		}
		return w
	}
	if err := d.x.Bring(t.Context(), img.String(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Images.Resolve(t.Context(), img); err != nil {
		t.Error(err)
	}
}

// breaking breaks off after some bytes.
type breaking struct {
	http.ResponseWriter
	left int
}

func (b *breaking) Write(p []byte) (int, error) {
	if b.left < len(p) {
		_, _ = b.ResponseWriter.Write(p[:b.left])
		if f, ok := b.ResponseWriter.(http.Flusher); ok {
			f.Flush()
		}
		panic(http.ErrAbortHandler)
	}
	b.left -= len(p)
	return b.ResponseWriter.Write(p)
}

// lying changes every byte.
type lying struct{ http.ResponseWriter }

func (l *lying) Write(p []byte) (int, error) {
	q := bytes.Clone(p)
	for i := range q {
		q[i] ^= 1
	}
	return l.ResponseWriter.Write(q)
}

func TestBringWhatNobodyHas(t *testing.T) {
	n := net{}
	n.add(t, "a", aMember, nil)
	b := n.add(t, "b", aMember, nil, "a", "gone")
	began := time.Now()
	err := b.x.Bring(t.Context(), digest.FromString("x").String(), nil)
	if model.CodeOf(err) != "image_nowhere" || model.KindOf(err) != model.KindUnavailable {
		t.Errorf("%v", err)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("it took %s", took)
	}
	if err := b.x.Bring(t.Context(), "latest", nil); model.CodeOf(err) != "digest_invalid" {
		t.Errorf("%v", err)
	}
	release, err := b.x.Blob(t.Context(), digest.FromString("y"), -1)
	release()
	if !errors.Is(err, registry.ErrNoBlob) {
		t.Errorf("%v", err)
	}
	if _, err := b.blobs.Stat(t.Context(), digest.FromString("x")); !errors.Is(err, registry.ErrNoBlob) {
		t.Errorf("something was kept: %v", err)
	}
}

// A worker gets what its containers' images consist of, through any member, and
// nothing else.
func TestWorkerGetsItsImagesOnly(t *testing.T) {
	n := net{}
	store := newState(t)
	asWorker := exchange.Asker{NodeID: "w1", Role: model.NodeWorker}
	a := n.add(t, "a", aMember, store.View)       // has the images; only members ask it
	b := n.add(t, "b", asWorker, store.View, "a") // has nothing; the worker asks it
	w := n.add(t, "w1", aMember, nil, "b")
	mine, _ := bigImage(t, a, 1<<20)
	other, otherLayer := bigImage(t, a, 1<<20)
	assign(t, store, "w1", mine.String())
	if err := w.x.Bring(t.Context(), mine.String(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Images.Resolve(t.Context(), mine); err != nil {
		t.Error(err)
	}
	if err := w.x.Bring(t.Context(), other.String(), nil); model.CodeOf(err) != "image_nowhere" {
		t.Errorf("another's image: %v", err)
	}
	for _, d := range []digest.Digest{other, otherLayer} {
		res, err := n.Client("b").Get("https://peer" + exchange.Prefix + d.String())
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != 404 {
			t.Errorf("%s: %d %s", d, res.StatusCode, body)
		}
		if _, err := b.blobs.Stat(t.Context(), d); !errors.Is(err, registry.ErrNoBlob) {
			t.Errorf("the member fetched %s for a worker that may not have it", d)
		}
	}
	stranger := n.add(t, "s", exchange.Asker{}, store.View)
	res, err := n.Client("s").Get("https://peer" + exchange.Prefix + mine.String())
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != 403 {
		t.Errorf("%s answered nobody with %d", stranger.id, res.StatusCode)
	}
}
