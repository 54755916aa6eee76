package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"time"

	"github.com/skerryhq/skerry/appliance/pki"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
	"github.com/skerryhq/skerry/raft/state"
)

// JoinRequest is what a host that wants to join says, after it has verified the
// other side.
type JoinRequest struct {
	Secret      []byte            `json:"secret"`
	Role        model.NodeRole    `json:"role"`
	Environment string            `json:"environment,omitempty"` // name; empty takes the token's
	NodeID      string            `json:"nodeId"`
	Name        string            `json:"name"`
	Request     []byte            `json:"request"` // for a certificate, PEM, signed with the node's key
	Hosts       []string          `json:"hosts,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Status      model.NodeStatus  `json:"status"` // Address is where the node will be reached
	Level       uint64            `json:"level"`  // feature level that its binary knows
	Time        time.Time         `json:"time"`
}

// JoinReply is what a host that was let in is given.
type JoinReply struct {
	ClusterID   string         `json:"clusterId"`
	Generation  uint64         `json:"generation"`
	NodeID      string         `json:"nodeId"`
	NodeName    string         `json:"nodeName"`
	Role        model.NodeRole `json:"role"`
	Environment string         `json:"environment"` // name
	Index       uint64         `json:"index"`       // raft index of the join
	Trust       []byte         `json:"trust"`       // authorities, PEM, the issuing one first
	Certificate []byte         `json:"certificate"` // the node's own with its chain, PEM
	Book        BookPage       `json:"book"`
	// Members only:
	SealKey      []byte `json:"sealKey,omitempty"`
	AuthorityKey []byte `json:"authorityKey,omitempty"` // sealed with SealKey
}

// Admitter lets hosts in. remote is the joiner's address, for log and limits.
type Admitter interface {
	Admit(ctx context.Context, r JoinRequest, remote string) (JoinReply, error)
	// Level is the cluster's feature level.
	Level() uint64
}

// Skew is how far the clocks of two hosts may be apart for a join.
const Skew = 5 * time.Minute

const joinTimeout = 30 * time.Second // from the hello to the reply

// joinHello is what a member says before the secret is sent.
type joinHello struct {
	Cluster string    `json:"cluster"`
	Node    string    `json:"node"`
	Version string    `json:"version"`
	Level   uint64    `json:"level"` // feature level of the cluster
	Time    time.Time `json:"time"`
	Refused *Problem  `json:"refused,omitempty"`
}

// joinAnswer is the answer to a JoinRequest.
type joinAnswer struct {
	Refused *Problem   `json:"refused,omitempty"`
	Reply   *JoinReply `json:"reply,omitempty"`
}

// admit serves skerry-join/1 on one connection.
func (s *Server) admit(ctx context.Context, c *tls.Conn) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	_ = c.SetDeadline(time.Now().Add(joinTimeout))
	remote := c.RemoteAddr()
	host := hostOf(remote)
	refuse := func(write func(*Problem) error, name string, err error) {
		s.refused(host, "refused a host that wants to join", "remote", remote.String(), "name", name, "err", err)
		p := ProblemOf(err)
		if write(&p) == nil {
			linger(c)
		}
	}
	id, _ := s.cfg.Directory.Cluster()
	h := joinHello{Cluster: id, Node: s.cfg.NodeID, Version: s.cfg.Version, Time: time.Now().UTC()}
	early := func(p *Problem) error { h.Refused = p; return writeMessage(c, h) }
	switch {
	case s.cfg.Admitter == nil:
		refuse(early, "", s.onlyMembers())
		return
	case id == "":
		refuse(early, "", model.Errorf(model.KindUnavailable, "not_initialized", "that host belongs to no cluster yet; make one there with `skerry init` first"))
		return
	}
	if e := s.wrong.blocked(host, time.Now()); e != nil {
		refuse(early, "", e)
		return
	}
	h.Level = s.cfg.Admitter.Level()
	if err := writeMessage(c, h); err != nil {
		return
	}
	var r JoinRequest
	if err := readMessage(c, &r, maxJoin); err != nil {
		// Most often a host that found a reason against it by itself.
		s.log.Info("a host looked at this member and did not ask to join", "remote", remote.String(), "err", err)
		return
	}
	late := func(p *Problem) error { return writeMessage(c, joinAnswer{Refused: p}) }
	reply, err := s.cfg.Admitter.Admit(ctx, r, remote.String())
	if err != nil {
		if model.CodeOf(err) == "join_token_unknown" {
			s.wrong.wrong(host, time.Now())
		}
		refuse(late, r.Name, err)
		return
	}
	reply.Book = s.pageFor(reply.NodeID, reply.Role)
	if err := writeMessage(c, joinAnswer{Reply: &reply}); err != nil {
		s.log.Warn("a host was let in and did not hear of it; it may repeat its join", "remote", remote.String(), "node", reply.NodeID, "err", err)
		return
	}
	s.log.Info("a host joined", "remote", remote.String(), "node", reply.NodeID, "name", reply.NodeName, "role", string(reply.Role))
	linger(c)
}

// onlyMembers is what a worker tells a host that wants to join through it.
func (s *Server) onlyMembers() *model.Error {
	for _, n := range s.peers.Members() {
		if n.Address != "" {
			return model.Errorf(model.KindUnavailable, "not_member", "that host is a worker; join through a member of its cluster, such as %s", n.Address)
		}
	}
	return model.Errorf(model.KindUnavailable, "not_member", "that host is a worker; join through a member of its cluster")
}

// Cluster is this node's member of the cluster: *node.Node.
type Cluster interface {
	View() *state.View
	Propose(ctx context.Context, cmds ...command.Command) (node.Result, error)
	WaitIndex(ctx context.Context, index uint64) error
}

// Admission lets hosts in on a member: it proposes the join, which the state
// judges, and issues what the new node needs.
type Admission struct {
	Cluster func() Cluster // nil while the state is not open
	Certs   *pki.Certificates
	Box     *pki.Box
	// Latest confirms what the newest index is, so that a token which was just
	// made is known here: node.ReadIndex. nil looks only at what is here.
	Latest func(ctx context.Context) (uint64, error)
	Log    *slog.Logger
}

var _ Admitter = (*Admission)(nil)

func (a *Admission) open() (Cluster, error) {
	if c := a.Cluster(); c != nil {
		return c, nil
	}
	return nil, model.Errorf(model.KindUnavailable, "starting", "that member is starting; try again")
}

// Level is the cluster's feature level, which a joining binary must know.
func (a *Admission) Level() uint64 {
	c, err := a.open()
	if err != nil {
		return 0
	}
	if cl, ok := c.View().Cluster(); ok {
		return cl.FeatureLevel
	}
	return 0
}

// Admit judges a request and carries it out. It may be repeated by the same node
// with the same key. Errors: those of command.JoinNode, "clock_skew",
// "version_too_old", "join_environment", "join_request".
func (a *Admission) Admit(ctx context.Context, r JoinRequest, remote string) (JoinReply, error) {
	c, err := a.open()
	if err != nil {
		return JoinReply{}, err
	}
	if d := time.Since(r.Time); d > Skew || d < -Skew {
		return JoinReply{}, skewed(r.Time, time.Now())
	}
	if level := a.Level(); r.Level < level {
		return JoinReply{}, model.Errorf(model.KindConflict, "version_too_old", "the binary of the joining host (version %s) knows feature level %d and the cluster is at %d: install the version that the cluster runs", clip(r.Status.SkerryVersion), r.Level, level)
	}
	if err := checkJoiner(r); err != nil {
		return JoinReply{}, err
	}
	key, public, err := pki.ParseRequest(r.Request)
	if err != nil {
		return JoinReply{}, err
	}
	token, err := a.token(ctx, c, secretHash(r.Secret))
	if err != nil {
		return JoinReply{}, err
	}
	if env, ok := c.View().Environment(token.EnvironmentID); ok && r.Environment != "" && r.Environment != env.Name && r.Environment != env.ID {
		return JoinReply{}, model.Errorf(model.KindDenied, "join_environment", "this join token is for the environment %s, not for %s", env.Name, clip(r.Environment))
	}
	ca := a.Certs.Signer()
	if ca == nil {
		return JoinReply{}, notMember()
	}
	cmd := &command.JoinNode{
		Head: command.By(model.Origin{Actor: "system:join", Operation: "joinCluster", Time: time.Now().UTC(), RemoteIP: ipOf(remote)}),
		Hash: secretHash(r.Secret),
		Node: model.Node{Role: r.Role, PublicKey: public, Spec: model.NodeSpec{Labels: r.Labels}, Status: r.Status},
	}
	cmd.Node.ID, cmd.Node.Name = r.NodeID, r.Name
	res, err := c.Propose(ctx, cmd)
	if err != nil {
		return JoinReply{}, err
	}
	return a.reply(c, ca, r, key, token, res.Index)
}

var (
	joinerID   = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)
	joinerName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$`)
)

