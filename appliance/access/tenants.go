package access

import (
	"context"
	"maps"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// CreateTenant makes a tenant.
func (p *People) CreateTenant(ctx context.Context, c Caller, name string, spec model.TenantSpec) (*model.Tenant, error) {
	if err := checkName(tenantName, "tenant", "lower-case letters, digits and `-`, at most 63", name); err != nil {
		return nil, err
	}
	return p.putTenant(ctx, c.Origin, model.Tenant{Meta: model.Meta{ID: command.NewID(), Name: name}, Spec: spec}, command.MustNotExist)
}

// UpdateTenant replaces a tenant's spec.
func (p *People) UpdateTenant(ctx context.Context, c Caller, tenantID string, expect uint64, spec model.TenantSpec) (*model.Tenant, error) {
	t, err := p.cluster.View().FindTenant(tenantID)
	if err != nil {
		return nil, err
	}
	next := *t
	next.Spec = spec
	return p.putTenant(ctx, c.Origin, next, expect)
}

// DeleteTenant removes a tenant that owns nothing any more.
func (p *People) DeleteTenant(ctx context.Context, c Caller, ref string, expect uint64) error {
	t, err := p.cluster.View().FindTenant(ref)
	if err != nil {
		return err
	}
	_, err = p.cluster.Propose(ctx, &command.DeleteTenant{Head: command.By(c.Origin), ID: t.ID, ExpectVersion: expect})
	return err
}

func (p *People) putTenant(ctx context.Context, o model.Origin, t model.Tenant, expect uint64) (*model.Tenant, error) {
	if len([]rune(t.Spec.DisplayName)) > 100 {
		return nil, model.Errorf(model.KindInvalid, "name_long", "the shown name is longer than 100 characters; shorten it").At("spec.displayName")
	}
	if _, err := p.cluster.Propose(ctx, &command.PutTenant{Head: command.By(o), Tenant: t, ExpectVersion: expect}); err != nil {
		return nil, err
	}
	return p.cluster.View().FindTenant(t.ID)
}

// SetMember gives a user a role in a tenant; an empty role takes it away.
func (p *People) SetMember(ctx context.Context, c Caller, tenantID, userRef string, role model.Role) (*model.User, error) {
	if role != "" {
		if err := checkTenantRole(role); err != nil {
			return nil, err.At("role")
		}
	}
	u, err := p.cluster.View().FindUser(userRef)
	if err != nil {
		return nil, err
	}
	if u.Spec.Tenants[tenantID] == role {
		if role == "" {
			return nil, model.Errorf(model.KindNotFound, "not_found", "%q has no role in this tenant", u.Name)
		}
		return u, nil
	}
	next := *u
	next.Spec.Tenants = maps.Clone(u.Spec.Tenants)
	if next.Spec.Tenants == nil {
		next.Spec.Tenants = map[string]model.Role{}
	}
	if role == "" {
		delete(next.Spec.Tenants, tenantID)
	} else {
		next.Spec.Tenants[tenantID] = role
	}
	return p.putUser(ctx, c.Origin, next, u.Version)
}

// TokenWish is what a caller asks an API token to be.
type TokenWish struct {
	Name     string
	Role     model.Role
	TenantID string // empty: not limited to a tenant
	TTL      time.Duration
	User     string // id or name; empty: the caller
}

// CreateToken makes an API token and gives its secret text, which is kept
// nowhere. A caller gets no token that could do more than himself, and with a
// token none that outlives it. Errors: "token_role_too_high", "role_invalid",
// "name_taken", "denied".
func (p *People) CreateToken(ctx context.Context, c Caller, w TokenWish) (*model.APIToken, string, error) {
	now := time.Now().UTC()
	if err := checkName(tokenName, "token", "letters, digits, spaces, `.`, `_`, `@` and `-`, at most 63", w.Name); err != nil {
		return nil, "", err
	}
	if w.TTL < 0 || w.TTL > 100*365*24*time.Hour {
		return nil, "", model.Errorf(model.KindInvalid, "ttl_invalid", "the token cannot expire after %s; use 0 (never) up to 100 years", w.TTL).At("ttlSeconds")
	}
	owner, err := p.tokenOwner(c, w.User)
	if err != nil {
		return nil, "", err
	}
	if err := checkTokenRole(owner, w); err != nil {
		return nil, "", err
	}
	t := model.APIToken{Meta: model.Meta{ID: command.NewID(), Name: w.Name}, UserID: owner.UserID, TenantID: w.TenantID, Role: w.Role}
	if w.TTL > 0 {
		t.ExpiresAt = now.Add(w.TTL)
	}
	if err := p.notAboveToken(c, &t); err != nil {
		return nil, "", err
	}
	text, hash := NewToken(t.ID)
	t.Hash = hash
	if _, err := p.cluster.Propose(ctx, &command.PutAPIToken{Head: command.By(c.Origin), Token: t}); err != nil {
		return nil, "", err
	}
	made, ok := p.cluster.View().Token(t.ID)
	if !ok {
		return nil, "", model.Errorf(model.KindConflict, "token_gone", "the token was revoked while it was made; make another")
	}
	return made, text, nil
}

// tokenOwner finds whose token it will be. The local administrator, who is no
// user, may make tokens of no user: only the token's role bounds them.
func (p *People) tokenOwner(c Caller, ref string) (Principal, error) {
	if ref == "" {
		return c.Principal, nil
	}
	u, err := p.cluster.View().FindUser(ref)
	if err == nil && u.ID == c.Principal.UserID {
		return c.Principal, nil
	}
	if Decide(&c.Principal, PermPlatform, "") != Allow {
		return Principal{}, model.Errorf(model.KindDenied, "denied", "only a platform administrator makes tokens for others").At("user")
	}
	if err != nil {
		return Principal{}, err
	}
	return ofUser(p.cluster.View(), u.ID)
}

// checkTokenRole compares the wish with what the owner may do.
func checkTokenRole(owner Principal, w TokenWish) error {
	if !PlatformRole(w.Role) && !TenantRole(w.Role) {
		return model.Errorf(model.KindInvalid, "role_invalid", "%q is no role; use admin, auditor, owner, developer or viewer", shown(string(w.Role))).At("role")
	}
	if w.TenantID != "" && PlatformRole(w.Role) {
		return model.Errorf(model.KindInvalid, "role_invalid", "%s is a role of the platform; leave the tenant out or use owner, developer or viewer", w.Role).At("role")
	}
	highest := owner.Platform
	for id, role := range owner.Tenants {
		if (w.TenantID == "" || id == w.TenantID) && reachOf(role) > reachOf(highest) {
			highest = role
		}
	}
	if owner.Platform == model.RoleAuditor && w.Role == model.RoleAuditor {
		return nil
	}
	if rank(w.Role) > rank(highest) || (w.Role == model.RoleAuditor && highest != model.RoleAdmin) {
		return model.Errorf(model.KindDenied, "token_role_too_high", "a token of role %s would do more than %q may; use a lower role", w.Role, owner.Name).At("role")
	}
	return nil
}

// rank orders the roles by how much they change; an auditor changes nothing.
func rank(r model.Role) int {
	switch r {
	case model.RoleAdmin:
		return 4
	case model.RoleOwner:
		return 3
	case model.RoleDeveloper:
		return 2
	case model.RoleViewer, model.RoleAuditor:
		return 1
	default:
		return 0
	}
}

// notAboveToken holds a token that makes a token to its own bounds.
func (p *People) notAboveToken(c Caller, t *model.APIToken) error {
	b := c.Principal.Token
	if b == nil {
		return nil
	}
	sees := t.Role != model.RoleAuditor || b.Role == model.RoleAdmin || b.Role == model.RoleAuditor
	if rank(t.Role) > rank(b.Role) || !sees || (b.TenantID != "" && t.TenantID != b.TenantID) {
		return model.Errorf(model.KindDenied, "token_role_too_high", "a token cannot make one that may do more than itself; sign in with a password for that").At("role")
	}
	own, ok := p.cluster.View().Token(b.TokenID)
	if ok && t.ExpiresAt.IsZero() {
		t.ExpiresAt = own.ExpiresAt
	}
	if ok && !own.ExpiresAt.IsZero() && t.ExpiresAt.After(own.ExpiresAt) {
		return model.Errorf(model.KindDenied, "token_outlives", "a token cannot make one that outlives it; use at most the time until %s", own.ExpiresAt.UTC().Format(time.RFC3339)).At("ttlSeconds")
	}
	return nil
}

// DeleteToken revokes one of the caller's tokens; a platform administrator
// revokes anybody's.
func (p *People) DeleteToken(ctx context.Context, c Caller, id string) error {
	t, ok := p.cluster.View().Token(id)
	mine := ok && t.UserID == c.Principal.UserID && (t.UserID != "" || t.ID == c.Principal.TokenID() || c.Principal.Local)
	if !ok || (!mine && Decide(&c.Principal, PermPlatform, "") != Allow) {
		return model.Errorf(model.KindNotFound, "not_found", "you have no API token %q", shown(id))
	}
	if b := c.Principal.Token; mine && b != nil && b.TokenID != id && Decide(&c.Principal, PermPlatform, "") != Allow && rank(t.Role) > rank(b.Role) {
		return model.Errorf(model.KindDenied, "denied", "a token cannot revoke one that may do more than itself; sign in with a password for that")
	}
	_, err := p.cluster.Propose(ctx, &command.DeleteAPIToken{Head: command.By(c.Origin), ID: id})
	return err
}
