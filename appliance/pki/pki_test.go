package pki_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/pki"
)

func TestBoxSealsForOnePurpose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys", "seal.key")
	box, err := pki.OpenBox(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("seal key: %v, %v", info, err)
	}
	sealed, err := box.Seal("ca-key", []byte("hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte("hunter2")) || strings.Contains(fmt.Sprintf("%v %+v %s %#v", sealed, sealed, sealed, sealed), "hunter2") {
		t.Fatal("the secret shows")
	}
	again, err := pki.OpenBox(path) // as after a restart
	if err != nil {
		t.Fatal(err)
	}
	if clear, err := again.Open("ca-key", sealed); err != nil || string(clear) != "hunter2" {
		t.Fatalf("got %q, %v", clear, err)
	}
	if _, err := again.Open("registry", sealed); !errors.Is(err, pki.ErrSeal) {
		t.Fatalf("another purpose: got %v", err)
	}
	sealed[len(sealed)-1] ^= 1
	if _, err := again.Open("ca-key", sealed); !errors.Is(err, pki.ErrSeal) {
		t.Fatalf("damaged: got %v", err)
	}
	if _, err := again.Open("ca-key", nil); !errors.Is(err, pki.ErrSeal) {
		t.Fatalf("empty: got %v", err)
	}
	if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := pki.OpenBox(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Fatalf("a damaged key must be named, got %v", err)
	}
}

func TestCertificatesFollowNamesAndTime(t *testing.T) {
	dir := t.TempDir()
	box, err := pki.OpenBox(filepath.Join(dir, "seal.key"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := pki.OpenAuthority(dir, box, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	same, err := pki.OpenAuthority(dir, box, time.Now())
	if err != nil || same.Fingerprint() != ca.Fingerprint() {
		t.Fatalf("the authority did not survive a restart: %v", err)
	}
	if raw, _ := os.ReadFile(filepath.Join(dir, "ca.key")); bytes.Contains(raw, []byte("PRIVATE KEY")) {
		t.Fatal("the CA's key lies in the clear")
	}

	hosts := []string{"localhost", "127.0.0.1"}
	log := slog.New(slog.DiscardHandler)
	certs, err := pki.OpenCertificates(pki.Config{Dir: dir, ID: "n1", Hosts: func() []string { return hosts }, Log: log}, ca)
	if err != nil {
		t.Fatal(err)
	}
	serial := func() string {
		c, err := certs.ServerTLS().GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(ca.CertPEM)
		for _, h := range hosts {
			if _, err := c.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: h}); err != nil {
				t.Fatalf("%s: %v", h, err)
			}
		}
		return c.Leaf.SerialNumber.String()
	}
	first := serial()
	if err := certs.Refresh(t.Context(), time.Now()); err != nil || serial() != first {
		t.Fatalf("a good certificate was replaced: %v", err)
	}
	hosts = append(hosts, "10.0.0.7", "cloud.example")
	if err := certs.Refresh(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	second := serial()
	if second == first {
		t.Fatal("new names did not make a new certificate")
	}
	if err := certs.Refresh(t.Context(), time.Now().Add(70*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if c, _ := certs.ServerTLS().GetCertificate(nil); c.Leaf.SerialNumber.String() == second {
		t.Fatal("a certificate near its end was not renewed")
	}
}

// TestDerive holds that a derived secret is the same after every start and tells
// nothing about another purpose's.
func TestDerive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seal.key")
	var seen [][]byte
	for _, purpose := range []string{"one", "one", "two"} {
		box, err := pki.OpenBox(path)
		if err != nil {
			t.Fatal(err)
		}
		key, err := box.Derive(purpose)
		if err != nil || len(key) != 32 {
			t.Fatalf("%d bytes, %v", len(key), err)
		}
		seen = append(seen, key)
	}
	if !bytes.Equal(seen[0], seen[1]) || bytes.Equal(seen[0], seen[2]) {
		t.Error("the secrets are not one for each purpose")
	}
	other, err := pki.OpenBox(filepath.Join(t.TempDir(), "seal.key"))
	if err != nil {
		t.Fatal(err)
	}
	if key, err := other.Derive("one"); err != nil || bytes.Equal(key, seen[0]) {
		t.Errorf("another seal key gives the same secret: %v", err)
	}
}
