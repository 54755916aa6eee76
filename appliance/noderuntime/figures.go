package noderuntime

import (
	"cmp"
	"context"
	"net/http"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/raft/model"
)

// noWay is the client of a node that is alone.
var noWay = &http.Client{Transport: nowhere{}}

type nowhere struct{}

func (nowhere) RoundTrip(*http.Request) (*http.Response, error) { return nil, errSilent }

// NodeStats measures a node.
func (r *Runtime) NodeStats(ctx context.Context, n *model.Node) (api.NodeStats, error) {
	var out api.NodeStats
	var err error
	if t, far := r.at(n.ID); far {
		out, err = call[api.NodeStats](ctx, t, "node", "what was asked for", ask{}, nil)
	} else {
		out, err = r.Local.NodeStats(ctx)
	}
	if err != nil {
		return out, err
	}
	for c := range r.cfg.Store.View().ContainersOnNode(n.ID) {
		if c.Status.Phase == model.PhaseRunning {
			out.ContainersRunning++
		}
	}
	return out, nil
}

// NodeMetrics gives the figures of a node.
func (r *Runtime) NodeMetrics(ctx context.Context, n *model.Node, w api.Window) (api.Metrics, error) {
	if t, far := r.at(n.ID); far {
		return call[api.Metrics](ctx, t, "metrics/node", "what was asked for", ask{Window: &w}, nil)
	}
	return r.Local.NodeMetrics(ctx, w)
}

// ContainerMetrics gives the figures of one container.
func (r *Runtime) ContainerMetrics(ctx context.Context, c *model.Container, w api.Window) (api.Metrics, error) {
	if t, what, far := r.of(c); far {
		return call[api.Metrics](ctx, t, "metrics/container", what, ask{Container: about(c), Window: &w}, nil)
	}
	return r.Local.ContainerMetrics(ctx, c, w)
}

// ServiceMetrics gives those of all containers that a service has or had in the
// window, on all nodes of its environment. What a node does not tell is left out,
// as long as one does.
func (r *Runtime) ServiceMetrics(ctx context.Context, s *model.Service, w api.Window) (api.Metrics, error) {
	var far []there
	for n := range r.cfg.Store.View().NodesOf(s.EnvironmentID) {
		if t, ok := r.at(n.ID); ok && !n.Down() {
			far = append(far, t)
		}
	}
	got, errs := make([]api.Metrics, len(far)+1), make([]error, len(far)+1)
	var g errgroup.Group
	g.SetLimit(16)
	g.Go(func() error {
		got[0], errs[0] = r.Local.ServiceMetrics(ctx, s.ID, w)
		return nil
	})
	for i, t := range far {
		g.Go(func() error {
			got[i+1], errs[i+1] = call[api.Metrics](ctx, t, "metrics/service", "a part of the service "+s.Name, ask{ServiceID: s.ID, Window: &w}, nil)
			return nil
		})
	}
	_ = g.Wait() // what went wrong is in errs
	var out *api.Metrics
	var err error
	for i := range got {
		switch {
		case errs[i] != nil:
			err = cmp.Or(err, errs[i])
			if isAway(errs[i]) {
				r.log.Debug("a node does not tell its figures", "service", s.ID, "err", errs[i])
			}
		case out == nil:
			out = &got[i]
		default:
			join(out, &got[i])
		}
	}
	if out == nil {
		return api.Metrics{}, err
	}
	return *out, nil
}

// join adds the series of another node. Both have the same grid, but for the last
// value, which one of them may not have yet.
func join(to, from *api.Metrics) {
	if to.StepSeconds != from.StepSeconds || !to.From.Equal(from.From) {
		shift(from, to)
	}
	to.Series = append(to.Series, from.Series...)
	n := 0
	for _, s := range to.Series {
		n = max(n, len(s.Values))
	}
	for i := range to.Series {
		s := &to.Series[i]
		s.Values = padded(s.Values, n)
		if s.Max != nil {
			s.Max = padded(s.Max, n)
		}
	}
	slices.SortStableFunc(to.Series, func(a, b api.MetricSeries) int {
		return cmp.Or(cmp.Compare(a.Metric, b.Metric), cmp.Compare(a.Container, b.Container), cmp.Compare(a.ContainerID, b.ContainerID))
	})
}

func padded(v []*float64, n int) []*float64 {
	if len(v) >= n {
		return v
	}
	return append(v, make([]*float64, n-len(v))...)
}

// shift puts values onto another grid: each step takes what was nearest before.
func shift(m, grid *api.Metrics) {
	if m.StepSeconds <= 0 || grid.StepSeconds <= 0 {
		m.Series = nil
		return
	}
	n := int(grid.To.Sub(grid.From).Seconds())/grid.StepSeconds + 1
	lead := int(grid.From.Sub(m.From).Seconds())
	move := func(v []*float64) []*float64 {
		if v == nil {
			return nil
		}
		out := make([]*float64, n)
		for i := range out {
			if at := lead + i*grid.StepSeconds; at >= 0 && at/m.StepSeconds < len(v) {
				out[i] = v[at/m.StepSeconds]
			}
		}
		return out
	}
	for i := range m.Series {
		m.Series[i].Values, m.Series[i].Max = move(m.Series[i].Values), move(m.Series[i].Max)
	}
	m.From, m.StepSeconds = grid.From, grid.StepSeconds
}
