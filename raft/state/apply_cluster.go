package state

import (
	"net/netip"
	"slices"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

func (t *tx) initCluster(c *command.InitCluster) *model.Error {
	if _, ok := t.v.Cluster(); ok {
		return model.Errorf(model.KindConflict, "already_initialized", "this cluster exists already")
	}
	for _, o := range []struct{ id, name, word string }{
		{c.Tenant.ID, c.Tenant.Name, "tenant"}, {c.Environment.ID, c.Environment.Name, "environment"}, {c.Node.ID, c.Node.Name, "node"},
	} {
		if err := checkID(o.id, o.word); err != nil {
			return err
		}
		if err := checkName(o.name); err != nil {
			return err
		}
	}
	if c.Cluster.PortMin == 0 || c.Cluster.PortMin > c.Cluster.PortMax {
		return model.Errorf(model.KindInvalid, "port_range_invalid", "the range of ports %d-%d is empty; give a lower and a higher number from 1 to 65535", c.Cluster.PortMin, c.Cluster.PortMax)
	}
	cluster := c.Cluster
	cluster.Version, cluster.CreatedAt = t.index, t.now
	cluster.FeatureLevel = max(cluster.FeatureLevel, 1)
	if cluster.FeatureLevel > command.Level {
		return model.Errorf(model.KindInvalid, "level_unknown", "this version knows feature level %d, not %d", command.Level, cluster.FeatureLevel)
	}
	t.create(tabCluster, &cluster)

	tenant, env, node := c.Tenant, c.Environment, c.Node
	t.created(&tenant.Meta)
	t.create(tabTenants, &tenant)
	t.created(&env.Meta)
	t.create(tabEnvironments, &env)
	if node.EnvironmentID == "" {
		node.EnvironmentID = env.ID
	}
	t.created(&node.Meta)
	t.create(tabNodes, &node)
	for i := range c.Images {
		img := c.Images[i]
		if img.TenantID == "" {
			img.TenantID = tenant.ID
		}
		if err := t.storeImage(&img, command.MustNotExist); err != nil {
			return err
		}
	}
	t.event(model.Event{Kind: "cluster", ObjectID: cluster.ID, Reason: "Created",
		Message: "the cluster was made, with node " + node.Name + " as its first"})
	return nil
}

func (t *tx) raiseLevel(c *command.RaiseLevel) *model.Error {
	old, ok := t.v.Cluster()
	if !ok {
		return notFound("cluster", "")
	}
	if c.Level <= old.FeatureLevel {
		return model.Errorf(model.KindConflict, "level_not_raised", "the cluster is at feature level %d already; it never goes back to %d", old.FeatureLevel, c.Level)
	}
	n := *old
	n.FeatureLevel, n.Version = c.Level, t.index
	t.replace(tabCluster, old, &n)
	return nil
}

func (t *tx) putTenant(c *command.PutTenant) *model.Error {
	old, ok := t.v.Tenant(c.Tenant.ID)
	if err := expect(metaOf(tenants, old, ok), c.ExpectVersion, "tenant", c.Tenant.ID); err != nil {
		return err
	}
	if err := checkName(c.Tenant.Name); err != nil {
		return err
	}
	if other, taken := t.v.TenantByName(c.Tenant.Name); taken && other.ID != c.Tenant.ID {
		return nameTaken("tenant", c.Tenant.Name, "")
	}
	n := c.Tenant
	if ok {
		if old.Name == model.DefaultTenant && n.Name != old.Name {
			return model.Errorf(model.KindConflict, "tenant_fixed", "the tenant %s keeps its name", old.Name).At("name")
		}
		n.Meta = old.Meta
		n.Name = c.Tenant.Name
		t.updated(&n.Meta)
		t.replace(tabTenants, old, &n)
		return nil
	}
	if err := checkID(n.ID, "tenant"); err != nil {
		return err
	}
	t.created(&n.Meta)
	t.create(tabTenants, &n)
	t.event(model.Event{TenantID: n.ID, Kind: "tenant", ObjectID: n.ID, Object: n.Name, Reason: "Created", Message: "tenant " + n.Name + " was made"})
	return nil
}

func (t *tx) deleteTenant(c *command.DeleteTenant) *model.Error {
	old, ok := t.v.Tenant(c.ID)
	if err := expectThere(metaOf(tenants, old, ok), c.ExpectVersion, "tenant", c.ID); err != nil {
		return err
	}
	if old.Name == model.DefaultTenant {
		return model.Errorf(model.KindConflict, "tenant_fixed", "the tenant %s stays; delete what it owns instead", old.Name)
	}
	inUse := func(word, name string) *model.Error {
		return model.Errorf(model.KindConflict, "tenant_in_use", "tenant %s still owns %s %s; delete that first", old.Name, word, name)
	}
	if o, ok := firstPrefix[model.App](&t.v, tabApps, idxTenant, key(old.ID)); ok {
		return inUse("app", o.Name)
	}
	if o, ok := firstPrefix[model.Volume](&t.v, tabVolumes, idxTenant, key(old.ID)); ok {
		return inUse("volume", o.Name)
	}
	if o, ok := firstPrefix[model.Image](&t.v, tabImages, idxTenant, key(old.ID)); ok {
		return inUse("image", o.Name)
	}
	if o, ok := firstPrefix[model.Repository](&t.v, tabRepositories, idxTenant, key(old.ID)); ok {
		return inUse("repository", o.Name)
	}
	for u := range t.v.Upstreams() { // without its last tenant it would serve all
		if slices.Contains(u.Spec.TenantIDs, old.ID) {
			return model.Errorf(model.KindConflict, "tenant_in_use", "the upstream %s names tenant %s among those that it serves; change that first", u.Name, old.Name)
		}
	}
	for _, u := range collect(t.v.Users()) {
		if _, member := u.Spec.Tenants[old.ID]; !member {
			continue
		}
		n := u.Clone()
		delete(n.Spec.Tenants, old.ID)
		if len(n.Spec.Tenants) == 0 {
			n.Spec.Tenants = nil // as it reads back from a snapshot
		}
		t.updated(&n.Meta)
		t.replace(tabUsers, u, n)
	}
	for _, k := range collect(under[model.APIToken](&t.v, tabTokens, idxName, nil)) {
		if k.TenantID == old.ID {
			t.del(tabTokens, k)
		}
	}
	t.del(tabTenants, old)
	t.event(model.Event{Kind: "tenant", ObjectID: old.ID, Object: old.Name, Reason: "Deleted", Message: "tenant " + old.Name + " was deleted"})
	return nil
}

func (t *tx) putNode(c *command.PutNode) *model.Error {
	old, ok := t.v.Node(c.Node.ID)
	if err := expect(metaOf(nodes, old, ok), c.ExpectVersion, "node", c.Node.ID); err != nil {
		return err
	}
	if err := checkName(c.Node.Name); err != nil {
		return err
	}
	if other, taken := firstPrefix[model.Node](&t.v, tabNodes, idxName, key(c.Node.Name)); taken && other.ID != c.Node.ID {
		return nameTaken("node", c.Node.Name, "")
	}
	if _, there := t.v.Environment(c.Node.EnvironmentID); !there {
		return notFound("environment", c.Node.EnvironmentID).At("environmentId")
	}
	if err := t.checkBlock(c.Node.ID, c.Node.Blocks); err != nil {
		return err
	}
	n := c.Node
	if ok {
		n.Meta, n.Status, n.Health, n.Role, n.PublicKey = old.Meta, old.Status, old.Health, old.Role, old.PublicKey
		n.Name = c.Node.Name
		t.updated(&n.Meta)
		t.replace(tabNodes, old, &n)
		return nil
	}
	if err := checkID(n.ID, "node"); err != nil {
		return err
	}
	t.created(&n.Meta)
	t.create(tabNodes, &n)
	t.event(model.Event{Kind: "node", ObjectID: n.ID, Object: n.Name, Reason: "Joined", Message: "node " + n.Name + " joined"})
	return nil
}

// checkBlock refuses blocks that overlap another node's or each other.
func (t *tx) checkBlock(nodeID string, blocks []netip.Prefix) *model.Error {
	for i, b := range blocks {
		if slices.ContainsFunc(blocks[:i], b.Overlaps) {
			return model.Errorf(model.KindConflict, "block_taken", "the node's own blocks overlap at %s", b).At("blocks")
		}
	}
	for o := range t.v.Nodes() {
		if o.ID == nodeID {
			continue
		}
		for _, theirs := range o.Blocks {
			if slices.ContainsFunc(blocks, theirs.Overlaps) {
				return model.Errorf(model.KindConflict, "block_taken", "addresses of the block %s belong to node %s", theirs, o.Name).At("blocks")
			}
		}
	}
	return nil
}

func (t *tx) setNodeStatus(c *command.SetNodeStatus) *model.Error {
	old, ok := t.v.Node(c.NodeID)
	if !ok {
		return notFound("node", c.NodeID)
	}
	n := *old
	n.Status = c.Status
	t.updated(&n.Meta)
	t.replace(tabNodes, old, &n)
	switch {
	case n.Status.Ready && !old.Status.Ready:
		t.event(model.Event{Kind: "node", ObjectID: n.ID, Object: n.Name, Reason: "Ready", Message: "node " + n.Name + " is ready"})
	case !n.Status.Ready && old.Status.Ready:
		t.event(model.Event{Kind: "node", ObjectID: n.ID, Object: n.Name, Reason: "NotReady", Warning: true,
			Message: "node " + n.Name + " is not ready" + because(n.Status.Conditions)})
	}
	return nil
}
