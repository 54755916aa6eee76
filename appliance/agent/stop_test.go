package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerryhq/skerry/appliance/nodeview"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/runtime/workload"
)

// stopper is an engine whose Stop a test answers.
type stopper struct {
	Containers
	stop  func(ctx context.Context, o workload.StopOptions) (workload.State, error)
	asked []workload.StopOptions
}

func (s *stopper) Stop(ctx context.Context, _ workload.ID, o workload.StopOptions) (workload.State, error) {
	s.asked = append(s.asked, o)
	return s.stop(ctx, o)
}

func stopping(s *stopper, graceSecs int) (*keeper, *model.Container) {
	c := &model.Container{Meta: model.Meta{ID: "c1"}, Intent: model.Intent{Stopped: true, GraceSecs: graceSecs}}
	k := newKeeper(New(Config{NodeID: "n1", Containers: s, Log: slog.New(slog.DiscardHandler)}), c)
	k.ask(c)
	return k, c
}

func (s *stopper) Inspect(context.Context, workload.ID) (workload.State, error) {
	return workload.State{Phase: workload.PhaseRunning}, nil
}

// The answer to a stop that fails is to wait, longer each time.
func TestFailingStopBacksOff(t *testing.T) {
	for _, fails := range []error{context.Canceled, errors.New("the engine has a fault")} {
		synctest.Test(t, func(t *testing.T) {
			const most = 10 * time.Second
			ctx, cancel := context.WithTimeout(t.Context(), most)
			defer cancel()
			s := &stopper{}
			s.stop = func(context.Context, workload.StopOptions) (workload.State, error) {
				if len(s.asked) == 100 {
					cancel() // it spins: in a bubble no time would ever pass
				}
				return workload.State{}, fails
			}
			k, _ := stopping(s, 30)
			k.saw(workload.State{Phase: workload.PhaseRunning})
			k.run(ctx)
			if n := len(s.asked); n < 2 || n > 10 {
				t.Errorf("%v: asked %d times in %v", fails, n, most)
			}
		})
	}
}

// An engine that says "canceled" though nobody cancelled has failed.
func TestStopThatTheEngineCancels(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := &stopper{}
	s.stop = func(context.Context, workload.StopOptions) (workload.State, error) {
		if len(s.asked) == 100 {
			cancel()
		}
		return workload.State{}, fmt.Errorf("stop container c1: %w", context.Canceled)
	}
	k, c := stopping(s, 30)
	err := k.stop(ctx, c)
	if b, ok := errors.AsType[*because](err); !ok || b.code != "StopFailed" || len(s.asked) != 1 {
		t.Errorf("asked %d times, then %v", len(s.asked), err)
	}
}

func TestHarsherStopTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stopper{}
		s.stop = func(ctx context.Context, o workload.StopOptions) (workload.State, error) {
			select {
			case <-ctx.Done():
				return workload.State{}, context.Cause(ctx)
			case <-time.After(o.Grace):
				return workload.State{Phase: workload.PhaseStopped}, nil
			}
		}
		k, c := stopping(s, 30)
		go func() {
			time.Sleep(time.Second)
			kill := *c
			kill.Intent.GraceSecs = -1
			k.ask(&kill)
		}()
		began := time.Now()
		if err := k.stop(t.Context(), c); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != time.Second || len(s.asked) != 2 || s.asked[1].Grace != 0 {
			t.Errorf("took %v, asked for %+v", took, s.asked)
		}
	})
}

// A container that goes while another of its service answers still answers for a
// moment; without another, or when it was stopped by hand, it ends at once.
func TestLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(Config{NodeID: "n1", Log: slog.New(slog.DiscardHandler)})
		view := nodeview.View{Names: []nodeview.Name{{AppID: "a", Service: "web", Container: "web-2", Serving: true}, {AppID: "a", Service: "web", Container: "web-1", Serving: true}, {AppID: "b", Service: "web", Container: "x", Serving: true}}}
		c := &model.Container{Meta: model.Meta{ID: "c1", Name: "web-1"}, AppID: "a", ServiceName: "web", Assign: model.Assignment{Remove: true}}
		k := newKeeper(a, c)
		if got := k.linger(c, time.Now()); got != 0 {
			t.Errorf("nobody else answers and it waits %v", got)
		}
		a.serving = servers(view)
		if got := k.linger(c, time.Now()); got != lingerTime {
			t.Errorf("another one answers and it waits %v", got)
		}
		time.Sleep(lingerTime)
		if got := k.linger(c, time.Now()); got != 0 {
			t.Errorf("after the time it waits %v more", got)
		}
		stopped := *c
		stopped.Intent.Stopped = true
		if got := newKeeper(a, &stopped).linger(&stopped, time.Now()); got != 0 {
			t.Errorf("it was stopped by hand and waits %v", got)
		}
		alone := *c
		alone.AppID = "b"
		alone.Name = "x"
		if got := newKeeper(a, &alone).linger(&alone, time.Now()); got != 0 {
			t.Errorf("it is the only one and waits %v", got)
		}
	})
}
