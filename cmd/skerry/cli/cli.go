// Package cli is the command line: it parses flags, calls the API through the
// generated client, and draws the answers. It holds no rule of the product:
// what is allowed, what a default is and what an error says is the server's.
//
// main calls Main once. Every command gets its world (streams, environment,
// folders) from an app value, so tests run commands against an HTTP server of
// their own. Nothing here is safe for concurrent use unless it says so.
//
// Exit status: 0 done, 1 refused or failed (one sentence on stderr), 2 usage;
// exec, attach and run in the foreground end with the status of what they ran.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/spf13/cobra"
)

// World is what a command may touch outside of itself.
type World struct {
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Env    func(string) string // os.Getenv
	Home   func() (string, error)
	// Signals are those sent to this process. One that no command forwards
	// ends the command. May be nil.
	Signals <-chan os.Signal
	Node    []NodeCommand // commands that act on this host instead of calling the API
	// MarkRejoin makes the next start of this host's member fetch the state anew;
	// empty words mean the configured ones. May be nil.
	MarkRejoin func(runDir, dataDir, config string) error
}

// NodeCommand is a command whose work main hands in (daemon, init, reset), so
// that this package stays a client.
type NodeCommand func(Asker) *cobra.Command

// Asker is what node commands need from the command line.
type Asker interface {
	// RunDir is the folder of the local daemon's socket.
	RunDir() string
	// JSON says whether the answer is wanted as JSON.
	JSON() bool
	// Command makes a command with its help from the catalogue.
	Command(use, key string, run func(cmd *cobra.Command, args []string) error) *cobra.Command
	// Usage marks an error as one of usage: exit status 2.
	Usage(err error) error
	// Say gives a sentence of the catalogue in the user's language.
	Say(key string) string
}

// app is one run of the command line.
type app struct {
	World
	lang     string
	runDir   string
	host     string
	tenant   string
	json     bool
	detach   bool
	terminal bool // stdout and stderr are terminals
	client   *conn
	index    *indexed                        // what the replies said was written; nil before the first connection
	forward  atomic.Pointer[func(os.Signal)] // takes signals while set
}

// Main runs one command line and gives the exit status.
func Main(ctx context.Context, args []string, w World) int {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a := newApp(w)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case s, ok := <-w.Signals:
				if !ok {
					return
				}
				if f := a.forward.Load(); f != nil {
					(*f)(s)
				} else {
					cancel()
				}
			}
		}
	}()
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	a.rememberWritten()
	return a.finish(ctx, err)
}

func newApp(w World) *app {
	a := &app{World: w, lang: language(w.Env)}
	a.terminal = isTerminal(w.Stdout) && isTerminal(w.Stderr) && w.Env("TERM") != "dumb"
	return a
}

// finish says what went wrong and gives the exit status.
func (a *app) finish(ctx context.Context, err error) int {
	var status exitStatus
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(a.Stderr, "skerry: interrupted")
		return 130
	}
	fmt.Fprintln(a.Stderr, "skerry: "+strings.TrimSpace(err.Error()))
	if u, ok := errors.AsType[*usageError](err); ok {
		if u.command != "" {
			fmt.Fprintf(a.Stderr, "%s\n", a.say("see.help", u.command))
		}
		return 2
	}
	if o, ok := errors.AsType[interface {
		error
		ExitStatus() int
	}](err); ok {
		return o.ExitStatus()
	}
	return 1
}

// exitStatus ends the program with a status and no words: they were said.
type exitStatus int

// Error is never shown.
func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// usageError is a command line that cannot be understood.
type usageError struct {
	err     error
	command string
}

// Error gives the sentence.
func (u *usageError) Error() string { return u.err.Error() }

// Unwrap gives the cause.
func (u *usageError) Unwrap() error { return u.err }

func usagef(format string, args ...any) error {
	return &usageError{err: fmt.Errorf(format, args...)}
}

// RunDir is the folder of the local daemon's socket.
func (a *app) RunDir() string { return a.runDir }

// JSON says whether the answer is wanted as JSON.
func (a *app) JSON() bool { return a.json }

// Say gives a sentence of the catalogue in the user's language.
func (a *app) Say(key string) string { return a.say(key) }

// Usage marks an error as one of usage.
func (a *app) Usage(err error) error { return &usageError{err: err} }

// Command makes a command with its help from the catalogue. What run returns
// for a wrong command line names the command.
func (a *app) Command(use, key string, run func(cmd *cobra.Command, args []string) error) *cobra.Command {
	c := &cobra.Command{Use: use, Short: a.say(key), Example: indent(examples[key]), Annotations: map[string]string{"key": key}}
	if long := a.maybe(key + ".long"); long != "" {
		c.Long = a.say(key) + "\n\n" + long
	}
	if run != nil {
		c.RunE = func(cmd *cobra.Command, args []string) error {
			err := run(cmd, args)
			if u, ok := errors.AsType[*usageError](err); ok && u.command == "" {
				u.command = cmd.CommandPath()
			}
			return err
		}
	}
	return c
}

