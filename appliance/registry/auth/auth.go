// Package auth is the door of the registry: it knows who a request under /v2/
// comes from, issues the short-lived tokens that clients fetch with a password
// or an API token, and says which repository a request may use, making it where
// a push may.
//
// It never serves content. What a signed token says is an upper bound only: each
// request is decided anew against the applied state, so a disabled user, a
// revoked API token or a changed password ends access at once. Browsers' cookies
// are not looked at, so no other site can make a browser push.
//
// appliance/registry asks a Door for every request; the composition root mounts
// it at TokenPath. A Door is safe for concurrent use.
package auth

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// TokenPath is where clients fetch tokens.
const TokenPath = "/registry/token"

// Service is the name of the registry in challenges and tokens.
const Service = "skerry"

// KeyPurpose is what the signing key is derived for.
const KeyPurpose = "registry token v1"

// Action is what somebody wants to do with a repository.
type Action string

// The actions, in the words of a token's scope.
const (
	Pull   Action = "pull"
	Push   Action = "push"
	Delete Action = "delete"
)

// Recorder takes what leaves no command into the audit: *access.Recorder.
type Recorder interface {
	Record(e command.AuditEntry)
}

// Config is what a Door works with.
type Config struct {
	Cluster  access.Cluster
	People   *access.People // shares its throttle with the console's sign-in
	Recorder Recorder
	Key      []byte           // at least 32 bytes, the same on every member
	Now      func() time.Time // nil means time.Now
	Log      *slog.Logger
}

// Door is the registry's door.
type Door struct {
	cfg   Config
	log   *slog.Logger
	known known
}

