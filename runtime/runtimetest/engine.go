// Package runtimetest runs the real engine for tests: a private containerd on
// temporary folders, images built offline in Go from the host's static busybox,
// and a conformance suite of what every container runtime of Skerry must do.
//
// Test code only; nothing in production imports it. Needs root. Each Host belongs
// to one test, ends its own containerd by its own process id, and fails the test
// when anything is left behind.
package runtimetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"

	"github.com/skerryhq/skerry/runtime/ctrd"
	"github.com/skerryhq/skerry/runtime/engine"
	"github.com/skerryhq/skerry/runtime/image"
	"github.com/skerryhq/skerry/runtime/workload"
)

// EnvBin names the folder with the engine's binaries; without it the repository's
// bin/engine is used, and built when it is missing.
const EnvBin = "SKERRY_ENGINE_BIN"

// Host is one private engine with everything on top of it.
type Host struct {
	Dir     string
	Config  engine.Config
	Client  *client.Client
	Images  *image.Store
	Runtime *ctrd.Runtime
	// CgroupParent is below which this host's containers have their cgroups.
	CgroupParent string

	t   testing.TB
	log *tail
	cmd *exec.Cmd
	end chan struct{} // closed when cmd has been waited for
}

var binOnce = sync.OnceValues(findBin)

func findBin() (string, error) {
	if dir := os.Getenv(EnvBin); dir != "" {
		return dir, nil
	}
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		return "", errors.New("the source folder is not known: set " + EnvBin)
	}
	root := filepath.Dir(filepath.Dir(filepath.Dir(file)))
	bin := filepath.Join(root, "bin", "engine")
	// The script does nothing when bin is current.
	out, err := exec.Command(filepath.Join(root, "packaging", "engine", "build.sh"), bin).CombinedOutput()
	if err != nil {
		return "", errors.New("build the engine: " + string(out))
	}
	return bin, nil
}

// New starts a private engine and removes everything at the end of the test. It
// skips the test where the process may not run containers.
func New(t testing.TB) *Host {
	t.Helper()
	return NewAt(t, "")
}

// NewAt is New with the engine's root in a folder of the caller, for instance on
// a small disk; an empty root means a temporary one.
func NewAt(t testing.TB, root string) *Host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skipped: running containers needs root")
	}
	bin, err := binOnce()
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir: its long path does not leave room for socket names.
	dir, err := os.MkdirTemp("", "sk")
	if err != nil {
		t.Fatal(err)
	}
	h := &Host{
		Dir:          dir,
		Config:       engine.Config{Root: filepath.Join(dir, "root"), RunDir: filepath.Join(dir, "run"), BinDir: bin},
		CgroupParent: "/skerry-test/" + filepath.Base(dir),
		t:            t,
		log:          &tail{},
	}
	if root != "" {
		h.Config.Root = root
	}
	t.Cleanup(h.close)
	h.StartEngine()
	ctx := Context(t, 20*time.Second)
	if h.Client, err = h.Config.Connect(ctx); err != nil {
		t.Fatalf("%v\nengine log:\n%s", err, h.log)
	}
	logger := slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if h.Images, err = image.New(h.Client, image.Options{Root: h.Config.Root, Log: logger}); err != nil {
		t.Fatal(err)
	}
	if h.Runtime, err = ctrd.New(ctrd.Config{Client: h.Client, Engine: h.Config, Images: h.Images, Log: logger}); err != nil {
		t.Fatal(err)
	}
	return h
}