// group makes a command that only holds others.
func (a *app) group(use, key string, children ...*cobra.Command) *cobra.Command {
	c := a.Command(use, key, func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usagef("%s", a.say("group.which", cmd.CommandPath()))
		}
		var names []string
		for _, child := range cmd.Commands() {
			names = append(names, child.Name())
		}
		return usagef("%s", a.say("unknown.command", args[0], cmd.CommandPath())+a.nearText(args[0], names))
	})
	c.AddCommand(children...)
	return c
}

// root makes the whole tree.
func (a *app) root() *cobra.Command {
	root := a.Command("skerry", "skerry", func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			cmd.SetOut(a.Stdout)
			return cmd.Help()
		}
		var names []string
		for _, child := range cmd.Commands() {
			if !child.Hidden {
				names = append(names, child.Name())
			}
		}
		return usagef("%s", a.say("unknown.command", args[0], "skerry")+a.nearText(args[0], names))
	})
	root.SilenceErrors, root.SilenceUsage = true, true
	root.Args = cobra.ArbitraryArgs
	root.SetOut(a.Stdout)
	root.SetErr(a.Stderr)
	root.SetIn(a.Stdin)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{err: err, command: cmd.CommandPath()}
	})
	root.SetUsageTemplate(a.usageTemplate())
	root.SetHelpTemplate("{{with (or .Long .Short)}}{{. | trimTrailingWhitespaces}}\n\n{{end}}{{.UsageString}}")
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(&cobra.Command{Use: "no-help", Hidden: true})
	p := root.PersistentFlags()
	p.StringVar(&a.runDir, "run-dir", envOr(a.Env, "SKERRY_RUN_DIR", "/run/skerry"), a.say("flag.run-dir"))
	p.StringVar(&a.host, "host", "", a.say("flag.host"))
	p.StringVar(&a.tenant, "tenant", "", a.say("flag.tenant"))
	p.BoolVar(&a.json, "json", false, a.say("flag.json"))
	for _, add := range []func() []*cobra.Command{
		a.runCommands, a.containerCommands, a.logCommands, a.execCommands, a.copyCommands, a.statsCommands,
		a.appCommands, a.serviceCommands, a.imageCommands, a.repositoryCommands, a.volumeCommands,
		a.peopleCommands, a.clusterCommands, a.recordCommands, a.loginCommands, a.certificateCommands, a.upstreamCommands, a.otherCommands,
	} {
		root.AddCommand(add()...)
	}
	for _, n := range a.Node {
		root.AddCommand(n(a))
	}
	a.translate(root)
	return root
}

// translate gives cobra's own flag its words and checks arguments as usage.
func (a *app) translate(c *cobra.Command) {
	c.InitDefaultHelpFlag()
	if f := c.Flags().Lookup("help"); f != nil {
		f.Usage = a.say("flag.help")
	}
	if check := c.Args; check != nil {
		c.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return &usageError{err: err, command: cmd.CommandPath()}
			}
			return nil
		}
	}
	for _, child := range c.Commands() {
		a.translate(child)
	}
}

// exactly wants n arguments, named in the usage line.
func (a *app) exactly(n int) cobra.PositionalArgs { return a.between(n, n) }

func (a *app) atLeast(n int) cobra.PositionalArgs { return a.between(n, 1<<30) }

// noneOrLs wants no argument; the `ls` that people write out of habit is one
// too many that is let pass.
func (a *app) noneOrLs() cobra.PositionalArgs {
	none := a.exactly(0)
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 && args[0] == "ls" {
			args = args[1:]
		}
		return none(cmd, args)
	}
}

func (a *app) between(low, high int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < low:
			return fmt.Errorf("%s", a.say("args.few", cmd.UseLine()))
		case len(args) > high:
			return fmt.Errorf("%s", a.say("args.many", args[high], cmd.UseLine()))
		}
		return nil
	}
}

func envOr(env func(string) string, name, fallback string) string {
	if v := env(name); v != "" {
		return v
	}
	return fallback
}

// takeSignals hands signals to f until the result is called.
func (a *app) takeSignals(f func(os.Signal)) (giveBack func()) {
	a.forward.Store(&f)
	return func() { a.forward.Store(nil) }
}

// RealWorld is the process's own streams and environment.
func RealWorld(node ...NodeCommand) World {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	return World{Signals: signals, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Env: os.Getenv, Home: os.UserConfigDir, Node: node}
}
