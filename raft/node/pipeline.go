package node

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// keepAlive is how often a request without news goes out on a pipeline all the
// same: a member that was started again learns by it what is committed.
const keepAlive = 150 * time.Millisecond

// AppendEntriesPipeline opens a pipeline.
func (t *watched) AppendEntriesPipeline(id raft.ServerID, to raft.ServerAddress) (raft.AppendPipeline, error) {
	if t.silent.Load() {
		return nil, errSilent
	}
	inner, err := t.sender.AppendEntriesPipeline(id, to)
	if err != nil {
		return nil, err
	}
	p := &pipeline{sending: make(chan struct{}, 1), AppendPipeline: inner, t: t, id: id, out: make(chan raft.AppendFuture, 16), kick: make(chan struct{}, 1), closed: make(chan struct{})}
	t.mu.Lock()
	if t.pipes == nil {
		t.pipes = map[*pipeline]struct{}{}
	}
	t.pipes[p] = struct{}{}
	t.mu.Unlock()
	go p.pass() // both end with Close
	go p.tellWhenKicked()
	return p, nil
}

// committed lets the followers know soon that more is committed: raft by itself
// tells them with the next entry, or after some fifty milliseconds, and a write
// that one of them forwarded is answered only when it is applied there.
func (t *watched) committed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for p := range t.pipes {
		p.nudge()
	}
}

// pipeline is one pipeline to a member.
type pipeline struct {
	raft.AppendPipeline
	t         *watched
	id        raft.ServerID
	out       chan raft.AppendFuture
	kick      chan struct{}
	closed    chan struct{}
	closeOnce sync.Once

	sending chan struct{} // has room for one; holds a token while a request is written, which may take long
	mu      sync.Mutex
	flying  int                        // guarded by mu; requests without an answer
	last    *raft.AppendEntriesRequest // guarded by mu; the newest request
	told    time.Time                  // guarded by mu; when that was sent
}

func (p *pipeline) nudge() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// AppendEntries sends a request, unless it has nothing to tell.
func (p *pipeline) AppendEntries(req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	if p.t.silent.Load() {
		return nil, errSilent
	}
	p.sending <- struct{}{}
	defer func() { <-p.sending }()
	return p.send(req, resp)
}

// send is AppendEntries; sending must be held.
func (p *pipeline) send(req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	now := time.Now()
	p.mu.Lock()
	if p.last != nil && len(req.Entries) == 0 && req.LeaderCommitIndex <= p.last.LeaderCommitIndex && now.Sub(p.told) < keepAlive {
		p.mu.Unlock()
		return skipped{start: now, req: req, resp: resp}, nil // raft hears of answers by Consumer only
	}
	p.last, p.told = req, now
	p.flying++
	p.mu.Unlock()
	return p.AppendPipeline.AppendEntries(req, resp)
}

// tellWhenKicked sends the commit index on a pipeline where nothing is on its
// way that would carry it.
func (p *pipeline) tellWhenKicked() {
	for {
		select {
		case <-p.kick:
			p.tell()
		case <-p.closed:
			return
		}
	}
}

// tell sends what raft itself would send next if it had no entry: the same
// place in the log, and the commit index of this moment.
func (p *pipeline) tell() {
	r := p.t.raft.Load()
	if r == nil {
		return
	}
	p.sending <- struct{}{}
	defer func() { <-p.sending }()
	p.mu.Lock()
	last, flying := p.last, p.flying
	p.mu.Unlock()
	if last == nil || flying > 0 || p.t.silent.Load() {
		return // pass comes back to it when the answer is there
	}
	req := &raft.AppendEntriesRequest{RPCHeader: last.RPCHeader, Term: last.Term, Leader: last.Leader,
		PrevLogEntry: last.PrevLogEntry, PrevLogTerm: last.PrevLogTerm, LeaderCommitIndex: r.CommitIndex()}
	if k := len(last.Entries); k > 0 {
		req.PrevLogEntry, req.PrevLogTerm = last.Entries[k-1].Index, last.Entries[k-1].Term
	}
	if req.LeaderCommitIndex <= last.LeaderCommitIndex || r.State() != raft.Leader || r.CurrentTerm() != last.Term {
		return // the last two after the commit index was read: it is that of our term
	}
	_, _ = p.send(req, new(raft.AppendEntriesResponse)) // a broken pipeline shows at raft's next request
}

// Consumer gives the answers.
func (p *pipeline) Consumer() <-chan raft.AppendFuture { return p.out }

// Close ends the pipeline.
func (p *pipeline) Close() error {
	p.closeOnce.Do(func() {
		close(p.closed)
		p.t.mu.Lock()
		defer p.t.mu.Unlock()
		delete(p.t.pipes, p)
	})
	return p.AppendPipeline.Close()
}

// pass hands answers on, having noted them.
func (p *pipeline) pass() {
	in := p.AppendPipeline.Consumer()
	for {
		select {
		case f := <-in:
			if req, resp := f.Request(), f.Response(); resp.Success && resp.Term == req.Term {
				p.t.peers.answered(p.id, req.Term, 0, upTo(req), true)
			}
			p.mu.Lock()
			p.flying--
			idle := p.flying == 0
			p.mu.Unlock()
			if idle {
				p.nudge()
			}
			select {
			case p.out <- f:
			case <-p.closed:
				return
			}
		case <-p.closed:
			return
		}
	}
}

// skipped is the future of a request that did not go out.
type skipped struct {
	start time.Time
	req   *raft.AppendEntriesRequest
	resp  *raft.AppendEntriesResponse
}

func (s skipped) Error() error                          { return errNoReply }
func (s skipped) Start() time.Time                      { return s.start }
func (s skipped) Request() *raft.AppendEntriesRequest   { return s.req }
func (s skipped) Response() *raft.AppendEntriesResponse { return s.resp }
