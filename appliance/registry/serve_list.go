package registry

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/skerryhq/skerry/appliance/registry/auth"
	"github.com/skerryhq/skerry/raft/model"
)

const (
	maxPage = 1000
	// maxReferrers and maxReferrerBytes bound one page of referrers, which is a
	// manifest itself.
	maxReferrers     = 100
	maxReferrerBytes = 2 << 20
)

// page reads n and last. n is -1 where the client leaves it to us.
func page(q url.Values) (n int, last string, err error) {
	n, last = -1, q.Get("last")
	if text := q.Get("n"); text != "" {
		if n, err = strconv.Atoi(text); err != nil || n < 0 {
			return 0, "", fail(http.StatusBadRequest, codeUnsupported, "n is how many to list, a number from 0").about("n", clip(text))
		}
	}
	return n, last, nil
}

// next is the Link header to the page behind last.
func next(w http.ResponseWriter, path string, n int, last string, more url.Values) {
	v := url.Values{"last": {last}}
	if n >= 0 {
		v.Set("n", strconv.Itoa(n))
	}
	for k := range more {
		v.Set(k, more.Get(k))
	}
	w.Header().Set("Link", "<"+path+"?"+v.Encode()+`>; rel="next"`)
}

func reply(w http.ResponseWriter, q *request, mediaType string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", strconv.Itoa(len(b)))
	h.Set("Cache-Control", "no-cache")
	if q.Method != http.MethodHead {
		_, _ = w.Write(b)
	}
	return nil
}

// listTags lists a repository's tags in lexical order.
func (r *Registry) listTags(w http.ResponseWriter, q *request) error {
	n, last, err := page(q.URL.Query())
	if err != nil {
		return err
	}
	repo, err := r.open(q, auth.Pull)
	if err != nil {
		return err
	}
	limit := n
	if n < 0 || n > maxPage {
		limit = maxPage
	}
	tags, more := r.view().Tags(repo.ID, last, limit)
	names := make([]string, len(tags))
	for i, t := range tags {
		names[i] = t.Name
	}
	if more && len(names) > 0 {
		next(w, "/v2/"+q.name+"/tags/list", limit, names[len(names)-1], nil)
	}
	return reply(w, q, "application/json", map[string]any{"name": q.name, "tags": names})
}

// catalog lists the repositories that the caller may read.
func (r *Registry) catalog(w http.ResponseWriter, q *request) error {
	q.scope = auth.CatalogScope
	n, last, err := page(q.URL.Query())
	if err != nil {
		return err
	}
	if err := r.cfg.Access.MayList(q.visitor); err != nil {
		return err
	}
	v := r.view()
	names := []string{}
	for repo := range v.Repositories() {
		if path := v.RepositoryPath(repo); path > last && r.cfg.Access.MayRead(&q.visitor.Caller.Principal, repo) {
			names = append(names, path)
		}
	}
	slices.Sort(names)
	limit := n
	if n < 0 || n > maxPage {
		limit = maxPage
	}
	if len(names) > limit {
		names = names[:limit]
		if limit > 0 {
			next(w, "/v2/_catalog", limit, names[limit-1], nil)
		}
	}
	return reply(w, q, "application/json", map[string]any{"repositories": names})
}

// descriptor is one entry of a referrers list.
type descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
}

type referrersList struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []descriptor `json:"manifests"`
}

// referrers lists what refers to a manifest, whether that is here or not. Of a
// repository that is not there, or that the caller must not see, the list is
// empty.
func (r *Registry) referrers(w http.ResponseWriter, q *request) error {
	params := q.URL.Query()
	list := referrersList{SchemaVersion: 2, MediaType: model.MediaTypeOCIIndex, Manifests: []descriptor{}}
	want := params.Get("artifactType")
	filter := url.Values{}
	if want != "" {
		filter.Set("artifactType", want)
		w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	repo, err := r.open(q, auth.Pull)
	if model.KindOf(err) == model.KindNotFound {
		return reply(w, q, model.MediaTypeOCIIndex, list)
	}
	if err != nil {
		return err
	}
	last, bytes := params.Get("last"), 0
	for m := range r.view().Referrers(repo.ID, q.ref) {
		if m.Descriptor.Digest <= last || want != "" && m.Descriptor.ArtifactType != want {
			continue
		}
		annotations, err := r.annotations(q.Context(), m)
		if err != nil {
			return err
		}
		size := 512
		for k, v := range annotations {
			size += len(k) + len(v) + 8
		}
		if n := len(list.Manifests); n > 0 && (n == maxReferrers || bytes+size > maxReferrerBytes) {
			next(w, location(q.name, "referrers", q.ref), -1, list.Manifests[n-1].Digest, filter)
			break
		}
		bytes += size
		list.Manifests = append(list.Manifests, descriptor{
			MediaType: m.Descriptor.MediaType, Digest: m.Descriptor.Digest, Size: m.Descriptor.Size, ArtifactType: m.Descriptor.ArtifactType, Annotations: annotations,
		})
	}
	return reply(w, q, model.MediaTypeOCIIndex, list)
}
