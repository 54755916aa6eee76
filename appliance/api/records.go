package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// changesPause gathers changes, so that a busy cluster does not make every open
// console look through everything for each commit.
const changesPause = 100 * time.Millisecond

// ListEvents lists what happened, or streams it as it happens.
func (s *Server) ListEvents(c *gin.Context, q ListEventsParams) {
	r := of(c)
	keep, err := eventFilter(r, q)
	if err != nil {
		s.fail(c, err)
		return
	}
	if q.Follow || accepts(c, mediaSSE) {
		s.followEvents(c, q, keep)
		return
	}
	before, err := strconv.ParseUint("0"+q.Cursor, 10, 64)
	p, perr := page(q.Limit, "")
	if err != nil || perr != nil {
		s.fail(c, invalid("cursor_invalid", "limit or cursor is wrong; begin again without them").At("cursor"))
		return
	}
	if p.Limit == 0 {
		p.Limit = state.DefaultLimit
	}
	l := r.view.LatestEvents(r.scope, before, p.Limit, keep)
	out := EventList{Items: values(l)}
	if len(l) == p.Limit {
		out.NextCursor = number(l[len(l)-1].Seq)
	}
	s.ok(c, http.StatusOK, out)
}

func eventFilter(r *request, q ListEventsParams) (func(*model.Event) bool, error) {
	since, err := moment("since", q.Since, r.caller.Origin.Time)
	if err != nil {
		return nil, err
	}
	appID := q.App
	if a, err := r.view.FindApp(r.scope, q.App); q.App != "" && err == nil {
		appID = a.ID // events outlive their app: its old id is a filter, too
	}
	return func(e *model.Event) bool {
		return (e.TenantID == "" && r.every && r.caller.Principal.Platform != "" || e.TenantID != "" && r.sees(e.TenantID) || !r.every) &&
			(appID == "" || e.AppID == appID) && (q.Kind == "" || e.Kind == q.Kind) && (q.Object == "" || e.ObjectID == q.Object) &&
			(!q.Warnings || e.Warning) && (since.IsZero() || !e.Time.Before(since))
	}, nil
}

// followEvents streams events and the changes of objects until the client goes.
func (s *Server) followEvents(c *gin.Context, q ListEventsParams, keep func(*model.Event) bool) {
	r, ctx := of(c), c.Request.Context()
	more := s.cluster.Store().EventSignal()
	seq := uint64(0)
	if last, err := strconv.ParseUint(c.GetHeader("Last-Event-ID"), 10, 64); err == nil {
		seq = last
	} else if q.Since == "" {
		seq = newestEvent(s.cluster.View())
	}
	changes := newChanges(r)
	_, changed := changes.look(ctx, s) // what is there now is no news
	var due <-chan time.Time
	st := s.stream(c, mediaSSE)
	st.begin()
	for {
		for _, e := range s.cluster.View().EventsSince(r.scope, seq, 0) {
			seq = e.Seq
			if keep(e) && st.send("event", number(e.Seq), e) != nil {
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-more:
			more = s.cluster.Store().EventSignal()
		case <-changed:
			changed, due = nil, time.After(changesPause)
		case <-due:
			var news []Change
			news, changed = changes.look(ctx, s)
			for _, n := range news {
				if st.send("change", "", n) != nil {
					return
				}
			}
			if !s.still(ctx, c) {
				return
			}
		case <-time.After(streamQuiet):
			if st.alive() != nil || !s.still(ctx, c) {
				return
			}
		}
	}
}

func newestEvent(v *state.View) uint64 {
	if l := v.LatestEvents(state.AllTenants(), 0, 1, nil); len(l) > 0 {
		return l[0].Seq
	}
	return 0
}

// ListAudit lists who changed what.
func (s *Server) ListAudit(c *gin.Context, q ListAuditParams) {
	r := of(c)
	p, err := page(q.Limit, q.Cursor)
	aq := AuditQuery{TenantID: r.caller.TenantID(), Actor: q.Actor, Operation: q.Operation, Limit: p.Limit, Cursor: p.Cursor}
	if err == nil {
		aq.Since, err = moment("since", q.Since, r.caller.Origin.Time)
	}
	if err == nil {
		aq.Until, err = moment("until", q.Until, r.caller.Origin.Time)
	}
	switch {
	case err != nil:
	case r.every && r.caller.Principal.Platform == "":
		err = model.Errorf(model.KindDenied, "denied", "only platform roles read the audit of every tenant; name one")
	case s.audit == nil:
		err = model.Errorf(model.KindUnavailable, "no_audit", "this node keeps no audit")
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	if aq.Limit == 0 {
		aq.Limit = state.DefaultLimit
	}
	items, next, err := s.audit.Entries(c.Request.Context(), aq)
	s.reply(c, http.StatusOK, AuditList{Items: append([]AuditEntry{}, items...), NextCursor: next}, err)
}
