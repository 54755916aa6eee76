package iptables

import (
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

// readSets lists our sets as the kernel holds them.
func (t *Table) readSets() (map[string]setMembers, error) {
	all, err := t.nl.IpsetListAll()
	if err != nil {
		return nil, fmt.Errorf("list the kernel's sets: %w", err)
	}
	out := map[string]setMembers{}
	for _, s := range all {
		if !strings.HasPrefix(s.SetName, rules.SetPrefix) {
			continue
		}
		if out[s.SetName] == nil { // a long set comes in several parts
			out[s.SetName] = setMembers{}
		}
		for _, e := range s.Entries {
			if a, ok := netip.AddrFromSlice(e.IP); ok {
				out[s.SetName][rules.Entry{Address: a.Unmap(), Iface: e.IFace}] = true
			}
		}
	}
	return out, nil
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
				return changed, fmt.Errorf("add %s to set %s: %w", e.Address, s.Name, err)
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
			if err := t.nl.IpsetDestroy(name); err != nil && !errors.Is(err, unix.ENOENT) {
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
				return changed, fmt.Errorf("remove %s from set %s: %w", e.Address, name, err)
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
		out.CIDR = 32
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
