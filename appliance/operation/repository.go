package operation

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/appliance/registry/auth"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// The bounds of what a user says about a repository.
const (
	maxDescription = 4096 // characters
	maxLabels      = 64
)

func checkRepositorySpec(s model.RepositorySpec) error {
	if n := utf8.RuneCountInString(s.Description); n > maxDescription {
		return invalid("description_long", "the description has %d characters; at most %d", n, maxDescription).At("spec.description")
	}
	if !utf8.ValidString(s.Description) {
		return invalid("description_invalid", "the description is not valid UTF-8 text").At("spec.description")
	}
	if len(s.Labels) > maxLabels {
		return invalid("too_many_labels", "%d labels; at most %d", len(s.Labels), maxLabels).At("spec.labels")
	}
	for k, v := range s.Labels {
		if k == "" || len(k)+len(v) > maxLabelSize {
			return invalid("label_invalid", "the label %q is empty or longer than %d bytes with its value", clip(k), maxLabelSize).At("spec.labels")
		}
	}
	switch s.Visibility {
	case "", model.VisibilityPublic, model.VisibilityTenant, model.VisibilityPrivate:
		return nil
	}
	return invalid("visibility_invalid", "%q is no visibility; use public, tenant or private", clip(string(s.Visibility))).At("spec.visibility")
}

// CreateRepository makes a repository in the caller's tenant.
func (d *Desk) CreateRepository(ctx context.Context, c access.Caller, in api.RepositoryInput) (*model.Repository, error) {
	if err := access.CheckRepositoryName(in.Name); err != nil {
		return nil, err
	}
	if err := checkRepositorySpec(in.Spec); err != nil {
		return nil, err
	}
	v := d.cfg.Store.View()
	tenant, name, err := destination(v, c, imageName{path: in.Name})
	if err != nil {
		return nil, err
	}
	path := tenant + "/" + name
	if t, ok := v.TenantByName(tenant); ok && access.Decide(&c.Principal, access.PermImageWrite, t.ID) != access.Allow {
		return nil, mayNotWrite(path)
	}
	if _, taken := v.RepositoryByPath(path); taken {
		return nil, model.Errorf(model.KindConflict, "name_taken", "the repository %s is there already", path).At("name")
	}
	return auth.Make(ctx, writer{d}, c, tenant, name, in.Spec)
}

// UpdateRepository changes who may read a repository, its description and labels.
func (d *Desk) UpdateRepository(ctx context.Context, c access.Caller, r *model.Repository, expect uint64, spec model.RepositorySpec) (*model.Repository, error) {
	if err := d.mayChange(c, r); err != nil {
		return nil, err
	}
	if err := checkRepositorySpec(spec); err != nil {
		return nil, err
	}
	if spec.Visibility == "" {
		spec.Visibility = r.Spec.Visibility
	}
	next := *r
	next.Spec = spec
	if err := d.propose(ctx, &command.PutRepository{Head: signFor(c, r), Repository: next, ExpectVersion: expect}); err != nil {
		return nil, err
	}
	if now, ok := d.cfg.Store.View().Repository(r.ID); ok {
		return now, nil
	}
	return nil, model.Errorf(model.KindNotFound, "not_found", "the repository %s was deleted at the same moment", r.Name)
}

// signFor is sign for something in a repository's tenant.
func signFor(c access.Caller, r *model.Repository) command.Head {
	h := sign(c)
	h.Origin.TenantID = r.TenantID
	return h
}

// mayChange decides again, by the repository's own tenant: the gate knew only
// the tenant that the request acts in.
func (d *Desk) mayChange(c access.Caller, r *model.Repository) error {
	if r.UpstreamID != "" {
		return model.Errorf(model.KindConflict, "repository_mirrored", "%s is kept from an upstream; what is in it is the upstream's to change", r.Name)
	}
	if !access.MayWrite(&c.Principal, r) {
		return mayNotWrite(d.cfg.Store.View().RepositoryPath(r))
	}
	return nil
}

// DeleteRepository deletes a repository with all that is in it. Refused while a
// service or container runs one of its images ("image_in_use"), unless force.
func (d *Desk) DeleteRepository(ctx context.Context, c access.Caller, r *model.Repository, expect uint64, force bool) (int64, error) {
	if err := d.mayChange(c, r); err != nil {
		return 0, err
	}
	v := d.cfg.Store.View()
	var all []string
	for m := range v.Manifests(r.ID) {
		all = append(all, m.Descriptor.Digest)
	}
	path := v.RepositoryPath(r)
	if !force {
		for _, digest := range all {
			if user := imageUser(v, c, path, digest); user != "" {
				return 0, inUse(path, user)
			}
		}
	}
	freed, err := d.freesAll(ctx, v, r, all)
	if err != nil {
		return 0, err
	}
	return freed, d.propose(ctx, &command.DeleteRepository{Head: signFor(c, r), ID: r.ID, Path: path, ExpectVersion: expect})
}

func inUse(what, user string) error {
	return model.Errorf(model.KindConflict, "image_in_use", "%s is in use by %s; end that first, or delete with force: what runs goes on", what, user)
}

