package peer

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skerryhq/skerry/raft/model"
)

// TestHTTPBetweenNodes holds that handlers know who calls, that workers reach
// only what is theirs, and that errors survive the way.
func TestHTTPBetweenNodes(t *testing.T) {
	r := newRig(t)
	a := r.add("a", model.NodeMember, nil)
	b := r.add("b", model.NodeMember, nil)
	w := r.add("w", model.NodeWorker, nil)
	a.Handle("GET /peer/v1/fail", Nodes, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		WriteError(w, fmt.Errorf("open: %w", model.Errorf(model.KindConflict, "port_taken", "the port is taken").At("spec.ports[0]")))
	}))

	for _, from := range []*host{b, w} {
		c, err := from.get(t, "a", "/peer/v1/who")
		if err != nil || c.NodeID != from.id || c.Role != from.certs.Role() || c.Version != "1.0.0" {
			t.Fatalf("%+v, %v", c, err)
		}
	}
	if _, err := b.get(t, "a", "/peer/v1/secret"); err != nil {
		t.Fatal(err)
	}
	_, err := w.get(t, "a", "/peer/v1/secret")
	code(t, err, "member_only")
	if !a.log.has("level=WARN", "remote=127.0.0.1:", "node=w", "members only") {
		t.Error("the refusal is not in the log")
	}
	_, err = b.get(t, "a", "/peer/v1/fail")
	if e, ok := errors.AsType[*model.Error](err); !ok || e.Kind != model.KindConflict || e.Code != "port_taken" || e.Field != "spec.ports[0]" || e.Detail != "the port is taken" {
		t.Fatalf("got %#v", err)
	}
	_, err = b.get(t, "nobody", "/peer/v1/who")
	code(t, err, "address_unknown")
	if c, err := a.get(t, "a", "/peer/v1/who"); err != nil || c.NodeID != "a" {
		t.Fatalf("a node cannot reach itself: %v", err)
	}
}

// TestRefusals holds that whoever does not belong here is told why in a sentence
// and that the log has it with the remote address.
func TestRefusals(t *testing.T) {
	other := newAuthority(t)
	for _, tc := range []struct {
		name, want string
		proto      string
		cert       func(r *rig) *tls.Certificate
		say        func(h *hello)
		state      func(d *nodes)
	}{
		{name: "fine"},
		{name: "fine for raft", proto: protoRaft},
		{name: "unknown node with a good certificate", state: func(d *nodes) { delete(d.all, "b") }},
		{name: "no certificate", want: "no_certificate", cert: func(*rig) *tls.Certificate { return nil }},
		{name: "another cluster's certificate", want: "other_cluster", cert: func(*rig) *tls.Certificate { return certificates(t, other, "b", model.NodeMember).Node() }},
		{name: "another cluster", want: "other_cluster", say: func(h *hello) { h.Cluster = "c2" }},
		{name: "another node's name", want: "certificate_not_yours", say: func(h *hello) { h.Node = "a" }},
		{name: "older generation", want: "generation_old", state: func(d *nodes) { d.generation = 2 }},
		{name: "newer generation", want: "generation_old", say: func(h *hello) { h.Generation = 2 }},
		{name: "removed", want: "node_removed", state: func(d *nodes) { d.removed["b"] = true }},
		{name: "another key", want: "identity_changed", cert: func(r *rig) *tls.Certificate { return certificates(t, r.ca, "b", model.NodeMember).Node() }},
		{name: "another role", want: "role_mismatch", state: func(d *nodes) { n := d.all["b"]; n.Role = model.NodeWorker; d.all["b"] = n }},
		{name: "no cluster here", want: "not_initialized", state: func(d *nodes) { d.cluster = "" }},
		{name: "worker proposes", want: "member_only", proto: protoPropose, say: func(h *hello) { h.Node = "w" }, cert: func(r *rig) *tls.Certificate { return certificates(t, r.ca, "w", model.NodeWorker).Node() }},
		{name: "worker speaks raft", want: "member_only", proto: protoRaft, say: func(h *hello) { h.Node = "w" }, cert: func(r *rig) *tls.Certificate { return certificates(t, r.ca, "w", model.NodeWorker).Node() }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			var newer, newerFrom = uint64(0), ""
			var mu sync.Mutex
			a := r.add("a", model.NodeMember, func(c *Config) {
				c.OnNewer = func(g uint64, from string) { mu.Lock(); defer mu.Unlock(); newer, newerFrom = g, from }
			})
			certs := certificates(t, r.ca, "b", model.NodeMember)
			a.dir.set(func(d *nodes) {
				d.all["b"] = Node{ID: "b", Role: model.NodeMember, PublicKey: certs.Key().Public()}
				if tc.state != nil {
					tc.state(d)
				}
			})
			cert := certs.Node()
			if tc.cert != nil {
				cert = tc.cert(r)
			}
			say, proto := greeting("b"), protoPeer
			if tc.say != nil {
				tc.say(&say)
			}
			if tc.proto != "" {
				proto = tc.proto
			}
			_, answer, err := hostile(t, a, cert, proto, say)
			if err != nil {
				t.Fatal(err)
			}
			if tc.want == "" {
				if answer.Refused != nil {
					t.Fatal(answer.Refused.Detail)
				}
				if answer.Node != "a" || answer.Cluster != "c1" {
					t.Errorf("%+v", answer)
				}
				return
			}
			if answer.Refused == nil {
				t.Fatalf("was not refused")
			}
			code(t, answer.Refused.Err(), tc.want)
			within(t, time.Second, "the log", func() bool {
				return a.log.has("level=WARN", "refused a connection of a node", "remote=127.0.0.1:", answer.Refused.Detail[:20])
			})
			mu.Lock()
			defer mu.Unlock()
			if wants := tc.name == "newer generation"; wants != (newer == 2 && newerFrom == "b") {
				t.Errorf("told of generation %d from %q", newer, newerFrom)
			}
		})
	}
}

