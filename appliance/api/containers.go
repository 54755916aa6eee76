package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

const defaultWaitSeconds = 60

// ListContainers lists containers.
func (s *Server) ListContainers(c *gin.Context, q ListContainersParams) {
	r := of(c)
	p, err := page(q.Limit, q.Cursor)
	if err != nil {
		s.fail(c, err)
		return
	}
	keep, err := containerFilter(r, q)
	if err != nil {
		s.fail(c, err)
		return
	}
	l, err := r.view.ListContainers(r.scope, p, keep)
	for i, o := range l.Items {
		l.Items[i] = seen(r.view, o)
	}
	s.reply(c, http.StatusOK, ContainerList{Items: values(l.Items), NextCursor: l.Next}, err)
}

// seen is a container as far as it can be known: what its node said last may be
// long ago when the node is down. The status stays the node's; a condition before
// all others says that nobody knows.
func seen(v *state.View, o *model.Container) *model.Container {
	n, ok := v.Node(o.Assign.NodeID)
	if !ok || !n.Down() {
		return o
	}
	out := *o
	out.Status.Conditions = append([]model.Condition{{Type: "Ready", Reason: "NodeDown", Since: n.Health.Since,
		Message: "how it is, is not known: its node " + n.Name + " is down: " + n.Health.Reason}}, o.Status.Conditions...)
	return &out
}

func containerFilter(r *request, q ListContainersParams) (func(*model.Container) bool, error) {
	inApp, err := appFilter(r, q.App)
	if err != nil {
		return nil, err
	}
	serviceID := ""
	if q.Service != "" && q.App == "" {
		svc, err := findService(r.view, r.scope, q.Service)
		if err != nil {
			return nil, err
		}
		serviceID = svc.ID
	}
	nodeID := ""
	if q.Node != "" {
		n, err := r.view.FindNode(q.Node)
		if err != nil {
			return nil, err
		}
		nodeID = n.ID
	}
	return func(o *model.Container) bool {
		return r.sees(o.TenantID) && inApp(o.AppID) && strings.Contains(o.Name, q.Name) &&
			(serviceID == "" || o.ServiceID == serviceID) &&
			(q.Service == "" || serviceID != "" || o.ServiceName == q.Service || o.ServiceID == q.Service) &&
			(nodeID == "" || o.Assign.NodeID == nodeID) &&
			(len(q.Phase) == 0 || slices.Contains(q.Phase, o.Status.Phase))
	}, nil
}

// GetContainer shows a container.
func (s *Server) GetContainer(c *gin.Context, ref Ref, _ GetContainerParams) {
	r := of(c)
	o, err := r.view.FindContainer(r.scope, ref)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.object(c, http.StatusOK, o.Version, seen(r.view, o))
}

// DeleteContainer removes a container.
func (s *Server) DeleteContainer(c *gin.Context, ref Ref, q DeleteContainerParams) {
	o, version, err := findContainer(c, ref, q.IfMatch, q.Wait)
	if err != nil {
		s.fail(c, err)
		return
	}
	patient(c)
	err = s.ops.RemoveContainer(c.Request.Context(), of(c).caller, o.ID, version, q.Force)
	if err == nil {
		err = s.waitGone(c.Request.Context(), q.Wait, func(v *state.View) bool { _, ok := v.Container(o.ID); return ok })
	}
	s.replyDone(c, http.StatusAccepted, err)
}

// findContainer finds the container of a write and reads If-Match.
func findContainer(c *gin.Context, ref, ifMatch string, wait int) (*model.Container, uint64, error) {
	r := of(c)
	version, err := expect(ifMatch)
	if err == nil {
		err = checkWait(wait)
	}
	if err != nil {
		return nil, 0, err
	}
	o, err := r.view.FindContainer(r.scope, ref)
	return o, version, err
}

// StartContainer starts a stopped container.
func (s *Server) StartContainer(c *gin.Context, ref Ref, q StartContainerParams) {
	s.intend(c, ref, q.IfMatch, q.Wait, command.ActionStart, StopInput{})
}

// StopContainer stops a container.
func (s *Server) StopContainer(c *gin.Context, ref Ref, q StopContainerParams) {
	var in StopInput
	if err := decodeOptional(c, &in); err != nil {
		s.fail(c, err)
		return
	}
	s.intend(c, ref, q.IfMatch, q.Wait, command.ActionStop, in)
}

// RestartContainer stops a container and starts it again.
func (s *Server) RestartContainer(c *gin.Context, ref Ref, q RestartContainerParams) {
	var in StopInput
	if err := decodeOptional(c, &in); err != nil {
		s.fail(c, err)
		return
	}
	s.intend(c, ref, q.IfMatch, q.Wait, command.ActionRestart, in)
}

