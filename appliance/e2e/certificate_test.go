package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/apptest"
)

// companyCertificate makes an authority of a company's own and a certificate of
// it for the names, and writes them as files.
func companyCertificate(t *testing.T, names ...string) (ca, cert, key string) {
	t.Helper()
	dir := t.TempDir()
	make1 := func(c, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if by == nil {
			parent, by = c, k
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, k.Public(), by)
		if err != nil {
			t.Fatal(err)
		}
		out, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return out, k
	}
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	base := x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	root := base
	root.Subject, root.IsCA, root.BasicConstraintsValid, root.KeyUsage = pkix.Name{CommonName: "Company CA"}, true, true, x509.KeyUsageCertSign
	rootCert, rootKey := make1(&root, nil, nil)
	leaf := base
	leaf.Subject, leaf.ExtKeyUsage = pkix.Name{CommonName: names[0]}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, n)
		}
	}
	leafCert, leafKey := make1(&leaf, rootCert, rootKey)
	der, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	return write("ca.pem", "CERTIFICATE", rootCert.Raw), write("cert.pem", "CERTIFICATE", leafCert.Raw), write("key.pem", "PRIVATE KEY", der)
}

// The names of --san are in the node's own certificate; an uploaded one is
// served where it covers the name, outlives a restart, and can be taken back.
func TestCertificates(t *testing.T) {
	n := apptest.New(t)
	n.Daemon("--san", "registry.example.com", "--san", "203.0.113.9", "--san", "*.wild.example.com")
	n.OK("init")
	own := servedNames(t, n.Host, "")
	for _, want := range []string{"registry.example.com", "203.0.113.9", "*.wild.example.com", "192.0.2.1", "127.0.0.1", "localhost", "n1"} {
		if !slices.Contains(own, want) {
			t.Errorf("the node's certificate does not name %s: %v", want, own)
		}
	}

	ca, cert, key := companyCertificate(t, "cloud.example.com", "192.0.2.1")
	_, _, otherKey := companyCertificate(t, "cloud.example.com")
	n.Refused("does not belong to the certificate", "certificate", "set", "--cert", cert, "--key", otherKey)
	n.Refused("private key", "certificate", "set", "--cert", key, "--key", key)
	if out := n.OK("certificate", "show"); !strings.Contains(out, "own authority") {
		t.Errorf("before an upload:\n%s", out)
	}
	n.OK("certificate", "set", "--cert", cert, "--key", key)
	uploaded := func(name string) bool { return slices.Contains(servedNames(t, n.Host, name), "cloud.example.com") }
	n.Eventually(5*time.Second, "the uploaded certificate is served", func() bool { return uploaded("cloud.example.com") })
	// curl, which trusts the company's authority alone, now accepts name and address.
	for _, where := range []string{"https://cloud.example.com:7443/healthz", "https://192.0.2.1:7443/healthz"} {
		n.Outside.Run("curl", "-fsS", "--cacert", ca, "--resolve", "cloud.example.com:7443:192.0.2.1", where)
	}
	if uploaded("registry.example.com") || uploaded("n1") {
		t.Error("a name that the upload does not cover is served with it")
	}
	// Whoever signed in by the cluster's own authority goes on undisturbed.
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("correct horse battery staple"), 0o600); err != nil {
		t.Fatal(err)
	}
	n.OK("user", "create", "ada", "--member", "default=developer", "--password-file", password)
	var info struct {
		CaFingerprint string `json:"caFingerprint"`
	}
	n.JSON(&info, "registry", "info")
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	n.OK("login", "https://192.0.2.1:7443", "-u", "ada", "--password-file", password, "--ca-fingerprint", info.CaFingerprint)
	n.OK("ps")
	n.OK("logout")
	n.Kill()
	n.Daemon()
	n.Eventually(5*time.Second, "the uploaded certificate is served after a restart", func() bool { return uploaded("cloud.example.com") })
	if out := n.OK("certificate", "show"); !strings.Contains(out, "uploaded") || !strings.Contains(out, "Company CA") {
		t.Errorf("after an upload:\n%s", out)
	}
	if out := n.OK("event", "--tenant", "*"); !strings.Contains(out, "uploaded certificate for cloud.example.com") || !strings.Contains(out, "in less than a day") {
		t.Errorf("the events do not tell of the upload and of its near end:\n%s", out)
	}
	// No clear key on the disk, be it log or snapshot.
	clear, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(clear)
	secret := block.Bytes[len(block.Bytes)-32:] // the key's number stands near the end
	files, err := filepath.Glob(filepath.Join(n.DataDir, "raft", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files of the state: %v", err)
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && (bytes.Contains(b, secret) || bytes.Contains(b, bytes.Split(clear, []byte("\n"))[1])) {
			t.Errorf("%s holds the key", f)
		}
	}
	n.OK("certificate", "reset")
	n.Eventually(5*time.Second, "the cluster's own certificate is served again", func() bool { return !uploaded("cloud.example.com") })
	n.Refused("no certificate was uploaded", "certificate", "reset")
}

// Who speaks plain HTTP to the port is sent to HTTPS, whatever he asks for.
func TestPlainHTTPIsRedirected(t *testing.T) {
	n := apptest.Start(t)
	for _, c := range [][]string{
		{"GET", "/"}, {"HEAD", "/"}, {"GET", "/v2/"}, {"HEAD", "/v2/default/app/manifests/latest"}, {"POST", "/v2/default/app/blobs/uploads/?mount=x"}, {"GET", "/v2/_catalog?n=5"}, {"GET", "/registry/token?service=skerry"},
	} {
		args := []string{"curl", "-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}"}
		if c[0] == "HEAD" {
			args = append(args, "-I")
		} else {
			args = append(args, "-X", c[0])
		}
		want := "308 https://192.0.2.1:7443" + c[1]
		if out := n.Outside.Run(append(args, "http://192.0.2.1:7443"+c[1])...); strings.TrimSpace(out) != want {
			t.Errorf("%s %s: %q, want %q", c[0], c[1], out, want)
		}
	}
}
