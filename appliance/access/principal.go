// Package access knows who a caller is and what he may do: passwords, sessions,
// API tokens, the throttle for sign-ins, and the one table that says which role
// holds which permission.
//
// It never speaks HTTP (appliance/api does) and keeps no copy of the state: an
// identity is looked up in the applied state for every request, so a revoked
// token or a lowered role works at once. Authenticator and Throttle are safe
// for concurrent use; everything else is values and pure functions.
package access

import "github.com/skerryhq/skerry/raft/model"

// Principal is who a request comes from. The zero Principal is anonymous. Its
// maps are shared with the state and must not be changed.
type Principal struct {
	UserID      string // empty for the local socket, anonymous callers and tokens of no user
	Name        string
	DisplayName string
	Platform    model.Role            // admin, auditor or empty
	Tenants     map[string]model.Role // tenant id -> owner, developer, viewer
	Local       bool                  // on the node's own socket: the platform administrator
	SessionID   string                // set for a signed-in browser
	Token       *Bound                // set for an API token: an upper bound to all of the above
}

// Bound limits what an API token may do, whatever its user may.
type Bound struct {
	TokenID  string
	TenantID string     // empty: not limited to a tenant
	Role     model.Role // at most what this role holds
}

// Anonymous says that nobody is signed in.
func (p *Principal) Anonymous() bool { return p.Name == "" }

// TokenID is the API token in use; empty if none.
func (p *Principal) TokenID() string {
	if p.Token == nil {
		return ""
	}
	return p.Token.TokenID
}

// Local is the platform administrator on the node's own socket.
func Local() Principal {
	return Principal{Name: "local", Local: true, Platform: model.RoleAdmin}
}

// Caller is a principal within one request: what a use case needs to know to
// decide finer questions and to sign its commands. Origin.TenantID is the
// tenant that the request acts in; it is empty for platform operations.
type Caller struct {
	Principal Principal
	Origin    model.Origin
}

// TenantID is the tenant that the request acts in.
func (c Caller) TenantID() string { return c.Origin.TenantID }
