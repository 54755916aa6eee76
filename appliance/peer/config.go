package peer

import (
	"context"
	"log/slog"

	"github.com/skerryhq/skerry/appliance/pki"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// Config is what a Server works with. NodeID, Certs, Directory and Advertise are
// needed. Functions are called from the first connection on, from any goroutine,
// and should be quick where nothing else is said.
type Config struct {
	NodeID    string
	Version   string // of this binary
	DataDir   string // the address book is kept here, in peers.json; empty keeps none
	Certs     *pki.Certificates
	Directory Directory
	// Advertise says where others reach this node now, host:port. It is asked
	// every two seconds.
	Advertise func() string

	// Apply commits envelopes that another member forwarded, here on the leader,
	// and may take as long as ctx. nil on workers.
	Apply func(ctx context.Context, envelopes [][]byte) (index uint64, outcomes []command.Outcome, err error)
	// ReadIndex confirms that this node leads and gives its commit index. nil on
	// workers.
	ReadIndex func(ctx context.Context) (uint64, error)
	// Admitter lets hosts in: *Admission. nil on workers, which name members instead.
	Admitter Admitter

	// OnNewer is told when a member of this cluster is of a higher generation: a
	// member must stop, a worker is of that generation from now on. It may be called
	// more than once.
	OnNewer func(generation uint64, nodeID string)
	// OnExpelled is told when a member refuses this node for good ("node_removed").
	// It may be called more than once.
	OnExpelled func(err *model.Error)

	Log *slog.Logger
}

// Access says who may call a handler.
type Access int

// The callers. Both prove who they are with a certificate.
const (
	Members Access = iota // members of the cluster only
	Nodes                 // members and workers
)

// Caller is the node on the other end of a connection.
type Caller struct {
	NodeID  string
	Role    model.NodeRole
	Version string // of its binary
	Remote  string // its address, for the log
}

type callerKey struct{}

// CallerOf is the node that a request comes from.
func CallerOf(ctx context.Context) (Caller, bool) {
	c, ok := ctx.Value(callerKey{}).(Caller)
	return c, ok
}

// WithCaller gives a context in which CallerOf finds c. Tests of handlers use it.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}
