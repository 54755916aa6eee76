package noderuntime

import (
	"context"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/appliance/operation"
	"github.com/skerryhq/skerry/runtime/image"
)

// Pull fetches an image from its registry as the caller's tenant may.
func (r *Local) Pull(ctx context.Context, c access.Caller, ref, username, password string, report api.Report) (operation.Stored, error) {
	src, err := r.cfg.Sources.Source(c, ref, username, password)
	if err != nil {
		return operation.Stored{}, err
	}
	defer src.Close()
	d, err := r.cfg.Images.Pull(ctx, src, image.PullOptions{Progress: steps(report)})
	if err != nil {
		return operation.Stored{}, explainImage(ref, err)
	}
	return r.stored(ctx, d, nil)
}
