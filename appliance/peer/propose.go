package peer

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
)

// serveProposals works on forwarded writes and read indexes of one member.
func (s *Server) serveProposals(ctx context.Context, c net.Conn, caller Caller) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	w := newFrameWriter()
	var work sync.WaitGroup
	go func() { w.run(c, done) }() // ends when this function does
	defer close(done)
	defer work.Wait()
	defer cancel()
	slots := make(chan struct{}, maxAtOnce)
	r := bufio.NewReaderSize(c, 64<<10)
	for {
		_ = c.SetReadDeadline(time.Now().Add(4 * pongLimit)) // the other side pings
		f, err := readFrame(r)
		if err != nil {
			if !errors.Is(err, io.EOF) && ctx.Err() == nil {
				s.log.Debug("a connection for forwarded writes ended", "node", caller.NodeID, "remote", caller.Remote, "err", err)
			}
			return
		}
		if f.kind == kindPing {
			_ = w.put(frame{kind: kindPong, call: f.call})
			continue
		}
		slots <- struct{}{}
		work.Go(func() {
			defer func() { <-slots }()
			answer := s.work(ctx, f)
			answer.call = f.call
			_ = w.put(answer) // the connection is gone: the other side has seen that
		})
	}
}

// work does what one frame asks for.
func (s *Server) work(ctx context.Context, f frame) frame {
	switch {
	case f.kind == kindPropose && s.cfg.Apply != nil:
		envelopes, err := splitEnvelopes(f.body)
		if err != nil {
			return failed(err)
		}
		index, outcomes, err := s.cfg.Apply(ctx, envelopes)
		if err != nil {
			return failed(err)
		}
		body, err := packOutcomes(index, outcomes)
		if err != nil {
			return failed(err)
		}
		return frame{kind: kindResult, body: body}
	case f.kind == kindReadIndex && s.cfg.ReadIndex != nil:
		index, err := s.cfg.ReadIndex(ctx)
		if err != nil {
			return failed(err)
		}
		return frame{kind: kindIndex, body: binary.AppendUvarint(nil, index)}
	default:
		return failed(model.Errorf(model.KindInvalid, "frame_unknown", "this node does not know what a frame of kind %d asks for", f.kind))
	}
}

func failed(err error) frame {
	body, merr := json.Marshal(ProblemOf(err))
	if merr != nil {
		body = nil
	}
	return frame{kind: kindError, body: body}
}

// link is a connection over which this node forwards to another one.
type link struct {
	conn  net.Conn
	w     *frameWriter
	done  chan struct{} // closed when it broke
	ready chan struct{} // closed when conn or err is there
	err   error         // why there is no connection; set before ready

	mu    sync.Mutex
	next  uint64                // guarded by mu
	calls map[uint64]chan frame // guarded by mu; nil when it broke
	heard time.Time             // guarded by mu
}

// Forward hands encoded commands to the leader and gives what applying them
// there gave. One connection carries many calls at once. Errors: node.ErrNotDone
// under "node_unreachable"; node.ErrOutcomeUnknown; what the leader says.
func (p *Peers) Forward(ctx context.Context, leaderID string, envelopes [][]byte) (uint64, []command.Outcome, error) {
	f, err := p.call(ctx, leaderID, frame{kind: kindPropose, body: joinEnvelopes(envelopes)})
	if err != nil {
		return 0, nil, err
	}
	if f.kind != kindResult {
		return 0, nil, errFrame
	}
	return unpackOutcomes(f.body)
}

// ReadIndex asks the leader to confirm that it leads, and gives its commit index.
// Errors as of Forward.
func (p *Peers) ReadIndex(ctx context.Context, leaderID string) (uint64, error) {
	f, err := p.call(ctx, leaderID, frame{kind: kindReadIndex})
	if err != nil {
		return 0, err
	}
	index, n := binary.Uvarint(f.body)
	if f.kind != kindIndex || n <= 0 {
		return 0, errFrame
	}
	return index, nil
}

// call sends a frame and waits for its answer.
func (p *Peers) call(ctx context.Context, nodeID string, f frame) (frame, error) {
	if 1+frameHead+len(f.body) > maxFrame {
		return frame{}, model.Errorf(model.KindTooLarge, "command_too_large", "this change is %d bytes long; at most %d fit into one", len(f.body), command.MaxEntry)
	}
	l, err := p.link(ctx, nodeID)
	if err != nil {
		return frame{}, err
	}
	answer := make(chan frame, 1)
	l.mu.Lock()
	if l.calls == nil {
		l.mu.Unlock()
		return frame{}, unreachable(nodeID, net.ErrClosed)
	}
	l.next++
	f.call = l.next
	l.calls[f.call] = answer
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.calls, f.call)
		l.mu.Unlock()
	}()
	if err := l.w.put(f); err != nil {
		if e, ok := errors.AsType[*model.Error](err); ok {
			return frame{}, e
		}
		return frame{}, unreachable(nodeID, err)
	}
	select {
	case a := <-answer:
		return a.orError()
	case <-l.done:
		select {
		case a := <-answer: // it came in just before
			return a.orError()
		default:
		}
		return frame{}, lost(f.kind, fmt.Errorf("the connection to node %s broke", nodeID))
	case <-ctx.Done():
		return frame{}, lost(f.kind, context.Cause(ctx))
	}
}

