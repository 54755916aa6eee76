package nodeview

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// The pace of a stream.
const (
	gather   = 25 * time.Millisecond // changes of a burst go together; the first goes at once
	beat     = 2 * time.Second       // a sender that has nothing to say says that it lives
	silence  = 3 * beat              // a receiver believes no longer in one that says nothing
	sendTime = 10 * time.Second      // for one line to a receiver that does not read
	catchUp  = 2 * time.Second       // a sender that is behind the receiver may become newer
)

// StreamConfig is what a Stream needs; every field is required.
type StreamConfig struct {
	Store  *state.Store
	Caller func(ctx context.Context) (nodeID string, ok bool) // who asks, proved by its certificate
	Ready  func() error                                       // says why this member's replica is not to be followed: it is cut off, or closing
	Refuse func(w http.ResponseWriter, err error)             // answers with an error
	Log    *slog.Logger
}

// Stream sends nodes their own view, and nobody any other: an http.Handler for
// GET, to be mounted for nodes only. It answers with one JSON value a line, for as
// long as both sides want: first the whole view, then what changes.
//
// The caller names the newest view that it has (query: generation, index); a
// member whose replica is older than that answers "behind".
type Stream struct{ cfg StreamConfig }

// NewStream makes the handler.
func NewStream(cfg StreamConfig) *Stream { return &Stream{cfg: cfg} }

// ServeHTTP sends one node's views until it goes away or this member is not to
// be followed any more.
func (s *Stream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, ok := s.cfg.Caller(r.Context())
	if !ok {
		s.cfg.Refuse(w, model.Errorf(model.KindDenied, "node_unknown", "only nodes of this cluster are told what they should do"))
		return
	}
	var have View
	for name, field := range map[string]*uint64{"generation": &have.Generation, "index": &have.Index} {
		text := r.URL.Query().Get(name)
		if text == "" {
			continue
		}
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			s.cfg.Refuse(w, model.Errorf(model.KindInvalid, "number_invalid", "%s %q is not a whole number", name, text).At(name))
			return
		}
		*field = n
	}
	source := Local(s.cfg.Store, id)
	if err := s.catchUp(r.Context(), source, have); err != nil {
		s.cfg.Refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	if err := s.send(r.Context(), w, source); err != nil && r.Context().Err() == nil {
		s.cfg.Log.Info("a node's view is sent no more", "to", id, "err", err)
	}
}

// catchUp waits until this replica is not older than what the caller has.
func (s *Stream) catchUp(ctx context.Context, source Source, have View) error {
	ctx, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	const again = 20 * time.Millisecond
	for {
		if err := s.cfg.Ready(); err != nil {
			return err
		}
		now := Of(s.cfg.Store.View(), "")
		if !now.Older(have) {
			return nil
		}
		select {
		case <-ctx.Done():
			return model.Errorf(model.KindUnavailable, "behind", "this member has not seen yet what you have: it is at index %d of generation %d", now.Index, now.Generation)
		case <-time.After(again):
		}
	}
}

func (s *Stream) send(ctx context.Context, w http.ResponseWriter, source Source) error {
	out, control := json.NewEncoder(w), http.NewResponseController(w)
	write := func(f frame) error {
		if err := control.SetWriteDeadline(time.Now().Add(sendTime)); err != nil {
			return err
		}
		if err := out.Encode(f); err != nil {
			return err
		}
		return control.Flush()
	}
	lives := time.NewTicker(beat)
	defer lives.Stop()
	var last View
	var at time.Time
	for first := true; ; first = false {
		if rest := gather - time.Since(at); !first && rest > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(rest):
			}
		}
		at = time.Now()
		watching, cancel := context.WithCancel(ctx)
		v, changed, err := source.Changed(watching)
		if err == nil {
			err = s.tell(write, first, last, v)
			last = v
		}
		for waiting := err == nil; waiting; {
			select {
			case <-ctx.Done():
				waiting, err = false, ctx.Err()
			case <-changed:
				waiting = false
			case <-lives.C:
				if err = s.cfg.Ready(); err == nil {
					err = write(frame{})
				}
				waiting = err == nil
			}
		}
		cancel()
		if err != nil {
			return err
		}
	}
}

func (s *Stream) tell(write func(frame) error, first bool, last, v View) error {
	if first {
		return write(frame{Index: v.Index, Generation: v.Generation, Whole: &v})
	}
	// A rise of the generation is news by itself.
	c := diff(last, v)
	if c == nil && last.Generation == v.Generation {
		return nil
	}
	if c == nil {
		c = &change{}
	}
	return write(frame{Index: v.Index, Generation: v.Generation, Change: c})
}
