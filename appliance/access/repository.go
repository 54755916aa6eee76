package access

import (
	"regexp"
	"slices"

	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// MayRead decides whether p may read a repository of a tenant: everybody may
// read a public one, members of the tenant those of the tenant, and a private
// one who made it, the tenant's owners and the platform's roles. Repositories of
// upstreams belong to no tenant; nobody reads them by this rule. What may not be
// read does not exist for p.
func MayRead(p *Principal, r *model.Repository) bool {
	if r.TenantID == "" {
		return false
	}
	switch r.Spec.Visibility {
	case model.VisibilityPublic:
		return true
	case model.VisibilityTenant:
		return Decide(p, PermImageRead, r.TenantID) == Allow
	default:
		return Decide(p, PermPrivate, r.TenantID) == Allow || made(p, r) && Decide(p, PermImageRead, r.TenantID) == Allow
	}
}

// MayReadAny is MayRead that knows the repositories of upstreams too.
func MayReadAny(v *state.View, p *Principal, r *model.Repository) bool {
	if r.UpstreamID != "" {
		return MayReadUpstream(v, p, r.UpstreamID)
	}
	return MayRead(p, r)
}

// MayReadUpstream decides whether p may read what comes from an upstream: who is
// not signed in only what was fetched without credentials for everybody; others
// what serves one of their tenants.
func MayReadUpstream(v *state.View, p *Principal, upstreamID string) bool {
	u, ok := v.Upstream(upstreamID)
	switch {
	case !ok:
		return upstreamID == model.DefaultUpstream
	case u.Spec.Disabled:
		return false
	case len(u.Spec.TenantIDs) > 0:
		return slices.ContainsFunc(u.Spec.TenantIDs, func(id string) bool { return Decide(p, PermImageRead, id) == Allow })
	case u.Spec.Username != "" || len(u.Password) > 0: // every tenant's, so some tenant's
		if p.Platform != "" {
			return true
		}
		for id := range p.Tenants {
			if Decide(p, PermImageRead, id) == Allow {
				return true
			}
		}
		return false
	default:
		return true
	}
}

// MayWrite decides whether p may push to a repository, delete from it and change
// it: who may write the tenant's images and read this repository.
func MayWrite(p *Principal, r *model.Repository) bool {
	return r.TenantID != "" && MayRead(p, r) && Decide(p, PermImageWrite, r.TenantID) == Allow
}

func made(p *Principal, r *model.Repository) bool {
	return r.CreatedBy != "" && r.CreatedBy == p.UserID
}

// MaxRepositoryName is how many characters "tenant/name" may have.
const MaxRepositoryName = 255

var repositoryName = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)

// CheckRepositoryName says what is wrong with the name of a repository, with or
// without its tenant. Errors: "name_missing", "name_invalid".
func CheckRepositoryName(name string) error {
	if len(name) > MaxRepositoryName-64 { // the tenant's name stands before it
		return model.Errorf(model.KindInvalid, "name_invalid", "the name of a repository has at most %d characters, %q... has %d", MaxRepositoryName-64, shown(name), len(name)).At("name")
	}
	return checkName(repositoryName, "repository", "lower-case letters and digits, parted by `/`, or within a part by one `.`, `_`, `__` or `-`", name)
}
