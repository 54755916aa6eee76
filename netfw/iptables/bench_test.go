package iptables_test

import (
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/skerryhq/skerry/netfw/iptables"
	"github.com/skerryhq/skerry/netfw/netnstest"
	"github.com/skerryhq/skerry/netfw/rules"
)

// BenchmarkApply measures what one more container with one more port costs, and its removal.
func BenchmarkApply(b *testing.B) {
	netnstest.Require(b)
	for _, command := range []string{"iptables-nft", "iptables-legacy"} {
		for _, ports := range []int{0, 1000} {
			b.Run(fmt.Sprintf("%s/%d", command, ports), func(b *testing.B) {
				h := netnstest.NewHost(b, "host")
				d := rules.Desired{Pool: netip.MustParsePrefix("10.42.0.0/16"), NodePools: []netip.Prefix{netip.MustParsePrefix("10.42.0.0/20")}}
				add := func(i int) {
					a := netip.AddrFrom4([4]byte{10, 42, byte(i >> 8), byte(i)})
					d.Endpoints = append(d.Endpoints, rules.Endpoint{Address: a, Veth: fmt.Sprintf("skv%d", i), Networks: []string{"shop"}})
					d.Ports = append(d.Ports, rules.Port{Proto: rules.TCP, HostPort: uint16(30000 + i), Backends: []netip.AddrPort{netip.AddrPortFrom(a, 80)}})
				}
				for i := range ports {
					add(i)
				}
				var first, more, less, same time.Duration
				h.Must(func() error {
					table, err := iptables.New(iptables.Config{Command: command, Log: slog.New(slog.DiscardHandler)})
					if err != nil {
						return err
					}
					defer table.Close()
					took := func(sum *time.Duration) error {
						start := time.Now()
						_, err := table.Apply(b.Context(), d)
						*sum += time.Since(start)
						return err
					}
					if err := took(&first); err != nil {
						return err
					}
					for b.Loop() {
						add(ports)
						if err := took(&more); err != nil {
							return err
						}
						if err := took(&same); err != nil {
							return err
						}
						d.Endpoints, d.Ports = d.Endpoints[:ports], d.Ports[:ports]
						if err := took(&less); err != nil {
							return err
						}
					}
					return nil
				})
				ms := func(d time.Duration, n int) float64 { return float64(d.Microseconds()) / 1000 / float64(n) }
				b.ReportMetric(ms(first, 1), "first-ms")
				b.ReportMetric(ms(more, b.N), "publish-ms")
				b.ReportMetric(ms(less, b.N), "remove-ms")
				b.ReportMetric(ms(same, b.N), "same-ms")
			})
		}
	}
}
