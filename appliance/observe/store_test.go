package observe

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// envWriter makes this test binary write figures until it is killed.
const envWriter = "SKERRY_OBSERVE_WRITER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(envWriter); dir != "" {
		writeForever(dir)
		return
	}
	os.Exit(m.Run())
}

const firstInterval = 1_700_000_010 // a multiple of 30

func writeForever(dir string) {
	s, err := openStore(dir, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		fmt.Println("open:", err)
		return
	}
	for i := int64(0); ; i++ {
		if err := s.add(context.Background(), batchAt(firstInterval+30*i, 20)); err != nil {
			fmt.Println("add:", err)
			return
		}
		if i%500 == 499 { // four hours of them
			if err := s.tend(context.Background(), firstInterval+30*i); err != nil {
				fmt.Println("tend:", err)
				return
			}
		}
		fmt.Println(i)
	}
}

// batchAt is an interval of containers c0, c1, ...
func batchAt(at int64, containers int) []point {
	var out []point
	for c := range containers {
		for m := range containerMetrics {
			out = append(out, point{kind: Container, id: fmt.Sprintf("c%d", c), svc: "s", name: fmt.Sprintf("web-%d", c), metric: m, at: at, avg: float64(at % 997), max: float64(at % 991)})
		}
	}
	return out
}

// count gives how many values of c0's CPU are stored.
func count(t *testing.T, s *store) (n int, first, last int64) {
	t.Helper()
	err := s.each(t.Context(), Container, "c0", 0, 1<<40, func(v stored) {
		if v.metric != CPU || v.max {
			return
		}
		if n == 0 {
			first = v.at
		}
		if v.value != float64(v.at%997) {
			t.Errorf("at %d: %v", v.at, v.value)
		}
		n, last = n+1, v.at
	})
	if err != nil {
		t.Fatal(err)
	}
	return n, first, last
}

// killed fills dir by another process and kills that after some intervals.
func killed(t *testing.T, dir string, after int64) (written int64) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), envWriter+"="+dir)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	for sc := bufio.NewScanner(out); sc.Scan(); {
		if written, err = strconv.ParseInt(sc.Text(), 10, 64); err != nil {
			t.Fatalf("the writer says %q", sc.Text())
		}
		if written == after {
			_ = cmd.Process.Kill()
		}
	}
	_ = cmd.Wait() // it was killed
	return written + 1
}

func openTest(t *testing.T, dir string) (*store, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	s, err := openStore(dir, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatalf("%v\n%s", err, &log)
	}
	return s, &log
}

func TestKilled(t *testing.T) {
	for _, after := range []int64{3, 700, 2200} {
		dir := filepath.Join(t.TempDir(), "metrics")
		written := killed(t, dir, after)
		s, log := openTest(t, dir)
		n, first, last := count(t, s)
		if int64(n) < written || first != firstInterval || last < firstInterval+30*(written-1) {
			t.Errorf("of %d intervals %d are there, from %d to %d\n%s", written, n, first, last, log)
		}
		if err := s.add(t.Context(), batchAt(last+30, 1)); err != nil {
			t.Error(err)
		}
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}
}

// TestDamaged spoils files in every way and expects that it opens, keeps what
// was not spoiled, and says so.
func TestDamaged(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "metrics")
	written := killed(t, whole, 2200)
	for name, c := range map[string]struct {
		pattern string
		spoil   func(b []byte) []byte
		least   int64 // intervals that must be left
	}{
		"log cut":           {"wal/0*", func(b []byte) []byte { return b[:len(b)/2] }, 1000},
		"log overwritten":   {"wal/0*", func(b []byte) []byte { fill(b[len(b)/3:len(b)/3+4000], 0xff); return b }, 1000},
		"log of noise":      {"wal/0*", func(b []byte) []byte { fill(b, 0xa5); return b }, 1000},
		"index cut":         {"01*/index", func(b []byte) []byte { return b[:len(b)/3] }, 100},
		"index of noise":    {"01*/index", func(b []byte) []byte { fill(b, 0xa5); return b }, 100},
		"meta is no JSON":   {"01*/meta.json", func([]byte) []byte { return []byte("{") }, 100},
		"chunks are gone":   {"01*/chunks/*", func([]byte) []byte { return nil }, 100},
		"checkpoint spoilt": {"wal/checkpoint*/0*", func(b []byte) []byte { fill(b, 0xff); return b }, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "metrics")
			if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
				t.Fatal(err)
			}
			found, err := filepath.Glob(filepath.Join(dir, c.pattern))
			if err != nil || len(found) == 0 {
				t.Fatalf("nothing fits %s: %v", c.pattern, err)
			}
			file := found[len(found)-1]
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, c.spoil(b), 0o600); err != nil {
				t.Fatal(err)
			}
			s, log := openTest(t, dir)
			n, _, _ := count(t, s)
			t.Logf("%d of %d intervals are left", n, written)
			if int64(n) < c.least {
				t.Errorf("only %d of %d intervals are left\n%s", n, written, log)
			}
			if int64(n) < written && !strings.Contains(log.String(), "level=WARN") && !strings.Contains(log.String(), "level=ERROR") {
				t.Errorf("%d intervals are lost and nobody was told:\n%s", written-int64(n), log)
			}
			if err := s.add(t.Context(), batchAt(firstInterval+30*(written+10), 1)); err != nil {
				t.Error(err)
			}
			if err := s.close(); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("everything", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "metrics")
		if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			return os.WriteFile(p, bytes.Repeat([]byte{0x5a}, 5000), 0o600)
		})
		if err != nil {
			t.Fatal(err)
		}
		s, log := openTest(t, dir)
		if n, _, _ := count(t, s); n > 0 || !strings.Contains(log.String(), "level=") {
			t.Errorf("%d intervals, log:\n%s", n, log)
		}
		if err := errors.Join(s.add(t.Context(), batchAt(firstInterval, 1)), s.close()); err != nil {
			t.Error(err)
		}
	})
}

