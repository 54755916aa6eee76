package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
	"github.com/skerryhq/skerry/runtime/image"
)

// EngineImages are the engine's records of images, which keep unpacked layers:
// *image.Store.
type EngineImages interface {
	List(ctx context.Context) ([]image.Summary, error)
	Remove(ctx context.Context, d digest.Digest) error
	// Quiet says that nothing has been brought in for so long, so that every
	// record's row is written.
	Quiet(since time.Duration) bool
}

const (
	graceLinks   = 24 * time.Hour
	graceContent = time.Hour
	// settling is how long a record of the engine may be without a row: it is
	// written first.
	settling = 5 * time.Second
	// unlinkBatch keeps the commands of the collector small.
	unlinkBatch = 500
)

// doomed remembers since when nothing needs what is here. Guarded by mu, which
// also lets one collection run at a time.
type doomed struct {
	mu      sync.Mutex
	blobs   map[digest.Digest]time.Time
	records map[digest.Digest]time.Time
}

// Collect gives up what nothing needs, without the grace period, and says what
// that freed on this node. Blobs of pushes that are under way are kept. It waits
// a few seconds for images that are just being brought in.
func (r *Registry) Collect(ctx context.Context) (blobs int, bytes int64, err error) {
	if err := r.awaitQuiet(ctx); err != nil {
		return 0, 0, err
	}
	return r.collect(ctx, true)
}

