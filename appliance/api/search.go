package api

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// maxQuery is the longest text to look for, in bytes.
const maxQuery = 200

// Search finds objects that the caller may see by a part of their name or the
// beginning of their id. Platform roles find nodes and users too.
func (s *Server) Search(c *gin.Context, q SearchParams) {
	text := strings.ToLower(strings.TrimSpace(q.Q))
	switch {
	case text == "":
		s.fail(c, invalid("query_empty", "there is nothing to look for; write a part of a name or of an id").At("q"))
		return
	case len(text) > maxQuery:
		s.fail(c, invalid("query_too_long", "the text to look for has %d bytes; use at most %d", len(text), maxQuery).At("q"))
		return
	}
	r := of(c)
	found := searcher{text: text}
	found.collect(r)
	limit := q.Limit
	if limit == 0 {
		limit = 20
	}
	s.ok(c, http.StatusOK, SearchResult{Items: found.best(limit)})
}

// ranked is a hit with how well it fits; less is better.
type ranked struct {
	SearchHit
	rank int
}

type searcher struct {
	text string // in lower case
	hits []ranked
}

// rankOf says how well an object fits: by its whole name, the beginning of its
// name, of a part of its name, of its id, anywhere; -1: not at all.
func rankOf(text, id, name string) int {
	name = strings.ToLower(name)
	at := strings.Index(name, text)
	switch {
	case name == text:
		return 0
	case at == 0:
		return 1
	case at > 0 && strings.ContainsRune("/-_.:", rune(name[at-1])):
		return 2
	case len(text) >= 4 && strings.HasPrefix(strings.ToLower(id), text):
		return 3
	case at > 0:
		return 4
	}
	return -1
}

func (f *searcher) offer(m *model.Meta, h SearchHit) {
	if rank := rankOf(f.text, m.ID, m.Name); rank >= 0 {
		h.ID, h.Name = m.ID, m.Name
		f.hits = append(f.hits, ranked{h, rank})
	}
}

func (f *searcher) collect(r *request) {
	v := r.view
	in := func(tenantID string) bool { return r.scope.Covers(tenantID) && r.sees(tenantID) }
	for o := range v.Apps() {
		if in(o.TenantID) {
			f.offer(&o.Meta, SearchHit{Kind: "app", TenantID: o.TenantID})
		}
	}
	for o := range v.Services() {
		if in(o.TenantID) {
			f.offer(&o.Meta, SearchHit{Kind: "service", TenantID: o.TenantID, AppID: o.AppID, AppName: o.AppName, Detail: o.Spec.Container.Image})
		}
	}
	for o := range v.Containers() {
		if in(o.TenantID) {
			f.offer(&o.Meta, SearchHit{Kind: "container", TenantID: o.TenantID, AppID: o.AppID, AppName: o.AppName, Detail: string(o.Status.Phase)})
		}
	}
	for o := range v.Images() {
		if in(o.TenantID) {
			f.offer(&o.Meta, SearchHit{Kind: "image", TenantID: o.TenantID, Detail: o.Digest})
		}
	}
	for o := range v.Volumes() {
		if in(o.TenantID) {
			f.offer(&o.Meta, SearchHit{Kind: "volume", TenantID: o.TenantID})
		}
	}
	for o := range v.Repositories() {
		if o.UpstreamID == "" && access.MayReadAny(v, &r.caller.Principal, o) && (in(o.TenantID) || o.Spec.Visibility == model.VisibilityPublic) {
			f.offer(&o.Meta, SearchHit{Kind: "repository", TenantID: o.TenantID, Detail: v.RepositoryPath(o)})
		}
	}
	f.collectPlatform(v, &r.caller.Principal)
}

// collectPlatform offers what belongs to no tenant to those who oversee it.
func (f *searcher) collectPlatform(v *state.View, p *access.Principal) {
	if access.Decide(p, access.PermNodeRead, "") == access.Allow {
		for o := range v.Nodes() {
			f.offer(&o.Meta, SearchHit{Kind: "node", Detail: o.Status.Address})
		}
	}
	if access.Decide(p, access.PermPlatformRead, "") == access.Allow {
		for o := range v.Users() {
			f.offer(&o.Meta, SearchHit{Kind: "user", Detail: o.Spec.DisplayName})
		}
	}
}

// kinds is the order of hits that fit equally well.
var kinds = []string{"app", "service", "container", "repository", "image", "volume", "node", "user"}

func (f *searcher) best(limit int) []SearchHit {
	slices.SortStableFunc(f.hits, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, b.Kind)), cmp.Compare(a.Name, b.Name))
	})
	out := []SearchHit{}
	for _, h := range f.hits[:min(limit, len(f.hits))] {
		out = append(out, h.SearchHit)
	}
	return out
}
