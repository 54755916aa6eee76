package command

import (
	"strings"

	"github.com/skerryhq/skerry/raft/model"
)

// PutUpstream adds a registry outside or changes how it is reached. Names are
// unique ("name_taken") and stay ("name_fixed"). The password is sealed before
// the command is made; as it stands here it becomes the row's. Another user
// name drops what was cached with the old one.
type PutUpstream struct {
	Head
	Upstream      model.Upstream `json:"upstream"`
	ExpectVersion uint64         `json:"expectVersion"`
}

// Type is TypePutUpstream.
func (*PutUpstream) Type() Type { return TypePutUpstream }

// Refs names the upstream.
func (c *PutUpstream) Refs() []Ref {
	return []Ref{{Kind: "upstream", ID: c.Upstream.ID, Name: c.Upstream.Name}}
}

// DeleteUpstream removes an upstream with every repository that was cached from
// it. What runs from it goes on.
type DeleteUpstream struct {
	Head
	ID            string `json:"id"`
	Name          string `json:"name,omitempty"` // for the audit only
	ExpectVersion uint64 `json:"expectVersion"`
}

// Type is TypeDeleteUpstream.
func (*DeleteUpstream) Type() Type { return TypeDeleteUpstream }

// Refs names the upstream.
func (c *DeleteUpstream) Refs() []Ref { return []Ref{{Kind: "upstream", ID: c.ID, Name: c.Name}} }

// CacheManifest stores a manifest that was fetched from an upstream in the
// upstream's repository, which is made if it is missing, and lets tags name it.
// Unlike PutManifest it asks for none of its refs: they are fetched when
// somebody wants them. UpstreamID may be model.DefaultUpstream, which needs no
// row as long as none bears that name.
type CacheManifest struct {
	Head
	UpstreamID   string         `json:"upstreamId"`
	RepositoryID string         `json:"repositoryId"` // of the repository, should it have to be made
	Name         string         `json:"name"`         // of the repository: "docker.io/library/nginx"
	Manifest     model.Manifest `json:"manifest"`     // its RepositoryID is filled in
	Tags         []string       `json:"tags,omitempty"`
}

// Type is TypeCacheManifest.
func (*CacheManifest) Type() Type { return TypeCacheManifest }

// Refs names the repository and the manifest.
func (c *CacheManifest) Refs() []Ref {
	return []Ref{{Kind: "repository", ID: c.RepositoryID, Name: c.Name},
		{Kind: "manifest", ID: c.Manifest.Descriptor.Digest, Name: strings.Join(c.Tags, " ")}}
}
