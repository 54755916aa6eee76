package state

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// tokenMemory is how long a join token is remembered after its end, so that a
// late joiner hears what happened to it.
const tokenMemory = 24 * time.Hour

func (t *tx) putJoinToken(c *command.PutJoinToken) *model.Error {
	n := c.Token
	if err := checkID(n.ID, "join token"); err != nil {
		return err
	}
	if err := checkName(n.Name); err != nil {
		return err
	}
	switch {
	case n.Role != model.NodeMember && n.Role != model.NodeWorker:
		return model.Errorf(model.KindInvalid, "role_invalid", "a host joins as member or worker, not as %q", n.Role).At("role")
	case n.Uses < 1:
		return model.Errorf(model.KindInvalid, "uses_invalid", "a join token is for at least one host, not %d", n.Uses).At("uses")
	case len(n.Hash) == 0:
		return model.Errorf(model.KindInvalid, "hash_missing", "a join token needs the hash of its secret")
	}
	if _, ok := t.v.JoinToken(n.ID); ok {
		return model.Errorf(model.KindConflict, "already_exists", "the id of this join token is in use; repeat the change")
	}
	if _, ok := t.v.Environment(n.EnvironmentID); !ok {
		return notFound("environment", n.EnvironmentID).At("environment")
	}
	for _, old := range collect(t.v.JoinTokens()) {
		if old.ExpiresAt.Add(tokenMemory).Before(t.now) {
			t.del(tabJoinTokens, old)
		}
	}
	n.Used, n.Revoked = 0, false
	t.created(&n.Meta)
	t.create(tabJoinTokens, &n)
	return nil
}

func (t *tx) revokeJoinToken(c *command.RevokeJoinToken) *model.Error {
	old, ok := t.v.JoinToken(c.ID)
	if !ok {
		return notFound("join token", c.ID)
	}
	if old.Revoked {
		return nil
	}
	n := *old
	n.Revoked = true
	t.updated(&n.Meta)
	t.replace(tabJoinTokens, old, &n)
	return nil
}

