// Package remote is a client of one registry outside: it reads manifests and
// blobs through the registry's endpoints in order, with its credentials, its CA
// and its proxy, and says in one sentence why it cannot.
//
// It never stores anything and never decides who may ask; appliance/mirror does.
// Bytes are handed on as they come: whoever takes them checks their digest. A
// Client is safe for concurrent use.
package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// DockerHub is the host of the registry that names without a host mean.
const DockerHub = "docker.io"

// dockerHubURL is where Docker Hub answers.
const dockerHubURL = "https://registry-1.docker.io"

// MaxManifest is the size of the largest manifest that is taken, in bytes.
const MaxManifest = 4 << 20

// manifestTypes are what is asked for where a tag is resolved.
var manifestTypes = []string{
	"application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json",
	"application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json",
}

// Config is how a registry is reached. The zero value of every field but Host
// means the ordinary way: the host itself, by https, anonymously, directly.
type Config struct {
	Host      string   // as in image names: "docker.io", "registry.corp:5000"
	Endpoints []string // base URLs, tried in order; see CheckEndpoint. Empty: the host itself by https
	Username  string
	Password  string
	CA        string // PEM, trusted beside the system's
	Proxy     string // see CheckProxy
	EnvProxy  bool   // with no Proxy: heed HTTPS_PROXY, HTTP_PROXY and NO_PROXY of this process
	// PublicOnly refuses every address that is not on the public Internet, also
	// behind redirects and for token services, and everything but https. A proxy
	// that is in use is asked instead; it decides then.
	PublicOnly bool
	UserAgent  string
}

// Client reads from one registry.
type Client struct {
	cfg       Config
	http      *http.Client
	endpoints []*endpoint
}

// endpoint is one base URL of a registry with what is known of its sign-in.
type endpoint struct {
	text string // as written
	url  *url.URL
	home bool // the registry itself, no mirror of it
	auth authorizer
}

// New checks a configuration. It reaches for nothing. Errors are one sentence
// each.
func New(cfg Config) (*Client, error) {
	if err := CheckHost(cfg.Host); err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg}
	own := "https://" + cfg.Host
	if cfg.Host == DockerHub {
		own = dockerHubURL
	}
	list := cfg.Endpoints
	if len(list) == 0 {
		list = []string{own}
	}
	for _, text := range list {
		u, err := parseEndpoint(text)
		if err != nil {
			return nil, err
		}
		if cfg.PublicOnly && u.Scheme != "https" {
			return nil, fmt.Errorf("%s is reached by https only", cfg.Host)
		}
		e := &endpoint{text: text, url: u, home: u.Host == cfg.Host || u.Host == "registry-1.docker.io" && cfg.Host == DockerHub}
		e.auth = authorizer{username: cfg.Username, password: cfg.Password, plain: u.Scheme == "http"}
		c.endpoints = append(c.endpoints, e)
	}
	if err := c.dial(); err != nil {
		return nil, err
	}
	return c, nil
}

// Close gives idle connections back.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Host is the registry's, as in image names.
func (c *Client) Host() string { return c.cfg.Host }

// Manifest is a manifest or index as a registry sent it.
type Manifest struct {
	MediaType string
	Digest    digest.Digest // of Body, computed here; of a HEAD what the registry said, or empty
	Size      int64
	Body      []byte // nil for a HEAD
}

// Head asks what a tag or digest means, without its bytes. Errors: *Error.
func (c *Client) Head(ctx context.Context, repository, reference string) (Manifest, error) {
	resp, err := c.do(ctx, http.MethodHead, repository, "manifests/"+reference, nil)
	if err != nil {
		return Manifest{}, err
	}
	defer resp.Body.Close()
	m := Manifest{MediaType: mediaType(resp), Size: resp.ContentLength}
	if d, err := digest.Parse(resp.Header.Get("Docker-Content-Digest")); err == nil {
		m.Digest = d
	}
	return m, nil
}

// Manifest reads a manifest by tag or digest. Errors: *Error.
func (c *Client) Manifest(ctx context.Context, repository, reference string) (Manifest, error) {
	resp, err := c.do(ctx, http.MethodGet, repository, "manifests/"+reference, nil)
	if err != nil {
		return Manifest{}, err
	}
	defer resp.Body.Close()
	from := resp.Request.URL.Host
	b, err := io.ReadAll(io.LimitReader(resp.Body, MaxManifest+1))
	switch {
	case err != nil:
		return Manifest{}, c.broken(from, err)
	case len(b) > MaxManifest:
		return Manifest{}, c.nonsense(from, "a manifest of more than %d bytes", MaxManifest)
	}
	m := Manifest{MediaType: mediaType(resp), Digest: digest.FromBytes(b), Size: int64(len(b)), Body: b}
	if want, err := digest.Parse(reference); err == nil {
		if m.Digest = want.Algorithm().FromBytes(b); m.Digest != want {
			return Manifest{}, c.nonsense(from, "bytes with the digest %s where %s was asked for", m.Digest, want)
		}
	}
	return m, nil
}

