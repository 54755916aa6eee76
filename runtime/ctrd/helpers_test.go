package ctrd_test

import (
	"context"
	"strconv"

	"github.com/containerd/containerd/v2/core/snapshots"
)

func countSnapshots(n *int) snapshots.WalkFunc {
	return func(context.Context, snapshots.Info) error {
		*n++
		return nil
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}
