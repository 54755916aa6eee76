package pki_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/pki"
	"github.com/skerryhq/skerry/raft/model"
)

func newAuthority(t *testing.T, now time.Time) *pki.Authority {
	t.Helper()
	ca, err := pki.NewAuthority(now)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func newBox(t *testing.T) *pki.Box {
	t.Helper()
	box, err := pki.OpenBox(filepath.Join(t.TempDir(), "seal.key"))
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func open(t *testing.T, dir string, ca *pki.Authority, hosts ...string) *pki.Certificates {
	t.Helper()
	c, err := pki.OpenCertificates(pki.Config{Dir: dir, ID: "n1", Hosts: func() []string { return hosts }}, ca)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// signed makes a certificate for a new key, and gives its chain.
func signed(t *testing.T, ca *pki.Authority, o pki.Order, now time.Time) []*x509.Certificate {
	t.Helper()
	key, err := pki.OpenKey(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	request, err := key.Request()
	if err != nil {
		t.Fatal(err)
	}
	if o.Key, _, err = pki.ParseRequest(request); err != nil {
		t.Fatal(err)
	}
	chain, err := ca.Sign(o, now)
	if err != nil {
		t.Fatal(err)
	}
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

func TestKeyStays(t *testing.T) {
	dir := t.TempDir()
	ca, next := newAuthority(t, time.Now()), newAuthority(t, time.Now())
	first := open(t, dir, ca, "a")
	key, serial := first.Key().Public(), first.Node().Leaf.SerialNumber
	same := open(t, dir, ca, "a")
	if !bytes.Equal(same.Key().Public(), key) || same.Node().Leaf.SerialNumber.Cmp(serial) != 0 {
		t.Fatal("a restart made another key or certificate")
	}
	other := open(t, dir, next, "a", "b")
	if !bytes.Equal(other.Key().Public(), key) || other.Node().Leaf.SerialNumber.Cmp(serial) == 0 || other.Authority() != next.Fingerprint() {
		t.Fatal("the certificate of another authority is not one for the same key")
	}
	if info, err := os.Stat(filepath.Join(dir, "node.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "node.key"), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := pki.OpenKey(dir); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "node.key")) {
		t.Fatalf("a damaged key must be named, got %v", err)
	}
}

// TestOddNames holds that a name which no certificate can carry costs nobody his
// certificate.
func TestOddNames(t *testing.T) {
	ca := newAuthority(t, time.Now())
	c := open(t, t.TempDir(), ca, "fine.example", "no good name!", "müsli", "", strings.Repeat("x", 300), "10.0.0.1", "fe80::1")
	leaf := c.Node().Leaf
	if got := strings.Join(leaf.DNSNames, " "); got != pki.NodeName("n1")+" fine.example" || len(leaf.IPAddresses) != 2 {
		t.Fatalf("%s %v", got, leaf.IPAddresses)
	}
	serial := leaf.SerialNumber
	if err := c.Refresh(t.Context(), time.Now()); err != nil || c.Node().Leaf.SerialNumber.Cmp(serial) != 0 {
		t.Fatalf("it is issued again and again: %v", err)
	}
}

func TestVerify(t *testing.T) {
	now := time.Now()
	ca, other := newAuthority(t, now.Add(-200*24*time.Hour)), newAuthority(t, now)
	c := open(t, t.TempDir(), ca)
	member := pki.Order{ID: "n2", Role: model.NodeMember}
	for name, tc := range map[string]struct {
		shown []*x509.Certificate
		code  string
	}{
		"member":            {signed(t, ca, member, now), ""},
		"worker":            {signed(t, ca, pki.Order{ID: "n3", Role: model.NodeWorker}, now), ""},
		"leaf alone":        {signed(t, ca, member, now)[:1], ""},
		"nothing":           {nil, "no_certificate"},
		"another authority": {signed(t, other, member, now), "other_cluster"},
		"mixed chain":       {append(signed(t, other, member, now)[:1], signed(t, ca, member, now)[1]), "other_cluster"},
		"ended":             {signed(t, ca, member, now.Add(-100*24*time.Hour)), "certificate_expired"},
		"clock back":        {signed(t, ca, member, now.Add(-201*24*time.Hour)), "certificate_expired"},
		"clock ahead":       {signed(t, ca, member, now.Add(48*time.Hour)), ""},
		"the authority":     {signed(t, ca, member, now)[1:], "certificate_not_node"},
		"unknown role":      {signed(t, ca, pki.Order{ID: "n2", Role: "king"}, now), "certificate_not_node"},
		"no id":             {signed(t, ca, pki.Order{Role: model.NodeMember}, now), "certificate_not_node"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := c.Verify(tc.shown, now)
			if model.CodeOf(err) != tc.code {
				t.Fatalf("%+v, %v", p, err)
			}
			if err == nil && (p.ID == "" || p.Role == "" || !bytes.Equal(p.Key, tc.shown[0].RawSubjectPublicKeyInfo)) {
				t.Errorf("%+v", p)
			}
		})
	}
}

func TestRequestRefusals(t *testing.T) {
	key, err := pki.OpenKey(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	good, err := key.Request()
	if err != nil {
		t.Fatal(err)
	}
	if _, der, err := pki.ParseRequest(good); err != nil || !bytes.Equal(der, key.Public()) {
		t.Fatalf("%v", err)
	}
	block, _ := pem.Decode(good)
	block.Bytes[len(block.Bytes)-1] ^= 1
	for name, text := range map[string][]byte{
		"empty": nil, "garbage": []byte("x"), "another kind": newAuthority(t, time.Now()).CertPEM,
		"damaged":        pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: []byte("x")}),
		"badly signed":   pem.EncodeToMemory(block),
		"of no such key": func() []byte { b, _ := pem.Decode(good); b.Bytes[20] ^= 0xff; return pem.EncodeToMemory(b) }(),
	} {
		if _, _, err := pki.ParseRequest(text); model.CodeOf(err) != "request_invalid" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFollow walks through a replacement of the authority as the state tells it.
func TestFollow(t *testing.T) {
	dir, box := t.TempDir(), newBox(t)
	old, err := pki.OpenAuthority(dir, box, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	next := newAuthority(t, time.Now())
	seal := func(a *pki.Authority) model.Sealed {
		s, err := box.Seal("ca-key", a.KeyPEM)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	both := []string{old.Fingerprint(), next.Fingerprint()}
	slices.Sort(both)
	c := open(t, dir, old)
	key := c.Key().Public()
	for i, step := range []struct {
		cl        model.Cluster
		authority string
		trusts    []string
	}{
		{model.Cluster{}, old.Fingerprint(), []string{old.Fingerprint()}}, // no cluster yet
		{model.Cluster{Version: 1, CACert: old.CertPEM, CAKey: seal(old)}, old.Fingerprint(), []string{old.Fingerprint()}},
		{model.Cluster{Version: 2, CACert: old.CertPEM, CAKey: seal(old), Rotation: &model.Rotation{OtherCert: next.CertPEM}}, old.Fingerprint(), both},
		{model.Cluster{Version: 3, CACert: next.CertPEM, CAKey: seal(next), Rotation: &model.Rotation{OtherCert: old.CertPEM}}, next.Fingerprint(), both},
		{model.Cluster{Version: 2, CACert: old.CertPEM, CAKey: seal(old)}, next.Fingerprint(), both}, // the past
		{model.Cluster{Version: 4, CACert: next.CertPEM, CAKey: seal(next)}, next.Fingerprint(), []string{next.Fingerprint()}},
		{model.Cluster{Version: 1, CACert: old.CertPEM, CAKey: seal(old)}, next.Fingerprint(), []string{next.Fingerprint()}}, // the past
	} {
		for range 2 { // the second time changes nothing
			if err := c.Follow(t.Context(), &step.cl, box, time.Now()); err != nil {
				t.Fatalf("step %d: %v", i, err)
			}
			if c.Authority() != step.authority || !slices.Equal(c.Trusts(), step.trusts) {
				t.Fatalf("step %d: issued by %s, trusts %v", i, c.Authority(), c.Trusts())
			}
		}
		// A restart after each step finds the same.
		ca, err := pki.OpenAuthority(dir, box, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		again := open(t, dir, ca)
		if again.Authority() != step.authority || !slices.Equal(again.Trusts(), step.trusts) || !bytes.Equal(again.Key().Public(), key) {
			t.Fatalf("step %d, restarted: issued by %s, trusts %v", i, again.Authority(), again.Trusts())
		}
	}
	bad := model.Cluster{Version: 9, CACert: old.CertPEM, CAKey: []byte("sealed by nobody")}
	if err := c.Follow(t.Context(), &bad, box, time.Now()); err == nil || c.Authority() != next.Fingerprint() {
		t.Fatalf("a key that does not open: %v", err)
	}
}

// TestInstall holds that what a joining node is given is there whole or not at
// all, whatever cuts it short, and that its own key stays.
func TestInstall(t *testing.T) {
	box, ca := newBox(t), newAuthority(t, time.Now())
	sealed, err := box.Seal("ca-key", ca.KeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "pki")
	own, err := pki.OpenBox(filepath.Join(dir, "seal.key"))
	if err != nil {
		t.Fatal(err)
	}
	first, err := pki.OpenAuthority(dir, own, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key := open(t, dir, first).Key().Public()
	public, _, err := pki.ParseRequest(func() []byte { k, _ := pki.OpenKey(dir); r, _ := k.Request(); return r }())
	if err != nil {
		t.Fatal(err)
	}
	chain, err := ca.Sign(pki.Order{ID: "n1", Key: public}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	m := pki.Material{Trust: ca.CertPEM, Certificate: chain, SealKey: box.Key(), AuthorityKey: sealed}
	if err := pki.Install(dir, pki.Material{Trust: []byte("garbage")}); err == nil {
		t.Fatal("garbage was installed")
	}
	if got := open(t, dir, first); got.Authority() != first.Fingerprint() {
		t.Fatal("a refused install changed something")
	}
	if err := pki.Install(dir, m); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		b, err := pki.OpenBox(filepath.Join(dir, "seal.key"))
		if err != nil {
			t.Fatal(err)
		}
		a, err := pki.OpenAuthority(dir, b, time.Now())
		if err != nil || a.Fingerprint() != ca.Fingerprint() {
			t.Fatal(err)
		}
		c := open(t, dir, a)
		if !bytes.Equal(c.Key().Public(), key) || !bytes.Equal(c.Node().Certificate[0], mustDER(t, chain)) {
			t.Fatal("another key or certificate is used")
		}
		left, err := filepath.Glob(dir + ".*")
		if err != nil || len(left) > 0 {
			t.Fatalf("%v is left over", left)
		}
		for _, f := range []string{"seal.key", "ca.key", "node.key", "node.crt", "ca.crt"} {
			if info, err := os.Stat(filepath.Join(dir, f)); err != nil || info.Mode().Perm() != 0o600 {
				t.Fatalf("%s: %v", f, err)
			}
		}
	}
	check()
	// Cut short between the renames: the old folder is still there, or gone.
	for _, gone := range []bool{false, true} {
		if err := os.CopyFS(dir+".whole", os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if !gone {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "node.key"), []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, f := range []string{"seal.key", "ca.key", "node.key", "node.crt", "ca.crt", "trust.pem"} { // CopyFS knows no modes
			if err := os.Chmod(filepath.Join(dir+".whole", f), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := pki.Repair(dir); err != nil {
			t.Fatal(err)
		}
		check()
	}
	if err := pki.Repair(dir); err != nil { // nothing to do
		t.Fatal(err)
	}
	check()
}

func mustDER(t *testing.T, text []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatal("no PEM")
	}
	return block.Bytes
}

// TestWorkerWithoutAuthority holds that a worker has no authority of its own,
// says what is wrong when its files are gone, and asks for its renewal.
func TestWorkerWithoutAuthority(t *testing.T) {
	ca, dir := newAuthority(t, time.Now()), filepath.Join(t.TempDir(), "pki")
	conf := pki.Config{Dir: dir, ID: "w1", Role: model.NodeWorker}
	if _, err := pki.OpenCertificates(conf, nil); err == nil {
		t.Fatal("a worker without anything opened")
	}
	key, err := pki.OpenKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(request []byte, now time.Time) []byte {
		public, _, err := pki.ParseRequest(request)
		if err != nil {
			t.Fatal(err)
		}
		chain, err := ca.Sign(pki.Order{ID: "w1", Role: model.NodeWorker, Key: public}, now)
		if err != nil {
			t.Fatal(err)
		}
		return chain
	}
	request, err := key.Request()
	if err != nil {
		t.Fatal(err)
	}
	if err := pki.Install(dir, pki.Material{Trust: ca.CertPEM, Certificate: sign(request, time.Now())}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "ca.key")); err == nil {
		t.Fatal("a worker has the authority's key")
	}
	c, err := pki.OpenCertificates(conf, nil)
	if err != nil {
		t.Fatal(err)
	}
	soon := time.Now().Add(70 * 24 * time.Hour)
	if err := c.Refresh(t.Context(), soon); err == nil {
		t.Fatal("it was renewed without anybody to ask")
	}
	c.AskFrom(func(_ context.Context, request []byte) ([]byte, error) { return sign(request, soon), nil })
	before := c.Node().Leaf.SerialNumber
	if err := c.Refresh(t.Context(), soon); err != nil || c.Node().Leaf.SerialNumber.Cmp(before) == 0 {
		t.Fatalf("not renewed: %v", err)
	}
	// An answer for another key is not taken.
	c.AskFrom(func(context.Context, []byte) ([]byte, error) {
		other, err := pki.OpenKey(t.TempDir())
		if err != nil {
			return nil, err
		}
		r, err := other.Request()
		if err != nil {
			return nil, err
		}
		return sign(r, soon), nil
	})
	before = c.Node().Leaf.SerialNumber
	if err := c.Refresh(t.Context(), soon.Add(70*24*time.Hour)); err == nil || c.Node().Leaf.SerialNumber.Cmp(before) != 0 {
		t.Fatal("a certificate for another key was taken")
	}
}
