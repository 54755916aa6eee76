package ctrd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/runtime/workload"
)

// taskRecord is what is kept of a container's last task once the engine has
// forgotten it. It is the value of labelTask.
type taskRecord struct {
	Started  time.Time       `json:"started,omitzero"`
	Finished time.Time       `json:"finished,omitzero"`
	Code     int             `json:"code,omitempty"`
	OOM      bool            `json:"oom,omitempty"`
	Reason   workload.Reason `json:"reason,omitempty"`
	Message  string          `json:"message,omitempty"`
}

// maxMessage keeps a label below the engine's limit of 4096 bytes.
const maxMessage = 1500

// Start runs the container's main process as a new task in the same container:
// layer, name and network namespace are those of Create. Somebody must have the
// FIFOs of its Stdio open for reading, else this blocks until somebody has, at most
// a minute. What an interrupted Start has left is ended first.
// Errors: ErrNotFound, ErrRunning, *CommandError; after the latter the container
// is stopped with exit code 126 or 127.
func (r *Runtime) Start(ctx context.Context, id workload.ID) error {
	unlock, err := r.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	f, err := r.factsOf(ctx, id)
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	if !f.fresh {
		st, err := r.look(ctx, id, nil)
		if err != nil {
			return fmt.Errorf("start container %s: %w", id, err)
		}
		if st.Phase == workload.PhaseRunning || st.Phase == workload.PhasePaused {
			return fmt.Errorf("start container %s: %w", id, workload.ErrRunning)
		}
		if err := r.endStray(ctx, id); err != nil {
			return fmt.Errorf("start container %s: %w", id, err)
		}
	}
	if f.fresh {
		used := *f
		used.fresh = false
		r.remember(id, &used)
	}
	rec := taskRecord{Started: time.Now().UTC()}
	noted := make(chan error, 1)
	go func() { noted <- r.note(ctx, id, rec) }()
	pid, err := r.run(ctx, f)
	// The note of the start must not overtake, or be overtaken by, a note of failure.
	if nerr := <-noted; nerr != nil && err == nil {
		r.log.Warn("start not noted", "container", string(id), "err", nerr)
	}
	if err != nil {
		return r.startFailed(ctx, f, rec, err)
	}
	r.log.Debug("container started", "container", string(id), "pid", pid)
	return nil
}

// startWithin bounds how long the engine may take for a start. It takes a tenth of
// a second, seconds on a busy host; beyond this it hangs, and the next attempt
// begins with what this one leaves being ended.
const startWithin = time.Minute

func (r *Runtime) run(ctx context.Context, f *facts) (pid uint32, err error) {
	req := &tasksapi.CreateTaskRequest{
		ContainerID: string(f.spec.ID),
		Terminal:    f.spec.TTY,
		Stdin:       f.spec.Stdio.Stdin,
		Stdout:      f.spec.Stdio.Stdout,
		Stderr:      f.spec.Stdio.Stderr,
	}
	if f.spec.TTY {
		req.Stderr = ""
	}
	for _, m := range f.mounts {
		req.Rootfs = append(req.Rootfs, &types.Mount{Type: m.Type, Source: m.Source, Target: m.Target, Options: m.Options})
	}
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	resp, err := r.tasks.Create(ctx, req)
	if err != nil {
		return 0, native(err, "create the task")
	}
	if _, err := r.tasks.Start(ctx, &tasksapi.StartRequest{ContainerID: string(f.spec.ID)}); err != nil {
		return 0, native(err, "start the task")
	}
	return resp.Pid, nil
}

