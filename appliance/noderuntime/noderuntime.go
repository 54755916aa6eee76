// Package noderuntime answers the API's direct questions to this node: logs,
// terminals, files, figures and images. It never changes what should run; that
// is the state's and the agent's business. Errors that a person can mend are
// *model.Error.
package noderuntime

import (
	"log/slog"
	"sync"
	"time"

	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/appliance/operation"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
	"github.com/skerryhq/skerry/runtime/ctrd"
	"github.com/skerryhq/skerry/runtime/image"
	"github.com/skerryhq/skerry/runtime/logs"
	"github.com/skerryhq/skerry/runtime/volume"
)

// Config is what the answers are made of; every field is required.
type Config struct {
	NodeID     string
	DataDir    string // whose file system NodeStats measures
	Store      *state.Store
	Containers *ctrd.Runtime
	Images     *image.Store
	Logs       *logs.Client
	Volumes    *volume.Store
	Log        *slog.Logger
}

// Runtime reaches this node's containers. It is safe for concurrent use.
type Runtime struct {
	cfg Config
	log *slog.Logger

	mu  sync.Mutex
	cpu map[string]cpuSample // container id -> last measurement; guarded by mu
}

type cpuSample struct {
	at   time.Time
	used time.Duration
}

// New makes a Runtime.
func New(cfg Config) *Runtime {
	return &Runtime{cfg: cfg, log: cfg.Log.With("component", "noderuntime"), cpu: map[string]cpuSample{}}
}

var (
	_ api.NodeRuntime  = (*Runtime)(nil)
	_ operation.Images = (*Runtime)(nil)
)

func notRunning(c *model.Container) error {
	return model.Errorf(model.KindConflict, "container_not_running", "the container %s does not run; start it first", c.Name)
}
