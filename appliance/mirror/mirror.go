// Package mirror brings images in from registries outside: for this node's
// engine, and, as a pull-through cache, for clients of the cluster's own
// registry.
//
// It owns the upstreams' rows (which registries there are, how each is reached,
// which tenants it serves), the connections to them, what is cached from them
// and how long. It never serves content and never judges a request under /v2/:
// appliance/registry does both and asks here for what it does not have. The rules
// that it keeps:
//
//   - An upstream's credentials are used for the tenants that it serves and for
//     nobody else; others are anonymous there. What came with credentials is
//     readable through the upstream only by those whom they serve.
//   - A host that no administrator has named is reached only by https, only at
//     addresses of the public Internet, and never through the environment's proxy
//     (which would reach for other addresses in our place), unless a platform
//     administrator asks. Docker Hub is named by default, with the same bound on
//     addresses, but through the environment's proxy where there is one.
//   - A digest is no right to content. What the node has counts as fetched only
//     for those who could read it anyhow; for others the bytes come again and are
//     compared.
//
// appliance/registry, appliance/noderuntime and appliance/api call it. A Mirror
// is safe for concurrent use.
package mirror

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/appliance/mirror/remote"
	"github.com/skerryhq/skerry/raft/model"
)

// DefaultCache is how much is kept of what clients pulled through, in bytes.
const DefaultCache = 20 << 30

// sealPurpose is what an upstream's password is sealed for.
const sealPurpose = "upstream-password"

// Blobs is this node's part of the content store: *registry.Blobs.
type Blobs interface {
	// Put stores what src gives, compared with d, even if it is there already, and
	// pins it until release.
	Put(ctx context.Context, d digest.Digest, size int64, src io.Reader) (release func(), err error)
	// Pin keeps a blob from being collected until release.
	Pin(d digest.Digest) (release func())
	// Stat gives a blob's size; an error if it is not here.
	Stat(ctx context.Context, d digest.Digest) (int64, error)
	// Retain makes the engine keep a blob that is here.
	Retain(ctx context.Context, d digest.Digest) error
	// Read gives a small blob.
	Read(ctx context.Context, d digest.Digest, limit int64) ([]byte, error)
}

// Box seals and opens passwords: *pki.Box.
type Box interface {
	Seal(purpose string, plain []byte) (model.Sealed, error)
	Open(purpose string, sealed model.Sealed) ([]byte, error)
}

// Config is what a Mirror works with.
type Config struct {
	Cluster access.Cluster
	Blobs   Blobs
	Box     Box
	// Cache bounds what is kept for clients, in bytes; 0 means DefaultCache.
	Cache int64
	// State is the file that remembers when a repository was pulled last; empty:
	// nothing is remembered over a restart.
	State     string
	UserAgent string
	Now       func() time.Time // nil means time.Now
	Log       *slog.Logger
}

// Mirror brings in images from outside.
type Mirror struct {
	cfg Config
	log *slog.Logger
	now func() time.Time

	slots chan struct{} // one for each fetch under way

	mu      sync.Mutex
	clients map[string]*remote.Client // of upstreams, by wayKey; guarded by mu
	flights map[string]*flight        // guarded by mu
	proven  map[string]struct{}       // right and digest of what was fetched; guarded by mu
	checked map[string]time.Time      // repository id and tag -> when the upstream was asked; guarded by mu
	pulled  map[string]time.Time      // repository id -> when something of it was asked for; guarded by mu
}

// New makes a Mirror. It reaches for nothing.
func New(cfg Config) *Mirror {
	if cfg.Cache == 0 {
		cfg.Cache = DefaultCache
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	m := &Mirror{
		cfg: cfg, log: cfg.Log.With("component", "mirror"), now: cfg.Now, clients: map[string]*remote.Client{}, flights: map[string]*flight{},
		slots: make(chan struct{}, fetches), proven: map[string]struct{}{}, checked: map[string]time.Time{},
	}
	m.pulled = m.remembered()
	return m
}

// splitPath parts "docker.io/library/nginx" into host and repository.
func splitPath(path string) (host, repository string) {
	host, repository, _ = strings.Cut(path, "/")
	if host == model.DefaultUpstream && repository != "" && !strings.Contains(repository, "/") {
		repository = "library/" + repository
	}
	return host, repository
}

// head signs a command of a caller.
func (m *Mirror) origin(c access.Caller) model.Origin {
	o := c.Origin
	o.Time = m.now().UTC()
	return o
}
