package remote

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// authority is a private CA.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Corp CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, pem: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

// issue makes a server's certificate for 127.0.0.1, or another name, until then.
func (a *authority) issue(t *testing.T, name string, until time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until}
	if ip := net.ParseIP(name); ip != nil {
		tmpl.IPAddresses = []net.IP{ip}
	} else {
		tmpl.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// serve runs a server with a certificate; nil means plain HTTP.
func serve(t *testing.T, cert *tls.Certificate, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = nil
	if cert == nil {
		s.Start()
	} else {
		s.TLS = &tls.Config{Certificates: []tls.Certificate{*cert}}
		s.StartTLS()
	}
	t.Cleanup(s.Close)
	return s
}

const body = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}`

// shop is a registry with one manifest and one blob.
func shop(w http.ResponseWriter, r *http.Request) {
	d := digest.FromString(body)
	switch r.URL.Path {
	case "/v2/":
	case "/v2/app/web/manifests/1", "/v2/app/web/manifests/" + d.String():
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		w.Header().Set("Docker-Content-Digest", d.String())
		fmt.Fprint(w, body)
	case "/v2/app/web/blobs/" + d.String():
		fmt.Fprint(w, body)
	default:
		http.NotFound(w, r)
	}
}

func client(t *testing.T, cfg Config) *Client {
	t.Helper()
	if cfg.Host == "" {
		cfg.Host = "registry.corp"
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// refused is a server at a port that nobody listens at.
func refused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestSentences: each way in which a registry fails has its own sentence.
func TestSentences(t *testing.T) {
	ca := newAuthority(t)
	good := ca.issue(t, "127.0.0.1", time.Now().Add(time.Hour))
	late := ca.issue(t, "127.0.0.1", time.Now().Add(-time.Hour))
	other := ca.issue(t, "elsewhere.corp", time.Now().Add(time.Hour))
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if code == http.StatusTooManyRequests {
				w.Header().Set("Retry-After", "30")
			}
			w.WriteHeader(code)
		}
	}
	dead := refused(t)
	noProxy := serve(t, nil, status(http.StatusForbidden))
	plain := serve(t, nil, http.HandlerFunc(shop))
	silent := serve(t, nil, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	for _, c := range []struct {
		name string
		cfg  Config
		kind Kind
		says string
	}{
		{"refused", Config{Endpoints: []string{"http://" + dead}}, Unreachable, "registry.corp could not be reached at http://" + dead + " (connection refused)"},
		{"no name", Config{Endpoints: []string{"https://no-such-host.invalid"}}, Unreachable, "no-such-host.invalid"},
		{"unknown authority", Config{Endpoints: []string{serve(t, &good, http.HandlerFunc(shop)).URL}}, Untrusted, "signed by an authority that is not known here"},
		{"expired", Config{CA: ca.pem, Endpoints: []string{serve(t, &late, http.HandlerFunc(shop)).URL}}, Untrusted, "has expired"},
		{"another name", Config{CA: ca.pem, Endpoints: []string{serve(t, &other, http.HandlerFunc(shop)).URL}}, Untrusted, "for another name than 127.0.0.1"},
		{"no TLS", Config{Endpoints: []string{"https://" + strings.TrimPrefix(plain.URL, "http://")}}, Untrusted, "speaks no TLS"},
		{"proxy dead", Config{Proxy: "http://" + dead, Endpoints: []string{"https://127.0.0.1:9"}}, ProxyFailed, "connection refused, through the proxy http://" + dead},
		{"proxy forbids", Config{Proxy: noProxy.URL, Endpoints: []string{"https://127.0.0.1:9"}}, ProxyFailed, "the proxy answered 403 Forbidden"},
		{"socks dead", Config{Proxy: "socks5://" + dead, Endpoints: []string{"https://127.0.0.1:9"}}, ProxyFailed, "connection refused"},
		{"401 anonymous", Config{Endpoints: []string{serve(t, nil, status(401)).URL}}, SignIn, "wants a user name and password, or has no such image"},
		{"401", Config{Username: "bot", Password: "s3cret", Endpoints: []string{serve(t, nil, status(401)).URL}}, Denied, "does not accept the user name and password"},
		{"403", Config{Username: "bot", Password: "s3cret", Endpoints: []string{serve(t, nil, status(403)).URL}}, Denied, "does not let bot read app/web"},
		{"404", Config{Endpoints: []string{serve(t, nil, status(404)).URL}}, NotFound, "has no such image"},
		{"429", Config{Endpoints: []string{serve(t, nil, status(429)).URL}}, Throttled, "asks to wait 30 s"},
		{"429 of Docker Hub", Config{Host: "docker.io", Endpoints: []string{serve(t, nil, status(429)).URL}}, Throttled, "skerry upstream create docker.io"},
		{"503", Config{Endpoints: []string{serve(t, nil, status(503)).URL}}, Broken, "answered 503 Service Unavailable"},
		{"private address", Config{PublicOnly: true, Host: "127.0.0.1:1"}, NotAllowed, "not on the public Internet"},
		{"all", Config{Endpoints: []string{"http://" + dead, serve(t, nil, status(503)).URL}}, Broken, "before that http://" + dead + ": connection refused"},
	} {
		_, err := client(t, c.cfg).Manifest(t.Context(), "app/web", "1")
		if KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: kind %d, %v\nwant %d, %s", c.name, KindOf(err), err, c.kind, c.says)
		}
		if err != nil && (strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "dial tcp") || strings.Count(err.Error(), ": ") > 3) {
			t.Errorf("%s: not for people: %v", c.name, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := client(t, Config{Endpoints: []string{silent.URL}}).Manifest(ctx, "app/web", "1"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("given up: %v", err)
	}
}

// TestEndpoints goes on where an endpoint is no help.
func TestEndpoints(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.issue(t, "127.0.0.1", time.Now().Add(time.Hour))
	good := serve(t, &cert, http.HandlerFunc(shop))
	var asked atomic.Value
	nothing := serve(t, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.URL.String())
		http.NotFound(w, r)
	}))
	c := client(t, Config{CA: ca.pem, Endpoints: []string{"http://" + refused(t), nothing.URL, good.URL}})
	m, err := c.Manifest(t.Context(), "app/web", "1")
	if err != nil || string(m.Body) != body || m.Digest != digest.FromString(body) || m.MediaType != "application/vnd.oci.image.manifest.v1+json" {
		t.Fatalf("%+v %v", m, err)
	}
	if got := asked.Load(); got != "/v2/app/web/manifests/1?ns=registry.corp" {
		t.Errorf("the mirror was asked for %v", got)
	}
	if h, err := c.Head(t.Context(), "app/web", "1"); err != nil || h.Digest != m.Digest || h.Body != nil {
		t.Errorf("head: %+v %v", h, err)
	}
	probes := c.Probe(t.Context())
	if len(probes) != 3 || probes[0].Err == nil || KindOf(probes[1].Err) != Nonsense || probes[2].Err != nil {
		t.Errorf("probe: %+v", probes)
	}

	// A folder of another registry, such as one of a registry like this.
	folder := serve(t, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = strings.Replace(r.URL.Path, "/v2/cache/corp/", "/v2/", 1)
		shop(w, r)
	}))
	if _, err := client(t, Config{Endpoints: []string{folder.URL + "/cache/corp/"}}).Manifest(t.Context(), "app/web", "1"); err != nil {
		t.Errorf("in a folder: %v", err)
	}
}

// TestSignIn: Basic, and tokens of a service elsewhere, which the password is not
// sent to twice.
func TestSignIn(t *testing.T) {
	var tokens atomic.Int64
	service := serve(t, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, p, _ := r.BasicAuth()
		if u != "bot" || p != "s3cret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if s := r.URL.Query().Get("scope"); s != "repository:app/web:pull" {
			t.Errorf("scope %q", s)
		}
		tokens.Add(1)
		fmt.Fprint(w, `{"access_token":"t0ken","expires_in":300}`)
	}))
	realm := service.URL
	bearer := serve(t, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer t0ken" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+realm+`/token",service="shop",scope="repository:app/web:pull,push"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		shop(w, r)
	}))
	c := client(t, Config{Endpoints: []string{bearer.URL}, Username: "bot", Password: "s3cret"})
	for range 3 {
		if _, err := c.Manifest(t.Context(), "app/web", "1"); err != nil {
			t.Fatal(err)
		}
	}
	if n := tokens.Load(); n != 1 {
		t.Errorf("%d tokens were fetched", n)
	}
	_, err := client(t, Config{Endpoints: []string{bearer.URL}, Username: "bot", Password: "wrong"}).Manifest(t.Context(), "app/web", "1")
	if KindOf(err) != Denied {
		t.Errorf("wrong password: %v", err)
	}
	if _, err = client(t, Config{Endpoints: []string{bearer.URL}}).Manifest(t.Context(), "app/web", "1"); KindOf(err) != SignIn {
		t.Errorf("anonymous: %v", err)
	}

	ca := newAuthority(t)
	cert := ca.issue(t, "127.0.0.1", time.Now().Add(time.Hour))
	secure := serve(t, &cert, bearer.Config.Handler)
	_, err = client(t, Config{CA: ca.pem, Endpoints: []string{secure.URL}, Username: "bot", Password: "s3cret"}).Manifest(t.Context(), "app/web", "1")
	if KindOf(err) != Nonsense || tokens.Load() != 1 {
		t.Errorf("the password went out in the clear: %v", err)
	}

	basic := serve(t, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); u != "bot" || p != "s3cret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="shop"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		shop(w, r)
	}))
	if _, err := client(t, Config{Endpoints: []string{basic.URL}, Username: "bot", Password: "s3cret"}).Manifest(t.Context(), "app/web", "1"); err != nil {
		t.Errorf("basic: %v", err)
	}
	if _, err := client(t, Config{Endpoints: []string{basic.URL}, Username: "bot", Password: "no"}).Manifest(t.Context(), "app/web", "1"); KindOf(err) != Denied {
		t.Errorf("basic, wrong: %v", err)
	}
}

