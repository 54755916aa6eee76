package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/registry/auth"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
)

// far is a member whose leader is somewhere else.
type far struct {
	*node.Node
	index  uint64 // what the leader says was written last
	err    error
	behind bool // nothing comes any more
	waited uint64
	silent time.Duration
	never  bool
}

func (f *far) ReadIndex(context.Context) (uint64, error) { return f.index, f.err }

func (f *far) WaitIndex(ctx context.Context, index uint64) error {
	f.waited = index
	if f.behind {
		return context.DeadlineExceeded
	}
	return f.Node.WaitIndex(ctx, index)
}

func (f *far) LastContact() (time.Duration, bool) { return f.silent, !f.never }

func (r *rig) far() *far {
	f := &far{Node: r.node}
	r.server.cluster = f
	return f
}

func TestReadYourWrites(t *testing.T) {
	r := newRig(t)
	f := r.far()
	a := r.as("PUT", "/nodes/one", NodeSpec{Labels: map[string]string{"a": "b"}})
	index, cluster := a.header.Get(headerIndex), a.header.Get(headerCluster)
	if n, err := strconv.ParseUint(index, 10, 64); err != nil || n != r.node.AppliedIndex() || cluster != r.server.clusterID() || cluster == "" {
		t.Fatalf("a write answers with index %q of %q", index, cluster)
	}
	if a := r.as("GET", "/nodes", nil, header(headerIndex, index), header(headerCluster, cluster)); a.status != 200 {
		t.Errorf("what is here: %d", a.status)
	}
	f.behind = true
	a = r.as("GET", "/nodes", nil, header(headerIndex, "99999"), header(headerCluster, cluster))
	if p := a.problem(t); p.Code != "index_not_applied" || p.Status != 503 || a.header.Get("Retry-After") == "" || f.waited != 99999 || !strings.Contains(p.Detail, "change 99999") {
		t.Errorf("what is not here: %+v, waited for %d", p, f.waited)
	}
	if a := r.as("GET", "/nodes", nil, header(headerIndex, "99999"), header(headerCluster, "another")); a.status != 200 {
		t.Errorf("the index of another cluster: %d %s", a.status, a.body)
	}
	if p := r.as("GET", "/nodes", nil, header(headerIndex, "soon")).problem(t); p.Code != "index_invalid" {
		t.Errorf("no index: %+v", p)
	}
}

func TestStrongReads(t *testing.T) {
	r := newRig(t)
	f := r.far()
	f.index = r.node.AppliedIndex()
	if a := r.as("GET", "/nodes?consistency=strong", nil); a.status != 200 || f.waited != f.index {
		t.Errorf("%d, waited for %d of %d", a.status, f.waited, f.index)
	}
	f.behind = true
	if p := r.as("GET", "/nodes?consistency=strong", nil).problem(t); p.Code != "index_not_applied" {
		t.Errorf("behind the leader: %+v", p)
	}
	f.err = model.Errorf(model.KindUnavailable, "no_leader", "there is no leader")
	if a := r.as("GET", "/nodes?consistency=strong", nil); a.status != 503 || a.header.Get("Retry-After") == "" || a.problem(t).Code != "no_leader" {
		t.Errorf("without a leader: %d %s", a.status, a.body)
	}
	if p := r.as("GET", "/nodes?consistency=weak", nil).problem(t); p.Code != "consistency_invalid" {
		t.Errorf("an unknown word: %+v", p)
	}
}

// TestEveryReadCanBeStrong asks every read of the contract: none may answer
// without asking the leader.
func TestEveryReadCanBeStrong(t *testing.T) {
	r := newRig(t)
	f := r.far()
	f.err = model.Errorf(model.KindUnavailable, "no_leader", "there is no leader")
	for _, o := range r.server.gates {
		if o.writes() {
			continue
		}
		path := strings.NewReplacer("{ref}", "one", "{id}", "one", "{user}", "one").Replace(o.path)
		if p := r.as("GET", path+"?consistency=strong", nil); p.status != 503 {
			t.Errorf("%s answered %d", o.id, p.status)
		}
	}
}

