package model

import (
	"net/netip"
	"time"
)

// NodeRole says what part a node takes in the cluster.
type NodeRole string

// The roles of nodes. A member holds the whole state and serves API and console;
// a worker runs containers and holds nothing but what they need.
const (
	NodeMember NodeRole = "member"
	NodeWorker NodeRole = "worker"
)

// Availability is whether a node takes containers.
type Availability string

// The availabilities. Empty means active.
const (
	NodeActive Availability = "active"
	NodeDrain  Availability = "drain" // what runs here moves away, nothing new comes
)

// Suffrage is what an administrator wants of a member's vote. Empty leaves it to
// the autopilot.
type Suffrage string

// The wishes. A wish that the rules of the quorum forbid waits and says so.
const (
	SuffrageVoter   Suffrage = "voter"   // `node promote`
	SuffrageStandby Suffrage = "standby" // `node demote`
)

// HealthState is what the leader believes of a node.
type HealthState string

// The states. Empty means up: a node is believed until its lease ran out.
const (
	NodeUp   HealthState = "up"
	NodeDown HealthState = "down"
)

// NodeHealth is the leader's word about a node, committed when it changes only:
// heartbeats themselves never enter the log.
type NodeHealth struct {
	State  HealthState `json:"state,omitempty"`
	Since  time.Time   `json:"since,omitzero"`
	Reason string      `json:"reason,omitempty"` // a sentence
}

// Down says whether the leader has given the node up for now.
func (n *Node) Down() bool { return n.Health.State == NodeDown }

// Member says whether the node holds the whole state. Rows of before there were
// roles have none.
func (n *Node) Member() bool { return n.Role != NodeWorker }

// Orphan is a container that was given up because its node was down: its
// replacement has taken name and slot. It keeps its address until the node has
// come back and confirmed that nothing is left of it, or is removed itself.
type Orphan struct {
	ID        string     `json:"id"` // of the container that was
	Name      string     `json:"name"`
	TenantID  string     `json:"tenantId"`
	NodeID    string     `json:"nodeId"`
	ServiceID string     `json:"serviceId"`
	Address   netip.Addr `json:"address,omitzero"`
	Since     time.Time  `json:"since"`
}

// RemovedNode remembers a node that was removed, so that it is refused with a
// sentence when it comes back.
type RemovedNode struct {
	ID    string    `json:"id"`
	Name  string    `json:"name"`
	Actor string    `json:"actor"` // who removed it
	At    time.Time `json:"at"`
}

// JoinToken lets hosts join. Its secret is shown once. A row stays until a day
// after its end, so that a late joiner is told what happened to it.
type JoinToken struct {
	Meta                    // Name is the first characters of the token's id, for people
	Hash          []byte    `json:"hash"` // sha256 of the secret
	Role          NodeRole  `json:"role"`
	EnvironmentID string    `json:"environmentId"`
	Uses          int       `json:"uses"` // how many hosts may join with it
	Used          int       `json:"used"`
	ExpiresAt     time.Time `json:"expiresAt"`
	Revoked       bool      `json:"revoked,omitempty"`
	CreatedBy     string    `json:"createdBy"`
}

// RotationPhase is how far the replacement of the cluster's authority has come.
type RotationPhase string

// The phases, in order. Each waits until every node has followed.
const (
	RotationTrust RotationPhase = "trust" // everybody learns to trust the next authority
	RotationIssue RotationPhase = "issue" // the next authority issues; the old one is still trusted
)

// Rotation is a replacement of the cluster's authority under way.
type Rotation struct {
	Phase     RotationPhase `json:"phase"`
	StartedAt time.Time     `json:"startedAt"`
	// OtherCert is the authority that does not issue (PEM): the next one while
	// Phase is trust, the previous one while it is issue.
	OtherCert []byte `json:"otherCert"`
	OtherKey  Sealed `json:"otherKey,omitempty"` // of the next one; gone when it issues
}

// Placement says on which nodes replicas may run. The zero Placement spreads
// them over the nodes of the environment.
type Placement struct {
	Strategy     Strategy `json:"strategy,omitempty"`
	Constraints  []string `json:"constraints,omitempty"`  // "node.labels.disk==ssd", "node.name!=a", "node.role==worker", "node.arch==amd64"; all must hold
	Affinity     []string `json:"affinity,omitempty"`     // names of services of the same app: run where one of each runs
	AntiAffinity []string `json:"antiAffinity,omitempty"` // names of services of the same app not to share a node with; the service's own name: one replica a node
	SpreadBy     string   `json:"spreadBy,omitempty"`     // a node label, e.g. "zone": replicas are spread over its values first
}

// Strategy is how the scheduler chooses among the nodes that fit.
type Strategy string

// The strategies. Empty means spread.
const (
	Spread  Strategy = "spread"  // the node with the fewest replicas of the service, then the emptiest
	BinPack Strategy = "binpack" // the fullest node that still has room
)

// Resources are amounts of a node.
type Resources struct {
	CPUMillis   int64 `json:"cpuMillis,omitempty"` // thousandths of a core
	MemoryBytes int64 `json:"memoryBytes,omitempty"`
}
