package state

import (
	"iter"

	"github.com/skerryhq/skerry/raft/model"
)

var upstreams = named[model.Upstream]{tabUpstreams, "upstream", func(o *model.Upstream) *model.Meta { return &o.Meta }, nil}

// Upstream finds an upstream by id.
func (v *View) Upstream(id string) (*model.Upstream, bool) {
	return first[model.Upstream](v, tabUpstreams, idxID, key(id))
}

// UpstreamByName finds an upstream by its host.
func (v *View) UpstreamByName(host string) (*model.Upstream, bool) {
	return firstPrefix[model.Upstream](v, tabUpstreams, idxName, key(host))
}

// FindUpstream finds an upstream by id or host. Errors: "not_found".
func (v *View) FindUpstream(ref string) (*model.Upstream, error) {
	return upstreams.find(v, AllTenants(), ref)
}

// ListUpstreams gives a page of the upstreams that keep accepts (nil: all).
func (v *View) ListUpstreams(p Page, keep func(*model.Upstream) bool) (List[model.Upstream], error) {
	return upstreams.list(v, AllTenants(), p, keep)
}

// Upstreams walks all upstreams by host.
func (v *View) Upstreams() iter.Seq[*model.Upstream] {
	return under[model.Upstream](v, tabUpstreams, idxName, nil)
}

// UpstreamRepositories walks the repositories that are cached from an upstream,
// by name.
func (v *View) UpstreamRepositories(upstreamID string) iter.Seq[*model.Repository] {
	return func(yield func(*model.Repository) bool) {
		for r := range v.RepositoriesOf("") {
			if r.UpstreamID == upstreamID && !yield(r) {
				return
			}
		}
	}
}
