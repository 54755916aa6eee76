package link

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// HostState is what the host was before the node's first EnsureHost since boot.
type HostState struct {
	ForwardingWas bool // ip_forward was already on: somebody else needs it, or the admin wants it
}

// forwarding is the host's switch for routing between interfaces.
const forwarding = "/proc/sys/net/ipv4/ip_forward"

// memory is where HostState is kept: beside Config.Dir in the run directory, which like ip_forward a boot clears.
func (l *Links) memory() string { return filepath.Join(filepath.Dir(l.cfg.Dir), "ip_forward.before") }

// EnsureHost turns routing on and gives the host's side its addresses on lo: the gateway, which is the source of
// what the host itself sends to containers, and the resolver. It is idempotent.
func (l *Links) EnsureHost() (HostState, error) {
	var state HostState
	now, err := os.ReadFile(forwarding)
	if err != nil {
		return state, fmt.Errorf("read ip_forward: %w", err)
	}
	was, err := os.ReadFile(l.memory())
	if errors.Is(err, fs.ErrNotExist) {
		was = now
		err = os.WriteFile(l.memory(), now, 0o600)
	}
	if err != nil {
		return state, fmt.Errorf("remember ip_forward: %w", err)
	}
	state.ForwardingWas = string(bytes.TrimSpace(was)) == "1"
	if string(bytes.TrimSpace(now)) != "1" {
		if err := os.WriteFile(forwarding, []byte("1"), 0); err != nil {
			return state, fmt.Errorf("turn ip_forward on: %w", err)
		}
	}
	lo := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: l.lo}}
	if err := l.host.LinkSetUp(lo); err != nil {
		return state, fmt.Errorf("bring loopback up: %w", err)
	}
	for _, a := range []netip.Addr{l.cfg.Gateway, l.cfg.Resolver} {
		// Scope host: the kernel must not choose it as the source of connections to elsewhere.
		addr := &netlink.Addr{IPNet: single(a.AsSlice()), Scope: unix.RT_SCOPE_HOST}
		if err := l.host.AddrAdd(lo, addr); err != nil && !errors.Is(err, unix.EEXIST) {
			return state, fmt.Errorf("give %s to lo: %w", a, err)
		}
	}
	return state, nil
}

// RemoveHost takes the addresses from lo. With restoreForwarding it also turns routing off, if it was off before the
// node: pass true only where nothing else on the host can have come to need it meanwhile, such as another container
// engine.
func (l *Links) RemoveHost(restoreForwarding bool) error {
	lo := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: l.lo}}
	for _, a := range []netip.Addr{l.cfg.Gateway, l.cfg.Resolver} {
		addr := &netlink.Addr{IPNet: single(a.AsSlice())}
		if err := l.host.AddrDel(lo, addr); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("take %s from lo: %w", a, err)
		}
	}
	was, err := os.ReadFile(l.memory())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remember ip_forward: %w", err)
	}
	if restoreForwarding && string(bytes.TrimSpace(was)) == "0" {
		if err := os.WriteFile(forwarding, []byte("0"), 0); err != nil {
			return fmt.Errorf("turn ip_forward off: %w", err)
		}
	}
	if err := os.Remove(l.memory()); err != nil {
		return fmt.Errorf("forget ip_forward: %w", err)
	}
	return nil
}

// withoutAddress reports that the host has the gateway's address on lo, and none that it could use elsewhere.
func (l *Links) withoutAddress() bool {
	all, err := l.host.AddrList(nil, unix.AF_INET)
	if err != nil {
		return false
	}
	gateway := false
	for _, a := range all {
		if a.Scope < unix.RT_SCOPE_LINK {
			return false
		}
		gateway = gateway || a.IP.Equal(l.cfg.Gateway.AsSlice())
	}
	return gateway
}

// Present is what the kernel and the directory hold, whoever made it.
type Present struct {
	IDs   []string // of the files in Config.Dir, sorted; a file that lost its mount is listed too
	Veths []string // interfaces on the host with our prefix, sorted
}

// List looks at what is there, for the sweep at start-up: an id that no state names goes to Remove, an interface that
// no id names (see Veth) to RemoveVeth.
func (l *Links) List() (Present, error) {
	var out Present
	entries, err := os.ReadDir(l.cfg.Dir)
	if err != nil {
		return out, fmt.Errorf("list network namespaces: %w", err)
	}
	for _, e := range entries {
		out.IDs = append(out.IDs, e.Name())
	}
	links, err := l.host.LinkList()
	if err != nil {
		return out, fmt.Errorf("list interfaces: %w", err)
	}
	for _, found := range links {
		if name := found.Attrs().Name; strings.HasPrefix(name, l.cfg.VethPrefix) && found.Type() == "veth" {
			out.Veths = append(out.Veths, name)
		}
	}
	slices.Sort(out.Veths)
	return out, nil
}

// RemoveVeth deletes an interface that List found and no container has. Only ours are accepted.
func (l *Links) RemoveVeth(name string) error {
	if !strings.HasPrefix(name, l.cfg.VethPrefix) {
		return fmt.Errorf("interface %q: not ours, ours begin with %q", name, l.cfg.VethPrefix)
	}
	return l.removeVeth(name)
}

// Counters are a container's traffic since its interface was made, seen from the container.
type Counters struct {
	ReceivedBytes, ReceivedPackets, ReceivedDropped uint64
	SentBytes, SentPackets, SentDropped             uint64
}

// Counters reads the traffic of a container; fs.ErrNotExist if it is not connected.
func (l *Links) Counters(id string) (Counters, error) {
	name := l.Veth(id)
	link, err := l.host.LinkByName(name)
	if _, missing := errors.AsType[netlink.LinkNotFoundError](err); missing {
		return Counters{}, fmt.Errorf("traffic of container %s: %w", id, fs.ErrNotExist)
	}
	if err != nil {
		return Counters{}, fmt.Errorf("traffic of container %s: %w", id, err)
	}
	s := link.Attrs().Statistics
	if s == nil {
		return Counters{}, fmt.Errorf("traffic of container %s: the kernel counts none", id)
	}
	// What the host's end sent, the container received.
	return Counters{
		ReceivedBytes: s.TxBytes, ReceivedPackets: s.TxPackets, ReceivedDropped: s.TxDropped,
		SentBytes: s.RxBytes, SentPackets: s.RxPackets, SentDropped: s.RxDropped,
	}, nil
}
