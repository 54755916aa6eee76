package operation

import (
	"context"
	"errors"
	"strings"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/appliance/registry/auth"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
	"github.com/skerryhq/skerry/raft/state"
)

// destination gives tenant and repository that something is to be put into. A
// name may begin with a tenant that the caller belongs to; else it is one in the
// caller's own tenant, which wins where it is there already.
func destination(v *state.View, c access.Caller, n imageName) (tenant, name string, err error) {
	own, ok := v.Tenant(c.TenantID())
	if !ok {
		return "", "", model.Errorf(model.KindDenied, "no_tenant", "%q belongs to no tenant; ask an administrator for a role in one", c.Principal.Name)
	}
	first, rest, folder := strings.Cut(n.path, "/")
	if _, there := v.RepositoryByName(own.ID, n.path); !folder || there && !n.ours {
		return own.Name, n.path, nil
	}
	t, ok := v.TenantByName(first)
	switch {
	case ok && c.Principal.MemberOf(t.ID), !ok && first == model.LibraryTenant && access.Decide(&c.Principal, access.PermPlatform, "") == access.Allow:
		return first, rest, nil
	case n.ours && first != own.Name:
		return "", "", model.Errorf(model.KindNotFound, "not_found", "there is no repository %s, or it is not for you", clip(n.path))
	}
	return own.Name, n.path, nil
}

// writable gives the repository that something is to be put into, and makes it
// where it is missing.
func (d *Desk) writable(ctx context.Context, c access.Caller, n imageName) (*model.Repository, string, error) {
	if n.digest != "" {
		return nil, "", invalid("image_name_invalid", "%q names a digest: what is put into a repository gets a name and a tag", clip(n.full))
	}
	v := d.cfg.Store.View()
	tenant, name, err := destination(v, c, n)
	if err != nil {
		return nil, "", err
	}
	path := tenant + "/" + name
	if r, ok := v.RepositoryByPath(path); ok {
		if !access.MayWrite(&c.Principal, r) {
			return nil, "", mayNotWrite(path)
		}
		return r, path, nil
	}
	if err := access.CheckRepositoryName(name); err != nil {
		return nil, "", err
	}
	if t, ok := v.TenantByName(tenant); ok && access.Decide(&c.Principal, access.PermImageWrite, t.ID) != access.Allow {
		return nil, "", mayNotWrite(path)
	}
	r, err := auth.Make(ctx, writer{d}, c, tenant, name, model.RepositorySpec{})
	if err != nil {
		return nil, "", err
	}
	if !access.MayWrite(&c.Principal, r) {
		return nil, "", mayNotWrite(path)
	}
	return r, path, nil
}

// writer is the state and the way to change it, as access.Cluster has them.
type writer struct{ d *Desk }

func (w writer) View() *state.View { return w.d.cfg.Store.View() }

func (w writer) Propose(ctx context.Context, cmds ...command.Command) (node.Result, error) {
	return w.d.cfg.Proposer.Propose(ctx, cmds...)
}

func mayNotWrite(path string) error {
	return model.Errorf(model.KindDenied, "denied", "you may not write to %s: that needs the permission %s in its tenant", path, access.PermImageWrite)
}

// CommitContainer makes an image of a container's layer and gives it a tag in a
// repository of the cluster, which is made where it is missing.
func (d *Desk) CommitContainer(ctx context.Context, c access.Caller, id string, in api.CommitInput) (*api.PushResult, error) {
	n, err := d.parse(in.Image)
	if err != nil {
		return nil, err
	}
	if n.host && !n.ours {
		return nil, invalid("image_name_invalid", "%q names another registry: commit to a name without a host, then send it there with `skerry image push`", clip(in.Image)).At("image")
	}
	container, err := d.cfg.Store.View().FindContainer(state.InTenant(c.TenantID()), id)
	if err != nil {
		return nil, err
	}
	r, path, err := d.writable(ctx, c, n)
	if err != nil {
		return nil, err
	}
	got, err := d.cfg.Images.Commit(ctx, container, in)
	if err != nil {
		return nil, err
	}
	return d.publish(ctx, c, r, path, n.tag, model.Descriptor{Digest: got.Digest})
}

func (d *Desk) publish(ctx context.Context, c access.Caller, r *model.Repository, path, tag string, what model.Descriptor) (*api.PushResult, error) {
	by := sign(c).Origin
	by.TenantID = r.TenantID
	got, err := d.cfg.Registry.Publish(ctx, by, r, what, []string{tag})
	if err != nil {
		return nil, err
	}
	return &api.PushResult{Name: path + ":" + tag, Digest: got.Digest}, nil
}

// PushImage gives what ref means to the caller (an image row's id, a name, or a
// tag of a repository) a tag in the cluster's registry, or sends it to another
// registry.
func (d *Desk) PushImage(ctx context.Context, c access.Caller, ref string, in api.PushInput, report api.Report) (*api.PushResult, error) {
	to, err := d.parse(in.To)
	if err != nil {
		if e, ok := errors.AsType[*model.Error](err); ok {
			return nil, e.At("to")
		}
		return nil, err
	}
	what, err := d.source(c, ref)
	if err == nil && what.MediaType == "" { // an image row: what its index only names is not the tenant's
		what, err = d.cfg.Images.HostPart(ctx, what.Digest)
	}
	if err != nil {
		return nil, err
	}
	if !to.host || to.ours {
		if in.Username != "" || in.Password != "" {
			return nil, invalid("credentials_useless", "%q is in this cluster's own registry, which takes no other user name and password; leave them out", clip(in.To)).At("username")
		}
		r, path, err := d.writable(ctx, c, to)
		if err != nil {
			return nil, err
		}
		report(api.Progress{Step: "pushing", ID: path + ":" + to.tag, Message: "writing " + path + ":" + to.tag})
		return d.publish(ctx, c, r, path, to.tag, what)
	}
	if to.digest != "" {
		return nil, invalid("image_name_invalid", "%q names a digest: give the image a tag there", clip(in.To)).At("to")
	}
	digest, sent, err := d.cfg.Images.Push(ctx, c, what, to.full, in.Username, in.Password, report)
	if err != nil {
		return nil, err
	}
	return &api.PushResult{Name: to.full, Digest: digest, BytesSent: sent}, nil
}

// source finds what a caller may push: in a repository that he may read, or an
// image row of his tenant or for everybody.
func (d *Desk) source(c access.Caller, ref string) (model.Descriptor, error) {
	v := d.cfg.Store.View()
	for i := range v.Images() {
		if (i.ID == ref || i.Digest == ref) && (i.Public || i.TenantID == c.TenantID()) {
			return model.Descriptor{Digest: i.Digest}, nil
		}
	}
	n, err := d.parse(ref)
	if err != nil {
		return model.Descriptor{}, err
	}
	hit, missing := inRepositories(v, c, n)
	if hit != nil {
		return hit.manifest.Descriptor, nil
	}
	if i, ok := v.ImageFor(c.TenantID(), n.full); ok && (n.digest == "" || n.digest == i.Digest) {
		return model.Descriptor{Digest: i.Digest}, nil
	}
	if missing != nil {
		return model.Descriptor{}, missing
	}
	return model.Descriptor{}, model.Errorf(model.KindNotFound, "image_not_found", "there is no image %s here; `skerry image ls` and `skerry repo ls` list what there is", clip(ref))
}
