package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// errSame says that a node is as it was asked to be.
var errSame = errors.New("nothing to change")

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
	s.node(c, n, err)
}

// node answers with a node.
func (s *Server) node(c *gin.Context, n *model.Node, err error) {
	if err != nil {
		s.fail(c, err)
		return
	}
	s.object(c, http.StatusOK, n.Version, n)
}

// UpdateNode puts another spec in the place of a node's.
func (s *Server) UpdateNode(c *gin.Context, ref Ref, q UpdateNodeParams) {
	var in NodeSpec
	version, err := expect(q.IfMatch)
	if err == nil {
		err = decode(c, &in)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	n, err := s.changeNode(c, ref, version, func(_ *state.View, n *model.Node) error {
		n.Spec = in
		return checkNodeSpec(n)
	})
	s.node(c, n, err)
}

// changeNode proposes what change makes of a node's spec. Without a version of
// the caller's it begins again when somebody else was faster, so that nobody's
// change is lost. change may answer errSame.
func (s *Server) changeNode(c *gin.Context, ref string, version uint64, change func(*state.View, *model.Node) error) (*model.Node, error) {
	const attempts = 5
	r := of(c)
	n, err := r.view.FindNode(ref)
	if err != nil {
		return nil, err
	}
	id := n.ID
	for attempt := 1; ; attempt++ {
		v := s.cluster.View()
		if n, err = v.FindNode(id); err != nil {
			return nil, err
		}
		next := *n
		switch err := change(v, &next); {
		case errors.Is(err, errSame):
			return n, checkVersion(version, n.Version)
		case err != nil:
			return nil, err
		}
		put := &command.PutNode{Head: command.By(r.caller.Origin), Node: next, ExpectVersion: version}
		if version == command.AnyVersion {
			put.ExpectVersion = n.Version
		}
		if _, err = s.cluster.Propose(c.Request.Context(), put); err == nil {
			return s.cluster.View().FindNode(id)
		}
		if version != command.AnyVersion || model.KindOf(err) != model.KindStale || attempt == attempts {
			return nil, err
		}
	}
}

const (
	maxNodeLabels = 64
	maxLabelValue = 128
)

// labelName is what constraints can name: node.labels.<it>.
var labelName = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9._/-]{0,61}[a-zA-Z0-9])?$`)

func checkLabels(labels map[string]string, field string) error {
	if len(labels) > maxNodeLabels {
		return invalid("too_many_labels", "%d labels; a node has at most %d", len(labels), maxNodeLabels).At(field)
	}
	for k, v := range labels {
		switch {
		case !labelName.MatchString(k):
			return invalid("label_invalid", "%q is no name of a label; use 1 to 63 letters, digits, dots, dashes, slashes and underscores", short(k)).At(field)
		case len(v) > maxLabelValue || strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r == 0x7f }):
			return invalid("label_invalid", "the label %q has a value that is longer than %d bytes or holds control characters", k, maxLabelValue).At(field)
		}
	}
	return nil
}

func checkNodeSpec(n *model.Node) error {
	switch n.Spec.Availability {
	case "", model.NodeActive, model.NodeDrain:
	default:
		return invalid("availability_invalid", "a node is active or drain, not %q", short(string(n.Spec.Availability))).At("availability")
	}
	switch n.Spec.Suffrage {
	case "":
	case model.SuffrageVoter, model.SuffrageStandby:
		if !n.Member() {
			return noVote(n)
		}
	default:
		return invalid("suffrage_invalid", "a member is wished to be voter or standby, not %q", short(string(n.Spec.Suffrage))).At("suffrage")
	}
	return checkLabels(n.Spec.Labels, "labels")
}

func noVote(n *model.Node) error {
	return model.Errorf(model.KindConflict, "worker_no_vote", "node %s is a worker: it holds nothing that could be voted on; remove it and join it again as a member", n.Name)
}

// ActivateNode lets a node take containers again.
func (s *Server) ActivateNode(c *gin.Context, ref Ref) {
	n, err := s.changeNode(c, ref, command.AnyVersion, func(_ *state.View, n *model.Node) error {
		if n.Spec.Availability != model.NodeDrain {
			return errSame
		}
		n.Spec.Availability = ""
		return nil
	})
	s.node(c, n, err)
}

// PromoteNode wishes a member to be a voter.
func (s *Server) PromoteNode(c *gin.Context, ref Ref) { s.wish(c, ref, model.SuffrageVoter) }

// DemoteNode wishes a member to be a standby.
func (s *Server) DemoteNode(c *gin.Context, ref Ref) { s.wish(c, ref, model.SuffrageStandby) }

func (s *Server) wish(c *gin.Context, ref Ref, w model.Suffrage) {
	n, err := s.changeNode(c, ref, command.AnyVersion, func(v *state.View, n *model.Node) error {
		switch {
		case !n.Member():
			return noVote(n)
		case w == model.SuffrageStandby && onlyMember(v, n):
			return model.Errorf(model.KindConflict, "last_member", "node %s is the only member, so it has to vote; join another one first", n.Name)
		case n.Spec.Suffrage == w:
			return errSame
		}
		n.Spec.Suffrage = w
		return nil
	})
	s.node(c, n, err)
}

func onlyMember(v *state.View, n *model.Node) bool {
	for o := range v.Nodes() {
		if o.Member() && o.ID != n.ID {
			return false
		}
	}
	return true
}

// DeleteNode removes a node for good.
func (s *Server) DeleteNode(c *gin.Context, ref Ref, q DeleteNodeParams) {
	r := of(c)
	version, err := expect(q.IfMatch)
	var n *model.Node
	if err == nil {
		n, err = r.view.FindNode(ref)
	}
	if err == nil {
		_, err = s.cluster.Propose(c.Request.Context(), &command.RemoveNode{Head: command.By(r.caller.Origin), ID: n.ID, ExpectVersion: version, Force: q.Force})
	}
	s.replyDone(c, http.StatusNoContent, err)
}

// DrainNode moves what runs on a node elsewhere; with a wait it answers when
// that is done or the time is over.
func (s *Server) DrainNode(c *gin.Context, ref Ref, q DrainNodeParams) {
	err := checkWait(q.Wait)
	var n *model.Node
	if err == nil {
		n, err = s.changeNode(c, ref, command.AnyVersion, func(_ *state.View, n *model.Node) error {
			if n.Spec.Availability == model.NodeDrain {
				return errSame
			}
			n.Spec.Availability = model.NodeDrain
			return nil
		})
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	if q.Wait == 0 {
		s.ok(c, http.StatusOK, s.drainOf(s.cluster.View(), n.ID))
		return
	}
	s.work(c, http.StatusOK, func(report Report) (any, error) { return s.waitDrained(c.Request.Context(), n.ID, q.Wait, report) })
}

// GetNodeDrain shows what still runs on a node.
func (s *Server) GetNodeDrain(c *gin.Context, ref Ref) {
	r := of(c)
	n, err := r.view.FindNode(ref)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.ok(c, http.StatusOK, s.drainOf(r.view, n.ID))
}

// drainOf is what is left on a node. Without somebody who knows why, everything
// that is assigned to the node is left.
func (s *Server) drainOf(v *state.View, nodeID string) NodeDrain {
	if s.cfg.Drain != nil {
		return s.cfg.Drain(v, nodeID)
	}
	d := NodeDrain{}
	for range v.ContainersOnNode(nodeID) {
		d.Left++
	}
	d.Total, d.Done = d.Left, d.Left == 0
	return d
}

// waitDrained waits until nothing that can move is left on a node, and reports
// each container that leaves or says why it stays.
func (s *Server) waitDrained(ctx context.Context, id string, seconds int, report Report) (NodeDrain, error) {
	total, said := 0, map[string]string{}
	d, err := until(ctx, s, seconds, func(v *state.View) (NodeDrain, error) {
		n, ok := v.Node(id)
		switch {
		case !ok:
			return NodeDrain{}, model.Errorf(model.KindConflict, "drain_ended", "the node was removed while it was drained")
		case n.Spec.Availability != model.NodeDrain:
			return NodeDrain{}, model.Errorf(model.KindConflict, "drain_ended", "node %s was activated again while it was drained", n.Name)
		}
		d := s.drainOf(v, id)
		total = max(total, d.Total, d.Left)
		d.Total = total
		tell(report, said, n.Name, fmt.Sprintf("%d of %d moved", total-d.Left, total), "draining")
		for _, w := range d.Waiting {
			tell(report, said, w.Container, w.Reason, "waiting")
		}
		return d, nil
	}, func(d NodeDrain) bool { return d.Done })
	return d, err
}

// tell reports a step whose words are not those that were said last.
func tell(report Report, said map[string]string, id, message, step string) {
	if said[id] != message {
		said[id] = message
		report(Progress{ID: id, Step: step, Message: message})
	}
}
