package noderuntime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/runtime/ctrd"
	"github.com/skerryhq/skerry/runtime/logs"
	"github.com/skerryhq/skerry/runtime/volume"
	"github.com/skerryhq/skerry/runtime/workload"
)

// wires lead to nodes by HTTP/2, as package peer's do.
type wires map[string]*http.Client

func (w wires) Client(id string) *http.Client {
	if c, ok := w[id]; ok {
		return c
	}
	return noWay
}

type toward struct {
	host string
	http.RoundTripper
}

func (t toward) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host != "peer" || req.URL.Scheme != "https" {
		return nil, fmt.Errorf("asked for %s", req.URL)
	}
	req = req.Clone(req.Context())
	req.URL.Host = t.host
	return t.RoundTripper.RoundTrip(req)
}

func serveHTTP2(t *testing.T, h http.Handler) (*httptest.Server, *http.Client) {
	t.Helper()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.ProtoMajor != 2 {
			t.Errorf("a request by %s", req.Proto)
		}
		h.ServeHTTP(w, req)
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	c := srv.Client()
	return srv, &http.Client{Transport: toward{srv.Listener.Addr().String(), c.Transport}}
}

// pair is a world with a second node n2, whose container is c2, and the runtime of
// the member n1.
type pair struct {
	*world
	near, far *Runtime
	far2      *httptest.Server
	c2        *model.Container
	v2        *model.Volume
	data      string // of v2
}

func newPair(t *testing.T, nearLogs, farLogs Logs, farContainers Containers) *pair {
	t.Helper()
	p := &pair{world: newWorld(t)}
	hash := bytes.Repeat([]byte("h"), 32)
	p.apply(&command.PutJoinToken{Head: head(), Token: model.JoinToken{Meta: model.Meta{ID: "j1", Name: "j1"}, Hash: hash, Role: model.NodeMember, EnvironmentID: "e1", Uses: 1, ExpiresAt: head().Origin.Time.Add(time.Hour)}})
	p.apply(&command.JoinNode{Head: head(), Hash: hash, Node: model.Node{Meta: model.Meta{ID: "n2", Name: "two"}, Role: model.NodeMember, PublicKey: []byte("key"), Blocks: []netip.Prefix{netip.MustParsePrefix("10.42.0.64/26")}}})
	return p.finish(t, nearLogs, farLogs, farContainers)
}

func (p *pair) finish(t *testing.T, nearLogs, farLogs Logs, farContainers Containers) *pair {
	c, _ := p.store.View().Container("c1")
	p.apply(&command.PutContainers{Head: head(), Containers: []model.Container{{
		Meta: model.Meta{ID: "c2", Name: "shop-web-2"}, ServiceID: "s1", Slot: 2, Revision: 1, Spec: c.Spec, Assign: model.Assignment{NodeID: "n2"},
	}}})
	p.apply(&command.PutVolume{Head: head(), ExpectVersion: command.MustNotExist, Volume: model.Volume{Meta: model.Meta{ID: "v2", Name: "data"}, TenantID: "t1", NodeID: "n2", Spec: model.VolumeSpec{Driver: "local"}}})
	var ok bool
	if p.c2, ok = p.store.View().Container("c2"); !ok {
		t.Fatal("there is no second container")
	}
	if p.v2, ok = p.store.View().Volume("v2"); !ok {
		t.Fatal("there is no volume")
	}
	root := t.TempDir()
	shelf, err := volume.New(root)
	if err != nil {
		t.Fatal(err)
	}
	p.data = filepath.Join(root, "v2", "_data")
	log := slog.New(slog.DiscardHandler)
	p.far = New(Config{NodeID: "n2", DataDir: root, Store: p.store, Logs: farLogs, Containers: farContainers, Volumes: shelf, Log: log})
	srv, client := serveHTTP2(t, NewHandler(HandlerConfig{NodeID: "n2", Local: p.far.Local, Holds: p.far.Holds(), Log: log}))
	p.far2 = srv
	p.near = New(Config{NodeID: "n1", Store: p.store, Logs: nearLogs, Containers: hull{}, Peers: wires{"n2": client}, Log: log})
	return p
}

// shell is a container whose commands answer what they are told.
type shell struct {
	hull
	sizes   chan ctrd.TermSize
	signals chan string
	spec    chan workload.ExecSpec
}

