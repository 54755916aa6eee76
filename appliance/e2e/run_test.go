package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/apptest"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/runtime/runtimetest"
)

// TestRunFlags runs one short command after another in the foreground: each
// must show what its flag asked for, give back the command's own status and
// leave nothing behind.
func TestRunFlags(t *testing.T) {
	n := apptest.Start(t)
	n.Busybox()
	before := n.Footprint()
	file := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(file, []byte("# a comment\nFROM_FILE=a b\nBOTH=file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("FROM_US", "ours")
	for _, c := range []struct {
		name   string
		args   string // split at blanks, IMAGE and flags; ! stands for the image
		script string
		out    string
		status int
	}{
		{"command and output", "!", "echo out; echo err >&2", "out\n", 0},
		{"status", "!", "exit 7", "", 7},
		{"flags behind the image", "! -e A=b -w /tmp", "echo $A; pwd", "b\n/tmp\n", 0},
		{"environment", "-e A=1 -e B= -e FROM_US --env-file " + file + " -e BOTH=flag !", "echo \"$A|$B|$FROM_US|$FROM_FILE|$BOTH|$FROM_IMAGE\"", "1||ours|a b|flag|1\n", 0},
		{"working folder", "-w /data/new !", "pwd", "/data/new\n", 0},
		{"user by name", "-u app !", "id -u; id -g; id -G", "1000\n1001\n1001 2000\n", 0},
		{"user by number", "-u 1234:5678 !", "id -u; id -g", "1234\n5678\n", 0},
		{"host name", "--hostname box !", "hostname; cat /etc/hostname", "box\nbox\n", 0},
		{"read-only root", "--read-only --tmpfs /tmp !", "touch /x 2>/dev/null || echo no; touch /tmp/x && echo yes", "no\nyes\n", 0},
		{"capability dropped", "--cap-drop CHOWN !", "touch /tmp/f; chown app /tmp/f 2>/dev/null || echo no", "no\n", 0},
		{"all capabilities dropped", "--cap-drop ALL !", "grep CapEff /proc/self/status", "CapEff:\t0000000000000000\n", 0},
		{"capability not there", "!", "ip link set lo down 2>/dev/null || echo no", "no\n", 0},
		{"capability added", "--cap-add NET_ADMIN !", "ip link set lo down && echo yes", "yes\n", 0},
		{"tmpfs with size", "--tmpfs /scratch:size=1m !", "dd if=/dev/zero of=/scratch/f bs=1k count=2000 2>/dev/null || echo full", "full\n", 0},
		{"no new privileges", "!", "grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t1\n", 0},
		{"processes bounded", "--pids-limit 5 !", "for i in 1 2 3 4 5 6 7 8; do sleep 2 & done 2>/dev/null; echo $?", "", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := n.In(t)
			args := []string{"run", "--rm"}
			for _, w := range strings.Fields(c.args) {
				if w == "!" {
					w = "busybox"
				}
				args = append(args, w)
			}
			out, errs, status := n.Run(nil, append(args, "sh", "-c", c.script)...)
			if status != c.status || out != c.out {
				t.Errorf("status %d, want %d; out %q, want %q; stderr %q", status, c.status, out, c.out, errs)
			}
			if c.name == "command and output" && errs != "err\n" {
				t.Errorf("stderr %q, want it apart", errs)
			}
		})
	}
	t.Run("entrypoint", func(t *testing.T) {
		n := n.In(t)
		if out := n.OK("run", "--rm", "--entrypoint", "/bin/echo", "busybox", "--", "-n", "a  b", "$X"); out != "a  b $X" {
			t.Errorf("got %q", out)
		}
	})
	t.Run("stdin", func(t *testing.T) {
		n := n.In(t)
		out, errs, status := n.Run(strings.NewReader("one\ntwo\n"), "run", "--rm", "-i", "busybox", "wc", "-l")
		if strings.TrimSpace(out) != "2" || status != 0 {
			t.Errorf("status %d, out %q, stderr %q", status, out, errs)
		}
	})
	t.Run("all of much output", func(t *testing.T) {
		n := n.In(t)
		out, _, status := n.Run(nil, "run", "--rm", "busybox", "seq", "1", "200000")
		if lines := strings.Count(out, "\n"); lines != 200000 || status != 0 || !strings.HasSuffix(out, "\n200000\n") {
			t.Errorf("status %d, %d lines", status, lines)
		}
	})
	for _, c := range []struct {
		command, reason string
		status          int
	}{
		{"/no/such/program", "CommandNotFound", 127}, {"no-such-program", "CommandNotFound", 127},
		{"/etc/plain", "CommandNotExecutable", 126}, {"/tmp", "CommandNotExecutable", 126},
	} {
		t.Run("status "+strconv.Itoa(c.status)+" "+c.command, func(t *testing.T) {
			n := n.In(t)
			_, errs, status := n.Run(nil, "run", "-n", "bad", "busybox", c.command)
			if status != c.status || !strings.Contains(errs, c.command) {
				t.Errorf("status %d, want %d; stderr %q must name the command", status, c.status, errs)
			}
			got := n.Container("bad").Status
			if got.ExitCode == nil || *got.ExitCode != c.status || len(got.Conditions) != 1 || got.Conditions[0].Reason != c.reason {
				t.Errorf("the container says %+v, want %d %s", got, c.status, c.reason)
			}
			n.OK("rm", "bad")
			_, errs, status = n.Run(nil, "run", "-d", "-n", "bad", "busybox", c.command)
			if status != 1 || !strings.Contains(errs, c.command) {
				t.Errorf("in the background: status %d, stderr %q", status, errs)
			}
			n.OK("rm", "-f", "bad")
		})
	}
	n.Restored(before)
	if out := n.OK("ps", "-a", "-q"); out != "" {
		t.Errorf("--rm left %s", out)
	}
}

// TestLimits reads the kernel's own files, and runs into the memory limit.
func TestLimits(t *testing.T) {
	n := apptest.Start(t)
	n.Busybox()
	before := n.Footprint()
	n.OK("run", "-d", "-n", "small", "--cpus", "0.5", "--memory", "32m", "--pids-limit", "20", "busybox")
	c := n.Container("small")
	for file, want := range map[string]string{
		"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000",
		"memory/memory.limit_in_bytes": strconv.Itoa(32 << 20), "pids/pids.max": "20",
	} {
		controller, name, _ := strings.Cut(file, "/")
		found, _ := filepath.Glob(filepath.Join("/sys/fs/cgroup", controller, "skerry", "*", c.ID, name))
		if len(found) != 1 {
			t.Errorf("%s: the container has no such group", file)
			continue
		}
		got, err := os.ReadFile(found[0])
		if err != nil || strings.TrimSpace(string(got)) != want {
			t.Errorf("%s is %q (%v), want %s", file, got, err, want)
		}
	}
	n.OK("rm", "-f", "small")

	_, errs, status := n.Run(nil, "run", "-n", "hungry", "--memory", "16m", "busybox", "tail", "/dev/zero")
	if status != 137 {
		t.Errorf("out of memory: status %d, stderr %q", status, errs)
	}
	got := n.Container("hungry").Status
	if !got.OOMKilled || len(got.Conditions) != 1 || got.Conditions[0].Reason != "OutOfMemory" {
		t.Errorf("out of memory is not named: %+v", got)
	}
	if out := n.OK("ps", "-a"); !strings.Contains(out, "out of memory") {
		t.Errorf("ps does not say it:\n%s", out)
	}
	n.OK("rm", "hungry")
	n.Restored(before)
}

// TestRestartPolicies lets containers end and watches what follows.
func TestRestartPolicies(t *testing.T) {
	n := apptest.Start(t)
	n.Busybox()
	before := n.Footprint()
	run := func(name, policy, script string) {
		t.Helper()
		n.OK("run", "-d", "-n", name, "--restart", policy, "busybox", "sh", "-c", script)
	}
	run("no", "no", "exit 3")
	run("bad", "on-failure:3", "echo x; exit 4")
	run("good", "on-failure:3", "echo x; exit 0")
	run("always", "always", "echo x; exit 0")

	n.Eventually(15*time.Second, "on-failure:3 gives up", func() bool { return n.Phase("bad") == "exited" })
	if got := n.Container("bad").Status; got.ExitCode == nil || *got.ExitCode != 4 || got.Task != 4 {
		t.Errorf("on-failure:3: %+v, want 4 tasks that ended with 4", got)
	}
	if out := n.OK("logs", "bad"); out != "x\nx\nx\nx" {
		t.Errorf("on-failure:3 wrote %q", out)
	}
	for name, code := range map[string]int{"no": 3, "good": 0} {
		got := n.Container(name).Status
		if got.Phase != model.PhaseExited || got.Task != 1 || got.ExitCode == nil || *got.ExitCode != code {
			t.Errorf("%s: %+v, want one task that ended with %d", name, got, code)
		}
	}
	n.Eventually(15*time.Second, "always is started again and again", func() bool { return n.Container("always").Status.Task >= 4 })
	// The pauses double: by the sixth task at least 0.1+0.2+0.4+0.8+1.6 s have passed.
	first := n.Container("always").CreatedAt
	n.Eventually(20*time.Second, "a sixth task", func() bool { return n.Container("always").Status.Task >= 6 })
	if passed := time.Since(first); passed < 3100*time.Millisecond {
		t.Errorf("six tasks after %s: there is no back-off", passed)
	}
	if got := n.Container("always").Status; got.Phase == model.PhaseBackoff && got.RetryAt.IsZero() {
		t.Errorf("back-off without a time: %+v", got)
	}
	n.OK("stop", "always")
	task := n.Container("always").Status.Task
	if p := n.Phase("always"); p != "exited" {
		t.Errorf("stopped during its back-off it is %q", p)
	}
	n.OK("start", "always")
	n.Eventually(10*time.Second, "started again", func() bool { return n.Container("always").Status.Task > task })
	n.OK("rm", "-f", "no", "bad", "good", "always")
	n.Restored(before)
}

// TestStop tries signals and graces, and that a container keeps what it has.
func TestStop(t *testing.T) {
	n := apptest.Start(t)
	n.Busybox()
	before := n.Footprint()
	const trap = `trap 'echo got TERM; exit 5' TERM; trap 'echo got USR1; exit 6' USR1; echo ready; while :; do sleep 0.1; done`
	run := func(name string, args ...string) {
		t.Helper()
		n.OK(append(append([]string{"run", "-d", "-n", name, "--restart", "always"}, args...), "busybox", "sh", "-c", trap)...)
		n.Eventually(5*time.Second, name+" is ready", func() bool { return strings.HasSuffix(n.OK("logs", name), "ready") })
	}
	exit := func(name string, want int) {
		t.Helper()
		got := n.Container(name).Status
		if got.Phase != model.PhaseExited || got.ExitCode == nil || *got.ExitCode != want {
			t.Errorf("%s: %s %v, want exited %d", name, got.Phase, got.ExitCode, want)
		}
	}
	run("term", "--stop-signal", "TERM")
	n.OK("exec", "term", "sh", "-c", "echo mine > /kept")
	was := n.Container("term")
	n.OK("stop", "term")
	exit("term", 5)
	if out := n.OK("logs", "term"); !strings.HasSuffix(out, "got TERM") {
		t.Errorf("its last line is missing: %q", out)
	}
	n.OK("stop", "term") // again is fine
	n.OK("start", "term")
	n.OK("restart", "term")
	is := n.Container("term")
	if is.ID != was.ID || is.Assign.Address != was.Assign.Address || is.Status.Task != 3 || is.Status.Phase != model.PhaseRunning {
		t.Errorf("stop, start and restart: was %+v %+v, is %+v %+v", was.ID, was.Assign, is.ID, is.Status)
	}
	if out := n.OK("exec", "term", "cat", "/kept"); out != "mine" {
		t.Errorf("restart lost the layer: %q", out)
	}
	n.OK("stop", "-s", "USR1", "term")
	exit("term", 6)

	run("stubborn", "--stop-signal", "WINCH", "--stop-timeout", "1")
	begun := time.Now()
	n.OK("stop", "stubborn")
	if took := time.Since(begun); took < 900*time.Millisecond || took > 8*time.Second {
		t.Errorf("a grace of 1 s took %s", took)
	}
	exit("stubborn", 137)
	n.OK("start", "stubborn")
	begun = time.Now()
	n.OK("stop", "-t", "0", "stubborn")
	if took := time.Since(begun); took > 900*time.Millisecond+time.Second {
		t.Errorf("no grace took %s", took)
	}
	n.OK("start", "stubborn")
	n.OK("kill", "-s", "USR1", "stubborn") // only delivered: the policy starts it again
	n.Eventually(10*time.Second, "started again by its policy", func() bool {
		c := n.Container("stubborn")
		return c.Status.Task == 4 && c.Status.Phase == model.PhaseRunning
	})
	n.OK("kill", "stubborn")
	n.Eventually(5*time.Second, "killed for good", func() bool { return n.Phase("stubborn") == "exited" })
	n.Refused("is not running", "kill", "stubborn")
	n.OK("rm", "-f", "term", "stubborn")

	// An app made by run is one thing, however many replicas it has.
	n.OK("run", "-d", "-n", "many", "--replicas", "3", "busybox")
	n.Refused("running", "rm", "many")
	n.OK("stop", "many")
	if out := n.OK("ps", "-q"); out != "" {
		t.Errorf("stop of three replicas left %s", out)
	}
	n.OK("start", "many")
	if out := n.OK("ps", "-q"); strings.Count(out, "many") != 3 {
		t.Errorf("start of three replicas: %s", out)
	}
	n.OK("rm", "-f", "many")
	n.OK("run", "-d", "-n", "none", "--replicas", "0", "busybox")
	n.OK("rm", "none")
	if out := n.OK("app", "ls", "-q"); out != "" {
		t.Errorf("rm left the app %s", out)
	}
	n.Restored(before)
}

// TestInside looks into running containers: exec, attach, copies, logs, stats,
// commit.
func TestInside(t *testing.T) {
	n := apptest.Start(t)
	n.Busybox()
	before := n.Footprint()
	n.OK("run", "-d", "-n", "box", "--label", "team=blue", "--label", "empty=", "-v", "box-data:/data", "busybox")

	t.Run("exec", func(t *testing.T) {
		n := n.In(t)
		out, errs, status := n.Run(nil, "exec", "box", "sh", "-c", "echo out; echo err >&2; exit 9")
		if out != "out\n" || errs != "err\n" || status != 9 {
			t.Errorf("status %d, out %q, stderr %q", status, out, errs)
		}
		out, _, status = n.Run(strings.NewReader("typed\n"), "exec", "-i", "box", "cat")
		if out != "typed\n" || status != 0 {
			t.Errorf("stdin: status %d, out %q", status, out)
		}
		if out := n.OK("exec", "-e", "A=b", "-w", "/tmp", "-u", "app", "box", "sh", "-c", "echo $A; pwd; id -un"); out != "b\n/tmp\napp" {
			t.Errorf("flags: %q", out)
		}
		if _, errs, status := n.Run(nil, "exec", "box", "no-such-program"); status != 127 || !strings.Contains(errs, "no-such-program") {
			t.Errorf("unknown command: status %d, stderr %q", status, errs)
		}
		if _, errs, status := n.Run(nil, "exec", "box", "/etc/plain"); status != 126 || !strings.Contains(errs, "/etc/plain") {
			t.Errorf("no program: status %d, stderr %q", status, errs)
		}
		n.Refused("no container", "exec", "nobody", "true")
	})
	t.Run("terminal", func(t *testing.T) {
		n := n.In(t)
		term := n.Terminal(90, 30, "exec", "-it", "box", "sh")
		term.Type("stty size\n")
		term.Expect("30 90")
		term.Resize(101, 41)
		n.Eventually(10*time.Second, "the new size arrives", func() bool {
			term.Type("stty size\n")
			return strings.Contains(term.Output(), "41 101")
		})
		term.Type("exit 11\n")
		if status := term.Wait(); status != 11 {
			t.Errorf("status %d", status)
		}
	})
	t.Run("attach", func(t *testing.T) {
		n := n.In(t)
		n.OK("run", "-d", "-i", "-t", "-n", "tty", "busybox", "sh")
		term := n.Terminal(80, 24, "attach", "tty")
		term.Type("echo at$((1+1))ached\n")
		term.Expect("at2ached")
		term.Type("\x10\x11") // detach
		if status := term.Wait(); status != 0 {
			t.Errorf("detach: status %d", status)
		}
		if p := n.Phase("tty"); p != "running" {
			t.Errorf("after detaching it is %s", p)
		}
		term = n.Terminal(80, 24, "attach", "tty")
		term.Expect("at2ached") // a new onlooker sees what was shown last
		term.Type("exit 4\n")
		if status := term.Wait(); status != 4 {
			t.Errorf("the end: status %d", status)
		}
		n.OK("rm", "tty")
	})
	t.Run("run -it", func(t *testing.T) {
		n := n.In(t)
		term := n.Terminal(80, 24, "run", "-it", "--rm", "-n", "shell", "busybox", "sh")
		term.Type("tty; echo he$((0+7))re\n")
		term.Expect("/dev/pts/0")
		term.Expect("he7re")
		term.Type("exit 3\n")
		if status := term.Wait(); status != 3 {
			t.Errorf("status %d", status)
		}
		n.Eventually(10*time.Second, "--rm", func() bool { return n.Phase("shell") == "" })
	})
	t.Run("copy", func(t *testing.T) { copies(t, n.In(t)) })
	t.Run("stats", func(t *testing.T) {
		n := n.In(t)
		n.OK("exec", "box", "dd", "if=/dev/zero", "of=/in-the-layer", "bs=1M", "count=2")
		n.Begin("exec", "box", "sh", "-c", "while :; do :; done")
		var got struct {
			Items []struct {
				Container string
				Stats     struct {
					CPUPercent                                    float64
					MemoryBytes, Pids, NetworkRxBytes, LayerBytes int64
				}
			}
		}
		n.Eventually(10*time.Second, "the stats show the work", func() bool {
			n.JSON(&got, "stats", "box")
			return len(got.Items) == 1 && got.Items[0].Container == "box" && got.Items[0].Stats.CPUPercent > 5 &&
				got.Items[0].Stats.MemoryBytes > 4096 && got.Items[0].Stats.Pids >= 2 && got.Items[0].Stats.LayerBytes >= 2<<20
		})
		if out := n.OK("stats", "--no-stream", "box"); !strings.Contains(out, "box") || !strings.Contains(out, "MEMORY") {
			t.Errorf("stats: %s", out)
		}
	})
	t.Run("labels and inspect", func(t *testing.T) {
		n := n.In(t)
		if out := n.OK("ps", "-q", "--filter", "label=team=blue"); out != "box" {
			t.Errorf("by label: %q", out)
		}
		if out := n.OK("ps", "-q", "--filter", "label=team=red"); out != "" {
			t.Errorf("by another label: %q", out)
		}
		var raw map[string]json.RawMessage
		n.JSON(&raw, "inspect", "box")
		for _, key := range []string{"id", "name", "version", "spec", "status", "createdAt", "updatedAt"} {
			if _, ok := raw[key]; !ok {
				t.Errorf("inspect lacks %s: %v", key, raw)
			}
		}
		c := n.Container("box")
		if c.Spec.Labels["team"] != "blue" || c.Spec.Image != "docker.io/library/busybox:latest" || !strings.HasPrefix(c.Spec.ImageDigest, "sha256:") {
			t.Errorf("inspect: %+v", c.Spec)
		}
	})
	t.Run("commit", func(t *testing.T) {
		n := n.In(t)
		n.OK("exec", "box", "sh", "-c", "echo baked > /baked; rm /etc/plain")
		n.OK("commit", "box", "mine:v1")
		if out := n.OK("run", "--rm", "mine:v1", "sh", "-c", "cat /baked; ls /etc/plain 2>/dev/null || echo gone; echo $FROM_IMAGE"); out != "baked\ngone\n1" {
			t.Errorf("the new image: %q", out)
		}
		n.OK("image", "rm", "mine:v1")
		n.OK("registry", "collect") // at once, without the grace that deleted content has
	})
	t.Run("volume", func(t *testing.T) {
		n := n.In(t)
		// An empty volume takes what the image has there, with owner and mode.
		if out := n.OK("exec", "box", "sh", "-c", "cat /data/seed /data/link; stat -c '%u:%g %a' /data /data/seed"); out != "seed\nseed\n1000:1001 750\n1000:1001 640" {
			t.Errorf("copy-up: %q", out)
		}
		n.OK("exec", "box", "sh", "-c", "echo changed > /data/seed")
		n.OK("rm", "-f", "box")
		if out := n.OK("run", "--rm", "-v", "box-data:/data:ro", "busybox", "sh", "-c", "cat /data/seed; touch /data/x 2>/dev/null || echo ro"); out != "changed\nro" {
			t.Errorf("the volume did not outlive its container: %q", out)
		}
		n.OK("run", "-d", "-n", "user", "-v", "box-data:/data", "busybox")
		n.Refused("is mounted by container user", "volume", "rm", "box-data")
		n.OK("rm", "-f", "user")
		n.OK("volume", "rm", "box-data")
	})
	n.Restored(before)
}

// copies copies files and folders in and out, and tries to get out.
func copies(t *testing.T, n *apptest.Node) {
	dir := t.TempDir()
	in := filepath.Join(dir, "in")
	for name, body := range map[string]string{"in/a.txt": "alpha\n", "in/sub/b.txt": "beta\n", "single": "one\n"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(body), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	n.OK("cp", in, "box:/tmp")
	n.OK("cp", filepath.Join(dir, "single"), "box:/tmp/renamed")
	if out := n.OK("exec", "box", "sh", "-c", "cat /tmp/in/a.txt /tmp/in/sub/b.txt /tmp/renamed; stat -c %a /tmp/renamed"); out != "alpha\nbeta\none\n640" {
		t.Errorf("copied in: %q", out)
	}
	n.OK("exec", "box", "sh", "-c", "echo more >> /tmp/in/a.txt; ln -s ../../../../../../etc/shadow /tmp/in/evil; ln -s / /tmp/rootlink; ln -s /../../../../../../tmp /tmp/up")
	n.OK("cp", "box:/tmp/in", filepath.Join(dir, "out"))
	if b, err := os.ReadFile(filepath.Join(dir, "out", "a.txt")); err != nil || string(b) != "alpha\nmore\n" {
		t.Errorf("copied out: %q, %v", b, err)
	}
	n.OK("cp", "box:/etc/hostname", filepath.Join(dir, "name"))
	if b, err := os.ReadFile(filepath.Join(dir, "name")); err != nil || string(b) != "box\n" {
		t.Errorf("our own file in the container: %q, %v", b, err)
	}
	// A link that points out of the container leads to the container's own root.
	out := n.OK("exec", "box", "cat", "/etc/passwd")
	n.OK("cp", "box:/tmp/rootlink/etc/passwd", filepath.Join(dir, "passwd"))
	if b, err := os.ReadFile(filepath.Join(dir, "passwd")); err != nil || strings.TrimSpace(string(b)) != out {
		t.Errorf("through a link to /: %q, %v", b, err)
	}
	marker := filepath.Join("/tmp", "skerry-escape-"+strconv.Itoa(os.Getpid()))
	if err := os.WriteFile(marker, []byte("outside\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(marker)
	n.Refused("no such file", "cp", "box:/tmp/up/"+filepath.Base(marker), filepath.Join(dir, "stolen"))
	n.Refused("no such file", "cp", "box:/no/such/file", dir)
	n.Refused("does not exist", "cp", filepath.Join(dir, "nothing"), "box:/tmp")
	n.OK("cp", filepath.Join(dir, "single"), "box:/tmp/up/"+filepath.Base(marker))
	if b, err := os.ReadFile(marker); err != nil || string(b) != "outside\n" {
		t.Errorf("a copy got out of the container: %q, %v", b, err)
	}
}

// TestLogs tries following, bounds and the two streams.
func TestLogs(t *testing.T) {
	n := apptest.Start(t)
	n.Busybox()
	before := n.Footprint()
	n.OK("run", "-d", "-n", "talk", "busybox", "sh", "-c", "for i in 1 2 3 4 5; do echo line $i; echo error $i >&2; done; sleep 1000000")
	n.Eventually(5*time.Second, "all is written", func() bool { return strings.Count(n.OK("logs", "talk"), "line") == 5 })
	out, errs, _ := n.Run(nil, "logs", "talk")
	if out != "line 1\nline 2\nline 3\nline 4\nline 5\n" || errs != "error 1\nerror 2\nerror 3\nerror 4\nerror 5\n" {
		t.Errorf("streams are not apart: out %q, stderr %q", out, errs)
	}
	out, errs, _ = n.Run(nil, "logs", "--tail", "3", "talk")
	if strings.Count(out+errs, "\n") != 3 || !strings.Contains(out+errs, " 5\n") {
		t.Errorf("--tail 3: %q %q", out, errs)
	}
	if out, errs, _ := n.Run(nil, "logs", "--tail", "0", "talk"); out+errs != "" {
		t.Errorf("--tail 0: %q", out+errs)
	}
	mark := time.Now().UTC()
	n.OK("exec", "talk", "sh", "-c", "echo later > /proc/1/fd/1")
	n.Eventually(5*time.Second, "the later line", func() bool { return strings.Contains(n.OK("logs", "talk"), "later") })
	if out := n.OK("logs", "--since", mark.Format(time.RFC3339Nano), "talk"); out != "later" {
		t.Errorf("--since a time: %q", out)
	}
	if out := n.OK("logs", "--since", "10m", "talk"); !strings.HasPrefix(out, "line 1\n") {
		t.Errorf("--since 10m: %q", out)
	}
	follow := n.Begin("logs", "-f", "--tail", "1", "talk")
	n.Eventually(10*time.Second, "the follower sees what was", func() bool { return strings.Contains(follow.Output(), "later") })
	n.OK("exec", "talk", "sh", "-c", "echo now > /proc/1/fd/1")
	n.Eventually(5*time.Second, "the follower sees what comes", func() bool { return strings.Contains(follow.Output(), "now\n") })
	n.OK("kill", "talk")
	if status := follow.Wait(); status != 0 || follow.Output() != "later\nnow\n" {
		t.Errorf("the follower ended with %d after %q", status, follow.Output())
	}
	n.OK("rm", "talk")
	n.Restored(before)
}

// TestTenants gives two tenants an image of the same name and nothing else in
// common.
func TestTenants(t *testing.T) {
	n := apptest.Start(t)
	dir := t.TempDir()
	before := n.Footprint()
	ids := map[string]string{}
	for _, who := range []string{"red", "blue"} {
		n.OK("tenant", "create", who)
		file := filepath.Join(dir, who+".tar")
		files := append(runtimetest.BusyboxLayer(t), runtimetest.File{Name: "who", Body: []byte(who + "\n")})
		n.Archive(file, "app:latest", runtimetest.ImageConfig{Cmd: []string{"/bin/sleep", "1000000"}, StopSignal: "SIGKILL"}, files)
		n.OK("image", "import", "--tenant", who, file)
		n.OK("run", "-d", "-n", "web", "--tenant", who, "-v", "data:/store", "app")
		ids[who] = n.Container("web", "--tenant", who).ID
	}
	for _, who := range []string{"red", "blue"} {
		if out := n.OK("exec", "--tenant", who, "web", "cat", "/who"); out != who {
			t.Errorf("the image app:latest of %s holds %q", who, out)
		}
		n.OK("exec", "--tenant", who, "web", "sh", "-c", "ls /store; echo "+who+" > /store/"+who)
		if out := n.OK("exec", "--tenant", who, "web", "ls", "/store"); out != who {
			t.Errorf("the volume data of %s holds %q", who, out)
		}
	}
	if ids["red"] == ids["blue"] {
		t.Error("one container for both")
	}
	n.Refused("no object", "inspect", "--tenant", "red", ids["blue"])
	n.Refused("web", "exec", "web", "true") // the default tenant has none
	if out := n.OK("image", "ls", "-q"); strings.Contains(out, "app") {
		t.Errorf("the default tenant sees %s", out)
	}
	for _, who := range []string{"red", "blue"} {
		n.OK("rm", "-f", "--tenant", who, "web")
		n.OK("volume", "rm", "--tenant", who, "data")
		n.OK("image", "rm", "--tenant", who, "app")
	}
	n.Restored(before)
}
