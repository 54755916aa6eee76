package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/skerryhq/skerry/appliance/api/client"
)

func (a *app) execCommands() []*cobra.Command {
	var interactive, tty bool
	var env []string
	var user, workdir string
	c := a.Command("exec [flags] NAME COMMAND...", "exec", func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usagef("%s", a.say("args.few", cmd.UseLine()))
		}
		command, err := flagsAfter(cmd, args[1:])
		if err != nil {
			return err
		}
		if help, _ := cmd.Flags().GetBool("help"); help {
			return cmd.Help()
		}
		if len(command) == 0 {
			return usagef("%s", a.say("args.few", cmd.UseLine()))
		}
		p := client.ExecContainerParams{Command: command, Tty: tty, Stdin: interactive, User: user, Workdir: workdir}
		for _, e := range env {
			setEnv(e, a.Env, func(name, value string) { p.Env = append(p.Env, name+"="+value) })
		}
		return a.exec(cmd.Context(), args[0], p)
	})
	f := c.Flags()
	f.SetInterspersed(false)
	f.BoolVarP(&interactive, "interactive", "i", false, a.say("flag.interactive"))
	f.BoolVarP(&tty, "tty", "t", false, a.say("flag.tty"))
	f.StringArrayVarP(&env, "env", "e", nil, a.say("flag.env"))
	f.StringVarP(&user, "user", "u", "", a.say("flag.user"))
	f.StringVarP(&workdir, "workdir", "w", "", a.say("flag.workdir"))
	c.ValidArgsFunction = a.complete(a.containerNames, a.appNames)

	var noStdin bool
	at := a.Command("attach [flags] NAME", "attach", func(cmd *cobra.Command, args []string) error {
		ct, err := a.container(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		code, err := a.attachTo(cmd.Context(), ct, ct.Spec.Stdin && !noStdin)
		if errors.Is(err, errDetached) {
			fmt.Fprintln(a.Stderr, "\n"+a.say("detached", ct.Name))
			return nil
		}
		if err != nil {
			return err
		}
		return status(code)
	})
	at.Args = a.exactly(1)
	at.Flags().BoolVar(&noStdin, "no-stdin", false, a.say("flag.no-stdin"))
	at.ValidArgsFunction = a.complete(a.containerNames, a.appNames)
	return []*cobra.Command{c, at}
}

// exec runs a command in a container and ends with its exit status.
func (a *app) exec(ctx context.Context, word string, p client.ExecContainerParams) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	ct, err := a.container(ctx, word)
	if err != nil {
		return err
	}
	p.Tenant = a.tenant
	if p.Tty {
		p.Cols, p.Rows = a.terminalSize()
	}
	req, err := client.NewExecContainerRequest(c.server+"/", ct.ID, &p)
	s, err := a.open(ctx, req, err)
	if err != nil {
		return err
	}
	s.stdin, s.tty = p.Stdin, p.Tty
	code, err := s.run(ctx)
	if err != nil {
		return err
	}
	return status(code)
}
