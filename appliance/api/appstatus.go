package api

import (
	"fmt"

	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// tally counts how the containers of some services stand to what is asked.
type tally struct {
	services, desired, running int // running: of any revision
	stopped                    int // services, or single containers, that were asked to stop
	current                    int // run as asked
	completed                  int // ended by themselves with 0 and stay so
	failed                     int // cannot run, or ended with an error
	ending                     int // still run, and should not
	conditions                 []model.Condition
	ports                      []model.Port
}

// add counts one service.
func (t *tally) add(v *state.View, svc *model.Service, appStopped bool) {
	t.services++
	t.ports = append(t.ports, svc.Ports...)
	t.conditions = append(t.conditions, svc.Status.Conditions...)
	halted := appStopped || svc.Stopped || svc.Removing
	if halted {
		t.stopped++
	} else {
		t.desired += svc.Spec.Replicas
	}
	for c := range v.ContainersOfService(svc.ID) {
		t.container(c, svc, halted)
	}
}

func (t *tally) container(c *model.Container, svc *model.Service, halted bool) {
	st := &c.Status
	runs := st.Phase == model.PhaseRunning || st.Phase == model.PhaseStopping
	if st.Phase == model.PhaseRunning {
		t.running++
	}
	switch {
	case halted || c.Assign.Remove || c.Intent.Stopped:
		if runs {
			t.ending++
		}
		if c.Intent.Stopped && !halted && !c.Assign.Remove {
			t.desired-- // its user stopped this one
			t.stopped++
		}
	case c.Revision != svc.Revision || st.Restarts < c.Intent.Restarts:
		// to be replaced or started again: on the way
	case st.Phase == model.PhaseRunning:
		t.current++
	case st.Phase == model.PhaseExited && st.ExitCode != nil && *st.ExitCode == 0:
		t.completed++
	case st.Phase == model.PhaseFailed, st.Phase == model.PhaseExited, st.Phase == model.PhaseBackoff && st.Failures > 0:
		t.failed++
		t.conditions = append(t.conditions, whyFailed(c)...)
	}
}

// whyFailed is what a container says about itself, or its exit code.
func whyFailed(c *model.Container) []model.Condition {
	if len(c.Status.Conditions) > 0 {
		return c.Status.Conditions
	}
	if c.Status.ExitCode == nil {
		return nil
	}
	reason, message := "Exited", fmt.Sprintf("container %s ended with exit code %d; its log may say why", c.Name, *c.Status.ExitCode)
	if c.Status.OOMKilled {
		reason, message = "OutOfMemory", fmt.Sprintf("container %s was killed because it used more than its memory limit; raise the limit", c.Name)
	}
	return []model.Condition{{Type: "Running", Reason: reason, Message: message, Since: c.Status.FinishedAt}}
}

// phase sums the tally up.
func (t *tally) phase(removing bool) (AppPhase, string) {
	n := max(t.desired, 0)
	switch {
	case removing:
		return AppPhaseRemoving, "being removed"
	case n == 0 && t.ending > 0:
		return AppPhaseStopping, fmt.Sprintf("stopping; %s still running", containers(t.ending))
	case n == 0:
		return AppPhaseStopped, "stopped"
	case t.current == n:
		return AppPhaseRunning, fmt.Sprintf("running, %d of %d", n, n)
	case t.current+t.completed+t.failed < n:
		return AppPhaseStarting, fmt.Sprintf("starting, %d of %d running", t.current, n)
	case t.failed > 0 && t.current > 0:
		return AppPhaseDegraded, fmt.Sprintf("%d of %d running, %d cannot", t.current, n, t.failed)
	case t.failed > 0:
		return AppPhaseFailed, fmt.Sprintf("failed: %s cannot run", containers(t.failed))
	case t.current > 0:
		return AppPhaseRunning, fmt.Sprintf("running, %d of %d; the others completed", t.current, n)
	default:
		return AppPhaseCompleted, "completed"
	}
}

func containers(n int) string {
	if n == 1 {
		return "1 container"
	}
	return fmt.Sprintf("%d containers", n)
}

// settled says whether a phase stays as it is until somebody does something.
func settled(p AppPhase) bool {
	return p != AppPhaseStarting && p != AppPhaseStopping && p != AppPhaseRemoving
}

func appTally(v *state.View, a *model.App) *tally {
	t := &tally{}
	for svc := range v.ServicesOf(a.ID) {
		t.add(v, svc, a.Spec.Stopped)
	}
	return t
}

// app is an app with its status.
func app(v *state.View, a *model.App) App {
	t := appTally(v, a)
	phase, message := t.phase(a.Removing)
	return App{
		ID: a.ID, Name: a.Name, Version: a.Version, CreatedAt: a.CreatedAt, UpdatedAt: a.UpdatedAt,
		TenantID: a.TenantID, EnvironmentID: a.EnvironmentID, Revision: a.Revision, Spec: a.Spec, Removing: a.Removing,
		Status: AppStatus{Phase: phase, Message: message, Services: t.services, Desired: max(t.desired, 0), Running: t.running,
			Ports: t.ports, Conditions: t.conditions},
	}
}
