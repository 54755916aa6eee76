package quorum_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerryhq/skerry/appliance/quorum"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/rafttest"
)

// fakeRaft is a configuration that does what it is told.
type fakeRaft struct {
	mu    sync.Mutex
	peers []quorum.Peer
	fail  int // so many changes fail first
}

func (f *fakeRaft) Peers(context.Context) ([]quorum.Peer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.peers), nil
}

func (f *fakeRaft) change(id string, do func(p *quorum.Peer)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail > 0 {
		f.fail--
		return errors.New("not now")
	}
	i := slices.IndexFunc(f.peers, func(p quorum.Peer) bool { return p.ID == id })
	if i < 0 {
		f.peers = append(f.peers, quorum.Peer{ID: id})
		i = len(f.peers) - 1
	}
	do(&f.peers[i])
	return nil
}

func (f *fakeRaft) AddStandby(_ context.Context, id string) error {
	return f.change(id, func(p *quorum.Peer) { p.Voter = false })
}
func (f *fakeRaft) AddVoter(_ context.Context, id string) error {
	return f.change(id, func(p *quorum.Peer) { p.Voter = true })
}
func (f *fakeRaft) Demote(ctx context.Context, id string) error { return f.AddStandby(ctx, id) }
func (f *fakeRaft) Remove(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.peers = slices.DeleteFunc(f.peers, func(p quorum.Peer) bool { return p.ID == id })
	return nil
}
func (f *fakeRaft) Transfer(context.Context, string) error {
	return errors.New("nobody leads but the first")
}

// TestLoop lets two more members join a cluster of one, and takes a removed one
// out again; a change that fails is tried again.
func TestLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := rafttest.New(t, 1)
		n := c.Node(0)
		r := &fakeRaft{peers: []quorum.Peer{{ID: rafttest.NodeID, Voter: true, Leader: true}}, fail: 2}
		join := func(id string) {
			c.Propose(&command.PutNode{Node: model.Node{Meta: model.Meta{ID: id, Name: id}, EnvironmentID: rafttest.EnvironmentID, Role: model.NodeMember}})
		}
		join("b")
		join("c")
		c.Propose(&command.PutNode{Node: model.Node{Meta: model.Meta{ID: "w", Name: "w"}, EnvironmentID: rafttest.EnvironmentID, Role: model.NodeWorker}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- quorum.Loop(ctx, r, n.View, slog.New(slog.DiscardHandler)) }()
		time.Sleep(5 * time.Second)
		peers, _ := r.Peers(ctx)
		if len(peers) != 3 || slices.ContainsFunc(peers, func(p quorum.Peer) bool { return !p.Voter }) {
			t.Errorf("after two have joined: %+v", peers)
		}
		c.Propose(&command.RemoveNode{ID: "c", ExpectVersion: command.AnyVersion})
		time.Sleep(5 * time.Second)
		peers, _ = r.Peers(ctx)
		if len(peers) != 2 || peers[0].Voter == peers[1].Voter {
			t.Errorf("after one was removed: %+v", peers)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the loop ended with %v", err)
		}
	})
}
