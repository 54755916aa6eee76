// Package engine describes how a host runs its private containerd: where it keeps
// its files, the configuration it is started with, the process that a supervisor
// must keep alive, and how to reach and check it.
//
// It never starts a process and never looks at a containerd or Docker that is
// already on the host: root, state, sockets, the shims' sockets and runc's state
// all live below the two folders of its Config. The supervisor runs Command, the
// agent calls Connect. Config is a plain value; all its methods are safe for
// concurrent use.
package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/skerryhq/skerry/runtime/engine/exits"
)

const (
	// Namespace is the one containerd namespace in which everything of Skerry lives.
	Namespace = "skerry"
	// Snapshotter holds the image and container layers.
	Snapshotter = "overlayfs"
	// RuntimeName selects the runc shim.
	RuntimeName = "io.containerd.runc.v2"
	// ShimName is the shim's program in Config.BinDir.
	ShimName = "containerd-shim-runc-v2"

	// maxSocketPath is the kernel's limit for the path of a socket.
	maxSocketPath = 107
	// maxShimSocketDir leaves room for the 64 characters of a shim's socket name.
	maxShimSocketDir = 42
)

// Config says where the engine lives.
type Config struct {
	// Root keeps images, layers and container records; it survives a reboot. Absolute.
	Root string
	// RunDir holds sockets and running state; the engine uses RunDir/engine. Absolute.
	RunDir string
	// BinDir holds containerd, containerd-shim-runc-v2 and runc. Absolute.
	BinDir string
	// LogLevel of the engine: "warn" when empty.
	LogLevel string
}

// Process is what a supervisor must run.
type Process struct {
	// Path and Args as for os/exec; Args[0] is the program's name.
	Path string
	Args []string
	// Env is the whole environment, nothing is inherited.
	Env []string
	Dir string
}

// Validate returns every problem of the configuration, joined.
func (c Config) Validate() error {
	var errs []error
	for _, d := range []struct{ name, path string }{{"root", c.Root}, {"run dir", c.RunDir}, {"bin dir", c.BinDir}} {
		if !filepath.IsAbs(d.path) {
			errs = append(errs, fmt.Errorf("engine %s %q: must be an absolute path", d.name, d.path))
		}
	}
	if n := len(c.Socket() + ".ttrpc"); n > maxSocketPath {
		errs = append(errs, fmt.Errorf("engine run dir %q: too long by %d characters for a socket below it: choose a shorter --run-dir", c.RunDir, n-maxSocketPath))
	}
	return errors.Join(errs...)
}

func (c Config) dir(elem ...string) string {
	return filepath.Join(append([]string{c.RunDir, "engine"}, elem...)...)
}

// Socket is the path of the engine's API socket.
func (c Config) Socket() string { return c.dir("containerd.sock") }

// RuncRoot is where runc keeps the state of running containers.
func (c Config) RuncRoot() string { return c.dir("runc") }

// ConfigFile is where Prepare writes the rendered configuration.
func (c Config) ConfigFile() string { return c.dir("config.toml") }

// BundleDir is where the engine keeps the bundle of the running container id.
func (c Config) BundleDir(id string) string {
	return c.dir("state", "io.containerd.runtime.v2.task", Namespace, id)
}

// shimSocketDir is below RunDir where that is short enough for a socket path,
// else a folder in /run that belongs to this RunDir alone.
func (c Config) shimSocketDir() string {
	if d := c.dir("s"); len(d) <= maxShimSocketDir {
		return d
	}
	sum := sha256.Sum256([]byte(c.RunDir))
	return "/run/skerry-s/" + hex.EncodeToString(sum[:8])
}

// ShimSocket is where the shim of the container id listens.
func (c Config) ShimSocket(id string) string {
	sum := sha256.Sum256([]byte(filepath.Join(c.Socket(), Namespace, id)))
	return filepath.Join(c.shimSocketDir(), hex.EncodeToString(sum[:]))
}

// Render returns the engine's configuration file. Equal Config, equal bytes.
func (c Config) Render() []byte {
	var b strings.Builder
	q := strconv.Quote // the values are paths: TOML's basic strings escape like Go's
	level := c.LogLevel
	if level == "" {
		level = "warn"
	}
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("# Written by Skerry at every start: changes are lost.")
	p("version = 4")
	p("root = %s", q(c.Root))
	p("state = %s", q(c.dir("state")))
	p("temp = %s", q(filepath.Join(c.Root, "tmp")))
	// The kernel should look for memory elsewhere before it ends the engine.
	p("oom_score = -999")
	p("")
	p("[debug]")
	p("level = %s", q(level))
	p("format = \"json\"")
	p("")
	p("[plugins.\"io.containerd.server.v1.grpc\"]")
	p("address = %s", q(c.Socket()))
	// Layers of specs with many mounts are larger than the default of 4 MiB allows.
	p("max_recv_message_size = %d", 16<<20)
	p("max_send_message_size = %d", 16<<20)
	p("")
	p("[plugins.\"io.containerd.server.v1.ttrpc\"]")
	p("address = %s", q(c.Socket()+".ttrpc"))
	p("")
	p("[plugins.\"io.containerd.server.v1.debug\"]")
	p("address = \"\"")
	p("")
	p("[plugins.\"io.containerd.shim.v1.manager\"]")
	p("socket_dir = %s", q(c.shimSocketDir()))
	p("")
	// Nobody scrapes the engine: without this every container registers collectors.
	p("[plugins.\"io.containerd.monitor.task.v1.cgroups\"]")
	p("no_prometheus = true")
	return []byte(b.String())
}

