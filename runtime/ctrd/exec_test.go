package ctrd_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skerryhq/skerry/runtime/ctrd"
	"github.com/skerryhq/skerry/runtime/runtimetest"
	"github.com/skerryhq/skerry/runtime/workload"
)

const forever = "trap 'exit 3' TERM; while :; do sleep 0.1; done"

// start creates and starts a container that ends with the test.
func start(t *testing.T, h *runtimetest.Host, spec workload.Spec) context.Context {
	t.Helper()
	ctx := runtimetest.Context(t, time.Minute)
	spec.CgroupParent = h.CgroupParent
	if err := h.Runtime.Create(ctx, spec); err != nil {
		t.Fatal(err)
	}
	if err := h.Runtime.Start(ctx, spec.ID); err != nil {
		t.Fatal(err)
	}
	return ctx
}

func TestExec(t *testing.T) {
	h := runtimetest.New(t)
	img := h.ImportBusybox()
	ctx := start(t, h, workload.Spec{ID: "c", ImageDigest: img, Command: []string{"sh", "-c", forever}, Env: []string{"FROM_SPEC=2"}})
	run := func(spec workload.ExecSpec, stdin string) (int, string, string, error) {
		var out, errs bytes.Buffer
		streams := ctrd.ExecIO{Stdout: &out, Stderr: &errs}
		if stdin != "" {
			streams.Stdin = strings.NewReader(stdin)
		}
		code, err := h.Runtime.Exec(ctx, "c", spec, streams)
		return code, out.String(), errs.String(), err
	}
	for _, c := range []struct {
		name, want, wantErr, stdin string
		spec                       workload.ExecSpec
		code                       int
	}{
		{name: "status and streams", spec: workload.ExecSpec{Command: []string{"sh", "-c", "echo out; echo err >&2; exit 41"}}, want: "out\n", wantErr: "err\n", code: 41},
		{name: "input ends", spec: workload.ExecSpec{Command: []string{"cat"}}, stdin: "line 1\nline 2\n", want: "line 1\nline 2\n"},
		{name: "no input", spec: workload.ExecSpec{Command: []string{"cat"}}},
		{name: "environment", spec: workload.ExecSpec{Command: []string{"sh", "-c", "echo $FROM_IMAGE$FROM_SPEC$MINE"}, Env: []string{"MINE=3"}}, want: "123\n"},
		{name: "user by name", spec: workload.ExecSpec{Command: []string{"id"}, User: "app"}, want: "uid=1000(app) gid=1001(app) groups=2000(extra)\n"},
		{name: "user by number", spec: workload.ExecSpec{Command: []string{"id"}, User: "77:88"}, want: "uid=77 gid=88\n"},
		{name: "working directory", spec: workload.ExecSpec{Command: []string{"pwd"}, WorkDir: "/etc"}, want: "/etc\n"},
		{name: "signalled", spec: workload.ExecSpec{Command: []string{"sh", "-c", "kill -9 $$"}}, code: 137},
	} {
		code, out, errs, err := run(c.spec, c.stdin)
		if err != nil || code != c.code || out != c.want || errs != c.wantErr {
			t.Errorf("%s: got %d %q %q %v, want %d %q %q", c.name, code, out, errs, err, c.code, c.want, c.wantErr)
		}
	}
	if _, _, _, err := run(workload.ExecSpec{Command: []string{"no-such"}}, ""); !errors.Is(err, workload.ErrCommandNotFound) {
		t.Errorf("missing command: got %v", err)
	}
	if _, _, _, err := run(workload.ExecSpec{Command: []string{"/etc/plain"}}, ""); !errors.Is(err, workload.ErrNotExecutable) {
		t.Errorf("plain file: got %v", err)
	}
	if _, _, _, err := run(workload.ExecSpec{Command: []string{"id"}, User: "stranger"}, ""); !errors.Is(err, workload.ErrInvalid) {
		t.Errorf("unknown user: got %v", err)
	}

	t.Run("signals", func(t *testing.T) {
		var out safeBuffer
		signals := make(chan string, 3)
		done := make(chan int, 1)
		go func() {
			code, err := h.Runtime.Exec(ctx, "c", workload.ExecSpec{
				Command: []string{"sh", "-c", "trap 'echo again' USR1; trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done"},
			}, ctrd.ExecIO{Stdout: &out, Signals: signals})
			if err != nil {
				t.Error(err)
			}
			done <- code
		}()
		runtimetest.Eventually(t, 10*time.Second, "the traps", func() bool { return strings.Contains(out.String(), "ready") })
		signals <- "SIGNONE"
		signals <- "SIGUSR1"
		runtimetest.Eventually(t, 10*time.Second, "the first signal", func() bool { return strings.Contains(out.String(), "again") })
		signals <- "TERM"
		close(signals)
		select {
		case code := <-done:
			if code != 7 {
				t.Errorf("ended with %d, want 7", code)
			}
		case <-time.After(10 * time.Second):
			t.Error("the command did not hear the second signal")
		}
	})

	t.Run("terminal and resize", func(t *testing.T) {
		in, input := io.Pipe()
		defer input.Close()
		var out safeBuffer
		resize := make(chan ctrd.TermSize)
		done := make(chan int, 1)
		go func() {
			code, err := h.Runtime.Exec(ctx, "c", workload.ExecSpec{Command: []string{"sh"}, TTY: true, Width: 91, Height: 17}, ctrd.ExecIO{Stdin: in, Stdout: &out, Resize: resize})
			if err != nil {
				t.Error(err)
			}
			done <- code
		}()
		io.WriteString(input, "stty size\n")
		runtimetest.Eventually(t, 10*time.Second, "first size", func() bool { return strings.Contains(out.String(), "17 91") })
		resize <- ctrd.TermSize{Width: 120, Height: 40}
		io.WriteString(input, "stty size\n")
		runtimetest.Eventually(t, 10*time.Second, "second size", func() bool {
			if strings.Contains(out.String(), "40 120") {
				return true
			}
			io.WriteString(input, "stty size\n")
			return false
		})
		io.WriteString(input, "exit 6\n")
		if code := <-done; code != 6 {
			t.Errorf("exit status %d, want 6", code)
		}
	})

	t.Run("killed with its context", func(t *testing.T) {
		short, cancel := context.WithCancel(ctx)
		var out safeBuffer
		done := make(chan error, 1)
		go func() {
			_, err := h.Runtime.Exec(short, "c", workload.ExecSpec{Command: []string{"sh", "-c", "echo here; exec sleep 12345"}}, ctrd.ExecIO{Stdout: &out})
			done <- err
		}()
		runtimetest.Eventually(t, 10*time.Second, "exec runs", func() bool { return out.String() == "here\n" })
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		_, ps, _, err := run(workload.ExecSpec{Command: []string{"ps"}}, "")
		if err != nil || strings.Contains(ps, "12345") {
			t.Errorf("the command still runs: %v\n%s", err, ps)
		}
	})

	t.Run("stopped container", func(t *testing.T) {
		if _, err := h.Runtime.Stop(ctx, "c", workload.StopOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := run(workload.ExecSpec{Command: []string{"true"}}, ""); !errors.Is(err, workload.ErrNotRunning) {
			t.Errorf("got %v, want ErrNotRunning", err)
		}
	})
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}
func (s *safeBuffer) String() string { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }
