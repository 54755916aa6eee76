package cli

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/skerryhq/skerry/appliance/api/client"
	"github.com/skerryhq/skerry/raft/model"
)

// target is a cluster that the user signed in to. It is kept with mode 0600,
// because it holds a token.
type target struct {
	URL           string `json:"url"`
	Token         string `json:"token"`
	CAFingerprint string `json:"caFingerprint,omitempty"` // "sha256:" and hex; empty means the system's roots
	User          string `json:"user,omitempty"`
}

// conn is a connection to one control plane.
type conn struct {
	*client.Client
	http   *http.Client
	server string // base URL of the API
	header http.Header
	local  string // path of the socket; empty for a remote one
}

// connect finds the control plane: --host or SKERRY_HOST, then what `skerry
// login` kept, then the local socket.
func (a *app) connect() (*conn, error) {
	if a.client != nil {
		return a.client, nil
	}
	t, err := a.target()
	if err != nil {
		return nil, err
	}
	if t == nil {
		a.client, err = local(filepath.Join(a.runDir, "skerry.sock"))
	} else {
		if t.Token == "" {
			base, err := cleanURL(t.URL)
			if err != nil {
				return nil, err
			}
			return nil, errors.New(a.say("login.first", base, base))
		}
		a.client, err = remote(*t)
	}
	if err == nil {
		a.indexing(a.client.http)
	}
	return a.client, err
}

// target is where to go; nil means the local socket. An explicit --run-dir
// or SKERRY_RUN_DIR means this host, whatever login kept.
func (a *app) target() (*target, error) {
	if host := firstOf(a.host, a.Env("SKERRY_HOST")); host != "" {
		t := &target{URL: host, Token: a.Env("SKERRY_TOKEN"), CAFingerprint: a.Env("SKERRY_CA_FINGERPRINT")}
		if kept, err := a.kept(); err == nil && kept != nil && sameHost(kept.URL, host) {
			t.Token, t.CAFingerprint = firstOf(t.Token, kept.Token), firstOf(t.CAFingerprint, kept.CAFingerprint)
		}
		return t, nil
	}
	if a.runDirGiven() {
		return nil, nil
	}
	t, err := a.kept()
	if t != nil && a.Env("SKERRY_TOKEN") != "" {
		t.Token = a.Env("SKERRY_TOKEN")
	}
	return t, err
}

func (a *app) runDirGiven() bool {
	return a.Env("SKERRY_RUN_DIR") != "" || a.runDir != "/run/skerry"
}

func sameHost(a, b string) bool {
	x, errX := cleanURL(a)
	y, errY := cleanURL(b)
	return errX == nil && errY == nil && x == y
}

// keepFile is where `skerry login` keeps the target.
func (a *app) keepFile() (string, error) {
	dir, err := a.Home()
	if err != nil {
		return "", fmt.Errorf("find your configuration folder: %w", err)
	}
	return filepath.Join(dir, "skerry", "login.json"), nil
}

func (a *app) kept() (*target, error) {
	path, err := a.keepFile()
	if err != nil {
		return nil, nil //nolint:nilerr // no home: nothing was kept
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what `skerry login` kept: %w", err)
	}
	var t target
	if err := json.Unmarshal(b, &t); err != nil {
		return nil, fmt.Errorf("%s cannot be read (%w): remove it and run `skerry login` again", path, err)
	}
	return &t, nil
}

// keep writes the target beside its place and renames it, so that a crash
// leaves the old one.
func (a *app) keep(t target) error {
	path, err := a.keepFile()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make the configuration folder: %w", err)
	}
	b, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// local reaches the daemon on this host.
func local(socket string) (*conn, error) {
	t := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
		MaxIdleConnsPerHost: 4,
	}
	c, err := newConn("http://local", &http.Client{Transport: t}, "")
	if c != nil {
		c.local = socket
	}
	return c, err
}

