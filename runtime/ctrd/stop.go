package ctrd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"

	"github.com/skerryhq/skerry/runtime/workload"
)

// Stop ends the main process: it sends the stop signal, waits for the grace and
// then kills everything in the container. It returns the stopped state. Stopping
// what does not run is free. Errors: ErrNotFound, ErrInvalid.
func (r *Runtime) Stop(ctx context.Context, id workload.ID, opt workload.StopOptions) (workload.State, error) {
	f, err := r.factsOf(ctx, id)
	if err != nil {
		return workload.State{ID: id}, fmt.Errorf("stop: %w", err)
	}
	sig, err := workload.ParseSignal(cmp.Or(opt.Signal, f.spec.StopSignal, f.stopSignal, "SIGTERM"))
	if err != nil {
		return workload.State{ID: id}, err
	}
	// The grace is waited out without the lock: logs, exec and kill go on meanwhile.
	if opt.Grace > 0 {
		err := r.signal(ctx, id, sig, false)
		if err == nil {
			wait, cancel := context.WithTimeout(ctx, opt.Grace)
			_, err = r.await(wait, id)
			cancel()
			if err != nil && ctx.Err() != nil {
				return workload.State{ID: id}, fmt.Errorf("stop container %s: %w", id, context.Cause(ctx))
			}
		}
		if err != nil && errors.Is(err, workload.ErrUnavailable) {
			return workload.State{ID: id}, fmt.Errorf("stop: %w", err)
		}
	}
	unlock, err := r.lock(ctx, id)
	if err != nil {
		return workload.State{ID: id}, err
	}
	defer unlock()
	st, err := r.look(ctx, id, nil)
	if err != nil || st.Phase != workload.PhaseRunning && st.Phase != workload.PhasePaused {
		return st, err
	}
	if err := r.signal(ctx, id, syscall.SIGKILL, true); err != nil && !errors.Is(err, workload.ErrNotRunning) {
		return st, err
	}
	if _, err := r.await(ctx, id); err != nil && !errors.Is(err, workload.ErrNotFound) {
		return st, err
	}
	return r.look(ctx, id, nil)
}

// Kill sends a signal to the main process and returns at once.
// Errors: ErrNotFound, ErrNotRunning, ErrInvalid.
func (r *Runtime) Kill(ctx context.Context, id workload.ID, signal string) error {
	if err := id.Validate(); err != nil {
		return err
	}
	sig, err := workload.ParseSignal(cmp.Or(signal, "SIGKILL"))
	if err != nil {
		return err
	}
	err = r.signal(ctx, id, sig, false)
	if errors.Is(err, workload.ErrNotRunning) {
		if _, _, gone := r.record(ctx, id); gone != nil {
			return gone
		}
	}
	return err
}

// Wait blocks until the container does not run and returns its state. It
// survives a restart of the engine. Errors: ErrNotFound.
func (r *Runtime) Wait(ctx context.Context, id workload.ID) (workload.State, error) {
	for {
		_, err := r.await(ctx, id)
		if ctx.Err() != nil {
			return workload.State{ID: id}, context.Cause(ctx)
		}
		if err == nil || errors.Is(err, workload.ErrNotFound) {
			st, err := r.Inspect(ctx, id)
			if err != nil && !errors.Is(err, workload.ErrUnavailable) || err == nil && st.Phase != workload.PhaseRunning && st.Phase != workload.PhasePaused {
				return st, err
			}
		}
		select {
		case <-ctx.Done():
			return workload.State{ID: id}, context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Resize sets the size of the main process's terminal in characters.
// Errors: ErrNotRunning.
func (r *Runtime) Resize(ctx context.Context, id workload.ID, width, height uint16) error {
	_, err := r.tasks.ResizePty(ctx, &tasksapi.ResizePtyRequest{ContainerID: string(id), Width: uint32(width), Height: uint32(height)})
	err = native(err, "resize the terminal of container %s", id)
	if errors.Is(err, workload.ErrNotFound) {
		return fmt.Errorf("resize the terminal of container %s: %w", id, workload.ErrNotRunning)
	}
	return err
}

// CloseStdin ends the main process's standard input.
func (r *Runtime) CloseStdin(ctx context.Context, id workload.ID) error {
	_, err := r.tasks.CloseIO(ctx, &tasksapi.CloseIORequest{ContainerID: string(id), Stdin: true})
	return native(err, "close the input of container %s", id)
}
