package node_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// BenchmarkPropose measures acknowledged writes (fsync on, real commands, real
// state, audit included): half of them make a volume, half tell a container's
// status, as a busy cluster does.
func BenchmarkPropose(b *testing.B) {
	for _, clients := range []int{1, 64} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) { benchPropose(b, clients) })
	}
}

func benchPropose(b *testing.B, clients int) {
	n := openInit(b, b.TempDir())
	ids := seedContainers(b, n, clients)
	ctx := context.Background()
	var next atomic.Int64
	took := make([][]time.Duration, clients)
	first := n.AppliedIndex()
	b.ReportAllocs()
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
	b.ReportMetric(float64(b.N)/float64(n.AppliedIndex()-first), "writes/entry")
	b.ReportMetric(float64(cpu.Microseconds())/float64(b.N), "cpu-us/op") // tells more than time on a busy machine
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
}

// cpuTime is what this process has used of the processors.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchCommand makes a volume for even i and tells a status for odd ones.
func benchCommand(i int64, container string, task uint64) command.Command {
	if i%2 == 0 {
		id := command.NewID()
		return &command.PutVolume{Head: by("bench"), Volume: model.Volume{Meta: model.Meta{ID: id, Name: "data-" + id},
			TenantID: tenantID, NodeID: nodeID, Spec: model.VolumeSpec{Driver: "local", Labels: map[string]string{"app": "shop"}}}}
	}
	s := model.ContainerStatus{Phase: model.PhaseRunning, Task: task, PID: 4711, StartedAt: time.Now().UTC()}
	if i%4 == 1 {
		code := 1
		s.Phase, s.PID, s.ExitCode, s.FinishedAt = model.PhaseBackoff, 0, &code, time.Now().UTC()
		s.Failures, s.RetryAt = 1, time.Now().UTC().Add(time.Second)
		s.Conditions = []model.Condition{{Type: "Ready", Reason: "CrashLoop", Message: "the process ended with status 1", Since: time.Now().UTC()}}
	}
	return &command.SetContainerStatus{Head: by("system:agent"), NodeID: nodeID, Items: []command.StatusItem{{ID: container, Status: s}}}
}
