package peer

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/pki"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// nodes is a Directory that tests write.
type nodes struct {
	mu         sync.Mutex
	cluster    string
	generation uint64
	all        map[string]Node
	removed    map[string]bool
	trust      []byte
}

func (d *nodes) Cluster() (string, uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cluster, d.generation
}

func (d *nodes) Node(id string) (Node, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.removed[id] {
		return Node{}, false, model.Errorf(model.KindDenied, "node_removed", "node %s was removed from the cluster by ada", id)
	}
	n, ok := d.all[id]
	return n, ok, nil
}

func (d *nodes) Nodes() []Node {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []Node
	for _, n := range d.all {
		out = append(out, n)
	}
	return out
}

func (d *nodes) Authorities() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.trust
}

func (d *nodes) set(change func(*nodes)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d)
}

// host is a node of a test.
type host struct {
	*Server
	id    string
	dir   *nodes // its own view of the cluster
	certs *pki.Certificates
	log   *lines

	mu   sync.Mutex
	addr string
	l    *movable
	stop func()
}

func (h *host) address() string { h.mu.Lock(); defer h.mu.Unlock(); return h.addr }

// lines is a log that can be searched.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.b.Write(b) }

func (l *lines) has(all ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.b.String()) {
		n := 0
		for _, s := range all {
			if strings.Contains(line, s) {
				n++
			}
		}
		if n == len(all) {
			return true
		}
	}
	return false
}

// rig is a cluster of doors.
type rig struct {
	t     *testing.T
	ca    *pki.Authority
	box   *pki.Box
	hosts map[string]*host
	hello time.Duration // if not 0, the door's patience
}

func newAuthority(t *testing.T) *pki.Authority {
	t.Helper()
	ca, err := pki.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func newRig(t *testing.T) *rig {
	t.Helper()
	box, err := pki.OpenBox(filepath.Join(t.TempDir(), "seal.key"))
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t: t, ca: newAuthority(t), box: box, hosts: map[string]*host{}}
}

// certificates makes a node's keys and certificate of an authority.
func certificates(t *testing.T, ca *pki.Authority, id string, role model.NodeRole) *pki.Certificates {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "pki")
	if role == model.NodeWorker {
		key, err := pki.OpenKey(dir)
		if err != nil {
			t.Fatal(err)
		}
		request, err := key.Request()
		if err != nil {
			t.Fatal(err)
		}
		public, _, err := pki.ParseRequest(request)
		if err != nil {
			t.Fatal(err)
		}
		chain, err := ca.Sign(pki.Order{ID: id, Role: role, Key: public}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := pki.Install(dir, pki.Material{Trust: ca.CertPEM, Certificate: chain}); err != nil {
			t.Fatal(err)
		}
		ca = nil
	}
	c, err := pki.OpenCertificates(pki.Config{Dir: dir, ID: id, Role: role, Hosts: func() []string { return []string{"127.0.0.1", id} }}, ca)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// add starts a node. change may be nil.
func (r *rig) add(id string, role model.NodeRole, change func(*Config)) *host {
	r.t.Helper()
	certs := certificates(r.t, r.ca, id, role)
	h := &host{id: id, certs: certs, log: &lines{}, dir: &nodes{cluster: "c1", generation: 1, all: map[string]Node{}, removed: map[string]bool{}, trust: r.ca.CertPEM}}
	for _, other := range r.hosts {
		r.introduce(h, other)
	}
	r.introduce(h, h)
	cfg := Config{
		NodeID: id, Version: "1.0.0", DataDir: r.t.TempDir(), Certs: certs, Directory: h.dir, Advertise: h.address,
		Log: slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if h.Server, err = New(cfg); err != nil {
		r.t.Fatal(err)
	}
	if r.hello > 0 {
		h.helloTimeout = r.hello
	}
	h.authorityEvery = 200 * time.Millisecond
	h.Handle("GET /peer/v1/who", Nodes, http.HandlerFunc(who))
	h.Handle("GET /peer/v1/secret", Members, http.HandlerFunc(who))
	r.hosts[id] = h
	h.run(r.t, "127.0.0.1:0")
	for _, other := range r.hosts {
		r.introduce(h, other)
		r.introduce(other, h)
	}
	r.t.Cleanup(func() {
		if r.t.Failed() {
			h.log.mu.Lock()
			defer h.log.mu.Unlock()
			r.t.Logf("log of %s:\n%s", id, h.log.b.String())
		}
	})
	return h
}

// introduce makes a know b.
func (r *rig) introduce(a, b *host) {
	a.dir.set(func(d *nodes) {
		d.all[b.id] = Node{ID: b.id, Name: b.id, Role: b.certs.Role(), PublicKey: b.certs.Key().Public(), Address: b.address()}
	})
}

// run serves the node on an address until the test ends or stop is called.
func (h *host) run(t *testing.T, addr string) {
	t.Helper()
	l := &movable{conns: make(chan net.Conn), closed: make(chan struct{})}
	h.mu.Lock()
	h.l = l
	h.mu.Unlock()
	h.moveTo(t, addr)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx, l) }()
	stop := sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("node %s: %v", h.id, err)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("node %s does not end", h.id)
		}
	})
	t.Cleanup(stop)
	h.mu.Lock()
	h.stop = stop
	h.mu.Unlock()
}

