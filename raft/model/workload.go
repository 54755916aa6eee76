package model

import (
	"net/netip"
	"time"
)

// App is a stack of services that are deployed, shown and removed together.
type App struct {
	Meta
	TenantID      string  `json:"tenantId"`
	EnvironmentID string  `json:"environmentId"`
	Revision      uint64  `json:"revision"` // number of the revision in force
	Spec          AppSpec `json:"spec"`
	Removing      bool    `json:"removing,omitempty"` // set by rm; the row goes when its last container is gone
}

// AppSpec is the app as its user wrote it.
type AppSpec struct {
	Source   string                 `json:"source,omitempty"` // compose text; empty for an app made by `skerry run`
	Stopped  bool                   `json:"stopped,omitempty"`
	Services map[string]ServiceSpec `json:"services"` // by service name
}

// Revision is one AppSpec that was in force, kept for history and rollback.
type Revision struct {
	AppID     string    `json:"appId"`
	Number    uint64    `json:"number"`
	Spec      AppSpec   `json:"spec"`
	CreatedAt time.Time `json:"createdAt"`
	Actor     string    `json:"actor"`
}

// Service is replicas of one image behind one name. Its spec is the part of
// the app's revision that bears its name.
type Service struct {
	Meta
	TenantID      string        `json:"tenantId"`
	EnvironmentID string        `json:"environmentId"`
	AppID         string        `json:"appId"`
	AppName       string        `json:"appName"`
	Revision      uint64        `json:"revision"` // app revision that last changed Spec.Container
	Spec          ServiceSpec   `json:"spec"`
	Stopped       bool          `json:"stopped,omitempty"`
	Removing      bool          `json:"removing,omitempty"`
	Ports         []Port        `json:"ports,omitempty"` // with allocated numbers filled in; written in apply
	Status        ServiceStatus `json:"status"`          // written by the leader
}

// ServiceSpec is the user's wish for one service.
type ServiceSpec struct {
	Container ContainerSpec `json:"container"`
	Replicas  int           `json:"replicas"`
	Ports     []PortSpec    `json:"ports,omitempty"`
	Placement Placement     `json:"placement,omitzero"`
	Reserve   Resources     `json:"reserve,omitzero"` // kept free for each replica on its node
	// MaxUnavailable is how many replicas may be away at once because of an
	// update or a drain; 0 means 1.
	MaxUnavailable int `json:"maxUnavailable,omitempty"`
}

// ServiceStatus sums up the containers of a service.
type ServiceStatus struct {
	Running    int         `json:"running"`
	Conditions []Condition `json:"conditions,omitempty"`
}

// Protocol of a published port.
type Protocol string

// The protocols that can be published.
const (
	TCP Protocol = "tcp"
	UDP Protocol = "udp"
)

// PortSpec asks for a published port.
type PortSpec struct {
	Protocol  Protocol   `json:"protocol"`
	HostIP    netip.Addr `json:"hostIp,omitzero"`    // invalid means every address of the node
	HostPort  uint16     `json:"hostPort,omitempty"` // 0 means the platform allocates one
	Container uint16     `json:"containerPort"`
}

// Port is a published port that the cluster gave to a service. The pair of
// protocol and number is unique within an environment.
type Port struct {
	PortSpec
	EnvironmentID string `json:"environmentId"`
	ServiceID     string `json:"serviceId"`
	TenantID      string `json:"tenantId"`
}

// RestartPolicy names when a container that ended is started again.
type RestartPolicy string

// The restart policies. Always also starts a container that ended with 0.
const (
	RestartNo        RestartPolicy = "no"
	RestartOnFailure RestartPolicy = "on-failure"
	RestartAlways    RestartPolicy = "always"
)

