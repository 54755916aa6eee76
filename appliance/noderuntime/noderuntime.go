// Package noderuntime answers the API's direct questions to this node: logs,
// terminals, files, figures and images. It never changes what should run; that
// is the state's and the agent's business. Errors that a person can mend are
// *model.Error.
package noderuntime

import (
	"context"
	"io"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/appliance/mirror"
	"github.com/skerryhq/skerry/appliance/operation"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
	"github.com/skerryhq/skerry/runtime/ctrd"
	"github.com/skerryhq/skerry/runtime/filetree"
	"github.com/skerryhq/skerry/runtime/image"
	"github.com/skerryhq/skerry/runtime/logs"
	"github.com/skerryhq/skerry/runtime/volume"
	"github.com/skerryhq/skerry/runtime/workload"
)

// Containers is the part of runtime/ctrd that answers need.
type Containers interface {
	Exec(ctx context.Context, id workload.ID, spec workload.ExecSpec, streams ctrd.ExecIO) (code int, err error)
	CloseStdin(ctx context.Context, id workload.ID) error
	Resize(ctx context.Context, id workload.ID, width, height uint16) error
	Kill(ctx context.Context, id workload.ID, signal string) error
	Stat(ctx context.Context, id workload.ID, name string) (ctrd.PathInfo, error)
	CopyOut(ctx context.Context, id workload.ID, name string, w io.Writer) error
	CopyIn(ctx context.Context, id workload.ID, dir string, tarball io.Reader) error
	Files(ctx context.Context, id workload.ID, do func(filetree.Tree) error) error
	Commit(ctx context.Context, id workload.ID, opt ctrd.CommitOptions) (digest.Digest, error)
	Stats(ctx context.Context, id workload.ID) (workload.Stats, error)
	LayerSize(ctx context.Context, id workload.ID) (int64, error)
}

// Logs is the part of the log daemon's client that answers need.
type Logs interface {
	Read(ctx context.Context, id string, o logs.Options) iter.Seq2[logs.Record, error]
	Attach(ctx context.Context, id string, o logs.AttachOptions) (*logs.Attachment, error)
}

// Config is what the answers are made of; every field but Recorder is required.
type Config struct {
	NodeID     string
	DataDir    string // whose file system NodeStats measures
	Store      *state.Store
	Containers Containers
	Images     *image.Store
	Sources    *mirror.Mirror // where images come from outside
	Logs       Logs
	Volumes    *volume.Store
	Recorder   Recorder // nil: nothing is recorded
	Log        *slog.Logger
}

// Runtime reaches this node's containers. It is safe for concurrent use.
type Runtime struct {
	cfg Config
	log *slog.Logger

	mu     sync.Mutex
	cpu    map[string]cpuSample   // container id -> last measurement; guarded by mu
	layers map[string]layerSample // container id -> last measurement; guarded by mu
}

type layerSample struct {
	at    time.Time
	bytes *int64 // nil: not known
}

type cpuSample struct {
	at   time.Time
	used time.Duration
}

// New makes a Runtime.
func New(cfg Config) *Runtime {
	return &Runtime{cfg: cfg, log: cfg.Log.With("component", "noderuntime"), cpu: map[string]cpuSample{}, layers: map[string]layerSample{}}
}

var (
	_ api.NodeRuntime  = (*Runtime)(nil)
	_ operation.Images = (*Runtime)(nil)
)

func notRunning(c *model.Container) error {
	return model.Errorf(model.KindConflict, "container_not_running", "the container %s does not run; start it first", c.Name)
}
