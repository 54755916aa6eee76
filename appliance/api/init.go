package api

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/skerryhq/skerry/raft/model"
)

// Founder makes a cluster of a node that has none; the composition root
// implements it. Errors: "already_initialized", "pool_invalid", "pool_clash",
// "ports_invalid", those of a password.
type Founder interface {
	Init(ctx context.Context, in InitInput) (*InitResult, error)
}

// InitCluster makes this node the first of a new cluster. Only whoever sits at
// the node itself may.
func (s *Server) InitCluster(c *gin.Context) {
	var in InitInput
	err := inPerson(of(c), "a cluster is made on the node itself, with `skerry init`")
	if err == nil {
		err = decodeOptional(c, &in)
	}
	_, founded := of(c).view.Cluster()
	switch {
	case err != nil:
	case s.cfg.Founder == nil:
		err = notOffered("making a cluster")
	case !founded && s.enrolled():
		err = s.notInitialized()
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	out, err := s.cfg.Founder.Init(c.Request.Context(), in)
	s.reply(c, http.StatusCreated, out, err)
}

// founded refuses what needs a cluster while there is none, or its state is not
// here yet. Joining, and what mends a lost quorum, must work without.
func (s *Server) founded(r *request) error {
	if _, ok := r.view.Cluster(); ok {
		return nil
	}
	switch r.op.id {
	case "initCluster", "joinCluster", "recoverCluster", "getQuorum", "getOpenapi", "getSession", "getStatus":
		return nil
	default:
		return s.notInitialized()
	}
}

// notInitialized is the answer while this node has no cluster, or none of its
// state.
func (s *Server) notInitialized() error {
	if s.enrolled() {
		return model.Errorf(model.KindUnavailable, "state_missing", "this node belongs to a cluster but does not have its state yet; it waits for a leader (where the quorum is lost for good, `skerry recover` on a survivor helps)")
	}
	return model.Errorf(model.KindUnavailable, "not_initialized", "this node has no cluster yet; make one with `skerry init`, or join one with `skerry join`")
}
