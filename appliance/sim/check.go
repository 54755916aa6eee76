package sim

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/skerryhq/skerry/appliance/control"
	"github.com/skerryhq/skerry/appliance/deploy"
	"github.com/skerryhq/skerry/appliance/scheduler"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// Always checks what must hold at every moment, on all hosts, also on those
// that are cut off: no two containers have one address, no more than the
// planner may count.
func (w *World) Always() error {
	owner := map[netip.Addr]string{}
	for _, id := range slices.Sorted(maps.Keys(w.hosts)) {
		for task, t := range w.hosts[id].tasks {
			if other, twice := owner[t.address]; twice {
				return fmt.Errorf("containers %s and %s (on %s) have the address %s", other, task, id, t.address)
			}
			owner[t.address] = task
		}
	}
	return nil
}

// Settle lets time pass without faults until nothing changes any more, at most
// an hour of the world's time.
func (w *World) Settle() error {
	w.calm()
	quiet := 0
	for range int(time.Hour / step) {
		before := w.index
		w.Tick()
		if err := w.Always(); err != nil {
			return err
		}
		if quiet++; w.index != before {
			quiet = 0
		}
		if quiet > int((control.Grace+4*time.Second)/step) && !w.held() {
			return nil
		}
	}
	return fmt.Errorf("it does not come to rest: something changes an hour after the last fault")
}

// calm ends every cut and leaves only so many hosts without power that the
// leader does not suspect its own network.
func (w *World) calm() {
	off := 0
	for _, id := range slices.Sorted(maps.Keys(w.hosts)) {
		h := w.hosts[id]
		h.cut = false
		if !h.on && (w.rand.IntN(2) == 0 || 3*(off+1) > len(w.hosts)) {
			h.on = true
		}
		if !h.on {
			off++
		}
	}
	w.note("calm, %d of %d hosts are without power", off, len(w.hosts))
}

// held says whether a node is not trusted with new containers for a while.
func (w *World) held() bool {
	for id := range w.hosts {
		if wait, _ := w.leases.Untrusted(id, w.now); wait > 0 {
			return true
		}
	}
	return false
}

// Check checks what must hold when nothing changes any more.
func (w *World) Check() error {
	v := w.View()
	for s := range v.Services() {
		if err := w.checkService(v, s); err != nil {
			return fmt.Errorf("service %s (%d replicas, revision %d, stopped %v): %w%s", s.ID, s.Spec.Replicas, s.Revision, s.Stopped, err, list(v, s))
		}
	}
	for n := range v.Nodes() {
		if err := w.checkNode(v, n); err != nil {
			return fmt.Errorf("node %s: %w", n.ID, err)
		}
	}
	return nil
}

// list shows the containers of a service.
func list(v *state.View, s *model.Service) (out string) {
	for c := range v.ContainersOfService(s.ID) {
		out += fmt.Sprintf("\n%s slot %d revision %d on %q (%s) is %s", c.Name, c.Slot, c.Revision, c.Assign.NodeID, c.Assign.Reason, c.Status.Phase)
	}
	return out + fmt.Sprintf("\nconditions: %v", s.Status.Conditions)
}

func (w *World) checkService(v *state.View, s *model.Service) error {
	if s.Removing {
		return fmt.Errorf("it is still being removed")
	}
	slots := map[int][]*model.Container{}
	for c := range v.ContainersOfService(s.ID) {
		if c.Slot > s.Spec.Replicas {
			return fmt.Errorf("%s is one too many", c.Name)
		}
		slots[c.Slot] = append(slots[c.Slot], c)
	}
	for number := 1; number <= s.Spec.Replicas; number++ {
		list := slots[number]
		if len(list) == 0 {
			return fmt.Errorf("slot %d is empty", number)
		}
		waiting := 0
		for _, c := range list {
			if c.Assign.Remove {
				return fmt.Errorf("%s is still being removed", c.Name)
			}
			if c.Assign.NodeID == "" {
				waiting++
				if c.Assign.Reason == "" {
					return fmt.Errorf("%s has neither a node nor a reason", c.Name)
				}
				if n := w.wouldFit(v, s); n != "" {
					return fmt.Errorf("%s waits (%s), although %s fits", c.Name, c.Assign.Reason, n)
				}
				if len(s.Status.Conditions) == 0 {
					return fmt.Errorf("%s waits and its service does not say so", c.Name)
				}
				continue
			}
			if err := w.checkPlaced(v, s, c, len(list)); err != nil {
				return err
			}
		}
		if len(list) > 2 || len(list) == 2 && waiting != 1 {
			return fmt.Errorf("slot %d has %d containers, %d of them without a node", number, len(list), waiting)
		}
	}
	return nil
}