// Adopt returns a second Runtime over the same engine, as a restarted daemon has.
func (h *Host) Adopt() *ctrd.Runtime {
	h.t.Helper()
	r, err := ctrd.New(ctrd.Config{Client: h.Client, Engine: h.Config, Images: h.Images, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

// StartEngine runs containerd as a supervisor would.
func (h *Host) StartEngine() {
	h.t.Helper()
	if err := h.Config.Prepare(); err != nil {
		h.t.Fatal(err)
	}
	p := h.Config.Command()
	cmd := &exec.Cmd{Path: p.Path, Args: p.Args, Env: p.Env, Dir: p.Dir, Stdout: h.log, Stderr: h.log}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// Shims inherit the pipe of the log and outlive the engine: do not wait for them.
	cmd.WaitDelay = 200 * time.Millisecond
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	end := make(chan struct{})
	go func() {
		defer close(end)
		_ = cmd.Wait() // ended by a signal: that is what the tests do
	}()
	h.cmd, h.end = cmd, end
}

// KillEngine ends containerd with the signal and waits for its end.
func (h *Host) KillEngine(sig syscall.Signal) {
	h.t.Helper()
	if err := h.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		h.t.Fatal(err)
	}
	select {
	case <-h.end:
	case <-time.After(20 * time.Second):
		h.t.Fatalf("the engine did not end after %v", sig)
	}
}

// EnginePID is the process id of the running containerd.
func (h *Host) EnginePID() int { return h.cmd.Process.Pid }

// Log returns what engine and runtime have logged lately.
func (h *Host) Log() string { return h.log.String() }

func (h *Host) close() {
	if h.Runtime != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
		defer cancel()
		states, err := h.Runtime.List(ctx)
		if err != nil {
			h.t.Errorf("list containers at the end: %v", err)
		}
		for _, st := range states {
			if err := h.Runtime.Remove(ctx, st.ID); err != nil {
				h.t.Errorf("remove container at the end: %v", err)
			}
		}
		if err := h.Runtime.CleanCgroups(h.CgroupParent); err != nil {
			h.t.Error(err)
		}
		if left, _ := filepath.Glob("/sys/fs/cgroup/*" + h.CgroupParent); len(left) > 0 {
			h.t.Errorf("cgroups left behind: %v", left)
		}
		_ = h.Runtime.CleanCgroups(filepath.Dir(h.CgroupParent)) // shared with tests that run beside us
	}
	if h.Client != nil {
		_ = h.Client.Close()
	}
	if h.cmd != nil {
		h.KillEngine(syscall.SIGTERM)
	}
	if err := h.Config.Clean(); err != nil {
		h.t.Error(err)
	}
	if left := h.Mounts(); len(left) > 0 {
		h.t.Errorf("mounts left behind: %v", left)
		for i := len(left) - 1; i >= 0; i-- {
			_ = syscall.Unmount(left[i], syscall.MNT_DETACH)
		}
	}
	if err := os.RemoveAll(h.Dir); err != nil {
		h.t.Errorf("remove %s: %v", h.Dir, err)
	}
	if h.t.Failed() {
		h.t.Logf("engine log:\n%s", h.log)
	}
}

// Mounts lists the mounts below the host's folder.
func (h *Host) Mounts() []string {
	b, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		h.t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], h.Dir+"/") {
			out = append(out, f[4])
		}
	}
	return out
}

// Cgroups lists the container cgroups of this host, from every controller.
func (h *Host) Cgroups() []string {
	var out []string
	for _, pattern := range []string{"/sys/fs/cgroup" + h.CgroupParent + "/*", "/sys/fs/cgroup/*" + h.CgroupParent + "/*"} {
		found, _ := filepath.Glob(pattern)
		for _, f := range found {
			if fi, err := os.Stat(f); err == nil && fi.IsDir() {
				out = append(out, f)
			}
		}
	}
	return out
}

// Context returns a context that ends after d or with the test.
func Context(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// Eventually polls until ok, and fails the test when d is over.
func Eventually(t testing.TB, d time.Duration, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(d)
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("after %v still not: %s", d, what)
		}
	}
}

// Output is where a container's output goes: FIFOs that are read here, as a log
// daemon would.
type Output struct {
	Stdio workload.Stdio

	mu       sync.Mutex
	out, err bytes.Buffer // guarded by mu
}

// NewOutput makes the FIFOs and reads them until the end of the test.
func NewOutput(t testing.TB) *Output {
	t.Helper()
	dir, err := os.MkdirTemp("", "skio")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	o := &Output{Stdio: workload.Stdio{Stdout: filepath.Join(dir, "out"), Stderr: filepath.Join(dir, "err")}}
	for _, s := range []struct {
		path string
		buf  *bytes.Buffer
	}{{o.Stdio.Stdout, &o.out}, {o.Stdio.Stderr, &o.err}} {
		if err := syscall.Mkfifo(s.path, 0o600); err != nil {
			t.Fatal(err)
		}
		// Read and write: opening never blocks and the FIFO never ends.
		f, err := os.OpenFile(s.path, os.O_RDWR|syscall.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		go func() {
			_, _ = io.Copy(lockedWriter{&o.mu, s.buf}, f) // ends when f is closed
		}()
	}
	return o
}

// Stdout returns what has been written so far.
func (o *Output) Stdout() string { o.mu.Lock(); defer o.mu.Unlock(); return o.out.String() }

// Stderr returns what has been written so far.
func (o *Output) Stderr() string { o.mu.Lock(); defer o.mu.Unlock(); return o.err.String() }

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// tail keeps the last part of a log.
type tail struct {
	mu sync.Mutex
	b  []byte // guarded by mu
}

const maxTail = 32 << 10

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b = append(l.b, p...)
	if len(l.b) > maxTail {
		l.b = append([]byte(nil), l.b[len(l.b)-maxTail:]...)
	}
	return len(p), nil
}

func (l *tail) String() string { l.mu.Lock(); defer l.mu.Unlock(); return string(l.b) }

// Shims lists the process ids of shims that serve this host's engine.
func (h *Host) Shims() []string {
	var out []string
	entries, err := os.ReadDir("/proc")
	if err != nil {
		h.t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err == nil && bytes.Contains(b, []byte("containerd-shim")) && bytes.Contains(b, []byte(h.Config.Socket())) {
			out = append(out, e.Name())
		}
	}
	return out
}
