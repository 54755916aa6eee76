package state

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// The bounds of a manifest's row. The registry refuses what exceeds them before
// it proposes; here they keep the log's entries bounded.
const (
	MaxManifestRefs        = 2048
	MaxManifestAnnotations = 16 << 10 // bytes of keys and values; longer ones stay in the manifest's bytes
	MaxManifestTags        = 64       // in one push
)

var (
	digestForm = regexp.MustCompile(`^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$`)
	tagForm    = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
)

func (t *tx) putRepository(c *command.PutRepository) *model.Error {
	n := c.Repository
	old, ok := t.v.Repository(n.ID)
	if err := expect(metaOf(repositories, old, ok), c.ExpectVersion, "repository", n.ID); err != nil {
		return err
	}
	switch n.Spec.Visibility {
	case model.VisibilityPublic, model.VisibilityTenant, model.VisibilityPrivate:
	default:
		return model.Errorf(model.KindInvalid, "visibility_invalid", "visibility %q is none; use public, tenant or private", n.Spec.Visibility).At("spec.visibility")
	}
	if ok {
		if n.Name != old.Name {
			return model.Errorf(model.KindInvalid, "name_fixed", "repository %s keeps its name", old.Name).At("name")
		}
		if n.TenantID != "" && n.TenantID != old.TenantID || n.UpstreamID != "" && n.UpstreamID != old.UpstreamID {
			return model.Errorf(model.KindInvalid, "repository_fixed", "repository %s stays with its tenant", old.Name)
		}
		n.Meta, n.TenantID, n.UpstreamID, n.CreatedBy = old.Meta, old.TenantID, old.UpstreamID, old.CreatedBy
		t.updated(&n.Meta)
		t.replace(tabRepositories, old, &n)
		if n.Spec.Visibility != old.Spec.Visibility {
			t.repositoryEvent(&n, "VisibilityChanged", fmt.Sprintf("repository %s is %s now, it was %s", t.v.RepositoryPath(&n), n.Spec.Visibility, old.Spec.Visibility))
		}
		return nil
	}
	if err := checkID(n.ID, "repository"); err != nil {
		return err
	}
	if err := checkName(n.Name); err != nil {
		return err
	}
	if n.UpstreamID == "" {
		if _, there := t.v.Tenant(n.TenantID); !there {
			return notFound("tenant", n.TenantID).At("tenantId")
		}
	} else if n.TenantID != "" {
		return model.Errorf(model.KindInvalid, "repository_fixed", "the repository of an upstream belongs to no tenant").At("tenantId")
	}
	if _, taken := t.v.RepositoryByName(n.TenantID, n.Name); taken {
		return nameTaken("repository", n.Name, "")
	}
	t.created(&n.Meta)
	t.create(tabRepositories, &n)
	t.repositoryEvent(&n, "Created", fmt.Sprintf("repository %s was made (%s)", t.v.RepositoryPath(&n), n.Spec.Visibility))
	return nil
}

func (t *tx) deleteRepository(c *command.DeleteRepository) *model.Error {
	old, ok := t.v.Repository(c.ID)
	if err := expectThere(metaOf(repositories, old, ok), c.ExpectVersion, "repository", c.ID); err != nil {
		return err
	}
	t.repositoryEvent(old, "Deleted", fmt.Sprintf("repository %s was deleted by %s", t.v.RepositoryPath(old), t.origin.Actor))
	t.dropRepository(old)
	return nil
}

func (t *tx) putManifest(c *command.PutManifest) *model.Error {
	n := c.Manifest
	r, ok := t.v.Repository(n.RepositoryID)
	if !ok {
		return notFound("repository", n.RepositoryID)
	}
	if err := checkManifest(&n); err != nil {
		return err
	}
	if len(c.Tags) > MaxManifestTags {
		return model.Errorf(model.KindInvalid, "too_many_tags", "%d tags in one push; at most %d", len(c.Tags), MaxManifestTags)
	}
	for _, d := range n.Refs {
		if err := t.checkRef(n.RepositoryID, d); err != nil {
			return err
		}
	}
	t.useLinks(&n)
	n.PushedAt, n.PushedBy = t.now, t.origin.Actor
	if old, there := t.v.Manifest(n.RepositoryID, n.Descriptor.Digest); there {
		n.PushedAt, n.PushedBy = old.PushedAt, old.PushedBy
		t.replace(tabManifests, old, &n)
	} else {
		t.create(tabManifests, &n)
	}
	for _, name := range c.Tags {
		if err := t.setTag(r, name, n.Descriptor.Digest); err != nil {
			return err
		}
	}
	return nil
}