var _ node.Forwarder = (*Peers)(nil)

// orError is the error that an answer is.
func (f frame) orError() (frame, error) {
	if f.kind != kindError {
		return f, nil
	}
	var p Problem
	if err := json.Unmarshal(f.body, &p); err != nil {
		return frame{}, errFrame
	}
	return frame{}, p.Err()
}

// lost is the error of a call that was sent and not answered.
func lost(kind byte, cause error) error {
	if kind != kindPropose {
		return &model.Error{Kind: model.KindUnavailable, Code: "no_leader", Detail: "the leader did not answer; try again", Err: cause}
	}
	return &model.Error{Kind: model.KindUnavailable, Code: "outcome_unknown",
		Detail: "whether this change was made is not known yet; look again before repeating it",
		Err:    fmt.Errorf("%w: %w", node.ErrOutcomeUnknown, cause)}
}

func unreachable(nodeID string, cause error) error {
	return &model.Error{Kind: model.KindUnavailable, Code: "node_unreachable", Detail: "the leader, node " + nodeID + ", cannot be reached; try again", Err: fmt.Errorf("%w: %w", node.ErrNotDone, cause)}
}

// link gives the connection to a node, which all calls share.
func (p *Peers) link(ctx context.Context, nodeID string) (*link, error) {
	p.mu.Lock()
	l := p.links[nodeID]
	if l == nil {
		l = &link{w: newFrameWriter(), done: make(chan struct{}), ready: make(chan struct{}), calls: map[uint64]chan frame{}, heard: time.Now()}
		p.links[nodeID] = l
		go p.runLink(l, nodeID) // ends when the connection does
	}
	p.mu.Unlock()
	select {
	case <-l.ready:
		if l.err != nil {
			return nil, unreachable(nodeID, l.err)
		}
		return l, nil
	case <-ctx.Done():
		return nil, unreachable(nodeID, context.Cause(ctx))
	}
}

// runLink makes a connection and reads answers until it breaks.
func (p *Peers) runLink(l *link, nodeID string) {
	defer func() {
		p.mu.Lock()
		if p.links[nodeID] == l {
			delete(p.links, nodeID)
		}
		p.mu.Unlock()
	}()
	ctx, cancel := context.WithTimeout(context.Background(), linkTimeout)
	conn, err := p.dial(ctx, nodeID, protoPropose)
	cancel()
	if err != nil {
		l.err = err
		close(l.ready)
		return
	}
	l.conn = conn
	l.mu.Lock()
	l.heard = time.Now()
	l.mu.Unlock()
	close(l.ready)
	go l.w.run(conn, l.done) // ends with done
	r := bufio.NewReaderSize(conn, 64<<10)
	for {
		f, err := readFrame(r)
		if err != nil {
			break
		}
		l.mu.Lock()
		l.heard = time.Now()
		answer := l.calls[f.call]
		l.mu.Unlock()
		if answer != nil && f.kind != kindPong {
			select {
			case answer <- f:
			default: // a second answer to one call
			}
		}
	}
	_ = conn.Close()
	p.mu.Lock()
	if p.links[nodeID] == l { // before the calls hear of it, so that the next one begins anew
		delete(p.links, nodeID)
	}
	p.mu.Unlock()
	l.mu.Lock()
	l.calls = nil
	l.mu.Unlock()
	close(l.done)
}

// pingLoop finds out when the other side of a forwarding connection is gone.
func (p *Peers) pingLoop(ctx context.Context) {
	for pause(ctx, pingEvery) {
		p.mu.Lock()
		all := make([]*link, 0, len(p.links))
		for _, l := range p.links {
			all = append(all, l)
		}
		p.mu.Unlock()
		for _, l := range all {
			select {
			case <-l.ready:
			default:
				continue
			}
			if l.conn == nil {
				continue
			}
			l.mu.Lock()
			silent := time.Since(l.heard)
			l.mu.Unlock()
			if silent > pongLimit {
				_ = closeNow(l.conn)
				continue
			}
			_ = l.w.put(frame{kind: kindPing})
		}
	}
}

// closeNow closes a connection without the farewell of TLS, which a dead way
// would hold up.
func closeNow(c net.Conn) error {
	if o, ok := c.(*outgoing); ok {
		_ = o.NetConn().Close()
	}
	return c.Close()
}
