package supervise_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/appliance/supervise"
)

// The test binary is also the parent and the child before its program, as the small binary is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case supervise.ChildCommand:
			fmt.Fprintln(os.Stderr, supervise.BecomeChild())
			os.Exit(127)
		case "supervise":
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
			defer stop()
			err := supervise.Run(ctx, supervise.RunConfig{
				RunDir: os.Args[2], DataDir: os.Args[3], Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
			})
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

// host is a run dir and a data dir; at the end of the test everything on it is ended.
type host struct {
	*testing.T
	cfg supervise.Config
}

func newHost(t *testing.T) *host {
	t.Helper()
	run, err := os.MkdirTemp("", "sv") // short: a socket's path has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	h := &host{T: t, cfg: supervise.Config{RunDir: run, DataDir: data, Argv: []string{exe, "supervise", run, data}}}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if c, err := supervise.Ensure(ctx, h.cfg); err != nil {
			t.Error(err)
		} else if err := c.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			body, _ := os.ReadFile(filepath.Join(data, "log", "supervise.log"))
			t.Logf("parent's log:\n%s", body)
		}
		_ = os.RemoveAll(run)
	})
	return h
}

func (h *host) ensure() *supervise.Client {
	h.Helper()
	c, err := supervise.Ensure(h.Context(), h.cfg)
	h.must(err)
	return c
}

func (h *host) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *host) status(c *supervise.Client) supervise.Status {
	h.Helper()
	st, err := c.Status(h.Context())
	h.must(err)
	return st
}

// pid waits until the named process runs, and is not the one given.
func (h *host) pid(c *supervise.Client, name string, not int) int {
	h.Helper()
	pid := 0
	h.eventually("process "+name+" runs", func() bool {
		for _, p := range h.status(c).Processes {
			if p.Name == name && p.State == supervise.StateRunning && p.PID != not {
				pid = p.PID
			}
		}
		return pid != 0
	})
	return pid
}

func (h *host) eventually(what string, ok func() bool) {
	h.Helper()
	deadline := time.After(15 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			h.Fatalf("after 15 s still not: %s", what)
		case <-tick.C:
		}
	}
}

// killParent ends the parent as the kernel's memory killer would.
func (h *host) killParent(c *supervise.Client) {
	h.Helper()
	pid := h.status(c).PID
	h.must(syscall.Kill(pid, syscall.SIGKILL))
	h.eventually("the parent is gone", func() bool {
		_, err := c.Status(h.Context())
		return errors.Is(err, supervise.ErrNoParent)
	})
}

// cmdline is empty for a process that does not run.
func cmdline(pid int) string {
	body, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return strings.TrimSpace(strings.ReplaceAll(string(body), "\x00", " "))
}

// sleeper runs until it is ended; the number tells it apart.
func sleeper(name string, seconds int) supervise.Spec {
	return supervise.Spec{Name: name, Argv: []string{"/bin/sleep", fmt.Sprint(seconds)}}
}

func TestStartsRestartsAndStops(t *testing.T) {
	h := newHost(t)
	c := h.ensure()
	h.must(c.Ensure(t.Context(), sleeper("a", 70001)))
	first := h.pid(c, "a", 0)
	if got := cmdline(first); got != "/bin/sleep 70001" {
		t.Errorf("runs %q", got)
	}
	h.must(c.Ensure(t.Context(), sleeper("a", 70001)))
	if again := h.pid(c, "a", 0); again != first {
		t.Errorf("the same spec restarted it: pid %d, was %d", again, first)
	}
	began := time.Now()
	h.must(syscall.Kill(first, syscall.SIGKILL))
	second := h.pid(c, "a", first)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("restart took %v", took)
	}
	if p := h.status(c).Processes[0]; p.Restarts != 1 || p.LastExit != "signal SIGKILL" {
		t.Errorf("after a kill: %+v", p)
	}
	h.must(c.Ensure(t.Context(), sleeper("a", 70002)))
	third := h.pid(c, "a", second)
	if got := cmdline(third); got != "/bin/sleep 70002" {
		t.Errorf("after other arguments it runs %q", got)
	}
	if cmdline(second) != "" {
		t.Error("the process with the old arguments still runs")
	}
	h.must(c.Stop(t.Context(), "a"))
	if cmdline(third) != "" || len(h.status(c).Processes) != 0 {
		t.Errorf("after stop: %q, %+v", cmdline(third), h.status(c))
	}
	h.must(c.Stop(t.Context(), "a"))
	log, err := os.ReadFile(filepath.Join(h.cfg.DataDir, "log", "supervise.log"))
	h.must(err)
	if !bytes.Contains(log, []byte(`how="signal SIGKILL"`)) {
		t.Error("the log does not say how the process ended")
	}
}

