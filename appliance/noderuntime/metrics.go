package noderuntime

import (
	"context"
	"math"

	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/appliance/observe"
	"github.com/skerryhq/skerry/raft/model"
)

// Recorder keeps figures; observe's does.
type Recorder interface {
	Range(ctx context.Context, q observe.Query) (observe.Result, error)
}

// ContainerMetrics gives the figures of one container.
func (r *Local) ContainerMetrics(ctx context.Context, c *model.Container, w api.Window) (api.Metrics, error) {
	return r.metrics(ctx, observe.Container, c.ID, w)
}

// ServiceMetrics gives those of all containers that a service had on this node in
// the window.
func (r *Local) ServiceMetrics(ctx context.Context, serviceID string, w api.Window) (api.Metrics, error) {
	return r.metrics(ctx, observe.Service, serviceID, w)
}

// NodeMetrics gives those of this node.
func (r *Local) NodeMetrics(ctx context.Context, w api.Window) (api.Metrics, error) {
	out, err := r.metrics(ctx, observe.Node, r.cfg.NodeID, w)
	if err == nil {
		if now, err := r.NodeStats(ctx); err == nil {
			out.DiskTotalBytes, out.CPULimit, out.MemoryLimitBytes = now.DiskTotalBytes, float64(now.Cpus), now.MemoryTotalBytes
		}
	}
	return out, err
}

func (r *Local) metrics(ctx context.Context, kind observe.Kind, id string, w api.Window) (api.Metrics, error) {
	if r.cfg.Recorder == nil {
		return api.Metrics{}, model.Errorf(model.KindUnavailable, "metrics_off", "this node records no metrics")
	}
	got, err := r.cfg.Recorder.Range(ctx, observe.Query{Kind: kind, ID: id, From: w.From, To: w.To, Step: w.Step})
	if err != nil {
		return api.Metrics{}, err
	}
	out := api.Metrics{From: got.From.UTC(), To: w.To.UTC(), StepSeconds: int(got.Step.Seconds()), Series: []api.MetricSeries{}}
	for _, s := range got.Series {
		one := api.MetricSeries{Metric: s.Metric.String(), Unit: s.Metric.Unit(), Values: pointers(s.Values), Max: pointers(s.Max)}
		if kind == observe.Service {
			one.ContainerID, one.Container = s.ID, s.Name
		}
		out.Series = append(out.Series, one)
	}
	return out, nil
}

// pointers has nil for the holes.
func pointers(values []float64) []*float64 {
	if values == nil {
		return nil
	}
	out := make([]*float64, len(values))
	for i := range values {
		if !math.IsNaN(values[i]) {
			out[i] = &values[i]
		}
	}
	return out
}
