// Package rafttest runs whole clusters of raft/node in memory, for tests only:
// nothing of the product imports it.
//
// New belongs inside a testing/synctest bubble: there is no disk and no socket,
// so elections and timeouts of minutes pass in milliseconds and come out the
// same every time. Single works anywhere and gives tests of other packages a
// real node with a real state. A Cluster is used by one goroutine; its nodes by
// any number.
package rafttest

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
)

// The ids of what Init makes.
const (
	TenantID      = "tenant-1"
	EnvironmentID = "environment-1"
	NodeID        = "node-1"
)

// patience is how long a cluster may take for anything, in the bubble's time.
const patience = 2 * time.Minute

// Cluster is several members that talk through memory.
type Cluster struct {
	tb testing.TB

	mu      sync.Mutex
	members []*member // guarded by mu, as is what they point to, where members ask each other
}

// member is one node with what outlives its process.
type member struct {
	id    string
	node  *node.Node // nil while it is down
	log   *raft.InmemStore
	snaps *raft.InmemSnapshotStore
	trans *raft.InmemTransport
	cut   bool
	disk  *Disk
}

// forwarder asks the leader for a member, unless one of them is cut off.
type forwarder struct {
	c    *Cluster
	from *member
}

func (f forwarder) leader(id string) (*node.Node, bool) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	for _, m := range f.c.members {
		if m.id == id && m.node != nil && !m.cut && !f.from.cut {
			return m.node, true
		}
	}
	return nil, false
}

// Forward asks the leader; its answer is lost if one of them is cut off by then.
func (f forwarder) Forward(ctx context.Context, leaderID string, envelopes [][]byte) (uint64, []command.Outcome, error) {
	n, ok := f.leader(leaderID)
	if !ok {
		return 0, nil, fmt.Errorf("no way to %s: %w", leaderID, node.ErrNotDone)
	}
	r, err := n.ProposeEncoded(ctx, envelopes)
	if _, ok := f.leader(leaderID); !ok {
		return 0, nil, fmt.Errorf("the answer of %s was lost", leaderID)
	}
	return r.Index, r.Outcomes, err
}

// ReadIndex asks the leader.
func (f forwarder) ReadIndex(ctx context.Context, leaderID string) (uint64, error) {
	n, ok := f.leader(leaderID)
	if !ok {
		return 0, fmt.Errorf("no way to %s: %w", leaderID, node.ErrNotDone)
	}
	return n.LocalReadIndex(ctx)
}

// New makes a cluster of k members, waits for its leader and initializes it.
// It is closed with the test.
func New(tb testing.TB, k int) *Cluster {
	tb.Helper()
	c := &Cluster{tb: tb}
	for range k {
		c.member()
	}
	var servers []raft.Server
	for _, m := range c.members {
		servers = append(servers, raft.Server{ID: raft.ServerID(m.id), Address: raft.ServerAddress(m.id)})
	}
	for _, m := range c.members {
		m.renew()
		conf := raft.DefaultConfig()
		conf.LocalID = raft.ServerID(m.id)
		if err := raft.BootstrapCluster(conf, m.log, m.log, m.snaps, m.trans, raft.Configuration{Servers: servers}); err != nil {
			tb.Fatalf("bootstrap %s: %v", m.id, err)
		}
	}
	tb.Cleanup(c.Close)
	for i := range c.members {
		c.Start(i)
	}
	c.Propose(Init())
	return c
}

// member adds a member that has nothing yet.
func (c *Cluster) member() *member {
	m := &member{id: fmt.Sprintf("node-%d", len(c.members)+1), log: raft.NewInmemStore(), snaps: raft.NewInmemSnapshotStore()}
	m.disk = &Disk{InmemStore: m.log}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members = append(c.members, m)
	return m
}

// Add starts one more node, which takes no part in raft yet, and gives its
// number.
func (c *Cluster) Add() int {
	c.tb.Helper()
	c.member()
	c.Start(len(c.members) - 1)
	return len(c.members) - 1
}

// ID is the id of member i.
func (c *Cluster) ID(i int) string { return c.members[i].id }

// Disk is the disk below the log of member i.
func (c *Cluster) Disk(i int) *Disk { return c.members[i].disk }

// renew gives a member a transport without connections.
func (m *member) renew() { _, m.trans = raft.NewInmemTransport(raft.ServerAddress(m.id)) }

// wire connects the members that run and are not cut off, and parts the others.
func (c *Cluster) wire() {
	for _, a := range c.members {
		a.trans.DisconnectAll()
		for _, b := range c.members {
			if a.node != nil && b.node != nil && (a == b || !a.cut && !b.cut) {
				a.trans.Connect(raft.ServerAddress(b.id), b.trans)
			}
		}
	}
}

// Start starts member i, again after a Stop, with the log that it had.
func (c *Cluster) Start(i int) {
	c.tb.Helper()
	m := c.members[i]
	m.renew()
	n, err := node.OpenWith(node.Config{ID: m.id, Version: "test", Election: 300 * time.Millisecond,
		Forward: forwarder{c, m},
		Fatal: func(err error) {
			if !m.disk.broke(err) {
				c.tb.Errorf("%s cannot go on: %v", m.id, err)
			}
		}},
		node.Stores{Log: m.disk, Stable: m.disk, Snapshots: m.snaps, Transport: m.trans})
	if err != nil {
		c.tb.Fatalf("start %s: %v", m.id, err)
	}
	c.mu.Lock()
	m.node = n
	c.mu.Unlock()
	c.wire()
}