// Nothing is started twice and nothing dies when the parent is killed, again and again.
func TestKilledParentIsReplacedByOneThatAdopts(t *testing.T) {
	h := newHost(t)
	c := h.ensure()
	specs := []supervise.Spec{sleeper("a", 70011), sleeper("b", 70012)}
	for _, s := range specs {
		h.must(c.Ensure(t.Context(), s))
	}
	a, b := h.pid(c, "a", 0), h.pid(c, "b", 0)
	for range 3 {
		h.killParent(c)
		c = h.ensure()
		if h.pid(c, "a", 0) != a || h.pid(c, "b", 0) != b {
			t.Fatalf("not adopted: %+v, had %d and %d", h.status(c), a, b)
		}
		h.must(c.Ensure(t.Context(), specs[0]))
	}
	if st := h.status(c); !st.Processes[0].Adopted {
		t.Errorf("not marked as adopted: %+v", st)
	}
	h.must(syscall.Kill(a, syscall.SIGKILL)) // no child of the new parent: it must notice all the same
	if cmdline(h.pid(c, "a", a)) != "/bin/sleep 70011" {
		t.Error("an adopted process that died was not replaced")
	}
	h.must(c.Ensure(t.Context(), sleeper("b", 70013)))
	if now := h.pid(c, "b", b); cmdline(now) != "/bin/sleep 70013" || cmdline(b) != "" {
		t.Errorf("an adopted process was not restarted for its new arguments: %q, old %q", cmdline(now), cmdline(b))
	}
	// Died while there was no parent: the next one starts it.
	a = h.pid(c, "a", 0)
	h.killParent(c)
	h.must(syscall.Kill(a, syscall.SIGKILL))
	c = h.ensure()
	h.pid(c, "a", a)
	h.must(c.Shutdown(t.Context()))
	if _, err := supervise.Connect(t.Context(), h.cfg.RunDir, h.cfg.DataDir); !errors.Is(err, supervise.ErrNoParent) {
		t.Errorf("after shutdown: %v", err)
	}
	for _, n := range []string{"70011", "70012", "70013"} {
		if out, _ := exec.Command("pgrep", "-f", "^/bin/sleep "+n).Output(); len(out) > 0 {
			t.Errorf("sleep %s still runs: %s", n, out)
		}
	}
	left, err := filepath.Glob(filepath.Join(h.cfg.RunDir, "supervise", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// A pid that now belongs to somebody else is neither adopted nor signalled.
func TestReusedPIDIsNotTouched(t *testing.T) {
	h := newHost(t)
	c := h.ensure()
	h.must(c.Ensure(t.Context(), sleeper("a", 70021)))
	a := h.pid(c, "a", 0)
	h.killParent(c)
	h.must(syscall.Kill(a, syscall.SIGKILL))
	stranger := exec.Command("/bin/sleep", "70022")
	h.must(stranger.Start())
	defer func() {
		_ = stranger.Process.Kill()
		_ = stranger.Wait()
	}()
	path := filepath.Join(h.cfg.RunDir, "supervise", "a.pid")
	body, err := os.ReadFile(path)
	h.must(err)
	_, rest, _ := strings.Cut(string(body), " ")
	h.must(os.WriteFile(path, fmt.Appendf(nil, "%d %s", stranger.Process.Pid, rest), 0o600))
	c = h.ensure()
	if now := h.pid(c, "a", 0); now == stranger.Process.Pid {
		t.Error("a stranger was adopted")
	}
	h.must(c.Shutdown(t.Context()))
	if cmdline(stranger.Process.Pid) != "/bin/sleep 70022" {
		t.Error("a stranger was ended")
	}
}

func TestOneParentForManyCallers(t *testing.T) {
	h := newHost(t)
	var wg sync.WaitGroup
	pids := make(chan int, 5)
	for range cap(pids) {
		wg.Go(func() {
			c, err := supervise.Ensure(t.Context(), h.cfg)
			if err != nil {
				t.Error(err)
				return
			}
			st, err := c.Status(t.Context())
			if err != nil {
				t.Error(err)
			}
			pids <- st.PID
		})
	}
	wg.Wait()
	close(pids)
	want := h.status(h.ensure()).PID
	for pid := range pids {
		if pid != want {
			t.Errorf("parent %d and parent %d", pid, want)
		}
	}
}

func TestBadSpecs(t *testing.T) {
	h := newHost(t)
	c := h.ensure()
	for name, spec := range map[string]supervise.Spec{
		"use 1 to 32 lower-case":   {Name: "../x", Argv: []string{"/bin/true"}},
		"absolute path":            {Name: "a", Argv: []string{"true"}},
		"no such file":             {Name: "a", Argv: []string{"/nowhere/true"}},
		"must be -1000 to 1000":    {Name: "a", Argv: []string{"/bin/true"}, OOMScoreAdj: -2000},
		"must not be negative":     {Name: "a", Argv: []string{"/bin/true"}, KeepFDs: -1},
		"is the parent's own":      {Name: "supervise", Argv: []string{"/bin/true"}},
		"the first word of argv m": {Name: "a"},
	} {
		if err := c.Ensure(t.Context(), spec); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%+v: %v, want %q", spec, err, name)
		}
	}
	if n := len(h.status(c).Processes); n != 0 {
		t.Errorf("%d processes from bad specs", n)
	}
}

// A process that cannot live is tried less and less often, and its words are in its log.
func TestCrashLoopBacksOff(t *testing.T) {
	h := newHost(t)
	c := h.ensure()
	h.must(c.Ensure(t.Context(), supervise.Spec{Name: "bad", Argv: []string{"/bin/sh", "-c", "echo here; sleep 0.05; exit 3"}}))
	began := time.Now()
	h.eventually("five restarts", func() bool { return h.status(c).Processes[0].Restarts >= 5 })
	if took := time.Since(began); took < 700*time.Millisecond { // 50+100+200+400 ms between five ends
		t.Errorf("five restarts in %v", took)
	}
	if p := h.status(c).Processes[0]; p.LastExit != "exit status 3" {
		t.Errorf("%+v", p)
	}
	body, err := os.ReadFile(filepath.Join(h.cfg.DataDir, "log", "bad.log"))
	if err != nil || !strings.HasPrefix(string(body), "here\nhere\n") {
		t.Errorf("log %q: %v", body, err)
	}
}

func TestEnvironmentGroupAndOOMScore(t *testing.T) {
	h := newHost(t)
	c := h.ensure()
	group := filepath.Join("/sys/fs/cgroup/pids", filepath.Base(h.cfg.RunDir))
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Skipf("no cgroup can be made: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := c.Stop(ctx, "env"); err != nil {
			t.Error(err)
		}
		if err := os.Remove(group); err != nil {
			t.Error(err)
		}
	})
	h.must(c.Ensure(t.Context(), supervise.Spec{
		Name: "env", Argv: []string{"/bin/sleep", "70031"}, Env: []string{"COLOUR=blue"}, Dir: "/usr", Cgroup: []string{group}, OOMScoreAdj: 321,
	}))
	pid := h.pid(c, "env", 0)
	proc := func(name string) string {
		body, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
		h.must(err)
		return strings.TrimSpace(string(body))
	}
	h.eventually("the program is executed", func() bool { return strings.HasPrefix(proc("cmdline"), "/bin/sleep") })
	if got := proc("environ"); got != "COLOUR=blue\x00" {
		t.Errorf("environment %q", got)
	}
	if got := proc("oom_score_adj"); got != "321" {
		t.Errorf("oom score %s", got)
	}
	if got := proc("cgroup"); !strings.Contains(got, "pids:/"+filepath.Base(group)) {
		t.Errorf("cgroups %s", got)
	}
	if dir, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); dir != "/usr" {
		t.Errorf("folder %s %v", dir, err)
	}
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil || len(fds) != 3 {
		t.Errorf("%d descriptors inherited (%v), want 3", len(fds), err)
	}
}

