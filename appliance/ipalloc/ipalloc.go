// Package ipalloc chooses addresses for containers. It is pure: the caller
// hands it what is taken and proposes what it chose; raft/state has the last
// word on uniqueness.
//
// A node's containers live in /26 blocks of the cluster's pool, so that a
// route to a node is one line a block and a node asks for another block only
// when its last one is full.
package ipalloc

import (
	"net/netip"
)

// BlockBits is the prefix length of a block: 64 addresses, 62 of them usable
// (the first and the last are left alone, since people and tools take them for
// network and broadcast).
const BlockBits = 26

// Node is what Next needs to know of one node.
type Node struct {
	Blocks []netip.Prefix // its own, oldest first
	Last   netip.Addr     // the address given most recently; the search begins behind it, so that a freed address rests
}

// Next gives a free address of the node, in the order of its blocks, beginning
// behind n.Last. It gives false when all blocks are full.
func Next(n Node, taken func(netip.Addr) bool) (netip.Addr, bool) {
	if len(n.Blocks) == 0 {
		return netip.Addr{}, false
	}
	start := 0
	for i, b := range n.Blocks {
		if n.Last.IsValid() && b.Contains(n.Last) {
			start = i
		}
	}
	for turn := range len(n.Blocks) + 1 {
		block := n.Blocks[(start+turn)%len(n.Blocks)]
		first := block.Masked().Addr().Next()
		if turn == 0 && n.Last.IsValid() && block.Contains(n.Last) {
			first = n.Last.Next()
		}
		for a := first; block.Contains(a.Next()); a = a.Next() {
			if !taken(a) {
				return a, true
			}
		}
	}
	return netip.Addr{}, false
}

// NextBlock gives the lowest /26 of pool that no node has. It gives false when
// the pool is used up.
func NextBlock(pool netip.Prefix, taken func(netip.Prefix) bool) (netip.Prefix, bool) {
	for a := pool.Masked().Addr(); pool.Contains(a); {
		b := netip.PrefixFrom(a, max(BlockBits, pool.Bits()))
		if !taken(b) {
			return b, true
		}
		next, ok := after(b)
		if !ok {
			break
		}
		a = next
	}
	return netip.Prefix{}, false
}

// after gives the first address behind an IPv4 prefix; false at the end of the
// address space.
func after(p netip.Prefix) (netip.Addr, bool) {
	b := p.Masked().Addr().As4()
	v := uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])
	v += 1 << (32 - p.Bits())
	if v > 0xffffffff {
		return netip.Addr{}, false
	}
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}), true
}
