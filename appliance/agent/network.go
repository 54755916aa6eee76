package agent

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/skerryhq/skerry/appliance/nodeview"
	"github.com/skerryhq/skerry/netfw/iptables"
	"github.com/skerryhq/skerry/netfw/overlay"
	"github.com/skerryhq/skerry/netfw/rules"
	"github.com/skerryhq/skerry/raft/model"
)

// Firewall is the part of netfw/iptables that the agent needs.
type Firewall interface {
	Apply(ctx context.Context, d rules.Desired) (iptables.Change, error)
	Repair(ctx context.Context) ([]string, error)
}

// Overlay is the part of netfw/overlay that the agent needs.
type Overlay interface {
	Apply(ctx context.Context, d overlay.Desired) (overlay.Applied, error)
	Port() uint16
}

const (
	repairEvery = 5 * time.Second // drift is looked for this often
	retryAfter  = time.Second
	// gather is the least time between two changes of the packet filter or the
	// names: the first comes at once, those of a burst come together. It is short
	// against the start of a container.
	gather = 25 * time.Millisecond
)

// paced waits until gather has passed since last; false if ctx ended.
func paced(ctx context.Context, last time.Time) bool {
	rest := gather - time.Since(last)
	if rest <= 0 {
		return ctx.Err() == nil
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(rest):
		return true
	}
}

// network keeps the ways to other nodes and the packet filter as the view says,
// and repairs what others break.
func (a *Agent) network(ctx context.Context) error {
	repair := time.NewTicker(repairEvery)
	defer repair.Stop()
	var last time.Time
	var acted mark
	w := &wires{a: a}
	for {
		if !paced(ctx, last) {
			return ctx.Err()
		}
		last = time.Now()
		watching, cancel := context.WithCancel(ctx)
		v, changed, err := a.cfg.Views.Changed(watching)
		if err != nil {
			cancel()
			return err
		}
		var again <-chan time.Time
		if acted.obey(v, nil) && !w.lay(ctx, v) {
			again = time.After(retryAfter)
		}
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				cancel()
				return ctx.Err()
			case <-changed:
				waiting = false
			case <-again:
				waiting = false
			case <-repair.C:
				w.repair(ctx)
			}
		}
		cancel()
	}
}

// wires is what the network loop has done last.
type wires struct {
	a     *Agent
	view  nodeview.View // Node is nil before the first
	paths map[string]overlay.Path
}

// lay brings the ways and the filter to a view; false if something failed.
func (w *wires) lay(ctx context.Context, v nodeview.View) bool {
	ok := true
	if first := w.view.Node == nil; first {
		w.view = v
		ok = w.filter(ctx) // what routes open must be guarded before
	}
	w.view = v
	if _, err := w.route(ctx); err != nil {
		ok = false
	}
	return w.filter(ctx) && ok
}

// route brings the ways to the last view and reports whether a device changed,
// which the filter depends on. What is known of ways stays when it fails.
func (w *wires) route(ctx context.Context) (moved bool, err error) {
	d := ways(w.view)
	done, err := w.a.cfg.Overlay.Apply(ctx, d)
	if err != nil {
		if ctx.Err() == nil {
			w.a.log.Warn("routes to other nodes not applied, trying again", "err", err)
		}
		return false, err
	}
	if len(done.Changes) > 0 {
		w.a.log.Debug("routes to other nodes applied", "changes", done.Changes)
	}
	paths := make(map[string]overlay.Path, len(done.Paths))
	for _, p := range done.Paths {
		paths[p.NodeID] = p
	}
	moved = !maps.Equal(paths, w.paths)
	w.paths = paths
	return moved, nil
}

func (w *wires) filter(ctx context.Context) bool {
	change, err := w.a.cfg.Firewall.Apply(ctx, w.a.desired(w.view, w.paths))
	if err != nil {
		if ctx.Err() == nil {
			w.a.log.Warn("packet filter not applied, trying again", "err", err)
		}
		return false
	}
	if change.Chains > 0 || change.Connections > 0 {
		w.a.log.Debug("packet filter applied", "chains", change.Chains, "set_entries", change.SetEntries, "connections", change.Connections)
	}
	return true
}

