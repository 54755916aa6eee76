// Package appliance is the living room: the one place where the foundations
// meet. New takes a configuration, Run opens everything in order, connects it,
// and blocks until the context ends. It holds no logic of its own beyond birth
// (Init), life (Run) and clearing up (Reset).
package appliance

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/appliance/agent"
	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/appliance/config"
	"github.com/skerryhq/skerry/appliance/control"
	"github.com/skerryhq/skerry/appliance/mirror"
	"github.com/skerryhq/skerry/appliance/noderuntime"
	"github.com/skerryhq/skerry/appliance/nodeview"
	"github.com/skerryhq/skerry/appliance/observe"
	"github.com/skerryhq/skerry/appliance/operation"
	"github.com/skerryhq/skerry/appliance/peer"
	"github.com/skerryhq/skerry/appliance/pki"
	"github.com/skerryhq/skerry/appliance/quorum"
	"github.com/skerryhq/skerry/appliance/recovery"
	"github.com/skerryhq/skerry/appliance/registry"
	"github.com/skerryhq/skerry/appliance/supervise"
	"github.com/skerryhq/skerry/netfw/iptables"
	"github.com/skerryhq/skerry/netfw/link"
	"github.com/skerryhq/skerry/netfw/overlay"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
	"github.com/skerryhq/skerry/runtime/ctrd"
	"github.com/skerryhq/skerry/runtime/engine"
	"github.com/skerryhq/skerry/runtime/image"
	"github.com/skerryhq/skerry/runtime/logs"
	"github.com/skerryhq/skerry/runtime/volume"
	"github.com/skerryhq/skerry/ui"
)

// version is set by the linker.
var version = "dev"

// Version is the version of this program.
func Version() string { return version }

// Appliance is one node.
type Appliance struct {
	cfg config.Config
	log *slog.Logger
}

// New checks the configuration and the right to run. It opens nothing.
func New(cfg config.Config, log *slog.Logger) (*Appliance, error) {
	cfg, err := cfg.Resolve()
	if err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("a node needs root: it makes network namespaces, mounts and packet filter rules")
	}
	return &Appliance{cfg: cfg, log: log}, nil
}

// errAgain ends the present parts of the node so that they are opened anew, from
// what lies on the disk by then: the node has joined a cluster, or its part in
// one has changed. Containers and processes notice nothing.
var errAgain = errors.New("the node's parts start again")

// Run runs the node until ctx ends. Containers go on running after it, unless
// the configuration says Ephemeral; then everything that the node started ends
// with it.
func (a *Appliance) Run(ctx context.Context) error {
	began := time.Now()
	manager := notifySocket()
	tuneMemory()
	release, err := claim(ctx, a.cfg)
	if err != nil {
		return err
	}
	defer release()
	for {
		p, err := a.open(ctx)
		if err == nil {
			err = a.serve(ctx, p, began, manager)
		}
		if errors.Is(err, errAgain) && ctx.Err() == nil {
			if err := p.close(); err != nil {
				a.log.Warn("a part did not close well before its new start", "err", err)
			}
			began = time.Now()
			continue
		}
		if a.cfg.Ephemeral {
			err = errors.Join(err, a.teardown(context.WithoutCancel(ctx), p))
		}
		return errors.Join(err, p.close())
	}
}

// parts is everything that Run opens. What could not be opened is nil.
type parts struct {
	identity   identity // as it was at the start; only the id stays
	record     *record  // identity, as it is by now
	box        *pki.Box
	authority  *pki.Authority
	certs      *pki.Certificates
	peers      *peer.Server
	node       *node.Node
	replica    replica // node, for what may run while it is not open
	recovery   *recovery.Recovery
	recovering atomic.Bool // a recovery is under way: the others' generation may be ahead
	heartbeats *control.Heartbeats
	fatal      chan error
	engine     engine.Config
	containers *ctrd.Runtime
	images     *image.Store
	blobs      *registry.Blobs
	logs       *logs.Client
	volumes    *volume.Store
	sampler    *ctrd.Sampler
	recorder   *observe.Recorder
	links      *link.Links
	firewall   *iptables.Table
	overlay    *overlay.Overlay
	processes  []supervise.Spec
	closers    []func() error
}

