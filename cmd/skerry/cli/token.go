package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerryhq/skerry/appliance/api/client"
	"github.com/skerryhq/skerry/raft/model"
)

func (a *app) tokenCommands() []*cobra.Command {
	return []*cobra.Command{a.group("token", "token", a.joinTokenCreateCommand(), a.joinTokenLsCommand(), a.joinTokenRevokeCommand())}
}

// joinTokenCreateCommand makes a join token. Standard output gets the token alone, so
// that scripts can take it; people see the line to paste on standard error.
func (a *app) joinTokenCreateCommand() *cobra.Command {
	var role, environment, ttl string
	var uses int
	c := a.Command("create [flags]", "token.create", func(cmd *cobra.Command, _ []string) error {
		in := client.JoinTokenInput{Role: model.NodeRole(role), Environment: environment, Uses: uses}
		if role != string(model.NodeMember) && role != string(model.NodeWorker) {
			return usagef("--role %s: write member or worker", role)
		}
		d, err := lifetime(ttl)
		if err != nil {
			return usagef("--ttl %s: write for example 30m or 2d", ttl)
		}
		in.TTLSeconds = int64(d / time.Second)
		conn, err := a.connect()
		if err != nil {
			return err
		}
		made, err := answer[client.JoinTokenCreated](conn.CreateJoinToken(cmd.Context(), in))
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(made)
		}
		fmt.Fprintln(a.Stdout, made.Text)
		if len(made.Commands) > 0 {
			fmt.Fprintln(a.Stderr, a.say("token.line", made.Token.ExpiresAt.Local().Format("2006-01-02 15:04:05")))
			for _, line := range made.Commands {
				fmt.Fprintln(a.Stderr, "  "+printable(line))
			}
		}
		return nil
	})
	c.Args = a.exactly(0)
	f := c.Flags()
	f.StringVar(&role, "role", string(model.NodeMember), a.say("flag.token-host-role"))
	f.StringVar(&environment, "environment", "", a.say("flag.token-environment"))
	f.StringVar(&ttl, "ttl", "1h", a.say("flag.token-ttl"))
	f.IntVar(&uses, "uses", 1, a.say("flag.token-uses"))
	return c
}

func (a *app) joinTokens(ctx context.Context) ([]client.JoinToken, error) {
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	got, err := answer[client.JoinTokenList](c.ListJoinTokens(ctx))
	return got.Items, err
}

func (a *app) joinTokenNames(ctx context.Context) []string {
	all, err := a.joinTokens(ctx)
	return namesOf(all, err, func(t client.JoinToken) []string { return []string{t.Name} })
}

func (a *app) joinTokenLsCommand() *cobra.Command {
	var quiet bool
	c := a.Command("ls [flags]", "token.ls", func(cmd *cobra.Command, _ []string) error {
		all, err := a.joinTokens(cmd.Context())
		if err != nil {
			return err
		}
		return list(a, all, quiet, func(t client.JoinToken) string { return t.Name },
			[]string{"TOKEN", "STATE", "ROLE", "ENVIRONMENT", "USED", "EXPIRES", "BY"},
			func(t client.JoinToken) []string {
				return []string{t.Name, string(t.State), string(t.Role), firstOf(t.Environment, t.EnvironmentID), fmt.Sprintf("%d/%d", t.Used, t.Uses),
					t.ExpiresAt.Local().Format("2006-01-02 15:04:05"), t.CreatedBy}
			})
	})
	c.Args = a.exactly(0)
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, a.say("flag.quiet"))
	return c
}

func (a *app) joinTokenRevokeCommand() *cobra.Command {
	c := a.Command("revoke TOKEN...", "token.revoke", func(cmd *cobra.Command, args []string) error {
		conn, err := a.connect()
		if err != nil {
			return err
		}
		var wrong []error
		for _, name := range args {
			if err := done(conn.RevokeJoinToken(cmd.Context(), name)); err != nil {
				wrong = append(wrong, a.named(err, "join-token", name, func() []string { return a.joinTokenNames(cmd.Context()) }))
				continue
			}
			if !a.json {
				fmt.Fprintln(a.Stdout, name)
			}
		}
		return errors.Join(wrong...)
	})
	c.Args = a.atLeast(1)
	c.ValidArgsFunction = a.complete(a.joinTokenNames)
	return c
}
