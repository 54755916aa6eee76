// Command edgeproc is the edge as a process of its own, for its tests.
package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/skerryhq/skerry/appliance/edge"
)

func main() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err := edge.Run(ctx, edge.Config{RunDir: os.Args[1], DataDir: os.Args[2], ResolvConf: os.Args[3], Log: log})
	if err != nil {
		log.Error("edge ended", "error", err)
		os.Exit(1)
	}
}
