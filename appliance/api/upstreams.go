package api

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// upstreams gives the port, or why there is none.
func (s *Server) upstreams() (Upstreams, error) {
	if s.cfg.Upstreams == nil {
		return nil, model.Errorf(model.KindUnavailable, "no_mirror", "this node fetches nothing from other registries")
	}
	return s.cfg.Upstreams, nil
}

// upstream is an upstream with what is cached from it; never with its password.
func upstream(v *state.View, o *model.Upstream) Upstream {
	out := Upstream{ID: o.ID, Name: o.Name, Version: o.Version, CreatedAt: o.CreatedAt, UpdatedAt: o.UpdatedAt, Spec: o.Spec,
		Status: UpstreamStatus{HasPassword: len(o.Password) > 0}}
	seen := map[string]bool{}
	for r := range v.UpstreamRepositories(o.ID) {
		out.Status.Repositories++
		for l := range v.BlobLinks(r.ID) {
			if !seen[l.Digest] {
				seen[l.Digest] = true
				out.Status.SizeBytes += l.Size
			}
		}
		for m := range v.Manifests(r.ID) {
			if d := m.Descriptor; !seen[d.Digest] {
				seen[d.Digest] = true
				out.Status.SizeBytes += d.Size
			}
		}
	}
	return out
}

// ListUpstreams lists upstreams by host.
func (s *Server) ListUpstreams(c *gin.Context, q ListUpstreamsParams) {
	r := of(c)
	p, err := page(q.Limit, q.Cursor)
	if err != nil {
		s.fail(c, err)
		return
	}
	l, err := r.view.ListUpstreams(p, func(o *model.Upstream) bool { return contains(o.Name, q.Name) })
	out := UpstreamList{Items: make([]Upstream, len(l.Items)), NextCursor: l.Next}
	for i, o := range l.Items {
		out.Items[i] = upstream(r.view, o)
	}
	s.reply(c, http.StatusOK, out, err)
}

// CreateUpstream adds an upstream.
func (s *Server) CreateUpstream(c *gin.Context) {
	var in UpstreamInput
	if err := decode(c, &in); err != nil {
		s.fail(c, err)
		return
	}
	var password *string
	if in.Password != "" {
		password = &in.Password
	}
	s.putUpstream(c, nil, in.Name, in.Spec, password, command.MustNotExist, http.StatusCreated)
}

// UpdateUpstream changes an upstream.
func (s *Server) UpdateUpstream(c *gin.Context, ref UpstreamRef, q UpdateUpstreamParams) {
	var in UpstreamChange
	old, err := of(c).view.FindUpstream(ref)
	version, verr := expect(q.IfMatch)
	if err == nil {
		err = verr
	}
	if err == nil {
		err = decode(c, &in)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	s.putUpstream(c, old, old.Name, in.Spec, in.Password, version, http.StatusOK)
}

func (s *Server) putUpstream(c *gin.Context, old *model.Upstream, name string, spec model.UpstreamSpec, password *string, version uint64, status int) {
	desk, err := s.upstreams()
	var row *model.Upstream
	if err == nil {
		row, err = desk.Check(old, name, spec, password)
	}
	if err == nil {
		_, err = s.cluster.Propose(c.Request.Context(), &command.PutUpstream{Head: command.By(of(c).caller.Origin), Upstream: *row, ExpectVersion: version})
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	now := s.cluster.View()
	made, err := now.FindUpstream(row.ID)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.object(c, status, made.Version, upstream(now, made))
}

// GetUpstream shows an upstream.
func (s *Server) GetUpstream(c *gin.Context, ref UpstreamRef) {
	r := of(c)
	o, err := r.view.FindUpstream(ref)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.object(c, http.StatusOK, o.Version, upstream(r.view, o))
}

// DeleteUpstream removes an upstream with what was cached from it.
func (s *Server) DeleteUpstream(c *gin.Context, ref UpstreamRef, q DeleteUpstreamParams) {
	version, err := expect(q.IfMatch)
	o, ferr := of(c).view.FindUpstream(ref)
	if err == nil {
		err = ferr
	}
	if err == nil {
		_, err = s.cluster.Propose(c.Request.Context(), &command.DeleteUpstream{Head: command.By(of(c).caller.Origin), ID: o.ID, Name: o.Name, ExpectVersion: version})
	}
	s.replyDone(c, http.StatusNoContent, err)
}

// TestUpstream tries to reach an upstream.
func (s *Server) TestUpstream(c *gin.Context, ref UpstreamRef) {
	desk, err := s.upstreams()
	var o *model.Upstream
	if err == nil {
		o, err = of(c).view.FindUpstream(ref)
	}
	var out UpstreamTest
	if err == nil {
		out, err = desk.Test(c.Request.Context(), o)
	}
	s.reply(c, http.StatusOK, out, err)
}
