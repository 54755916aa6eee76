package dns

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

func TestParseResolvConf(t *testing.T) {
	text := "# made by hand\nsearch example.org\nnameserver 169.254.42.53\nnameserver 127.0.0.53\noptions ndots:2\n" +
		"nameserver\nnameserver nonsense\nnameserver 0.0.0.0\nnameserver fe80::1%eth0\n  nameserver 192.0.2.1 # trailing\nnameserver 192.0.2.2\n"
	got := fmt.Sprint(parseResolvConf(text, addr("169.254.42.53")))
	if want := "[127.0.0.53:53 [fe80::1%eth0]:53 192.0.2.1:53]"; got != want {
		t.Errorf("read %s, want %s", got, want)
	}
}

func TestResolversThatDoNotAnswerAreLeftAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(file, []byte("nameserver 192.0.2.1\nnameserver 192.0.2.2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		one, two := netip.MustParseAddrPort("192.0.2.1:53"), netip.MustParseAddrPort("192.0.2.2:53")
		h := newHostResolvers(file, addr("169.254.42.53"))
		pick := func(want netip.AddrPort) {
			t.Helper()
			if got, ok := h.pick(time.Now()); got != want || ok != want.IsValid() {
				t.Fatalf("picked %s (%t), want %s", got, ok, want)
			}
		}
		lost := errors.New("timeout")
		pick(one)
		h.report(one, lost, time.Now()) // one lost datagram
		pick(one)
		pick(two) // while one question finds out, the others go on
		h.report(one, lost, time.Now())
		pick(two)
		h.report(two, fmt.Errorf("write: %w", syscall.ENETUNREACH), time.Now())
		pick(netip.AddrPort{})
		time.Sleep(upstreamRest)
		pick(one)
		h.report(one, nil, time.Now())
		pick(one)
		pick(one)

		if err := os.WriteFile(file, []byte("nameserver 192.0.2.9\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		pick(one) // looked at once a second
		time.Sleep(time.Second)
		pick(netip.MustParseAddrPort("192.0.2.9:53"))
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		pick(netip.AddrPort{})
	})
}

func TestCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache()
		reply := func(records ...string) *dns.Msg {
			m := new(dns.Msg)
			m.SetQuestion("a.example.", dns.TypeA)
			for _, r := range records {
				rr, err := dns.NewRR(r)
				if err != nil {
					t.Fatal(err)
				}
				m.Answer = append(m.Answer, rr)
			}
			return m
		}
		key := keyOf(reply(), false)
		c.put(key, reply("a.example. 60 A 192.0.2.1", "a.example. 20 A 192.0.2.2"), time.Now())
		time.Sleep(15 * time.Second)
		got := c.get(key, time.Now())
		if got == nil || got.Answer[0].Header().Ttl != 45 || got.Answer[1].Header().Ttl != 5 {
			t.Fatalf("after 15 s: %v", got)
		}
		got.Answer[0].Header().Ttl = 9999 // the caller's own
		time.Sleep(5 * time.Second)
		if got := c.get(key, time.Now()); got != nil {
			t.Errorf("kept beyond the shortest time: %v", got)
		}
		for what, m := range map[string]*dns.Msg{
			"failure": func() *dns.Msg { m := reply("a.example. 60 A 192.0.2.1"); m.Rcode = dns.RcodeServerFailure; return m }(),
			"cut":     func() *dns.Msg { m := reply("a.example. 60 A 192.0.2.1"); m.Truncated = true; return m }(),
			"ttl 0":   reply("a.example. 0 A 192.0.2.1"),
		} {
			if c.put(key, m, time.Now()); c.get(key, time.Now()) != nil {
				t.Errorf("a reply was kept: %s", what)
			}
		}
		none := reply()
		none.Rcode = dns.RcodeNameError
		c.put(key, none, time.Now())
		time.Sleep(maxKeptNone)
		if c.get(key, time.Now()) != nil {
			t.Error("that a name does not exist was kept too long")
		}
		for i := range 3 * maxCached {
			q := reply("a.example. 60 A 192.0.2.1")
			q.Question[0].Name = fmt.Sprintf("n%d.example.", i)
			c.put(keyOf(q, false), q, time.Now())
		}
		if len(c.entries) > maxCached {
			t.Errorf("%d replies kept", len(c.entries))
		}
	})
}

func TestOneClientCannotTakeAll(t *testing.T) {
	f := newForwarder("/nonexistent", addr("169.254.42.53"))
	greedy, modest := addr("10.42.0.2"), addr("10.42.0.3")
	for range maxForwardPerClient {
		if err := f.enter(greedy); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.enter(greedy); !errors.Is(err, errBusy) {
		t.Errorf("one more: %v, want refused", err)
	}
	if err := f.enter(modest); err != nil {
		t.Errorf("another client: %v", err)
	}
	f.leave(greedy)
	if err := f.enter(greedy); err != nil {
		t.Errorf("after one ended: %v", err)
	}
	if !slices.Contains([]int{maxForwardPerClient}, f.client[greedy]) {
		t.Errorf("%d counted", f.client[greedy])
	}
}