// ContainerSpec is everything that makes a container what it is; a change to
// any field replaces the container.
type ContainerSpec struct {
	Image       string            `json:"image"`                // full name, as resolved when the revision was made
	ImageDigest string            `json:"imageDigest"`          // of the manifest or index
	Entrypoint  []string          `json:"entrypoint,omitempty"` // nil means the image's
	Command     []string          `json:"command,omitempty"`    // nil means the image's
	Env         []EnvVar          `json:"env,omitempty"`
	WorkingDir  string            `json:"workingDir,omitempty"`
	User        string            `json:"user,omitempty"`
	Hostname    string            `json:"hostname,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	TTY         bool              `json:"tty,omitempty"`
	Stdin       bool              `json:"stdin,omitempty"` // keep stdin open for attach

	CPUMillis   int64 `json:"cpuMillis,omitempty"`   // thousandths of a core; 0 means no limit
	MemoryBytes int64 `json:"memoryBytes,omitempty"` // hard limit; 0 means no limit
	PidsLimit   int64 `json:"pidsLimit,omitempty"`   // 0 means the platform's default

	ReadOnly   bool     `json:"readOnly,omitempty"`
	CapAdd     []string `json:"capAdd,omitempty"`
	CapDrop    []string `json:"capDrop,omitempty"`
	Privileged bool     `json:"privileged,omitempty"` // a permission of its own
	Mounts     []Mount  `json:"mounts,omitempty"`

	Restart       RestartPolicy `json:"restart"`
	RestartMax    int           `json:"restartMax,omitempty"`       // on-failure only; 0 means no bound
	StopSignal    string        `json:"stopSignal,omitempty"`       // empty means the image's, then SIGTERM
	StopGraceSecs int           `json:"stopGraceSeconds,omitempty"` // 0 means 10
	AutoRemove    bool          `json:"autoRemove,omitempty"`       // `run --rm`: the app goes when the container ends
	LogMaxBytes   int64         `json:"logMaxBytes,omitempty"`      // per file; 0 means 10 MiB
	LogMaxFiles   int           `json:"logMaxFiles,omitempty"`      // 0 means 3
}

// EnvVar is one environment variable; the order is the user's.
type EnvVar struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// MountType says where a mount's content comes from.
type MountType string

// The kinds of mounts. A bind needs a permission of its own.
const (
	MountVolume MountType = "volume"
	MountBind   MountType = "bind"
	MountTmpfs  MountType = "tmpfs"
)

// Mount puts a volume, a host path or a tmpfs at a path of the container.
type Mount struct {
	Type      MountType `json:"type"`
	Source    string    `json:"source,omitempty"`   // volume name within the tenant, or host path
	VolumeID  string    `json:"volumeId,omitempty"` // filled in when the revision is made
	Path      string    `json:"path"`               // absolute, clean
	ReadOnly  bool      `json:"readOnly,omitempty"`
	SizeBytes int64     `json:"sizeBytes,omitempty"` // tmpfs only
}

// Phase is how far a container's present task has come. For one task it only
// moves forward; a new task (Status.Task + 1) begins again.
type Phase string

// The phases. Removed is never stored: the row is gone then.
const (
	PhasePending   Phase = "pending"   // not yet placed, or not yet seen by the node
	PhasePreparing Phase = "preparing" // image, network, volumes
	PhaseStarting  Phase = "starting"
	PhaseRunning   Phase = "running"
	PhaseStopping  Phase = "stopping"
	PhaseExited    Phase = "exited"  // ended by itself or stopped; the layer is kept
	PhaseBackoff   Phase = "backoff" // ended, will be started again at Status.RetryAt
	PhaseFailed    Phase = "failed"  // cannot start; Conditions says why
)

// Container is one replica on one node. It keeps its layer, name and address
// as long as its Spec and its node stay the same.
type Container struct {
	Meta
	TenantID      string          `json:"tenantId"`
	EnvironmentID string          `json:"environmentId"`
	AppID         string          `json:"appId"`
	AppName       string          `json:"appName"`
	ServiceID     string          `json:"serviceId"`
	ServiceName   string          `json:"serviceName"`
	Slot          int             `json:"slot"`     // 1-based; gives replicas their identity
	Revision      uint64          `json:"revision"` // app revision that Spec comes from
	Spec          ContainerSpec   `json:"spec"`     // copied from the service; never edited
	Intent        Intent          `json:"intent"`   // written by the user
	Assign        Assignment      `json:"assign"`   // written by the leader
	Status        ContainerStatus `json:"status"`   // written by Assign.NodeID's agent
}

// Intent is what a user asked of this very container.
type Intent struct {
	Stopped   bool   `json:"stopped,omitempty"`
	Restarts  uint64 `json:"restarts,omitempty"`     // raised by one per `restart`; a task begun before the last raise is ended
	Signal    string `json:"signal,omitempty"`       // for the pending stop; empty means the spec's
	GraceSecs int    `json:"graceSeconds,omitempty"` // for the pending stop; 0 means the spec's; -1 means none at all
}

// Assignment is the leader's decision.
type Assignment struct {
	NodeID  string     `json:"nodeId,omitempty"`
	Address netip.Addr `json:"address,omitzero"`
	Remove  bool       `json:"remove,omitempty"` // end it and give everything back; the agent then confirms and the row goes
	Reason  string     `json:"reason,omitempty"` // why this node, or why none
}

// ContainerStatus is what the node's agent sees, written on transitions only.
type ContainerStatus struct {
	Phase      Phase       `json:"phase"`
	Task       uint64      `json:"task"`     // number of the present task; 0 means never started
	Restarts   uint64      `json:"restarts"` // Intent.Restarts that the present task reflects
	PID        int         `json:"pid,omitempty"`
	ExitCode   *int        `json:"exitCode,omitempty"`
	OOMKilled  bool        `json:"oomKilled,omitempty"`
	Failures   int         `json:"failures,omitempty"` // ends in a row that the restart policy answered
	RetryAt    time.Time   `json:"retryAt,omitzero"`
	StartedAt  time.Time   `json:"startedAt,omitzero"`
	FinishedAt time.Time   `json:"finishedAt,omitzero"`
	Conditions []Condition `json:"conditions,omitempty"`
}

// Volume is data that outlives containers.
type Volume struct {
	Meta
	TenantID string     `json:"tenantId"`
	NodeID   string     `json:"nodeId"` // a local volume stays with its node
	Spec     VolumeSpec `json:"spec"`
}

// VolumeSpec is what the user asked for.
type VolumeSpec struct {
	Driver string            `json:"driver"` // "local"
	Labels map[string]string `json:"labels,omitempty"`
}

// Image is a name that a tenant gave to content on the nodes' engines.
type Image struct {
	Meta               // Name is the full normalized reference, e.g. "docker.io/library/nginx:1.25"
	TenantID  string   `json:"tenantId"`
	Public    bool     `json:"public,omitempty"` // every tenant may use it (library/*)
	Digest    string   `json:"digest"`
	SizeBytes int64    `json:"sizeBytes"`
	Platforms []string `json:"platforms,omitempty"`
	NodeIDs   []string `json:"nodeIds,omitempty"` // nodes whose engine holds the content
}
