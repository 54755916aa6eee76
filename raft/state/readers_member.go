package state

import (
	"bytes"
	"iter"
	"net/netip"

	"github.com/skerryhq/skerry/raft/model"
)

// JoinToken finds a join token by id.
func (v *View) JoinToken(id string) (*model.JoinToken, bool) {
	return first[model.JoinToken](v, tabJoinTokens, idxID, key(id))
}

// JoinTokens walks all join tokens by id. There are few of them.
func (v *View) JoinTokens() iter.Seq[*model.JoinToken] {
	return under[model.JoinToken](v, tabJoinTokens, idxID, nil)
}

// JoinTokenByHash finds a join token by the sha256 of its secret. Whether it may
// be used is for the caller to say.
func (v *View) JoinTokenByHash(hash []byte) (*model.JoinToken, bool) {
	if len(hash) == 0 {
		return nil, false
	}
	for t := range v.JoinTokens() {
		if bytes.Equal(t.Hash, hash) {
			return t, true
		}
	}
	return nil, false
}

// RemovedNode says whether a node was removed, by its id.
func (v *View) RemovedNode(id string) (*model.RemovedNode, bool) {
	return first[model.RemovedNode](v, tabRemovedNodes, idxID, key(id))
}

// Orphan finds a container that was given up, by the id it had.
func (v *View) Orphan(id string) (*model.Orphan, bool) {
	return first[model.Orphan](v, tabOrphans, idxID, key(id))
}

// Orphans walks all containers that were given up, by node.
func (v *View) Orphans() iter.Seq[*model.Orphan] {
	return under[model.Orphan](v, tabOrphans, idxNode, nil)
}

// OrphansOf walks the containers of a node that were given up.
func (v *View) OrphansOf(nodeID string) iter.Seq[*model.Orphan] {
	return under[model.Orphan](v, tabOrphans, idxNode, key(nodeID))
}

// AddressTaken says whether a container, or one that was given up and not yet
// confirmed gone, has an address.
func (v *View) AddressTaken(a netip.Addr) bool {
	_, taken := v.owner(a)
	return taken
}
