// Package overlay makes the containers of other nodes reachable from this host: a route for every block of addresses
// that another node gives to its containers, by its host's address where that is on a wire of ours, and otherwise in
// VXLAN packets. This is the plain mode: nothing is encrypted, the wire is trusted.
//
// A process on this host that uses a published port at 127.0.0.1 reaches other nodes' containers, too. The interfaces
// towards them must be told to let such packets out and their answers in (route_localnet), which Remove takes back.
// netfw/rules drops whatever else comes to 127.0.0.0/8 by them, and must have been applied before.
//
// It owns the routes of protocol Protocol, the interface Config.Device with its neighbours, and the addresses on lo
// that are labelled Label: the first address of each of this node's blocks, which the node speaks to other nodes'
// containers from. It writes no firewall rules and decides no addresses. The agent calls Apply for every change and on
// a timer, which repairs what others broke, and Remove when the node goes; a new process adopts what an earlier one
// left.
//
// Methods may be called from any goroutine; they run one after the other, in the network namespace that New ran in.
package overlay

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/netfw/rules"
)

// What marks things in the kernel as ours.
const (
	DefaultDevice = "skerry-vx"
	Protocol      = 83 // of our routes; beyond those that routing daemons use
	Label         = "lo:skerry"
)

// DefaultPort is the UDP port of packets between nodes. It is not VXLAN's own, so that other overlays on the host
// are left in peace.
const DefaultPort = 51820

// networkID tells our VXLAN packets from others'. Environments need none of their own: a node accepts packets only
// from its peers.
const networkID = 0x534b59

// overhead is what VXLAN adds to a packet: outer IPv4, UDP, VXLAN and inner Ethernet header, in bytes.
const overhead = 50

// Config is what does not change while the node runs.
type Config struct {
	Dir    string // where it is remembered what was changed of interfaces that are not ours: <run-dir>, which like those a boot clears
	Device string // empty: DefaultDevice
	Port   uint16 // zero: DefaultPort
	Log    *slog.Logger
}

// Desired is all that the routes depend on.
type Desired struct {
	NodeID  string         // of this node
	Address netip.Addr     // of this host, as the peers know it; zero, or not on this host: the kernel chooses
	Blocks  []netip.Prefix // this node's own, oldest first
	Peers   []Peer
}

// Peer is another node of the environment.
type Peer struct {
	NodeID  string
	Address netip.Addr // IPv4 of its host; zero: not known, so there is no way to it
	Blocks  []netip.Prefix
}

// Path is how packets go to a peer, and come from it.
type Path struct {
	NodeID       string
	Device       string // empty: there is no way at present
	Encapsulated bool
}

// Applied is what an Apply found and did.
type Applied struct {
	Paths   []Path   // in the order of Desired.Peers
	Changes []string // in words, one each; empty: everything was as desired
}

// Overlay is this host's part of the overlay.
type Overlay struct {
	cfg  Config
	host *netlink.Handle
	lo   netlink.Link

	mu      sync.Mutex
	nowhere map[string]bool // ids of peers without a way, said once; guarded by mu
}

// New opens the kernel's interface. It changes nothing.
func New(cfg Config) (*Overlay, error) {
	if cfg.Log == nil {
		return nil, errors.New("overlay: no logger given")
	}
	if cfg.Device == "" {
		cfg.Device = DefaultDevice
	}
	if cfg.Port == 0 {
		cfg.Port = DefaultPort
	}
	if !filepath.IsAbs(cfg.Dir) {
		return nil, fmt.Errorf("directory of the overlay's memory %q: give an absolute path", cfg.Dir)
	}
	if len(cfg.Device) > unix.IFNAMSIZ-1 {
		return nil, fmt.Errorf("overlay interface %q: at most %d characters", cfg.Device, unix.IFNAMSIZ-1)
	}
	host, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open route netlink socket: %w", err)
	}
	lo, err := host.LinkByName("lo")
	if err != nil {
		host.Close()
		return nil, fmt.Errorf("find loopback interface: %w", err)
	}
	return &Overlay{cfg: cfg, host: host, lo: lo, nowhere: map[string]bool{}}, nil
}

// Close gives the socket back. Routes stay.
func (o *Overlay) Close() { o.host.Close() }

// Port is the UDP port of packets between nodes.
func (o *Overlay) Port() uint16 { return o.cfg.Port }

