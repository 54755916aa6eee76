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

// A frame of skerry-propose/1 is length of the rest (4 bytes, big endian), kind
// (1 byte), call number (8 bytes), body. Calls are answered in any order.
const (
	frameHead = 9

	kindPropose   = 1 // body: count, then length and envelope each (uvarints)
	kindReadIndex = 2 // no body
	kindPing      = 3 // no body
	kindResult    = 4 // body: index (uvarint), count of outcomes (uvarint), and JSON of them unless all are plain
	kindIndex     = 5 // body: index (uvarint)
	kindPong      = 6 // no body
	kindError     = 7 // body: problem, JSON

	maxFrame    = command.MaxEntry + 64<<10 // bytes
	maxAtOnce   = 4096                      // calls of one connection that are being worked on
	maxOutcomes = 1 << 16

	pingEvery   = 500 * time.Millisecond
	pongLimit   = 2500 * time.Millisecond // without any frame of the other side
	linkTimeout = 2 * time.Second         // to connect: meanwhile another may lead
)

// frame is one message.
type frame struct {
	kind byte
	call uint64
	body []byte
}

func (f frame) append(out []byte) []byte {
	out = binary.BigEndian.AppendUint32(out, uint32(frameHead+len(f.body)))
	out = append(out, f.kind)
	out = binary.BigEndian.AppendUint64(out, f.call)
	return append(out, f.body...)
}

func readFrame(r *bufio.Reader) (frame, error) {
	var head [4 + frameHead]byte
	if _, err := io.ReadFull(r, head[:4]); err != nil {
		return frame{}, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < frameHead || n > maxFrame {
		return frame{}, fmt.Errorf("a frame of %d bytes is announced; it has %d to %d", n, frameHead, maxFrame)
	}
	if _, err := io.ReadFull(r, head[4:]); err != nil {
		return frame{}, err
	}
	f := frame{kind: head[4], call: binary.BigEndian.Uint64(head[5:]), body: make([]byte, n-frameHead)}
	_, err := io.ReadFull(r, f.body)
	return f, err
}

// frameWriter writes frames of many goroutines: those that wait while one write
// is under way share the next.
type frameWriter struct {
	mu      sync.Mutex
	pending []byte        // guarded by mu
	wake    chan struct{} // has room for one
	err     error         // guarded by mu; once set nothing is written any more
}

// maxUnsent bounds what waits to be written to one node, in bytes.
const maxUnsent = 16 << 20

func newFrameWriter() *frameWriter { return &frameWriter{wake: make(chan struct{}, 1)} }

func (w *frameWriter) put(f frame) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	if len(w.pending) > maxUnsent {
		return model.Errorf(model.KindUnavailable, "busy", "the other node takes no more at the moment; try again")
	}
	w.pending = f.append(w.pending)
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return nil
}

// run writes until the connection fails or done is closed.
func (w *frameWriter) run(c net.Conn, done <-chan struct{}) {
	var spare []byte
	for {
		select {
		case <-w.wake:
		case <-done:
			return
		}
		w.mu.Lock()
		out := w.pending
		w.pending = spare[:0]
		w.mu.Unlock()
		if len(out) == 0 {
			spare = out
			continue
		}
		_ = c.SetWriteDeadline(time.Now().Add(deadAfter))
		if _, err := c.Write(out); err != nil {
			w.mu.Lock()
			w.err = err
			w.mu.Unlock()
			_ = c.Close()
			return
		}
		if spare = out; cap(spare) > 1<<20 {
			spare = nil
		}
	}
}

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
	body, merr := json.Marshal(problemOf(err))
	if merr != nil {
		body = nil
	}
	return frame{kind: kindError, body: body}
}

func joinEnvelopes(envelopes [][]byte) []byte {
	size := binary.MaxVarintLen64
	for _, e := range envelopes {
		size += len(e) + binary.MaxVarintLen32
	}
	out := binary.AppendUvarint(make([]byte, 0, size), uint64(len(envelopes)))
	for _, e := range envelopes {
		out = binary.AppendUvarint(out, uint64(len(e)))
		out = append(out, e...)
	}
	return out
}

var errFrame = model.Errorf(model.KindInvalid, "frame_damaged", "a frame of forwarded writes is damaged")

func splitEnvelopes(b []byte) ([][]byte, error) {
	count, n := binary.Uvarint(b)
	if n <= 0 || count == 0 || count > uint64(len(b)) {
		return nil, errFrame
	}
	b = b[n:]
	out := make([][]byte, 0, count)
	for range count {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return nil, errFrame
		}
		out = append(out, b[n:n+int(size):n+int(size)])
		b = b[n+int(size):]
	}
	if len(b) > 0 {
		return nil, errFrame
	}
	return out, nil
}

// outcome is a command.Outcome on its way: causes stay in the log of whoever
// applied it.
type outcome struct {
	Err     *problem  `json:"err,omitempty"`
	Refused []refusal `json:"refused,omitempty"`
}

type refusal struct {
	ID  string  `json:"id"`
	Err problem `json:"err"`
}

func packOutcomes(index uint64, outcomes []command.Outcome) ([]byte, error) {
	out := binary.AppendUvarint(nil, index)
	out = binary.AppendUvarint(out, uint64(len(outcomes)))
	plain := true
	all := make([]outcome, len(outcomes))
	for i, o := range outcomes {
		if o.Err != nil {
			p := problemOf(o.Err)
			all[i].Err, plain = &p, false
		}
		for _, r := range o.Refused {
			all[i].Refused, plain = append(all[i].Refused, refusal{r.ID, problemOf(r.Err)}), false
		}
	}
	if plain {
		return out, nil
	}
	body, err := json.Marshal(all)
	if err != nil {
		return nil, fmt.Errorf("tell the outcomes: %w", err)
	}
	return append(out, body...), nil
}

func unpackOutcomes(b []byte) (index uint64, outcomes []command.Outcome, err error) {
	index, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, errFrame
	}
	b = b[n:]
	count, n := binary.Uvarint(b)
	if n <= 0 || count > maxOutcomes {
		return 0, nil, errFrame
	}
	outcomes = make([]command.Outcome, count)
	if b = b[n:]; len(b) == 0 {
		return index, outcomes, nil
	}
	var all []outcome
	if err := json.Unmarshal(b, &all); err != nil || uint64(len(all)) != count {
		return 0, nil, errFrame
	}
	for i, o := range all {
		if o.Err != nil {
			outcomes[i].Err = o.Err.err()
		}
		for _, r := range o.Refused {
			outcomes[i].Refused = append(outcomes[i].Refused, command.Refusal{ID: r.ID, Err: r.Err.err()})
		}
	}
	return index, outcomes, nil
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
	var p problem
	if err := json.Unmarshal(f.body, &p); err != nil {
		return frame{}, errFrame
	}
	return frame{}, p.err()
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