// Blob opens a blob. The reader goes on by itself where a connection breaks,
// at another endpoint if need be. size is -1 if the registry does not say it.
// Errors, also of Read: *Error.
func (c *Client) Blob(ctx context.Context, repository string, d digest.Digest) (body io.ReadCloser, size int64, err error) {
	resp, err := c.do(ctx, http.MethodGet, repository, "blobs/"+d.String(), nil) //nolint:bodyclose // resuming closes it
	if err != nil {
		return nil, 0, err
	}
	return &resuming{ctx: ctx, c: c, path: "blobs/" + d.String(), repository: repository, body: resp.Body, from: resp.Request.URL.Host, size: resp.ContentLength}, resp.ContentLength, nil
}

// resuming reads a blob and asks for the rest where a connection breaks.
type resuming struct {
	ctx              context.Context //nolint:containedctx // io.Reader has no context
	c                *Client
	repository, path string
	body             io.ReadCloser
	from             string
	size, offset     int64
	broke            int
}

// maxBreaks is how often one blob is taken up again.
const maxBreaks = 5

// stallTimeout is how long a blob's connection may be silent.
const stallTimeout = time.Minute

// Read reads on, from the next connection if need be.
func (r *resuming) Read(p []byte) (int, error) {
	for {
		body := r.body
		stalled := time.AfterFunc(stallTimeout, func() { _ = body.Close() }) // ends the Read
		n, err := body.Read(p)
		stalled.Stop()
		r.offset += int64(n)
		if n > 0 || err == nil {
			return n, nil
		}
		short := errors.Is(err, io.EOF) && r.size >= 0 && r.offset < r.size
		if errors.Is(err, io.EOF) && !short {
			return 0, io.EOF
		}
		if short {
			err = io.ErrUnexpectedEOF
		}
		if r.ctx.Err() != nil {
			return 0, r.ctx.Err()
		}
		if r.broke++; r.broke > maxBreaks {
			return 0, r.c.broken(r.from, err)
		}
		if err := r.resume(); err != nil {
			return 0, err
		}
	}
}

func (r *resuming) resume() error {
	_ = r.body.Close() // it is broken already
	r.body = http.NoBody
	resp, err := r.c.do(r.ctx, http.MethodGet, r.repository, r.path, http.Header{"Range": {fmt.Sprintf("bytes=%d-", r.offset)}}) //nolint:bodyclose // Close and the next resume do
	if err != nil {
		return err
	}
	r.body, r.from = resp.Body, resp.Request.URL.Host
	if resp.StatusCode == http.StatusPartialContent {
		if start, ok := rangeStart(resp.Header.Get("Content-Range")); !ok || start != r.offset {
			return r.c.nonsense(r.from, "another part of a blob than was asked for")
		}
		return nil
	}
	if _, err := io.CopyN(io.Discard, resp.Body, r.offset); err != nil {
		return r.c.broken(r.from, err)
	}
	return nil
}

// Close ends the connection.
func (r *resuming) Close() error { return r.body.Close() }

func rangeStart(s string) (int64, bool) {
	s, ok := strings.CutPrefix(s, "bytes ")
	first, _, dash := strings.Cut(s, "-")
	n, err := strconv.ParseInt(first, 10, 64)
	return n, ok && dash && err == nil
}

// Probe is what came of trying one endpoint.
type Probe struct {
	Endpoint string
	Took     time.Duration
	Err      error // *Error; nil if it answered and took the credentials
}

// Probe tries every endpoint with the credentials.
func (c *Client) Probe(ctx context.Context) []Probe {
	out := make([]Probe, 0, len(c.endpoints))
	for _, e := range c.endpoints {
		begin := time.Now()
		resp, err := c.at(ctx, e, http.MethodGet, "", "", nil)
		if err == nil {
			resp.Body.Close()
		}
		out = append(out, Probe{Endpoint: e.text, Took: time.Since(begin), Err: err})
	}
	return out
}

