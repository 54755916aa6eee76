package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

func now() time.Time { return time.Now().UTC() }

// Fingerprint is how people compare a CA certificate: sha256:<hex> of its DER
// form. Empty if the PEM holds no certificate.
func Fingerprint(caPEM []byte) string {
	block, _ := pem.Decode(caPEM)
	if block == nil {
		return ""
	}
	sum := sha256.Sum256(block.Bytes)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// GetCluster shows the cluster.
func (s *Server) GetCluster(c *gin.Context) {
	cl, ok := of(c).view.Cluster()
	if !ok {
		s.fail(c, notInitialized())
		return
	}
	s.object(c, http.StatusOK, cl.Version, Cluster{
		ID: cl.ID, Version: cl.Version, CreatedAt: cl.CreatedAt, FeatureLevel: cl.FeatureLevel, SkerryVersion: s.cfg.Version,
		Pool: cl.Pool.String(), VipPool: cl.VIPPool.String(), PortMin: int(cl.PortMin), PortMax: int(cl.PortMax),
		CaCertificate: string(cl.CACert), CaFingerprint: Fingerprint(cl.CACert),
	})
}

// ListNodes lists nodes.
func (s *Server) ListNodes(c *gin.Context, q ListNodesParams) {
	r := of(c)
	p, err := page(q.Limit, q.Cursor)
	if err != nil {
		s.fail(c, err)
		return
	}
	l, err := r.view.ListNodes(p, func(n *model.Node) bool { return strings.Contains(n.Name, q.Name) })
	s.reply(c, http.StatusOK, NodeList{Items: values(l.Items), NextCursor: l.Next}, err)
}

// GetNode shows a node.
func (s *Server) GetNode(c *gin.Context, ref Ref) {
	n, err := of(c).view.FindNode(ref)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.object(c, http.StatusOK, n.Version, n)
}

// UpdateNode changes a node's labels.
func (s *Server) UpdateNode(c *gin.Context, ref Ref, q UpdateNodeParams) {
	var in NodeSpec
	r := of(c)
	version, err := expect(q.IfMatch)
	if err == nil {
		err = decode(c, &in)
	}
	n, ferr := r.view.FindNode(ref)
	if err == nil {
		err = ferr
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	next := *n
	next.Spec = in
	if _, err = s.cluster.Propose(c.Request.Context(), &command.PutNode{Head: command.By(r.caller.Origin), Node: next, ExpectVersion: version}); err == nil {
		n, err = s.cluster.View().FindNode(n.ID)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	s.object(c, http.StatusOK, n.Version, n)
}

// ListEnvironments lists environments.
func (s *Server) ListEnvironments(c *gin.Context) {
	out := EnvironmentList{Items: []Environment{}}
	for e := range of(c).view.Environments() {
		out.Items = append(out.Items, *e)
	}
	s.ok(c, http.StatusOK, out)
}

// GetOpenapi serves the contract.
func (s *Server) GetOpenapi(c *gin.Context) {
	c.Data(http.StatusOK, "application/yaml", document)
}

// notInitialized is the answer while this node has no cluster.
func notInitialized() error {
	return model.Errorf(model.KindUnavailable, "not_initialized", "this node has no cluster yet; make one with `skerry init`")
}
