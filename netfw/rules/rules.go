// Package rules turns what this node should let through into the text of netfilter rules.
//
// It owns the shape of Skerry's firewall: which chains exist, what stands in them and in what order. It is pure: no
// kernel, no clock, no randomness. Equal Desired values render to equal bytes, whatever the order of their slices, so
// the text can be golden-tested and compared by hash. It never loads anything (netfw/iptables does) and never names a
// chain or set that does not begin with Prefix or SetPrefix. Called by netfw/iptables and by tests; safe for
// concurrent use, because nothing here is shared.
//
// The layout keeps a change small. Facts about one container (its address, its veth, its networks) live in ipsets,
// which take one netlink message to change. Published ports live in chains of 64 port numbers each, behind a
// dispatch, so publishing a port rewrites one small chain, and a packet walks tens of rules instead of thousands.
package rules

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Names that belong to Skerry in the kernel. Everything that begins so is ours to change and to remove.
const (
	Prefix    = "SKERRY-" // chains
	SetPrefix = "skerry-" // ipsets, 31 bytes at most
)

// SourceSet pairs every container address with the host end of its veth. It is both the guard against spoofed
// sources and, matched as "src,dst", the test for a container that reaches itself through a published port.
const SourceSet = SetPrefix + "source"

// The sets about other nodes; there are none of them while the node is alone. PeerSet pairs every block of another
// node with the interface that its packets come in by, HostSet holds the addresses of their hosts, IngressSet those
// that their own processes and published ports speak from, see IngressAddresses.
const (
	PeerSet    = SetPrefix + "peers"
	HostSet    = SetPrefix + "hosts"
	IngressSet = SetPrefix + "ingress"
)

// DefaultGateway is the next hop that containers see, and the source address of traffic that the host hands them
// from 127.0.0.1. DefaultVethPrefix begins the name of every host end of a veth.
const (
	DefaultGateway    = "169.254.1.1"
	DefaultVethPrefix = "skv"
)

// Protocol is the transport of a published port.
type Protocol string

// The protocols that can be published.
const (
	TCP Protocol = "tcp"
	UDP Protocol = "udp"
)

// Endpoint is one container on this node.
type Endpoint struct {
	Address  netip.Addr // IPv4, inside one of Desired.NodePools
	Veth     string     // host end of its veth; begins with Desired.VethPrefix
	Networks []string   // networks it is in; containers that share none cannot reach each other. Empty: reaches none
}

// Remote is one container on another node.
type Remote struct {
	Address  netip.Addr // IPv4, inside Desired.Pool and in none of Desired.NodePools
	Networks []string   // as in Endpoint
}

// Peer is another node of the environment.
type Peer struct {
	Address netip.Addr     // IPv4 of its host
	Blocks  []netip.Prefix // the parts of Pool that it gives to its containers
	Device  string         // the interface that packets from its containers come in by; empty: none may come
}

// IngressAddresses are the first addresses of a node's blocks, which no container gets: the node itself speaks to
// other nodes' containers from them.
func IngressAddresses(blocks []netip.Prefix) []netip.Addr {
	out := make([]netip.Addr, len(blocks))
	for i, b := range blocks {
		out[i] = b.Masked().Addr()
	}
	return out
}

// Port is one published port.
type Port struct {
	Proto    Protocol
	HostIP   netip.Addr // IPv4; unspecified or zero: every local address. A specific address wins over it
	HostPort uint16
	Backends []netip.AddrPort // connections are shared fairly; none: the port is refused like any closed port
}

// Desired is everything this node's rules depend on.
type Desired struct {
	Pool       netip.Prefix   // addresses of all containers of the environment; traffic that leaves it is masqueraded
	NodePools  []netip.Prefix // the parts of Pool that this node gives to its containers
	Endpoints  []Endpoint
	Peers      []Peer     // none: the node is alone, and nothing from elsewhere is of the environment
	Remotes    []Remote   // containers of the peers; those that share no network with an Endpoint may be left out
	Ingress    netip.Addr // one of this node's IngressAddresses; zero: published ports lead to no remote backend
	Overlay    uint16     // UDP port of encapsulated packets between nodes; zero: there are none
	Ports      []Port
	Control    []uint16       // ports of the node itself that no container may reach, TCP and UDP
	Resolver   netip.AddrPort // where containers may ask for names; zero: nowhere
	Gateway    netip.Addr     // zero: DefaultGateway
	VethPrefix string         // empty: DefaultVethPrefix
}

// Chain is one chain of ours, whole.
type Chain struct {
	Table, Name string
	Rules       []string // without "-A NAME"; each carries its own hash as a comment, see Mark
}

// Hook makes a built-in chain jump to one of ours, before anything else in it.
type Hook struct{ Table, Builtin, Chain string }

// Rule is the hook as iptables-save prints it, without "-A BUILTIN".
func (h Hook) Rule() string { return "-j " + h.Chain }

