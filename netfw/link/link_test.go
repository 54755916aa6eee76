package link_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/netfw/link"
	"github.com/skerryhq/skerry/netfw/netnstest"
)

func newLinks(t testing.TB) (*netnstest.Host, *link.Links, string) {
	t.Helper()
	// A machine has an interface of its own. (Where both ends of a pair have one number, as they would here without,
	// the kernel takes up to a second to see the carrier.)
	h := netnstest.Cluster(t, 1)[0]
	dir := filepath.Join(t.TempDir(), "netns")
	var l *link.Links
	h.Must(func() (err error) {
		if l, err = link.New(link.Config{Dir: dir}); err != nil {
			return err
		}
		_, err = l.EnsureHost()
		return err
	})
	t.Cleanup(func() {
		h.Must(func() error {
			present, err := l.List()
			for _, id := range present.IDs {
				err = errors.Join(err, l.Remove(context.Background(), id))
			}
			return err
		})
		l.Close()
	})
	return h, l, dir
}

func spec(id string, last byte) link.Spec {
	return link.Spec{ID: id, Address: netip.AddrFrom4([4]byte{10, 42, 0, last})}
}

// ensure runs inside the host.
func ensure(t testing.TB, h *netnstest.Host, l *link.Links, s link.Spec) link.Attachment {
	t.Helper()
	var out link.Attachment
	h.Must(func() (err error) {
		out, err = l.Ensure(t.Context(), s)
		return err
	})
	return out
}

// answers reports whether the container's kernel answers: nothing listens, so it refuses.
func answers(h *netnstest.Host, address string) error {
	if _, err := h.Dial("tcp4", address+":9", time.Second); !errors.Is(err, unix.ECONNREFUSED) {
		return fmt.Errorf("connect to %s: %v, want refused", address, err) //nolint:errorlint // err may be nil
	}
	return nil
}

func reach(t *testing.T, h *netnstest.Host, address string) {
	t.Helper()
	if err := answers(h, address); err != nil {
		t.Fatal(err)
	}
}

func TestEnsureConnectsAndRemoveLeavesNothing(t *testing.T) {
	h, l, dir := newLinks(t)
	routes, links := h.Run("ip", "route"), h.Run("ip", "-br", "link")
	made := ensure(t, h, l, link.Spec{ID: "c1", Address: netip.MustParseAddr("10.42.0.2"), MTU: 1420})
	if made.NetNS != filepath.Join(dir, "c1") || len(made.Veth) != 15 || !strings.HasPrefix(made.Veth, "skv") {
		t.Errorf("attachment %+v", made)
	}
	reach(t, h, "10.42.0.2")
	c := netnstest.Adopt(t, "c1", made.NetNS)
	if out := c.Run("ip", "-d", "addr", "show", "eth0"); strings.Contains(out, "inet6") || !strings.Contains(out, "inet 10.42.0.2/32") ||
		!strings.Contains(out, "mtu 1420") {
		t.Errorf("inside:\n%s", out)
	}
	if out := c.Run("ip", "neigh"); !strings.Contains(out, "169.254.1.1 dev eth0 lladdr 02:53:4b:00:00:01 PERMANENT") {
		t.Errorf("neighbours inside: %s", out)
	}
	if out := c.Run("ip", "-br", "addr", "show", "lo"); !strings.Contains(out, "127.0.0.1/8") {
		t.Errorf("loopback inside: %s", out)
	}
	if out := h.Run("ip", "-6", "addr", "show", "dev", made.Veth); out != "" {
		t.Errorf("IPv6 on the host's end: %s", out)
	}
	for key, want := range map[string]string{"rp_filter": "1", "route_localnet": "1"} {
		if got := strings.TrimSpace(h.Run("cat", "/proc/sys/net/ipv4/conf/"+made.Veth+"/"+key)); got != want {
			t.Errorf("%s is %s, want %s", key, got, want)
		}
		if got := strings.TrimSpace(h.Run("cat", "/proc/sys/net/ipv4/conf/all/"+key)); got != "0" {
			t.Errorf("%s of all interfaces is %s: only ours may change", key, got)
		}
	}
	if counters, err := l.Counters("c1"); err != nil || counters.ReceivedPackets == 0 || counters.SentBytes == 0 {
		t.Errorf("counters %+v, %v", counters, err)
	}

	for range 2 { // the second finds nothing
		h.Must(func() error { return l.Remove(t.Context(), "c1") })
		if got := h.Run("ip", "route"); got != routes {
			t.Errorf("routes left: %s", got)
		}
		if got := h.Run("ip", "-br", "link"); got != links {
			t.Errorf("interfaces left: %s", got)
		}
		if mounts, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(mounts), dir) {
			t.Errorf("mounts left in %s (%v)", dir, err)
		}
		if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
			t.Errorf("files left: %v, %v", files, err)
		}
	}
	if _, err := l.Counters("c1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("counters of a removed container: %v", err)
	}
}