// Orphans of the children come to the parent and leave no zombies.
func TestOrphansAreReaped(t *testing.T) {
	h := newHost(t)
	c := h.ensure()
	h.must(c.Ensure(t.Context(), supervise.Spec{Name: "o", Argv: []string{"/bin/sh", "-c", "for i in 1 2 3; do (sleep 0.2 & ) ; done; exec sleep 70041"}}))
	parent := h.status(c).PID
	children := func() (n int) { // of all its threads
		files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
		h.must(err)
		for _, f := range files {
			if body, err := os.ReadFile(f); err == nil {
				n += len(strings.Fields(string(body)))
			}
		}
		return n
	}
	h.eventually("orphans arrive", func() bool { return children() >= 4 })
	h.eventually("orphans are reaped", func() bool { return children() == 1 })
}

func TestStubbornProcessIsKilled(t *testing.T) {
	h := newHost(t)
	c := h.ensure()
	h.must(c.Ensure(t.Context(), supervise.Spec{Name: "s", StopTimeout: 200 * time.Millisecond, Argv: []string{"/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"}}))
	h.eventually("it ignores SIGTERM", func() bool {
		body, _ := os.ReadFile(filepath.Join(h.cfg.DataDir, "log", "s.log"))
		return len(body) > 0
	})
	pid := h.pid(c, "s", 0)
	h.must(c.Stop(t.Context(), "s"))
	if cmdline(pid) != "" {
		t.Error("it still runs")
	}
}