// startFailed cleans up after a start that did not work, finds out whether the
// command was to blame, and notes why the container is stopped.
func (r *Runtime) startFailed(ctx context.Context, f *facts, rec taskRecord, cause error) error {
	undo, cancel := cleanupContext(ctx)
	defer cancel()
	id := f.spec.ID
	if err := r.endTask(undo, id); err != nil {
		r.log.Warn("task of a failed start not removed", "container", string(id), "err", err)
	}
	if errors.Is(cause, workload.ErrUnavailable) {
		return fmt.Errorf("start container %s: %w", id, cause)
	}
	rec.Finished = time.Now().UTC()
	rec.Code, rec.Reason, rec.Message = workload.ExitStartFailed, workload.ReasonStartFail, cause.Error()
	if cmdErr := r.diagnose(undo, f); cmdErr != nil {
		cause = cmdErr
		rec.Code, rec.Message = cmdErr.ExitCode(), cmdErr.Error()
		rec.Reason = workload.ReasonNotFound
		if rec.Code == workload.ExitNotExecutable {
			rec.Reason = workload.ReasonNotExec
		}
	}
	if err := r.note(undo, id, rec); err != nil {
		r.log.Warn("failed start not noted", "container", string(id), "err", err)
	}
	return fmt.Errorf("start container %s: %w", id, cause)
}

// note writes what is known of the last task into the container's record.
func (r *Runtime) note(ctx context.Context, id workload.ID, rec taskRecord) error {
	if len(rec.Message) > maxMessage {
		rec.Message = rec.Message[:maxMessage] + "..."
	}
	b, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("encode the task record: %w", err)
	}
	_, err = r.client.ContainerService().Update(ctx,
		containers.Container{ID: string(id), Labels: map[string]string{labelTask: string(b)}}, "labels."+labelTask)
	return native(err, "note the task of container %s", id)
}

// exitHint is an exit that an event told us about, in case the engine no longer knows.
type exitHint struct {
	code int
	at   time.Time
}

// look says what the container is now. A task that has ended is noted and
// deleted on the way, so its shim's memory and its mounts are given back. The
// caller holds the container's lock.
func (r *Runtime) look(ctx context.Context, id workload.ID, hint *exitHint) (workload.State, error) {
	c, spec, err := r.record(ctx, id)
	if err != nil {
		return workload.State{ID: id}, err
	}
	return r.lookAt(ctx, c, &spec, hint)
}

func (r *Runtime) lookAt(ctx context.Context, c containers.Container, spec *workload.Spec, hint *exitHint) (workload.State, error) {
	var rec taskRecord
	if v := c.Labels[labelTask]; v != "" {
		if err := json.Unmarshal([]byte(v), &rec); err != nil {
			return workload.State{ID: spec.ID}, fmt.Errorf("read the task record of container %s: %w", spec.ID, err)
		}
	}
	resp, err := r.tasks.Get(ctx, &tasksapi.GetRequest{ContainerID: c.ID})
	switch {
	case err == nil:
	case errdefs.IsNotFound(toNative(err)):
		if hint == nil {
			if code, at, ok := r.cfg.Engine.KeptExit(c.ID, rec.Started); ok {
				hint = &exitHint{code: code, at: at}
			}
		}
		// An exit that was called lost may become known by an event that came late.
		late := rec.Reason == workload.ReasonLost && hint != nil && hint.at.After(rec.Started)
		if !rec.Started.IsZero() && (rec.Finished.IsZero() || late) {
			rec.Message = ""
			rec = r.endRecord(spec, rec, hint)
			if err := r.note(ctx, spec.ID, rec); err != nil {
				return workload.State{ID: spec.ID}, err
			}
		}
		return state(c, spec, rec, 0), nil
	default:
		return workload.State{ID: spec.ID}, native(err, "look at the task of container %s", spec.ID)
	}
	p := resp.Process
	switch p.Status {
	case tasktypes.Status_RUNNING, tasktypes.Status_PAUSED, tasktypes.Status_PAUSING:
		st := state(c, spec, rec, int(p.Pid))
		if p.Status != tasktypes.Status_RUNNING {
			st.Phase = workload.PhasePaused
		}
		return st, nil
	case tasktypes.Status_STOPPED:
		at := p.ExitedAt.AsTime()
		rec = r.endRecord(spec, rec, &exitHint{code: int(p.ExitStatus), at: at})
		if err := r.note(ctx, spec.ID, rec); err != nil {
			return workload.State{ID: spec.ID}, err
		}
		if err := r.deleteTask(ctx, spec.ID); err != nil {
			return workload.State{ID: spec.ID}, err
		}
		return state(c, spec, rec, 0), nil
	}
	// Created and not started: an interrupted Start. It holds no work worth keeping.
	if err := r.endTask(ctx, spec.ID); err != nil {
		return workload.State{ID: spec.ID}, err
	}
	rec.Started = time.Time{}
	if err := r.note(ctx, spec.ID, rec); err != nil {
		return workload.State{ID: spec.ID}, err
	}
	return state(c, spec, rec, 0), nil
}

