package pki

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skerryhq/skerry/raft/model"
)

// trustFile holds the authorities that the node trusts (PEM), the issuing one
// first.
const trustFile = "trust.pem"

// Issuer has a request for a certificate signed elsewhere, and gives the chain
// (PEM). Workers have one; members sign by themselves.
type Issuer func(ctx context.Context, request []byte) ([]byte, error)

// Config says what a node's certificate is about. Dir, ID and Hosts are needed.
type Config struct {
	Dir   string          // where the keys are: <data>/pki
	ID    string          // of the node
	Role  model.NodeRole  // empty means member
	Hosts func() []string // names and addresses that the certificate covers besides NodeName(ID); members only
	Log   *slog.Logger
}

// Certificates serves the node's certificate, which it renews in time, and the
// uploaded one. It knows whom the node trusts.
type Certificates struct {
	cfg Config
	key *Key
	now atomic.Pointer[tls.Certificate]
	// uploaded is what people had made; nil: nothing.
	uploaded atomic.Pointer[Uploaded]
	trust    atomic.Pointer[trust]
	frozen   atomic.Bool

	mu     sync.Mutex // one change at a time
	ca     *Authority // guarded by mu; signs here; nil on a worker
	issuer Issuer     // guarded by mu; where ca is nil
}

// trust is a set of authorities.
type trust struct {
	certs   []*x509.Certificate // the one that issues first
	pool    *x509.CertPool
	pem     []byte // with the version before it
	version uint64 // rises with each change of the set
}

// The version stands in a line of its own before the certificates, where readers
// of PEM pass over it.
const trustHead = "skerry authorities, version "

// TrustText is a set of authorities as Trust and Install take it: PEM, the one
// that issues first, behind their version (Cluster.Version).
func TrustText(cl *model.Cluster) []byte {
	out := strconv.AppendUint([]byte(trustHead), cl.Version, 10)
	out = append(append(out, '\n'), cl.CACert...)
	if cl.Rotation != nil {
		out = append(append(out, '\n'), cl.Rotation.OtherCert...)
	}
	return out
}

func newTrust(texts ...[]byte) (*trust, error) {
	t := &trust{pool: x509.NewCertPool()}
	for _, text := range texts {
		if line, rest, ok := strings.Cut(string(text), "\n"); ok && strings.HasPrefix(line, trustHead) {
			v, err := strconv.ParseUint(line[len(trustHead):], 10, 64)
			if err != nil {
				return nil, fmt.Errorf("the version of the trusted authorities: %w", err)
			}
			t.version = max(t.version, v)
			text = []byte(rest)
		}
		t.pem = append(t.pem, text...)
	}
	texts, t.pem = [][]byte{t.pem}, strconv.AppendUint([]byte(trustHead), t.version, 10)
	t.pem = append(t.pem, '\n')
	for _, text := range texts {
		for {
			var block *pem.Block
			if block, text = pem.Decode(text); block == nil {
				break
			}
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("a trusted authority: %w", err)
			}
			if !c.IsCA {
				return nil, fmt.Errorf("a trusted authority: %s is none", called(c))
			}
			if slices.ContainsFunc(t.certs, c.Equal) {
				continue
			}
			t.certs = append(t.certs, c)
			t.pool.AddCert(c)
			t.pem = append(t.pem, encode("CERTIFICATE", c.Raw)...)
		}
	}
	if len(t.certs) == 0 {
		return nil, errors.New("no trusted authority is given")
	}
	return t, nil
}

// OpenCertificates reads the node's key and certificate from cfg.Dir (node.key,
// node.crt) and issues a new one when there is none, when it nears its end, when
// the names have changed, or when it is of another authority. ca signs here; nil
// on a worker, whose certificate and trust must be on disk since it joined.
func OpenCertificates(cfg Config, ca *Authority) (*Certificates, error) {
	if cfg.Role == "" {
		cfg.Role = model.NodeMember
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	key, err := OpenKey(cfg.Dir)
	if err != nil {
		return nil, err
	}
	c := &Certificates{cfg: cfg, key: key, ca: ca}
	if chain, err := os.ReadFile(filepath.Join(cfg.Dir, "node.crt")); err == nil {
		if pair, err := tls.X509KeyPair(chain, key.pem); err == nil {
			c.now.Store(&pair)
		}
	}
	kept, err := os.ReadFile(filepath.Join(cfg.Dir, trustFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the trusted authorities: %w", err)
	}
	var first []byte
	if ca != nil {
		first = ca.CertPEM
	}
	t, err := newTrust(first, kept)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(cfg.Dir, trustFile), err)
	}
	c.trust.Store(t)
	if ca == nil && c.now.Load() == nil {
		return nil, fmt.Errorf("%s does not go with node.key beside it: put back copies of both, or join this node again", filepath.Join(cfg.Dir, "node.crt"))
	}
	if ca == nil {
		return c, nil // it is renewed when there is somebody to ask
	}
	return c, c.Refresh(context.Background(), time.Now())
}

