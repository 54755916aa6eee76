package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// fakeCluster stands for what the composition root does for several nodes.
type fakeCluster struct {
	joined  JoinInput
	asked   RecoverInput
	rotated model.Origin
	quorum  Quorum
	refuse  error
}

func (f *fakeCluster) Join(_ context.Context, in JoinInput, report Report) (*JoinResult, error) {
	report(Progress{ID: in.Address, Step: "verifying"})
	if f.refuse != nil {
		return nil, f.refuse
	}
	f.joined = in
	return &JoinResult{ClusterID: "c", NodeID: "n", NodeName: "two", Role: model.NodeMember}, nil
}

func (f *fakeCluster) Recover(_ context.Context, in RecoverInput) (*RecoverResult, error) {
	f.asked = in
	if f.refuse != nil {
		return nil, f.refuse
	}
	return &RecoverResult{Done: !in.DryRun, Generation: 2, Missing: []string{}, Survivors: []RecoverSurvivor{}}, nil
}

func (f *fakeCluster) Quorum(context.Context) (*Quorum, error) { return &f.quorum, f.refuse }

func (f *fakeCluster) RotateAuthority(_ context.Context, o model.Origin) error {
	f.rotated = o
	return f.refuse
}

func (r *rig) several() *fakeCluster {
	f := &fakeCluster{quorum: Quorum{Voters: 3, CanLose: 1, LeaderID: "node-1", Summary: "3 of 3 voters are alive; you can lose 1 more node", Members: []QuorumMember{}}}
	r.server.cfg.ClusterConfig = ClusterConfig{
		Joiner: f, Recoverer: f, Quorum: f, Rotator: f,
		NewJoinToken: func(role model.NodeRole, env string, _ time.Time) (string, []byte, error) {
			text := "SK1." + string(role) + "." + env + "." + command.NewID()
			sum := sha256.Sum256([]byte(text))
			return text, sum[:], nil
		},
		MemberAddresses: func() []string { return []string{"10.0.0.5:7443", "sea:7443"} },
	}
	return f
}

// host adds a node to the state.
func (r *rig) host(id string, role model.NodeRole) *model.Node {
	r.t.Helper()
	env, err := r.node.View().FindEnvironment(model.DefaultEnvironment)
	if err != nil {
		r.t.Fatal(err)
	}
	r.propose(&command.PutNode{Head: command.By(model.Origin{Actor: "test"}), Node: model.Node{Meta: model.Meta{ID: id, Name: id}, EnvironmentID: env.ID, Role: role,
		Status: model.NodeStatus{Ready: true, SkerryVersion: "v0-test"}}})
	n, ok := r.node.View().Node(id)
	if !ok {
		r.t.Fatal("the node is not there")
	}
	return n
}

