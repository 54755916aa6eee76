package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// The headers and the cookie of the contract.
const (
	headerCSRF    = "Skerry-CSRF"
	headerRequest = "Skerry-Request-Id"
	cookieName    = "skerry_session"
	everyTenant   = "*"
)

const keyRequest = "skerry.request"

// request is what identify and the gate found out; handlers take everything
// from it.
type request struct {
	id      string
	op      operation // zero outside of the API
	view    *state.View
	caller  access.Caller
	session *model.Session // nil unless a browser's
	scope   state.Scope    // the tenant, or everything that sees filters
	every   bool           // ?tenant=*
}

// sees says whether a listing over several tenants shows a tenant's objects.
func (r *request) sees(tenantID string) bool {
	return !r.every || access.Decide(&r.caller.Principal, r.op.permission, tenantID) == access.Allow
}

func of(c *gin.Context) *request { return c.MustGet(keyRequest).(*request) }

func requestID(c *gin.Context) string { return of(c).id }

func operationID(c *gin.Context) string { return of(c).op.id }

// identify gives the request its id and, afterwards, its line in the log.
func (s *Server) identify(c *gin.Context) {
	var b [8]byte
	_, _ = rand.Read(b[:])
	id := hex.EncodeToString(b[:])
	c.Set(keyRequest, &request{id: id})
	c.Writer.Header()[headerRequest] = []string{id} // is in canonical form, as a test of the contract sees
	if !s.cfg.AccessLog {
		c.Next()
		return
	}
	begin := time.Now()
	c.Next()
	s.log.LogAttrs(c.Request.Context(), slog.LevelDebug, "request", slog.String("request_id", id), slog.String("method", c.Request.Method),
		slog.String("path", c.Request.URL.Path), slog.Int("status", c.Writer.Status()), slog.Duration("took", time.Since(begin)))
}

// recover turns a panic of a handler into a 500 and a line in the log.
func (s *Server) recover(c *gin.Context) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			panic(p) // net/http's own way to drop a connection
		default:
			s.log.Error("handler panicked", slog.String("request_id", requestID(c)), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			s.fail(c, fmt.Errorf("panic: %v", p))
		}
	}()
	c.Next()
}

// gate is the one policy gate: who is it, which tenant is meant, may he.
func (s *Server) gate(c *gin.Context) {
	op, ok := s.gates[c.Request.Method+" "+c.FullPath()]
	if !ok {
		s.fail(c, notFound("operation", c.Request.Method+" "+c.Request.URL.Path))
		return
	}
	r := of(c)
	r.op = op
	if err := s.admit(c, r); err != nil {
		s.refuse(c, r, err)
		return
	}
	c.Next()
}

func (s *Server) admit(c *gin.Context, r *request) error {
	if err := s.freshness(c); err != nil {
		return err
	}
	if err := s.current(c.Request.Context(), r); err != nil {
		return err
	}
	r.view = s.cluster.View()
	if err := s.founded(r); err != nil {
		return err
	}
	if err := s.doubt(c, r); err != nil {
		return err
	}
	r.caller.Origin = model.Origin{RemoteIP: remoteIP(c.Request), RequestID: r.id, Operation: r.op.id, Time: time.Now().UTC()}
	if err := s.authenticate(c, r); err != nil && r.op.permission.Reach() != access.Everyone {
		return err
	}
	if r.op.permission.Reach() == access.Everyone && r.op.writes() {
		if err := sameOrigin(c.Request); err != nil { // nobody signs a visitor in from elsewhere
			return err
		}
	}
	p := &r.caller.Principal
	r.caller.Origin.Actor, r.caller.Origin.UserID, r.caller.Origin.TokenID = p.Name, p.UserID, p.TokenID()
	tenantID, err := s.tenant(c, r)
	if err != nil {
		return err
	}
	r.caller.Origin.TenantID = tenantID
	if r.every {
		return nil // sees decides for each tenant
	}
	switch access.Decide(p, r.op.permission, tenantID) {
	case access.Allow:
		return nil
	case access.SignIn:
		return model.Errorf(model.KindUnauthenticated, "sign_in_needed", "nobody is signed in; send a token or sign in first")
	case access.Hide:
		return s.hidden(c, r)
	default:
		return s.denied(r, tenantID)
	}
}

// hidden is the answer for what belongs to a tenant that the caller must not
// see: the same as for what does not exist.
func (s *Server) hidden(c *gin.Context, r *request) error {
	if t := c.Query("tenant"); t != "" {
		return notFound("tenant", t)
	}
	if r.op.hasRef {
		return notFound(strings.TrimSuffix(r.op.noun, "s"), c.Param("ref"))
	}
	return model.Errorf(model.KindDenied, "no_tenant", "%q belongs to no tenant; ask an administrator for a role in one", r.caller.Principal.Name)
}

func (s *Server) denied(r *request, tenantID string) error {
	where := "on the platform"
	if t, ok := r.view.Tenant(tenantID); ok && r.op.permission.Reach() == access.Tenant {
		where = fmt.Sprintf("in the tenant %q", t.Name)
	}
	if r.op.permission.Reach() == access.InPerson {
		return model.Errorf(model.KindDenied, "denied", "an API token may not do this; sign in with a password")
	}
	return model.Errorf(model.KindDenied, "denied", "%q may not do this %s: it needs the permission %s", r.caller.Principal.Name, where, r.op.permission)
}

