package api

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// The bounds of a join token.
const (
	tokenTTL     = time.Hour
	maxTokenTTL  = 7 * 24 * time.Hour
	maxTokenUses = 1000
)

// JoinCluster makes this node part of another node's cluster. Only whoever sits
// at the node itself may.
func (s *Server) JoinCluster(c *gin.Context) {
	r := of(c)
	var in JoinInput
	err := inPerson(r, "a host joins by its own command: run `skerry join` on it")
	if err == nil {
		err = decode(c, &in)
	}
	if err == nil {
		err = checkJoin(in)
	}
	_, founded := r.view.Cluster()
	switch {
	case err != nil:
	case s.cfg.Joiner == nil:
		err = notOffered("joining a cluster")
	case !in.Rejoin && (founded || s.enrolled()):
		err = model.Errorf(model.KindConflict, "already_joined", "this node belongs to a cluster already; `skerry reset --data` makes it a new one, which can join")
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	s.work(c, http.StatusOK, func(report Report) (any, error) { return s.cfg.Joiner.Join(c.Request.Context(), in, report) })
}

func checkJoin(in JoinInput) error {
	switch {
	case in.Rejoin && (in.Token != "" || in.Address != ""):
		return invalid("token_needless", "a node that joins again uses the certificate that it has and asks the members that it knows; leave token and address out").At("token")
	case in.Rejoin:
		return nil
	case in.Address == "":
		return invalid("address_missing", "say which member to join: HOST or HOST:PORT").At("address")
	case in.Token == "":
		return invalid("token_missing", "a host joins with a token; `skerry token create` on a member makes one").At("token")
	}
	return checkLabels(in.Labels, "labels")
}

// inPerson refuses who does not sit at the node itself.
func inPerson(r *request, why string) error {
	if r.caller.Principal.Local {
		return nil
	}
	return model.Errorf(model.KindDenied, "not_local", "%s", why)
}

func notOffered(what string) error {
	return model.Errorf(model.KindUnavailable, "not_offered", "this node does not offer %s", what)
}

// ListJoinTokens lists the join tokens, the newest first.
func (s *Server) ListJoinTokens(c *gin.Context) {
	r, out := of(c), JoinTokenList{Items: []JoinToken{}}
	for t := range r.view.JoinTokens() {
		out.Items = append(out.Items, joinToken(r.view, t, r.caller.Origin.Time))
	}
	slices.SortStableFunc(out.Items, func(a, b JoinToken) int { return b.CreatedAt.Compare(a.CreatedAt) })
	s.ok(c, http.StatusOK, out)
}

// joinToken is a join token as people see it: without what proves it.
func joinToken(v *state.View, t *model.JoinToken, now time.Time) JoinToken {
	out := JoinToken{ID: t.ID, Name: t.Name, Version: t.Version, CreatedAt: t.CreatedAt, CreatedBy: t.CreatedBy, Role: t.Role,
		EnvironmentID: t.EnvironmentID, Uses: t.Uses, Used: t.Used, ExpiresAt: t.ExpiresAt, State: JoinTokenStateUsable}
	if e, ok := v.Environment(t.EnvironmentID); ok {
		out.Environment = e.Name
	}
	switch {
	case t.Revoked:
		out.State = JoinTokenStateRevoked
	case t.Used >= t.Uses:
		out.State = JoinTokenStateUsed
	case !now.Before(t.ExpiresAt):
		out.State = JoinTokenStateExpired
	}
	return out
}

// CreateJoinToken makes a join token. Its text is in this reply and nowhere else.
func (s *Server) CreateJoinToken(c *gin.Context) {
	r := of(c)
	var in JoinTokenInput
	err := decodeOptional(c, &in)
	if err == nil && s.cfg.NewJoinToken == nil {
		err = notOffered("join tokens")
	}
	var row model.JoinToken
	var env *model.Environment
	if err == nil {
		row, env, err = s.newToken(r, in)
	}
	text := ""
	if err == nil {
		text, row.Hash, err = s.cfg.NewJoinToken(row.Role, env.Name, row.ExpiresAt)
	}
	if err == nil {
		_, err = s.cluster.Propose(c.Request.Context(), &command.PutJoinToken{Head: command.By(r.caller.Origin), Token: row})
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	v := s.cluster.View()
	if made, ok := v.JoinToken(row.ID); ok {
		row = *made
	}
	s.ok(c, http.StatusCreated, JoinTokenCreated{Token: joinToken(v, &row, r.caller.Origin.Time), Text: text, Commands: s.joinCommands(text, row.Role)})
}

// newToken is the row of the token that in asks for, without its hash.
func (s *Server) newToken(r *request, in JoinTokenInput) (model.JoinToken, *model.Environment, error) {
	role := cmp.Or(in.Role, model.NodeMember)
	ttl := tokenTTL
	if in.TTLSeconds != 0 {
		ttl = time.Duration(min(max(in.TTLSeconds, -1), int64(maxTokenTTL/time.Second)+1)) * time.Second
	}
	uses := cmp.Or(in.Uses, 1)
	var none model.JoinToken
	switch {
	case role != model.NodeMember && role != model.NodeWorker:
		return none, nil, invalid("role_invalid", "a host joins as member or worker, not as %q", short(string(role))).At("role")
	case ttl < time.Second || ttl > maxTokenTTL:
		return none, nil, invalid("ttl_invalid", "a join token lives for 1 second to 7 days (%d seconds), not for %d seconds", maxTokenTTL/time.Second, in.TTLSeconds).At("ttlSeconds")
	case uses < 1 || uses > maxTokenUses:
		return none, nil, invalid("uses_invalid", "a join token is for 1 to %d hosts, not for %d", maxTokenUses, in.Uses).At("uses")
	}
	env, err := r.view.FindEnvironment(cmp.Or(in.Environment, model.DefaultEnvironment))
	if err != nil {
		return none, nil, err
	}
	id := command.NewID()
	return model.JoinToken{Meta: model.Meta{ID: id, Name: id[:8]}, Role: role, EnvironmentID: env.ID, Uses: uses,
		ExpiresAt: r.caller.Origin.Time.Add(ttl).Truncate(time.Second), CreatedBy: r.caller.Origin.Actor}, env, nil
}

// joinCommands are the lines to paste on the new host.
func (s *Server) joinCommands(text string, role model.NodeRole) []string {
	out := []string{}
	if s.cfg.MemberAddresses == nil {
		return out
	}
	for _, a := range s.cfg.MemberAddresses() {
		line := fmt.Sprintf("skerry join %s %s", text, a)
		if role == model.NodeWorker {
			line += " --worker"
		}
		out = append(out, line)
	}
	return out
}

// RevokeJoinToken makes a join token useless.
func (s *Server) RevokeJoinToken(c *gin.Context, ref Ref) {
	r := of(c)
	t, err := findJoinToken(r.view, ref)
	if err == nil {
		_, err = s.cluster.Propose(c.Request.Context(), &command.RevokeJoinToken{Head: command.By(r.caller.Origin), ID: t.ID})
	}
	s.replyDone(c, http.StatusNoContent, err)
}

// findJoinToken finds a join token by id or by name, which begins its id.
func findJoinToken(v *state.View, ref string) (*model.JoinToken, error) {
	if t, ok := v.JoinToken(ref); ok {
		return t, nil
	}
	for t := range v.JoinTokens() {
		if t.Name == ref {
			return t, nil
		}
	}
	return nil, notFound("join token", short(ref))
}
