package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/skerryhq/skerry/appliance/control/lease"
	"github.com/skerryhq/skerry/raft/model"
)

// The pace of liveness. A node that was not heard of for Grace is given up; a
// shorter cut moves nothing.
const (
	Grace     = 5 * time.Second
	BeatEvery = 500 * time.Millisecond
)

// HeartbeatPath is where the leader takes heartbeats, by POST.
const HeartbeatPath = "/peer/v1/heartbeat"

// LeaderHeader names the leader in the answer of a member that does not lead.
const LeaderHeader = "Skerry-Leader"

// Heartbeats is where heartbeats arrive. One serves a process for its whole
// life: while this node leads, the health loop reads it; at other times nobody
// is believed dead. It is safe for concurrent use.
type Heartbeats struct {
	mu    sync.Mutex
	table *lease.Table // nil while this node does not lead
	// excused are the nodes that said they end, with when they are given up: the
	// next leader must know, too.
	excused map[string]time.Time
}

// NewHeartbeats makes an empty one.
func NewHeartbeats() *Heartbeats { return &Heartbeats{excused: map[string]time.Time{}} }

// Beat notes that a node lives. It reports false while this node does not lead,
// and for a node that the cluster does not know.
func (h *Heartbeats) Beat(nodeID string, at time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.excused, nodeID)
	return h.table != nil && h.table.Beat(nodeID, at)
}

// AwayHeader in a heartbeat is the node's last word before its daemon ends, in
// seconds: what it runs goes on, and it is not given up before. At most AwayMost.
const AwayHeader = "Skerry-Away"

// AwayMost bounds how long a node may ask not to be given up: an upgrade or a
// restart takes seconds.
const AwayMost = time.Minute

// excuse keeps a node from being given up for a while.
func (h *Heartbeats) excuse(nodeID string, d time.Duration, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	until := now.Add(min(d, AwayMost))
	for id, at := range h.excused {
		if at.Before(now) {
			delete(h.excused, id)
		}
	}
	h.excused[nodeID] = until
	if h.table != nil {
		h.table.Excuse(nodeID, until)
	}
}

// begin starts a term: every node gets a fresh lease.
func (h *Heartbeats) begin(grace time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.table = lease.New(grace)
}

// renew hands the table what was said before its term.
func (h *Heartbeats) renew() {
	for id, until := range h.excused {
		h.table.Excuse(id, until)
	}
}

func (h *Heartbeats) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.table = nil
}

// judge brings the table up to date and gives its verdict.
func (h *Heartbeats) judge(down map[string]bool, now time.Time) lease.Verdict {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.table == nil {
		return lease.Verdict{Next: Grace}
	}
	h.table.Sync(down, now)
	h.renew()
	return h.table.Judge(now)
}

// untrusted says how long a node gets no new containers because it keeps going
// down, and how often it did.
func (h *Heartbeats) untrusted(nodeID string, now time.Time) (time.Duration, int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.table == nil {
		return 0, 0
	}
	return h.table.Untrusted(nodeID, now)
}

// Handler answers POST HeartbeatPath: 204 to a node whose heartbeat was noted,
// 404 to one that the cluster does not know, and 421 with LeaderHeader when
// this node does not lead. caller says who asks; leader is the leader's id or
// empty.
func (h *Heartbeats) Handler(caller func(context.Context) (nodeID string, ok bool), leader func() string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, ok := caller(r.Context())
		if !ok {
			refuse(w, http.StatusForbidden, "caller_unknown", "a heartbeat comes from a node of the cluster, with its certificate")
			return
		}
		if away, err := strconv.Atoi(r.Header.Get(AwayHeader)); err == nil && away > 0 {
			h.excuse(id, time.Duration(away)*time.Second, time.Now())
			w.WriteHeader(http.StatusNoContent)
			return
		}
		h.mu.Lock()
		leads := h.table != nil
		delete(h.excused, id)
		known := leads && h.table.Beat(id, time.Now())
		h.mu.Unlock()
		switch {
		case known:
			w.WriteHeader(http.StatusNoContent)
		case leads:
			refuse(w, http.StatusNotFound, "not_found", "the cluster does not know this node (yet)")
		default:
			w.Header().Set(LeaderHeader, leader())
			refuse(w, http.StatusMisdirectedRequest, "not_leader", "this node does not lead the cluster")
		}
	})
}

// refuse writes a problem document.
func refuse(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(struct {
		Status int    `json:"status"`
		Code   string `json:"code"`
		Detail string `json:"detail"`
	}{status, code, detail}) // whoever hung up needs no answer
}

// Peers reaches other nodes. Requests to https://peer/... go to the node that
// the client was made for.
type Peers interface {
	Client(nodeID string) *http.Client
}

// BeatConfig is what SendHeartbeats needs.
type BeatConfig struct {
	NodeID string
	Leader func() string // id of the leader as far as known here; empty: unknown
	Peers  Peers
	// Members lists members to ask while no leader is known, or the known one
	// does not answer; nil on a member, which learns of its leader by itself.
	Members func() []string
	Own     *Heartbeats // of this process; nil on a worker
	Log     *slog.Logger
}

// SendHeartbeats tells the leader every BeatEvery that this node lives, until
// ctx ends. A heartbeat that fails is not repeated: the next one says the same.
func SendHeartbeats(ctx context.Context, cfg BeatConfig) error {
	s := &sender{cfg: cfg, log: cfg.Log.With("component", "heartbeat")}
	tick := time.NewTicker(BeatEvery)
	defer tick.Stop()
	for {
		s.beat(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

type sender struct {
	cfg    BeatConfig
	log    *slog.Logger
	told   string // leader that a member named, as long as its answers hold
	turn   int    // which member to ask next
	failed bool   // the last heartbeat failed; said once
}

// beat sends one heartbeat.
func (s *sender) beat(ctx context.Context) {
	to := s.cfg.Leader()
	if to == "" {
		to = s.told
	}
	if to == "" && s.cfg.Members != nil {
		if m := s.cfg.Members(); len(m) > 0 {
			to = m[s.turn%len(m)]
			s.turn++
		}
	}
	var err error
	switch {
	case to == "":
		err = errors.New("no leader is known")
	case to == s.cfg.NodeID && s.cfg.Own != nil:
		if !s.cfg.Own.Beat(to, time.Now()) {
			err = errors.New("the term has not begun")
		}
	default:
		err = s.send(ctx, to)
	}
	if ctx.Err() != nil {
		return
	}
	switch failed := err != nil; {
	case failed && !s.failed:
		s.log.Info("heartbeat not delivered", "to", to, "err", err)
	case !failed && s.failed:
		s.log.Info("heartbeats arrive again", "to", to)
	}
	s.failed = err != nil
}

// send posts a heartbeat to a node and learns from its answer who leads.
func (s *sender) send(ctx context.Context, to string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*BeatEvery)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://peer"+HeartbeatPath, http.NoBody)
	if err != nil {
		return fmt.Errorf("make a heartbeat: %w", err)
	}
	resp, err := s.cfg.Peers.Client(to).Do(req)
	if err != nil {
		s.told = ""
		return fmt.Errorf("send a heartbeat: %w", err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16)) // so that the connection serves again
	switch resp.StatusCode {
	case http.StatusNoContent:
		s.told = to
		return nil
	case http.StatusMisdirectedRequest:
		s.told = resp.Header.Get(LeaderHeader)
		return model.Errorf(model.KindUnavailable, "not_leader", "%s does not lead", to)
	default:
		s.told = ""
		return fmt.Errorf("send a heartbeat: %s answered %s", to, resp.Status)
	}
}