// useLinks notes that a manifest has needed these blobs, so that they need not
// wait for one any more once it is gone.
func (t *tx) useLinks(m *model.Manifest) {
	for _, d := range m.Refs {
		if old, ok := t.v.BlobLink(m.RepositoryID, d.Digest); ok && !old.Used {
			n := *old
			n.Used = true
			t.replace(tabBlobLinks, old, &n)
		}
	}
}

// checkManifest judges a manifest's row by itself.
func checkManifest(m *model.Manifest) *model.Error {
	annotations := 0
	for k, v := range m.Descriptor.Annotations {
		annotations += len(k) + len(v)
	}
	switch {
	case !digestForm.MatchString(m.Descriptor.Digest):
		return digestInvalid(m.Descriptor.Digest)
	case m.Subject != "" && !digestForm.MatchString(m.Subject):
		return digestInvalid(m.Subject).At("subject")
	case m.Descriptor.Size <= 0:
		return model.Errorf(model.KindInvalid, "manifest_invalid", "a manifest has at least one byte, not %d", m.Descriptor.Size)
	case len(m.Descriptor.MediaType) > maxName || len(m.Descriptor.ArtifactType) > maxName:
		return model.Errorf(model.KindInvalid, "manifest_invalid", "a media type of the manifest is longer than %d bytes", maxName)
	case len(m.Refs) > MaxManifestRefs:
		return model.Errorf(model.KindInvalid, "manifest_invalid", "the manifest names %d blobs and manifests; at most %d", len(m.Refs), MaxManifestRefs)
	case annotations > MaxManifestAnnotations:
		return model.Errorf(model.KindInvalid, "manifest_invalid", "the annotations are %d bytes long; at most %d are kept here", annotations, MaxManifestAnnotations)
	}
	seen := make(map[string]bool, len(m.Refs))
	for _, d := range m.Refs {
		if seen[d.Digest] || d.Digest == m.Descriptor.Digest {
			return model.Errorf(model.KindInvalid, "manifest_invalid", "the reference to %s stands twice or is the manifest's own", d.Digest)
		}
		if len(d.MediaType) > maxName {
			return model.Errorf(model.KindInvalid, "manifest_invalid", "the media type of %s is longer than %d bytes", d.Digest, maxName)
		}
		seen[d.Digest] = true
	}
	return nil
}

// checkRef refuses a reference to what the repository does not hold. An index
// may also name blobs, as build caches do; what it calls a manifest must be one.
func (t *tx) checkRef(repositoryID string, d model.Descriptor) *model.Error {
	size := int64(-1)
	if m, ok := t.v.Manifest(repositoryID, d.Digest); ok {
		size = m.Descriptor.Size
	} else if l, ok := t.v.BlobLink(repositoryID, d.Digest); ok && !model.IsManifestType(d.MediaType) {
		size = l.Size
	}
	switch {
	case size < 0:
		return model.Errorf(model.KindInvalid, "blob_unknown", "the manifest needs %s, which is not in this repository; push it first", d.Digest)
	case size != d.Size:
		return model.Errorf(model.KindInvalid, "size_differs", "the manifest says that %s is %d bytes long; it is %d", d.Digest, d.Size, size)
	}
	return nil
}

func (t *tx) putTag(c *command.PutTag) *model.Error {
	r, ok := t.v.Repository(c.RepositoryID)
	if !ok {
		return notFound("repository", c.RepositoryID)
	}
	if _, ok := t.v.Manifest(r.ID, c.Digest); !ok {
		return model.Errorf(model.KindNotFound, "manifest_unknown", "repository %s has no manifest %s", t.v.RepositoryPath(r), c.Digest)
	}
	return t.setTag(r, c.Name, c.Digest)
}

// setTag lets a tag name a manifest that is there.
func (t *tx) setTag(r *model.Repository, name, digest string) *model.Error {
	if !tagForm.MatchString(name) {
		return tagInvalid(name)
	}
	n := &model.Tag{RepositoryID: r.ID, Name: name, Digest: digest, UpdatedAt: t.now, UpdatedBy: t.origin.Actor}
	old, ok := t.v.Tag(r.ID, name)
	if !ok {
		t.create(tabTags, n)
	} else {
		t.replace(tabTags, old, n)
		if old.Digest == digest {
			return nil
		}
	}
	t.repositoryEvent(r, "Pushed", fmt.Sprintf("%s pushed %s:%s", t.origin.Actor, t.v.RepositoryPath(r), name))
	return nil
}

func (t *tx) deleteTag(c *command.DeleteTag) *model.Error {
	r, ok := t.v.Repository(c.RepositoryID)
	if !ok {
		return notFound("repository", c.RepositoryID)
	}
	old, ok := t.v.Tag(r.ID, c.Name)
	if !ok {
		return notFound("tag", c.Name)
	}
	t.del(tabTags, old)
	t.repositoryEvent(r, "TagDeleted", fmt.Sprintf("%s deleted the tag %s:%s", t.origin.Actor, t.v.RepositoryPath(r), c.Name))
	return nil
}

