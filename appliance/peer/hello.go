package peer

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"time"

	"github.com/skerryhq/skerry/appliance/pki"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// hello is how both sides of a connection begin.
type hello struct {
	Cluster    string   `json:"cluster"`
	Generation uint64   `json:"generation"`
	Node       string   `json:"node"`
	Version    string   `json:"version"`
	Level      uint64   `json:"level"`             // feature level that the binary knows
	Refused    *Problem `json:"refused,omitempty"` // why not, in an answer
}

func (s *Server) hello() hello {
	id, generation := s.cfg.Directory.Cluster()
	return hello{Cluster: id, Generation: generation, Node: s.cfg.NodeID, Version: s.cfg.Version, Level: command.Level}
}

// judge says whether a node may speak here: what its certificate says, what it
// says itself, and what is known of it.
func (s *Server) judge(cert pki.Peer, theirs hello, proto string) (Caller, *model.Error) {
	mine := s.hello()
	caller := Caller{NodeID: cert.ID, Role: cert.Role, Version: theirs.Version}
	switch {
	case theirs.Node != cert.ID:
		return caller, model.Errorf(model.KindDenied, "certificate_not_yours", "the certificate is of node %s and not of %s", cert.ID, clip(theirs.Node))
	case mine.Cluster == "":
		return caller, model.Errorf(model.KindUnavailable, "not_initialized", "node %s belongs to no cluster yet", mine.Node)
	case theirs.Cluster != mine.Cluster:
		return caller, model.Errorf(model.KindDenied, "other_cluster", "node %s belongs to the cluster %s and not to %s", mine.Node, mine.Cluster, clip(theirs.Cluster))
	case theirs.Generation < mine.Generation && cert.Role == model.NodeMember:
		return caller, older(cert.ID, theirs.Generation, mine.Generation)
	case theirs.Generation > mine.Generation:
		if cert.Role == model.NodeMember { // a worker's word ends no member
			s.newer(theirs.Generation, cert.ID)
		}
		if !s.follows(cert.Role) {
			return caller, older(mine.Node, mine.Generation, theirs.Generation)
		}
	}
	n, known, err := s.cfg.Directory.Node(cert.ID)
	if err != nil {
		return caller, ProblemOf(err).Err()
	}
	if known && n.Role != "" && n.Role != cert.Role {
		return caller, model.Errorf(model.KindDenied, "role_mismatch", "node %s is a %s and its certificate says %s", cert.ID, n.Role, cert.Role)
	}
	if known && len(n.PublicKey) > 0 && !bytes.Equal(n.PublicKey, cert.Key) {
		return caller, model.Errorf(model.KindDenied, "identity_changed", "node %s joined with another key than it shows now", cert.ID)
	}
	if cert.Role != model.NodeMember && (proto == protoRaft || proto == protoPropose) {
		return caller, memberOnly(cert.ID)
	}
	return caller, nil
}

// follows says whether this node goes on with a node of a higher generation: a
// worker does with members. It holds no state that a recovery could have left
// behind, and obeys whoever is the newest.
func (s *Server) follows(role model.NodeRole) bool {
	return s.cfg.Certs.Role() == model.NodeWorker && role == model.NodeMember
}

func older(node string, has, there uint64) *model.Error {
	return model.Errorf(model.KindDenied, "generation_old",
		"node %s is of generation %d and the cluster was recovered since then (generation %d): it must stop; to bring it back run `skerry reset --data` on it and join it with a new token", node, has, there)
}

func memberOnly(node string) *model.Error {
	return model.Errorf(model.KindDenied, "member_only", "node %s is a worker and may not do this: it is for members only", node)
}

// clip bounds what strangers put into sentences.
func clip(s string) string {
	if s == "" {
		return "none"
	}
	return fmt.Sprintf("%.40q", s)
}

func (s *Server) newer(generation uint64, from string) {
	if s.cfg.Certs.Role() == model.NodeWorker {
		s.log.Warn("the cluster was recovered: this worker follows its new generation", "node", from, "generation", generation)
	} else {
		s.log.Error("another node is of a higher generation: the cluster was recovered without this node, which stops now", "node", from, "generation", generation)
	}
	if s.cfg.OnNewer != nil {
		s.cfg.OnNewer(generation, from)
	}
	if s.cfg.Certs.Role() == model.NodeWorker {
		s.leaveOld()
		time.AfterFunc(helloTimeout, s.leaveOld) // those whose hello was under way
	}
}

// leaveOld ends the connections of both directions that were made before this
// worker followed a recovery: some may be to members that were left out of it. The
// others are made anew.
func (s *Server) leaveOld() {
	s.peers.closeAll()
	s.mu.Lock()
	all := maps.Clone(s.guests)
	s.mu.Unlock()
	for c := range all {
		_ = c.Close()
	}
}

