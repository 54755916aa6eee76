package ctrd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/runtime/workload"
)

// maxHeld is of how many containers a Sampler keeps files open.
const maxHeld = 512

// Sampler reads again and again what running containers use, for less than
// Stats costs: it keeps the kernel's files open and makes no garbage. It does
// not read the network, whose counters the host has too: a file of a network
// namespace that is kept open would keep the namespace. One goroutine uses it.
type Sampler struct {
	r    *Runtime
	open map[workload.ID]*groupFiles
	buf  []byte
}

// groupFiles are open files of one cgroup; -1 where the kernel has none.
type groupFiles struct {
	cpu, memory, stat, pids, io int
	used                        bool // since the last Sweep
}

// NewSampler returns a Sampler. Close it.
func (r *Runtime) NewSampler() *Sampler {
	return &Sampler{r: r, open: map[workload.ID]*groupFiles{}, buf: make([]byte, 16<<10)}
}

// Sample reads CPU time, memory, processes and block bytes; everything else in
// the Stats is zero. Errors: ErrNotFound, ErrNotRunning.
func (s *Sampler) Sample(ctx context.Context, id workload.ID) (workload.Stats, error) {
	for range 2 { // files of an earlier task's cgroup give ENODEV
		f, err := s.files(ctx, id)
		if err != nil {
			return workload.Stats{}, err
		}
		st, err := s.read(f)
		if len(s.open) > maxHeld {
			s.drop(id)
		}
		if err == nil {
			st.At = time.Now()
			return st, nil
		}
		s.drop(id)
		if !errors.Is(err, unix.ENODEV) {
			return workload.Stats{}, fmt.Errorf("sample container %s: %w", id, err)
		}
	}
	return workload.Stats{}, fmt.Errorf("sample container %s: %w", id, workload.ErrNotRunning)
}

// Sweep closes the files of containers that were not sampled since the last one.
func (s *Sampler) Sweep() {
	for id, f := range s.open {
		if !f.used {
			s.drop(id)
		}
		f.used = false
	}
}

// Close closes everything.
func (s *Sampler) Close() {
	for id := range s.open {
		s.drop(id)
	}
}

func (s *Sampler) drop(id workload.ID) {
	f := s.open[id]
	if f == nil {
		return
	}
	delete(s.open, id)
	for _, fd := range []int{f.cpu, f.memory, f.stat, f.pids, f.io} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

func (s *Sampler) files(ctx context.Context, id workload.ID) (*groupFiles, error) {
	if f := s.open[id]; f != nil {
		f.used = true
		return f, nil
	}
	known, err := s.r.factsOf(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("sample: %w", err)
	}
	group, c := s.r.cgroupPath(&known.spec), s.r.cgroups
	names := [5][2]string{
		{"cpuacct", "cpuacct.usage"}, {"memory", "memory.usage_in_bytes"}, {"memory", "memory.stat"}, {"pids", "pids.current"},
		{"blkio", "blkio.throttle.io_service_bytes_recursive"},
	}
	if c.unified != "" {
		names = [5][2]string{{"", "cpu.stat"}, {"", "memory.current"}, {"", "memory.stat"}, {"", "pids.current"}, {"", "io.stat"}}
	}
	var fds [5]int
	for i, n := range names {
		fds[i] = -1
		if c.unified == "" && c.v1[n[0]] == "" {
			continue // a controller that this host does not have
		}
		fd, err := unix.Open(c.file(n[0], group, n[1]), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		switch {
		case err == nil:
			fds[i] = fd
		case !errors.Is(err, unix.ENOENT):
			for _, fd := range fds[:i] {
				if fd >= 0 {
					_ = unix.Close(fd)
				}
			}
			return nil, fmt.Errorf("sample container %s: %w", id, err)
		}
	}
	f := &groupFiles{cpu: fds[0], memory: fds[1], stat: fds[2], pids: fds[3], io: fds[4], used: true}
	s.open[id] = f
	if f.cpu < 0 && f.memory < 0 {
		s.drop(id)
		return nil, fmt.Errorf("sample container %s: %w", id, workload.ErrNotRunning)
	}
	return f, nil
}

func (s *Sampler) read(f *groupFiles) (workload.Stats, error) {
	var st workload.Stats
	b, err := s.content(f.cpu)
	if err != nil {
		return st, err
	}
	v2 := s.r.cgroups.unified != ""
	if v2 {
		st.CPUTotal = time.Duration(valueOf(b, "usage_usec ")) * time.Microsecond
	} else {
		st.CPUTotal = time.Duration(digits(b))
	}
	if b, err = s.content(f.memory); err != nil {
		return st, err
	}
	st.MemoryUsage = digits(b)
	if b, err = s.content(f.stat); err != nil {
		return st, err
	}
	key := "total_inactive_file "
	if v2 {
		key = "inactive_file "
	}
	st.MemoryUsage -= min(st.MemoryUsage, valueOf(b, key))
	if b, err = s.content(f.pids); err != nil {
		return st, err
	}
	st.PIDs = digits(b)
	if b, err = s.content(f.io); err != nil {
		return st, err
	}
	st.BlockRead, st.BlockWrite = blockBytes(b, v2)
	return st, nil
}

// content reads a file from its start. It is valid until the next call.
func (s *Sampler) content(fd int) ([]byte, error) {
	if fd < 0 {
		return nil, nil
	}
	for {
		n, err := unix.Pread(fd, s.buf, 0)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return nil, err
		case n < len(s.buf):
			return s.buf[:n], nil
		default:
			s.buf = make([]byte, 2*len(s.buf))
		}
	}
}

// digits is the number that b begins with.
func digits(b []byte) uint64 {
	var n uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + uint64(c-'0')
	}
	return n
}

// valueOf is the number after key at the beginning of a line.
func valueOf(b []byte, key string) uint64 {
	for len(b) > 0 {
		line := b
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			line, b = b[:i], b[i+1:]
		} else {
			b = nil
		}
		if len(line) > len(key) && string(line[:len(key)]) == key {
			return digits(line[len(key):])
		}
	}
	return 0
}

// blockBytes sums what all devices read and wrote.
func blockBytes(b []byte, v2 bool) (read, write uint64) {
	words := [2]string{" Read ", " Write "}
	if v2 {
		words = [2]string{" rbytes=", " wbytes="}
	}
	var sum [2]uint64
	for i, w := range words {
		for rest := b; ; {
			at := bytes.Index(rest, []byte(w))
			if at < 0 {
				break
			}
			rest = rest[at+len(w):]
			sum[i] += digits(rest)
		}
	}
	return sum[0], sum[1]
}
