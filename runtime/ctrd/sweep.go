package ctrd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"

	"github.com/skerryhq/skerry/runtime/workload"
)

// Sweep removes what a crash in the middle of Create, Remove or Exec left: layers
// without a container, and pipes of execs that nobody reads. Call it once when
// the daemon starts, before anything is created. It returns how many layers went.
func (r *Runtime) Sweep(ctx context.Context) (int, error) {
	if err := os.RemoveAll(filepath.Join(r.cfg.Engine.RunDir, "engine", "exec")); err != nil {
		return 0, fmt.Errorf("sweep exec pipes: %w", err)
	}
	var layers []string
	err := r.snaps.Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		if info.Kind == snapshots.KindActive && info.Labels[labelRoot] != "" && workload.ID(info.Name).Validate() == nil {
			layers = append(layers, info.Name)
		}
		return nil
	})
	if err != nil {
		return 0, native(err, "sweep layers")
	}
	removed := 0
	var errs []error
	for _, key := range layers {
		if _, err := r.client.ContainerService().Get(ctx, key); !errdefs.IsNotFound(err) {
			continue // it has its container, or the engine could not say
		}
		if err := r.snaps.Remove(ctx, key); err != nil && !errdefs.IsNotFound(err) {
			errs = append(errs, native(err, "sweep layer %s", key))
			continue
		}
		removed++
	}
	return removed, errors.Join(errs...)
}
