package agent

import (
	"testing"
	"time"

	"github.com/skerryhq/skerry/runtime/workload"
)

// TestLateNewsOfAnExit tells keepers about exits at every moment around a
// start: an exit ends the task that it is about and no other.
func TestLateNewsOfAnExit(t *testing.T) {
	first := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	second := first.Add(time.Second)
	running := func(at time.Time) workload.State {
		return workload.State{Phase: workload.PhaseRunning, StartedAt: at}
	}
	over := func(at time.Time) workload.State {
		return workload.State{Phase: workload.PhaseStopped, StartedAt: at, FinishedAt: at.Add(time.Minute)}
	}
	for _, c := range []struct {
		name    string
		do      func(k *keeper)
		sure    bool
		running bool
	}{
		{"started", func(k *keeper) { k.beginning(); k.begun(running(second)) }, true, true},
		{"ended", func(k *keeper) { k.beginning(); k.begun(running(second)); k.exited(over(second)) }, true, false},
		{"ended before start returned", func(k *keeper) { k.beginning(); k.exited(over(second)); k.begun(running(second)) }, true, false},
		{"old news while starting", func(k *keeper) { k.beginning(); k.exited(over(first)); k.begun(running(second)) }, false, true},
		{"old news after starting", func(k *keeper) { k.beginning(); k.begun(running(second)); k.exited(over(first)) }, false, true},
		{"old news before starting", func(k *keeper) { k.exited(over(first)); k.beginning(); k.begun(running(second)) }, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := &keeper{poke: make(chan struct{}, 1), sure: true}
			c.do(k)
			if k.sure != c.sure || k.seen.running() != c.running {
				t.Errorf("sure %v, running %v; want %v, %v", k.sure, k.seen.running(), c.sure, c.running)
			}
		})
	}
}
