package api

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/appliance/registry/trust"
	"github.com/skerryhq/skerry/raft/model"
)

// registry gives the ports, or why there are none.
func (s *Server) registry() (RegistryOperations, RegistryNode, error) {
	if s.cfg.Registry == nil || s.cfg.RegistryNode == nil {
		return nil, nil, model.Errorf(model.KindUnavailable, "no_registry", "this node serves no registry")
	}
	return s.cfg.Registry, s.cfg.RegistryNode, nil
}

// GetRegistry says how clients reach and trust the registry, and how much this
// node holds of it.
func (s *Server) GetRegistry(c *gin.Context) {
	_, node, err := s.registry()
	if err != nil {
		s.fail(c, err)
		return
	}
	u, err := node.Usage(c.Request.Context())
	if err != nil {
		s.fail(c, err)
		return
	}
	at := node.Address()
	out := Registry{Hosts: at.Hosts, CaCertificate: at.CAPEM, CaFingerprint: at.CAFingerprint, Trust: []TrustLines{},
		Blobs: u.Blobs, Bytes: u.Bytes, ReclaimableBytes: u.ReclaimableBytes, Uploads: u.Uploads}
	for _, t := range trust.Clients(at.TrustHost, at.CAPEM) {
		out.Trust = append(out.Trust, TrustLines{Client: t.Name, Lines: t.Lines})
	}
	s.ok(c, http.StatusOK, out)
}

// CollectRegistry gives up content that nothing needs.
func (s *Server) CollectRegistry(c *gin.Context) {
	_, node, err := s.registry()
	if err != nil {
		s.fail(c, err)
		return
	}
	patient(c)
	got, err := node.Collect(c.Request.Context())
	s.reply(c, http.StatusOK, got, err)
}

// PushImage gives an image a tag here, or sends it to another registry.
func (s *Server) PushImage(c *gin.Context, ref ImageRef, _ PushImageParams) {
	var in PushInput
	ops, _, err := s.registry()
	if err == nil {
		err = decode(c, &in)
	}
	if err == nil && in.To == "" {
		err = invalid("to_missing", "it is not said where the image goes; write for example web:1.0, or HOST/web:1.0").At("to")
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	r := of(c)
	s.work(c, http.StatusCreated, func(report Report) (any, error) {
		return ops.PushImage(c.Request.Context(), r.caller, ref, in, report)
	})
}

// repositoryTenant is the tenant in which a request about a repository acts: the
// one that it is in, where the caller belongs to that. The handlers decide about
// the repository itself.
func repositoryTenant(r *request, ref string) string {
	v, p := r.view, &r.caller.Principal
	o, ok := v.Repository(ref)
	if !ok {
		if _, own := v.RepositoryByName(access.DefaultTenant(v, p), ref); own {
			return ""
		}
		o, ok = v.RepositoryByPath(ref)
	}
	if !ok || !p.MemberOf(o.TenantID) {
		return ""
	}
	return o.TenantID
}
