package api

import (
	"context"
	"errors"
	"time"

	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

const maxWait = 3600 // seconds

// errSettled ends a watch that saw what it waited for.
var errSettled = errors.New("settled")

// until reads the state again and again until done says so, at most for some
// seconds. It is no error that the time is over: the caller looks at what was
// seen last.
func until[T any](ctx context.Context, s *Server, seconds int, read func(*state.View) (T, error), done func(T) bool) (T, error) {
	var last T
	ctx, cancel := context.WithTimeout(ctx, time.Duration(min(seconds, maxWait))*time.Second)
	defer cancel()
	err := state.Watch(ctx, s.cluster.Store(), read, func(_ context.Context, v T) error {
		last = v
		if done(v) {
			return errSettled
		}
		return nil
	})
	if errors.Is(err, errSettled) || errors.Is(err, context.DeadlineExceeded) {
		return last, nil
	}
	return last, err
}

func checkWait(seconds int) error {
	if seconds < 0 || seconds > maxWait {
		return invalid("wait_invalid", "wait is %d; use 0 to %d seconds", seconds, maxWait).At("wait")
	}
	return nil
}

// waitApp waits until an app is as asked or cannot become so, and reports what
// its containers do meanwhile.
func (s *Server) waitApp(ctx context.Context, id string, seconds int, report Report) (App, error) {
	seen, last, gone := map[string]model.Phase{}, App{}, false
	return until(ctx, s, seconds, func(v *state.View) (App, error) {
		a, ok := v.App(id)
		if !ok && last.ID == "" {
			return App{}, notFound("app", id)
		}
		if gone = !ok; gone { // it ended and removed itself, as it was asked to
			return last, nil
		}
		for c := range v.ContainersOfApp(id) {
			if seen[c.ID] != c.Status.Phase {
				seen[c.ID] = c.Status.Phase
				report(Progress{ID: c.Name, Step: string(c.Status.Phase), Message: firstMessage(c.Status.Conditions)})
			}
		}
		last = app(v, a)
		return last, nil
	}, func(a App) bool { return gone || settled(a.Status.Phase) })
}

func firstMessage(of []model.Condition) string {
	if len(of) == 0 {
		return ""
	}
	return of[0].Message
}

// waitGone waits until there is no object any more.
func (s *Server) waitGone(ctx context.Context, seconds int, there func(*state.View) bool) error {
	if seconds == 0 {
		return nil
	}
	gone, err := until(ctx, s, seconds, func(v *state.View) (bool, error) { return !there(v), nil }, func(gone bool) bool { return gone })
	if err == nil && !gone {
		return model.Errorf(model.KindUnavailable, "still_removing", "it is still being removed after %d seconds; it will go on", seconds)
	}
	return err
}