func fill(b []byte, v byte) {
	for i := range b {
		b[i] = v
	}
}

// smallDisk is a file system of some MiB in a mount namespace of its own,
// reached through a descriptor: nothing is mounted on the host.
func smallDisk(t *testing.T, mib int) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skipped: mounting needs root")
	}
	at := t.TempDir()
	got := make(chan int)
	go func() { // the thread ends with the goroutine; the descriptor keeps the disk
		runtime.LockOSThread()
		err := errors.Join(unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""),
			unix.Mount("tmpfs", at, "tmpfs", 0, fmt.Sprintf("size=%dm", mib)))
		fd := -1
		if err == nil {
			fd, err = unix.Open(at, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		}
		if err != nil {
			t.Error(err)
		}
		got <- fd
	}()
	fd := <-got
	if fd < 0 {
		t.FailNow()
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fmt.Sprintf("/proc/self/fd/%d", fd)
}

// TestFullDisk fills the disk under an open database, as fast as nobody could
// have seen it coming.
func TestFullDisk(t *testing.T) {
	disk := smallDisk(t, 96)
	s, _ := openTest(t, filepath.Join(disk, "metrics"))
	for i := range int64(1000) { // enough for blocks to be written
		if err := s.add(t.Context(), batchAt(firstInterval+30*i, 20)); err != nil {
			t.Fatal(err)
		}
	}
	pad := filepath.Join(disk, "pad")
	if err := os.WriteFile(pad, make([]byte, 95<<20), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	if err := lowDisk(filepath.Join(disk, "metrics", "not", "there")); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a full disk is told as %v", err)
	}
	failed := 0
	for i := range int64(20000) {
		if err := s.add(t.Context(), batchAt(firstInterval+30*(1000+i), 20)); err != nil {
			failed++
			if failed > 3 {
				break
			}
		}
	}
	if failed == 0 {
		t.Error("writing to a full disk worked")
	}
	if err := s.tend(t.Context(), firstInterval+30*2000); err == nil {
		t.Error("tidying on a full disk worked")
	}
	if n, _, _ := count(t, s); n < 1000 {
		t.Errorf("%d intervals can be read on a full disk, want what was written", n)
	}
	if _, err := openStore(filepath.Join(disk, "metrics"), slog.New(slog.DiscardHandler)); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("opening on a full disk: %v", err)
	}
	if err := os.Remove(pad); err != nil {
		t.Fatal(err)
	}
	if err := s.close(); err != nil {
		t.Logf("close: %v", err)
	}
	s, log := openTest(t, filepath.Join(disk, "metrics"))
	n, _, last := count(t, s)
	if n < 1000 {
		t.Errorf("%d intervals are left when there is room again\n%s", n, log)
	}
	if err := errors.Join(s.add(t.Context(), batchAt(last+30, 20)), s.tend(t.Context(), last), s.close()); err != nil {
		t.Error(err)
	}
}

// TestRecorderOnAFullDisk goes on in memory, and stores again when it can.
func TestRecorderOnAFullDisk(t *testing.T) {
	disk := smallDisk(t, 80)
	pad := filepath.Join(disk, "pad")
	if err := os.WriteFile(pad, make([]byte, 40<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	r := New(Config{Dir: filepath.Join(disk, "metrics"), Probe: newMachine(), Log: slog.New(slog.DiscardHandler)})
	batches := make(chan []point)
	done := make(chan struct{})
	go func() { r.write(t.Context(), batches); close(done) }()
	batches <- batchAt(firstInterval, 1)
	batches <- batchAt(firstInterval+30, 1)
	r.dbMu.RLock()
	if r.db != nil {
		t.Error("it writes although there is no room")
	}
	r.dbMu.RUnlock()
	close(batches)
	<-done
	if err := os.Remove(pad); err != nil {
		t.Fatal(err)
	}
	batches = make(chan []point)
	done = make(chan struct{})
	go func() { r.write(t.Context(), batches); close(done) }()
	batches <- batchAt(firstInterval+60, 1)
	close(batches)
	<-done
	s, _ := openTest(t, filepath.Join(disk, "metrics"))
	if n, _, _ := count(t, s); n != 1 {
		t.Errorf("%d intervals are stored, want the one for which there was room", n)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
}

// TestRetention sees that what is older than a week goes.
func TestRetention(t *testing.T) {
	s, _ := openTest(t, filepath.Join(t.TempDir(), "metrics"))
	const days = 9
	for i := range int64(days * 2880) {
		if err := s.add(t.Context(), batchAt(firstInterval+30*i, 1)); err != nil {
			t.Fatal(err)
		}
		if i%480 == 0 {
			if err := s.tend(t.Context(), firstInterval+30*i); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, first, last := count(t, s)
	if kept := time.Duration(last-first) * time.Second; kept < 7*24*time.Hour-time.Hour || kept > 8*24*time.Hour {
		t.Errorf("%v are kept", kept)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
}
