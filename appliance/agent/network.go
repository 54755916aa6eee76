package agent

import (
	"context"
	"net/netip"
	"time"

	"github.com/skerryhq/skerry/appliance/nodeview"
	"github.com/skerryhq/skerry/netfw/iptables"
	"github.com/skerryhq/skerry/netfw/rules"
	"github.com/skerryhq/skerry/raft/model"
)

// Firewall is the part of netfw/iptables that the agent needs.
type Firewall interface {
	Apply(ctx context.Context, d rules.Desired) (iptables.Change, error)
	Repair(ctx context.Context) ([]string, error)
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

// network keeps the packet filter as the view says, and repairs what others
// break.
func (a *Agent) network(ctx context.Context) error {
	repair := time.NewTicker(repairEvery)
	defer repair.Stop()
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
			change, err := a.cfg.Firewall.Apply(ctx, a.desired(v))
			if err != nil && ctx.Err() == nil {
				a.log.Warn("packet filter not applied, trying again", "err", err)
				again = time.After(retryAfter)
			} else if change.Chains > 0 || change.Connections > 0 {
				a.log.Debug("packet filter applied", "chains", change.Chains, "set_entries", change.SetEntries, "connections", change.Connections)
			}
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
				found, err := a.cfg.Firewall.Repair(ctx)
				if err != nil && ctx.Err() == nil {
					a.log.Warn("packet filter not repaired, trying again", "err", err)
				} else if len(found) > 0 {
					a.log.Warn("packet filter repaired: somebody else had changed our part of it", "drift", found)
				}
			}
		}
		cancel()
	}
}

// desired translates the view into what the packet filter should hold.
func (a *Agent) desired(v nodeview.View) rules.Desired {
	d := rules.Desired{
		Pool: v.Pool, NodePools: v.Node.Blocks, Control: a.cfg.Control,
		Resolver: netip.AddrPortFrom(a.cfg.Resolver, 53),
	}
	for _, c := range v.Containers {
		if c.Assign.Address.IsValid() && !c.Assign.Remove {
			d.Endpoints = append(d.Endpoints, rules.Endpoint{
				Address: c.Assign.Address, Veth: a.cfg.Links.Veth(c.ID), Networks: []string{c.AppID},
			})
		}
	}
	for _, p := range v.Ports {
		proto := rules.TCP
		if p.Protocol == model.UDP {
			proto = rules.UDP
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
