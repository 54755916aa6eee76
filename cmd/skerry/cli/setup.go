package cli

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/skerryhq/skerry/appliance/api/client"
)

// initFlags are the flags of `init`.
type initFlags struct{ passwordFile, pool, vipPool, ports string }

func (a *app) initCommand() *cobra.Command {
	i := &initFlags{}
	c := a.Command("init [flags]", "init", func(cmd *cobra.Command, _ []string) error { return a.init(cmd.Context(), *i) })
	c.Args = a.exactly(0)
	f := c.Flags()
	f.StringVar(&i.passwordFile, "admin-password-file", "", a.say("flag.admin-password-file"))
	f.StringVar(&i.pool, "pool", "10.42.0.0/16", a.say("flag.pool"))
	f.StringVar(&i.vipPool, "vip-pool", "10.43.0.0/16", a.say("flag.vip-pool"))
	f.StringVar(&i.ports, "ports", "30000-32767", a.say("flag.ports"))
	return c
}

// init makes a cluster of the node behind the local socket.
func (a *app) init(ctx context.Context, i initFlags) error {
	in := client.InitInput{Pool: i.pool, VipPool: i.vipPool, Ports: i.ports}
	if i.passwordFile != "" {
		password, err := a.secretFrom(i.passwordFile)
		if err != nil {
			return err
		}
		in.AdminPassword = password
	}
	c, err := local(filepath.Join(a.runDir, "skerry.sock")) // never a cluster that somebody is signed in to
	if err != nil {
		return err
	}
	got, err := answer[client.InitResult](c.InitCluster(ctx, in))
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(got)
	}
	fmt.Fprintln(a.Stdout, a.say("init.done"))
	var rows []string
	for _, u := range got.ConsoleUrls {
		rows = append(rows, a.say("init.console"), u)
	}
	rows = append(rows, a.say("init.fingerprint"), got.CaFingerprint)
	if got.SetupToken != "" {
		rows = append(rows, a.say("init.token"), got.SetupToken)
	}
	if err := a.details(rows...); err != nil {
		return err
	}
	if got.SetupToken != "" {
		fmt.Fprintln(a.Stdout, a.say("init.next"))
	}
	return nil
}
