package recovery_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/appliance/recovery"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/rafttest"
	"github.com/skerryhq/skerry/raft/state"
)

// world is some members, each with a log of its own.
type world struct {
	view    *state.View
	members map[string]*member
}

type member struct {
	log     recovery.Log
	up      bool
	rec     *recovery.Recovery
	plan    *recovery.Plan
	full    bool // its disk takes no plan
	again   int
	adopted uint64
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Client reaches a member's handlers.
func (w *world) Client(id string) *http.Client {
	return &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		m := w.members[id]
		if !m.up {
			return nil, errors.New("connection refused")
		}
		out := httptest.NewRecorder()
		switch r.URL.Path {
		case recovery.StatePath:
			m.rec.State(out, r)
		case recovery.RunPath:
			m.rec.Run(out, r)
		case recovery.AdoptPath:
			m.rec.Adopt(out, r)
		}
		return out.Result(), nil
	})}
}

func newWorld(t *testing.T, logs map[string]recovery.Log, down ...string) *world {
	t.Helper()
	n := rafttest.Single(t)
	w := &world{members: map[string]*member{}}
	for id, l := range logs {
		if id != rafttest.NodeID {
			if _, err := n.Propose(t.Context(), &command.PutNode{Node: model.Node{Meta: model.Meta{ID: id, Name: "host-" + id}, EnvironmentID: rafttest.EnvironmentID, Role: model.NodeMember}}); err != nil {
				t.Fatal(err)
			}
		}
		m := &member{log: l, up: !slices.Contains(down, id)}
		w.members[id] = m
		m.rec = recovery.New(recovery.Config{
			NodeID: id, Own: func() recovery.Log { return m.log }, View: func() *state.View { return w.view }, Peers: w,
			Plan: func(p recovery.Plan) error {
				if m.full {
					return errors.New("no space left on device")
				}
				m.plan = &p
				return nil
			},
			Again: func() { m.again++ },
			Adopt: func(g uint64) error {
				for _, other := range w.members {
					if other.plan != nil {
						m.adopted = g
						return nil
					}
				}
				return errors.New("told before the plan was written down")
			},
			Busy: func(bool) {},
			ReadError: func(r *http.Response) error {
				b, _ := io.ReadAll(r.Body)
				return errors.New(string(b))
			},
			WriteError: func(rw http.ResponseWriter, err error) {
				rw.WriteHeader(http.StatusConflict)
				_, _ = rw.Write([]byte(err.Error()))
			},
			Log: slog.New(slog.DiscardHandler),
		})
	}
	w.view = n.View()
	return w
}

const own = rafttest.NodeID

// TestNewestLogWins has the survivor with the newest log carry the recovery out,
// whoever was asked, and tells the others first.
func TestNewestLogWins(t *testing.T) {
	w := newWorld(t, map[string]recovery.Log{own: {Term: 4, Index: 100, Generation: 2}, "b": {Term: 5, Index: 90, Generation: 2}, "c": {Term: 9, Index: 999}}, "c")
	out, err := w.members[own].rec.Recover(t.Context(), api.RecoverInput{DryRun: true})
	if err != nil || out.Done || w.members["b"].plan != nil || w.members[own].adopted != 0 {
		t.Fatalf("a dry run did something: %+v, %v", out, err)
	}
	out, err = w.members[own].rec.Recover(t.Context(), api.RecoverInput{})
	if err != nil {
		t.Fatal(err)
	}
	b := w.members["b"]
	if b.again != 1 || w.members[own].again != 0 {
		t.Errorf("started again: b %d times, the other %d times", b.again, w.members[own].again)
	}
	if b.plan == nil || b.plan.Generation != 3 || b.plan.LastIndex != 90 || len(b.plan.Survivors) != 2 {
		t.Fatalf("the plan of b: %+v", b.plan)
	}
	if w.members[own].adopted != 3 || w.members[own].plan != nil || w.members["c"].adopted != 0 {
		t.Errorf("the others: %+v %+v", w.members[own], w.members["c"])
	}
	if !out.Done || out.Generation != 3 || len(out.Missing) != 1 || !strings.Contains(out.Missing[0], "index 90 of term 5") || len(out.Wipe) != 1 || !strings.Contains(out.Wipe[0], "host-c") {
		t.Errorf("it says: %+v", out)
	}
}

// TestPlanFirst holds that a member which cannot write the plan down leaves the
// others in their generation: they would refuse it, and it has the newest log.
func TestPlanFirst(t *testing.T) {
	w := newWorld(t, map[string]recovery.Log{own: {Term: 4, Index: 100}, "b": {Term: 5, Index: 90}})
	w.members["b"].full = true
	if _, err := w.members[own].rec.Recover(t.Context(), api.RecoverInput{}); err == nil {
		t.Fatal("no error")
	}
	if w.members[own].adopted != 0 || w.members["b"].again != 0 {
		t.Errorf("half a recovery: %+v %+v", w.members[own], w.members["b"])
	}
}

// TestQuorumAlive refuses while somebody hears of a leader, unless forced.
func TestQuorumAlive(t *testing.T) {
	w := newWorld(t, map[string]recovery.Log{own: {Term: 1, Index: 6}, "b": {Term: 1, Index: 5, LeaderAlive: true}})
	if _, err := w.members[own].rec.Recover(t.Context(), api.RecoverInput{}); model.CodeOf(err) != "quorum_alive" {
		t.Errorf("refused with %v", err)
	}
	if _, err := w.members[own].rec.Recover(t.Context(), api.RecoverInput{Force: true}); err != nil || w.members[own].plan == nil {
		t.Errorf("forced: %v", err)
	}
}

// TestStalePlan refuses plans for a generation or a log that is not there.
func TestStalePlan(t *testing.T) {
	w := newWorld(t, map[string]recovery.Log{own: {Term: 1, Index: 5, Generation: 3}})
	for _, body := range []string{`{"generation":3,"survivors":["` + own + `"],"lastIndex":5}`, `{"generation":4,"survivors":[],"lastIndex":5}`, `{"generation":4,"survivors":["` + own + `"],"lastIndex":6}`, `nonsense`} {
		out := httptest.NewRecorder()
		w.members[own].rec.Run(out, httptest.NewRequestWithContext(context.Background(), http.MethodPost, recovery.RunPath, strings.NewReader(body)))
		if out.Code == http.StatusOK || w.members[own].plan != nil {
			t.Errorf("%s was taken", body)
		}
	}
	out := httptest.NewRecorder()
	w.members[own].rec.Adopt(out, httptest.NewRequestWithContext(context.Background(), http.MethodPost, recovery.AdoptPath, strings.NewReader(`{"generation":3}`)))
	if out.Code == http.StatusOK || w.members[own].adopted != 0 {
		t.Error("an old generation was adopted")
	}
	var l recovery.Log
	out = httptest.NewRecorder()
	w.members[own].rec.State(out, nil)
	if err := json.Unmarshal(out.Body.Bytes(), &l); err != nil || l.Index != 5 {
		t.Errorf("the state: %+v, %v", l, err)
	}
}