func TestEnsureRepairs(t *testing.T) {
	h, l, dir := newLinks(t)
	made := ensure(t, h, l, spec("c1", 2))
	inode := func() uint64 {
		var st unix.Stat_t
		if err := unix.Stat(made.NetNS, &st); err != nil {
			t.Fatal(err)
		}
		return st.Ino
	}
	before := inode()
	for _, harm := range []struct {
		what   string
		do     func()
		keeps  bool // the namespace: a running container stays connected
		change link.Spec
	}{
		{"nothing", func() {}, true, spec("c1", 2)},
		{"the route is gone", func() { h.Run("ip", "route", "del", "10.42.0.2") }, true, spec("c1", 2)},
		{"the host's end is down", func() { h.Run("ip", "link", "set", made.Veth, "down") }, true, spec("c1", 2)},
		{"the pair is gone", func() { h.Run("ip", "link", "del", made.Veth) }, true, spec("c1", 2)},
		{"another MTU is wanted", func() {}, true, link.Spec{ID: "c1", Address: spec("", 2).Address, MTU: 1400}},
		{"the addresses inside are others", func() {
			c := netnstest.Adopt(t, "c1", made.NetNS)
			c.Run("ip", "addr", "flush", "dev", "eth0")
			c.Run("ip", "addr", "add", "10.42.0.9/32", "dev", "eth0")
		}, true, spec("c1", 2)},
		{"the mount is gone, as after a reboot", func() {
			if err := unix.Unmount(made.NetNS, unix.MNT_DETACH); err != nil {
				t.Fatal(err)
			}
		}, false, spec("c1", 2)},
		{"the file is gone too, the pair lives on", func() {
			keep := netnstest.Adopt(t, "kept", made.NetNS)
			if err := errors.Join(unix.Unmount(made.NetNS, unix.MNT_DETACH), os.Remove(made.NetNS)); err != nil {
				t.Fatal(err)
			}
			keep.Run("ip", "link", "show", "eth0")
		}, false, spec("c1", 2)},
	} {
		harm.do()
		again := ensure(t, h, l, harm.change)
		if again != made {
			t.Fatalf("%s: attachment %+v, was %+v", harm.what, again, made)
		}
		if err := answers(h, "10.42.0.2"); err != nil {
			t.Fatalf("%s: no answer after Ensure: %v", harm.what, err)
		}
		if now := inode(); harm.keeps != (now == before) {
			t.Errorf("%s: namespace kept %t, want %t", harm.what, now == before, harm.keeps)
		} else {
			before = now
		}
	}
	if got, err := l.List(); err != nil || !slices.Equal(got.IDs, []string{"c1"}) || !slices.Equal(got.Veths, []string{made.Veth}) {
		t.Errorf("in %s: %+v, %v", dir, got, err)
	}
}

func TestOneAddressForTwoIsRefused(t *testing.T) {
	h, l, _ := newLinks(t)
	ensure(t, h, l, spec("c1", 2))
	err := h.Do(func() error {
		_, err := l.Ensure(t.Context(), spec("c2", 2))
		return err
	})
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("second container with the address: %v, want refused", err)
	}
	reach(t, h, "10.42.0.2")
}

func TestBadInputIsRefused(t *testing.T) {
	h, l, _ := newLinks(t)
	good := netip.MustParseAddr("10.42.0.2")
	for _, s := range []link.Spec{
		{ID: "", Address: good}, {ID: "../x", Address: good}, {ID: "a/b", Address: good}, {ID: ".", Address: good},
		{ID: "c1"}, {ID: "c1", Address: netip.MustParseAddr("fd00::1")}, {ID: "c1", Address: good, MTU: 100},
		{ID: "c1", Address: good, MTU: 70000}, {ID: strings.Repeat("x", 200), Address: good},
	} {
		if err := h.Do(func() error { _, err := l.Ensure(t.Context(), s); return err }); err == nil {
			t.Errorf("%+v was accepted", s)
		}
	}
	if err := l.Remove(t.Context(), "../etc"); err == nil {
		t.Error("removal of ../etc was accepted")
	}
	if err := l.RemoveVeth("eth0"); err == nil {
		t.Error("removal of a foreign interface was accepted")
	}
	if got, err := l.List(); err != nil || len(got.IDs)+len(got.Veths) != 0 {
		t.Errorf("refused input left %+v (%v)", got, err)
	}
}

