// Package pki owns the keys of a node: the seal key, the cluster's certificate
// authority, the node's own certificate and the one that people uploaded. It
// never talks to the network and never prints a key. The composition root opens it; the API's listener serves
// its certificate. Authority and Certificates are safe for concurrent use.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
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
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// authorityPurpose is the purpose under which an authority's key is sealed, on
// disk and in the state.
const authorityPurpose = "ca-key"

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
func (a *Authority) Fingerprint() string { return Fingerprint(a.cert) }

// Fingerprint is "sha256:" and the hex digest of a certificate.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Pin is the raw sha256 of the authority's certificate, which join tokens carry.
func (a *Authority) Pin() [sha256.Size]byte { return sha256.Sum256(a.cert.Raw) }

// OpenAuthority reads the authority from dir (ca.crt, ca.key sealed by box), and
// makes one when there is none.
func OpenAuthority(dir string, box *Box, now time.Time) (*Authority, error) {
	certPEM, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if errors.Is(err, fs.ErrNotExist) {
		a, err := NewAuthority(now)
		if err != nil {
			return nil, err
		}
		return a, a.save(dir, box)
	}
	if err != nil {
		return nil, fmt.Errorf("read the CA: %w", err)
	}
	sealed, err := os.ReadFile(filepath.Join(dir, "ca.key"))
	if err != nil {
		return nil, fmt.Errorf("read the CA's key: %w", err)
	}
	keyPEM, err := box.Open(authorityPurpose, sealed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "ca.key"), err)
	}
	return LoadAuthority(certPEM, keyPEM)
}

// save writes the authority where OpenAuthority finds it.
func (a *Authority) save(dir string, box *Box) error {
	sealed, err := box.Seal(authorityPurpose, a.KeyPEM)
	if err != nil {
		return err
	}
	// The key first: a certificate without its key would be taken for a whole one.
	if err := WriteFile(filepath.Join(dir, "ca.key"), sealed); err != nil {
		return err
	}
	return WriteFile(filepath.Join(dir, "ca.crt"), a.CertPEM)
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

// NewAuthority makes an authority of its own, good for ten years: the first one
// of a cluster, or the one that replaces it.
func NewAuthority(now time.Time) (*Authority, error) {
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
