package api

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// user is what may be seen of a user: never the hash.
func user(v *state.View, u *model.User) User {
	out := User{ID: u.ID, Name: u.Name, Version: u.Version, CreatedAt: u.CreatedAt, UpdatedAt: u.UpdatedAt, Spec: u.Spec,
		Status: UserStatus{HasPassword: u.PasswordHash != ""}}
	for range v.SessionsOf(u.ID) {
		out.Status.Sessions++
	}
	return out
}

func (s *Server) replyUser(c *gin.Context, status int, u *model.User, err error) {
	if err != nil {
		s.fail(c, err)
		return
	}
	s.object(c, status, u.Version, user(s.cluster.View(), u))
}

// ListUsers lists users.
func (s *Server) ListUsers(c *gin.Context, q ListUsersParams) {
	r := of(c)
	p, err := page(q.Limit, q.Cursor)
	if err != nil {
		s.fail(c, err)
		return
	}
	l, err := r.view.ListUsers(p, func(u *model.User) bool { return strings.Contains(u.Name, q.Name) })
	out := UserList{Items: make([]User, len(l.Items)), NextCursor: l.Next}
	for i, u := range l.Items {
		out.Items[i] = user(r.view, u)
	}
	s.reply(c, http.StatusOK, out, err)
}

// CreateUser makes a user.
func (s *Server) CreateUser(c *gin.Context) {
	var in UserInput
	if err := decode(c, &in); err != nil {
		s.fail(c, err)
		return
	}
	u, err := s.people.CreateUser(c.Request.Context(), of(c).caller, in.Name, in.Password, in.Spec)
	s.replyUser(c, http.StatusCreated, u, err)
}

// GetUser shows a user.
func (s *Server) GetUser(c *gin.Context, ref Ref) {
	u, err := of(c).view.FindUser(ref)
	s.replyUser(c, http.StatusOK, u, err)
}

