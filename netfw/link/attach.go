package link

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"runtime"
	"unsafe"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// inside runs fn in the namespace kept at path, which is made if it is not there. It runs on a thread of its own that
// dies afterwards: a thread that has been in a container's namespace must serve nobody else.
func (l *Links) inside(path string, fn func(fresh bool) error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		fresh, err := enter(path)
		if err == nil {
			err = fn(fresh)
		}
		done <- err
	}()
	return <-done
}

// enter moves the calling thread into the namespace at path, and makes it first if there is none.
func enter(path string) (fresh bool, err error) {
	var st unix.Statfs_t
	err = unix.Statfs(path, &st)
	if err == nil && st.Type == unix.NSFS_MAGIC {
		ns, err := netns.GetFromPath(path)
		if err != nil {
			return false, fmt.Errorf("open network namespace %s: %w", path, err)
		}
		defer ns.Close()
		if err := netns.Set(ns); err != nil {
			return false, fmt.Errorf("enter network namespace %s: %w", path, err)
		}
		return false, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("look at network namespace %s: %w", path, err)
	}
	// A plain file is what remains of a host that lost its mounts, in a reboot or a crash: it is mounted over.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return false, fmt.Errorf("make file for network namespace: %w", err)
	}
	f.Close()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return false, fmt.Errorf("make network namespace: %w", err)
	}
	if err := unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, ""); err != nil {
		return false, fmt.Errorf("keep network namespace at %s: %w", path, err)
	}
	return true, nil
}

// containerSide runs in the container's namespace: veth pair with its far end on the host, address, routes.
func (l *Links) containerSide(s Spec, veth string, fresh bool) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open route netlink socket: %w", err)
	}
	defer h.Close()

	eth, err := l.ensureVeth(h, s, veth, fresh)
	if err != nil {
		return err
	}
	lo := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: 1}} // loopback is the first of every namespace
	if err := h.LinkSetUp(lo); err != nil {
		return fmt.Errorf("bring loopback up: %w", err)
	}
	if err := l.onlyAddress(h, eth, s, fresh); err != nil {
		return err
	}
	if err := h.LinkSetUp(eth); err != nil {
		return fmt.Errorf("bring %s up: %w", Interface, err)
	}
	gateway := net.IP(l.cfg.Gateway.AsSlice())
	if err := h.NeighSet(&netlink.Neigh{LinkIndex: eth.Attrs().Index, State: netlink.NUD_PERMANENT,
		Family: unix.AF_INET, IP: gateway, HardwareAddr: hostMAC}); err != nil {
		return fmt.Errorf("set neighbour entry of the gateway: %w", err)
	}
	for _, r := range []netlink.Route{
		{LinkIndex: eth.Attrs().Index, Scope: netlink.SCOPE_LINK, Dst: single(gateway)},
		{LinkIndex: eth.Attrs().Index, Gw: gateway, Dst: &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}},
	} {
		if err := h.RouteReplace(&r); err != nil {
			return fmt.Errorf("set route to %s: %w", r.Dst, err)
		}
	}
	return nil
}

// ensureVeth returns the container's interface. Found with its host end missing or swapped, the pair is made anew.
func (l *Links) ensureVeth(h *netlink.Handle, s Spec, veth string, fresh bool) (netlink.Link, error) {
	if !fresh {
		found, err := h.LinkByName(Interface)
		_, missing := errors.AsType[netlink.LinkNotFoundError](err)
		if err != nil && !missing {
			return nil, fmt.Errorf("find %s: %w", Interface, err)
		}
		if err == nil {
			if host, hostErr := l.host.LinkByName(veth); hostErr == nil && host.Attrs().Index == found.Attrs().ParentIndex &&
				found.Attrs().MTU == s.MTU && host.Attrs().MTU == s.MTU {
				return found, nil
			}
			if err := h.LinkDel(found); err != nil {
				return nil, fmt.Errorf("remove broken %s: %w", Interface, err)
			}
		}
	}
	if err := withoutIPv6("default"); err != nil { // before the interface: it inherits this
		return nil, err
	}
	a := s.Address.As4()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = Interface, s.MTU
	// Addresses are given, not drawn: udev leaves an interface alone whose hardware address was set on purpose.
	attrs.HardwareAddr = net.HardwareAddr{0x02, 0x53, a[0], a[1], a[2], a[3]}
	pair := netlink.NewVeth(attrs)
	pair.PeerName, pair.PeerHardwareAddr, pair.PeerNamespace = veth, hostMAC, netlink.NsFd(l.ns)
	err := h.LinkAdd(pair)
	if errors.Is(err, unix.EEXIST) {
		// The host end of a namespace that is gone but not yet swept, or of one whose file was lost.
		if err := l.removeVeth(veth); err != nil {
			return nil, err
		}
		err = h.LinkAdd(pair)
	}
	if err != nil {
		return nil, fmt.Errorf("make veth pair %s: %w", veth, err)
	}
	if pair.Index == 0 {
		return h.LinkByName(Interface)
	}
	return pair, nil
}