// endRecord completes the record of a task that has ended. It must be called
// before the task is deleted, because the cgroup with its count of OOM kills
// goes with it.
func (r *Runtime) endRecord(spec *workload.Spec, rec taskRecord, hint *exitHint) taskRecord {
	rec.OOM = r.cgroups.oomKills(r.cgroupPath(spec)) > 0
	switch {
	case hint == nil:
		rec.Code, rec.Reason, rec.Finished = workload.ExitLost, workload.ReasonLost, time.Now().UTC()
		rec.Message = "the host or the engine ended the container and its exit code is not known"
	default:
		rec.Code, rec.Reason, rec.Finished = hint.code, workload.ReasonExited, hint.at.UTC()
		if rec.Finished.Before(rec.Started) {
			rec.Finished = time.Now().UTC()
		}
		if rec.OOM {
			rec.Reason = workload.ReasonOOM
			rec.Message = "a process was ended because the container needed more memory than its limit"
		}
	}
	return rec
}

func state(c containers.Container, spec *workload.Spec, rec taskRecord, pid int) workload.State {
	st := workload.State{
		ID: spec.ID, PID: pid, CreatedAt: c.CreatedAt, StartedAt: rec.Started,
		ImageDigest: spec.ImageDigest, ImageName: spec.ImageName, Labels: spec.Labels,
		Stdio: spec.Stdio, TTY: spec.TTY, NetNSPath: spec.NetNSPath,
	}
	switch {
	case pid > 0:
		st.Phase = workload.PhaseRunning
	case rec.Started.IsZero():
		st.Phase = workload.PhaseCreated
	default:
		st.Phase = workload.PhaseStopped
		st.ExitCode, st.OOMKilled, st.Reason, st.Message, st.FinishedAt = rec.Code, rec.OOM, rec.Reason, rec.Message, rec.Finished
	}
	return st
}

// Inspect says what the container is now. Errors: ErrNotFound.
func (r *Runtime) Inspect(ctx context.Context, id workload.ID) (workload.State, error) {
	if err := id.Validate(); err != nil {
		return workload.State{ID: id}, err
	}
	unlock, err := r.lock(ctx, id)
	if err != nil {
		return workload.State{ID: id}, err
	}
	defer unlock()
	return r.look(ctx, id, nil)
}

// SpecOf returns the spec with which the container was created. Errors: ErrNotFound.
func (r *Runtime) SpecOf(ctx context.Context, id workload.ID) (workload.Spec, error) {
	_, spec, err := r.record(ctx, id)
	return spec, err
}

// List says what every container on this host is now, in no particular order.
// A new daemon calls it to adopt what runs.
func (r *Runtime) List(ctx context.Context) ([]workload.State, error) {
	cs, err := r.client.ContainerService().List(ctx)
	if err != nil {
		return nil, native(err, "list containers")
	}
	out := make([]workload.State, 0, len(cs))
	for _, c := range cs {
		if _, ours := c.Extensions[extensionSpec]; !ours {
			continue // a build's container: not ours to touch
		}
		st, err := r.Inspect(ctx, workload.ID(c.ID))
		if errors.Is(err, workload.ErrNotFound) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		out = append(out, st)
	}
	return out, nil
}

