// Package node runs this host's part of the cluster's state: it opens the log
// and the snapshots in the data directory, takes part in raft, and turns
// commands into committed entries.
//
// It owns <dir>/raft and <dir>/audit and nothing else. It never decides what to
// change: the API and the loops propose, raft/state judges. Everything here is
// safe for concurrent use.
//
// A write that Propose acknowledged is on disk (fsync) and applied here.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skerryhq/skerry/raft/fsm"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// StreamLayer carries raft between nodes. Dial's address is a node id: raft's
// own records name nodes by id alone, so that an address can change without
// touching them.
type StreamLayer interface {
	net.Listener
	Dial(nodeID string, timeout time.Duration) (net.Conn, error)
}

// Config says how to run a node.
type Config struct {
	Dir     string       // data directory; <Dir>/raft and <Dir>/audit are made
	ID      string       // of this node, the same for ever
	Version string       // of this binary, for sentences and entries
	Log     *slog.Logger // nil discards
	Stream  StreamLayer  // nil: this node alone, without any socket

	// Forward asks the leader on behalf of this node; nil: only the leader takes
	// writes and strong reads.
	Forward Forwarder

	// Fatal is called once if the node cannot go on (an entry that this binary
	// does not know, a full disk): nothing is applied any more and the process
	// should end. nil logs the sentence and exits with status 70.
	Fatal func(error)

	Election time.Duration // without a leader for this long, elect one; 0 means 50 ms alone, 300 ms with Stream
	Audit    fsm.AuditConfig
}

// Node is this host's member of the cluster.
type Node struct {
	cfg  Config
	log  *slog.Logger
	fsm  *fsm.FSM
	raft *raft.Raft

	timed   *timedFSM // fsm, as raft sees it
	logs    *logStore // Stores.Log, as raft sees it below its cache
	watched *watched  // Stores.Transport, as raft sees it
	peers   *peers
	reads   reads
	missed  atomic.Uint64 // an entry that the standby lacked for too long: writes do not wait for it; 0 if they do
	broken  atomic.Bool   // the disk refused a write
	fatal   func(error)   // Config.Fatal, once

	stores    Stores
	proposals chan *proposal
	terms     terms
	took      atomic.Int64  // nanoseconds that the newest entry took from raft.Apply to its answer
	closing   chan struct{} // closed when Close begins
	ended     chan struct{} // closed when the pipeline has answered all it took
	closeOnce sync.Once
	closeErr  error
	done      sync.WaitGroup
}

// Stores are the parts under raft; Open makes them from files, tests in memory.
type Stores struct {
	Log       raft.LogStore
	Stable    raft.StableStore
	Snapshots raft.SnapshotStore
	Transport raft.Transport
	Audit     *fsm.Audit   // nil keeps none
	Close     func() error // nil if there is nothing to close
}

// Open starts this node from its data directory, which may be empty: then it
// waits for Bootstrap (or, later, to be joined to a cluster). It checks what it
// finds before it changes anything.
//
// Errors: "data_damaged" names the file and what to do; "version_too_old" if
// the data belongs to a newer version; "data_in_use" if another process has it.
func Open(cfg Config) (*Node, error) {
	if cfg.Dir == "" || cfg.ID == "" {
		return nil, model.Errorf(model.KindInvalid, "config_invalid", "a node needs a data directory and an id")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s, err := openStores(cfg)
	if err != nil {
		return nil, err
	}
	n, err := OpenWith(cfg, s)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return n, nil
}

// OpenWith is Open over given stores, for tests that run in memory. The caller
// closes the stores if it fails.
func OpenWith(cfg Config, s Stores) (*Node, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	n := &Node{cfg: cfg, log: cfg.Log.With("component", "raft"), stores: s, closing: make(chan struct{}), ended: make(chan struct{}),
		proposals: make(chan *proposal, maxBatch), peers: newPeers()}
	if n.cfg.Fatal == nil {
		n.cfg.Fatal = func(err error) {
			n.log.Error("this node cannot go on", "err", err)
			os.Exit(70)
		}
	}
	var once sync.Once
	n.fatal = func(err error) { once.Do(func() { n.cfg.Fatal(err) }) }
	n.fsm = fsm.New(fsm.Config{Version: cfg.Version, Audit: s.Audit, Fatal: n.fatal})
	n.terms.changed = make(chan struct{})
	lead := make(chan bool, 16)
	if err := n.start(lead); err != nil {
		return nil, err
	}
	inflight := make(chan *batch, pipelineDepth)
	slots := make(chan struct{}, pipelineDepth)
	n.done.Go(func() { n.follow(lead) })
	n.done.Go(func() { n.submit(slots, inflight) })
	n.done.Go(n.watchdog)
	go func() { n.collect(slots, inflight); close(n.ended) }() // ends as Close describes
	return n, nil
}

// cachedEntries is how many of the newest entries raft keeps in memory for its
// followers.
const cachedEntries = 128

// start puts the watches between raft and what is below it, and starts raft.
func (n *Node) start(lead chan<- bool) error {
	s := n.stores
	trans, ok := s.Transport.(sender)
	if !ok {
		return fmt.Errorf("start raft: the transport %T cannot ask for pre-votes", s.Transport)
	}
	n.watched = &watched{sender: trans, peers: n.peers, over: n.closing}
	n.timed = &timedFSM{FSM: n.fsm}
	var err error
	if n.logs, err = watchLog(s.Log, n.diskFailed); err != nil {
		return err
	}
	cache, err := raft.NewLogCache(cachedEntries, n.logs)
	if err != nil {
		return fmt.Errorf("start raft: %w", err)
	}
	stable := &stableStore{StableStore: s.Stable, failed: n.diskFailed, closing: n.closing}
	n.raft, err = raft.NewRaft(n.raftConfig(lead), n.timed, cache, stable, s.Snapshots, n.watched)
	if err != nil {
		return fmt.Errorf("start raft: %w", err)
	}
	n.watched.raft.Store(n.raft)
	return nil
}

func (n *Node) raftConfig(lead chan<- bool) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(n.cfg.ID)
	c.Logger = newLogger(n.log)
	c.NotifyCh = lead
	c.BatchApplyCh = true
	c.MaxAppendEntries = 64 // entries are batches already
	c.HeartbeatTimeout = n.cfg.Election
	if c.HeartbeatTimeout == 0 {
		c.HeartbeatTimeout = 50 * time.Millisecond
		if n.cfg.Stream != nil {
			c.HeartbeatTimeout = 300 * time.Millisecond
		}
	}
	c.ElectionTimeout = c.HeartbeatTimeout
	c.LeaderLeaseTimeout = c.HeartbeatTimeout
	c.SnapshotThreshold = 4096
	c.TrailingLogs = 2048
	c.NoLegacyTelemetry = true
	return c
}

