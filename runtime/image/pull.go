package image

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"
)

// Source is one image outside of this host, with the right of whoever asks for
// it. Its methods are called from several goroutines. Their errors reach the
// caller of Pull as they are.
type Source interface {
	// Resolve says what the image's name means now.
	Resolve(ctx context.Context) (ocispec.Descriptor, error)
	// Fetch brings one part into the engine's content store and keeps it there
	// until release. Its bytes came and were compared with its digest, whether the
	// store had them before or not. done is told now and then how many there are.
	Fetch(ctx context.Context, d ocispec.Descriptor, done func(int64)) (release func(), err error)
	// Holds says that a part need not be fetched should the store have it: whoever
	// asks could read it anyhow. Knowing a digest is no right to the content.
	Holds(d digest.Digest) bool
}

// PullOptions of one pull.
type PullOptions struct {
	Limits Limits
	// Progress is called from several goroutines, one call at a time; may be nil.
	Progress func(Progress)
}

// parallel downloads of one pull; registries throttle more.
const parallel = 3

// Pull fetches an image for this host's platform and returns its digest, that of
// the index when the name means one. Nothing is kept when it fails, but for what
// the source itself keeps.
// Errors: ErrRefused, ErrPlatform, ErrDiskFull, those of the source.
func (s *Store) Pull(ctx context.Context, src Source, opt PullOptions) (digest.Digest, error) {
	p := &pull{store: s, src: src, lim: opt.Limits.withDefaults(), report: opt.Progress, proven: map[digest.Digest]bool{}}
	var target ocispec.Descriptor
	err := s.hold(ctx, func(ctx context.Context) error {
		var err error
		if target, err = src.Resolve(ctx); err != nil {
			return err
		}
		children := images.ChildrenHandler(s.client.ContentStore())
		children = images.FilterPlatforms(children, s.platform)
		children = images.LimitManifests(children, s.platform, 1)
		if err := images.Dispatch(ctx, images.Handlers(images.HandlerFunc(p.part), children), semaphore.NewWeighted(parallel), target); err != nil {
			return err
		}
		return s.adopt(ctx, target, p.lim, false, p.holds, opt.Progress)
	})
	if err != nil {
		return "", err
	}
	return target.Digest, nil
}

// pull is one pull under way.
type pull struct {
	store *Store
	src   Source
	lim   Limits

	mu     sync.Mutex // guards what follows and orders the reports
	report func(Progress)
	total  int64
	proven map[digest.Digest]bool
}

func (p *pull) holds(d digest.Digest) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.proven[d]
}

// part makes one part of the image be here, under the pull's lease.
func (p *pull) part(ctx context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	if err := p.bound(d); err != nil {
		return nil, err
	}
	// Leased first, so that what is there now stays.
	if err := p.store.lease(ctx, d.Digest); err != nil {
		return nil, err
	}
	_, err := p.store.client.ContentStore().Info(ctx, d.Digest)
	if err != nil && !errdefs.IsNotFound(err) {
		return nil, fmt.Errorf("look for %s: %w", d.Digest, err)
	}
	if err != nil || !p.src.Holds(d.Digest) {
		release, err := p.src.Fetch(ctx, d, p.meter(d))
		if err != nil {
			return nil, err
		}
		err = p.store.lease(ctx, d.Digest) // again: the engine may have dropped a lease on what was not there
		release()
		if err != nil {
			return nil, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.proven[d.Digest] = true
	if p.report != nil {
		p.report(Progress{Step: "download", Item: d.Digest.String(), Done: d.Size, Total: d.Size})
	}
	return nil, nil
}

// bound refuses parts that no honest image has, and adds up what comes.
func (p *pull) bound(d ocispec.Descriptor) error {
	if d.Digest.Validate() != nil || d.Digest.Algorithm() != digest.SHA256 {
		return refuse("the registry names the part %q, which is no sha256 digest", clip(string(d.Digest)))
	}
	doc := images.IsManifestType(d.MediaType) || images.IsIndexType(d.MediaType) || images.IsConfigType(d.MediaType)
	if d.Size < 0 || doc && d.Size > maxJSON {
		return refuse("the registry names the part %s of %d bytes: documents have at most %d", d.Digest, d.Size, maxJSON)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.total += d.Size; p.total > p.lim.Size || p.total < 0 {
		return refuse("the image is larger than %d bytes", p.lim.Size)
	}
	return nil
}

// reportEvery keeps reports of one layer readable for people.
const reportEvery = 100 * time.Millisecond

// meter reports how much of a part has come.
func (p *pull) meter(d ocispec.Descriptor) func(int64) {
	var last time.Time // guarded by p.mu
	return func(n int64) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if now := time.Now(); p.report != nil && n < d.Size && now.Sub(last) >= reportEvery {
			last = now
			p.report(Progress{Step: "download", Item: d.Digest.String(), Done: n, Total: d.Size})
		}
	}
}

// lease keeps content for as long as the lease of ctx lives.
func (s *Store) lease(ctx context.Context, d digest.Digest) error {
	id, ok := leases.FromContext(ctx)
	if !ok {
		return errors.New("keep content: there is no lease")
	}
	if err := s.client.LeasesService().AddResource(ctx, leases.Lease{ID: id}, leases.Resource{ID: d.String(), Type: "content"}); err != nil {
		return fmt.Errorf("keep %s: %w", d, err)
	}
	return nil
}
