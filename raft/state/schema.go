package state

import (
	"encoding/binary"
	"errors"

	"github.com/hashicorp/go-memdb"

	"github.com/skerryhq/skerry/raft/model"
)

// The tables. The names are in every snapshot.
const (
	tabMeta         = "meta"
	tabCluster      = "cluster"
	tabTenants      = "tenants"
	tabEnvironments = "environments"
	tabNodes        = "nodes"
	tabUsers        = "users"
	tabTokens       = "tokens"
	tabSessions     = "sessions"
	tabApps         = "apps"
	tabRevisions    = "revisions"
	tabServices     = "services"
	tabPorts        = "ports"
	tabContainers   = "containers"
	tabVolumes      = "volumes"
	tabImages       = "images"
	tabRepositories = "repositories"
	tabManifests    = "manifests"
	tabTags         = "tags"
	tabBlobLinks    = "bloblinks"
	tabUpstreams    = "upstreams"
	tabAddresses    = "addresses"
	tabJoinTokens   = "jointokens"
	tabRemovedNodes = "removednodes"
	tabOrphans      = "orphans"
	tabEvents       = "events"

	tabByName    = "containersbyname"    // groups; made from the containers, in no snapshot
	tabByService = "containersbyservice" // likewise
	tabByNode    = "containersbynode"    // likewise
)

// The indexes. Every one of them is written anew with its object, so a table has
// only those that something on a hot path needs. Keys are parts that each end with a zero byte, so that no part
// can be mistaken for the beginning of another.
const (
	idxID      = "id"
	idxName    = "name"   // name, id: the order of listings of what belongs to the platform
	idxTenant  = "tenant" // tenant, name, id: the order of listings of what tenants own
	idxEnv     = "environment"
	idxUser    = "user"
	idxHash    = "hash"
	idxExpires = "expires"
	idxApp     = "app"
	idxService = "service"
	idxNode    = "node"
	idxVolume  = "volume"
	idxDigest  = "digest"
	idxRef     = "ref"
	idxSubject = "subject"
)

// key joins parts.
func key(parts ...string) []byte {
	n := 0
	for _, p := range parts {
		n += len(p) + 1
	}
	b := make([]byte, 0, n)
	for _, p := range parts {
		b = append(b, p...)
		b = append(b, 0)
	}
	return b
}

func keyNumber(parts []byte, n uint64) []byte { return binary.BigEndian.AppendUint64(parts, n) }

func portKey(environmentID string, p model.Protocol, number uint16) []byte {
	return binary.BigEndian.AppendUint16(key(environmentID, string(p)), number)
}

var errArgs = errors.New("an index takes one []byte")

// by is an index whose key a function computes; a nil key leaves the object
// out.
type by[T any] func(*T) []byte

// FromObject is called by memdb.
func (f by[T]) FromObject(o any) (bool, []byte, error) {
	k := f(o.(*T))
	return k != nil, k, nil
}

// FromArgs is called by memdb.
func (f by[T]) FromArgs(args ...any) ([]byte, error) { return fromArgs(args) }

// byMany is an index with several keys for one object.
type byMany[T any] func(*T) [][]byte

// FromObject is called by memdb.
func (f byMany[T]) FromObject(o any) (bool, [][]byte, error) {
	k := f(o.(*T))
	return len(k) > 0, k, nil
}

// FromArgs is called by memdb.
func (f byMany[T]) FromArgs(args ...any) ([]byte, error) { return fromArgs(args) }

func fromArgs(args []any) ([]byte, error) {
	if len(args) == 1 {
		if k, ok := args[0].([]byte); ok {
			return k, nil
		}
	}
	return nil, errArgs
}

// index describes one index. Every key but a "many" one is unique because it
// ends with the object's id.
func index[T any](name string, f func(*T) []byte) *memdb.IndexSchema {
	return &memdb.IndexSchema{Name: name, Unique: true, AllowMissing: name != idxID, Indexer: by[T](f)}
}

