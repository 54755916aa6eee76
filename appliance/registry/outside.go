package registry

import (
	"strings"

	"github.com/skerryhq/skerry/appliance/registry/auth"
	"github.com/skerryhq/skerry/raft/model"
)

// outside says whether a request is for an upstream's repository, and for which:
// its name begins with a host, or the client says that it takes this registry
// for a mirror of another (?ns=).
func (r *Registry) outside(q *request) (path string, ok bool) {
	if r.cfg.Mirror == nil {
		return "", false
	}
	if ns := q.URL.Query().Get("ns"); ns != "" && ns != q.Host && ns != model.RegistryHost {
		q.scope = auth.Scope(q.name, auth.Pull)
		return ns + "/" + q.name, true
	}
	if host, _, more := strings.Cut(q.name, "/"); more && strings.Contains(host, ".") {
		q.scope = auth.Scope(q.name, auth.Pull)
		return q.name, true
	}
	return "", false
}

// beyond says where to look for what is not in a repository of ours: library/x
// that nobody has pushed here is Docker Hub's.
func (r *Registry) beyond(q *request) (path string, ok bool) {
	if r.cfg.Mirror == nil || !strings.HasPrefix(q.name, model.LibraryTenant+"/") {
		return "", false
	}
	return model.DefaultUpstream + "/" + q.name, true
}

// mirrorError gives a mirror's refusal the code for what was asked for.
func mirrorError(err error, missing string) error {
	f := failureOf(err)
	if f.code == codeNameUnknown {
		n := *f
		n.code = missing
		return &n
	}
	return err
}