// remote reaches a cluster over TLS.
func remote(t target) (*conn, error) {
	base, err := cleanURL(t.URL)
	if err != nil {
		return nil, err
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CAFingerprint != "" {
		u, err := url.Parse(base)
		if err != nil {
			return nil, err
		}
		if conf, err = pinned(t.CAFingerprint, u.Hostname()); err != nil {
			return nil, err
		}
	}
	tr := &http.Transport{TLSClientConfig: conf, Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: 10 * time.Second}
	return newConn(base, &http.Client{Transport: tr}, t.Token)
}

// pinned trusts exactly the authority with this fingerprint: the server must
// present it in its chain and be signed by it for the host that was dialled (an
// address need not be named: it may be translated on the way). The name that is
// asked for is one that no uploaded certificate covers, so that the cluster's
// own is shown, whatever else it serves.
func pinned(fingerprint, host string) (*tls.Config, error) {
	want, ok := strings.CutPrefix(strings.ToLower(fingerprint), "sha256:")
	want = strings.ReplaceAll(want, ":", "")
	if raw, err := hex.DecodeString(want); !ok || err != nil || len(raw) != sha256.Size {
		return nil, usagef("%q is not a fingerprint; it looks like sha256:9f86d0... and `skerry init` prints it", fingerprint)
	}
	if net.ParseIP(host) != nil {
		host = ""
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         model.RegistryHost,
		InsecureSkipVerify: true, // VerifyConnection does it, against the pinned authority
		VerifyConnection: func(s tls.ConnectionState) error {
			roots := x509.NewCertPool()
			found := false
			for _, c := range s.PeerCertificates {
				if sum := sha256.Sum256(c.Raw); hex.EncodeToString(sum[:]) == want && c.IsCA {
					roots.AddCert(c)
					found = true
				}
			}
			if !found {
				return errPin
			}
			_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, DNSName: host})
			return err
		},
	}, nil
}

var errPin = errors.New("the server's certificate authority is not the one whose fingerprint was given: this may be another machine")

// cleanURL accepts https://host:7443, host:7443 and host.
func cleanURL(s string) (string, error) {
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", usagef("%q is not the address of a cluster; write for example https://10.0.0.5:7443", s)
	}
	if u.Scheme == "http" && !isLoopback(u.Hostname()) {
		return "", usagef("%q would send your credentials in clear; write https://", s)
	}
	if u.Port() == "" && u.Scheme == "https" {
		u.Host = net.JoinHostPort(u.Hostname(), "7443")
	}
	return u.Scheme + "://" + u.Host, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func newConn(base string, h *http.Client, token string) (*conn, error) {
	c := &conn{http: h, server: base + "/api/v1", header: http.Header{"User-Agent": {"skerry-cli"}}}
	if token != "" {
		c.header.Set("Authorization", "Bearer "+token)
	}
	api, err := client.NewClient(c.server, client.WithHTTPClient(h), client.WithRequestEditorFn(c.edit))
	if err != nil {
		return nil, fmt.Errorf("prepare the client: %w", err)
	}
	c.Client = api
	return c, nil
}

// edit finishes a request: credentials, and without the parameters that were
// not given (the generated client writes their zero values).
func (c *conn) edit(_ context.Context, r *http.Request) error {
	for k, v := range c.header {
		if r.Header.Get(k) == "" {
			r.Header[k] = v
		}
	}
	if r.Header.Get("If-Match") == "" {
		r.Header.Del("If-Match")
	}
	r.URL.RawQuery = stripQuery(r.URL.RawQuery)
	return nil
}

// zeroMeansNothing are the numbers whose zero is "not given".
var zeroMeansNothing = map[string]bool{"limit": true, "wait": true, "cols": true, "rows": true, "timeoutSeconds": true}

func stripQuery(raw string) string {
	var kept []string
	for part := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(part, "=")
		if value == "" && name != "command" || value == "false" || value == "0" && zeroMeansNothing[name] {
			continue
		}
		kept = append(kept, part)
	}
	return strings.Join(kept, "&")
}

func firstOf(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}
