package agent

import (
	"time"

	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/runtime/workload"
)

// step is one thing to do for one container.
type step string

const (
	stepNone    step = "none"    // as asked; wait for news
	stepStart   step = "start"   // prepare what is missing and begin a task
	stepStop    step = "stop"    // end the running task, the polite way first
	stepRemove  step = "remove"  // nothing runs: give everything back
	stepSettle  step = "settle"  // write down what is seen: an exit, or a task that runs
	stepBackOff step = "backoff" // the task ended and will be begun again later
)

// Bounds of the pause between the end of a task and the next one. A task that
// ran for calmAfter counts as a new beginning.
const (
	backOffFirst = 100 * time.Millisecond
	backOffMost  = time.Minute
	calmAfter    = 10 * time.Second
)

// seen is what the engine says about a container: nothing (not made yet), or
// its state.
type seen struct {
	made  bool
	state workload.State
}

func (s seen) running() bool {
	return s.made && (s.state.Phase == workload.PhaseRunning || s.state.Phase == workload.PhasePaused)
}

// ended reports whether a task of this container has ended and how is known.
func (s seen) ended() bool {
	return s.made && s.state.Phase == workload.PhaseStopped && s.state.Reason != workload.ReasonLost
}

// next decides the one next step for a container: c is what is asked, st the
// status that this agent holds (it may be newer than the replicated one). It is
// pure; wait is how long to sleep before asking again, 0 for "until news".
func next(c *model.Container, st model.ContainerStatus, s seen, now time.Time) (do step, wait time.Duration) {
	switch {
	case c.Assign.Remove && s.running():
		return stepStop, 0
	case c.Assign.Remove:
		return stepRemove, 0
	case c.Intent.Stopped && s.running():
		return stepStop, 0
	case c.Intent.Stopped && st.Phase == model.PhaseExited:
		return stepNone, 0
	case c.Intent.Stopped:
		return stepSettle, 0
	case s.running() && st.Task > 0 && st.Restarts < c.Intent.Restarts:
		return stepStop, 0
	case s.running() && st.Phase == model.PhaseRunning:
		return stepNone, 0
	case s.running():
		return stepSettle, 0
	}
	// Nothing runs, and something should.
	fresh := st.Task == 0 || st.Restarts < c.Intent.Restarts
	switch st.Phase {
	case model.PhaseBackoff, model.PhaseFailed:
		// No pause is longer than backOffMost. One that seems to be comes of a clock
		// that was ahead when it was written down, and nobody knows what is left of it.
		if pause := st.RetryAt.Sub(now); pause > 0 && pause <= backOffMost && !fresh {
			return stepNone, pause
		}
		return stepStart, 0
	case model.PhaseExited:
		if fresh {
			return stepStart, 0
		}
		return stepNone, 0
	case model.PhaseRunning, model.PhaseStopping, model.PhaseStarting:
		switch {
		case fresh:
			return stepStart, 0
		case s.ended() && restarts(c.Spec, s.state.ExitCode, st.Failures):
			return stepBackOff, 0
		case s.ended():
			return stepSettle, 0
		}
		// It vanished with its host or its engine; nobody asked for that.
		return stepStart, 0
	default:
		return stepStart, 0
	}
}

// restarts applies the restart policy to a task that ended by itself.
func restarts(spec model.ContainerSpec, exitCode, failures int) bool {
	switch spec.Restart {
	case model.RestartAlways:
		return true
	case model.RestartOnFailure:
		return exitCode != 0 && (spec.RestartMax == 0 || failures < spec.RestartMax)
	default:
		return false
	}
}

// pause is the back-off before attempt number failures+1.
func pause(failures int) time.Duration {
	d := backOffFirst
	for range failures {
		if d *= 2; d >= backOffMost {
			return backOffMost
		}
	}
	return d
}
