package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/skerryhq/skerry/appliance/registry/auth"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// getManifest serves a manifest by tag or digest.
func (r *Registry) getManifest(w http.ResponseWriter, q *request) error {
	m, err := r.findManifest(q)
	if err != nil {
		return err
	}
	return r.send(w, q, digest.Digest(m.Descriptor.Digest), m.Descriptor.MediaType, codeManifestUnknown)
}

func (r *Registry) findManifest(q *request) (*model.Manifest, error) {
	path, outside := r.outside(q)
	if !outside {
		repo, err := r.open(q, auth.Pull)
		if err == nil {
			if m, ok := resolve(r.view(), repo.ID, q.ref); ok {
				return m, nil
			}
		}
		if path, outside = r.beyond(q); !outside {
			if err == nil {
				err = noManifest(q)
			}
			return nil, err
		}
	}
	id, d, err := r.cfg.Mirror.Manifest(q.Context(), q.caller(), path, q.ref)
	if err != nil {
		return nil, mirrorError(err, codeManifestUnknown)
	}
	m, ok := r.view().Manifest(id, d)
	if !ok {
		return nil, noManifest(q)
	}
	return m, nil
}

func noManifest(q *request) error {
	if q.digest() != "" {
		return fail(http.StatusNotFound, codeManifestUnknown, "%s has no manifest %s", q.name, q.ref).about("digest", q.ref)
	}
	return fail(http.StatusNotFound, codeManifestUnknown, "%s has no tag %s", q.name, q.ref).about("tag", q.ref)
}

// resolve finds a manifest by tag or digest.
func resolve(v *state.View, repositoryID, ref string) (*model.Manifest, bool) {
	if !strings.Contains(ref, ":") {
		t, ok := v.Tag(repositoryID, ref)
		if !ok {
			return nil, false
		}
		ref = t.Digest
	}
	return v.Manifest(repositoryID, ref)
}

// putManifest takes a manifest, by tag or by digest with any number of tags
// (?tag=).
func (r *Registry) putManifest(w http.ResponseWriter, q *request) error {
	repo, err := r.open(q, auth.Push)
	if err != nil {
		return err
	}
	b, err := r.manifestBytes(w, q)
	if err != nil {
		return err
	}
	d, tags := digest.FromBytes(b), []string{q.ref}
	if want := q.digest(); want != "" {
		tags = q.URL.Query()["tag"]
		if d = want.Algorithm().FromBytes(b); d != want {
			return fail(http.StatusBadRequest, codeDigestInvalid, "the manifest's %d bytes have the digest %s, not %s", len(b), d, want).about("digest", want.String())
		}
	}
	for _, t := range tags {
		if !tagForm.MatchString(t) {
			return fail(http.StatusBadRequest, codeTagInvalid, "%q is no tag: 1 to 128 letters, digits, `_`, `.` and `-`, not beginning with `.` or `-`", clip(t)).about("tag", clip(t))
		}
	}
	m, err := r.storeManifest(q.Context(), q.by(repo), repo, q.name, b, d, q.Header.Get("Content-Type"), tags)
	if err != nil {
		return err
	}
	r.spreadPush(q.Context(), w, q.name, m)
	h := w.Header()
	h.Set("Location", location(q.name, "manifests", d.String()))
	h.Set("Docker-Content-Digest", d.String())
	if m.Subject != "" {
		h.Set("OCI-Subject", m.Subject)
	}
	if q.digest() != "" {
		for _, t := range tags {
			h.Add("OCI-Tag", t)
		}
	}
	w.WriteHeader(http.StatusCreated)
	return nil
}

// manifestBytes reads the body, which is small.
func (r *Registry) manifestBytes(w http.ResponseWriter, q *request) ([]byte, error) {
	tooLarge := fail(http.StatusRequestEntityTooLarge, codeManifestInvalid, "a manifest has at most %d bytes", maxManifest)
	if q.ContentLength > maxManifest {
		return nil, tooLarge
	}
	b, err := io.ReadAll(io.LimitReader(bodyOf(w, q.Request), maxManifest+1))
	switch {
	case err != nil && len(b) <= maxManifest:
		f := invalidManifest("the manifest broke off after %d bytes", len(b))
		f.err = err
		return nil, f
	case len(b) > maxManifest:
		return nil, tooLarge
	case len(b) == 0:
		return nil, invalidManifest("the manifest is empty")
	}
	return b, nil
}