// awaitQuiet waits until every image that was brought in has its row. Where images
// come without a pause it gives up waiting: those are kept then.
func (r *Registry) awaitQuiet(ctx context.Context) error {
	if r.cfg.Images == nil {
		return nil
	}
	tick := time.NewTicker(settling / 20)
	defer tick.Stop()
	for end := time.Now().Add(2 * settling); !r.cfg.Images.Quiet(settling) && time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// Usage is what the registry stores on this node.
type Usage struct {
	Blobs       int   // that repositories hold, manifests included, each digest once
	Bytes       int64 // of these
	Reclaimable int64 // bytes that Collect would free now
	Uploads     int   // that are not finished
}

// Usage measures what the registry stores. It walks all of it.
func (r *Registry) Usage(ctx context.Context) (Usage, error) {
	u := Usage{Uploads: r.uploads.count()}
	v := r.view()
	seen := map[string]bool{}
	for d, n := range v.RegistryDigests() {
		if !seen[d] {
			seen[d] = true
			u.Blobs++
			u.Bytes += n
		}
	}
	links := r.idleLinks(v, time.Now(), true)
	keep, err := r.desired(ctx, v, links)
	if err != nil {
		return u, err
	}
	rooted, err := r.rooted(ctx)
	for d, n := range rooted {
		if !keep[d] {
			u.Reclaimable += n
		}
	}
	return u, err
}

// collect is one round: links that no manifest needs, then the engine's records,
// then blobs.
func (r *Registry) collect(ctx context.Context, now bool) (blobs int, bytes int64, err error) {
	r.doomed.mu.Lock()
	defer r.doomed.mu.Unlock()
	if r.doomed.blobs == nil {
		r.doomed.blobs, r.doomed.records = map[digest.Digest]time.Time{}, map[digest.Digest]time.Time{}
	}
	if err := r.unlink(ctx, r.idleLinks(r.view(), time.Now(), now)); err != nil {
		return 0, 0, err
	}
	keep, err := r.desired(ctx, r.view(), nil)
	if err != nil {
		return 0, 0, err
	}
	records, err := r.giveUpRecords(ctx, now)
	if err != nil {
		return 0, 0, err
	}
	rooted, err := r.rooted(ctx)
	if err != nil {
		return 0, 0, err
	}
	var errs []error
	given := map[digest.Digest]int64{}
	spare := r.spare(ctx, r.view(), rooted)
	for d, n := range rooted {
		if keep[d] && !spare[d] || r.held.lately(d) {
			delete(r.doomed.blobs, d)
			continue
		}
		if !r.due(r.doomed.blobs, d, now) {
			continue
		}
		if ok, err := r.giveUp(ctx, d, spare[d]); err != nil {
			errs = append(errs, err)
		} else if ok {
			given[d] = n
			delete(r.doomed.blobs, d)
		}
	}
	for d := range r.doomed.blobs {
		if _, still := rooted[d]; !still {
			delete(r.doomed.blobs, d)
		}
	}
	errs = append(errs, r.keepAll(ctx, rooted, spare))
	if len(given) == 0 && records == 0 {
		return 0, 0, errors.Join(errs...)
	}
	if err := r.blobs.nudge(ctx); err != nil {
		errs = append(errs, err)
	}
	for d, n := range given {
		if _, err := r.blobs.Stat(ctx, d); errors.Is(err, ErrNoBlob) {
			blobs++
			bytes += n
		}
	}
	r.log.Info("gave up what nothing needs", "blobs", blobs, "bytes", bytes, "records", records)
	return blobs, bytes, errors.Join(errs...)
}

// due says whether something has been unneeded for long enough.
func (r *Registry) due(since map[digest.Digest]time.Time, d digest.Digest, now bool) bool {
	if now {
		return true
	}
	first, ok := since[d]
	if !ok {
		since[d] = time.Now()
		return false
	}
	return time.Since(first) >= r.grace(graceContent)
}

func (r *Registry) grace(usual time.Duration) time.Duration {
	if r.cfg.Grace > 0 {
		return r.cfg.Grace
	}
	return usual
}

// idleLinks gives the links that no manifest needs and that wait for none: those
// that one has needed, and those that have waited for too long. now takes away
// the grace of the former.
func (r *Registry) idleLinks(v *state.View, at time.Time, now bool) []model.BlobLink {
	var out []model.BlobLink
	for l := range v.AllBlobLinks() {
		if wait := r.grace(graceLinks); at.Sub(l.LinkedAt) < wait && !(now && l.Used) {
			continue
		}
		needed := false
		for range v.ManifestsNeeding(l.RepositoryID, l.Digest) {
			needed = true
			break
		}
		if !needed {
			out = append(out, *l)
		}
	}
	return out
}

func (r *Registry) unlink(ctx context.Context, links []model.BlobLink) error {
	for part := range slices.Chunk(links, unlinkBatch) {
		if _, err := r.propose(ctx, &command.UnlinkBlobs{Head: origin("collector"), Items: part}); err != nil {
			return fmt.Errorf("give up links: %w", err)
		}
	}
	return nil
}

// desired gives every digest that must stay on this node: what repositories hold
// (but for the links in without), and what images that somebody runs or may run
// again consist of, whether a repository still has them or not.
func (r *Registry) desired(ctx context.Context, v *state.View, without []model.BlobLink) (map[digest.Digest]bool, error) {
	skip := make(map[model.BlobLink]bool, len(without))
	for _, l := range without {
		skip[l] = true
	}
	keep := map[digest.Digest]bool{}
	for m := range v.AllManifests() {
		keep[digest.Digest(m.Descriptor.Digest)] = true
	}
	for l := range v.AllBlobLinks() {
		if len(skip) == 0 || !skip[*l] {
			keep[digest.Digest(l.Digest)] = true
		}
	}
	walked := map[digest.Digest]int{}
	for d := range imagesInUse(v) {
		if err := r.closure(ctx, v, d, keep, walked, maxDepth+1); err != nil {
			return nil, err
		}
	}
	return keep, nil
}

// imagesInUse gives the digests of the images that rows name: names of tenants,
// services, containers and the revisions that are kept.
func imagesInUse(v *state.View) map[digest.Digest]bool {
	out := map[digest.Digest]bool{}
	note := func(s *model.ContainerSpec) {
		if s.ImageDigest != "" {
			out[digest.Digest(s.ImageDigest)] = true
		}
	}
	for i := range v.Images() {
		out[digest.Digest(i.Digest)] = true
	}
	for s := range v.Services() {
		note(&s.Spec.Container)
	}
	for c := range v.Containers() {
		note(&c.Spec)
	}
	for a := range v.Apps() {
		for rev := range v.Revisions(a.ID) {
			for _, s := range rev.Spec.Services {
				note(&s.Container)
			}
		}
	}
	return out
}

// RecordsInUse says which of the engine's images rows need: those in use and
// those that a repository has. What runs is never more than these.
func RecordsInUse(v *state.View) func(digest.Digest) bool {
	used := imagesInUse(v)
	return func(d digest.Digest) bool {
		if used[d] {
			return true
		}
		for range v.ManifestsOfDigest(d.String()) {
			return true
		}
		return false
	}
}

// closure adds everything that an image consists of, as far as it is here. Rows
// tell where there are any, else the image's own bytes. walked says how deep was
// looked below what has been met: what an imported tar names crosswise is read
// once for each depth.
func (r *Registry) closure(ctx context.Context, v *state.View, d digest.Digest, keep map[digest.Digest]bool, walked map[digest.Digest]int, limit int) error {
	keep[d] = true
	if walked[d] > limit {
		return nil
	}
	walked[d] = limit + 1
	for range v.ManifestsOfDigest(d.String()) {
		return nil // its refs are linked; of a mirrored one what is here is
	}
	if limit == 0 || d.Validate() != nil {
		return nil
	}
	b, err := r.blobs.Read(ctx, d, maxManifest)
	if errors.Is(err, ErrNoBlob) || errors.Is(err, ErrTooLarge) {
		return nil
	}
	if err != nil {
		return err
	}
	m, _, err := readDocument(b, d, "")
	if err != nil {
		return nil // no manifest, so it needs nothing
	}
	for _, ref := range m.Refs {
		keep[digest.Digest(ref.Digest)] = true
		if model.IsManifestType(ref.MediaType) {
			if err := r.closure(ctx, v, digest.Digest(ref.Digest), keep, walked, limit-1); err != nil {
				return err
			}
		}
	}
	return nil
}

// rooted lists the blobs that the registry makes the engine keep, with their
// sizes in bytes.
func (r *Registry) rooted(ctx context.Context) (map[digest.Digest]int64, error) {
	out := map[digest.Digest]int64{}
	err := r.blobs.store.Walk(ctx, func(i content.Info) error {
		out[i.Digest] = i.Size
		return nil
	}, `labels."`+labelRoot+`"`)
	if err != nil {
		return nil, fmt.Errorf("list the registry's blobs: %w", err)
	}
	return out, nil
}

// giveUp lets the engine collect a blob, unless somebody uses it or a row that
// came meanwhile needs it. A spare one is kept by others; what the engine's images
// need of it stays.
func (r *Registry) giveUp(ctx context.Context, d digest.Digest, spare bool) (ok bool, err error) {
	r.blobs.pins.alone(d, func() {
		v := r.view()
		if !spare && (v.LinkedAnywhere(d.String()) || imagesInUse(v)[d]) || r.held.lately(d) {
			return
		}
		_, err = r.blobs.store.Update(ctx, content.Info{Digest: d, Labels: map[string]string{labelRoot: ""}}, fieldRoot)
		if errdefs.IsNotFound(err) {
			err = nil
		}
		ok = err == nil
	})
	if err != nil {
		return false, fmt.Errorf("give up blob %s: %w", d, err)
	}
	return ok, nil
}

// keepAll makes the engine keep what repositories hold and it does not yet, as
// after a crash between a row and its label. What is not here is no error.
func (r *Registry) keepAll(ctx context.Context, rooted map[digest.Digest]int64, spare map[digest.Digest]bool) error {
	var errs []error
	v := r.view()
	among, own := keepers(v, time.Now()), pushed(v)
	for text := range v.RegistryDigests() {
		d := digest.Digest(text)
		if _, ok := rooted[d]; ok || spare[d] {
			continue
		}
		if _, ours := own[text]; ours && !r.alone() && !slices.Contains(duty(among, text), r.cfg.NodeID) {
			continue // here for an image that runs, which keeps it
		}
		rooted[d] = 0 // once is enough
		release := r.blobs.Pin(d)
		if err := r.blobs.Retain(ctx, d); err != nil && !errors.Is(err, ErrNoBlob) {
			errs = append(errs, err)
		}
		release()
	}
	return errors.Join(errs...)
}

// giveUpRecords removes the engine's images that no row needs any more, which
// frees their unpacked layers.
func (r *Registry) giveUpRecords(ctx context.Context, now bool) (int, error) {
	if r.cfg.Images == nil {
		return 0, nil
	}
	all, err := r.cfg.Images.List(ctx)
	if err != nil {
		return 0, err
	}
	needed := RecordsInUse(r.view())
	gone := 0
	for _, img := range all {
		if needed(img.Digest) {
			delete(r.doomed.records, img.Digest)
			continue
		}
		if !r.due(r.doomed.records, img.Digest, now) || !r.cfg.Images.Quiet(settling) || time.Since(img.CreatedAt) < settling {
			continue
		}
		if RecordsInUse(r.view())(img.Digest) {
			continue
		}
		if err := r.cfg.Images.Remove(ctx, img.Digest); err != nil {
			return gone, err
		}
		delete(r.doomed.records, img.Digest)
		gone++
	}
	return gone, nil
}

// nudge makes the engine collect its garbage now and waits for it: taking a label
// away is no reason for it to.
func (b *Blobs) nudge(ctx context.Context) error {
	lm := b.client.LeasesService()
	lease, err := lm.Create(ctx, leases.WithRandomID(), leases.WithExpiration(time.Hour))
	if err == nil {
		err = lm.Delete(ctx, lease, leases.SynchronousDelete)
	}
	if err != nil {
		return fmt.Errorf("ask the engine to collect: %w", err)
	}
	return nil
}
