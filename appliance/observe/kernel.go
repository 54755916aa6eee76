package observe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v3/cpu"
	"github.com/shirou/gopsutil/v3/disk"
	"github.com/shirou/gopsutil/v3/load"
	"github.com/shirou/gopsutil/v3/mem"
	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/runtime/workload"
)

// Sampler reads what a running container uses: *ctrd.Sampler.
type Sampler interface {
	Sample(ctx context.Context, id workload.ID) (workload.Stats, error)
	Sweep()
}

// KernelConfig is what a Kernel measures; every field is required.
type KernelConfig struct {
	NodeID  string
	DataDir string // on whose file system Disk is measured
	// Containers are those that are assigned to this node.
	Containers func() iter.Seq[*model.Container]
	Sampler    Sampler
	// Interface names the host's end of a container's connection.
	Interface func(containerID string) string
}

// Kernel measures by the kernel's files on this host: the real Probe. It enters
// no namespace: a container's traffic is counted at the host's end of its
// connection. One goroutine uses it.
type Kernel struct {
	cfg     KernelConfig
	veths   map[string]string // container id -> interface
	links   map[string]traffic
	devices map[string]bool // block device -> a whole one that is counted
	buf     []byte
}

type traffic struct {
	rx, tx uint64
	seen   bool
}

// NewKernel returns a Kernel.
func NewKernel(cfg KernelConfig) *Kernel {
	return &Kernel{cfg: cfg, veths: map[string]string{}, links: map[string]traffic{}, devices: map[string]bool{}, buf: make([]byte, 32<<10)}
}

// ours is how the host's ends of containers' connections begin; they lead
// nowhere out of the host.
const ours = "skv"

// Sample measures everything once.
func (k *Kernel) Sample(ctx context.Context, into *Snapshot) error {
	into.At = time.Now()
	into.Containers = into.Containers[:0]
	host, err := k.host(ctx)
	if err != nil {
		return err
	}
	into.Node = host
	for c := range k.cfg.Containers() {
		if c.Status.Phase != model.PhaseRunning {
			continue
		}
		st, err := k.cfg.Sampler.Sample(ctx, workload.ID(c.ID))
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			continue // it has just ended, or the engine is away: a hole
		}
		u := Use{
			ID: c.ID, ServiceID: c.ServiceID, Name: c.Name, CPU: st.CPUTotal, Memory: st.MemoryUsage, PIDs: st.PIDs,
			BlockRead: st.BlockRead, BlockWrite: st.BlockWrite,
		}
		name, ok := k.veths[c.ID]
		if !ok {
			name = k.cfg.Interface(c.ID)
			k.veths[c.ID] = name
		}
		l := k.links[name]
		u.NetworkRx, u.NetworkTx, u.NetworkUnknown = l.tx, l.rx, !l.seen // what the host's end sends the container receives
		into.Containers = append(into.Containers, u)
	}
	k.cfg.Sampler.Sweep()
	if len(k.veths) > 2*len(into.Containers)+64 {
		clear(k.veths)
	}
	return nil
}

func (k *Kernel) host(ctx context.Context) (Use, error) {
	u := Use{ID: k.cfg.NodeID}
	times, err := cpu.TimesWithContext(ctx, false)
	if err != nil || len(times) == 0 {
		return u, fmt.Errorf("measure the CPU: %w", errors.Join(err, ctx.Err()))
	}
	t := times[0]
	// What guests use is in User already.
	u.CPU = time.Duration((t.User + t.System + t.Nice + t.Irq + t.Softirq + t.Steal) * float64(time.Second))
	m, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return u, fmt.Errorf("measure the memory: %w", err)
	}
	u.Memory = m.Total - m.Available
	if d, err := disk.UsageWithContext(ctx, k.cfg.DataDir); err == nil {
		u.Disk = d.Used
	}
	if l, err := load.AvgWithContext(ctx); err == nil {
		u.Load1 = l.Load1
	}
	if b, err := k.read("/proc/loadavg"); err == nil { // 0.1 0.2 0.3 running/all last
		if f := strings.Fields(string(b)); len(f) > 3 {
			_, all, _ := strings.Cut(f[3], "/")
			u.PIDs = number([]byte(all))
		}
	}
	u.NetworkUnknown = k.network(&u) != nil
	u.IOUnknown = k.blocks(&u) != nil
	return u, nil
}

// network reads the counters of all interfaces of the host at once.
func (k *Kernel) network(u *Use) error {
	b, err := k.read("/proc/net/dev")
	if err != nil {
		return err
	}
	for name, l := range k.links {
		if !l.seen {
			delete(k.links, name)
			continue
		}
		k.links[name] = traffic{}
	}
	for line := range bytes.Lines(b) {
		head, rest, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			continue
		}
		var n [9]uint64
		for i := range n {
			n[i], rest = next(rest)
		}
		head = bytes.TrimSpace(head)
		switch {
		case bytes.HasPrefix(head, []byte(ours)):
			if _, ok := k.links[string(head)]; ok { // spares making a string
				k.links[string(head)] = traffic{n[0], n[8], true}
				continue
			}
			k.links[string(bytes.Clone(head))] = traffic{n[0], n[8], true}
		case string(head) == "lo":
		default:
			u.NetworkRx += n[0]
			u.NetworkTx += n[8]
		}
	}
	return nil
}

// blocks sums what whole disks have read and written; a partition, a mapped or
// a looped device is a part of one.
func (k *Kernel) blocks(u *Use) error {
	const sector = 512
	b, err := k.read("/proc/diskstats")
	if err != nil {
		return err
	}
	for line := range bytes.Lines(b) {
		f := bytes.Fields(line)
		if len(f) < 10 {
			continue
		}
		counted, known := k.devices[string(f[2])]
		if !known {
			counted = wholeDisk(string(f[2]))
			k.devices[string(f[2])] = counted
		}
		if counted {
			u.BlockRead += number(f[5]) * sector
			u.BlockWrite += number(f[9]) * sector
		}
	}
	return nil
}

func wholeDisk(name string) bool {
	for _, p := range []string{"loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd"} {
		if strings.HasPrefix(name, p) {
			return false
		}
	}
	_, err := os.Stat("/sys/block/" + name)
	return !errors.Is(err, fs.ErrNotExist)
}

// read reads a whole file of the kernel. It is valid until the next call.
func (k *Kernel) read(name string) ([]byte, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	defer unix.Close(fd)
	n := 0
	for {
		if n == len(k.buf) {
			k.buf = append(k.buf, make([]byte, len(k.buf))...)
		}
		c, err := unix.Read(fd, k.buf[n:])
		if err != nil && !errors.Is(err, unix.EINTR) {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		if c == 0 && err == nil {
			return k.buf[:n], nil
		}
		n += max(c, 0)
	}
}

// next takes the number that follows the spaces at the beginning of b.
func next(b []byte) (uint64, []byte) {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	i := 0
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	return number(b[:i]), b[i:]
}

func number(b []byte) uint64 {
	var n uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + uint64(c-'0')
	}
	return n
}
