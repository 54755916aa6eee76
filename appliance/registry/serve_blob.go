package registry

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/appliance/registry/auth"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// freshenAfter is the age from which a link that no manifest needs is made young
// when a pusher finds that it need not send the blob.
const freshenAfter = time.Hour

// getBlob serves a blob or a part of it.
func (r *Registry) getBlob(w http.ResponseWriter, q *request) error {
	d := q.digest()
	repo, link, err := r.findBlob(q, d)
	if err != nil {
		return err
	}
	if q.Method == http.MethodHead {
		r.freshen(q, repo, link)
	}
	return r.send(w, q, d, "application/octet-stream", codeBlobUnknown)
}

// findBlob gives the repository and the link through which the caller may read a
// blob.
func (r *Registry) findBlob(q *request, d digest.Digest) (*model.Repository, *model.BlobLink, error) {
	path, outside := r.outside(q)
	if !outside {
		repo, err := r.open(q, auth.Pull)
		if err == nil {
			if link, ok := r.view().BlobLink(repo.ID, d.String()); ok {
				return repo, link, nil
			}
		}
		if path, outside = r.beyond(q); !outside {
			if err == nil {
				err = noBlob(q.name, d)
			}
			return nil, nil, err
		}
	}
	id, err := r.cfg.Mirror.Blob(q.Context(), q.caller(), path, d.String())
	if err != nil {
		return nil, nil, mirrorError(err, codeBlobUnknown)
	}
	v := r.view()
	repo, ok := v.Repository(id)
	link, linked := v.BlobLink(id, d.String())
	if !ok || !linked {
		return nil, nil, noBlob(q.name, d)
	}
	return repo, link, nil
}

func noBlob(name string, d digest.Digest) error {
	return fail(http.StatusNotFound, codeBlobUnknown, "%s has no blob %s", name, d).about("digest", d.String())
}

// freshen keeps a blob that a pusher was told is here until its manifest comes.
func (r *Registry) freshen(q *request, repo *model.Repository, link *model.BlobLink) {
	v := r.view()
	if time.Since(link.LinkedAt) < freshenAfter || repo.UpstreamID != "" || !access.MayWrite(&q.visitor.Caller.Principal, repo) {
		return
	}
	for range v.ManifestsNeeding(repo.ID, link.Digest) {
		return
	}
	if _, err := r.propose(q.Context(), &command.LinkBlobs{Head: q.by(repo), Links: []model.BlobLink{{RepositoryID: repo.ID, Digest: link.Digest, Size: link.Size}}}); err != nil {
		r.log.Debug("link not made young", "repository", repo.ID, "digest", link.Digest, "err", err)
	}
}

