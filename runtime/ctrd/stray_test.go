package ctrd_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/runtime/engine"
	"github.com/skerryhq/skerry/runtime/runtimetest"
	"github.com/skerryhq/skerry/runtime/workload"
)

// stray leaves what a create leaves that is given up while its shim begins: the
// real shim, waiting for a reader of its log, with its socket open.
func stray(t *testing.T, h *runtimetest.Host, id string) (ended chan struct{}) {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mkfifo(filepath.Join(dir, "log"), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: h.Config.ShimSocket(id), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(h.Config.BinDir, engine.ShimName), "-namespace", engine.Namespace, "-id", id, "-address", h.Config.Socket())
	cmd.Dir, cmd.ExtraFiles = dir, []*os.File{f}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = f.Close(), l.Close() // the shim has its own
	ended = make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // it is killed
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-ended
	})
	return ended
}

// TestInterruptedStart: what a start left that was given up does not hang the
// next one, and goes with the container.
func TestInterruptedStart(t *testing.T) {
	h := runtimetest.New(t)
	img := h.ImportBusybox()
	for name, use := range map[string]func(workload.ID) error{
		"started": func(id workload.ID) error { return h.Adopt().Start(runtimetest.Context(t, 20*time.Second), id) },
		"removed": func(id workload.ID) error { return h.Adopt().Remove(runtimetest.Context(t, 20*time.Second), id) },
	} {
		out := runtimetest.NewOutput(t)
		id := workload.ID(name)
		spec := workload.Spec{ID: id, ImageDigest: img, Stdio: out.Stdio, CgroupParent: h.CgroupParent, Command: []string{"sh", "-c", forever}}
		if err := h.Runtime.Create(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		ended := stray(t, h, name)
		begun := time.Now()
		if err := use(id); err != nil {
			t.Errorf("%s after an interrupted start: %v (%v)\n%s", name, err, time.Since(begun), h.Log())
		}
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			t.Errorf("%s: the shim of the interrupted start is still there", name)
		}
		t.Logf("%s in %v", name, time.Since(begun))
	}
	if st, err := h.Runtime.Inspect(t.Context(), "started"); err != nil || st.Phase != workload.PhaseRunning {
		t.Errorf("got %+v %v", st, err)
	}
}
