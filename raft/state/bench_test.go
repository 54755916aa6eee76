package state_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// BenchmarkManyContainers fills the state with containers and measures what one
// costs in memory, and how long a snapshot and a restore of them take.
func BenchmarkManyContainers(b *testing.B) {
	const many, perService = 100_000, 100
	for b.Loop() {
		heap := func() uint64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before := heap()
		w := newWorld(b)
		begin := time.Now()
		for s := range many / perService {
			id := fmt.Sprintf("a%d", s)
			sp := spec(perService)
			sp.Container.Env = []model.EnvVar{{Name: "PATH", Value: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"}, {Name: "PORT", Value: "8080"}}
			sp.Container.Labels = map[string]string{"team": "shop"}
			w.ok(app("t1", id, "shop-"+id, map[string]model.ServiceSpec{"web": sp}))
			c := &command.PutContainers{Head: by("system:control")}
			st := &command.SetContainerStatus{Head: by("system:agent"), NodeID: "n1"}
			for i := range perService {
				n := s*perService + i
				k := containerOf(id+"-web", command.NewID(), fmt.Sprintf("shop-%s-web-%d", id, i+1), "", i+1)
				k.Spec, k.Assign.Address = sp.Container, netip.AddrFrom4([4]byte{10, byte(42 + n>>16), byte(n >> 8), byte(n)})
				c.Containers = append(c.Containers, k)
				st.Items = append(st.Items, command.StatusItem{ID: k.ID, Status: model.ContainerStatus{Phase: model.PhaseRunning, Task: 1, PID: 4711, StartedAt: epoch}})
			}
			w.ok(c, st)
		}
		filled := time.Since(begin)
		b.ReportMetric(float64(heap()-before)/many, "bytes/container")
		begin = time.Now()
		dump := w.dump()
		b.ReportMetric(float64(time.Since(begin).Milliseconds()), "snapshot-ms")
		b.ReportMetric(float64(len(dump))/many, "snapshot-bytes/container")
		begin = time.Now()
		if err := state.New().Restore(bytes.NewReader(dump)); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(begin).Milliseconds()), "restore-ms")
		b.ReportMetric(float64(filled.Milliseconds()), "fill-ms")
	}
}
