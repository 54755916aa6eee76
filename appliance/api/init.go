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
	if !of(c).caller.Principal.Local {
		s.fail(c, model.Errorf(model.KindDenied, "not_local", "a cluster is made on the node itself, with `skerry init`"))
		return
	}
	var in InitInput
	if err := decodeOptional(c, &in); err != nil {
		s.fail(c, err)
		return
	}
	out, err := s.cfg.Founder.Init(c.Request.Context(), in)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.ok(c, http.StatusCreated, out)
}

// founded refuses what needs a cluster while there is none.
func (s *Server) founded(r *request) error {
	if _, ok := r.view.Cluster(); ok {
		return nil
	}
	switch r.op.id {
	case "initCluster", "getOpenapi", "getSession", "getStatus":
		return nil
	default:
		return notInitialized()
	}
}
