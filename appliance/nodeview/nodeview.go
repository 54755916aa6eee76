// Package nodeview is the slice of the cluster's state that one node may know:
// its own containers and volumes, and the ports and names of its environment. A node's
// agent is fed with nothing else. It decides nothing and does nothing.
//
// On a member the view is computed from the local replica (Of, Local); it is plain
// data that survives JSON, so that it can be sent to a node that holds no replica.
// Of other nodes' containers it says only what packets and names need; of other
// environments it says nothing at all.
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
	Index      uint64             `json:"index"`      // of the state that the view was taken of
	Generation uint64             `json:"generation"` // of the cluster; 1 or more. A view of an earlier one is older, whatever its index
	Node       *model.Node        `json:"node"`       // nil while the cluster does not know this node: not yet, or no more
	Pool       netip.Prefix       `json:"pool,omitzero"`
	Containers []*model.Container `json:"containers,omitempty"` // assigned to this node, by name; a stopped app's or service's have Intent.Stopped
	Orphans    []model.Orphan     `json:"orphans,omitempty"`    // given up while this node was down: it removes them and confirms
	Ports      []Port             `json:"ports,omitempty"`      // published by every node of the environment
	Names      []Name             `json:"names,omitempty"`      // of every container of the environment
	Volumes    []string           `json:"volumes,omitempty"`    // ids of the volumes whose data lives on this node
	Peers      []Peer             `json:"peers,omitempty"`      // the other nodes of the environment, by name
}

// Older says whether v is of an earlier moment than w: of a lower generation or,
// in the same one, a lower index.
func (v View) Older(w View) bool {
	return cmp.Or(cmp.Compare(v.Generation, w.Generation), cmp.Compare(v.Index, w.Index)) < 0
}

// Peer is another node of the environment, as packets need it.
type Peer struct {
	NodeID  string         `json:"nodeId"`
	Name    string         `json:"name"`
	Address netip.Addr     `json:"address,omitzero"` // of the host; zero while the node has not said, or has said a name that is no address
	Blocks  []netip.Prefix `json:"blocks,omitempty"` // the parts of the pool behind it
	Down    bool           `json:"down,omitempty"`   // the leader has given it up for now; packets may reach it all the same
}

// Port is a published port with the containers behind it.
type Port struct {
	model.PortSpec
	Backends []netip.AddrPort `json:"backends,omitempty"` // those that serve; sorted
}

// Name is one container as others of its app may ask for it.
type Name struct {
	AppID     string     `json:"appId"`
	App       string     `json:"app"`
	Service   string     `json:"service"`
	Container string     `json:"container"`
	Address   netip.Addr `json:"address"`
	Serving   bool       `json:"serving,omitempty"` // it runs, on a node that is up; only then do its service's names lead to it
}

// Of computes the view of a node. Reads through a watched view register what
// they touch, so that it works with state.Watch.
func Of(v *state.View, nodeID string) View {
	var out View
	cluster, ok := v.Cluster()
	if !ok {
		return out
	}
	out.Index, out.Generation = v.Index(), max(1, cluster.Generation)
	node, ok := v.Node(nodeID)
	if !ok {
		return out
	}
	out.Node, out.Pool = node, cluster.Pool
	down := map[string]bool{}
	for n := range v.NodesOf(node.EnvironmentID) {
		if n.ID == nodeID {
			continue
		}
		down[n.ID] = n.Down()
		out.Peers = append(out.Peers, Peer{NodeID: n.ID, Name: n.Name, Address: HostAddress(n), Blocks: n.Blocks, Down: n.Down()})
	}
	for o := range v.OrphansOf(nodeID) {
		out.Orphans = append(out.Orphans, *o)
	}
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
		serving := Serving(containers, down)
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

// HostAddress is the address of a node's host, as the node says it; zero if that
// is no address.
func HostAddress(n *model.Node) netip.Addr {
	if p, err := netip.ParseAddrPort(n.Status.Address); err == nil {
		return p.Addr().Unmap()
	}
	return netip.Addr{}
}

// Serving picks the containers that connections should go to: those that run
// or, while none does, those that are on their way, so that the first replica
// is reachable the moment it listens. Containers of nodes in down are picked
// only when there are no others: a node that the leader cannot reach may well be
// reached by packets, and nothing is a worse answer than perhaps.
func Serving(containers []*model.Container, down map[string]bool) []*model.Container {
	var running, starting, away []*model.Container
	for _, c := range containers {
		if c.Assign.Remove || c.Intent.Stopped || !c.Assign.Address.IsValid() {
			continue
		}
		switch c.Status.Phase {
		case model.PhaseRunning:
			if down[c.Assign.NodeID] {
				away = append(away, c)
				continue
			}
			running = append(running, c)
		case model.PhasePending, model.PhasePreparing, model.PhaseStarting:
			if !down[c.Assign.NodeID] {
				starting = append(starting, c)
			}
		}
	}
	switch {
	case len(running) > 0:
		return running
	case len(starting) > 0:
		return starting
	}
	return away
}

func backends(containers []*model.Container, port uint16) []netip.AddrPort {
	if len(containers) == 0 {
		return nil // as it comes back from JSON
	}
	out := make([]netip.AddrPort, len(containers))
	for i, c := range containers {
		out[i] = netip.AddrPortFrom(c.Assign.Address, port)
	}
	slices.SortFunc(out, func(a, b netip.AddrPort) int { return cmp.Compare(a.String(), b.String()) })
	return out
}