func (t *tx) joinNode(c *command.JoinNode) *model.Error {
	n := c.Node
	if err := checkID(n.ID, "node"); err != nil {
		return err
	}
	if err := checkName(n.Name); err != nil {
		return err
	}
	token, ok := t.v.JoinTokenByHash(c.Hash)
	if !ok {
		return model.Errorf(model.KindDenied, "join_token_unknown", "this cluster does not know that join token; make one with `skerry token create` on one of its members")
	}
	if old, there := t.v.Node(n.ID); there {
		if bytes.Equal(old.PublicKey, n.PublicKey) && len(n.PublicKey) > 0 {
			return nil // the answer to the first attempt was lost
		}
		return model.Errorf(model.KindConflict, "already_joined", "a node with this id (%s) belongs to the cluster already; `skerry reset --data` on the host gives it a new one", old.Name)
	}
	if gone, was := t.v.RemovedNode(n.ID); was {
		return model.Errorf(model.KindDenied, "node_removed", "this node was removed from the cluster by %s at %s; run `skerry reset --data` on it and join it with a new token", gone.Actor, gone.At.UTC().Format(time.RFC3339))
	}
	switch {
	case token.Revoked:
		return model.Errorf(model.KindDenied, "join_token_revoked", "this join token was revoked; make another with `skerry token create`")
	case !t.now.Before(token.ExpiresAt):
		return model.Errorf(model.KindDenied, "join_token_expired", "this join token expired at %s; make another with `skerry token create`", token.ExpiresAt.UTC().Format(time.RFC3339))
	case token.Used >= token.Uses:
		return model.Errorf(model.KindDenied, "join_token_used", "this join token was for %d host%s and is used up; make another with `skerry token create`", token.Uses, plural(token.Uses))
	case token.Role != n.Role:
		return model.Errorf(model.KindDenied, "join_role", "this join token is for a %s, not for a %s", token.Role, n.Role)
	}
	if other, taken := firstPrefix[model.Node](&t.v, tabNodes, idxName, key(n.Name)); taken && other.ID != n.ID {
		return model.Errorf(model.KindConflict, "name_taken", "the cluster has a node named %q already; start this one with another --name", n.Name).At("name")
	}
	n.EnvironmentID = token.EnvironmentID
	if _, there := t.v.Environment(n.EnvironmentID); !there {
		return notFound("environment", n.EnvironmentID)
	}
	if err := t.checkBlock(n.ID, n.Blocks); err != nil {
		return err
	}
	used := *token
	used.Used++
	t.updated(&used.Meta)
	t.replace(tabJoinTokens, token, &used)
	n.Health = model.NodeHealth{State: model.NodeUp, Since: t.now}
	t.created(&n.Meta)
	t.create(tabNodes, &n)
	t.event(model.Event{Kind: "node", ObjectID: n.ID, Object: n.Name, Reason: "Joined", Message: fmt.Sprintf("node %s joined as %s", n.Name, n.Role)})
	return nil
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

func (t *tx) setNodeHealth(c *command.SetNodeHealth) *model.Error {
	old, ok := t.v.Node(c.NodeID)
	if !ok {
		return notFound("node", c.NodeID)
	}
	if c.Health.State != model.NodeUp && c.Health.State != model.NodeDown {
		return model.Errorf(model.KindInvalid, "health_invalid", "a node is up or down, not %q", c.Health.State)
	}
	n := *old
	n.Health = c.Health
	t.updated(&n.Meta)
	t.replace(tabNodes, old, &n)
	switch {
	case n.Down() && !old.Down():
		t.event(model.Event{Kind: "node", ObjectID: n.ID, Object: n.Name, Reason: "Down", Warning: true, Message: "node " + n.Name + " is down: " + n.Health.Reason})
	case !n.Down() && old.Down():
		t.event(model.Event{Kind: "node", ObjectID: n.ID, Object: n.Name, Reason: "Up", Message: "node " + n.Name + " is back"})
	}
	return nil
}

func (t *tx) evictContainers(c *command.EvictContainers) *model.Error {
	n, ok := t.v.Node(c.NodeID)
	if !ok {
		return notFound("node", c.NodeID)
	}
	if !n.Down() {
		return model.Errorf(model.KindConflict, "node_up", "node %s is up: its containers stay where they are", n.Name)
	}
	for _, id := range c.IDs {
		if old, ok := t.v.Container(id); ok && old.Assign.NodeID == n.ID {
			t.evict(old, n)
		}
	}
	return nil
}

// evict turns a container into an orphan of its node.
func (t *tx) evict(old *model.Container, n *model.Node) {
	t.create(tabOrphans, &model.Orphan{ID: old.ID, Name: old.Name, TenantID: old.TenantID, NodeID: n.ID, ServiceID: old.ServiceID,
		Address: old.Assign.Address, Since: t.now})
	t.del(tabContainers, old)
	if old.Status.Phase == model.PhaseRunning {
		t.countRunning(old.ServiceID, -1)
	}
	t.containerEvent(old, "Evicted", true, fmt.Sprintf("container %s was given up: node %s is down", old.Name, n.Name))
	t.sweepService(old.ServiceID)
	t.sweepApp(old.AppID)
}

// forgetOrphan gives back what a container that was given up still had.
func (t *tx) forgetOrphan(o *model.Orphan) {
	t.del(tabOrphans, o)
	t.moveAddress(o.ID, o.Address, netip.Addr{})
}

func (t *tx) removeNode(c *command.RemoveNode) *model.Error {
	old, ok := t.v.Node(c.ID)
	if err := expectThere(metaOf(nodes, old, ok), c.ExpectVersion, "node", c.ID); err != nil {
		return err
	}
	if old.Member() {
		members := 0
		for n := range t.v.Nodes() {
			if n.Member() {
				members++
			}
		}
		if members == 1 {
			return model.Errorf(model.KindConflict, "last_member", "node %s is the last member; a cluster without one is gone (`skerry reset --data` on the host does that)", old.Name)
		}
	}
	held := collect(t.v.ContainersOnNode(old.ID))
	kept := collect(t.v.VolumesOnNode(old.ID))
	if !c.Force && len(held) > 0 {
		return model.Errorf(model.KindConflict, "node_in_use", "node %s still has %d container%s, %s among them; drain it first, or force the removal", old.Name, len(held), plural(len(held)), held[0].Name)
	}
	if !c.Force && len(kept) > 0 {
		return model.Errorf(model.KindConflict, "node_in_use", "the data of %d volume%s lives on node %s, %s among them; delete or move them first, or force the removal, which forgets them", len(kept), plural(len(kept)), old.Name, kept[0].Name)
	}
	for _, k := range held {
		t.evict(k, old)
	}
	for _, vol := range kept {
		t.del(tabVolumes, vol)
		t.event(model.Event{TenantID: vol.TenantID, Kind: "volume", ObjectID: vol.ID, Object: vol.Name, Reason: "Lost", Warning: true,
			Message: fmt.Sprintf("volume %s is lost: its node %s was removed by force", vol.Name, old.Name)})
	}
	for _, o := range collect(t.v.OrphansOf(old.ID)) {
		t.forgetOrphan(o)
	}
	for _, img := range collect(t.v.Images()) {
		if !slices.Contains(img.NodeIDs, old.ID) {
			continue
		}
		n := *img
		n.NodeIDs = slices.DeleteFunc(slices.Clone(img.NodeIDs), func(id string) bool { return id == old.ID })
		if len(n.NodeIDs) == 0 {
			n.NodeIDs = nil // as it reads back from a snapshot
		}
		t.updated(&n.Meta)
		t.replace(tabImages, img, &n)
	}
	t.del(tabNodes, old)
	t.create(tabRemovedNodes, &model.RemovedNode{ID: old.ID, Name: old.Name, Actor: t.origin.Actor, At: t.now})
	t.event(model.Event{Kind: "node", ObjectID: old.ID, Object: old.Name, Reason: "Removed", Message: fmt.Sprintf("node %s was removed by %s", old.Name, t.origin.Actor)})
	return nil
}

func (t *tx) rotateAuthority(c *command.RotateAuthority) *model.Error {
	old, ok := t.v.Cluster()
	if !ok {
		return notFound("cluster", "")
	}
	n := *old
	phase := model.RotationPhase("")
	if old.Rotation != nil {
		phase = old.Rotation.Phase
	}
	message := ""
	switch {
	case c.Step == command.RotationBegin && phase != "":
		return model.Errorf(model.KindConflict, "rotation_running", "the authority is being replaced already, since %s", old.Rotation.StartedAt.UTC().Format(time.RFC3339))
	case c.Step == command.RotationBegin && (len(c.NextCert) == 0 || len(c.NextKey) == 0):
		return model.Errorf(model.KindInvalid, "authority_missing", "the replacement of the authority needs the next one's certificate and key")
	case c.Step == command.RotationBegin:
		n.Rotation = &model.Rotation{Phase: model.RotationTrust, StartedAt: t.now, OtherCert: c.NextCert, OtherKey: c.NextKey}
		message = "the replacement of the cluster's authority began"
	case c.Step == command.RotationSwitch && phase == model.RotationTrust:
		n.Rotation = &model.Rotation{Phase: model.RotationIssue, StartedAt: old.Rotation.StartedAt, OtherCert: old.CACert}
		n.CACert, n.CAKey = old.Rotation.OtherCert, old.Rotation.OtherKey
		message = "the next authority issues certificates from now on"
	case c.Step == command.RotationFinish && phase == model.RotationIssue:
		n.Rotation = nil
		message = "the cluster's authority was replaced; the old one is trusted no more"
	default:
		return model.Errorf(model.KindConflict, "rotation_step", "the step %q of the authority's replacement is not the next one", c.Step)
	}
	n.Version = t.index
	t.replace(tabCluster, old, &n)
	t.event(model.Event{Kind: "cluster", ObjectID: n.ID, Reason: "AuthorityRotation", Message: message})
	return nil
}

func (t *tx) raiseGeneration(c *command.RaiseGeneration) *model.Error {
	old, ok := t.v.Cluster()
	if !ok {
		return notFound("cluster", "")
	}
	if c.Generation <= max(old.Generation, 1) {
		return model.Errorf(model.KindConflict, "generation_not_raised", "the cluster is at generation %d already, not below %d", max(old.Generation, 1), c.Generation)
	}
	n := *old
	n.Generation, n.Version = c.Generation, t.index
	t.replace(tabCluster, old, &n)
	// Members that took no part must never come back with what they have: what
	// ran on them is placed elsewhere.
	for _, node := range collect(t.v.Nodes()) {
		if !node.Member() || slices.Contains(c.Survivors, node.ID) || node.Down() {
			continue
		}
		lost := *node
		lost.Health = model.NodeHealth{State: model.NodeDown, Since: t.now, Reason: fmt.Sprintf("it took no part in the recovery that began generation %d; wipe it (`skerry reset --data`) before it comes back, and remove it here", c.Generation)}
		t.updated(&lost.Meta)
		t.replace(tabNodes, node, &lost)
		t.event(model.Event{Kind: "node", ObjectID: lost.ID, Object: lost.Name, Reason: "Down", Warning: true, Message: "node " + lost.Name + " is down: " + lost.Health.Reason})
	}
	t.event(model.Event{Kind: "cluster", ObjectID: n.ID, Reason: "Recovered", Warning: true,
		Message: fmt.Sprintf("the cluster was recovered from a lost quorum by %s: generation %d, everything up to index %d is here", t.origin.Actor, n.Generation, c.LastIndex)})
	return nil
}