// TestRefusedHere holds what a node learns when it is the one that does not
// belong: a sentence, and the daemon is told.
func TestRefusedHere(t *testing.T) {
	r := newRig(t)
	a := r.add("a", model.NodeMember, nil)
	expelled, newer := make(chan *model.Error, 16), make(chan uint64, 16)
	b := r.add("b", model.NodeMember, func(c *Config) {
		c.OnExpelled = func(err *model.Error) { expelled <- err }
		c.OnNewer = func(g uint64, _ string) { newer <- g }
	})
	a.dir.set(func(d *nodes) { d.removed["b"] = true })
	b.peers.closeAll()
	_, err := b.get(t, "a", "/peer/v1/who")
	code(t, err, "node_removed")
	if e := <-expelled; e.Code != "node_removed" || !strings.Contains(e.Detail, "removed") {
		t.Errorf("told %v", e)
	}
	a.dir.set(func(d *nodes) { d.removed = map[string]bool{}; d.generation = 3 })
	_, err = b.get(t, "a", "/peer/v1/who")
	code(t, err, "generation_old")
	if g := <-newer; g != 3 {
		t.Errorf("told of generation %d", g)
	}
	// The other way: the newer one refuses to speak to the older one.
	_, err = a.get(t, "b", "/peer/v1/who")
	code(t, err, "generation_old")
}

// TestWorkerFollowsRecovery holds that a recovery of the members costs no worker:
// it goes on with members of a higher generation, whoever calls first, and speaks
// no more with those of a lower one.
func TestWorkerFollowsRecovery(t *testing.T) {
	for _, first := range []string{"worker", "member"} {
		t.Run(first+" calls", func(t *testing.T) {
			r := newRig(t)
			a := r.add("a", model.NodeMember, nil)
			old := r.add("old", model.NodeMember, func(c *Config) {
				c.OnNewer = func(_ uint64, from string) {
					if from == "w" {
						t.Error("a worker's word ended a member")
					}
				}
			})
			var w *host
			w = r.add("w", model.NodeWorker, func(c *Config) {
				c.OnNewer = func(g uint64, _ string) { w.dir.set(func(d *nodes) { d.generation = max(d.generation, g) }) }
			})
			a.dir.set(func(d *nodes) { d.generation = 2 })
			for _, h := range r.hosts {
				h.peers.closeAll()
			}
			from, to := w, "a"
			if first == "member" {
				from, to = a, "w"
			}
			// Connections of before end when the worker follows, this one perhaps too.
			within(t, 5*time.Second, from.id+" reaches "+to, func() bool {
				c, err := from.get(t, to, "/peer/v1/who")
				return err == nil && c.NodeID == from.id
			})
			if _, g := w.dir.Cluster(); g != 2 {
				t.Errorf("the worker is of generation %d", g)
			}
			for _, way := range []struct {
				from *host
				to   string
			}{{w, "old"}, {old, "w"}} {
				within(t, 3*helloTimeout, way.from.id+" is refused by "+way.to, func() bool {
					_, err := way.from.get(t, way.to, "/peer/v1/who")
					return model.CodeOf(err) == "generation_old"
				})
			}
		})
	}
}

// TestImpostor holds that a node believes only in a certificate of the node
// that it means, wherever it was led.
func TestImpostor(t *testing.T) {
	r := newRig(t)
	a := r.add("a", model.NodeMember, nil)
	b := r.add("b", model.NodeMember, nil)
	a.dir.set(func(d *nodes) { d.all["x"] = Node{ID: "x", Role: model.NodeMember, Address: b.address()} })
	_, err := a.get(t, "x", "/peer/v1/who")
	code(t, err, "other_node")

	foreign := newRig(t)
	f := foreign.add("b", model.NodeMember, nil)
	a.dir.set(func(d *nodes) { d.all["y"] = Node{ID: "y", Role: model.NodeMember, Address: f.address()} })
	_, err = a.get(t, "y", "/peer/v1/who")
	code(t, err, "other_cluster")
}

