package state

import (
	"fmt"
	"slices"
	"strings"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// The bounds of an upstream's row; what else makes one valid is judged before
// it is proposed.
const (
	MaxUpstreamEndpoints = 16
	maxUpstreamText      = 64 << 10 // bytes of the CA's PEM
)

func (t *tx) putUpstream(c *command.PutUpstream) *model.Error {
	n := c.Upstream
	old, ok := t.v.Upstream(n.ID)
	if err := expect(metaOf(upstreams, old, ok), c.ExpectVersion, "upstream", n.ID); err != nil {
		return err
	}
	if err := t.checkUpstream(&n); err != nil {
		return err
	}
	if ok {
		if n.Name != old.Name {
			return model.Errorf(model.KindInvalid, "name_fixed", "the upstream %s keeps its name", old.Name).At("name")
		}
		n.Meta = old.Meta
		t.updated(&n.Meta)
		t.replace(tabUpstreams, old, &n)
		if n.Spec.Username != old.Spec.Username {
			t.dropCache(old.ID) // what the other account was shown is not this one's
		}
		return nil
	}
	if err := checkID(n.ID, "upstream"); err != nil {
		return err
	}
	if err := checkName(n.Name); err != nil {
		return err
	}
	if _, taken := t.v.UpstreamByName(n.Name); taken {
		return nameTaken("upstream", n.Name, "")
	}
	t.created(&n.Meta)
	t.create(tabUpstreams, &n)
	if n.Name == model.DefaultUpstream {
		t.dropCache(model.DefaultUpstream)
	}
	t.event(model.Event{Kind: "upstream", ObjectID: n.ID, Object: n.Name, Reason: "Created", Message: "the upstream " + n.Name + " was added"})
	return nil
}

// checkUpstream keeps the row bounded and its tenants real.
func (t *tx) checkUpstream(n *model.Upstream) *model.Error {
	switch {
	case len(n.Spec.Endpoints) > MaxUpstreamEndpoints:
		return model.Errorf(model.KindInvalid, "too_many_endpoints", "%d endpoints; at most %d", len(n.Spec.Endpoints), MaxUpstreamEndpoints).At("spec.endpoints")
	case len(n.Spec.CA) > maxUpstreamText:
		return model.Errorf(model.KindInvalid, "ca_invalid", "the CA is %d bytes long; at most %d", len(n.Spec.CA), maxUpstreamText).At("spec.ca")
	}
	for i, id := range n.Spec.TenantIDs {
		if _, there := t.v.Tenant(id); !there {
			return notFound("tenant", id).At(fmt.Sprintf("spec.tenantIds[%d]", i))
		}
		if slices.Contains(n.Spec.TenantIDs[:i], id) {
			return model.Errorf(model.KindInvalid, "tenant_twice", "the tenant %s stands twice", id).At(fmt.Sprintf("spec.tenantIds[%d]", i))
		}
	}
	return nil
}

func (t *tx) deleteUpstream(c *command.DeleteUpstream) *model.Error {
	old, ok := t.v.Upstream(c.ID)
	if err := expectThere(metaOf(upstreams, old, ok), c.ExpectVersion, "upstream", c.ID); err != nil {
		return err
	}
	t.dropCache(old.ID)
	t.del(tabUpstreams, old)
	t.event(model.Event{Kind: "upstream", ObjectID: old.ID, Object: old.Name, Reason: "Deleted",
		Message: "the upstream " + old.Name + " was deleted by " + t.origin.Actor})
	return nil
}

// dropCache forgets every repository of an upstream.
func (t *tx) dropCache(upstreamID string) {
	for _, r := range collect(t.v.UpstreamRepositories(upstreamID)) {
		t.dropRepository(r)
	}
}

// dropRepository forgets a repository with all that is in it.
func (t *tx) dropRepository(r *model.Repository) {
	for _, o := range collect(under[model.Tag](&t.v, tabTags, idxID, key(r.ID))) {
		t.del(tabTags, o)
	}
	for _, o := range collect(t.v.Manifests(r.ID)) {
		t.del(tabManifests, o)
	}
	for _, o := range collect(t.v.BlobLinks(r.ID)) {
		t.del(tabBlobLinks, o)
	}
	t.del(tabRepositories, r)
}

func (t *tx) cacheManifest(c *command.CacheManifest) *model.Error {
	host := c.UpstreamID
	if u, ok := t.v.Upstream(c.UpstreamID); ok {
		host = u.Name
	} else if _, taken := t.v.UpstreamByName(c.UpstreamID); c.UpstreamID != model.DefaultUpstream || taken {
		return notFound("upstream", c.UpstreamID)
	}
	if !strings.HasPrefix(c.Name, host+"/") {
		return model.Errorf(model.KindInvalid, "name_invalid", "%q is no repository of the upstream %s", c.Name, host).At("name")
	}
	n := c.Manifest
	if err := checkManifest(&n); err != nil {
		return err
	}
	for _, d := range n.Refs {
		if !digestForm.MatchString(d.Digest) {
			return digestInvalid(d.Digest)
		}
	}
	if len(c.Tags) > MaxManifestTags {
		return model.Errorf(model.KindInvalid, "too_many_tags", "%d tags at once; at most %d", len(c.Tags), MaxManifestTags)
	}
	for _, name := range c.Tags {
		if !tagForm.MatchString(name) {
			return tagInvalid(name)
		}
	}
	r, ok := t.v.RepositoryByName("", c.Name)
	if !ok {
		if err := checkID(c.RepositoryID, "repository"); err != nil {
			return err
		}
		if err := checkName(c.Name); err != nil {
			return err
		}
		if _, used := t.v.Repository(c.RepositoryID); used {
			return model.Errorf(model.KindConflict, "already_exists", "the id of repository %s is in use; repeat the change", c.Name)
		}
		r = &model.Repository{Meta: model.Meta{ID: c.RepositoryID, Name: c.Name}, UpstreamID: c.UpstreamID,
			Spec: model.RepositorySpec{Visibility: model.VisibilityTenant}}
		t.created(&r.Meta)
		t.create(tabRepositories, r)
	} else if r.UpstreamID != c.UpstreamID {
		return model.Errorf(model.KindConflict, "repository_fixed", "repository %s is cached from another upstream", c.Name)
	}
	n.RepositoryID, n.PushedAt, n.PushedBy = r.ID, t.now, t.origin.Actor
	if old, there := t.v.Manifest(r.ID, n.Descriptor.Digest); there {
		t.replace(tabManifests, old, &n)
	} else {
		t.create(tabManifests, &n)
	}
	for _, name := range c.Tags {
		tag := &model.Tag{RepositoryID: r.ID, Name: name, Digest: n.Descriptor.Digest, UpdatedAt: t.now, UpdatedBy: t.origin.Actor}
		if old, there := t.v.Tag(r.ID, name); there {
			t.replace(tabTags, old, tag)
		} else {
			t.create(tabTags, tag)
		}
	}
	return nil
}
