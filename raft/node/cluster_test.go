package node_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
)

// hosts are several nodes with real files that talk over TCP on the loopback.
type hosts struct {
	tb    testing.TB
	mu    sync.Mutex
	addrs map[string]string     // guarded by mu
	nodes map[string]*node.Node // guarded by mu
	conns map[string][]net.Conn // guarded by mu; of a host, both ends
	gone  map[string]bool       // guarded by mu; hosts that were cut off
	dirs  map[string]string
}

// tcp is the stream layer of one host.
type tcp struct {
	net.Listener
	id string
	h  *hosts
}

func (s tcp) Accept() (net.Conn, error) {
	c, err := s.Listener.Accept()
	if err == nil {
		err = s.h.keep(s.id, c)
	}
	return c, err
}

func (s tcp) Dial(id string, timeout time.Duration) (net.Conn, error) {
	s.h.mu.Lock()
	addr, gone := s.h.addrs[id], s.h.gone[id]
	s.h.mu.Unlock()
	if gone {
		return nil, errGone
	}
	c, err := net.DialTimeout("tcp", addr, timeout)
	if err == nil {
		err = s.h.keep(s.id, c)
	}
	return c, err
}

var errGone = errors.New("this host is cut off")

func (h *hosts) keep(id string, c net.Conn) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gone[id] {
		return errors.Join(errGone, c.Close())
	}
	h.conns[id] = append(h.conns[id], c)
	return nil
}

// relay forwards in the process.
type relay struct{ h *hosts }

func (f relay) leader(id string) (*node.Node, error) {
	f.h.mu.Lock()
	defer f.h.mu.Unlock()
	if n := f.h.nodes[id]; n != nil && !f.h.gone[id] {
		return n, nil
	}
	return nil, node.ErrNotDone
}

func (f relay) Forward(ctx context.Context, leaderID string, envelopes [][]byte) (uint64, []command.Outcome, error) {
	n, err := f.leader(leaderID)
	if err != nil {
		return 0, nil, err
	}
	r, err := n.ProposeEncoded(ctx, envelopes)
	return r.Index, r.Outcomes, err
}

func (f relay) ReadIndex(ctx context.Context, leaderID string) (uint64, error) {
	n, err := f.leader(leaderID)
	if err != nil {
		return 0, err
	}
	return n.LocalReadIndex(ctx)
}

func newHosts(tb testing.TB) *hosts {
	h := &hosts{tb: tb, addrs: map[string]string{}, nodes: map[string]*node.Node{}, conns: map[string][]net.Conn{}, gone: map[string]bool{}, dirs: map[string]string{}}
	tb.Cleanup(func() {
		for _, n := range maps.Clone(h.nodes) {
			h.stop(n.ID())
		}
	})
	return h
}

// start opens a node with files of its own.
func (h *hosts) start(id string) *node.Node {
	h.tb.Helper()
	if h.dirs[id] == "" {
		h.dirs[id] = h.tb.TempDir()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.tb.Fatal(err)
	}
	h.mu.Lock()
	h.addrs[id] = l.Addr().String()
	delete(h.gone, id)
	h.mu.Unlock()
	n, err := node.Open(node.Config{Dir: h.dirs[id], ID: id, Version: "1.0.0", Stream: tcp{l, id, h}, Forward: relay{h},
		Fatal: func(err error) { h.tb.Errorf("%s cannot go on: %v", id, err) }})
	if err != nil {
		h.tb.Fatal(err)
	}
	h.mu.Lock()
	h.nodes[id] = n
	h.mu.Unlock()
	return n
}

// stop closes a node.
func (h *hosts) stop(id string) {
	h.tb.Helper()
	h.mu.Lock()
	n := h.nodes[id]
	delete(h.nodes, id)
	h.mu.Unlock()
	if n == nil {
		return
	}
	if err := n.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		h.tb.Errorf("stop %s: %v", id, err)
	}
}

// cut breaks a node's connections and keeps it from making others: the others
// see what they see of a process that was killed.
func (h *hosts) cut(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gone[id] = true
	for _, c := range h.conns[id] {
		_ = c.Close()
	}
	h.conns[id] = nil
}

// three starts a cluster of three voters.
func (h *hosts) three() *node.Node {
	h.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	first := h.start(nodeID)
	if err := first.Bootstrap(ctx); err != nil {
		h.tb.Fatal(err)
	}
	propose(h.tb, first, initCommand())
	for _, id := range []string{"node-2", "node-3"} {
		h.start(id)
		if err := first.AddStandby(ctx, id); err != nil {
			h.tb.Fatal(err)
		}
		if err := first.AddVoter(ctx, id); err != nil {
			h.tb.Fatal(err)
		}
	}
	return first
}

func (h *hosts) leader() *node.Node {
	h.tb.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) { //nolint:forbidigo // polls
		h.mu.Lock()
		for _, n := range h.nodes {
			if n.Leads() {
				h.mu.Unlock()
				return n
			}
		}
		h.mu.Unlock()
	}
	h.tb.Fatal("no leader")
	return nil
}

