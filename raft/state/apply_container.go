package state

import (
	"fmt"
	"net/netip"
	"reflect"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

func (t *tx) setIntent(c *command.SetIntent) *model.Error {
	old, ok := t.v.Container(c.ContainerID)
	if !ok {
		return notFound("container", c.ContainerID)
	}
	if old.Assign.Remove {
		return model.Errorf(model.KindConflict, "container_removing", "container %s is being removed", old.Name)
	}
	if c.Action == command.ActionStart || c.Action == command.ActionRestart {
		if err := t.checkMayRun(old); err != nil {
			return err
		}
	}
	n := *old
	reason := ""
	switch c.Action {
	case command.ActionStop:
		n.Intent.Stopped, n.Intent.Signal, n.Intent.GraceSecs = true, c.Signal, c.GraceSecs
		reason = "Stop"
	case command.ActionKill:
		n.Intent.Stopped, n.Intent.Signal, n.Intent.GraceSecs = true, c.Signal, -1
		if c.Signal == "" {
			n.Intent.Signal = "SIGKILL"
		}
		reason = "Kill"
	case command.ActionRestart:
		n.Intent.Stopped, n.Intent.Signal, n.Intent.GraceSecs = false, c.Signal, c.GraceSecs
		n.Intent.Restarts++
		reason = "Restart"
	case command.ActionStart:
		t.start(old)
		return nil
	default:
		return model.Errorf(model.KindInvalid, "action_invalid", "a container can be asked to stop, start, restart or kill, not to %q", c.Action).At("action")
	}
	t.updated(&n.Meta)
	t.replace(tabContainers, old, &n)
	t.containerEvent(&n, reason, false, fmt.Sprintf("%s asked container %s to %s", t.origin.Actor, n.Name, c.Action))
	return nil
}

// checkMayRun refuses to start one container of an app or service that is
// stopped as a whole.
func (t *tx) checkMayRun(c *model.Container) *model.Error {
	if a, ok := t.v.App(c.AppID); ok && a.Spec.Stopped {
		return model.Errorf(model.KindConflict, "app_stopped", "app %s is stopped as a whole; start it first", a.Name)
	}
	if s, ok := t.v.Service(c.ServiceID); ok && s.Stopped {
		return model.Errorf(model.KindConflict, "service_stopped", "service %s of app %s is stopped as a whole; start it first", s.Name, s.AppName)
	}
	return nil
}

// start makes a container run again: a stop is taken back, and a task that has
// ended (or was told to) is followed by another.
func (t *tx) start(old *model.Container) {
	ended := old.Intent.Stopped
	switch old.Status.Phase {
	case model.PhaseExited, model.PhaseBackoff, model.PhaseFailed, model.PhaseStopping:
		ended = true
	case model.PhasePending, model.PhasePreparing, model.PhaseStarting, model.PhaseRunning:
	}
	if !ended || old.Assign.Remove {
		return
	}
	n := *old
	n.Intent = model.Intent{Restarts: old.Intent.Restarts + 1}
	t.updated(&n.Meta)
	t.replace(tabContainers, old, &n)
	t.containerEvent(&n, "Start", false, fmt.Sprintf("%s asked container %s to start", t.origin.Actor, n.Name))
}

func (t *tx) putContainers(c *command.PutContainers) *model.Error {
	for i := range c.Containers {
		if err := t.putContainer(c.Containers[i]); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) putContainer(n model.Container) *model.Error {
	if err := checkID(n.ID, "container"); err != nil {
		return err
	}
	if err := checkName(n.Name); err != nil {
		return err
	}
	s, ok := t.v.Service(n.ServiceID)
	if !ok {
		return notFound("service", n.ServiceID)
	}
	if s.Removing {
		return serviceRemoving(s)
	}
	if _, there := t.v.Container(n.ID); there {
		return model.Errorf(model.KindConflict, "already_exists", "container %s exists already", n.Name)
	}
	if o, was := t.v.Orphan(n.ID); was {
		return model.Errorf(model.KindConflict, "already_exists", "the id of container %s is that of container %s, which was given up and is not gone yet", n.Name, o.Name)
	}
	if _, taken := t.v.ContainerByName(s.TenantID, n.Name); taken {
		return nameTaken("container", n.Name, "")
	}
	if err := t.checkAssignment(n.ID, n.Assign); err != nil {
		return err
	}
	if n.Status.Phase == "" {
		n.Status.Phase = model.PhasePending
	}
	shareSpec(&n, s)
	if on, ok := t.v.Node(n.Assign.NodeID); ok {
		n.Assign.NodeID = on.ID // the same memory for all of them
	}
	t.created(&n.Meta)
	t.create(tabContainers, &n)
	t.moveAddress(n.ID, netip.Addr{}, n.Assign.Address)
	if n.Status.Phase == model.PhaseRunning {
		t.countRunning(n.ServiceID, 1)
	}
	return nil
}

// shareSpec lets a container whose spec is its service's use the same memory:
// there are many of them, and nobody changes what is in the store.
func shareSpec(c *model.Container, s *model.Service) {
	if reflect.DeepEqual(c.Spec, s.Spec.Container) {
		c.Spec = s.Spec.Container
	}
	c.TenantID, c.EnvironmentID, c.AppID, c.AppName, c.ServiceID, c.ServiceName = s.TenantID, s.EnvironmentID, s.AppID, s.AppName, s.ID, s.Name
}

// checkAssignment refuses unknown nodes and addresses that are in use.
func (t *tx) checkAssignment(id string, a model.Assignment) *model.Error {
	if a.NodeID != "" {
		if _, ok := t.v.Node(a.NodeID); !ok {
			return notFound("node", a.NodeID)
		}
	}
	if !a.Address.IsValid() {
		return nil
	}
	if owner, taken := t.v.owner(a.Address); taken && owner != id {
		name := owner
		if other, ok := t.v.Container(owner); ok {
			name = other.Name
		} else if o, ok := t.v.Orphan(owner); ok {
			name = o.Name + ", which its node has not confirmed gone"
		}
		return model.Errorf(model.KindConflict, "address_taken", "the address %s belongs to container %s", a.Address, name)
	}
	return nil
}

// moveAddress gives back one address of a container and takes another; either
// may be none.
func (t *tx) moveAddress(id string, from, to netip.Addr) {
	if from == to {
		return
	}
	if owner, ok := t.v.owner(from); ok && owner == id {
		t.setOwner(from, "")
	}
	if to.IsValid() {
		t.setOwner(to, id)
	}
}

func (t *tx) assignContainers(c *command.AssignContainers) *model.Error {
	for i := range c.Items {
		item := &c.Items[i]
		old, ok := t.v.Container(item.ID)
		if !ok {
			continue
		}
		if err := expectThere(&old.Meta, item.ExpectVersion, "container", item.ID); err != nil {
			return err
		}
		if old.Assign.Remove && !item.Assign.Remove {
			return model.Errorf(model.KindConflict, "container_removing", "container %s is being removed; that cannot be taken back", old.Name)
		}
		if item.Assign.Remove {
			t.markRemoved(old)
			continue
		}
		if item.Assign.Address != old.Assign.Address || item.Assign.NodeID != old.Assign.NodeID {
			if err := t.checkAssignment(item.ID, item.Assign); err != nil {
				return err
			}
		}
		n := *old
		n.Assign = item.Assign
		if on, ok := t.v.Node(n.Assign.NodeID); ok {
			n.Assign.NodeID = on.ID
		}
		t.updated(&n.Meta)
		t.replace(tabContainers, old, &n)
		t.moveAddress(n.ID, old.Assign.Address, n.Assign.Address)
	}
	return nil
}

// markRemoved makes a container go. Node and address stay as they are, whatever
// the proposer last saw: the node that has it must end it. One that was never
// placed has nobody to wait for.
func (t *tx) markRemoved(old *model.Container) {
	if old.Assign.NodeID == "" {
		t.forget(old)
		return
	}
	if old.Assign.Remove {
		return
	}
	n := *old
	n.Assign.Remove = true
	t.updated(&n.Meta)
	t.replace(tabContainers, old, &n)
}

// rank orders phases within one task.
func rank(p model.Phase) int {
	switch p {
	case model.PhasePending:
		return 0
	case model.PhasePreparing:
		return 1
	case model.PhaseStarting:
		return 2
	case model.PhaseRunning:
		return 3
	case model.PhaseStopping:
		return 4
	case model.PhaseExited, model.PhaseBackoff, model.PhaseFailed:
		return 5
	default:
		return -1
	}
}

// checkStep refuses a status that turns back.
func checkStep(old *model.Container, n *model.ContainerStatus) *model.Error {
	if rank(n.Phase) < 0 {
		return model.Errorf(model.KindInvalid, "phase_invalid", "%q is no phase of a container", n.Phase)
	}
	was := &old.Status
	again := was.Phase == model.PhaseBackoff || was.Phase == model.PhaseFailed
	if n.Task < was.Task || n.Task == was.Task && rank(n.Phase) < rank(was.Phase) && !again {
		return model.Errorf(model.KindConflict, "phase_backwards",
			"container %s cannot go from %s of task %d back to %s of task %d", old.Name, was.Phase, was.Task, n.Phase, n.Task)
	}
	return nil
}

func (t *tx) setContainerStatus(c *command.SetContainerStatus) []command.Refusal {
	var refused []command.Refusal
	for i := range c.Items {
		if err := t.setStatus(c.NodeID, &c.Items[i]); err != nil {
			refused = append(refused, command.Refusal{ID: c.Items[i].ID, Err: err})
		}
	}
	return refused
}

func (t *tx) setStatus(nodeID string, item *command.StatusItem) *model.Error {
	old, ok := t.v.Container(item.ID)
	if !ok {
		return notFound("container", item.ID)
	}
	if old.Assign.NodeID != nodeID {
		return model.Errorf(model.KindDenied, "wrong_node", "container %s is not assigned to node %s", old.Name, nodeID)
	}
	if err := checkStep(old, &item.Status); err != nil {
		return err
	}
	n := *old
	n.Status = item.Status
	n.Status.Phase = shared(n.Status.Phase)
	t.updated(&n.Meta)
	t.replace(tabContainers, old, &n)
	was, is := old.Status.Phase == model.PhaseRunning, n.Status.Phase == model.PhaseRunning
	if was != is {
		t.countRunning(n.ServiceID, map[bool]int{true: 1, false: -1}[is])
	}
	t.statusEvent(old, &n)
	return nil
}

// runningChange is a container that began or ceased to run.
type runningChange struct {
	serviceID string
	by        int
}

// countRunning notes that a service has more or fewer running containers.
func (t *tx) countRunning(serviceID string, by int) {
	t.running = append(t.running, runningChange{serviceID, by})
}

// keepRunning brings ServiceStatus.Running up to date, once for each service
// that the present entry touched. It does not raise the service's version:
// counting is no change that a user's If-Match should stumble over.
func (t *tx) keepRunning() {
	if len(t.running) == 0 {
		return
	}
	sums := make(map[string]int, len(t.running))
	for _, r := range t.running {
		sums[r.serviceID] += r.by
	}
	for _, r := range t.running { // in the order of the commands, not of the map
		sum := sums[r.serviceID]
		delete(sums, r.serviceID)
		old, ok := t.v.Service(r.serviceID)
		if sum == 0 || !ok {
			continue
		}
		n := *old
		n.Status.Running = max(0, old.Status.Running+sum)
		must(t.txn.Insert(tabServices, &n))
	}
	t.running = t.running[:0]
}

func (t *tx) forgetContainers(c *command.ForgetContainers) []command.Refusal {
	var refused []command.Refusal
	for _, id := range c.IDs {
		if o, ok := t.v.Orphan(id); ok && o.NodeID == c.NodeID {
			t.forgetOrphan(o)
			continue
		}
		old, ok := t.v.Container(id)
		if !ok {
			continue
		}
		if !old.Assign.Remove || old.Assign.NodeID != "" && old.Assign.NodeID != c.NodeID {
			refused = append(refused, command.Refusal{ID: id, Err: model.Errorf(model.KindConflict, "not_removing",
				"container %s was not to be removed by node %s", old.Name, c.NodeID)})
			continue
		}
		t.forget(old)
	}
	return refused
}

// forget deletes a container's row, and what was only waiting for it.
func (t *tx) forget(old *model.Container) {
	t.del(tabContainers, old)
	t.moveAddress(old.ID, old.Assign.Address, netip.Addr{})
	if old.Status.Phase == model.PhaseRunning {
		t.countRunning(old.ServiceID, -1)
	}
	t.containerEvent(old, "Removed", false, "container "+old.Name+" is gone")
	t.sweepService(old.ServiceID)
	t.sweepApp(old.AppID)
}

func (t *tx) containerEvent(c *model.Container, reason string, warning bool, message string) {
	t.event(model.Event{TenantID: c.TenantID, Kind: "container", ObjectID: c.ID, Object: c.Name, AppID: c.AppID,
		Reason: reason, Message: message, Warning: warning})
}

// statusEvent says in words what a transition means, if it means something.
func (t *tx) statusEvent(old, n *model.Container) {
	if old.Status.Phase == n.Status.Phase && old.Status.Task == n.Status.Task {
		return
	}
	switch n.Status.Phase {
	case model.PhaseRunning:
		t.containerEvent(n, "Running", false, "container "+n.Name+" is running")
	case model.PhaseExited:
		bad := n.Status.ExitCode != nil && *n.Status.ExitCode != 0 && !n.Intent.Stopped
		t.containerEvent(n, "Exited", bad || n.Status.OOMKilled, "container "+n.Name+" "+ending(&n.Status)+because(n.Status.Conditions))
	case model.PhaseBackoff:
		t.containerEvent(n, "BackOff", true, fmt.Sprintf("container %s %s%s; it is started again at %s", n.Name, ending(&n.Status),
			because(n.Status.Conditions), n.Status.RetryAt.UTC().Format("15:04:05 MST")))
	case model.PhaseFailed:
		t.containerEvent(n, "Failed", true, "container "+n.Name+" cannot start"+because(n.Status.Conditions))
	case model.PhasePending, model.PhasePreparing, model.PhaseStarting, model.PhaseStopping:
	}
}

// ending says how a task ended.
func ending(s *model.ContainerStatus) string {
	switch {
	case s.OOMKilled:
		return "was ended because it used more memory than its limit"
	case s.ExitCode == nil:
		return "ended"
	default:
		return fmt.Sprintf("ended with status %d", *s.ExitCode)
	}
}

// because gives the first condition's sentence behind a colon.
func because(cs []model.Condition) string {
	if len(cs) == 0 || cs[0].Message == "" {
		return ""
	}
	return ": " + cs[0].Message
}
