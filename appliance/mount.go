package appliance

import (
	"context"
	"net/http"
	"time"

	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/appliance/control"
	"github.com/skerryhq/skerry/appliance/noderuntime"
	"github.com/skerryhq/skerry/appliance/nodeview"
	"github.com/skerryhq/skerry/appliance/peer"
	"github.com/skerryhq/skerry/appliance/recovery"
	"github.com/skerryhq/skerry/appliance/worker"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// viewPath is where members stream a node its view.
const viewPath = "/peer/v1/nodeview"

// staleAfter is how long a member may have heard of no leader and still feed
// workers.
const staleAfter = 10 * time.Second

// current says why this member's copy of the state should not be followed.
func (p *parts) current() error {
	if since, ever := p.node.LastContact(); ever && since < staleAfter {
		return nil
	}
	return model.Errorf(model.KindUnavailable, "no_leader", "this member hears of no leader: what it knows may be old")
}

// callerOf is the id of the node that a request comes from.
func callerOf(ctx context.Context) (string, bool) {
	c, ok := peer.CallerOf(ctx)
	return c.NodeID, ok
}

// mountMember mounts what a member answers other nodes.
func (a *Appliance) mountMember(p *parts, reach *noderuntime.Runtime) {
	s := p.peers
	p.recovery = a.newRecovery(p)
	s.Handle("GET "+recovery.StatePath, peer.Members, http.HandlerFunc(p.recovery.State))
	s.Handle("POST "+recovery.RunPath, peer.Members, http.HandlerFunc(p.recovery.Run))
	s.Handle("POST "+recovery.AdoptPath, peer.Members, http.HandlerFunc(p.recovery.Adopt))
	s.Handle("GET "+quorumPath, peer.Members, quorumReader{p})
	s.Handle("POST "+control.HeartbeatPath, peer.Nodes, p.heartbeats.Handler(callerOf, p.node.LeaderID))
	s.Handle("POST "+worker.ReportPath, peer.Nodes, &worker.Reports{
		Proposer: p.node, View: p.node.View, WriteError: peer.WriteError, Log: a.log.With("component", "reports"),
		Caller: func(ctx context.Context) string { id, _ := callerOf(ctx); return id },
	})
	s.Handle("GET "+viewPath, peer.Nodes, nodeview.NewStream(nodeview.StreamConfig{
		Store: p.node.Store(), Caller: callerOf, Refuse: peer.WriteError, Log: a.log,
		Ready: func() error { return p.current() },
	}))
	s.Handle("POST "+rejoinPath, peer.Members, rejoined{p, a.log})
	a.mountRuntime(p, reach.Local, reach.Holds())
}

// mountRuntime mounts what every node answers members about its containers.
func (a *Appliance) mountRuntime(p *parts, local *noderuntime.Local, holds noderuntime.Holdings) {
	h := noderuntime.NewHandler(noderuntime.HandlerConfig{NodeID: p.identity.ID, Local: local, Holds: holds, Log: a.log})
	p.peers.Handle("POST "+noderuntime.Prefix, peer.Members, h)
	p.peers.Handle("GET "+portHolderPath, peer.Members, http.HandlerFunc(answerPortHolder))
}

// clusterConfig is what the API needs for the operations on several nodes.
func (a *Appliance) clusterConfig(p *parts) api.ClusterConfig {
	return api.ClusterConfig{
		Joiner: &joiner{a: a, p: p}, Recoverer: recoverer{p}, Quorum: quorumReader{p}, Rotator: rotator{p},
		NewJoinToken: p.newJoinToken, MemberAddresses: func() []string { return a.memberAddresses(p) },
		Enrolled: func() bool { return p.record.now().Role != "" },
		Drain:    drain,
	}
}

// recoverer recovers a lost quorum; the recovery is there once the node serves.
type recoverer struct{ p *parts }

// Recover surveys the members and begins a new generation.
func (r recoverer) Recover(ctx context.Context, in api.RecoverInput) (*api.RecoverResult, error) {
	return r.p.recovery.Recover(ctx, in)
}

// drain fits what the control loops say about a drain to the API.
func drain(v *state.View, nodeID string) api.NodeDrain {
	d := control.DrainProgress(v, nodeID)
	out := api.NodeDrain{Done: d.Done, Left: d.Left, Total: d.Left}
	for _, w := range d.Waiting {
		out.Waiting = append(out.Waiting, api.DrainWaiting{Container: w.Container, ContainerID: w.ContainerID, Reason: w.Reason})
	}
	return out
}
