// Package registry is the cluster's own container registry: the OCI distribution
// protocol 1.1 (and Docker's schema 2) as a view on the engine's content store.
//
// It owns /v2/, the uploads of this node, which blobs the engine keeps because
// the registry needs them, and the collector that gives up what nothing needs.
// Blobs and the bytes of manifests are in the engine's content store, once, where
// images run from; tags, manifests' references and which repository holds which
// blob are rows of the replicated state. It never decides who may do what: Access
// does. Having a digest is no permission: every blob is read through a
// repository that links it, and a link needs the bytes or a repository that the
// caller may read.
//
// Called by appliance/api (as an http.Handler) and appliance (Run). A Registry is
// safe for concurrent use.
package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/appliance/registry/auth"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// Config is what a Registry works with. Mirror and Images may be nil.
type Config struct {
	Blobs   *Blobs
	Cluster access.Cluster
	Access  Access
	Mirror  Mirror
	Images  EngineImages
	NodeID  string  // of this node
	Peers   Peers   // the ways to the other members; nil: there are none
	Fetch   Fetcher // brings what other members have; nil: there are none
	Log     *slog.Logger
	// Grace is how long the collector keeps what nothing needs any more, and
	// blobs that wait for their manifest; 0 means a day for blobs, an hour for
	// the rest.
	Grace time.Duration
	// CopyEvery is how often this node looks for what it is to keep a copy of; 0
	// means 20 seconds.
	CopyEvery time.Duration
}

// Registry is the registry on one node.
type Registry struct {
	cfg     Config
	log     *slog.Logger
	blobs   *Blobs
	uploads *uploads
	doomed  doomed
	held    held
	life    context.Context //nolint:containedctx // of what goes on behind a push
	end     context.CancelFunc
	soon    sync.WaitGroup
	slots   chan struct{} // of what is copied while a push goes on
}

// New opens the registry with the uploads that the last run left. Nothing needs
// closing but by Run's end.
func New(cfg Config) (*Registry, error) {
	if cfg.Blobs == nil || cfg.Cluster == nil || cfg.Access == nil || cfg.Log == nil {
		return nil, errors.New("registry: blobs, cluster, access and log must be given")
	}
	log := cfg.Log.With("component", "registry")
	r := &Registry{cfg: cfg, log: log, blobs: cfg.Blobs, slots: make(chan struct{}, 4)}
	r.life, r.end = context.WithCancel(context.Background())
	var err error
	if r.uploads, err = openUploads(r.blobs, cfg.NodeID, log); err != nil {
		return nil, fmt.Errorf("open the registry: %w", err)
	}
	return r, nil
}

// Blobs is the registry's part of the engine's content.
func (r *Registry) Blobs() *Blobs { return r.blobs }

const (
	tendEvery    = time.Minute
	copyEvery    = 20 * time.Second
	collectEvery = 10 * time.Minute
)

// Run sweeps what an earlier run left half done, then tends the uploads and
// collects until ctx ends. Requests may come before and meanwhile.
func (r *Registry) Run(ctx context.Context) error {
	defer r.uploads.close()
	defer r.soon.Wait()
	defer r.end()
	if err := r.blobs.sweep(ctx); err != nil && ctx.Err() == nil {
		r.log.Warn("something of an interrupted push is left over", "err", err)
	}
	round := func() {
		if _, _, err := r.collect(ctx, false); err != nil && ctx.Err() == nil {
			r.log.Warn("collection not finished", "err", err)
		}
	}
	round() // finds what a crash left between the engine and the state
	var keeping sync.WaitGroup
	keeping.Go(func() { r.keepLoop(ctx) })
	defer keeping.Wait()
	tend, collect := time.NewTicker(tendEvery), time.NewTicker(collectEvery)
	defer tend.Stop()
	defer collect.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tend.C:
			r.uploads.tend(time.Now(), func(id string) bool { _, ok := r.view().Repository(id); return ok })
		case <-collect.C:
			round()
		}
	}
}

