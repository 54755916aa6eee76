package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/apptest"
	"github.com/skerryhq/skerry/raft/model"
)

// moments are the delays before a kill: many within the first tens of
// milliseconds, where most happens.
func moments(n int) []time.Duration {
	var out []time.Duration
	for i := range n {
		out = append(out, time.Duration(300*i*i/((n-1)*(n-1)))*time.Millisecond)
	}
	return out
}

// TestDaemonKilledWhileCreating kills the daemon at many moments of a create.
// Afterwards the app is there and whole, or it is not there; and it can be
// removed without a trace.
func TestDaemonKilledWhileCreating(t *testing.T) {
	n := apptest.Start(t)
	n.Probe()
	before := n.Footprint()
	made := 0
	for i, after := range moments(15) {
		name := fmt.Sprintf("c%d", i)
		cmd := n.Begin("run", "-d", "-n", name, "-p", ":80", "-v", name+":/data", "probe", "tcp", "80")
		wait(t, after)
		n.Kill()
		acknowledged := cmd.Wait() == 0
		n.Daemon()
		var apps []model.App
		list(t, n, &apps, "app", "ls")
		if len(apps) == 0 {
			if acknowledged {
				t.Errorf("killed after %s: the app was acknowledged and is gone", after)
			}
			continue
		}
		made++
		n.Eventually(20*time.Second, fmt.Sprintf("killed after %s: it runs", after), func() bool { return n.Phase(name) == "running" })
		p := hostPort(t, n, name)
		answers(n, true, fmt.Sprintf("%s:%d", nodeIP, p.HostPort), name)
		if i%2 == 0 {
			n.OK("rm", "-f", name)
		} else {
			n.OK("app", "rm", name)
		}
		n.OK("volume", "rm", name)
		n.Restored(before)
	}
	if made == 0 {
		t.Error("no create came far enough to be tried")
	}
	n.Restored(before)
}

// TestDaemonKilledWhileRemoving kills the daemon at many moments of a removal:
// it is finished afterwards, or has not begun.
func TestDaemonKilledWhileRemoving(t *testing.T) {
	n := apptest.Start(t)
	n.Probe()
	before := n.Footprint()
	gone := 0
	for i, after := range moments(12) {
		name := fmt.Sprintf("d%d", i)
		n.OK("run", "-d", "-n", name, "-p", ":80", "--replicas", "2", "probe", "tcp", "80")
		cmd := n.Begin("rm", "-f", name)
		wait(t, after)
		n.Kill()
		acknowledged := cmd.Wait() == 0
		n.Daemon()
		var apps []model.App
		list(t, n, &apps, "app", "ls")
		if len(apps) == 1 && !apps[0].Removing {
			if acknowledged {
				t.Errorf("killed after %s: the removal was acknowledged and the app is there", after)
			}
			n.Eventually(20*time.Second, "both run", func() bool { return n.Phase(name) == "running" && n.Phase(name+"-2") == "running" })
			n.OK("rm", "-f", name)
		} else {
			gone++
		}
		n.Eventually(30*time.Second, fmt.Sprintf("killed after %s: the removal is finished", after), func() bool { return n.OK("app", "ls", "-q") == "" })
		n.Restored(before)
	}
	if gone == 0 {
		t.Error("no removal came far enough to be tried")
	}
}

// TestDaemonKilledWhileImporting kills the daemon at many moments of an import:
// the image is there and can be run, or nothing of it is; a second import mends
// both.
func TestDaemonKilledWhileImporting(t *testing.T) {
	n := apptest.Start(t)
	file := filepath.Join(t.TempDir(), "busybox.tar")
	n.BusyboxArchive(file)
	stored := func() string {
		blobs, _ := filepath.Glob(filepath.Join(n.DataDir, "engine", "io.containerd.content.v1.content", "blobs", "sha256", "*"))
		ingests, _ := filepath.Glob(filepath.Join(n.DataDir, "engine", "io.containerd.content.v1.content", "ingest", "*"))
		snapshots, _ := filepath.Glob(filepath.Join(n.DataDir, "engine", "io.containerd.snapshotter.v1.overlayfs", "snapshots", "*"))
		return fmt.Sprintf("blobs %d, ingests %d, snapshots %d", len(blobs), len(ingests), len(snapshots))
	}
	was := stored()
	for _, after := range moments(10) {
		cmd := n.Begin("image", "import", file)
		wait(t, after)
		n.Kill()
		acknowledged := cmd.Wait() == 0
		n.Daemon()
		if out := n.OK("image", "ls", "-q"); strings.Contains(out, "busybox") {
			if out := n.OK("run", "--rm", "busybox", "echo", "whole"); out != "whole" {
				t.Errorf("killed after %s: the image is there and gives %q", after, out)
			}
		} else if acknowledged {
			t.Errorf("killed after %s: the import was acknowledged and the image is not there", after)
		}
		n.OK("image", "import", file)
		if out := n.OK("run", "--rm", "busybox", "echo", "again"); out != "again" {
			t.Errorf("killed after %s: imported again it gives %q", after, out)
		}
		n.OK("image", "rm", "busybox")
		n.Eventually(30*time.Second, fmt.Sprintf("killed after %s: the space is given back (%s, now %s)", after, was, stored()), func() bool { return stored() == was })
	}
}

