package peer

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/skerryhq/skerry/appliance/pki"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// DefaultPort is where a member is looked for when no port is given.
const DefaultPort = "7443"

// Step is where a join is.
type Step string

// The steps, in order. Their names are stable words for programs.
const (
	StepToken    Step = "token"    // the token's text is read
	StepConnect  Step = "connect"  // the member is looked for
	StepVerify   Step = "verify"   // its authority is compared with the token's, then clock and version
	StepAdmitted Step = "admitted" // the member let this host in
)

// JoinOptions are what a host says of itself. All but Role, Environment and
// Labels are needed.
type JoinOptions struct {
	Token       string
	Address     string         // HOST or HOST:PORT of a member
	Role        model.NodeRole // empty takes the token's
	Environment string         // name; empty takes the token's
	NodeID      string
	Name        string
	Key         *pki.Key
	Hosts       []string // names and addresses that the node's certificate is to cover
	Labels      map[string]string
	Status      model.NodeStatus // Address is where others reach the new node
	Timeout     time.Duration    // for reaching the member; 0 means 10 s
}

// Join asks a member to let this host in. It verifies that the member is of the
// cluster that the token is for before it sends the secret, and changes nothing
// on this host: the caller installs the reply (pki.Install, WriteBook). report is
// told each step as it begins; detail is a sentence's worth. It may be repeated.
//
// Errors are sentences (*model.Error): "join_token_malformed",
// "join_token_expired", "join_role", "join_environment", "unreachable",
// "not_skerry", "not_member", "wrong_ca", "clock_skew", "version_too_old", and
// what the member refuses with: "join_token_unknown", "join_token_used",
// "join_token_revoked", "name_taken", "already_joined", "node_removed",
// "join_throttled".
func Join(ctx context.Context, o JoinOptions, report func(step Step, detail string)) (JoinReply, error) {
	if report == nil {
		report = func(Step, string) {}
	}
	report(StepToken, "")
	token, err := readToken(&o, time.Now())
	if err != nil {
		return JoinReply{}, err
	}
	address := o.Address
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(strings.Trim(address, "[]"), DefaultPort)
	}
	report(StepConnect, address)
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	dialing, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	raw, err := dialer.DialContext(dialing, "tcp", address)
	if err != nil {
		return JoinReply{}, &model.Error{Kind: model.KindUnavailable, Code: "unreachable", Err: nil,
			Detail: fmt.Sprintf("no member can be reached at %s (%v); check the address, that the daemon runs there, and that no firewall blocks the port", address, err)}
	}
	defer raw.Close()
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	report(StepVerify, address)
	c, hello, err := meet(dialing, raw, address, token.Pin)
	if err != nil {
		return JoinReply{}, err
	}
	now := time.Now()
	if d := now.Sub(hello.Time); d > Skew || d < -Skew {
		return JoinReply{}, skewed(now, hello.Time)
	}
	if err := inTime(c, hello.Time); err != nil {
		return JoinReply{}, err
	}
	if hello.Level > command.Level {
		return JoinReply{}, model.Errorf(model.KindConflict, "version_too_old", "the cluster is at feature level %d (its member runs version %s) and this binary (version %s) knows %d at most: install the version that the cluster runs",
			hello.Level, hello.Version, o.Status.SkerryVersion, command.Level)
	}
	reply, err := ask(c, address, o, token)
	if err == nil {
		report(StepAdmitted, reply.NodeName)
	}
	return reply, err
}

