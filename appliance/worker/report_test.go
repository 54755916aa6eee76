package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/skerryhq/skerry/appliance/worker"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
	"github.com/skerryhq/skerry/raft/rafttest"
)

// network reaches members by id, through plain HTTP.
type network map[string]http.Handler

func (n network) Client(id string) *http.Client {
	return &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		h, ok := n[id]
		if !ok {
			return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result(), nil
	})}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func writeError(w http.ResponseWriter, err error) {
	w.WriteHeader(http.StatusForbidden)
	e := &model.Error{Kind: model.KindInternal, Detail: err.Error()}
	if errors.As(err, &e) {
		e = model.Errorf(e.Kind, e.Code, "%s", e.Detail)
	}
	_ = json.NewEncoder(w).Encode(e)
}

func readError(r *http.Response) error {
	b, _ := io.ReadAll(r.Body)
	e := new(model.Error)
	if err := json.Unmarshal(b, e); err != nil {
		return err
	}
	return e
}

func status(nodeID string) *command.SetNodeStatus {
	return &command.SetNodeStatus{NodeID: nodeID, Status: model.NodeStatus{Ready: true, Address: "192.0.2.7:7443"}}
}

// TestReport writes a node's own word down through the first member that
// answers, and refuses everything else.
func TestReport(t *testing.T) {
	n := rafttest.Single(t)
	caller := rafttest.NodeID
	reports := &worker.Reports{Proposer: n, View: n.View, Caller: func(context.Context) string { return caller }, WriteError: writeError, Log: slog.New(slog.DiscardHandler)}
	f := worker.NewFinder(network{"member-2": reports}, func() []string { return []string{"member-1", "member-2"} })
	r := worker.NewReporter(f, readError)

	res, err := r.Propose(t.Context(), status(rafttest.NodeID))
	if err != nil || res.Index == 0 || len(res.Outcomes) != 1 {
		t.Fatalf("the node's own status: %+v, %v", res, err)
	}
	if got, _ := n.View().Node(rafttest.NodeID); got.Status.Address != "192.0.2.7:7443" {
		t.Errorf("the status was not written: %+v", got.Status)
	}
	if id, _, _ := f.Member(); id != "member-2" {
		t.Errorf("the finder stays with %s, which does not answer", id)
	}
	res, err = r.Propose(t.Context(), &command.SetContainerStatus{NodeID: rafttest.NodeID, Items: []command.StatusItem{{ID: "nothing"}}})
	if err != nil || len(res.Outcomes[0].Refused) != 1 || model.CodeOf(res.Outcomes[0].Refused[0].Err) != "not_found" {
		t.Errorf("a refused item: %+v, %v", res, err)
	}
	for _, c := range []command.Command{
		status("somebody-else"),
		&command.ForgetContainers{NodeID: "somebody-else", IDs: []string{"x"}},
		&command.RemoveNode{ID: rafttest.NodeID},
		&command.PutUser{User: model.User{Meta: model.Meta{ID: "u", Name: "mallory"}, Spec: model.UserSpec{PlatformRole: model.RoleAdmin}}},
	} {
		if _, err := r.Propose(t.Context(), c); model.CodeOf(err) != "not_your_business" {
			t.Errorf("%s: %v", c.Type().Name(), err)
		}
	}
	saw := &author{Proposer: n}
	reports.Proposer = saw
	forged := status(rafttest.NodeID)
	forged.Head = command.By(model.Origin{Actor: "ada", Operation: "deleteEverything", RemoteIP: "192.0.2.1"})
	if _, err := r.Propose(t.Context(), forged); err != nil || saw.last.Actor != "system:agent" || saw.last.Operation != "" || saw.last.RemoteIP != "" {
		t.Errorf("written as done by %+v, %v", saw.last, err)
	}
	caller = ""
	if _, err := r.Propose(t.Context(), &command.SetNodeStatus{}); model.CodeOf(err) != "not_your_business" {
		t.Errorf("a caller without an id: %v", err)
	}
}

// author notes who is said to have done what is proposed.
type author struct {
	worker.Proposer
	last model.Origin
}

func (a *author) Propose(ctx context.Context, cmds ...command.Command) (node.Result, error) {
	a.last = *cmds[0].From()
	return a.Proposer.Propose(ctx, cmds...)
}

// TestReportNobody says that no member answers.
func TestReportNobody(t *testing.T) {
	r := worker.NewReporter(worker.NewFinder(network{}, func() []string { return []string{"a", "b"} }), readError)
	if _, err := r.Propose(t.Context(), status("x")); err == nil {
		t.Error("no error")
	}
	r = worker.NewReporter(worker.NewFinder(network{}, func() []string { return nil }), readError)
	if _, err := r.Propose(t.Context(), status("x")); model.CodeOf(err) != "no_member" {
		t.Errorf("without members: %v", err)
	}
}