// Set is one ipset with its entries, sorted.
type Set struct {
	Name, Type string // Type is hash:ip or hash:net,iface
	Entries    []Entry
}

// Entry is one member of a Set. Iface is empty in a hash:ip set.
type Entry struct {
	Address netip.Addr
	Bits    int // of a network in a hash:net,iface set; zero: one address
	Iface   string
}

// String is the entry as ipset prints it.
func (e Entry) String() string {
	s := e.Address.String()
	if e.Bits != 0 {
		s = netip.PrefixFrom(e.Address, e.Bits).String()
	}
	return strings.TrimSuffix(s+","+e.Iface, ",")
}

// Ruleset is the rendered form of a Desired, sorted by table, then name.
type Ruleset struct {
	Chains []Chain
	Hooks  []Hook
	Sets   []Set
}

// Hooks lists where Skerry enters the built-in chains. It does not depend on Desired.
func Hooks() []Hook {
	return []Hook{
		{"filter", "FORWARD", Prefix + "FORWARD"},
		{"filter", "INPUT", Prefix + "INPUT"},
		{"filter", "OUTPUT", Prefix + "OUTPUT"},
		{"nat", "OUTPUT", Prefix + "NAT"},
		{"nat", "POSTROUTING", Prefix + "POST"},
		{"nat", "PREROUTING", Prefix + "NAT"},
		{"raw", "PREROUTING", Prefix + "RAW"},
	}
}

// Tables lists the tables that Skerry has chains in.
func Tables() []string { return []string{"filter", "nat", "raw"} }

// Render checks d and renders it. An error names the first thing that is wrong and leaves nothing half rendered.
func Render(d Desired) (Ruleset, error) {
	d, err := normalize(d)
	if err != nil {
		return Ruleset{}, err
	}
	set := sets(d)
	r := Ruleset{Hooks: Hooks(), Sets: set}
	r.Chains = append(r.Chains, filter(d, set)...)
	r.Chains = append(r.Chains, nat(d)...)
	r.Chains = append(r.Chains, raw(d)...)
	slices.SortFunc(r.Chains, func(a, b Chain) int {
		return strings.Compare(a.Table+" "+a.Name, b.Table+" "+b.Name)
	})
	return r, nil
}

// Text is the whole ruleset as input for `iptables-restore --noflush`, followed by the sets as comments. It declares
// and so replaces every chain; hooks are not in it, because whether they must be added depends on what the kernel has.
func (r Ruleset) Text() string {
	var b strings.Builder
	b.WriteString(Restore(r.Chains, nil))
	for _, h := range r.Hooks {
		fmt.Fprintf(&b, "# hook %s %s %s\n", h.Table, h.Builtin, h.Rule())
	}
	for _, s := range r.Sets {
		fmt.Fprintf(&b, "# set %s %s\n", s.Name, s.Type)
		for _, e := range s.Entries {
			fmt.Fprintf(&b, "#   %s\n", e)
		}
	}
	return b.String()
}

// Restore is the input for `iptables-restore --noflush` that replaces the given chains, and runs the extra lines of
// a table (for instance a hook, or the removal of a chain) after them. Each table is one atomic step.
func Restore(chains []Chain, extra map[string][]string) string {
	var b strings.Builder
	for _, table := range Tables() {
		var own []Chain
		for _, c := range chains {
			if c.Table == table {
				own = append(own, c)
			}
		}
		if len(own) == 0 && len(extra[table]) == 0 {
			continue
		}
		fmt.Fprintf(&b, "*%s\n", table)
		for _, c := range own {
			fmt.Fprintf(&b, ":%s - [0:0]\n", c.Name)
		}
		for _, c := range own {
			for _, rule := range c.Rules {
				fmt.Fprintf(&b, "-A %s %s\n", c.Name, rule)
			}
		}
		for _, line := range extra[table] {
			b.WriteString(line + "\n")
		}
		b.WriteString("COMMIT\n")
	}
	return b.String()
}

// newChain marks every rule with its own hash. iptables-save never prints what was loaded (it adds matches, reorders
// them and rounds numbers), so the marks are how drift is found, and how a changed chain is edited rule by rule.
func newChain(table, name string, body ...string) Chain {
	c := Chain{Table: table, Name: name, Rules: make([]string, len(body))}
	for i, rule := range body {
		h := fnv.New64a()
		h.Write([]byte(rule))
		c.Rules[i] = markPrefix + strconv.FormatUint(h.Sum64(), 16) + `" ` + rule
	}
	return c
}

const markPrefix = `-m comment --comment "skerry:`

// Mark finds the hash in a rule, ours or as iptables-save prints it. Empty: the rule is not ours.
func Mark(rule string) string {
	_, after, found := strings.Cut(rule, "skerry:")
	if !found {
		return ""
	}
	end := strings.IndexFunc(after, func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'f') })
	if end < 0 {
		return after
	}
	return after[:end]
}