// TestCutOff is a member that has not heard of a leader for long.
func TestCutOff(t *testing.T) {
	r := newRig(t)
	f := r.far()
	r.several()
	_, local, _ := r.serve()
	root := func(path string) answer { return send(t, http.DefaultClient, "GET", r.web.URL+path, nil) }
	user := r.user("ada", model.UserSpec{PlatformRole: model.RoleAdmin})
	session := browser(r.session(user))
	f.silent = staleAfter
	if a := r.as("GET", "/nodes", nil); a.status != 200 || a.header.Get(headerStale) != "" {
		t.Errorf("a short cut: %d %q", a.status, a.header.Get(headerStale))
	}
	f.silent = 43 * time.Second
	for name, who := range map[string]edit{"token": bearer(r.admin()), "session": session} {
		for _, path := range []string{"/nodes", "/session", "/status"} {
			a := r.do("GET", path, nil, who)
			if p := a.problem(t); p.Code != "cut_off" || p.Status != 503 || a.header.Get("Retry-After") == "" || a.header.Get(headerStale) != "43" || !strings.Contains(p.Detail, "43 seconds") {
				t.Errorf("%s by %s: %+v", path, name, p)
			}
		}
		if a := r.do("GET", "/cluster/quorum", nil, who); a.status != 200 || a.header.Get(headerStale) != "43" {
			t.Errorf("quorum by %s: %d", name, a.status)
		}
	}
	if a := r.do("GET", "/setup", nil); a.status != 200 {
		t.Errorf("what everybody may read: %d", a.status)
	}
	if a := root("/healthz"); a.status != 200 {
		t.Errorf("healthz: %d", a.status)
	}
	if a := root("/readyz"); a.status != 503 || !strings.Contains(string(a.body), "not heard of a leader for 43 seconds") {
		t.Errorf("readyz: %d %s", a.status, a.body)
	}
	a := send(t, local, "GET", "http://local"+base+"/status", nil)
	st := into[Status](t, a, 200)
	if a.header.Get(headerStale) != "43" || st.StaleSeconds != 43 || !hasProblem(st, "CutOff", "for 43 seconds") {
		t.Errorf("status in person: %+v", st)
	}
	f.never, r.server.began = true, time.Now().Add(-time.Minute)
	if a := send(t, local, "GET", "http://local"+base+"/nodes", nil); a.header.Get(headerStale) != "60" {
		t.Errorf("never heard of one: %q", a.header.Get(headerStale))
	}
}