// repair puts back what others broke, and follows hosts that have moved to
// another wire.
func (w *wires) repair(ctx context.Context) {
	if w.view.Node == nil {
		return
	}
	if moved, err := w.route(ctx); err == nil && moved {
		w.filter(ctx)
	}
	found, err := w.a.cfg.Firewall.Repair(ctx)
	if err != nil && ctx.Err() == nil {
		w.a.log.Warn("packet filter not repaired, trying again", "err", err)
	} else if len(found) > 0 {
		w.a.log.Warn("packet filter repaired: somebody else had changed our part of it", "drift", found)
	}
}

// ways translates the view into how packets should go between nodes. A node that
// is alone needs nothing for that on its host.
func ways(v nodeview.View) overlay.Desired {
	d := overlay.Desired{NodeID: v.Node.ID}
	if len(v.Peers) == 0 {
		return d
	}
	d.Address, d.Blocks = nodeview.HostAddress(v.Node), v.Node.Blocks
	for _, p := range v.Peers { // also those that are down: that the leader does not hear them says nothing about packets
		d.Peers = append(d.Peers, overlay.Peer{NodeID: p.NodeID, Address: p.Address, Blocks: p.Blocks})
	}
	return d
}

// desired translates the view into what the packet filter should hold.
func (a *Agent) desired(v nodeview.View, paths map[string]overlay.Path) rules.Desired {
	d := rules.Desired{
		Pool: v.Pool, NodePools: v.Node.Blocks, Control: a.cfg.Control,
		Resolver: netip.AddrPortFrom(a.cfg.Resolver, 53),
	}
	apps, here := map[string]bool{}, map[netip.Addr]bool{}
	for _, c := range v.Containers {
		if c.Assign.Address.IsValid() && !c.Assign.Remove {
			apps[c.AppID], here[c.Assign.Address] = true, true
			d.Endpoints = append(d.Endpoints, rules.Endpoint{
				Address: c.Assign.Address, Veth: a.cfg.Links.Veth(c.ID), Networks: []string{c.AppID},
			})
		}
	}
	if len(v.Peers) > 0 {
		d.Overlay = a.cfg.Overlay.Port()
		if own := rules.IngressAddresses(v.Node.Blocks); len(own) > 0 {
			d.Ingress = own[0]
		}
		for _, p := range v.Peers {
			d.Peers = append(d.Peers, rules.Peer{Address: p.Address, Blocks: p.Blocks, Device: paths[p.NodeID].Device})
		}
		ours := func(address netip.Addr) bool {
			return slices.ContainsFunc(v.Node.Blocks, func(b netip.Prefix) bool { return b.Contains(address) })
		}
		for _, n := range v.Names {
			if apps[n.AppID] && !here[n.Address] && !ours(n.Address) && v.Pool.Contains(n.Address) {
				here[n.Address] = true
				d.Remotes = append(d.Remotes, rules.Remote{Address: n.Address, Networks: []string{n.AppID}})
			}
		}
	}
	for _, p := range v.Ports {
		proto := rules.TCP
		if p.Protocol == model.UDP {
			proto = rules.UDP
		}
		if proto == rules.UDP && p.HostPort == d.Overlay && d.Overlay != 0 {
			continue // published while the node was alone; packets between nodes come first
		}
		d.Ports = append(d.Ports, rules.Port{Proto: proto, HostIP: p.HostIP, HostPort: p.HostPort, Backends: p.Backends})
	}
	return d
}

// names keeps what the edge answers as the view says.
func (a *Agent) names(ctx context.Context) error {
	var last time.Time
	var acted mark
	for {
		if !paced(ctx, last) {
			return ctx.Err()
		}
		last = time.Now()
		watching, cancel := context.WithCancel(ctx)
		v, changed, err := a.cfg.Views.Changed(watching)
		if err != nil {
			cancel()
			return err
		}
		var again <-chan time.Time
		if acted.obey(v, nil) {
			if err := a.cfg.Names(ctx, v); err != nil && ctx.Err() == nil {
				a.log.Warn("names not published, trying again", "err", err)
				again = time.After(retryAfter)
			}
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-again:
		}
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}
