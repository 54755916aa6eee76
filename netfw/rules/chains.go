package rules

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
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

// networkSet names the set of a network's addresses. Names of networks are longer than a set's name may be.
func networkSet(network string) string {
	sum := sha256.Sum256([]byte(network))
	return SetPrefix + "n-" + hex.EncodeToString(sum[:8])
}

func sets(d Desired) []Set {
	source := Set{Name: SourceSet, Type: "hash:net,iface"}
	members := map[string][]Entry{}
	for _, e := range d.Endpoints {
		source.Entries = append(source.Entries, Entry{e.Address, e.Veth})
		for _, n := range e.Networks {
			members[n] = append(members[n], Entry{Address: e.Address})
		}
	}
	out := []Set{source}
	for network, entries := range members {
		out = append(out, Set{Name: networkSet(network), Type: "hash:ip", Entries: entries})
	}
	slices.SortFunc(out, func(a, b Set) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func filter(d Desired, sets []Set) []Chain {
	in, out := "-i "+d.VethPrefix+"+ ", "-o "+d.VethPrefix+"+ "

	// Containers of one network talk; a published port of this host is as reachable for a container as for anyone.
	nets := []string{dnatted}
	for _, s := range sets {
		if s.Type == "hash:ip" {
			nets = append(nets, fmt.Sprintf("-m set --match-set %s src -m set --match-set %s dst -j ACCEPT", s.Name, s.Name))
		}
	}
	nets = append(nets, reject)

	input := []string{"! " + in + "-j RETURN", established}
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

	return []Chain{
		// ACCEPT here, before the rest of FORWARD, is what makes ports work where the policy is DROP.
		newChain("filter", Prefix+"FORWARD",
			out+established,
			in+established,
			in+"-j "+Prefix+"EGRESS",
			out+dnatted,
			out+"-j DROP"),
		newChain("filter", Prefix+"EGRESS",
			"-m conntrack --ctstate INVALID -j DROP",
			"-d "+linkLocal+" "+reject,
			"-d "+cloudMetadata+" "+reject,
			out+"-j "+Prefix+"NETS",
			"-d "+d.Pool.String()+" "+reject,
			"-j ACCEPT"),
		newChain("filter", Prefix+"NETS", nets...),
		newChain("filter", Prefix+"INPUT", input...),
		newChain("filter", Prefix+"OUTPUT", out+"-j ACCEPT"),
	}
}

func nat(d Desired) []Chain {
	out := "-o " + d.VethPrefix + "+ "
	bodies, dispatch := map[string][]string{}, []string{}
	for _, p := range d.Ports {
		if len(p.Backends) == 0 {
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
		for i, b := range p.Backends {
			share := ""
			if left := len(p.Backends) - i; left > 1 {
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

// raw stands before routing and conntrack: what is dropped here costs nothing further.
func raw(d Desired) Chain {
	in := "-i " + d.VethPrefix + "+ "
	body := []string{
		// rp_filter would do, but the kernel takes the larger of "all" and the interface, and distributions that set
		// all=2 (loose) would so undo the strictness of ours.
		in + "-m set ! --match-set " + SourceSet + " src,src -j DROP",
	}
	for _, p := range d.NodePools {
		body = append(body, fmt.Sprintf("-s %s ! %s-j DROP", p, in))
	}
	// A destination rewritten before routing never meets the kernel's own check for loopback from outside.
	body = append(body, "-d 127.0.0.0/8 ! -i lo -j DROP")
	return newChain("raw", Prefix+"RAW", body...)
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
