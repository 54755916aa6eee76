// Package recovery makes the survivors of a lost quorum a cluster again.
//
// The node that is asked looks for every member that answers, finds the one with
// the newest log, and has that one carry it out: it writes a plan to its disk,
// tells the others the new generation, so that from then on nobody of the old one
// can reach them, and starts its parts again, which makes it the only voter over everything that its log holds. The autopilot then
// takes the other survivors in again. It never deletes anything: what a survivor
// with an older log has and the newest lacks is dropped by raft, as entries that
// were never committed.
//
// It proposes nothing itself, because nothing can be proposed while it works.
package recovery

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// The paths between members.
const (
	StatePath = "/peer/v1/recovery/state" // GET: how far a member's log goes
	RunPath   = "/peer/v1/recovery/run"   // POST: to the one with the newest log
	AdoptPath = "/peer/v1/recovery/adopt" // POST: {"generation": n}
)

// Log says how far a member's log goes.
type Log struct {
	Term       uint64 `json:"term"`
	Index      uint64 `json:"index"`
	Generation uint64 `json:"generation"`
	// LeaderAlive: it has heard of a leader lately.
	LeaderAlive bool `json:"leaderAlive"`
}

// newer orders logs as raft does.
func newer(a, b Log) int {
	return cmp.Or(cmp.Compare(a.Term, b.Term), cmp.Compare(a.Index, b.Index))
}

// Plan is what the node with the newest log does at its next start.
type Plan struct {
	Generation uint64    `json:"generation"`
	Survivors  []string  `json:"survivors"` // ids
	LastIndex  uint64    `json:"lastIndex"`
	At         time.Time `json:"at"`
	// Done: raft's files were changed; what is left is to say so in the log.
	Done bool `json:"done,omitempty"`
}

// Peers reaches other nodes.
type Peers interface {
	Client(nodeID string) *http.Client
}

// Config is what a Recovery works with; every field is required.
type Config struct {
	NodeID string
	Own    func() Log
	View   func() *state.View
	Peers  Peers
	// Plan writes the plan down: from then on the node carries it out at its next
	// start, whatever happens.
	Plan func(Plan) error
	// Again starts the node's parts again after the present request was answered.
	Again func()
	// Adopt writes a higher generation down and starts the node's parts again
	// after the present request was answered.
	Adopt func(generation uint64) error
	// Busy says that a recovery is under way here: a peer of a higher generation
	// is then no reason to stop.
	Busy       func(bool)
	ReadError  func(*http.Response) error
	WriteError func(w http.ResponseWriter, err error)
	Log        *slog.Logger
}

// Recovery is one member's part.
type Recovery struct {
	cfg Config
	mu  sync.Mutex // one recovery at a time
}

// New makes a member's part.
func New(cfg Config) *Recovery { return &Recovery{cfg: cfg} }

// askTimeout bounds one question to one member.
const askTimeout = 4 * time.Second

// survivor is a member with what it said.
type survivor struct {
	node *model.Node
	log  Log
	err  error // it did not answer
}

// survey asks every member.
func (r *Recovery) survey(ctx context.Context) []survivor {
	var all []survivor
	for n := range r.cfg.View().Nodes() {
		if n.Member() {
			all = append(all, survivor{node: n})
		}
	}
	var wg sync.WaitGroup
	for i := range all {
		if all[i].node.ID == r.cfg.NodeID {
			all[i].log = r.cfg.Own()
			continue
		}
		wg.Go(func() {
			all[i].err = r.call(ctx, all[i].node.ID, http.MethodGet, StatePath, nil, &all[i].log)
		})
	}
	wg.Wait()
	return all
}

