package ctrd_test

import (
	"testing"

	"github.com/skerryhq/skerry/runtime/engine"
	"github.com/skerryhq/skerry/runtime/runtimetest"
)

// TestConformance runs the suite on the real engine and then counts what is left.
func TestConformance(t *testing.T) {
	h := runtimetest.New(t)
	img := h.ImportBusybox()
	ctx := t.Context()
	snaps := func() (n int) {
		if err := h.Client.SnapshotService(engine.Snapshotter).Walk(ctx, countSnapshots(&n)); err != nil {
			t.Fatal(err)
		}
		return n
	}
	leases := func() int {
		ls, err := h.Client.LeasesService().List(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return len(ls)
	}
	before := snaps()
	runtimetest.Conformance(t, runtimetest.Subject{Runtime: h.Runtime, Image: img, CgroupParent: h.CgroupParent})
	if after := snaps(); after != before {
		t.Errorf("%d snapshots, %d before", after, before)
	}
	if n := leases(); n != 0 {
		t.Errorf("%d leases left", n)
	}
	if m := h.Mounts(); len(m) != 0 {
		t.Errorf("mounts left: %v", m)
	}
	if c := h.Cgroups(); len(c) != 0 {
		t.Errorf("cgroups left: %v", c)
	}
	if all, err := h.Runtime.List(ctx); err != nil || len(all) != 0 {
		t.Errorf("containers left: %v %v", all, err)
	}
	if p := h.Shims(); len(p) != 0 {
		t.Errorf("shims left: %v", p)
	}
}