func (p *parts) close() error {
	var errs []error
	for i := len(p.closers) - 1; i >= 0; i-- {
		errs = append(errs, p.closers[i]())
	}
	return errors.Join(errs...)
}

// open opens everything, in the order in which it depends on each other. The
// parts that it got so far are returned with an error.
func (a *Appliance) open(ctx context.Context) (*parts, error) {
	p := &parts{fatal: make(chan error, 1), heartbeats: control.NewHeartbeats()}
	cfg := a.cfg
	var err error
	if p.identity, err = loadIdentity(cfg.DataDir); err != nil {
		return p, err
	}
	p.record = newRecord(cfg.DataDir, p.identity)
	if err := a.openKeys(p); err != nil {
		return p, err
	}
	if err := a.openPeers(p); err != nil {
		return p, err
	}
	p.engine = engine.Config{Root: filepath.Join(cfg.DataDir, "engine"), RunDir: cfg.RunDir, BinDir: cfg.EngineDir}
	if p.processes, err = a.startProcesses(ctx, p); err != nil {
		return p, err
	}
	if err := a.openNetwork(p); err != nil {
		return p, err
	}
	if p.identity.Role != model.NodeWorker {
		if err := a.openNode(ctx, p); err != nil {
			return p, err
		}
	}
	return p, a.openRuntime(ctx, p)
}

// openKeys opens the node's keys and, on a member, the cluster's.
func (a *Appliance) openKeys(p *parts) error {
	keys := a.keysDir()
	if err := pki.Repair(keys); err != nil {
		return err
	}
	conf := pki.Config{Dir: keys, ID: p.identity.ID, Role: p.identity.Role, Hosts: func() []string { return a.certificateHosts(p) }, Log: a.log.With("component", "pki")}
	var err error
	if p.box, err = pki.OpenBox(filepath.Join(keys, "seal.key")); err != nil {
		return err
	}
	if p.identity.Role != model.NodeWorker {
		if p.authority, err = pki.OpenAuthority(keys, p.box, time.Now()); err != nil {
			return err
		}
	}
	p.certs, err = pki.OpenCertificates(conf, p.authority)
	return err
}

// openNode opens this member's part of the state.
func (a *Appliance) openNode(ctx context.Context, p *parts) error {
	if err := a.fetchAnew(ctx, p); err != nil {
		return err
	}
	if err := a.carryOut(p); err != nil {
		return err
	}
	n, err := node.Open(node.Config{
		Dir: a.cfg.DataDir, ID: p.identity.ID, Version: version, Log: a.log,
		Stream: p.peers.Stream(), Forward: p.peers.Peers(), Fatal: p.stop,
	})
	if err != nil {
		return err
	}
	p.node = n
	p.replica.Store(n)
	p.closers = append(p.closers, func() error { p.replica.Store(nil); return n.Close() })
	return nil
}

func (a *Appliance) openNetwork(p *parts) error {
	resolver := netip.MustParseAddr(a.cfg.Resolver)
	links, err := link.New(link.Config{Dir: filepath.Join(a.cfg.RunDir, "netns"), Resolver: resolver})
	if err != nil {
		return err
	}
	p.links = links
	p.closers = append(p.closers, func() error { links.Close(); return nil })
	host, err := links.EnsureHost()
	if err != nil {
		return err
	}
	if !host.ForwardingWas {
		a.log.Info("routing between interfaces was off and is on now (net.ipv4.ip_forward)")
	}
	p.firewall, err = iptables.New(iptables.Config{Log: a.log.With("component", "netfw")})
	if err != nil {
		return err
	}
	p.closers = append(p.closers, func() error { p.firewall.Close(); return nil })
	if p.overlay, err = overlay.New(overlay.Config{Dir: a.cfg.RunDir, Port: a.cfg.OverlayPort, Log: a.log.With("component", "netfw")}); err != nil {
		return err
	}
	p.closers = append(p.closers, func() error { p.overlay.Close(); return nil })
	return nil
}