// Stop ends member i; its log and snapshots stay.
func (c *Cluster) Stop(i int) {
	c.tb.Helper()
	m := c.members[i]
	if m.node == nil {
		return
	}
	if err := m.node.Close(); err != nil {
		c.tb.Errorf("stop %s: %v", m.id, err)
	}
	c.mu.Lock()
	m.node = nil
	c.mu.Unlock()
	c.wire()
}

// Kill ends member i as if its process had died: nobody hears of it before.
func (c *Cluster) Kill(i int) {
	c.tb.Helper()
	was := c.members[i].cut
	c.Cut(i)
	c.Stop(i)
	c.mu.Lock()
	c.members[i].cut = was
	c.mu.Unlock()
	c.wire()
}

// Close stops every member.
func (c *Cluster) Close() {
	for i := range c.members {
		c.Stop(i)
	}
}

// Cut parts member i from the others.
func (c *Cluster) Cut(i int) {
	c.mu.Lock()
	c.members[i].cut = true
	c.mu.Unlock()
	c.wire()
}

// Part parts two members from each other, in raft's messages only.
func (c *Cluster) Part(i, j int) {
	a, b := c.members[i], c.members[j]
	a.trans.Disconnect(raft.ServerAddress(b.id))
	b.trans.Disconnect(raft.ServerAddress(a.id))
}

// LastIndex is the newest entry on the disk of member i.
func (c *Cluster) LastIndex(i int) uint64 {
	c.tb.Helper()
	last, err := c.members[i].log.LastIndex()
	if err != nil {
		c.tb.Fatal(err)
	}
	return last
}

// Heal connects everybody again.
func (c *Cluster) Heal() {
	c.mu.Lock()
	for _, m := range c.members {
		m.cut = false
	}
	c.mu.Unlock()
	c.wire()
}

// Node is member i; nil while it is stopped.
func (c *Cluster) Node(i int) *node.Node { return c.members[i].node }

// Leader waits for the one member that leads and is not cut off, and gives its
// number.
func (c *Cluster) Leader() int {
	c.tb.Helper()
	leader := -1
	c.until("a leader", func() bool {
		leader = -1
		for i, m := range c.members {
			if m.node == nil || m.cut || !m.node.Leads() {
				continue
			}
			if leader >= 0 {
				return false // the older one has not noticed yet
			}
			leader = i
		}
		return leader >= 0
	})
	return leader
}

// Propose commits commands through the leader, trying again while leadership
// changes. A refusal fails the test.
func (c *Cluster) Propose(cmds ...command.Command) node.Result {
	c.tb.Helper()
	var last error
	var res node.Result
	c.until("a proposal", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		res, last = c.members[c.Leader()].node.Propose(ctx, cmds...)
		if last != nil && model.KindOf(last) != model.KindUnavailable {
			c.tb.Fatalf("propose: %v", last)
		}
		return last == nil
	})
	return res
}

// RequireSameState waits until all running members that are not cut off have
// applied index, and fails the test unless they hold the same state.
func (c *Cluster) RequireSameState(index uint64) {
	c.tb.Helper()
	var want []byte
	for _, m := range c.members {
		if m.node == nil || m.cut {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		err := m.node.WaitIndex(ctx, index)
		cancel()
		if err != nil {
			c.tb.Fatalf("%s: %v", m.id, err)
		}
		var b bytes.Buffer
		if err := m.node.View().WriteSnapshot(&b, "test"); err != nil {
			c.tb.Fatal(err)
		}
		if want == nil {
			want = b.Bytes()
		}
		if !bytes.Equal(want, b.Bytes()) {
			c.tb.Fatalf("%s holds another state:\n%s\n---\n%s", m.id, b.Bytes(), want)
		}
	}
}

func (c *Cluster) until(what string, ok func() bool) {
	c.tb.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	c.tb.Fatalf("waited %v for %s", patience, what)
}

// Init is a command that makes a small cluster; its first node is NodeID.
func Init() *command.InitCluster {
	return &command.InitCluster{
		Head: command.By(model.Origin{Actor: "local", Time: time.Now().UTC()}),
		Cluster: model.Cluster{ID: "cluster-1", FeatureLevel: command.Level, Pool: netip.MustParsePrefix("10.42.0.0/16"),
			VIPPool: netip.MustParsePrefix("10.43.0.0/16"), PortMin: 30000, PortMax: 32767},
		Tenant:      model.Tenant{Meta: model.Meta{ID: TenantID, Name: model.DefaultTenant}},
		Environment: model.Environment{Meta: model.Meta{ID: EnvironmentID, Name: model.DefaultEnvironment}},
		Node:        model.Node{Meta: model.Meta{ID: NodeID, Name: "one"}},
	}
}

// Single gives a node in memory, alone and initialized, that is closed with the
// test. It works in and outside of synctest bubbles.
func Single(tb testing.TB) *node.Node {
	tb.Helper()
	store := raft.NewInmemStore()
	_, trans := raft.NewInmemTransport(NodeID)
	n, err := node.OpenWith(node.Config{ID: NodeID, Version: "test", Election: 10 * time.Millisecond,
		Fatal: func(err error) { tb.Errorf("the node cannot go on: %v", err) }},
		node.Stores{Log: store, Stable: store, Snapshots: raft.NewInmemSnapshotStore(), Transport: trans})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := n.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := n.Bootstrap(ctx); err != nil {
		tb.Fatal(err)
	}
	if _, err := n.Propose(ctx, Init()); err != nil {
		tb.Fatal(err)
	}
	return n
}
