// Command bench measures Skerry beside its peers on this machine and prints one
// line `name=value unit` for each figure, with the lowest and highest run behind
// it: `start_ours_ms=118.2 ms [101.4-140.9]`.
//
// It owns the measurement: it starts a real `skerry daemon`, Debian's Docker
// engine, a bare containerd and an etcd, each on a private folder and in network
// namespaces of its own, alternates between them, and ends them all. It never
// touches a Docker, containerd or Skerry that the host runs, and no rule or
// address of the host's own network namespace.
//
// `make bench` calls it; it needs root and Debian's package tools for the peers.
// A section or peer that cannot run is named on stderr with its reason, and the
// exit status is 1, so a missing figure is never taken for a measured one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// sections are the parts of a run, in their order.
var sections = []string{"start", "burst", "rss", "state", "api", "registry", "unpack", "cluster"}

// options are the command line.
type options struct {
	only         []string // sections
	peers        []string // who takes part
	repeats      int      // of start, each peer
	burstRepeats int
	burst        int // containers
	parallel     int
	// registryRepeats is how many images are pushed and pulled.
	registryRepeats int
	bin             string // folder with skerry and engine/
	keep            bool   // keep the scratch folder with the peers' logs
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGPIPE) // a reader that goes, as in `| head`, must not leave the peers behind
	var err error
	if len(os.Args) == 3 && os.Args[1] == memberWord { // the benchmark starts itself as a member of its cluster
		err = beMember(ctx, os.Args[2])
	} else {
		err = run(ctx, os.Args[1:])
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// allPeers can start a container; etcd belongs to the section "state" alone.
var (
	allPeers     = []string{"ours", "docker", "engine", "debian", "grouped"}
	defaultPeers = []string{"ours", "docker", "engine", "debian"}
)

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := flags.String("only", strings.Join(sections, ","), "sections to run, of "+strings.Join(sections, ", "))
	peers := flags.String("peers", strings.Join(defaultPeers, ","),
		"who takes part: ours, docker (Debian's), engine (our containerd without network), debian (Debian's containerd likewise), grouped (engine with one shim for all)")
	flags.IntVar(&o.repeats, "repeats", 11, "single starts of each peer")
	flags.IntVar(&o.burstRepeats, "burst-repeats", 7, "bursts of each peer")
	flags.IntVar(&o.registryRepeats, "registry-repeats", 5, "images of 200 MB pushed to and pulled from each registry")
	flags.IntVar(&o.burst, "burst", 50, "containers in a burst")
	flags.IntVar(&o.parallel, "parallel", 8, "requests at a time in a burst")
	flags.StringVar(&o.bin, "bin", "bin", "folder with skerry and engine/")
	flags.BoolVar(&o.keep, "keep", false, "keep the scratch folder with the logs of all processes")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	var err error
	if o.only, err = words("-only", *only, sections); err != nil {
		return o, err
	}
	if o.peers, err = words("-peers", *peers, allPeers); err != nil {
		return o, err
	}
	if o.repeats < 1 || o.burstRepeats < 1 || o.registryRepeats < 1 || o.registryRepeats > 50 || o.burst < 1 || o.burst > 500 || o.parallel < 1 || o.parallel > 64 {
		return o, errors.New("-repeats, -burst-repeats: at least 1; -registry-repeats: 1 to 50; -burst: 1 to 500; -parallel: 1 to 64")
	}
	o.bin, err = filepath.Abs(o.bin)
	return o, err
}

// words splits a list and refuses what is not known.
func words(name, value string, known []string) ([]string, error) {
	list := strings.Split(value, ",")
	for _, w := range list {
		if !slices.Contains(known, w) {
			return nil, fmt.Errorf("%s: %q is not known: choose of %s", name, w, strings.Join(known, ", "))
		}
	}
	return list, nil
}

func run(ctx context.Context, args []string) (err error) {
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if os.Getuid() != 0 {
		return errors.New("the benchmark makes network namespaces and starts container engines: run it as root")
	}
	scratch, err := os.MkdirTemp("/tmp", "skb") // short, because unix socket paths are bounded
	if err != nil {
		return err
	}
	defer func() {
		if o.keep {
			note("logs are kept in %s", scratch)
			return
		}
		err = errors.Join(err, os.RemoveAll(scratch))
	}()
	machine()
	before := takeCensus(scratch)

	var failed []error
	if slices.ContainsFunc(o.only, func(s string) bool { return s != "state" && s != "registry" && s != "unpack" && s != "cluster" }) {
		failed = append(failed, containers(ctx, o, scratch))
	}
	if slices.Contains(o.only, "state") {
		failed = append(failed, state(ctx, o, scratch))
	}
	if slices.Contains(o.only, "registry") {
		failed = append(failed, registries(ctx, o, scratch))
	}
	if slices.Contains(o.only, "unpack") {
		failed = append(failed, unpacks(ctx, o, scratch))
	}
	if slices.Contains(o.only, "cluster") {
		failed = append(failed, cluster(ctx, o, scratch))
	}
	after := takeCensus(scratch)
	failed = append(failed, before.compare("whole_run", after))
	return errors.Join(failed...)
}

// machine prints what the figures depend on.
func machine() {
	load, err := os.ReadFile("/proc/loadavg")
	if err == nil {
		fields := strings.Fields(string(load))
		fmt.Printf("machine_load1=%s runnable\n", fields[0])
	}
	fmt.Printf("machine_cpus=%d cores\n", cpus())
}

// note tells the reader something that is not a figure.
func note(format string, args ...any) { fmt.Fprintf(os.Stderr, "# "+format+"\n", args...) }
