package noderuntime

import (
	"context"
	"errors"
	"iter"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
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
		s.next, s.stop = iter.Pull2(r.read(ctx, c, q, len(of) == 1))
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
			for line, err := range r.read(gctx, c, q, len(of) == 1) {
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
// as long as the container is there and means to run, or until Until. A node that
// goes away is one line in between: the others go on, and its own lines follow
// when it is back. Only who asks for nothing else gets it as an error, and only if
// the node did not answer in the first place.
func (r *Runtime) read(ctx context.Context, c *model.Container, q api.LogQuery, alone bool) iter.Seq2[api.LogLine, error] {
	return func(yield func(api.LogLine, error) bool) {
		last, told, answered := q.Since, false, false
		for {
			began := time.Now()
			if q.Tail == 0 && last.Before(began) {
				last = began // what is there already is not wanted later either
			}
			task, away := r.begun(c.ID), error(nil)
			for line, err := range r.readLog(ctx, c, q) {
				if err != nil && isAway(err) && ctx.Err() == nil && (answered || !alone) {
					away = err
					break
				}
				if err != nil {
					yield(api.LogLine{}, err)
					return
				}
				answered, told, last = true, false, line.Time.Add(time.Nanosecond)
				if !yield(line, nil) {
					return
				}
			}
			if away != nil && !told {
				told = true
				if !yield(r.absence(c, away), nil) {
					return
				}
			}
			answered = answered || away == nil
			switch {
			case !q.Follow:
				return
			case away != nil:
				if !r.retry(ctx, c.ID, q.Until, began.Add(betweenTries)) {
					return
				}
			case !r.again(ctx, c.ID, task, q.Until, began.Add(betweenReads)):
				return
			}
			if answered { // else the first question is still open
				q.Since, q.Tail = last, -1
			}
		}
	}
}

// absence is the line that stands for what cannot be read at present.
func (r *Runtime) absence(c *model.Container, err error) api.LogLine {
	return api.LogLine{Time: time.Now().UTC(), Stream: api.LogStreamStderr, Container: c.Name, ContainerID: c.ID, Line: "skerry: " + err.Error()}
}

// betweenReads is the least time from one beginning to read a log to the next: a
// log may be closed, or not be there, while the state says that it is written.
// betweenTries is that to a node that does not answer.
const (
	betweenReads = 100 * time.Millisecond
	betweenTries = 2 * time.Second
)

// retry waits until it is worth asking a node again that was away; false if
// nobody wants to know any more.
func (r *Runtime) retry(ctx context.Context, id string, until, soonest time.Time) bool {
	if c, ok := r.cfg.Store.View().Container(id); !ok || c.Assign.Remove || !until.IsZero() && !time.Now().Before(until) {
		return false
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Until(soonest)):
		return true
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
