package ctrd

import (
	"context"
	"fmt"

	"github.com/skerryhq/skerry/runtime/filetree"
	"github.com/skerryhq/skerry/runtime/workload"
)

// Files runs do on the container's file system as its processes see it, volumes
// included, whether it runs or not. A stopped container is neither started nor
// removed meanwhile. Nothing outside of the container's root can be reached.
// Errors: ErrNotFound, and those of do.
func (r *Runtime) Files(ctx context.Context, id workload.ID, do func(filetree.Tree) error) error {
	if err := r.rootOf(ctx, id, func(t *tree) error { return do(filetree.At(t.fd)) }); err != nil {
		return fmt.Errorf("files of container %s: %w", id, err)
	}
	return nil
}
