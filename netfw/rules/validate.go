package rules

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// deviceName is what may be the name of an interface of a host: without what a rule or a wildcard is made of.
var deviceName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:@-]{0,14}$`)

var vethName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$`)

// normalize checks d, fills defaults and sorts copies of its slices. Everything that becomes text is checked here:
// a rule is a line for a program that runs as root.
func normalize(d Desired) (Desired, error) {
	if !d.Gateway.IsValid() {
		d.Gateway = netip.MustParseAddr(DefaultGateway)
	}
	if d.VethPrefix == "" {
		d.VethPrefix = DefaultVethPrefix
	}
	if !vethName.MatchString(d.VethPrefix) {
		return d, fmt.Errorf("veth prefix %q: use 1 to 15 letters, digits, '.', '_' or '-'", d.VethPrefix)
	}
	if !d.Gateway.Is4() || d.Gateway.IsUnspecified() {
		return d, fmt.Errorf("gateway %s: not an IPv4 address", d.Gateway)
	}
	if err := checkPools(&d); err != nil {
		return d, err
	}
	if d.Resolver != (netip.AddrPort{}) && (!d.Resolver.IsValid() || !d.Resolver.Addr().Is4() || d.Resolver.Port() == 0) {
		return d, fmt.Errorf("resolver %s: give an IPv4 address and a port", d.Resolver)
	}
	d.Control = slices.Clone(d.Control)
	slices.Sort(d.Control)
	d.Control = slices.Compact(d.Control)
	if len(d.Control) > 0 && d.Control[0] == 0 {
		return d, fmt.Errorf("control port 0: not a port")
	}
	if err := checkEndpoints(&d); err != nil {
		return d, err
	}
	if err := checkPeers(&d); err != nil {
		return d, err
	}
	return d, checkPorts(&d)
}

func checkPools(d *Desired) error {
	if !d.Pool.IsValid() || !d.Pool.Addr().Is4() || d.Pool != d.Pool.Masked() || d.Pool.Bits() == 0 {
		return fmt.Errorf("pool %s: give an IPv4 network such as 10.42.0.0/16", d.Pool)
	}
	d.NodePools = slices.Clone(d.NodePools)
	slices.SortFunc(d.NodePools, comparePrefix)
	d.NodePools = slices.Compact(d.NodePools)
	for _, p := range d.NodePools {
		if !p.IsValid() || !p.Addr().Is4() || p != p.Masked() || p.Bits() < d.Pool.Bits() || !d.Pool.Contains(p.Addr()) {
			return fmt.Errorf("node pool %s: not a part of the pool %s", p, d.Pool)
		}
	}
	return nil
}

func checkEndpoints(d *Desired) error {
	d.Endpoints = slices.Clone(d.Endpoints)
	slices.SortFunc(d.Endpoints, func(a, b Endpoint) int { return a.Address.Compare(b.Address) })
	veths := make(map[string]netip.Addr, len(d.Endpoints))
	for i := range d.Endpoints {
		e := &d.Endpoints[i]
		inside := func(p netip.Prefix) bool { return p.Contains(e.Address) }
		if !e.Address.Is4() || !slices.ContainsFunc(d.NodePools, inside) {
			return fmt.Errorf("container address %s: in none of this node's pools %v", e.Address, d.NodePools)
		}
		if i > 0 && d.Endpoints[i-1].Address == e.Address {
			return fmt.Errorf("container address %s: given to two containers", e.Address)
		}
		if !vethName.MatchString(e.Veth) || !strings.HasPrefix(e.Veth, d.VethPrefix) || e.Veth == d.VethPrefix {
			return fmt.Errorf("veth %q of %s: must begin with %q and have at most 15 characters", e.Veth, e.Address, d.VethPrefix)
		}
		if other, taken := veths[e.Veth]; taken {
			return fmt.Errorf("veth %s: given to both %s and %s", e.Veth, other, e.Address)
		}
		veths[e.Veth] = e.Address
		e.Networks = slices.Clone(e.Networks)
		slices.Sort(e.Networks)
		e.Networks = slices.Compact(e.Networks)
	}
	return nil
}

