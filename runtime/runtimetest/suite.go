package runtimetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/skerryhq/skerry/runtime/workload"
)

// Runtime is what the conformance suite drives. The real one is *ctrd.Runtime; a
// fake that a test of another package uses must pass the same suite.
type Runtime interface {
	Create(ctx context.Context, spec workload.Spec) error
	Start(ctx context.Context, id workload.ID) error
	Stop(ctx context.Context, id workload.ID, opt workload.StopOptions) (workload.State, error)
	Kill(ctx context.Context, id workload.ID, signal string) error
	Wait(ctx context.Context, id workload.ID) (workload.State, error)
	Inspect(ctx context.Context, id workload.ID) (workload.State, error)
	List(ctx context.Context) ([]workload.State, error)
	Remove(ctx context.Context, id workload.ID) error
	Events(ctx context.Context, handle func(workload.Event)) error
}

// Subject is a runtime under test.
type Subject struct {
	Runtime Runtime
	// Image is the digest of an image with busybox (see BusyboxLayer).
	Image        string
	CgroupParent string
}

func (s Subject) spec(id, script string) workload.Spec {
	return workload.Spec{ID: workload.ID(id), ImageDigest: s.Image, Command: []string{"sh", "-c", script}, CgroupParent: s.CgroupParent}
}

// forever runs until it is told to stop, and obeys at once.
const forever = "trap 'exit 3' TERM; while :; do sleep 0.1; done"

// Conformance runs every case against the subject, one after the other.
func Conformance(t *testing.T, s Subject) {
	cases := []struct {
		name string
		run  func(*testing.T, Subject)
	}{
		{"exit code", exitCode}, {"start again keeps the container", startAgain}, {"stop", stop}, {"a signal right after the start", stopAtOnce}, {"stop kills after the grace", stopKills},
		{"kill", kill}, {"command not found", commandNotFound}, {"create twice", createTwice}, {"remove is idempotent", removeTwice},
		{"unknown container", unknown}, {"invalid specs", invalid}, {"events", eventsOfExit}, {"burst", burst},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.run(t, s) })
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// run creates and starts, and removes at the end.
func run(t *testing.T, s Subject, spec workload.Spec) context.Context {
	t.Helper()
	ctx := Context(t, time.Minute)
	t.Cleanup(func() {
		if err := s.Runtime.Remove(context.Background(), spec.ID); err != nil {
			t.Errorf("remove: %v", err)
		}
	})
	must(t, s.Runtime.Create(ctx, spec))
	must(t, s.Runtime.Start(ctx, spec.ID))
	return ctx
}

func exitCode(t *testing.T, s Subject) {
	for _, want := range []int{0, 1, 42, 255} {
		spec := s.spec(fmt.Sprintf("exit-%d", want), fmt.Sprintf("exit %d", want))
		ctx := run(t, s, spec)
		st, err := s.Runtime.Wait(ctx, spec.ID)
		must(t, err)
		if st.Phase != workload.PhaseStopped || st.ExitCode != want || st.Reason != workload.ReasonExited || st.OOMKilled {
			t.Errorf("exit %d: got %+v", want, st)
		}
		if st.StartedAt.IsZero() || st.FinishedAt.Before(st.StartedAt) {
			t.Errorf("exit %d: started %v, finished %v", want, st.StartedAt, st.FinishedAt)
		}
	}
}

func startAgain(t *testing.T, s Subject) {
	spec := s.spec("again", "test -e /tmp/mark && exit 5; touch /tmp/mark; exit 4")
	ctx := run(t, s, spec)
	st, err := s.Runtime.Wait(ctx, spec.ID)
	must(t, err)
	if st.ExitCode != 4 {
		t.Fatalf("first task: exit code %d, want 4", st.ExitCode)
	}
	must(t, s.Runtime.Start(ctx, spec.ID))
	st, err = s.Runtime.Wait(ctx, spec.ID)
	must(t, err)
	if st.ExitCode != 5 {
		t.Fatalf("second task: exit code %d, want 5: the layer was not kept", st.ExitCode)
	}
}

