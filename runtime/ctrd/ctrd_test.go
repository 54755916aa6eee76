package ctrd_test

import (
	"errors"
	"testing"
	"time"

	"github.com/skerryhq/skerry/runtime/runtimetest"
	"github.com/skerryhq/skerry/runtime/workload"
)

func TestFirst(t *testing.T) {
	h := runtimetest.New(t)
	ctx := runtimetest.Context(t, time.Minute)
	img := h.ImportBusybox()
	out := runtimetest.NewOutput(t)
	spec := workload.Spec{ID: "c1", ImageDigest: img, Command: []string{"sh", "-c", "echo hello; id; exit 7"}, CgroupParent: h.CgroupParent, Stdio: out.Stdio}
	for range 5 {
		t0 := time.Now()
		if err := h.Runtime.Create(ctx, spec); err != nil {
			t.Fatal(err)
		}
		t1 := time.Now()
		if err := h.Runtime.Start(ctx, "c1"); err != nil {
			t.Fatal(err)
		}
		t.Log("create", t1.Sub(t0), "start", time.Since(t1))
		st, err := h.Runtime.Wait(ctx, "c1")
		if err != nil || st.ExitCode != 7 {
			t.Fatal(st, err)
		}
		t1 = time.Now()
		h.Runtime.Remove(ctx, "c1")
		t.Log("remove", time.Since(t1))
	}
	t.Log(out.Stdout())
	spec.Command = []string{"nosuch"}
	spec.ID = "c2"
	if err := h.Runtime.Create(ctx, spec); err != nil {
		t.Fatal(err)
	}
	err := h.Runtime.Start(ctx, "c2")
	var ce *workload.CommandError
	if !errors.As(err, &ce) {
		t.Fatal(err)
	}
	t.Log(err)
}
