package appliance

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skerryhq/skerry/appliance/control"
	"github.com/skerryhq/skerry/appliance/noderuntime"
	"github.com/skerryhq/skerry/appliance/nodeview"
	"github.com/skerryhq/skerry/appliance/peer"
	"github.com/skerryhq/skerry/appliance/worker"
	"github.com/skerryhq/skerry/raft/model"
)

// serveWorker begins what a worker does, in the group. It holds no state of the
// cluster: its agent is fed by a member.
func (a *Appliance) serveWorker(ctx context.Context, g *errgroup.Group, p *parts, local net.Listener) error {
	peers := p.peers.Peers()
	members := func() []string { return memberIDs(peers) }
	finder := worker.NewFinder(peers, members)
	views := nodeview.NewRemote(nodeview.RemoteConfig{
		NodeID: p.identity.ID, Members: finder, URL: "https://peer" + viewPath, File: filepath.Join(a.cfg.DataDir, "view.sealed"), Sealer: p.box, Log: a.log,
	})
	assigned := func() iter.Seq[*model.Container] { return slices.Values(views.Now().Containers) }
	p.sampler = p.containers.NewSampler()
	p.recorder = a.newRecorder(p, assigned)
	own := noderuntime.NewLocal(noderuntime.LocalConfig{
		NodeID: p.identity.ID, DataDir: a.cfg.DataDir, Containers: p.containers, Images: p.images, Logs: p.logs, Volumes: p.volumes, Recorder: p.recorder, Log: a.log,
	})
	a.mountRuntime(p, own, noderuntime.Holdings{
		Container: func(id string) bool {
			return slices.ContainsFunc(views.Now().Containers, func(c *model.Container) bool { return c.ID == id })
		},
		Volume: func(id string) bool { return slices.Contains(views.Now().Volumes, id) },
	})
	a.mountContent(p, nil)
	reporter := worker.NewReporter(finder, peer.ReadError)
	keeper := a.newAgent(p, views, reporter, newAdopting(p.containers, nil, workerExchange(p, a.log)))
	passage := &worker.Passage{Members: func() []string { return p.membersFor(finder) }, Log: a.log.With("component", "passage")}

	g.Go(func() error { return passage.Run(ctx, p.peers.Public()) })
	g.Go(func() error { return a.serveLocally(ctx, p, views, local) })
	g.Go(func() error { return views.Run(ctx) })
	g.Go(func() error { return keeper.Run(ctx) })
	g.Go(func() error { return a.reportNode(ctx, p, views, reporter) })
	g.Go(func() error { defer p.sampler.Close(); return p.recorder.Run(ctx) })
	g.Go(func() error {
		return control.SendHeartbeats(ctx, control.BeatConfig{
			NodeID: p.identity.ID, Leader: func() string { return "" }, Peers: peers, Log: a.log, Members: members,
		})
	})
	g.Go(func() error {
		return followGeneration(ctx, p, views)
	})
	return nil
}

// followGeneration remembers the highest generation that a worker was told of,
// so that after a restart it obeys no member of an earlier one.
func followGeneration(ctx context.Context, p *parts, views nodeview.Source) error {
	return views.Watch(ctx, func(_ context.Context, v nodeview.View) error { return p.record.raise(v.Generation) })
}

// memberIDs lists the members that are known, in a stable order.
func memberIDs(peers *peer.Peers) []string {
	var out []string
	for _, m := range peers.Members() {
		out = append(out, m.ID)
	}
	slices.Sort(out)
	return out
}

// membersFor lists where members can be reached, the one that answers now first.
func (p *parts) membersFor(f *worker.Finder) []string {
	now, _, err := f.Member()
	if err != nil {
		return nil
	}
	all := p.peers.Peers().Members()
	slices.SortStableFunc(all, func(x, y peer.Node) int {
		return cmp.Or(cmp.Compare(boolRank(x.ID == now), boolRank(y.ID == now)), cmp.Compare(x.ID, y.ID))
	})
	var out []string
	for _, m := range all {
		if addr := p.peers.Peers().Address(m.ID); addr != "" {
			out = append(out, addr)
		}
	}
	return out
}

// boolRank sorts true before false.
func boolRank(b bool) int {
	if b {
		return 0
	}
	return 1
}

// serveLocally answers the local socket of a worker: how it is, and for all else
// where to ask.
func (a *Appliance) serveLocally(ctx context.Context, p *parts, views nodeview.Source, l net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		peer.WriteError(w, model.Errorf(model.KindUnavailable, "worker", "this node is a worker and holds nothing of the cluster: ask a member, such as SKERRY_HOST=https://%s", firstOf(p.peers.Peers())))
	})
	mux.HandleFunc("GET /api/v1/worker", func(w http.ResponseWriter, _ *http.Request) {
		st := a.nodeStatus(p)
		if views.Now().Node == nil {
			st.Ready = false
			st.Conditions = append(st.Conditions, model.Condition{Type: "Ready", Reason: "NoMember", Message: "no member has told this worker yet what it is to run", Since: time.Now().UTC()})
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(st) // whoever asked has gone
	})
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return ctx.Err()
}

// firstOf is where some member is, for sentences.
func firstOf(peers *peer.Peers) string {
	for _, m := range peers.Members() {
		if addr := peers.Address(m.ID); addr != "" {
			return addr
		}
	}
	return "MEMBER:7443"
}
