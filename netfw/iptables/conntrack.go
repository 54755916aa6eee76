package iptables

import (
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/netfw/rules"
)

// The kernel decides where a connection goes on its first packet and remembers. A UDP client that keeps sending
// would so reach a removed container, or miss one that was published after its first packet, for as long as it sends.
// The decision which entries are stale looks only at the entry and at Desired, never at what changed: it is also right
// for what happened while no daemon ran.

// leavesStale reports whether going from one Desired to the other can leave entries to delete. Reading the whole
// conntrack table is too slow for changes that cannot.
func leavesStale(from, to rules.Desired) bool {
	networks := networksOf(to)
	for address, old := range networksOf(from) {
		if now, there := networks[address]; !there || !slices.Equal(old, now) {
			return true
		}
	}
	ports := portMap(to)
	for key, backends := range portMap(from) {
		for b := range backends {
			if !ports[key][b] {
				return true
			}
		}
	}
	old := portMap(from)
	for key := range ports {
		if _, had := old[key]; key.proto == unix.IPPROTO_UDP && !had {
			return true
		}
	}
	return false
}

// networksOf says which networks the container of an address is in: those here and, as far as they matter, elsewhere.
func networksOf(d rules.Desired) map[netip.Addr][]string {
	out := make(map[netip.Addr][]string, len(d.Endpoints)+len(d.Remotes))
	add := func(a netip.Addr, networks []string) {
		networks = slices.Clone(networks)
		slices.Sort(networks)
		out[a] = networks
	}
	for _, e := range d.Endpoints {
		add(e.Address, e.Networks)
	}
	for _, r := range d.Remotes {
		add(r.Address, r.Networks)
	}
	return out
}

type portKey struct {
	proto uint8
	port  uint16
}

func portMap(d rules.Desired) map[portKey]map[netip.AddrPort]bool {
	out := make(map[portKey]map[netip.AddrPort]bool, len(d.Ports))
	for _, p := range d.Ports {
		key := portKey{unix.IPPROTO_TCP, p.HostPort}
		if p.Proto == rules.UDP {
			key.proto = unix.IPPROTO_UDP
		}
		if out[key] == nil { // one port may be published on several addresses
			out[key] = map[netip.AddrPort]bool{}
		}
		for _, b := range p.Backends {
			out[key][b] = true
		}
	}
	return out
}

// staleFlows matches the conntrack entries that lead where d would not lead them.
type staleFlows struct {
	desired  rules.Desired
	ports    map[portKey]map[netip.AddrPort]bool
	networks map[netip.Addr][]string // see networksOf
	nodes    map[netip.Addr]bool     // addresses that nodes themselves speak from
}

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (s staleFlows) MatchConntrackFlow(f *netlink.ConntrackFlow) bool {
	from, _ := netip.AddrFromSlice(f.Forward.SrcIP)
	to, _ := netip.AddrFromSlice(f.Forward.DstIP)
	answers, _ := netip.AddrFromSlice(f.Reverse.SrcIP)
	from, to, answers = from.Unmap(), to.Unmap(), answers.Unmap()

	if s.goneHere(from) || s.goneHere(answers) {
		return true
	}
	// Straight from one container to another: one elsewhere may be gone, or an address have a new owner.
	if to == answers && (s.here(from) && s.goneThere(to) || s.here(to) && s.goneThere(from) || s.strangers(from, to)) {
		return true
	}
	backends, published := s.ports[portKey{f.Forward.Protocol, f.Forward.DstPort}]
	if rewritten := to != answers; rewritten && s.desired.Pool.Contains(answers) {
		return !backends[netip.AddrPortFrom(answers, f.Reverse.SrcPort)]
	}
	// Sent to the port before it was published. What passes through to somebody else's port of that number is
	// deleted too, and made again by its next packet: whether an address is local is not worth asking.
	return published && f.Forward.Protocol == unix.IPPROTO_UDP && to == answers && !s.desired.Pool.Contains(to) &&
		!s.desired.Pool.Contains(from)
}

// goneHere reports whether a is an address of this node that no container has.
func (s staleFlows) goneHere(a netip.Addr) bool {
	return !s.known(a) && !s.nodes[a] && s.inPools(a)
}

func (s staleFlows) known(a netip.Addr) bool {
	_, there := s.networks[a]
	return there
}

// here reports whether a is a container's address on this node.
func (s staleFlows) here(a netip.Addr) bool { return s.known(a) && s.inPools(a) }

// strangers reports whether a and b are containers that share no network.
func (s staleFlows) strangers(a, b netip.Addr) bool {
	return a != b && s.known(a) && s.known(b) &&
		!slices.ContainsFunc(s.networks[a], func(n string) bool { return slices.Contains(s.networks[b], n) })
}

func (s staleFlows) inPools(a netip.Addr) bool {
	return slices.ContainsFunc(s.desired.NodePools, func(p netip.Prefix) bool { return p.Contains(a) })
}

// goneThere reports whether a is an address of another node that none of the containers has that matter here.
func (s staleFlows) goneThere(a netip.Addr) bool {
	return len(s.desired.Peers) > 0 && !s.known(a) && !s.nodes[a] && s.desired.Pool.Contains(a) && !s.inPools(a)
}

// forget deletes the stale entries and returns how many they were.
func (t *Table) forget(d rules.Desired) (uint, error) {
	stale := staleFlows{desired: d, ports: portMap(d), networks: networksOf(d), nodes: map[netip.Addr]bool{}}
	for _, a := range rules.IngressAddresses(d.NodePools) {
		stale.nodes[a] = true
	}
	for _, p := range d.Peers {
		for _, a := range rules.IngressAddresses(p.Blocks) {
			stale.nodes[a] = true
		}
	}
	return t.nl.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, stale)
}