func TestJoinTokens(t *testing.T) {
	r := newRig(t)
	r.several()
	a := r.as("POST", "/join-tokens", nil)
	made := into[JoinTokenCreated](t, a, 201)
	if made.Token.Role != model.NodeMember || made.Token.Uses != 1 || made.Token.State != JoinTokenStateUsable || made.Token.Environment != model.DefaultEnvironment ||
		made.Token.CreatedBy != "token:admin" || !strings.HasPrefix(made.Token.ID, made.Token.Name) {
		t.Errorf("defaults: %+v", made.Token)
	}
	if left := time.Until(made.Token.ExpiresAt); left < 59*time.Minute || left > time.Hour {
		t.Errorf("it lives for %s", left)
	}
	if len(made.Commands) != 2 || made.Commands[0] != "skerry join "+made.Text+" 10.0.0.5:7443" {
		t.Errorf("commands: %q", made.Commands)
	}
	row, _ := r.node.View().JoinToken(made.Token.ID)
	if sum := sha256.Sum256([]byte(made.Text)); string(row.Hash) != string(sum[:]) {
		t.Error("the hash in the state is not the secret's")
	}
	worker := into[JoinTokenCreated](t, r.as("POST", "/join-tokens", JoinTokenInput{Role: model.NodeWorker, TTLSeconds: 60, Uses: 2}), 201)
	if !strings.HasSuffix(worker.Commands[0], " --worker") {
		t.Errorf("commands of a worker: %q", worker.Commands)
	}
	if a := r.as("DELETE", "/join-tokens/"+worker.Token.Name, nil); a.status != 204 {
		t.Fatalf("revoke: %d %s", a.status, a.body)
	}
	if a := r.as("DELETE", "/join-tokens/nothing", nil); a.problem(t).Detail != `there is no join token "nothing" here` {
		t.Errorf("revoke nothing: %s", a.body)
	}
	a = r.as("GET", "/join-tokens", nil)
	all := into[JoinTokenList](t, a, 200)
	states := map[string]JoinTokenState{}
	for _, tok := range all.Items {
		states[tok.ID] = tok.State
	}
	if states[worker.Token.ID] != JoinTokenStateRevoked || states[made.Token.ID] != JoinTokenStateUsable || strings.Contains(string(a.body), made.Text) {
		t.Errorf("list: %s", a.body)
	}
	for _, c := range []struct {
		in         any
		code, says string
	}{
		{JoinTokenInput{Role: "boss"}, "role_invalid", `a host joins as member or worker, not as "boss"`},
		{JoinTokenInput{TTLSeconds: -5}, "ttl_invalid", "not for -5 seconds"},
		{JoinTokenInput{TTLSeconds: 1 << 60}, "ttl_invalid", "7 days (604800 seconds)"},
		{JoinTokenInput{Uses: 1001}, "uses_invalid", "1 to 1000 hosts, not for 1001"},
		{JoinTokenInput{Uses: -1}, "uses_invalid", "not for -1"},
		{JoinTokenInput{Environment: "moon"}, "not_found", "moon"},
		{`{"roles":"x"}`, "field_unknown", "role"},
	} {
		if p := r.as("POST", "/join-tokens", c.in).problem(t); p.Code != c.code || !strings.Contains(p.Detail, c.says) {
			t.Errorf("%v: %s %q", c.in, p.Code, p.Detail)
		}
	}
	r.server.cfg.NewJoinToken = nil
	if p := r.as("POST", "/join-tokens", nil).problem(t); p.Code != "not_offered" {
		t.Errorf("without a maker: %+v", p)
	}
}

func TestJoinTokenStates(t *testing.T) {
	v, at := newRig(t).node.View(), time.Now()
	for want, tok := range map[JoinTokenState]model.JoinToken{
		JoinTokenStateUsable:  {Uses: 2, Used: 1, ExpiresAt: at.Add(time.Second)},
		JoinTokenStateUsed:    {Uses: 1, Used: 1, ExpiresAt: at.Add(-time.Second)},
		JoinTokenStateExpired: {Uses: 1, ExpiresAt: at},
		JoinTokenStateRevoked: {Uses: 1, Used: 1, ExpiresAt: at.Add(time.Hour), Revoked: true},
	} {
		if got := joinToken(v, &tok, at).State; got != want {
			t.Errorf("%+v is %s, want %s", tok, got, want)
		}
	}
}

// TestJoin joins from a node without a cluster, in person.
func TestJoin(t *testing.T) {
	r := bareRig(t)
	f := r.several()
	_, local, _ := r.serve()
	join := func(in any, edits ...edit) answer {
		return send(t, local, "POST", "http://local"+base+"/join", in, edits...)
	}
	good := JoinInput{Token: "SK1.x", Address: "10.0.0.5", Labels: map[string]string{"disk": "ssd"}}
	if got := into[JoinResult](t, join(good), 200); got.NodeName != "two" || f.joined.Labels["disk"] != "ssd" {
		t.Errorf("joined: %+v, %+v", got, f.joined)
	}
	a := join(good, header("Accept", mediaSSE))
	if s := string(a.body); !strings.Contains(s, "event: progress\n") || !strings.Contains(s, "verifying") || !strings.Contains(s, "event: done\n") {
		t.Errorf("steps: %s", s)
	}
	f.refuse = model.Errorf(model.KindDenied, "join_token_used", "this join token is used up")
	if p := join(good).problem(t); p.Code != "join_token_used" || p.Status != 403 {
		t.Errorf("a refusal: %+v", p)
	}
	for _, c := range []struct {
		in         JoinInput
		code, says string
	}{
		{JoinInput{Token: "x"}, "address_missing", "HOST or HOST:PORT"},
		{JoinInput{Address: "x"}, "token_missing", "`skerry token create`"},
		{JoinInput{Address: "x", Token: "x", Rejoin: true}, "token_needless", "leave token and address out"},
		{JoinInput{Token: "x", Rejoin: true}, "token_needless", "leave token and address out"},
		{JoinInput{}, "address_missing", "which member"},
		{JoinInput{Address: "x", Token: "x", Labels: map[string]string{"": "x"}}, "label_invalid", "no name of a label"},
	} {
		if p := join(c.in).problem(t); p.Code != c.code || !strings.Contains(p.Detail, c.says) {
			t.Errorf("%+v: %s %q", c.in, p.Code, p.Detail)
		}
	}
	r.server.cfg.Joiner = nil
	if p := join(good).problem(t); p.Code != "not_offered" {
		t.Errorf("without a joiner: %+v", p)
	}
}

