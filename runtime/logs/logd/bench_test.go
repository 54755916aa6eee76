package logd_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/runtime/logs"
)

// usage reads the CPU time and the resident memory of a process.
func usage(b *testing.B, pid int) (cpu time.Duration, rssKiB int) {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	for _, f := range fields[11:13] {
		ticks, err := strconv.Atoi(f)
		if err != nil {
			b.Fatal(err)
		}
		cpu += time.Duration(ticks) * 10 * time.Millisecond
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	if _, err := fmt.Sscan(rest, &rssKiB); err != nil {
		b.Fatal(err)
	}
	return cpu, rssKiB
}

// BenchmarkDaemon measures the real small binary: memory with 50 open logs, CPU for 1 MB/s, the most one stream takes.
func BenchmarkDaemon(b *testing.B) {
	bin := filepath.Join(b.TempDir(), "nodeproc")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, "github.com/skerryhq/skerry/cmd/nodeproc")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	run, err := os.MkdirTemp("", "logd")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(run) })
	data := b.TempDir()
	cmd := exec.Command(bin, "logd", "--run-dir", run, "--data-dir", data)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	c := logs.NewClient(run, data)
	var pipes []logs.Pipes
	var shims []*os.File
	if _, err := c.Status(b.Context()); err != nil { // it is up
		b.Fatal(err)
	}
	var open time.Duration
	for i := range 50 {
		began := time.Now()
		p, err := c.Open(b.Context(), fmt.Sprintf("c%02d", i), logs.OpenOptions{})
		if err != nil {
			b.Fatal(err)
		}
		open += time.Since(began) / 50
		pipes = append(pipes, p)
		f, err := os.OpenFile(p.Stdout, os.O_RDWR, 0)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = f.Close() })
		shims = append(shims, f)
	}
	for _, f := range shims {
		fmt.Fprintln(f, "hello")
	}
	cpu0, rss := usage(b, cmd.Process.Pid)
	<-time.After(2 * time.Second)
	cpu1, _ := usage(b, cmd.Process.Pid)
	idle := (cpu1 - cpu0).Seconds() / 2

	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cpu0, _ = usage(b, cmd.Process.Pid)
	w := &exec.Cmd{Path: exe, Args: []string{exe, pipes[0].Stdout, "1000000", "4s"}, Env: append(os.Environ(), "LOGD_TEST_HELPER=writer")}
	if err := w.Run(); err != nil {
		b.Fatal(err)
	}
	cpu1, _ = usage(b, cmd.Process.Pid)
	load := (cpu1 - cpu0).Seconds() / 4

	block := bytes.Repeat([]byte(strings.Repeat("t", 99)+"\n"), 320)
	b.SetBytes(int64(len(block)))
	b.ResetTimer()
	for b.Loop() {
		if _, err := shims[1].Write(block); err != nil {
			b.Fatal(err)
		}
	}
	if err := c.Close(b.Context(), "c01"); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	_, after := usage(b, cmd.Process.Pid)
	b.ReportMetric(float64(open.Microseconds()), "us/open")
	b.ReportMetric(float64(rss)/1024, "MiB_rss_50_logs")
	b.ReportMetric(float64(after)/1024, "MiB_rss_after_load")
	b.ReportMetric(100*idle, "%cpu_idle")
	b.ReportMetric(100*load, "%cpu_at_1MB/s")
}