// startProcesses starts or adopts the engine, the log daemon and the edge.
func (a *Appliance) startProcesses(ctx context.Context, p *parts) ([]supervise.Spec, error) {
	if err := p.engine.Prepare(); err != nil {
		return nil, err
	}
	small := filepath.Join(a.cfg.EngineDir, "skerry-nodeproc")
	folders := []string{"--run-dir", a.cfg.RunDir, "--data-dir", a.cfg.DataDir}
	cmd := p.engine.Command()
	specs := []supervise.Spec{
		{Name: "containerd", Argv: append([]string{small, "engine", "--bundles", p.engine.BundlesDir(), "--exits", p.engine.ExitsDir(), "--"}, cmd.Args...), Env: cmd.Env, Dir: cmd.Dir, OOMScoreAdj: -999},
		{Name: "logd", Argv: append([]string{small, "logd"}, folders...), OOMScoreAdj: -998, KeepFDs: 4096},
		{Name: "edge", Argv: append([]string{small, "edge", "--listen", net.JoinHostPort(a.cfg.Resolver, "53")}, folders...), OOMScoreAdj: -998},
	}
	client, err := supervise.Ensure(ctx, a.superviseConfig())
	if err != nil {
		return nil, fmt.Errorf("start the process parent: %w", err)
	}
	for _, s := range specs[:2] { // the edge follows when its address is there
		if err := client.Ensure(ctx, s); err != nil {
			return nil, fmt.Errorf("start %s: %w", s.Name, err)
		}
	}
	return specs, nil
}

func (a *Appliance) superviseConfig() supervise.Config {
	return supervise.Config{RunDir: a.cfg.RunDir, DataDir: a.cfg.DataDir, Binary: filepath.Join(a.cfg.EngineDir, "skerry-nodeproc")}
}

// openRuntime connects to the engine.
func (a *Appliance) openRuntime(ctx context.Context, p *parts) error {
	const patience = 30 * time.Second
	wait, cancel := context.WithTimeoutCause(ctx, patience, errors.New("it did not answer within 30 s; its own words are in log/containerd.log of the data directory"))
	defer cancel()
	client, err := p.engine.Connect(wait)
	if err != nil {
		return err
	}
	p.closers = append(p.closers, client.Close)
	log := a.log.With("component", "runtime")
	if p.images, err = image.New(client, image.Options{Root: p.engine.Root, Log: log}); err != nil {
		return err
	}
	if p.blobs, err = registry.NewBlobs(ctx, client, filepath.Join(a.cfg.DataDir, "registry"), a.log.With("component", "registry")); err != nil {
		return err
	}
	if p.containers, err = ctrd.New(ctrd.Config{Client: client, Engine: p.engine, Images: p.images, Log: log}); err != nil {
		return err
	}
	p.logs = logs.NewClient(a.cfg.RunDir, a.cfg.DataDir)
	p.volumes, err = volume.New(filepath.Join(a.cfg.DataDir, "volumes"))
	return err
}

