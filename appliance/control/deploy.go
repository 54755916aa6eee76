package control

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/skerryhq/skerry/appliance/deploy"
	"github.com/skerryhq/skerry/appliance/ipalloc"
	"github.com/skerryhq/skerry/appliance/scheduler"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// deployer makes every service have the containers it asks for.
type deployer struct {
	cfg  Config
	log  *slog.Logger
	last map[string]netip.Addr // node id -> address given most recently
}

// picture is what one turn of the loop looks at.
type picture struct {
	cluster    *model.Cluster
	nodes      []*model.Node
	services   []*model.Service
	containers map[string][]*model.Container // by service id
	names      map[string]bool               // tenant id + "/" + container name
	addresses  map[netip.Addr]bool
	volumes    map[string]string // volume id -> node id
}

func look(v *state.View) (*picture, error) {
	p := &picture{
		containers: map[string][]*model.Container{}, names: map[string]bool{},
		addresses: map[netip.Addr]bool{}, volumes: map[string]string{},
	}
	p.cluster, _ = v.Cluster()
	p.nodes = slices.Collect(v.Nodes())
	p.services = slices.Collect(v.Services())
	for c := range v.Containers() {
		p.containers[c.ServiceID] = append(p.containers[c.ServiceID], c)
		p.names[c.TenantID+"/"+c.Name] = true
		if c.Assign.Address.IsValid() {
			p.addresses[c.Assign.Address] = true
		}
	}
	for vol := range v.Volumes() {
		p.volumes[vol.ID] = vol.NodeID
	}
	return p, nil
}

func (d *deployer) run(ctx context.Context) error {
	return state.Watch(ctx, d.cfg.Store, look, func(ctx context.Context, p *picture) error {
		if p.cluster == nil {
			return nil
		}
		for {
			cmds := d.turn(p)
			if len(cmds) == 0 {
				return nil
			}
			err := propose(ctx, d.cfg, d.log, cmds)
			if err == nil || ctx.Err() != nil {
				return ctx.Err()
			}
			d.log.Warn("plan not proposed, trying again", "err", err)
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Second):
			}
			if p, err = look(d.cfg.Store.View()); err != nil {
				return err
			}
		}
	})
}

// turn plans everything that the picture shows missing.
func (d *deployer) turn(p *picture) []command.Command {
	var cmds []command.Command
	nodes := p.schedulable()
	var assign []command.AssignItem
	for _, s := range p.services {
		have := p.containers[s.ID]
		plan := deploy.ForService(s, have, func(name string) bool { return p.names[s.TenantID+"/"+name] })
		for _, c := range have {
			if slices.Contains(plan.Remove, c.ID) {
				a := c.Assign
				a.Remove = true
				assign = append(assign, command.AssignItem{ID: c.ID, ExpectVersion: command.AnyVersion, Assign: a})
			} else if c.Assign.NodeID == "" && !c.Assign.Remove && !s.Removing {
				if item, ok := d.place(p, nodes, s, c); ok {
					assign = append(assign, item)
				}
			}
		}
		if s.Removing || len(plan.Create) == 0 {
			continue
		}
		put := &command.PutContainers{Head: command.By(origin("deploy"))}
		for _, want := range plan.Create {
			c := model.Container{ServiceID: s.ID, AppID: s.AppID, Slot: want.Slot, Revision: s.Revision, Spec: s.Spec.Container}
			c.ID, c.Name = command.NewID(), want.Name
			c.Status.Phase = model.PhasePending
			c.Assign = d.assign(p, nodes, s)
			p.names[s.TenantID+"/"+c.Name] = true
			put.Containers = append(put.Containers, c)
		}
		cmds = append(cmds, put)
	}
	if len(assign) > 0 {
		cmds = append(cmds, &command.AssignContainers{Head: command.By(origin("deploy")), Items: assign})
	}
	return append(cmds, d.blocks(p)...)
}

