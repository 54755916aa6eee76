package noderuntime

import (
	"context"
	"errors"
	"io"

	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/runtime/ctrd"
	"github.com/skerryhq/skerry/runtime/logs"
	"github.com/skerryhq/skerry/runtime/workload"
)

// Exec runs a command in a container and gives its exit code.
func (r *Local) Exec(ctx context.Context, c *model.Container, spec api.ExecSpec, s api.Streams) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	streams := ctrd.ExecIO{Stdout: s.Stdout, Stderr: s.Stderr, Resize: sizes(ctx, s.Resize), Signals: s.Signals}
	if spec.Stdin {
		streams.Stdin = s.Stdin
	}
	code, err := r.cfg.Containers.Exec(ctx, workload.ID(c.ID), workload.ExecSpec{
		Command: spec.Command, Env: spec.Env, User: spec.User, WorkDir: spec.WorkingDir,
		TTY: spec.TTY, Width: spec.Size.Cols, Height: spec.Size.Rows,
	}, streams)
	var cmd *workload.CommandError
	switch {
	case errors.As(err, &cmd):
		_, _ = io.WriteString(cmpWriter(s.Stderr, s.Stdout), "skerry: "+cmd.Error()+"\r\n")
		return cmd.ExitCode(), nil
	case err != nil:
		return 0, r.explain(c, err)
	}
	return code, nil
}

func cmpWriter(a, b io.Writer) io.Writer {
	if a != nil {
		return a
	}
	return b
}

// sizes translates the terminal's sizes until ctx ends.
func sizes(ctx context.Context, in <-chan api.Size) <-chan ctrd.TermSize {
	if in == nil {
		return nil
	}
	out := make(chan ctrd.TermSize)
	go func() {
		defer close(out)
		for {
			select {
			case <-ctx.Done():
				return
			case size, ok := <-in:
				if !ok {
					return
				}
				select {
				case out <- ctrd.TermSize{Width: size.Cols, Height: size.Rows}:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return out
}

// replay is how much of what a terminal showed last a new onlooker sees first.
const replay = 64 << 10

// Attach joins a container's own streams until its task ends (no error) or ctx
// ends (its cause). How the task ended is for the state to say.
func (r *Local) Attach(ctx context.Context, c *model.Container, stdin bool, s api.Streams) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	back := int64(0)
	if c.Spec.TTY {
		back = replay
	}
	a, err := r.cfg.Logs.Attach(ctx, c.ID, logs.AttachOptions{Replay: back})
	if errors.Is(err, logs.ErrNotOpen) {
		return notRunning(c)
	}
	if err != nil {
		return r.explain(c, err)
	}
	l := &line{a: a, moved: make(chan struct{})}
	defer l.hangUp()
	if stdin && s.Stdin != nil {
		go func() {
			if _, err := io.Copy(input{ctx, l}, s.Stdin); err == nil {
				_ = l.closeStdin(ctx)                                   // the container may be gone already
				_ = r.cfg.Containers.CloseStdin(ctx, workload.ID(c.ID)) // the shim holds an end of the pipe too
			}
		}()
	}
	go r.pass(ctx, c, s)
	for {
		err = a.Copy(s.Stdout, cmpWriter(s.Stderr, s.Stdout))
		if !errors.Is(err, logs.ErrDaemonGone) || ctx.Err() != nil {
			break
		}
		next, attachErr := r.cfg.Logs.Attach(ctx, c.ID, logs.AttachOptions{})
		if err = attachErr; err != nil {
			break
		}
		a = next
		l.move(next)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil && !errors.Is(err, logs.ErrNotOpen) {
		return r.explain(c, err)
	}
	return nil
}

// pass hands sizes and signals on to the container's first process.
func (r *Local) pass(ctx context.Context, c *model.Container, s api.Streams) {
	resize, signals := s.Resize, s.Signals
	for resize != nil || signals != nil {
		select {
		case <-ctx.Done():
			return
		case size, ok := <-resize:
			if !ok {
				resize = nil
			} else if err := r.cfg.Containers.Resize(ctx, workload.ID(c.ID), size.Cols, size.Rows); err != nil {
				r.log.Debug("terminal not resized", "container", c.ID, "err", err)
			}
		case name, ok := <-signals:
			if !ok {
				signals = nil
			} else if err := r.cfg.Containers.Kill(ctx, workload.ID(c.ID), name); err != nil {
				r.log.Debug("signal not sent", "container", c.ID, "err", err)
			}
		}
	}
}

// Signal sends a signal to the container's first process.
func (r *Local) Signal(ctx context.Context, c *model.Container, signal string) error {
	return r.explain(c, r.cfg.Containers.Kill(ctx, workload.ID(c.ID), signal))
}

// explain turns the runtime's errors into what a person reads.
func (r *Local) explain(c *model.Container, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, workload.ErrNotRunning):
		return notRunning(c)
	case errors.Is(err, workload.ErrNotFound):
		return model.Errorf(model.KindConflict, "container_not_ready", "the container %s is not on its node yet; wait until it has started", c.Name)
	case errors.Is(err, workload.ErrPathNotFound):
		return &model.Error{Kind: model.KindNotFound, Code: "path_not_found", Detail: "there is no such file or folder in the container " + c.Name}
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return &model.Error{Kind: model.KindExhausted, Code: "disk_full", Detail: "there is no room left for what was to be written to the container " + c.Name + "; make room on its node, or where the volume is, and try again", Err: err}
	case errors.Is(err, workload.ErrInvalid):
		return model.Errorf(model.KindInvalid, "invalid", "%v", err)
	case errors.Is(err, workload.ErrUnavailable), errors.Is(err, logs.ErrDaemonGone):
		return &model.Error{Kind: model.KindUnavailable, Code: "engine_away", Detail: "the node's engine does not answer at the moment; try again", Err: err}
	default:
		return err
	}
}