// intend writes what the user asks of one container, and waits if asked.
func (s *Server) intend(c *gin.Context, ref, ifMatch string, wait int, action command.Action, in StopInput) {
	o, version, err := findContainer(c, ref, ifMatch, wait)
	if err == nil {
		err = checkVersion(version, o.Version)
	}
	intent := &command.SetIntent{Head: command.By(of(c).caller.Origin), Action: action}
	if err == nil {
		intent.ContainerID, intent.Signal = o.ID, in.Signal
		err = stopping(intent, in)
	}
	if err == nil {
		patient(c)
		_, err = s.cluster.Propose(c.Request.Context(), intent)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	now, err := s.waitContainer(c.Request.Context(), o.ID, wait)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.object(c, http.StatusOK, now.Version, now)
}

// stopping fills in signal and grace; the command counts 0 as "the container's"
// and -1 as "none".
func stopping(intent *command.SetIntent, in StopInput) error {
	if err := checkSignal(in.Signal); err != nil {
		return err
	}
	switch {
	case in.GraceSeconds == nil:
	case *in.GraceSeconds < 0 || *in.GraceSeconds > 86400:
		return invalid("grace_invalid", "the grace is %d seconds; use 0 to 86400", *in.GraceSeconds).At("graceSeconds")
	case *in.GraceSeconds == 0:
		intent.GraceSecs = -1
	default:
		intent.GraceSecs = *in.GraceSeconds
	}
	return nil
}

// checkSignal accepts SIGTERM, TERM and 15.
func checkSignal(name string) error {
	short := strings.TrimPrefix(strings.ToUpper(name), "SIG")
	if name == "" || slices.Contains(signals, short) {
		return nil
	}
	var n int
	if _, err := fmt.Sscanf(name, "%d", &n); err == nil && n >= 1 && n <= 64 && fmt.Sprint(n) == name {
		return nil
	}
	if rest, ok := strings.CutPrefix(short, "RTMIN"); ok && (rest == "" || rest[0] == '+') {
		return nil
	}
	return invalid("signal_unknown", "%q is no signal; use a name such as SIGTERM or a number from 1 to 64", name).At("signal")
}

var signals = strings.Fields(`HUP INT QUIT ILL TRAP ABRT IOT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CLD
	CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO POLL PWR SYS UNUSED RTMAX`)

// waitContainer waits until a container does what its intent says.
func (s *Server) waitContainer(ctx context.Context, id string, wait int) (*model.Container, error) {
	read := func(v *state.View) (*model.Container, error) {
		if o, ok := v.Container(id); ok {
			return o, nil
		}
		return nil, notFound("container", id)
	}
	if wait == 0 {
		return read(s.cluster.View())
	}
	return until(ctx, s, wait, read, func(o *model.Container) bool {
		switch o.Status.Phase {
		case model.PhaseExited, model.PhaseFailed, model.PhaseBackoff:
			return o.Intent.Stopped || o.Status.Restarts >= o.Intent.Restarts
		case model.PhaseRunning:
			return !o.Intent.Stopped && o.Status.Restarts >= o.Intent.Restarts
		default:
			return false
		}
	})
}

// KillContainer sends a signal. SIGKILL also tells the cluster that the
// container is meant to be stopped; any other is only delivered.
func (s *Server) KillContainer(c *gin.Context, ref Ref, _ KillContainerParams) {
	var in KillInput
	err := decodeOptional(c, &in)
	if err == nil {
		err = checkSignal(in.Signal)
	}
	r := of(c)
	o, ferr := r.view.FindContainer(r.scope, ref)
	if err == nil {
		err = ferr
	}
	if err == nil && o.Status.Phase != model.PhaseRunning {
		err = notRunning(o)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	switch strings.TrimPrefix(strings.ToUpper(in.Signal), "SIG") {
	case "", "KILL", "9":
		_, err = s.cluster.Propose(c.Request.Context(), &command.SetIntent{Head: command.By(r.caller.Origin), ContainerID: o.ID, Action: command.ActionKill})
	default:
		s.record(r, "container.signal", "", command.Ref{Kind: "container", ID: o.ID, Name: o.Name})
		err = s.runtime.Signal(c.Request.Context(), o, in.Signal)
	}
	s.replyDone(c, http.StatusNoContent, err)
}

func notRunning(o *model.Container) error {
	return model.Errorf(model.KindConflict, "container_not_running", "the container %q is not running (%s); start it first", o.Name, o.Status.Phase)
}

// WaitContainer waits until a container has ended.
func (s *Server) WaitContainer(c *gin.Context, ref Ref, q WaitContainerParams) {
	r := of(c)
	if q.TimeoutSeconds == 0 {
		q.TimeoutSeconds = defaultWaitSeconds
	}
	o, err := r.view.FindContainer(r.scope, ref)
	if err == nil {
		err = checkWait(q.TimeoutSeconds)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	patient(c)
	last := *o
	out, err := until(c.Request.Context(), s, q.TimeoutSeconds, func(v *state.View) (WaitResult, error) {
		now, ok := v.Container(o.ID)
		if ok {
			last = *now
		}
		return waitResult(&last, !ok), nil
	}, func(w WaitResult) bool { return w.Exited })
	s.reply(c, http.StatusOK, out, err)
}

// waitResult says whether a container has ended for good: it is gone, or it
// will not be started again by its policy.
func waitResult(o *model.Container, removed bool) WaitResult {
	st := &o.Status
	over := (st.Phase == model.PhaseExited || st.Phase == model.PhaseFailed) && st.Restarts >= o.Intent.Restarts
	return WaitResult{Exited: removed || over, Removed: removed, ExitCode: st.ExitCode, OomKilled: st.OOMKilled, Phase: st.Phase, Conditions: st.Conditions}
}
