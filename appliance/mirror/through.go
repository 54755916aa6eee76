package mirror

import (
	"context"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/appliance/mirror/remote"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// fresh is how long a tag is taken for what the upstream said it is.
const fresh = time.Minute

// Manifest makes the manifest that a tag or digest of an upstream's repository
// means be here, and gives the repository's id and the manifest's digest. A tag
// that was looked up less than a minute ago, and any digest, is served from what
// is here; so is a tag whose upstream is away, with a line in the log. Errors are
// *model.Error, as in registry.Mirror.
func (m *Mirror) Manifest(ctx context.Context, c access.Caller, path, ref string) (repositoryID, dgst string, err error) {
	host, repository := splitPath(path)
	w, err := m.forClient(c, host, path)
	if err != nil {
		return "", "", err
	}
	name := host + "/" + repository
	id, dgst, err := m.manifest(ctx, c, w, name, repository, ref)
	if err != nil {
		return "", "", Explain(name+joint(ref)+ref, err)
	}
	m.touch(id)
	return id, dgst, nil
}

// forClient finds the way of somebody who came through the registry.
func (m *Mirror) forClient(c access.Caller, host, path string) (*way, error) {
	v := m.cfg.Cluster.View()
	u, ok := v.UpstreamByName(host)
	id := model.DefaultUpstream
	if ok {
		id = u.ID
	}
	unknown := model.Errorf(model.KindNotFound, "name_unknown", "%s is not here, and %s is no upstream that serves you; an administrator adds one with `skerry upstream create`", clip(path), clip(host))
	switch {
	case !ok && host != model.DefaultUpstream:
		return nil, unknown
	case c.Principal.Anonymous():
		// An upstream is for people of this house: nobody else makes us fetch.
		return nil, model.Errorf(model.KindUnauthenticated, "sign_in_needed", "sign in to use the mirror of %s", host)
	case !access.MayReadUpstream(v, &c.Principal, id):
		return nil, unknown
	case !ok:
		return m.dockerHub()
	}
	return m.served(u)
}

func (m *Mirror) manifest(ctx context.Context, c access.Caller, w *way, name, repository, ref string) (id, dgst string, err error) {
	v := m.cfg.Cluster.View()
	r, there := v.RepositoryByName("", name)
	there = there && r.UpstreamID == w.upstreamID
	if there {
		id = r.ID
	}
	if _, err := digest.Parse(ref); err == nil {
		if there && m.complete(ctx, v, id, ref) {
			return id, ref, nil
		}
		return m.bring(ctx, c, w, name, repository, ref)
	}
	cached := ""
	if t, ok := v.Tag(id, ref); there && ok && m.complete(ctx, v, id, t.Digest) {
		cached = t.Digest
		if m.isFresh(id, ref) {
			return id, cached, nil
		}
	}
	if cached == "" {
		return m.bring(ctx, c, w, name, repository, ref)
	}
	// Many clients ask at once when a minute is over.
	release, err := m.shared(ctx, "head "+w.right+" "+name+":"+ref, nil, func(ctx context.Context, _ *flight) (func(), error) {
		got, err := w.client.Head(ctx, repository, ref)
		switch {
		case err == nil && got.Digest.String() == cached:
			m.saw(id, ref)
			return func() {}, nil
		case remote.Away(err):
			m.saw(id, ref) // not once more for every client
			m.log.Warn("the upstream is away; a tag is served as it was", "repository", name, "tag", ref, "digest", cached, "err", err)
			return func() {}, nil
		case err != nil:
			return nil, err
		}
		_, _, err = m.bring(ctx, c, w, name, repository, ref)
		return func() {}, err
	})
	if err != nil {
		return "", "", err
	}
	release()
	if t, ok := m.cfg.Cluster.View().Tag(id, ref); ok {
		return id, t.Digest, nil
	}
	return m.bring(ctx, c, w, name, repository, ref) // evicted meanwhile
}

// complete says whether a manifest is a row of the repository and here.
func (m *Mirror) complete(ctx context.Context, v *state.View, repositoryID, d string) bool {
	if _, ok := v.Manifest(repositoryID, d); !ok {
		return false
	}
	_, err := m.cfg.Blobs.Stat(ctx, digest.Digest(d))
	return err == nil
}

// bring fetches a manifest and writes it down.
func (m *Mirror) bring(ctx context.Context, c access.Caller, w *way, name, repository, ref string) (id, dgst string, err error) {
	release, err := m.shared(ctx, "manifest "+w.right+" "+name+joint(ref)+ref, nil, func(ctx context.Context, _ *flight) (func(), error) {
		got, err := w.client.Manifest(ctx, repository, ref)
		if err != nil {
			return nil, err
		}
		row, err := parse(got)
		if err != nil {
			return nil, &remote.Error{Kind: remote.Nonsense, Host: w.client.Host(), Reason: "something else: " + err.Error()}
		}
		release, err := m.keep(ctx, w, got)
		if err != nil {
			return nil, err
		}
		cmd := &command.CacheManifest{Head: command.By(m.origin(c)), UpstreamID: w.upstreamID, RepositoryID: command.NewID(), Name: name, Manifest: row}
		if got.Digest.String() != ref {
			cmd.Tags = []string{ref}
		}
		if err := m.propose(ctx, cmd); err != nil {
			release()
			return nil, err
		}
		return release, nil
	})
	if err != nil {
		return "", "", err
	}
	defer release()
	v := m.cfg.Cluster.View()
	r, ok := v.RepositoryByName("", name)
	if !ok {
		return "", "", evicted(name)
	}
	if _, err := digest.Parse(ref); err == nil {
		return r.ID, ref, nil
	}
	t, ok := v.Tag(r.ID, ref)
	if !ok {
		return "", "", evicted(name)
	}
	m.saw(r.ID, ref)
	return r.ID, t.Digest, nil
}

func evicted(name string) error {
	return model.Errorf(model.KindUnavailable, "cache_dropped", "%s was taken out of the mirror's cache at the same moment; try again", name)
}

// Blob makes a blob of an upstream's repository be here and gives the
// repository's id. Errors are *model.Error, as in registry.Mirror.
func (m *Mirror) Blob(ctx context.Context, c access.Caller, path, dgst string) (repositoryID string, err error) {
	host, repository := splitPath(path)
	w, err := m.forClient(c, host, path)
	if err != nil {
		return "", err
	}
	d, err := digest.Parse(dgst)
	if err != nil {
		return "", model.Errorf(model.KindInvalid, "digest_invalid", "%q is no digest", clip(dgst))
	}
	name := host + "/" + repository
	id, err := m.blob(ctx, c, w, name, repository, d)
	if err != nil {
		return "", Explain(name+"@"+dgst, err)
	}
	m.touch(id)
	return id, nil
}

func (m *Mirror) blob(ctx context.Context, c access.Caller, w *way, name, repository string, d digest.Digest) (string, error) {
	release := m.cfg.Blobs.Pin(d)
	defer func() { release() }()
	v := m.cfg.Cluster.View()
	r, there := v.RepositoryByName("", name)
	there = there && r.UpstreamID == w.upstreamID
	size, err := m.cfg.Blobs.Stat(ctx, d)
	here := err == nil
	linked, size0 := false, int64(-1)
	if there {
		_, linked = v.BlobLink(r.ID, d.String())
		for row := range v.ManifestsNeeding(r.ID, d.String()) {
			for _, p := range row.Refs {
				if p.Digest == d.String() {
					size0 = p.Size
				}
			}
		}
	}
	if here && linked {
		return r.ID, nil
	}
	if here && m.provenBy(w, d) {
		if err := m.cfg.Blobs.Retain(ctx, d); err != nil {
			return "", err
		}
	} else {
		gone, err := m.fetch(ctx, w, repository, d, size0, true, nil)
		if err != nil {
			return "", err
		}
		defer gone()
		if size, err = m.cfg.Blobs.Stat(ctx, d); err != nil {
			return "", err
		}
	}
	if !there {
		if r, err = m.repository(ctx, c, w, name); err != nil {
			return "", err
		}
	}
	err = m.propose(ctx, &command.LinkBlobs{Head: command.By(m.origin(c)), Links: []model.BlobLink{{RepositoryID: r.ID, Digest: d.String(), Size: size}}})
	if model.CodeOf(err) == "not_found" {
		err = evicted(name)
	}
	return r.ID, err
}

// repository makes the repository of an upstream for a blob whose manifest
// nobody asked for.
func (m *Mirror) repository(ctx context.Context, c access.Caller, w *way, name string) (*model.Repository, error) {
	err := m.propose(ctx, &command.PutRepository{Head: command.By(m.origin(c)), ExpectVersion: command.MustNotExist, Repository: model.Repository{
		Meta: model.Meta{ID: command.NewID(), Name: name}, UpstreamID: w.upstreamID, Spec: model.RepositorySpec{Visibility: model.VisibilityTenant}}})
	if err != nil && model.CodeOf(err) != "name_taken" {
		return nil, err
	}
	r, ok := m.cfg.Cluster.View().RepositoryByName("", name)
	if !ok || r.UpstreamID != w.upstreamID {
		return nil, evicted(name)
	}
	return r, nil
}

// keep stores the bytes of a manifest.
func (m *Mirror) keep(ctx context.Context, w *way, got remote.Manifest) (release func(), err error) {
	release, err = m.cfg.Blobs.Put(ctx, got.Digest, got.Size, newReader(got.Body))
	if err == nil {
		m.prove(w, got.Digest)
	}
	return release, err
}

func (m *Mirror) propose(ctx context.Context, cmd command.Command) error {
	if _, err := m.cfg.Cluster.Propose(ctx, cmd); err != nil {
		return fmt.Errorf("write down what was fetched: %w", err)
	}
	return nil
}

// joint stands between a name and a tag or digest.
func joint(ref string) string {
	if _, err := digest.Parse(ref); err == nil {
		return "@"
	}
	return ":"
}

func (m *Mirror) isFresh(repositoryID, tag string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, ok := m.checked[repositoryID+" "+tag]
	return ok && m.now().Sub(at) < fresh
}

// saw remembers that the upstream was asked about a tag just now.
func (m *Mirror) saw(repositoryID, tag string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if len(m.checked) > 4096 {
		for k, at := range m.checked {
			if now.Sub(at) >= fresh {
				delete(m.checked, k)
			}
		}
	}
	m.checked[repositoryID+" "+tag] = now
}
