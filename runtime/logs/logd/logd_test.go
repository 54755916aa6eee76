package logd_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/runtime/logs"
	"github.com/skerryhq/skerry/runtime/logs/logd"
)

// The test binary is its own set of helper processes: a log daemon that can be killed and a writer.
func TestMain(m *testing.M) {
	switch os.Getenv("LOGD_TEST_HELPER") {
	case "":
		os.Exit(m.Run())
	case "logd":
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		err := logd.Run(ctx, logd.Config{
			RunDir: os.Args[1], DataDir: os.Args[2], NotifySocket: os.Getenv("NOTIFY_SOCKET"),
			Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case "writer":
		if err := write(os.Args[1], os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// write sends numbered lines of 100 bytes at bytes/s for the time given and prints how many there were and the
// longest time that one write took.
func write(path, rate, duration string) error {
	perSecond, err := strconv.Atoi(rate)
	if err != nil {
		return err
	}
	span, err := time.ParseDuration(duration)
	if err != nil {
		return err
	}
	fd, err := unix.Open(path, unix.O_WRONLY, 0) // not through the poller: a full pipe must really block
	if err != nil {
		return err
	}
	start := time.Now()
	var longest time.Duration
	n := 0
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for time.Since(start) < span {
		due := int(time.Since(start).Seconds() * float64(perSecond) / 100)
		for ; n < due; n++ {
			line := []byte(fmt.Sprintf("%09d %s\n", n, strings.Repeat("x", 89)))
			before := time.Now()
			if _, err := unix.Write(fd, line); err != nil {
				return err
			}
			longest = max(longest, time.Since(before))
		}
		<-tick.C
	}
	fmt.Printf("%d %d\n", n, longest.Microseconds())
	return unix.Close(fd)
}

// host is a run dir and a data dir with a daemon process.
type host struct {
	t         *testing.T
	run, data string
	env       []string
	cmd       *exec.Cmd
	*logs.Client
}

func newHost(t *testing.T) *host {
	t.Helper()
	run, err := os.MkdirTemp("", "logd") // short: a socket's path has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(run) })
	h := &host{t: t, run: run, data: t.TempDir()}
	h.Client = logs.NewClient(h.run, h.data)
	t.Cleanup(h.kill)
	return h
}

func (h *host) start() {
	h.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		h.t.Fatal(err)
	}
	h.cmd = &exec.Cmd{Path: exe, Args: []string{exe, h.run, h.data}, Stderr: testLog{h.t},
		Env: append(append(os.Environ(), "LOGD_TEST_HELPER=logd"), h.env...)}
	if err := h.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
}

// kill ends the daemon with SIGKILL.
func (h *host) kill() {
	if h.cmd == nil {
		return
	}
	_ = h.cmd.Process.Kill()
	_ = h.cmd.Wait()
	h.cmd = nil
}

// shim holds both ends of a container's pipes, as containerd's shim does.
type shim struct{ stdout, stderr *os.File }

func (h *host) open(id string, o logs.OpenOptions) *shim {
	h.t.Helper()
	p, err := h.Open(h.t.Context(), id, o)
	if err != nil {
		h.t.Fatal(err)
	}
	s := &shim{}
	if s.stdout, err = os.OpenFile(p.Stdout, os.O_RDWR, 0); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = s.stdout.Close() })
	if p.Stderr != "" {
		if s.stderr, err = os.OpenFile(p.Stderr, os.O_RDWR, 0); err != nil {
			h.t.Fatal(err)
		}
		h.t.Cleanup(func() { _ = s.stderr.Close() })
	}
	return s
}

func (h *host) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// text reads the kept log as "stream tag line" lines.
func (h *host) text(id string, o logs.Options) []string {
	h.t.Helper()
	var out []string
	for r, err := range h.Read(h.t.Context(), id, o) {
		h.must(err)
		tag := "F"
		switch {
		case r.Lost > 0:
			tag = "L"
		case r.Partial:
			tag = "P"
		}
		out = append(out, fmt.Sprintf("%s %s %s", r.Stream, tag, r.Line))
	}
	return out
}

// eventually polls until ok says yes.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("after 10 s still not: %s", what)
		case <-tick.C:
		}
	}
}