// New makes a Door.
func New(cfg Config) (*Door, error) {
	if cfg.Cluster == nil || cfg.People == nil || cfg.Recorder == nil || cfg.Log == nil || len(cfg.Key) < 32 {
		return nil, errors.New("registry door: cluster, people, recorder, log and a key of 32 bytes must be given")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Door{cfg: cfg, log: cfg.Log.With("component", "registry")}, nil
}

// Visitor is who a request comes from and what it may do at most.
type Visitor struct {
	Caller access.Caller // Origin is filled in but for its tenant
	bound  bool          // only what grants say
	grants []grant
}

// Anonymous says that nobody is signed in.
func (v *Visitor) Anonymous() bool { return v.Caller.Principal.Anonymous() }

// covers says whether the visitor's token was asked for with this in mind.
func (v *Visitor) covers(kind, name string, a Action) bool {
	if !v.bound {
		return true
	}
	for _, g := range v.grants {
		if g.covers(kind, name, a) {
			return true
		}
	}
	return false
}

// Open finds the repository at a path ("tenant/name") for a visitor, and makes
// it for a push where it is missing. The visitor's origin gets the repository's
// tenant. Errors: "sign_in_needed" and "scope_missing" (KindUnauthenticated: the
// client should fetch another token), "name_unknown" (KindNotFound: it is not
// there, or must not be seen), "denied", "name_invalid".
//
// Whoever is not signed in hears the same for what is there and what is not, and
// so does whoever may not read.
func (d *Door) Open(ctx context.Context, v *Visitor, path string, a Action) (*model.Repository, error) {
	if !v.covers("repository", path, a) {
		return nil, model.Errorf(model.KindUnauthenticated, "scope_missing", "this token was not issued to %s %s; fetch one for that", a, shown(path))
	}
	view, p := d.cfg.Cluster.View(), &v.Caller.Principal
	r, there := view.RepositoryByPath(path)
	if there {
		v.Caller.Origin.TenantID = r.TenantID
	}
	switch {
	case there && a == Pull && d.MayRead(p, r), there && a != Pull && access.MayWrite(p, r):
		return r, nil
	case p.Anonymous():
		return nil, signInNeeded()
	case a == Pull:
		return nil, unknown(path)
	case there && d.MayRead(p, r), there && d.member(p, path):
		return nil, denied(a, path)
	case there, a == Delete:
		return nil, unknown(path)
	default:
		return d.make(ctx, v, path)
	}
}

// MayRead decides whether p may read a repository, of a tenant or of an upstream.
func (d *Door) MayRead(p *access.Principal, r *model.Repository) bool {
	return access.MayReadAny(d.cfg.Cluster.View(), p, r)
}

// member says whether p may know of a path's tenant.
func (d *Door) member(p *access.Principal, path string) bool {
	tenantID, _, ok := d.place(path)
	return ok && access.Decide(p, access.PermImageRead, tenantID) == access.Allow
}

// MayList says whether a visitor may ask for the catalogue. What is in it is
// decided one by one. Errors: as Open.
func (d *Door) MayList(v *Visitor) error {
	switch {
	case !v.covers("registry", "catalog", "*"):
		return model.Errorf(model.KindUnauthenticated, "scope_missing", "this token was not issued to list repositories; fetch one for that")
	case v.Anonymous():
		return signInNeeded()
	}
	return nil
}

// place gives the tenant and the name within it of a path.
func (d *Door) place(path string) (tenantID, name string, ok bool) {
	tenant, name, ok := strings.Cut(path, "/")
	if !ok {
		return "", "", false
	}
	t, ok := d.cfg.Cluster.View().TenantByName(tenant)
	if !ok {
		return "", "", false
	}
	return t.ID, name, true
}

// make makes the repository that somebody pushes to.
func (d *Door) make(ctx context.Context, v *Visitor, path string) (*model.Repository, error) {
	p := &v.Caller.Principal
	tenant, name, ok := strings.Cut(path, "/")
	if !ok {
		// Denied and not invalid: clients show that one and do not try again.
		return nil, model.Errorf(model.KindDenied, "name_invalid", "%q names no tenant: push to TENANT/%s, such as %s/%s", shown(path), shown(path), d.example(p), shown(path))
	}
	if err := access.CheckRepositoryName(name); err != nil {
		return nil, err
	}
	tenantID, _, there := d.place(path)
	switch {
	case !there && tenant == model.LibraryTenant && access.Decide(p, access.PermPlatform, "") == access.Allow:
	case !there:
		return nil, unknown(path)
	case access.Decide(p, access.PermImageWrite, tenantID) == access.Allow:
	case d.member(p, path):
		return nil, denied(Push, path)
	default:
		return nil, unknown(path)
	}
	origin := v.Caller.Origin
	origin.TenantID, origin.Time = tenantID, d.cfg.Now().UTC()
	r, err := Make(ctx, d.cfg.Cluster, access.Caller{Principal: *p, Origin: origin}, tenant, name, model.RepositorySpec{})
	if err != nil {
		return nil, err
	}
	v.Caller.Origin.TenantID = r.TenantID
	if !access.MayWrite(p, r) { // somebody else made a private one at the same moment
		return nil, denied(Push, path)
	}
	return r, nil
}

// Make makes a repository of a tenant, and the tenant `library` with its first
// one; one that is there already is given back. Without a visibility it is the
// tenant's, in library public. Whether the caller may is decided before.
func Make(ctx context.Context, c access.Cluster, by access.Caller, tenant, name string, spec model.RepositorySpec) (*model.Repository, error) {
	var cmds []command.Command
	t, there := c.View().TenantByName(tenant)
	if !there {
		if tenant != model.LibraryTenant {
			return nil, model.Errorf(model.KindNotFound, "not_found", "there is no tenant %q", shown(tenant))
		}
		t = &model.Tenant{Meta: model.Meta{ID: command.NewID(), Name: tenant}, Spec: model.TenantSpec{DisplayName: "Library"}}
		cmds = append(cmds, &command.PutTenant{Head: command.By(by.Origin), Tenant: *t})
	}
	by.Origin.TenantID = t.ID
	if spec.Visibility == "" {
		spec.Visibility = model.VisibilityTenant
		if tenant == model.LibraryTenant {
			spec.Visibility = model.VisibilityPublic
		}
	}
	r := model.Repository{Meta: model.Meta{ID: command.NewID(), Name: name}, TenantID: t.ID, CreatedBy: by.Principal.UserID, Spec: spec}
	cmds = append(cmds, &command.PutRepository{Head: command.By(by.Origin), Repository: r, ExpectVersion: command.MustNotExist})
	_, err := c.Propose(ctx, cmds...)
	if err != nil && model.CodeOf(err) != "name_taken" {
		return nil, err
	}
	if made, ok := c.View().RepositoryByPath(tenant + "/" + name); ok {
		return made, nil
	}
	if err != nil {
		return nil, err
	}
	return nil, model.Errorf(model.KindConflict, "repository_gone", "the repository %s/%s was removed at the same moment; try again", tenant, name)
}

// example is a tenant that p could push to.
func (d *Door) example(p *access.Principal) string {
	v := d.cfg.Cluster.View()
	if t, ok := v.Tenant(access.DefaultTenant(v, p)); ok {
		return t.Name
	}
	return model.DefaultTenant
}

func denied(a Action, path string) error {
	what := "push to"
	if a == Delete {
		what = "delete from"
	}
	return model.Errorf(model.KindDenied, "denied", "you may not %s %s: that needs the permission %s in its tenant", what, shown(path), access.PermImageWrite)
}

func unknown(path string) error {
	return model.Errorf(model.KindNotFound, "name_unknown", "there is no repository %s, or it is not for you", shown(path))
}

func signInNeeded() error {
	return model.Errorf(model.KindUnauthenticated, "sign_in_needed", "sign in first, with a user name and password or an API token")
}

func shown(s string) string {
	if len(s) > 120 {
		return s[:120] + "..."
	}
	return s
}