func TestJoinIsForFreshNodesInPerson(t *testing.T) {
	r := newRig(t)
	f := r.several()
	_, local, _ := r.serve()
	if p := r.as("POST", "/join", JoinInput{Token: "x", Address: "x"}).problem(t); p.Code != "not_local" || p.Status != 403 {
		t.Errorf("from elsewhere: %+v", p)
	}
	if p := send(t, local, "POST", "http://local"+base+"/join", JoinInput{Token: "x", Address: "x"}).problem(t); p.Code != "already_joined" || !strings.Contains(p.Detail, "skerry reset --data") {
		t.Errorf("a second time: %+v", p)
	}
	if a := send(t, local, "POST", "http://local"+base+"/join", JoinInput{Rejoin: true}); a.status != 200 || !f.joined.Rejoin {
		t.Errorf("again: %d %s", a.status, a.body)
	}
}

// TestEnrolledNode is a member that has started without anybody to tell it the
// state: it must neither be founded nor joined again, and can be recovered.
func TestEnrolledNode(t *testing.T) {
	r := bareRig(t)
	f := r.several()
	r.server.cfg.Enrolled = func() bool { return true }
	_, local, _ := r.serve()
	ask := func(method, path string, in any) answer { return send(t, local, method, "http://local"+base+path, in) }
	for path, in := range map[string]any{"/init": InitInput{}, "/join": JoinInput{Token: "x", Address: "x"}} {
		r.server.cfg.Founder = nobody{}
		if p := ask("POST", path, in).problem(t); p.Code != "state_missing" && p.Code != "already_joined" {
			t.Errorf("%s: %+v", path, p)
		}
	}
	if p := ask("GET", "/nodes", nil).problem(t); p.Code != "state_missing" || p.Status != 503 || !strings.Contains(p.Detail, "skerry recover") {
		t.Errorf("nodes: %+v", p)
	}
	if got := into[RecoverResult](t, ask("POST", "/cluster/recover", RecoverInput{DryRun: true}), 200); got.Done || !f.asked.DryRun {
		t.Errorf("recover: %+v", got)
	}
	if got := into[Quorum](t, ask("GET", "/cluster/quorum", nil), 200); got.Voters != 3 {
		t.Errorf("quorum: %+v", got)
	}
	if st := into[Status](t, ask("GET", "/status", nil), 200); st.Ok || !strings.Contains(st.Summary, "waits for a leader") {
		t.Errorf("status: %+v", st)
	}
}

type nobody struct{}

func (nobody) Init(context.Context, InitInput) (*InitResult, error) {
	return nil, errors.New("nobody may get here")
}

func TestQuorumOperations(t *testing.T) {
	r := newRig(t)
	f := r.several()
	_, local, _ := r.serve()
	if got := into[Quorum](t, r.as("GET", "/cluster/quorum", nil), 200); got.CanLose != 1 {
		t.Errorf("quorum: %+v", got)
	}
	if got := into[Cluster](t, r.as("POST", "/cluster/rotate-authority", nil), 202); got.Generation != 1 || f.rotated.Operation != "rotateAuthority" || f.rotated.Actor != "token:admin" {
		t.Errorf("rotate: %+v by %+v", got, f.rotated)
	}
	if p := r.as("POST", "/cluster/recover", RecoverInput{}).problem(t); p.Code != "not_local" {
		t.Errorf("recover from elsewhere: %+v", p)
	}
	if got := into[RecoverResult](t, send(t, local, "POST", "http://local"+base+"/cluster/recover", nil), 200); !got.Done || f.asked.Force {
		t.Errorf("recover: %+v", got)
	}
	f.refuse = model.Errorf(model.KindConflict, "rotation_running", "it runs")
	if p := r.as("POST", "/cluster/rotate-authority", nil).problem(t); p.Code != "rotation_running" || p.Status != 409 {
		t.Errorf("rotate twice: %+v", p)
	}
	r.server.cfg.ClusterConfig = ClusterConfig{}
	for path, method := range map[string]string{"/cluster/quorum": "GET", "/cluster/rotate-authority": "POST"} {
		if p := r.as(method, path, nil).problem(t); p.Code != "not_offered" || p.Status != 503 {
			t.Errorf("%s where there is none: %+v", path, p)
		}
	}
}

