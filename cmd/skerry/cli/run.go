package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerryhq/skerry/appliance/api/client"
	"github.com/skerryhq/skerry/raft/model"
)

// longWait is how long one request waits for what it asked for, in seconds.
const longWait = 600

// runOptions are the flags of `run` that are about this command and not about
// the container.
type runOptions struct {
	specFlags
	name        string
	detach      bool
	interactive bool
	tty         bool
	remove      bool
	pull        string
}

func (a *app) runCommands() []*cobra.Command {
	o := &runOptions{}
	c := a.Command("run [flags] IMAGE [COMMAND...]", "run", func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usagef("%s", a.say("args.few", cmd.UseLine()))
		}
		rest, err := flagsAfter(cmd, args[1:])
		if err != nil {
			return err
		}
		if help, _ := cmd.Flags().GetBool("help"); help {
			return cmd.Help()
		}
		o.entrypointSet = cmd.Flags().Changed("entrypoint")
		return a.run(cmd.Context(), o, args[0], rest)
	})
	f := c.Flags()
	f.SetInterspersed(false)
	f.StringVarP(&o.name, "name", "n", "", a.say("flag.run-name"))
	f.BoolVarP(&o.detach, "detach", "d", false, a.say("flag.run-detach"))
	f.BoolVarP(&o.interactive, "interactive", "i", false, a.say("flag.interactive"))
	f.BoolVarP(&o.tty, "tty", "t", false, a.say("flag.tty"))
	f.BoolVar(&o.remove, "rm", false, a.say("flag.rm"))
	f.StringVar(&o.pull, "pull", "missing", a.say("flag.pull"))
	o.add(a, f)
	c.ValidArgsFunction = a.complete(a.imageNames)
	return []*cobra.Command{c}
}

// flagsAfter reads flags behind the first word too; the first word that is no
// flag, or `--`, begins the command.
func flagsAfter(cmd *cobra.Command, args []string) ([]string, error) {
	if err := cmd.Flags().Parse(args); err != nil {
		return nil, &usageError{err: fmt.Errorf("%w (write `--` before a command that begins with a dash)", err), command: cmd.CommandPath()}
	}
	return cmd.Flags().Args(), nil
}

func (a *app) run(ctx context.Context, o *runOptions, image string, command []string) error {
	spec, err := o.spec(a.Env, image, command)
	if err != nil {
		return err
	}
	foreground := !o.detach
	switch {
	case foreground && spec.Replicas != 1:
		return usagef("%s", a.say("run.replicas"))
	case o.detach && (o.interactive && !o.tty):
		return usagef("%s", a.say("run.stdin"))
	case foreground && o.tty && o.interactive && !isTerminal(a.Stdin):
		return usagef("%s", a.say("run.terminal"))
	case foreground && a.json:
		return usagef("%s", a.say("run.json"))
	case o.pull != "missing" && o.pull != "always" && o.pull != "never":
		return usagef("--pull %s: write missing, always or never", o.pull)
	}
	c := &spec.Container
	c.TTY, c.Stdin = o.tty, o.interactive
	// In the foreground this command removes the container itself, after it has
	// read the last line of its log; the platform would be free to take the log
	// away as soon as the container ends.
	c.AutoRemove = o.remove && o.detach
	name := o.name
	if name == "" {
		name = appNameFor(image)
	}
	input := client.AppInput{Name: name, Pull: client.PullPolicy(o.pull), Services: map[string]client.ServiceInput{
		name: {Container: *c, Replicas: &spec.Replicas, Ports: spec.Ports, Placement: spec.Placement, Reserve: spec.Reserve},
	}}
	made, err := a.create(ctx, input, o)
	if err != nil {
		return err
	}
	if o.detach {
		if err := appFailure(made); err != nil {
			return err
		}
		return a.one(made, made.Name)
	}
	return a.foreground(ctx, made, o)
}

// create makes the app. In the background it waits until the app runs; in the
// foreground only until the container exists, so that its log is followed from
// the first line.
func (a *app) create(ctx context.Context, input client.AppInput, o *runOptions) (client.App, error) {
	conn, err := a.connect()
	if err != nil {
		return client.App{}, err
	}
	p := &client.CreateAppParams{Tenant: a.tenant}
	if o.detach || o.tty || o.interactive {
		p.Wait = longWait
	}
	resp, err := conn.CreateApp(ctx, p, input, sse)
	return work[client.App](a, resp, err)
}

// appFailure is the sentence why an app cannot become what was asked.
func appFailure(app client.App) error {
	if app.Status.Phase != client.AppPhaseFailed {
		return nil
	}
	for _, c := range app.Status.Conditions {
		if c.Message != "" {
			return fmt.Errorf("%s does not run: %s", app.Name, c.Message)
		}
	}
	return fmt.Errorf("%s does not run: %s", app.Name, firstOf(app.Status.Message, "look at `skerry event` and `skerry logs "+app.Name+"`"))
}

// foreground shows the container's output until it ends and gives its exit
// status.
func (a *app) foreground(ctx context.Context, made client.App, o *runOptions) error {
	ct, err := a.firstContainer(ctx, made)
	if err != nil {
		return err
	}
	defer func() {
		if o.remove { // a detach takes it back
			a.removeApp(ctx, made)
		}
	}()
	if o.tty {
		switch code, err := a.attachTo(ctx, ct, o.interactive); {
		case err == nil:
			return status(code)
		case errors.Is(err, errDetached):
			o.remove = false
			fmt.Fprintln(a.Stderr, "\n"+a.say("detached", ct.Name))
			return nil
		case statusOf(err) != http.StatusConflict:
			return err
		}
		// It ended before we could join it: what it wrote is in its log.
	} else if o.interactive {
		go a.feed(ctx, ct)
	}
	code, err := a.follow(ctx, ct)
	if err != nil {
		return err
	}
	return status(code)
}