// keepLoop takes the copies that this node is to keep until ctx ends.
func (r *Registry) keepLoop(ctx context.Context) {
	tick := time.NewTicker(cmp.Or(r.cfg.CopyEvery, copyEvery))
	defer tick.Stop()
	for ctx.Err() == nil {
		if err := r.keepCopies(ctx); err != nil && ctx.Err() == nil {
			r.log.Warn("not all copies of what was pushed are taken; they are tried again", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

func (r *Registry) view() *state.View { return r.cfg.Cluster.View() }

// request is one request under /v2/.
type request struct {
	*http.Request
	route
	visitor *auth.Visitor
	scope   string // what it needs, in the words of a token
}

// caller is who the request comes from.
func (q *request) caller() access.Caller { return q.visitor.Caller }

// key tells callers apart for what belongs to one of them.
func (q *request) key() string {
	switch p := &q.visitor.Caller.Principal; {
	case p.UserID != "":
		return "user:" + p.UserID
	case p.TokenID() != "":
		return "token:" + p.TokenID()
	case p.Anonymous():
		return "anonymous:" + q.visitor.Caller.Origin.RemoteIP
	default:
		return "name:" + p.Name
	}
}

// by signs a command about a repository.
func (q *request) by(repo *model.Repository) command.Head {
	o := q.visitor.Caller.Origin
	o.TenantID, o.Time, o.Operation = repo.TenantID, time.Now().UTC(), "registry"
	return command.By(o)
}

func challenge(q *request, err error) string { return auth.Challenge(q.Request, q.scope, err) }

// ServeHTTP serves everything under /v2/.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	q := &request{Request: req, visitor: &auth.Visitor{}}
	if err := r.serve(w, q); err != nil {
		r.refuse(w, q, err)
	}
}

func (r *Registry) serve(w http.ResponseWriter, q *request) error {
	v, err := r.cfg.Access.Identify(q.Request)
	if err != nil {
		q.scope = scopeOf(q.Method, q.URL.Path)
		return err
	}
	q.visitor = v
	if q.route, err = parse(q.URL.Path); err != nil {
		if v.Anonymous() && q.Header.Get("Authorization") == "" {
			return signIn() // strangers learn nothing about paths
		}
		return err
	}
	if allowed := methods[q.what]; !slices.Contains(allowed, q.Method) {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		return fail(http.StatusMethodNotAllowed, codeUnsupported, "%s is not possible here; %s is", clip(q.Method), strings.Join(allowed, ", "))
	}
	reading := q.Method == http.MethodGet || q.Method == http.MethodHead
	switch q.what {
	case routeBase:
		return r.base(w, q)
	case routeCatalog:
		return r.catalog(w, q)
	case routeTags:
		return r.listTags(w, q)
	case routeReferrers:
		return r.referrers(w, q)
	case routeManifest:
		switch {
		case reading:
			return r.getManifest(w, q)
		case q.Method == http.MethodPut:
			return r.putManifest(w, q)
		default:
			return r.deleteManifest(w, q)
		}
	case routeBlob:
		if reading {
			return r.getBlob(w, q)
		}
		return r.deleteBlob(w, q)
	case routeUploads:
		return r.beginUpload(w, q)
	default:
		if at := r.uploadNode(q.ref); at != "" {
			return r.passOn(w, q, at)
		}
		switch q.Method {
		case http.MethodGet:
			return r.uploadStatus(w, q)
		case http.MethodPatch:
			return r.patchUpload(w, q)
		case http.MethodPut:
			return r.finishUpload(w, q)
		default:
			return r.cancelUpload(w, q)
		}
	}
}

// scopeOf is what a request needs whose token was not good enough: the client
// fetches the next one for that.
func scopeOf(method, path string) string {
	at, err := parse(path)
	reading := method == http.MethodGet || method == http.MethodHead
	switch {
	case err != nil || at.what == routeBase:
		return ""
	case at.what == routeCatalog:
		return auth.CatalogScope
	case at.what == routeUploads, at.what == routeUpload:
		return auth.Scope(at.name, auth.Push)
	case reading:
		return auth.Scope(at.name, auth.Pull)
	case method == http.MethodDelete:
		return auth.Scope(at.name, auth.Delete)
	default:
		return auth.Scope(at.name, auth.Push)
	}
}

func signIn() error {
	return model.Errorf(model.KindUnauthenticated, "sign_in_needed", "sign in first, with a user name and password or an API token")
}

// base answers the question of clients whether this is a registry and whether
// they are signed in.
func (r *Registry) base(w http.ResponseWriter, q *request) error {
	if q.visitor.Anonymous() && q.Header.Get("Authorization") == "" {
		return signIn()
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte("{}\n"))
	return nil
}

// open finds the request's repository, if the caller may do that with it.
func (r *Registry) open(q *request, a auth.Action) (*model.Repository, error) {
	q.scope = auth.Scope(q.name, a)
	return r.cfg.Access.Open(q.Context(), q.visitor, q.name, a)
}

// propose changes the cluster's state.
func (r *Registry) propose(ctx context.Context, cmds ...command.Command) ([]command.Outcome, error) {
	res, err := r.cfg.Cluster.Propose(ctx, cmds...)
	return res.Outcomes, err
}

// location is where a client finds something: a path, so that it fits whatever
// name and port it uses.
func location(name, kind, ref string) string { return "/v2/" + name + "/" + kind + "/" + ref }

// origin signs what the registry does by itself.
func origin(loop string) command.Head {
	return command.By(model.Origin{Actor: "system:" + loop, Time: time.Now().UTC()})
}
