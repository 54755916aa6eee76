package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/http2"

	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
)

// Server is a node's door and its way to the others.
type Server struct {
	cfg    Config
	log    *slog.Logger
	door   *door
	stream *stream
	book   *book
	peers  *Peers
	mux    *http.ServeMux
	h2     *http2.Server
	wrong  *throttle         // hosts that join with secrets that nobody knows
	noise  *throttle         // hosts whose refusals fill the log
	moves  *throttle         // nodes that announce again and again
	relay  chan Announcement // news to pass on

	helloTimeout   time.Duration // from accept to the end of the hello
	authorityEvery time.Duration // how often a worker asks which authorities count

	mu     sync.Mutex
	guests map[*tls.Conn]string // connections that other nodes made, and their ids; guarded by mu
	ended  bool                 // Run has ended: nothing is begun any more; guarded by mu
	tasks  sync.WaitGroup       // what runs besides Run; Run waits for it
}

// New makes a Server. It reads the address book and starts nothing.
func New(cfg Config) (*Server, error) {
	if cfg.NodeID == "" || cfg.Certs == nil || cfg.Directory == nil || cfg.Advertise == nil {
		return nil, errors.New("peer: node id, certificates, directory and the address to advertise are needed")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		cfg: cfg, log: cfg.Log.With("component", "peer"), door: newDoor(), mux: http.NewServeMux(),
		h2:    &http2.Server{MaxConcurrentStreams: 1000, ReadIdleTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
		wrong: newThrottle(), guests: map[*tls.Conn]string{}, noise: newThrottle(), moves: newThrottle(), relay: make(chan Announcement, 256), helloTimeout: helloTimeout, authorityEvery: authorityEvery,
	}
	var err error
	if s.book, err = openBook(cfg.DataDir, cfg.NodeID, cfg.Certs, s.log); err != nil {
		return nil, err
	}
	s.peers = newPeers(s)
	s.stream = &stream{s: s, incoming: newHanded()}
	s.stream.incoming.addr = named(cfg.NodeID)
	s.mount()
	return s, nil
}

// mount registers what this package serves by itself.
func (s *Server) mount() {
	s.Handle("POST /peer/v1/announce", Nodes, http.HandlerFunc(s.takeAnnouncement))
	s.Handle("GET /peer/v1/addresses", Nodes, http.HandlerFunc(s.giveAddresses))
	s.Handle("GET /peer/v1/authorities", Nodes, http.HandlerFunc(s.giveAuthorities))
	s.Handle("POST /peer/v1/certificate", Nodes, http.HandlerFunc(s.giveCertificate))
}

// Handle mounts a handler for requests of other nodes. pattern is one of
// http.ServeMux with a method, e.g. "POST /peer/v1/heartbeat"; it panics like
// http.ServeMux where two clash. The caller is in the request's context.
func (s *Server) Handle(pattern string, who Access, h http.Handler) {
	s.mux.Handle(pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, ok := CallerOf(r.Context())
		if !ok || who == Members && caller.Role != model.NodeMember {
			s.refused(ipOf(caller.Remote), "refused a request of a node: it is for members only", "remote", caller.Remote, "node", caller.NodeID, "request", pattern)
			WriteError(w, memberOnly(caller.NodeID))
			return
		}
		h.ServeHTTP(w, r)
	}))
}

// Public is where connections of browsers, of the API's and the registry's
// clients and plain HTTP arrive, with nothing read from them: api.Listeners.Public.
func (s *Server) Public() net.Listener { return s.door.public }

// Peers is the way to the other nodes.
func (s *Server) Peers() *Peers { return s.peers }

// Stream is what raft speaks over: node.Config.Stream. Its address is the node's id.
func (s *Server) Stream() node.StreamLayer { return s.stream }

// Run serves l, which it closes, and tells the others where this node is, until
// ctx ends.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var work sync.WaitGroup
	work.Go(func() { s.announceLoop(ctx) })
	work.Go(func() { s.authorityLoop(ctx) })
	work.Go(func() { s.peers.pingLoop(ctx) })
	defer context.AfterFunc(ctx, func() { // whoever waits for connections, or to hand one over
		_ = s.door.public.Close()
		_ = s.stream.Close()
	})()
	err := s.accept(ctx, l)
	cancel(err)
	s.peers.closeAll()
	work.Wait()
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.tasks.Wait()
	s.book.close() // whoever runs next in this data directory writes its own
	return err
}

// maxSeats is how many connections one node may have open here.
const maxSeats = 64

// seat remembers a connection that another node made; leave forgets it. A node
// that has too many gets no further one.
func (s *Server) seat(c *tls.Conn, nodeID string) (leave func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, id := range s.guests {
		if id == nodeID {
			n++
		}
	}
	if n >= maxSeats {
		return nil, false
	}
	s.guests[c] = nodeID
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.guests, c)
	}, true
}

// expel ends connections of both directions with nodes that were removed since
// they were made.
func (s *Server) expel() {
	gone := func(nodeID string) bool {
		_, _, err := s.cfg.Directory.Node(nodeID)
		return err != nil
	}
	s.mu.Lock()
	all := maps.Clone(s.guests)
	s.mu.Unlock()
	for c, id := range all {
		if gone(id) {
			s.log.Info("ended a connection of a node that was removed", "node", id, "remote", c.RemoteAddr().String())
			_ = c.NetConn().Close()
		}
	}
	s.peers.drop(func(c *outgoing) bool { return gone(c.nodeID) })
}

// refused logs that a host was turned away: the first times as a warning, so that
// a host that goes on and on does not fill the log.
func (s *Server) refused(host, msg string, attrs ...any) {
	now := time.Now()
	if s.noise.blocked(host, now) != nil {
		s.log.Debug(msg, attrs...) //nolint:sloglint // the callers' messages are constant
		return
	}
	s.noise.wrong(host, now)
	s.log.Warn(msg, attrs...) //nolint:sloglint // as above
}

// background runs f unless Run has ended. f bounds its own time.
func (s *Server) background(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.tasks.Go(f)
	}
}

// serveHTTP serves skerry-peer/1 on one connection until it ends.
func (s *Server) serveHTTP(ctx context.Context, c *tls.Conn, caller Caller) {
	s.h2.ServeConn(c, &http2.ServeConnOpts{
		Context: WithCaller(ctx, caller), Handler: s.mux,
		BaseConfig: &http.Server{ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), MaxHeaderBytes: 64 << 10},
	})
}
