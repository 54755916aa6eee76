package appliance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/appliance/agent"
	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/appliance/exchange"
	"github.com/skerryhq/skerry/appliance/noderuntime"
	"github.com/skerryhq/skerry/appliance/peer"
	"github.com/skerryhq/skerry/appliance/registry"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
	"github.com/skerryhq/skerry/runtime/ctrd"
	"github.com/skerryhq/skerry/runtime/image"
	"github.com/skerryhq/skerry/runtime/workload"
)

// memberExchange moves the content of images between this member and others.
// pull fetches what no node has any more from where its name says.
func memberExchange(p *parts, pull func(ctx context.Context, c access.Caller, ref string, report api.Report) error, log *slog.Logger) *exchange.Exchange {
	id := p.identity.ID
	return exchange.New(exchange.Config{
		NodeID: id, Images: p.images, Blobs: p.blobs, Peers: p.peers.Peers(), Log: log,
		Holders: func(dgst string) []exchange.Holder { return exchange.HoldersIn(p.node.View(), id, dgst) },
		Held:    func(ctx context.Context, dgst string) error { return noteHeld(ctx, p, id, dgst) },
		Upstream: func(ctx context.Context, dgst string, report func(image.Progress)) error {
			c, ref, ok := origin(p, dgst)
			if !ok {
				return model.Errorf(model.KindUnavailable, "image_nowhere", "no name of the image %s leads outside of the cluster", dgst)
			}
			return pull(ctx, c, ref, func(s api.Progress) {
				report(image.Progress{Step: s.Step, Item: s.ID, Done: s.Current, Total: s.Total})
			})
		},
	})
}

// workerExchange fetches from members, the one that this worker is fed by first.
func workerExchange(p *parts, log *slog.Logger) *exchange.Exchange {
	peers := p.peers.Peers()
	return exchange.New(exchange.Config{
		NodeID: p.identity.ID, Images: p.images, Blobs: p.blobs, Peers: peers, Log: log,
		Holders: func(string) []exchange.Holder {
			var out []exchange.Holder
			for _, n := range peers.Members() {
				out = append(out, exchange.Holder{ID: n.ID, Name: n.Name})
			}
			return out
		},
	})
}

// mountContent mounts what this node hands out to others. x brings what a worker
// may have and is on another member; nil on a worker.
func (a *Appliance) mountContent(p *parts, x *exchange.Exchange) {
	cfg := exchange.HandlerConfig{Blobs: p.blobs, Asker: func(ctx context.Context) (exchange.Asker, bool) {
		c, ok := peer.CallerOf(ctx)
		return exchange.Asker{NodeID: c.NodeID, Role: c.Role}, ok
	}}
	if p.node != nil && x != nil {
		cfg.View = p.node.View
		cfg.Fetch = func(ctx context.Context, d digest.Digest) (func(), error) { return x.Blob(ctx, d, -1) }
	}
	p.peers.Handle(exchange.Prefix, peer.Nodes, exchange.NewHandler(cfg))
}

// How often a member looks for images that it is to hold, and how long it leaves
// one alone that it could not get.
const (
	keepEvery = 10 * time.Second
	keepAgain = 5 * time.Minute
)

// keepImages has this member hold the images that it is one of the keepers of, so
// that what was pulled or imported on one host outlives it. It asks other nodes
// only, never a registry outside.
func (a *Appliance) keepImages(ctx context.Context, p *parts, x *exchange.Exchange) error {
	tried := map[string]time.Time{} // digest -> when it could not be had
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		for _, dgst := range wantedHere(p.node.View(), p.identity.ID, time.Now()) {
			if time.Since(tried[dgst]) < keepAgain {
				continue
			}
			err := x.Bring(ctx, dgst, func(image.Progress) {})
			if err == nil {
				err = noteHeld(ctx, p, p.identity.ID, dgst)
			}
			if err != nil && ctx.Err() == nil {
				tried[dgst] = time.Now()
				a.log.Warn("an image that this member is to hold as well was not brought here, trying again later", "digest", dgst, "err", err)
			}
		}
	}
}

