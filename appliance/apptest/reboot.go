package apptest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Process gives the pid of one of the node's processes: containerd, logd, edge
// or supervise; 0 if it does not run.
func (n *Node) Process(name string) int {
	n.t.Helper()
	for pid, argv := range n.family() {
		base := filepath.Base(argv[0])
		if base == name || base == "skerry-nodeproc" && len(argv) > 1 && argv[1] == name {
			return pid
		}
	}
	return 0
}

// family lists the node's own processes and its shims, found by the run
// directory in their arguments.
func (n *Node) family() map[int][]string {
	n.t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		n.t.Fatal(err)
	}
	out := map[int][]string{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		cmdline, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err != nil {
			continue // gone meanwhile
		}
		argv := strings.Split(strings.TrimRight(string(cmdline), "\x00"), "\x00")
		known := slices.Contains([]string{"skerry-nodeproc", "containerd", "containerd-shim-runc-v2", "runc"}, filepath.Base(argv[0]))
		if known && slices.ContainsFunc(argv, func(a string) bool { return a == n.RunDir || strings.HasPrefix(a, n.RunDir+"/") }) {
			out[pid] = argv
		}
	}
	return out
}

// Reboot does to the node what a host's end and start do, as far as that can be
// done without one: all processes are gone at once, and so is everything that
// lives in memory only. What is on disk stays. The daemon is not started again.
func (n *Node) Reboot() {
	n.t.Helper()
	n.Kill()
	groups := n.cgroups()
	n.Eventually(20*time.Second, "all processes are gone", func() bool {
		left := 0
		for pid := range n.family() {
			left++
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone by now
		}
		for _, g := range groups {
			b, _ := os.ReadFile(filepath.Join(g, "cgroup.procs"))
			for _, word := range strings.Fields(string(b)) {
				if pid, err := strconv.Atoi(word); err == nil && pid > 1 {
					left++
					_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone by now
				}
			}
		}
		return left == 0
	})
	for _, point := range n.mounts() {
		if n.raft != nil && n.raft.holds(point) {
			continue // disks outlive the host
		}
		if err := unix.Unmount(point, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			n.t.Fatalf("unmount %s: %v", point, err)
		}
	}
	if err := os.RemoveAll(n.RunDir); err != nil {
		n.t.Fatal(err)
	}
	n.Eventually(10*time.Second, "the cgroups are gone", func() bool {
		for _, g := range groups {
			if err := os.Remove(g); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return false
			}
		}
		return true
	})
	n.Eventually(10*time.Second, "the interfaces are gone", func() bool { return !strings.Contains(n.Host.Run("ip", "-o", "link"), ": skv") })
	n.Host.Run("nft", "flush", "ruleset")
	n.Host.Run("ipset", "destroy")
	n.Host.Run("ip", "address", "flush", "dev", "lo")
	n.Host.Run("ip", "address", "add", "127.0.0.1/8", "dev", "lo")
	n.Host.Run("sysctl", "-qw", "net.ipv4.ip_forward=0")
}

// mounts lists what is mounted below the node's folders, the newest first.
func (n *Node) mounts() []string {
	n.t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		n.t.Fatal(err)
	}
	var out []string
	for _, line := range strings.Split(string(b), "\n") {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], filepath.Dir(n.RunDir)+"/") {
			out = append(out, f[4])
		}
	}
	slices.Reverse(out)
	return out
}

// cgroups lists the groups of the node and its containers in every hierarchy,
// the deepest first.
func (n *Node) cgroups() []string {
	n.t.Helper()
	id, err := os.ReadFile(filepath.Join(n.DataDir, "node.json"))
	if err != nil {
		n.t.Fatal(err)
	}
	var out []string
	for _, pattern := range []string{"/sys/fs/cgroup/*/skerry/*", "/sys/fs/cgroup/skerry/*"} {
		found, _ := filepath.Glob(pattern)
		for _, g := range found {
			if !strings.Contains(string(id), filepath.Base(g)) {
				continue // another node's, or a file
			}
			_ = filepath.WalkDir(g, func(path string, d fs.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					out = append(out, path)
				}
				return nil
			})
		}
	}
	slices.Reverse(out)
	return out
}