// send serves content by its digest.
func (r *Registry) send(w http.ResponseWriter, q *request, d digest.Digest, mediaType, missing string) error {
	c, err := r.blobs.Open(q.Context(), d)
	if errors.Is(err, ErrNoBlob) && !r.alone() {
		var release func()
		if release, err = r.bring(q.Context(), d, -1); err == nil {
			defer release()
			c, err = r.blobs.Open(q.Context(), d)
		}
	}
	if errors.Is(err, ErrNoBlob) {
		if !r.alone() { // a repository has it, so it is somewhere
			return &model.Error{Kind: model.KindUnavailable, Code: "content_away", Err: err, Detail: "the content of " + d.String() + " is on no member that answers at the moment; try again"}
		}
		return fail(http.StatusNotFound, missing, "the content of %s is not on this node", d).about("digest", d.String())
	}
	if err != nil {
		return err
	}
	defer c.Close()
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Docker-Content-Digest", d.String())
	h.Set("Etag", `"`+d.String()+`"`)
	if q.what == routeBlob || q.digest() != "" {
		h.Set("Cache-Control", "private, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	http.ServeContent(pacedOf(w, q.Request), q.Request, "", time.Time{}, c)
	return nil
}

// deleteBlob takes a blob out of the repository. The collector gives up the bytes.
func (r *Registry) deleteBlob(w http.ResponseWriter, q *request) error {
	repo, err := r.open(q, auth.Delete)
	if err != nil {
		return err
	}
	link, ok := r.view().BlobLink(repo.ID, q.ref)
	if !ok {
		return fail(http.StatusNotFound, codeBlobUnknown, "%s has no blob %s", q.name, q.ref).about("digest", q.ref)
	}
	out, err := r.propose(q.Context(), &command.UnlinkBlobs{Head: q.by(repo), Items: []model.BlobLink{*link}})
	if err != nil {
		return err
	}
	for _, refused := range out[0].Refused {
		return refused.Err
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// beginUpload begins an upload, takes a whole blob, or mounts one from another
// repository.
func (r *Registry) beginUpload(w http.ResponseWriter, q *request) error {
	repo, err := r.open(q, auth.Push)
	if err != nil {
		return err
	}
	params := q.URL.Query()
	if text := params.Get("mount"); text != "" {
		d, err := parseDigest(text)
		if err != nil {
			return err
		}
		if ok, err := r.mount(q, repo, d, params.Get("from")); err != nil {
			return err
		} else if ok {
			return created(w, q, d)
		}
	}
	var whole digest.Digest
	if text := params.Get("digest"); text != "" && params.Get("mount") == "" {
		if whole, err = parseDigest(text); err != nil {
			return err
		}
	}
	switch a := params.Get("digest-algorithm"); a {
	case "", "sha256", "sha512":
	default:
		return fail(http.StatusBadRequest, codeUnsupported, "content is named by sha256 or sha512 here, not by %q", clip(a))
	}
	if err := r.room(q); err != nil {
		return err
	}
	up, err := r.uploads.begin(repo.ID, q.key())
	if err != nil {
		return err
	}
	if whole == "" {
		return told(w, q, up, http.StatusAccepted)
	}
	b := bodyOf(w, q.Request)
	release, err := r.uploads.take(q.Context(), up, b.stop)
	if err != nil {
		return err
	}
	defer release()
	if err = r.receive(q, up, b); err == nil {
		err = r.finish(q, repo, up, whole)
	}
	if err != nil {
		r.uploads.cancel(up) // its client does not know it
		return err
	}
	return created(w, q, whole)
}

// room refuses what cannot fit before it is sent.
func (r *Registry) room(q *request) error {
	free, err := r.blobs.space()
	if err == nil && q.ContentLength > free {
		err = ErrDiskFull
	}
	return err
}

// mount links a blob that the caller may read elsewhere; false if there is none.
func (r *Registry) mount(q *request, to *model.Repository, d digest.Digest, from string) (bool, error) {
	source := r.mountSource(q, d, from)
	if source == "" {
		return false, nil
	}
	release := r.blobs.Pin(d)
	defer release()
	err := r.blobs.Retain(q.Context(), d)
	if errors.Is(err, ErrNoBlob) {
		var fetched func()
		if fetched, err = r.bring(q.Context(), d, -1); err == nil {
			defer fetched()
		}
	}
	if errors.Is(err, ErrNoBlob) {
		return false, nil // given up, or on a node that is away: the client sends it
	} else if err != nil {
		return false, err
	}
	_, err = r.propose(q.Context(), &command.MountBlob{Head: q.by(to), FromID: source, RepositoryID: to.ID, Digest: d.String()})
	if model.CodeOf(err) == "blob_unknown" {
		return false, nil
	}
	return err == nil, err
}

// mountSource finds a repository that holds d and that the caller may read; empty
// if there is none. Without from, any will do.
func (r *Registry) mountSource(q *request, d digest.Digest, from string) string {
	v := r.view()
	if from != "" {
		if !nameForm.MatchString(from) {
			return ""
		}
		repo, err := r.cfg.Access.Open(q.Context(), q.visitor, from, auth.Pull)
		if err != nil {
			return ""
		}
		if _, ok := v.BlobLink(repo.ID, d.String()); ok {
			return repo.ID
		}
		return ""
	}
	for link := range v.BlobLinksOf(d.String()) {
		repo, ok := v.Repository(link.RepositoryID)
		if ok && r.cfg.Access.MayRead(&q.visitor.Caller.Principal, repo) {
			return repo.ID
		}
	}
	return ""
}

// created answers that a blob is here.
func created(w http.ResponseWriter, q *request, d digest.Digest) error {
	h := w.Header()
	h.Set("Location", location(q.name, "blobs", d.String()))
	h.Set("Docker-Content-Digest", d.String())
	w.WriteHeader(http.StatusCreated)
	return nil
}

// told answers with where an upload is.
func told(w http.ResponseWriter, q *request, up *upload, status int) error {
	progress(w, q, up, up.in.size.Load())
	w.WriteHeader(status)
	return nil
}

func progress(w http.ResponseWriter, q *request, up *upload, n int64) {
	h := w.Header()
	h.Set("Location", location(q.name, "blobs/uploads", up.ID))
	h.Set("Docker-Upload-Uuid", up.ID)
	h.Set("Range", "0-"+strconv.FormatInt(max(n-1, 0), 10))
}

// upload finds the request's upload and makes this the one request on it.
func (r *Registry) upload(w http.ResponseWriter, q *request) (*model.Repository, *upload, *body, func(), error) {
	repo, err := r.open(q, auth.Push)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	up, ok := r.uploads.find(q.ref, repo.ID, q.key())
	if !ok {
		return nil, nil, nil, nil, noUpload()
	}
	b := bodyOf(w, q.Request)
	release, err := r.uploads.take(q.Context(), up, b.stop)
	if errors.Is(err, errGone) {
		err = noUpload()
	}
	return repo, up, b, release, err
}

func noUpload() error {
	return fail(http.StatusNotFound, codeUploadUnknown, "there is no such upload: it is finished, cancelled, was given up after a day, or belongs to another repository or caller; begin a new one")
}

// uploadStatus says how far an upload is.
func (r *Registry) uploadStatus(w http.ResponseWriter, q *request) error {
	repo, err := r.open(q, auth.Push)
	if err != nil {
		return err
	}
	up, ok := r.uploads.find(q.ref, repo.ID, q.key())
	if !ok {
		return noUpload()
	}
	return told(w, q, up, http.StatusNoContent)
}

// patchUpload takes the next chunk.
func (r *Registry) patchUpload(w http.ResponseWriter, q *request) error {
	_, up, b, release, err := r.upload(w, q)
	if err != nil {
		return err
	}
	defer release()
	if err := inOrder(w, q, up); err != nil {
		return err
	}
	if err := r.room(q); err != nil {
		r.uploads.cancel(up)
		return err
	}
	if err := r.receive(q, up, b); err != nil {
		if errors.Is(err, ErrDiskFull) {
			r.uploads.cancel(up)
		}
		return err
	}
	return told(w, q, up, http.StatusAccepted)
}

// inOrder refuses a chunk that does not begin where the last one ended.
func inOrder(w http.ResponseWriter, q *request, up *upload) error {
	start, _, given, err := span(q.Request)
	if err != nil || !given {
		return err
	}
	if n := up.in.size.Load(); start != n {
		progress(w, q, up, n)
		return fail(http.StatusRequestedRangeNotSatisfiable, codeUploadInvalid, "the chunk begins at byte %d, the upload is at %d; go on from there", start, n)
	}
	return nil
}

// receive appends a request's body to an upload. What came stays, so that the
// client can go on.
func (r *Registry) receive(q *request, up *upload, b *body) error {
	if q.ContentLength == 0 {
		return nil
	}
	n, err := up.in.readFrom(b)
	if n > 0 {
		r.uploads.touch(up)
	}
	if errors.Is(err, errBroken) {
		f := fail(http.StatusBadRequest, codeUploadInvalid, "the upload broke off after %d bytes; ask how far it is and go on from there", n)
		f.err = err
		return f
	}
	return err
}

// finishUpload takes the last chunk, if there is one more, and makes the upload a
// blob.
func (r *Registry) finishUpload(w http.ResponseWriter, q *request) error {
	d, err := parseDigest(q.URL.Query().Get("digest"))
	if err != nil {
		return err
	}
	repo, up, b, release, err := r.upload(w, q)
	if err != nil {
		return err
	}
	defer release()
	if err := inOrder(w, q, up); err != nil {
		return err
	}
	if err := r.receive(q, up, b); err != nil {
		if errors.Is(err, ErrDiskFull) {
			r.uploads.cancel(up)
		}
		return err
	}
	if err := r.finish(q, repo, up, d); err != nil {
		if errors.Is(err, ErrDigest) || errors.Is(err, ErrTooLarge) || errors.Is(err, ErrDiskFull) {
			r.uploads.cancel(up) // nothing can make it right
		}
		return err
	}
	return created(w, q, d)
}

// finishTime is how long the end of an upload may take, beside what a disk of
// slowestDisk bytes a second needs to read and write it again.
const (
	finishTime  = 2 * time.Minute
	slowestDisk = 8 << 20
)

// finish makes an upload the blob d of a repository.
func (r *Registry) finish(q *request, repo *model.Repository, up *upload, d digest.Digest) error {
	// A client that goes away now must not leave half of it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(q.Context()), finishTime+time.Duration(up.in.size.Load()/slowestDisk)*time.Second)
	defer cancel()
	release, err := up.in.commit(ctx, d)
	if err != nil {
		return err
	}
	defer release()
	size := up.in.size.Load()
	r.uploads.forget(up)
	_, err = r.propose(ctx, &command.LinkBlobs{Head: q.by(repo), Links: []model.BlobLink{{RepositoryID: repo.ID, Digest: d.String(), Size: size}}})
	if err == nil {
		r.spreadSoon(item{d.String(), size})
	}
	return err
}

// cancelUpload ends an upload.
func (r *Registry) cancelUpload(w http.ResponseWriter, q *request) error {
	_, up, _, release, err := r.upload(w, q)
	if err != nil {
		return err
	}
	defer release()
	r.uploads.cancel(up)
	w.WriteHeader(http.StatusNoContent)
	return nil
}
