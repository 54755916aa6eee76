// Package edge is the process that answers containers' names, later also the one that takes in web traffic. It lives
// on while the daemon is away, and starts without it.
//
// It owns the snapshot's file format, the socket at <run-dir>/edge.sock and the DNS server of netfw/dns. It decides
// nothing and changes nothing on the host: the daemon publishes what it should know, and adds its address to the
// host. The process needs no right but to use ports below 1024, and gives up all others before it reads a packet.
//
// Run is the body of the process. Publish, Await and Probe are for the daemon; they may be called from anywhere.
package edge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/skerryhq/skerry/netfw/dns"
)

// memoryGoal is what the collector keeps the heap under while it can, in bytes: the process is small and mostly idle.
const memoryGoal = 12 << 20

// Config says where the edge lives.
type Config struct {
	RunDir     string         // for the socket; made if missing
	DataDir    string         // where Publish wrote; made if missing
	Listen     netip.AddrPort // for DNS; zero: 169.254.42.53:53. It need not be on the host yet
	ResolvConf string         // the host's resolvers; empty: /etc/resolv.conf
	Log        *slog.Logger

	// KeepPrivileges is for tests that run the edge inside their own process.
	KeepPrivileges bool
}

// Run serves until ctx ends, which is no error. Without a usable snapshot it answers nobody and waits for one.
func Run(ctx context.Context, cfg Config) error {
	if cfg.Log == nil {
		return errors.New("edge: no logger given")
	}
	if cfg.RunDir == "" || cfg.DataDir == "" {
		return errors.New("edge: give both run directory and data directory")
	}
	if !cfg.Listen.IsValid() {
		cfg.Listen = netip.MustParseAddrPort("169.254.42.53:53")
	}
	for _, dir := range []string{cfg.RunDir, filepath.Join(cfg.DataDir, folder)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("start the edge: %w", err)
		}
	}
	server, err := dns.NewServer(ctx, dns.Config{Listen: cfg.Listen, ResolvConf: cfg.ResolvConf, Log: cfg.Log})
	if err != nil {
		return fmt.Errorf("start the edge: %w", err)
	}
	e := &edge{cfg: cfg, server: server, started: time.Now(), changed: make(chan struct{})}
	watch, err := newWatch(filepath.Join(cfg.DataDir, folder))
	if err != nil {
		return errors.Join(fmt.Errorf("start the edge: %w", err), server.Close())
	}
	door, err := e.openDoor(ctx)
	if err != nil {
		return errors.Join(fmt.Errorf("start the edge: %w", err), watch.Close(), server.Close())
	}
	if !cfg.KeepPrivileges {
		if err := dropPrivileges(); err != nil {
			return errors.Join(fmt.Errorf("start the edge: %w", err), door.Close(), watch.Close(), server.Close())
		}
		debug.SetGCPercent(50)
		debug.SetMemoryLimit(memoryGoal)
	}
	e.reload(ctx) // after the watch began: nothing is missed in between

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 3)
	var parts sync.WaitGroup
	parts.Go(func() { failed <- server.Run(ctx) })
	parts.Go(func() { failed <- watch.Run(ctx, func() { e.reload(ctx) }) })
	parts.Go(func() { failed <- e.answerDoor(ctx, door) })
	cfg.Log.InfoContext(ctx, "edge serves names", "address", server.Address().String(), "version", e.version())
	err = <-failed // the first that ends, by ctx or by a fault, ends the others
	cancel()
	parts.Wait()
	close(failed)
	for other := range failed {
		err = errors.Join(err, other)
	}
	return err
}

type edge struct {
	cfg     Config
	server  *dns.Server
	started time.Time

	mu      sync.Mutex
	loaded  bool          // guarded by mu
	current Snapshot      // guarded by mu; its endpoints are not kept
	count   int           // of endpoints; guarded by mu
	changed chan struct{} // closed and replaced at every load; guarded by mu
}

func (e *edge) version() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.current.Version
}

// reload takes over the snapshot on disk. A damaged one is reported, and what is known stays.
func (e *edge) reload(ctx context.Context) {
	s, err := load(e.cfg.DataDir)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		e.cfg.Log.WarnContext(ctx, "edge snapshot not usable, keeping the last one", "error", err)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.server.Set(s.DNS)
	e.count = len(s.DNS.Endpoints)
	s.DNS = dns.Snapshot{}
	e.current, e.loaded = s, true
	close(e.changed)
	e.changed = make(chan struct{})
	e.cfg.Log.DebugContext(ctx, "edge snapshot loaded", "version", s.Version, "endpoints", e.count)
}
