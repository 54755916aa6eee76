package ctrd

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/skerryhq/skerry/runtime/workload"
)

func TestParseCgroups(t *testing.T) {
	v2, err := parseCgroups([]byte("30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n"))
	if err != nil || v2.unified != "/sys/fs/cgroup" {
		t.Errorf("v2: %+v %v", v2, err)
	}
	hybrid, err := parseCgroups([]byte(`31 30 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
33 30 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
`))
	if err != nil || hybrid.unified != "" || hybrid.hybrid != "/sys/fs/cgroup/unified" || hybrid.v1["cpuacct"] != "/sys/fs/cgroup/cpu,cpuacct" || hybrid.v1["memory"] != "/sys/fs/cgroup/memory" {
		t.Errorf("hybrid: %+v %v", hybrid, err)
	}
	if _, err := parseCgroups([]byte("1 1 0:1 / / rw - ext4 /dev/x rw\n")); err == nil {
		t.Error("a host without cgroups was accepted")
	}
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, body := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// want is what both fixtures below describe.
var want = workload.Stats{CPUTotal: 1500 * time.Millisecond, CPUThrottled: 20 * time.Millisecond, CPUPeriods: 40, CPUThrottledPeriods: 4,
	MemoryUsage: 8 << 20, MemoryCache: 3 << 20, MemoryLimit: 64 << 20, PIDs: 7, BlockRead: 300, BlockWrite: 500, OOMKills: 2}

func TestSampleV1(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"cpuacct/g/cpuacct.usage": "1500000000\n", "cpu/g/cpu.stat": "nr_periods 40\nnr_throttled 4\nthrottled_time 20000000\n",
		"memory/g/memory.usage_in_bytes": "10485760\n", "memory/g/memory.limit_in_bytes": "67108864\n",
		"memory/g/memory.stat":        "cache 1\ntotal_cache 3145728\ntotal_inactive_file 2097152\n",
		"memory/g/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n", "pids/g/pids.current": "7\n",
		"blkio/g/blkio.throttle.io_service_bytes_recursive": "8:0 Read 100\n8:0 Write 500\n8:16 Read 200\n8:0 Total 600\nTotal 800\n",
	})
	c := cgroupFS{v1: map[string]string{}}
	for _, n := range []string{"cpu", "cpuacct", "memory", "pids", "blkio"} {
		c.v1[n] = filepath.Join(dir, n)
	}
	if got := c.sample("g"); got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	write(t, dir, map[string]string{"memory/g/memory.limit_in_bytes": "9223372036854771712\n"})
	if got := c.sample("g"); got.MemoryLimit != 0 {
		t.Errorf("no limit is shown as %d", got.MemoryLimit)
	}
}

func TestSampleV2(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"g/cpu.stat":       "usage_usec 1500000\nuser_usec 1\nnr_periods 40\nnr_throttled 4\nthrottled_usec 20000\n",
		"g/memory.current": "10485760\n", "g/memory.max": "67108864\n", "g/memory.stat": "anon 5\nfile 3145728\ninactive_file 2097152\n",
		"g/memory.events": "low 0\nhigh 0\nmax 9\noom 2\noom_kill 2\n", "g/pids.current": "7\n",
		"g/io.stat": "8:0 rbytes=100 wbytes=500 rios=1 wios=2\n8:16 rbytes=200 wbytes=0\n",
	})
	c := cgroupFS{unified: dir}
	if got := c.sample("g"); got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	write(t, dir, map[string]string{"g/memory.max": "max\n"})
	if got := c.sample("g"); got.MemoryLimit != 0 {
		t.Errorf("no limit is shown as %d", got.MemoryLimit)
	}
	if got := c.sample("gone"); got != (workload.Stats{}) {
		t.Errorf("a missing group: %+v", got)
	}
}

func TestNetCounters(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"dev": `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:  999       1    0    0    0     0          0         0      999       1    0    0    0     0       0          0
  eth0: 1000      10    0    0    0     0          0         0     2000      20    0    0    0     0       0          0
  eth1:  500       5    0    0    0     0          0         0      700       7    0    0    0     0       0          0
`})
	if rx, tx := netCounters(filepath.Join(dir, "dev")); rx != 1500 || tx != 2700 {
		t.Errorf("got %d %d, want 1500 2700", rx, tx)
	}
}
