package api

import (
	"context"

	"github.com/skerryhq/skerry/raft/model"
)

// Upstreams judges how registries outside are to be reached and tries them out.
// It changes nothing; appliance/mirror implements it.
type Upstreams interface {
	// Check judges what was asked for against what there is (nil: nothing) and
	// gives the row to store, its password sealed. A nil password stays. Tenants may
	// be named in spec. Errors: KindInvalid with a field, KindNotFound for a tenant.
	Check(old *model.Upstream, name string, spec model.UpstreamSpec, password *string) (*model.Upstream, error)
	// Test tries every endpoint with the upstream's credentials.
	Test(ctx context.Context, u *model.Upstream) (UpstreamTest, error)
}