func checkPeers(d *Desired) error {
	if d.Ingress.IsValid() && !slices.Contains(IngressAddresses(d.NodePools), d.Ingress) {
		return fmt.Errorf("ingress address %s: not the first address of one of this node's pools %v", d.Ingress, d.NodePools)
	}
	d.Peers = slices.Clone(d.Peers)
	for i := range d.Peers {
		p := &d.Peers[i]
		if p.Address.IsValid() && (!p.Address.Is4() || p.Address.IsUnspecified()) {
			return fmt.Errorf("address %s of another node: not an IPv4 address", p.Address)
		}
		if p.Device != "" && (!deviceName.MatchString(p.Device) || strings.HasPrefix(p.Device, d.VethPrefix)) {
			return fmt.Errorf("interface %q towards node %s: not a name of an interface, or one of a container's", p.Device, p.Address)
		}
		p.Blocks = slices.Clone(p.Blocks)
		slices.SortFunc(p.Blocks, comparePrefix)
		p.Blocks = slices.Compact(p.Blocks)
		for _, b := range p.Blocks {
			if !b.IsValid() || !b.Addr().Is4() || b != b.Masked() || b.Bits() < d.Pool.Bits() || b.Bits() == 0 || !d.Pool.Contains(b.Addr()) {
				return fmt.Errorf("pool %s of node %s: not a part of the pool %s", b, p.Address, d.Pool)
			}
			if slices.ContainsFunc(d.NodePools, b.Overlaps) {
				return fmt.Errorf("pool %s of node %s: it is this node's as well", b, p.Address)
			}
		}
	}
	d.Remotes = slices.Clone(d.Remotes)
	slices.SortFunc(d.Remotes, func(a, b Remote) int { return a.Address.Compare(b.Address) })
	for i := range d.Remotes {
		r := &d.Remotes[i]
		if !r.Address.Is4() || !d.Pool.Contains(r.Address) || d.local(r.Address) {
			return fmt.Errorf("address %s of another node's container: not in the pool %s, or in one of this node's own", r.Address, d.Pool)
		}
		if i > 0 && d.Remotes[i-1].Address == r.Address {
			return fmt.Errorf("address %s of another node's container: given to two containers", r.Address)
		}
		r.Networks = slices.Clone(r.Networks)
		slices.Sort(r.Networks)
		r.Networks = slices.Compact(r.Networks)
	}
	return nil
}

func checkPorts(d *Desired) error {
	d.Ports = slices.Clone(d.Ports)
	for i := range d.Ports {
		p := &d.Ports[i]
		if p.HostIP.Is4() && p.HostIP.IsUnspecified() {
			p.HostIP = netip.Addr{}
		}
		if p.Proto != TCP && p.Proto != UDP {
			return fmt.Errorf("published port %d: protocol %q is neither tcp nor udp", p.HostPort, p.Proto)
		}
		if p.HostPort == 0 {
			return fmt.Errorf("published port 0/%s: ports go from 1 to 65535", p.Proto)
		}
		if slices.Contains(d.Control, p.HostPort) {
			return fmt.Errorf("published port %d/%s: the node itself uses it", p.HostPort, p.Proto)
		}
		if p.HostIP.IsValid() && !p.HostIP.Is4() {
			return fmt.Errorf("published port %d/%s: address %s is not IPv4", p.HostPort, p.Proto, p.HostIP)
		}
		p.Backends = slices.Clone(p.Backends)
		slices.SortFunc(p.Backends, netip.AddrPort.Compare)
		p.Backends = slices.Compact(p.Backends)
		for _, b := range p.Backends {
			if !b.Addr().Is4() || b.Port() == 0 || !d.Pool.Contains(b.Addr()) {
				return fmt.Errorf("published port %d/%s: backend %s is not a port of a container in %s", p.HostPort, p.Proto, b, d.Pool)
			}
		}
	}
	slices.SortFunc(d.Ports, comparePorts)
	for i := 1; i < len(d.Ports); i++ {
		if a, b := d.Ports[i-1], d.Ports[i]; comparePorts(a, b) == 0 {
			return fmt.Errorf("published port %d/%s: given twice for the same address", b.HostPort, b.Proto)
		}
	}
	return nil
}

func comparePrefix(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}