// TestDoor holds that everything which is no protocol among nodes arrives at the
// public listener untouched.
func TestDoor(t *testing.T) {
	r := newRig(t)
	a := r.add("a", model.NodeMember, nil)
	srv := &http.Server{TLSConfig: a.certs.ServerTLS(), ReadHeaderTimeout: time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) })}
	go func() { _ = srv.ServeTLS(a.Public(), "", "") }()
	t.Cleanup(func() { _ = srv.Close() })
	for _, proto := range []string{"HTTP/2.0", "HTTP/1.1"} {
		tr := &http.Transport{ForceAttemptHTTP2: proto == "HTTP/2.0", TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
		resp, err := (&http.Client{Transport: tr}).Get("https://" + a.address())
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		tr.CloseIdleConnections()
		if string(body) != proto {
			t.Errorf("got %s, want %s", body, proto)
		}
		if resp.TLS.PeerCertificates[0].VerifyHostname("127.0.0.1") != nil {
			t.Error("the certificate does not cover the address")
		}
	}
	_ = srv.Close()

	// Plain text goes on as it is, byte by byte.
	b := r.add("b", model.NodeMember, nil)
	for _, text := range []string{"GET / HTTP/1.1\r\n", "\x16garbage that is no hello", "\x16\x03\x01\x00\x05hello"} {
		c, err := net.Dial("tcp", b.address())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, text)
		_ = c.(*net.TCPConn).CloseWrite()
		got, err := b.Public().Accept()
		if err != nil {
			t.Fatal(err)
		}
		read, _ := io.ReadAll(got)
		if string(read) != text {
			t.Errorf("%q arrived as %q", text, read)
		}
		_ = got.Close()
		_ = c.Close()
	}
}

// TestSlowStart holds that whoever takes too long to say what he wants loses the
// connection, at each stage.
func TestSlowStart(t *testing.T) {
	r := newRig(t)
	r.hello = 300 * time.Millisecond
	a := r.add("a", model.NodeMember, nil)
	certs := certificates(t, r.ca, "b", model.NodeMember)
	for name, begin := range map[string]func() net.Conn{
		"silent":     func() net.Conn { return dial(t, a) },
		"half hello": func() net.Conn { c := dial(t, a); _, _ = c.Write([]byte{0x16, 3, 1, 2, 0, 1}); return c },
		"after TLS":  func() net.Conn { return handshake(t, a, certs, protoPeer) },
		"half a word": func() net.Conn {
			c := handshake(t, a, certs, protoPeer)
			_, _ = c.Write([]byte{0, 0, 0, 90, '{'})
			return c
		},
		"drop by drop": func() net.Conn {
			c := handshake(t, a, certs, protoPeer)
			go func() {
				_, _ = c.Write([]byte{0, 0, 1, 0})
				for range 100 {
					if _, err := c.Write([]byte{' '}); err != nil {
						return
					}
					<-time.After(20 * time.Millisecond)
				}
			}()
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			c := begin()
			_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
			if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal("the connection was kept")
			}
			if d := time.Since(began); d > 3*time.Second {
				t.Errorf("it took %s", d)
			}
		})
	}
	within(t, 3*time.Second, "everybody left the door", func() bool { a.door.mu.Lock(); defer a.door.mu.Unlock(); return a.door.all == 0 })
}

// TestHugeHello holds that no more is read than a hello has.
func TestHugeHello(t *testing.T) {
	r := newRig(t)
	a := r.add("a", model.NodeMember, nil)
	certs := certificates(t, r.ca, "b", model.NodeMember)
	for name, first := range map[string][]byte{
		"huge":    binary.BigEndian.AppendUint32(nil, 1<<31),
		"garbage": append(binary.BigEndian.AppendUint32(nil, 8), "garbage!"...),
	} {
		c := handshake(t, a, certs, protoPeer)
		_, _ = c.Write(first)
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("%s: the connection was kept", name)
		}
	}
	if !a.log.has("level=WARN", "refused a connection of a node", "announced") {
		t.Error("the refusal is not in the log")
	}
}

func dial(t *testing.T, to *host) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", to.address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func handshake(t *testing.T, to *host, certs certificated, proto string) *tls.Conn {
	t.Helper()
	c := tls.Client(dial(t, to), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{proto}, MinVersion: tls.VersionTLS13,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certs.Node(), nil }})
	if err := c.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

type certificated interface{ Node() *tls.Certificate }

// TestStream holds that raft's connections go to the member meant and carry
// bytes both ways.
func TestStream(t *testing.T) {
	r := newRig(t)
	a := r.add("a", model.NodeMember, nil)
	b := r.add("b", model.NodeMember, nil)
	if s := b.Stream().Addr().String(); s != "b" {
		t.Fatalf("the stream's address is %q", s)
	}
	out, err := a.Stream().Dial("b", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	in, err := b.Stream().Accept()
	if err != nil {
		t.Fatal(err)
	}
	for _, way := range [][2]net.Conn{{out, in}, {in, out}} {
		_, _ = io.WriteString(way[0], "hello\n")
		if line, err := bufio.NewReader(way[1]).ReadString('\n'); err != nil || line != "hello\n" {
			t.Fatalf("%q, %v", line, err)
		}
	}
	_ = out.Close()
	if _, err := in.Read(make([]byte, 1)); err == nil {
		t.Error("the end of the connection is not seen")
	}
	_ = in.Close()
}