// ID is the node's id.
func (c *Certificates) ID() string { return c.cfg.ID }

// Role is the role that the certificate says.
func (c *Certificates) Role() model.NodeRole { return c.cfg.Role }

// Key is the node's key pair.
func (c *Certificates) Key() *Key { return c.key }

// Node is the certificate that the cluster's authority issued to this node, with
// its chain.
func (c *Certificates) Node() *tls.Certificate { return c.now.Load() }

// Authority is the fingerprint of the authority that issued the node's
// certificate: NodeStatus.Authority.
func (c *Certificates) Authority() string {
	leaf := c.now.Load().Leaf
	for _, ca := range c.trust.Load().certs {
		if leaf.CheckSignatureFrom(ca) == nil {
			return Fingerprint(ca)
		}
	}
	return ""
}

// Trusts are the fingerprints of the authorities that the node trusts, sorted:
// NodeStatus.Trusts.
func (c *Certificates) Trusts() []string {
	var out []string
	for _, ca := range c.trust.Load().certs {
		out = append(out, Fingerprint(ca))
	}
	slices.Sort(out)
	return out
}

// TrustPEM are the authorities that the node trusts, as of TrustText.
func (c *Certificates) TrustPEM() []byte { return bytes.Clone(c.trust.Load().pem) }

// Verify checks that certificates which another node showed were issued by a
// trusted authority, to a node, and have not ended at now. That they begin later
// only says that this clock or the issuer's is wrong, and cuts nobody off. Errors
// (model.KindDenied):
// "no_certificate", "other_cluster", "certificate_expired", "certificate_not_node".
func (c *Certificates) Verify(shown []*x509.Certificate, now time.Time) (Peer, error) {
	if len(shown) == 0 {
		return Peer{}, model.Errorf(model.KindDenied, "no_certificate", "no certificate was shown: only nodes of the cluster may speak here")
	}
	leaf := shown[0]
	between := x509.NewCertPool()
	for _, x := range shown[1:] {
		between.AddCert(x)
	}
	t, at := c.trust.Load(), now
	for _, x := range append([]*x509.Certificate{leaf}, t.certs...) {
		if x.NotBefore.After(at) {
			at = x.NotBefore
		}
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: t.pool, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok && e.Reason == x509.Expired {
		return Peer{}, model.Errorf(model.KindDenied, "certificate_expired", "the certificate of %s ended at %s and it is %s here: check the clocks of both hosts; a node that was away for longer joins again",
			called(leaf), day(leaf.NotAfter), day(now))
	}
	if err != nil {
		return Peer{}, model.Errorf(model.KindDenied, "other_cluster", "the certificate of %s was not issued by this cluster's authority", called(leaf))
	}
	return peerOf(leaf)
}

// Follow makes the node trust and use what the state says about authorities:
// the pool is Cluster.CACert and, while a rotation runs, the other one; the
// certificate is issued by Cluster.CACert. What is the same changes nothing, nor
// does a state that is older than what the node followed last.
// Connections that exist keep working. Members only.
func (c *Certificates) Follow(ctx context.Context, cl *model.Cluster, box *Box, now time.Time) error {
	if len(cl.CACert) == 0 {
		return nil
	}
	t, err := newTrust(TrustText(cl))
	if err != nil {
		return err
	}
	if t.version < c.trust.Load().version {
		return nil // a state of the past, as after a start: going back would cut this node off
	}
	c.mu.Lock()
	same := c.ca != nil && c.ca.cert.Equal(t.certs[0])
	c.mu.Unlock()
	if !same {
		keyPEM, err := box.Open(authorityPurpose, cl.CAKey)
		if err != nil {
			return fmt.Errorf("the key of the cluster's authority: %w", err)
		}
		ca, err := LoadAuthority(cl.CACert, keyPEM)
		if err != nil {
			return err
		}
		if err := ca.save(c.cfg.Dir, box); err != nil {
			return err
		}
		c.mu.Lock()
		c.ca = ca
		c.mu.Unlock()
		c.cfg.Log.Info("another authority issues certificates now", "authority", ca.Fingerprint())
	}
	if err := c.setTrust(t); err != nil {
		return err
	}
	return c.Refresh(ctx, now)
}

// Trust replaces the authorities that the node trusts (as of TrustText), unless
// they are those of the past. Workers learn them from members.
func (c *Certificates) Trust(text []byte) error {
	t, err := newTrust(text)
	if err != nil {
		return err
	}
	return c.setTrust(t)
}

func (c *Certificates) setTrust(t *trust) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.trust.Load()
	if t.version < old.version {
		return nil
	}
	if bytes.Equal(old.pem, t.pem) {
		if _, err := os.Stat(filepath.Join(c.cfg.Dir, trustFile)); err == nil {
			return nil
		}
	}
	if err := WriteFile(filepath.Join(c.cfg.Dir, trustFile), t.pem); err != nil {
		return err
	}
	c.trust.Store(t)
	c.cfg.Log.Info("trusted authorities written", "authorities", len(t.certs))
	return nil
}

