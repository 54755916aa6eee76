package noderuntime

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/shirou/gopsutil/v3/cpu"
	"github.com/shirou/gopsutil/v3/disk"
	"github.com/shirou/gopsutil/v3/host"
	"github.com/shirou/gopsutil/v3/load"
	"github.com/shirou/gopsutil/v3/mem"
	"github.com/shirou/gopsutil/v3/net"

	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/runtime/workload"
)

// Stats measures a running container.
func (r *Local) Stats(ctx context.Context, c *model.Container) (api.ContainerStats, error) {
	s, err := r.cfg.Containers.Stats(ctx, workload.ID(c.ID))
	if err != nil {
		return api.ContainerStats{}, r.explain(c, err)
	}
	out := api.ContainerStats{
		Time: s.At, CPUNanos: s.CPUTotal.Nanoseconds(), CPUPercent: r.cpuPercent(c, s),
		MemoryBytes: int64(s.MemoryUsage), MemoryLimitBytes: int64(s.MemoryLimit),
		Pids: int64(s.PIDs), PidsLimit: c.Spec.PidsLimit,
		NetworkRxBytes: int64(s.NetworkRx), NetworkTxBytes: int64(s.NetworkTx),
		BlockReadBytes: int64(s.BlockRead), BlockWriteBytes: int64(s.BlockWrite),
		LayerBytes: r.layerBytes(ctx, c.ID),
	}
	if out.PidsLimit == 0 {
		out.PidsLimit = workload.DefaultPIDs
	}
	return out, nil
}

// cpuPercent is the load since the measurement before; without a recent one,
// since the task began.
func (r *Local) cpuPercent(c *model.Container, s workload.Stats) float64 {
	const recent = time.Minute
	r.mu.Lock()
	defer r.mu.Unlock()
	last, ok := r.cpu[c.ID]
	if !ok || s.At.Sub(last.at) > recent || s.CPUTotal < last.used {
		last = cpuSample{at: c.Status.StartedAt}
	}
	if s.At.Sub(last.at) >= 500*time.Millisecond { // two askers at once must not divide by nothing
		r.cpu[c.ID] = cpuSample{at: s.At, used: s.CPUTotal}
	}
	for id, old := range r.cpu {
		if s.At.Sub(old.at) > recent {
			delete(r.cpu, id)
		}
	}
	passed := s.At.Sub(last.at)
	if passed <= 0 {
		return 0
	}
	return 100 * float64(s.CPUTotal-last.used) / float64(passed)
}

// Measuring a layer walks it: once a minute is enough, and a large one must not
// hold up the other figures for long.
const (
	layerEvery = time.Minute
	layerWait  = 2 * time.Second
)

// layerBytes is what a container has written into its own layer, measured at
// most once in layerEvery; nil where that could not be done in layerWait.
func (r *Local) layerBytes(ctx context.Context, id string) *int64 {
	now := time.Now()
	r.mu.Lock()
	last, ok := r.layers[id]
	if ok && now.Sub(last.at) < layerEvery {
		r.mu.Unlock()
		return last.bytes
	}
	for other, old := range r.layers {
		if now.Sub(old.at) >= layerEvery {
			delete(r.layers, other)
		}
	}
	r.layers[id] = layerSample{at: now, bytes: last.bytes} // others meanwhile take the old figure
	r.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, layerWait)
	defer cancel()
	n, err := r.cfg.Containers.LayerSize(ctx, workload.ID(id))
	if err != nil {
		r.log.Debug("layer not measured", "container", id, "err", err)
		return last.bytes
	}
	r.mu.Lock()
	r.layers[id] = layerSample{at: now, bytes: &n}
	r.mu.Unlock()
	return &n
}

// NodeStats measures this node, but for how many containers run on it.
func (r *Local) NodeStats(ctx context.Context) (api.NodeStats, error) {
	out := api.NodeStats{Time: time.Now().UTC(), Cpus: runtime.NumCPU()}
	percent, err := cpu.PercentWithContext(ctx, 0, false)
	if err != nil {
		return out, fmt.Errorf("measure the CPU: %w", err)
	}
	if len(percent) > 0 {
		out.CPUPercent = percent[0]
	}
	m, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return out, fmt.Errorf("measure the memory: %w", err)
	}
	out.MemoryTotalBytes, out.MemoryUsedBytes = int64(m.Total), int64(m.Total-m.Available)
	d, err := disk.UsageWithContext(ctx, r.cfg.DataDir)
	if err != nil {
		return out, fmt.Errorf("measure the disk: %w", err)
	}
	out.DiskTotalBytes, out.DiskUsedBytes = int64(d.Total), int64(d.Used)
	if l, err := load.AvgWithContext(ctx); err == nil {
		out.Load1, out.Load5, out.Load15 = l.Load1, l.Load5, l.Load15
	}
	if up, err := host.UptimeWithContext(ctx); err == nil {
		out.UptimeSeconds = int64(up)
	}
	if io, err := net.IOCountersWithContext(ctx, true); err == nil {
		for _, i := range io {
			if i.Name != "lo" && !isVeth(i.Name) {
				out.NetworkRxBytes += int64(i.BytesRecv)
				out.NetworkTxBytes += int64(i.BytesSent)
			}
		}
	}
	return out, nil
}

// isVeth tells our own interfaces from those that lead out of the host.
func isVeth(name string) bool { return len(name) > 3 && name[:3] == "skv" }

// VolumeUsage measures a volume in bytes on disk.
func (r *Local) VolumeUsage(ctx context.Context, v *model.Volume) (int64, error) {
	use, err := r.cfg.Volumes.Usage(ctx, v.ID)
	if isNotExist(err) {
		return 0, nil // no container has used it yet
	}
	return use.Bytes, err
}
