package operation

import (
	"context"
	"slices"
	"strings"

	"github.com/distribution/reference"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// imageName is an image as a user wrote it, made whole.
type imageName struct {
	full   string // "docker.io/library/nginx:1.25"; with a digest and no tag: "docker.io/library/nginx"
	pull   string // what a registry is asked for
	digest string // asked for by digest; else empty
	ours   bool   // written with a name of this cluster's registry
	host   bool   // written with a host
	path   string // what was written, without host, tag and digest: "nginx", "shop/web"
	tag    string // "latest" where nothing was said; empty with a digest and no tag
}

// parse is parseImage with what this cluster calls its own.
func (d *Desk) parse(s string) (imageName, error) { return parseImage(s, d.isOurs) }

// parseImage makes a name whole: no host means docker.io, no folder library/, no
// tag latest. Every host that is ours means model.RegistryHost.
func parseImage(s string, ours func(host string) bool) (imageName, error) {
	bad := func(why string) (imageName, error) {
		return imageName{}, invalid("image_name_invalid", "%q is not an image name: %s; write NAME, NAME:TAG, HOST/NAME:TAG or NAME@sha256:...", clip(s), why)
	}
	if s == "" {
		return bad("it is empty")
	}
	if strings.TrimSpace(s) != s || strings.ContainsAny(s, " \t\n") {
		return bad("it contains blanks")
	}
	n := imageName{}
	host, rest, slash := strings.Cut(s, "/")
	n.host = slash && (strings.ContainsAny(host, ".:") || host == "localhost")
	written := s
	if n.host && ours(host) {
		n.ours, written = true, model.RegistryHost+"/"+rest
	}
	named, err := reference.ParseNormalizedNamed(written)
	if err != nil {
		return bad(strings.TrimPrefix(err.Error(), "invalid reference format: "))
	}
	n.path = reference.Path(named)
	if !n.host {
		n.path = strings.TrimPrefix(written, "docker.io/")
		n.path, _, _ = strings.Cut(n.path, "@")
		if i := strings.LastIndexByte(n.path, ':'); i > strings.LastIndexByte(n.path, '/') {
			n.path = n.path[:i]
		}
	}
	if d, ok := named.(reference.Digested); ok {
		n.digest = d.Digest().String()
		n.full, n.pull = named.Name(), named.Name()+"@"+n.digest
		if t, ok := named.(reference.Tagged); ok {
			n.tag = t.Tag()
			n.full += ":" + n.tag
		}
		return n, nil
	}
	tagged := reference.TagNameOnly(named)
	n.tag = tagged.(reference.Tagged).Tag()
	n.full = tagged.String()
	n.pull = n.full
	return n, nil
}

// isOurs says whether a host as it stands in an image's name is this registry.
func (d *Desk) isOurs(host string) bool {
	return host == model.RegistryHost || d.cfg.OwnHost != nil && d.cfg.OwnHost(host)
}

// fullName is how the state and people's lists name something in a repository.
func fullName(path, tag string) string {
	if tag == "" {
		return model.RegistryHost + "/" + path
	}
	return model.RegistryHost + "/" + path + ":" + tag
}

// candidates are the paths of the repositories that a name may mean to the
// caller, the best first.
func candidates(v *state.View, c access.Caller, n imageName) []string {
	var out []string
	add := func(p string) {
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	folder := strings.Contains(n.path, "/")
	if n.ours && folder {
		return []string{n.path}
	}
	if n.host && !n.ours {
		return nil
	}
	if t, ok := v.Tenant(c.TenantID()); ok {
		add(t.Name + "/" + n.path)
	}
	if folder {
		add(n.path) // its first part may be a tenant
	}
	add(model.LibraryTenant + "/" + n.path)
	return out
}

// found is an image in a repository.
type found struct {
	repository *model.Repository
	path       string
	manifest   *model.Manifest
	name       string // full
}

// inRepositories finds what a name means in the repositories that the caller may
// read; nil if nothing. For a name of our own registry, and for one of a
// repository that lacks the tag, the error says what is missing.
func inRepositories(v *state.View, c access.Caller, n imageName) (*found, error) {
	var why error
	for _, path := range candidates(v, c, n) {
		r, ok := v.RepositoryByPath(path)
		if !ok || r.UpstreamID != "" || !access.MayRead(&c.Principal, r) {
			continue
		}
		digest := n.digest
		if digest == "" {
			t, ok := v.Tag(r.ID, n.tag)
			if !ok {
				why = model.Errorf(model.KindNotFound, "tag_unknown", "the repository %s has no tag %s; `skerry repo tags %s` lists those that it has", path, clip(n.tag), path)
				continue
			}
			digest = t.Digest
		}
		m, ok := v.Manifest(r.ID, digest)
		if !ok {
			why = model.Errorf(model.KindNotFound, "manifest_unknown", "the repository %s does not hold %s any more: it was deleted there; push it again, or choose another image or revision", path, digest)
			continue
		}
		return &found{repository: r, path: path, manifest: m, name: fullName(path, n.tag)}, nil
	}
	if why == nil && n.ours {
		why = model.Errorf(model.KindNotFound, "image_not_found", "there is no image %s in this cluster's registry, or it is not for you; `skerry repo ls` lists the repositories", clip(strings.TrimPrefix(n.full, model.RegistryHost+"/")))
	}
	return nil, why
}

// resolve finds the image that a name means to the tenant, or fetches it, and
// gives its full name and digest. What is in a repository of the cluster needs
// no fetching: the engine gets a record of it.
func (d *Desk) resolve(ctx context.Context, c access.Caller, name string, pull api.PullPolicy, report api.Report) (full, digest string, err error) {
	n, err := d.parse(name)
	if err != nil {
		return "", "", err
	}
	v := d.cfg.Store.View()
	hit, missing := inRepositories(v, c, n)
	if hit != nil {
		return hit.name, hit.manifest.Descriptor.Digest, d.adopt(ctx, hit, report)
	}
	img, here := v.ImageFor(c.TenantID(), n.full)
	here = here && (n.digest == "" || n.digest == img.Digest)
	if here && (pull != api.PullPolicyAlways || n.ours) {
		return img.Name, img.Digest, nil
	}
	if n.digest != "" {
		for i := range v.Images() {
			if i.Digest == n.digest && (i.Public || i.TenantID == c.TenantID()) {
				return i.Name, i.Digest, nil
			}
		}
		if runs(v, c.TenantID(), n.full, n.digest) || !n.ours && kept(v, c.TenantID(), n.full, n.digest) {
			return n.full, n.digest, nil
		}
	}
	if missing != nil && (n.ours || pull == api.PullPolicyNever) {
		return "", "", missing
	}
	if pull == api.PullPolicyNever {
		return "", "", model.Errorf(model.KindNotFound, "image_not_found",
			"the image %s is not here and pulling was forbidden: import it with `skerry image import FILE` or pull it", clip(name))
	}
	got, err := d.pull(ctx, c, n, "", "", report)
	if err != nil && missing != nil { // more likely a tag that is not there than a name outside
		return "", "", missing
	}
	if err != nil {
		return "", "", err
	}
	return got.Name, got.Digest, nil
}

// runs says whether a service of the tenant runs this very image already: it may
// go on with it, whatever became of the repository.
func runs(v *state.View, tenantID, full, digest string) bool {
	for s := range v.Services() {
		if s.TenantID == tenantID && s.Spec.Container.ImageDigest == digest && s.Spec.Container.Image == full {
			return true
		}
	}
	return false
}

// kept says whether a revision of the tenant's names this very image: its content
// stays on the node as long as the revision does, whatever the registry outside
// says by now.
func kept(v *state.View, tenantID, full, digest string) bool {
	for a := range v.Apps() {
		if a.TenantID != tenantID {
			continue
		}
		for r := range v.Revisions(a.ID) {
			for _, s := range r.Spec.Services {
				if s.Container.ImageDigest == digest && s.Container.Image == full {
					return true
				}
			}
		}
	}
	return false
}

// adopt gives the engine a record of what is in a repository.
func (d *Desk) adopt(ctx context.Context, f *found, report api.Report) error {
	desc := f.manifest.Descriptor
	if !strings.HasPrefix(desc.Digest, "sha256:") {
		return invalid("image_digest_unsupported", "%s is named by %s: images run by sha256 digests only, so push it with one", f.path, clip(desc.Digest))
	}
	report(api.Progress{Step: "resolving", ID: f.name, Message: "using " + f.name})
	return d.cfg.Images.Adopt(ctx, desc, report)
}