// storeManifest keeps a manifest's bytes and writes its row and tags, all or
// nothing. by has been decided to be allowed to push.
func (r *Registry) storeManifest(ctx context.Context, by command.Head, repo *model.Repository, path string, b []byte, d digest.Digest, contentType string, tags []string) (*model.Manifest, error) {
	m, doc, err := readDocument(b, d, contentType)
	if err != nil {
		return nil, err
	}
	m.RepositoryID = repo.ID
	v := r.view()
	m.Refs = needed(v, m, doc)
	if n := depth(v, m, maxDepth); n > maxDepth {
		return nil, invalidManifest("indexes lie in each other more than %d deep", maxDepth)
	}
	m.Descriptor.Platform = r.platformOf(ctx, v, m, doc)
	put := &command.PutManifest{Head: by, Path: path, Manifest: *m, Tags: tags}
	if old, ok := v.Manifest(repo.ID, d.String()); ok && samePush(old, m) && len(tags) > 0 {
		if _, err := r.blobs.Stat(ctx, d); err == nil { // a tag more is all that it is
			_, err = r.propose(ctx, put)
			return m, err
		}
	}
	release, err := r.blobs.Put(ctx, d, int64(len(b)), bytes.NewReader(b))
	defer release()
	if err != nil {
		return nil, err
	}
	_, err = r.propose(ctx, put)
	return m, err
}

func samePush(a, b *model.Manifest) bool {
	return a.Descriptor.Digest == b.Descriptor.Digest && a.Descriptor.MediaType == b.Descriptor.MediaType && len(a.Refs) == len(b.Refs)
}

// needed leaves out the layers that are kept elsewhere and are not here.
func needed(v *state.View, m *model.Manifest, doc *document) []model.Descriptor {
	var out []model.Descriptor
	for _, ref := range m.Refs {
		if doc.elsewhere(ref) {
			if _, here := v.BlobLink(m.RepositoryID, ref.Digest); !here {
				continue
			}
		}
		out = append(out, ref)
	}
	return out
}

// platformOf reads what an image is for in its configuration, for showing. What
// cannot be read is left out.
func (r *Registry) platformOf(ctx context.Context, v *state.View, m *model.Manifest, doc *document) string {
	if doc.Config == nil || !strings.Contains(doc.Config.MediaType, "image") {
		return ""
	}
	if _, linked := v.BlobLink(m.RepositoryID, doc.Config.Digest.String()); !linked {
		return ""
	}
	b, err := r.readBlob(ctx, doc.Config.Digest, maxConfig)
	if err != nil {
		return ""
	}
	return platformIn(b)
}

// platformIn reads what an image is for in its configuration.
func platformIn(config []byte) string {
	var p ocispec.Platform
	if json.Unmarshal(config, &p) != nil {
		return ""
	}
	return platform(&p)
}

// deleteManifest deletes a tag, or a manifest with its tags.
func (r *Registry) deleteManifest(w http.ResponseWriter, q *request) error {
	repo, err := r.open(q, auth.Delete)
	if err != nil {
		return err
	}
	var c command.Command = &command.DeleteTag{Head: q.by(repo), Path: q.name, RepositoryID: repo.ID, Name: q.ref}
	if q.digest() != "" {
		c = &command.DeleteManifest{Head: q.by(repo), Path: q.name, RepositoryID: repo.ID, Digest: q.ref}
	}
	_, err = r.propose(q.Context(), c)
	if model.CodeOf(err) == "not_found" {
		return noManifest(q)
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// annotations gives a manifest's annotations, from its bytes where they are too
// long for the row.
func (r *Registry) annotations(ctx context.Context, m *model.Manifest) (map[string]string, error) {
	if !m.AnnotationsInBlob {
		return m.Descriptor.Annotations, nil
	}
	b, err := r.readBlob(ctx, digest.Digest(m.Descriptor.Digest), maxManifest)
	if err != nil {
		if errors.Is(err, ErrNoBlob) {
			return nil, nil
		}
		return nil, err
	}
	var doc document
	if err := json.Unmarshal(b, &doc); err != nil {
		return nil, nil //nolint:nilerr // it was read when it was pushed
	}
	return doc.Annotations, nil
}