func TestHostIsPutBack(t *testing.T) {
	h := netnstest.NewHost(t, "host")
	h.Run("sysctl", "-qw", "net.ipv4.ip_forward=0") // a new namespace may begin as the machine is
	addresses := h.Run("ip", "-br", "addr")
	h.Must(func() error {
		l, err := link.New(link.Config{Dir: t.TempDir()})
		if err != nil {
			return err
		}
		defer l.Close()
		ensure := func(want bool) {
			t.Helper()
			state, err := l.EnsureHost()
			if err != nil || state.ForwardingWas != want {
				t.Errorf("forwarding was %t, want %t (%v)", state.ForwardingWas, want, err)
			}
			if got := strings.TrimSpace(h.Run("cat", "/proc/sys/net/ipv4/ip_forward")); got != "1" {
				t.Errorf("ip_forward is %s", got)
			}
		}
		ensure(false)
		ensure(false) // as after a restart of the daemon
		if err := l.RemoveHost(false); err != nil {
			return err
		}
		ensure(true) // somebody left it on: it stays on
		if err := l.RemoveHost(true); err != nil {
			return err
		}
		if got := strings.TrimSpace(h.Run("cat", "/proc/sys/net/ipv4/ip_forward")); got != "1" {
			t.Errorf("ip_forward is %s, it was on before", got)
		}
		h.Run("sysctl", "-qw", "net.ipv4.ip_forward=0")
		ensure(false)
		for range 2 { // the second finds nothing
			if err := l.RemoveHost(true); err != nil {
				return err
			}
		}
		return nil
	})
	if got := h.Run("ip", "-br", "addr"); got != addresses {
		t.Errorf("addresses %q, were %q", got, addresses)
	}
	if got := strings.TrimSpace(h.Run("cat", "/proc/sys/net/ipv4/ip_forward")); got != "0" {
		t.Errorf("ip_forward is %s", got)
	}
}

func TestManyAtOnce(t *testing.T) {
	h, l, _ := newLinks(t)
	const n = 40
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := h.Do(func() error {
				_, err := l.Ensure(t.Context(), spec(fmt.Sprintf("c%d", i%20), byte(2+i%20))) // each id twice at once
				return err
			}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i := range 20 {
		reach(t, h, fmt.Sprintf("10.42.0.%d", 2+i))
		wg.Go(func() {
			if err := h.Do(func() error { return l.Remove(t.Context(), fmt.Sprintf("c%d", i)) }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got, err := l.List(); err != nil || len(got.IDs)+len(got.Veths) != 0 {
		t.Errorf("left %+v (%v)", got, err)
	}
}

func BenchmarkBurst(b *testing.B) {
	h, l, _ := newLinks(b)
	var made, gone time.Duration
	for b.Loop() {
		each := func(do func(i int) error) time.Duration {
			start := time.Now()
			var wg sync.WaitGroup
			next := make(chan int)
			for range 8 {
				wg.Go(func() {
					for i := range next {
						if err := h.Do(func() error { return do(i) }); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for i := range 50 {
				next <- i
			}
			close(next)
			wg.Wait()
			return time.Since(start)
		}
		made += each(func(i int) error {
			_, err := l.Ensure(b.Context(), spec(fmt.Sprintf("c%d", i), byte(2+i)))
			return err
		})
		gone += each(func(i int) error { return l.Remove(b.Context(), fmt.Sprintf("c%d", i)) })
	}
	b.ReportMetric(float64(made.Microseconds())/1000/float64(b.N), "ensure50-ms")
	b.ReportMetric(float64(gone.Microseconds())/1000/float64(b.N), "remove50-ms")
}

func BenchmarkEnsureRemove(b *testing.B) {
	h, l, _ := newLinks(b)
	var made, gone time.Duration
	h.Must(func() error {
		for b.Loop() {
			start := time.Now()
			if _, err := l.Ensure(b.Context(), spec("c1", 2)); err != nil {
				return err
			}
			made += time.Since(start)
			start = time.Now()
			if err := l.Remove(b.Context(), "c1"); err != nil {
				return err
			}
			gone += time.Since(start)
		}
		return nil
	})
	b.ReportMetric(float64(made.Microseconds())/1000/float64(b.N), "ensure-ms")
	b.ReportMetric(float64(gone.Microseconds())/1000/float64(b.N), "remove-ms")
}
