package control

import (
	"slices"

	"github.com/skerryhq/skerry/appliance/deploy"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// Drain is how far the draining of a node has come.
type Drain struct {
	Left    int            // containers that are still on the node
	Waiting []DrainWaiting // those of them that cannot move as things are, by name
	Done    bool           // nothing that can move is left
}

// DrainWaiting is a container that stays on a drained node for now.
type DrainWaiting struct {
	ContainerID string
	Container   string // its name
	Reason      string // one sentence
}

// DrainProgress reads from a view how far the draining of a node has come. It is
// pure, and works for a node that is not being drained, too: Waiting then says
// what would stay.
func DrainProgress(v *state.View, nodeID string) Drain {
	var out Drain
	for c := range v.ContainersOnNode(nodeID) {
		out.Left++
		if reason := stuck(v, c); reason != "" {
			out.Waiting = append(out.Waiting, DrainWaiting{ContainerID: c.ID, Container: c.Name, Reason: reason})
		}
	}
	out.Done = out.Left == len(out.Waiting)
	return out
}

// stuck says why a container cannot leave its node; empty if it can.
func stuck(v *state.View, c *model.Container) string {
	if c.Assign.Remove {
		return ""
	}
	for _, m := range c.Spec.Mounts {
		vol, ok := v.Volume(m.VolumeID)
		if ok && local(vol) && vol.NodeID == c.Assign.NodeID {
			n, _ := v.Node(vol.NodeID)
			return boundBy(vol, n) + "; its app can be removed, or the volume's data moved to another"
		}
	}
	s, ok := v.Service(c.ServiceID)
	if !ok || s.Removing {
		return ""
	}
	a, ok := v.App(c.AppID)
	if why := deploy.Rests(c, s.Stopped || ok && a.Spec.Stopped); why != "" {
		return why
	}
	for twin := range v.ContainersOfService(c.ServiceID) {
		if twin.Slot == c.Slot && twin.ID != c.ID && twin.Assign.NodeID == "" && !twin.Assign.Remove {
			return twin.Name + ", which is to take its place, has no node: " + twin.Assign.Reason
		}
	}
	return deploy.Starved(s, slices.Collect(v.ContainersOfService(s.ID)))
}
