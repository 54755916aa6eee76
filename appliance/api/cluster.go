package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

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
		s.fail(c, s.notInitialized())
		return
	}
	s.object(c, http.StatusOK, cl.Version, s.clusterObject(cl))
}

// clusterObject is the cluster as the API shows it.
func (s *Server) clusterObject(cl *model.Cluster) Cluster {
	out := Cluster{
		ID: cl.ID, Version: cl.Version, CreatedAt: cl.CreatedAt, FeatureLevel: cl.FeatureLevel, SkerryVersion: s.cfg.Version,
		Pool: cl.Pool.String(), VipPool: cl.VIPPool.String(), PortMin: int(cl.PortMin), PortMax: int(cl.PortMax),
		CaCertificate: string(cl.CACert), CaFingerprint: Fingerprint(cl.CACert), Generation: max(cl.Generation, 1),
	}
	if cl.Rotation != nil {
		out.Rotation = ClusterRotation(cl.Rotation.Phase)
	}
	return out
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
