package agent

import (
	"testing"
	"time"

	"github.com/skerryhq/skerry/runtime/workload"
)

// What ended because the node did begins again; what ended before, and what
// began after, does not.
func TestJudge(t *testing.T) {
	end := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(seconds int) time.Time { return end.Add(time.Duration(seconds) * time.Second) }
	for name, c := range map[string]struct {
		ended            time.Time
		started, stopped time.Time
		want             workload.Reason
	}{
		"ended with the node":  {end, at(-10), at(1), workload.ReasonLost},
		"ended before":         {end, at(-10), at(-1), workload.ReasonExited},
		"began afterwards":     {end, at(5), at(9), workload.ReasonExited},
		"the node never ended": {time.Time{}, at(-10), at(1), workload.ReasonExited},
	} {
		a := &Agent{cfg: Config{EndedAt: c.ended}}
		s := a.judge(workload.State{Phase: workload.PhaseStopped, Reason: workload.ReasonExited, StartedAt: c.started, FinishedAt: c.stopped})
		if s.Reason != c.want {
			t.Errorf("%s: got %q, want %q", name, s.Reason, c.want)
		}
	}
	running := workload.State{Phase: workload.PhaseRunning, StartedAt: at(-10)}
	if got := (&Agent{cfg: Config{EndedAt: end}}).judge(running); got.Reason != workload.ReasonNone {
		t.Errorf("a running one: got %q", got.Reason)
	}
}
