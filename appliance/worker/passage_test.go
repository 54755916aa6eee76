package worker_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/worker"
)

// passage runs a worker's door in front of members and gives its address.
func passage(t *testing.T, members ...string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &worker.Passage{Members: func() []string { return members }, Log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx, l) }()
	t.Cleanup(func() { cancel(); <-done })
	return l.Addr().String()
}

// TestPassageKeepsTLS sees the member's own certificate through the worker, and
// what the member answers; a member that is dead is passed over.
func TestPassageKeepsTLS(t *testing.T) {
	member := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write([]byte("member " + string(body)))
	}))
	defer member.Close()
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = dead.Close()
	addr := passage(t, dead.Addr().String(), member.Listener.Addr().String())
	roots := x509.NewCertPool()
	roots.AddCert(member.Certificate())
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "example.com", MinVersion: tls.VersionTLS12}}}
	long := strings.Repeat("x", 1<<20)
	resp, err := c.Post("https://"+addr+"/", "text/plain", strings.NewReader(long))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, _ := io.ReadAll(resp.Body); string(got) != "member "+long {
		t.Errorf("%d bytes came back", len(got))
	}
}

// TestPassagePlain passes what is no TLS as well: the member redirects it.
func TestPassagePlain(t *testing.T) {
	member := httptest.NewServer(http.RedirectHandler("https://elsewhere/", http.StatusPermanentRedirect))
	defer member.Close()
	addr := passage(t, member.Listener.Addr().String())
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := c.Get("http://" + addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusPermanentRedirect {
		t.Errorf("status %d", resp.StatusCode)
	}
}

// TestPassageNobody closes a connection when no member answers.
func TestPassageNobody(t *testing.T) {
	addr := passage(t)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil || isTimeout(err) {
		t.Errorf("read gave %d, %v", n, err)
	}
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error) //nolint:errorlint // straight from the connection
	return ok && e.Timeout()
}
