package ctrd_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/skerryhq/skerry/runtime/ctrd"
	"github.com/skerryhq/skerry/runtime/runtimetest"
	"github.com/skerryhq/skerry/runtime/workload"
)

func TestOutOfMemory(t *testing.T) {
	h := runtimetest.New(t)
	img := h.ImportBusybox()
	ctx := start(t, h, workload.Spec{ID: "oom", ImageDigest: img, Resources: workload.Resources{MemoryBytes: 16 << 20},
		Command: []string{"sh", "-c", "x=0123456789abcdef; while :; do x=$x$x; done"}})
	st, err := h.Runtime.Wait(ctx, "oom")
	if err != nil || !st.OOMKilled || st.Reason != workload.ReasonOOM || st.ExitCode != 137 {
		t.Fatalf("got %+v %v, want killed out of memory", st, err)
	}
}

func TestStatsAndLimits(t *testing.T) {
	h := runtimetest.New(t)
	img := h.ImportBusybox()
	ctx := start(t, h, workload.Spec{ID: "s", ImageDigest: img, Resources: workload.Resources{MemoryBytes: 64 << 20, CPUMilli: 200, PIDs: 50},
		Command: []string{"sh", "-c", "dd if=/dev/zero of=/big bs=1M count=5 2>/dev/null; while :; do :; done"}})
	runtimetest.Eventually(t, 20*time.Second, "CPU is used and throttled, the layer has grown", func() bool {
		s, err := h.Runtime.Stats(ctx, "s")
		size, serr := h.Runtime.LayerSize(ctx, "s")
		return err == nil && serr == nil && s.CPUTotal > 20*time.Millisecond && s.CPUThrottled > 0 && s.MemoryUsage > 0 &&
			s.MemoryLimit == 64<<20 && s.PIDs > 0 && size >= 5<<20
	})
	if _, err := h.Runtime.Stop(ctx, "s", workload.StopOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Runtime.Stats(ctx, "s"); !errors.Is(err, workload.ErrNotRunning) {
		t.Errorf("stats of a stopped container: got %v", err)
	}
}

func TestConfinement(t *testing.T) {
	h := runtimetest.New(t)
	img := h.ImportBusybox()
	out := runtimetest.NewOutput(t)
	file := filepath.Join(h.Dir, "resolv")
	if err := os.WriteFile(file, []byte("nameserver 10.0.0.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx := start(t, h, workload.Spec{ID: "conf", ImageDigest: img, Stdio: out.Stdio, User: "app", ReadOnlyRoot: true, Hostname: "rock", WorkDir: "/etc",
		Tmpfs:  map[string]string{"/tmp": "size=1m"},
		Mounts: []workload.Mount{{Source: file, Destination: "/etc/group", ReadOnly: true}},
		Command: []string{"sh", "-c", `id -u; hostname; pwd; touch /x && echo WRITABLE; touch /tmp/x && echo tmp; grep NoNewPrivs /proc/self/status; grep CapEff /proc/self/status;
grep Seccomp: /proc/self/status; mount -t proc p /proc 2>/dev/null && echo MOUNTED; cat /etc/group; cat /proc/kcore 2>/dev/null | head -c 1 | wc -c; echo err >&2`}})
	if _, err := h.Runtime.Wait(ctx, "conf"); err != nil {
		t.Fatal(err)
	}
	want := "1000\nrock\n/etc\ntmp\nNoNewPrivs:\t1\nCapEff:\t0000000000000000\nSeccomp:\t2\nnameserver 10.0.0.1\n0\n"
	runtimetest.Eventually(t, 5*time.Second, "the whole output came: "+want, func() bool { return out.Stdout() == want || len(out.Stdout()) > len(want) })
	if out.Stdout() != want {
		t.Errorf("got\n%swant\n%s", out.Stdout(), want)
	}
	if !strings.HasSuffix(out.Stderr(), "err\n") {
		t.Errorf("stderr %q", out.Stderr())
	}
}

// TestAdoption kills the engine with SIGKILL: containers go on, a new daemon sees
// them, an exit that happened meanwhile is known, everything still works.
func TestAdoption(t *testing.T) {
	h := runtimetest.New(t)
	img := h.ImportBusybox()
	ctx := start(t, h, workload.Spec{ID: "stays", ImageDigest: img, Command: []string{"sh", "-c", forever}, Labels: map[string]string{"app": "web"}})
	start(t, h, workload.Spec{ID: "ends", ImageDigest: img, Command: []string{"sh", "-c", "while ! test -e /go; do sleep 0.05; done; exit 23"}})
	before, err := h.Runtime.Inspect(ctx, "stays")
	if err != nil {
		t.Fatal(err)
	}
	events, cancel := context.WithCancel(ctx)
	defer cancel()
	resync := make(chan struct{}, 8)
	go h.Runtime.Events(events, func(e workload.Event) {
		if e.Kind == workload.EventResync {
			resync <- struct{}{}
		}
	})
	<-resync
	waited := make(chan workload.State, 1)
	go func() {
		st, err := h.Runtime.Wait(ctx, "ends")
		if err != nil {
			t.Error(err)
		}
		waited <- st
	}()
	ends, err := h.Runtime.Inspect(ctx, "ends")
	if err != nil {
		t.Fatal(err)
	}
	h.KillEngine(syscall.SIGKILL)
	// The container ends by itself while nobody looks.
	if err := os.WriteFile("/proc/"+itoa(ends.PID)+"/root/go", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	runtimetest.Eventually(t, 10*time.Second, "the exit is written down", func() bool {
		_, err := os.Stat(h.Config.BundleDir("ends") + "/exit.json")
		return err == nil
	})
	if _, err := h.Runtime.Inspect(runtimetest.Context(t, time.Second), "stays"); err == nil {
		t.Error("inspect worked without an engine")
	}
	h.StartEngine()
	<-resync
	if st := <-waited; st.ExitCode != 23 || st.Reason != workload.ReasonExited {
		t.Errorf("got %+v, want exit code 23", st)
	}
	again := h.Adopt()
	all, err := again.List(ctx)
	if err != nil || len(all) != 2 {
		t.Fatalf("got %+v %v", all, err)
	}
	for _, st := range all {
		if st.ID == "stays" && (st.Phase != workload.PhaseRunning || st.PID != before.PID || st.Labels["app"] != "web") {
			t.Errorf("got %+v, want it running as process %d", st, before.PID)
		}
	}
	var out bytes.Buffer
	if code, err := again.Exec(ctx, "stays", workload.ExecSpec{Command: []string{"echo", "hi"}}, ctrd.ExecIO{Stdout: &out}); err != nil || code != 0 || out.String() != "hi\n" {
		t.Errorf("exec after adoption: %d %q %v", code, out.String(), err)
	}
	if st, err := again.Stop(ctx, "stays", workload.StopOptions{Grace: 10 * time.Second}); err != nil || st.ExitCode != 3 {
		t.Errorf("stop after adoption: %+v %v", st, err)
	}
	if err := again.Start(ctx, "stays"); err != nil {
		t.Errorf("start after adoption: %v", err)
	}
}

// TestShimKilled ends the shim: the container is ended and says so.
func TestShimKilled(t *testing.T) {
	h := runtimetest.New(t)
	img := h.ImportBusybox()
	ctx := start(t, h, workload.Spec{ID: "orphan", ImageDigest: img, Command: []string{"sh", "-c", forever}})
	shims := h.Shims()
	if len(shims) != 1 {
		t.Fatalf("shims %v, want one", shims)
	}
	if err := syscall.Kill(atoi(shims[0]), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	st, err := h.Runtime.Wait(ctx, "orphan")
	if err != nil || st.Phase != workload.PhaseStopped || st.ExitCode == 0 {
		t.Errorf("got %+v %v, want stopped", st, err)
	}
	if err := h.Runtime.Start(ctx, "orphan"); err != nil {
		t.Errorf("start again: %v", err)
	}
}

func TestCommit(t *testing.T) {
	h := runtimetest.New(t)
	img := h.ImportBusybox()
	ctx := start(t, h, workload.Spec{ID: "base", ImageDigest: img, Command: []string{"sh", "-c", "echo kept >/kept; rm /etc/plain; " + forever}})
	runtimetest.Eventually(t, 10*time.Second, "the layer has changed", func() bool {
		_, err := h.Runtime.Stat(ctx, "base", "/etc/plain")
		return errors.Is(err, workload.ErrPathNotFound)
	})
	d, err := h.Runtime.Commit(ctx, "base", ctrd.CommitOptions{Comment: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if st, err := h.Runtime.Inspect(ctx, "base"); err != nil || st.Phase != workload.PhaseRunning {
		t.Errorf("after the commit: %+v %v, want running", st, err)
	}
	out := runtimetest.NewOutput(t)
	start(t, h, workload.Spec{ID: "child", ImageDigest: d.String(), Stdio: out.Stdio, Command: []string{"sh", "-c", "cat /kept; test -e /etc/plain && echo THERE; exit 0"}})
	if st, err := h.Runtime.Wait(ctx, "child"); err != nil || st.ExitCode != 0 {
		t.Fatalf("%+v %v", st, err)
	}
	runtimetest.Eventually(t, 5*time.Second, "output", func() bool { return out.Stdout() == "kept\n" })
}

func TestVolumeIsFilledOnce(t *testing.T) {
	h := runtimetest.New(t)
	img := h.ImportBusybox()
	src := filepath.Join(h.Dir, "volumes", "v1", "_data")
	if err := os.MkdirAll(src, 0o755); err != nil {
		t.Fatal(err)
	}
	spec := workload.Spec{ID: "v", ImageDigest: img, Mounts: []workload.Mount{{Source: src, Destination: "/data", CopyUp: true}},
		Command: []string{"sh", "-c", "test $(cat /data/link) = seed && test $(stat -c %u:%g:%a /data/seed) = 1000:1001:640 && test $(stat -c %u:%g:%a /data) = 1000:1001:750 && rm /data/seed && touch /data/mine"}}
	ctx := start(t, h, spec)
	if st, err := h.Runtime.Wait(ctx, "v"); err != nil || st.ExitCode != 0 {
		t.Fatalf("%+v %v", st, err)
	}
	spec.ID, spec.Command = "w", []string{"sh", "-c", "test -e /data/mine && test ! -e /data/seed"}
	start(t, h, spec)
	if st, err := h.Runtime.Wait(ctx, "w"); err != nil || st.ExitCode != 0 {
		t.Fatalf("the volume was filled again: %+v %v", st, err)
	}
}

// TestReboot does to the engine what a reboot does: everything that runs is gone,
// mounts and the run folder too. Containers say that they were lost and start
// again with their layers.
func TestReboot(t *testing.T) {
	h := runtimetest.New(t)
	img := h.ImportBusybox()
	ctx := start(t, h, workload.Spec{ID: "r", ImageDigest: img, Command: []string{"sh", "-c", "echo x >>/count; test $(wc -l </count) = 2 && exit 33; " + forever}})
	runtimetest.Eventually(t, 10*time.Second, "the layer is written", func() bool { _, err := h.Runtime.Stat(ctx, "r", "/count"); return err == nil })
	st, err := h.Runtime.Inspect(ctx, "r")
	if err != nil {
		t.Fatal(err)
	}
	h.KillEngine(syscall.SIGKILL)
	for _, p := range h.Shims() {
		if err := syscall.Kill(atoi(p), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Kill(st.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	runtimetest.Eventually(t, 10*time.Second, "mounts and run folder are gone", func() bool {
		for _, m := range h.Mounts() {
			if err := syscall.Unmount(m, syscall.MNT_DETACH); err != nil {
				return false
			}
		}
		return os.RemoveAll(h.Config.RunDir) == nil
	})
	h.StartEngine()
	again := h.Adopt()
	runtimetest.Eventually(t, 20*time.Second, "the engine answers and the container is lost", func() bool {
		st, err = again.Inspect(ctx, "r")
		return err == nil
	})
	if st.Phase != workload.PhaseStopped || st.Reason != workload.ReasonLost || st.ExitCode != workload.ExitLost {
		t.Errorf("got %+v, want lost", st)
	}
	if err := again.Start(ctx, "r"); err != nil {
		t.Fatal(err)
	}
	if st, err = again.Wait(ctx, "r"); err != nil || st.ExitCode != 33 {
		t.Errorf("got %+v %v, want 33: the layer was not kept", st, err)
	}
}

// TestSweep makes what a crash between layer and record leaves.
func TestSweep(t *testing.T) {
	h := runtimetest.New(t)
	img := h.ImportBusybox()
	ctx := start(t, h, workload.Spec{ID: "live", ImageDigest: img, Command: []string{"sh", "-c", forever}})
	spec := workload.Spec{ID: "half", ImageDigest: img, Command: []string{"true"}, CgroupParent: h.CgroupParent}
	if err := h.Runtime.Create(ctx, spec); err != nil {
		t.Fatal(err)
	}
	if err := h.Client.ContainerService().Delete(ctx, "half"); err != nil {
		t.Fatal(err)
	}
	if n, err := h.Adopt().Sweep(ctx); err != nil || n != 1 {
		t.Errorf("swept %d %v, want 1", n, err)
	}
	if st, err := h.Runtime.Inspect(ctx, "live"); err != nil || st.Phase != workload.PhaseRunning {
		t.Errorf("the running container: %+v %v", st, err)
	}
	// The other half: a record whose layer is missing is made whole by creating again.
	if err := h.Runtime.Create(ctx, spec); err != nil {
		t.Fatal(err)
	}
	if err := h.Client.SnapshotService("overlayfs").Remove(ctx, "half"); err != nil {
		t.Fatal(err)
	}
	if err := h.Runtime.Create(ctx, spec); err != nil {
		t.Fatal(err)
	}
	if err := h.Runtime.Start(ctx, "half"); err != nil {
		t.Errorf("start after repair: %v", err)
	}
}
