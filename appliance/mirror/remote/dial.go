package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"golang.org/x/net/http/httpproxy"
)

// How long a registry may take for each step.
const (
	dialTimeout      = 10 * time.Second
	handshakeTimeout = 10 * time.Second
	headerTimeout    = 60 * time.Second
	idleTimeout      = 30 * time.Second
	maxRedirects     = 5
)

// errNotPublic says that an address is none of the public Internet.
var errNotPublic = errors.New("its address is not on the public Internet")

// proxyAnswer is a proxy that did not open the way.
type proxyAnswer struct{ status string }

func (p *proxyAnswer) Error() string { return "the proxy answered " + p.status }

// dial makes the HTTP client.
func (c *Client) dial() error {
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.cfg.CA != "" {
		pool, err := Roots(c.cfg.CA)
		if err != nil {
			return err
		}
		tlsConfig.RootCAs = pool
	}
	transport := func(guard func(string, string, syscall.RawConn) error) *http.Transport {
		d := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second, Control: guard}
		return &http.Transport{
			DialContext: d.DialContext, TLSClientConfig: tlsConfig, TLSHandshakeTimeout: handshakeTimeout,
			ResponseHeaderTimeout: headerTimeout, IdleConnTimeout: idleTimeout, MaxIdleConns: 8, MaxIdleConnsPerHost: 4, ForceAttemptHTTP2: true,
			OnProxyConnectResponse: func(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
				if resp.StatusCode != http.StatusOK {
					return &proxyAnswer{resp.Status}
				}
				return nil
			},
		}
	}
	var proxy func(*url.URL) (*url.URL, error)
	switch {
	case c.cfg.Proxy != "":
		u, err := parseProxy(c.cfg.Proxy)
		if err != nil {
			return err
		}
		proxy = func(*url.URL) (*url.URL, error) { return u, nil }
	case c.cfg.EnvProxy:
		proxy = httpproxy.FromEnvironment().ProxyFunc()
	}
	var guard func(string, string, syscall.RawConn) error
	if c.cfg.PublicOnly {
		guard = onlyPublic
	}
	way := &ways{direct: transport(guard)}
	if proxy != nil {
		way.proxy, way.through = proxy, transport(nil)
		way.through.Proxy = func(r *http.Request) (*url.URL, error) { return proxy(r.URL) }
	}
	c.http = &http.Client{Transport: way, CheckRedirect: c.redirect}
	return nil
}

// redirect follows a registry to where it keeps its blobs, a few times, never
// from https to http, and takes the credentials along to the same host only.
func (c *Client) redirect(req *http.Request, via []*http.Request) error {
	first := via[0].URL
	switch {
	case len(via) > maxRedirects:
		return errors.New("it redirects in circles")
	case req.URL.Scheme != "https" && (first.Scheme == "https" || c.cfg.PublicOnly):
		return errors.New("it redirects from https to http")
	case req.URL.Host != first.Host:
		req.Header.Del("Authorization")
	}
	return nil
}

// ways sends a request through the proxy where one is meant for it, else
// directly.
type ways struct {
	direct, through *http.Transport
	proxy           func(*url.URL) (*url.URL, error)
}

// RoundTrip sends one request.
func (w *ways) RoundTrip(r *http.Request) (*http.Response, error) {
	if w.proxy != nil {
		if p, err := w.proxy(r.URL); err != nil || p != nil {
			return w.through.RoundTrip(r)
		}
	}
	return w.direct.RoundTrip(r)
}

// CloseIdleConnections closes those of both.
func (w *ways) CloseIdleConnections() {
	w.direct.CloseIdleConnections()
	if w.through != nil {
		w.through.CloseIdleConnections()
	}
}

// via names the proxy that a URL is reached through; empty if none.
func (c *Client) via(u *url.URL) string {
	w, ok := c.http.Transport.(*ways)
	if !ok || w.proxy == nil {
		return ""
	}
	p, err := w.proxy(u)
	if err != nil || p == nil {
		return ""
	}
	return p.Scheme + "://" + p.Host
}

// Roots gives the system's authorities and those in PEM.
func Roots(pem string) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM([]byte(pem)) {
		return nil, fmt.Errorf("the CA holds no certificate: write it as PEM, beginning with -----BEGIN CERTIFICATE-----")
	}
	return pool, nil
}

// reserved are the ranges that no public registry answers at, beyond those that
// netip knows by name.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("fec0::/10"),
}

// Public says whether an address is one of the public Internet.
func Public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() {
		return false
	}
	for _, p := range reserved {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// onlyPublic is asked with the address that a connection is about to be made
// to, after every name was looked up.
func onlyPublic(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !Public(at.Addr()) {
		return errNotPublic
	}
	return nil
}
