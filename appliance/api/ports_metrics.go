package api

import (
	"context"
	"time"

	"github.com/skerryhq/skerry/raft/model"
)

// MetricsRuntime reads what the nodes recorded of their containers and of
// themselves. What is asked for was found by the caller; nothing here decides
// who may see it. A node that does not answer, or records nothing, gives
// KindUnavailable.
type MetricsRuntime interface {
	// ContainerMetrics gives the figures of one container.
	ContainerMetrics(ctx context.Context, c *model.Container, w Window) (Metrics, error)
	// ServiceMetrics gives those of all containers that a service has or had in
	// the window, one series each.
	ServiceMetrics(ctx context.Context, s *model.Service, w Window) (Metrics, error)
	// NodeMetrics gives those of a node.
	NodeMetrics(ctx context.Context, n *model.Node, w Window) (Metrics, error)
}

// Window says which time is asked for.
type Window struct {
	From, To time.Time     // From is before To
	Step     time.Duration // 0: chosen such that there are at most 600 values
}
