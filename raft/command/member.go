package command

import (
	"time"

	"github.com/skerryhq/skerry/raft/model"
)

// SetNodeHealth is the leader's word that a node is down, or up again.
type SetNodeHealth struct {
	Head
	NodeID string           `json:"nodeId"`
	Health model.NodeHealth `json:"health"`
}

// Type is TypeSetNodeHealth.
func (*SetNodeHealth) Type() Type { return TypeSetNodeHealth }

// Refs names the node.
func (c *SetNodeHealth) Refs() []Ref { return []Ref{{Kind: "node", ID: c.NodeID}} }

// JoinNode lets a host into the cluster with a join token: the token is used and
// the node made, or neither. Refusals: "join_token_unknown", "join_token_expired",
// "join_token_used", "join_token_revoked", "join_role" (the token is for another
// role), "name_taken", "node_removed" (its id was removed once), "already_joined".
// A repetition by the same node with the same key changes nothing and is allowed.
type JoinNode struct {
	Head
	Hash []byte     `json:"hash"` // of the token's secret
	Node model.Node `json:"node"` // EnvironmentID is filled in from the token
}

// Type is TypeJoinNode.
func (*JoinNode) Type() Type { return TypeJoinNode }

// Refs names the node.
func (c *JoinNode) Refs() []Ref { return []Ref{{Kind: "node", ID: c.Node.ID, Name: c.Node.Name}} }

// RemoveNode takes a node out for good: its row, its blocks and what it left
// behind go, and it is remembered as removed. Refused with "node_in_use" while
// containers are assigned to it or volumes live on it, unless Force; then its
// containers are evicted and its volumes forgotten. The last member stays
// ("last_member").
type RemoveNode struct {
	Head
	ID            string `json:"id"`
	ExpectVersion uint64 `json:"expectVersion"`
	Force         bool   `json:"force,omitempty"`
}

// Type is TypeRemoveNode.
func (*RemoveNode) Type() Type { return TypeRemoveNode }

// Refs names the node.
func (c *RemoveNode) Refs() []Ref { return []Ref{{Kind: "node", ID: c.ID}} }

// PutJoinToken makes a join token. Tokens whose end is more than a day past go
// with it.
type PutJoinToken struct {
	Head
	Token model.JoinToken `json:"token"`
}

// Type is TypePutJoinToken.
func (*PutJoinToken) Type() Type { return TypePutJoinToken }

// Refs names the token.
func (c *PutJoinToken) Refs() []Ref {
	return []Ref{{Kind: "join-token", ID: c.Token.ID, Name: c.Token.Name}}
}

// RevokeJoinToken makes a join token useless.
type RevokeJoinToken struct {
	Head
	ID string `json:"id"`
}

// Type is TypeRevokeJoinToken.
func (*RevokeJoinToken) Type() Type { return TypeRevokeJoinToken }

// Refs names the token.
func (c *RevokeJoinToken) Refs() []Ref { return []Ref{{Kind: "join-token", ID: c.ID}} }

// EvictContainers gives containers of a node up, because it is down: their rows
// become orphans of that node, and name and slot are free. The node must be down
// ("node_up"). Containers that are gone or on another node are passed over.
type EvictContainers struct {
	Head
	NodeID string   `json:"nodeId"`
	IDs    []string `json:"ids"`
}

// Type is TypeEvictContainers.
func (*EvictContainers) Type() Type { return TypeEvictContainers }

// Refs names the containers.
func (c *EvictContainers) Refs() []Ref {
	out := make([]Ref, len(c.IDs))
	for i, id := range c.IDs {
		out[i] = Ref{Kind: "container", ID: id}
	}
	return out
}

// RotationStep is a step of the replacement of the cluster's authority.
type RotationStep string

// The steps, in order.
const (
	RotationBegin  RotationStep = "begin"  // NextCert and NextKey become known; refused ("rotation_running") while another runs
	RotationSwitch RotationStep = "switch" // the next authority issues from now on
	RotationFinish RotationStep = "finish" // the old one is trusted no more
)

// RotateAuthority moves the replacement of the cluster's authority one step on.
// A step that is not the next one is refused ("rotation_step").
type RotateAuthority struct {
	Head
	Step     RotationStep `json:"step"`
	NextCert []byte       `json:"nextCert,omitempty"` // PEM; begin only
	NextKey  model.Sealed `json:"nextKey,omitempty"`  // begin only
}

// Type is TypeRotateAuthority.
func (*RotateAuthority) Type() Type { return TypeRotateAuthority }

// Refs names nothing: the authority belongs to the cluster.
func (*RotateAuthority) Refs() []Ref { return nil }

// RaiseGeneration is the first entry after the recovery of a lost quorum. A
// generation that is not higher than the present one is refused
// ("generation_not_raised").
type RaiseGeneration struct {
	Head
	Generation uint64    `json:"generation"`
	Survivors  []string  `json:"survivors"` // ids of the nodes that took part
	LastIndex  uint64    `json:"lastIndex"` // of the newest entry that any survivor held
	At         time.Time `json:"at"`
}

// Type is TypeRaiseGeneration.
func (*RaiseGeneration) Type() Type { return TypeRaiseGeneration }

// Refs names the survivors.
func (c *RaiseGeneration) Refs() []Ref {
	out := make([]Ref, len(c.Survivors))
	for i, id := range c.Survivors {
		out[i] = Ref{Kind: "node", ID: id}
	}
	return out
}
