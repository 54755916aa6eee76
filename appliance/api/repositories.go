package api

import (
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// findRepository finds what ref means to the caller. What he may not read is not
// there.
func findRepository(r *request, ref string) (*model.Repository, error) {
	o, err := r.view.FindRepository(r.scope, ref)
	if err != nil && strings.ContainsAny(ref, ".:") { // an upstream's
		if u, ok := r.view.RepositoryByPath(ref); ok && u.UpstreamID != "" {
			o, err = u, nil
		}
	}
	if err != nil || !access.MayReadAny(r.view, &r.caller.Principal, o) {
		return nil, notFound("repository", short(ref))
	}
	return o, nil
}

// repository renders a repository with what is in it.
func repository(v *state.View, p *access.Principal, o *model.Repository) Repository {
	u := v.RepositoryUsage(o.ID)
	out := Repository{
		ID: o.ID, Name: o.Name, Version: o.Version, CreatedAt: o.CreatedAt, UpdatedAt: o.UpdatedAt,
		Path: v.RepositoryPath(o), TenantID: o.TenantID, Spec: o.Spec,
		Status: RepositoryStatus{Tags: u.Tags, Manifests: u.Manifests, SizeBytes: u.Bytes, Writable: access.MayWrite(p, o)},
	}
	if t, ok := v.Tenant(o.TenantID); ok {
		out.Tenant = t.Name
	}
	if by, ok := v.User(o.CreatedBy); ok {
		out.CreatedBy = by.Name
	}
	if o.UpstreamID != "" {
		out.Upstream, _, _ = strings.Cut(o.Name, "/")
	}
	for m := range v.Manifests(o.ID) {
		if m.PushedAt.After(out.Status.PushedAt) {
			out.Status.PushedAt = m.PushedAt
		}
	}
	return out
}

// ListRepositories lists the repositories that the caller may read.
func (s *Server) ListRepositories(c *gin.Context, q ListRepositoriesParams) {
	r := of(c)
	p, err := page(q.Limit, q.Cursor)
	if err != nil {
		s.fail(c, err)
		return
	}
	who := &r.caller.Principal
	l, err := r.view.ListRepositories(r.scope, p, func(o *model.Repository) bool {
		return access.MayReadAny(r.view, who, o) && contains(r.view.RepositoryPath(o), q.Name)
	})
	out := RepositoryList{Items: make([]Repository, len(l.Items)), NextCursor: l.Next}
	for i, o := range l.Items {
		out.Items[i] = repository(r.view, who, o)
	}
	s.reply(c, http.StatusOK, out, err)
}

// replyRepository shows a repository as it is now.
func (s *Server) replyRepository(c *gin.Context, status int, o *model.Repository, err error) {
	if err != nil {
		s.fail(c, err)
		return
	}
	s.object(c, status, o.Version, repository(s.cluster.View(), &of(c).caller.Principal, o))
}

// CreateRepository makes a repository.
func (s *Server) CreateRepository(c *gin.Context, _ CreateRepositoryParams) {
	var in RepositoryInput
	ops, _, err := s.registry()
	if err == nil {
		err = decode(c, &in)
	}
	var made *model.Repository
	if err == nil {
		made, err = ops.CreateRepository(c.Request.Context(), of(c).caller, in)
	}
	s.replyRepository(c, http.StatusCreated, made, err)
}

// GetRepository shows a repository.
func (s *Server) GetRepository(c *gin.Context, ref RepositoryRef, _ GetRepositoryParams) {
	o, err := findRepository(of(c), ref)
	s.replyRepository(c, http.StatusOK, o, err)
}

// UpdateRepository changes who may read it, and what is said about it.
func (s *Server) UpdateRepository(c *gin.Context, ref RepositoryRef, q UpdateRepositoryParams) {
	var in model.RepositorySpec
	ops, _, err := s.registry()
	version, verr := expect(q.IfMatch)
	if err == nil {
		err = verr
	}
	if err == nil {
		err = decode(c, &in)
	}
	var o *model.Repository
	if err == nil {
		o, err = findRepository(of(c), ref)
	}
	if err == nil {
		o, err = ops.UpdateRepository(c.Request.Context(), of(c).caller, o, version, in)
	}
	s.replyRepository(c, http.StatusOK, o, err)
}

// replyFreed says what a deletion will give back.
func (s *Server) replyFreed(c *gin.Context, freed int64, err error) {
	s.reply(c, http.StatusOK, Freed{Bytes: freed}, err)
}

// DeleteRepository deletes a repository with all that is in it.
func (s *Server) DeleteRepository(c *gin.Context, ref RepositoryRef, q DeleteRepositoryParams) {
	ops, _, err := s.registry()
	version, verr := expect(q.IfMatch)
	if err == nil {
		err = verr
	}
	var o *model.Repository
	if err == nil {
		o, err = findRepository(of(c), ref)
	}
	var freed int64
	if err == nil {
		freed, err = ops.DeleteRepository(c.Request.Context(), of(c).caller, o, version, q.Force)
	}
	s.replyFreed(c, freed, err)
}

// weight is the size of a manifest with everything that it needs, and the
// platforms that it is for.
func weight(v *state.View, m *model.Manifest) (int64, []string) {
	seen, platforms := map[string]bool{}, []string{}
	var walk func(m *model.Manifest) int64
	walk = func(m *model.Manifest) int64 {
		if seen[m.Descriptor.Digest] {
			return 0
		}
		seen[m.Descriptor.Digest] = true
		n := m.Descriptor.Size
		if p := m.Descriptor.Platform; p != "" && !slices.Contains(platforms, p) {
			platforms = append(platforms, p)
		}
		for _, d := range m.Refs {
			if part, ok := v.Manifest(m.RepositoryID, d.Digest); ok {
				if d.Platform != "" && d.Platform != "unknown/unknown" && !slices.Contains(platforms, d.Platform) {
					platforms = append(platforms, d.Platform)
				}
				n += walk(part)
			} else if !seen[d.Digest] {
				seen[d.Digest] = true
				n += d.Size
			}
		}
		return n
	}
	n := walk(m)
	slices.Sort(platforms)
	return n, platforms
}

func tagOf(v *state.View, t *model.Tag, used map[string]bool) Tag {
	out := Tag{Name: t.Name, Digest: t.Digest, UpdatedAt: t.UpdatedAt, UpdatedBy: t.UpdatedBy, InUse: used[t.Digest]}
	if m, ok := v.Manifest(t.RepositoryID, t.Digest); ok {
		out.MediaType, out.ArtifactType = m.Descriptor.MediaType, m.Descriptor.ArtifactType
		out.SizeBytes, out.Platforms = weight(v, m)
	}
	return out
}

// inUse gives the digests that services and containers run which the caller may see.
func inUse(r *request) map[string]bool {
	out := map[string]bool{}
	for o := range r.view.Services() {
		if r.mayRead(o.TenantID) {
			out[o.Spec.Container.ImageDigest] = true
		}
	}
	for o := range r.view.Containers() {
		if r.mayRead(o.TenantID) {
			out[o.Spec.ImageDigest] = true
		}
	}
	return out
}

// mayRead says whether the caller may see a tenant's apps.
func (r *request) mayRead(tenantID string) bool {
	return access.Decide(&r.caller.Principal, "app.read", tenantID) == access.Allow
}

// ListTags lists the tags of a repository, the newest first.
func (s *Server) ListTags(c *gin.Context, ref RepositoryRef, q ListTagsParams) {
	r := of(c)
	o, err := findRepository(r, ref)
	if err != nil {
		s.fail(c, err)
		return
	}
	all, _ := r.view.Tags(o.ID, "", -1)
	all = slices.DeleteFunc(slices.Clone(all), func(t *model.Tag) bool { return !contains(t.Name, q.Name) })
	slices.SortStableFunc(all, func(a, b *model.Tag) int { return b.UpdatedAt.Compare(a.UpdatedAt) })
	part, next, err := paged(all, q.Limit, q.Cursor)
	out := TagList{Items: make([]Tag, len(part)), NextCursor: next}
	used := inUse(r)
	for i, t := range part {
		out.Items[i] = tagOf(r.view, t, used)
	}
	s.reply(c, http.StatusOK, out, err)
}

// PutTag points a tag at a manifest of the repository.
func (s *Server) PutTag(c *gin.Context, ref RepositoryRef, tag TagName, _ PutTagParams) {
	var in TagInput
	r := of(c)
	ops, _, err := s.registry()
	if err == nil {
		err = decode(c, &in)
	}
	if err == nil && in.Digest == "" {
		err = invalid("digest_missing", "it is not said what the tag names; send the digest of a manifest in the repository").At("digest")
	}
	var o *model.Repository
	if err == nil {
		o, err = findRepository(r, ref)
	}
	if err == nil {
		err = ops.PutTag(c.Request.Context(), r.caller, o, tag, in.Digest)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	r.view = s.cluster.View()
	t, ok := r.view.Tag(o.ID, tag)
	if !ok {
		s.fail(c, notFound("tag", tag))
		return
	}
	s.ok(c, http.StatusOK, tagOf(r.view, t, inUse(r)))
}

// DeleteTag removes a tag, and its manifest unless something else names it.
func (s *Server) DeleteTag(c *gin.Context, ref RepositoryRef, tag TagName, _ DeleteTagParams) {
	r := of(c)
	ops, _, err := s.registry()
	var o *model.Repository
	if err == nil {
		o, err = findRepository(r, ref)
	}
	var freed int64
	if err == nil {
		freed, err = ops.DeleteTag(c.Request.Context(), r.caller, o, tag)
	}
	s.replyFreed(c, freed, err)
}

// findManifest finds a manifest of a repository by tag or digest.
func findManifest(r *request, ref, reference string) (*model.Repository, *model.Manifest, error) {
	o, err := findRepository(r, ref)
	if err != nil {
		return nil, nil, err
	}
	if t, ok := r.view.Tag(o.ID, reference); ok {
		reference = t.Digest
	}
	m, ok := r.view.Manifest(o.ID, reference)
	if !ok {
		return nil, nil, model.Errorf(model.KindNotFound, "manifest_unknown", "the repository %s has no %s", r.view.RepositoryPath(o), short(reference))
	}
	return o, m, nil
}

func manifestPart(d model.Descriptor) ManifestPart {
	return ManifestPart{Digest: d.Digest, MediaType: d.MediaType, ArtifactType: d.ArtifactType, SizeBytes: d.Size, Platform: d.Platform, Annotations: d.Annotations}
}

// whole says whether a repository holds what a manifest names. One of a tenant
// always does. What comes from an upstream is a stranger's: it may name content of
// this node that only somebody else has shown to have.
func whole(v *state.View, o *model.Repository, m *model.Manifest) bool {
	if o.UpstreamID == "" {
		return true
	}
	if model.IsIndexType(m.Descriptor.MediaType) { // what its manifests name is not in its own references
		return false
	}
	for _, part := range m.Refs {
		if _, linked := v.BlobLink(o.ID, part.Digest); !linked {
			return false
		}
	}
	return true
}

// GetManifest shows an image of a repository with its parts and who uses it.
func (s *Server) GetManifest(c *gin.Context, ref RepositoryRef, reference Reference, _ GetManifestParams) {
	r, ctx := of(c), c.Request.Context()
	ops, node, err := s.registry()
	var o *model.Repository
	var m *model.Manifest
	if err == nil {
		o, m, err = findManifest(r, ref, reference)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	d, path := m.Descriptor, r.view.RepositoryPath(o)
	out := ManifestDetail{
		Repository: path, Name: path + "@" + d.Digest, Digest: d.Digest, MediaType: d.MediaType, ArtifactType: d.ArtifactType,
		Annotations: d.Annotations, PushedAt: m.PushedAt, PushedBy: m.PushedBy,
		Tags: []string{}, Layers: []ImageLayer{}, UsedBy: manifestUsers(r, d.Digest),
	}
	out.SizeBytes, out.Platforms = weight(r.view, m)
	for t := range r.view.TagsOf(o.ID, d.Digest) {
		out.Tags = append(out.Tags, t.Name)
	}
	switch {
	case slices.Contains(out.Tags, reference):
		out.Name = path + ":" + reference
	case len(out.Tags) > 0:
		out.Name = path + ":" + out.Tags[0]
	}
	for _, part := range m.Refs {
		if _, nested := r.view.Manifest(o.ID, part.Digest); nested {
			out.Manifests = append(out.Manifests, manifestPart(part))
		}
	}
	for a := range r.view.Referrers(o.ID, d.Digest) {
		out.Referrers = append(out.Referrers, manifestPart(a.Descriptor))
	}
	if whole(r.view, o, m) {
		config, layers, err := node.ManifestConfig(ctx, d)
		if err == nil {
			out.Config, out.Layers = config, append(out.Layers, layers...)
		} else if k := model.KindOf(err); k != model.KindUnavailable && k != model.KindNotFound {
			s.fail(c, err)
			return
		}
	}
	if out.FreesBytes, err = ops.FreesManifest(ctx, o, d.Digest); err != nil {
		s.fail(c, err)
		return
	}
	s.ok(c, http.StatusOK, out)
}

// manifestUsers lists the services and containers of the caller's tenants that
// run an image.
func manifestUsers(r *request, digest string) []UsedBy {
	out := []UsedBy{}
	for o := range r.view.Services() {
		if o.Spec.Container.ImageDigest == digest && r.mayRead(o.TenantID) {
			out = append(out, UsedBy{Kind: "service", ID: o.ID, Name: o.Name, AppName: o.AppName})
		}
	}
	for o := range r.view.Containers() {
		if o.Spec.ImageDigest == digest && r.mayRead(o.TenantID) {
			out = append(out, UsedBy{Kind: "container", ID: o.ID, Name: o.Name, AppName: o.AppName})
		}
	}
	return out
}

// DeleteManifest removes a manifest with its tags.
func (s *Server) DeleteManifest(c *gin.Context, ref RepositoryRef, reference Reference, q DeleteManifestParams) {
	r := of(c)
	ops, _, err := s.registry()
	var o *model.Repository
	if err == nil {
		o, err = findRepository(r, ref)
	}
	var freed int64
	if err == nil {
		freed, err = ops.DeleteManifest(c.Request.Context(), r.caller, o, reference, q.Force)
	}
	s.replyFreed(c, freed, err)
}

// ExportManifest sends an image of a repository as a tar.
func (s *Server) ExportManifest(c *gin.Context, ref RepositoryRef, reference Reference, _ ExportManifestParams) {
	r := of(c)
	_, node, err := s.registry()
	var o *model.Repository
	var m *model.Manifest
	if err == nil {
		o, m, err = findManifest(r, ref, reference)
	}
	if err == nil && !whole(r.view, o, m) {
		err = model.Errorf(model.KindConflict, "repository_mirrored", "%s is kept from an upstream, and not all of this image is here for you: pull it with `skerry image pull`, then export that", r.view.RepositoryPath(o))
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	name := ""
	if reference != m.Descriptor.Digest {
		name = r.view.RepositoryPath(o) + ":" + reference
	}
	s.sendTar(c, func(w io.Writer) error { return node.ExportManifest(c.Request.Context(), m.Descriptor, name, w) })
}