// wantedHere lists the images that a member is to hold and does not, as far as
// another node that is up has them.
func wantedHere(v *state.View, nodeID string, now time.Time) []string {
	var out []string
	for i := range v.Images() {
		if slices.Contains(i.NodeIDs, nodeID) || slices.Contains(out, i.Digest) || !slices.Contains(registry.Keepers(v, i.Digest, now), nodeID) {
			continue
		}
		if slices.ContainsFunc(i.NodeIDs, func(id string) bool { n, ok := v.Node(id); return ok && !n.Down() }) {
			out = append(out, i.Digest)
		}
	}
	return out
}

// noteHeld writes down that a node holds an image, under each of its names.
func noteHeld(ctx context.Context, p *parts, nodeID, dgst string) error {
	var errs []error
	for i := range p.node.View().Images() {
		if i.Digest != dgst || slices.Contains(i.NodeIDs, nodeID) {
			continue
		}
		n := i.Clone()
		n.NodeIDs = append(n.NodeIDs, nodeID)
		_, err := p.node.Propose(ctx, &command.PutImage{Head: command.By(model.Origin{Actor: "system:image", TenantID: i.TenantID, Time: time.Now().UTC()}), Image: *n, ExpectVersion: i.Version})
		if k := model.KindOf(err); err != nil && k != model.KindStale && k != model.KindNotFound { // it got new content, or went
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// origin finds a name outside of the cluster under which a tenant has an image,
// and who may fetch it.
func origin(p *parts, dgst string) (access.Caller, string, bool) {
	for i := range p.node.View().Images() {
		if i.Digest != dgst {
			continue
		}
		if ref, ok := byDigest(i.Name, dgst); ok {
			return access.Caller{Origin: model.Origin{Actor: "system:image", TenantID: i.TenantID, Time: time.Now().UTC()}}, ref, true
		}
	}
	return access.Caller{}, "", false
}

// adopting makes containers whose image the engine lacks: of what a repository
// holds, or of what another node has.
type adopting struct {
	starter
	reach *noderuntime.Runtime // nil on a worker
	from  bringer              // nil: there are no other nodes
}

// bringer fetches an image from other nodes: *exchange.Exchange.
type bringer interface {
	Bring(ctx context.Context, digest string, report func(image.Progress)) error
}

func newAdopting(c *ctrd.Runtime, reach *noderuntime.Runtime, from bringer) adopting {
	return adopting{starter{c}, reach, from}
}

// Create makes a container; see ctrd.Runtime. How far an image is that must come
// first is told to agent.Preparing.
func (a adopting) Create(ctx context.Context, spec workload.Spec) error {
	err := a.starter.Create(ctx, spec)
	if !errors.Is(err, workload.ErrNoImage) {
		return err
	}
	if a.reach != nil {
		found, aerr := a.reach.AdoptMissing(ctx, spec.ImageDigest)
		switch {
		case found && aerr == nil:
			return a.starter.Create(ctx, spec)
		case found && (a.from == nil || model.KindOf(aerr) == model.KindExhausted):
			return aerr
		}
	}
	if a.from == nil {
		return err
	}
	if err := a.from.Bring(ctx, spec.ImageDigest, fetching(ctx)); err != nil {
		return err
	}
	return a.starter.Create(ctx, spec)
}

// fetching tells a container's keeper how far its image is.
func fetching(ctx context.Context) func(image.Progress) {
	agent.Preparing(ctx, "ImageFetching", "its image is being fetched from another node")
	return func(p image.Progress) {
		switch {
		case p.Step == "unpack":
			agent.Preparing(ctx, "ImageUnpacking", "its image has come and is being unpacked")
		case p.Total > 0:
			agent.Preparing(ctx, "ImageFetching", fmt.Sprintf("its image is being fetched: %d of %d MB of the layer %s", p.Done>>20, p.Total>>20, p.Item))
		}
	}
}

// byDigest turns an image's name into one by digest; false if it does not lead
// outside of the cluster.
func byDigest(name, dgst string) (string, bool) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil || reference.Domain(named) == model.RegistryHost {
		return "", false
	}
	return reference.TrimNamed(named).String() + "@" + dgst, true
}
