// Package worker is what a node does that holds no state: it finds a member to
// talk to, has its agent's word written down by it, and passes browsers and
// registry clients on to it without ending their TLS. Members use Reports, the
// other end of the first. It never decides anything about containers: that is
// the agent's, fed by a nodeview from a member.
//
// Everything here is safe for concurrent use.
package worker

import (
	"context"
	"net/http"
	"slices"
	"sync"

	"github.com/skerryhq/skerry/raft/model"
)

// Peers reaches other nodes; appliance/peer implements it.
type Peers interface {
	Client(nodeID string) *http.Client
}

// Finder remembers which member answers.
type Finder struct {
	peers   Peers
	members func() []string // ids of all members that are known, in a stable order

	mu      sync.Mutex
	current string // guarded by mu; empty: not chosen yet
}

// NewFinder makes a finder. members may be called at any time.
func NewFinder(peers Peers, members func() []string) *Finder {
	return &Finder{peers: peers, members: members}
}

// Member is the member to talk to now, with a client for it. Errors:
// "no_member".
func (f *Finder) Member() (id string, c *http.Client, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.members()
	if len(all) == 0 {
		return "", nil, model.Errorf(model.KindUnavailable, "no_member", "this worker knows no member of its cluster; join it again")
	}
	if !slices.Contains(all, f.current) {
		f.current = all[0]
	}
	return f.current, f.peers.Client(f.current), nil
}

// Failed says that a member did not answer: the next one is tried. It does
// nothing if somebody else has moved on already.
func (f *Finder) Failed(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.members()
	if f.current != id || len(all) == 0 {
		return
	}
	f.current = all[(slices.Index(all, id)+1)%len(all)]
}

// Each calls try with one member after the other, beginning with the present
// one, until it succeeds or all have failed; the error is the last one's. A
// *model.Error that a member gave is its answer, and final.
func (f *Finder) Each(ctx context.Context, try func(id string, c *http.Client) error) error {
	var err error
	for range max(1, len(f.members())) {
		id, c, ferr := f.Member()
		if ferr != nil {
			return ferr
		}
		if err = try(id, c); err == nil || answered(err) || ctx.Err() != nil {
			return err
		}
		f.Failed(id)
	}
	return err
}

// answered says whether an error is a member's word rather than its silence.
func answered(err error) bool {
	switch model.CodeOf(err) {
	case "", "no_leader", "closing", "unreachable", "busy":
		return false
	default:
		return true
	}
}