// onlyAddress makes s.Address the one address of the interface.
func (l *Links) onlyAddress(h *netlink.Handle, eth netlink.Link, s Spec, fresh bool) error {
	if !fresh {
		have, err := h.AddrList(eth, unix.AF_INET)
		if err != nil {
			return fmt.Errorf("list addresses of %s: %w", Interface, err)
		}
		for _, a := range have {
			if !a.IP.Equal(s.Address.AsSlice()) {
				if err := h.AddrDel(eth, &a); err != nil {
					return fmt.Errorf("remove address %s: %w", a.IP, err)
				}
			}
		}
	}
	if err := h.AddrReplace(eth, &netlink.Addr{IPNet: single(s.Address.AsSlice())}); err != nil {
		return fmt.Errorf("set address %s: %w", s.Address, err)
	}
	return nil
}

// hostSide configures the host's end and routes the container's address to it.
func (l *Links) hostSide(s Spec, veth string) error {
	link, err := l.host.LinkByName(veth)
	if err != nil {
		return fmt.Errorf("find interface %s: %w", veth, err)
	}
	if err := withoutIPv6(veth); err != nil {
		return err
	}
	for _, set := range [][2]string{{"rp_filter", "1"}, {"route_localnet", "1"}} {
		if err := writeSysctl("ipv4", veth, set[0], set[1]); err != nil {
			return err
		}
	}
	if err := l.host.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring %s up: %w", veth, err)
	}
	a := s.Address.As4()
	mac := net.HardwareAddr{0x02, 0x53, a[0], a[1], a[2], a[3]}
	if err := l.host.NeighSet(&netlink.Neigh{LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT,
		Family: unix.AF_INET, IP: s.Address.AsSlice(), HardwareAddr: mac}); err != nil {
		return fmt.Errorf("set neighbour entry of %s: %w", s.Address, err)
	}
	return l.route(s, link)
}

// route sends the container's address to its interface. Another interface's route to it is never replaced: two
// containers with one address is a mistake to be told, not a takeover.
func (l *Links) route(s Spec, link netlink.Link) error {
	r := netlink.Route{LinkIndex: link.Attrs().Index, Scope: netlink.SCOPE_LINK, Dst: single(s.Address.AsSlice())}
	if l.withoutAddress() {
		// A host that is connected to nothing has no address to send from, and would send from 0.0.0.0. Otherwise the
		// kernel chooses better: a UDP service on the host must answer from the address it was asked at.
		r.Src = l.cfg.Gateway.AsSlice()
	}
	err := l.host.RouteAdd(&r)
	if !errors.Is(err, unix.EEXIST) {
		if err != nil {
			return fmt.Errorf("route %s to %s: %w", s.Address, link.Attrs().Name, err)
		}
		return nil
	}
	have, err := l.host.RouteListFiltered(unix.AF_INET, &netlink.Route{Dst: r.Dst}, netlink.RT_FILTER_DST)
	if err != nil {
		return fmt.Errorf("list routes to %s: %w", s.Address, err)
	}
	for _, other := range have {
		if other.LinkIndex != r.LinkIndex {
			return fmt.Errorf("address %s is already routed to another interface (index %d): %w", s.Address, other.LinkIndex, fs.ErrExist)
		}
	}
	return nil
}

// carrier is a socket in the container's namespace, to ask for the state of its interface from outside.
type carrier int

// openCarrier runs in the container's namespace.
func openCarrier() (carrier, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open socket in the container's namespace: %w", err)
	}
	return carrier(fd), nil
}

func (c carrier) Close() error { return unix.Close(int(c)) }

// settle makes the kernel notice that the other end is up. By itself it does so when it has time, on a busy host up to
// a second later, and until then drops what the container sends. Asking for the link state makes it look at once, from
// Linux 6.8 on; before that there is no such way, and the container's first packet may have to be sent again.
func (c carrier) settle() error {
	type query struct{ command, _ uint32 } // the kernel writes its answer into the second
	request := struct {
		name  [unix.IFNAMSIZ]byte
		query *query
		_     [16]byte // the kernel copies a whole ifreq, whose union is larger than a pointer
	}{query: &query{command: unix.ETHTOOL_GLINK}}
	copy(request.name[:], Interface)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(c), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return fmt.Errorf("ask for the link state of %s: %w", Interface, errno)
	}
	return nil
}

func single(ip net.IP) *net.IPNet { return &net.IPNet{IP: ip, Mask: net.CIDRMask(32, 32)} }

// withoutIPv6 turns IPv6 off for one interface, or for those to come. A kernel without IPv6 needs nothing.
func withoutIPv6(name string) error {
	for _, set := range [][2]string{{"accept_ra", "0"}, {"disable_ipv6", "1"}} {
		if err := writeSysctl("ipv6", name, set[0], set[1]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// writeSysctl acts in the network namespace of the calling thread.
func writeSysctl(family, name, key, value string) error {
	path := "/proc/sys/net/" + family + "/conf/" + name + "/" + key
	if err := os.WriteFile(path, []byte(value), 0); err != nil {
		return fmt.Errorf("set %s to %s: %w", path, value, err)
	}
	return nil
}
