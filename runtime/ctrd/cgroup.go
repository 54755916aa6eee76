package ctrd

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skerryhq/skerry/runtime/workload"
)

// cgroupFS knows where the kernel shows its control groups: one tree (v2) or one
// per controller (v1; on a hybrid host the controllers are on the v1 trees).
// Reading a few small files costs less than asking shim and engine for the same.
type cgroupFS struct {
	unified string            // mount point of the v2 tree when it is the only one
	v1      map[string]string // controller -> mount point
	hybrid  string            // mount point of an empty v2 tree beside v1; runc makes groups there too
}

// findCgroups reads the mount table.
func findCgroups(mountinfo string) (cgroupFS, error) {
	b, err := os.ReadFile(mountinfo)
	if err != nil {
		return cgroupFS{}, fmt.Errorf("find the control groups: %w", err)
	}
	return parseCgroups(b)
}

func parseCgroups(mountinfo []byte) (cgroupFS, error) {
	c := cgroupFS{v1: map[string]string{}}
	var unified string
	for line := range bytes.Lines(mountinfo) {
		pre, post, ok := strings.Cut(string(bytes.TrimSpace(line)), " - ")
		if !ok {
			continue
		}
		left, right := strings.Fields(pre), strings.Fields(post)
		if len(left) < 5 || len(right) < 3 {
			continue
		}
		switch right[0] {
		case "cgroup2":
			unified = left[4]
		case "cgroup":
			for _, o := range strings.Split(right[2], ",") {
				if _, seen := c.v1[o]; !seen {
					c.v1[o] = left[4]
				}
			}
		}
	}
	if _, ok := c.v1["memory"]; !ok {
		if unified == "" {
			return c, errors.New("find the control groups: neither a cgroup2 mount nor a v1 memory controller is mounted")
		}
		c.unified, c.v1 = unified, nil
		return c, nil
	}
	c.hybrid = unified
	return c, nil
}

func (c cgroupFS) file(controller, group, name string) string {
	if c.unified != "" {
		return filepath.Join(c.unified, group, name)
	}
	return filepath.Join(c.v1[controller], group, name)
}

// holds reports whether process pid is in group or below it.
func (c cgroupFS) holds(group string, pid int) (bool, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the cgroup of process %d: %w", pid, err)
	}
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		if c.unified == "" && !slices.Contains(strings.Split(f[1], ","), "pids") && !slices.Contains(strings.Split(f[1], ","), "memory") {
			continue
		}
		if f[2] == group || strings.HasPrefix(f[2], group+"/") {
			return true, nil
		}
	}
	return false, nil
}

// oomKills counts processes of the group that were killed over its memory limit;
// 0 when the group is gone.
func (c cgroupFS) oomKills(group string) uint64 {
	name := "memory.oom_control"
	if c.unified != "" {
		name = "memory.events"
	}
	return keyed(c.file("memory", group, name))["oom_kill"]
}

// remove deletes the group from every tree as far as it is empty.
func (c cgroupFS) remove(group string) {
	roots := []string{c.unified}
	if c.unified == "" {
		roots = roots[:0]
		if c.hybrid != "" {
			roots = append(roots, c.hybrid)
		}
		for _, at := range c.v1 {
			if !slices.Contains(roots, at) {
				roots = append(roots, at)
			}
		}
	}
	for _, at := range roots {
		removeEmptyDirs(filepath.Join(at, group))
	}
}

// removeEmptyDirs removes dir and what is below it, deepest first. A group that
// still holds a process refuses, and is left.
func removeEmptyDirs(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.IsDir() {
			removeEmptyDirs(filepath.Join(dir, e.Name()))
		}
	}
	_ = os.Remove(dir) // best effort: see above
}

