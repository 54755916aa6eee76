package rules

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// bucket is how many port numbers share one chain.
const bucket = 64

// Addresses in the link-local range serve clouds (metadata, credentials); so does the second one at one provider.
const (
	linkLocal     = "169.254.0.0/16"
	cloudMetadata = "100.100.100.200/32"
)

const (
	established = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
	dnatted     = "-m conntrack --ctstate DNAT -j ACCEPT"
	reject      = "-j REJECT --reject-with icmp-admin-prohibited"
)

// networkPrefix begins the name of every set of a network's addresses.
const networkPrefix = SetPrefix + "n-"

// networkSet names the set of a network's addresses. Names of networks are longer than a set's name may be.
func networkSet(network string) string {
	sum := sha256.Sum256([]byte(network))
	return networkPrefix + hex.EncodeToString(sum[:8])
}

func sets(d Desired) []Set {
	source := Set{Name: SourceSet, Type: "hash:net,iface"}
	members := map[string][]Entry{}
	for _, e := range d.Endpoints {
		source.Entries = append(source.Entries, Entry{Address: e.Address, Iface: e.Veth})
		for _, n := range e.Networks {
			members[n] = append(members[n], Entry{Address: e.Address})
		}
	}
	for _, r := range d.Remotes {
		for _, n := range r.Networks {
			if len(members[n]) > 0 { // it starts with the Endpoints': a network that nobody here is in needs no set
				members[n] = append(members[n], Entry{Address: r.Address})
			}
		}
	}
	out := append([]Set{source}, peerSets(d)...)
	for network, entries := range members {
		slices.SortFunc(entries, func(a, b Entry) int { return a.Address.Compare(b.Address) })
		out = append(out, Set{Name: networkSet(network), Type: "hash:ip", Entries: entries})
	}
	slices.SortFunc(out, func(a, b Set) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// peerSets say who the other nodes are.
func peerSets(d Desired) []Set {
	if len(d.Peers) == 0 {
		return nil
	}
	peers, hosts, ingress := Set{Name: PeerSet, Type: "hash:net,iface"}, Set{Name: HostSet, Type: "hash:ip"}, Set{Name: IngressSet, Type: "hash:ip"}
	for _, p := range d.Peers {
		if p.Address.IsValid() {
			hosts.Entries = append(hosts.Entries, Entry{Address: p.Address})
		}
		for _, b := range p.Blocks {
			if p.Device != "" {
				peers.Entries = append(peers.Entries, Entry{Address: b.Addr(), Bits: b.Bits(), Iface: p.Device})
			}
		}
		for _, a := range IngressAddresses(p.Blocks) {
			ingress.Entries = append(ingress.Entries, Entry{Address: a})
		}
	}
	all := []Set{peers, hosts, ingress}
	for i := range all {
		slices.SortFunc(all[i].Entries, func(a, b Entry) int {
			return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Bits, b.Bits), cmp.Compare(a.Iface, b.Iface))
		})
		all[i].Entries = slices.Compact(all[i].Entries)
	}
	return all
}

