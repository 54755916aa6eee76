// Package scheduler decides which node runs a container that has none yet. It
// is pure: no I/O, clock, randomness or logging; the same input gives the same
// choice whatever order it comes in. The control loop keeps a Board up to date,
// asks it for a Run per service, and proposes what the run answers.
//
// A node fits when it is in the environment, takes containers, meets every
// constraint, holds the volumes, keeps to affinities, and has what the replica
// reserves. Among those that fit, spread takes the failure domain with the
// fewest replicas, then the node with the fewest, then the emptiest, then one
// that holds the image; binpack the fullest. Ties go to the lower id.
//
// A Board and its Runs belong to one goroutine.
package scheduler

import (
	"net/netip"

	"github.com/skerryhq/skerry/raft/model"
)

// Node is what the scheduler needs to know of one node.
type Node struct {
	ID            string
	Name          string
	EnvironmentID string
	Role          model.NodeRole
	Architecture  string
	OS            string
	Labels        map[string]string
	Address       netip.Addr      // of its control plane; zero if not known
	Closed        string          // why it takes nothing new, in words ("is down: ..."); empty if it does
	Capacity      model.Resources // 0: not reported
}

// Request is what the replicas of one service ask for.
type Request struct {
	ServiceID     string
	EnvironmentID string
	Strategy      model.Strategy
	Reserve       model.Resources // for each replica
	Constraints   []Constraint
	Homes         []Home       // nodes that hold something that the replicas need
	HostIPs       []netip.Addr // addresses that it publishes ports on; one that a node is known by binds to that node
	Near          []Peer       // services of which one replica must be on the node
	Apart         []Peer       // services, perhaps itself, of which none may be
	SpreadBy      string       // node label; empty: none
	Image         string       // digest, for ties
}

// Home is a volume with the node that its data lives on.
type Home struct {
	Volume string // its name
	NodeID string
}

// Peer is another service of the same app.
type Peer struct {
	ServiceID string
	Name      string
}

// Decision is a node, or the reason why there is none.
type Decision struct {
	NodeID string // empty if none fits
	Reason string // a sentence, for the object
}
