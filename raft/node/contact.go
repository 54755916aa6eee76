package node

import (
	"time"

	"github.com/hashicorp/raft"
)

// LastContact is how long ago this node last had a leader's word: zero while it
// leads itself. False if it has had none since it started.
func (n *Node) LastContact() (time.Duration, bool) {
	if n.raft.State() == raft.Leader {
		return 0, true
	}
	at := n.raft.LastContact()
	if at.IsZero() {
		return 0, false
	}
	return time.Since(at), true
}
