package registry

import (
	"context"
	"net/http"
	"slices"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/raft/model"
)

// Action is what a caller wants to do with a repository.
type Action string

// The actions, in the words of the registries' token scopes.
const (
	Pull   Action = "pull"
	Push   Action = "push"
	Delete Action = "delete"
)

// Grant is one scope of a registry token.
type Grant struct {
	Path    string // "tenant/name"
	Actions []Action
}

// Caller is who a request comes from. Origin is complete but for TenantID, which
// May's repository tells.
type Caller struct {
	access.Caller
	// Grants are what the token in use is limited to; nil means that it is not.
	// A token that grants nothing has an empty list, not nil.
	Grants []Grant
}

// granted says whether the caller's token reaches so far. It is an upper bound:
// the policy decides besides.
func (c *Caller) granted(a Action, path string) bool {
	return c.Grants == nil || slices.ContainsFunc(c.Grants, func(g Grant) bool { return g.Path == path && slices.Contains(g.Actions, a) })
}

// key tells callers apart for what belongs to one of them: uploads and their
// number.
func (c *Caller) key() string {
	switch p := &c.Principal; {
	case p.UserID != "":
		return "user:" + p.UserID
	case p.TokenID() != "":
		return "token:" + p.TokenID()
	case p.Anonymous():
		return "anonymous:" + c.Origin.RemoteIP
	default:
		return "name:" + p.Name
	}
}

// Access decides who may do what. The registry asks it anew for every request,
// so that a lowered role works at once.
type Access interface {
	// Authenticate finds out who a request comes from. A request without
	// credentials comes from the zero Principal, which is no error. Errors:
	// KindUnauthenticated for credentials that are wrong or have expired.
	Authenticate(r *http.Request) (Caller, error)
	// May gives the repository at a path if the caller may do that with it; a
	// push makes a missing one. Errors: KindUnauthenticated where signing in may
	// help, KindDenied where the caller may read the repository but not do this,
	// KindNotFound for everything else: what may not be read does not exist.
	May(ctx context.Context, c *Caller, a Action, path string) (*model.Repository, error)
	// Reads says whether the caller may pull from a repository, its token's
	// grants included.
	Reads(c *Caller, r *model.Repository) bool
	// Challenge is the WWW-Authenticate header of a 401 answer. scope is what the
	// request needed, "repository:tenant/name:pull,push", or empty.
	Challenge(r *http.Request, scope string) string
}

// Mirror brings in what is not in a repository of this cluster but in an
// upstream. path is the upstream's: "docker.io/library/nginx". Both methods
// return when the content is here, in an upstream's repository, whose id they
// give. Errors: KindNotFound where the upstream has no such thing or there is no
// upstream for that host, KindDenied, KindUnavailable; their sentence reaches
// the client.
type Mirror interface {
	// Manifest resolves a tag or a digest.
	Manifest(ctx context.Context, c *Caller, path, ref string) (repositoryID, digest string, err error)
	// Blob fetches one blob.
	Blob(ctx context.Context, c *Caller, path, digest string) (repositoryID string, err error)
}
