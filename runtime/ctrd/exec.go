package ctrd

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/skerryhq/skerry/runtime/workload"
)

// TermSize is the size of a terminal in characters.
type TermSize struct{ Width, Height uint16 }

// ExecIO connects an exec. Nil Stdin is /dev/null,
// nil outputs are thrown away. With a TTY there is no
// separate Stderr. Stdin is read until it ends; closing it when Exec has
// returned is the caller's part. Resize may be nil. Signals, which may be nil too,
// go to the command; their names are those of workload.ParseSignal.
type ExecIO struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Resize         <-chan TermSize
	Signals        <-chan string
}

// drain is how long output of an ended exec is waited for when something that it
// left in the background still holds it open.
const drain = 2 * time.Second

// Exec runs a command in the running container and returns its exit status. It
// blocks until the command ends; when ctx ends first the command is killed and
// ctx's cause returned. A restart of the engine does not disturb it.
// Errors: ErrNotFound, ErrNotRunning, ErrInvalid, *CommandError.
func (r *Runtime) Exec(ctx context.Context, id workload.ID, spec workload.ExecSpec, streams ExecIO) (code int, err error) {
	if len(spec.Command) == 0 || spec.Command[0] == "" {
		return 0, workload.Invalidf("exec needs a command")
	}
	f, pid, err := r.running(ctx, id)
	if err != nil {
		return 0, fmt.Errorf("exec: %w", err)
	}
	process, err := r.execProcess(ctx, f, pid, &spec)
	if err != nil {
		return 0, fmt.Errorf("exec in container %s: %w", id, err)
	}
	x := &execution{r: r, container: string(id), id: "x" + rand.Text(), started: make(chan struct{})}
	code, err = x.run(ctx, process, streams)
	if err != nil && ctx.Err() == nil && !x.ran {
		// As at the start of a container: look whether the command is to blame.
		var cmdErr *workload.CommandError
		_ = r.withProcessRoot(f, pid, func(t *tree) error {
			cmdErr = t.checkCommand(process.Args[0], process.Cwd, process.Env)
			return nil
		})
		if cmdErr != nil {
			err = cmdErr
		}
	}
	if err != nil {
		return 0, fmt.Errorf("exec in container %s: %w", id, err)
	}
	return code, nil
}

// running returns the facts and main process of a container that runs.
func (r *Runtime) running(ctx context.Context, id workload.ID) (*facts, int, error) {
	st, err := r.Inspect(ctx, id)
	if err != nil {
		return nil, 0, err
	}
	if st.PID == 0 {
		return nil, 0, fmt.Errorf("container %s: %w", id, workload.ErrNotRunning)
	}
	f, err := r.factsOf(ctx, id)
	return f, st.PID, err
}

func (r *Runtime) execProcess(ctx context.Context, f *facts, pid int, spec *workload.ExecSpec) (*specs.Process, error) {
	c, err := r.client.ContainerService().Get(ctx, string(f.spec.ID))
	if err != nil {
		return nil, native(err, "look up")
	}
	oci, err := decodeSpec(c)
	if err != nil {
		return nil, err
	}
	p := oci.Process
	p.Args = spec.Command
	p.Cwd = cmp.Or(spec.WorkDir, p.Cwd)
	if !filepath.IsAbs(p.Cwd) {
		return nil, workload.Invalidf("working directory %q: must be an absolute path", clip(p.Cwd))
	}
	p.Terminal, p.ConsoleSize = spec.TTY, nil
	if spec.TTY {
		p.ConsoleSize = &specs.Box{Width: uint(cmp.Or(spec.Width, 80)), Height: uint(cmp.Or(spec.Height, 24))}
		p.Env = overlayEnv(p.Env, []string{"TERM=xterm"})
	}
	if spec.User != "" {
		var acc *accounts
		if err := r.withProcessRoot(f, pid, func(t *tree) (err error) {
			acc, err = t.accounts()
			return err
		}); err != nil {
			return nil, err
		}
		who, err := acc.lookup(spec.User)
		if err != nil {
			return nil, err
		}
		p.User = specs.User{UID: who.uid, GID: who.gid, AdditionalGids: who.groups}
		p.Env = overlayEnv(p.Env, []string{"HOME=" + cmp.Or(who.home, "/")})
		p.Capabilities.Permitted, p.Capabilities.Effective = nil, nil
		if who.uid == 0 || f.spec.Privileged {
			p.Capabilities.Permitted, p.Capabilities.Effective = p.Capabilities.Bounding, p.Capabilities.Bounding
		}
	}
	if spec.Privileged {
		caps := hostCaps(allCaps)
		p.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Permitted: caps, Effective: caps}
		p.NoNewPrivileges = false
	}
	p.Env = overlayEnv(p.Env, spec.Env)
	return p, nil
}

// execution is one exec while it lasts.
type execution struct {
	r             *Runtime
	container, id string
	pid           int           // once started
	ran           bool          // the command has been started
	started       chan struct{} // closed then
}

