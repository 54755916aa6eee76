package api

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/raft/model"
)

// GetSetup says whether the first administrator is missing.
func (s *Server) GetSetup(c *gin.Context) {
	s.ok(c, http.StatusOK, Setup{Needed: setupNeeded(of(c))})
}

func setupNeeded(r *request) bool {
	cl, ok := r.view.Cluster()
	return ok && len(cl.SetupHash) > 0
}

func device(c *gin.Context) access.Device {
	return access.Device{UserAgent: c.Request.UserAgent(), RemoteIP: remoteIP(c.Request)}
}

// CompleteSetup makes the first administrator and signs him in.
func (s *Server) CompleteSetup(c *gin.Context) {
	var in SetupInput
	if err := decode(c, &in); err != nil {
		s.fail(c, err)
		return
	}
	in1, err := s.people.Setup(c.Request.Context(), of(c).caller.Origin, in.Token, in.Name, in.Password, device(c))
	s.signedIn(c, http.StatusCreated, in.Name, in1, err)
}

// SignIn opens a session.
func (s *Server) SignIn(c *gin.Context) {
	var in SignInInput
	if err := decode(c, &in); err != nil {
		s.fail(c, err)
		return
	}
	in1, err := s.people.SignIn(c.Request.Context(), of(c).caller.Origin, in.Name, in.Password, device(c))
	s.signedIn(c, http.StatusOK, in.Name, in1, err)
}

// signedIn sets the cookie, or audits the refusal.
func (s *Server) signedIn(c *gin.Context, status int, name string, in access.SignedIn, err error) {
	r := of(c)
	if err != nil {
		r.caller.Origin.Actor = name
		if len(name) > 64 {
			r.caller.Origin.Actor = name[:64]
		}
		if k := model.KindOf(err); k == model.KindUnauthenticated || k == model.KindThrottled {
			s.record(r, "login.refused", model.CodeOf(err))
		}
		s.fail(c, err)
		return
	}
	http.SetCookie(c.Writer, &http.Cookie{Name: cookieName, Value: in.Cookie, Path: "/", HttpOnly: true,
		Secure: c.Request.TLS != nil, SameSite: http.SameSiteLaxMode, MaxAge: int(access.SessionTime / time.Second)})
	r.view, r.session, r.caller.Principal = s.cluster.View(), &in.Session, in.Principal
	s.ok(c, status, s.me(r))
}

// GetSession says who the caller is.
func (s *Server) GetSession(c *gin.Context) {
	r := of(c)
	if r.session != nil { // the browser keeps its cookie as long as the session
		if cookie, err := c.Request.Cookie(cookieName); err == nil {
			http.SetCookie(c.Writer, &http.Cookie{Name: cookieName, Value: cookie.Value, Path: "/", HttpOnly: true,
				Secure: c.Request.TLS != nil, SameSite: http.SameSiteLaxMode, MaxAge: int(access.SessionTime / time.Second)})
		}
	}
	s.ok(c, http.StatusOK, s.me(r))
}

func (s *Server) me(r *request) Me {
	p := &r.caller.Principal
	me := Me{
		UserID: p.UserID, Name: p.Name, DisplayName: p.DisplayName, Local: p.Local, TokenID: p.TokenID(), PlatformRole: p.Platform,
		DefaultTenant: access.DefaultTenant(r.view, p), Tenants: []MyTenant{}, Permissions: access.PlatformPermissions(p),
	}
	if p.Token != nil {
		me.PlatformRole = ""
		if p.Token.TenantID == "" && access.PlatformRole(p.Token.Role) {
			me.PlatformRole = p.Token.Role
		}
	}
	for t := range r.view.Tenants() {
		if p.MemberOf(t.ID) {
			me.Tenants = append(me.Tenants, MyTenant{ID: t.ID, Name: t.Name, DisplayName: t.Spec.DisplayName,
				Role: p.RoleIn(t.ID), Permissions: access.PermissionsIn(p, t.ID)})
		}
	}
	if r.session != nil {
		me.Csrf, me.SessionExpiresAt = r.session.CSRF, r.session.ExpiresAt
	}
	return me
}

// SignOut ends the present session.
func (s *Server) SignOut(c *gin.Context) {
	r := of(c)
	if r.session == nil {
		s.fail(c, invalid("no_session", "a token or the local socket has no session to end; revoke the token instead"))
		return
	}
	err := s.people.SignOut(c.Request.Context(), r.caller.Origin, r.session.ID)
	if err == nil {
		http.SetCookie(c.Writer, &http.Cookie{Name: cookieName, Path: "/", HttpOnly: true, Secure: c.Request.TLS != nil, SameSite: http.SameSiteLaxMode, MaxAge: -1})
	}
	s.replyDone(c, http.StatusNoContent, err)
}

// ListSessions lists the caller's own sessions, the newest first.
func (s *Server) ListSessions(c *gin.Context) {
	r, out := of(c), []Session{}
	for o := range r.view.SessionsOf(r.caller.Principal.UserID) {
		if r.caller.Principal.UserID != "" && o.ExpiresAt.After(r.caller.Origin.Time) {
			out = append(out, Session{ID: o.ID, Current: o.ID == r.caller.Principal.SessionID, CreatedAt: o.CreatedAt,
				ExpiresAt: o.ExpiresAt, UserAgent: o.UserAgent, RemoteIP: o.RemoteIP})
		}
	}
	slices.SortFunc(out, func(a, b Session) int { return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.ID, b.ID)) })
	s.ok(c, http.StatusOK, SessionList{Items: out})
}

// DeleteSession ends one of the caller's own sessions.
func (s *Server) DeleteSession(c *gin.Context, id ID) {
	s.replyDone(c, http.StatusNoContent, s.people.EndSession(c.Request.Context(), of(c).caller, id))
}

// ChangeOwnPassword changes the caller's password.
func (s *Server) ChangeOwnPassword(c *gin.Context) {
	var in PasswordChange
	if err := decode(c, &in); err != nil {
		s.fail(c, err)
		return
	}
	s.replyDone(c, http.StatusNoContent, s.people.ChangePassword(c.Request.Context(), of(c).caller, in.Current, in.Password))
}