// refuse answers, and audits what somebody who is known was not allowed to do.
func (s *Server) refuse(c *gin.Context, r *request, err error) {
	if e := model.KindOf(err); (e == model.KindDenied || e == model.KindUnauthenticated) && r.op.writes() {
		s.record(r, "refused", model.CodeOf(err))
	}
	s.fail(c, err)
}

// record puts an action without a command into the audit.
func (s *Server) record(r *request, action, code string, objects ...command.Ref) {
	s.recorder.Record(command.AuditEntry{Origin: r.caller.Origin, Action: action, Code: code, Objects: objects})
}

// authenticate finds the principal: the local socket, a bearer token, or a
// browser's cookie (with its CSRF word and origin for writes and sockets).
func (s *Server) authenticate(c *gin.Context, r *request) (err error) {
	req, now := c.Request, r.caller.Origin.Time
	if local(req) {
		r.caller.Principal = access.Local()
		return nil
	}
	if h := req.Header.Get("Authorization"); h != "" {
		text, ok := strings.CutPrefix(h, "Bearer ")
		if !ok {
			return model.Errorf(model.KindUnauthenticated, "authorization_invalid", "the Authorization header must be `Bearer sk_...`")
		}
		r.caller.Principal, err = access.ByToken(r.view, now, text)
		return err
	}
	cookie, err := req.Cookie(cookieName)
	if err != nil {
		return model.Errorf(model.KindUnauthenticated, "sign_in_needed", "nobody is signed in; send a token or sign in first")
	}
	p, session, err := access.ByCookie(r.view, now, cookie.Value)
	if err != nil {
		return err
	}
	if err := crossSite(req, r.op, session); err != nil {
		return err
	}
	r.caller.Principal, r.session = p, session
	s.renew(req.Context(), r)
	return nil
}

// crossSite refuses what another site made a signed-in browser send.
func crossSite(req *http.Request, op operation, session *model.Session) error {
	socket := strings.EqualFold(req.Header.Get("Upgrade"), "websocket")
	if !op.writes() && !socket {
		return nil
	}
	if socket && req.Header.Get("Origin") == "" {
		return model.Errorf(model.KindDenied, "origin_denied", "a browser's socket must say which site it comes from")
	}
	if err := sameOrigin(req); err != nil {
		return err
	}
	if op.writes() && !access.CheckCSRF(session, req.Header.Get(headerCSRF)) {
		return model.Errorf(model.KindDenied, "csrf_invalid", "the header %s is missing or old; send the csrf word of GET %s/session", headerCSRF, base)
	}
	return nil
}

// sameOrigin refuses requests that a browser says come from another site.
func sameOrigin(req *http.Request) error {
	o := req.Header.Get("Origin")
	if o == "" {
		return nil
	}
	if u, err := url.Parse(o); err != nil || !strings.EqualFold(u.Host, req.Host) {
		return model.Errorf(model.KindDenied, "origin_denied", "this request came from the site %s, not from this console", o)
	}
	return nil
}

// renew prolongs a session about once an hour. A cluster that takes no writes
// at the moment must not keep people out, so a failure is only noted.
func (s *Server) renew(ctx context.Context, r *request) {
	until, due := access.RenewAt(r.session, r.caller.Origin.Time)
	if !due {
		return
	}
	if _, busy := s.renewing.LoadOrStore(r.session.ID, true); busy {
		return
	}
	defer s.renewing.Delete(r.session.ID)
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	o := r.caller.Origin
	o.Actor, o.UserID, o.Operation = r.caller.Principal.Name, r.caller.Principal.UserID, "renewSession"
	if err := s.people.Renew(ctx, o, *r.session, until); err != nil {
		s.log.Debug("session not prolonged", slog.Any("err", err))
	}
}

// tenant finds the tenant that a request acts in: the one it names, else the
// one that owns the object whose id is in the path, else the caller's own.
func (s *Server) tenant(c *gin.Context, r *request) (string, error) {
	if r.op.permission.Reach() != access.Tenant && r.op.id != "getStatus" {
		return "", nil
	}
	p, ref := &r.caller.Principal, c.Query("tenant")
	if r.op.tenantPath {
		ref = c.Param("ref")
	}
	if ref == everyTenant && !r.op.hasRef && !r.op.writes() && !p.Anonymous() {
		r.every, r.scope = true, state.AllTenants()
		return "", nil
	}
	id := ""
	switch {
	case ref != "":
		t, err := r.view.FindTenant(ref)
		if err != nil {
			if p.Anonymous() {
				return "", nil // Decide says that a sign-in is needed
			}
			return "", notFound("tenant", ref)
		}
		id = t.ID
	case r.op.hasRef && r.op.noun == "repositories":
		id = repositoryTenant(r, c.Param("ref"))
	case r.op.hasRef:
		id = ownerOf(r.view, r.op.noun, c.Param("ref"))
	}
	if id == "" {
		id = access.DefaultTenant(r.view, p)
	}
	r.scope = state.InTenant(id)
	return id, nil
}

// ownerOf is the tenant of the object with an id; empty if ref is no id. Public
// images belong to everybody who asks.
func ownerOf(v *state.View, noun, ref string) string {
	switch noun {
	case "apps":
		if o, ok := v.App(ref); ok {
			return o.TenantID
		}
	case "services":
		if o, ok := v.Service(ref); ok {
			return o.TenantID
		}
	case "containers":
		if o, ok := v.Container(ref); ok {
			return o.TenantID
		}
	case "volumes":
		if o, ok := v.Volume(ref); ok {
			return o.TenantID
		}
	case "images":
		if o, ok := v.Image(ref); ok && !o.Public {
			return o.TenantID
		}
	}
	return ""
}

func remoteIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	return host
}