func status(code int) error {
	if code == 0 {
		return nil
	}
	return exitStatus(code)
}

// firstContainer waits until the app's container exists.
func (a *app) firstContainer(ctx context.Context, made client.App) (model.Container, error) {
	c, err := a.connect()
	if err != nil {
		return model.Container{}, err
	}
	for deadline := time.Now().Add(time.Minute); ; {
		all, err := pages[model.Container](func(cursor string) (*http.Response, error) {
			return c.ListContainers(ctx, &client.ListContainersParams{Tenant: made.TenantID, App: made.ID, Cursor: cursor})
		})
		switch {
		case err != nil:
			return model.Container{}, err
		case len(all) > 0:
			return all[0], nil
		case time.Now().After(deadline):
			return model.Container{}, fmt.Errorf("%s has no container after a minute: %s", made.Name, firstOf(made.Status.Message, "look at `skerry event`"))
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return model.Container{}, err
		}
	}
}

// pause waits, or gives the reason why ctx ended.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// removeApp removes an app that `run --rm` made, also when the command was
// interrupted.
func (a *app) removeApp(ctx context.Context, made client.App) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	c, err := a.connect()
	if err == nil {
		err = done(c.DeleteApp(ctx, made.ID, &client.DeleteAppParams{Tenant: made.TenantID, Force: true, Wait: 25}))
	}
	if err != nil && statusOf(err) != http.StatusNotFound {
		fmt.Fprintf(a.Stderr, "skerry: remove %s: %v\n", made.Name, err)
	}
}

// attachTo joins a container's own terminal.
func (a *app) attachTo(ctx context.Context, ct model.Container, stdin bool) (int, error) {
	c, err := a.connect()
	if err != nil {
		return 0, err
	}
	cols, rows := a.terminalSize()
	req, err := client.NewAttachContainerRequest(c.server+"/", ct.ID, &client.AttachContainerParams{Tenant: ct.TenantID, Stdin: stdin, Cols: cols, Rows: rows})
	s, err := a.open(ctx, req, err)
	if err != nil {
		return 0, err
	}
	s.stdin, s.tty, s.detach = stdin, ct.Spec.TTY, stdin && ct.Spec.TTY
	return s.run(ctx)
}

// feed sends our standard input to a container whose output is read from its
// log.
func (a *app) feed(ctx context.Context, ct model.Container) {
	c, err := a.connect()
	if err != nil {
		return
	}
	req, err := client.NewAttachContainerRequest(c.server+"/", ct.ID, &client.AttachContainerParams{Tenant: ct.TenantID, Stdin: true})
	s, err := a.open(ctx, req, err)
	if err != nil {
		return
	}
	s.stdin, s.quiet = true, true
	_, _ = s.run(ctx)
}

// follow prints the container's log from its first line until the container
// has ended and the last line was read, and gives its exit status. The first
// interrupt goes to the container, the second ends this command.
func (a *app) follow(ctx context.Context, ct model.Container) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var asked atomic.Int32
	defer a.takeSignals(func(sig os.Signal) {
		if asked.Add(1) > 1 {
			cancel()
			return
		}
		go a.signalContainer(ctx, ct, "SIG"+firstOf(signalName(sig), "TERM"))
	})()
	l := newLogReader(a, a.Stdout, a.Stderr)
	read := make(chan error, 1)
	followCtx, stopFollow := context.WithCancel(ctx)
	defer stopFollow()
	go func() { read <- l.follow(followCtx, ct) }()
	result, err := a.ended(ctx, ct)
	if err != nil {
		if ctx.Err() != nil && asked.Load() > 1 {
			return 130, nil
		}
		return 0, err
	}
	// The stream ends by itself behind the last line. Where it does not, a quiet
	// moment ends it, and the rest is read from what was kept.
	for quiet := 0; quiet < 10; quiet++ {
		before := l.count()
		select {
		case err := <-read:
			return l.rest(ctx, ct, result, err)
		case <-ctx.Done():
			return 130, nil
		case <-time.After(100 * time.Millisecond):
		}
		if l.count() != before {
			quiet = 0
		}
	}
	stopFollow()
	<-read //nolint:errcheck // the reading was cut off: what it missed is read again
	return l.rest(ctx, ct, result, nil)
}

func (a *app) signalContainer(ctx context.Context, ct model.Container, name string) {
	if c, err := a.connect(); err == nil {
		_ = done(c.KillContainer(ctx, ct.ID, &client.KillContainerParams{Tenant: ct.TenantID}, client.KillInput{Signal: name}))
	}
}

// ended waits until a container has ended for good: what its restart policy
// starts again is not the end.
func (a *app) ended(ctx context.Context, ct model.Container) (client.WaitResult, error) {
	c, err := a.connect()
	if err != nil {
		return client.WaitResult{}, err
	}
	for {
		r, err := answer[client.WaitResult](c.WaitContainer(ctx, ct.ID, &client.WaitContainerParams{Tenant: ct.TenantID, TimeoutSeconds: 60}))
		switch {
		case err != nil:
			return r, err
		case r.Removed, r.Exited && r.Phase != model.PhaseBackoff, r.Phase == model.PhaseFailed:
			return r, nil
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return r, err
		}
	}
}