// readToken reads the token and holds it against the options.
func readToken(o *JoinOptions, now time.Time) (Token, error) {
	t, err := ParseToken(o.Token)
	if err != nil {
		return t, err
	}
	switch {
	case !now.Before(t.ExpiresAt):
		return t, model.Errorf(model.KindDenied, "join_token_expired", "this join token expired at %s and it is %s here; make another with `skerry token create`, or check this host's clock", t.ExpiresAt.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	case o.Role != "" && o.Role != t.Role:
		return t, model.Errorf(model.KindDenied, "join_role", "this join token is for a %s, not for a %s; make one with `skerry token create --role %s`", t.Role, o.Role, o.Role)
	case o.Environment != "" && o.Environment != t.Environment:
		return t, model.Errorf(model.KindDenied, "join_environment", "this join token is for the environment %s, not for %s", t.Environment, clip(o.Environment))
	}
	o.Role = t.Role
	return t, nil
}

// meet does the TLS handshake, proves the other side by the pin and reads its
// hello. Time is not judged yet: clocks are compared first.
func meet(ctx context.Context, raw net.Conn, address string, pin [sha256.Size]byte) (*tls.Conn, joinHello, error) {
	var hello joinHello
	var judged error // a *model.Error about the certificate
	deadline, _ := ctx.Deadline()
	_ = raw.SetDeadline(deadline)
	c := tls.Client(raw, &tls.Config{
		MinVersion:         tls.VersionTLS13,
		NextProtos:         []string{protoJoin},
		InsecureSkipVerify: true, // VerifyConnection does it, by the token's fingerprint
		VerifyConnection: func(cs tls.ConnectionState) error {
			judged = pinned(cs, address, pin)
			return judged
		},
	})
	if err := c.HandshakeContext(ctx); err != nil {
		if judged != nil {
			return nil, hello, judged
		}
		if ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, hello, model.Errorf(model.KindUnavailable, "unreachable", "whatever is at %s took the connection and did not answer in time; check the address and the port", address)
		}
		return nil, hello, model.Errorf(model.KindUnavailable, "not_skerry", "what answers at %s takes no joining hosts (%v); give the address and port of a member of the cluster (%s unless chosen otherwise)", address, err, DefaultPort)
	}
	if err := readMessage(c, &hello, maxHello); err != nil {
		return nil, hello, model.Errorf(model.KindUnavailable, "unreachable", "the member at %s broke the connection off (%v); try again", address, cause(err))
	}
	if hello.Refused != nil {
		return nil, hello, hello.Refused.Err()
	}
	return c, hello, nil
}

// pinned proves that the other side is a member of the cluster whose authority
// the pin is of.
func pinned(cs tls.ConnectionState, address string, pin [sha256.Size]byte) error {
	if cs.NegotiatedProtocol != protoJoin {
		return model.Errorf(model.KindUnavailable, "not_skerry", "what answers at %s takes no joining hosts; give the address and port of a member of the cluster", address)
	}
	var authority *x509.Certificate
	shown := "none"
	for i, c := range cs.PeerCertificates {
		sum := sha256.Sum256(c.Raw)
		if c.IsCA {
			shown = "sha256:" + hex.EncodeToString(sum[:])
		}
		if i > 0 && c.IsCA && sum == pin {
			authority = c
		}
	}
	if authority == nil {
		return model.Errorf(model.KindDenied, "wrong_ca", "the cluster at %s is not the one that this token is for: its authority is %s and the token's is sha256:%s; check the address, or make a token there with `skerry token create`", address, shown, hex.EncodeToString(pin[:]))
	}
	leaf := cs.PeerCertificates[0]
	if err := leaf.CheckSignatureFrom(authority); err != nil {
		return model.Errorf(model.KindDenied, "wrong_ca", "what answers at %s shows the authority of this token's cluster but no certificate that it issued; nothing was sent", address)
	}
	if ou := leaf.Subject.OrganizationalUnit; len(ou) != 1 || ou[0] != string(model.NodeMember) || leaf.VerifyHostname(pki.NodeName(leaf.Subject.CommonName)) != nil {
		return model.Errorf(model.KindUnavailable, "not_member", "the host at %s is no member of the cluster but a worker; join through a member", address)
	}
	return nil
}

// inTime refuses a member whose certificate has ended, by the member's own clock.
func inTime(c *tls.Conn, now time.Time) error {
	leaf := c.ConnectionState().PeerCertificates[0]
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return model.Errorf(model.KindUnavailable, "certificate_expired", "the member's certificate is valid from %s to %s; look after that member first, or join through another",
			leaf.NotBefore.UTC().Format(time.RFC3339), leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

// ask sends the secret and reads the answer.
func ask(c *tls.Conn, address string, o JoinOptions, token Token) (JoinReply, error) {
	_ = c.SetDeadline(time.Now().Add(joinTimeout))
	request, err := o.Key.Request()
	if err != nil {
		return JoinReply{}, err
	}
	err = writeMessage(c, JoinRequest{
		Secret: token.Secret, Role: o.Role, Environment: token.Environment, NodeID: o.NodeID, Name: o.Name, Request: request,
		Hosts: o.Hosts, Labels: o.Labels, Status: o.Status, Level: command.Level, Time: time.Now().UTC(),
	})
	var answer joinAnswer
	if err == nil {
		err = readMessage(c, &answer, maxJoin)
	}
	switch {
	case err != nil:
		return JoinReply{}, model.Errorf(model.KindUnavailable, "unreachable", "the member at %s broke the connection off (%v); repeat the join: it is the same whether or not it was let in", address, cause(err))
	case answer.Refused != nil:
		return JoinReply{}, answer.Refused.Err()
	case answer.Reply == nil || answer.Reply.NodeID != o.NodeID:
		return JoinReply{}, errors.New("the member's answer makes no sense")
	}
	return *answer.Reply, nil
}

// cause says in words why reading ended.
func cause(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("it closed")
	}
	return err
}
