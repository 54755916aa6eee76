package image

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"
)

// Normalize returns the full form of an image name: host/path:tag, or
// host/path@digest. defaultHost (for instance "docker.io") is used where the name
// has none. Errors are of class ErrRefused with one sentence.
func Normalize(name string) (string, error) {
	if len(name) > 512 {
		return "", refuse("image name %q has %d characters: at most 512 are possible", clip(name), len(name))
	}
	ref, err := reference.ParseDockerRef(name)
	if err != nil {
		return "", refuse("image name %q is not valid (%v): write it as [HOST/]NAME[:TAG] in lower case", clip(name), err)
	}
	return ref.String(), nil
}

// Credentials for one registry. The zero value is anonymous.
type Credentials struct {
	Username, Password string
	// IdentityToken is exchanged for access at the registry's token service.
	IdentityToken string
	// BearerToken is sent as it is.
	BearerToken string
}

// PullOptions of one pull.
type PullOptions struct {
	Credentials Credentials
	// PlainHTTP speaks HTTP without TLS. Loopback addresses are spoken to without
	// TLS unless CA is given.
	PlainHTTP bool
	// CA holds PEM certificates that are trusted besides the system's.
	CA     []byte
	Limits Limits
	// Progress is called from several goroutines, one call at a time; may be nil.
	Progress func(Progress)
}

// parallel downloads of one pull; registries throttle more.
const parallel = 3

// Pull fetches the image that ref names (a full name, see Normalize) for this
// host's platform and returns its digest, that of the index when the name means
// one. Every byte is checked against its digest. Nothing is kept when it fails.
// Errors: ErrUnknownReference, ErrDenied, ErrRefused, ErrPlatform, ErrDiskFull;
// others (network) are worth another try.
func (s *Store) Pull(ctx context.Context, ref string, opt PullOptions) (digest.Digest, error) {
	full, err := Normalize(ref)
	if err != nil {
		return "", err
	}
	resolver, err := newResolver(opt)
	if err != nil {
		return "", err
	}
	var target ocispec.Descriptor
	err = s.hold(ctx, func(ctx context.Context) error {
		name, desc, err := resolver.Resolve(ctx, full)
		if err != nil {
			return remoteError(full, err)
		}
		fetcher, err := resolver.Fetcher(ctx, name)
		if err != nil {
			return remoteError(full, err)
		}
		target = desc
		lim := opt.Limits.withDefaults()
		if err := s.fetch(ctx, fetcher, desc, lim, opt.Progress); err != nil {
			return remoteError(full, err)
		}
		return s.adopt(ctx, desc, lim, false, nil, opt.Progress)
	})
	if err != nil {
		return "", fmt.Errorf("pull %s: %w", clip(full), err)
	}
	return target.Digest, nil
}

func (s *Store) fetch(ctx context.Context, fetcher remotes.Fetcher, desc ocispec.Descriptor, lim Limits, progress func(Progress)) error {
	cs := s.client.ContentStore()
	meter := &meter{fetcher: fetcher, report: progress}
	children := images.ChildrenHandler(cs)
	children = images.FilterPlatforms(children, s.platform)
	children = images.LimitManifests(children, s.platform, 1)
	bound := images.HandlerFunc(func(_ context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		if d.Digest.Validate() != nil || d.Digest.Algorithm() != digest.SHA256 {
			return nil, refuse("the registry names the part %q, which is no sha256 digest", clip(string(d.Digest)))
		}
		doc := images.IsManifestType(d.MediaType) || images.IsIndexType(d.MediaType) || images.IsConfigType(d.MediaType)
		if d.Size < 0 || doc && d.Size > maxJSON {
			return nil, refuse("the registry names the part %s of %d bytes: documents have at most %d", d.Digest, d.Size, maxJSON)
		}
		return nil, meter.expect(d, lim.Size)
	})
	return images.Dispatch(ctx, images.Handlers(bound, remotes.FetchHandler(cs, meter), children), semaphore.NewWeighted(parallel), desc)
}

