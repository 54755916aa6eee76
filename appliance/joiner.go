package appliance

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/appliance/peer"
	"github.com/skerryhq/skerry/appliance/pki"
	"github.com/skerryhq/skerry/raft/model"
)

// joiner makes this node a part of a cluster.
type joiner struct {
	a  *Appliance
	p  *parts
	mu sync.Mutex // one join at a time
}

var _ api.Joiner = (*joiner)(nil)

// admission lets hosts in, on a member.
func (a *Appliance) admission(p *parts) *peer.Admission {
	return &peer.Admission{
		Cluster: func() peer.Cluster {
			if n := p.replica.Load(); n != nil {
				return n
			}
			return nil
		},
		Certs: p.certs, Box: p.box, Log: a.log,
		Latest: func(ctx context.Context) (uint64, error) {
			n := p.replica.Load()
			if n == nil {
				return 0, model.Errorf(model.KindUnavailable, "closing", "this member is starting or ending")
			}
			return n.ReadIndex(ctx)
		},
	}
}

// Join joins the cluster that the token is for. Everything that the cluster gave
// is on the disk when it returns, the identity last: a join that is cut short
// before that leaves a fresh node, and can be repeated.
func (j *joiner) Join(ctx context.Context, in api.JoinInput, report api.Report) (*api.JoinResult, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if in.Rejoin {
		return j.rejoin()
	}
	if err := j.fresh(); err != nil {
		return nil, err
	}
	role := model.NodeRole("")
	if in.Worker {
		role = model.NodeWorker
	}
	reply, err := peer.Join(ctx, peer.JoinOptions{
		Token: in.Token, Address: in.Address, Role: role, Environment: in.Environment,
		NodeID: j.p.identity.ID, Name: j.a.cfg.Name, Key: j.p.certs.Key(), Hosts: hostNames(j.a.cfg), Labels: in.Labels,
		Status: j.a.nodeStatus(j.p),
	}, func(step peer.Step, detail string) {
		report(api.Progress{ID: string(step), Step: string(step), Message: detail})
	})
	if err != nil {
		return nil, err
	}
	j.p.certs.Freeze(true)
	if err := j.install(reply); err != nil {
		j.p.certs.Freeze(false)
		return nil, fmt.Errorf("write down what the cluster gave: %w", err)
	}
	j.a.log.Info("joined a cluster", "cluster", reply.ClusterID, "role", string(reply.Role), "environment", reply.Environment, "address", in.Address)
	time.AfterFunc(againSoon, func() { j.p.stop(errAgain) })
	return &api.JoinResult{ClusterID: reply.ClusterID, NodeID: reply.NodeID, NodeName: reply.NodeName, Role: reply.Role, Environment: reply.Environment}, nil
}

// fresh refuses a node that belongs to a cluster.
func (j *joiner) fresh() error {
	_, founded := j.p.node.View().Cluster()
	if j.p.record.now().Role == "" && !founded && !j.p.node.Bootstrapped() {
		return nil
	}
	return model.Errorf(model.KindConflict, "already_joined", "this node belongs to a cluster already; `skerry reset --data` makes it forget that, with everything that runs and is stored here")
}

// install writes what the cluster gave, the identity last.
func (j *joiner) install(r peer.JoinReply) error {
	if err := peer.WriteBook(j.a.cfg.DataDir, r.Book); err != nil {
		return err
	}
	if err := pki.Install(j.a.keysDir(), pki.Material{Trust: r.Trust, Certificate: r.Certificate, SealKey: r.SealKey, AuthorityKey: r.AuthorityKey}); err != nil {
		return err
	}
	next := j.p.record.now()
	next.Role, next.ClusterID, next.Generation = r.Role, r.ClusterID, max(1, r.Generation)
	return next.save(j.a.cfg.DataDir)
}

// rejoin has the next start fetch the state anew.
func (j *joiner) rejoin() (*api.JoinResult, error) {
	id := j.p.record.now()
	if id.Role != model.NodeMember {
		return nil, notAMember(j.a.cfg.DataDir)
	}
	if j.p.node.Leads() {
		return nil, model.Errorf(model.KindConflict, "leads", "this member leads the cluster: its copy of the state is the one that counts. Demote it first (`skerry node demote`), or stop it until another leads")
	}
	if err := markRejoin(j.a.cfg.DataDir); err != nil {
		return nil, err
	}
	time.AfterFunc(againSoon, func() { j.p.stop(errAgain) })
	return &api.JoinResult{ClusterID: id.ClusterID, NodeID: id.ID, NodeName: j.a.cfg.Name, Role: id.Role}, nil
}
