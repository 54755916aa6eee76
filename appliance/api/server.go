// Package api is the one way into the appliance for people and programs: it
// serves the contract in openapi.yaml, the console and the health pages.
//
// It owns HTTP: the listeners' servers, the one gate (who is it, which tenant,
// may he), the form of requests, replies and errors. It never decides what a
// change means: simple rows are proposed as commands, everything else is one
// call of Operations (use cases) or NodeRuntime (the containers where they
// run). gin stops here; inside there is only context.Context.
//
// A handler parses, makes one call and renders. New checks the contract and
// starts nothing; Run serves until its context ends.
package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/raft/state"
)

// The bounds of a connection. Streams lift the ones on time for themselves.
const (
	headerTimeout  = 10 * time.Second
	bodyTimeout    = 60 * time.Second
	replyTimeout   = 90 * time.Second
	idleTimeout    = 120 * time.Second
	maxHeaderBytes = 64 << 10
	drainTime      = 5 * time.Second
)

// Replica is this node's member of the cluster: *node.Node.
type Replica interface {
	access.Cluster
	Store() *state.Store
	AppliedIndex() uint64
	WaitIndex(ctx context.Context, index uint64) error
	// ReadIndex gives an index such that a view at it has every write that was
	// acknowledged anywhere before the call.
	ReadIndex(ctx context.Context) (uint64, error)
	// LastContact is how long ago this member last had a leader's word: zero if it
	// leads itself. False if it never had one since it started.
	LastContact() (time.Duration, bool)
}

// Config is what a Server works with. Founder, Console, Metrics, Ready and
// Audit may be nil.
type Config struct {
	Cluster    Replica
	Operations Operations
	Runtime    NodeRuntime
	Founder    Founder // makes the cluster; nil where there always is one
	Audit      AuditLog
	Console    http.FileSystem                 // the built console; nil answers / with a sentence
	Metrics    http.Handler                    // what /metrics shows
	Ready      func(ctx context.Context) error // says why this node should not be sent requests
	Version    string                          // of this binary
	// Timing says where the time of an app's latest starts went, in the form of
	// the Server-Timing header; nil says nothing.
	Timing func(v *state.View, appID string) string
	Log    *slog.Logger
	// Registry and RegistryNode are what the operations about repositories work
	// with; nil where no registry is served.
	Registry     RegistryOperations
	RegistryNode RegistryNode
	// Token issues the tokens of the registry at auth.TokenPath, V2 serves the
	// registry's protocol under /v2/; nil where no registry is served.
	Token http.Handler
	V2    http.Handler
	// People are the use cases around users; nil makes them. The registry's door
	// shares them for one throttle.
	People *access.People
	// AccessLog logs every request at debug level, not only the failed ones.
	AccessLog bool
	// Certificates manages what the public port shows; nil where nothing does.
	Certificates Certificates
	// Upstreams judges registries outside; nil where nothing is fetched from them.
	Upstreams Upstreams
	// ClusterConfig is for the operations on several nodes.
	ClusterConfig
}

// Server serves the API and the console.
type Server struct {
	cluster  Replica
	ops      Operations
	runtime  NodeRuntime
	audit    AuditLog
	people   *access.People
	recorder *access.Recorder
	log      *slog.Logger
	cfg      Config
	engine   *gin.Engine
	gates    map[string]operation // method + route -> operation
	renewing sync.Map             // ids of sessions that are being prolonged
	began    time.Time            // when this Server was made

	knownCluster atomic.Pointer[string] // id of the cluster, once there is one
}

var _ ServerInterface = (*Server)(nil)

// New checks the contract and wires the routes.
func New(cfg Config) (*Server, error) {
	if cfg.Cluster == nil || cfg.Operations == nil || cfg.Runtime == nil {
		return nil, errors.New("api: cluster, operations and runtime are needed")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.People == nil {
		cfg.People = access.NewPeople(cfg.Cluster)
	}
	log := cfg.Log.With("component", "api")
	s := &Server{
		cluster: cfg.Cluster, ops: cfg.Operations, runtime: cfg.Runtime, audit: cfg.Audit, cfg: cfg, log: log,
		people: cfg.People, recorder: access.NewRecorder(cfg.Cluster, log), gates: map[string]operation{}, began: time.Now(),
	}
	all, err := operations(document)
	if err != nil {
		return nil, err
	}
	for _, o := range all {
		s.gates[o.method+" "+o.route()] = o
	}
	if err := s.wire(); err != nil {
		return nil, err
	}
	return s, nil
}

// wire builds the router. Every route of the generated interface must be an
// operation of the contract that is read at run time.
func (s *Server) wire() error {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.UseRawPath, e.UnescapePathValues = true, true // an image's name has slashes
	e.HandleMethodNotAllowed = true
	e.RedirectTrailingSlash, e.RedirectFixedPath = false, false
	_ = e.SetTrustedProxies(nil) // the remote address is the connection's
	e.Use(s.identify, s.recover)
	g := e.Group(base, s.gate)
	RegisterHandlersWithOptions(g, s, GinServerOptions{ErrorHandler: func(c *gin.Context, err error, _ int) {
		s.fail(c, badParameter(err))
	}})
	s.wirePages(e)
	s.wireRegistry(e)
	s.engine = e
	for _, r := range e.Routes() {
		if _, ok := s.gates[r.Method+" "+r.Path]; !ok && len(r.Path) > len(base) && r.Path[:len(base)] == base {
			return fmt.Errorf("api: route %s %s is not in openapi.yaml: run go generate ./appliance/api/", r.Method, r.Path)
		}
	}
	return nil
}

// Handler is everything that is served, for requests from outside.
func (s *Server) Handler() http.Handler { return s.engine }

// Listeners are where a Server serves. Either may be nil.
type Listeners struct {
	Public net.Listener // TCP; everything by TLS
	TLS    *tls.Config  // for Public
	Local  net.Listener // unix socket, 0600: whoever reaches it is the platform administrator
}

// Run serves until ctx ends; then open requests get a few seconds to finish. It
// closes the listeners.
func (s *Server) Run(ctx context.Context, l Listeners) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var work sync.WaitGroup
	work.Go(func() { _ = s.recorder.Run(ctx) })
	run := func(name string, srv *http.Server, serve func() error) {
		work.Go(func() {
			if err := serve(); !errors.Is(err, http.ErrServerClosed) {
				cancel(fmt.Errorf("serve %s: %w", name, err))
			}
		})
		work.Go(func() {
			<-ctx.Done()
			stop, done := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
			defer done()
			if srv.Shutdown(stop) != nil {
				_ = srv.Close()
			}
		})
	}
	if l.Local != nil {
		srv := s.server(ctx, true)
		run("local socket", srv, func() error { return srv.Serve(l.Local) })
	}
	if l.Public != nil {
		srv := s.server(ctx, false)
		srv.TLSConfig = l.TLS
		run("api", srv, func() error { return srv.ServeTLS(redirecting{l.Public}, "", "") })
	}
	<-ctx.Done()
	work.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

type localKey struct{}

// server makes an HTTP server whose requests end with ctx, so that streams do
// not hold up the end of the process.
func (s *Server) server(ctx context.Context, local bool) *http.Server {
	if local {
		ctx = context.WithValue(ctx, localKey{}, true)
	}
	return &http.Server{
		Handler:           s.engine,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       bodyTimeout,
		WriteTimeout:      replyTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}
