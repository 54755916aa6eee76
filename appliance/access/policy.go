package access

import (
	"slices"

	"github.com/skerryhq/skerry/raft/model"
)

// Permission is a word of x-skerry-permission in openapi.yaml.
type Permission string

// Permissions that use cases ask for by themselves, beyond the operation's own.
const (
	PermPublic       Permission = "public"
	PermPlatformRead Permission = "platform.read"
	PermPlatform     Permission = "platform.write"
	PermNodeRead     Permission = "node.read"
	PermTenantRead   Permission = "tenant.read"
	// PermHost is for what reaches beyond the container: privileged, added
	// capabilities, host paths.
	PermHost Permission = "container.host"
	// PermImageRead and PermImageWrite are about what the registry holds.
	PermImageRead  Permission = "image.read"
	PermImageWrite Permission = "image.write"
	// PermPrivate opens private repositories that somebody else made.
	PermPrivate Permission = "image.private"
)

// Reach says what a permission is about.
type Reach uint8

// The reaches.
const (
	Everyone  Reach = iota + 1 // signed in or not
	AnyCaller                  // anybody who is signed in
	InPerson                   // signed in and not by an API token
	Platform                   // held by platform roles
	Tenant                     // held within one tenant; platform roles hold it in all
)

// rule says who holds a permission.
type rule struct {
	reach Reach
	roles []model.Role
}

var (
	admin     = []model.Role{model.RoleAdmin}
	oversight = []model.Role{model.RoleAdmin, model.RoleAuditor}
	readers   = []model.Role{model.RoleAdmin, model.RoleAuditor, model.RoleOwner, model.RoleDeveloper, model.RoleViewer}
	makers    = []model.Role{model.RoleAdmin, model.RoleOwner, model.RoleDeveloper}
	owners    = []model.Role{model.RoleAdmin, model.RoleOwner}
	watchers  = []model.Role{model.RoleAdmin, model.RoleAuditor, model.RoleOwner}
)

// policy is the one table. testdata/permissions.golden in appliance/api shows
// what follows from it for every operation.
var policy = map[Permission]rule{
	PermPublic:     {Everyone, nil},
	"self.read":    {AnyCaller, nil},
	"self.token":   {AnyCaller, nil}, // a token makes tokens, but none above itself: see People.CreateToken
	"self.write":   {InPerson, nil},
	"cluster.read": {AnyCaller, nil},

	PermPlatformRead: {Platform, oversight},
	PermPlatform:     {Platform, admin},
	PermNodeRead:     {Platform, oversight},

	PermTenantRead:      {Tenant, readers},
	"tenant.write":      {Tenant, owners},
	"tenant.people":     {Tenant, owners},
	"app.read":          {Tenant, readers},
	"app.write":         {Tenant, makers},
	"container.read":    {Tenant, readers},
	"container.operate": {Tenant, makers},
	"container.exec":    {Tenant, makers},
	"container.files":   {Tenant, makers},
	"container.commit":  {Tenant, makers},
	PermHost:            {Tenant, admin},
	"log.read":          {Tenant, readers},
	PermImageRead:       {Tenant, readers},
	PermImageWrite:      {Tenant, makers},
	PermPrivate:         {Tenant, watchers},
	"volume.read":       {Tenant, readers},
	"volume.write":      {Tenant, makers},
	"volume.files":      {Tenant, makers},
	"event.read":        {Tenant, readers},
	"audit.read":        {Tenant, watchers},
}

// Known says whether a permission is in the table.
func (p Permission) Known() bool { _, ok := policy[p]; return ok }

// Reach is what the permission is about; 0 if it is not in the table.
func (p Permission) Reach() Reach { return policy[p].reach }

// Verdict is what Decide says.
type Verdict uint8

// The verdicts.
const (
	Allow  Verdict = iota + 1
	SignIn         // nobody is signed in: 401
	Deny           // signed in, but the role does not hold it: 403
	Hide           // the tenant must not even be seen to exist: 404
)

// Decide is the one decision of the platform: may p do what perm names, in the
// tenant (ignored unless perm is about tenants)? What is not in the table is
// denied.
func Decide(p *Principal, perm Permission, tenantID string) Verdict {
	r := policy[perm]
	switch {
	case r.reach == Everyone:
		return Allow
	case p.Anonymous():
		return SignIn
	case r.reach == AnyCaller, r.reach == InPerson && p.Token == nil:
		return Allow
	case r.reach == Platform && p.holds(r.roles, ""):
		return Allow
	case r.reach == Tenant && tenantID != "" && p.holds(r.roles, tenantID):
		return Allow
	case r.reach == Tenant && !p.MemberOf(tenantID):
		return Hide
	default:
		return Deny
	}
}

// holds says whether p has one of the roles, on the platform or in the tenant,
// and the token in use does not take it away.
func (p *Principal) holds(roles []model.Role, tenantID string) bool {
	own := p.Platform != "" && slices.Contains(roles, p.Platform)
	if !own && tenantID != "" {
		role := p.Tenants[tenantID]
		own = role != "" && slices.Contains(roles, role)
	}
	if !own || p.Token == nil {
		return own
	}
	return p.Token.reaches(tenantID) && slices.Contains(roles, p.Token.Role)
}

// reaches says whether the token may act in a tenant, or ("") on the platform.
func (b *Bound) reaches(tenantID string) bool { return b.TenantID == "" || b.TenantID == tenantID }

// MemberOf says whether p may know that a tenant exists.
func (p *Principal) MemberOf(tenantID string) bool {
	if tenantID == "" || (p.Token != nil && !p.Token.reaches(tenantID)) {
		return false
	}
	return p.Platform != "" || p.Tenants[tenantID] != ""
}

// RoleIn is the role that p acts with in a tenant, for showing: the token's
// where that is the lower one. Empty if p is no member.
func (p *Principal) RoleIn(tenantID string) model.Role {
	if !p.MemberOf(tenantID) {
		return ""
	}
	role := p.Platform
	if role == "" {
		role = p.Tenants[tenantID]
	}
	if p.Token != nil && reachOf(p.Token.Role) < reachOf(role) {
		return p.Token.Role
	}
	return role
}

// reachOf counts the permissions of a role.
func reachOf(role model.Role) int {
	n := 0
	for _, r := range policy {
		if slices.Contains(r.roles, role) {
			n++
		}
	}
	return n
}

// PermissionsIn lists what p may do in a tenant, sorted.
func PermissionsIn(p *Principal, tenantID string) []string {
	return allowed(p, tenantID, func(r Reach) bool { return r == Tenant })
}

// PlatformPermissions lists what p may do outside of tenants, sorted.
func PlatformPermissions(p *Principal) []string {
	return allowed(p, "", func(r Reach) bool { return r != Tenant && r != Everyone })
}

func allowed(p *Principal, tenantID string, want func(Reach) bool) []string {
	out := []string{}
	for perm, r := range policy {
		if want(r.reach) && Decide(p, perm, tenantID) == Allow {
			out = append(out, string(perm))
		}
	}
	slices.Sort(out)
	return out
}

// PlatformRole says whether a role is one of the platform's.
func PlatformRole(r model.Role) bool { return r == model.RoleAdmin || r == model.RoleAuditor }

// TenantRole says whether a role is one within tenants.
func TenantRole(r model.Role) bool {
	return r == model.RoleOwner || r == model.RoleDeveloper || r == model.RoleViewer
}
