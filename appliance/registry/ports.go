package registry

import (
	"context"
	"net/http"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/appliance/registry/auth"
	"github.com/skerryhq/skerry/raft/model"
)

// Access decides who may do what: *auth.Door. The registry asks it anew for
// every request, so that a lowered role works at once.
type Access interface {
	// Identify finds out who a request comes from; one without credentials comes
	// from nobody, which is no error. Errors: KindUnauthenticated.
	Identify(req *http.Request) (*auth.Visitor, error)
	// Open gives the repository at a path if the visitor may do that with it; a
	// push makes a missing one. Errors: KindUnauthenticated, KindDenied,
	// KindNotFound, KindInvalid; their sentence reaches the client.
	Open(ctx context.Context, v *auth.Visitor, path string, a auth.Action) (*model.Repository, error)
	// MayRead says whether p may pull from a repository.
	MayRead(p *access.Principal, r *model.Repository) bool
	// MayList says whether the visitor may ask which repositories there are.
	MayList(v *auth.Visitor) error
}

// Mirror brings in what is not in a repository of this cluster but in an
// upstream. path is the upstream's: "docker.io/library/nginx". Both methods
// return when the content is in this node's engine and linked in an upstream's
// repository, whose id they give. Errors: KindNotFound where the upstream has no
// such thing, or there is no upstream for that host, or it does not serve the
// caller; KindUnauthenticated, KindDenied, KindUnavailable. Their sentence
// reaches the client.
type Mirror interface {
	// Manifest resolves a tag or a digest.
	Manifest(ctx context.Context, c access.Caller, path, ref string) (repositoryID, digest string, err error)
	// Blob fetches one blob.
	Blob(ctx context.Context, c access.Caller, path, digest string) (repositoryID string, err error)
}