// pass is one Apply on its way.
type pass struct {
	*Overlay
	d       Desired
	ways    []way // of the peers, in their order
	changes []string
}

// way is how one peer is reached.
type way struct {
	Peer
	index        int // of the interface on this host; zero: none
	device       string
	mtu          int
	encapsulated bool
}

func (p *pass) note(format string, args ...any) {
	p.changes = append(p.changes, fmt.Sprintf(format, args...))
}

// Apply makes the kernel hold d, whatever it holds now. Peers that cannot be reached at present are no error: their
// Path says so, and the next Apply looks again.
func (o *Overlay) Apply(ctx context.Context, d Desired) (Applied, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := &pass{Overlay: o, d: d}
	if err := d.check(); err != nil {
		return Applied{}, err
	}
	for _, peer := range d.Peers {
		w, err := o.way(peer)
		if err != nil && !o.nowhere[peer.NodeID] {
			o.cfg.Log.WarnContext(ctx, "another node cannot be reached", "node", peer.NodeID, "err", err)
		}
		o.nowhere[peer.NodeID] = err != nil
		p.ways = append(p.ways, w)
	}
	for _, step := range []func() error{p.addresses, p.device, p.loopback, p.routes} {
		if err := step(); err != nil {
			return Applied{Changes: p.changes}, err
		}
	}
	out := Applied{Changes: p.changes}
	for _, w := range p.ways {
		out.Paths = append(out.Paths, Path{NodeID: w.NodeID, Device: w.device, Encapsulated: w.encapsulated})
	}
	return out, nil
}

func (d Desired) check() error {
	if d.NodeID == "" {
		return errors.New("overlay: this node's id is missing")
	}
	seen := slices.Clone(d.Blocks)
	for _, b := range d.Blocks {
		if !b.IsValid() || !b.Addr().Is4() || b != b.Masked() {
			return fmt.Errorf("overlay: block %s of this node: not an IPv4 network", b)
		}
	}
	for _, p := range d.Peers {
		if p.NodeID == "" || p.NodeID == d.NodeID {
			return fmt.Errorf("overlay: node id %q of a peer: missing, or this node's own", p.NodeID)
		}
		for _, b := range p.Blocks {
			if !b.IsValid() || !b.Addr().Is4() || b != b.Masked() || b.Bits() == 0 {
				return fmt.Errorf("overlay: block %s of node %s: not an IPv4 network", b, p.NodeID)
			}
			if slices.ContainsFunc(seen, b.Overlaps) {
				return fmt.Errorf("overlay: block %s of node %s: another node has it, too", b, p.NodeID)
			}
			seen = append(seen, b)
		}
	}
	return nil
}

// way asks the kernel how a peer's host is reached.
func (o *Overlay) way(p Peer) (way, error) {
	w := way{Peer: p}
	if !p.Address.IsValid() {
		return w, errors.New("it has not said its host's address yet, or said a name that is none")
	}
	if !p.Address.Is4() || p.Address.IsUnspecified() || p.Address.IsMulticast() {
		return w, fmt.Errorf("address %s is not an IPv4 host's", p.Address)
	}
	found, err := o.host.RouteGet(p.Address.AsSlice())
	if err != nil {
		return w, fmt.Errorf("ask for the route to %s: %w", p.Address, err)
	}
	if len(found) == 0 || found[0].Type != unix.RTN_UNICAST {
		return w, fmt.Errorf("address %s is this host's own, or has no route", p.Address)
	}
	link, err := o.host.LinkByIndex(found[0].LinkIndex)
	if err != nil {
		return w, fmt.Errorf("find the interface towards %s: %w", p.Address, err)
	}
	name := link.Attrs().Name
	if name == o.cfg.Device || strings.HasPrefix(name, rules.DefaultVethPrefix) || name == "lo" {
		return w, fmt.Errorf("address %s is reached through %s, which is for containers", p.Address, name)
	}
	w.index, w.device, w.mtu = link.Attrs().Index, name, link.Attrs().MTU
	if len(found[0].Gw) > 0 || found[0].Via != nil { // there is a router in between, which knows nothing of containers
		w.device, w.encapsulated = o.cfg.Device, true
	}
	return w, nil
}