// imageUser names a service or container that runs what was taken from a
// repository; of other tenants only that there is one. Empty if nobody does.
func imageUser(v *state.View, c access.Caller, path, digest string) string {
	name := func(kind, tenantID, name string) string {
		if access.Decide(&c.Principal, "app.read", tenantID) != access.Allow {
			return "another tenant"
		}
		return kind + " " + name
	}
	for s := range v.Services() {
		if s.Spec.Container.ImageDigest == digest && ofRepository(s.Spec.Container.Image, path) {
			return name("the service", s.TenantID, s.AppName+"."+s.Name)
		}
	}
	for o := range v.Containers() {
		if o.Spec.ImageDigest == digest && ofRepository(o.Spec.Image, path) {
			return name("the container", o.TenantID, o.Name)
		}
	}
	return ""
}

// ofRepository says whether an image's full name is in a repository.
func ofRepository(image, path string) bool {
	full := fullName(path, "")
	return image == full || len(image) > len(full) && image[:len(full)] == full && (image[len(full)] == ':' || image[len(full)] == '@')
}

// PutTag lets a tag name a manifest of the repository.
func (d *Desk) PutTag(ctx context.Context, c access.Caller, r *model.Repository, tag, digest string) error {
	if err := d.mayChange(c, r); err != nil {
		return err
	}
	path := d.cfg.Store.View().RepositoryPath(r)
	return d.propose(ctx, &command.PutTag{Head: signFor(c, r), Path: path, RepositoryID: r.ID, Name: tag, Digest: digest})
}

// DeleteTag deletes a tag, and its manifest with it unless a tag, an index, a
// service, a container or a kept revision names that.
func (d *Desk) DeleteTag(ctx context.Context, c access.Caller, r *model.Repository, tag string) (int64, error) {
	if err := d.mayChange(c, r); err != nil {
		return 0, err
	}
	v := d.cfg.Store.View()
	path := v.RepositoryPath(r)
	t, ok := v.Tag(r.ID, tag)
	if !ok {
		return 0, model.Errorf(model.KindNotFound, "tag_unknown", "the repository %s has no tag %s", path, clip(tag))
	}
	names := 0
	for range v.TagsOf(r.ID, t.Digest) {
		names++
	}
	del := &command.DeleteTag{Head: signFor(c, r), Path: path, RepositoryID: r.ID, Name: tag}
	indexed := false
	for range v.ManifestsNeeding(r.ID, t.Digest) {
		indexed = true
	}
	if names > 1 || indexed || wanted(v, "")[t.Digest] {
		return 0, d.propose(ctx, del)
	}
	if err := d.propose(ctx, del); err != nil {
		return 0, err
	}
	freed, err := d.dropManifest(ctx, c, r, path, t.Digest, true)
	if errors.Is(err, errMoved) {
		return 0, nil
	}
	return freed, err
}

// DeleteManifest deletes a manifest with its tags, by tag or digest. Refused
// while a service or container runs it ("image_in_use"), unless force.
func (d *Desk) DeleteManifest(ctx context.Context, c access.Caller, r *model.Repository, reference string, force bool) (int64, error) {
	if err := d.mayChange(c, r); err != nil {
		return 0, err
	}
	v := d.cfg.Store.View()
	path := v.RepositoryPath(r)
	digest := reference
	if t, ok := v.Tag(r.ID, reference); ok {
		digest = t.Digest
	}
	if _, ok := v.Manifest(r.ID, digest); !ok {
		return 0, model.Errorf(model.KindNotFound, "manifest_unknown", "the repository %s has no %s", path, clip(reference))
	}
	if user := imageUser(v, c, path, digest); user != "" && !force {
		return 0, inUse(path+"@"+digest, user)
	}
	freed, err := d.dropManifest(ctx, c, r, path, digest, false)
	if errors.Is(err, errMoved) {
		return 0, model.Errorf(model.KindConflict, "manifest_in_use", "%s@%s was made part of an index at the same moment; delete that first", path, digest)
	}
	return freed, err
}

var errMoved = errors.New("something names the manifest again")

// dropManifest deletes a manifest and what goes with it, and says what that
// frees. A tag that somebody pushes at the same moment keeps what it names; with
// onlyUntagged that goes for the manifest itself too. Errors: errMoved.
func (d *Desk) dropManifest(ctx context.Context, c access.Caller, r *model.Repository, path, digest string, onlyUntagged bool) (int64, error) {
	v := d.cfg.Store.View()
	gone := doomed(v, r.ID, digest)
	freed, err := d.freesAll(ctx, v, r, gone)
	if err != nil {
		return 0, err
	}
	for i, dg := range gone {
		err := d.propose(ctx, &command.DeleteManifest{Head: signFor(c, r), Path: path, RepositoryID: r.ID, Digest: dg, OnlyUntagged: onlyUntagged || i > 0})
		switch k := model.KindOf(err); {
		case err == nil:
		case i == 0 && k == model.KindConflict:
			return 0, errMoved
		case i == 0:
			return 0, err
		case k == model.KindConflict || k == model.KindNotFound: // somebody needs or deleted that part meanwhile
		default:
			return 0, fmt.Errorf("delete %s of %s: %w", dg, path, err)
		}
	}
	return freed, nil
}