func TestLogsAreBounded(t *testing.T) {
	h := newHost(t)
	c := h.ensure()
	h.must(c.Ensure(t.Context(), supervise.Spec{Name: "loud", LogMaxBytes: 64 << 10, Argv: []string{"/bin/sh", "-c", "i=0; while [ $i -lt 4000 ]; do echo line $i 0123456789012345678901234567890123456789; i=$((i+1)); done; exec sleep 70051"}}))
	path := filepath.Join(h.cfg.DataDir, "log", "loud.log")
	h.eventually("the log is cut", func() bool {
		now, err := os.Stat(path)
		old, errOld := os.Stat(path + ".1")
		return err == nil && errOld == nil && now.Size() <= 64<<10 && old.Size() > 0
	})
}

// A killed process's descriptors live on in the parent, and in the next parent once they are sent again.
func TestDescriptorsAreKept(t *testing.T) {
	h := newHost(t)
	c := h.ensure()
	h.must(c.Ensure(t.Context(), supervise.Spec{Name: "k", KeepFDs: 1, Argv: []string{"/bin/sleep", "70061"}}))
	r, w, err := os.Pipe()
	h.must(err)
	defer r.Close()
	path := filepath.Join(h.cfg.RunDir, "supervise", "k.notify")
	tell := func(text string, fds ...int) {
		sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		h.must(err)
		defer unix.Close(sock)
		var oob []byte
		if len(fds) > 0 {
			oob = unix.UnixRights(fds...)
		}
		h.must(unix.Sendmsg(sock, []byte(text), oob, &unix.SockaddrUnix{Name: path}, 0))
	}
	count := func() int { return h.status(c).Processes[0].KeptFDs }
	tell("FDSTORE=1\nFDNAME=x", int(w.Fd()))
	h.eventually("descriptor kept", func() bool { return count() == 1 })
	tell("FDSTORE=1\nFDNAME=y", int(w.Fd())) // one too many
	tell("FDSTORE=1\nFDNAME=x", int(w.Fd())) // again
	h.must(w.Close())
	h.must(syscall.Kill(h.pid(c, "k", 0), syscall.SIGKILL))
	h.must(r.SetReadDeadline(time.Now().Add(300 * time.Millisecond)))
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the pipe ended: %v", err)
	}
	if count() != 1 {
		t.Errorf("%d kept, want 1", count())
	}
	tell("FDSTOREREMOVE=1\nFDNAME=x")
	h.must(r.SetReadDeadline(time.Now().Add(10 * time.Second)))
	if n, err := r.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after removal: %d, %v", n, err)
	}
	h.must(c.Stop(t.Context(), "k"))
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("socket after stop: %v", err)
	}
}

// Keep replaces a killed parent by itself.
func TestKeep(t *testing.T) {
	h := newHost(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- supervise.Keep(ctx, h.cfg, []supervise.Spec{sleeper("a", 70071)}, slog.New(slog.DiscardHandler))
	}()
	var c *supervise.Client
	h.eventually("a parent", func() (ok bool) {
		var err error
		c, err = supervise.Connect(t.Context(), h.cfg.RunDir, h.cfg.DataDir)
		return err == nil && len(h.status(c).Processes) == 1
	})
	a, parent := h.pid(c, "a", 0), h.status(c).PID
	h.must(syscall.Kill(parent, syscall.SIGKILL))
	h.eventually("another parent", func() bool {
		st, err := c.Status(t.Context())
		return err == nil && st.PID != parent
	})
	if h.pid(c, "a", 0) != a {
		t.Error("not adopted")
	}
	cancel()
	h.must(<-done)
	if cmdline(a) == "" {
		t.Error("the process ended with the daemon")
	}
}