// Bootstrap makes this node the only member of a new cluster. Errors:
// "already_initialized" if the data directory belongs to a cluster.
func (n *Node) Bootstrap(ctx context.Context) error {
	servers := []raft.Server{{ID: raft.ServerID(n.cfg.ID), Address: n.stores.Transport.LocalAddr()}}
	err := n.raft.BootstrapCluster(raft.Configuration{Servers: servers}).Error()
	if errors.Is(err, raft.ErrCantBootstrap) {
		return model.Errorf(model.KindConflict, "already_initialized", "this node belongs to a cluster already; `skerry reset --data` makes it forget that")
	}
	if err != nil {
		return fmt.Errorf("bootstrap: %w", fromRaft(err))
	}
	return n.WaitReady(ctx)
}

// Bootstrapped says whether this node belongs to a cluster.
func (n *Node) Bootstrapped() bool {
	f := n.raft.GetConfiguration()
	return f.Error() == nil && len(f.Configuration().Servers) > 0
}

// ID is this node's id.
func (n *Node) ID() string { return n.cfg.ID }

// View is the state as this node knows it.
func (n *Node) View() *state.View { return n.fsm.Store().View() }

// Store is for state.Watch and Store.EventSignal.
func (n *Node) Store() *state.Store { return n.fsm.Store() }

// Audit is the record of what was done; nil if none is kept.
func (n *Node) Audit() *fsm.Audit { return n.stores.Audit }

// AppliedIndex is the index of the last command applied here.
func (n *Node) AppliedIndex() uint64 { return n.fsm.Applied() }

// WaitIndex waits until a command's index (Result.Index) is applied here.
func (n *Node) WaitIndex(ctx context.Context, index uint64) error {
	done, forget := n.fsm.Await(index)
	defer forget()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return model.Errorf(model.KindUnavailable, "index_not_reached",
			"this node has not reached index %d yet (it is at %d); try again", index, n.fsm.Applied())
	case <-n.closing:
		return errClosing()
	}
}

// Barrier waits until everything that was committed before is applied here, and
// so confirms that this node leads. Errors: "no_leader".
func (n *Node) Barrier(ctx context.Context) error {
	return n.await(ctx, n.raft.Barrier(timeLeft(ctx)))
}

// await waits for a future of raft, but no longer than ctx.
func (n *Node) await(ctx context.Context, f raft.Future) error {
	ch := make(chan error, 1)
	go func() { ch <- f.Error() }() // ends with the future, at the latest when raft shuts down
	select {
	case err := <-ch:
		return fromRaft(err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Snapshot writes a snapshot now, for backups and tests; raft does it by itself
// every few thousand entries.
func (n *Node) Snapshot(ctx context.Context) error {
	err := n.await(ctx, n.raft.Snapshot())
	if errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return nil
	}
	return err
}

// Stats are raft's own figures, by their names.
func (n *Node) Stats() map[string]string { return n.raft.Stats() }

// closePatience is how long Close waits for entries that are on their way.
const closePatience = 5 * time.Second

// Close ends this node's part. What was acknowledged is on disk. Entries on
// their way are answered first: raft forgets those that it holds when it is shut
// down, and nobody hears of them again but by the time-out of Propose. A leader
// hands over first, so that the others need not miss it.
func (n *Node) Close() error {
	n.closeOnce.Do(func() {
		close(n.closing)
		n.fsm.Close()
		patience := time.NewTimer(closePatience)
		defer patience.Stop()
		select {
		case <-n.ended:
		case <-patience.C:
			n.log.Warn("some changes were not answered in time; whether they were made is seen after the next start")
		}
		if n.raft.State() == raft.Leader && !n.alone() {
			if err := n.TransferLeadership(context.Background()); err != nil {
				n.log.Debug("handing the lead over before the end", "err", err)
			}
		}
		err := n.raft.Shutdown().Error()
		n.done.Wait()
		if n.stores.Close != nil {
			err = errors.Join(err, n.stores.Close())
		}
		n.closeErr = err
	})
	return n.closeErr
}