func TestNodeWishes(t *testing.T) {
	r := newRig(t)
	r.host("w1", model.NodeWorker)
	for _, verb := range []string{"promote", "demote"} {
		if p := r.as("POST", "/nodes/w1/"+verb, nil).problem(t); p.Code != "worker_no_vote" || p.Status != 409 {
			t.Errorf("%s a worker: %+v", verb, p)
		}
	}
	if p := r.as("POST", "/nodes/one/demote", nil).problem(t); p.Code != "last_member" || !strings.Contains(p.Detail, "only member") {
		t.Errorf("demote the only member: %+v", p)
	}
	r.host("two", model.NodeMember)
	if n := into[Node](t, r.as("POST", "/nodes/one/demote", nil), 200); n.Spec.Suffrage != model.SuffrageStandby {
		t.Errorf("demoted: %+v", n.Spec)
	}
	again := into[Node](t, r.as("POST", "/nodes/one/promote", nil), 200)
	if same := into[Node](t, r.as("POST", "/nodes/one/promote", nil), 200); again.Spec.Suffrage != model.SuffrageVoter || same.Version != again.Version {
		t.Errorf("promoted: %+v, and again %+v", again, same)
	}
	if p := r.as("POST", "/nodes/nine/promote", nil).problem(t); p.Status != 404 {
		t.Errorf("nobody: %+v", p)
	}
}

func TestUpdateNode(t *testing.T) {
	r := newRig(t)
	r.host("w1", model.NodeWorker)
	many := map[string]string{}
	for i := range 65 {
		many["l"+strconv.Itoa(i)] = ""
	}
	for _, c := range []struct {
		in         NodeSpec
		code, says string
	}{
		{NodeSpec{Availability: "asleep"}, "availability_invalid", `active or drain, not "asleep"`},
		{NodeSpec{Suffrage: "king"}, "suffrage_invalid", `voter or standby, not "king"`},
		{NodeSpec{Suffrage: model.SuffrageVoter}, "worker_no_vote", "w1 is a worker"},
		{NodeSpec{Labels: map[string]string{"a b": "x"}}, "label_invalid", `"a b"`},
		{NodeSpec{Labels: map[string]string{"a": strings.Repeat("x", 129)}}, "label_invalid", "longer than 128 bytes"},
		{NodeSpec{Labels: map[string]string{"a": "x\ny"}}, "label_invalid", "control characters"},
		{NodeSpec{Labels: many}, "too_many_labels", "65 labels"},
	} {
		if p := r.as("PUT", "/nodes/w1", c.in).problem(t); p.Code != c.code || !strings.Contains(p.Detail, c.says) {
			t.Errorf("%+v: %s %q", c.in, p.Code, p.Detail)
		}
	}
	n := into[Node](t, r.as("PUT", "/nodes/w1", NodeSpec{Labels: map[string]string{"zone": "a", "skerry.io/disk": "ssd"}, Availability: model.NodeDrain}), 200)
	if n.Spec.Labels["zone"] != "a" || n.Spec.Availability != model.NodeDrain || n.Role != model.NodeWorker {
		t.Errorf("changed: %+v", n)
	}
	if p := r.as("PUT", "/nodes/w1", NodeSpec{}, header("If-Match", `"1"`)).problem(t); p.Status != 412 {
		t.Errorf("an old version: %+v", p)
	}
}

