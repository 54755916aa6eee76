package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/raft/model"
)

// How long tokens last. Clients fetch a new one by themselves.
const (
	tokenTime   = 15 * time.Minute
	refreshTime = 30 * 24 * time.Hour
)

// The bounds of one request for a token.
const (
	maxScopes = 64
	maxScope  = 512 // bytes of one
)

// grant is one scope of a token: what it may be used for, if the policy agrees.
type grant struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

func (g *grant) covers(kind, name string, a Action) bool {
	return g.Type == kind && g.Name == name && (slices.Contains(g.Actions, string(a)) || slices.Contains(g.Actions, "*"))
}

// parseScopes reads "repository:a/b:pull,push" words; several may stand in one,
// parted by blanks.
func parseScopes(values []string) ([]grant, error) {
	var out []grant
	for _, v := range values {
		for _, s := range strings.Fields(v) {
			kind, rest, ok := strings.Cut(s, ":")
			at := strings.LastIndexByte(rest, ':')
			kind, _, _ = strings.Cut(kind, "(") // a class such as repository(plugin) changes nothing
			if !ok || at <= 0 || kind == "" || len(s) > maxScope {
				return nil, model.Errorf(model.KindInvalid, "scope_invalid", "%q is no scope; write repository:NAME:pull,push", shown(s))
			}
			if len(out) == maxScopes {
				return nil, model.Errorf(model.KindInvalid, "scope_invalid", "more than %d scopes are asked for in one token", maxScopes)
			}
			out = append(out, grant{Type: kind, Name: rest[:at], Actions: strings.Split(rest[at+1:], ",")})
		}
	}
	return out, nil
}

// The kinds of signed tokens.
const (
	kindAccess  = "access"
	kindRefresh = "refresh"
)

// claims are what a signed token says. Without user and API token it is that of
// somebody who is not signed in.
type claims struct {
	jwt.RegisteredClaims
	Kind     string  `json:"typ"`
	UserID   string  `json:"uid,omitempty"`
	TokenID  string  `json:"tid,omitempty"`
	Password string  `json:"pwd,omitempty"` // mark of the password at that time
	Grants   []grant `json:"access,omitempty"`
}

// sign makes a token for somebody.
func (d *Door) sign(kind string, p *access.Principal, grants []grant, now time.Time, life time.Duration) (string, error) {
	c := claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: Service, Audience: jwt.ClaimStrings{Service}, Subject: p.Name,
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(life)),
		},
		Kind: kind, UserID: p.UserID, TokenID: p.TokenID(), Password: d.mark(p), Grants: grants,
	}
	s, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(d.cfg.Key)
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	return s, nil
}

