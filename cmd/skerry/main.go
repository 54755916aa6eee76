// Command skerry is the door: it reads flags, hands signals on and calls the
// rooms behind it. `skerry daemon` and `skerry reset` act on this host through
// package appliance; every other command is a client of the API (package cli).
package main

import (
	"context"
	"os"

	"github.com/skerryhq/skerry/appliance"
	"github.com/skerryhq/skerry/cmd/skerry/cli"
)

func main() {
	cli.Version = appliance.Version()
	world := cli.RealWorld(daemonCommand, resetCommand)
	world.MarkRejoin = markRejoin
	os.Exit(cli.Main(context.Background(), os.Args[1:], world))
}
