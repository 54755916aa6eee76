package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/skerryhq/skerry/appliance"
	"github.com/skerryhq/skerry/appliance/config"
	"github.com/skerryhq/skerry/cmd/skerry/cli"
)

// nodeFlags lay the command line over file and environment.
type nodeFlags struct {
	file  string
	given config.Config
}

func (n *nodeFlags) paths(say func(string) string, f *pflag.FlagSet) {
	d := config.Default()
	f.StringVar(&n.file, "config", "", say("flag.config"))
	f.StringVar(&n.given.DataDir, "data-dir", d.DataDir, say("flag.data-dir"))
	f.StringVar(&n.given.EngineDir, "engine-dir", "", say("flag.engine-dir"))
	f.StringVar(&n.given.LogLevel, "log-level", d.LogLevel, say("flag.log-level"))
}

func (n *nodeFlags) listener(say func(string) string, f *pflag.FlagSet) {
	d := config.Default()
	f.StringVar(&n.given.Listen, "listen", d.Listen, say("flag.listen"))
	f.StringVar(&n.given.Advertise, "advertise", "", say("flag.advertise"))
	f.Uint16Var(&n.given.OverlayPort, "overlay-port", d.OverlayPort, say("flag.overlay-port"))
	f.StringVar(&n.given.Name, "name", "", say("flag.name"))
	f.StringArrayVar(&n.given.SANs, "san", nil, say("flag.san"))
	f.BoolVar(&n.given.Ephemeral, "ephemeral", false, say("flag.ephemeral"))
}

// config is defaults, file, environment, and then the flags that were given.
func (n *nodeFlags) config(cmd *cobra.Command, a cli.Asker) (config.Config, error) {
	c, err := config.Load(config.Default(), n.file, os.Getenv)
	if err != nil {
		return c, err
	}
	for name, set := range map[string]func(){
		"data-dir":     func() { c.DataDir = n.given.DataDir },
		"engine-dir":   func() { c.EngineDir = n.given.EngineDir },
		"log-level":    func() { c.LogLevel = n.given.LogLevel },
		"run-dir":      func() { c.RunDir = a.RunDir() },
		"listen":       func() { c.Listen = n.given.Listen },
		"advertise":    func() { c.Advertise = n.given.Advertise },
		"overlay-port": func() { c.OverlayPort = n.given.OverlayPort },
		"name":         func() { c.Name = n.given.Name },
		"san":          func() { c.SANs = n.given.SANs },
		"ephemeral":    func() { c.Ephemeral = n.given.Ephemeral },
	} {
		if f := cmd.Flags().Lookup(name); f != nil && f.Changed {
			set()
		}
	}
	return c, nil
}

// logger writes to stderr at the configured level.
func logger(level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level %q: write debug, info, warn or error", level)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: l})), nil
}

// markRejoin makes the next start of this host's member fetch the state anew.
func markRejoin(runDir, dataDir, file string) error {
	c, err := config.Load(config.Default(), file, os.Getenv)
	if err != nil {
		return err
	}
	c.RunDir = runDir
	if dataDir != "" {
		c.DataDir = dataDir
	}
	if c, err = c.Resolve(); err != nil {
		return err
	}
	return appliance.MarkRejoin(c)
}

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%q is too much", args[0])
	}
	return nil
}

func daemonCommand(a cli.Asker) *cobra.Command {
	n := &nodeFlags{}
	c := a.Command("daemon [flags]", "daemon", func(cmd *cobra.Command, _ []string) error {
		cfg, err := n.config(cmd, a)
		if err != nil {
			return err
		}
		log, err := logger(cfg.LogLevel)
		if err != nil {
			return a.Usage(err)
		}
		node, err := appliance.New(cfg, log)
		if err != nil {
			return err
		}
		return node.Run(cmd.Context())
	})
	c.Args = noArgs
	n.paths(a.Say, c.Flags())
	n.listener(a.Say, c.Flags())
	return c
}

func resetCommand(a cli.Asker) *cobra.Command {
	n := &nodeFlags{}
	var data bool
	c := a.Command("reset [flags]", "reset", func(cmd *cobra.Command, _ []string) error {
		cfg, err := n.config(cmd, a)
		if err != nil {
			return err
		}
		log, err := logger(cfg.LogLevel)
		if err != nil {
			return a.Usage(err)
		}
		steps := []string{}
		err = appliance.Reset(cmd.Context(), cfg, data, log, func(step string) {
			steps = append(steps, step)
			if !a.JSON() {
				fmt.Fprintln(os.Stdout, step)
			}
		})
		if err != nil || !a.JSON() {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(map[string]any{"steps": steps, "data": data})
	})
	c.Args = noArgs
	n.paths(a.Say, c.Flags())
	c.Flags().BoolVar(&data, "data", false, a.Say("flag.reset-data"))
	return c
}