func (s shell) Exec(ctx context.Context, id workload.ID, spec workload.ExecSpec, streams ctrd.ExecIO) (int, error) {
	if id != "c2" {
		return 0, workload.ErrNotFound
	}
	s.spec <- spec
	done := make(chan struct{})
	go func() {
		defer close(done)
		for size := range streams.Resize {
			s.sizes <- size
		}
	}()
	if _, err := io.WriteString(streams.Stderr, "ready\n"); err != nil {
		return 0, err
	}
	sig := <-streams.Signals
	s.signals <- sig
	b, err := io.ReadAll(streams.Stdin)
	if err != nil {
		return 0, err
	}
	_, err = streams.Stdout.Write(bytes.ToUpper(b))
	return 7, err
}

func (s shell) Kill(_ context.Context, _ workload.ID, signal string) error {
	s.signals <- signal
	return nil
}

func (s shell) Stat(_ context.Context, _ workload.ID, name string) (ctrd.PathInfo, error) {
	if name != "/etc/passwd" {
		return ctrd.PathInfo{}, workload.ErrPathNotFound
	}
	return ctrd.PathInfo{Size: 5, Mode: 0o644}, nil
}

func (s shell) CopyOut(_ context.Context, _ workload.ID, name string, w io.Writer) error {
	_, err := io.WriteString(w, strings.Repeat("tar of "+name, 10_000))
	return err
}

func (s shell) CopyIn(_ context.Context, _ workload.ID, dir string, r io.Reader) error {
	n, err := io.Copy(io.Discard, r)
	if err == nil && dir == "/full" {
		err = fmt.Errorf("after %d bytes: %w", n, unix.ENOSPC)
	}
	return err
}

func (s shell) Stats(context.Context, workload.ID) (workload.Stats, error) {
	return workload.Stats{At: time.Now(), MemoryUsage: 42}, nil
}

func (s shell) LayerSize(context.Context, workload.ID) (int64, error) { return 1, nil }

