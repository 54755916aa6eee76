package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/skerryhq/skerry/raft/model"
)

const (
	headerIndex   = "Skerry-Index"
	headerCluster = "Skerry-Cluster"
	headerStale   = "Skerry-Stale"

	indexTimeout = 10 * time.Second
	// staleAfter is how long a member may be without a leader's word before it
	// says so and takes no session or token any more.
	staleAfter = 10 * time.Second
	// leaderPatience is how long a member without a leader counts as ready: an
	// election takes less.
	leaderPatience = 3 * time.Second
)

// freshness makes a reader see his own writes, and everybody's where he asks
// for that.
func (s *Server) freshness(c *gin.Context) error {
	if h := c.GetHeader(headerIndex); h != "" {
		index, err := strconv.ParseUint(h, 10, 64)
		if err != nil {
			return invalid("index_invalid", "%q is no index; send back what a reply carried", short(h)).At(headerIndex)
		}
		if cluster := c.GetHeader(headerCluster); index > s.cluster.AppliedIndex() && (cluster == "" || cluster == s.clusterID()) {
			if err := s.waitIndex(c.Request.Context(), index); err != nil {
				return err
			}
		}
	}
	if q := c.Request.URL.RawQuery; q != "" {
		switch c.Query("consistency") {
		case "":
		case "strong":
			return s.strong(c.Request.Context())
		default:
			return invalid("consistency_invalid", "the consistency is %q; leave it out or write strong", short(c.Query("consistency"))).At("consistency")
		}
	}
	return nil
}

func (s *Server) waitIndex(ctx context.Context, index uint64) error {
	ctx, cancel := context.WithTimeout(ctx, indexTimeout)
	defer cancel()
	if err := s.cluster.WaitIndex(ctx, index); err != nil {
		return &model.Error{Kind: model.KindUnavailable, Code: "index_not_applied",
			Detail: fmt.Sprintf("this node has not yet seen change %d; try again or ask another node", index), Err: err}
	}
	return nil
}

// strong waits until everything that was acknowledged before now is applied here.
func (s *Server) strong(ctx context.Context) error {
	ask, cancel := context.WithTimeout(ctx, indexTimeout)
	defer cancel()
	index, err := s.cluster.ReadIndex(ask)
	switch {
	case err != nil && ask.Err() != nil && ctx.Err() == nil:
		return &model.Error{Kind: model.KindUnavailable, Code: "no_leader", Err: err,
			Detail: "no leader has answered, so nobody can say what was written last; try again, or read without consistency=strong"}
	case err != nil:
		return err
	}
	return s.waitIndex(ctx, index)
}

// judgedHere are the nouns whose changes are looked at here before they are
// proposed: is the name free, is the thing there.
var judgedHere = map[string]bool{
	"apps": true, "services": true, "containers": true, "volumes": true, "images": true, "repositories": true, "upstreams": true,
	"tenants": true, "users": true, "api-tokens": true, "nodes": true, "join-tokens": true,
}

// current makes a member of several judge a change by everything that was
// acknowledged before it: what it knows by itself may be a moment old, and a
// refusal is an answer like any other. What only reaches into a container is
// judged by its node.
func (s *Server) current(ctx context.Context, r *request) error {
	if !r.op.writes() || !judgedHere[r.op.noun] || strings.HasSuffix(string(r.op.permission), ".read") {
		return nil
	}
	if rest := strings.Split(r.op.path, "/"); len(rest) > 3 && (rest[3] == "files" || rest[3] == "archive" || rest[3] == "exec" || rest[3] == "signal") {
		return nil
	}
	members := 0
	for n := range s.cluster.View().Nodes() {
		if n.Member() {
			members++
		}
	}
	if members < 2 {
		return nil
	}
	return s.strong(ctx)
}

// clusterID is the id of the cluster, which never changes while this process
// lives; empty before there is one.
func (s *Server) clusterID() string {
	if id := s.knownCluster.Load(); id != nil {
		return *id
	}
	cl, ok := s.cluster.View().Cluster()
	if !ok {
		return ""
	}
	s.knownCluster.Store(&cl.ID)
	return cl.ID
}

// enrolled says whether this node belongs to a cluster whose state it may not
// have yet.
func (s *Server) enrolled() bool { return s.cfg.Enrolled != nil && s.cfg.Enrolled() }

// silence is how long this member has had no word from a leader; zero while it
// leads or hears of one, and where there is no cluster.
func (s *Server) silence() time.Duration {
	if s.clusterID() == "" && !s.enrolled() {
		return 0
	}
	ago, ever := s.cluster.LastContact()
	if !ever {
		ago = time.Since(s.began)
	}
	return ago
}

// doubt answers a request of a member that is cut off: reads say so, and who is
// not here in person is sent elsewhere, because what he signed in with may have
// been revoked meanwhile.
func (s *Server) doubt(c *gin.Context, r *request) error {
	silent := s.silence()
	if silent <= staleAfter {
		return nil
	}
	seconds := int(silent / time.Second)
	c.Header(headerStale, strconv.Itoa(seconds))
	if local(c.Request) || r.op.id == "getQuorum" || r.op.id == "getOpenapi" || !bearsCredentials(c.Request) {
		return nil
	}
	return model.Errorf(model.KindUnavailable, "cut_off", "this node has not heard of a leader for %d seconds, so it cannot know whether your sign-in still holds; ask another node, or use the local socket of this one", seconds)
}

func bearsCredentials(q *http.Request) bool {
	if q.Header.Get("Authorization") != "" {
		return true
	}
	_, err := q.Cookie(cookieName)
	return err == nil
}

// local says whether a request came over the local socket.
func local(q *http.Request) bool {
	is, _ := q.Context().Value(localKey{}).(bool)
	return is
}
