package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// Publish links everything that a manifest or index of the engine needs into a
// repository and lets tags name it; no byte is copied. An index of which the
// engine has only this host's part is published as that part. It gives what the
// tags name. That by may push, and may read the content, is decided before.
// Errors: KindNotFound where the content is not on this node, KindInvalid where it
// is no image that a registry takes.
func (r *Registry) Publish(ctx context.Context, by model.Origin, repo *model.Repository, d model.Descriptor, tags []string) (model.Descriptor, error) {
	p := &publication{r: r, repo: repo, seen: map[string]bool{}}
	defer p.close()
	top, err := p.add(ctx, digest.Digest(d.Digest), d.MediaType, maxDepth)
	if errors.Is(err, errPartial) {
		part, found := p.hostPart(top)
		if !found {
			return d, model.Errorf(model.KindNotFound, "image_not_found", "the image %s is not whole on this node; pull it again", d.Digest)
		}
		p.close()
		p = &publication{r: r, repo: repo, seen: map[string]bool{}}
		defer p.close()
		top, err = p.add(ctx, digest.Digest(part.Digest), part.MediaType, maxDepth)
	}
	if errors.Is(err, errPartial) || errors.Is(err, ErrNoBlob) {
		return d, model.Errorf(model.KindNotFound, "image_not_found", "the image %s is not whole on this node; pull it again", d.Digest)
	}
	if f, ok := errors.AsType[*failure](err); ok && f.status < 500 {
		return d, model.Errorf(model.KindInvalid, "manifest_invalid", "%s", f.message)
	}
	if err != nil {
		return d, err
	}
	by.TenantID, by.Time = repo.TenantID, time.Now().UTC()
	for part := range slices.Chunk(p.links, unlinkBatch) {
		if _, err := r.propose(ctx, &command.LinkBlobs{Head: command.By(by), Links: part}); err != nil {
			return d, err
		}
	}
	path := r.view().RepositoryPath(repo)
	for _, m := range p.manifests {
		put := &command.PutManifest{Head: command.By(by), Path: path, Manifest: *m}
		if m == top {
			put.Tags = tags
		}
		if _, err := r.propose(ctx, put); err != nil {
			return d, err
		}
	}
	var items []item
	for _, m := range p.manifests {
		items = append(items, itemsOf(m)...)
	}
	if err := r.spread(ctx, items); err != nil && ctx.Err() == nil {
		r.log.Warn("what was published is on one member only for now", "repository", path, "digest", top.Descriptor.Digest, "err", err)
	}
	return top.Descriptor, nil
}

// errPartial says that an index names manifests that are not here.
var errPartial = errors.New("only a part of the index is on this node")

// publication gathers what is to be published and pins it.
type publication struct {
	r         *Registry
	repo      *model.Repository
	links     []model.BlobLink
	manifests []*model.Manifest // children before what names them
	seen      map[string]bool
	pins      []func()
}

func (p *publication) close() {
	for _, release := range p.pins {
		release()
	}
	p.pins = nil
}

// keep pins a blob, makes the engine keep it and gives its size.
func (p *publication) keep(ctx context.Context, d digest.Digest) (int64, error) {
	p.pins = append(p.pins, p.r.blobs.Pin(d))
	size, err := p.r.blobs.Stat(ctx, d)
	if errors.Is(err, ErrNoBlob) && !p.r.alone() {
		release, ferr := p.r.bring(ctx, d, -1)
		if ferr != nil {
			return 0, ferr
		}
		p.pins = append(p.pins, release)
		size, err = p.r.blobs.Stat(ctx, d)
	}
	if err != nil {
		return 0, err
	}
	return size, p.r.blobs.keep(ctx, d)
}

// add adds a manifest with everything below it. An index that is not whole gives
// its row with errPartial.
func (p *publication) add(ctx context.Context, d digest.Digest, mediaType string, limit int) (*model.Manifest, error) {
	if limit == 0 {
		return nil, invalidManifest("indexes lie in each other more than %d deep", maxDepth)
	}
	if _, err := p.keep(ctx, d); err != nil {
		return nil, err
	}
	b, err := p.r.blobs.Read(ctx, d, maxManifest)
	if err != nil {
		return nil, err
	}
	m, doc, err := readDocument(b, d, mediaType)
	if err != nil {
		return nil, err
	}
	m.RepositoryID = p.repo.ID
	var refs []model.Descriptor
	for _, ref := range m.Refs {
		if p.seen[ref.Digest] {
			refs = append(refs, ref)
			continue
		}
		if model.IsManifestType(ref.MediaType) {
			switch _, err := p.add(ctx, digest.Digest(ref.Digest), ref.MediaType, limit-1); {
			case errors.Is(err, ErrNoBlob), errors.Is(err, errPartial):
				return m, fmt.Errorf("%s: %w", ref.Digest, errPartial)
			case err != nil:
				return nil, err
			}
		} else {
			if doc.elsewhere(ref) { // what lies here of that digest may be somebody else's
				if _, linked := p.r.view().BlobLink(p.repo.ID, ref.Digest); !linked {
					continue
				}
			}
			size, err := p.keep(ctx, digest.Digest(ref.Digest))
			if err != nil {
				return nil, err
			}
			p.links = append(p.links, model.BlobLink{RepositoryID: p.repo.ID, Digest: ref.Digest, Size: size})
		}
		p.seen[ref.Digest] = true
		refs = append(refs, ref)
	}
	m.Refs = refs
	if doc.Config != nil {
		if c, err := p.r.blobs.Read(ctx, doc.Config.Digest, maxConfig); err == nil {
			m.Descriptor.Platform = platformIn(c)
		}
	}
	p.manifests = append(p.manifests, m)
	return m, nil
}

// hostPart is the manifest in an index that fits this host best.
func (p *publication) hostPart(index *model.Manifest) (model.Descriptor, bool) {
	if index == nil {
		return model.Descriptor{}, false
	}
	host := platforms.Default()
	best := -1
	for i, ref := range index.Refs {
		at, err := platforms.Parse(ref.Platform)
		if err != nil || !model.IsManifestType(ref.MediaType) || !host.Match(at) {
			continue
		}
		if best >= 0 {
			if old, err := platforms.Parse(index.Refs[best].Platform); err == nil && !host.Less(at, old) {
				continue
			}
		}
		best = i
	}
	if best < 0 {
		return model.Descriptor{}, false
	}
	return index.Refs[best], true
}
