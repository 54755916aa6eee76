package overlay

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// device makes the VXLAN interface be as the peers behind routers need it, and not be where there are none.
func (p *pass) device() error {
	mtu := 0
	for _, w := range p.ways {
		if w.encapsulated && (mtu == 0 || w.mtu-overhead < mtu) {
			mtu = w.mtu - overhead
		}
	}
	found, err := p.host.LinkByName(p.cfg.Device)
	_, missing := errors.AsType[netlink.LinkNotFoundError](err)
	if err != nil && !missing {
		return fmt.Errorf("find interface %s: %w", p.cfg.Device, err)
	}
	if missing {
		found = nil
	}
	if found != nil && (mtu == 0 || !p.fits(found)) {
		if found.Type() != "vxlan" && mtu == 0 {
			return nil
		}
		if found.Type() != "vxlan" {
			return fmt.Errorf("interface %s is somebody else's: it is a %s", p.cfg.Device, found.Type())
		}
		if err := p.host.LinkDel(found); err != nil {
			return fmt.Errorf("remove interface %s: %w", p.cfg.Device, err)
		}
		p.note("removed interface %s", p.cfg.Device)
		found = nil
	}
	if mtu == 0 {
		return nil
	}
	if found == nil {
		if found, err = p.makeDevice(mtu); err != nil {
			return err
		}
	}
	if err := p.adjust(found, mtu); err != nil {
		return err
	}
	for i := range p.ways {
		if p.ways[i].encapsulated {
			p.ways[i].index = found.Attrs().Index
		}
	}
	return p.neighbours(found)
}

// source is the address that encapsulated packets come from: what the peers accept.
func (p *pass) source() net.IP {
	if !p.d.Address.Is4() {
		return nil
	}
	all, err := p.host.AddrList(nil, unix.AF_INET)
	if err != nil {
		return nil
	}
	for _, a := range all {
		if a.IP.Equal(p.d.Address.AsSlice()) {
			return a.IP.To4()
		}
	}
	return nil // behind address translation, or the address has just changed
}

// fits says whether an interface is what makeDevice would make, as far as that cannot be changed later.
func (p *pass) fits(found netlink.Link) bool {
	vx, ok := found.(*netlink.Vxlan)
	return ok && vx.VxlanId == networkID && vx.Port == int(p.cfg.Port) && !vx.Learning && vx.SrcAddr.Equal(p.source()) &&
		len(vx.Group) == 0 && vx.VtepDevIndex == 0
}

func (p *pass) makeDevice(mtu int) (netlink.Link, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.HardwareAddr = p.cfg.Device, mtu, hardwareAddress(p.d.NodeID)
	vx := &netlink.Vxlan{LinkAttrs: attrs, VxlanId: networkID, Port: int(p.cfg.Port), SrcAddr: p.source(), Learning: false}
	if err := p.host.LinkAdd(vx); err != nil {
		return nil, fmt.Errorf("make VXLAN interface %s (kernel module vxlan): %w", p.cfg.Device, err)
	}
	found, err := p.host.LinkByName(p.cfg.Device)
	if err != nil {
		return nil, fmt.Errorf("find interface %s: %w", p.cfg.Device, err)
	}
	for _, set := range [][3]string{{"ipv6", "disable_ipv6", "1"}, {"ipv4", "rp_filter", "1"}, {"ipv4", "accept_redirects", "0"}, {"ipv4", "send_redirects", "0"}} {
		path := "/proc/sys/net/" + set[0] + "/conf/" + p.cfg.Device + "/" + set[1]
		if err := os.WriteFile(path, []byte(set[2]), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("set %s to %s: %w", path, set[2], err)
		}
	}
	p.note("made interface %s for nodes behind routers, MTU %d", p.cfg.Device, mtu)
	return found, nil
}

// adjust brings what can be changed of the interface to what is wanted.
func (p *pass) adjust(found netlink.Link, mtu int) error {
	attrs := found.Attrs()
	if mac := hardwareAddress(p.d.NodeID); !bytes.Equal(attrs.HardwareAddr, mac) {
		if err := p.host.LinkSetHardwareAddr(found, mac); err != nil {
			return fmt.Errorf("set hardware address of %s: %w", attrs.Name, err)
		}
		p.note("set the hardware address of %s", attrs.Name)
	}
	if attrs.MTU != mtu {
		if err := p.host.LinkSetMTU(found, mtu); err != nil {
			return fmt.Errorf("set MTU of %s: %w", attrs.Name, err)
		}
		p.note("set the MTU of %s to %d", attrs.Name, mtu)
	}
	if attrs.Flags&net.FlagUp == 0 {
		if err := p.host.LinkSetUp(found); err != nil {
			return fmt.Errorf("bring %s up: %w", attrs.Name, err)
		}
		p.note("brought %s up", attrs.Name)
	}
	return nil
}

// neighbours says on the interface which node has which hardware address, and by which host it is reached. Nothing
// is learned and nothing is flooded.
func (p *pass) neighbours(vx netlink.Link) error {
	type entry struct {
		at  netip.Addr
		mac string
	}
	want := map[entry]bool{}
	for _, w := range p.ways {
		if w.encapsulated {
			want[entry{w.Address, hardwareAddress(w.NodeID).String()}] = true
		}
	}
	for _, kind := range []struct {
		family, flags int
		what          string
	}{{unix.AF_INET, 0, "neighbour"}, {unix.AF_BRIDGE, netlink.NTF_SELF, "forwarding entry"}} {
		have, err := p.host.NeighList(vx.Attrs().Index, kind.family)
		if err != nil {
			return fmt.Errorf("list neighbours on %s: %w", vx.Attrs().Name, err)
		}
		there := map[entry]bool{}
		for _, n := range have {
			at, _ := netip.AddrFromSlice(n.IP)
			e := entry{at.Unmap(), n.HardwareAddr.String()}
			if want[e] && n.State&netlink.NUD_PERMANENT != 0 {
				there[e] = true
				continue
			}
			if err := p.host.NeighDel(&n); err != nil && !errors.Is(err, unix.ENOENT) {
				return fmt.Errorf("remove %s %s: %w", kind.what, n.IP, err)
			}
			p.note("removed %s %s", kind.what, n.IP)
		}
		for e := range want {
			if there[e] {
				continue
			}
			mac, err := net.ParseMAC(e.mac)
			if err != nil {
				return fmt.Errorf("hardware address of a node: %w", err)
			}
			n := &netlink.Neigh{LinkIndex: vx.Attrs().Index, Family: kind.family, Flags: kind.flags, State: netlink.NUD_PERMANENT,
				IP: e.at.AsSlice(), HardwareAddr: mac}
			if err := p.host.NeighSet(n); err != nil {
				return fmt.Errorf("set %s %s: %w", kind.what, e.at, err)
			}
			p.note("set %s %s", kind.what, e.at)
		}
	}
	return nil
}
