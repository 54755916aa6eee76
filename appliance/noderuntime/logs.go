package noderuntime

import (
	"context"
	"errors"
	"iter"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
	"github.com/skerryhq/skerry/runtime/logs"
)

// Logs gives what is kept, merged by time, and then, with Follow, what comes,
// until no container of the query will write any more.
func (r *Runtime) Logs(ctx context.Context, of []*model.Container, q api.LogQuery, each func(api.LogLine) error) error {
	if q.Follow {
		return r.follow(ctx, of, q, each)
	}
	var sources []*source
	defer func() {
		for _, s := range sources {
			s.stop()
		}
	}()
	for _, c := range of {
		s := &source{}
		s.next, s.stop = iter.Pull2(r.read(ctx, c, q, false))
		sources = append(sources, s)
	}
	for {
		var first *source
		for _, s := range sources {
			if err := s.fill(); err != nil {
				return err
			}
			if s.full && (first == nil || s.line.Time.Before(first.line.Time)) {
				first = s
			}
		}
		if first == nil {
			return nil
		}
		first.full = false
		if err := each(first.line); err != nil {
			return err
		}
	}
}

// source is one container's lines with one read ahead.
type source struct {
	next func() (api.LogLine, error, bool)
	stop func()
	line api.LogLine
	full bool
	done bool
}

func (s *source) fill() error {
	if s.full || s.done {
		return nil
	}
	line, err, ok := s.next()
	if !ok {
		s.done = true
		return nil
	}
	s.line, s.full = line, err == nil
	return err
}

// follow reads all containers at once; their lines come as they are written.
func (r *Runtime) follow(ctx context.Context, of []*model.Container, q api.LogQuery, each func(api.LogLine) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the readers when each has had enough
	lines := make(chan api.LogLine, 64)
	g, gctx := errgroup.WithContext(ctx)
	for _, c := range of {
		g.Go(func() error {
			for line, err := range r.read(gctx, c, q, true) {
				if err != nil {
					return err
				}
				select {
				case lines <- line:
				case <-gctx.Done():
					return context.Cause(gctx)
				}
			}
			return nil
		})
	}
	done := make(chan error, 1)
	go func() {
		done <- g.Wait()
		close(lines)
	}()
	for line := range lines {
		if err := each(line); err != nil {
			return err
		}
	}
	return <-done
}

// read gives the lines of one container. Following goes on over restarts, for
// as long as the container is there and means to run.
func (r *Runtime) read(ctx context.Context, c *model.Container, q api.LogQuery, follow bool) iter.Seq2[api.LogLine, error] {
	o := logs.Options{Follow: follow, Since: q.Since, Until: q.Until, Tail: q.Tail, Streams: streams(q)}
	switch {
	case q.Tail < 0:
		o.Tail = 0
	case q.Tail == 0:
		o.Tail = -1
	}
	return func(yield func(api.LogLine, error) bool) {
		for {
			last := o.Since
			for rec, err := range r.cfg.Logs.Read(ctx, c.ID, o) {
				if errors.Is(err, logs.ErrNotFound) {
					break // it has not started yet, or its log is gone with it
				}
				if err != nil {
					if ctx.Err() != nil {
						err = context.Cause(ctx)
					}
					yield(api.LogLine{}, err)
					return
				}
				last = rec.Time.Add(time.Nanosecond)
				if q.Search != "" && !strings.Contains(string(rec.Line), q.Search) {
					continue
				}
				if !yield(api.LogLine{
					Time: rec.Time, Stream: api.LogStream(rec.Stream.String()), Partial: rec.Partial,
					Container: c.Name, ContainerID: c.ID, Line: strings.ToValidUTF8(string(rec.Line), "\uFFFD"),
				}, nil) {
					return
				}
			}
			if !follow || !r.willWrite(ctx, c.ID) {
				return
			}
			o.Since, o.Tail = last, 0
		}
	}
}

func streams(q api.LogQuery) []logs.Stream {
	switch {
	case q.Stdout == q.Stderr:
		return nil
	case q.Stdout:
		return []logs.Stream{logs.Stdout}
	default:
		return []logs.Stream{logs.Stderr}
	}
}

// willWrite waits until a container whose log was closed runs again; false if
// it is not going to.
func (r *Runtime) willWrite(ctx context.Context, id string) bool {
	errDecided := errors.New("decided")
	again := false
	_ = state.Watch(ctx, r.cfg.Store, func(v *state.View) (*model.Container, error) {
		c, _ := v.Container(id)
		return c, nil
	}, func(_ context.Context, c *model.Container) error {
		switch {
		case c == nil, c.Assign.Remove, c.Status.Phase == model.PhaseExited && c.Status.Restarts == c.Intent.Restarts:
			return errDecided
		case c.Status.Phase == model.PhaseRunning:
			again = true
			return errDecided
		}
		return nil
	})
	return again
}
