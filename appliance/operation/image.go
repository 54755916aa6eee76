package operation

import (
	"context"
	"io"
	"slices"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// PullImage fetches an image from its registry.
func (d *Desk) PullImage(ctx context.Context, c access.Caller, in api.PullInput, report api.Report) (*model.Image, error) {
	n, err := d.parse(in.Image)
	if err != nil {
		return nil, err
	}
	if n.ours {
		return nil, model.Errorf(model.KindConflict, "image_here", "%s names this cluster's own registry: what is there needs no pull, run it by that name", clip(in.Image))
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

// keep writes down that a tenant has an image, and that this node holds it: as
// one of several where others hold the same content already.
func (d *Desk) keep(ctx context.Context, c access.Caller, full string, got Stored) (*model.Image, error) {
	img := model.Image{TenantID: c.TenantID(), Digest: got.Digest, SizeBytes: got.SizeBytes, Platforms: got.Platforms}
	img.ID, img.Name = command.NewID(), full
	const tries = 5 // others note meanwhile that they hold it
	for try := 1; ; try++ {
		old, there := d.cfg.Store.View().ImageByName(c.TenantID(), full)
		if there && old.Public && c.Principal.Platform != model.RoleAdmin {
			return nil, model.Errorf(model.KindDenied, "image_public", "the image %s belongs to everybody; only a platform administrator may give that name new content", full)
		}
		version := command.MustNotExist
		img.NodeIDs = []string{d.cfg.NodeID}
		if there && old.Digest == got.Digest {
			version, img.NodeIDs = old.Version, slices.Clone(old.NodeIDs)
			if !slices.Contains(img.NodeIDs, d.cfg.NodeID) {
				img.NodeIDs = append(img.NodeIDs, d.cfg.NodeID)
			}
		}
		err := d.propose(ctx, &command.PutImage{Head: sign(c), Image: img, ExpectVersion: version})
		if k := model.KindOf(err); err != nil && version != command.MustNotExist && (k == model.KindStale || k == model.KindNotFound) && try < tries {
			continue
		}
		if err != nil {
			return nil, err
		}
		if there && old.Digest != got.Digest {
			d.forget(ctx, old.Digest)
		}
		break
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
		if given, err = d.parse(name); err != nil {
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
			img, err := d.shelve(ctx, c, name, s)
			if err != nil {
				return nil, err
			}
			out = append(out, img)
		}
	}
	return out, nil
}

// shelve puts an imported image where its name says: a tag of a repository where
// it bears this registry's name, as an export of one does, else a name of the
// tenant's. A repository of another tenant becomes one of the caller's own.
func (d *Desk) shelve(ctx context.Context, c access.Caller, name string, s Stored) (*model.Image, error) {
	n, err := d.parse(name)
	if err != nil {
		return nil, err
	}
	if !n.ours {
		return d.keep(ctx, c, name, s)
	}
	r, path, err := d.writable(ctx, c, n)
	if model.KindOf(err) == model.KindNotFound {
		n.ours = false
		r, path, err = d.writable(ctx, c, n)
	}
	if err != nil {
		return nil, err
	}
	what, err := d.cfg.Images.HostPart(ctx, s.Digest)
	if err != nil {
		return nil, err
	}
	got, err := d.publish(ctx, c, r, path, n.tag, what)
	if err != nil {
		return nil, err
	}
	if got.Digest != s.Digest {
		d.forget(ctx, s.Digest)
	}
	img := &model.Image{TenantID: r.TenantID, Digest: got.Digest, SizeBytes: s.SizeBytes, Platforms: s.Platforms, NodeIDs: []string{d.cfg.NodeID}}
	img.ID, img.Name, img.CreatedAt, img.UpdatedAt = r.ID, fullName(path, n.tag), r.CreatedAt, r.UpdatedAt
	return img, nil
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
			n, err := d.parse(written)
			if err != nil {
				return nil, err
			}
			out[i] = append(out[i], n.full)
		}
	}
	return out, nil
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

// forget gives an image's content back unless a name, a service, a container or a
// kept revision holds it. What cannot be given back now is found by the collector.
func (d *Desk) forget(ctx context.Context, digest string) {
	if wanted(d.cfg.Store.View(), "")[digest] {
		return
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
