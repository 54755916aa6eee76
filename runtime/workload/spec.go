package workload

import "time"

// ID names one container on one host. It becomes a path element, a cgroup name
// and an engine key, so it is restricted: see ID.Validate.
type ID string

// Spec says what a container should be. It is fixed for the container's life:
// a changed Spec is a new container.
type Spec struct {
	ID ID
	// ImageDigest is the digest ("sha256:...") under which the engine keeps the image.
	ImageDigest string
	// ImageName is the name that people used; informational only.
	ImageName string

	// Entrypoint replaces the image's entrypoint when it is not nil; an empty,
	// non-nil list removes it. Replacing it also drops the image's command.
	Entrypoint []string
	// Command replaces the image's command when it is not nil.
	Command []string
	// Env is appended to the image's environment as KEY=VALUE; a repeated key
	// replaces the image's value.
	Env []string
	// WorkDir replaces the image's working directory when not empty. Absolute.
	WorkDir string
	// User is "", "name", "uid", "name:group" or "uid:gid"; empty is the image's user.
	User string
	// Hostname is the UTS host name; empty means the first 12 characters of ID.
	Hostname string

	Resources Resources

	// ReadOnlyRoot mounts the container's layer read-only.
	ReadOnlyRoot bool
	// CapAdd and CapDrop change the default capability set; names with or
	// without "CAP_", or "ALL".
	CapAdd, CapDrop []string
	// Privileged lifts every confinement. Who may ask for it is decided elsewhere.
	Privileged bool
	// AllowNewPrivileges turns no_new_privs off (setuid programs work again).
	AllowNewPrivileges bool

	Mounts []Mount
	// Tmpfs mounts an empty memory file system at each path: value = options
	// such as "size=64m,mode=1777".
	Tmpfs map[string]string
	// ShmBytes is the size of /dev/shm; 0 means 64 MiB.
	ShmBytes int64
	// Sysctls are set in the container's own namespaces.
	Sysctls map[string]string

	// TTY gives the main process a terminal; then there is no separate stderr.
	TTY bool
	// OpenStdin keeps the main process's standard input open (Stdio.Stdin is read).
	OpenStdin bool
	Stdio     Stdio

	// StopSignal is a name ("SIGQUIT", "QUIT") or number; empty means the
	// image's, else SIGTERM.
	StopSignal string

	// NetNSPath is the path of a prepared network namespace; empty means a new,
	// empty one (loopback only).
	NetNSPath string
	// CgroupParent is the cgroup below which the container's own is made, for
	// example "/skerry/NODE". Absolute, without "..".
	CgroupParent string
	// Labels are kept with the engine's record. Keys beginning with "skerry."
	// are reserved.
	Labels map[string]string
}

// Resources bounds what a container may use. Zero means no limit, except PIDs.
type Resources struct {
	// CPUMilli is thousandths of one core: 500 is half a core.
	CPUMilli int64
	// CPUShares is the relative weight under contention (cgroup v1 scale, 2..262144).
	CPUShares int64
	// MemoryBytes is a hard limit; swap is not added to it. At least MinMemoryBytes.
	MemoryBytes int64
	// PIDs bounds processes and threads; 0 means DefaultPIDs, -1 means no limit.
	PIDs int64
	// OpenFiles is the limit of open files per process; 0 means the engine's.
	OpenFiles int64
}

const (
	// MinMemoryBytes is the smallest memory limit with which a container can start.
	MinMemoryBytes = 6 << 20
	// DefaultPIDs is the limit of processes and threads when none is asked for.
	DefaultPIDs = 4096
	// DefaultShmBytes is the size of /dev/shm when none is asked for.
	DefaultShmBytes = 64 << 20
)

// Mount makes a host path visible inside the container (volumes, and single
// files such as resolv.conf, hosts and hostname).
type Mount struct {
	// Source is an absolute path on the host that must exist at start.
	Source string
	// Destination is an absolute path inside the container.
	Destination string
	ReadOnly    bool
	// CopyUp fills an empty Source directory with what the image holds at
	// Destination before the first start (named volumes).
	CopyUp bool
}

// Stdio holds the paths of FIFOs that somebody else opens and reads. An empty
// path means /dev/null for that stream.
type Stdio struct {
	Stdin, Stdout, Stderr string
}

// ExecSpec says what to run inside a running container.
type ExecSpec struct {
	Command []string
	// Env is added to the container's environment.
	Env []string
	// User as in Spec.User; empty means the container's user.
	User string
	// WorkDir empty means the container's.
	WorkDir string
	TTY     bool
	// Width and Height are the first size of the terminal in characters; 0 means 80x24.
	Width, Height uint16
	Privileged    bool
}

// StopOptions says how to end a container.
type StopOptions struct {
	// Signal empty means the container's stop signal.
	Signal string
	// Grace is how long the container may take before it is killed; 0 kills at once.
	Grace time.Duration
}
