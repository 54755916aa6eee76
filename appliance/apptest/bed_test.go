package apptest

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/netfw/netnstest"
)

// reach says whether one host gets an answer from another.
func reach(from *netnstest.Host, to netip.Addr) bool {
	words, err := from.Ask(netip.AddrPortFrom(to, 80).String(), 300*time.Millisecond)
	return err == nil && len(words) > 0
}

// TestBedWire tries every fault of the wire with packets.
func TestBedWire(t *testing.T) {
	b := NewBed(t, 3)
	for i := range 3 {
		b.Host(i).Host.ServeName(fmt.Sprint(i), 80)
	}
	h := func(i int) *netnstest.Host { return b.Host(i).Host }
	want := func(why string, from, to int, reached bool) {
		t.Helper()
		if got := reach(h(from), h(to).Address); got != reached {
			t.Errorf("%s: host %d reaches host %d: %v", why, from, to, got)
		}
	}
	want("whole", 0, 1, true)
	b.Cut(0)
	want("cut", 0, 1, false)
	want("cut", 1, 0, false)
	want("cut", 1, 2, true)
	if reach(b.Client, h(0).Address) {
		t.Error("a client reaches a host that is cut off")
	}
	b.Heal()
	want("healed", 1, 0, true)
	b.CutBetween(2, 0)
	want("parted", 0, 2, false)
	want("parted", 0, 1, true)
	want("parted", 1, 2, true)
	b.Heal()
	b.Loss(1, 95)
	lost := 0
	for range 5 {
		if !reach(h(0), h(1).Address) {
			lost++
		}
	}
	if lost < 4 {
		t.Errorf("of 5 attempts %d failed while 95 %% of the packets are lost", lost)
	}
	b.Loss(1, 0)
	want("nothing is lost", 0, 1, true)

	b.SetAddress(1, netip.MustParseAddr("192.0.2.77"))
	want("another address", 0, 1, true)
	if reach(h(0), netip.MustParseAddr("192.0.2.2")) {
		t.Error("the old address answers")
	}

	const late = 60 * time.Millisecond
	b.Delay(1, late)
	begun := time.Now()
	want("late", 0, 1, true)
	if took := time.Since(begun); took < 4*late { // handshake, then the answer: two round trips
		t.Errorf("two round trips at %s each way took %s", late, took)
	}
	b.Cut(1)
	want("late and cut", 0, 1, false)
	b.Heal()
	b.Delay(1, 0)
	begun = time.Now()
	want("no longer late", 0, 1, true)
	if took := time.Since(begun); took > late {
		t.Errorf("without delay it took %s", took)
	}
	big(t, h(0), h(1))
}

// big sends a megabyte through the slow line, in segments that hosts join and
// cut.
func big(t *testing.T, from, to *netnstest.Host) {
	t.Helper()
	l := to.Listen("0.0.0.0:81")
	got := make(chan int64, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			got <- -1
			return
		}
		defer c.Close()
		n, _ := bufio.NewReader(c).WriteTo(discard{})
		got <- n
	}()
	c, err := from.Dial("tcp4", netip.AddrPortFrom(to.Address, 81).String(), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	const size = 1 << 20
	if _, err := c.Write(make([]byte, size)); err != nil {
		t.Error(err)
	}
	_ = c.Close()
	select {
	case n := <-got:
		if n != size {
			t.Errorf("%d of %d bytes came through", n, size)
		}
	case <-time.After(10 * time.Second):
		t.Error("a megabyte does not come through the slow line")
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// TestBedDisk slows a disk down, fills it and frees it.
func TestBedDisk(t *testing.T) {
	b := NewBed(t, 1)
	n := b.Host(0)
	n.RaftDisk(32)
	file := filepath.Join(n.DataDir, "raft", "f")
	write := func() (time.Duration, error) {
		begun := time.Now()
		f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return 0, err
		}
		_, err = f.Write(make([]byte, 4096))
		return time.Since(begun), errors.Join(err, f.Sync(), f.Close())
	}
	if took, err := write(); err != nil || took > 200*time.Millisecond {
		t.Fatalf("a write took %s: %v", took, err)
	}
	n.SlowDisk(100 * time.Millisecond)
	if took, err := write(); err != nil || took < 100*time.Millisecond {
		t.Errorf("a slow write took %s: %v", took, err)
	}
	n.FreeDisk()
	n.FullDisk()
	if _, err := write(); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a write to a full disk: %v", err)
	}
	n.FreeDisk()
	if _, err := write(); err != nil {
		t.Errorf("a write to a disk with room again: %v", err)
	}
}

// TestBedClock moves the clock of one process while it runs.
func TestBedClock(t *testing.T) {
	if os.Getenv("SKERRY_TEST_TELL_TIME") != "" {
		for s := bufio.NewScanner(os.Stdin); s.Scan(); {
			fmt.Println("now", time.Now().Unix())
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestBedClock$")
	cmd.Env = append(os.Environ(), "SKERRY_TEST_TELL_TIME=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close(); _ = cmd.Wait() }()
	lines := bufio.NewScanner(out)
	skew := func() int64 {
		t.Helper()
		if _, err := in.Write([]byte("\n")); err != nil || !lines.Scan() {
			t.Fatalf("ask the time: %v", err)
		}
		sec, err := strconv.ParseInt(strings.TrimPrefix(lines.Text(), "now "), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return sec - time.Now().Unix()
	}
	c := &clock{}
	if err := c.launched(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if s := skew(); s < -1 || s > 1 {
		t.Fatalf("untouched it is off by %d s", s)
	}
	for _, offset := range []time.Duration{time.Hour, -2 * time.Hour, 0} {
		err := c.set(offset)
		if errors.Is(err, ErrNoClock) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		if s := skew() - int64(offset/time.Second); s < -1 || s > 1 {
			t.Errorf("set to %s it is off by another %d s", offset, s)
		}
	}
}