// meter counts what is downloaded.
type meter struct {
	fetcher remotes.Fetcher
	report  func(Progress)

	mu    sync.Mutex // guards what follows and orders the reports
	total int64
}

// expect adds up what the image will bring in.
func (m *meter) expect(d ocispec.Descriptor, limit int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.total += d.Size; m.total > limit || m.total < 0 {
		return refuse("the image is larger than %d bytes", limit)
	}
	return nil
}

func (m *meter) Fetch(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	rc, err := m.fetcher.Fetch(ctx, d)
	if err != nil || m.report == nil {
		return rc, err
	}
	return &meteredReader{ReadCloser: rc, m: m, d: d}, nil
}

type meteredReader struct {
	io.ReadCloser
	m    *meter
	d    ocispec.Descriptor
	done int64
	last time.Time
}

// reportEvery keeps reports of one layer readable for people.
const reportEvery = 100 * time.Millisecond

func (r *meteredReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.done += int64(n)
	if now := time.Now(); err != nil || now.Sub(r.last) >= reportEvery {
		r.last = now
		r.m.mu.Lock()
		r.m.report(Progress{Step: "download", Item: r.d.Digest.String(), Done: r.done, Total: r.d.Size})
		r.m.mu.Unlock()
	}
	return n, err
}

func newResolver(opt PullOptions) (remotes.Resolver, error) {
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 60 * time.Second,
		MaxIdleConns:          8,
		IdleConnTimeout:       30 * time.Second,
		ForceAttemptHTTP2:     true,
	}
	if len(opt.CA) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(opt.CA) {
			return nil, refuse("the registry's CA holds no PEM certificate")
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	hc := &http.Client{Transport: transport}
	auth := docker.NewDockerAuthorizer(docker.WithAuthClient(hc), docker.WithAuthCreds(func(string) (string, string, error) {
		if opt.Credentials.IdentityToken != "" {
			return "", opt.Credentials.IdentityToken, nil
		}
		return opt.Credentials.Username, opt.Credentials.Password, nil
	}))
	hosts := docker.ConfigureDefaultRegistries(
		docker.WithClient(hc),
		docker.WithAuthorizer(auth),
		docker.WithPlainHTTP(func(host string) (bool, error) {
			return opt.PlainHTTP || len(opt.CA) == 0 && isLoopback(host), nil
		}))
	if opt.Credentials.BearerToken != "" {
		hosts = withBearer(hosts, opt.Credentials.BearerToken)
	}
	return docker.NewResolver(docker.ResolverOptions{Hosts: hosts}), nil
}

// withBearer sends the token to the image's own registry only.
func withBearer(hosts docker.RegistryHosts, token string) docker.RegistryHosts {
	return func(host string) ([]docker.RegistryHost, error) {
		hs, err := hosts(host)
		for i := range hs {
			hs[i].Header = http.Header{"Authorization": {"Bearer " + token}}
			hs[i].Authorizer = nil
		}
		return hs, err
	}
}

func isLoopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// remoteError gives a failure of the registry its class.
func remoteError(ref string, err error) error {
	if errors.Is(err, ErrRefused) {
		return err
	}
	var status remoteerrors.ErrUnexpectedStatus
	switch {
	case errdefs.IsNotFound(err):
		return fmt.Errorf("%s: %w: check name and tag", clip(ref), ErrUnknownReference)
	case errors.Is(err, docker.ErrInvalidAuthorization), errdefs.IsUnauthorized(err), errdefs.IsPermissionDenied(err):
		return fmt.Errorf("%s: %w: check user name and password", clip(ref), ErrDenied)
	case errors.As(err, &status) && (status.StatusCode == http.StatusUnauthorized || status.StatusCode == http.StatusForbidden):
		return fmt.Errorf("%s: %w: check user name and password", clip(ref), ErrDenied)
	}
	return err
}
