package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/skerryhq/skerry/raft/model"
)

// nodeDomain is where nodes are named by their ids. The name is what identifies
// a node to another one, so that its addresses may change.
const nodeDomain = ".node.skerry.internal"

// NodeName is the name that a node's certificate carries besides its host names.
func NodeName(id string) string { return id + nodeDomain }

// Order is what a node's certificate is to say.
type Order struct {
	ID    string         // of the node: CN, and NodeName(ID) among the names
	Role  model.NodeRole // OU; empty means member
	Hosts []string       // names and addresses that it serves people under
	Key   crypto.PublicKey
}

// Sign issues a certificate for a node, for servers and clients, good for 90
// days. The reply is PEM: the certificate and the authority's own.
func (a *Authority) Sign(o Order, now time.Time) ([]byte, error) {
	if o.Role == "" {
		o.Role = model.NodeMember
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: o.ID, OrganizationalUnit: []string{string(o.Role)}, Organization: []string{"Skerry"}},
		NotBefore:    now.Add(-backdate),
		NotAfter:     now.Add(nodeLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:     []string{NodeName(o.ID)},
	}
	for _, h := range nameable(o.Hosts) {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if h != NodeName(o.ID) {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, o.Key, a.key)
	if err != nil {
		return nil, fmt.Errorf("issue a certificate for %s: %w", o.ID, err)
	}
	return append(encode("CERTIFICATE", der), a.CertPEM...), nil
}

var hostName = regexp.MustCompile(`^(\*\.)?([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?)(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?)*$`)

// nameable gives the hosts that a certificate can name, each once and sorted.
// One odd name must not cost a node its certificate.
func nameable(hosts []string) []string {
	out := slices.DeleteFunc(slices.Clone(hosts), func(h string) bool {
		return net.ParseIP(h) == nil && (len(h) > 253 || !hostName.MatchString(h))
	})
	slices.Sort(out)
	return slices.Compact(out)
}

// Peer is what a node's certificate says of it.
type Peer struct {
	ID   string
	Role model.NodeRole
	Key  []byte // public key, PKIX DER
}

// peerOf reads a certificate that some authority signed.
func peerOf(leaf *x509.Certificate) (Peer, error) {
	p := Peer{ID: leaf.Subject.CommonName, Key: leaf.RawSubjectPublicKeyInfo}
	if ou := leaf.Subject.OrganizationalUnit; len(ou) == 1 {
		p.Role = model.NodeRole(ou[0])
	}
	if p.ID == "" || p.Role != model.NodeMember && p.Role != model.NodeWorker || leaf.VerifyHostname(NodeName(p.ID)) != nil {
		return p, model.Errorf(model.KindDenied, "certificate_not_node", "the certificate of %s is not one of a node", called(leaf))
	}
	return p, nil
}

// ParseRequest reads a request for a certificate (PEM, PKCS #10), checks that the
// asker holds the key, and gives the key. What else the request says is not
// looked at: the cluster decides what a certificate says.
func ParseRequest(text []byte) (key crypto.PublicKey, der []byte, err error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, nil, bad("request", "request_invalid", "this is no request for a certificate")
	}
	r, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, nil, bad("request", "request_invalid", "the request for a certificate cannot be read: %v", err)
	}
	if err := r.CheckSignature(); err != nil {
		return nil, nil, bad("request", "request_invalid", "the request for a certificate is not signed with its key: %v", err)
	}
	if k, ok := r.PublicKey.(*ecdsa.PublicKey); !ok || k.Curve != elliptic.P256() {
		return nil, nil, bad("request", "request_invalid", "a node's key is an EC key on P-256")
	}
	return r.PublicKey, r.RawSubjectPublicKeyInfo, nil
}

// Key is a node's key pair: its identity, the same for ever.
type Key struct {
	private *ecdsa.PrivateKey
	pem     []byte
	public  []byte
}

// OpenKey reads the node's key (node.key in dir) and makes one when there is
// none. Calling it again gives the same key.
func OpenKey(dir string) (*Key, error) {
	path := filepath.Join(dir, "node.key")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, text, err = newKey(); err != nil {
			return nil, err
		}
		err = WriteFile(path, text)
	}
	if err != nil {
		return nil, fmt.Errorf("the node's key: %w", err)
	}
	return parseNodeKey(path, text)
}

func parseNodeKey(path string, text []byte) (*Key, error) {
	block, _ := pem.Decode(text)
	if block == nil || !strings.HasSuffix(block.Type, "PRIVATE KEY") {
		return nil, fmt.Errorf("%s holds no private key: put back a copy of it, or give the node a new data directory and join it again", path)
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: put back a copy of it, or give the node a new data directory and join it again: %w", path, err)
	}
	private, ok := k.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s holds a key of another kind than a node's", path)
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &Key{private: private, pem: text, public: public}, nil
}

// Public is the public half, PKIX DER: what the state keeps as Node.PublicKey.
func (k *Key) Public() []byte { return k.public }

// Request makes a request for a certificate (PEM), signed with the key.
func (k *Key) Request() ([]byte, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{Organization: []string{"Skerry"}}}, k.private)
	if err != nil {
		return nil, fmt.Errorf("request a certificate: %w", err)
	}
	return encode("CERTIFICATE REQUEST", der), nil
}

// Sign signs a digest (sha256) in ASN.1 form.
func (k *Key) Sign(digest []byte) ([]byte, error) {
	return ecdsa.SignASN1(rand.Reader, k.private, digest)
}

// Save writes the key into dir, where OpenKey finds it.
func (k *Key) Save(dir string) error { return WriteFile(filepath.Join(dir, "node.key"), k.pem) }
