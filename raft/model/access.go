package model

import (
	"log/slog"
	"time"
)

// Role is what a user may do, on the platform or within one tenant.
type Role string

// The five roles. Platform roles reach every tenant.
const (
	RoleAdmin     Role = "admin"   // platform: everything
	RoleAuditor   Role = "auditor" // platform: reads everything, changes nothing
	RoleOwner     Role = "owner"   // tenant: everything within it, people included
	RoleDeveloper Role = "developer"
	RoleViewer    Role = "viewer"
)

// User is a person (or the local socket's administrator, which has no row).
type User struct {
	Meta
	Spec         UserSpec `json:"spec"`
	PasswordHash string   `json:"passwordHash"` // argon2id in PHC form; empty means no password login
}

// UserSpec is what an administrator says about a user.
type UserSpec struct {
	PlatformRole Role            `json:"platformRole,omitempty"` // admin, auditor or empty
	Tenants      map[string]Role `json:"tenants,omitempty"`      // tenant id -> owner, developer, viewer
	DisplayName  string          `json:"displayName,omitempty"`
	Disabled     bool            `json:"disabled,omitempty"`
}

// APIToken lets a program act for a user, with at most that user's rights.
type APIToken struct {
	Meta
	UserID    string    `json:"userId"`
	TenantID  string    `json:"tenantId,omitempty"` // empty: platform-wide
	Role      Role      `json:"role"`
	Hash      []byte    `json:"hash"`               // sha256 of the secret, which is shown once
	ExpiresAt time.Time `json:"expiresAt,omitzero"` // zero means never
}

// Session is a browser's sign-in. ID is the sha256 (hex) of the cookie.
type Session struct {
	ID        string    `json:"id"`
	Version   uint64    `json:"version"`
	UserID    string    `json:"userId"`
	CSRF      string    `json:"csrf"`
	CreatedAt time.Time `json:"createdAt"`
	ExpiresAt time.Time `json:"expiresAt"`
	UserAgent string    `json:"userAgent,omitempty"`
	RemoteIP  string    `json:"remoteIp,omitempty"`
}

// Sealed is a secret encrypted before it was proposed (AES-256-GCM, key in the
// data directory). It cannot be printed.
type Sealed []byte

// String hides the content.
func (Sealed) String() string { return "[sealed]" }

// GoString hides the content.
func (Sealed) GoString() string { return "[sealed]" }

// LogValue hides the content.
func (Sealed) LogValue() slog.Value { return slog.StringValue("[sealed]") }

// Origin says who asked for a change and how: it travels in every command and
// ends in the audit.
type Origin struct {
	Actor     string    `json:"actor"` // user name, "local" for the socket, "system:<loop>" for our own loops
	UserID    string    `json:"userId,omitempty"`
	TokenID   string    `json:"tokenId,omitempty"`
	TenantID  string    `json:"tenantId,omitempty"`
	RemoteIP  string    `json:"remoteIp,omitempty"`
	RequestID string    `json:"requestId,omitempty"`
	Operation string    `json:"operation,omitempty"` // operationId of the API
	Time      time.Time `json:"time"`
}
