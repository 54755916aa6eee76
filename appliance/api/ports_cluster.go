package api

import (
	"context"
	"time"

	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// Joiner makes this node, which has no cluster, a part of one; the composition
// root implements it. Join returns when everything that the node needs is on
// its disk; the node starts its parts again after that, so a reply must not
// depend on them. A Join that fails leaves the node as it was. With in.Rejoin it
// fetches the state anew with the certificate that the node has. Errors:
// "already_joined", "join_token_invalid", "authority_wrong",
// "join_token_expired", "join_token_used", "join_token_revoked",
// "join_token_unknown", "join_role", "join_environment", "member_unreachable",
// "clock_skew", "version_too_old", "name_taken", "node_removed".
type Joiner interface {
	Join(ctx context.Context, in JoinInput, report Report) (*JoinResult, error)
}

// Recoverer makes the survivors of a lost quorum a cluster again. Nothing can be
// proposed when it is called. Errors: "quorum_alive" (without in.Force),
// "not_initialized".
type Recoverer interface {
	Recover(ctx context.Context, in RecoverInput) (*RecoverResult, error)
}

// QuorumReader says who votes, who leads and how many more may be lost. It
// answers also where there is no quorum, then from what this node knows itself.
type QuorumReader interface {
	Quorum(ctx context.Context) (*Quorum, error)
}

// Rotator begins the replacement of the cluster's authority; the loops of the
// leader carry it on. Error: "rotation_running".
type Rotator interface {
	RotateAuthority(ctx context.Context, origin model.Origin) error
}

// ClusterConfig is what a Server needs for the operations on several nodes.
// Where a field is nil its operations answer that this node does not offer them.
type ClusterConfig struct {
	Joiner    Joiner
	Recoverer Recoverer
	Quorum    QuorumReader
	Rotator   Rotator
	// NewJoinToken makes the text of a join token and the sha256 of its secret.
	NewJoinToken func(role model.NodeRole, environment string, expires time.Time) (text string, hash []byte, err error)
	// MemberAddresses are HOST:PORT of the members that a new host may dial, the
	// best first; this node's own are among them.
	MemberAddresses func() []string
	// Enrolled says that this node belongs to a cluster, even if nothing of its
	// state is here yet.
	Enrolled func() bool
	// Drain says what is left on a node and why it has not moved.
	Drain func(v *state.View, nodeID string) NodeDrain
}
