package ctrd

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/skerryhq/skerry/runtime/workload"
)

// Stats reads what the running container has used so far. It reads the kernel's
// files and asks nobody. Errors: ErrNotFound, ErrNotRunning.
func (r *Runtime) Stats(ctx context.Context, id workload.ID) (workload.Stats, error) {
	f, err := r.factsOf(ctx, id)
	if err != nil {
		return workload.Stats{}, fmt.Errorf("stats: %w", err)
	}
	group := r.cgroupPath(&f.spec)
	pid := r.cgroups.anyProcess(group)
	if pid == 0 {
		return workload.Stats{}, fmt.Errorf("stats of container %s: %w", id, workload.ErrNotRunning)
	}
	s := r.cgroups.sample(group)
	s.At = time.Now()
	s.NetworkRx, s.NetworkTx = netCounters(fmt.Sprintf("/proc/%d/net/dev", pid))
	return s, nil
}

// anyProcess returns one process of the group, 0 when there is none. All of them
// are in the container's network namespace.
func (c cgroupFS) anyProcess(group string) int {
	for line := range lines(c.file("memory", group, "cgroup.procs")) {
		if pid, err := strconv.Atoi(line); err == nil {
			return pid
		}
	}
	return 0
}

// netCounters sums the bytes received and sent on all interfaces but loopback,
// read from a process's view of its network namespace.
func netCounters(file string) (rx, tx uint64) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(b)) {
		name, rest, ok := strings.Cut(line, ":")
		f := strings.Fields(rest)
		if !ok || len(f) < 9 || strings.TrimSpace(name) == "lo" {
			continue
		}
		in, _ := strconv.ParseUint(f[0], 10, 64)
		out, _ := strconv.ParseUint(f[8], 10, 64)
		rx, tx = rx+in, tx+out
	}
	return rx, tx
}

// LayerSize returns the bytes that the container has written into its own layer.
// It walks the layer: ask every minute, not every second. Errors: ErrNotFound.
func (r *Runtime) LayerSize(ctx context.Context, id workload.ID) (int64, error) {
	u, err := r.snaps.Usage(ctx, string(id))
	if err != nil {
		return 0, native(err, "measure the layer of container %s", id)
	}
	return u.Size, nil
}
