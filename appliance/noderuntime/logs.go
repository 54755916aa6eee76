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

// betweenReads is the least time from one beginning to read a log to the next:
// a log may be closed, or not be there, while the state says that it is written.
const betweenReads = 100 * time.Millisecond

// read gives the lines of one container. Following goes on over restarts, for
// as long as the container is there and means to run, or until Until.
func (r *Runtime) read(ctx context.Context, c *model.Container, q api.LogQuery, follow bool) iter.Seq2[api.LogLine, error] {
	o := logs.Options{Follow: follow, Since: q.Since, Until: q.Until, Tail: q.Tail, Streams: streams(q)}
	switch {
	case q.Tail < 0:
		o.Tail = 0
	case q.Tail == 0:
		o.Tail = -1
	}
	return func(yield func(api.LogLine, error) bool) {
		last := o.Since
		for {
			began := time.Now()
			if o.Tail < 0 && last.Before(began) {
				last = began // what is there already is not wanted later either
			}
			task := r.begun(c.ID)
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
			if !follow || !r.again(ctx, c.ID, task, q.Until, began.Add(betweenReads)) {
				return
			}
			o.Since, o.Tail = last, 0
		}
	}
}

// again waits until it is worth reading a log that has ended, and not before
// soonest; false if nothing that is wanted will come any more.
func (r *Runtime) again(ctx context.Context, id string, task uint64, until, soonest time.Time) bool {
	if !until.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, until)
		defer cancel()
	}
	if ctx.Err() != nil || !r.willWrite(ctx, id, task) {
		return false
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Until(soonest)):
		return true
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

// begun is the number of the latest task that has begun to run.
func (r *Runtime) begun(id string) uint64 {
	c, ok := r.cfg.Store.View().Container(id)
	if !ok {
		return 0
	}
	switch c.Status.Phase {
	case model.PhaseRunning, model.PhaseStopping, model.PhaseExited, model.PhaseBackoff:
		return c.Status.Task
	default: // that one is still to come
		return max(1, c.Status.Task) - 1
	}
}

// lookAgain is after what time the log of a task is read again that is said to
// run though its log had ended: the state may be right after all.
const lookAgain = time.Second

// willWrite waits until a container whose log was closed runs a later task than
// the one given; false if it is not going to.
func (r *Runtime) willWrite(ctx context.Context, id string, task uint64) bool {
	errDecided := errors.New("decided")
	for {
		again, same := false, false
		wctx, cancel := context.WithTimeout(ctx, lookAgain)
		err := state.Watch(wctx, r.cfg.Store, func(v *state.View) (*model.Container, error) {
			c, _ := v.Container(id)
			return c, nil
		}, func(_ context.Context, c *model.Container) error {
			same = false
			switch {
			case c == nil, c.Assign.Remove, c.Status.Phase == model.PhaseExited && c.Status.Restarts == c.Intent.Restarts:
				return errDecided
			case c.Status.Phase == model.PhaseRunning && c.Status.Task > task:
				again = true
				return errDecided
			}
			same = c.Status.Phase == model.PhaseRunning
			return nil
		})
		cancel()
		switch {
		case errors.Is(err, errDecided):
			return again
		case ctx.Err() != nil:
			return false
		case same:
			return true
		}
	}
}
