package operation

import (
	"context"
	"io"
	"strings"

	"github.com/distribution/reference"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// imageName is an image as a user wrote it, made whole.
type imageName struct {
	full   string // "docker.io/library/nginx:1.25"; with a digest and no tag: "docker.io/library/nginx"
	pull   string // what a registry is asked for
	digest string // asked for by digest; else empty
}

// parseImage makes a name whole: no host means docker.io, no folder library/,
// no tag latest.
func parseImage(s string) (imageName, error) {
	bad := func(why string) (imageName, error) {
		return imageName{}, invalid("image_name_invalid", "%q is not an image name: %s; write NAME, NAME:TAG, HOST/NAME:TAG or NAME@sha256:...", clip(s), why)
	}
	if s == "" {
		return bad("it is empty")
	}
	if strings.TrimSpace(s) != s || strings.ContainsAny(s, " \t\n") {
		return bad("it contains blanks")
	}
	named, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		return bad(strings.TrimPrefix(err.Error(), "invalid reference format: "))
	}
	n := imageName{}
	if d, ok := named.(reference.Digested); ok {
		n.digest = d.Digest().String()
		n.full, n.pull = named.Name(), named.Name()+"@"+n.digest
		if t, ok := named.(reference.Tagged); ok {
			n.full += ":" + t.Tag()
		}
		return n, nil
	}
	n.full = reference.TagNameOnly(named).String()
	n.pull = n.full
	return n, nil
}

// resolve finds the image that a name means to the tenant, or fetches it, and
// gives its full name and digest.
func (d *Desk) resolve(ctx context.Context, c access.Caller, name string, pull api.PullPolicy, report api.Report) (full, digest string, err error) {
	n, err := parseImage(name)
	if err != nil {
		return "", "", err
	}
	img, here := d.cfg.Store.View().ImageFor(c.TenantID(), n.full)
	here = here && (n.digest == "" || n.digest == img.Digest)
	if here && pull != api.PullPolicyAlways {
		return img.Name, img.Digest, nil
	}
	if n.digest != "" {
		for i := range d.cfg.Store.View().Images() {
			if i.Digest == n.digest && (i.Public || i.TenantID == c.TenantID()) {
				return i.Name, i.Digest, nil
			}
		}
	}
	if pull == api.PullPolicyNever {
		return "", "", model.Errorf(model.KindNotFound, "image_not_found",
			"the image %s is not here and pulling was forbidden: import it with `skerry image import FILE` or pull it", clip(name))
	}
	got, err := d.pull(ctx, c, n, "", "", report)
	if err != nil {
		return "", "", err
	}
	return got.Name, got.Digest, nil
}

// PullImage fetches an image from its registry.
func (d *Desk) PullImage(ctx context.Context, c access.Caller, in api.PullInput, report api.Report) (*model.Image, error) {
	n, err := parseImage(in.Image)
	if err != nil {
		return nil, err
	}
	return d.pull(ctx, c, n, in.Username, in.Password, report)
}

func (d *Desk) pull(ctx context.Context, c access.Caller, n imageName, username, password string, report api.Report) (*model.Image, error) {
	report(api.Progress{Step: "resolving", ID: n.full, Message: "looking for " + n.full})
	got, err := d.cfg.Images.Pull(ctx, c, n.pull, username, password, report)
	if err != nil {
		return nil, err
	}
	return d.keep(ctx, c, n.full, got)
}

// keep writes down that a tenant has an image.
func (d *Desk) keep(ctx context.Context, c access.Caller, full string, got Stored) (*model.Image, error) {
	old, there := d.cfg.Store.View().ImageByName(c.TenantID(), full)
	if there && old.Public && c.Principal.Platform != model.RoleAdmin {
		return nil, model.Errorf(model.KindDenied, "image_public", "the image %s belongs to everybody; only a platform administrator may give that name new content", full)
	}
	img := model.Image{TenantID: c.TenantID(), Digest: got.Digest, SizeBytes: got.SizeBytes, Platforms: got.Platforms, NodeIDs: []string{d.cfg.NodeID}}
	img.ID, img.Name = command.NewID(), full
	if err := d.propose(ctx, &command.PutImage{Head: sign(c), Image: img, ExpectVersion: command.MustNotExist}); err != nil {
		return nil, err
	}
	if there && old.Digest != got.Digest {
		d.forget(ctx, old.Digest)
	}
	row, ok := d.cfg.Store.View().ImageByName(c.TenantID(), full)
	if !ok {
		return nil, model.Errorf(model.KindConflict, "image_removed", "the image %s was removed at the same moment; try again", full)
	}
	return row, nil
}

