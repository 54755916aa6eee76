package api

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

// GetQuorum says who votes, who leads and how many more may be lost.
func (s *Server) GetQuorum(c *gin.Context) {
	if s.cfg.Quorum == nil {
		s.fail(c, notOffered("a look at the quorum"))
		return
	}
	q, err := s.cfg.Quorum.Quorum(c.Request.Context())
	s.reply(c, http.StatusOK, q, err)
}

// RotateAuthority begins the replacement of the cluster's authority.
func (s *Server) RotateAuthority(c *gin.Context) {
	if s.cfg.Rotator == nil {
		s.fail(c, notOffered("the replacement of the authority"))
		return
	}
	if err := s.cfg.Rotator.RotateAuthority(c.Request.Context(), of(c).caller.Origin); err != nil {
		s.fail(c, err)
		return
	}
	cl, ok := s.cluster.View().Cluster()
	if !ok {
		s.fail(c, s.notInitialized())
		return
	}
	s.object(c, http.StatusAccepted, cl.Version, s.clusterObject(cl))
}

// RecoverCluster makes the survivors of a lost quorum a cluster again. Only
// whoever sits at a survivor may. Nothing on this way needs a leader.
func (s *Server) RecoverCluster(c *gin.Context) {
	var in RecoverInput
	err := inPerson(of(c), "a lost quorum is recovered on a survivor itself, with `skerry recover`")
	if err == nil {
		err = decodeOptional(c, &in)
	}
	if err == nil && s.cfg.Recoverer == nil {
		err = notOffered("the recovery of a quorum")
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	patient(c)
	out, err := s.cfg.Recoverer.Recover(c.Request.Context(), in)
	s.reply(c, http.StatusOK, out, err)
}