func TestExecOnAnotherNode(t *testing.T) {
	s := shell{sizes: make(chan ctrd.TermSize, 4), signals: make(chan string, 4), spec: make(chan workload.ExecSpec, 1)}
	p := newPair(t, nil, nil, s)
	in, typed := io.Pipe()
	var out bytes.Buffer
	var mu sync.Mutex
	ready := make(chan struct{})
	resize, signals := make(chan api.Size), make(chan string)
	type result struct {
		code int
		err  error
	}
	end := make(chan result, 1)
	go func() {
		code, err := p.near.Exec(t.Context(), p.c2, api.ExecSpec{Command: []string{"sh"}, TTY: true, Stdin: true, Env: []string{"A=b"}, Size: api.Size{Cols: 10, Rows: 20}}, api.Streams{
			Stdin: in, Stdout: &out, Resize: resize, Signals: signals,
			Stderr: writerFunc(func(b []byte) (int, error) {
				mu.Lock()
				defer mu.Unlock()
				if string(b) == "ready\n" {
					close(ready)
				}
				return len(b), nil
			}),
		})
		end <- result{code, err}
	}()
	<-ready
	if spec := <-s.spec; spec.Width != 10 || spec.Height != 20 || spec.Env[0] != "A=b" || !spec.TTY {
		t.Errorf("the command came as %+v", spec)
	}
	resize <- api.Size{Cols: 100, Rows: 50}
	if size := <-s.sizes; size.Width != 100 || size.Height != 50 {
		t.Errorf("the size came as %+v", size)
	}
	signals <- "SIGINT"
	if sig := <-s.signals; sig != "SIGINT" {
		t.Errorf("the signal came as %q", sig)
	}
	big := strings.Repeat("hello ", 100_000)
	if _, err := io.WriteString(typed, big); err != nil {
		t.Fatal(err)
	}
	_ = typed.Close()
	if r := <-end; r.code != 7 || r.err != nil {
		t.Errorf("it ended with %d, %v", r.code, r.err)
	}
	if out.String() != strings.ToUpper(big) {
		t.Errorf("%d bytes came back of %d", out.Len(), len(big))
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestQuestionsToAnotherNode(t *testing.T) {
	s := shell{signals: make(chan string, 1)}
	p := newPair(t, nil, nil, s)
	ctx := t.Context()
	if err := p.near.Signal(ctx, p.c2, "HUP"); err != nil || <-s.signals != "HUP" {
		t.Errorf("signal: %v", err)
	}
	if st, err := p.near.Stats(ctx, p.c2); err != nil || st.MemoryBytes != 42 {
		t.Errorf("stats: %+v %v", st, err)
	}
	if st, err := p.near.StatPath(ctx, p.c2, "/etc/passwd"); err != nil || st.Size != 5 || st.Name != "passwd" {
		t.Errorf("path: %+v %v", st, err)
	}
	if _, err := p.near.StatPath(ctx, p.c2, "/none"); model.CodeOf(err) != "path_not_found" || model.KindOf(err) != model.KindNotFound {
		t.Errorf("a path that is not there: %v", err)
	}
	st, tar, err := p.near.ReadArchive(ctx, p.c2, "/etc/passwd")
	if err != nil || st.Size != 5 {
		t.Fatalf("archive: %+v %v", st, err)
	}
	if b, err := io.ReadAll(tar); err != nil || len(b) != 10_000*len("tar of /etc/passwd") {
		t.Errorf("archive: %d bytes, %v", len(b), err)
	}
	_ = tar.Close()
	if err := p.near.WriteArchive(ctx, p.c2, "/tmp", strings.NewReader(strings.Repeat("x", 1<<20))); err != nil {
		t.Errorf("write an archive: %v", err)
	}
	if err := p.near.WriteArchive(ctx, p.c2, "/full", strings.NewReader("x")); model.CodeOf(err) != "disk_full" || model.KindOf(err) != model.KindExhausted {
		t.Errorf("a full disk: %v", err)
	}
	n2, _ := p.store.View().Node("n2")
	if st, err := p.near.NodeStats(ctx, n2); err != nil || st.MemoryTotalBytes == 0 || st.DiskTotalBytes == 0 {
		t.Errorf("node: %+v %v", st, err)
	}
	stranger := *p.c2
	stranger.ID = "c9"
	if err := p.near.Signal(ctx, &stranger, "HUP"); model.CodeOf(err) != "container_not_ready" {
		t.Errorf("a container that the node has not got: %v", err)
	}
}

func TestFilesOnAnotherNode(t *testing.T) {
	p := newPair(t, nil, nil, hull{})
	ctx, at := t.Context(), api.FilePlace{Volume: p.v2}
	text := strings.Repeat("0123456789", 100_000)
	if e, err := p.near.WriteFile(ctx, at, "/f\xfe", strings.NewReader(text)); err != nil || e.SizeBytes != int64(len(text)) {
		t.Fatalf("write: %+v %v", e, err)
	}
	if b, err := os.ReadFile(filepath.Join(p.data, "f\xfe")); err != nil || string(b) != text {
		t.Fatalf("it holds %d bytes, %v", len(b), err)
	}
	err := p.near.ReadFile(ctx, at, "/f\xfe", func(e api.FileEntry, f io.ReadSeeker) error {
		if n, err := f.Seek(0, io.SeekEnd); err != nil || n != int64(len(text)) {
			t.Errorf("the end is at %d, %v", n, err)
		}
		if _, err := f.Seek(999_995, io.SeekStart); err != nil {
			t.Error(err)
		}
		b, err := io.ReadAll(f)
		if err != nil || string(b) != "56789" {
			t.Errorf("from the middle: %q %v", b, err)
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			t.Error(err)
		}
		if b, err = io.ReadAll(f); err != nil || string(b) != text {
			t.Errorf("once more: %d bytes, %v", len(b), err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if _, err := p.near.MakeFolder(ctx, at, "/d"); err != nil {
		t.Error(err)
	}
	if l, err := p.near.ListFiles(ctx, at, "/"); err != nil || len(l.Items) != 2 || l.Items[0].Name != "d" {
		t.Errorf("%+v %v", l, err)
	}
	if _, err := p.near.MakeFolder(ctx, at, "/d"); model.CodeOf(err) != "path_exists" || !strings.Contains(err.Error(), "the volume data") {
		t.Errorf("%v", err)
	}
	if err := p.near.RemoveFile(ctx, at, "/d", true); err != nil {
		t.Error(err)
	}
	if n, err := p.near.VolumeUsage(ctx, p.v2); err != nil || n < int64(len(text)) {
		t.Errorf("usage %d, %v", n, err)
	}
	if _, err := p.near.WriteFile(ctx, at, "/g", io.MultiReader(strings.NewReader("x"), failing{})); model.CodeOf(err) != "body_cut" {
		t.Errorf("a body that breaks off: %v", err)
	}
	if _, err := os.Stat(filepath.Join(p.data, "g")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("half a file was left: %v", err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the client is gone") }

// A node that takes connections and says nothing, and one that takes none.
func TestNodeAway(t *testing.T) {
	p := newPair(t, nil, nil, hull{})
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ways := map[string]http.RoundTripper{
		"silent": toward{silent.Addr().String(), &http.Transport{ForceAttemptHTTP2: true}},
		"gone":   toward{"127.0.0.1:1", &http.Transport{ForceAttemptHTTP2: true}},
	}
	for name, way := range ways {
		p.near.cfg.Peers = wires{"n2": &http.Client{Transport: way}}
		began := time.Now()
		_, err := p.near.Stats(t.Context(), p.c2)
		if model.KindOf(err) != model.KindUnavailable || model.CodeOf(err) != "node_away" || !strings.Contains(err.Error(), "node two ") || !strings.Contains(err.Error(), "shop-web-2") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := p.near.Exec(t.Context(), p.c2, api.ExecSpec{Command: []string{"sh"}}, api.Streams{Stdout: io.Discard}); model.CodeOf(err) != "node_away" {
			t.Errorf("%s: exec: %v", name, err)
		}
		if took := time.Since(began); took > 2*signOfLife+2*time.Second {
			t.Errorf("%s: that took %s", name, took)
		}
	}
}

// chatter is a log that never ends and says something again and again.
type chatter struct {
	Logs
	line  string
	every time.Duration
}

func (c chatter) Read(ctx context.Context, _ string, o logs.Options) iter.Seq2[logs.Record, error] {
	return func(yield func(logs.Record, error) bool) {
		tick := time.NewTicker(c.every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				yield(logs.Record{}, context.Cause(ctx))
				return
			case now := <-tick.C:
				if !yield(logs.Record{Time: now, Stream: logs.Stdout, Line: []byte(c.line)}, nil) || !o.Follow {
					return
				}
			}
		}
	}
}

func TestFollowOverNodesGoesOnWithoutOne(t *testing.T) {
	p := newPair(t, chatter{line: "near", every: 20 * time.Millisecond}, chatter{line: "far", every: 20 * time.Millisecond}, hull{})
	p.is(model.PhaseRunning, 1)
	p.apply(&command.SetContainerStatus{Head: head(), NodeID: "n2", Items: []command.StatusItem{{ID: "c2", Status: model.ContainerStatus{Phase: model.PhaseRunning, Task: 1}}}})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	errEnough := errors.New("enough")
	far, told, after, cut := 0, 0, 0, false
	err := p.near.Logs(ctx, []*model.Container{p.container(), p.c2}, api.LogQuery{Follow: true, Tail: -1, Stdout: true, Stderr: true}, func(l api.LogLine) error {
		switch {
		case l.Line == "far":
			far++
			if far == 3 && !cut {
				cut = true
				go func() {
					p.far2.CloseClientConnections()
					p.far2.Close()
				}()
			}
		case l.Line == "near" && told > 0:
			after++
		case l.ContainerID == "c2":
			told++
			if l.Stream != api.LogStreamStderr || !strings.Contains(l.Line, "two") || l.Container != "shop-web-2" {
				t.Errorf("told by %+v", l)
			}
		}
		if after == 200 { // longer than until the next try
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) || told != 1 {
		t.Errorf("it ended with %v; told %d times, %d lines of the other", err, told, far)
	}
}

func TestLogsOfOneNodeThatIsAway(t *testing.T) {
	p := newPair(t, nil, nil, hull{})
	p.far2.Close()
	for _, follow := range []bool{false, true} {
		err := p.near.Logs(t.Context(), []*model.Container{p.c2}, api.LogQuery{Follow: follow, Tail: -1}, func(api.LogLine) error { return nil })
		if model.CodeOf(err) != "node_away" {
			t.Errorf("follow %v: %v", follow, err)
		}
	}
}

func TestLogsOfTwoNodesAreMergedByTime(t *testing.T) {
	at := func(s int) time.Time { return time.Date(2026, 3, 1, 12, 0, s, 0, time.UTC) }
	near, far := fixedLog{at(1), at(3), at(5)}, fixedLog{at(2), at(4), at(6)}
	p := newPair(t, near, far, hull{})
	var got []string
	err := p.near.Logs(t.Context(), []*model.Container{p.container(), p.c2}, api.LogQuery{Tail: -1}, func(l api.LogLine) error {
		got = append(got, fmt.Sprint(l.ContainerID, l.Time.Second()))
		return nil
	})
	if want := "c11 c22 c13 c24 c15 c26"; err != nil || strings.Join(got, " ") != want {
		t.Errorf("%v, %v; want %s", got, err, want)
	}
}

type fixedLog []time.Time

func (f fixedLog) Read(context.Context, string, logs.Options) iter.Seq2[logs.Record, error] {
	return func(yield func(logs.Record, error) bool) {
		for _, at := range f {
			if !yield(logs.Record{Time: at, Stream: logs.Stdout, Line: []byte("x")}, nil) {
				return
			}
		}
	}
}

func (fixedLog) Attach(context.Context, string, logs.AttachOptions) (*logs.Attachment, error) {
	return nil, logs.ErrNotOpen
}