// Prepare makes the folders and writes the configuration file. Call it before
// every start of the engine; calling it while the engine runs changes nothing
// until its next start. Needs root.
func (c Config) Prepare() error {
	if err := c.Validate(); err != nil {
		return err
	}
	for _, d := range []struct {
		path string
		mode os.FileMode
	}{{c.Root, 0o700}, {filepath.Join(c.Root, "tmp"), 0o700}, {c.dir(), 0o711}, {c.shimSocketDir(), 0o711}} {
		if err := os.MkdirAll(d.path, d.mode); err != nil {
			return fmt.Errorf("prepare engine: %w", err)
		}
	}
	if err := exits.Keep(c.BundlesDir(), c.ExitsDir()); err != nil {
		return err
	}
	tmp := c.ConfigFile() + ".new"
	if err := os.WriteFile(tmp, c.Render(), 0o600); err != nil {
		return fmt.Errorf("write engine configuration: %w", err)
	}
	if err := os.Rename(tmp, c.ConfigFile()); err != nil {
		return fmt.Errorf("write engine configuration: %w", err)
	}
	return nil
}

// Command is the process that a supervisor must run, as root, after Prepare.
// End it with SIGTERM; containers go on running and are adopted by the next one.
func (c Config) Command() Process {
	path := filepath.Join(c.BinDir, "containerd")
	return Process{
		Path: path,
		Args: []string{path, "--config", c.ConfigFile()},
		// BinDir comes first: the shim and runc are found there, never a host's own.
		Env: []string{"PATH=" + c.BinDir + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/"},
		Dir: "/",
	}
}

// Clean removes what the engine leaves outside RunDir and Root. Call it only
// when engine and containers have ended.
func (c Config) Clean() error {
	if err := os.RemoveAll(c.shimSocketDir()); err != nil {
		return fmt.Errorf("clean engine: %w", err)
	}
	return nil
}

// Connect waits until the engine answers and returns a client for Namespace. The
// client reconnects by itself after a restart of the engine; close it when done.
// ctx bounds the waiting; its cause and the last failure are in the error.
func (c Config) Connect(ctx context.Context) (*client.Client, error) {
	var last error
	for {
		cl, err := c.connectOnce(ctx)
		if err == nil {
			return cl, nil
		}
		last = err
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("connect to the engine at %s: %w (last failure: %w)", c.Socket(), context.Cause(ctx), last)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (c Config) connectOnce(ctx context.Context) (*client.Client, error) {
	if _, err := os.Stat(c.Socket()); err != nil {
		return nil, err
	}
	cl, err := client.New(c.Socket(),
		client.WithDefaultNamespace(Namespace),
		client.WithDefaultRuntime(RuntimeName),
		client.WithTimeout(5*time.Second),
		// A restarted engine is back in a tenth of a second: do not wait longer than needed.
		client.WithExtraDialOpts([]grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.5, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 2 * time.Second,
		})}))
	if err != nil {
		return nil, err
	}
	if err := Healthy(ctx, cl); err != nil {
		return nil, errors.Join(err, cl.Close())
	}
	return cl, nil
}

// Healthy asks the engine whether it serves. nil means yes.
func Healthy(ctx context.Context, cl *client.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	ok, err := cl.IsServing(ctx)
	if err != nil {
		return fmt.Errorf("ask the engine for its health: %w", err)
	}
	if !ok {
		return errors.New("the engine says that it is not serving")
	}
	return nil
}

// ContentRoot asks the engine where the files of its content store are: below it
// lies blobs/<algorithm>/<digest>. Empty if the engine does not say or the folder
// is not there; read through the engine then. Who reads the files never writes.
func ContentRoot(ctx context.Context, cl *client.Client) string {
	p, err := cl.IntrospectionService().Plugins(ctx, `type=="io.containerd.content.v1"`)
	if err != nil {
		return ""
	}
	for _, plugin := range p.Plugins {
		root := plugin.Exports["root"]
		if info, err := os.Stat(root); filepath.IsAbs(root) && err == nil && info.IsDir() {
			return root
		}
	}
	return ""
}