// checkPlaced judges a container that has a node. many are in its slot: more
// than one if it is to leave and cannot.
func (w *World) checkPlaced(v *state.View, s *model.Service, c *model.Container, many int) error {
	n, ok := v.Node(c.Assign.NodeID)
	if !ok {
		return fmt.Errorf("%s is on a node that is gone", c.Name)
	}
	bound := false
	for _, m := range c.Spec.Mounts {
		vol, ok := v.Volume(m.VolumeID)
		bound = bound || ok && vol.NodeID == n.ID
		if ok && vol.NodeID != n.ID {
			return fmt.Errorf("%s is on %s, its volume on %q", c.Name, n.ID, vol.NodeID)
		}
	}
	rests := c.Status.Phase == model.PhaseExited && !s.Stopped
	if !n.Down() && c.Status.Phase != model.PhaseRunning && c.Status.Phase != model.PhaseExited {
		return fmt.Errorf("%s on %s does not run but is %s", c.Name, n.ID, c.Status.Phase)
	}
	if !n.Down() && c.Revision != s.Revision && w.away(v, s) < max(1, s.Spec.MaxUnavailable) {
		return fmt.Errorf("%s is of revision %d, not %d", c.Name, c.Revision, s.Revision)
	}
	if many > 1 || bound || rests {
		return nil
	}
	starved := deploy.Starved(s, slices.Collect(v.ContainersOfService(s.ID))) != "" // nothing of it can move
	for _, text := range s.Spec.Placement.Constraints {
		k, err := scheduler.ParseConstraint(text)
		if err != nil {
			return err
		}
		if starved {
			break
		}
		if !k.Holds(&scheduler.Node{ID: n.ID, Name: n.Name, Role: n.Role, OS: n.Status.OS, Architecture: n.Status.Architecture, Labels: n.Spec.Labels}) {
			return fmt.Errorf("%s is on %s against %s", c.Name, n.ID, text)
		}
	}
	for _, name := range s.Spec.Placement.AntiAffinity {
		for other := range v.ContainersOnNode(n.ID) {
			if other.AppID == c.AppID && other.ServiceName == name && other.ID != c.ID {
				return fmt.Errorf("%s and %s are both on %s", c.Name, other.Name, n.ID)
			}
		}
	}
	return nil
}

// away counts the replicas that do not serve.
func (w *World) away(v *state.View, s *model.Service) int {
	serving := map[int]bool{}
	for c := range v.ContainersOfService(s.ID) {
		if c.Status.Phase == model.PhaseRunning || c.Status.Phase == model.PhaseExited {
			serving[c.Slot] = true
		}
	}
	return s.Spec.Replicas - len(serving)
}

// wouldFit gives a node that a replica of the service could be on, by the
// simplest reading of the rules; empty if there is none.
func (w *World) wouldFit(v *state.View, s *model.Service) string {
next:
	for n := range v.Nodes() {
		if n.Down() || n.Spec.Availability == model.NodeDrain || !n.Status.Ready {
			continue
		}
		for _, text := range s.Spec.Placement.Constraints {
			if k, err := scheduler.ParseConstraint(text); err != nil || !k.Holds(&scheduler.Node{ID: n.ID, Name: n.Name, Role: n.Role, OS: n.Status.OS, Architecture: n.Status.Architecture, Labels: n.Spec.Labels}) {
				continue next
			}
		}
		for _, m := range s.Spec.Container.Mounts {
			if vol, ok := v.Volume(m.VolumeID); ok && vol.NodeID != "" && vol.NodeID != n.ID {
				continue next
			}
		}
		near := len(s.Spec.Placement.Affinity) == 0
		cpu := s.Spec.Reserve.CPUMillis
		for c := range v.ContainersOnNode(n.ID) {
			owner, _ := v.Service(c.ServiceID)
			cpu += owner.Spec.Reserve.CPUMillis
			if c.AppID != s.AppID {
				continue
			}
			if slices.Contains(s.Spec.Placement.AntiAffinity, c.ServiceName) || owner.ID != s.ID && slices.Contains(owner.Spec.Placement.AntiAffinity, s.Name) {
				continue next
			}
			near = near || slices.Contains(s.Spec.Placement.Affinity, c.ServiceName)
		}
		if near && (s.Spec.Reserve.CPUMillis == 0 || cpu <= int64(n.Status.CPUs)*1000) {
			return n.ID
		}
	}
	return ""
}

func (w *World) checkNode(v *state.View, n *model.Node) error {
	var cpu int64
	containers := 0
	assigned := map[string]bool{}
	for c := range v.ContainersOnNode(n.ID) {
		s, _ := v.Service(c.ServiceID)
		cpu += s.Spec.Reserve.CPUMillis
		containers++
		assigned[c.ID] = true
		exited := c.Status.Phase == model.PhaseExited
		if _, runs := w.hosts[n.ID].tasks[c.ID]; !n.Down() && !runs && !exited {
			return fmt.Errorf("its agent does not run %s", c.Name)
		}
		if n.Down() && len(c.Spec.Mounts) == 0 && !exited {
			return fmt.Errorf("%s was not given up, although it is down", c.Name)
		}
	}
	if cpu > int64(n.Status.CPUs)*1000 {
		return fmt.Errorf("%d of %d millicores are reserved", cpu, n.Status.CPUs*1000)
	}
	if used, many := w.planner.Used(n.ID); used.CPUMillis != cpu || many != containers {
		return fmt.Errorf("the planner counts %d containers and %d millicores, the state %d and %d", many, used.CPUMillis, containers, cpu)
	}
	h := w.hosts[n.ID]
	if h.on && !h.cut {
		if n.Down() {
			return fmt.Errorf("it is alive and called down: %s", n.Health.Reason)
		}
		for id := range h.tasks {
			if !assigned[id] {
				return fmt.Errorf("its agent still runs %s", id)
			}
		}
		for o := range v.OrphansOf(n.ID) {
			return fmt.Errorf("it has not confirmed that %s is gone", o.Name)
		}
	}
	if n.Spec.Availability == model.NodeDrain {
		if d := control.DrainProgress(v, n.ID); !d.Done && !n.Down() {
			return fmt.Errorf("it is drained, and of %d containers only %d say why they stay", d.Left, len(d.Waiting))
		}
	}
	return nil
}
