package peer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
	"github.com/skerryhq/skerry/raft/state"
)

// member is a host with its part of the state.
type member struct {
	*host
	n atomic.Pointer[node.Node]
}

// addMember starts a member: its door first, then raft over it.
func addMember(t *testing.T, r *rig, id string) *member {
	t.Helper()
	m := &member{}
	m.host = r.add(id, model.NodeMember, func(c *Config) {
		dir := c.Directory
		c.Directory = mixed{dir, Replica{View: func() *state.View {
			if n := m.n.Load(); n != nil {
				return n.View()
			}
			return nil
		}, Base: func() (string, uint64) { return "c1", 1 }}}
		c.Apply = func(ctx context.Context, envelopes [][]byte) (uint64, []command.Outcome, error) {
			n := m.n.Load()
			if n == nil {
				return 0, nil, model.Errorf(model.KindUnavailable, "closing", "this member is starting")
			}
			res, err := n.ProposeEncoded(ctx, envelopes)
			return res.Index, res.Outcomes, err
		}
		c.ReadIndex = func(ctx context.Context) (uint64, error) { return m.n.Load().LocalReadIndex(ctx) }
	})
	n, err := node.Open(node.Config{Dir: t.TempDir(), ID: id, Version: "1.0.0", Stream: m.Stream(), Forward: m.Peers(), Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	m.n.Store(n)
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// mixed knows nodes from the state, and addresses from the test.
type mixed struct {
	Directory
	state Replica
}

func (m mixed) Cluster() (string, uint64) { return m.state.Cluster() }

func volume(name string) command.Command {
	v := model.Volume{TenantID: "t1"}
	v.ID, v.Name = command.NewID(), name
	return &command.PutVolume{Head: head(), Volume: v}
}

// threeMembers is a cluster of voters over real connections.
func threeMembers(t *testing.T) (*rig, []*member) {
	t.Helper()
	r := newRig(t)
	var all []*member
	for _, id := range []string{"a", "b", "c"} {
		all = append(all, addMember(t, r, id))
	}
	first := all[0].n.Load()
	if err := first.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Propose(t.Context(), &command.InitCluster{
		Head:        head(),
		Cluster:     model.Cluster{ID: "c1", FeatureLevel: command.Level, Pool: netip.MustParsePrefix("10.42.0.0/16"), VIPPool: netip.MustParsePrefix("10.43.0.0/16"), PortMin: 30000, PortMax: 32767, SetupHash: []byte("hash")},
		Tenant:      model.Tenant{Meta: model.Meta{ID: "t1", Name: model.DefaultTenant}},
		Environment: model.Environment{Meta: model.Meta{ID: "e1", Name: model.DefaultEnvironment}},
		Node:        model.Node{Meta: model.Meta{ID: "a", Name: "a"}},
	}); err != nil {
		t.Fatal(err)
	}
	for _, m := range all[1:] {
		if err := first.AddVoter(t.Context(), m.id); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range all {
		within(t, 10*time.Second, m.id+" has the state", func() bool { _, ok := m.n.Load().View().Cluster(); return ok })
	}
	return r, all
}

// TestRaftOverPeers runs raft, forwarded writes and confirmed reads over the real
// doors, while the leader's address changes.
func TestRaftOverPeers(t *testing.T) {
	_, all := threeMembers(t)
	for i, m := range all {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		res, err := m.n.Load().Propose(ctx, volume(fmt.Sprintf("v%d", i)))
		if err != nil {
			t.Fatalf("a write through %s: %v", m.id, err)
		}
		if index, err := m.n.Load().ReadIndex(ctx); err != nil || index < res.Index {
			t.Fatalf("a read through %s: %d, %v", m.id, index, err)
		}
		cancel()
	}
	leads := func() *member {
		for _, m := range all {
			if m.n.Load().Leads() {
				return m
			}
		}
		return nil
	}
	old := leads()
	rest := slices.DeleteFunc(slices.Clone(all), func(m *member) bool { return m == old })
	began := time.Now()
	old.moveTo(t, "127.0.0.2:"+port(t, old.address()))
	within(t, 20*time.Second, "a follower writes", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, err := rest[0].n.Load().Propose(ctx, volume("after"+command.NewID()))
		return err == nil
	})
	t.Logf("a follower writes again %s after the leader's address changed", time.Since(began).Round(time.Millisecond))
	within(t, 20*time.Second, "all follow", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		res, err := rest[1].n.Load().Propose(ctx, volume("all"+command.NewID()))
		if err != nil {
			return false
		}
		for _, m := range all {
			if m.n.Load().WaitIndex(ctx, res.Index) != nil {
				return false
			}
		}
		return true
	})
	t.Logf("healthy %s after the leader's address changed", time.Since(began).Round(time.Millisecond))
}

// TestForwardedWritesPerSecond says what the way through a follower costs; it
// fails only when writes do.
func TestForwardedWritesPerSecond(t *testing.T) {
	if testing.Short() {
		t.Skip("a measurement")
	}
	_, all := threeMembers(t)
	for _, through := range []string{"leader", "follower"} {
		var m *member
		for _, x := range all {
			if x.n.Load().Leads() == (through == "leader") {
				m = x
			}
		}
		if m == nil {
			t.Fatal("nobody leads")
		}
		for _, clients := range []int{1, 64} {
			var done atomic.Int64
			var work sync.WaitGroup
			ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
			for range clients {
				work.Go(func() {
					for ctx.Err() == nil {
						_, err := m.n.Load().Propose(t.Context(), volume(command.NewID()))
						if err != nil && !errors.Is(err, context.DeadlineExceeded) {
							t.Error(err)
							return
						}
						done.Add(1)
					}
				})
			}
			work.Wait()
			cancel()
			t.Logf("through the %s, %d clients: %d writes/s", through, clients, done.Load()*10/4)
		}
	}
}
