package ctrd_test

import (
	"context"

	"github.com/containerd/containerd/v2/core/snapshots"
)

func countSnapshots(n *int) snapshots.WalkFunc {
	return func(context.Context, snapshots.Info) error {
		*n++
		return nil
	}
}