// moveTo gives the node another address: nothing is heard any more at the old
// one, and connections to it are dead.
func (h *host) moveTo(t *testing.T, addr string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.addr = l.Addr().String()
	h.l.open(l)
}

// movable is a listener whose address changes.
type movable struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once

	mu    sync.Mutex
	l     net.Listener
	taken []net.Conn
}

func (m *movable) open(l net.Listener) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.l != nil {
		_ = m.l.Close()
	}
	for _, c := range m.taken {
		_ = c.Close()
	}
	m.l, m.taken = l, nil
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			m.mu.Lock()
			m.taken = append(m.taken, c)
			m.mu.Unlock()
			select {
			case m.conns <- c:
			case <-m.closed:
				_ = c.Close()
			}
		}
	}()
}

func (m *movable) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

func (m *movable) Close() error {
	m.once.Do(func() { close(m.closed) })
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.l.Close()
}

func (m *movable) Addr() net.Addr { m.mu.Lock(); defer m.mu.Unlock(); return m.l.Addr() }

func who(w http.ResponseWriter, r *http.Request) {
	c, _ := CallerOf(r.Context())
	writeJSON(w, c)
}

// get asks a node for a path.
func (h *host) get(t *testing.T, to, path string) (Caller, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://peer"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	var c Caller
	err = h.Peers().do(to, req, &c, 1<<16)
	return c, err
}

// within polls until ok says so.
func within(t *testing.T, d time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(d); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", d, what)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// code checks the code of an error and that it is a sentence.
func code(t *testing.T, err error, want string) {
	t.Helper()
	if model.CodeOf(err) != want {
		t.Fatalf("got %q (%v), want %q", model.CodeOf(err), err, want)
	}
	if want != "" && len(strings.Fields(err.Error())) < 4 {
		t.Errorf("%q is no sentence", err)
	}
}

// hostile connects to a node with a certificate (nil: none) over a protocol and
// says a hello, without any checks of its own.
func hostile(t *testing.T, to *host, cert *tls.Certificate, proto string, say hello) (*tls.Conn, hello, error) {
	t.Helper()
	conf := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{proto}, MinVersion: tls.VersionTLS13}
	if cert != nil {
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	c, err := (&tls.Dialer{Config: conf}).DialContext(t.Context(), "tcp", to.address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	var answer hello
	if err := writeMessage(c, say); err != nil {
		return c.(*tls.Conn), answer, err
	}
	err = readMessage(c, &answer, maxHello)
	return c.(*tls.Conn), answer, err
}

func greeting(id string) hello {
	return hello{Cluster: "c1", Generation: 1, Node: id, Version: "1.0.0", Level: command.Level}
}

func ids(all []Node) string {
	var out []string
	for _, n := range all {
		out = append(out, n.ID)
	}
	return fmt.Sprint(out)
}

// certsOf reads a chain of PEM.
func certsOf(t *testing.T, chain []byte) []*x509.Certificate {
	t.Helper()
	var out []*x509.Certificate
	for {
		var block *pem.Block
		if block, chain = pem.Decode(chain); block == nil {
			return out
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
}
