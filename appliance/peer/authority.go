package peer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/skerryhq/skerry/appliance/pki"
	"github.com/skerryhq/skerry/raft/model"
)

// authorityEvery is how often a worker asks which authorities count.
const authorityEvery = 5 * time.Second

const maxCertificate = 64 << 10 // bytes of PEM

// authorities is the answer to GET /peer/v1/authorities.
type authorities struct {
	PEM []byte `json:"pem"` // as of pki.TrustText
}

// certificate crosses the wire in POST /peer/v1/certificate, both ways.
type certificate struct {
	PEM []byte `json:"pem"`
}

// giveAuthorities serves GET /peer/v1/authorities.
func (s *Server) giveAuthorities(w http.ResponseWriter, _ *http.Request) {
	text := s.cfg.Directory.Authorities()
	if len(text) == 0 {
		WriteError(w, notMember())
		return
	}
	writeJSON(w, authorities{PEM: text})
}

// giveCertificate serves POST /peer/v1/certificate: a node renews its own. The
// key must be the one that it joined with.
func (s *Server) giveCertificate(w http.ResponseWriter, r *http.Request) {
	caller, _ := CallerOf(r.Context())
	ca := s.cfg.Certs.Signer()
	if ca == nil {
		WriteError(w, notMember())
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCertificate))
	if err != nil {
		WriteError(w, model.Errorf(model.KindTooLarge, "request_invalid", "the request for a certificate cannot be read: %v", err))
		return
	}
	key, der, err := pki.ParseRequest(body)
	if err != nil {
		WriteError(w, err)
		return
	}
	n, known, err := s.cfg.Directory.Node(caller.NodeID)
	switch {
	case err != nil:
		WriteError(w, err)
		return
	case !known:
		WriteError(w, model.Errorf(model.KindUnavailable, "node_unknown", "this member does not know node %s yet; ask again", caller.NodeID))
		return
	case len(n.PublicKey) == 0 || !bytes.Equal(n.PublicKey, der):
		s.log.Warn("refused a certificate: it was asked for with another key than the node joined with", "remote", caller.Remote, "node", caller.NodeID)
		WriteError(w, model.Errorf(model.KindDenied, "identity_changed", "node %s joined with another key", caller.NodeID))
		return
	}
	chain, err := ca.Sign(pki.Order{ID: caller.NodeID, Role: caller.Role, Key: key}, time.Now())
	if err != nil {
		WriteError(w, err)
		return
	}
	s.log.Info("certificate renewed for a node", "node", caller.NodeID, "remote", caller.Remote)
	writeJSON(w, certificate{PEM: chain})
}

// authorityLoop keeps a worker's trust and certificate as the members say. A
// member follows the state instead (pki.Certificates.Follow).
func (s *Server) authorityLoop(ctx context.Context) {
	if s.cfg.Certs.Role() == model.NodeMember {
		return
	}
	s.cfg.Certs.AskFrom(s.askCertificate)
	for {
		if err := s.followAuthorities(ctx); err != nil && ctx.Err() == nil {
			s.log.Debug("no member said which authorities count, trying again", "err", err)
		}
		if !pause(ctx, s.authorityEvery) {
			return
		}
	}
}

func (s *Server) followAuthorities(ctx context.Context) error {
	var got authorities
	if err := s.peers.askMembers(ctx, http.MethodGet, "https://peer/peer/v1/authorities", nil, &got); err != nil {
		return err
	}
	if err := s.cfg.Certs.Trust(got.PEM); err != nil {
		return err
	}
	return s.cfg.Certs.Refresh(ctx, time.Now())
}

// askCertificate has a request signed by a member.
func (s *Server) askCertificate(ctx context.Context, request []byte) ([]byte, error) {
	var got certificate
	err := s.peers.askMembers(ctx, http.MethodPost, "https://peer/peer/v1/certificate", request, &got)
	return got.PEM, err
}

// askMembers asks members one after the other until one answers.
func (p *Peers) askMembers(ctx context.Context, method, url string, body []byte, into any) error {
	var errs []error
	for _, n := range p.Members() {
		err := func() error {
			ctx, cancel := context.WithTimeout(ctx, tellTimeout)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
			if err != nil {
				return err
			}
			return p.do(n.ID, req, into, maxCertificate)
		}()
		if err == nil {
			return nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	if len(errs) == 0 {
		return model.Errorf(model.KindUnavailable, "no_member", "no member of the cluster is known")
	}
	return errors.Join(errs...)
}
