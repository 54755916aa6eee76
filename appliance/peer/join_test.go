package peer

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/pki"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
	"github.com/skerryhq/skerry/raft/state"
)

// cluster is a founder with a real state, which hosts can join.
type cluster struct {
	*rig
	a    *host
	node *node.Node
}

func head() command.Head {
	return command.By(model.Origin{Actor: "ada", Time: time.Now().UTC()})
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	n, err := node.Open(node.Config{Dir: t.TempDir(), ID: "a", Version: "1.0.0", Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := n.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := &cluster{rig: newRig(t), node: n}
	sealed, err := c.box.Seal("ca-key", c.ca.KeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	c.propose(t, &command.InitCluster{
		Head: head(),
		Cluster: model.Cluster{ID: "c1", FeatureLevel: command.Level, Pool: netip.MustParsePrefix("10.42.0.0/16"), VIPPool: netip.MustParsePrefix("10.43.0.0/16"),
			PortMin: 30000, PortMax: 32767, SetupHash: []byte("hash"), CACert: c.ca.CertPEM, CAKey: sealed},
		Tenant:      model.Tenant{Meta: model.Meta{ID: "t1", Name: model.DefaultTenant}},
		Environment: model.Environment{Meta: model.Meta{ID: "e1", Name: model.DefaultEnvironment}},
		Node:        model.Node{Meta: model.Meta{ID: "a", Name: "one"}},
	})
	c.a = c.add("a", model.NodeMember, func(cfg *Config) {
		cfg.Directory = Replica{View: func() *state.View { return n.View() }}
		cfg.Admitter = &Admission{
			Cluster: func() Cluster { return n }, Certs: cfg.Certs, Box: c.box,
			Latest: n.LocalReadIndex,
		}
	})
	return c
}

func (c *cluster) propose(t *testing.T, cmd command.Command) {
	t.Helper()
	if _, err := c.node.Propose(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
}

// token makes a join token. change may be nil.
func (c *cluster) token(t *testing.T, role model.NodeRole, change func(*model.JoinToken)) Token {
	t.Helper()
	tok := NewToken(role, model.DefaultEnvironment, time.Now().Add(time.Hour), c.ca.Pin())
	row := model.JoinToken{Hash: tok.Hash(), Role: role, EnvironmentID: "e1", Uses: 1, ExpiresAt: tok.ExpiresAt}
	row.ID = command.NewID()
	row.Name = row.ID[:8]
	if change != nil {
		change(&row)
	}
	tok.ExpiresAt = tok.ExpiresAt.UTC()
	c.propose(t, &command.PutJoinToken{Head: head(), Token: row})
	if row.Revoked {
		c.propose(t, &command.RevokeJoinToken{Head: head(), ID: row.ID})
	}
	return tok
}

// joiner is a fresh host.
func (c *cluster) joiner(t *testing.T, tok string) JoinOptions {
	t.Helper()
	key, err := pki.OpenKey(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	id := command.NewID()
	return JoinOptions{
		Token: tok, Address: c.a.address(), NodeID: id, Name: "host-" + id[:4], Key: key, Hosts: []string{"127.0.0.1", "host"},
		Status: model.NodeStatus{Address: "127.0.0.1:7443", SkerryVersion: "1.0.0"},
	}
}

func TestJoin(t *testing.T) {
	for _, role := range []model.NodeRole{model.NodeMember, model.NodeWorker} {
		t.Run(string(role), func(t *testing.T) {
			c := newCluster(t)
			o := c.joiner(t, c.token(t, role, nil).String())
			o.Labels = map[string]string{"zone": "z1"}
			var steps []Step
			reply, err := Join(t.Context(), o, func(s Step, _ string) { steps = append(steps, s) })
			if err != nil {
				t.Fatal(err)
			}
			if len(steps) != 4 || steps[0] != StepToken || steps[3] != StepAdmitted {
				t.Errorf("the steps were %v", steps)
			}
			if reply.ClusterID != "c1" || reply.Generation != 1 || reply.Role != role || reply.Environment != model.DefaultEnvironment || reply.Index == 0 {
				t.Errorf("%+v", reply)
			}
			n, ok := c.node.View().Node(o.NodeID)
			if !ok || n.Name != o.Name || n.Role != role || n.EnvironmentID != "e1" || n.Spec.Labels["zone"] != "z1" || !bytes.Equal(n.PublicKey, o.Key.Public()) || n.Status.Address != "127.0.0.1:7443" {
				t.Fatalf("%+v", n)
			}
			within(t, 5*time.Second, "the log", func() bool { return c.a.log.has("level=INFO", "a host joined", "remote=127.0.0.1:", "name="+o.Name) })
			leaf := certsOf(t, reply.Certificate)[0]
			if role == model.NodeWorker {
				if len(reply.SealKey)+len(reply.AuthorityKey) > 0 {
					t.Fatal("a worker was given the cluster's keys")
				}
				if leaf.VerifyHostname("127.0.0.1") == nil || leaf.VerifyHostname("host") == nil {
					t.Error("a worker's certificate names what people connect to")
				}
			}
			// What was given is what a node needs: it speaks to the member.
			dir := filepath.Join(t.TempDir(), "pki")
			install(t, dir, o.Key, reply)
			var ca *pki.Authority
			if role == model.NodeMember {
				box, err := pki.OpenBox(filepath.Join(dir, "seal.key"))
				if err != nil {
					t.Fatal(err)
				}
				if ca, err = pki.OpenAuthority(dir, box, time.Now()); err != nil || ca.Fingerprint() != c.ca.Fingerprint() {
					t.Fatal(err)
				}
			}
			certs, err := pki.OpenCertificates(pki.Config{Dir: dir, ID: o.NodeID, Role: role}, ca)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(certs.Node().Leaf.Raw, leaf.Raw) {
				t.Error("the certificate that was given is not the one that is used")
			}
			data := t.TempDir()
			if err := WriteBook(data, reply.Book); err != nil {
				t.Fatal(err)
			}
			s, err := New(Config{NodeID: o.NodeID, Certs: certs, DataDir: data, Directory: Replica{Base: func() (string, uint64) { return reply.ClusterID, reply.Generation }}, Advertise: func() string { return "127.0.0.1:1" }})
			if err != nil {
				t.Fatal(err)
			}
			defer s.peers.closeAll()
			h := &host{Server: s, id: o.NodeID}
			within(t, 5*time.Second, "the new node reaches the member", func() bool {
				got, err := h.get(t, "a", "/peer/v1/who")
				return err == nil && got.NodeID == o.NodeID && got.Role == role
			})
		})
	}
}

// install puts a join's reply on the disk beside the key of the host.
func install(t *testing.T, dir string, key *pki.Key, reply JoinReply) {
	t.Helper()
	if err := key.Save(dir); err != nil {
		t.Fatal(err)
	}
	if err := pki.Install(dir, pki.Material{Trust: reply.Trust, Certificate: reply.Certificate, SealKey: reply.SealKey, AuthorityKey: reply.AuthorityKey}); err != nil {
		t.Fatal(err)
	}
}

// TestJoinAgain holds that a host whose answer was lost may repeat its join, with
// the token that it used up, and gets no more than the first time.
func TestJoinAgain(t *testing.T) {
	c := newCluster(t)
	o := c.joiner(t, c.token(t, model.NodeWorker, nil).String())
	for range 2 {
		if _, err := Join(t.Context(), o, nil); err != nil {
			t.Fatal(err)
		}
	}
	// The same host with a token for members gets a worker's part.
	o.Token = c.token(t, model.NodeMember, nil).String()
	reply, err := Join(t.Context(), o, nil)
	if err != nil || reply.Role != model.NodeWorker || len(reply.SealKey) > 0 {
		t.Fatalf("%+v, %v", reply.Role, err)
	}
}

func TestJoinRefusals(t *testing.T) {
	c := newCluster(t)
	w := c.add("w", model.NodeWorker, nil)
	fresh := newRig(t).add("f", model.NodeMember, func(cfg *Config) { cfg.Directory = Replica{} })
	used := c.token(t, model.NodeMember, nil)
	if _, err := Join(t.Context(), c.joiner(t, used.String()), nil); err != nil {
		t.Fatal(err)
	}
	removed := c.joiner(t, c.token(t, model.NodeWorker, nil).String())
	if _, err := Join(t.Context(), removed, nil); err != nil {
		t.Fatal(err)
	}
	c.propose(t, &command.RemoveNode{Head: head(), ID: removed.NodeID, ExpectVersion: command.AnyVersion})
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	web := &tls.Config{Certificates: []tls.Certificate{*certificates(t, c.ca, "x", model.NodeMember).Node()}, NextProtos: []string{"h2"}}
	other, err := tls.Listen("tcp", "127.0.0.1:0", web)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	go func() {
		for {
			conn, err := other.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, conn); _ = conn.Close() }()
		}
	}()

	member := func(change func(*model.JoinToken)) string { return c.token(t, model.NodeMember, change).String() }
	for _, tc := range []struct {
		name, code, says string
		token            string
		change           func(o *JoinOptions)
		here             bool // refused without the member hearing of it
	}{
		{name: "malformed", code: "join_token_malformed", says: "does not begin", token: "abc", here: true},
		{name: "expired by its text", code: "join_token_expired", says: "expired at", token: NewToken(model.NodeMember, "default", time.Now().Add(-time.Minute), c.ca.Pin()).String(), here: true},
		{name: "another role", code: "join_role", says: "for a member, not for a worker", token: member(nil), change: func(o *JoinOptions) { o.Role = model.NodeWorker }, here: true},
		{name: "another environment", code: "join_environment", says: "default", token: member(nil), change: func(o *JoinOptions) { o.Environment = "lab" }, here: true},
		{name: "unreachable", code: "unreachable", says: "refused", token: member(nil), change: func(o *JoinOptions) { o.Address = closed.Addr().String() }, here: true},
		{name: "no such host", code: "unreachable", says: "no-such-host.invalid:7443", token: member(nil), change: func(o *JoinOptions) { o.Address = "no-such-host.invalid" }, here: true},
		{name: "silent", code: "unreachable", says: "in time", token: member(nil), change: func(o *JoinOptions) { o.Address = silent.Addr().String(); o.Timeout = 300 * time.Millisecond }, here: true},
		{name: "other service", code: "not_skerry", says: "takes no joining hosts", token: member(nil), change: func(o *JoinOptions) { o.Address = other.Addr().String() }, here: true},
		{name: "a worker", code: "not_member", says: "worker", token: member(nil), change: func(o *JoinOptions) { o.Address = w.address() }, here: true},
		{name: "another cluster", code: "wrong_ca", says: newPinText(c.ca), token: member(nil), change: func(o *JoinOptions) { o.Address = fresh.address() }, here: true},
		{name: "unknown", code: "join_token_unknown", says: "does not know", token: NewToken(model.NodeMember, "default", time.Now().Add(time.Hour), c.ca.Pin()).String()},
		{name: "used", code: "join_token_used", says: "used up", token: used.String()},
		{name: "revoked", code: "join_token_revoked", says: "revoked", token: member(func(r *model.JoinToken) { r.Revoked = true })},
		{name: "expired on the member", code: "join_token_expired", says: "expired at", token: member(func(r *model.JoinToken) { r.ExpiresAt = time.Now().Add(-time.Minute) })},
		{name: "role on the member", code: "join_role", says: "for a worker, not for a member", token: member(func(r *model.JoinToken) { r.Role = model.NodeWorker })},
		{name: "name taken", code: "name_taken", says: "one", token: member(nil), change: func(o *JoinOptions) { o.Name = "one" }},
		{name: "bad name", code: "name_invalid", says: "", token: member(nil), change: func(o *JoinOptions) { o.Name = "no good name!" }},
		{name: "bad address", code: "join_request", says: "no address", token: member(nil), change: func(o *JoinOptions) { o.Status.Address = "nowhere" }},
		{name: "id of another host", code: "already_joined", says: "belongs to the cluster already", token: member(nil), change: func(o *JoinOptions) { o.NodeID = "a" }},
		{name: "removed", code: "node_removed", says: "was removed from the cluster by ada", token: member(nil), change: func(o *JoinOptions) { o.NodeID, o.Key = removed.NodeID, removed.Key }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := c.node.AppliedIndex()
			o := c.joiner(t, tc.token)
			if tc.change != nil {
				tc.change(&o)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, err := Join(ctx, o, nil)
			if err == nil {
				t.Fatal("it joined")
			}
			t.Log(err)
			code(t, err, tc.code)
			if !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%q does not say %q", err, tc.says)
			}
			if tok, perr := ParseToken(tc.token); perr == nil && strings.Contains(err.Error(), tok.String()[len(tok.String())-32:]) {
				t.Error("the secret is in the sentence")
			}
			if n, ok := c.node.View().Node(o.NodeID); ok && n.Name == o.Name && o.NodeID != "a" {
				t.Error("half of it joined")
			}
			if !tc.here && !c.a.log.has("level=WARN", "refused a host that wants to join", "remote=127.0.0.1:") {
				t.Error("the refusal is not in the log")
			}
			if (tc.here || tc.code == "join_token_unknown") && c.node.AppliedIndex() > before {
				t.Error("it reached the log of the cluster")
			}
		})
	}
}

func newPinText(ca *pki.Authority) string { return ca.Fingerprint() }

// TestJoinSecretStays holds that the secret is not sent to whoever cannot prove
// to be a member of the token's cluster, or whose clock or version does not fit.
func TestJoinSecretStays(t *testing.T) {
	ca := newAuthority(t)
	tok := NewToken(model.NodeMember, "default", time.Now().Add(time.Hour), ca.Pin())
	own, worker := certificates(t, ca, "a", model.NodeMember), certificates(t, ca, "w", model.NodeWorker)
	foreign := certificates(t, newAuthority(t), "a", model.NodeMember).Node()
	// A foreign leaf with the right authority behind it.
	borrowed := *foreign
	borrowed.Certificate = append([][]byte{foreign.Certificate[0]}, own.Node().Certificate[1])
	fits := joinHello{Cluster: "c1", Node: "a", Version: "9.9.9", Level: command.Level, Time: time.Now()}
	for name, tc := range map[string]struct {
		cert  *tls.Certificate
		hello func(h *joinHello)
		code  string
	}{
		"foreign":     {foreign, nil, "wrong_ca"},
		"borrowed":    {&borrowed, nil, "wrong_ca"},
		"worker":      {worker.Node(), nil, "not_member"},
		"clock ahead": {own.Node(), func(h *joinHello) { h.Time = h.Time.Add(10 * time.Minute) }, "clock_skew"},
		"clock back":  {own.Node(), func(h *joinHello) { h.Time = h.Time.Add(-400 * 24 * time.Hour) }, "clock_skew"},
		"version":     {own.Node(), func(h *joinHello) { h.Level = command.Level + 1 }, "version_too_old"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*tc.cert}, NextProtos: []string{protoJoin}, MinVersion: tls.VersionTLS13})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			got := make(chan []byte, 1)
			go func() {
				c, err := l.Accept()
				if err != nil {
					got <- nil
					return
				}
				defer c.Close()
				h := fits
				if tc.hello != nil {
					tc.hello(&h)
				}
				_ = writeMessage(c, h)
				_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
				all, _ := io.ReadAll(c)
				got <- all
			}()
			key, err := pki.OpenKey(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			_, err = Join(t.Context(), JoinOptions{Token: tok.String(), Address: l.Addr().String(), NodeID: "n", Name: "n", Key: key, Status: model.NodeStatus{SkerryVersion: "1.0.0"}}, nil)
			code(t, err, tc.code)
			t.Log(err)
			if b := <-got; len(b) > 0 {
				t.Fatalf("%d bytes were sent to it", len(b))
			}
		})
	}
}