// serve runs what was opened until ctx ends or something fails for good. manager
// is the service manager's socket, or empty.
func (a *Appliance) serve(ctx context.Context, p *parts, began time.Time, manager string) error {
	public, local, err := a.listen(ctx)
	if err != nil {
		return err
	}
	// What runs here ends a moment after ctx: the others are told first.
	ended := ctx
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ended, func() { a.farewell(p); cancel() })()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case err := <-p.fatal:
			return err
		}
	})
	// The other nodes first: without them a member of several has no leader.
	g.Go(func() error { return p.peers.Run(ctx, public) })
	g.Go(func() error { return p.certs.Run(ctx) })
	g.Go(func() error {
		return supervise.Keep(ctx, a.superviseConfig(), p.processes, a.log.With("component", "supervise"))
	})
	ready := func() {
		a.log.Info("node is up", "node", p.identity.ID, "name", a.cfg.Name, "listen", a.cfg.Listen, "socket", a.cfg.Socket(),
			"version", version, "took_ms", time.Since(began).Milliseconds())
		if err := notify(ctx, manager, "READY=1"); err != nil {
			a.log.Warn("the service manager does not know that the node is up", "err", err)
		}
	}
	if p.identity.Role == model.NodeWorker {
		err = a.serveWorker(ctx, g, p, local)
	} else {
		err = a.serveMember(ctx, g, p, local)
	}
	if err == nil {
		ready()
	} else {
		g.Go(func() error { return err })
	}
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// serveMember begins what a member does, in the group.
func (a *Appliance) serveMember(ctx context.Context, g *errgroup.Group, p *parts, local net.Listener) error {
	port := netip.MustParseAddrPort(a.cfg.Listen).Port()
	store := p.node.Store()
	p.sampler = p.containers.NewSampler()
	p.recorder = a.newRecorder(p, func() iter.Seq[*model.Container] { return store.View().ContainersOnNode(p.identity.ID) })
	upstreams := newMirror(a.cfg, p, a.log)
	var reach *noderuntime.Runtime
	content := memberExchange(p, func(ctx context.Context, c access.Caller, ref string, report api.Report) error {
		_, err := reach.Pull(ctx, c, ref, "", "", report)
		return err
	}, a.log)
	reach = noderuntime.New(noderuntime.Config{
		NodeID: p.identity.ID, DataDir: a.cfg.DataDir, Store: store,
		Containers: p.containers, Images: p.images, Sources: upstreams, Logs: p.logs, Volumes: p.volumes, Recorder: p.recorder, Peers: p.peers.Peers(), Log: a.log,
		Bring: content.Bring,
	})
	pushed, err := newRegistry(a.cfg, p, upstreams, content, a.log)
	if err != nil {
		return err
	}
	desk := operation.New(operation.Config{
		Store: store, Proposer: p.node, Images: reach, Registry: pushed.registry, OwnHost: ownHost(a.cfg, store), Holder: portHolders{p}.holder, Control: []uint16{port}, Overlay: a.cfg.OverlayPort, NodeID: p.identity.ID,
		OwnPaths: []string{a.cfg.DataDir, a.cfg.RunDir}, Log: a.log,
	})
	keeper := a.newAgent(p, nodeview.Local(store, p.identity.ID), p.node, newAdopting(p.containers, reach, content))
	founded := newFounder(a, p, reach)
	shown := certificateDesk{box: p.box, certs: p.certs, log: a.log.With("component", "pki")}
	server, err := api.New(api.Config{
		Cluster: p.node, Operations: desk, Runtime: reach, Audit: auditLog{p.node.Audit()}, Founder: founded,
		Console: http.FS(ui.FS()), Version: version, Timing: keeper.Timing, Log: a.log,
		Certificates: shown, People: pushed.people, Token: pushed.door, V2: pushed.registry,
		Registry: desk, RegistryNode: registryNode{a.cfg, p, pushed.registry, reach}, Upstreams: upstreams,
		ClusterConfig: a.clusterConfig(p),
	})
	if err != nil {
		return err
	}
	a.mountMember(p, reach)
	a.mountContent(p, content)
	p.peers.Handle(registry.PeerPrefix, peer.Members, pushed.registry.PeerHandler())
	if a.awaitState(ctx, p) {
		if err := reach.Sweep(ctx); err != nil {
			a.log.Warn("something of an interrupted import is left over", "err", err)
		}
	}
	if err := a.rememberCluster(p); err != nil {
		return err
	}
	g.Go(func() error {
		return server.Run(ctx, api.Listeners{Public: p.peers.Public(), TLS: p.certs.ServerTLS(), Local: local})
	})
	g.Go(func() error { return shown.follow(ctx, store) })
	g.Go(func() error { return shown.warn(ctx, store, p.node) })
	g.Go(func() error { return a.followAuthority(ctx, p) })
	g.Go(func() error {
		return control.SendHeartbeats(ctx, control.BeatConfig{NodeID: p.identity.ID, Leader: p.node.LeaderID, Peers: p.peers.Peers(), Own: p.heartbeats, Log: a.log})
	})
	g.Go(func() error {
		if err := founded.wait(ctx); err != nil {
			return err
		}
		return a.keepImages(ctx, p, content)
	})
	g.Go(func() error {
		if err := founded.wait(ctx); err != nil {
			return err
		}
		return a.live(ctx, p, keeper, pushed.registry, upstreams)
	})
	g.Go(func() error { return pushed.recorder.Run(ctx) })
	return nil
}