// mark changes with a user's password and tells nothing about it. Who came with
// an API token has none: revoking that is enough.
func (d *Door) mark(p *access.Principal) string {
	if p.UserID == "" || p.Token != nil {
		return ""
	}
	u, ok := d.cfg.Cluster.View().User(p.UserID)
	if !ok {
		return ""
	}
	h := hmac.New(sha256.New, d.cfg.Key)
	h.Write([]byte("password\x00" + u.PasswordHash))
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// read checks a signed token and finds who is behind it now. Errors (all
// KindUnauthenticated): "token_expired", "token_invalid" and those of access.
func (d *Door) read(kind, text string) (access.Principal, []grant, error) {
	var c claims
	_, err := jwt.ParseWithClaims(text, &c, func(*jwt.Token) (any, error) { return d.cfg.Key, nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithIssuer(Service), jwt.WithAudience(Service),
		jwt.WithExpirationRequired(), jwt.WithTimeFunc(d.cfg.Now))
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return access.Principal{}, nil, model.Errorf(model.KindUnauthenticated, "token_expired", "this token has expired; fetch another")
	case err != nil || c.Kind != kind:
		return access.Principal{}, nil, model.Errorf(model.KindUnauthenticated, "token_invalid", "this token was not issued by this registry; sign in again")
	case c.UserID == "" && c.TokenID == "":
		return access.Principal{}, c.Grants, nil
	}
	p, err := access.Again(d.cfg.Cluster.View(), d.cfg.Now(), c.UserID, c.TokenID)
	if err != nil {
		return access.Principal{}, nil, err
	}
	if !hmac.Equal([]byte(c.Password), []byte(d.mark(&p))) {
		return access.Principal{}, nil, model.Errorf(model.KindUnauthenticated, "password_changed", "the password of %q has changed; sign in again", p.Name)
	}
	return p, c.Grants, nil
}

// Identify finds who a request comes from: a signed token, an API token as
// bearer or in place of a password, or nobody. Cookies do not count. Errors (all
// KindUnauthenticated): "token_expired", "token_invalid", "authorization_invalid"
// and those of access.
func (d *Door) Identify(req *http.Request) (*Visitor, error) {
	v := &Visitor{}
	v.Caller.Origin = d.origin(req)
	scheme, text, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	text = strings.TrimSpace(text)
	var err error
	switch {
	case scheme == "":
		return v, nil
	case strings.EqualFold(scheme, "Bearer") && strings.HasPrefix(text, apiTokenPrefix):
		v.Caller.Principal, err = access.ByToken(d.cfg.Cluster.View(), d.cfg.Now(), text)
	case strings.EqualFold(scheme, "Bearer"):
		v.bound = true
		v.Caller.Principal, v.grants, err = d.read(kindAccess, text)
	case strings.EqualFold(scheme, "Basic"):
		_, password, ok := req.BasicAuth()
		if !ok || !strings.HasPrefix(password, apiTokenPrefix) {
			return v, model.Errorf(model.KindUnauthenticated, "authorization_invalid", "fetch a token with the password first, or send an API token")
		}
		v.Caller.Principal, err = access.ByToken(d.cfg.Cluster.View(), d.cfg.Now(), password)
	default:
		return v, model.Errorf(model.KindUnauthenticated, "authorization_invalid", "the Authorization header must be `Bearer ...`")
	}
	if err != nil {
		return &Visitor{Caller: access.Caller{Origin: v.Caller.Origin}}, err
	}
	p := &v.Caller.Principal
	v.Caller.Origin.UserID, v.Caller.Origin.TokenID = p.UserID, p.TokenID()
	if !p.Anonymous() {
		v.Caller.Origin.Actor = p.Name
	}
	return v, nil
}

const apiTokenPrefix = "sk_"

func (d *Door) origin(req *http.Request) model.Origin {
	return model.Origin{Actor: "anonymous", RemoteIP: remoteIP(req), Operation: "registry", Time: d.cfg.Now().UTC()}
}

var plainHost = regexp.MustCompile(`^[A-Za-z0-9._:\[\]-]+$`)

// Challenge is the WWW-Authenticate header of a 401: where to fetch a token, and
// for what. scope may be empty; err is the refusal.
func Challenge(req *http.Request, scope string, err error) string {
	host, scheme := req.Host, "https"
	if !plainHost.MatchString(host) {
		host = "localhost"
	}
	if req.TLS == nil {
		scheme = "http"
	}
	s := fmt.Sprintf(`Bearer realm="%s://%s%s",service="%s"`, scheme, host, TokenPath, Service)
	if scope != "" {
		s += `,scope="` + scope + `"`
	}
	switch model.CodeOf(err) {
	case "scope_missing":
		s += `,error="insufficient_scope"`
	case "", "sign_in_needed", "authorization_invalid":
	default:
		s += `,error="invalid_token"`
	}
	return s
}

// Scope is the scope that a request to a repository needs.
func Scope(path string, a Action) string {
	if a == Push {
		return "repository:" + path + ":pull,push"
	}
	return "repository:" + path + ":" + string(a)
}

// CatalogScope is the scope that listing repositories needs.
const CatalogScope = "registry:catalog:*"
