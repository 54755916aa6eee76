package state

import (
	"iter"
	"strings"

	"github.com/skerryhq/skerry/raft/model"
)

var repositories = named[model.Repository]{tabRepositories, "repository",
	func(o *model.Repository) *model.Meta { return &o.Meta }, func(o *model.Repository) string { return o.TenantID }}

// Repository finds a repository by id.
func (v *View) Repository(id string) (*model.Repository, bool) {
	return first[model.Repository](v, tabRepositories, idxID, key(id))
}

// RepositoryByName finds a repository by its name within a tenant; those of
// upstreams are in no tenant ("").
func (v *View) RepositoryByName(tenantID, name string) (*model.Repository, bool) {
	return firstPrefix[model.Repository](v, tabRepositories, idxTenant, key(tenantID, name))
}

// RepositoryByPath finds a repository by "tenant/name", or an upstream's by
// "host.with.dot/name".
func (v *View) RepositoryByPath(path string) (*model.Repository, bool) {
	tenant, name, ok := strings.Cut(path, "/")
	if !ok {
		return nil, false
	}
	if strings.ContainsAny(tenant, ".:") { // the name of a tenant holds neither
		return v.RepositoryByName("", path)
	}
	t, ok := v.TenantByName(tenant)
	if !ok {
		return nil, false
	}
	return v.RepositoryByName(t.ID, name)
}

// RepositoryPath is "tenant/name", the way people write a repository.
func (v *View) RepositoryPath(r *model.Repository) string {
	if t, ok := v.Tenant(r.TenantID); ok {
		return t.Name + "/" + r.Name
	}
	return r.Name
}

// FindRepository finds a repository in scope, or a public one, by id, by its
// name within the scope's tenant, or by "tenant/name". Errors: "not_found",
// "name_ambiguous". Whether the caller may see a private one is for the caller
// to say.
func (v *View) FindRepository(s Scope, ref string) (*model.Repository, error) {
	sees := func(o *model.Repository) bool {
		return s.Covers(o.TenantID) || s != (Scope{}) && o.Spec.Visibility == model.VisibilityPublic
	}
	if o, ok := v.Repository(ref); ok && sees(o) {
		return o, nil
	}
	if !s.all && s.tenantID != "" {
		if o, ok := v.RepositoryByName(s.tenantID, ref); ok {
			return o, nil
		}
	}
	if o, ok := v.RepositoryByPath(ref); ok && sees(o) {
		return o, nil
	}
	return repositories.find(v, s, ref)
}

// ListRepositories gives a page of the repositories in scope, public ones
// included, that keep accepts (nil: all), by tenant, then name.
func (v *View) ListRepositories(s Scope, p Page, keep func(*model.Repository) bool) (List[model.Repository], error) {
	if s == (Scope{}) {
		return List[model.Repository]{}, nil
	}
	return repositories.list(v, AllTenants(), p, func(o *model.Repository) bool {
		return (o.Spec.Visibility == model.VisibilityPublic || s.Covers(o.TenantID)) && (keep == nil || keep(o))
	})
}

// Repositories walks all repositories by tenant, then name.
func (v *View) Repositories() iter.Seq[*model.Repository] {
	return under[model.Repository](v, tabRepositories, idxTenant, nil)
}

// RepositoriesOf walks a tenant's repositories by name.
func (v *View) RepositoriesOf(tenantID string) iter.Seq[*model.Repository] {
	return under[model.Repository](v, tabRepositories, idxTenant, key(tenantID))
}

// Manifest finds a manifest of a repository.
func (v *View) Manifest(repositoryID, digest string) (*model.Manifest, bool) {
	return first[model.Manifest](v, tabManifests, idxID, key(repositoryID, digest))
}

// Manifests walks a repository's manifests by digest.
func (v *View) Manifests(repositoryID string) iter.Seq[*model.Manifest] {
	return under[model.Manifest](v, tabManifests, idxID, key(repositoryID))
}

// AllManifests walks every manifest.
func (v *View) AllManifests() iter.Seq[*model.Manifest] {
	return under[model.Manifest](v, tabManifests, idxID, nil)
}

// ManifestsOfDigest walks the manifests with a digest in all repositories.
func (v *View) ManifestsOfDigest(digest string) iter.Seq[*model.Manifest] {
	return under[model.Manifest](v, tabManifests, idxDigest, key(digest))
}

// ManifestsNeeding walks the manifests of a repository that need a digest: a
// layer, a config or, for an index, a manifest.
func (v *View) ManifestsNeeding(repositoryID, digest string) iter.Seq[*model.Manifest] {
	return under[model.Manifest](v, tabManifests, idxRef, key(repositoryID, digest))
}

