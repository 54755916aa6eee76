package access

import (
	"context"
	"regexp"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
	"github.com/skerryhq/skerry/raft/state"
)

// Cluster is what the use cases need of this node's member: *node.Node.
type Cluster interface {
	View() *state.View
	Propose(ctx context.Context, cmds ...command.Command) (node.Result, error)
}

// People are the use cases around users, tenants, sessions and tokens. The gate
// has decided about the operation; what depends on the object is decided here.
// Safe for concurrent use.
type People struct {
	cluster  Cluster
	throttle Throttle
}

// NewPeople makes the use cases over a cluster.
func NewPeople(c Cluster) *People { return &People{cluster: c} }

var (
	userName   = regexp.MustCompile(`^[a-z0-9][a-z0-9._@-]{0,62}$`)
	tenantName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	tokenName  = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9 ._@-]{0,62}$`)
)

// shown shortens what a user typed for a sentence.
func shown(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "..."
	}
	return s
}

func checkName(pattern *regexp.Regexp, what, rule, name string) error {
	if name == "" {
		return model.Errorf(model.KindInvalid, "name_missing", "the %s has no name; give one", what).At("name")
	}
	if !pattern.MatchString(name) {
		return model.Errorf(model.KindInvalid, "name_invalid", "%q cannot be the name of a %s; use %s", shown(name), what, rule).At("name")
	}
	return nil
}

func checkUserName(name string) error {
	if name == "local" || name == "system" {
		return model.Errorf(model.KindInvalid, "name_reserved", "%q stands for the system itself in the audit; choose another name", name).At("name")
	}
	return checkName(userName, "user", "lower-case letters, digits, `.`, `_`, `@` and `-`, at most 63", name)
}

// SignedIn is a sign-in that succeeded.
type SignedIn struct {
	Principal Principal
	Session   model.Session
	Cookie    string // the secret; only the browser keeps it
}

// Device is where a sign-in comes from.
type Device struct {
	UserAgent string
	RemoteIP  string
}

// wrongSignIn is the same for every reason, so that names cannot be found out.
func wrongSignIn() error {
	return unauthenticated("sign_in_wrong", "name or password is wrong")
}

// SignIn checks name and password and opens a session. Errors: "sign_in_wrong",
// "user_disabled" (only with the right password), "sign_in_throttled".
func (p *People) SignIn(ctx context.Context, o model.Origin, name, password string, d Device) (SignedIn, error) {
	u, err := p.verify(ctx, name, password, d.RemoteIP)
	if err != nil {
		return SignedIn{}, err
	}
	return p.open(ctx, o, u.ID, d)
}

// Verify checks name and password and opens no session: for clients that sign
// each request. Errors as SignIn; the throttle is the same.
func (p *People) Verify(ctx context.Context, name, password, remoteIP string) (Principal, error) {
	u, err := p.verify(ctx, name, password, remoteIP)
	if err != nil {
		return Principal{}, err
	}
	return ofUser(p.cluster.View(), u.ID)
}

func (p *People) verify(ctx context.Context, name, password, remoteIP string) (*model.User, error) {
	now := time.Now()
	if err := p.throttle.Try(now, name, remoteIP); err != nil {
		return nil, err
	}
	u, known := p.cluster.View().UserByName(name)
	hash := ""
	if known {
		hash = u.PasswordHash
	}
	ok, err := VerifyPassword(ctx, hash, password)
	if err != nil {
		return nil, err
	}
	if !ok || len(password) > MaxPassword {
		return nil, wrongSignIn()
	}
	p.throttle.Succeeded(name, remoteIP)
	if u.Spec.Disabled {
		return nil, unauthenticated("user_disabled", "the user %q is disabled; ask an administrator", u.Name)
	}
	return u, nil
}

// open makes a session for a user.
func (p *People) open(ctx context.Context, o model.Origin, userID string, d Device) (SignedIn, error) {
	cookie, now := NewSecret(), time.Now().UTC()
	s := model.Session{
		ID: SessionID(cookie), UserID: userID, CSRF: NewSecret(),
		CreatedAt: now, ExpiresAt: now.Add(SessionTime), UserAgent: cut(d.UserAgent, 200), RemoteIP: d.RemoteIP,
	}
	u, ok := p.cluster.View().User(userID)
	if !ok {
		return SignedIn{}, wrongSignIn()
	}
	o.Actor, o.UserID = u.Name, u.ID
	cmds := []command.Command{&command.PutSession{Head: command.By(o), Session: s}}
	if p.anyExpired(now) {
		cmds = append(cmds, &command.DeleteSessions{Head: command.By(o), ExpiredBefore: now})
	}
	if _, err := p.cluster.Propose(ctx, cmds...); err != nil {
		return SignedIn{}, err
	}
	who, err := ofUser(p.cluster.View(), userID)
	who.SessionID = s.ID
	return SignedIn{Principal: who, Session: s, Cookie: cookie}, err
}

// anyExpired says whether the oldest session has expired; then a sign-in takes
// the dead ones away.
func (p *People) anyExpired(now time.Time) bool {
	for s := range p.cluster.View().Sessions() {
		return s.ExpiresAt.Before(now)
	}
	return false
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// Setup makes the first administrator with the one-time token, and signs him in.
func (p *People) Setup(ctx context.Context, o model.Origin, token, name, password string, d Device) (SignedIn, error) {
	if err := p.throttle.Try(time.Now(), "setup token", d.RemoteIP); err != nil {
		return SignedIn{}, err
	}
	if err := checkUserName(name); err != nil {
		return SignedIn{}, err
	}
	if err := CheckPassword(name, password); err != nil {
		return SignedIn{}, err
	}
	hash, err := HashPassword(ctx, password)
	if err != nil {
		return SignedIn{}, err
	}
	u := model.User{Meta: model.Meta{ID: command.NewID(), Name: name}, PasswordHash: hash, Spec: model.UserSpec{PlatformRole: model.RoleAdmin}}
	o.Actor = name
	if _, err := p.cluster.Propose(ctx, &command.UseSetupToken{Head: command.By(o), Hash: SecretHash(token), User: u}); err != nil {
		return SignedIn{}, err
	}
	p.throttle.Succeeded("setup token", d.RemoteIP)
	return p.open(ctx, o, u.ID, d)
}

// SignOut ends a session.
func (p *People) SignOut(ctx context.Context, o model.Origin, sessionID string) error {
	_, err := p.cluster.Propose(ctx, &command.DeleteSession{Head: command.By(o), ID: sessionID})
	return err
}

// EndSession ends one of the caller's own sessions.
func (p *People) EndSession(ctx context.Context, c Caller, id string) error {
	s, ok := p.cluster.View().Session(id)
	if !ok || s.UserID != c.Principal.UserID {
		return model.Errorf(model.KindNotFound, "not_found", "you have no session %q", shown(id))
	}
	return p.SignOut(ctx, c.Origin, id)
}

// Renew prolongs a session.
func (p *People) Renew(ctx context.Context, o model.Origin, s model.Session, until time.Time) error {
	s.ExpiresAt = until.UTC()
	_, err := p.cluster.Propose(ctx, &command.PutSession{Head: command.By(o), Session: s})
	return err
}

// ChangePassword changes the caller's own password; his other sessions end.
func (p *People) ChangePassword(ctx context.Context, c Caller, current, password string) error {
	u, ok := p.cluster.View().User(c.Principal.UserID)
	if !ok {
		return model.Errorf(model.KindInvalid, "no_user", "the local administrator has no password; use `skerry user reset-password NAME`")
	}
	if err := p.throttle.Try(time.Now(), u.Name, c.Origin.RemoteIP); err != nil {
		return err
	}
	ok, err := VerifyPassword(ctx, u.PasswordHash, current)
	if err != nil {
		return err
	}
	if !ok {
		return model.Errorf(model.KindInvalid, "password_wrong", "the present password is wrong").At("current")
	}
	p.throttle.Succeeded(u.Name, c.Origin.RemoteIP)
	return p.setPassword(ctx, c.Origin, u, password, c.Principal.SessionID)
}

// ResetPassword sets a user's password; all his sessions end.
func (p *People) ResetPassword(ctx context.Context, c Caller, ref, password string) error {
	u, err := p.cluster.View().FindUser(ref)
	if err != nil {
		return err
	}
	if err := p.setPassword(ctx, c.Origin, u, password, ""); err != nil {
		return err
	}
	p.throttle.Succeeded(u.Name, "")
	return nil
}

func (p *People) setPassword(ctx context.Context, o model.Origin, u *model.User, password, keep string) error {
	if err := CheckPassword(u.Name, password); err != nil {
		return err
	}
	hash, err := HashPassword(ctx, password)
	if err != nil {
		return err
	}
	_, err = p.cluster.Propose(ctx, &command.SetPassword{Head: command.By(o), UserID: u.ID, PasswordHash: hash, KeepSession: keep})
	return err
}

// CreateUser makes a user; an empty password means no password login.
func (p *People) CreateUser(ctx context.Context, c Caller, name, password string, spec model.UserSpec) (*model.User, error) {
	if err := checkUserName(name); err != nil {
		return nil, err
	}
	spec, err := p.checkUserSpec(spec)
	if err != nil {
		return nil, err
	}
	u := model.User{Meta: model.Meta{ID: command.NewID(), Name: name}, Spec: spec}
	if password != "" {
		if err := CheckPassword(name, password); err != nil {
			return nil, err
		}
		if u.PasswordHash, err = HashPassword(ctx, password); err != nil {
			return nil, err
		}
	}
	return p.putUser(ctx, c.Origin, u, command.MustNotExist)
}

// UpdateUser replaces a user's spec.
func (p *People) UpdateUser(ctx context.Context, c Caller, ref string, expect uint64, spec model.UserSpec) (*model.User, error) {
	u, err := p.cluster.View().FindUser(ref)
	if err != nil {
		return nil, err
	}
	next := *u
	if next.Spec, err = p.checkUserSpec(spec); err != nil {
		return nil, err
	}
	return p.putUser(ctx, c.Origin, next, expect)
}

// SetDisabled locks a user out or lets him in again; doing it twice is no error.
func (p *People) SetDisabled(ctx context.Context, c Caller, ref string, disabled bool) (*model.User, error) {
	u, err := p.cluster.View().FindUser(ref)
	if err != nil || u.Spec.Disabled == disabled {
		return u, err
	}
	next := *u
	next.Spec.Disabled = disabled
	return p.putUser(ctx, c.Origin, next, u.Version)
}

// DeleteUser removes a user with his sessions and tokens.
func (p *People) DeleteUser(ctx context.Context, c Caller, ref string, expect uint64) error {
	u, err := p.cluster.View().FindUser(ref)
	if err != nil {
		return err
	}
	_, err = p.cluster.Propose(ctx, &command.DeleteUser{Head: command.By(c.Origin), ID: u.ID, ExpectVersion: expect})
	return err
}

func (p *People) putUser(ctx context.Context, o model.Origin, u model.User, expect uint64) (*model.User, error) {
	if _, err := p.cluster.Propose(ctx, &command.PutUser{Head: command.By(o), User: u, ExpectVersion: expect}); err != nil {
		return nil, err
	}
	return p.cluster.View().FindUser(u.ID)
}

// checkUserSpec checks the roles and turns names of tenants into ids.
func (p *People) checkUserSpec(spec model.UserSpec) (model.UserSpec, error) {
	if spec.PlatformRole != "" && !PlatformRole(spec.PlatformRole) {
		return spec, model.Errorf(model.KindInvalid, "role_invalid",
			"%q is no role of the platform; use admin, auditor or nothing", shown(string(spec.PlatformRole))).At("spec.platformRole")
	}
	if len([]rune(spec.DisplayName)) > 100 {
		return spec, model.Errorf(model.KindInvalid, "name_long", "the shown name is longer than 100 characters; shorten it").At("spec.displayName")
	}
	v, tenants := p.cluster.View(), make(map[string]model.Role, len(spec.Tenants))
	for ref, role := range spec.Tenants {
		t, err := v.FindTenant(ref)
		if err != nil {
			return spec, model.Errorf(model.KindInvalid, "tenant_unknown", "there is no tenant %q; `skerry tenant ls` lists them", shown(ref)).At("spec.tenants")
		}
		if err := checkTenantRole(role); err != nil {
			return spec, err.At("spec.tenants." + t.Name)
		}
		tenants[t.ID] = role
	}
	spec.Tenants = tenants
	return spec, nil
}

func checkTenantRole(role model.Role) *model.Error {
	if TenantRole(role) {
		return nil
	}
	return model.Errorf(model.KindInvalid, "role_invalid", "%q is no role within a tenant; use owner, developer or viewer", shown(string(role)))
}