// UpdateUser replaces a user's spec.
func (s *Server) UpdateUser(c *gin.Context, ref Ref, q UpdateUserParams) {
	var in UserSpec
	version, err := expect(q.IfMatch)
	if err == nil {
		err = decode(c, &in)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	u, err := s.people.UpdateUser(c.Request.Context(), of(c).caller, ref, version, in)
	s.replyUser(c, http.StatusOK, u, err)
}

// DeleteUser removes a user.
func (s *Server) DeleteUser(c *gin.Context, ref Ref, q DeleteUserParams) {
	version, err := expect(q.IfMatch)
	if err == nil {
		err = s.people.DeleteUser(c.Request.Context(), of(c).caller, ref, version)
	}
	s.replyDone(c, http.StatusNoContent, err)
}

// ResetPassword sets a user's password.
func (s *Server) ResetPassword(c *gin.Context, ref Ref) {
	var in PasswordReset
	if err := decode(c, &in); err != nil {
		s.fail(c, err)
		return
	}
	s.replyDone(c, http.StatusNoContent, s.people.ResetPassword(c.Request.Context(), of(c).caller, ref, in.Password))
}

// DisableUser locks a user out.
func (s *Server) DisableUser(c *gin.Context, ref Ref) {
	u, err := s.people.SetDisabled(c.Request.Context(), of(c).caller, ref, true)
	s.replyUser(c, http.StatusOK, u, err)
}

// EnableUser lets a user in again.
func (s *Server) EnableUser(c *gin.Context, ref Ref) {
	u, err := s.people.SetDisabled(c.Request.Context(), of(c).caller, ref, false)
	s.replyUser(c, http.StatusOK, u, err)
}

// ListTenants lists the tenants that the caller has a role in.
func (s *Server) ListTenants(c *gin.Context, q ListTenantsParams) {
	r := of(c)
	p, err := page(q.Limit, q.Cursor)
	if err != nil {
		s.fail(c, err)
		return
	}
	l, err := r.view.ListTenants(p, func(t *model.Tenant) bool {
		return r.caller.Principal.MemberOf(t.ID) && strings.Contains(t.Name, q.Name)
	})
	s.reply(c, http.StatusOK, TenantList{Items: values(l.Items), NextCursor: l.Next}, err)
}

func (s *Server) replyTenant(c *gin.Context, status int, t *model.Tenant, err error) {
	if err != nil {
		s.fail(c, err)
		return
	}
	s.object(c, status, t.Version, t)
}

// CreateTenant makes a tenant.
func (s *Server) CreateTenant(c *gin.Context) {
	var in TenantInput
	if err := decode(c, &in); err != nil {
		s.fail(c, err)
		return
	}
	t, err := s.people.CreateTenant(c.Request.Context(), of(c).caller, in.Name, in.Spec)
	s.replyTenant(c, http.StatusCreated, t, err)
}

// GetTenant shows a tenant.
func (s *Server) GetTenant(c *gin.Context, _ Ref) {
	r := of(c)
	t, err := r.view.FindTenant(r.caller.TenantID())
	s.replyTenant(c, http.StatusOK, t, err)
}

// UpdateTenant replaces a tenant's spec.
func (s *Server) UpdateTenant(c *gin.Context, _ Ref, q UpdateTenantParams) {
	var in TenantSpec
	version, err := expect(q.IfMatch)
	if err == nil {
		err = decode(c, &in)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	r := of(c)
	t, err := s.people.UpdateTenant(c.Request.Context(), r.caller, r.caller.TenantID(), version, in)
	s.replyTenant(c, http.StatusOK, t, err)
}

// DeleteTenant removes an empty tenant.
func (s *Server) DeleteTenant(c *gin.Context, ref Ref, q DeleteTenantParams) {
	version, err := expect(q.IfMatch)
	if err == nil {
		err = s.people.DeleteTenant(c.Request.Context(), of(c).caller, ref, version)
	}
	s.replyDone(c, http.StatusNoContent, err)
}

func member(u *model.User, tenantID string) Member {
	return Member{UserID: u.ID, Name: u.Name, DisplayName: u.Spec.DisplayName, Role: u.Spec.Tenants[tenantID], Disabled: u.Spec.Disabled}
}

// ListMembers lists who has a role in a tenant, by name.
func (s *Server) ListMembers(c *gin.Context, _ Ref) {
	r, out := of(c), []Member{}
	for u := range r.view.Users() {
		if u.Spec.Tenants[r.caller.TenantID()] != "" {
			out = append(out, member(u, r.caller.TenantID()))
		}
	}
	s.ok(c, http.StatusOK, MemberList{Items: out})
}

// SetMember gives a user a role in a tenant.
func (s *Server) SetMember(c *gin.Context, _ Ref, userRef UserRef) {
	var in MemberInput
	err := decode(c, &in)
	if err == nil && in.Role == "" {
		err = invalid("role_invalid", "the role is missing; use owner, developer or viewer").At("role")
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	r := of(c)
	u, err := s.people.SetMember(c.Request.Context(), r.caller, r.caller.TenantID(), userRef, in.Role)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.ok(c, http.StatusOK, member(u, r.caller.TenantID()))
}

// RemoveMember takes a user's role in a tenant away.
func (s *Server) RemoveMember(c *gin.Context, _ Ref, userRef UserRef) {
	r := of(c)
	_, err := s.people.SetMember(c.Request.Context(), r.caller, r.caller.TenantID(), userRef, "")
	s.replyDone(c, http.StatusNoContent, err)
}

// apiToken is what may be seen of a token: never the hash.
func apiToken(v *state.View, t *model.APIToken, now time.Time) APIToken {
	out := APIToken{ID: t.ID, Name: t.Name, Version: t.Version, CreatedAt: t.CreatedAt, UpdatedAt: t.UpdatedAt,
		UserID: t.UserID, TenantID: t.TenantID, Role: t.Role, ExpiresAt: t.ExpiresAt}
	out.Expired = !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt)
	if u, ok := v.User(t.UserID); ok {
		out.UserName = u.Name
	}
	return out
}

// ListAPITokens lists API tokens.
func (s *Server) ListAPITokens(c *gin.Context, q ListAPITokensParams) {
	r, out := of(c), []APIToken{}
	p := &r.caller.Principal
	if q.All && access.Decide(p, access.PermPlatformRead, "") != access.Allow {
		s.fail(c, s.denied(r, ""))
		return
	}
	l, err := r.view.ListTokens(state.Page{Limit: state.MaxLimit}, func(t *model.APIToken) bool {
		return q.All || (t.UserID == p.UserID && (t.UserID != "" || p.Local || t.ID == p.TokenID()))
	})
	for _, t := range l.Items {
		out = append(out, apiToken(r.view, t, r.caller.Origin.Time))
	}
	slices.SortFunc(out, func(a, b APIToken) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	items, next, perr := paged(out, q.Limit, q.Cursor)
	s.reply(c, http.StatusOK, APITokenList{Items: items, NextCursor: next}, cmp.Or(err, perr))
}

// CreateAPIToken makes an API token.
func (s *Server) CreateAPIToken(c *gin.Context) {
	var in APITokenInput
	if err := decode(c, &in); err != nil {
		s.fail(c, err)
		return
	}
	r := of(c)
	wish := access.TokenWish{Name: in.Name, Role: in.Role, TTL: time.Duration(in.TTLSeconds) * time.Second, User: in.User}
	if in.TTLSeconds < 0 || in.TTLSeconds > 100*365*24*3600 {
		s.fail(c, invalid("ttl_invalid", "the token cannot expire after %d seconds; use 0 (never) up to 100 years", in.TTLSeconds).At("ttlSeconds"))
		return
	}
	if in.Tenant != "" {
		t, err := r.view.FindTenant(in.Tenant)
		if err != nil || !r.caller.Principal.MemberOf(t.ID) {
			s.fail(c, notFound("tenant", in.Tenant).At("tenant"))
			return
		}
		wish.TenantID = t.ID
	}
	t, text, err := s.people.CreateToken(c.Request.Context(), r.caller, wish)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.ok(c, http.StatusCreated, NewAPIToken{Token: text, Object: apiToken(s.cluster.View(), t, r.caller.Origin.Time)})
}

// DeleteAPIToken revokes an API token.
func (s *Server) DeleteAPIToken(c *gin.Context, id ID) {
	s.replyDone(c, http.StatusNoContent, s.people.DeleteToken(c.Request.Context(), of(c).caller, id))
}
