package pki_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/pki"
	"github.com/skerryhq/skerry/raft/model"
)

// issued is one certificate of a made-up authority.
type issued struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func (i issued) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw}))
}

func (i issued) keyPEM(t *testing.T) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// issue signs a certificate by parent; nil signs itself.
func issue(t *testing.T, parent *issued, key crypto.Signer, change func(*x509.Certificate)) issued {
	t.Helper()
	now := time.Now()
	if key == nil {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		key = k
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "cloud.example.com"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(90 * 24 * time.Hour),
		DNSNames: []string{"cloud.example.com", "*.apps.example.com"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(c)
	}
	by := &issued{cert: c, key: key}
	if parent != nil {
		by = parent
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by.cert, key.Public(), by.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return issued{cert, key}
}

func authority(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.Subject.CommonName, c.IsCA, c.BasicConstraintsValid, c.KeyUsage = name, true, true, x509.KeyUsageCertSign
		c.DNSNames, c.IPAddresses, c.ExtKeyUsage = nil, nil, nil
	}
}

func TestUploadsAreJudgedInSentences(t *testing.T) {
	root := issue(t, nil, nil, authority("Root"))
	middle := issue(t, &root, nil, authority("Middle"))
	leaf := issue(t, &middle, nil, nil)
	other := issue(t, &middle, nil, nil)
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaLeaf := issue(t, &middle, weak, nil)
	edLeaf := issue(t, &middle, ed, nil)
	ecDER, err := x509.MarshalECPrivateKey(leaf.key.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	sec1 := "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: ecDER}))
	pkcs1 := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(weak)}))
	self := issue(t, nil, nil, nil)
	key := leaf.keyPEM(t)

	for name, c := range map[string]struct{ chain, key string }{
		"alone":               {leaf.pem(), key},
		"with its issuers":    {"leaf first\n" + leaf.pem() + middle.pem() + root.pem(), key},
		"SEC 1 key":           {leaf.pem() + middle.pem(), sec1},
		"PKCS 1 key":          {rsaLeaf.pem(), pkcs1},
		"RSA in PKCS 8":       {rsaLeaf.pem(), rsaLeaf.keyPEM(t)},
		"Ed25519":             {edLeaf.pem(), edLeaf.keyPEM(t)},
		"signed by itself":    {self.pem(), self.keyPEM(t)},
		"words around blocks": {"Bag Attributes\n" + leaf.pem() + "\nsubject=x\n", "Key Attributes\n" + key},
	} {
		u, err := pki.ParseUploaded([]byte(c.chain), []byte(c.key), time.Now())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if strings.Contains(string(u.Chain), "Attributes") {
			t.Errorf("%s: what stands between the blocks is kept", name)
		}
	}

	variant := func(change func(*x509.Certificate)) issued { return issue(t, &middle, leaf.key, change) }
	expired := variant(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	future := variant(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) })
	client := variant(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	nameless := variant(func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, nil })
	oldRoot := issue(t, nil, nil, func(c *x509.Certificate) { authority("Old")(c); c.NotAfter = time.Now().Add(-time.Hour) })
	ofOld := issue(t, &oldRoot, leaf.key, nil)
	small, err := x509.ParsePKCS1PrivateKey(smallRSA(t))
	if err != nil {
		t.Fatal(err)
	}
	smallPEM := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(small)}))

	for _, c := range []struct{ what, chain, key, field, code, want string }{
		{"nothing", "", key, "certificate", "certificate_invalid", "BEGIN CERTIFICATE"},
		{"no key", leaf.pem(), "", "key", "key_invalid", "BEGIN PRIVATE KEY"},
		{"DER", string(leaf.cert.Raw), key, "certificate", "certificate_invalid", "PEM"},
		{"exchanged", key, leaf.pem(), "certificate", "certificate_is_key", "apart"},
		{"key in one file", leaf.pem() + key, key, "certificate", "certificate_is_key", "apart"},
		{"request", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", key, "certificate", "certificate_is_request", "certificate authority"},
		{"other block", "-----BEGIN OPENSSH PUBLIC-----\nAAAA\n-----END OPENSSH PUBLIC-----\n", key, "certificate", "certificate_invalid", "OPENSSH"},
		{"damaged", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", key, "certificate", "certificate_invalid", "damaged"},
		{"not its key", leaf.pem(), other.keyPEM(t), "key", "key_mismatch", "cloud.example.com"},
		{"wrong order", middle.pem() + leaf.pem(), key, "certificate", "chain_order", "first"},
		{"chain of others", leaf.pem() + root.pem(), key, "certificate", "chain_broken", "did not sign"},
		{"expired", expired.pem(), key, "certificate", "certificate_expired", "successor"},
		{"not yet", future.pem(), key, "certificate", "certificate_not_yet", "clock"},
		{"for clients", client.pem(), key, "certificate", "certificate_not_server", "serverAuth"},
		{"no names", nameless.pem(), key, "certificate", "certificate_nameless", "subjectAltName"},
		{"old chain", ofOld.pem() + oldRoot.pem(), key, "certificate", "chain_expired", "ended"},
		{"encrypted", leaf.pem(), "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", "key", "key_encrypted", "openssl"},
		{"encrypted, old form", leaf.pem(), "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n", "key", "key_encrypted", "openssl"},
		{"DSA", leaf.pem(), "-----BEGIN DSA PRIVATE KEY-----\nAAAA\n-----END DSA PRIVATE KEY-----\n", "key", "key_invalid", "DSA"},
		{"small RSA", leaf.pem(), smallPEM, "key", "key_weak", "1024"},
		{"huge", strings.Repeat("x", 65<<10), key, "certificate", "certificate_too_large", "bytes"},
		{"huge key", leaf.pem(), strings.Repeat("x", 65<<10), "key", "key_invalid", "bytes"},
		{"many", strings.Repeat(leaf.pem(), 9), key, "certificate", "certificate_too_large", "more than 8"},
	} {
		_, err := pki.ParseUploaded([]byte(c.chain), []byte(c.key), time.Now())
		e, ok := errors.AsType[*model.Error](err)
		if !ok {
			t.Errorf("%s: accepted or no model.Error: %v", c.what, err)
			continue
		}
		if e.Kind != model.KindInvalid || e.Code != c.code || e.Field != c.field || !strings.Contains(e.Detail, c.want) {
			t.Errorf("%s: %s %s %q, want %s %s with %q", c.what, e.Field, e.Code, e.Detail, c.field, c.code, c.want)
		}
	}
}

// smallRSA is a key that is too short to be made today without being asked for.
func smallRSA(t *testing.T) []byte {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0")
	k, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	return x509.MarshalPKCS1PrivateKey(k)
}

// served is the fingerprint-like serial of what a listener shows for a name.
func served(t *testing.T, certs *pki.Certificates, name string, versions ...uint16) *x509.Certificate {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", certs.ServerTLS())
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err == nil {
			_ = c.(*tls.Conn).Handshake() // the client sees how it went
			_ = c.Close()
		}
	}()
	cfg := &tls.Config{ServerName: name, InsecureSkipVerify: true} //nolint:gosec // the test looks at the certificate itself
	if len(versions) > 0 {
		cfg.MaxVersion = versions[0]
	}
	c, err := tls.Dial("tcp", ln.Addr().String(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0]
}

func TestUploadedIsServedWhereItCoversTheName(t *testing.T) {
	dir := t.TempDir()
	box, err := pki.OpenBox(filepath.Join(dir, "seal.key"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := pki.OpenAuthority(dir, box, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	certs, err := pki.OpenCertificates(pki.Config{Dir: dir, ID: "n1", Hosts: func() []string { return []string{"n1", "127.0.0.1"} }}, ca)
	if err != nil {
		t.Fatal(err)
	}
	leaf := issue(t, nil, nil, nil)
	u, err := pki.ParseUploaded([]byte(leaf.pem()), []byte(leaf.keyPEM(t)), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := u.Sealed(box)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(fmt.Sprintf("%v %+v", sealed, sealed), "PRIVATE KEY") {
		t.Error("the key shows")
	}
	again, err := pki.Unseal(sealed, box)
	if err != nil {
		t.Fatal(err)
	}
	certs.Use(again)
	for name, want := range map[string]bool{
		"cloud.example.com": true, "Cloud.Example.COM": true, "x.apps.example.com": true, "127.0.0.1": true, // by the address connected to
		"a.b.apps.example.com": false, "n1": false, "elsewhere": false,
	} {
		if got := served(t, certs, name).Equal(leaf.cert); got != want {
			t.Errorf("%s: uploaded one served: %t", name, got)
		}
	}
	// Without a name, and an address that the upload does not cover: the node's own.
	alone := issue(t, nil, nil, func(c *x509.Certificate) { c.IPAddresses = nil })
	if u, err = pki.ParseUploaded([]byte(alone.pem()), []byte(alone.keyPEM(t)), time.Now()); err != nil {
		t.Fatal(err)
	}
	certs.Use(u)
	if served(t, certs, "127.0.0.1").Equal(alone.cert) {
		t.Error("an address that is not covered gets the uploaded one")
	}
	// What ends while it is in use gives way to the node's own.
	short := issue(t, nil, nil, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(2 * time.Second) })
	if u, err = pki.ParseUploaded([]byte(short.pem()), []byte(short.keyPEM(t)), time.Now()); err != nil {
		t.Fatal(err)
	}
	certs.Use(u)
	deadline := time.Now().Add(10 * time.Second)
	for served(t, certs, "cloud.example.com").Equal(short.cert) {
		if time.Now().After(deadline) {
			t.Fatal("a certificate that has ended is served")
		}
		<-time.After(100 * time.Millisecond)
	}
	certs.Use(nil)
	if got := served(t, certs, "cloud.example.com"); got.Equal(leaf.cert) || got.Subject.CommonName != "n1" {
		t.Errorf("after a reset: %s", got.Subject)
	}
	if info, own := certs.Own(), served(t, certs, "n1"); info.Uploaded || info.Names[0] != own.DNSNames[0] || !strings.HasPrefix(info.Fingerprint, "sha256:") {
		t.Errorf("%+v", info)
	}
	info, err := pki.InfoOf(sealed)
	if err != nil || !info.Uploaded || info.Names[0] != "cloud.example.com" || info.Names[2] != "127.0.0.1" {
		t.Errorf("%+v, %v", info, err)
	}
}
