// Package apptest runs the built product in a test: one real node in a network
// namespace of its own, with the command line and a client outside on the wire.
// It is for tests only. What a node makes on the host is gone when the test
// ends, however it ends.
package apptest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/netfw/netnstest"
)

// Binary finds bin/skerry, with bin/engine beside it; `make build` makes both.
// SKERRY_BIN names another.
func Binary(t testing.TB) string {
	t.Helper()
	if p := os.Getenv("SKERRY_BIN"); p != "" {
		return p
	}
	_, here, _, _ := runtime.Caller(0)
	p := filepath.Join(filepath.Dir(here), "..", "..", "bin", "skerry")
	for _, need := range []string{p, filepath.Join(filepath.Dir(p), "engine", "containerd"), filepath.Join(filepath.Dir(p), "engine", "skerry-nodeproc")} {
		if _, err := os.Stat(need); err != nil {
			t.Fatalf("%s is missing: run make build first", filepath.Base(need))
		}
	}
	return p
}

// Node is one host with Skerry on it.
type Node struct {
	Name    string          // of the node
	Host    *netnstest.Host // the node's network
	Outside *netnstest.Host // a client on the same wire
	DataDir string
	RunDir  string

	t     testing.TB
	bin   string
	disk  string // mounted by Disk
	raft  *disk  // below <DataDir>/raft; nil without one
	clock *clock // of the daemon
	run   *running
	log   *buffer
}

// running is the node's daemon; the copies of a Node that subtests get share it.
type running struct {
	daemon *os.Process // nil if it was not started or was ended
	exited chan error
}

// buffer is filled by the daemon's output while a test may read it.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// New lays the wire and the folders; nothing runs yet.
func New(t testing.TB) *Node {
	t.Helper()
	bin := Binary(t)
	hosts := netnstest.Cluster(t, 2)
	// Socket paths are short, so the folders must be too.
	dir, err := os.MkdirTemp("/tmp", "sk")
	if err != nil {
		t.Fatal(err)
	}
	return newNode(t, bin, dir, "n1", hosts[0], hosts[1])
}

// newNode describes a node whose folders are in dir. It is gone, with dir, when
// the test ends.
func newNode(t testing.TB, bin, dir, name string, host, outside *netnstest.Host) *Node {
	n := &Node{Name: name, Host: host, Outside: outside, DataDir: filepath.Join(dir, "d"), RunDir: filepath.Join(dir, "r"), t: t, bin: bin, clock: &clock{}, run: &running{}, log: &buffer{}}
	t.Cleanup(func() {
		if t.Failed() {
			n.dump()
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if n.raft != nil {
			n.raft.free()
		}
		n.Kill()
		if n.raft != nil {
			if err := n.raft.unmount(); err != nil {
				t.Errorf("unmount the log's disk: %v", err)
			}
		}
		err := n.Host.Do(func() error {
			out, err := n.command(ctx, "reset", "--data", "--data-dir", n.DataDir, "--run-dir", n.RunDir).CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w\n%s", err, out)
			}
			return nil
		})
		if err != nil {
			t.Errorf("reset: %v", err)
		}
		if n.disk != "" {
			if err := unix.Unmount(n.disk, 0); err != nil {
				t.Errorf("unmount the data's disk: %v", err)
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("the node left something behind: %v", err)
		}
	})
	return n
}

// Start makes a node with a cluster of one.
func Start(t testing.TB) *Node {
	t.Helper()
	n := New(t)
	n.Daemon()
	n.OK("init")
	return n
}

// dump shows what a failed test needs.
func (n *Node) dump() {
	n.t.Logf("%s: daemon's log:\n%s", n.Name, tail(without(n.log.String(), "component=raft"), 60))
	for _, name := range []string{"containerd", "logd", "edge"} {
		if b, err := os.ReadFile(filepath.Join(n.DataDir, "log", name+".log")); err == nil && len(b) > 0 {
			n.t.Logf("%s's log:\n%s", name, tail(string(b), 15))
		}
	}
	if n.run.daemon != nil {
		out, _ := n.Try("ps", "-a")
		n.t.Logf("containers:\n%s", out)
	}
}

func without(s, word string) string {
	lines := strings.SplitAfter(s, "\n")
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.Contains(l, word) }), "")
}

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Daemon starts the daemon and waits until it answers.
func (n *Node) Daemon(flags ...string) {
	n.t.Helper()
	n.Launch(flags...)
	n.Eventually(60*time.Second, "the daemon answers", func() bool {
		select {
		case err := <-n.run.exited:
			n.run.exited <- err
			n.t.Fatalf("the daemon ended: %v\n%s", err, tail(n.log.String(), 30))
		default:
		}
		return n.Answers()
	})
}