func stop(t *testing.T, s Subject) {
	out := NewOutput(t)
	spec := s.spec("stop", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.1; done")
	spec.Stdio = out.Stdio
	ctx := run(t, s, spec)
	Eventually(t, 10*time.Second, "the program listens to signals", func() bool { return out.Stdout() != "" })
	if err := s.Runtime.Start(ctx, spec.ID); !errors.Is(err, workload.ErrRunning) {
		t.Errorf("start while running: got %v, want ErrRunning", err)
	}
	st, err := s.Runtime.Inspect(ctx, spec.ID)
	must(t, err)
	if st.Phase != workload.PhaseRunning || st.PID == 0 {
		t.Fatalf("got %+v, want running", st)
	}
	st, err = s.Runtime.Stop(ctx, spec.ID, workload.StopOptions{Grace: 20 * time.Second})
	must(t, err)
	if st.Phase != workload.PhaseStopped || st.ExitCode != 3 {
		t.Errorf("got %+v, want stopped with 3", st)
	}
	again, err := s.Runtime.Stop(ctx, spec.ID, workload.StopOptions{Grace: time.Second})
	must(t, err)
	if again.ExitCode != 3 {
		t.Errorf("stop again: exit code %d, want 3", again.ExitCode)
	}
}

// stopAtOnce sends the signal while the program may not even be loaded: it must
// end by the signal or by the grace, never with the code of what starts it.
func stopAtOnce(t *testing.T, s Subject) {
	for i := range 5 {
		spec := s.spec(fmt.Sprintf("at-once-%d", i), "trap 'exit 3' TERM; while :; do sleep 0.1; done")
		ctx := run(t, s, spec)
		st, err := s.Runtime.Stop(ctx, spec.ID, workload.StopOptions{Grace: 300 * time.Millisecond})
		must(t, err)
		if st.ExitCode != 3 && st.ExitCode != 137 {
			t.Errorf("exit code %d, want 3 or 137", st.ExitCode)
		}
	}
}

func stopKills(t *testing.T, s Subject) {
	spec := s.spec("stubborn", "trap '' TERM; while :; do sleep 0.1; done")
	ctx := run(t, s, spec)
	st, err := s.Runtime.Stop(ctx, spec.ID, workload.StopOptions{Grace: 300 * time.Millisecond})
	must(t, err)
	if st.Phase != workload.PhaseStopped || st.ExitCode != 128+int(syscall.SIGKILL) {
		t.Errorf("got %+v, want stopped with 137", st)
	}
}

func kill(t *testing.T, s Subject) {
	spec := s.spec("kill", forever)
	ctx := run(t, s, spec)
	if err := s.Runtime.Kill(ctx, spec.ID, "SIGNOSUCH"); !errors.Is(err, workload.ErrInvalid) {
		t.Errorf("unknown signal: got %v, want ErrInvalid", err)
	}
	must(t, s.Runtime.Kill(ctx, spec.ID, "KILL"))
	st, err := s.Runtime.Wait(ctx, spec.ID)
	must(t, err)
	if st.ExitCode != 137 {
		t.Errorf("exit code %d, want 137", st.ExitCode)
	}
	if err := s.Runtime.Kill(ctx, spec.ID, "KILL"); !errors.Is(err, workload.ErrNotRunning) {
		t.Errorf("kill when stopped: got %v, want ErrNotRunning", err)
	}
}

func commandNotFound(t *testing.T, s Subject) {
	for _, c := range []struct {
		id, command string
		code        int
		reason      workload.Reason
		want        error
	}{
		{"missing", "no-such-program", 127, workload.ReasonNotFound, workload.ErrCommandNotFound},
		{"missing-path", "/no/such/program", 127, workload.ReasonNotFound, workload.ErrCommandNotFound},
		{"plain", "/etc/plain", 126, workload.ReasonNotExec, workload.ErrNotExecutable},
		{"dir", "/etc", 126, workload.ReasonNotExec, workload.ErrNotExecutable},
	} {
		ctx := Context(t, time.Minute)
		spec := s.spec(c.id, "")
		spec.Command = []string{c.command}
		t.Cleanup(func() { must(t, s.Runtime.Remove(context.Background(), spec.ID)) })
		must(t, s.Runtime.Create(ctx, spec))
		err := s.Runtime.Start(ctx, spec.ID)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.command, err, c.want)
		}
		st, err := s.Runtime.Inspect(ctx, spec.ID)
		must(t, err)
		if st.Phase != workload.PhaseStopped || st.ExitCode != c.code || st.Reason != c.reason || !strings.Contains(st.Message, c.command) {
			t.Errorf("%s: got %+v, want exit code %d", c.command, st, c.code)
		}
	}
}

func createTwice(t *testing.T, s Subject) {
	ctx := Context(t, time.Minute)
	spec := s.spec("twice", "exit 0")
	t.Cleanup(func() { must(t, s.Runtime.Remove(context.Background(), spec.ID)) })
	must(t, s.Runtime.Create(ctx, spec))
	must(t, s.Runtime.Create(ctx, spec))
	st, err := s.Runtime.Inspect(ctx, spec.ID)
	must(t, err)
	if st.Phase != workload.PhaseCreated {
		t.Errorf("phase %q, want created", st.Phase)
	}
	other := spec
	other.Command = []string{"sh", "-c", "exit 1"}
	if err := s.Runtime.Create(ctx, other); !errors.Is(err, workload.ErrExists) {
		t.Errorf("another spec: got %v, want ErrExists", err)
	}
}

