package access

import (
	"regexp"

	"github.com/skerryhq/skerry/raft/model"
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