const (
	maxLabels = 64
	maxLabel  = 256 // bytes, of a name or a value
	maxHosts  = 64
)

// checkJoiner refuses what no daemon says of its host.
func checkJoiner(r JoinRequest) error {
	wrong := func(code, format string, args ...any) error {
		return model.Errorf(model.KindInvalid, code, format, args...)
	}
	switch _, _, err := net.SplitHostPort(r.Status.Address); {
	case err != nil:
		return wrong("join_request", "%s is no address of a node", clip(r.Status.Address))
	case !joinerID.MatchString(r.NodeID):
		return wrong("join_request", "%s is no id of a node", clip(r.NodeID))
	case !joinerName.MatchString(r.Name):
		return wrong("name_invalid", "%s is no name for a node: 1 to 63 lower-case letters, digits, dots and dashes; start the daemon with another --name", clip(r.Name))
	case len(r.Labels) > maxLabels || len(r.Hosts) > maxHosts:
		return wrong("join_request", "a host joins with at most %d labels and %d names", maxLabels, maxHosts)
	}
	for k, v := range r.Labels {
		if k == "" || len(k) > maxLabel || len(v) > maxLabel {
			return wrong("join_request", "the label %s is not one of 1 to %d bytes with a value of at most %d", clip(k), maxLabel, maxLabel)
		}
	}
	return nil
}