// TestCutOffElsewhere holds that no other door takes credentials either.
func TestCutOffElsewhere(t *testing.T) {
	r := newRig(t)
	yes := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	f := &far{Node: r.node}
	s, err := New(Config{Cluster: f, Operations: r.ops, Runtime: r.runtime, V2: yes, Token: yes, Metrics: yes, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(path string, edits ...edit) *httptest.ResponseRecorder {
		q, w := httptest.NewRequest(http.MethodGet, path, nil), httptest.NewRecorder()
		for _, e := range edits {
			e(q)
		}
		s.Handler().ServeHTTP(w, q)
		return w
	}
	for _, path := range []string{"/v2/", "/v2/a/manifests/b", auth.TokenPath, "/metrics"} {
		f.silent = 0
		if w := ask(path, bearer(r.admin())); w.Code != http.StatusTeapot {
			t.Errorf("%s: %d", path, w.Code)
		}
		f.silent = time.Minute
		w := ask(path, bearer(r.admin()))
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "not heard of a leader for 60 seconds") {
			t.Errorf("%s while cut off: %d %s", path, w.Code, w.Body)
		}
		if strings.HasPrefix(path, "/v2") && !strings.HasPrefix(w.Body.String(), `{"errors":[{"code":"UNAVAILABLE"`) {
			t.Errorf("%s does not refuse in the registry's form: %s", path, w.Body)
		}
	}
	if w := ask("/v2/", header("X", "y")); w.Code != http.StatusTeapot {
		t.Errorf("without credentials: %d", w.Code)
	}
}

// TestRecoverNeedsNoLeader holds that nothing on the way of a recovery waits for
// what cannot be written.
func TestRecoverNeedsNoLeader(t *testing.T) {
	r := newRig(t)
	f := r.far()
	r.several()
	f.silent, f.err, f.behind = time.Hour, errors.New("no leader"), true
	_, local, _ := r.serve()
	begin := time.Now()
	if got := into[RecoverResult](t, send(t, local, "POST", "http://local"+base+"/cluster/recover", RecoverInput{Force: true}), 200); !got.Done {
		t.Errorf("recover: %+v", got)
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("it took %s", took)
	}
}

func hasProblem(st Status, code, says string) bool {
	for _, p := range st.Problems {
		if p.Code == code && strings.Contains(p.Message, says) {
			return true
		}
	}
	return false
}

func TestStatusOfSeveral(t *testing.T) {
	r := newRig(t)
	f := r.several()
	r.host("two", model.NodeMember)
	since := time.Now().Add(-time.Minute).UTC().Truncate(time.Second)
	by := command.By(model.Origin{Actor: "test"})
	st := into[Status](t, r.as("GET", "/status", nil), 200)
	if st.Counts.NodesReady != 2 || st.Quorum == nil || st.Quorum.CanLose != 1 || hasProblem(st, "QuorumAtRisk", "") || hasProblem(st, "VersionSkew", "") {
		t.Errorf("all well: %+v", st)
	}
	r.propose(&command.SetNodeHealth{Head: by, NodeID: "two", Health: model.NodeHealth{State: model.NodeDown, Since: since, Reason: "it has sent no sign of life for 5 s"}})
	old := r.host("three", model.NodeWorker)
	r.propose(&command.SetNodeStatus{Head: by, NodeID: old.ID, Status: model.NodeStatus{Ready: true, SkerryVersion: "v9"}})
	f.quorum.CanLose, f.quorum.Members = 0, []QuorumMember{{Name: "one", Alive: true}, {Name: "two"}, {Name: "four", Alive: true}}
	st = into[Status](t, r.as("GET", "/status", nil), 200)
	if st.Ok || st.Counts.NodesReady != 2 || !hasProblem(st, "NodeDown", `Node "two": it is down: it has sent no sign of life`) ||
		!hasProblem(st, "VersionSkew", "v9 on three") || !hasProblem(st, "QuorumAtRisk", "(two does not answer)") {
		t.Errorf("problems: %+v", st.Problems)
	}
	for _, n := range st.Nodes {
		if n.Name == "two" && (n.Ready || !n.Since.Equal(since) || n.Reason == "" || n.Role != model.NodeMember || n.Stats != nil) {
			t.Errorf("the one that is down: %+v", n)
		}
	}
	viewer := bearer(r.token("v", "", r.own, model.RoleViewer, time.Time{}))
	if st := into[Status](t, r.do("GET", "/status", nil, viewer), 200); st.Quorum != nil || len(st.Nodes) != 0 || hasProblem(st, "NodeDown", "") {
		t.Errorf("who may not read nodes sees %+v", st)
	}
}

func TestQuorumProblems(t *testing.T) {
	two := func(alive bool) []QuorumMember {
		return []QuorumMember{{Name: "a", Alive: true}, {Name: "b", Alive: alive}}
	}
	for _, c := range []struct {
		q    Quorum
		code string
	}{
		{Quorum{CanLose: 0, LeaderID: "a", Members: two(true)[:1]}, ""},
		{Quorum{CanLose: 0, LeaderID: "a", Members: two(true)}, ""},
		{Quorum{CanLose: 0, LeaderID: "a", Members: two(false)}, "QuorumAtRisk"},
		{Quorum{CanLose: 0, LeaderID: "a", Degraded: true, Members: two(false)}, "QuorumDegraded"},
		{Quorum{CanLose: -1, Members: two(false)}, "QuorumLost"},
		{Quorum{CanLose: 1, Members: two(true)}, "NoLeader"},
		{Quorum{CanLose: 1, LeaderID: "a", Members: two(false)}, ""},
	} {
		st := Status{}
		st.judgeQuorum(&c.q)
		got := ""
		if len(st.Problems) > 0 {
			got = st.Problems[0].Code
		}
		if got != c.code || len(st.Problems) > 1 {
			t.Errorf("%+v: %q, want %q", c.q, got, c.code)
		}
	}
}