func (t *tx) deleteManifest(c *command.DeleteManifest) *model.Error {
	r, ok := t.v.Repository(c.RepositoryID)
	if !ok {
		return notFound("repository", c.RepositoryID)
	}
	old, ok := t.v.Manifest(r.ID, c.Digest)
	if !ok {
		return model.Errorf(model.KindNotFound, "manifest_unknown", "repository %s has no manifest %s", t.v.RepositoryPath(r), c.Digest)
	}
	for m := range t.v.ManifestsNeeding(r.ID, c.Digest) {
		return model.Errorf(model.KindConflict, "manifest_in_use", "manifest %s is part of the index %s; delete that first", c.Digest, m.Descriptor.Digest)
	}
	tags := collect(t.v.TagsOf(r.ID, c.Digest))
	if c.OnlyUntagged && len(tags) > 0 {
		return model.Errorf(model.KindConflict, "manifest_in_use", "manifest %s is named by the tag %s", c.Digest, tags[0].Name)
	}
	var names []string
	for _, o := range tags {
		names = append(names, o.Name)
		t.del(tabTags, o)
	}
	t.del(tabManifests, old)
	what := "a manifest"
	if len(names) > 0 {
		what = "the manifest of " + strings.Join(names, ", ")
	}
	t.repositoryEvent(r, "ManifestDeleted", fmt.Sprintf("%s deleted %s from %s", t.origin.Actor, what, t.v.RepositoryPath(r)))
	return nil
}

func (t *tx) linkBlobs(c *command.LinkBlobs) *model.Error {
	for _, l := range c.Links {
		if err := t.link(l.RepositoryID, l.Digest, l.Size); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) mountBlob(c *command.MountBlob) *model.Error {
	from, ok := t.v.BlobLink(c.FromID, c.Digest)
	if !ok {
		return model.Errorf(model.KindNotFound, "blob_unknown", "there is no blob %s to mount", c.Digest)
	}
	return t.link(c.RepositoryID, c.Digest, from.Size)
}

// link writes one link, or makes the one that is there young.
func (t *tx) link(repositoryID, digest string, size int64) *model.Error {
	if _, ok := t.v.Repository(repositoryID); !ok {
		return notFound("repository", repositoryID)
	}
	if !digestForm.MatchString(digest) {
		return digestInvalid(digest)
	}
	if size < 0 {
		return model.Errorf(model.KindInvalid, "size_invalid", "blob %s cannot be %d bytes long", digest, size)
	}
	n := &model.BlobLink{RepositoryID: repositoryID, Digest: digest, Size: size, LinkedAt: t.now}
	if old, ok := t.v.BlobLink(repositoryID, digest); ok {
		t.replace(tabBlobLinks, old, n)
	} else {
		t.create(tabBlobLinks, n)
	}
	return nil
}

func (t *tx) unlinkBlobs(c *command.UnlinkBlobs) []command.Refusal {
	var refused []command.Refusal
	for _, l := range c.Items {
		old, ok := t.v.BlobLink(l.RepositoryID, l.Digest)
		if !ok {
			continue
		}
		if !old.LinkedAt.Equal(l.LinkedAt) {
			refused = append(refused, command.Refusal{ID: l.Digest, Err: model.Errorf(model.KindStale, "stale_version", "blob %s was pushed again meanwhile", l.Digest)})
			continue
		}
		needed := slices.Collect(t.v.ManifestsNeeding(l.RepositoryID, l.Digest))
		if len(needed) > 0 {
			refused = append(refused, command.Refusal{ID: l.Digest, Err: model.Errorf(model.KindConflict, "blob_in_use",
				"blob %s belongs to the manifest %s; delete that first", l.Digest, needed[0].Descriptor.Digest)})
			continue
		}
		t.del(tabBlobLinks, old)
	}
	return refused
}

func tagInvalid(name string) *model.Error {
	return model.Errorf(model.KindInvalid, "tag_invalid", "%q is no tag: 1 to 128 letters, digits, `_`, `.` and `-`, not beginning with `.` or `-`", name).At("tag")
}

func digestInvalid(d string) *model.Error {
	return model.Errorf(model.KindInvalid, "digest_invalid", "%q is no digest: sha256: and 64, or sha512: and 128 hexadecimal digits", d).At("digest")
}

// repositoryEvent tells the tenant what happened to a repository; of a private
// one only the platform hears, because its name is not for everybody.
func (t *tx) repositoryEvent(r *model.Repository, reason, message string) {
	e := model.Event{TenantID: r.TenantID, Kind: "repository", ObjectID: r.ID, Object: t.v.RepositoryPath(r), Reason: reason, Message: message}
	if r.Spec.Visibility == model.VisibilityPrivate {
		e.TenantID = ""
	}
	t.event(e)
}
