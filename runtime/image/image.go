// Package image owns the images that one host holds: it brings them in from a
// tar archive or a registry, makes their layers ready to start from, and lists,
// describes, exports and removes them.
//
// An image is known by the digest of its manifest or index and by nothing else,
// so the same name in two tenants can never meet here; names belong to the
// replicated state. Everything that arrives is distrusted: digests are
// recomputed, archive names checked, sizes, counts and compression ratios
// bounded. What is half done when an operation fails is given back, because it
// is held only by a lease that ends with the operation.
//
// Called by the agent and by runtime/ctrd. A Store is safe for concurrent use.
package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/runtime/engine"
)

// Sentinel errors. Test with errors.Is.
var (
	// ErrNotFound: no image with that digest on this host.
	ErrNotFound = errors.New("no such image on this host")
	// ErrRefused: the input is broken or hostile; trying again changes nothing.
	ErrRefused = errors.New("image refused")
	// ErrPlatform: the image has nothing for this host's processor.
	ErrPlatform = errors.New("image is not for this platform")
	// ErrDiskFull: the engine's disk is full; what was half done has been given back.
	ErrDiskFull = errors.New("the disk that holds the images is full")
)

// refusal is one clear sentence of class ErrRefused.
type refusal struct{ text string }

func (r *refusal) Error() string        { return r.text }
func (r *refusal) Is(target error) bool { return target == ErrRefused }

func refuse(format string, args ...any) error { return &refusal{fmt.Sprintf(format, args...)} }

// Options of a Store.
type Options struct {
	// Root is the engine's root folder; only its free space is looked at.
	Root string
	Log  *slog.Logger
}

// Store is the images of one host.
type Store struct {
	client   *client.Client
	opt      Options
	platform platforms.MatchComparer

	mu       sync.Mutex
	resolved map[digest.Digest]*Resolved // guarded by mu; entries are immutable
	content  string                      // guarded by mu: where the engine keeps content; empty: not asked yet
	working  int                         // guarded by mu: imports, pulls and the like under way
	worked   time.Time                   // guarded by mu: when the last one ended
}

// New returns a Store over a connected engine. It allocates nothing that must be closed.
func New(c *client.Client, opt Options) (*Store, error) {
	if c == nil || opt.Root == "" || opt.Log == nil {
		return nil, errors.New("image store: client, root and log must be given")
	}
	return &Store{client: c, opt: opt, platform: platforms.Default(), resolved: map[digest.Digest]*Resolved{}}, nil
}

// Resolved is what starting a container needs to know of its image.
type Resolved struct {
	Digest digest.Digest
	// Config is the image's own default command, environment, user and so on.
	Config ocispec.Image
	// ChainID names the committed snapshot that a container's layer lies upon;
	// empty for an image without layers.
	ChainID string
}

// Resolve returns what starting from the image dgst needs; its layers are
// unpacked afterwards. The answer is kept, so asking again is free.
// Errors: ErrNotFound, ErrPlatform.
func (s *Store) Resolve(ctx context.Context, dgst digest.Digest) (*Resolved, error) {
	s.mu.Lock()
	r := s.resolved[dgst]
	s.mu.Unlock()
	if r != nil {
		return r, nil
	}
	img, err := s.get(ctx, dgst)
	if err != nil {
		return nil, err
	}
	_, cfg, err := s.manifest(ctx, img.Target)
	if err != nil {
		return nil, err
	}
	r = &Resolved{Digest: dgst, Config: cfg}
	if len(cfg.RootFS.DiffIDs) > 0 {
		r.ChainID = identity.ChainID(cfg.RootFS.DiffIDs).String()
		if _, err := s.client.SnapshotService(engine.Snapshotter).Stat(ctx, r.ChainID); err != nil {
			if !errdefs.IsNotFound(err) {
				return nil, fmt.Errorf("look for the layers of image %s: %w", dgst, err)
			}
			if err := s.unpack(ctx, img); err != nil {
				return nil, err
			}
		}
	}
	s.mu.Lock()
	s.resolved[dgst] = r
	s.mu.Unlock()
	return r, nil
}

func (s *Store) get(ctx context.Context, dgst digest.Digest) (images.Image, error) {
	img, err := s.client.ImageService().Get(ctx, dgst.String())
	if errdefs.IsNotFound(err) {
		return img, fmt.Errorf("image %s: %w", dgst, ErrNotFound)
	}
	if err != nil {
		return img, fmt.Errorf("look up image %s: %w", dgst, err)
	}
	return img, nil
}

