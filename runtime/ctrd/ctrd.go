// Package ctrd makes the containers of one host real: it turns workload.Spec into
// a containerd container (a layer over an image, an OCI spec, a cgroup) and runs,
// watches, measures, copies into and out of, and removes it.
//
// It keeps no list of its own: what exists is what the engine and the kernel say,
// so a new daemon adopts everything by looking. The one thing that the engine
// forgets when a task ends (exit code, times, out of memory) is written as a
// label on the container before the task is deleted.
//
// It never makes network namespaces, opens the FIFOs of a container's main
// process, or decides what should run: the agent does, and calls this package. A
// Runtime is safe for concurrent use; operations on one container are serialized.
package ctrd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"sync"
	"time"

	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/skerryhq/skerry/runtime/engine"
	"github.com/skerryhq/skerry/runtime/image"
	"github.com/skerryhq/skerry/runtime/workload"
)

const (
	labelTask     = "skerry.task"  // JSON of taskRecord
	labelImage    = "skerry.image" // the image's name as people used it
	extensionSpec = "skerry.spec"  // JSON of workload.Spec
	specTypeURL   = "skerry/workload.Spec"

	// labelRoot keeps a layer from the engine's garbage collection until we remove it.
	labelRoot = "containerd.io/gc.root"
)

// Config of a Runtime.
type Config struct {
	Client *client.Client
	Engine engine.Config
	Images *image.Store
	Log    *slog.Logger
}

// Runtime runs the containers of one host.
type Runtime struct {
	cfg     Config
	client  *client.Client
	tasks   tasksapi.TasksClient
	snaps   snapshots.Snapshotter
	log     *slog.Logger
	runOpts typeurl.Any
	cgroups cgroupFS

	mu    sync.Mutex
	locks map[workload.ID]*idLock // guarded by mu
	known map[workload.ID]*facts  // guarded by mu; entries are immutable
	users map[string]*accounts    // guarded by mu; by chain ID; entries are immutable
}

// facts are the parts of a container's record that never change, kept so that
// starting does not ask for them again.
type facts struct {
	spec   workload.Spec
	mounts []mount.Mount
	// fresh is true while the container has never been started by this process
	// and so cannot have an old task.
	fresh bool
	// stopSignal of the image, used when the spec names none.
	stopSignal string
}

// New returns a Runtime. It allocates nothing that must be closed.
func New(cfg Config) (*Runtime, error) {
	if cfg.Client == nil || cfg.Images == nil || cfg.Log == nil {
		return nil, errors.New("container runtime: client, images and log must be given")
	}
	if err := cfg.Engine.Validate(); err != nil {
		return nil, err
	}
	opts, err := typeurl.MarshalAny(&options.Options{Root: cfg.Engine.RuncRoot()})
	if err != nil {
		return nil, fmt.Errorf("encode runtime options: %w", err)
	}
	cg, err := findCgroups("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return &Runtime{
		cfg: cfg, client: cfg.Client, log: cfg.Log, runOpts: opts, cgroups: cg,
		tasks: cfg.Client.TaskService(),
		snaps: cfg.Client.SnapshotService(engine.Snapshotter),
		locks: map[workload.ID]*idLock{}, known: map[workload.ID]*facts{}, users: map[string]*accounts{},
	}, nil
}

type idLock struct {
	ch    chan struct{} // holds one token while locked
	users int           // guarded by Runtime.mu
}

// lock serializes operations on one container. It gives up when ctx ends.
func (r *Runtime) lock(ctx context.Context, id workload.ID) (unlock func(), err error) {
	r.mu.Lock()
	l := r.locks[id]
	if l == nil {
		l = &idLock{ch: make(chan struct{}, 1)}
		r.locks[id] = l
	}
	l.users++
	r.mu.Unlock()
	leave := func() {
		r.mu.Lock()
		if l.users--; l.users == 0 {
			delete(r.locks, id)
		}
		r.mu.Unlock()
	}
	select {
	case l.ch <- struct{}{}:
		return func() { <-l.ch; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
}

func (r *Runtime) remember(id workload.ID, f *facts) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f == nil {
		delete(r.known, id)
		return
	}
	r.known[id] = f
}

// record returns the engine's record of a container and our spec within it.
func (r *Runtime) record(ctx context.Context, id workload.ID) (containers.Container, workload.Spec, error) {
	var spec workload.Spec
	c, err := r.client.ContainerService().Get(ctx, string(id))
	if err != nil {
		return c, spec, native(err, "look up container %s", id)
	}
	spec, err = specOf(c)
	return c, spec, err
}

func specOf(c containers.Container) (workload.Spec, error) {
	var spec workload.Spec
	ext, ok := c.Extensions[extensionSpec]
	if !ok {
		return spec, fmt.Errorf("container %s was not made by this runtime: %w", c.ID, workload.ErrNotFound)
	}
	if err := json.Unmarshal(ext.GetValue(), &spec); err != nil {
		return spec, fmt.Errorf("read the spec of container %s: %w", c.ID, err)
	}
	return spec, nil
}

// factsOf returns what is known of a container, asking the engine if needed.
func (r *Runtime) factsOf(ctx context.Context, id workload.ID) (*facts, error) {
	r.mu.Lock()
	f := r.known[id]
	r.mu.Unlock()
	if f != nil {
		return f, nil
	}
	c, spec, err := r.record(ctx, id)
	if err != nil {
		return nil, err
	}
	mounts, err := r.snaps.Mounts(ctx, string(id))
	if err != nil {
		return nil, fmt.Errorf("find the layer of container %s: %w", id, err)
	}
	f = &facts{spec: spec, mounts: mounts, stopSignal: c.Labels[labelStopSignal]}
	r.remember(id, f)
	return f, nil
}

func (r *Runtime) cgroupPath(spec *workload.Spec) string {
	return path.Join(spec.CgroupParent, string(spec.ID))
}

// native maps the engine's errors to the classes of package workload.
func native(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	op := fmt.Sprintf(format, args...)
	n := toNative(err)
	switch {
	case errdefs.IsNotFound(n):
		return fmt.Errorf("%s: %w", op, workload.ErrNotFound)
	case errdefs.IsUnavailable(n):
		return fmt.Errorf("%s: %w (%w)", op, workload.ErrUnavailable, n)
	}
	return fmt.Errorf("%s: %w", op, n)
}

// toNative gives an error of the engine its class. Some of the client's calls
// have done so already; doing it twice would lose the class.
func toNative(err error) error {
	if err == nil || errdefs.IsNotFound(err) || errdefs.IsAlreadyExists(err) || errdefs.IsUnavailable(err) || errdefs.IsFailedPrecondition(err) {
		return err
	}
	return errgrpc.ToNative(err)
}

// cleanupContext outlives a cancelled ctx for long enough to undo what was begun.
func cleanupContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
}

// decodeSpec reads the OCI spec of a record.
func decodeSpec(c containers.Container) (*specs.Spec, error) {
	var s specs.Spec
	if c.Spec == nil {
		return nil, fmt.Errorf("container %s has no OCI spec", c.ID)
	}
	if err := json.Unmarshal(c.Spec.GetValue(), &s); err != nil {
		return nil, fmt.Errorf("read the OCI spec of container %s: %w", c.ID, err)
	}
	return &s, nil
}
