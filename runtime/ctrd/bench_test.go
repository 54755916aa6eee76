package ctrd_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/skerryhq/skerry/runtime/runtimetest"
	"github.com/skerryhq/skerry/runtime/workload"
)

// BenchmarkStart measures one container from nothing to running, and its
// removal, with a memory limit and its own (empty) network namespace.
func BenchmarkStart(b *testing.B) {
	h := runtimetest.New(b)
	img := h.ImportBusybox()
	out := runtimetest.NewOutput(b)
	ctx := b.Context()
	var create, start, remove []time.Duration
	for i := 0; b.Loop(); i++ {
		spec := workload.Spec{ID: workload.ID(fmt.Sprintf("bench-%d", i)), ImageDigest: img, Command: []string{"sleep", "1000"},
			CgroupParent: h.CgroupParent, Stdio: out.Stdio, Resources: workload.Resources{MemoryBytes: 64 << 20}}
		begin := time.Now()
		if err := h.Runtime.Create(ctx, spec); err != nil {
			b.Fatal(err)
		}
		created := time.Now()
		if err := h.Runtime.Start(ctx, spec.ID); err != nil {
			b.Fatal(err)
		}
		started := time.Now()
		if err := h.Runtime.Remove(ctx, spec.ID); err != nil {
			b.Fatal(err)
		}
		create, start, remove = append(create, created.Sub(begin)), append(start, started.Sub(created)), append(remove, time.Since(started))
	}
	for name, d := range map[string][]time.Duration{"create": create, "start": start, "remove": remove} {
		slices.Sort(d)
		b.ReportMetric(float64(d[len(d)/2].Microseconds())/1000, name+"_ms_median")
		b.ReportMetric(float64(d[0].Microseconds())/1000, name+"_ms_min")
	}
}
