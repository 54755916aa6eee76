package peer

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/raft/model"
)

// port is the port of an address.
func port(t *testing.T, addr string) string {
	t.Helper()
	_, p, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestAddressChange moves a node while connections to it are open: all others
// find it again, without the state saying anything, and so does a node that was
// away meanwhile.
func TestAddressChange(t *testing.T) {
	r := newRig(t)
	a := r.add("a", model.NodeMember, nil)
	b := r.add("b", model.NodeMember, nil)
	w := r.add("w", model.NodeWorker, nil)
	all := []*host{a, b, w}
	for _, from := range all {
		for _, to := range all {
			if _, err := from.get(t, to.id, "/peer/v1/who"); err != nil {
				t.Fatalf("%s -> %s: %v", from.id, to.id, err)
			}
		}
	}
	raft, err := b.Stream().Dial("a", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer raft.Close()

	began := time.Now()
	a.moveTo(t, "127.0.0.2:"+port(t, a.address()))
	for _, from := range []*host{b, w} {
		within(t, 20*time.Second, from.id+" finds a", func() bool {
			_, err := from.get(t, "a", "/peer/v1/who")
			return err == nil && from.Peers().Address("a") == a.address()
		})
	}
	t.Logf("found again after %s", time.Since(began).Round(time.Millisecond))
	_ = raft.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := raft.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("the connection to the old address is kept: %v", err)
	}
	if _, err := b.Stream().Dial("a", time.Second); err != nil {
		t.Error(err)
	}
	// What was learned is kept.
	kept, err := openBook(b.cfg.DataDir, "b", b.certs, b.Server.log)
	if err != nil || len(kept.addresses("a")) == 0 || kept.addresses("a")[0] != a.address() {
		t.Errorf("kept %v, %v", kept.addresses("a"), err)
	}
}

// TestAddressByOthers holds that a node which missed an announcement learns of it
// from a third one when it needs it.
func TestAddressByOthers(t *testing.T) {
	r := newRig(t)
	a := r.add("a", model.NodeMember, nil)
	b := r.add("b", model.NodeMember, nil)
	// c knows a at a place where nobody is, and a does not know c at all.
	c := r.add("c", model.NodeMember, nil)
	a.dir.set(func(d *nodes) { delete(d.all, "c") })
	within(t, 10*time.Second, "b and c know a", func() bool { return b.book.seq("a") > 0 && c.book.seq("a") > 0 })
	c.peers.closeAll()
	c.book.mu.Lock()
	delete(c.book.entries, "a")
	c.book.mu.Unlock()
	c.dir.set(func(d *nodes) { n := d.all["a"]; n.Address = "127.0.0.9:1"; d.all["a"] = n })
	if _, err := c.get(t, "a", "/peer/v1/who"); err == nil {
		t.Fatal("c found a without knowing where it is")
	}
	within(t, 10*time.Second, "c finds a", func() bool {
		_, err := c.get(t, "a", "/peer/v1/who")
		return err == nil
	})
}

// TestAnnouncementsAreProved refuses what a node did not say itself.
func TestAnnouncementsAreProved(t *testing.T) {
	r := newRig(t)
	a := r.add("a", model.NodeMember, nil)
	certs := certificates(t, r.ca, "b", model.NodeMember)
	foreign := certificates(t, newAuthority(t), "b", model.NodeMember)
	b, err := openBook("", "b", certs, a.Server.log)
	if err != nil {
		t.Fatal(err)
	}
	f, err := openBook("", "b", foreign, a.Server.log)
	if err != nil {
		t.Fatal(err)
	}
	good := func() Announcement {
		x, err := b.announce("10.0.0.7:7443", 0, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	alien, err := f.announce("10.0.0.7:7443", 0, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	other := good()
	other.NodeID = "c"
	address := good()
	address.Address = "10.0.0.8:7443"
	seq := good()
	seq.Seq += 1000
	nowhere, err := b.announce("nowhere", 0, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	high := good()
	high.Seq = maxSeq + 1
	if high.Signature, err = certs.Key().Sign(high.digest()); err != nil {
		t.Fatal(err)
	}
	bare := good()
	bare.Chain = nil
	long := good()
	long.Chain = []byte(strings.Repeat("x", 20<<10))
	for name, tc := range map[string]struct {
		a    Announcement
		code string
	}{
		"another authority": {alien, "other_cluster"},
		"another node":      {other, "announcement_invalid"},
		"another address":   {address, "announcement_invalid"},
		"another number":    {seq, "announcement_invalid"},
		"too high a number": {high, "announcement_invalid"},
		"no address":        {nowhere, "announcement_invalid"},
		"no certificate":    {bare, "announcement_invalid"},
		"long certificate":  {long, "announcement_invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := a.book.check(tc.a, time.Now()); err == nil {
				t.Fatal("it was taken")
			} else {
				code(t, err, tc.code)
			}
			if news, err := a.book.merge([]Announcement{tc.a}, time.Now()); len(news) > 0 || err == nil {
				t.Fatalf("it was taken: %v", err)
			}
		})
	}
	// Whatever others say they know, there is a next number, and it is taken.
	run, err := openBook("", "b", certs, a.Server.log)
	if err != nil {
		t.Fatal(err)
	}
	if x, err := run.announce("10.0.0.7:7443", 1<<64-1, time.Now()); err != nil || x.Seq == 0 {
		t.Fatalf("%d, %v", x.Seq, err)
	} else if _, err := a.book.check(x, time.Now()); err != nil {
		t.Fatal(err)
	}
	first, second := good(), good()
	if news, err := a.book.merge([]Announcement{second}, time.Now()); len(news) != 1 || err != nil {
		t.Fatalf("%v, %v", news, err)
	}
	for _, x := range []Announcement{first, second} {
		if news, err := a.book.merge([]Announcement{x}, time.Now()); len(news) != 0 || err != nil {
			t.Fatalf("an old one was taken: %v", err)
		}
	}
}

// TestLostBook holds that a node whose address book is gone, or damaged, is
// believed again.
func TestLostBook(t *testing.T) {
	r := newRig(t)
	a := r.add("a", model.NodeMember, nil)
	b := r.add("b", model.NodeMember, nil)
	within(t, 10*time.Second, "a knows b", func() bool { return a.book.seq("b") > 0 })
	// a believes in an announcement of b from far ahead, as after a clock jump.
	ahead, err := b.book.announce("127.0.0.9:1", uint64(time.Now().Add(24*time.Hour).UnixMilli()), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.book.merge([]Announcement{ahead}, time.Now()); err != nil {
		t.Fatal(err)
	}
	b.book.mu.Lock()
	delete(b.book.entries, "b")
	b.book.mu.Unlock()
	b.moveTo(t, "127.0.0.2:"+port(t, b.address()))
	within(t, 20*time.Second, "a believes b again", func() bool { return a.Peers().Address("b") == b.address() })

	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, bookFile), []byte("{damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	book, err := openBook(dir, "b", b.certs, b.Server.log)
	if err != nil || len(book.nodes()) != 0 {
		t.Fatalf("%v %v", book, err)
	}
}

// TestAnnouncedTooOften holds that a node which announces again and again is held
// off, and others are not.
func TestAnnouncedTooOften(t *testing.T) {
	r := newRig(t)
	a := r.add("a", model.NodeMember, nil)
	b := r.add("b", model.NodeMember, nil)
	within(t, 10*time.Second, "a knows b", func() bool { return a.book.seq("b") > 0 })
	var err error
	for i := 0; i < 2*wrongBurst && err == nil; i++ {
		next, aerr := b.book.announce(b.address(), 0, time.Now())
		if aerr != nil {
			t.Fatal(aerr)
		}
		_, err = b.Peers().announceTo(t.Context(), "a", jsonOf(t, next))
	}
	code(t, err, "announced_too_often")
	c := r.add("c", model.NodeMember, nil)
	within(t, 10*time.Second, "a hears c", func() bool { return a.Peers().Address("c") == c.address() && a.book.seq("c") > 0 })
}

// TestManyConnections holds that one node cannot take all there is.
func TestManyConnections(t *testing.T) {
	r := newRig(t)
	a := r.add("a", model.NodeMember, nil)
	w := certificates(t, r.ca, "w", model.NodeWorker)
	for i := range maxSeats + 3 {
		c, answer, err := hostile(t, a, w.Node(), protoPeer, greeting("w"))
		if err != nil || answer.Refused != nil {
			t.Fatalf("%+v %v", answer, err)
		}
		within(t, 5*time.Second, "the connection is seen", func() bool {
			a.Server.mu.Lock()
			defer a.Server.mu.Unlock()
			return len(a.guests) >= min(i+1, maxSeats)
		})
		if i < maxSeats {
			continue
		}
		if _, err := io.Copy(io.Discard, c); err != nil && os.IsTimeout(err) {
			t.Fatal("a connection too many was kept")
		}
	}
	b := r.add("b", model.NodeMember, nil)
	if _, err := b.get(t, "a", "/peer/v1/who"); err != nil {
		t.Fatalf("others suffer: %v", err)
	}
}

// TestRemovedNode holds that a removed node is neither dialed nor believed.
func TestRemovedNode(t *testing.T) {
	r := newRig(t)
	a := r.add("a", model.NodeMember, nil)
	b := r.add("b", model.NodeMember, nil)
	within(t, 10*time.Second, "a knows b", func() bool { return a.book.seq("b") > 0 })
	raft, err := b.Stream().Dial("a", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.get(t, "a", "/peer/v1/who"); err != nil {
		t.Fatal(err)
	}
	a.dir.set(func(d *nodes) { d.removed["b"] = true; delete(d.all, "b") })
	// What b has open ends as well.
	_ = raft.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := raft.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("a connection of the removed node is kept: %v", err)
	}
	within(t, 5*time.Second, "b is told why", func() bool {
		_, err := b.get(t, "a", "/peer/v1/who")
		return model.CodeOf(err) == "node_removed"
	})
	if s := ids(a.Peers().Members()); s != "[]" {
		t.Errorf("members are %s", s)
	}
	_, err = a.Stream().Dial("b", time.Second)
	code(t, err, "node_removed")
	next, err := b.book.announce("127.0.0.7:1", 0, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	// By way of a third node, which does not know of the removal.
	c := r.add("c", model.NodeMember, nil)
	body := jsonOf(t, next)
	_, err = c.Peers().announceTo(t.Context(), "a", body)
	code(t, err, "node_removed")
	a.exchange(context.WithoutCancel(t.Context()))
	if a.book.seq("b") != 0 {
		t.Error("the address is kept")
	}
}
