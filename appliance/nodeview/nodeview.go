// Package nodeview is the slice of the cluster's state that one node may know:
// its own containers and volumes, and the ports and names of its environment. A node's
// agent is fed with nothing else. It decides nothing and does nothing.
//
// On a member the view is computed from the local replica with Of; it is plain
// data, so that it can be sent to a node that holds no replica.
package nodeview

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// View is what one node knows. Its objects are shared with the state: read only.
type View struct {
	Index      uint64      // of the state that the view was taken of
	Node       *model.Node // nil until the cluster knows this node
	Pool       netip.Prefix
	Containers []*model.Container // assigned to this node, by name; a stopped app's or service's have Intent.Stopped
	Ports      []Port             // published by every node of the environment
	Names      []Name             // of every container of the environment
	Volumes    []string           // ids of the volumes whose data lives on this node
}

// Port is a published port with the containers behind it.
type Port struct {
	model.PortSpec
	Backends []netip.AddrPort // those that serve; sorted
}

// Name is one container as others of its app may ask for it.
type Name struct {
	AppID     string
	App       string
	Service   string
	Container string
	Address   netip.Addr
	Serving   bool // it runs; only then do its service's names lead to it
}

// Of computes the view of a node. Reads through a watched view register what
// they touch, so that it works with state.Watch.
func Of(v *state.View, nodeID string) View {
	var out View
	cluster, ok := v.Cluster()
	if !ok {
		return out
	}
	out.Index, out.Pool = v.Index(), cluster.Pool
	node, ok := v.Node(nodeID)
	if !ok {
		return out
	}
	out.Node = node
	for c := range v.ContainersOnNode(nodeID) {
		out.Containers = append(out.Containers, effective(v, c))
	}
	for o := range v.VolumesOnNode(nodeID) {
		out.Volumes = append(out.Volumes, o.ID)
	}
	for s := range v.Services() {
		if s.EnvironmentID != node.EnvironmentID {
			continue
		}
		var containers []*model.Container
		for c := range v.ContainersOfService(s.ID) {
			containers = append(containers, effective(v, c))
		}
		serving := Serving(containers)
		for _, p := range s.Ports {
			out.Ports = append(out.Ports, Port{PortSpec: p.PortSpec, Backends: backends(serving, p.Container)})
		}
		for _, c := range containers {
			if c.Assign.Address.IsValid() && !c.Assign.Remove {
				out.Names = append(out.Names, Name{
					AppID: c.AppID, App: c.AppName, Service: c.ServiceName, Container: c.Name,
					Address: c.Assign.Address, Serving: slices.Contains(serving, c),
				})
			}
		}
	}
	return out
}

// effective is a container with the stop of its app or service laid over its
// own intent: stopping a stack is one write, whatever its size.
func effective(v *state.View, c *model.Container) *model.Container {
	if c.Intent.Stopped {
		return c
	}
	app, ok := v.App(c.AppID)
	stopped := ok && app.Spec.Stopped
	if svc, ok := v.Service(c.ServiceID); ok && svc.Stopped {
		stopped = true
	}
	if !stopped {
		return c
	}
	halted := *c
	halted.Intent.Stopped = true
	return &halted
}

// Serving picks the containers that connections should go to: those that run
// or, while none does, those that are on their way, so that the first replica
// is reachable the moment it listens.
func Serving(containers []*model.Container) []*model.Container {
	var running, starting []*model.Container
	for _, c := range containers {
		if c.Assign.Remove || c.Intent.Stopped || !c.Assign.Address.IsValid() {
			continue
		}
		switch c.Status.Phase {
		case model.PhaseRunning:
			running = append(running, c)
		case model.PhasePending, model.PhasePreparing, model.PhaseStarting:
			starting = append(starting, c)
		}
	}
	if len(running) > 0 {
		return running
	}
	return starting
}

func backends(containers []*model.Container, port uint16) []netip.AddrPort {
	out := make([]netip.AddrPort, len(containers))
	for i, c := range containers {
		out[i] = netip.AddrPortFrom(c.Assign.Address, port)
	}
	slices.SortFunc(out, func(a, b netip.AddrPort) int { return cmp.Compare(a.String(), b.String()) })
	return out
}
