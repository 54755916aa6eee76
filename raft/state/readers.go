package state

import (
	"iter"
	"net/netip"

	"github.com/skerryhq/skerry/raft/model"
)

var (
	tenants      = named[model.Tenant]{tabTenants, "tenant", func(o *model.Tenant) *model.Meta { return &o.Meta }, nil}
	environments = named[model.Environment]{tabEnvironments, "environment", func(o *model.Environment) *model.Meta { return &o.Meta }, nil}
	nodes        = named[model.Node]{tabNodes, "node", func(o *model.Node) *model.Meta { return &o.Meta }, nil}
	users        = named[model.User]{tabUsers, "user", func(o *model.User) *model.Meta { return &o.Meta }, nil}
	tokens       = named[model.APIToken]{tabTokens, "token", func(o *model.APIToken) *model.Meta { return &o.Meta }, nil}
	apps         = named[model.App]{tabApps, "app", func(o *model.App) *model.Meta { return &o.Meta }, func(o *model.App) string { return o.TenantID }}
	services     = named[model.Service]{tabServices, "service", func(o *model.Service) *model.Meta { return &o.Meta }, func(o *model.Service) string { return o.TenantID }}
	containers   = named[model.Container]{tabContainers, "container", func(o *model.Container) *model.Meta { return &o.Meta }, func(o *model.Container) string { return o.TenantID }}
	volumes      = named[model.Volume]{tabVolumes, "volume", func(o *model.Volume) *model.Meta { return &o.Meta }, func(o *model.Volume) string { return o.TenantID }}
	images       = named[model.Image]{tabImages, "image", func(o *model.Image) *model.Meta { return &o.Meta }, func(o *model.Image) string { return o.TenantID }}
)

// Cluster gives the cluster's settings; false before init.
func (v *View) Cluster() (*model.Cluster, bool) {
	return first[model.Cluster](v, tabCluster, idxID, key("cluster"))
}

// FeatureLevel is the level that the cluster is at; 0 before init.
func (v *View) FeatureLevel() uint64 {
	if c, ok := v.Cluster(); ok {
		return c.FeatureLevel
	}
	return 0
}

// Tenant finds a tenant by id.
func (v *View) Tenant(id string) (*model.Tenant, bool) {
	return first[model.Tenant](v, tabTenants, idxID, key(id))
}

// TenantByName finds a tenant by name.
func (v *View) TenantByName(name string) (*model.Tenant, bool) {
	return firstPrefix[model.Tenant](v, tabTenants, idxName, key(name))
}

// FindTenant finds a tenant by id or name. Errors: "not_found".
func (v *View) FindTenant(ref string) (*model.Tenant, error) {
	return tenants.find(v, AllTenants(), ref)
}

// ListTenants gives a page of the tenants that keep accepts (nil: all).
func (v *View) ListTenants(p Page, keep func(*model.Tenant) bool) (List[model.Tenant], error) {
	return tenants.list(v, AllTenants(), p, keep)
}

// Tenants walks all tenants by name.
func (v *View) Tenants() iter.Seq[*model.Tenant] {
	return under[model.Tenant](v, tabTenants, idxName, nil)
}

// Environment finds an environment by id.
func (v *View) Environment(id string) (*model.Environment, bool) {
	return first[model.Environment](v, tabEnvironments, idxID, key(id))
}

// FindEnvironment finds an environment by id or name. Errors: "not_found".
func (v *View) FindEnvironment(ref string) (*model.Environment, error) {
	return environments.find(v, AllTenants(), ref)
}

// Environments walks all environments by name.
func (v *View) Environments() iter.Seq[*model.Environment] {
	return under[model.Environment](v, tabEnvironments, idxName, nil)
}

// Node finds a node by id.
func (v *View) Node(id string) (*model.Node, bool) {
	return first[model.Node](v, tabNodes, idxID, key(id))
}

// FindNode finds a node by id or name. Errors: "not_found".
func (v *View) FindNode(ref string) (*model.Node, error) { return nodes.find(v, AllTenants(), ref) }

