package noderuntime

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/runtime/logs"
	"github.com/skerryhq/skerry/runtime/logs/logd"
)

// daemon is a log daemon with the open log of the container c1, whose pipes the
// test holds as the shim does.
type daemon struct {
	t             *testing.T
	run, data     string
	stop          func()
	stdin, stdout *os.File
	*logs.Client

	mu       sync.Mutex
	attached int           // guarded by mu
	refuse   int           // from which attaching on the daemon counts as gone; 0: never; guarded by mu
	refused  chan struct{} // closed at the first that was refused
}

func newDaemon(t *testing.T) *daemon {
	t.Helper()
	dir, err := os.MkdirTemp("", "attach") // short: a socket's path has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	d := &daemon{t: t, run: filepath.Join(dir, "run"), data: filepath.Join(dir, "data"), refused: make(chan struct{})}
	d.Client = logs.NewClient(d.run, d.data)
	d.start()
	t.Cleanup(func() { d.stop() })
	p, err := d.Open(t.Context(), "c1", logs.OpenOptions{Stdin: true})
	if err != nil {
		t.Fatal(err)
	}
	d.stdin, d.stdout = d.pipe(p.Stdin), d.pipe(p.Stdout)
	d.pipe(p.Stderr)
	return d
}

func (d *daemon) pipe(path string) *os.File {
	d.t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = f.Close() })
	return f
}

func (d *daemon) start() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- logd.Run(ctx, logd.Config{RunDir: d.run, DataDir: d.data, Log: slog.New(slog.DiscardHandler)})
	}()
	d.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			d.t.Errorf("log daemon: %v", err)
		}
		d.stop = func() {}
	}
}

func (d *daemon) Attach(ctx context.Context, id string, o logs.AttachOptions) (*logs.Attachment, error) {
	d.mu.Lock()
	d.attached++
	refuse := d.refuse > 0 && d.attached >= d.refuse
	d.mu.Unlock()
	if refuse {
		close(d.refused)
		return nil, logs.ErrDaemonGone
	}
	return d.Client.Attach(ctx, id, o)
}

// screen is what a client sees.
type screen struct {
	mu sync.Mutex
	b  strings.Builder // guarded by mu
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screen) shows(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.b.String(), text)
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not within ten seconds: %s", what)
		}
	}
}

func (d *daemon) hears(want string) {
	d.t.Helper()
	if err := d.stdin.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		d.t.Fatal(err)
	}
	got := make([]byte, len(want))
	if n, err := io.ReadFull(d.stdin, got); err != nil || string(got) != want {
		d.t.Fatalf("the container read %q, %v; want %q", got[:n], err, want)
	}
}

func (d *daemon) says(text string) {
	d.t.Helper()
	if _, err := d.stdout.WriteString(text); err != nil {
		d.t.Fatal(err)
	}
}

type ending struct {
	code int
	err  error
}

// client attaches; its end comes through the channel.
func (d *daemon) client(w *world, out io.Writer) (keys *io.PipeWriter, ended chan ending) {
	in, keys := io.Pipe()
	d.t.Cleanup(func() { _ = keys.Close() })
	ended = make(chan ending, 1)
	r, c := w.runtime(d, hull{}), w.container()
	go func() {
		code, err := r.Attach(d.t.Context(), c, true, api.Streams{Stdin: in, Stdout: out, Stderr: out})
		ended <- ending{code, err}
	}()
	return keys, ended
}

func typed(t *testing.T, keys io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(keys, text); err != nil {
		t.Fatal(err)
	}
}

func TestStdinOutlivesTheLogDaemon(t *testing.T) {
	w, d, s := newWorld(t), newDaemon(t), &screen{}
	w.is(model.PhaseRunning, 1)
	keys, ended := d.client(w, s)
	typed(t, keys, "one\n")
	d.hears("one\n")

	d.stop()
	typed(t, keys, "two\n") // nobody is there to take it yet
	d.start()
	d.hears("two\n")
	d.says("back\n")
	eventually(t, "output after the daemon's restart", func() bool { return s.shows("back\n") })
	typed(t, keys, "three\n")
	d.hears("three\n")

	if err := keys.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "stdin closed", func() bool {
		st, err := d.Status(t.Context())
		return err == nil && st.Logs[0].StdinClosed
	})
	w.is(model.PhaseExited, 1)
	if err := d.Client.Close(t.Context(), "c1"); err != nil {
		t.Fatal(err)
	}
	if e := <-ended; e.err != nil || e.code != 0 {
		t.Errorf("ended with %+v", e)
	}
}

// A client that is gone has not ended the container's input: the next one types on.
func TestStdinOutlivesAClient(t *testing.T) {
	w, d := newWorld(t), newDaemon(t)
	w.is(model.PhaseRunning, 1)
	first, _ := d.client(w, &screen{})
	typed(t, first, "one\n")
	d.hears("one\n")
	if err := first.CloseWithError(io.ErrUnexpectedEOF); err != nil {
		t.Fatal(err)
	}
	next, _ := d.client(w, &screen{})
	typed(t, next, "two\n")
	d.hears("two\n")
	if st, err := d.Status(t.Context()); err != nil || st.Logs[0].StdinClosed {
		t.Errorf("got %+v %v", st, err)
	}
}

func TestStdinEndsWhenTheLogDaemonStaysAway(t *testing.T) {
	w, d, s := newWorld(t), newDaemon(t), &screen{}
	w.is(model.PhaseRunning, 1)
	d.refuse = 2
	keys, ended := d.client(w, s)
	typed(t, keys, "one\n")
	d.hears("one\n")
	d.stop()
	<-d.refused
	if e := <-ended; model.CodeOf(e.err) != "engine_away" {
		t.Errorf("ended with %+v", e)
	}
	// The client hangs up only now; that must not harm the process.
	if err := keys.Close(); err != nil {
		t.Fatal(err)
	}
	d.start()
	if _, err := d.Status(t.Context()); err != nil {
		t.Error(err)
	}
}
