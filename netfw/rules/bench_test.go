package rules_test

import (
	"net/netip"
	"strconv"
	"testing"

	"github.com/skerryhq/skerry/netfw/rules"
)

// BenchmarkRender is part of every container's start.
func BenchmarkRender(b *testing.B) {
	for _, n := range []int{1, 1000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			d := rules.Desired{Pool: netip.MustParsePrefix("10.42.0.0/16"), NodePools: []netip.Prefix{netip.MustParsePrefix("10.42.0.0/20")}}
			for i := range n {
				a := netip.AddrFrom4([4]byte{10, 42, byte(i >> 8), byte(i)})
				d.Endpoints = append(d.Endpoints, rules.Endpoint{Address: a, Veth: "skv" + strconv.Itoa(i), Networks: []string{"shop"}})
				d.Ports = append(d.Ports, rules.Port{Proto: rules.TCP, HostPort: uint16(30000 + i), Backends: []netip.AddrPort{netip.AddrPortFrom(a, 80)}})
			}
			for b.Loop() {
				if _, err := rules.Render(d); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
