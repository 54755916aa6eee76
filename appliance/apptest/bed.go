package apptest

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/skerryhq/skerry/netfw/netnstest"
)

// Bed is several hosts on one wire, with a client beside them, and everything
// that can happen to hosts and wires. Hosts are counted from 0; host i is named
// n<i+1> and has the address 192.0.2.<i+1>. Faults of the wire are made on its
// bridge, so that no host's own rules are touched; they may be made from several
// goroutines.
type Bed struct {
	Client *netnstest.Host

	t     testing.TB
	nodes []*Node
	wire  *netnstest.Host

	mu     sync.Mutex
	cut    map[int]bool                // guarded by mu, as are the next
	parted map[[2]int]bool             // the lower first
	loss   map[int]int                 // percent
	slow   map[int]*netnstest.SlowLine // laid once, kept
}

// NewBed lays the wire and the folders of k hosts; nothing runs yet.
func NewBed(t testing.TB, k int) *Bed {
	t.Helper()
	bin := Binary(t)
	hosts, wire := netnstest.Wired(t, k+1)
	dir, err := os.MkdirTemp("/tmp", "sk") // short, as socket paths must be
	if err != nil {
		t.Fatal(err)
	}
	b := &Bed{Client: hosts[k], t: t, wire: wire, cut: map[int]bool{}, parted: map[[2]int]bool{}, loss: map[int]int{}, slow: map[int]*netnstest.SlowLine{}}
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil {
			t.Errorf("the bed left something behind: %v", err)
		}
	})
	b.sentinel(dir)
	for i := range k {
		own := filepath.Join(dir, fmt.Sprint(i+1))
		if err := os.Mkdir(own, 0o700); err != nil {
			t.Fatal(err)
		}
		b.nodes = append(b.nodes, newNode(t, bin, own, fmt.Sprintf("n%d", i+1), hosts[i], hosts[k]))
	}
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, l := range b.slow {
			l.Close()
		}
	})
	return b
}

// sentinelScript waits until its stdin is closed, which happens when the test's
// process dies, and then ends and unmounts everything below a folder.
const sentinelScript = `cat >/dev/null
for round in 1 2 3; do
	for p in /proc/[0-9]*; do
		[ "${p#/proc/}" = $$ ] || if tr '\0' ' ' <$p/cmdline 2>/dev/null | grep -qF "$1/"; then
			for g in $(sed -n 's|^[0-9]*:pids:\(/skerry/.*\)|\1|p' $p/cgroup 2>/dev/null); do xargs -r kill -9 </sys/fs/cgroup/pids$g/cgroup.procs 2>/dev/null; done
			kill -9 ${p#/proc/} 2>/dev/null
		fi
	done
	sleep 0.3
done
cut -d' ' -f5 /proc/self/mountinfo | grep -F "$1/" | sort -r | while read m; do umount -l $m; done
rm -rf "$1"`

// sentinel clears up after a test whose process dies before it can.
func (b *Bed) sentinel(dir string) {
	b.t.Helper()
	cmd := exec.Command("sh", "-c", sentinelScript, "sentinel", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what ends the test must not end it
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.t.Fatalf("start the sentinel: %v", err)
	}
	b.t.Cleanup(func() {
		_ = cmd.Process.Kill() // everything is gone by now
		_ = cmd.Wait()
		_ = stdin.Close()
	})
}

// In gives the bed to a subtest, so that what fails ends that one.
func (b *Bed) In(t testing.TB) *Bed {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := &Bed{Client: b.Client, t: t, wire: b.wire, cut: b.cut, parted: b.parted, loss: b.loss, slow: b.slow}
	for _, n := range b.nodes {
		c.nodes = append(c.nodes, n.In(t))
	}
	return c
}

// Host is host i.
func (b *Bed) Host(i int) *Node { return b.nodes[i] }

// Size is the number of hosts.
func (b *Bed) Size() int { return len(b.nodes) }

