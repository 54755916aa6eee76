package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"

	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// A session lasts SessionTime after its last use (as noticed every
// sessionRenew) and never longer than sessionLongest.
const (
	SessionTime    = 12 * time.Hour
	sessionRenew   = time.Hour
	sessionLongest = 30 * 24 * time.Hour
)

const (
	tokenPrefix = "sk_"
	secretBytes = 32
)

// NewSecret makes a random secret for cookies, in URL-safe text.
func NewSecret() string {
	b := make([]byte, secretBytes)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// NewToken makes the secret text of the API token with an id, and its hash.
func NewToken(id string) (text string, hash []byte) {
	b := make([]byte, secretBytes)
	_, _ = rand.Read(b)
	text = tokenPrefix + id + "_" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b))
	sum := sha256.Sum256([]byte(text))
	return text, sum[:]
}

// SessionID is the id under which the state keeps the session of a cookie.
func SessionID(cookie string) string {
	sum := sha256.Sum256([]byte(cookie))
	return hex.EncodeToString(sum[:])
}

// SecretHash is the sha256 of a secret, as the state keeps it.
func SecretHash(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// ByToken gives the principal of an API token. Errors (all
// KindUnauthenticated): "token_invalid", "token_expired", "user_disabled".
func ByToken(v *state.View, now time.Time, text string) (Principal, error) {
	rest, ok := strings.CutPrefix(text, tokenPrefix)
	id, _, ok2 := strings.Cut(rest, "_")
	if !ok || !ok2 {
		return Principal{}, unauthenticated("token_invalid", "this is no API token; they begin with %s", tokenPrefix)
	}
	t, ok := v.Token(id)
	sum := sha256.Sum256([]byte(text))
	if !ok || subtle.ConstantTimeCompare(sum[:], t.Hash) != 1 {
		return Principal{}, unauthenticated("token_invalid", "this API token is not known; it may have been revoked")
	}
	return ofToken(v, now, t)
}

// Again gives the present principal of who signed in before: of a user, or of
// an API token where tokenID is given. Errors (all KindUnauthenticated):
// "token_invalid", "token_expired", "user_unknown", "user_disabled".
func Again(v *state.View, now time.Time, userID, tokenID string) (Principal, error) {
	if tokenID == "" {
		return ofUser(v, userID)
	}
	t, ok := v.Token(tokenID)
	if !ok || t.UserID != userID {
		return Principal{}, unauthenticated("token_invalid", "this API token is not known; it may have been revoked")
	}
	return ofToken(v, now, t)
}

// ofToken gives the principal of an API token that was proved.
func ofToken(v *state.View, now time.Time, t *model.APIToken) (Principal, error) {
	if !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt) {
		return Principal{}, unauthenticated("token_expired", "this API token expired at %s; make a new one", t.ExpiresAt.UTC().Format(time.RFC3339))
	}
	bound := &Bound{TokenID: t.ID, TenantID: t.TenantID, Role: t.Role}
	if t.UserID == "" { // made on the node's own socket: only the bound counts
		return Principal{Name: "token:" + t.Name, Platform: model.RoleAdmin, Token: bound}, nil
	}
	p, err := ofUser(v, t.UserID)
	if err != nil {
		return Principal{}, err
	}
	p.Token = bound
	return p, nil
}

// ByCookie gives the principal and the session of a browser's cookie. Errors
// (all KindUnauthenticated): "session_invalid", "session_expired",
// "user_disabled".
func ByCookie(v *state.View, now time.Time, cookie string) (Principal, *model.Session, error) {
	s, ok := v.Session(SessionID(cookie))
	if !ok {
		return Principal{}, nil, unauthenticated("session_invalid", "this session has ended; sign in again")
	}
	if !now.Before(s.ExpiresAt) || now.Sub(s.CreatedAt) > sessionLongest {
		return Principal{}, nil, unauthenticated("session_expired", "this session has expired; sign in again")
	}
	p, err := ofUser(v, s.UserID)
	if err != nil {
		return Principal{}, nil, err
	}
	p.SessionID = s.ID
	return p, s, nil
}

// RenewAt says whether a session that is used now should be prolonged, and
// until when.
func RenewAt(s *model.Session, now time.Time) (time.Time, bool) {
	until := now.Add(SessionTime)
	return until, until.Sub(s.ExpiresAt) >= sessionRenew
}

// CheckCSRF compares the word that a browser sent with its session's.
func CheckCSRF(s *model.Session, sent string) bool {
	return s.CSRF != "" && subtle.ConstantTimeCompare([]byte(s.CSRF), []byte(sent)) == 1
}

func ofUser(v *state.View, id string) (Principal, error) {
	u, ok := v.User(id)
	if !ok {
		return Principal{}, unauthenticated("user_unknown", "the user behind this sign-in is gone; sign in again")
	}
	if u.Spec.Disabled {
		return Principal{}, unauthenticated("user_disabled", "the user %q is disabled; ask an administrator", u.Name)
	}
	return Principal{UserID: u.ID, Name: u.Name, DisplayName: u.Spec.DisplayName, Platform: u.Spec.PlatformRole, Tenants: u.Spec.Tenants}, nil
}

func unauthenticated(code, format string, args ...any) *model.Error {
	return model.Errorf(model.KindUnauthenticated, code, format, args...)
}

// DefaultTenant is the tenant that is meant when p names none: the token's, the
// one called "default" where p is a member, else the first by name that p is a
// member of; empty if there is none.
func DefaultTenant(v *state.View, p *Principal) string {
	if p.Token != nil && p.Token.TenantID != "" {
		return p.Token.TenantID
	}
	if t, ok := v.TenantByName(model.DefaultTenant); ok && p.MemberOf(t.ID) {
		return t.ID
	}
	id, name := "", ""
	for tid := range p.Tenants {
		t, ok := v.Tenant(tid)
		if ok && p.MemberOf(tid) && (id == "" || t.Name < name) {
			id, name = t.ID, t.Name
		}
	}
	return id
}
