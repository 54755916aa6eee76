package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	runc "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/skerryhq/skerry/appliance/apptest/debimage"
)

// engine is a bare containerd driven by its Go client: the floor under every
// engine built on it. Its containers have an empty network namespace of their own,
// made by runc, so it shows what network, state and API add.
type engine struct {
	label  string
	dir    string
	daemon *daemon
	client *client.Client
	image  client.Image
	group  string // not empty: all containers share one shim
}

// startEngine starts the containerd that Skerry ships.
func startEngine(ctx context.Context, o options, scratch string) (peer, error) {
	bin := filepath.Join(o.bin, "engine")
	if _, err := os.Stat(filepath.Join(bin, "containerd")); err != nil {
		return nil, fmt.Errorf("find our containerd (make build makes it): %w", err)
	}
	return newEngine(ctx, &engine{label: "engine"}, scratch, bin, nil, "version = 3\n")
}

// startGrouped is startEngine with one shim for all containers. Its first container
// is started alone and stays, because first starts at the same time would race for
// making the shim.
func startGrouped(ctx context.Context, o options, scratch string) (peer, error) {
	p, err := newEngine(ctx, &engine{label: "grouped", group: "bench"}, scratch, filepath.Join(o.bin, "engine"), nil, "version = 3\n")
	if err != nil {
		return p, err
	}
	_, err = p.run(ctx, 9999)
	return p, err
}

// startDebian starts Debian's containerd 1.6 with its runc.
func startDebian(ctx context.Context, _ options, scratch string) (peer, error) {
	tools, err := debimage.Unpack(ctx, false, "docker.io", "containerd", "runc", "tini", "libdevmapper1.02.1", "libseccomp2")
	if err != nil {
		return nil, err
	}
	return newEngine(ctx, &engine{label: "debian"}, scratch, filepath.Join(tools, "usr/bin"),
		[]string{"LD_LIBRARY_PATH=" + tools + "/usr/lib/x86_64-linux-gnu", "PATH=" + tools + "/usr/bin:" + tools + "/usr/sbin:" + os.Getenv("PATH")},
		"version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n")
}

func newEngine(ctx context.Context, e *engine, scratch, bin string, env []string, config string) (*engine, error) {
	e.dir = filepath.Join(scratch, e.label)
	if err := os.MkdirAll(e.dir, 0o711); err != nil {
		return nil, err
	}
	if env == nil {
		env = []string{"PATH=" + bin + ":" + os.Getenv("PATH")}
	}
	socket := filepath.Join(e.dir, "c.sock")
	config += fmt.Sprintf("root = %q\nstate = %q\n[grpc]\naddress = %q\n", e.dir+"/root", e.dir+"/state", socket)
	file := filepath.Join(e.dir, "config.toml")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return nil, err
	}
	var err error
	if e.daemon, err = launch(nil, filepath.Join(e.dir, "log"), env, filepath.Join(bin, "containerd"), "--config", file); err != nil {
		return e, err
	}
	if err := e.daemon.ready(ctx, func(ctx context.Context) error {
		cl, err := client.New(socket, client.WithDefaultNamespace("bench"), client.WithTimeout(time.Second))
		if err != nil {
			return err
		}
		if _, err := cl.Version(ctx); err != nil {
			return errors.Join(err, cl.Close())
		}
		e.client = cl
		return nil
	}); err != nil {
		return e, err
	}
	return e, e.load(ctx)
}

// load imports and unpacks the image.
func (e *engine) load(ctx context.Context) error {
	archive, err := debimage.Archive(ctx, "busybox")
	if err != nil {
		return err
	}
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	imported, err := e.client.Import(ctx, f)
	if err != nil {
		return fmt.Errorf("import into %s: %w", e.label, err)
	}
	e.image = client.NewImage(e.client, imported[0])
	return e.image.Unpack(ctx, "overlayfs")
}

func (e *engine) name() string { return e.label }

func (e *engine) run(ctx context.Context, i int) (timing, error) {
	ctx = namespaces.WithNamespace(ctx, "bench")
	id := fmt.Sprintf("bench-%d", i)
	begin := time.Now()
	spec := []oci.SpecOpts{
		oci.WithImageConfigArgs(e.image, nil), oci.WithProcessArgs(serverCommand...), oci.WithMemoryLimit(memoryLimit),
		oci.WithCgroup("/skb-" + e.label + "/" + id),
	}
	if e.group != "" {
		spec = append(spec, oci.WithAnnotations(map[string]string{"io.containerd.runc.v2.group": e.group}))
	}
	c, err := e.client.NewContainer(ctx, id,
		client.WithImage(e.image), client.WithSnapshotter("overlayfs"), client.WithNewSnapshot(id, e.image), client.WithNewSpec(spec...),
		client.WithRuntime("io.containerd.runc.v2", &runc.Options{Root: e.dir + "/runc"}),
	)
	if err != nil {
		return timing{}, fmt.Errorf("create %s: %w", id, err)
	}
	created := time.Now()
	task, err := c.NewTask(ctx, cio.NullIO)
	if err != nil {
		return timing{}, fmt.Errorf("make task of %s: %w", id, err)
	}
	made := time.Now()
	if err := task.Start(ctx); err != nil {
		return timing{}, fmt.Errorf("start %s: %w", id, err)
	}
	return timing{running: time.Since(begin), steps: []step{
		{"new_container", created.Sub(begin)}, {"new_task", made.Sub(created)}, {"start", time.Since(made)},
	}}, nil
}

func (e *engine) remove(ctx context.Context, i int) error {
	ctx = namespaces.WithNamespace(ctx, "bench")
	c, err := e.client.LoadContainer(ctx, fmt.Sprintf("bench-%d", i))
	if err != nil {
		return err
	}
	task, err := c.Task(ctx, nil)
	if err != nil {
		return err
	}
	if _, err := task.Delete(ctx, client.WithProcessKill); err != nil {
		return err
	}
	return c.Delete(ctx, client.WithSnapshotCleanup)
}

func (e *engine) class(p process) string {
	program := filepath.Base(p.argv[0])
	switch {
	case strings.HasPrefix(program, "containerd-shim"):
		return "shims"
	case program == "containerd":
		return "daemons"
	}
	return "others"
}

func (e *engine) folder() string { return e.dir }

func (e *engine) census(ctx context.Context) (census, error) {
	return takeCensus(e.dir).cgroups("/skb-"+e.label+"/").engine(ctx, filepath.Join(e.dir, "c.sock"))
}

func (e *engine) close() error {
	var errs []error
	if e.client != nil && e.group != "" {
		errs = append(errs, e.remove(context.Background(), 9999))
	}
	if e.client != nil {
		errs = append(errs, e.client.Close())
	}
	if e.daemon != nil {
		errs = append(errs, e.daemon.stop(10*time.Second))
	}
	errs = append(errs, sweep(e.dir))
	removeCgroups("skb-" + e.label)
	return errors.Join(errs...)
}