// Launch starts the daemon and does not wait for it.
func (n *Node) Launch(flags ...string) {
	n.t.Helper()
	argv := append([]string{n.bin, "daemon", "--data-dir", n.DataDir, "--run-dir", n.RunDir, "--name", n.Name, "--log-level", "debug"}, flags...)
	cmd := exec.Command(argv[0], argv[1:]...) // it lives until the test ends it
	cmd.Stdout, cmd.Stderr = n.log, n.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	n.Host.Must(cmd.Start)
	n.run.daemon = cmd.Process
	exited := make(chan error, 1)
	n.run.exited = exited
	go func() { exited <- cmd.Wait() }()
	if err := n.clock.launched(cmd.Process.Pid); err != nil {
		n.t.Fatalf("set the daemon's clock: %v", err)
	}
}

// Answers says whether the daemon answers on its socket.
func (n *Node) Answers() bool {
	res, err := n.API(http.MethodGet, "/healthz", nil)
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// Ended says whether the daemon does not run, and what it wrote last.
func (n *Node) Ended() (bool, string) {
	if n.run.daemon == nil {
		return true, tail(n.log.String(), 30)
	}
	select {
	case err := <-n.run.exited:
		n.run.exited <- err
		return true, tail(n.log.String(), 30)
	default:
		return false, ""
	}
}

// Log is what the daemons of this node have written so far.
func (n *Node) Log() string { return n.log.String() }

// Pid is the daemon's.
func (n *Node) Pid() int { return n.run.daemon.Pid }

// Kill kills the daemon with SIGKILL, if it runs.
func (n *Node) Kill() { n.end(syscall.SIGKILL) }

// Stop ends the daemon with SIGTERM; containers go on running.
func (n *Node) Stop() { n.end(syscall.SIGTERM) }

func (n *Node) end(sig syscall.Signal) {
	if n.run.daemon == nil {
		return
	}
	_ = n.run.daemon.Signal(sig) // it may have ended by itself
	select {
	case <-n.run.exited:
	case <-time.After(60 * time.Second):
		n.t.Errorf("the daemon does not end after %s", sig)
		_ = n.run.daemon.Kill()
	}
	n.run.daemon = nil
}

func (n *Node) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, n.bin, args...)
	cmd.Env = append(os.Environ(), "SKERRY_RUN_DIR="+n.RunDir, "LANG=C.UTF-8", "SKERRY_LANG=en")
	return cmd
}

// Run runs a skerry command and gives stdout, stderr and the exit status.
func (n *Node) Run(stdin io.Reader, args ...string) (stdout, stderr string, status int) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := n.command(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &errs
	var err error
	n.Host.Must(func() error {
		err = cmd.Start()
		return err
	})
	err = cmd.Wait()
	status = cmd.ProcessState.ExitCode()
	if err != nil && status < 0 {
		n.t.Fatalf("skerry %s: %v\n%s", strings.Join(args, " "), err, errs.String())
	}
	return out.String(), errs.String(), status
}

// Try runs a command and gives all it printed.
func (n *Node) Try(args ...string) (string, int) {
	n.t.Helper()
	out, errs, status := n.Run(nil, args...)
	return out + errs, status
}

// OK runs a command that must succeed and gives its stdout without the last
// newline.
func (n *Node) OK(args ...string) string {
	n.t.Helper()
	out, errs, status := n.Run(nil, args...)
	if status != 0 {
		n.t.Fatalf("skerry %s: status %d\n%s%s", strings.Join(args, " "), status, out, errs)
	}
	return strings.TrimRight(out, "\n")
}

