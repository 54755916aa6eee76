package peer

import (
	"time"

	"github.com/skerryhq/skerry/appliance/pki"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// Node is what is known of a node besides what it announces.
type Node struct {
	ID        string         `json:"id"`
	Name      string         `json:"name,omitempty"`
	Role      model.NodeRole `json:"role,omitempty"`
	PublicKey []byte         `json:"publicKey,omitempty"` // PKIX DER; empty: not known
	Address   string         `json:"address,omitempty"`   // host:port; may be old
	// Environment is the id of the node's environment; a worker hears of members
	// and of the nodes of its own only.
	Environment string `json:"environment,omitempty"`
}

// Directory says to which cluster this node belongs and which nodes are known.
type Directory interface {
	// Cluster gives the cluster's id, empty while there is none, and the
	// generation, the highest that is known.
	Cluster() (id string, generation uint64)
	// Node finds a node. A node that is not known may be newer than what is known
	// here: then its certificate alone counts. Errors: "node_removed".
	Node(id string) (n Node, known bool, err error)
	// Nodes lists all known nodes.
	Nodes() []Node
	// Authorities gives those that the cluster trusts, as of pki.TrustText; nothing
	// where that is not known.
	Authorities() []byte
}

// Replica is a Directory over the state of a member. View gives the state, or
// nil while it is not open (always on a worker); Base gives what the node was
// told when it joined, for the time before the state is here.
type Replica struct {
	View func() *state.View
	Base func() (clusterID string, generation uint64)
}

var _ Directory = Replica{}

func (r Replica) view() *state.View {
	if r.View == nil {
		return nil
	}
	return r.View()
}

// Cluster gives what the state says or, before it is here, what Base says.
func (r Replica) Cluster() (string, uint64) {
	var id string
	var generation uint64
	if r.Base != nil {
		id, generation = r.Base()
	}
	if v := r.view(); v != nil {
		if cl, ok := v.Cluster(); ok {
			id, generation = cl.ID, max(generation, cl.Generation)
		}
	}
	if id != "" {
		generation = max(generation, 1)
	}
	return id, generation
}

// Node finds a node of the state.
func (r Replica) Node(id string) (Node, bool, error) {
	v := r.view()
	if v == nil {
		return Node{}, false, nil
	}
	if n, ok := v.Node(id); ok {
		return recordOf(n), true, nil
	}
	if gone, was := v.RemovedNode(id); was {
		return Node{}, false, model.Errorf(model.KindDenied, "node_removed", "node %s was removed from the cluster by %s at %s; run `skerry reset --data` on it and join it with a new token",
			gone.Name, gone.Actor, gone.At.UTC().Format(time.RFC3339))
	}
	return Node{}, false, nil
}

// Nodes lists the nodes of the state.
func (r Replica) Nodes() []Node {
	v := r.view()
	if v == nil {
		return nil
	}
	var out []Node
	for n := range v.Nodes() {
		out = append(out, recordOf(n))
	}
	return out
}

// Authorities gives those of the state.
func (r Replica) Authorities() []byte {
	v := r.view()
	if v == nil {
		return nil
	}
	cl, ok := v.Cluster()
	if !ok {
		return nil
	}
	return pki.TrustText(cl)
}

func recordOf(n *model.Node) Node {
	role := n.Role
	if role == "" {
		role = model.NodeMember
	}
	return Node{ID: n.ID, Name: n.Name, Role: role, PublicKey: n.PublicKey, Address: n.Status.Address, Environment: n.EnvironmentID}
}