// CleanCgroups removes the empty groups at and below parent, for example
// "/skerry/NODE" when the node is reset. Groups with processes stay.
func (r *Runtime) CleanCgroups(parent string) error {
	if !path.IsAbs(parent) || path.Clean(parent) == "/" || strings.Contains(parent, "..") {
		return workload.Invalidf("cgroup parent %q: must be an absolute path other than /", clip(parent))
	}
	r.cgroups.remove(path.Clean(parent))
	return nil
}

// sample reads what the group has used. A missing file counts as zero: which
// files exist depends on kernel and version.
func (c cgroupFS) sample(group string) workload.Stats {
	if c.unified != "" {
		return c.sampleV2(group)
	}
	var s workload.Stats
	s.CPUTotal = time.Duration(number(c.file("cpuacct", group, "cpuacct.usage")))
	cpu := keyed(c.file("cpu", group, "cpu.stat"))
	s.CPUPeriods, s.CPUThrottledPeriods = cpu["nr_periods"], cpu["nr_throttled"]
	s.CPUThrottled = time.Duration(cpu["throttled_time"])
	mem := keyed(c.file("memory", group, "memory.stat"))
	usage := number(c.file("memory", group, "memory.usage_in_bytes"))
	s.MemoryUsage = usage - min(usage, mem["total_inactive_file"])
	s.MemoryCache = mem["total_cache"]
	s.MemoryLimit = limit(number(c.file("memory", group, "memory.limit_in_bytes")))
	s.OOMKills = c.oomKills(group)
	s.PIDs = number(c.file("pids", group, "pids.current"))
	for line := range lines(c.file("blkio", group, "blkio.throttle.io_service_bytes_recursive")) {
		if f := strings.Fields(line); len(f) == 3 {
			n, _ := strconv.ParseUint(f[2], 10, 64)
			switch f[1] {
			case "Read":
				s.BlockRead += n
			case "Write":
				s.BlockWrite += n
			}
		}
	}
	return s
}

func (c cgroupFS) sampleV2(group string) workload.Stats {
	var s workload.Stats
	at := func(name string) string { return c.file("", group, name) }
	cpu := keyed(at("cpu.stat"))
	s.CPUTotal = time.Duration(cpu["usage_usec"]) * time.Microsecond
	s.CPUPeriods, s.CPUThrottledPeriods = cpu["nr_periods"], cpu["nr_throttled"]
	s.CPUThrottled = time.Duration(cpu["throttled_usec"]) * time.Microsecond
	mem := keyed(at("memory.stat"))
	usage := number(at("memory.current"))
	s.MemoryUsage = usage - min(usage, mem["inactive_file"])
	s.MemoryCache = mem["file"]
	s.MemoryLimit = limit(number(at("memory.max")))
	s.OOMKills = c.oomKills(group)
	s.PIDs = number(at("pids.current"))
	for line := range lines(at("io.stat")) {
		for _, kv := range strings.Fields(line) {
			k, v, _ := strings.Cut(kv, "=")
			n, _ := strconv.ParseUint(v, 10, 64)
			switch k {
			case "rbytes":
				s.BlockRead += n
			case "wbytes":
				s.BlockWrite += n
			}
		}
	}
	return s
}

// noLimit is above every real limit: v1 shows "none" as the largest page count.
const noLimit = 1 << 60

func limit(n uint64) uint64 {
	if n >= noLimit {
		return 0
	}
	return n
}

func number(file string) uint64 {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseUint(string(bytes.TrimSpace(b)), 10, 64) // "max" is 0: no limit
	return n
}

func keyed(file string) map[string]uint64 {
	out := map[string]uint64{}
	for line := range lines(file) {
		k, v, ok := strings.Cut(line, " ")
		if !ok {
			continue
		}
		if n, err := strconv.ParseUint(v, 10, 64); err == nil {
			out[k] = n
		}
	}
	return out
}

func lines(file string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		f, err := os.Open(file)
		if err != nil {
			return
		}
		defer f.Close()
		for sc := bufio.NewScanner(f); sc.Scan(); {
			if !yield(sc.Text()) {
				return
			}
		}
	}
}
