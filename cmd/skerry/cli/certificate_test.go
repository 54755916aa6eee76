package cli

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCertificate(t *testing.T) {
	f := newFake(t)
	const shown = `{"uploaded":true,"subject":"CN=cloud","issuer":"CN=Corp CA","names":["cloud.example.com","192.0.2.1"],"notBefore":"2026-01-01T00:00:00Z","notAfter":"2027-01-01T00:00:00Z","fingerprint":"sha256:ab"}`
	f.on("GET /certificate", shown)
	f.on("PUT /certificate", shown)
	f.handle("DELETE /certificate", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	if r := f.skerry(nil, "", "certificate", "show"); r.code != 0 || !strings.Contains(r.out, "cloud.example.com, 192.0.2.1") || !strings.Contains(r.out, "uploaded") {
		t.Errorf("show: %d %s%s", r.code, r.out, r.err)
	}
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, text := range map[string]string{cert: "the chain", key: "the key"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if r := f.skerry(nil, "", "certificate", "set", "--cert", cert, "--key", key); r.code != 0 || !strings.Contains(r.out, "cloud.example.com") {
		t.Errorf("set: %d %s%s", r.code, r.out, r.err)
	}
	if sent := strings.Join(f.requests(), "\n"); !strings.Contains(sent, "the chain") || !strings.Contains(sent, "the key") {
		t.Errorf("what was sent: %s", sent)
	}
	if r := f.skerry(nil, "", "certificate", "reset"); r.code != 0 {
		t.Errorf("reset: %d %s", r.code, r.err)
	}
	if r := f.skerry(nil, "", "certificate", "set", "--cert", cert); r.code != 2 || !strings.Contains(r.err, "--key") {
		t.Errorf("set without a key: %d %s", r.code, r.err)
	}
	if r := f.skerry(nil, "", "certificate", "set", "--cert", cert, "--key", key+".none"); r.code != 1 || !strings.Contains(r.err, "key.pem.none") {
		t.Errorf("set with a key that is not there: %d %s", r.code, r.err)
	}
	if err := os.WriteFile(key, make([]byte, maxPEM+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := f.skerry(nil, "", "certificate", "set", "--cert", cert, "--key", key); r.code != 1 || !strings.Contains(r.err, "64 KiB") {
		t.Errorf("set with a huge key: %d %s", r.code, r.err)
	}
}