// schedulable gives the scheduler its nodes.
func (p *picture) schedulable() []*scheduler.Node {
	var out []*scheduler.Node
	for _, n := range p.nodes {
		s := &scheduler.Node{ID: n.ID, Name: n.Name, EnvironmentID: n.EnvironmentID, Ready: n.Status.Ready, Volumes: map[string]bool{}}
		if !s.Ready && len(n.Status.Conditions) > 0 {
			s.NotReady = n.Status.Conditions[0].Message
		}
		out = append(out, s)
	}
	for _, list := range p.containers {
		for _, c := range list {
			for _, n := range out {
				if n.ID == c.Assign.NodeID && !c.Assign.Remove {
					n.Containers++
				}
			}
		}
	}
	for vol, nodeID := range p.volumes {
		for _, n := range out {
			if n.ID == nodeID {
				n.Volumes[vol] = true
			}
		}
	}
	return out
}

// assign places a container and gives it an address. Without a node, or
// without a free address, the assignment says why and is tried again later.
func (d *deployer) assign(p *picture, nodes []*scheduler.Node, s *model.Service) model.Assignment {
	req := scheduler.Request{EnvironmentID: s.EnvironmentID}
	for _, m := range s.Spec.Container.Mounts {
		if m.VolumeID != "" && p.volumes[m.VolumeID] != "" {
			req.Volumes = append(req.Volumes, m.VolumeID)
		}
	}
	flat := make([]scheduler.Node, len(nodes))
	for i, n := range nodes {
		flat[i] = *n
	}
	choice := scheduler.Place(req, flat)
	if choice.NodeID == "" {
		return model.Assignment{Reason: choice.Reason}
	}
	n := p.nodes[slices.IndexFunc(p.nodes, func(n *model.Node) bool { return n.ID == choice.NodeID })]
	addr, ok := ipalloc.Next(ipalloc.Node{Blocks: n.Blocks, Last: d.last[n.ID]}, func(a netip.Addr) bool { return p.addresses[a] })
	if !ok {
		return model.Assignment{Reason: "every address of " + n.Name + " is taken; the node gets more as long as the pool has any"}
	}
	d.last[n.ID], p.addresses[addr] = addr, true
	nodes[slices.IndexFunc(nodes, func(x *scheduler.Node) bool { return x.ID == n.ID })].Containers++
	return model.Assignment{NodeID: n.ID, Address: addr, Reason: choice.Reason}
}

// place tries again for a container that has no node yet; false if nothing is
// new.
func (d *deployer) place(p *picture, nodes []*scheduler.Node, s *model.Service, c *model.Container) (command.AssignItem, bool) {
	a := d.assign(p, nodes, s)
	return command.AssignItem{ID: c.ID, ExpectVersion: c.Version, Assign: a}, a != c.Assign
}

// blocks gives nodes that run short of addresses another block.
func (d *deployer) blocks(p *picture) []command.Command {
	var cmds []command.Command
	taken := map[netip.Prefix]bool{}
	for _, n := range p.nodes {
		for _, b := range n.Blocks {
			taken[b] = true
		}
	}
	for _, n := range p.nodes {
		const spare = 8 // fewer free ones than this is short
		free := 0
		for _, b := range n.Blocks {
			for a := b.Masked().Addr().Next(); b.Contains(a.Next()) && free < spare; a = a.Next() {
				if !p.addresses[a] {
					free++
				}
			}
		}
		if free >= spare {
			continue
		}
		b, ok := ipalloc.NextBlock(p.cluster.Pool, func(b netip.Prefix) bool { return taken[b] })
		if !ok {
			continue // Assign.Reason on the containers says that addresses have run out
		}
		taken[b] = true
		more := *n
		more.Blocks = append(slices.Clone(n.Blocks), b)
		cmds = append(cmds, &command.PutNode{Head: command.By(origin("deploy")), Node: more, ExpectVersion: n.Version})
	}
	return cmds
}