// ListNodes gives a page of the nodes that keep accepts (nil: all).
func (v *View) ListNodes(p Page, keep func(*model.Node) bool) (List[model.Node], error) {
	return nodes.list(v, AllTenants(), p, keep)
}

// Nodes walks all nodes by name.
func (v *View) Nodes() iter.Seq[*model.Node] { return under[model.Node](v, tabNodes, idxName, nil) }

// NodesOf walks the nodes of an environment by name.
func (v *View) NodesOf(environmentID string) iter.Seq[*model.Node] {
	return under[model.Node](v, tabNodes, idxEnv, key(environmentID))
}

// User finds a user by id.
func (v *View) User(id string) (*model.User, bool) {
	return first[model.User](v, tabUsers, idxID, key(id))
}

// UserByName finds a user by name.
func (v *View) UserByName(name string) (*model.User, bool) {
	return firstPrefix[model.User](v, tabUsers, idxName, key(name))
}

// FindUser finds a user by id or name. Errors: "not_found".
func (v *View) FindUser(ref string) (*model.User, error) { return users.find(v, AllTenants(), ref) }

// ListUsers gives a page of the users that keep accepts (nil: all).
func (v *View) ListUsers(p Page, keep func(*model.User) bool) (List[model.User], error) {
	return users.list(v, AllTenants(), p, keep)
}

// Users walks all users by name.
func (v *View) Users() iter.Seq[*model.User] { return under[model.User](v, tabUsers, idxName, nil) }

// Token finds an API token by id.
func (v *View) Token(id string) (*model.APIToken, bool) {
	return first[model.APIToken](v, tabTokens, idxID, key(id))
}

// TokenByHash finds an API token by the sha256 of its secret. Whether it has
// expired is for the caller to say.
func (v *View) TokenByHash(hash []byte) (*model.APIToken, bool) {
	if len(hash) == 0 {
		return nil, false
	}
	return first[model.APIToken](v, tabTokens, idxHash, hash)
}

// ListTokens gives a page of the API tokens that keep accepts (nil: all).
func (v *View) ListTokens(p Page, keep func(*model.APIToken) bool) (List[model.APIToken], error) {
	return tokens.list(v, AllTenants(), p, keep)
}

// TokensOf walks a user's API tokens by name.
func (v *View) TokensOf(userID string) iter.Seq[*model.APIToken] {
	return under[model.APIToken](v, tabTokens, idxUser, key(userID))
}

// Session finds a session by id. Whether it has expired is for the caller to
// say.
func (v *View) Session(id string) (*model.Session, bool) {
	return first[model.Session](v, tabSessions, idxID, key(id))
}

// SessionsOf walks a user's sessions.
func (v *View) SessionsOf(userID string) iter.Seq[*model.Session] {
	return under[model.Session](v, tabSessions, idxUser, key(userID))
}

// Sessions walks all sessions, those that expire first first.
func (v *View) Sessions() iter.Seq[*model.Session] {
	return under[model.Session](v, tabSessions, idxExpires, nil)
}

// App finds an app by id.
func (v *View) App(id string) (*model.App, bool) {
	return first[model.App](v, tabApps, idxID, key(id))
}

// AppByName finds an app by its name within a tenant.
func (v *View) AppByName(tenantID, name string) (*model.App, bool) {
	return firstPrefix[model.App](v, tabApps, idxTenant, key(tenantID, name))
}

// FindApp finds an app in scope by id or name. Errors: "not_found",
// "name_ambiguous".
func (v *View) FindApp(s Scope, ref string) (*model.App, error) { return apps.find(v, s, ref) }

// ListApps gives a page of the apps in scope that keep accepts (nil: all).
func (v *View) ListApps(s Scope, p Page, keep func(*model.App) bool) (List[model.App], error) {
	return apps.list(v, s, p, keep)
}

// Apps walks all apps by tenant, then name.
func (v *View) Apps() iter.Seq[*model.App] { return under[model.App](v, tabApps, idxTenant, nil) }

// Revision finds one revision of an app.
func (v *View) Revision(appID string, number uint64) (*model.Revision, bool) {
	return first[model.Revision](v, tabRevisions, idxID, keyNumber(key(appID), number))
}

