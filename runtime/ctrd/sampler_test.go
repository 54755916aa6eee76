package ctrd

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/skerryhq/skerry/runtime/workload"
)

func TestSamplerParses(t *testing.T) {
	v1 := "8:0 Read 100\n8:0 Write 200\n8:0 Sync 300\n8:16 Read 1\n8:16 Write 2\nTotal 303\n"
	if r, w := blockBytes([]byte(v1), false); r != 101 || w != 202 {
		t.Errorf("v1: %d %d", r, w)
	}
	v2 := "8:0 rbytes=100 wbytes=200 rios=1 wios=2 dbytes=0 dios=0\n8:16 rbytes=1 wbytes=2 rios=0\n"
	if r, w := blockBytes([]byte(v2), true); r != 101 || w != 202 {
		t.Errorf("v2: %d %d", r, w)
	}
	stat := "cache 5\ninactive_file 7\ntotal_inactive_file 9\n"
	if valueOf([]byte(stat), "total_inactive_file ") != 9 || valueOf([]byte(stat), "inactive_file ") != 7 || valueOf([]byte(stat), "none ") != 0 {
		t.Error("memory.stat is read wrongly")
	}
	if digits([]byte("12\n")) != 12 || digits([]byte("max\n")) != 0 || digits(nil) != 0 {
		t.Error("numbers are read wrongly")
	}
}

// TestSamplerReadsBothTrees reads a v1 and a v2 layout of plain files.
func TestSamplerReadsBothTrees(t *testing.T) {
	stat := "anon 1\ninactive_file 100\ntotal_inactive_file 40\n"
	for name, c := range map[string]struct {
		files  map[string]string
		tree   func(dir string) cgroupFS
		memory uint64
	}{
		"v2": {map[string]string{
			"g/c/cpu.stat": "usage_usec 1500\nuser_usec 1\n", "g/c/memory.current": "1000\n", "g/c/memory.stat": stat, "g/c/pids.current": "4\n",
			"g/c/io.stat": "8:0 rbytes=10 wbytes=20 rios=1\n",
		}, func(dir string) cgroupFS { return cgroupFS{unified: dir} }, 900},
		"v1": {map[string]string{
			"cpuacct/g/c/cpuacct.usage": "1500000\n", "memory/g/c/memory.usage_in_bytes": "1000\n", "memory/g/c/memory.stat": stat, "pids/g/c/pids.current": "4\n",
			"blkio/g/c/blkio.throttle.io_service_bytes_recursive": "8:0 Read 10\n8:0 Write 20\nTotal 30\n",
		}, func(dir string) cgroupFS {
			v1 := map[string]string{}
			for _, n := range []string{"cpuacct", "memory", "pids", "blkio"} {
				v1[n] = filepath.Join(dir, n)
			}
			return cgroupFS{v1: v1}
		}, 960},
		"v1 without blkio": {map[string]string{
			"cpuacct/g/c/cpuacct.usage": "1500000\n", "memory/g/c/memory.usage_in_bytes": "1000\n", "memory/g/c/memory.stat": stat,
		}, func(dir string) cgroupFS {
			return cgroupFS{v1: map[string]string{"cpuacct": filepath.Join(dir, "cpuacct"), "memory": filepath.Join(dir, "memory")}}
		}, 960},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, c.files)
			r := &Runtime{cgroups: c.tree(dir), known: map[workload.ID]*facts{
				"c": {spec: workload.Spec{ID: "c", CgroupParent: "/g"}}, "gone": {spec: workload.Spec{ID: "gone", CgroupParent: "/g"}},
			}}
			s := r.NewSampler()
			defer s.Close()
			for range 2 {
				st, err := s.Sample(t.Context(), "c")
				if err != nil {
					t.Fatal(err)
				}
				if st.CPUTotal != 1500*time.Microsecond || st.MemoryUsage != c.memory {
					t.Errorf("%+v", st)
				}
				if name != "v1 without blkio" && (st.PIDs != 4 || st.BlockRead != 10 || st.BlockWrite != 20) {
					t.Errorf("%+v", st)
				}
			}
			if _, err := s.Sample(t.Context(), "gone"); !errors.Is(err, workload.ErrNotRunning) {
				t.Errorf("a group that is gone: %v", err)
			}
			s.Sweep()
			s.Sweep()
			if len(s.open) != 0 {
				t.Errorf("%d groups are still open", len(s.open))
			}
		})
	}
}
