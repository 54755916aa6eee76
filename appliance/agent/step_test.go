package agent

import (
	"testing"
	"time"

	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/runtime/workload"
)

func TestNext(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	running := seen{made: true, state: workload.State{Phase: workload.PhaseRunning}}
	created := seen{made: true, state: workload.State{Phase: workload.PhaseCreated}}
	exit := func(code int) seen {
		return seen{made: true, state: workload.State{Phase: workload.PhaseStopped, ExitCode: code, Reason: workload.ReasonExited}}
	}
	lost := seen{made: true, state: workload.State{Phase: workload.PhaseStopped, ExitCode: 255, Reason: workload.ReasonLost}}

	policy := func(p model.RestartPolicy, most int) func(*model.Container) {
		return func(c *model.Container) { c.Spec.Restart, c.Spec.RestartMax = p, most }
	}
	remove := func(c *model.Container) { c.Assign.Remove = true }
	stopped := func(c *model.Container) { c.Intent.Stopped = true }
	again := func(c *model.Container) { c.Intent.Restarts = 1 }
	status := func(p model.Phase, task uint64) model.ContainerStatus {
		return model.ContainerStatus{Phase: p, Task: task}
	}
	later := status(model.PhaseBackoff, 1)
	later.RetryAt = now.Add(3 * time.Second)
	muchLater := status(model.PhaseBackoff, 1)
	muchLater.RetryAt = now.Add(1000 * time.Hour)
	longest := status(model.PhaseBackoff, 10)
	longest.RetryAt = now.Add(pause(1000))
	failedMuchLater := status(model.PhaseFailed, 1)
	failedMuchLater.RetryAt = now.Add(backOffMost + time.Millisecond)
	tired := status(model.PhaseRunning, 1)
	tired.Failures = 2

	for _, c := range []struct {
		name string
		ask  func(*model.Container)
		st   model.ContainerStatus
		seen seen
		want step
		wait time.Duration
	}{
		{"new", nil, status(model.PhasePending, 0), seen{}, stepStart, 0},
		{"made by a daemon that died then", nil, status(model.PhasePreparing, 0), created, stepStart, 0},
		{"adopted while it runs", nil, status(model.PhaseStarting, 1), running, stepSettle, 0},
		{"runs as asked", nil, status(model.PhaseRunning, 1), running, stepNone, 0},

		{"ended, policy no", nil, status(model.PhaseRunning, 1), exit(0), stepSettle, 0},
		{"ended and known", nil, status(model.PhaseExited, 1), exit(0), stepNone, 0},
		{"ended well, on failure", policy(model.RestartOnFailure, 0), status(model.PhaseRunning, 1), exit(0), stepSettle, 0},
		{"ended badly, on failure", policy(model.RestartOnFailure, 0), status(model.PhaseRunning, 1), exit(1), stepBackOff, 0},
		{"ended badly too often", policy(model.RestartOnFailure, 2), tired, exit(1), stepSettle, 0},
		{"ended well, always", policy(model.RestartAlways, 0), status(model.PhaseRunning, 1), exit(0), stepBackOff, 0},
		{"back-off not over", policy(model.RestartAlways, 0), later, exit(1), stepNone, 3 * time.Second},
		{"longest back-off", policy(model.RestartAlways, 0), longest, exit(1), stepNone, time.Minute},
		{"clock jumped back", policy(model.RestartAlways, 0), muchLater, exit(1), stepStart, 0},
		{"clock jumped back, never began", policy(model.RestartAlways, 0), failedMuchLater, created, stepStart, 0},
		{"back-off over", policy(model.RestartAlways, 0), status(model.PhaseBackoff, 1), exit(1), stepStart, 0},
		{"restart cuts the back-off short", again, later, exit(1), stepStart, 0},

		{"lost with the host, policy no", nil, status(model.PhaseRunning, 1), lost, stepStart, 0},
		{"lost with engine data", nil, status(model.PhaseRunning, 1), seen{}, stepStart, 0},

		{"stop", stopped, status(model.PhaseRunning, 1), running, stepStop, 0},
		{"stopped", stopped, status(model.PhaseStopping, 1), exit(143), stepSettle, 0},
		{"stopped and known", stopped, status(model.PhaseExited, 1), exit(143), stepNone, 0},
		{"never started, stopped", stopped, status(model.PhasePending, 0), seen{}, stepSettle, 0},
		{"start after stop", again, status(model.PhaseExited, 1), exit(143), stepStart, 0},
		{"stopped, then host lost it", stopped, status(model.PhaseRunning, 1), lost, stepSettle, 0},

		{"restart", again, status(model.PhaseRunning, 1), running, stepStop, 0},
		{"restart, second half", again, status(model.PhaseStopping, 1), exit(0), stepStart, 0},

		{"remove a running one", remove, status(model.PhaseRunning, 1), running, stepStop, 0},
		{"remove an ended one", remove, status(model.PhaseExited, 1), exit(0), stepRemove, 0},
		{"remove what was never made", remove, status(model.PhasePending, 0), seen{}, stepRemove, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &model.Container{Spec: model.ContainerSpec{Restart: model.RestartNo}}
			if c.ask != nil {
				c.ask(m)
			}
			do, wait := next(m, c.st, c.seen, now)
			if do != c.want || wait != c.wait {
				t.Fatalf("got %s in %s, want %s in %s", do, wait, c.want, c.wait)
			}
		})
	}
}

func TestPauseDoublesAndIsBounded(t *testing.T) {
	for failures, want := range map[int]time.Duration{0: 100 * time.Millisecond, 1: 200 * time.Millisecond, 5: 3200 * time.Millisecond, 9: 51200 * time.Millisecond, 10: time.Minute, 1000000: time.Minute} {
		if got := pause(failures); got != want {
			t.Errorf("after %d failures: %s, want %s", failures, got, want)
		}
	}
}