func equal(t *testing.T, got, want []string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestKeepsOutput(t *testing.T) {
	h := newHost(t)
	h.start()
	s := h.open("c1", logs.OpenOptions{})
	fmt.Fprint(s.stdout, "one\ntwo\n")
	eventually(t, "stdout kept", func() bool { return len(h.text("c1", logs.Options{})) == 2 })
	fmt.Fprint(s.stderr, "bad\n")
	eventually(t, "stderr kept", func() bool { return len(h.text("c1", logs.Options{})) == 3 })
	fmt.Fprint(s.stdout, "three\nno end")
	h.must(h.Close(t.Context(), "c1"))
	want := []string{"stdout F one", "stdout F two", "stderr F bad", "stdout F three", "stdout P no end"}
	equal(t, h.text("c1", logs.Options{}), want)
	equal(t, h.text("c1", logs.Options{Tail: 2}), want[3:])
	equal(t, h.text("c1", logs.Options{Tail: -1}), nil)
	equal(t, h.text("c1", logs.Options{Streams: []logs.Stream{logs.Stderr}}), want[2:3])
	equal(t, h.text("c1", logs.Options{Since: time.Now().Add(time.Minute)}), nil)
	equal(t, h.text("c1", logs.Options{Until: time.Now().Add(-time.Minute)}), nil)
	if got := h.text("c1", logs.Options{Tail: 1, Timestamps: true}); len(got) != 1 || !strings.HasPrefix(got[0], "stdout P "+time.Now().UTC().Format("2006-01-")) {
		t.Errorf("with timestamps: %q", got)
	}
	if _, err := os.Stat(filepath.Join(h.run, "logd", "c1")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("pipes after close: %v", err)
	}
	h.must(h.Close(t.Context(), "c1"))

	// A second task of the same container goes on in the same log.
	s = h.open("c1", logs.OpenOptions{})
	fmt.Fprint(s.stdout, "again\n")
	h.must(h.Close(t.Context(), "c1"))
	equal(t, h.text("c1", logs.Options{}), append(want, "stdout F again"))

	h.must(h.Remove(t.Context(), "c1"))
	for _, err := range h.Read(t.Context(), "c1", logs.Options{}) {
		if !errors.Is(err, logs.ErrNotFound) {
			t.Errorf("after remove: %v", err)
		}
	}
	if _, err := os.Stat(filepath.Join(h.data, "logs", "c1")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("files after remove: %v", err)
	}
}

func TestTTYIsKeptRaw(t *testing.T) {
	h := newHost(t)
	h.start()
	s := h.open("tty", logs.OpenOptions{TTY: true})
	if s.stderr != nil {
		t.Error("a terminal has one stream")
	}
	var want bytes.Buffer
	for _, piece := range []string{"$ ", "l", "s\r\n", "file\r\n$ "} {
		want.WriteString(piece)
		fmt.Fprint(s.stdout, piece)
		eventually(t, "piece kept without waiting for its line", func() bool {
			var got bytes.Buffer
			for r, err := range h.Read(t.Context(), "tty", logs.Options{}) {
				h.must(err)
				got.Write(r.Line)
				if !r.Partial {
					got.WriteByte('\n')
				}
			}
			return got.String() == want.String()
		})
	}
}

func TestRefusals(t *testing.T) {
	h := newHost(t)
	h.start()
	for _, id := range []string{"", "..", "../x", "a/b", ".hidden", strings.Repeat("x", 129), "ü"} {
		if _, err := h.Open(t.Context(), id, logs.OpenOptions{}); !errors.Is(err, logs.ErrInvalid) {
			t.Errorf("open %q: %v, want ErrInvalid", id, err)
		}
		if err := h.Remove(t.Context(), id); !errors.Is(err, logs.ErrInvalid) {
			t.Errorf("remove %q: %v, want ErrInvalid", id, err)
		}
	}
	if _, err := h.Open(t.Context(), "small", logs.OpenOptions{MaxBytes: 5}); !errors.Is(err, logs.ErrInvalid) {
		t.Errorf("tiny file: %v, want ErrInvalid", err)
	}
	h.open("same", logs.OpenOptions{})
	if _, err := h.Open(t.Context(), "same", logs.OpenOptions{}); err != nil {
		t.Errorf("open again: %v", err)
	}
	if _, err := h.Open(t.Context(), "same", logs.OpenOptions{TTY: true}); !errors.Is(err, logs.ErrInvalid) {
		t.Errorf("open again otherwise: %v, want ErrInvalid", err)
	}
	if _, err := h.Attach(t.Context(), "nobody", logs.AttachOptions{}); !errors.Is(err, logs.ErrNotOpen) {
		t.Errorf("attach to nothing: %v, want ErrNotOpen", err)
	}
}

// An orderly end loses nothing either, is quick, and the next daemon goes on.
func TestOrderlyEnd(t *testing.T) {
	h := newHost(t)
	h.start()
	s := h.open("c", logs.OpenOptions{Stdin: true})
	h.open("idle", logs.OpenOptions{TTY: true})
	a := h.attach("c", logs.AttachOptions{})
	go func() { _, _ = a.Write(make([]byte, 4<<20)) }() // input that nobody reads; it ends with the attachment
	fmt.Fprint(s.stdout, "one\nprompt> ")
	eventually(t, "first line kept", func() bool { return len(h.text("c", logs.Options{})) == 1 })
	h.must(h.cmd.Process.Signal(syscall.SIGTERM))
	ended := make(chan error, 1)
	go func() { ended <- h.cmd.Wait() }()
	select {
	case err := <-ended:
		h.must(err)
	case <-time.After(5 * time.Second):
		t.Fatal("the daemon does not end")
	}
	h.cmd = nil
	fmt.Fprint(s.stdout, "yes\n")
	h.start()
	h.must(h.Close(t.Context(), "c"))
	equal(t, h.text("c", logs.Options{}), []string{"stdout F one", "stdout F prompt> yes"})
}

// The heart of the matter: a container writes 1 MB/s while the daemon is killed again and again. Every line is
// kept exactly once and in order, and the container is never held up.
func TestKilledUnderLoad(t *testing.T) {
	killUnderLoad(t, logs.OpenOptions{MaxBytes: 64 << 20}, "1000000", "6s")
}

// The same with a rotation every few milliseconds.
func TestKilledWhileRotating(t *testing.T) {
	killUnderLoad(t, logs.OpenOptions{MaxBytes: 64 << 10, MaxFiles: 10_000}, "3000000", "3s")
}

func killUnderLoad(t *testing.T, o logs.OpenOptions, rate, span string) {
	h := newHost(t)
	h.start()
	s := h.open("busy", o)
	followed := make(chan int, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { // a follower lives through all restarts too, and misses nothing
		n := 0
		for r, err := range h.Read(ctx, "busy", logs.Options{Follow: true}) {
			var line int
			if err == nil {
				_, err = fmt.Sscanf(string(r.Line), "%09d ", &line)
			}
			// A batch that a kill tore is written anew: what was read of it may come twice.
			if err != nil || line > n {
				t.Errorf("follower at line %d: %q %v", n, r.Line, err)
				break
			}
			n = line + 1
		}
		followed <- n
	}()

	exe, err := os.Executable()
	h.must(err)
	w := &exec.Cmd{Path: exe, Args: []string{exe, s.stdout.Name(), rate, span}, Env: append(os.Environ(), "LOGD_TEST_HELPER=writer"), Stderr: os.Stderr}
	out, err := w.StdoutPipe()
	h.must(err)
	h.must(w.Start())
	done := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n')
		done <- line
	}()
	kills, result := 0, ""
	for result == "" {
		select {
		case result = <-done:
		case <-time.After(time.Duration(20+kills*37%190) * time.Millisecond):
			h.kill()
			h.start()
			kills++
		}
	}
	h.must(w.Wait())
	var lines, longest int
	if _, err := fmt.Sscan(result, &lines, &longest); err != nil {
		t.Fatalf("writer said %q: %v", result, err)
	}
	h.must(h.Close(t.Context(), "busy"))
	n := 0
	for r, err := range h.Read(t.Context(), "busy", logs.Options{}) {
		h.must(err)
		if want := fmt.Sprintf("%09d ", n); !strings.HasPrefix(string(r.Line), want) || len(r.Line) != 99 || r.Partial {
			t.Fatalf("record %d is %.60q (partial %t)", n, r.Line, r.Partial)
		}
		n++
	}
	if n != lines {
		t.Errorf("%d lines kept, %d written", n, lines)
	}
	if longest > 1_000_000 {
		t.Errorf("the container was held up for %d us", longest)
	}
	select {
	case got := <-followed:
		if got != lines {
			t.Errorf("follower saw %d lines, %d written", got, lines)
		}
	case <-time.After(10 * time.Second):
		t.Error("follower did not end when the log was closed")
	}
	t.Logf("%d kills, %d lines, longest write %d us", kills, lines, longest)
}

func TestRotationIsBoundedAndFollowed(t *testing.T) {
	h := newHost(t)
	h.start()
	const total, files, size = 40_000, 3, 256 << 10
	s := h.open("rot", logs.OpenOptions{MaxBytes: size, MaxFiles: files})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range total {
			fmt.Fprintf(s.stdout, "line %d\n", i)
		}
		if err := h.Close(t.Context(), "rot"); err != nil {
			t.Error(err)
		}
	})
	last := -1
	for r, err := range h.Read(t.Context(), "rot", logs.Options{Follow: true}) {
		h.must(err)
		var n int
		if _, err := fmt.Sscanf(string(r.Line), "line %d", &n); err != nil || n <= last {
			t.Fatalf("record %q after line %d", r.Line, last)
		}
		last = n
	}
	wg.Wait()
	if last != total-1 {
		t.Errorf("follower's last line is %d, want %d", last, total-1)
	}
	entries, err := os.ReadDir(filepath.Join(h.data, "logs", "rot"))
	h.must(err)
	if len(entries) != files {
		t.Errorf("%d files, want %d", len(entries), files)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Size() > size {
			t.Errorf("%s: %d bytes, at most %d allowed (%v)", e.Name(), info.Size(), size, err)
		}
	}
	tail := h.text("rot", logs.Options{Tail: 8000}) // more than the newest file holds
	if len(tail) != 8000 || tail[0] != fmt.Sprintf("stdout F line %d", total-8000) {
		t.Errorf("tail has %d lines from %q", len(tail), tail[:min(1, len(tail))])
	}
}

