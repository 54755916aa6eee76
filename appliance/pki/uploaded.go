package pki

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/skerryhq/skerry/raft/model"
)

// The bounds of an upload.
const (
	maxUpload  = 64 << 10 // bytes of PEM, chain and key each
	maxChain   = 8        // certificates
	minRSABits = 2048
)

const keyPurpose = "server-key"

// Uploaded is a certificate that people had made, checked and usable.
type Uploaded struct {
	Chain []byte // PEM as given, without what stood between the blocks
	Key   []byte // PEM, clear; seal it before it leaves the process
	pair  tls.Certificate
}

// Info says what a certificate is for.
type Info struct {
	Uploaded            bool // false: issued by the cluster's own authority
	Subject, Issuer     string
	Names               []string // host names first, then addresses
	NotBefore, NotAfter time.Time
	Fingerprint         string // sha256:<hex>
}

func bad(field, code, format string, args ...any) error {
	return model.Errorf(model.KindInvalid, code, format, args...).At(field)
}

// ParseUploaded checks a certificate with its chain and its key for use on the
// control plane's port: that they are whole, belong together, are valid now, and
// are for a server with a name. The errors are sentences for the person who
// uploads, of model.KindInvalid, with the field certificate or key.
func ParseUploaded(chain, key []byte, now time.Time) (*Uploaded, error) {
	certs, cleaned, err := parseChain(chain)
	if err != nil {
		return nil, err
	}
	signer, keyPEM, err := parseKey(key)
	if err != nil {
		return nil, err
	}
	leaf := certs[0]
	if !sameKey(leaf, signer) {
		for i, c := range certs[1:] {
			if sameKey(c, signer) {
				return nil, bad("certificate", "chain_order", "the key belongs to certificate %d of the file, %q; put the server's own certificate first and those of its issuers after it", i+2, c.Subject.CommonName)
			}
		}
		return nil, bad("key", "key_mismatch", "the key does not belong to the certificate of %s; upload the key that the certificate was requested with", called(leaf))
	}
	if err := checkLeaf(leaf, now); err != nil {
		return nil, err
	}
	for i, c := range certs[1:] {
		if err := certs[i].CheckSignatureFrom(c); err != nil {
			return nil, bad("certificate", "chain_broken", "certificate %d of the file (%s) did not sign the one before it (%s); give each certificate's issuer right after it, in that order, and nothing else", i+2, called(c), called(certs[i]))
		}
		if now.After(c.NotAfter) {
			return nil, bad("certificate", "chain_expired", "the issuer's certificate %s in the file ended on %s; take the chain of today from whoever issued the certificate", called(c), day(c.NotAfter))
		}
	}
	u := &Uploaded{Chain: cleaned, Key: keyPEM}
	if u.pair, err = tls.X509KeyPair(cleaned, keyPEM); err != nil {
		return nil, bad("certificate", "certificate_invalid", "certificate and key cannot be used together: %v", err)
	}
	return u, nil
}

// parseChain reads every certificate of a PEM text.
func parseChain(text []byte) ([]*x509.Certificate, []byte, error) {
	if len(text) > maxUpload {
		return nil, nil, bad("certificate", "certificate_too_large", "the certificate file has %d bytes; a chain has at most %d", len(text), maxUpload)
	}
	var certs []*x509.Certificate
	var cleaned bytes.Buffer
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		switch {
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return nil, nil, bad("certificate", "certificate_is_key", "the certificate file holds a private key; give the key apart from the certificate")
		case block.Type == "CERTIFICATE REQUEST":
			return nil, nil, bad("certificate", "certificate_is_request", "this is a request for a certificate; send it to a certificate authority and upload what it answers")
		case block.Type != "CERTIFICATE":
			return nil, nil, bad("certificate", "certificate_invalid", "the certificate file holds a block of type %.40q; give certificates only", block.Type)
		case len(certs) == maxChain:
			return nil, nil, bad("certificate", "certificate_too_large", "the file holds more than %d certificates; give the server's own and those of its issuers", maxChain)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, nil, bad("certificate", "certificate_invalid", "certificate %d of the file is damaged: %v", len(certs)+1, err)
		}
		certs = append(certs, c)
		_ = pem.Encode(&cleaned, &pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes}) // a buffer takes everything
	}
	if len(certs) == 0 {
		return nil, nil, bad("certificate", "certificate_invalid", "no certificate was found; give PEM, which begins with -----BEGIN CERTIFICATE-----")
	}
	return certs, cleaned.Bytes(), nil
}

// parseKey reads the one key of a PEM text.
func parseKey(text []byte) (crypto.Signer, []byte, error) {
	if len(text) > maxUpload {
		return nil, nil, bad("key", "key_invalid", "the key file has %d bytes; a key has at most %d", len(text), maxUpload)
	}
	var block *pem.Block
	for rest := text; ; {
		if block, rest = pem.Decode(rest); block == nil {
			return nil, nil, bad("key", "key_invalid", "no private key was found; give PEM, which begins with -----BEGIN PRIVATE KEY----- or -----BEGIN EC or RSA PRIVATE KEY-----")
		}
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			break // what stands before it, such as the parameters of a curve, says nothing new
		}
	}
	if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
		return nil, nil, bad("key", "key_encrypted", "the key is protected by a passphrase, which a server cannot ask for; remove it with: openssl pkey -in KEY -out PLAIN")
	}
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		err = fmt.Errorf("%.40q is no kind of key that a server can use", block.Type)
	}
	if err != nil {
		return nil, nil, bad("key", "key_invalid", "the key cannot be read: %v", err)
	}
	if k, ok := key.(*rsa.PrivateKey); ok && k.N.BitLen() < minRSABits {
		return nil, nil, bad("key", "key_weak", "the RSA key has %d bits, which clients refuse; use %d or more, or an EC key", k.N.BitLen(), minRSABits)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, nil, bad("key", "key_invalid", "the key cannot sign; use an RSA, EC or Ed25519 key")
	}
	return signer, pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}), nil
}