// Signer is the authority that issues here; nil on a worker.
func (c *Certificates) Signer() *Authority {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ca
}

// AskFrom sets who signs where no authority is held.
func (c *Certificates) AskFrom(i Issuer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.issuer = i
}

// Freeze keeps Refresh from writing: other keys are about to be installed in the
// folder, which the next OpenCertificates reads. Freeze(false) takes it back.
func (c *Certificates) Freeze(on bool) { c.frozen.Store(on) }

// Refresh renews the certificate where that is due. Calling it again is free.
func (c *Certificates) Refresh(ctx context.Context, now time.Time) error {
	if c.frozen.Load() {
		return nil
	}
	var hosts []string
	if c.cfg.Role == model.NodeMember && c.cfg.Hosts != nil {
		hosts = nameable(c.cfg.Hosts())
	}
	if pair := c.now.Load(); pair != nil && c.good(pair.Leaf, hosts, now) {
		return nil
	}
	chain, err := c.order(ctx, hosts, now)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(chain, c.key.pem)
	if err != nil {
		return fmt.Errorf("node certificate: %w", err)
	}
	if err := WriteFile(filepath.Join(c.cfg.Dir, "node.crt"), chain); err != nil {
		return err
	}
	c.now.Store(&pair)
	c.cfg.Log.Info("node certificate issued", "hosts", hosts, "not_after", pair.Leaf.NotAfter, "authority", c.Authority())
	return nil
}

// order has a certificate made, here or elsewhere.
func (c *Certificates) order(ctx context.Context, hosts []string, now time.Time) ([]byte, error) {
	c.mu.Lock()
	ca, issuer := c.ca, c.issuer
	c.mu.Unlock()
	if ca != nil {
		return ca.Sign(Order{ID: c.cfg.ID, Role: c.cfg.Role, Hosts: hosts, Key: c.key.private.Public()}, now)
	}
	if issuer == nil {
		return nil, errors.New("the node certificate is due for renewal and no member to ask is known")
	}
	request, err := c.key.Request()
	if err != nil {
		return nil, err
	}
	return issuer(ctx, request)
}

func (c *Certificates) good(leaf *x509.Certificate, hosts []string, now time.Time) bool {
	ca := c.trust.Load().certs[0]
	if leaf == nil || leaf.CheckSignatureFrom(ca) != nil || now.After(leaf.NotAfter.Add(-nodeLife/3)) || now.Before(leaf.NotBefore) {
		return false
	}
	if p, err := peerOf(leaf); err != nil || p.ID != c.cfg.ID || p.Role != c.cfg.Role {
		return false
	}
	return !slices.ContainsFunc(hosts, func(h string) bool { return leaf.VerifyHostname(h) != nil })
}

// Run looks after the certificate until ctx ends.
func (c *Certificates) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		if err := c.Refresh(ctx, time.Now()); err != nil && ctx.Err() == nil {
			c.cfg.Log.Warn("node certificate not renewed, trying again in a minute", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// ServerTLS is the configuration of what people and programs connect to.
func (c *Certificates) ServerTLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.choose(hello, time.Now()), nil
		},
	}
}

// Dir is where the keys are.
func (c *Certificates) Dir() string { return c.cfg.Dir }
