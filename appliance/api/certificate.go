package api

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// certificates gives the port, or why there is none.
func (s *Server) certificates() (Certificates, error) {
	if s.cfg.Certificates == nil {
		return nil, model.Errorf(model.KindUnavailable, "no_certificates", "this node's certificates are not managed here")
	}
	return s.cfg.Certificates, nil
}

// replyCertificate shows what the port shows now.
func (s *Server) replyCertificate(c *gin.Context) {
	desk, err := s.certificates()
	if err != nil {
		s.fail(c, err)
		return
	}
	cl, ok := s.cluster.View().Cluster()
	if !ok {
		s.fail(c, notFound("cluster", ""))
		return
	}
	out, err := desk.Describe(cl.Certificate)
	s.reply(c, http.StatusOK, out, err)
}

// GetCertificate shows the uploaded certificate, or this node's own.
func (s *Server) GetCertificate(c *gin.Context) { s.replyCertificate(c) }

// PutCertificate takes a certificate for every node of the cluster.
func (s *Server) PutCertificate(c *gin.Context) {
	var in CertificateInput
	desk, err := s.certificates()
	if err == nil {
		err = decode(c, &in)
	}
	var accepted *model.ServerCertificate
	if err == nil {
		accepted, err = desk.Accept([]byte(in.Certificate), []byte(in.Key))
	}
	if err == nil {
		_, err = s.cluster.Propose(c.Request.Context(), &command.SetCertificate{Head: command.By(of(c).caller.Origin), Certificate: accepted})
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	s.replyCertificate(c)
}

// DeleteCertificate goes back to the cluster's own authority.
func (s *Server) DeleteCertificate(c *gin.Context) {
	_, err := s.cluster.Propose(c.Request.Context(), &command.SetCertificate{Head: command.By(of(c).caller.Origin)})
	s.replyDone(c, http.StatusNoContent, err)
}
