// Package operation holds the use cases behind the API: what a request to
// deploy, update or remove comes to. It checks what the API's document cannot
// say, resolves images, and proposes; whether the caller may is decided before,
// by the one gate, except for the two things that only the content of a request
// shows (host mounts and privileges). It never touches containers: the control
// loops and the agents follow the state.
package operation

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
	"github.com/skerryhq/skerry/raft/state"
)

// Proposer changes the cluster's state.
type Proposer interface {
	Propose(ctx context.Context, cmds ...command.Command) (node.Result, error)
}

// Stored is an image as the node's engine holds it.
type Stored struct {
	Digest    string
	Names     []string // as written in an archive; may be none
	SizeBytes int64
	Platforms []string
}

// Images brings images to the node and takes them away. appliance/noderuntime
// implements it over runtime/image. Errors are *model.Error where a person can
// mend the cause.
type Images interface {
	// Pull fetches an image from outside as the caller's tenant may.
	Pull(ctx context.Context, c access.Caller, ref, username, password string, report api.Report) (Stored, error)
	Import(ctx context.Context, tar io.Reader, report api.Report) ([]Stored, error)
	Commit(ctx context.Context, c *model.Container, in api.CommitInput) (Stored, error)
	Remove(ctx context.Context, digest string) error
	// Adopt makes an image of what the registry holds: nothing is fetched or
	// copied. It is free for what is an image already.
	Adopt(ctx context.Context, d model.Descriptor, report api.Report) error
	// Push sends an image to another registry as the caller may, under a full
	// name, and gives what the name means there and the bytes that it took.
	Push(ctx context.Context, c access.Caller, d model.Descriptor, ref, username, password string, report api.Report) (digest string, sent int64, err error)
	// HostPart gives the manifest of an image that this host runs. Of an index that
	// is all that a tenant with an image row has shown to have.
	HostPart(ctx context.Context, digest string) (model.Descriptor, error)
	// Held gives what the node's images need with its sizes, but for the images
	// in except.
	Held(ctx context.Context, except map[string]bool) (map[string]int64, error)
}

// Publisher puts what the engine holds into a repository: appliance/registry.
type Publisher interface {
	// Publish links everything that a manifest or index of the engine needs into
	// a repository and lets tags name it; no byte is copied. An index of which the
	// engine has only this host's part is published as that part. It gives what
	// the tags name. That the caller may read the content is decided before.
	Publish(ctx context.Context, by model.Origin, r *model.Repository, d model.Descriptor, tags []string) (model.Descriptor, error)
}

// PortHolder names the process outside Skerry that holds a port on a node of an
// environment (empty: on this node), and that node; empty if nobody does.
type PortHolder func(ctx context.Context, environmentID string, p model.PortSpec) (process, node string, err error)

// Config is what the use cases need.
type Config struct {
	Store    *state.Store
	Proposer Proposer
	Images   Images
	Registry Publisher
	OwnHost  func(host string) bool // says whether "host" or "host:port" in a name is this cluster's registry
	Holder   PortHolder
	Control  []uint16 // the node's own ports, TCP
	Overlay  uint16   // UDP port of packets between nodes; 0: none
	OwnPaths []string // the node's data and run folders, which no container gets
	NodeID   string
	Log      *slog.Logger
}

// Desk does the use cases. It is safe for concurrent use.
type Desk struct {
	cfg Config
	log *slog.Logger
}

// New makes a Desk.
func New(cfg Config) *Desk {
	return &Desk{cfg: cfg, log: cfg.Log.With("component", "operation")}
}

var _ api.Operations = (*Desk)(nil)

// sign fills in the origin of a command.
func sign(c access.Caller) command.Head {
	o := c.Origin
	o.Time = time.Now().UTC()
	return command.By(o)
}

func (d *Desk) propose(ctx context.Context, cmds ...command.Command) error {
	_, err := d.cfg.Proposer.Propose(ctx, cmds...)
	return err
}

// app finds an app of the caller's tenant.
func (d *Desk) app(c access.Caller, id string) (*model.App, error) {
	return d.cfg.Store.View().FindApp(state.InTenant(c.TenantID()), id)
}

func invalid(code, format string, args ...any) *model.Error {
	return model.Errorf(model.KindInvalid, code, format, args...)
}

func path(format string, args ...any) string { return fmt.Sprintf(format, args...) }