// newAgent makes what keeps this node as asked.
func (a *Appliance) newAgent(p *parts, views nodeview.Source, proposer agent.Proposer, containers agent.Containers) *agent.Agent {
	port := netip.MustParseAddrPort(a.cfg.Listen).Port()
	return agent.New(agent.Config{
		NodeID: p.identity.ID, FilesDir: filepath.Join(a.cfg.RunDir, "containers"), CgroupRoot: p.identity.cgroup(),
		Resolver: netip.MustParseAddr(a.cfg.Resolver), Views: views, Proposer: proposer,
		Containers: containers, Links: p.links, Logs: logPipes{p.logs}, Volumes: p.volumes,
		Firewall: p.firewall, Overlay: p.overlay, Names: (&publisher{dataDir: a.cfg.DataDir}).publish, Control: []uint16{port}, Log: a.log,
		EndedAt: endedAt(a.cfg.DataDir),
	})
}

// newRecorder makes what measures this node and its containers.
func (a *Appliance) newRecorder(p *parts, assigned func() iter.Seq[*model.Container]) *observe.Recorder {
	return observe.New(observe.Config{
		Dir: filepath.Join(a.cfg.DataDir, "metrics"), Log: a.log,
		Probe: observe.NewKernel(observe.KernelConfig{NodeID: p.identity.ID, DataDir: a.cfg.DataDir, Containers: assigned, Sampler: p.sampler, Interface: p.links.Veth}),
	})
}

// awaitState waits, for a moment, until what is on disk has been read, so that
// the first answers are not those of a node without a cluster. A node that
// cannot reach a quorum opens its doors all the same. It reports whether the
// state is complete.
func (a *Appliance) awaitState(ctx context.Context, p *parts) bool {
	const patience = 10 * time.Second
	if !p.node.Bootstrapped() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := p.node.WaitReady(ctx); err != nil {
		a.log.Warn("the cluster's state is not complete yet", "err", err)
		return false
	}
	return true
}

// live runs the loops that need a cluster.
func (a *Appliance) live(ctx context.Context, p *parts, keeper *agent.Agent, reg *registry.Registry, upstreams *mirror.Mirror) error {
	if err := a.catchUp(ctx, p); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return p.node.Leading(ctx, func(term context.Context) error {
			return a.lead(term, p)
		})
	})
	g.Go(func() error {
		return a.reportNode(ctx, p, nodeview.Local(p.node.Store(), p.identity.ID), p.node)
	})
	g.Go(func() error { return keeper.Run(ctx) })
	g.Go(func() error { return upstreams.Run(ctx) })
	g.Go(func() error { return reg.Run(ctx) })
	g.Go(func() error { defer p.sampler.Close(); return p.recorder.Run(ctx) })
	return g.Wait()
}

// catchUp waits until this member knows everything that was committed when it
// began: of an older state the agent would conclude that nobody asks for what was
// deployed since.
func (a *Appliance) catchUp(ctx context.Context, p *parts) error {
	for {
		err := p.node.WaitReady(ctx)
		var index uint64
		if err == nil {
			index, err = p.node.ReadIndex(ctx)
		}
		if err == nil {
			err = p.node.WaitIndex(ctx, index)
		}
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		a.log.Info("this member has not caught up with the cluster yet", "err", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// lead does what only the leader does, until its term ends.
func (a *Appliance) lead(term context.Context, p *parts) error {
	if err := a.concludeRecovery(term, p); err != nil {
		return err
	}
	g, term := errgroup.WithContext(term)
	g.Go(func() error {
		return control.Run(term, control.Config{Store: p.node.Store(), Proposer: p.node, Heartbeats: p.heartbeats, Log: a.log})
	})
	g.Go(func() error {
		return quorum.Loop(term, voters{p.node}, p.node.View, a.log.With("component", "quorum"))
	})
	return g.Wait()
}

// listen opens the doors: the control plane's port and the local socket.
func (a *Appliance) listen(ctx context.Context) (public, local net.Listener, err error) {
	public, err = (&net.ListenConfig{}).Listen(ctx, "tcp", a.cfg.Listen)
	if err != nil {
		return nil, nil, fmt.Errorf("listen on %s (choose another with --listen): %w", a.cfg.Listen, err)
	}
	socket := a.cfg.Socket()
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, errors.Join(err, public.Close())
	}
	local, err = listenPrivately(ctx, socket)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open the local socket: %w", err), public.Close())
	}
	return public, local, nil
}
