package ctrd

import (
	"context"
	"errors"
	"time"

	"github.com/containerd/containerd/api/events"
	coreevents "github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/typeurl/v2"
	"golang.org/x/sync/errgroup"

	"github.com/skerryhq/skerry/runtime/engine"
	"github.com/skerryhq/skerry/runtime/workload"
)

// settling bounds how many exits are noted at once: a burst of exits should not
// queue behind one another, nor flood the engine.
const settling = 8

// Events calls handle for everything that happens to containers until ctx ends,
// which is the only way it returns. It starts with EventResync and sends another
// one whenever events may have been missed because the engine was away: list and
// compare then. An exit is noted and its task deleted before EventExit is sent.
// handle is called from several goroutines, in order for one container.
func (r *Runtime) Events(ctx context.Context, handle func(workload.Event)) error {
	for {
		err := r.follow(ctx, handle)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r.log.Warn("engine events interrupted", "err", err)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (r *Runtime) follow(ctx context.Context, handle func(workload.Event)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := engine.Healthy(ctx, r.client); err != nil {
		return err
	}
	stream, errs := r.client.EventService().Subscribe(ctx, `topic=="/tasks/exit"`, `topic=="/tasks/oom"`, `topic=="/tasks/start"`)
	handle(workload.Event{Kind: workload.EventResync, At: time.Now()})
	var g errgroup.Group
	g.SetLimit(settling)
	defer func() { _ = g.Wait() }() // its functions give no errors
	for {
		select {
		case env := <-stream:
			if env == nil {
				return errors.New("the engine closed the event stream")
			}
			r.dispatch(ctx, &g, env, handle)
		case err := <-errs:
			if err == nil {
				err = errors.New("the engine ended the event stream")
			}
			return err
		}
	}
}

func (r *Runtime) dispatch(ctx context.Context, g *errgroup.Group, env *coreevents.Envelope, handle func(workload.Event)) {
	if env.Namespace != engine.Namespace || env.Event == nil {
		return
	}
	ev, err := typeurl.UnmarshalAny(env.Event)
	if err != nil {
		r.log.Warn("engine event not understood", "topic", env.Topic, "err", err)
		return
	}
	switch e := ev.(type) {
	case *events.TaskStart:
		handle(workload.Event{Kind: workload.EventStarted, ID: workload.ID(e.ContainerID), At: env.Timestamp})
	case *events.TaskOOM:
		handle(workload.Event{Kind: workload.EventOOM, ID: workload.ID(e.ContainerID), At: env.Timestamp})
	case *events.TaskExit:
		if e.ID != e.ContainerID {
			return // an exec, not the main process
		}
		g.Go(func() error {
			r.settle(ctx, e, handle)
			return nil
		})
	}
}

// settle notes an exit. Whoever stopped the container may have done so already;
// then the state is only read.
func (r *Runtime) settle(ctx context.Context, e *events.TaskExit, handle func(workload.Event)) {
	id := workload.ID(e.ContainerID)
	at := e.ExitedAt.AsTime()
	unlock, err := r.lock(ctx, id)
	if err != nil {
		return
	}
	st, err := r.look(ctx, id, &exitHint{code: int(e.ExitStatus), at: at})
	unlock()
	switch {
	case errors.Is(err, workload.ErrNotFound):
		return // removed: whoever removed it knows
	case err != nil:
		r.log.Warn("exit not noted", "container", string(id), "err", err)
		return
	case st.Phase != workload.PhaseStopped:
		return // started again meanwhile
	}
	handle(workload.Event{Kind: workload.EventExit, ID: id, At: at, State: st})
}
