package node

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// rpcTimeout bounds a request to another member. It is short because a wire that
// was cut and mended may hold an old request back for much longer than a new
// connection takes.
const rpcTimeout = 2 * time.Second

// newTransport gives the transport of a node that is alone, or one over the
// stream layer. Either way a node's address is its id.
func newTransport(cfg Config) (raft.Transport, func() error) {
	if cfg.Stream == nil {
		_, t := raft.NewInmemTransport(raft.ServerAddress(cfg.ID))
		return t, t.Close
	}
	t := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: stream{cfg.Stream}, MaxPool: 4, MaxRPCsInFlight: 16, Timeout: rpcTimeout, Logger: newLogger(cfg.Log.With("component", "raft")),
		ServerAddressProvider: byID{},
	})
	return named{t, raft.ServerAddress(cfg.ID)}, t.Close
}

// stream fits a StreamLayer to raft.
type stream struct{ StreamLayer }

// Dial connects to the node whose id is the address.
func (s stream) Dial(a raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return s.StreamLayer.Dial(string(a), timeout)
}

// byID makes raft dial ids.
type byID struct{}

// ServerAddr is the id itself.
func (byID) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	return raft.ServerAddress(id), nil
}

// named is a transport whose own address is the node's id.
type named struct {
	*raft.NetworkTransport
	addr raft.ServerAddress
}

// LocalAddr is the node's id.
func (t named) LocalAddr() raft.ServerAddress { return t.addr }

var (
	errSilent  = errors.New("this node keeps silent: its disk or its state machine is stuck")
	errNoPeer  = errors.New("no longer this member's leader")
	errNoReply = errors.New("skipped: nothing to tell")
)

// sender is raft's whole transport, pre-votes included.
type sender interface {
	raft.Transport
	raft.WithPreVote
}

// watched is the transport that raft uses. It notes in peers what the others
// answer, keeps silent for a node that must not lead, and spares a member that
// is away raft's ever longer pauses: what is for it waits until its heartbeat is
// answered again.
type watched struct {
	sender
	peers  *peers
	silent atomic.Bool               // nothing goes out but answers
	raft   atomic.Pointer[raft.Raft] // nil until raft runs
	over   <-chan struct{}           // closed when the node closes

	mu    sync.Mutex
	pipes map[*pipeline]struct{} // guarded by mu
}

// heartbeat says whether a request is one of raft's heartbeats, which carry
// nothing and are sent beside the entries.
func heartbeat(r *raft.AppendEntriesRequest) bool {
	return r.Entries == nil && r.PrevLogEntry == 0 && r.LeaderCommitIndex == 0
}

// upTo is the newest entry that a follower that took a request has.
func upTo(r *raft.AppendEntriesRequest) uint64 {
	if n := len(r.Entries); n > 0 {
		return r.Entries[n-1].Index
	}
	return r.PrevLogEntry
}

// AppendEntries sends entries or a heartbeat.
func (t *watched) AppendEntries(id raft.ServerID, to raft.ServerAddress, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if !heartbeat(req) {
		if err := t.awaitReturn(id, req.Term); err != nil {
			return err
		}
	}
	if t.silent.Load() {
		return errSilent
	}
	number := t.peers.send()
	if err := t.sender.AppendEntries(id, to, req, resp); err != nil {
		t.peers.failed(id)
		return err
	}
	t.peers.answered(id, req.Term, number, upTo(req), resp.Success && resp.Term == req.Term)
	return nil
}

// InstallSnapshot sends a snapshot.
func (t *watched) InstallSnapshot(id raft.ServerID, to raft.ServerAddress, req *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	if err := t.awaitReturn(id, req.Term); err != nil {
		return err
	}
	if t.silent.Load() {
		return errSilent
	}
	if err := t.sender.InstallSnapshot(id, to, req, resp, data); err != nil {
		t.peers.failed(id)
		return err
	}
	t.peers.answered(id, req.Term, 0, req.LastLogIndex, resp.Success && resp.Term == req.Term)
	return nil
}

// awaitReturn waits while a member is away and this node leads it.
func (t *watched) awaitReturn(id raft.ServerID, term uint64) error {
	for {
		changed := t.peers.watch()
		if !t.peers.now(id).away {
			return nil
		}
		pause := time.NewTimer(100 * time.Millisecond)
		select {
		case <-changed:
			pause.Stop()
		case <-t.over:
			pause.Stop()
			return errNoPeer
		case <-pause.C:
			if r := t.raft.Load(); r == nil || r.State() != raft.Leader || r.CurrentTerm() != term || !configured(r, id) {
				return errNoPeer
			}
		}
	}
}

func configured(r *raft.Raft, id raft.ServerID) bool {
	for _, s := range r.GetConfiguration().Configuration().Servers {
		if s.ID == id {
			return true
		}
	}
	return false
}

// RequestVote asks for a vote.
func (t *watched) RequestVote(id raft.ServerID, to raft.ServerAddress, req *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	if t.silent.Load() {
		return errSilent
	}
	return t.sender.RequestVote(id, to, req, resp)
}

// RequestPreVote asks whether a vote would be given.
func (t *watched) RequestPreVote(id raft.ServerID, to raft.ServerAddress, req *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	if t.silent.Load() {
		return errSilent
	}
	return t.sender.RequestPreVote(id, to, req, resp)
}