func removeTwice(t *testing.T, s Subject) {
	spec := s.spec("gone", forever)
	ctx := run(t, s, spec)
	must(t, s.Runtime.Remove(ctx, spec.ID)) // while it runs
	must(t, s.Runtime.Remove(ctx, spec.ID))
	if _, err := s.Runtime.Inspect(ctx, spec.ID); !errors.Is(err, workload.ErrNotFound) {
		t.Errorf("after removal: got %v, want ErrNotFound", err)
	}
}

func unknown(t *testing.T, s Subject) {
	ctx := Context(t, time.Minute)
	if err := s.Runtime.Start(ctx, "nobody"); !errors.Is(err, workload.ErrNotFound) {
		t.Errorf("start: got %v, want ErrNotFound", err)
	}
	if _, err := s.Runtime.Stop(ctx, "nobody", workload.StopOptions{}); !errors.Is(err, workload.ErrNotFound) {
		t.Errorf("stop: got %v, want ErrNotFound", err)
	}
	if err := s.Runtime.Kill(ctx, "nobody", ""); !errors.Is(err, workload.ErrNotFound) {
		t.Errorf("kill: got %v, want ErrNotFound", err)
	}
	spec := s.spec("no-image", "exit 0")
	spec.ImageDigest = "sha256:" + strings.Repeat("0", 64)
	if err := s.Runtime.Create(ctx, spec); !errors.Is(err, workload.ErrNoImage) {
		t.Errorf("create without image: got %v, want ErrNoImage", err)
	}
}

func invalid(t *testing.T, s Subject) {
	ctx := Context(t, time.Minute)
	for name, change := range map[string]func(*workload.Spec){
		"id":       func(w *workload.Spec) { w.ID = "../x" },
		"user":     func(w *workload.Spec) { w.User = "nobody-here" },
		"memory":   func(w *workload.Spec) { w.Resources.MemoryBytes = 1 },
		"mount":    func(w *workload.Spec) { w.Mounts = []workload.Mount{{Source: "/tmp/../etc", Destination: "/x"}} },
		"caps":     func(w *workload.Spec) { w.CapAdd = []string{"NO_SUCH"} },
		"env":      func(w *workload.Spec) { w.Env = []string{"novalue"} },
		"tmpfs":    func(w *workload.Spec) { w.Tmpfs = map[string]string{"/x": "bogus=1"} },
		"reserved": func(w *workload.Spec) { w.Labels = map[string]string{"skerry.task": "{}"} },
	} {
		spec := s.spec("invalid", "exit 0")
		change(&spec)
		if err := s.Runtime.Create(ctx, spec); !errors.Is(err, workload.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
	if _, err := s.Runtime.Inspect(ctx, "invalid"); !errors.Is(err, workload.ErrNotFound) {
		t.Errorf("something was made: %v", err)
	}
}

func eventsOfExit(t *testing.T, s Subject) {
	ctx, cancel := context.WithCancel(Context(t, time.Minute))
	ready, exits := make(chan struct{}, 8), make(chan workload.Event, 8)
	ended := make(chan error, 1)
	go func() {
		ended <- s.Runtime.Events(ctx, func(e workload.Event) {
			switch {
			case e.Kind == workload.EventResync:
				ready <- struct{}{}
			case e.Kind == workload.EventExit && e.ID == "evented":
				exits <- e
			}
		})
	}()
	<-ready
	spec := s.spec("evented", "exit 9")
	run(t, s, spec)
	select {
	case e := <-exits:
		if e.State.ExitCode != 9 || e.State.Phase != workload.PhaseStopped {
			t.Errorf("got %+v, want exit code 9", e.State)
		}
	case <-ctx.Done():
		t.Error("no exit event came")
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Events returned %v, want context.Canceled", err)
	}
}

func burst(t *testing.T, s Subject) {
	ctx := Context(t, 2*time.Minute)
	const count, parallel = 20, 8
	each := func(f func(id string) error) {
		t.Helper()
		tokens := make(chan struct{}, parallel)
		var wg sync.WaitGroup
		for i := range count {
			wg.Go(func() {
				tokens <- struct{}{}
				defer func() { <-tokens }()
				if err := f(fmt.Sprintf("burst-%d", i)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	begin := time.Now()
	each(func(id string) error {
		if err := s.Runtime.Create(ctx, s.spec(id, forever)); err != nil {
			return err
		}
		return s.Runtime.Start(ctx, workload.ID(id))
	})
	up := time.Since(begin)
	all, err := s.Runtime.List(ctx)
	must(t, err)
	running := 0
	for _, st := range all {
		if st.Phase == workload.PhaseRunning {
			running++
		}
	}
	if running != count {
		t.Errorf("%d containers run, want %d", running, count)
	}
	begin = time.Now()
	each(func(id string) error { return s.Runtime.Remove(ctx, workload.ID(id)) })
	t.Logf("%d containers up in %v, removed in %v", count, up, time.Since(begin))
}