// manifest returns manifest and configuration for this host's platform.
func (s *Store) manifest(ctx context.Context, target ocispec.Descriptor) (ocispec.Manifest, ocispec.Image, error) {
	var cfg ocispec.Image
	cs := s.client.ContentStore()
	m, err := images.Manifest(ctx, cs, target, s.platform)
	if errdefs.IsNotFound(err) {
		return m, cfg, fmt.Errorf("image %s has nothing for %s: %w", target.Digest, platforms.DefaultString(), ErrPlatform)
	}
	if err != nil {
		return m, cfg, fmt.Errorf("read the manifest of image %s: %w", target.Digest, err)
	}
	b, err := content.ReadBlob(ctx, cs, m.Config)
	if err != nil {
		return m, cfg, fmt.Errorf("read the configuration of image %s: %w", target.Digest, err)
	}
	if err := json.Unmarshal(b, &cfg); err != nil {
		return m, cfg, refuse("image %s: its configuration is not valid JSON: %v", target.Digest, err)
	}
	if len(cfg.RootFS.DiffIDs) != len(m.Layers) {
		return m, cfg, refuse("image %s: its manifest lists %d layers but its configuration %d", target.Digest, len(m.Layers), len(cfg.RootFS.DiffIDs))
	}
	return m, cfg, nil
}

func (s *Store) unpack(ctx context.Context, img images.Image) error {
	if err := client.NewImageWithPlatform(s.client, img, s.platform).Unpack(ctx, engine.Snapshotter); err != nil {
		return s.explain(fmt.Errorf("unpack image %s: %w", img.Target.Digest, err))
	}
	return nil
}

// hold runs f so that everything it brings into the engine is kept until f ends
// and, when f fails, is given back before hold returns.
func (s *Store) hold(ctx context.Context, f func(context.Context) error) (err error) {
	s.mu.Lock()
	s.working++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.working--
		s.worked = time.Now()
	}()
	lm := s.client.LeasesService()
	lease, err := lm.Create(ctx, leases.WithRandomID(), leases.WithExpiration(24*time.Hour))
	if err != nil {
		return fmt.Errorf("take a lease: %w", err)
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		var opts []leases.DeleteOpt
		if err != nil {
			opts = append(opts, leases.SynchronousDelete)
		}
		if derr := lm.Delete(end, lease, opts...); derr != nil && !errdefs.IsNotFound(derr) {
			// The lease ends by itself after a day; the work itself is done or reported.
			s.opt.Log.Warn("lease not given back", "lease", lease.ID, "err", derr)
		}
	}()
	// Explained here: once the lease is gone there is free space again.
	return s.explain(f(leases.WithLease(ctx, lease.ID)))
}

// Quiet says that no image is being brought in and that the last one came at
// least since ago: whoever brought it has had the time to note that it is needed.
func (s *Store) Quiet(since time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.working == 0 && time.Since(s.worked) >= since
}

// record makes the engine keep target (and with it everything it refers to).
func (s *Store) record(ctx context.Context, target ocispec.Descriptor) (images.Image, error) {
	target.Annotations = nil
	img := images.Image{Name: target.Digest.String(), Target: target}
	is := s.client.ImageService()
	got, err := is.Create(ctx, img)
	if errdefs.IsAlreadyExists(err) {
		return is.Get(ctx, img.Name)
	}
	if err != nil {
		return img, fmt.Errorf("record image %s: %w", target.Digest, err)
	}
	return got, nil
}

// minFree is the free space under which a failed write is put down to a full disk.
const minFree = 8 << 20

// explain adds ErrDiskFull when that is what stopped an operation: the engine's
// errors lose their class on the way here, the disk does not lie.
func (s *Store) explain(err error) error {
	var st unix.Statfs_t
	if err == nil || errors.Is(err, ErrRefused) || errors.Is(err, ErrDiskFull) || unix.Statfs(s.opt.Root, &st) != nil {
		return err
	}
	if st.Bavail*uint64(st.Bsize) < minFree || st.Files > 0 && st.Ffree == 0 {
		return fmt.Errorf("%w: free some space or remove unused images (%w)", ErrDiskFull, err)
	}
	return err
}

// Remove forgets the image and frees what no other image or container uses.
// Removing an image that is not there is not an error. Containers keep running.
func (s *Store) Remove(ctx context.Context, dgst digest.Digest) error {
	s.mu.Lock()
	delete(s.resolved, dgst)
	s.mu.Unlock()
	err := s.client.ImageService().Delete(ctx, dgst.String(), images.SynchronousDelete())
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove image %s: %w", dgst, err)
	}
	return nil
}