// Start starts the daemons of all hosts, or of those that are named.
func (b *Bed) Start(hosts ...int) {
	b.t.Helper()
	for _, i := range b.these(hosts) {
		b.nodes[i].Launch()
	}
	for _, i := range b.these(hosts) {
		n := b.nodes[i]
		n.Eventually(60*time.Second, n.Name+" answers", func() bool {
			if over, why := n.Ended(); over {
				b.t.Fatalf("the daemon of %s ended:\n%s", n.Name, why)
			}
			return n.Answers()
		})
	}
}

func (b *Bed) these(hosts []int) []int {
	if len(hosts) > 0 {
		return hosts
	}
	for i := range b.nodes {
		hosts = append(hosts, i)
	}
	return hosts
}

// Cut parts a host from everybody: its interface stays up, and nothing comes
// through in either direction.
func (b *Bed) Cut(i int) { b.change(func() { b.cut[i] = true }) }

// CutBetween parts two hosts from each other only.
func (b *Bed) CutBetween(i, j int) {
	b.change(func() { b.parted[[2]int{min(i, j), max(i, j)}] = true })
}

// Loss loses a share of a host's packets, in both directions; 0 ends it.
func (b *Bed) Loss(i, percent int) { b.change(func() { b.loss[i] = percent }) }

// Heal undoes every Cut, CutBetween and Loss.
func (b *Bed) Heal() {
	b.change(func() { clear(b.cut); clear(b.parted); clear(b.loss) })
}

// change changes the faults and renders them anew, all at once.
func (b *Bed) change(what func()) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	what()
	port := func(i int) string { return fmt.Sprintf("{ port%d, slow%d }", i+1, i+1) }
	var s strings.Builder
	s.WriteString("add table bridge bed\ndelete table bridge bed\ntable bridge bed {\n chain faults {\n  type filter hook forward priority 0;\n")
	for i := range b.cut {
		fmt.Fprintf(&s, "  iifname %s drop\n  oifname %s drop\n", port(i), port(i))
	}
	for p := range b.parted {
		fmt.Fprintf(&s, "  iifname %s oifname %s drop\n  iifname %s oifname %s drop\n", port(p[0]), port(p[1]), port(p[1]), port(p[0]))
	}
	for i, percent := range b.loss {
		if percent > 0 { // of 0..100, so that 100 is a number too
			fmt.Fprintf(&s, "  iifname %s numgen random mod 101 < %d drop\n  oifname %s numgen random mod 101 < %d drop\n", port(i), percent, port(i), percent)
		}
	}
	s.WriteString(" }\n}\n")
	err := b.wire.Do(func() error {
		cmd := exec.Command("nft", "-f", "-")
		var out bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(s.String()), &out, &out
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%w: %s\n%s", err, out.String(), s.String())
		}
		return nil
	})
	if err != nil {
		b.t.Errorf("change the wire: %v", err)
	}
}

// Delay makes each packet to and from a host take longer by d; 0 ends that.
func (b *Bed) Delay(i int, d time.Duration) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.slow[i]
	if l == nil {
		var err error
		if l, err = netnstest.LaySlowLine(b.wire, b.nodes[i].Host, i+1); err != nil {
			b.t.Fatal(err)
		}
		b.slow[i] = l
	}
	l.SetDelay(d)
}

// SetAddress gives a host another address (192.0.2.0/24) instead of the one
// that it has.
func (b *Bed) SetAddress(i int, to netip.Addr) {
	b.t.Helper()
	if err := b.nodes[i].Host.Readdress(to); err != nil {
		b.t.Fatal(err)
	}
}

// Clock moves the wall clock of a host's daemon by an offset in whole seconds
// from the true time; it survives the daemon's restart.
func (b *Bed) Clock(i int, offset time.Duration) {
	b.t.Helper()
	if err := b.nodes[i].clock.set(offset); err != nil {
		b.t.Fatalf("move the clock of %s: %v", b.nodes[i].Name, err)
	}
}