// receive does the hello on a connection that was accepted. Its error is for the
// log; the other side has been told.
func (s *Server) receive(c *tls.Conn, proto string) (Caller, error) {
	remote := c.RemoteAddr().String()
	var theirs hello
	cert, refused := s.cfg.Certs.Verify(c.ConnectionState().PeerCertificates, time.Now())
	// Its hello is read in any case: closing over unread bytes would take the
	// sentence away from the other side.
	if err := readMessage(c, &theirs, maxHello); err != nil {
		if refused != nil {
			err = refused
		}
		return Caller{Remote: remote}, err
	}
	var caller Caller
	if refused == nil {
		var e *model.Error
		if caller, e = s.judge(cert, theirs, proto); e != nil {
			refused = e
		}
	}
	caller.Remote = remote
	answer := s.hello()
	if refused != nil {
		p := ProblemOf(refused)
		answer.Refused = &p
	}
	if err := writeMessage(c, answer); err != nil && refused == nil {
		return caller, err
	}
	return caller, refused
}

// greet does the hello on a connection that this node made to a node.
func (s *Server) greet(c *tls.Conn, nodeID string) error {
	mine := s.hello()
	if err := writeMessage(c, mine); err != nil {
		return err
	}
	var theirs hello
	if err := readMessage(c, &theirs, maxHello); err != nil {
		return err
	}
	if theirs.Refused != nil {
		s.refusedBy(c, theirs, mine)
		return theirs.Refused.Err()
	}
	switch {
	case theirs.Node != nodeID || theirs.Cluster != mine.Cluster:
		return model.Errorf(model.KindUnavailable, "other_node", "node %s of the cluster %s answered instead of %s", clip(theirs.Node), clip(theirs.Cluster), nodeID)
	case theirs.Generation > mine.Generation:
		s.refusedBy(c, theirs, mine)
		if cert, err := s.cfg.Certs.Verify(c.ConnectionState().PeerCertificates, time.Now()); err != nil || !s.follows(cert.Role) {
			return older(mine.Node, mine.Generation, theirs.Generation)
		}
	case theirs.Generation < mine.Generation:
		return older(theirs.Node, theirs.Generation, mine.Generation)
	}
	return nil
}

// refusedBy tells the daemon when a member refuses this node for good.
func (s *Server) refusedBy(c *tls.Conn, theirs, mine hello) {
	cert, err := s.cfg.Certs.Verify(c.ConnectionState().PeerCertificates, time.Now())
	if err != nil || cert.Role != model.NodeMember || theirs.Cluster != mine.Cluster {
		return
	}
	switch {
	case theirs.Generation > mine.Generation:
		s.newer(theirs.Generation, theirs.Node)
	case theirs.Refused != nil && theirs.Refused.Code == "node_removed" && s.cfg.OnExpelled != nil:
		s.cfg.OnExpelled(theirs.Refused.Err())
	}
}

// connect makes a connection to an address, proves that the node there is the
// one meant and does the hello. nodeID may not be empty.
func (s *Server) connect(ctx context.Context, address, nodeID, proto string) (*tls.Conn, error) {
	raw, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c := tls.Client(raw, s.clientTLS(nodeID, proto))
	if err := s.introduce(ctx, c, nodeID); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	return c, nil
}

func (s *Server) introduce(ctx context.Context, c *tls.Conn, nodeID string) error {
	// Whatever ends ctx ends the hello.
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	err := c.HandshakeContext(ctx)
	if err == nil {
		err = s.greet(c, nodeID)
	}
	if !stop() {
		return errors.Join(context.Cause(ctx), err)
	}
	return err
}

// clientTLS proves to the other side who this node is and checks who answers: by
// the name of its id, not by its address.
func (s *Server) clientTLS(nodeID, proto string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{proto},
		ServerName: pki.NodeName(nodeID),
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return s.cfg.Certs.Node(), nil
		},
		InsecureSkipVerify: true, // VerifyConnection does it, by the authorities that are trusted at that moment
		VerifyConnection: func(cs tls.ConnectionState) error {
			p, err := s.cfg.Certs.Verify(cs.PeerCertificates, time.Now())
			if err != nil {
				return err
			}
			if p.ID != nodeID {
				return model.Errorf(model.KindUnavailable, "other_node", "node %s answered instead of %s", p.ID, nodeID)
			}
			if n, known, _ := s.cfg.Directory.Node(nodeID); known && len(n.PublicKey) > 0 && !bytes.Equal(n.PublicKey, p.Key) {
				return model.Errorf(model.KindDenied, "identity_changed", "node %s shows another key than it joined with", nodeID)
			}
			return nil
		},
	}
}

// hostOf is the address without its port, for limits and logs.
func hostOf(a net.Addr) string {
	if host, _, err := net.SplitHostPort(a.String()); err == nil {
		return host
	}
	return a.String()
}
