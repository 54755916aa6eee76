package api

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// ParseCompose says what a compose text would make.
func (s *Server) ParseCompose(c *gin.Context, _ ParseComposeParams) {
	var in ComposeInput
	if err := decode(c, &in); err != nil {
		s.fail(c, err)
		return
	}
	out, err := s.ops.ParseCompose(c.Request.Context(), of(c).caller, in)
	s.reply(c, http.StatusOK, out, err)
}

// ListApps lists apps.
func (s *Server) ListApps(c *gin.Context, q ListAppsParams) {
	r := of(c)
	p, err := page(q.Limit, q.Cursor)
	if err != nil {
		s.fail(c, err)
		return
	}
	l, err := r.view.ListApps(r.scope, p, func(a *model.App) bool {
		return r.sees(a.TenantID) && strings.Contains(a.Name, q.Name) && (q.Phase == "" || app(r.view, a).Status.Phase == q.Phase)
	})
	out := AppList{Items: make([]App, len(l.Items)), NextCursor: l.Next}
	for i, a := range l.Items {
		out.Items[i] = app(r.view, a)
	}
	s.reply(c, http.StatusOK, out, err)
}

// services turns what a user wrote into specs, with the defaults of what he
// left out.
func services(in map[string]ServiceInput) map[string]model.ServiceSpec {
	if in == nil {
		return nil
	}
	out := make(map[string]model.ServiceSpec, len(in))
	for name, svc := range in {
		spec := model.ServiceSpec{Container: svc.Container, Replicas: 1, Ports: ports(svc.Ports),
			Placement: svc.Placement, Reserve: svc.Reserve, MaxUnavailable: svc.MaxUnavailable}
		if svc.Replicas != nil {
			spec.Replicas = *svc.Replicas
		}
		if spec.Container.Restart == "" {
			spec.Container.Restart = model.RestartNo
		}
		out[name] = spec
	}
	return out
}

func ports(in []model.PortSpec) []model.PortSpec {
	out := slices.Clone(in)
	for i := range out {
		if out[i].Protocol == "" {
			out[i].Protocol = model.TCP
		}
	}
	return out
}