func filter(d Desired, sets []Set) []Chain {
	in, out := "-i "+d.VethPrefix+"+ ", "-o "+d.VethPrefix+"+ "

	// Containers of one network talk; a published port of this host is as reachable for a container as for anyone.
	nets := []string{dnatted}
	for _, s := range sets {
		if strings.HasPrefix(s.Name, networkPrefix) {
			nets = append(nets, fmt.Sprintf("-m set --match-set %s src -m set --match-set %s dst -j ACCEPT", s.Name, s.Name))
		}
	}
	nets = append(nets, reject)

	var input []string
	if len(d.Peers) > 0 {
		input = peersInput(d)
	}
	input = append(input, "! "+in+"-j RETURN", established)
	if d.Resolver.IsValid() {
		for _, p := range []Protocol{TCP, UDP} {
			input = append(input, fmt.Sprintf("-d %s/32 -p %s -m %s --dport %d -j ACCEPT", d.Resolver.Addr(), p, p, d.Resolver.Port()))
		}
	}
	input = append(input, "-d "+linkLocal+" "+reject)
	for _, port := range d.Control {
		input = append(input,
			fmt.Sprintf("-p tcp -m tcp --dport %d -j REJECT --reject-with tcp-reset", port),
			fmt.Sprintf("-p udp -m udp --dport %d -j REJECT --reject-with icmp-port-unreachable", port))
	}

	// ACCEPT here, before the rest of FORWARD, is what makes ports work where the policy is DROP.
	forward := []string{out + established, in + established, in + "-j " + Prefix + "EGRESS"}
	egress := []string{"-m conntrack --ctstate INVALID -j DROP", "-d " + linkLocal + " " + reject, "-d " + cloudMetadata + " " + reject}
	if len(d.Peers) > 0 {
		forward = append(forward,
			// Another node itself, or what came in by a published port there. Who else may come is for the networks to say.
			out+"-m set --match-set "+IngressSet+" src -j ACCEPT",
			out+"-s "+d.Pool.String()+" -j "+Prefix+"NETS",
			out+dnatted,
			out+"-j DROP",
			// What came in by a published port here and goes on to another node, and its answers.
			"-d "+d.Pool.String()+" "+dnatted,
			"-s "+d.Pool.String()+" "+dnatted)
		for _, port := range d.Control {
			// The other side would take them for this node's own: they bear its address.
			egress = append(egress,
				fmt.Sprintf("-p tcp -m tcp --dport %d -m set --match-set %s dst -j REJECT --reject-with tcp-reset", port, HostSet),
				fmt.Sprintf("-p udp -m udp --dport %d -m set --match-set %s dst -j REJECT --reject-with icmp-port-unreachable", port, HostSet))
		}
		if d.Overlay != 0 {
			egress = append(egress, fmt.Sprintf("-p udp -m udp --dport %d -m set --match-set %s dst -j REJECT --reject-with icmp-port-unreachable", d.Overlay, HostSet))
		}
		egress = append(egress, "-d "+d.Pool.String()+" -j "+Prefix+"NETS", "-j ACCEPT")
	} else {
		forward = append(forward, out+dnatted, out+"-j DROP")
		egress = append(egress, out+"-j "+Prefix+"NETS", "-d "+d.Pool.String()+" "+reject, "-j ACCEPT")
	}

	return []Chain{
		newChain("filter", Prefix+"FORWARD", forward...),
		newChain("filter", Prefix+"EGRESS", egress...),
		newChain("filter", Prefix+"NETS", nets...),
		newChain("filter", Prefix+"INPUT", input...),
		newChain("filter", Prefix+"OUTPUT", out+"-j ACCEPT"),
	}
}

// peersInput is what other nodes and their containers may say to this host itself.
func peersInput(d Desired) []string {
	body := []string{"-i lo -j RETURN"}
	if d.Overlay != 0 {
		body = append(body, fmt.Sprintf("-p udp -m udp --dport %d -m set --match-set %s src -j ACCEPT", d.Overlay, HostSet))
	}
	from := fmt.Sprintf("-s %s ! -i %s+ ", d.Pool, d.VethPrefix)
	return append(body,
		from+established,
		from+"-m set ! --match-set "+IngressSet+" src -j DROP") // a container has no business with another node
}

func nat(d Desired) []Chain {
	out := "-o " + d.VethPrefix + "+ "
	bodies, dispatch := map[string][]string{}, []string{}
	for _, p := range d.Ports {
		backends := d.reachable(p.Backends)
		if len(backends) == 0 {
			continue
		}
		first := int(p.HostPort) &^ (bucket - 1)
		name := fmt.Sprintf("%s%s-%d", Prefix, map[Protocol]string{TCP: "TCP", UDP: "UDP"}[p.Proto], first)
		if _, seen := bodies[name]; !seen {
			dispatch = append(dispatch, fmt.Sprintf("-p %s -m %s --dport %d:%d -j %s",
				p.Proto, p.Proto, first, first+bucket-1, name))
		}
		to := ""
		if p.HostIP.IsValid() {
			to = "-d " + p.HostIP.String() + "/32 "
		}
		for i, b := range backends {
			share := ""
			if left := len(backends) - i; left > 1 {
				share = "-m statistic --mode random --probability " + strconv.FormatFloat(1/float64(left), 'f', 11, 64) + " "
			}
			bodies[name] = append(bodies[name], fmt.Sprintf("%s-p %s -m %s --dport %d %s-j DNAT --to-destination %s",
				to, p.Proto, p.Proto, p.HostPort, share, b))
		}
	}

	post := []string{
		// A host process that used 127.0.0.1: the container must answer to something that is not its own loopback.
		out + "-s 127.0.0.0/8 -j SNAT --to-source " + d.Gateway.String(),
		// A container that reached itself through a published port would drop a packet from its own address.
		out + "-m set --match-set " + SourceSet + " src,dst -j SNAT --to-source " + d.Gateway.String(),
	}
	if len(d.Peers) > 0 && d.Ingress.IsValid() {
		// The answer must come back through this node.
		post = append(post, fmt.Sprintf("-d %s ! %s-m conntrack --ctstate DNAT -j SNAT --to-source %s", d.Pool, out, d.Ingress))
	}
	for _, p := range d.NodePools {
		post = append(post, fmt.Sprintf("-s %s ! -d %s ! %s-j MASQUERADE", p, d.Pool, out))
	}

	entry := []string{}
	if d.Resolver.IsValid() {
		// Whoever publishes port 53 must not receive what all containers ask the resolver.
		entry = append(entry, "-d "+d.Resolver.Addr().String()+"/32 -j RETURN")
	}
	entry = append(entry, "-m addrtype --dst-type LOCAL -j "+Prefix+"PORTS")

	chains := []Chain{
		newChain("nat", Prefix+"NAT", entry...),
		newChain("nat", Prefix+"PORTS", dispatch...),
		newChain("nat", Prefix+"POST", post...),
	}
	for name, body := range bodies {
		chains = append(chains, newChain("nat", name, body...))
	}
	return chains
}