func table(name string, indexes ...*memdb.IndexSchema) *memdb.TableSchema {
	t := &memdb.TableSchema{Name: name, Indexes: map[string]*memdb.IndexSchema{}}
	for _, x := range indexes {
		t.Indexes[x.Name] = x
	}
	return t
}

func schema() *memdb.DBSchema {
	s := &memdb.DBSchema{Tables: map[string]*memdb.TableSchema{}}
	for _, t := range []*memdb.TableSchema{
		table(tabMeta, index(idxID, func(*meta) []byte { return key("meta") })),
		table(tabCluster, index(idxID, func(*model.Cluster) []byte { return key("cluster") })),
		table(tabTenants,
			index(idxID, func(o *model.Tenant) []byte { return key(o.ID) }),
			index(idxName, func(o *model.Tenant) []byte { return key(o.Name, o.ID) })),
		table(tabEnvironments,
			index(idxID, func(o *model.Environment) []byte { return key(o.ID) }),
			index(idxName, func(o *model.Environment) []byte { return key(o.Name, o.ID) })),
		table(tabNodes,
			index(idxID, func(o *model.Node) []byte { return key(o.ID) }),
			index(idxName, func(o *model.Node) []byte { return key(o.Name, o.ID) }),
			index(idxEnv, func(o *model.Node) []byte { return key(o.EnvironmentID, o.Name, o.ID) })),
		table(tabUsers,
			index(idxID, func(o *model.User) []byte { return key(o.ID) }),
			index(idxName, func(o *model.User) []byte { return key(o.Name, o.ID) })),
		table(tabTokens,
			index(idxID, func(o *model.APIToken) []byte { return key(o.ID) }),
			index(idxName, func(o *model.APIToken) []byte { return key(o.Name, o.ID) }),
			index(idxHash, func(o *model.APIToken) []byte { return append([]byte(nil), o.Hash...) }),
			index(idxUser, func(o *model.APIToken) []byte { return key(o.UserID, o.Name, o.ID) })),
		table(tabSessions,
			index(idxID, func(o *model.Session) []byte { return key(o.ID) }),
			index(idxUser, func(o *model.Session) []byte { return key(o.UserID, o.ID) }),
			index(idxExpires, func(o *model.Session) []byte {
				return append(keyNumber(nil, uint64(o.ExpiresAt.Unix())), key(o.ID)...)
			})),
		table(tabApps,
			index(idxID, func(o *model.App) []byte { return key(o.ID) }),
			index(idxTenant, func(o *model.App) []byte { return key(o.TenantID, o.Name, o.ID) })),
		table(tabRevisions,
			index(idxID, func(o *model.Revision) []byte { return keyNumber(key(o.AppID), o.Number) })),
		table(tabServices,
			index(idxID, func(o *model.Service) []byte { return key(o.ID) }),
			index(idxTenant, func(o *model.Service) []byte { return key(o.TenantID, o.Name, o.ID) }),
			index(idxApp, func(o *model.Service) []byte { return key(o.AppID, o.Name, o.ID) }),
			many(idxVolume, func(o *model.Service) [][]byte { return volumeKeys(o.Spec.Container.Mounts) })),
		table(tabPorts,
			index(idxID, func(o *model.Port) []byte { return portKey(o.EnvironmentID, o.Protocol, o.HostPort) }),
			index(idxService, func(o *model.Port) []byte {
				return append(key(o.ServiceID), portKey(o.EnvironmentID, o.Protocol, o.HostPort)...)
			})),
		table(tabContainers,
			index(idxID, func(o *model.Container) []byte { return key(o.ID) }),
			many(idxVolume, func(o *model.Container) [][]byte { return volumeKeys(o.Spec.Mounts) })),
		table(tabVolumes,
			index(idxID, func(o *model.Volume) []byte { return key(o.ID) }),
			index(idxTenant, func(o *model.Volume) []byte { return key(o.TenantID, o.Name, o.ID) })),
		table(tabAddresses, index(idxID, func(o *addressBlock) []byte { return o.Base.AsSlice() })),
		table(tabByName, index(idxID, func(o *group) []byte { return key(o.Of, o.Low) })),
		table(tabByService, index(idxID, func(o *group) []byte { return key(o.Of, o.Low) })),
		table(tabByNode, index(idxID, func(o *group) []byte { return key(o.Of, o.Low) })),
		table(tabImages,
			index(idxID, func(o *model.Image) []byte { return key(o.ID) }),
			index(idxTenant, func(o *model.Image) []byte { return key(o.TenantID, o.Name, o.ID) })),
		table(tabRepositories,
			index(idxID, func(o *model.Repository) []byte { return key(o.ID) }),
			index(idxTenant, func(o *model.Repository) []byte { return key(o.TenantID, o.Name, o.ID) })),
		table(tabManifests,
			index(idxID, func(o *model.Manifest) []byte { return key(o.RepositoryID, o.Descriptor.Digest) }),
			index(idxDigest, func(o *model.Manifest) []byte { return key(o.Descriptor.Digest, o.RepositoryID) }),
			index(idxSubject, func(o *model.Manifest) []byte {
				if o.Subject == "" {
					return nil
				}
				return key(o.RepositoryID, o.Subject, o.Descriptor.Digest)
			}),
			many(idxRef, refKeys)),
		table(tabTags,
			index(idxID, func(o *model.Tag) []byte { return key(o.RepositoryID, o.Name) }),
			index(idxDigest, func(o *model.Tag) []byte { return key(o.RepositoryID, o.Digest, o.Name) })),
		table(tabBlobLinks,
			index(idxID, func(o *model.BlobLink) []byte { return key(o.RepositoryID, o.Digest) }),
			index(idxDigest, func(o *model.BlobLink) []byte { return key(o.Digest, o.RepositoryID) })),
		table(tabUpstreams,
			index(idxID, func(o *model.Upstream) []byte { return key(o.ID) }),
			index(idxName, func(o *model.Upstream) []byte { return key(o.Name, o.ID) })),
		table(tabJoinTokens, index(idxID, func(o *model.JoinToken) []byte { return key(o.ID) })),
		table(tabRemovedNodes, index(idxID, func(o *model.RemovedNode) []byte { return key(o.ID) })),
		table(tabOrphans,
			index(idxID, func(o *model.Orphan) []byte { return key(o.ID) }),
			index(idxNode, func(o *model.Orphan) []byte { return key(o.NodeID, o.ID) })),
		table(tabEvents, index(idxID, func(o *eventChunk) []byte { return keyNumber(nil, o.First) })),
	} {
		s.Tables[t.Name] = t
	}
	return s
}

