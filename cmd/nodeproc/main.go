// Command nodeproc is the small resident processes of a node in one small binary: the log daemon, the process
// parent of hosts without systemd and the edge. It has flags and signals and no logic, and it imports little, because
// each of its processes stays in memory all the time. It is installed as skerry-nodeproc.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/skerryhq/skerry/appliance/edge"
	"github.com/skerryhq/skerry/appliance/supervise"
	"github.com/skerryhq/skerry/runtime/engine/exits"
	"github.com/skerryhq/skerry/runtime/logs/logd"
)

const usage = `usage: skerry-nodeproc PROCESS --run-dir DIR --data-dir DIR

Processes:
  logd        owns the output pipes of all containers
  engine      becomes the container engine named behind --, with what it would forget kept
  edge        answers containers' questions for names
  supervise   starts and restarts the other processes where there is no systemd
`

func main() {
	os.Exit(run(os.Args[1:], os.Stderr))
}

// run returns the exit status: 0 done, 1 failed, 2 usage.
func run(args []string, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return 2
	}
	processes := map[string]func(context.Context, flags, *slog.Logger) error{
		"edge":      runEdge,
		"logd":      runLogd,
		"supervise": runSupervise,
	}
	if args[0] == supervise.ChildCommand { // of supervise only: this process becomes another program
		fmt.Fprintf(stderr, "skerry-nodeproc: %v\n", supervise.BecomeChild())
		return 127
	}
	if args[0] == "engine" {
		fmt.Fprintf(stderr, "skerry-nodeproc engine: %v\n", becomeEngine(args[1:], stderr))
		return 127
	}
	process, ok := processes[args[0]]
	if !ok {
		fmt.Fprintf(stderr, "skerry-nodeproc: %q is no process\n%s", args[0], usage)
		return 2
	}
	f, err := parse(args[0], args[1:], stderr)
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintf(stderr, "skerry-nodeproc %s: %v\n", args[0], err)
		}
		return 2
	}
	// Little memory matters more than speed for processes that mostly wait; two threads of Go code are plenty.
	debug.SetGCPercent(50)
	debug.SetMemoryLimit(64 << 20)
	runtime.GOMAXPROCS(min(2, runtime.GOMAXPROCS(0)))

	log := slog.New(slog.NewTextHandler(stderr, nil)).With("process", args[0])
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := process(ctx, f, log); err != nil {
		log.Error("process ended", "err", err)
		return 1
	}
	return 0
}

type flags struct {
	runDir, dataDir string
	listen          string // edge only
}

func parse(name string, args []string, stderr io.Writer) (flags, error) {
	var f flags
	set := flag.NewFlagSet("skerry-nodeproc "+name, flag.ContinueOnError)
	set.SetOutput(stderr)
	set.StringVar(&f.runDir, "run-dir", "/run/skerry", "folder for sockets and pipes")
	set.StringVar(&f.dataDir, "data-dir", "/var/lib/skerry", "folder for what is kept")
	if name == "edge" {
		set.StringVar(&f.listen, "listen", "169.254.42.53:53", "address and port to answer names on")
	}
	if err := set.Parse(args); err != nil {
		return f, err
	}
	if set.NArg() > 0 {
		return f, fmt.Errorf("%q is one word too many", set.Arg(0))
	}
	var err error
	if f.runDir, err = filepath.Abs(f.runDir); err != nil {
		return f, fmt.Errorf("run dir: %w", err)
	}
	if f.dataDir, err = filepath.Abs(f.dataDir); err != nil {
		return f, fmt.Errorf("data dir: %w", err)
	}
	return f, nil
}

func runLogd(ctx context.Context, f flags, log *slog.Logger) error {
	return logd.Run(ctx, logd.Config{RunDir: f.runDir, DataDir: f.dataDir, NotifySocket: os.Getenv("NOTIFY_SOCKET"), Log: log})
}

func runSupervise(ctx context.Context, f flags, log *slog.Logger) error {
	return supervise.Run(ctx, supervise.RunConfig{RunDir: f.runDir, DataDir: f.dataDir, Log: log})
}

func runEdge(ctx context.Context, f flags, log *slog.Logger) error {
	listen, err := netip.ParseAddrPort(f.listen)
	if err != nil {
		return fmt.Errorf("--listen %q is not IP:PORT: %w", f.listen, err)
	}
	return edge.Run(ctx, edge.Config{RunDir: f.runDir, DataDir: f.dataDir, Listen: listen, Log: log})
}

// becomeEngine keeps what a starting engine would delete, and executes it under
// the same pid. It returns only an error.
func becomeEngine(args []string, stderr io.Writer) error {
	set := flag.NewFlagSet("skerry-nodeproc engine", flag.ContinueOnError)
	set.SetOutput(stderr)
	bundles := set.String("bundles", "", "folder of the engine's bundles")
	kept := set.String("exits", "", "folder to keep exit statuses in")
	if err := set.Parse(args); err != nil {
		return err
	}
	argv := set.Args()
	if *bundles == "" || *kept == "" || len(argv) == 0 {
		return errors.New("usage: skerry-nodeproc engine --bundles DIR --exits DIR -- PROGRAM [ARGUMENT ...]")
	}
	if err := exits.Keep(*bundles, *kept); err != nil {
		fmt.Fprintf(stderr, "skerry-nodeproc engine: %v; starting all the same\n", err)
	}
	return syscall.Exec(argv[0], argv, os.Environ())
}
