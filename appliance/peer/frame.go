package peer

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
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
	Err     *Problem  `json:"err,omitempty"`
	Refused []refusal `json:"refused,omitempty"`
}

type refusal struct {
	ID  string  `json:"id"`
	Err Problem `json:"err"`
}

func packOutcomes(index uint64, outcomes []command.Outcome) ([]byte, error) {
	out := binary.AppendUvarint(nil, index)
	out = binary.AppendUvarint(out, uint64(len(outcomes)))
	plain := true
	all := make([]outcome, len(outcomes))
	for i, o := range outcomes {
		if o.Err != nil {
			p := ProblemOf(o.Err)
			all[i].Err, plain = &p, false
		}
		for _, r := range o.Refused {
			all[i].Refused, plain = append(all[i].Refused, refusal{r.ID, ProblemOf(r.Err)}), false
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
			outcomes[i].Err = o.Err.Err()
		}
		for _, r := range o.Refused {
			outcomes[i].Refused = append(outcomes[i].Refused, command.Refusal{ID: r.ID, Err: r.Err.Err()})
		}
	}
	return index, outcomes, nil
}
