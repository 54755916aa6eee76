package mirror

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"slices"
	"sort"
	"sync"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/appliance/mirror/remote"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

func newReader(b []byte) io.Reader { return bytes.NewReader(b) }

// Source is one image outside, for one tenant: a runtime/image.Source.
type Source struct {
	m          *Mirror
	caller     access.Caller
	way        *way
	name       string // "docker.io/library/nginx"
	repository string // "library/nginx"
	ref        string // tag or digest

	mu   sync.Mutex
	docs map[digest.Digest]remote.Manifest // fetched and not yet stored; guarded by mu
	own  map[digest.Digest]bool            // parts of the tenant's images; made when first asked for; guarded by mu
}

// Source finds how the caller's tenant reaches an image (a full name). A user
// name and a password that come with the request win over the upstream's. Close
// it in the end. Errors are *model.Error.
func (m *Mirror) Source(c access.Caller, full, username, password string) (*Source, error) {
	named, err := reference.ParseNormalizedNamed(full)
	if err != nil {
		return nil, model.Errorf(model.KindInvalid, "image_name_invalid", "%q is not an image name: %v", clip(full), err)
	}
	s := &Source{m: m, caller: c, name: named.Name(), repository: reference.Path(named), docs: map[digest.Digest]remote.Manifest{}}
	switch r := reference.TagNameOnly(named).(type) {
	case reference.Digested:
		s.ref = r.Digest().String()
	case reference.Tagged:
		s.ref = r.Tag()
	}
	s.way, err = m.forTenant(m.cfg.Cluster.View(), c, reference.Domain(named), credentials{username, password})
	return s, err
}

// Close gives connections back.
func (s *Source) Close() { s.way.done() }

// Resolve says what the name means now, or, where an upstream is away, what it
// meant when somebody pulled it through the mirror.
func (s *Source) Resolve(ctx context.Context) (ocispec.Descriptor, error) {
	got, err := s.way.client.Manifest(ctx, s.repository, s.ref)
	if err == nil {
		s.mu.Lock()
		s.docs[got.Digest] = got
		s.mu.Unlock()
		return ocispec.Descriptor{MediaType: typeOf(got), Digest: got.Digest, Size: got.Size}, nil
	}
	if remote.Away(err) && s.way.upstreamID != "" {
		if d, ok := s.cached(ctx); ok {
			s.m.log.Warn("the upstream is away; an image is taken as it was", "image", s.name, "ref", s.ref, "digest", d.Digest, "err", err)
			return d, nil
		}
	}
	return ocispec.Descriptor{}, err
}

// cached finds the image in what the mirror holds.
func (s *Source) cached(ctx context.Context) (ocispec.Descriptor, bool) {
	v := s.m.cfg.Cluster.View()
	r, ok := v.RepositoryByName("", s.name)
	if !ok || r.UpstreamID != s.way.upstreamID {
		return ocispec.Descriptor{}, false
	}
	d := s.ref
	if t, ok := v.Tag(r.ID, s.ref); ok {
		d = t.Digest
	}
	row, ok := v.Manifest(r.ID, d)
	if !ok || !s.m.complete(ctx, v, r.ID, d) {
		return ocispec.Descriptor{}, false
	}
	return ocispec.Descriptor{MediaType: row.Descriptor.MediaType, Digest: digest.Digest(d), Size: row.Descriptor.Size}, true
}

// typeOf is the type that a manifest itself states, else that of its answer.
func typeOf(got remote.Manifest) string {
	var doc struct {
		MediaType string `json:"mediaType"`
	}
	if json.Unmarshal(got.Body, &doc) == nil && doc.MediaType != "" {
		return doc.MediaType
	}
	return got.MediaType
}

// Fetch brings one part; see runtime/image.Source.
func (s *Source) Fetch(ctx context.Context, d ocispec.Descriptor, done func(int64)) (release func(), err error) {
	s.mu.Lock()
	doc, ok := s.docs[d.Digest]
	s.mu.Unlock()
	if !ok && known[d.MediaType] {
		if doc, err = s.way.client.Manifest(ctx, s.repository, d.Digest.String()); err != nil {
			return nil, err
		}
		ok = true
	}
	if !ok {
		return s.m.fetch(ctx, s.way, s.repository, d.Digest, d.Size, false, done)
	}
	if doc.Size != d.Size {
		return nil, &remote.Error{Kind: remote.Nonsense, Host: s.way.client.Host(), Reason: "a manifest of another size than it had announced"}
	}
	return s.m.keep(ctx, s.way, doc)
}

// Holds says whether the tenant could read a part anyhow: it came by the same
// way before, a repository that the caller may read has it, or an image of the
// tenant.
func (s *Source) Holds(d digest.Digest) bool {
	if s.m.provenBy(s.way, d) {
		return true
	}
	v := s.m.cfg.Cluster.View()
	reads := func(repositoryID string) bool {
		r, ok := v.Repository(repositoryID)
		if !ok {
			return false
		}
		if r.UpstreamID != "" {
			return r.UpstreamID == s.way.upstreamID
		}
		return access.MayRead(&s.caller.Principal, r)
	}
	for l := range v.BlobLinksOf(d.String()) {
		if reads(l.RepositoryID) {
			return true
		}
	}
	for row := range v.ManifestsOfDigest(d.String()) {
		if reads(row.RepositoryID) {
			return true
		}
	}
	return s.images(v)[d]
}

// images gives the parts of the images that the tenant has and that everybody
// has. Their manifests are here, in the content store.
func (s *Source) images(v *state.View) map[digest.Digest]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.own != nil {
		return s.own
	}
	s.own = map[digest.Digest]bool{}
	for i := range v.Images() {
		if i.Public || i.TenantID == s.caller.TenantID() {
			s.walk(digest.Digest(i.Digest), 0)
		}
	}
	return s.own
}

// walk adds a manifest or index and what it names. Of an index only the part for
// this host counts, the one that an engine fetches and proves: whoever brought an
// index may have named anything in it.
func (s *Source) walk(d digest.Digest, depth int) {
	const deepest = 4
	if s.own[d] || depth > deepest || d.Validate() != nil {
		return
	}
	b, err := s.m.cfg.Blobs.Read(context.Background(), d, remote.MaxManifest)
	if err != nil {
		return
	}
	s.own[d] = true
	var doc document
	if json.Unmarshal(b, &doc) != nil {
		return
	}
	for _, p := range append(doc.Layers, optional(doc.Config)...) {
		s.own[digest.Digest(p.Digest)] = true
	}
	if p, ok := hostPart(doc.Manifests); ok {
		s.walk(digest.Digest(p.Digest), depth+1)
	}
}

// hostPart is the part of an index that the engine takes on this host.
func hostPart(all []part) (part, bool) {
	host := platforms.Default()
	fits := func(p part) bool { return p.Platform == nil || host.Match(p.platform()) }
	all = slices.DeleteFunc(slices.Clone(all), func(p part) bool { return !fits(p) })
	if len(all) == 0 {
		return part{}, false
	}
	sort.SliceStable(all, func(i, j int) bool {
		if all[i].Platform == nil || all[j].Platform == nil {
			return all[i].Platform != nil
		}
		return host.Less(all[i].platform(), all[j].platform())
	})
	return all[0], true
}

func optional(p *part) []part {
	if p == nil {
		return nil
	}
	return []part{*p}
}
