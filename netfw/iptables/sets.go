package iptables

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/netfw/rules"
)

// maxSetEntries is the kernel's default, far above what one node holds.
const maxSetEntries = 65536

type setMembers map[rules.Entry]bool

// readSets lists our sets as the kernel holds them. netlink.IpsetListAll would do, but writes a line to the process's
// log for every attribute that newer kernels add, at every look for drift.
func (t *Table) readSets() (map[string]setMembers, error) {
	req := nl.NewNetlinkRequest(nl.IPSET_CMD_LIST|(unix.NFNL_SUBSYS_IPSET<<8), nl.GetIpsetFlags(nl.IPSET_CMD_LIST))
	req.Sockets = t.raw
	req.AddData(&nl.Nfgenmsg{NfgenFamily: uint8(unix.AF_NETLINK), Version: nl.NFNETLINK_V0})
	req.AddData(nl.NewRtAttr(nl.IPSET_ATTR_PROTOCOL, nl.Uint8Attr(nl.IPSET_PROTOCOL)))
	messages, err := req.Execute(unix.NETLINK_NETFILTER, 0)
	if err != nil {
		return nil, fmt.Errorf("list the kernel's sets: %w", err)
	}
	out := map[string]setMembers{}
	for _, m := range messages {
		if len(m) < nl.SizeofNfgenmsg {
			return nil, errors.New("list the kernel's sets: a message is cut short")
		}
		readSet(m[nl.SizeofNfgenmsg:], out)
	}
	return out, nil
}

// readSet adds what one message holds. A long set comes in several messages.
func readSet(message []byte, out map[string]setMembers) {
	var name string
	for attr := range nl.ParseAttributes(message) {
		switch attr.Type {
		case nl.IPSET_ATTR_SETNAME:
			name = nl.BytesToString(attr.Value)
			if !strings.HasPrefix(name, rules.SetPrefix) {
				return
			}
			if out[name] == nil {
				out[name] = setMembers{}
			}
		case nl.IPSET_ATTR_ADT | nl.NLA_F_NESTED:
			for entry := range nl.ParseAttributes(attr.Value) {
				if e, ok := readEntry(entry.Value); ok && name != "" {
					out[name][e] = true
				}
			}
		}
	}
}

func readEntry(data []byte) (e rules.Entry, ok bool) {
	for attr := range nl.ParseAttributes(data) {
		switch attr.Type {
		case nl.IPSET_ATTR_IP | nl.NLA_F_NESTED:
			for inner := range nl.ParseAttributes(attr.Value) {
				if inner.Type == nl.IPSET_ATTR_IPADDR_IPV4 {
					e.Address, ok = netip.AddrFromSlice(inner.Value)
				}
			}
		case nl.IPSET_ATTR_CIDR:
			if bits := int(attr.Value[0]); bits != 32 {
				e.Bits = bits
			}
		case nl.IPSET_ATTR_IFACE:
			e.Iface = nl.BytesToString(attr.Value)
		}
	}
	return e, ok
}

// growSets makes the missing sets and entries, and changes t.sets alike. An entry that is already there is no error:
// what a failed call left half done is finished by the next.
func (t *Table) growSets(want []rules.Set) (changed int, err error) {
	for _, s := range want {
		have, exists := t.sets[s.Name]
		if !exists {
			err := t.nl.IpsetCreate(s.Name, s.Type, netlink.IpsetCreateOptions{Replace: true, MaxElements: maxSetEntries})
			if err != nil {
				return changed, fmt.Errorf("create set %s (%s): %w", s.Name, s.Type, err)
			}
			have = setMembers{}
			t.sets[s.Name] = have
		}
		for _, e := range s.Entries {
			if have[e] {
				continue
			}
			if err := t.nl.IpsetAdd(s.Name, setEntry(e)); err != nil {
				return changed, fmt.Errorf("add %s to set %s: %w", e, s.Name, err)
			}
			have[e] = true
			changed++
		}
	}
	return changed, nil
}

// shrinkSets removes entries and sets that are not wanted.
func (t *Table) shrinkSets(want []rules.Set) (changed int, err error) {
	keep := make(map[string]setMembers, len(want))
	for _, s := range want {
		m := make(setMembers, len(s.Entries))
		for _, e := range s.Entries {
			m[e] = true
		}
		keep[s.Name] = m
	}
	for name, have := range t.sets {
		wanted, stays := keep[name]
		if !stays {
			err := t.nl.IpsetDestroy(name)
			if errors.Is(err, nl.IPSetError(nl.IPSET_ERR_BUSY)) {
				// The nft back end lets go of the rules that used it a moment later. The next call tries again.
				continue
			}
			if err != nil && !errors.Is(err, unix.ENOENT) {
				return changed, fmt.Errorf("remove set %s: %w", name, err)
			}
			changed += len(have)
			delete(t.sets, name)
			continue
		}
		for e := range have {
			if wanted[e] {
				continue
			}
			if err := t.nl.IpsetDel(name, setEntry(e)); err != nil && !errors.Is(err, nl.IPSetError(nl.IPSET_ERR_EXIST)) {
				return changed, fmt.Errorf("remove %s from set %s: %w", e, name, err)
			}
			delete(have, e)
			changed++
		}
	}
	return changed, nil
}

func setEntry(e rules.Entry) *netlink.IPSetEntry {
	out := &netlink.IPSetEntry{IP: net.IP(e.Address.AsSlice()), IFace: e.Iface, Replace: true}
	if e.Iface != "" {
		out.CIDR = uint8(cmp.Or(e.Bits, 32))
	}
	return out
}

func driftOfSets(found map[string]setMembers, want []rules.Set) []string {
	var out []string
	for _, s := range want {
		have, exists := found[s.Name]
		switch {
		case !exists:
			out = append(out, fmt.Sprintf("set %s is gone", s.Name))
		case len(have) != len(s.Entries) || slices.ContainsFunc(s.Entries, func(e rules.Entry) bool { return !have[e] }):
			out = append(out, fmt.Sprintf("set %s was changed", s.Name))
		}
	}
	return out
}
