// Package pki owns the keys of a node: the seal key, the cluster's certificate
// authority, the node's own certificate and the one that people uploaded. It
// never talks to the network and never prints a key. The composition root opens it; the API's listener serves
// its certificate. Authority and Certificates are safe for concurrent use.
package pki

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"
)

const (
	caLife   = 10 * 365 * 24 * time.Hour
	nodeLife = 90 * 24 * time.Hour
	backdate = time.Hour // clocks of hosts differ
)

// Authority is the cluster's certificate authority.
type Authority struct {
	CertPEM []byte
	KeyPEM  []byte // clear; seal it before it leaves the process
	cert    *x509.Certificate
	key     *ecdsa.PrivateKey
}

// Fingerprint is "sha256:" and the hex digest of the certificate, the form
// that people compare and `skerry login --ca-fingerprint` takes.
func (a *Authority) Fingerprint() string {
	sum := sha256.Sum256(a.cert.Raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Derive makes a secret of 32 bytes for a purpose, such as "registry token",
// from the authority's key: the same on every member, and no way back to the key.
func (a *Authority) Derive(purpose string) ([]byte, error) {
	secret, err := a.key.Bytes()
	if err != nil {
		return nil, fmt.Errorf("derive a secret for %s: %w", purpose, err)
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "skerry "+purpose, 32)
	if err != nil {
		return nil, fmt.Errorf("derive a secret for %s: %w", purpose, err)
	}
	return key, nil
}

// OpenAuthority reads the authority from dir (ca.crt, ca.key sealed by box), and
// makes one when there is none.
func OpenAuthority(dir string, box *Box, now time.Time) (*Authority, error) {
	certPEM, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if errors.Is(err, fs.ErrNotExist) {
		a, err := newAuthority(now)
		if err != nil {
			return nil, err
		}
		sealed, err := box.Seal("ca-key", a.KeyPEM)
		if err != nil {
			return nil, err
		}
		// The key first: a certificate without its key would be taken for a whole one.
		if err := writeFile(filepath.Join(dir, "ca.key"), sealed); err != nil {
			return nil, err
		}
		return a, writeFile(filepath.Join(dir, "ca.crt"), a.CertPEM)
	}
	if err != nil {
		return nil, fmt.Errorf("read the CA: %w", err)
	}
	sealed, err := os.ReadFile(filepath.Join(dir, "ca.key"))
	if err != nil {
		return nil, fmt.Errorf("read the CA's key: %w", err)
	}
	keyPEM, err := box.Open("ca-key", sealed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "ca.key"), err)
	}
	return LoadAuthority(certPEM, keyPEM)
}

// LoadAuthority makes an Authority of its PEM forms.
func LoadAuthority(certPEM, keyPEM []byte) (*Authority, error) {
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("the CA's certificate and key: %w", err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return nil, errors.New("the CA's certificate is not one of an EC certificate authority")
	}
	return &Authority{CertPEM: certPEM, KeyPEM: keyPEM, cert: pair.Leaf, key: key}, nil
}

func newAuthority(now time.Time) (*Authority, error) {
	key, keyPEM, err := newKey()
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "Skerry cluster CA " + hex.EncodeToString(serial.Bytes()[:4]), Organization: []string{"Skerry"}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(caLife),
		IsCA:                  true,
		MaxPathLenZero:        true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make the CA: %w", err)
	}
	return LoadAuthority(encode("CERTIFICATE", der), keyPEM)
}

// Issue makes a server and client certificate for the given names and
// addresses, good for 90 days.
func (a *Authority) Issue(name string, hosts []string, now time.Time) (*tls.Certificate, error) {
	certPEM, keyPEM, err := a.issue(name, hosts, now)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	return &pair, err
}

func (a *Authority) issue(name string, hosts []string, now time.Time) (certPEM, keyPEM []byte, err error) {
	key, keyPEM, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name, Organization: []string{"Skerry"}},
		NotBefore:    now.Add(-backdate),
		NotAfter:     now.Add(nodeLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("issue a certificate for %s: %w", name, err)
	}
	return append(encode("CERTIFICATE", der), a.CertPEM...), keyPEM, nil
}

// Certificates serves the node's certificate, which it renews in time, and the
// uploaded one.
type Certificates struct {
	dir   string
	name  string
	hosts func() []string
	ca    *Authority
	log   *slog.Logger
	now   atomic.Pointer[tls.Certificate]
	// uploaded is what people had made; nil: nothing.
	uploaded atomic.Pointer[Uploaded]
}

// OpenCertificates reads the node's certificate from dir (node.crt, node.key)
// and issues a new one when there is none, when it nears its end, when the
// names have changed, or when it is of another authority. hosts gives the
// names and addresses that it must cover.
func OpenCertificates(dir, name string, hosts func() []string, ca *Authority, log *slog.Logger) (*Certificates, error) {
	c := &Certificates{dir: dir, name: name, hosts: hosts, ca: ca, log: log}
	if pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "node.crt"), filepath.Join(dir, "node.key")); err == nil {
		c.now.Store(&pair)
	}
	return c, c.Refresh(time.Now())
}

// Refresh renews the certificate where that is due. Calling it again is free.
func (c *Certificates) Refresh(now time.Time) error {
	hosts := slices.Compact(slices.Sorted(slices.Values(c.hosts())))
	if pair := c.now.Load(); pair != nil && c.good(pair.Leaf, hosts, now) {
		return nil
	}
	certPEM, keyPEM, err := c.ca.issue(c.name, hosts, now)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return fmt.Errorf("node certificate: %w", err)
	}
	if err := writeFile(filepath.Join(c.dir, "node.key"), keyPEM); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(c.dir, "node.crt"), certPEM); err != nil {
		return err
	}
	c.now.Store(&pair)
	c.log.Info("node certificate issued", "hosts", hosts, "not_after", pair.Leaf.NotAfter)
	return nil
}

func (c *Certificates) good(leaf *x509.Certificate, hosts []string, now time.Time) bool {
	if leaf == nil || leaf.CheckSignatureFrom(c.ca.cert) != nil || now.After(leaf.NotAfter.Add(-nodeLife/3)) || now.Before(leaf.NotBefore) {
		return false
	}
	return !slices.ContainsFunc(hosts, func(h string) bool { return leaf.VerifyHostname(h) != nil })
}

// Run looks after the certificate until ctx ends.
func (c *Certificates) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			if err := c.Refresh(now); err != nil {
				c.log.Warn("node certificate not renewed, trying again in a minute", "err", err)
			}
		}
	}
}

// ServerTLS is the configuration of the 7443 listener.
func (c *Certificates) ServerTLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.choose(hello, time.Now()), nil
		},
	}
}

func newKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	return key, encode("PRIVATE KEY", der), nil
}

func newSerial() (*big.Int, error) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	b[0] = b[0]&0x7f | 0x40 // positive, and always of the same length
	return new(big.Int).SetBytes(b), nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