// TestRecover loses two of three members for good and recovers the cluster from
// the one that is left: nothing that was acknowledged is missing.
func TestRecover(t *testing.T) {
	h := newHosts(t)
	first := h.three()
	var names []string
	for i := range 30 {
		names = append(names, fmt.Sprintf("v%d", i))
		propose(t, first, volume(names[i]))
	}
	propose(t, h.nodes["node-3"], volume("by-3")) // so that it is applied there
	names = append(names, "by-3")
	h.stop("node-3")
	propose(t, h.nodes["node-2"], volume("by-2"))
	names = append(names, "by-2")
	term, index := h.leader().LastLog()
	h.stop("node-2")
	h.stop(nodeID)
	oldTerm, oldIndex, err := node.LastLog(h.dirs["node-3"])
	if err != nil || oldTerm == 0 || oldIndex == 0 {
		t.Fatalf("node-3 is at term %d, index %d: %v", oldTerm, oldIndex, err)
	}
	newTerm, newIndex, err := node.LastLog(h.dirs["node-2"])
	if err != nil || newTerm < term || newIndex < index {
		t.Fatalf("node-2 is at term %d, index %d (%v), the leader was at %d, %d", newTerm, newIndex, err, term, index)
	}
	if newTerm < oldTerm || newTerm == oldTerm && newIndex < oldIndex {
		t.Fatalf("node-2 (%d, %d) lies behind node-3 (%d, %d), which stopped before", newTerm, newIndex, oldTerm, oldIndex)
	}
	for range 2 { // a repetition changes nothing
		if err := node.Recover(h.dirs["node-2"], "node-2"); err != nil {
			t.Fatal(err)
		}
	}
	if term, index, err := node.LastLog(h.dirs["node-2"]); err != nil || term != newTerm || index != newIndex {
		t.Fatalf("after the recovery at %d, %d (%v), before at %d, %d", term, index, err, newTerm, newIndex)
	}
	begin := time.Now()
	n := h.start("node-2")
	if err := n.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	propose(t, n, &command.RaiseGeneration{Head: by("local"), Generation: 2, Survivors: []string{"node-2"}, LastIndex: newIndex, At: time.Now().UTC()})
	t.Logf("writable %v after the recovery", time.Since(begin))
	requireVolumes(t, n.View(), names)
	m, err := n.Members(t.Context())
	if err != nil || len(m.Servers) != 1 || m.LeaderID != "node-2" || !m.Servers[0].Voter {
		t.Fatalf("%+v %v", m, err)
	}
	// The first comes back with nothing, as rejoin makes it.
	path, err := node.PutAside(h.dirs[nodeID])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(path, "log.db")); err != nil {
		t.Fatal("nothing was kept: ", err)
	}
	back := h.start(nodeID)
	if back.Bootstrapped() {
		t.Fatal("it remembers its cluster")
	}
	if err := n.AddStandby(t.Context(), nodeID); err != nil {
		t.Fatal(err)
	}
	r := propose(t, n, volume("after"))
	if err := back.WaitIndex(t.Context(), r.Index); err != nil {
		t.Fatal(err)
	}
	requireVolumes(t, back.View(), append(names, "after"))
	if n.Degraded() {
		t.Error("degraded although the standby follows")
	}
}

func TestRecoverNothing(t *testing.T) {
	if err := node.Recover(t.TempDir(), nodeID); model.CodeOf(err) != "not_initialized" {
		t.Fatalf("recovering nothing: %v", err)
	}
	if _, err := node.PutAside(t.TempDir()); model.CodeOf(err) != "not_found" {
		t.Fatalf("putting nothing aside: %v", err)
	}
	if term, index, err := node.LastLog(t.TempDir()); term != 0 || index != 0 || err != nil {
		t.Fatal(term, index, err)
	}
	dir := t.TempDir()
	openInit(t, dir)
	if err := node.Recover(dir, nodeID); model.CodeOf(err) != "data_in_use" {
		t.Fatalf("recovering a node that runs: %v", err)
	}
	if _, err := node.PutAside(dir); model.CodeOf(err) != "data_in_use" {
		t.Fatalf("putting a running node's log aside: %v", err)
	}
}

// TestReadAfterRecovery confirms a read where the snapshot of a recovery ends with
// entries that are no commands: nothing that a reader would wait for ever for.
func TestReadAfterRecovery(t *testing.T) {
	dir := t.TempDir()
	n := openInit(t, dir)
	for range 2 { // every start appends an entry of raft's own
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		n = open(t, dir)
		if err := n.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := node.Recover(dir, nodeID); err != nil {
		t.Fatal(err)
	}
	n = open(t, dir)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := n.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	index, err := n.ReadIndex(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.WaitIndex(ctx, index); err != nil {
		t.Fatalf("a read waits for index %d, %d is applied: %v", index, n.AppliedIndex(), err)
	}
}

// TestCrashedLeader crashes leaders over real connections: the next write is
// acknowledged soon, and a crashed one catches up when it is back.
func TestCrashedLeader(t *testing.T) {
	h := newHosts(t)
	h.three()
	rounds := 3
	if testing.Short() {
		rounds = 1
	}
	for i := range rounds {
		took := h.crashLeader(fmt.Sprintf("v%d", i))
		t.Logf("written again after %v", took)
		if took > 5*time.Second {
			t.Errorf("needed %v", took)
		}
	}
}

// crashLeader gives the time from the leader's crash to the next acknowledged
// write, then starts the crashed one again and waits until it has caught up.
func (h *hosts) crashLeader(name string) time.Duration {
	h.tb.Helper()
	old := h.leader().ID()
	var other *node.Node
	h.mu.Lock()
	for id, n := range h.nodes {
		if id != old {
			other = n
		}
	}
	h.mu.Unlock()
	begin := time.Now()
	h.cut(old)
	var took time.Duration
	for k := 0; ; k++ {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		_, err := other.Propose(ctx, volume(fmt.Sprintf("%s-%d", name, k)))
		cancel()
		if err == nil && other.LeaderID() != old {
			took = time.Since(begin)
			break
		}
		if err != nil && model.KindOf(err) != model.KindUnavailable {
			h.tb.Fatal(err)
		}
	}
	h.stop(old)
	back := h.start(old)
	r := propose(h.tb, other, volume(name))
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := back.WaitIndex(ctx, r.Index); err != nil {
		h.tb.Fatalf("%s came back: %v", old, err)
	}
	return took
}
