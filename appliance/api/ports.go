package api

import (
	"context"
	"io"
	"time"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/raft/model"
)

// Operations are the use cases that take more than one command: they resolve
// images, fill in defaults and check what the API cannot. The gate has already
// said yes; caller.TenantID() is the tenant. Objects are named by id. expect is
// the version in If-Match, or command.AnyVersion. report may be called from one
// goroutine at a time and is never nil. appliance/operation implements it.
type Operations interface {
	AppOperations
	ImageOperations
}

// AppOperations change apps, services and containers.
type AppOperations interface {
	// ParseCompose reads a compose text. Refused keys come back as *ComposeError
	// (KindInvalid), which names every place.
	ParseCompose(ctx context.Context, caller access.Caller, in ComposeInput) (*Compose, error)
	// ComposeSchema is the JSON schema of the compose text that is accepted.
	ComposeSchema() ([]byte, error)
	// PlanApp says what CreateApp or, where the name is taken, UpdateApp would do.
	PlanApp(ctx context.Context, caller access.Caller, in AppChange) (*AppPlan, error)
	CreateApp(ctx context.Context, caller access.Caller, in AppChange, report Report) (*model.App, error)
	UpdateApp(ctx context.Context, caller access.Caller, appID string, expect uint64, in AppChange, report Report) (*model.App, error)
	// RollbackApp puts a kept revision in force; 0 means the one before the present.
	RollbackApp(ctx context.Context, caller access.Caller, appID string, expect, revision uint64, report Report) (*model.App, error)
	// RemoveApp begins the removal; with force its containers are killed.
	RemoveApp(ctx context.Context, caller access.Caller, appID string, expect uint64, opt RemoveOptions) error
	UpdateService(ctx context.Context, caller access.Caller, serviceID string, expect uint64, in ServiceChange, report Report) (*model.Service, error)
	// RemoveContainer takes the app with it if this is its only container. A
	// running one is refused (KindConflict, "container_running") without force.
	RemoveContainer(ctx context.Context, caller access.Caller, containerID string, expect uint64, force bool) error
}

// ImageOperations change images.
type ImageOperations interface {
	PullImage(ctx context.Context, caller access.Caller, in PullInput, report Report) (*model.Image, error)
	// ImportImage reads a docker-archive or OCI layout tar, plain, gzip or zstd,
	// to its end or to the first error. name is for an archive that bears none.
	ImportImage(ctx context.Context, caller access.Caller, name string, tar io.Reader, report Report) ([]*model.Image, error)
	// CommitContainer gives a container's layer a tag in a repository of the cluster.
	CommitContainer(ctx context.Context, caller access.Caller, containerID string, in CommitInput) (*PushResult, error)
	DeleteImage(ctx context.Context, caller access.Caller, imageID string, expect uint64) error
}

// Report takes the steps of long work as they happen.
type Report func(Progress)

// AppChange is what a user asks an app to be. Services win over Source; with
// neither, an update keeps the present services.
type AppChange struct {
	Name        string // create only
	Environment string // id or name; create only; empty means the default one
	Source      string // compose text
	Env         map[string]string
	Files       map[string]string
	Services    map[string]model.ServiceSpec // replicas, protocol and restart policy have their defaults
	Pull        PullPolicy                   // empty means missing
}

// ServiceChange is what changes of one service; nil and empty mean: stays.
type ServiceChange struct {
	Replicas  *int
	Image     string
	Container *model.ContainerSpec
	Ports     *[]model.PortSpec
	Pull      PullPolicy
}

// RemoveOptions say how an app is removed.
type RemoveOptions struct {
	Force   bool // kill instead of stopping with grace
	Volumes bool // also the volumes that only this app used
}

// NodeRuntime reaches the containers where they run; appliance/agent implements
// it for this node. A container, volume or image whose node does not answer
// gives KindUnavailable. Methods that stream end when ctx ends.
type NodeRuntime interface {
	ContainerRuntime
	FileRuntime
	MetricsRuntime
	// NodeStats measures a node.
	NodeStats(ctx context.Context, n *model.Node) (NodeStats, error)
	// ImageConfig reads an image's configuration and layers.
	ImageConfig(ctx context.Context, img *model.Image) (*ImageConfig, []ImageLayer, error)
	// ExportImage writes an OCI layout tar with a docker manifest beside it.
	ExportImage(ctx context.Context, img *model.Image, w io.Writer) error
	// VolumeUsage measures a volume's size in bytes on disk.
	VolumeUsage(ctx context.Context, v *model.Volume) (int64, error)
}