// Recover surveys the members and has the one with the newest log carry the
// recovery out. Errors: "not_initialized", "quorum_alive".
func (r *Recovery) Recover(ctx context.Context, in api.RecoverInput) (*api.RecoverResult, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.cfg.View().Cluster(); !ok {
		return nil, model.Errorf(model.KindUnavailable, "not_initialized", "this node holds no cluster's state; there is nothing to recover")
	}
	all := r.survey(ctx)
	best, generation := -1, uint64(1)
	for i, s := range all {
		if s.err != nil {
			continue
		}
		if s.log.LeaderAlive && !in.Force {
			return nil, model.Errorf(model.KindConflict, "quorum_alive", "%s hears of a leader: the cluster has a quorum, and a recovery would split it; `skerry status` shows what is wrong", s.node.Name)
		}
		generation = max(generation, s.log.Generation)
		if best < 0 || newer(s.log, all[best].log) > 0 {
			best = i
		}
	}
	if best < 0 {
		return nil, model.Errorf(model.KindUnavailable, "not_a_member", "this node is no member of the cluster any more; run `skerry recover` on one that is")
	}
	plan := Plan{Generation: generation + 1, LastIndex: all[best].log.Index, At: time.Now().UTC()}
	for _, s := range all {
		if s.err == nil {
			plan.Survivors = append(plan.Survivors, s.node.ID)
		}
	}
	out := r.result(all, best, plan)
	if in.DryRun {
		return out, nil
	}
	r.cfg.Log.Warn("recovering the cluster from a lost quorum", "generation", plan.Generation, "survivors", plan.Survivors, "newest", all[best].node.ID, "last_index", plan.LastIndex)
	var err error
	if id := all[best].node.ID; id == r.cfg.NodeID {
		err = r.carry(ctx, plan)
	} else {
		err = r.call(ctx, id, http.MethodPost, RunPath, plan, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("recover: %w", err)
	}
	out.Done = true
	return out, nil
}

// result says in words what is kept and what may be missing.
func (r *Recovery) result(all []survivor, best int, plan Plan) *api.RecoverResult {
	out := &api.RecoverResult{Generation: plan.Generation, LastIndex: plan.LastIndex, Survivors: []api.RecoverSurvivor{}, Missing: []string{}}
	away := 0
	for i, s := range all {
		out.Survivors = append(out.Survivors, api.RecoverSurvivor{
			NodeID: s.node.ID, Name: s.node.Name, Address: s.node.Status.Address, Reachable: s.err == nil,
			LastIndex: s.log.Index, LastTerm: s.log.Term, Newest: i == best,
		})
		if s.err == nil {
			continue
		}
		away++
		out.Wipe = append(out.Wipe, fmt.Sprintf("%s (%s)", s.node.Name, s.node.Status.Address))
	}
	if away > 0 {
		out.Missing = append(out.Missing, fmt.Sprintf("changes that were acknowledged after index %d of term %d and reached only the members that do not answer (%d of them)", plan.LastIndex, all[best].log.Term, away))
	}
	out.Summary = fmt.Sprintf("generation %d begins on %s with everything up to index %d; %d of %d members take part", plan.Generation, all[best].node.Name, plan.LastIndex, len(all)-away, len(all))
	return out
}

// carry writes the plan down, tells the other survivors the generation and starts
// over here. In this order: were the others of the new generation and the plan
// lost, they would refuse the one that has the newest log for ever.
func (r *Recovery) carry(ctx context.Context, plan Plan) error {
	r.cfg.Busy(true)
	if err := r.cfg.Plan(plan); err != nil {
		r.cfg.Busy(false)
		return err
	}
	var wg sync.WaitGroup
	errs := make([]error, len(plan.Survivors))
	for i, id := range plan.Survivors {
		if id == r.cfg.NodeID {
			continue
		}
		wg.Go(func() {
			errs[i] = r.call(ctx, id, http.MethodPost, AdoptPath, adoption{plan.Generation}, nil)
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil { // it stops by itself when it meets the new generation, and says why
			r.cfg.Log.Warn("a survivor did not follow", "member", plan.Survivors[i], "err", err)
		}
	}
	r.cfg.Again()
	return nil
}

type adoption struct {
	Generation uint64 `json:"generation"`
}

// maxBody bounds what members send each other here, in bytes.
const maxBody = 1 << 20

// State answers StatePath.
func (r *Recovery) State(w http.ResponseWriter, _ *http.Request) { r.reply(w, r.cfg.Own()) }

// Run answers RunPath.
func (r *Recovery) Run(w http.ResponseWriter, req *http.Request) {
	var plan Plan
	err := json.NewDecoder(http.MaxBytesReader(w, req.Body, maxBody)).Decode(&plan)
	switch own := r.cfg.Own(); {
	case err != nil:
		err = &model.Error{Kind: model.KindInvalid, Code: "recovery_invalid", Detail: "the plan of a recovery cannot be read", Err: err}
	case plan.Generation <= own.Generation || !slices.Contains(plan.Survivors, r.cfg.NodeID):
		err = model.Errorf(model.KindConflict, "recovery_stale", "this member is at generation %d already; look again with `skerry status`", own.Generation)
	case own.Index < plan.LastIndex:
		err = model.Errorf(model.KindConflict, "recovery_stale", "the log of this member ends at %d, not at %d; run `skerry recover` again", own.Index, plan.LastIndex)
	default:
		err = r.carry(req.Context(), plan)
	}
	if err != nil {
		r.cfg.WriteError(w, err)
		return
	}
	r.reply(w, struct{}{})
}

// Adopt answers AdoptPath.
func (r *Recovery) Adopt(w http.ResponseWriter, req *http.Request) {
	var in adoption
	err := json.NewDecoder(http.MaxBytesReader(w, req.Body, maxBody)).Decode(&in)
	switch own := r.cfg.Own(); {
	case err != nil:
		err = &model.Error{Kind: model.KindInvalid, Code: "recovery_invalid", Detail: "the generation cannot be read", Err: err}
	case in.Generation <= own.Generation:
		err = model.Errorf(model.KindConflict, "recovery_stale", "this member is at generation %d already", own.Generation)
	default:
		r.cfg.Busy(true)
		if err = r.cfg.Adopt(in.Generation); err != nil {
			r.cfg.Busy(false)
		}
	}
	if err != nil {
		r.cfg.WriteError(w, err)
		return
	}
	r.reply(w, struct{}{})
}

func (r *Recovery) reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		r.cfg.Log.Debug("an answer about the recovery was not taken", "err", err)
	}
}

// call asks one member.
func (r *Recovery) call(ctx context.Context, id, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, askTimeout, errors.New("it did not answer in time"))
	defer cancel()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("ask %s: %w", id, err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "https://peer"+path, body)
	if err != nil {
		return fmt.Errorf("ask %s: %w", id, err)
	}
	resp, err := r.cfg.Peers.Client(id).Do(req)
	if err != nil {
		return fmt.Errorf("ask %s: %w", id, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return r.cfg.ReadError(resp)
	}
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(out); err != nil {
		return fmt.Errorf("ask %s: read its answer: %w", id, err)
	}
	return nil
}