// Refused runs a command that must fail with one sentence that contains want.
func (n *Node) Refused(want string, args ...string) {
	n.t.Helper()
	out, errs, status := n.Run(nil, args...)
	if status == 0 {
		n.t.Errorf("skerry %s: accepted, want a refusal with %q\n%s", strings.Join(args, " "), want, out)
		return
	}
	if !strings.Contains(errs, want) {
		n.t.Errorf("skerry %s: status %d, got %q, want %q in it", strings.Join(args, " "), status, errs, want)
	}
}

// JSON runs a command with --json and decodes what it prints into v.
func (n *Node) JSON(v any, args ...string) {
	n.t.Helper()
	out := n.OK(append(args, "--json")...)
	if err := json.Unmarshal([]byte(out), v); err != nil {
		n.t.Fatalf("skerry %s --json: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// API sends a request to the local socket; path begins with /.
func (n *Node) API(method, path string, body any) (*http.Response, error) {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, "http://local"+path, r)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return n.Client().Do(req)
}

// Client speaks HTTP over the local socket.
func (n *Node) Client() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dialer(filepath.Join(n.RunDir, "skerry.sock"))}}
}

// Curl asks an URL from a host and gives the body; empty if there was no
// answer.
func (n *Node) Curl(from *netnstest.Host, url string) string {
	out, err := from.Try("curl", "-s", "-m", "3", url)
	if err != nil {
		return ""
	}
	return out
}

// Eventually polls until ok, and fails the test when the limit is over.
func (n *Node) Eventually(limit time.Duration, what string, ok func() bool) {
	n.t.Helper()
	netnstest.Eventually(n.t, limit, what, ok)
}

// Phase is the phase of a container by name; empty if there is none.
func (n *Node) Phase(name string) string {
	n.t.Helper()
	var c struct {
		Status struct{ Phase string }
	}
	res, err := n.API(http.MethodGet, "/api/v1/containers/"+name, nil)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK || json.NewDecoder(res.Body).Decode(&c) != nil {
		return ""
	}
	return c.Status.Phase
}

// Footprint counts what a node holds in the kernel, by kind; two equal ones
// mean that nothing leaked in between.
func (n *Node) Footprint() string {
	n.t.Helper()
	var b strings.Builder
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		n.t.Fatal(err)
	}
	fmt.Fprintf(&b, "mounts %d\n", strings.Count(string(mounts), filepath.Dir(n.RunDir)+"/"))
	links := n.Host.Run("ip", "-o", "link")
	fmt.Fprintf(&b, "veths %d\n", strings.Count(links, ": skv"))
	names, _ := filepath.Glob(filepath.Join(n.RunDir, "netns", "*"))
	fmt.Fprintf(&b, "namespaces %d\n", len(names))
	rules := n.Host.Run("iptables-save")
	fmt.Fprintf(&b, "published %d\n", strings.Count(rules, "DNAT --to-destination"))
	sets := n.Host.Run("ipset", "list", "-t")
	fmt.Fprintf(&b, "sets %d\n", strings.Count(sets, "Name: skerry-")-strings.Count(sets, "Name: skerry-source\n")) // that one stays
	groups, _ := filepath.Glob("/sys/fs/cgroup/pids/skerry/*/*/cgroup.procs")
	ours := 0
	if id, err := os.ReadFile(filepath.Join(n.DataDir, "node.json")); err == nil {
		for _, g := range groups {
			if strings.Contains(string(id), filepath.Base(filepath.Dir(filepath.Dir(g)))) {
				ours++
			}
		}
	}
	fmt.Fprintf(&b, "cgroups %d\n", ours)
	pipes, _ := filepath.Glob(filepath.Join(n.RunDir, "logd", "*"))
	fmt.Fprintf(&b, "pipes %d\n", len(pipes))
	logs, _ := filepath.Glob(filepath.Join(n.DataDir, "logs", "*"))
	fmt.Fprintf(&b, "logs %d\n", len(logs))
	snapshots, _ := filepath.Glob(filepath.Join(n.DataDir, "engine", "io.containerd.snapshotter.v1.overlayfs", "snapshots", "*"))
	fmt.Fprintf(&b, "snapshots %d\n", len(snapshots))
	return b.String()
}