// Revisions walks an app's kept revisions, the oldest first.
func (v *View) Revisions(appID string) iter.Seq[*model.Revision] {
	return under[model.Revision](v, tabRevisions, idxID, key(appID))
}

// Service finds a service by id.
func (v *View) Service(id string) (*model.Service, bool) {
	return first[model.Service](v, tabServices, idxID, key(id))
}

// ServiceByName finds a service by its name within an app.
func (v *View) ServiceByName(appID, name string) (*model.Service, bool) {
	return firstPrefix[model.Service](v, tabServices, idxApp, key(appID, name))
}

// ListServices gives a page of the services in scope that keep accepts (nil:
// all).
func (v *View) ListServices(s Scope, p Page, keep func(*model.Service) bool) (List[model.Service], error) {
	return services.list(v, s, p, keep)
}

// Services walks all services by tenant, then name.
func (v *View) Services() iter.Seq[*model.Service] {
	return under[model.Service](v, tabServices, idxTenant, nil)
}

// ServicesOf walks an app's services by name.
func (v *View) ServicesOf(appID string) iter.Seq[*model.Service] {
	return under[model.Service](v, tabServices, idxApp, key(appID))
}

// Port finds the published port with a number in an environment.
func (v *View) Port(environmentID string, p model.Protocol, number uint16) (*model.Port, bool) {
	return first[model.Port](v, tabPorts, idxID, portKey(environmentID, p, number))
}

// Ports walks all published ports.
func (v *View) Ports() iter.Seq[*model.Port] { return under[model.Port](v, tabPorts, idxID, nil) }

// PortsOfService walks the published ports of a service.
func (v *View) PortsOfService(serviceID string) iter.Seq[*model.Port] {
	return under[model.Port](v, tabPorts, idxService, key(serviceID))
}

// Container finds a container by id.
func (v *View) Container(id string) (*model.Container, bool) {
	if v.tx != nil {
		return v.tx.w.container(id)
	}
	return first[model.Container](v, tabContainers, idxID, key(id))
}

// ContainerByName finds a container by its name within a tenant.
func (v *View) ContainerByName(tenantID, name string) (*model.Container, bool) {
	if v.tx != nil {
		return v.tx.w.named(tenantID, name)
	}
	g, ok := covering(v.txn, tabByName, tenantID, name)
	if v.ws != nil {
		watched := key(tenantID)
		if ok { // who comes by that name comes into this part
			watched = key(g.Of, g.Low)
		}
		it, err := v.txn.Get(tabByName, idxID, watched)
		must(err)
		v.ws.Add(it.WatchCh())
	}
	if !ok {
		return nil, false
	}
	i, ok := g.search(groupings[byName].by, name)
	if !ok {
		return nil, false
	}
	return g.Rows[i], true
}

// FindContainer finds a container in scope by id or name. Errors: "not_found",
// "name_ambiguous".
func (v *View) FindContainer(s Scope, ref string) (*model.Container, error) {
	return containers.find(v, s, ref)
}

// ListContainers gives a page of the containers in scope that keep accepts
// (nil: all).
func (v *View) ListContainers(s Scope, p Page, keep func(*model.Container) bool) (List[model.Container], error) {
	return containers.list(v, s, p, keep)
}

// Containers walks all containers by tenant, then name.
func (v *View) Containers() iter.Seq[*model.Container] {
	return v.walk(nil, nil)
}

// ContainersOfApp walks an app's containers by service, then slot.
func (v *View) ContainersOfApp(appID string) iter.Seq[*model.Container] {
	return func(yield func(*model.Container) bool) {
		for s := range v.ServicesOf(appID) { // a service stays as long as it has containers
			for c := range v.ContainersOfService(s.ID) {
				if !yield(c) {
					return
				}
			}
		}
	}
}

// ContainersOfService walks a service's containers by slot.
func (v *View) ContainersOfService(serviceID string) iter.Seq[*model.Container] {
	return v.grouped(byService, serviceID, bySlot)
}