// TestEngineKilledWhileStarting kills containerd while ten replicas start.
func TestEngineKilledWhileStarting(t *testing.T) {
	n := apptest.Start(t)
	n.Probe()
	before := n.Footprint()
	for i, after := range []time.Duration{0, 60, 150, 300} {
		name := fmt.Sprintf("e%d", i)
		cmd := n.Begin("run", "-d", "-n", name, "-p", "8080:80", "--replicas", "6", "probe", "tcp", "80")
		wait(t, after*time.Millisecond)
		killEngine(t, n)
		if status := cmd.Wait(); status != 0 {
			t.Errorf("killed after %d ms: run ended with %d: %s", after, status, cmd.Errors())
		}
		n.Eventually(30*time.Second, "all six run", func() bool { return strings.Count(n.OK("ps"), "running") == 6 })
		answers6 := map[string]bool{}
		n.Eventually(20*time.Second, "all six answer", func() bool {
			answers6[ask(n, true, nodeIP+":8080")] = true
			delete(answers6, "")
			return len(answers6) == 6
		})
		n.OK("rm", "-f", name)
		n.Restored(before)
	}
}

// TestHelpersKilled kills the log daemon and the name server.
func TestHelpersKilled(t *testing.T) {
	n := apptest.Start(t)
	n.Busybox()
	n.OK("run", "-d", "-n", "box", "busybox", "sh", "-c", "i=0; while :; do echo $i; i=$((i+1)); usleep 20000; done")
	pid := n.Container("box").Status.PID
	resolves := func() bool {
		out, _ := n.Try("exec", "box", "nslookup", "-type=a", "box")
		return strings.Contains(out, n.Container("box").Assign.Address.String())
	}
	n.Eventually(10*time.Second, "names resolve", resolves)
	for _, helper := range []string{"edge", "logd"} {
		old := n.Process(helper)
		kill(t, old)
		n.Eventually(10*time.Second, helper+" is back", func() bool { now := n.Process(helper); return now != 0 && now != old })
	}
	n.Eventually(10*time.Second, "names resolve again", resolves)
	last := func() int {
		out := n.OK("logs", "--tail", "1", "box")
		i, _ := strconv.Atoi(out)
		return i
	}
	at := last()
	n.Eventually(10*time.Second, "the log goes on", func() bool { return last() > at+20 })
	lines := strings.Split(n.OK("logs", "box"), "\n")
	for i, l := range lines {
		if l != strconv.Itoa(i) {
			t.Fatalf("line %d of the log is %q", i, l)
		}
	}
	// Without the daemon the helpers come back too: their parent lives on.
	n.Kill()
	for _, helper := range []string{"edge", "logd"} {
		old := n.Process(helper)
		kill(t, old)
		n.Eventually(10*time.Second, helper+" is back without the daemon", func() bool { now := n.Process(helper); return now != 0 && now != old })
	}
	n.Daemon()
	n.Eventually(10*time.Second, "names resolve with the daemon back", resolves)
	if now := n.Container("box").Status.PID; now != pid {
		t.Errorf("the container was restarted: pid %d, then %d", pid, now)
	}
}

