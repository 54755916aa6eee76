package state

import (
	"fmt"
	"slices"

	"github.com/skerryhq/skerry/raft/model"
)

// freePorts gives back every port of a service.
func (t *tx) freePorts(serviceID string) {
	for _, p := range collect(t.v.PortsOfService(serviceID)) {
		t.del(tabPorts, p)
	}
}

// assignPorts gives the services of an app the ports that their specs ask for.
// Numbers that are no longer asked for are freed first, numbers that are asked
// for come before those the platform chooses, and a chosen number stays with
// its container port as long as that is published.
func (t *tx) assignPorts(app *model.App, services []*model.Service) *model.Error {
	plans := make([]portPlan, len(services))
	for i, s := range services {
		plans[i] = planPorts(s)
		for _, p := range collect(t.v.PortsOfService(s.ID)) {
			if !slices.ContainsFunc(plans[i].ports, func(w model.Port) bool { return w.Protocol == p.Protocol && w.HostPort == p.HostPort }) {
				t.del(tabPorts, p)
			}
		}
	}
	for i, s := range services {
		for j := range plans[i].ports {
			if plans[i].ports[j].HostPort == 0 {
				continue
			}
			if err := t.claim(app, s, &plans[i].ports[j]); err != nil {
				return err.At(fmt.Sprintf("spec.services.%s.ports[%d]", s.Name, j))
			}
		}
	}
	for i, s := range services {
		for j := range plans[i].ports {
			if plans[i].ports[j].HostPort != 0 {
				continue
			}
			if err := t.allocate(app, s, &plans[i].ports[j]); err != nil {
				return err.At(fmt.Sprintf("spec.services.%s.ports[%d]", s.Name, j))
			}
		}
		if len(plans[i].ports) == 0 && len(s.Ports) == 0 || slices.Equal(plans[i].ports, s.Ports) {
			continue
		}
		n := *s
		n.Ports = plans[i].ports
		t.updated(&n.Meta)
		t.replace(tabServices, s, &n)
	}
	return nil
}

// portPlan is what a service's ports shall be; 0 as HostPort waits for
// allocate.
type portPlan struct{ ports []model.Port }

// planPorts matches a spec with the numbers that the service has.
func planPorts(s *model.Service) portPlan {
	had := slices.Clone(s.Ports)
	var out portPlan
	for _, want := range s.Spec.Ports {
		p := model.Port{PortSpec: want, EnvironmentID: s.EnvironmentID, ServiceID: s.ID, TenantID: s.TenantID}
		if want.HostPort == 0 {
			i := slices.IndexFunc(had, func(h model.Port) bool {
				return h.Protocol == want.Protocol && h.Container == want.Container && h.HostIP == want.HostIP && !asked(s.Spec.Ports, h)
			})
			if i >= 0 {
				p.HostPort = had[i].HostPort
				had = slices.Delete(had, i, i+1)
			}
		}
		out.ports = append(out.ports, p)
	}
	return out
}

// asked says whether a spec asks for a port by number.
func asked(specs []model.PortSpec, p model.Port) bool {
	return slices.ContainsFunc(specs, func(w model.PortSpec) bool { return w.Protocol == p.Protocol && w.HostPort == p.HostPort })
}

// claim takes a port by number, or keeps it.
func (t *tx) claim(app *model.App, s *model.Service, p *model.Port) *model.Error {
	old, taken := t.v.Port(p.EnvironmentID, p.Protocol, p.HostPort)
	switch {
	case !taken:
		n := *p
		t.create(tabPorts, &n)
		return nil
	case old.ServiceID != s.ID:
		return t.portTaken(app.TenantID, old)
	}
	// The same service has the number: it keeps it, perhaps for another container
	// port or address, unless the spec asks for the number twice.
	n := 0
	for _, w := range s.Spec.Ports {
		if w.Protocol == p.Protocol && w.HostPort == p.HostPort {
			n++
		}
	}
	if n > 1 {
		return model.Errorf(model.KindInvalid, "port_taken", "port %d/%s is asked for twice in service %s; give each its own number", p.HostPort, p.Protocol, s.Name)
	}
	if old.PortSpec == p.PortSpec {
		return nil
	}
	k := *p
	t.replace(tabPorts, old, &k)
	return nil
}

// portTaken names who has a port, unless that is another tenant's.
func (t *tx) portTaken(tenantID string, p *model.Port) *model.Error {
	const code = "port_taken"
	owner, ok := t.v.Service(p.ServiceID)
	if !ok || owner.TenantID != tenantID {
		return model.Errorf(model.KindConflict, code, "port %d/%s is already published by somebody else; choose another", p.HostPort, p.Protocol)
	}
	return model.Errorf(model.KindConflict, code, "port %d/%s is already published by service %s of app %s; choose another or remove it", p.HostPort, p.Protocol, owner.Name, owner.AppName)
}

// allocate takes the lowest free number of the platform's range.
func (t *tx) allocate(app *model.App, s *model.Service, p *model.Port) *model.Error {
	cluster, ok := t.v.Cluster()
	if !ok {
		return notFound("cluster", "")
	}
	free := uint32(cluster.PortMin) // wider than a port, so that 65535 can be passed
	it, err := t.txn.LowerBound(tabPorts, idxID, portKey(p.EnvironmentID, p.Protocol, cluster.PortMin))
	must(err)
	for o := it.Next(); o != nil; o = it.Next() {
		q := o.(*model.Port)
		if q.EnvironmentID != p.EnvironmentID || q.Protocol != p.Protocol || uint32(q.HostPort) != free {
			break
		}
		free++
	}
	if free > uint32(cluster.PortMax) {
		return model.Errorf(model.KindExhausted, "ports_exhausted", "every %s port from %d to %d is in use; ask for one outside by number or remove an app", p.Protocol, cluster.PortMin, cluster.PortMax)
	}
	p.HostPort = uint16(free)
	n := *p
	t.create(tabPorts, &n)
	t.event(model.Event{TenantID: app.TenantID, Kind: "service", ObjectID: s.ID, Object: s.Name, AppID: app.ID, Reason: "PortAllocated",
		Message: fmt.Sprintf("service %s of app %s got port %d/%s for its port %d", s.Name, app.Name, p.HostPort, p.Protocol, p.Container)})
	return nil
}