// ContainerRuntime is the part of NodeRuntime that is about one container.
type ContainerRuntime interface {
	// Logs gives the lines of containers, merged by time, to each, one at a
	// time; it stops with each's error. With q.Follow it goes on until every
	// container is gone or ctx ends; then the result is nil.
	Logs(ctx context.Context, of []*model.Container, q LogQuery, each func(LogLine) error) error
	// Exec runs a command and gives its exit code (127: not found, 126: not
	// executable). KindConflict ("container_not_running") if it does not run.
	Exec(ctx context.Context, c *model.Container, spec ExecSpec, s Streams) (int, error)
	// Attach joins a container's own streams until it ends (its exit code) or
	// ctx ends (an error; the container goes on).
	Attach(ctx context.Context, c *model.Container, stdin bool, s Streams) (int, error)
	// Signal sends a signal ("SIGHUP", "HUP" or "1") to the first process.
	Signal(ctx context.Context, c *model.Container, signal string) error
	// Stats measures a running container; CPUPercent is since the measurement before.
	Stats(ctx context.Context, c *model.Container) (ContainerStats, error)
	// StatPath, ReadArchive and WriteArchive see the container's root as its
	// processes do, volumes included, whether it runs or not; no path leaves it.
	StatPath(ctx context.Context, c *model.Container, path string) (PathStat, error)
	// ReadArchive gives a tar of one file or folder; the caller closes it.
	ReadArchive(ctx context.Context, c *model.Container, path string) (PathStat, io.ReadCloser, error)
	// WriteArchive unpacks a tar into an existing folder.
	WriteArchive(ctx context.Context, c *model.Container, path string, tar io.Reader) error
}

// LogQuery says which lines are wanted; the zero LogQuery means all.
type LogQuery struct {
	Follow bool
	Since  time.Time // zero: from the beginning
	Until  time.Time // zero: no end
	Tail   int       // the last so many lines of each container; -1: all
	Stdout bool
	Stderr bool
	Search string // only lines that contain this; empty: all
}

// ExecSpec is a command to run in a container.
type ExecSpec struct {
	Command    []string
	TTY        bool
	Stdin      bool
	User       string // empty: the container's
	WorkingDir string // empty: the container's
	Env        []string
	Size       Size // first size of the terminal; zero: 80x24
}

// Size is that of a terminal, in characters.
type Size struct {
	Cols uint16 `json:"cols"`
	Rows uint16 `json:"rows"`
}

// Streams are the ends of a terminal or command that the API holds. With a TTY
// everything goes to Stdout.
type Streams struct {
	Stdin   io.Reader // nil if not asked for; ends with io.EOF when the client closes it
	Stdout  io.Writer
	Stderr  io.Writer
	Resize  <-chan Size   // latest size wins; closed with the connection
	Signals <-chan string // signals for the command; closed with the connection
}

// AuditLog reads what the nodes kept of who changed what.
type AuditLog interface {
	// Entries gives entries that fit, the newest first, and the cursor of the
	// next page (empty: none).
	Entries(ctx context.Context, q AuditQuery) ([]AuditEntry, string, error)
}

// AuditQuery says which entries are wanted.
type AuditQuery struct {
	TenantID  string // empty: every tenant and the platform
	Actor     string
	Operation string
	Since     time.Time
	Until     time.Time
	Limit     int
	Cursor    string
}

// ComposeError is a compose text that was refused. It is of KindInvalid.
type ComposeError struct {
	Problems []ComposeProblem // at least one, in the order of the text
}

// Error is the first problem's sentence with its place.
func (e *ComposeError) Error() string { return e.problem().Detail }

// Unwrap lets errors.As and model.KindOf see what the API answers.
func (e *ComposeError) Unwrap() error { return e.problem() }