// TestJoinGuessing holds that wrong secrets are bounded by host.
func TestJoinGuessing(t *testing.T) {
	c := newCluster(t)
	good := c.joiner(t, c.token(t, model.NodeMember, nil).String())
	throttled := 0
	for range 2 * wrongBurst {
		_, err := Join(t.Context(), c.joiner(t, NewToken(model.NodeMember, "default", time.Now().Add(time.Hour), c.ca.Pin()).String()), nil)
		switch model.CodeOf(err) {
		case "join_token_unknown":
		case "join_throttled":
			throttled++
		default:
			t.Fatal(err)
		}
	}
	if throttled < wrongBurst/2 {
		t.Errorf("only %d of %d guesses were held off", throttled, 2*wrongBurst)
	}
	_, err := Join(t.Context(), good, nil)
	code(t, err, "join_throttled")

	th, now := newThrottle(), time.Now()
	for range wrongBurst {
		if th.blocked("h", now) != nil {
			t.Fatal("held off too early")
		}
		th.wrong("h", now)
	}
	if th.blocked("h", now) == nil || th.blocked("other", now) != nil {
		t.Fatal("the wrong host is held off")
	}
	if e := th.blocked("h", now.Add(wrongEvery+time.Second)); e != nil {
		t.Fatalf("held off for too long: %v", e)
	}
}

// TestJoinHostile holds that garbage on the join protocol does no harm.
func TestJoinHostile(t *testing.T) {
	c := newCluster(t)
	for name, send := range map[string][]byte{
		"huge":    {0xff, 0xff, 0xff, 0xff},
		"garbage": {0, 0, 0, 3, 'x', 'y', 'z'},
		"empty":   {0, 0, 0, 2, '{', '}'},
		"cut off": {0, 0, 1, 0, '{'},
	} {
		conn, err := tls.Dial("tcp", c.a.address(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protoJoin}})
		if err != nil {
			t.Fatal(err)
		}
		var h joinHello
		if err := readMessage(conn, &h, maxHello); err != nil || h.Refused != nil || time.Since(h.Time) > time.Minute {
			t.Fatalf("%+v, %v", h, err)
		}
		_, _ = conn.Write(send)
		_ = conn.CloseWrite()
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the connection was kept", name)
		}
		_ = conn.Close()
	}
	if _, err := Join(t.Context(), c.joiner(t, c.token(t, model.NodeMember, nil).String()), nil); err != nil {
		t.Fatal(err)
	}
}
