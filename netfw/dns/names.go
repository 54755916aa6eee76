// Package dns answers containers' questions for names, and passes on what is not ours.
//
// It owns the rules which name means which addresses, who may see it, and the server that speaks the protocol. It
// never decides who runs where: that is a Snapshot, set as a whole. It is run by the edge process (appliance/edge),
// which holds no privilege, and used in tests. Names is pure and immutable; Server is safe for concurrent use.
//
// A container may ask for SERVICE, for a container's name or an alias (in its own app), and for each of these followed
// by .APP or .APP.skerry.internal. It is answered only with containers that share a network with it. What it may
// not see does not exist for it: under skerry.internal that is NXDOMAIN, elsewhere the question goes to the host's
// resolvers, so that nobody's app called "com" changes what example.com means for others.
package dns

import (
	"net/netip"
	"slices"
	"strings"
)

// DefaultDomain ends every name of ours.
const DefaultDomain = "skerry.internal"

// Snapshot is all that names depend on.
type Snapshot struct {
	Domain    string       `json:"domain,omitempty"` // empty: DefaultDomain
	Pool      netip.Prefix `json:"pool"`             // only these addresses are answered at all
	Endpoints []Endpoint   `json:"endpoints"`
}

// Endpoint is one container, of this node or another.
type Endpoint struct {
	Address  netip.Addr `json:"address"`
	Name     string     `json:"name"` // the container's own
	Service  string     `json:"service"`
	App      string     `json:"app"`
	Aliases  []string   `json:"aliases,omitempty"`
	Networks []string   `json:"networks,omitempty"` // ids; unique over all tenants
	Serving  bool       `json:"serving"`            // false: its names exist, its address is not given out
}

// Outcome says what is to be done with a question.
type Outcome int

// The outcomes of a question.
const (
	Answered Outcome = iota // with the addresses or the name; possibly none
	NoSuchName
	Elsewhere // not ours: ask the host's resolvers
	NotYet    // an address of ours that no endpoint has yet: ask again
	Refused   // not one of our containers
)

// Names is an indexed Snapshot.
type Names struct {
	domain string
	pool   netip.Prefix
	byName map[string][]*Endpoint // "NAME.APP", lower case, sorted by address
	byAddr map[netip.Addr]*Endpoint
}

// NewNames indexes s, which it keeps no reference to.
func NewNames(s Snapshot) *Names {
	if s.Domain == "" {
		s.Domain = DefaultDomain
	}
	n := &Names{domain: clean(s.Domain), pool: s.Pool, byName: map[string][]*Endpoint{}, byAddr: make(map[netip.Addr]*Endpoint, len(s.Endpoints))}
	for _, e := range s.Endpoints {
		e.Name, e.Service, e.App, e.Networks = clean(e.Name), clean(e.Service), clean(e.App), slices.Clone(e.Networks)
		n.byAddr[e.Address] = &e
		names := append([]string{e.Name, e.Service}, e.Aliases...)
		for i, name := range names {
			names[i] = clean(name)
		}
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			if name != "" {
				key := name + "." + e.App
				n.byName[key] = append(n.byName[key], &e)
			}
		}
	}
	for _, list := range n.byName {
		slices.SortFunc(list, func(a, b *Endpoint) int { return a.Address.Compare(b.Address) })
	}
	return n
}

func clean(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// Lookup finds the addresses that name means for the container at asker, in order.
func (n *Names) Lookup(asker netip.Addr, name string) ([]netip.Addr, Outcome) {
	name = clean(name)
	short, ours := strings.CutSuffix(name, "."+n.domain)
	if name == n.domain {
		short, ours = "", true
	}
	ours = ours || (name != "" && !strings.Contains(name, ".")) // the root itself is everybody's
	who, known := n.byAddr[asker]
	if !known {
		return nil, n.stranger(asker, ours)
	}
	if name == n.domain {
		return nil, Answered
	}
	// The asker's own app first: an alias may have dots in it.
	for _, key := range []string{short + "." + who.App, short} {
		found := false
		var out []netip.Addr
		for _, e := range n.byName[key] {
			if sees(who, e) {
				found = true
				if e.Serving {
					out = append(out, e.Address)
				}
			}
		}
		if found {
			return out, Answered
		}
	}
	if ours {
		return nil, NoSuchName
	}
	return nil, Elsewhere
}

// Reverse finds the full name of an address, as far as asker may see it.
func (n *Names) Reverse(asker, address netip.Addr) (string, Outcome) {
	ours := n.pool.Contains(address) || address.IsLinkLocalUnicast()
	who, known := n.byAddr[asker]
	if !known {
		return "", n.stranger(asker, ours)
	}
	if e, ok := n.byAddr[address]; ok && sees(who, e) {
		return e.Name + "." + e.App + "." + n.domain, Answered
	}
	if ours {
		return "", NoSuchName
	}
	return "", Elsewhere
}

// InApp reports whether name ends in an app that asker can see something of: where nobody else can be asked, such a
// name is known not to exist.
func (n *Names) InApp(asker netip.Addr, name string) bool {
	who, known := n.byAddr[asker]
	if !known {
		return false
	}
	_, app, found := strings.Cut(clean(name), ".")
	if !found {
		return false
	}
	for _, e := range n.byAddr {
		if e.App == app && sees(who, e) {
			return true
		}
	}
	return false
}

func (n *Names) stranger(asker netip.Addr, ours bool) Outcome {
	switch {
	case !n.pool.IsValid() || !n.pool.Contains(asker):
		return Refused
	case ours:
		return NotYet
	default:
		return Elsewhere
	}
}

// sees reports whether two containers share a network. A container always sees itself.
func sees(a, b *Endpoint) bool {
	return a == b || slices.ContainsFunc(a.Networks, func(network string) bool { return slices.Contains(b.Networks, network) })
}