// do sends a request to the endpoints in order until one answers.
func (c *Client) do(ctx context.Context, method, repository, path string, header http.Header) (*http.Response, error) {
	var failures []*Error
	for i, e := range c.endpoints {
		resp, err := c.at(ctx, e, method, repository, path, header)
		if err == nil {
			return resp, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		failure, ok := errors.AsType[*Error](err)
		if !ok {
			return nil, err
		}
		failures = append(failures, failure)
		if i < len(c.endpoints)-1 && failure.Kind == NotFound && e.home {
			break // the registry itself says that there is none
		}
	}
	return nil, summary(failures)
}

// at sends a request to one endpoint, signing in as it asks for it.
func (c *Client) at(ctx context.Context, e *endpoint, method, repository, path string, header http.Header) (*http.Response, error) {
	u := *e.url
	prefix := strings.TrimSuffix(u.Path, "/")
	scope := ""
	switch {
	case repository == "":
		u.Path = "/v2/"
	default:
		if prefix != "" {
			repository = strings.TrimPrefix(prefix, "/") + "/" + repository
		}
		scope = "repository:" + repository + ":pull"
		u.Path = "/v2/" + repository + "/" + path
		if !e.home && prefix == "" {
			u.RawQuery = "ns=" + url.QueryEscape(c.cfg.Host) // tells a mirror of several which one is meant
		}
	}
	send := func(authorization string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
		if err != nil {
			return nil, err
		}
		for k, v := range header {
			req.Header[k] = v
		}
		if strings.HasPrefix(path, "manifests/") {
			req.Header["Accept"] = []string{strings.Join(manifestTypes, ", ") + ", */*;q=0.1"}
		}
		if c.cfg.UserAgent != "" {
			req.Header.Set("User-Agent", c.cfg.UserAgent)
		}
		if authorization != "" {
			req.Header.Set("Authorization", authorization)
		}
		resp, err := c.http.Do(req)
		if err != nil {
			return nil, c.unreachable(e.text, err)
		}
		return resp, nil
	}
	resp, err := e.auth.sending(ctx, c, e, scope, send)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusPartialContent && header != nil {
		return resp, nil
	}
	defer drain(resp)
	return nil, c.refused(e, resp, repository)
}

// drain reads a short rest so that the connection can be used again.
func drain(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // a longer rest costs the connection, nothing else
	resp.Body.Close()
}

func mediaType(resp *http.Response) string {
	t, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return t
}

// hostForm is a DNS name or IPv4 address, perhaps with a port; or an IPv6
// address in brackets with one.
var hostForm = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*|\[[0-9a-f:.]+\])(:[0-9]{1,5})?$`)

// CheckHost says what is wrong with a registry's host as it stands in image
// names.
func CheckHost(host string) error {
	name, port := host, ""
	if i := strings.LastIndexByte(host, ':'); i > 0 && !strings.HasSuffix(host, "]") {
		name, port = host[:i], host[i+1:]
	}
	n, err := strconv.Atoi(port)
	switch {
	case len(host) > 255 || !hostForm.MatchString(host):
		return fmt.Errorf("%q is no host as in image names; write it like docker.io, ghcr.io or registry.corp:5000, without https:// and without a path", clip(host))
	case !strings.ContainsAny(name, ".:") && port == "" && name != "localhost":
		return fmt.Errorf("%q would be read as a folder in image names; a registry's host has a dot or a port", clip(host))
	case port != "" && (err != nil || n < 1 || n > 65535):
		return fmt.Errorf("%q has the port %s; ports are 1 to 65535", clip(host), port)
	}
	return nil
}

// pathForm is a folder of repositories.
var pathForm = regexp.MustCompile(`^(/[a-z0-9]+([._-]+[a-z0-9]+)*(:[0-9]+)?)+$`)

// CheckEndpoint says what is wrong with an endpoint: an http or https URL of a
// registry, perhaps with the folder of repositories there that mirrors the
// upstream.
func CheckEndpoint(text string) error {
	_, err := parseEndpoint(text)
	return err
}

func parseEndpoint(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	bad := func(why string) (*url.URL, error) {
		return nil, fmt.Errorf("the endpoint %q %s; write it like https://mirror.corp:5000", clip(hidden(text)), why)
	}
	switch {
	case err != nil:
		return bad("is no URL")
	case u.Scheme != "https" && u.Scheme != "http":
		return bad("does not begin with https:// or http://")
	case u.User != nil:
		return nil, errors.New("an endpoint bears no user and no password; give them by themselves")
	case u.Host == "" || u.Opaque != "":
		return bad("names no host")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return bad("has a query or a fragment")
	case !hostForm.MatchString(strings.ToLower(u.Host)):
		return bad("has a host that cannot be one")
	case u.Port() != "" && (len(u.Port()) > 5 || atoi(u.Port()) < 1 || atoi(u.Port()) > 65535):
		return bad("has no port from 1 to 65535")
	}
	switch path := strings.TrimSuffix(u.EscapedPath(), "/"); {
	case path == "":
	case path == "/v2" || strings.HasPrefix(path, "/v2/"):
		return bad("has /v2 in its path, which comes by itself: leave it out")
	case !pathForm.MatchString(path):
		return bad("has a path that no repository can have")
	}
	u.Host = strings.ToLower(u.Host)
	u.Path = strings.TrimSuffix(u.Path, "/")
	return u, nil
}

// CheckProxy says what is wrong with a proxy's URL.
func CheckProxy(text string) error {
	_, err := parseProxy(text)
	return err
}

func parseProxy(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("the proxy %q is no URL of a proxy; write it like http://proxy.corp:3128 or socks5://proxy.corp:1080", clip(hidden(text)))
	case u.User != nil:
		return nil, errors.New("a proxy with a password is not kept here, because everybody who may see the upstream would read it; set HTTPS_PROXY in the daemon's environment instead")
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5":
		return nil, fmt.Errorf("the proxy %q is of the kind %s; http, https and socks5 are possible", clip(text), u.Scheme)
	}
	return u, nil
}

// hidden takes a password out of what looks like a URL.
func hidden(text string) string {
	head, rest, ok := strings.Cut(text, "://")
	if at := strings.LastIndexByte(rest, '@'); ok && at >= 0 {
		return head + "://***@" + rest[at+1:]
	}
	return text
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}

func clip(s string) string {
	if len(s) > 120 {
		return s[:120] + "..."
	}
	return s
}