// A full disk holds nobody up; what was lost is counted and told.
func TestFullDisk(t *testing.T) {
	h := newHost(t)
	if err := unix.Mount("tmpfs", h.data, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("mount tmpfs: %v", err)
	}
	t.Cleanup(func() {
		h.kill()
		if err := unix.Unmount(h.data, 0); err != nil {
			t.Error(err)
		}
	})
	h.start()
	ballast := filepath.Join(h.data, "ballast")
	s := h.open("full", logs.OpenOptions{})
	fmt.Fprint(s.stdout, "before\n")
	eventually(t, "first line kept", func() bool { return len(h.text("full", logs.Options{})) == 1 })
	f, err := os.Create(ballast)
	h.must(err)
	if _, err := io.Copy(f, io.LimitReader(zero{}, 1<<20)); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	h.must(f.Close())

	const written = 3 << 20 // three times what the pipe holds
	line := append(bytes.Repeat([]byte("y"), 1023), '\n')
	began := time.Now()
	for range written / len(line) {
		if _, err := s.stdout.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the container was held up for %v", took)
	}
	kept := func() (n int64) {
		for r, err := range h.Read(t.Context(), "full", logs.Options{}) {
			h.must(err)
			if r.Lost == 0 && bytes.HasPrefix(r.Line, []byte("y")) {
				n += int64(len(r.Line)) + 1
			}
		}
		return n
	}
	eventually(t, "everything kept or dropped", func() bool {
		st, err := h.Status(t.Context())
		h.must(err)
		return st.Logs[0].Lost > 0 && st.Logs[0].Lost+kept() == written
	})
	h.kill() // the count must survive
	h.start()
	h.must(os.Remove(ballast))
	fmt.Fprint(s.stdout, "after\n")
	h.must(h.Close(t.Context(), "full"))
	var lost int64
	sawAfter := false
	for r, err := range h.Read(t.Context(), "full", logs.Options{}) {
		h.must(err)
		lost += r.Lost
		if sawAfter = string(r.Line) == "after"; sawAfter && lost == 0 {
			t.Error("the marker comes after the next line")
		}
	}
	if !sawAfter {
		t.Error("the log did not go on")
	}
	if lost+kept() != written {
		t.Errorf("told %d lost and kept %d, written %d", lost, kept(), written)
	}
}

type zero struct{}

func (zero) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// testLog shows a daemon's messages only when the test fails or is verbose.
type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("logd: %s", bytes.TrimSpace(p))
	return len(p), nil
}
