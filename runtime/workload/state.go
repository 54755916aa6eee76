package workload

import "time"

// Phase is where a container is in its life.
type Phase string

const (
	// PhaseCreated says that the layer exists and nothing has been started yet.
	PhaseCreated Phase = "created"
	// PhaseRunning says that the main process runs.
	PhaseRunning Phase = "running"
	// PhasePaused says that the main process is frozen.
	PhasePaused Phase = "paused"
	// PhaseStopped says that the main process has ended; the layer is kept.
	PhaseStopped Phase = "stopped"
)

// Reason says in one word why a container is stopped.
type Reason string

// Why a container is stopped.
const (
	ReasonNone      Reason = ""
	ReasonExited    Reason = "exited"            // ended by itself
	ReasonOOM       Reason = "out-of-memory"     // the kernel killed a process over the memory limit
	ReasonNotFound  Reason = "command-not-found" // exit code 127
	ReasonNotExec   Reason = "not-executable"    // exit code 126
	ReasonStartFail Reason = "start-failed"      // exit code 128
	ReasonLost      Reason = "lost"              // host or engine ended it and nobody saw the exit code
)

// Exit codes of containers whose command never ran, as shells give them.
const (
	ExitNotExecutable   = 126
	ExitCommandNotFound = 127
	ExitStartFailed     = 128
	// ExitLost is reported when the true exit code was never seen.
	ExitLost = 255
)

// State is what the engine says about one container at the moment of asking.
type State struct {
	ID    ID
	Phase Phase
	// PID of the main process on the host; 0 unless running or paused.
	PID int
	// ExitCode of the last task; 128+n for a signal n. Meaningful when stopped.
	ExitCode  int
	OOMKilled bool
	Reason    Reason
	// Message is a sentence for people; empty when there is nothing to add.
	Message string
	// CreatedAt, StartedAt and FinishedAt are zero when not known or not yet.
	CreatedAt, StartedAt, FinishedAt time.Time
	ImageDigest                      string
	ImageName                        string
	Labels                           map[string]string
	Stdio                            Stdio
	TTY                              bool
	NetNSPath                        string
}

// EventKind says what happened.
type EventKind string

// What can happen to a container.
const (
	EventStarted EventKind = "started"
	EventExit    EventKind = "exit"
	EventOOM     EventKind = "oom"
	// EventResync says that events may have been missed (the engine was
	// restarted): list and compare.
	EventResync EventKind = "resync"
)

// Event is one thing that happened to a container. For EventExit, State is the
// recorded state after the exit.
type Event struct {
	Kind EventKind
	ID   ID
	At   time.Time
	// State is set for EventExit.
	State State
}

// Stats is a sample of what a container has used so far.
type Stats struct {
	At time.Time
	// CPU time used and time spent waiting because of the CPU limit.
	CPUTotal, CPUThrottled time.Duration
	// CPUPeriods and CPUThrottledPeriods count scheduler periods.
	CPUPeriods, CPUThrottledPeriods uint64
	// MemoryUsage in bytes without reclaimable file cache; MemoryLimit 0 = none.
	MemoryUsage, MemoryCache, MemoryLimit uint64
	PIDs                                  uint64
	// Bytes since the container's start.
	NetworkRx, NetworkTx  uint64
	BlockRead, BlockWrite uint64
	// OOMKills counts processes killed over the memory limit.
	OOMKills uint64
}