// many describes an index with several keys for one object; memdb adds the id.
func many[T any](name string, f func(*T) [][]byte) *memdb.IndexSchema {
	return &memdb.IndexSchema{Name: name, AllowMissing: true, Indexer: byMany[T](f)}
}

// volumeKeys gives the key of every volume that mounts name.
func volumeKeys(mounts []model.Mount) [][]byte {
	var out [][]byte
	for i := range mounts {
		if mounts[i].VolumeID != "" {
			out = append(out, key(mounts[i].VolumeID))
		}
	}
	return out
}

// refKeys gives the key of everything that a manifest needs.
func refKeys(m *model.Manifest) [][]byte {
	out := make([][]byte, len(m.Refs))
	for i := range m.Refs {
		out[i] = key(m.RepositoryID, m.Refs[i].Digest)
	}
	return out
}

// meta is the single row about the store itself.
type meta struct {
	Index  uint64 `json:"index"`  // of the last entry applied
	Events int    `json:"events"` // rows in the table of events
}

// eventChunk is a run of events, the oldest first. Events come and go by the
// chunk, which costs far less than a row each.
type eventChunk struct {
	First  uint64         `json:"first"`  // Seq of its first event
	Events []*model.Event `json:"events"` // only ever grows, by the one goroutine that applies
}