// Referrers walks the manifests of a repository whose subject is a digest, by
// digest. The subject itself may be missing.
func (v *View) Referrers(repositoryID, subject string) iter.Seq[*model.Manifest] {
	return under[model.Manifest](v, tabManifests, idxSubject, key(repositoryID, subject))
}

// Tag finds a tag of a repository.
func (v *View) Tag(repositoryID, name string) (*model.Tag, bool) {
	return first[model.Tag](v, tabTags, idxID, key(repositoryID, name))
}

// Tags gives at most n tags of a repository behind the name after, by name; n
// below 0 means all. more says that there are further ones.
func (v *View) Tags(repositoryID, after string, n int) (tags []*model.Tag, more bool) {
	prefix := key(repositoryID)
	if v.ws != nil { // a lower bound cannot be watched: watch the whole range
		it, err := v.txn.Get(tabTags, idxID, prefix)
		must(err)
		v.ws.Add(it.WatchCh())
	}
	seek := prefix
	if after != "" {
		seek = append(key(repositoryID, after), 0) // just behind that tag, whether it is there or not
	}
	it, err := v.txn.LowerBound(tabTags, idxID, seek)
	must(err)
	for o := it.Next(); o != nil; o = it.Next() {
		t := o.(*model.Tag)
		if t.RepositoryID != repositoryID {
			return tags, false
		}
		if n >= 0 && len(tags) == n {
			return tags, true
		}
		tags = append(tags, t)
	}
	return tags, false
}

// TagsOf walks the tags that name a manifest, by name.
func (v *View) TagsOf(repositoryID, digest string) iter.Seq[*model.Tag] {
	return under[model.Tag](v, tabTags, idxDigest, key(repositoryID, digest))
}

// BlobLink finds the link of a repository to a blob. Manifests are not linked.
func (v *View) BlobLink(repositoryID, digest string) (*model.BlobLink, bool) {
	return first[model.BlobLink](v, tabBlobLinks, idxID, key(repositoryID, digest))
}

// BlobLinks walks a repository's links by digest.
func (v *View) BlobLinks(repositoryID string) iter.Seq[*model.BlobLink] {
	return under[model.BlobLink](v, tabBlobLinks, idxID, key(repositoryID))
}

// BlobLinksOf walks the links of all repositories to a blob.
func (v *View) BlobLinksOf(digest string) iter.Seq[*model.BlobLink] {
	return under[model.BlobLink](v, tabBlobLinks, idxDigest, key(digest))
}

// AllBlobLinks walks every link.
func (v *View) AllBlobLinks() iter.Seq[*model.BlobLink] {
	return under[model.BlobLink](v, tabBlobLinks, idxID, nil)
}

// LinkedAnywhere says whether any repository holds a digest, as a blob or as a
// manifest.
func (v *View) LinkedAnywhere(digest string) bool {
	if _, ok := firstPrefix[model.BlobLink](v, tabBlobLinks, idxDigest, key(digest)); ok {
		return true
	}
	_, ok := firstPrefix[model.Manifest](v, tabManifests, idxDigest, key(digest))
	return ok
}

// RegistryDigests walks what the registry holds, whatever the repository: every
// manifest and every linked blob with its size in bytes. What several
// repositories hold comes several times.
func (v *View) RegistryDigests() iter.Seq2[string, int64] {
	return func(yield func(string, int64) bool) {
		for m := range v.AllManifests() {
			if !yield(m.Descriptor.Digest, m.Descriptor.Size) {
				return
			}
		}
		for l := range v.AllBlobLinks() {
			if !yield(l.Digest, l.Size) {
				return
			}
		}
	}
}

// RepositoryUsage is how much is in a repository.
type RepositoryUsage struct {
	Tags      int
	Manifests int
	Blobs     int   // linked ones, manifests not counted
	Bytes     int64 // of manifests and blobs, each digest once
}

// RepositoryUsage counts what is in a repository. It walks all of it.
func (v *View) RepositoryUsage(repositoryID string) RepositoryUsage {
	var u RepositoryUsage
	for range under[model.Tag](v, tabTags, idxID, key(repositoryID)) {
		u.Tags++
	}
	for m := range v.Manifests(repositoryID) {
		u.Manifests++
		u.Bytes += m.Descriptor.Size
	}
	for l := range v.BlobLinks(repositoryID) {
		u.Blobs++
		if _, also := v.Manifest(repositoryID, l.Digest); !also {
			u.Bytes += l.Size
		}
	}
	return u
}