// addresses gives lo the addresses that this node speaks from.
func (p *pass) addresses() error {
	have, err := p.host.AddrList(p.lo, unix.AF_INET)
	if err != nil {
		return fmt.Errorf("list addresses of lo: %w", err)
	}
	missing := rules.IngressAddresses(p.d.Blocks)
	for _, a := range have {
		ip, _ := netip.AddrFromSlice(a.IP.To4())
		if i := slices.Index(missing, ip); i >= 0 {
			missing = slices.Delete(missing, i, i+1)
			continue
		}
		if a.Label != Label {
			continue
		}
		if err := p.host.AddrDel(p.lo, &a); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("take %s from lo: %w", a.IP, err)
		}
		p.note("took address %s from lo", a.IP)
	}
	for _, a := range missing {
		// Scope host: the kernel must not choose it by itself.
		addr := &netlink.Addr{IPNet: single(a), Scope: unix.RT_SCOPE_HOST, Label: Label}
		if err := p.host.AddrAdd(p.lo, addr); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("give %s to lo: %w", a, err)
		}
		p.note("gave address %s to lo", a)
	}
	return nil
}

// routes leads every peer's blocks to it, and what of our own blocks no container has to nowhere.
func (p *pass) routes() error {
	want := map[netip.Prefix]netlink.Route{}
	for _, b := range p.d.Blocks {
		want[b] = netlink.Route{Dst: network(b), Type: unix.RTN_UNREACHABLE}
	}
	var src net.IP
	if own := rules.IngressAddresses(p.d.Blocks); len(own) > 0 {
		src = own[0].AsSlice()
	}
	for _, w := range p.ways {
		for _, b := range w.Blocks {
			r := netlink.Route{Dst: network(b), Type: unix.RTN_UNREACHABLE} // rather than by the default route, to strangers
			if w.index != 0 {
				r = netlink.Route{Dst: network(b), Type: unix.RTN_UNICAST, LinkIndex: w.index, Gw: w.Address.AsSlice(), Src: src}
			}
			if w.encapsulated {
				r.Flags = int(netlink.FLAG_ONLINK)
			}
			want[b] = r
		}
	}
	have, err := p.host.RouteListFiltered(unix.AF_INET, &netlink.Route{Protocol: Protocol, Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
	if err != nil {
		return fmt.Errorf("list routes: %w", err)
	}
	for _, h := range have {
		b := prefix(h.Dst)
		w, wanted := want[b]
		if wanted && same(w, h) {
			delete(want, b)
			continue
		}
		if wanted && (w.Type == unix.RTN_UNREACHABLE) == (h.Type == unix.RTN_UNREACHABLE) {
			continue // replaced below, without a moment of no route
		}
		if err := p.host.RouteDel(&h); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("remove route to %s: %w", b, err)
		}
		p.note("removed the route to %s", b)
	}
	for b, r := range want {
		r.Protocol, r.Table = Protocol, unix.RT_TABLE_MAIN
		if err := p.host.RouteReplace(&r); err != nil {
			return fmt.Errorf("route %s: %w", b, err)
		}
		p.note("routed %s%s", b, by(r))
	}
	return nil
}

func by(r netlink.Route) string {
	if len(r.Gw) > 0 {
		return " by " + r.Gw.String()
	}
	return " to nowhere"
}

func same(w, h netlink.Route) bool {
	if w.Type != h.Type {
		return false
	}
	return w.Type == unix.RTN_UNREACHABLE ||
		w.LinkIndex == h.LinkIndex && w.Gw.Equal(h.Gw) && w.Src.Equal(h.Src) && w.Flags&int(netlink.FLAG_ONLINK) == h.Flags&int(netlink.FLAG_ONLINK)
}

// Remove takes everything of ours out of the kernel, also what an earlier process left. Calling it when there is
// nothing left is free.
func (o *Overlay) Remove() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := &pass{Overlay: o}
	return errors.Join(p.routes(), p.device(), p.addresses(), o.restoreLoopback())
}

// hardwareAddress is what a node's VXLAN interface has everywhere; its host's address may change.
func hardwareAddress(nodeID string) net.HardwareAddr {
	sum := sha256.Sum256([]byte(nodeID))
	return net.HardwareAddr{0x02, 0x53, sum[0], sum[1], sum[2], sum[3]}
}

func single(a netip.Addr) *net.IPNet { return network(netip.PrefixFrom(a, 32)) }

func network(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}
}

func prefix(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	a, _ := netip.AddrFromSlice(n.IP.To4())
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(a, ones)
}