// TestNoLineIsLost writes 1 MB/s while the daemon is away for three seconds and
// the log daemon is killed twice.
func TestNoLineIsLost(t *testing.T) {
	n := apptest.Start(t)
	n.Probe()
	n.OK("run", "-d", "-n", "writer", "--stop-signal", "TERM", "--restart", "no", "probe", "lines")
	kill(t, n.Process("logd"))
	n.Kill()
	wait(t, 1500*time.Millisecond)
	kill(t, n.Process("logd"))
	wait(t, 1500*time.Millisecond)
	n.Daemon()
	wait(t, 500*time.Millisecond)
	n.OK("stop", "writer")
	out, errs, _ := n.Run(nil, "logs", "writer")
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	for i, l := range lines {
		if got, err := strconv.Atoi(strings.TrimLeft(l, "0")); (err != nil || got != i) && i > 0 {
			t.Fatalf("of %d lines, the one at %d is %q", len(lines), i, l)
		}
	}
	var written, longest int
	if _, err := fmt.Sscanf(errs, "lines %d longest_ms %d", &written, &longest); err != nil {
		t.Fatalf("the writer says %q", errs)
	}
	if written != len(lines) || written < 30000 {
		t.Errorf("%d lines written, %d in the log", written, len(lines))
	}
	if longest > 1000 {
		t.Errorf("a write took %d ms", longest)
	}
	t.Logf("%d lines, longest write %d ms", written, longest)
}

// TestReboot ends everything that runs on the host, takes away all that lives in
// memory, and starts the daemon: what ran comes back as it was.
func TestReboot(t *testing.T) {
	n := apptest.Start(t)
	n.Busybox()
	n.Probe()
	compose := write(t, "compose.yaml", `
name: shop
services:
  web:
    image: probe
    command: ["tcp", "80"]
    ports: ["8080:80"]
    restart: always
  store:
    image: busybox
    volumes: ["data:/store"]
  task:
    image: busybox
    command: ["sh", "-c", "exit 3"]
    restart: "no"
  halted:
    image: busybox
volumes:
  data:
`)
	n.OK("app", "deploy", "-f", compose)
	n.OK("exec", "shop-store-1", "sh", "-c", "echo kept > /store/file; echo layer > /srv-file")
	n.Eventually(10*time.Second, "the task ends", func() bool { return n.Phase("shop-task-1") == "exited" })
	n.OK("stop", "shop-halted-1")
	names := []string{"shop-web-1", "shop-store-1", "shop-task-1", "shop-halted-1"}
	was := map[string]model.Container{}
	for _, name := range names {
		was[name] = n.Container(name)
	}
	answers(n, true, nodeIP+":8080", "shop-web-1")

	n.Reboot()
	if got := ask(n, true, nodeIP+":8080"); got != "" {
		t.Fatalf("the host is down and %q answers", got)
	}
	n.Daemon()
	answers(n, true, nodeIP+":8080", "shop-web-1")
	n.Eventually(20*time.Second, "the store runs", func() bool { return n.Phase("shop-store-1") == "running" })
	if out := n.OK("exec", "shop-store-1", "cat", "/store/file", "/srv-file"); out != "kept\nlayer" {
		t.Errorf("the data is %q", out)
	}
	for _, name := range names {
		is := n.Container(name)
		if is.ID != was[name].ID || is.Assign.Address != was[name].Assign.Address {
			t.Errorf("%s: was %s at %s, is %s at %s", name, was[name].ID, was[name].Assign.Address, is.ID, is.Assign.Address)
		}
	}
	if is := n.Container("shop-task-1").Status; is.Phase != model.PhaseExited || is.Task != 1 || is.ExitCode == nil || *is.ExitCode != 3 {
		t.Errorf("a task that had ended: %+v", is)
	}
	if p := n.Phase("shop-halted-1"); p != "exited" {
		t.Errorf("a stopped container is %s", p)
	}
	n.OK("start", "shop-halted-1")
	n.Eventually(10*time.Second, "names resolve", func() bool {
		out, _ := n.Try("exec", "shop-store-1", "nslookup", "-type=a", "web")
		return strings.Contains(out, was["shop-web-1"].Assign.Address.String())
	})
	n.OK("app", "rm", "-f", "--volumes", "shop")
}

// wait lets the product work for a while; there is nothing to poll for, because
// the moment itself is what is tried.
func wait(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-t.Context().Done():
	case <-time.After(d):
	}
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if pid == 0 {
		t.Fatal("it does not run")
	}
	p, err := os.FindProcess(pid)
	if err == nil {
		err = p.Signal(syscall.SIGKILL)
	}
	if err != nil {
		t.Fatalf("kill %d: %v", pid, err)
	}
}

func list[T any](t *testing.T, n *apptest.Node, into *[]T, args ...string) {
	t.Helper()
	var page struct{ Items []T }
	n.JSON(&page, args...)
	*into = page.Items
}
