package node_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkThreeMembers measures acknowledged writes of three members over TCP on
// the loopback (fsync on, real commands, real state, audit included): by way of
// the leader or of a follower, which forwards them.
func BenchmarkThreeMembers(b *testing.B) {
	for _, at := range []string{"leader", "follower"} {
		for _, clients := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/clients=%d", at, clients), func(b *testing.B) { benchThree(b, at == "leader", clients) })
		}
	}
}

func benchThree(b *testing.B, atLeader bool, clients int) {
	h := newHosts(b)
	lead := h.three()
	ids := seedContainers(b, lead, clients)
	n := lead
	if !atLeader {
		n = h.nodes["node-2"]
	}
	ctx := context.Background()
	var next atomic.Int64
	took := make([][]time.Duration, clients)
	first := lead.AppliedIndex()
	b.ResetTimer()
	cpu := cpuTime(b)
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for task := uint64(1); ; task++ {
				i := next.Add(1)
				if i > int64(b.N) {
					return
				}
				begin := time.Now()
				if _, err := n.Propose(ctx, benchCommand(i, ids[c], task)); err != nil {
					b.Error(err)
					return
				}
				took[c] = append(took[c], time.Since(begin))
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	cpu = cpuTime(b) - cpu
	all := slices.Concat(took...)
	slices.Sort(all)
	if len(all) == 0 {
		b.Fatal("nothing was written")
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
	b.ReportMetric(float64(b.N)/float64(lead.AppliedIndex()-first), "writes/entry")
	b.ReportMetric(float64(cpu.Microseconds())/float64(b.N), "cpu-us/op") // of all three members
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
}

// BenchmarkStrongReads measures confirmed reads on a follower.
func BenchmarkStrongReads(b *testing.B) {
	h := newHosts(b)
	h.three()
	n := h.nodes["node-2"]
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range 64 {
		wg.Go(func() {
			for next.Add(1) <= int64(b.N) {
				index, err := n.ReadIndex(context.Background())
				if err == nil {
					err = n.WaitIndex(context.Background(), index)
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reads/s")
}

// BenchmarkLeaderKilled measures the time from a leader's death to the next
// acknowledged write.
func BenchmarkLeaderKilled(b *testing.B) {
	h := newHosts(b)
	h.three()
	var all []time.Duration
	for i := range b.N {
		all = append(all, h.crashLeader(fmt.Sprintf("v%d", i)))
	}
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Milliseconds()), "p50-ms")
	b.ReportMetric(float64(all[len(all)*99/100].Milliseconds()), "p99-ms")
}