// reachable drops the backends on other nodes where nothing could come back from them.
func (d Desired) reachable(backends []netip.AddrPort) []netip.AddrPort {
	if len(d.Peers) == 0 || d.Ingress.IsValid() {
		return backends
	}
	return slices.DeleteFunc(slices.Clone(backends), func(b netip.AddrPort) bool { return !d.local(b.Addr()) })
}

// local reports whether an address is in one of this node's blocks.
func (d Desired) local(a netip.Addr) bool {
	return slices.ContainsFunc(d.NodePools, func(p netip.Prefix) bool { return p.Contains(a) })
}

// raw stands before routing and conntrack: what is dropped here costs nothing further.
func raw(d Desired) []Chain {
	in := "-i " + d.VethPrefix + "+ "
	var body []string
	var more []Chain
	if len(d.Peers) > 0 {
		body = append(body,
			"-i lo -j RETURN",        // the host to itself, from its ingress address
			"-s 127.0.0.0/8 -j DROP") // from elsewhere; the interfaces towards other nodes would take it, see netfw/overlay
	}
	body = append(body,
		// rp_filter would do, but the kernel takes the larger of "all" and the interface, and distributions that set
		// all=2 (loose) would so undo the strictness of ours.
		in+"-m set ! --match-set "+SourceSet+" src,src -j DROP")
	for _, p := range d.NodePools {
		body = append(body, fmt.Sprintf("-s %s ! %s-j DROP", p, in))
	}
	if len(d.Peers) > 0 {
		// From elsewhere: a container of the node that is behind this interface, to one of ours or to ourselves.
		body = append(body, fmt.Sprintf("-s %s ! %s-j %sPEERS", d.Pool, in, Prefix))
		peers := []string{"-m set ! --match-set " + PeerSet + " src,src -j DROP"}
		for _, p := range d.NodePools {
			peers = append(peers, "-d "+p.String()+" -j RETURN")
		}
		more = append(more, newChain("raw", Prefix+"PEERS", append(peers, "-j DROP")...))
		if d.Overlay != 0 {
			body = append(body, fmt.Sprintf("-p udp -m udp --dport %d -m addrtype --dst-type LOCAL -m set ! --match-set %s src -j DROP", d.Overlay, HostSet))
		}
	}
	// A destination rewritten before routing never meets the kernel's own check for loopback from outside.
	body = append(body, "-d 127.0.0.0/8 ! -i lo -j DROP")
	return append(more, newChain("raw", Prefix+"RAW", body...))
}

func comparePorts(a, b Port) int {
	return cmp.Or(cmp.Compare(a.Proto, b.Proto), cmp.Compare(a.HostPort, b.HostPort), compareHostIP(a.HostIP, b.HostIP))
}

// compareHostIP puts specific addresses first: the first rule that matches decides.
func compareHostIP(a, b netip.Addr) int {
	if a.IsValid() != b.IsValid() {
		if a.IsValid() {
			return -1
		}
		return 1
	}
	return a.Compare(b)
}