// ImportImage reads an archive; name is for one that bears none.
func (d *Desk) ImportImage(ctx context.Context, c access.Caller, name string, tar io.Reader, report api.Report) ([]*model.Image, error) {
	var given imageName
	if name != "" {
		var err error
		if given, err = parseImage(name); err != nil {
			return nil, err
		}
		if given.digest != "" {
			return nil, invalid("image_name_invalid", "%q names a digest: give an imported image a name and a tag", clip(name))
		}
	}
	stored, err := d.cfg.Images.Import(ctx, tar, report)
	if err != nil {
		return nil, err
	}
	full, err := d.archiveNames(stored, given.full)
	if err != nil {
		for _, s := range stored {
			d.forget(ctx, s.Digest)
		}
		return nil, err
	}
	var out []*model.Image
	for i, s := range stored {
		for _, name := range full[i] {
			img, err := d.keep(ctx, c, name, s)
			if err != nil {
				return nil, err
			}
			out = append(out, img)
		}
	}
	return out, nil
}

// archiveNames gives the full names of each image of an archive; given is for
// an archive with one image.
func (d *Desk) archiveNames(stored []Stored, given string) ([][]string, error) {
	out := make([][]string, len(stored))
	for i, s := range stored {
		if given != "" && len(stored) == 1 {
			out[i] = []string{given}
			continue
		}
		if len(s.Names) == 0 {
			return nil, invalid("image_name_missing", "the archive does not say what its image is called: give a name, as in `skerry image import --name shop/web:1.0 FILE`")
		}
		for _, written := range s.Names {
			n, err := parseImage(written)
			if err != nil {
				return nil, err
			}
			out[i] = append(out[i], n.full)
		}
	}
	return out, nil
}

// CommitContainer makes an image of a container's layer.
func (d *Desk) CommitContainer(ctx context.Context, c access.Caller, id string, in api.CommitInput) (*model.Image, error) {
	n, err := parseImage(in.Image)
	if err != nil {
		return nil, err
	}
	if n.digest != "" {
		return nil, invalid("image_name_invalid", "%q names a digest: a new image gets a name and a tag", clip(in.Image))
	}
	container, err := d.cfg.Store.View().FindContainer(state.InTenant(c.TenantID()), id)
	if err != nil {
		return nil, err
	}
	got, err := d.cfg.Images.Commit(ctx, container, in)
	if err != nil {
		return nil, err
	}
	return d.keep(ctx, c, n.full, got)
}

// DeleteImage takes a name away, and the content with its last name.
func (d *Desk) DeleteImage(ctx context.Context, c access.Caller, id string, expect uint64) error {
	img, err := d.cfg.Store.View().FindImage(state.InTenant(c.TenantID()), id)
	if err != nil {
		return err
	}
	if err := d.propose(ctx, &command.DeleteImage{Head: sign(c), ID: img.ID, ExpectVersion: expect}); err != nil {
		return err
	}
	d.forget(ctx, img.Digest)
	return nil
}

// forget gives an image's content back unless a name or a container holds it.
// What cannot be given back now is found by the sweep at the next start.
func (d *Desk) forget(ctx context.Context, digest string) {
	v := d.cfg.Store.View()
	for i := range v.Images() {
		if i.Digest == digest {
			return
		}
	}
	for s := range v.Services() {
		if s.Spec.Container.ImageDigest == digest {
			return
		}
	}
	for c := range v.Containers() {
		if c.Spec.ImageDigest == digest {
			return
		}
	}
	if err := d.cfg.Images.Remove(context.WithoutCancel(ctx), digest); err != nil {
		d.log.Warn("an image's content is left over", "digest", digest, "err", err)
	}
}

// clip keeps absurdly long input out of sentences.
func clip(s string) string {
	const most = 80
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "..."
	}
	return s
}