func (x *execution) run(ctx context.Context, process *specs.Process, streams ExecIO) (int, error) {
	// FIFOs live below our own run folder, so a sweep finds what a crash left.
	dir := filepath.Join(x.r.cfg.Engine.RunDir, "engine", "exec")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, err
	}
	opts := []cio.Opt{cio.WithFIFODir(dir)}
	var stdin io.Reader
	if streams.Stdin != nil {
		stdin = &endReader{r: streams.Stdin, end: func() { x.closeStdin(ctx) }}
	}
	// The shim wants both outputs or none, and with a terminal one.
	stdout, stderr := streams.Stdout, streams.Stderr
	if stdout == nil {
		stdout = io.Discard
	}
	if stderr == nil {
		stderr = io.Discard
	}
	if process.Terminal {
		opts = append(opts, cio.WithTerminal)
		stderr = nil
	}
	pipes, err := cio.NewCreator(append(opts, cio.WithStreams(stdin, stdout, stderr))...)(x.id)
	if err != nil {
		return 0, fmt.Errorf("make the pipes: %w", err)
	}
	defer func() {
		pipes.Cancel()
		drained(pipes) // nothing is written to the caller after the return
		_ = pipes.Close()
	}()
	spec, err := typeurl.MarshalAnyToProto(process)
	if err != nil {
		return 0, fmt.Errorf("encode the process: %w", err)
	}
	cfg := pipes.Config()
	// Once asked for, the exec is made, started and taken away whatever becomes of ctx.
	base := context.WithoutCancel(ctx)
	if _, err := x.r.tasks.Exec(base, &tasksapi.ExecProcessRequest{
		ContainerID: x.container, ExecID: x.id, Terminal: cfg.Terminal,
		Stdin: cfg.Stdin, Stdout: cfg.Stdout, Stderr: cfg.Stderr, Spec: spec,
	}); err != nil {
		return 0, native(err, "make the process")
	}
	defer x.remove(base)
	begun, err := x.r.tasks.Start(base, &tasksapi.StartRequest{ContainerID: x.container, ExecID: x.id})
	if err != nil {
		return 0, native(err, "start the process")
	}
	x.pid = int(begun.Pid)
	x.ran = true
	close(x.started)
	code, err := x.wait(ctx, base, streams.Resize, streams.Signals)
	drained(pipes)
	return code, err
}

// drained waits until all output has been copied, for a bounded time.
func drained(pipes cio.IO) {
	done := make(chan struct{})
	go func() { pipes.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(drain):
	}
}

// wait returns the exit status; it kills the command when ctx ends.
func (x *execution) wait(ctx, base context.Context, resize <-chan TermSize, signals <-chan string) (int, error) {
	type result struct {
		code int
		err  error
	}
	ended := make(chan result, 1)
	waiting, stop := context.WithCancel(base)
	defer stop()
	go func() {
		for {
			resp, err := x.r.tasks.Wait(waiting, &tasksapi.WaitRequest{ContainerID: x.container, ExecID: x.id})
			if err == nil {
				ended <- result{code: int(resp.ExitStatus)}
				return
			}
			n := toNative(err)
			if !errdefs.IsUnavailable(n) || waiting.Err() != nil {
				ended <- result{err: native(err, "wait for the process")}
				return
			}
			select { // the engine is restarting; the process goes on
			case <-waiting.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	for {
		select {
		case res := <-ended:
			return res.code, res.err
		case size, ok := <-resize:
			if !ok {
				resize = nil
				continue
			}
			if _, err := x.r.tasks.ResizePty(base, &tasksapi.ResizePtyRequest{ContainerID: x.container, ExecID: x.id,
				Width: uint32(size.Width), Height: uint32(size.Height)}); err != nil {
				x.r.log.Debug("terminal not resized", "container", x.container, "err", err)
			}
		case name, ok := <-signals:
			if !ok {
				signals = nil
				continue
			}
			if err := x.signal(base, name); err != nil {
				x.r.log.Debug("signal not sent", "container", x.container, "signal", name, "err", err)
			}
		case <-ctx.Done():
			kill, cancel := cleanupContext(ctx)
			defer cancel()
			_, err := x.r.tasks.Kill(kill, &tasksapi.KillRequest{ContainerID: x.container, ExecID: x.id, Signal: uint32(syscall.SIGKILL)})
			if err == nil {
				select {
				case <-ended:
				case <-kill.Done():
				}
			}
			return 0, context.Cause(ctx)
		}
	}
}

// signal sends a signal to the started command.
func (x *execution) signal(ctx context.Context, name string) error {
	sig, err := workload.ParseSignal(name)
	if err != nil {
		return err
	}
	if sig != syscall.SIGKILL {
		afterExec(ctx, x.pid)
	}
	_, err = x.r.tasks.Kill(ctx, &tasksapi.KillRequest{ContainerID: x.container, ExecID: x.id, Signal: uint32(sig)})
	return native(err, "signal the process")
}

// remove takes the ended process out of the shim.
func (x *execution) remove(base context.Context) {
	ctx, cancel := cleanupContext(base)
	defer cancel()
	_, err := x.r.tasks.DeleteProcess(ctx, &tasksapi.DeleteProcessRequest{ContainerID: x.container, ExecID: x.id})
	if err != nil && !errdefs.IsNotFound(toNative(err)) {
		x.r.log.Debug("exec not removed", "container", x.container, "err", err)
	}
}

// closeStdin tells the shim that no more input comes. Before the start the shim
// would not listen.
func (x *execution) closeStdin(ctx context.Context) {
	select {
	case <-x.started:
	case <-ctx.Done():
		return
	}
	end, cancel := cleanupContext(ctx)
	defer cancel()
	if _, err := x.r.tasks.CloseIO(end, &tasksapi.CloseIORequest{ContainerID: x.container, ExecID: x.id, Stdin: true}); err != nil {
		x.r.log.Debug("exec input not closed", "container", x.container, "err", err)
	}
}

// endReader calls end once, beside the reading, when its source is at its end.
type endReader struct {
	r    io.Reader
	end  func()
	once sync.Once
	err  error // kept back until the bytes that came with it are written
}

func (e *endReader) Read(p []byte) (int, error) {
	if e.err != nil {
		e.once.Do(func() { go e.end() })
		return 0, e.err
	}
	n, err := e.r.Read(p)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.EOF
		}
		e.err = err
		if n > 0 {
			return n, nil
		}
		e.once.Do(func() { go e.end() })
	}
	return n, err
}