// checkLeaf judges the server's own certificate.
func checkLeaf(leaf *x509.Certificate, now time.Time) error {
	switch {
	case now.After(leaf.NotAfter):
		return bad("certificate", "certificate_expired", "the certificate of %s ended on %s; upload its successor", called(leaf), day(leaf.NotAfter))
	case now.Before(leaf.NotBefore):
		return bad("certificate", "certificate_not_yet", "the certificate of %s is valid from %s on; upload it then, or check this host's clock (%s)", called(leaf), day(leaf.NotBefore), day(now))
	case len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) > 0 && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny):
		return bad("certificate", "certificate_not_server", "the certificate of %s is not for servers (its extended key usage lacks serverAuth); ask its issuer for a server certificate", called(leaf))
	case len(leaf.DNSNames)+len(leaf.IPAddresses) == 0:
		return bad("certificate", "certificate_nameless", "the certificate of %s names no host (subjectAltName is empty), so no client would accept it; ask for one with the names and addresses that people use", called(leaf))
	}
	return nil
}

func sameKey(c *x509.Certificate, key crypto.Signer) bool {
	pub, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && pub.Equal(c.PublicKey)
}

// called is how people know a certificate.
func called(c *x509.Certificate) string {
	switch {
	case len(c.DNSNames) > 0:
		return fmt.Sprintf("%.100s", c.DNSNames[0])
	case len(c.IPAddresses) > 0:
		return c.IPAddresses[0].String()
	}
	return fmt.Sprintf("%.100q", c.Subject.String())
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// Sealed is what the state keeps of an upload.
func (u *Uploaded) Sealed(box *Box) (*model.ServerCertificate, error) {
	key, err := box.Seal(keyPurpose, u.Key)
	if err != nil {
		return nil, err
	}
	return &model.ServerCertificate{Chain: u.Chain, Key: key, NotAfter: u.pair.Leaf.NotAfter.UTC(), Names: namesOf(u.pair.Leaf)}, nil
}

// Unseal reads what the state keeps. Time is not judged again: what has ended
// meanwhile is not served. Errors: ErrSeal.
func Unseal(c *model.ServerCertificate, box *Box) (*Uploaded, error) {
	key, err := box.Open(keyPurpose, c.Key)
	if err != nil {
		return nil, fmt.Errorf("the uploaded certificate's key: %w", err)
	}
	pair, err := tls.X509KeyPair(c.Chain, key)
	if err != nil {
		return nil, fmt.Errorf("the uploaded certificate: %w", err)
	}
	return &Uploaded{Chain: c.Chain, Key: key, pair: pair}, nil
}

// namesOf lists host names and then addresses.
func namesOf(leaf *x509.Certificate) []string {
	names := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

func infoOf(pair *tls.Certificate, uploaded bool) Info {
	leaf := pair.Leaf
	sum := sha256.Sum256(leaf.Raw)
	return Info{
		Uploaded: uploaded, Subject: leaf.Subject.String(), Issuer: leaf.Issuer.String(), Names: namesOf(leaf),
		NotBefore: leaf.NotBefore.UTC(), NotAfter: leaf.NotAfter.UTC(), Fingerprint: "sha256:" + hex.EncodeToString(sum[:]),
	}
}

// InfoOf describes a certificate that the state keeps. It needs no key.
func InfoOf(c *model.ServerCertificate) (Info, error) {
	certs, _, err := parseChain(c.Chain)
	if err != nil {
		return Info{}, fmt.Errorf("the uploaded certificate: %w", err)
	}
	return infoOf(&tls.Certificate{Leaf: certs[0]}, true), nil
}

// Own describes the certificate that the cluster's own authority issued to this
// node.
func (c *Certificates) Own() Info { return infoOf(c.now.Load(), false) }

// Use serves an uploaded certificate from the next connection on, wherever it
// covers the name that the client came by; nil serves the node's own only.
func (c *Certificates) Use(u *Uploaded) { c.uploaded.Store(u) }

// choose is the certificate for one connection: the uploaded one where it covers
// the name asked for, or the address that a client without a name connected to;
// else the node's own. One that has ended is never served.
func (c *Certificates) choose(hello *tls.ClientHelloInfo, now time.Time) *tls.Certificate {
	u := c.uploaded.Load()
	if u == nil || now.After(u.pair.Leaf.NotAfter) {
		return c.now.Load()
	}
	name := hello.ServerName
	if name == "" && hello.Conn != nil {
		name, _, _ = net.SplitHostPort(hello.Conn.LocalAddr().String())
	}
	// A key of a kind that the client does not know would only end the connection.
	if name == "" || u.pair.Leaf.VerifyHostname(name) != nil || hello.SupportsCertificate(&u.pair) != nil {
		return c.now.Load()
	}
	return &u.pair
}