// CreateApp makes and starts an app.
func (s *Server) CreateApp(c *gin.Context, q CreateAppParams) {
	var in AppInput
	err := decode(c, &in)
	if err == nil {
		err = checkWait(q.Wait)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	r := of(c)
	change := AppChange{Name: in.Name, Environment: in.Environment, Source: in.Source, Env: in.Env, Files: in.Files, Services: services(in.Services), Pull: in.Pull}
	s.changeApp(c, http.StatusCreated, q.Wait, func(ctx context.Context, report Report) (*model.App, error) {
		return s.ops.CreateApp(ctx, r.caller, change, report)
	})
}

// changeApp runs a use case that gives an app, waits if asked, and renders.
func (s *Server) changeApp(c *gin.Context, status, wait int, run func(context.Context, Report) (*model.App, error)) {
	ctx := c.Request.Context()
	s.work(c, status, func(report Report) (any, error) {
		a, err := run(ctx, report)
		if err != nil {
			return nil, err
		}
		if wait > 0 {
			out, err := s.waitApp(ctx, a.ID, wait, report)
			if s.cfg.Timing != nil {
				c.Header("Server-Timing", s.cfg.Timing(s.cluster.View(), a.ID))
			}
			return out, err
		}
		return app(s.cluster.View(), a), nil
	})
}

// GetApp shows an app.
func (s *Server) GetApp(c *gin.Context, ref Ref, _ GetAppParams) {
	r := of(c)
	a, err := r.view.FindApp(r.scope, ref)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.object(c, http.StatusOK, a.Version, app(r.view, a))
}

// findApp finds the app of a write and reads If-Match.
func findApp(c *gin.Context, ref, ifMatch string, wait int) (*model.App, uint64, error) {
	r := of(c)
	version, err := expect(ifMatch)
	if err == nil {
		err = checkWait(wait)
	}
	if err != nil {
		return nil, 0, err
	}
	a, err := r.view.FindApp(r.scope, ref)
	return a, version, err
}

// UpdateApp puts a new revision in force.
func (s *Server) UpdateApp(c *gin.Context, ref Ref, q UpdateAppParams) {
	var in AppUpdate
	a, version, err := findApp(c, ref, q.IfMatch, q.Wait)
	if err == nil {
		err = decode(c, &in)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	r := of(c)
	change := AppChange{Name: a.Name, Source: in.Source, Env: in.Env, Files: in.Files, Services: services(in.Services), Pull: in.Pull}
	s.changeApp(c, http.StatusOK, q.Wait, func(ctx context.Context, report Report) (*model.App, error) {
		return s.ops.UpdateApp(ctx, r.caller, a.ID, version, change, report)
	})
}

// DeleteApp removes an app.
func (s *Server) DeleteApp(c *gin.Context, ref Ref, q DeleteAppParams) {
	a, version, err := findApp(c, ref, q.IfMatch, q.Wait)
	if err != nil {
		s.fail(c, err)
		return
	}
	patient(c)
	err = s.ops.RemoveApp(c.Request.Context(), of(c).caller, a.ID, version, RemoveOptions{Force: q.Force, Volumes: q.Volumes})
	if err == nil {
		err = s.waitGone(c.Request.Context(), q.Wait, func(v *state.View) bool { _, ok := v.App(a.ID); return ok })
	}
	s.replyDone(c, http.StatusAccepted, err)
}

// StopApp stops every container of an app.
func (s *Server) StopApp(c *gin.Context, ref Ref, q StopAppParams) {
	s.haltApp(c, ref, q.IfMatch, q.Wait, true)
}

// StartApp starts a stopped app.
func (s *Server) StartApp(c *gin.Context, ref Ref, q StartAppParams) {
	s.haltApp(c, ref, q.IfMatch, q.Wait, false)
}

func (s *Server) haltApp(c *gin.Context, ref, ifMatch string, wait int, stopped bool) {
	a, version, err := findApp(c, ref, ifMatch, wait)
	if err != nil {
		s.fail(c, err)
		return
	}
	head := command.By(of(c).caller.Origin)
	s.changeApp(c, http.StatusOK, wait, func(ctx context.Context, _ Report) (*model.App, error) {
		if _, err := s.cluster.Propose(ctx, &command.SetAppStopped{Head: head, ID: a.ID, ExpectVersion: version, Stopped: stopped}); err != nil {
			return nil, err
		}
		return s.cluster.View().FindApp(state.AllTenants(), a.ID)
	})
}

// ListRevisions lists an app's revisions, the newest first.
func (s *Server) ListRevisions(c *gin.Context, ref Ref, q ListRevisionsParams) {
	r := of(c)
	a, err := r.view.FindApp(r.scope, ref)
	if err != nil {
		s.fail(c, err)
		return
	}
	all := []Revision{}
	for o := range r.view.Revisions(a.ID) {
		all = append(all, *o)
	}
	slices.Reverse(all)
	items, next, err := paged(all, q.Limit, q.Cursor)
	s.reply(c, http.StatusOK, RevisionList{Items: items, NextCursor: next}, err)
}

// RollbackApp puts an earlier revision in force.
func (s *Server) RollbackApp(c *gin.Context, ref Ref, q RollbackAppParams) {
	var in RollbackInput
	a, version, err := findApp(c, ref, q.IfMatch, q.Wait)
	if err == nil {
		err = decode(c, &in)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	r := of(c)
	s.changeApp(c, http.StatusOK, q.Wait, func(ctx context.Context, report Report) (*model.App, error) {
		return s.ops.RollbackApp(ctx, r.caller, a.ID, version, in.Revision, report)
	})
}

// number is a version or sequence number as text.
func number(n uint64) string { return strconv.FormatUint(n, 10) }