func TestDeleteNode(t *testing.T) {
	r := newRig(t)
	if p := r.as("DELETE", "/nodes/one", nil).problem(t); p.Code != "last_member" {
		t.Errorf("the last member: %+v", p)
	}
	two := r.host("two", model.NodeMember)
	c := r.app(r.own, "web")
	if p := r.as("DELETE", "/nodes/one", nil).problem(t); p.Code != "node_in_use" || !strings.Contains(p.Detail, c.Name) {
		t.Errorf("in use: %+v", p)
	}
	if p := r.as("DELETE", "/nodes/two", nil, header("If-Match", `"1"`)).problem(t); p.Status != 412 {
		t.Errorf("an old version: %+v", p)
	}
	if a := r.as("DELETE", "/nodes/two", nil); a.status != 204 {
		t.Fatalf("remove: %d %s", a.status, a.body)
	}
	if _, was := r.node.View().RemovedNode(two.ID); !was {
		t.Error("nobody remembers it")
	}
	r.host("three", model.NodeMember)
	if a := r.as("DELETE", "/nodes/one?force=true", nil); a.status != 204 {
		t.Errorf("by force: %d %s", a.status, a.body)
	}
}

func TestDrain(t *testing.T) {
	r := newRig(t)
	r.host("two", model.NodeMember)
	c := r.app(r.own, "web") // on node-1
	r.server.cfg.Drain = func(v *state.View, id string) NodeDrain {
		d := NodeDrain{}
		for o := range v.ContainersOnNode(id) {
			d.Left++
			d.Waiting = append(d.Waiting, DrainWaiting{ContainerID: o.ID, Container: o.Name, Reason: "its volume lives here"})
		}
		d.Done = d.Left == 0
		return d
	}
	if d := into[NodeDrain](t, r.as("POST", "/nodes/one/drain", nil), 200); d.Done || d.Left != 1 {
		t.Errorf("begun: %+v", d)
	}
	if n, _ := r.node.View().Node("node-1"); n.Spec.Availability != model.NodeDrain {
		t.Errorf("the node is %+v", n.Spec)
	}
	if d := into[NodeDrain](t, r.as("GET", "/nodes/one/drain", nil), 200); d.Left != 1 || d.Waiting[0].Container != c.Name {
		t.Errorf("looked at: %+v", d)
	}
	if d := into[NodeDrain](t, r.as("POST", "/nodes/one/drain?wait=1", nil), 200); d.Done || d.Total != 1 {
		t.Errorf("after a second: %+v", d)
	}
	got := make(chan answer, 1)
	go func() { got <- r.as("POST", "/nodes/one/drain?wait=60", nil, header("Accept", mediaSSE)) }()
	r.propose(&command.RemoveApp{Head: command.By(model.Origin{Actor: "test"}), ID: c.AppID, ExpectVersion: command.AnyVersion})
	r.propose(&command.SetNodeHealth{Head: command.By(model.Origin{Actor: "test"}), NodeID: "node-1", Health: model.NodeHealth{State: model.NodeDown}},
		&command.EvictContainers{Head: command.By(model.Origin{Actor: "test"}), NodeID: "node-1", IDs: []string{c.ID}})
	if a := <-got; !strings.Contains(string(a.body), "event: done\n") || !strings.Contains(string(a.body), `"done":true`) {
		t.Errorf("steps: %s", a.body)
	}
	if n := into[Node](t, r.as("POST", "/nodes/one/activate", nil), 200); n.Spec.Availability != "" {
		t.Errorf("activated: %+v", n.Spec)
	}
	if p := r.as("POST", "/nodes/one/drain?wait=9999", nil).problem(t); p.Code != "wait_invalid" {
		t.Errorf("too long: %+v", p)
	}
}

func TestDrainThatIsCalledOff(t *testing.T) {
	r := newRig(t)
	r.app(r.own, "web")
	got := make(chan answer, 1)
	go func() { got <- r.as("POST", "/nodes/one/drain?wait=60", nil) }()
	r.eventually("the drain begins", func() bool {
		n, ok := r.node.View().Node("node-1")
		return ok && n.Spec.Availability == model.NodeDrain
	})
	// The wait sees the node as drained first, or not at all: either way it ends.
	if a := r.as("POST", "/nodes/one/activate", nil); a.status != 200 {
		t.Fatalf("activate: %s", a.body)
	}
	if p := (<-got).problem(t); p.Code != "drain_ended" || p.Status != http.StatusConflict {
		t.Errorf("called off: %+v", p)
	}
}