// deleteTask deletes an ended task. One that is gone is no error.
func (r *Runtime) deleteTask(ctx context.Context, id workload.ID) error {
	_, err := r.tasks.Delete(ctx, &tasksapi.DeleteTaskRequest{ContainerID: string(id)})
	if err == nil || errdefs.IsNotFound(toNative(err)) {
		return nil
	}
	return native(err, "delete the task of container %s", id)
}

// endTask kills what runs and deletes the task, whatever state it is in.
func (r *Runtime) endTask(ctx context.Context, id workload.ID) error {
	_, err := r.tasks.Get(ctx, &tasksapi.GetRequest{ContainerID: string(id)})
	if errdefs.IsNotFound(toNative(err)) {
		return r.endStray(ctx, id)
	}
	if err := r.signal(ctx, id, syscall.SIGKILL, true); err != nil && !errors.Is(err, workload.ErrNotRunning) {
		return err
	}
	if _, err := r.await(ctx, id); err != nil && !errors.Is(err, workload.ErrNotFound) {
		return err
	}
	return r.deleteTask(ctx, id)
}

// await waits for the main process to end.
func (r *Runtime) await(ctx context.Context, id workload.ID) (*tasksapi.WaitResponse, error) {
	resp, err := r.tasks.Wait(ctx, &tasksapi.WaitRequest{ContainerID: string(id)})
	return resp, native(err, "wait for container %s", id)
}

// signal sends sig to the main process, or to every process of the container.
// A task that has ended is ErrNotRunning.
func (r *Runtime) signal(ctx context.Context, id workload.ID, sig syscall.Signal, all bool) error {
	resp, err := r.tasks.Get(ctx, &tasksapi.GetRequest{ContainerID: string(id)})
	if err == nil && resp.Process.Status == tasktypes.Status_RUNNING {
		// The main process is the first of its process namespace: killing it ends
		// every other one. Sending the signal here spares the shim from running runc.
		if r.signalDirectly(ctx, id, int(resp.Process.Pid), sig) {
			return nil
		}
	}
	_, err = r.tasks.Kill(ctx, &tasksapi.KillRequest{ContainerID: string(id), Signal: uint32(sig), All: all})
	if err == nil {
		return nil
	}
	n := toNative(err)
	if errdefs.IsNotFound(n) || errdefs.IsFailedPrecondition(n) {
		return fmt.Errorf("signal container %s: %w", id, workload.ErrNotRunning)
	}
	return native(err, "signal container %s", id)
}

// signalDirectly reports whether the signal reached the main process. The
// process is held by a descriptor before its cgroup is looked at, so a number
// that has passed to another process is never signalled.
func (r *Runtime) signalDirectly(ctx context.Context, id workload.ID, pid int, sig syscall.Signal) bool {
	f, err := r.factsOf(ctx, id)
	if err != nil || pid <= 1 {
		return false
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	if in, err := r.cgroups.holds(r.cgroupPath(&f.spec), pid); err != nil || !in {
		return false
	}
	if sig != syscall.SIGKILL && !afterExec(ctx, pid) {
		return false
	}
	return unix.PidfdSendSignal(fd, sig, nil, 0) == nil
}

// execWithin bounds how long the last step of a start may take.
const execWithin = 2 * time.Second

// afterExec waits until runc's first process has become the container's own. A
// start is reported a moment before that, and a polite signal in that moment
// would end runc's code instead of reaching the program.
func afterExec(ctx context.Context, pid int) bool {
	end := time.Now().Add(execWithin)
	for {
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err != nil || !strings.HasPrefix(string(comm), "runc:[") {
			return err == nil
		}
		if time.Now().After(end) {
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(time.Millisecond):
		}
	}
}
