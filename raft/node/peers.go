package node

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// peers is what this node has observed of the others while it led: which
// entries they have on their disks and when they were last heard. raft keeps the
// same figures to itself.
type peers struct {
	mu      sync.Mutex
	byID    map[raft.ServerID]*peer // guarded by mu
	sent    uint64                  // guarded by mu; number of the newest request that was sent
	changed chan struct{}           // guarded by mu; closed and dropped when something was learned; nil while nobody waits
}

// peer is one of them.
type peer struct {
	term      uint64    // in which it answered
	match     uint64    // the newest entry that it has on its disk, of that term's log
	confirmed uint64    // number of the newest request that it took from us as its leader
	heard     time.Time // when it last answered
	away      bool      // the last request failed
}

func newPeers() *peers { return &peers{byID: map[raft.ServerID]*peer{}} }

// send numbers a request that is about to go out.
func (p *peers) send() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent++
	return p.sent
}

// of gives the record of a peer; mu must be held.
func (p *peers) of(id raft.ServerID) *peer {
	e := p.byID[id]
	if e == nil {
		e = &peer{}
		p.byID[id] = e
	}
	return e
}

// failed notes a request that was not answered.
func (p *peers) failed(id raft.ServerID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.of(id).away = true
}

// answered notes an answer to a request of a term. number is the request's, 0 if
// it was not counted; match is the newest entry that the answer vouches for, 0
// if none.
func (p *peers) answered(id raft.ServerID, term, number, match uint64, took bool) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.of(id)
	e.heard, e.away = now, false
	if term > e.term {
		e.term, e.match, e.confirmed = term, 0, 0
	}
	if took && term == e.term {
		e.match, e.confirmed = max(e.match, match), max(e.confirmed, number)
	}
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// watch gives a channel that is closed when something is learned. Take it before
// looking.
func (p *peers) watch() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return p.changed
}

// now gives what is known of a peer.
func (p *peers) now(id raft.ServerID) peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.byID[id]; e != nil {
		return *e
	}
	return peer{}
}

// last is the number of the newest request sent.
func (p *peers) last() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent
}
