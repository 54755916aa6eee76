// Package noderuntime answers the API's direct questions to nodes: logs,
// terminals, files, figures and images. Local answers for this node and needs no
// state, Handler lets other nodes ask it, and Runtime, which the API holds on
// members, knows from the state which node a question is for and asks that one,
// over HTTP/2 between nodes. The package never changes what should run; that is
// the state's and the agent's business. Errors that a person can mend are
// *model.Error. Everything here is safe for concurrent use.
package noderuntime

import (
	"context"
	"io"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/skerryhq/skerry/appliance/mirror"
	"github.com/skerryhq/skerry/raft/model"
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

// LocalConfig is what a node answers with about itself; every field but Sources
// and Recorder is required.
type LocalConfig struct {
	NodeID     string
	DataDir    string // whose file system NodeStats measures
	Containers Containers
	Images     *image.Store
	Sources    *mirror.Mirror // where images come from outside; nil on a worker, which asks a member
	Logs       Logs
	Volumes    *volume.Store
	Recorder   Recorder // nil: nothing is recorded
	Log        *slog.Logger
}

// Local reaches the containers of this node. It knows nothing of the cluster:
// what a question is about comes with the question, so that it serves on a
// worker too. It is safe for concurrent use.
type Local struct {
	cfg LocalConfig
	log *slog.Logger

	mu     sync.Mutex
	cpu    map[string]cpuSample   // container id -> last measurement; guarded by mu
	layers map[string]layerSample // container id -> last measurement; guarded by mu
}

// NewLocal makes a Local.
func NewLocal(cfg LocalConfig) *Local {
	return &Local{cfg: cfg, log: cfg.Log.With("component", "noderuntime"), cpu: map[string]cpuSample{}, layers: map[string]layerSample{}}
}

type layerSample struct {
	at    time.Time
	bytes *int64 // nil: not known
}

type cpuSample struct {
	at   time.Time
	used time.Duration
}

// codeNotRunning says that a container has no process to speak to.
const codeNotRunning = "container_not_running"

func notRunning(c *model.Container) error {
	return model.Errorf(model.KindConflict, codeNotRunning, "the container %s does not run; start it first", c.Name)
}
