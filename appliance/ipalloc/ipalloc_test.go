package ipalloc_test

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/skerryhq/skerry/appliance/ipalloc"
)

func TestNextSkipsEdgesAndRestsFreedAddresses(t *testing.T) {
	block := netip.MustParsePrefix("10.42.0.0/26")
	taken := map[netip.Addr]bool{}
	n := ipalloc.Node{Blocks: []netip.Prefix{block}}
	is := func(a netip.Addr) bool { return taken[a] }

	first, ok := ipalloc.Next(n, is)
	if !ok || first.String() != "10.42.0.1" {
		t.Fatalf("first address: got %s, %v", first, ok)
	}
	n.Last = first // freed at once: the next one must still be another
	second, _ := ipalloc.Next(n, is)
	if second.String() != "10.42.0.2" {
		t.Fatalf("a freed address was given again at once: %s", second)
	}
	for a := first; block.Contains(a.Next()); a = a.Next() {
		taken[a] = true
	}
	if len(taken) != 62 {
		t.Fatalf("usable addresses: got %d, want 62", len(taken))
	}
	if a, ok := ipalloc.Next(n, is); ok {
		t.Fatalf("a full block gave %s", a)
	}
	delete(taken, netip.MustParseAddr("10.42.0.1"))
	n.Last = netip.MustParseAddr("10.42.0.40")
	if a, ok := ipalloc.Next(n, is); !ok || a.String() != "10.42.0.1" {
		t.Fatalf("the search does not come round: got %s, %v", a, ok)
	}
	if a, ok := ipalloc.Next(ipalloc.Node{}, is); ok {
		t.Fatalf("a node without blocks gave %s", a)
	}
}

func TestNextNeverGivesATakenAddress(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blocks := []netip.Prefix{netip.MustParsePrefix("10.42.0.0/26"), netip.MustParsePrefix("10.42.3.64/26")}
		taken := map[netip.Addr]bool{}
		n := ipalloc.Node{Blocks: blocks}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "free") {
				for a := range taken {
					delete(taken, a)
					break
				}
				continue
			}
			a, ok := ipalloc.Next(n, func(a netip.Addr) bool { return taken[a] })
			if ok == (len(taken) == 124) {
				t.Fatalf("gave %v with %d of 124 taken", ok, len(taken))
			}
			if !ok {
				continue
			}
			if taken[a] || (!blocks[0].Contains(a) && !blocks[1].Contains(a)) {
				t.Fatalf("gave %s, which is taken or foreign", a)
			}
			taken[a], n.Last = true, a
		}
	})
}

func TestNextBlock(t *testing.T) {
	pool := netip.MustParsePrefix("10.42.0.0/24")
	taken := map[netip.Prefix]bool{}
	for _, want := range []string{"10.42.0.0/26", "10.42.0.64/26", "10.42.0.128/26", "10.42.0.192/26"} {
		b, ok := ipalloc.NextBlock(pool, func(p netip.Prefix) bool { return taken[p] })
		if !ok || b.String() != want {
			t.Fatalf("got %s, %v; want %s", b, ok, want)
		}
		taken[b] = true
	}
	if b, ok := ipalloc.NextBlock(pool, func(p netip.Prefix) bool { return taken[p] }); ok {
		t.Fatalf("a used-up pool gave %s", b)
	}
	last := netip.MustParsePrefix("255.255.255.192/26")
	if _, ok := ipalloc.NextBlock(last, func(netip.Prefix) bool { return true }); ok {
		t.Fatal("the end of the address space wrapped round")
	}
}