// ContainersOnNode walks the containers that are assigned to a node, by name.
func (v *View) ContainersOnNode(nodeID string) iter.Seq[*model.Container] {
	return v.grouped(byNode, nodeID, inNames)
}

// ContainerByAddress finds the container that has an address.
func (v *View) ContainerByAddress(a netip.Addr) (*model.Container, bool) {
	if id, ok := v.owner(a); ok {
		return v.Container(id)
	}
	return nil, false
}

// ContainersOfVolume walks the containers that mount a volume.
func (v *View) ContainersOfVolume(volumeID string) iter.Seq[*model.Container] {
	return under[model.Container](v, tabContainers, idxVolume, key(volumeID))
}

// ServicesOfVolume walks the services whose containers mount a volume.
func (v *View) ServicesOfVolume(volumeID string) iter.Seq[*model.Service] {
	return under[model.Service](v, tabServices, idxVolume, key(volumeID))
}

// Volume finds a volume by id.
func (v *View) Volume(id string) (*model.Volume, bool) {
	return first[model.Volume](v, tabVolumes, idxID, key(id))
}

// VolumeByName finds a volume by its name within a tenant.
func (v *View) VolumeByName(tenantID, name string) (*model.Volume, bool) {
	return firstPrefix[model.Volume](v, tabVolumes, idxTenant, key(tenantID, name))
}

// FindVolume finds a volume in scope by id or name. Errors: "not_found",
// "name_ambiguous".
func (v *View) FindVolume(s Scope, ref string) (*model.Volume, error) { return volumes.find(v, s, ref) }

// ListVolumes gives a page of the volumes in scope that keep accepts (nil:
// all).
func (v *View) ListVolumes(s Scope, p Page, keep func(*model.Volume) bool) (List[model.Volume], error) {
	return volumes.list(v, s, p, keep)
}

// Volumes walks all volumes by tenant, then name.
func (v *View) Volumes() iter.Seq[*model.Volume] {
	return under[model.Volume](v, tabVolumes, idxTenant, nil)
}

// VolumesOnNode walks the volumes of a node by tenant, then name.
func (v *View) VolumesOnNode(nodeID string) iter.Seq[*model.Volume] {
	return func(yield func(*model.Volume) bool) {
		for o := range v.Volumes() {
			if o.NodeID == nodeID && !yield(o) {
				return
			}
		}
	}
}

// Image finds an image by id.
func (v *View) Image(id string) (*model.Image, bool) {
	return first[model.Image](v, tabImages, idxID, key(id))
}

// ImageByName finds a tenant's own image by full name; public ones of other
// tenants are found by ImageFor.
func (v *View) ImageByName(tenantID, name string) (*model.Image, bool) {
	return firstPrefix[model.Image](v, tabImages, idxTenant, key(tenantID, name))
}

// ImageFor finds the image that a name means to a tenant: its own, else a
// public one.
func (v *View) ImageFor(tenantID, name string) (*model.Image, bool) {
	if o, ok := v.ImageByName(tenantID, name); ok {
		return o, true
	}
	for t := range v.Tenants() {
		if o, ok := v.ImageByName(t.ID, name); ok && o.Public {
			return o, true
		}
	}
	return nil, false
}

// FindImage finds an image in scope by id or full name. Errors: "not_found",
// "name_ambiguous".
func (v *View) FindImage(s Scope, ref string) (*model.Image, error) { return images.find(v, s, ref) }

// ListImages gives a page of the images in scope, public ones included, that
// keep accepts (nil: all).
func (v *View) ListImages(s Scope, p Page, keep func(*model.Image) bool) (List[model.Image], error) {
	if s == (Scope{}) {
		return List[model.Image]{}, nil
	}
	return images.list(v, AllTenants(), p, func(o *model.Image) bool {
		return (o.Public || s.Covers(o.TenantID)) && (keep == nil || keep(o))
	})
}

// Images walks all images by tenant, then name.
func (v *View) Images() iter.Seq[*model.Image] {
	return under[model.Image](v, tabImages, idxTenant, nil)
}
