package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/skerryhq/skerry/raft/model"
)

const (
	// liveWindow is what is shown if nobody asks for a window.
	liveWindow = 15 * time.Minute
	maxWindow  = 31 * 24 * time.Hour
	maxValues  = 5000 // in one series
)

// window reads which time a request asks for.
func window(since, until string, step int, now time.Time) (Window, error) {
	w := Window{Step: time.Duration(step) * time.Second}
	var err error
	if w.From, err = moment("since", since, now); err != nil {
		return w, err
	}
	if w.To, err = moment("until", until, now); err != nil {
		return w, err
	}
	if w.To.IsZero() || w.To.After(now) {
		w.To = now
	}
	if w.From.IsZero() {
		w.From = w.To.Add(-liveWindow)
	}
	switch span := w.To.Sub(w.From); {
	case span <= 0:
		return w, invalid("window_invalid", "the time asked for begins at %s and ends at %s; let it begin before it ends, and in the past",
			w.From.UTC().Format(time.RFC3339), w.To.UTC().Format(time.RFC3339)).At("since")
	case span > maxWindow:
		return w, invalid("window_invalid", "the time asked for is longer than %d days; ask for less", maxWindow/(24*time.Hour)).At("since")
	case step < 0 || step > 86400:
		return w, invalid("step_invalid", "the step is %d; use 1 to 86400 seconds", step).At("step")
	case w.Step > 0 && span/w.Step > maxValues:
		return w, invalid("step_invalid", "a step of %d seconds gives more than %d values here; use a longer step or a shorter time", step, maxValues).At("step")
	}
	return w, nil
}

// metrics answers with the figures of what find finds, over the window asked for.
func metrics[O any](s *Server, c *gin.Context, find func(*request) (O, error), since, until string, step int, read func(context.Context, O, Window) (Metrics, error)) {
	r := of(c)
	o, err := find(r)
	if err != nil {
		s.fail(c, err)
		return
	}
	w, err := window(since, until, step, r.caller.Origin.Time)
	if err != nil {
		s.fail(c, err)
		return
	}
	out, err := read(c.Request.Context(), o, w)
	s.reply(c, http.StatusOK, out, err)
}

// ContainerMetrics shows a container's figures over time.
func (s *Server) ContainerMetrics(c *gin.Context, ref Ref, q ContainerMetricsParams) {
	find := func(r *request) (*model.Container, error) { return r.view.FindContainer(r.scope, ref) }
	metrics(s, c, find, q.Since, q.Until, q.Step, func(ctx context.Context, o *model.Container, w Window) (Metrics, error) {
		out, err := s.runtime.ContainerMetrics(ctx, o, w)
		out.CPULimit, out.MemoryLimitBytes = float64(o.Spec.CPUMillis)/1000, o.Spec.MemoryBytes
		return out, err
	})
}

// ServiceMetrics shows the figures of a service's containers over time.
func (s *Server) ServiceMetrics(c *gin.Context, ref ServiceRef, q ServiceMetricsParams) {
	find := func(r *request) (*model.Service, error) { return findService(r.view, r.scope, ref) }
	metrics(s, c, find, q.Since, q.Until, q.Step, func(ctx context.Context, o *model.Service, w Window) (Metrics, error) {
		out, err := s.runtime.ServiceMetrics(ctx, o, w)
		out.CPULimit, out.MemoryLimitBytes = float64(o.Spec.Container.CPUMillis)/1000, o.Spec.Container.MemoryBytes
		return out, err
	})
}

// NodeMetrics shows a node's figures over time.
func (s *Server) NodeMetrics(c *gin.Context, ref Ref, q NodeMetricsParams) {
	find := func(r *request) (*model.Node, error) { return r.view.FindNode(ref) }
	metrics(s, c, find, q.Since, q.Until, q.Step, s.runtime.NodeMetrics)
}