// TestRedirects: blobs may lie elsewhere; the credentials stay at home, and
// nobody is led from https to http.
func TestRedirects(t *testing.T) {
	d := digest.FromString(body)
	var seen atomic.Value
	store := serve(t, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r.Header.Get("Authorization"))
		fmt.Fprint(w, body)
	}))
	shopAt := func(where string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if u, _, _ := r.BasicAuth(); u == "" {
				w.Header().Set("WWW-Authenticate", `Basic realm="shop"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			http.Redirect(w, r, where, http.StatusTemporaryRedirect)
		}
	}
	front := serve(t, nil, shopAt(store.URL+"/blob"))
	c := client(t, Config{Endpoints: []string{front.URL}, Username: "bot", Password: "s3cret"})
	b, _, err := c.Blob(t.Context(), "app/web", d)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(b)
	if err != nil || string(got) != body || seen.Load() != "" {
		t.Errorf("%q %v; the store saw %q", got, err, seen.Load())
	}
	ca := newAuthority(t)
	cert := ca.issue(t, "127.0.0.1", time.Now().Add(time.Hour))
	secure := serve(t, &cert, shopAt(store.URL+"/blob"))
	if _, _, err := client(t, Config{CA: ca.pem, Endpoints: []string{secure.URL}, Username: "bot", Password: "s3cret"}).Blob(t.Context(), "app/web", d); err == nil || !strings.Contains(err.Error(), "from https to http") {
		t.Errorf("to http: %v", err)
	}
	loop := httptest.NewUnstartedServer(nil)
	loop.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.String(), http.StatusFound) })
	loop.Start()
	defer loop.Close()
	if _, err := client(t, Config{Endpoints: []string{loop.URL}}).Manifest(t.Context(), "app/web", "1"); err == nil || !strings.Contains(err.Error(), "in circles") {
		t.Errorf("in circles: %v", err)
	}
}

// TestResume takes a blob up again where the connection broke, at the next
// endpoint if need be, and gives up where that does not end.
func TestResume(t *testing.T) {
	blob := bytes.Repeat([]byte("0123456789abcdef"), 64<<10) // 1 MiB
	d := digest.FromBytes(blob)
	var calls atomic.Int64
	half := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		if rg := r.Header.Get("Range"); rg != "" {
			var from int
			fmt.Sscanf(rg, "bytes=%d-", &from)
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(blob)-1, len(blob)))
			w.Header().Set("Content-Length", fmt.Sprint(len(blob)-from))
			w.WriteHeader(http.StatusPartialContent)
			w.Write(blob[from:min(len(blob), from+300<<10)])
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(blob)))
		w.Write(blob[:300<<10])
	})
	s := serve(t, nil, half)
	r, size, err := client(t, Config{Endpoints: []string{s.URL}}).Blob(t.Context(), "app/web", d)
	if err != nil || size != int64(len(blob)) {
		t.Fatal(size, err)
	}
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, blob) || calls.Load() != 4 {
		t.Errorf("%d bytes in %d pieces, %v", len(got), calls.Load(), err)
	}
	stuck := serve(t, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(blob)))
		w.Write(blob[:1])
	}))
	r, _, err = client(t, Config{Endpoints: []string{stuck.URL}}).Blob(t.Context(), "app/web", d)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); KindOf(err) != Unreachable || !strings.Contains(err.Error(), "broke off") {
		t.Errorf("a blob that never comes: %v", err)
	}
}

// TestProxy goes through an HTTP proxy by CONNECT.
func TestProxy(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.issue(t, "registry.corp", time.Now().Add(time.Hour))
	target := serve(t, &cert, http.HandlerFunc(shop))
	u, err := url.Parse(target.URL)
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Value
	connect := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.Method + " " + r.Host)
		to, err := net.Dial("tcp", u.Host) // the proxy knows where registry.corp is; we do not
		if err != nil {
			t.Error(err)
			return
		}
		w.WriteHeader(http.StatusOK)
		from, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		go func() { io.Copy(to, buffered); to.Close() }()
		io.Copy(from, to)
		from.Close()
	})
	own := ca.issue(t, "127.0.0.1", time.Now().Add(time.Hour))
	for _, proxy := range []string{serve(t, nil, connect).URL, serve(t, &own, connect).URL, "socks5://" + socks(t, u.Host, &asked)} {
		asked.Store("")
		c := client(t, Config{CA: ca.pem, Proxy: proxy})
		if _, err := c.Manifest(t.Context(), "app/web", "1"); err != nil {
			t.Errorf("%s: %v", proxy, err)
		}
		if asked.Load() != "CONNECT registry.corp:443" {
			t.Errorf("%s was asked for %v", proxy, asked.Load())
		}
	}
}

// socks is a SOCKS5 proxy that leads to one address, whatever it is asked for.
func socks(t *testing.T, to string, asked *atomic.Value) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer from.Close()
				b := make([]byte, 300)
				read := func(n int) []byte {
					if _, err := io.ReadFull(from, b[:n]); err != nil {
						t.Error(err)
					}
					return b[:n]
				}
				read(int(read(2)[1])) // the ways to sign in
				from.Write([]byte{5, 0})
				name := string(read(int(read(5)[4])))
				port := read(2)
				asked.Store(fmt.Sprintf("CONNECT %s:%d", name, int(port[0])<<8|int(port[1])))
				out, err := net.Dial("tcp", to)
				if err != nil {
					t.Error(err)
					return
				}
				defer out.Close()
				from.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
				go io.Copy(out, from)
				io.Copy(from, out)
			}()
		}
	}()
	return l.Addr().String()
}

func TestNonsense(t *testing.T) {
	huge := serve(t, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write(bytes.Repeat([]byte(" "), MaxManifest+1))
	}))
	if _, err := client(t, Config{Endpoints: []string{huge.URL}}).Manifest(t.Context(), "app/web", "1"); KindOf(err) != Nonsense {
		t.Errorf("10 MB of manifest: %v", err)
	}
	other := serve(t, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "other") }))
	if _, err := client(t, Config{Endpoints: []string{other.URL}}).Manifest(t.Context(), "app/web", digest.FromString(body).String()); KindOf(err) != Nonsense {
		t.Errorf("other bytes: %v", err)
	}
}
