package api

import (
	"context"

	"github.com/gin-gonic/gin"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// changes finds out which objects differ from when it last looked, for clients
// that keep lists live. Belongs to one goroutine.
type changes struct {
	r    *request
	seen map[string]Change // by kind and id
}

func newChanges(r *request) *changes { return &changes{r: r} }

// look gives what is new since the last look, and a channel that closes when
// there may be more. The first look gives nothing.
func (w *changes) look(ctx context.Context, s *Server) ([]Change, <-chan struct{}) {
	now, more, _ := state.Changed(ctx, s.cluster.Store(), func(v *state.View) (map[string]Change, error) { return w.read(v), nil })
	var out []Change
	for k, n := range now {
		if old, ok := w.seen[k]; w.seen != nil && (!ok || old.Version != n.Version) {
			out = append(out, n)
		}
	}
	for k, old := range w.seen {
		if _, ok := now[k]; !ok {
			old.Removed = true
			out = append(out, old)
		}
	}
	w.seen = now
	return out, more
}

// read notes the version of every object that the caller may see. The walks are
// watched as a whole, so that one channel tells of any change.
func (w *changes) read(v *state.View) map[string]Change {
	out := map[string]Change{}
	note := func(kind, tenantID string, m *model.Meta) {
		if w.r.scope.Covers(tenantID) && w.r.sees(tenantID) {
			out[kind+" "+m.ID] = Change{Kind: kind, ID: m.ID, TenantID: tenantID, Version: m.Version}
		}
	}
	for o := range v.Apps() {
		note("app", o.TenantID, &o.Meta)
	}
	for o := range v.Services() {
		note("service", o.TenantID, &o.Meta)
	}
	for o := range v.Containers() {
		note("container", o.TenantID, &o.Meta)
	}
	for o := range v.Volumes() {
		note("volume", o.TenantID, &o.Meta)
	}
	for o := range v.Images() {
		note("image", o.TenantID, &o.Meta)
	}
	for o := range v.Repositories() { // what is pushed into one is an event
		if access.MayReadAny(v, &w.r.caller.Principal, o) {
			note("repository", o.TenantID, &o.Meta)
		}
	}
	if access.Decide(&w.r.caller.Principal, access.PermNodeRead, "") == access.Allow {
		for o := range v.Nodes() {
			out["node "+o.ID] = Change{Kind: "node", ID: o.ID, Version: o.Version}
		}
	}
	return out
}

// still says whether the caller of a stream may still read it: a token may have
// been revoked, a session ended, a role lowered since it began.
func (s *Server) still(_ context.Context, c *gin.Context) bool {
	old := of(c)
	r := &request{op: old.op, view: s.cluster.View(), caller: access.Caller{Origin: old.caller.Origin}}
	r.caller.Origin.Time = now()
	if s.authenticate(c, r) != nil {
		return false
	}
	old.caller.Principal = r.caller.Principal
	if old.every {
		return true
	}
	return access.Decide(&r.caller.Principal, old.op.permission, old.caller.TenantID()) == access.Allow
}