// token finds a join token. One that is not here is looked for again when all
// that was committed is here, so that guesses never reach the log.
func (a *Admission) token(ctx context.Context, c Cluster, hash []byte) (*model.JoinToken, error) {
	if t, ok := c.View().JoinTokenByHash(hash); ok {
		return t, nil
	}
	if a.Latest != nil {
		if a.Log != nil {
			a.Log.Debug("a join token is not known here; looking again with everything that was committed")
		}
		index, err := a.Latest(ctx)
		if err == nil {
			err = c.WaitIndex(ctx, index)
		}
		if err != nil {
			return nil, fmt.Errorf("look for the join token: %w", err)
		}
		if t, ok := c.View().JoinTokenByHash(hash); ok {
			return t, nil
		}
	}
	return nil, model.Errorf(model.KindDenied, "join_token_unknown", "this cluster does not know that join token; make one with `skerry token create` on one of its members")
}

// reply issues what the new node needs.
func (a *Admission) reply(c Cluster, ca *pki.Authority, r JoinRequest, key any, token *model.JoinToken, index uint64) (JoinReply, error) {
	v := c.View()
	cl, ok := v.Cluster()
	if !ok {
		return JoinReply{}, errors.New("the cluster's settings are not in the state")
	}
	out := JoinReply{
		ClusterID: cl.ID, Generation: max(cl.Generation, 1), NodeID: r.NodeID, Index: index,
		Trust: a.Certs.TrustPEM(),
	}
	// What the state says counts: a node that repeats its join may ask for more.
	n, ok := v.Node(r.NodeID)
	if !ok {
		return JoinReply{}, model.Errorf(model.KindConflict, "node_removed", "node %s was removed while it joined", clip(r.Name))
	}
	out.NodeName, out.Role = n.Name, n.Role
	if env, ok := v.Environment(token.EnvironmentID); ok {
		out.Environment = env.Name
	}
	order := pki.Order{ID: out.NodeID, Role: out.Role, Key: key}
	if out.Role == model.NodeMember {
		order.Hosts = r.Hosts // a worker's certificate names nothing that people connect to
		out.SealKey = a.Box.Key()
		sealed, err := a.Box.Seal("ca-key", ca.KeyPEM)
		if err != nil {
			return JoinReply{}, err
		}
		out.AuthorityKey = sealed
	}
	var err error
	out.Certificate, err = ca.Sign(order, time.Now())
	return out, err
}

func skewed(theirs, here time.Time) *model.Error {
	return model.Errorf(model.KindConflict, "clock_skew", "the clocks are more than %d minutes apart: it is %s on the joining host and %s on the member; set the clock (timedatectl set-ntp true) and try again",
		int(Skew.Minutes()), theirs.UTC().Format(time.RFC3339), here.UTC().Format(time.RFC3339))
}

// ipOf is the address without its port.
func ipOf(remote string) string {
	if host, _, err := net.SplitHostPort(remote); err == nil {
		return host
	}
	return remote
}
