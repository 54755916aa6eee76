package command

import (
	"strings"

	"github.com/skerryhq/skerry/raft/model"
)

// PutRepository makes a repository or changes its visibility, description and
// labels. Names are unique within a tenant ("name_taken") and stay; tenant,
// upstream and who made it stay too ("repository_fixed").
type PutRepository struct {
	Head
	Repository    model.Repository `json:"repository"`
	ExpectVersion uint64           `json:"expectVersion"`
}

// Type is TypePutRepository.
func (*PutRepository) Type() Type { return TypePutRepository }

// Refs names the repository.
func (c *PutRepository) Refs() []Ref {
	return []Ref{{Kind: "repository", ID: c.Repository.ID, Name: c.Repository.Name}}
}

// DeleteRepository deletes a repository with its tags, manifests and links to
// blobs. What runs from it goes on: nodes keep content that a container needs.
type DeleteRepository struct {
	Head
	ID            string `json:"id"`
	Path          string `json:"path,omitempty"` // "tenant/name", for the audit only
	ExpectVersion uint64 `json:"expectVersion"`
}

// Type is TypeDeleteRepository.
func (*DeleteRepository) Type() Type { return TypeDeleteRepository }

// Refs names the repository.
func (c *DeleteRepository) Refs() []Ref { return []Ref{{Kind: "repository", ID: c.ID, Name: c.Path}} }

// PutManifest stores a manifest and lets tags name it, all or nothing. A
// manifest that is there already only gets the tags; who pushed it first and
// when stays. Every ref must be in the same repository: as a manifest, or as a
// linked blob of that very size ("blob_unknown", "size_differs"). The subject
// may be missing.
//
// PushedAt and PushedBy are filled in from the origin.
type PutManifest struct {
	Head
	Path     string         `json:"path,omitempty"` // of the repository, for the audit only
	Manifest model.Manifest `json:"manifest"`
	Tags     []string       `json:"tags,omitempty"`
}

// Type is TypePutManifest.
func (*PutManifest) Type() Type { return TypePutManifest }

// Refs names the repository and the manifest.
func (c *PutManifest) Refs() []Ref {
	return []Ref{{Kind: "repository", ID: c.Manifest.RepositoryID, Name: c.Path},
		{Kind: "manifest", ID: c.Manifest.Descriptor.Digest, Name: strings.Join(c.Tags, " ")}}
}

// PutTag lets a tag name a manifest that the repository has
// ("manifest_unknown").
type PutTag struct {
	Head
	Path         string `json:"path,omitempty"` // of the repository, for the audit only
	RepositoryID string `json:"repositoryId"`
	Name         string `json:"name"`
	Digest       string `json:"digest"`
}

// Type is TypePutTag.
func (*PutTag) Type() Type { return TypePutTag }

// Refs names the repository and the tag.
func (c *PutTag) Refs() []Ref {
	return []Ref{{Kind: "repository", ID: c.RepositoryID, Name: c.Path}, {Kind: "tag", ID: c.Name, Name: c.Digest}}
}

// DeleteTag deletes a tag; the manifest stays.
type DeleteTag struct {
	Head
	Path         string `json:"path,omitempty"` // of the repository, for the audit only
	RepositoryID string `json:"repositoryId"`
	Name         string `json:"name"`
}

// Type is TypeDeleteTag.
func (*DeleteTag) Type() Type { return TypeDeleteTag }

// Refs names the repository and the tag.
func (c *DeleteTag) Refs() []Ref {
	return []Ref{{Kind: "repository", ID: c.RepositoryID, Name: c.Path}, {Kind: "tag", ID: c.Name}}
}

// DeleteManifest deletes a manifest and the tags that name it; refused while an
// index in the same repository needs it, or, with OnlyUntagged, a tag names it
// ("manifest_in_use").
type DeleteManifest struct {
	Head
	Path         string `json:"path,omitempty"` // of the repository, for the audit only
	RepositoryID string `json:"repositoryId"`
	Digest       string `json:"digest"`
	OnlyUntagged bool   `json:"onlyUntagged,omitempty"`
}

// Type is TypeDeleteManifest.
func (*DeleteManifest) Type() Type { return TypeDeleteManifest }

// Refs names the repository and the manifest.
func (c *DeleteManifest) Refs() []Ref {
	return []Ref{{Kind: "repository", ID: c.RepositoryID, Name: c.Path}, {Kind: "manifest", ID: c.Digest}}
}

// LinkBlobs says that repositories hold blobs whose bytes somebody proved to
// have: all links or none. One that is there already becomes young again.
// LinkedAt is filled in from the origin.
type LinkBlobs struct {
	Head
	Links []model.BlobLink `json:"links"`
}

// Type is TypeLinkBlobs.
func (*LinkBlobs) Type() Type { return TypeLinkBlobs }

// Refs names the blobs.
func (c *LinkBlobs) Refs() []Ref {
	out := make([]Ref, len(c.Links))
	for i := range c.Links {
		out[i] = Ref{Kind: "blob", ID: c.Links[i].Digest, Name: c.Links[i].RepositoryID}
	}
	return out
}

// MountBlob links a blob of one repository into another, if it is still in the
// first ("blob_unknown"). Whether the caller may read the first is for the
// registry to say.
type MountBlob struct {
	Head
	FromID       string `json:"fromId"`
	RepositoryID string `json:"repositoryId"`
	Digest       string `json:"digest"`
}

// Type is TypeMountBlob.
func (*MountBlob) Type() Type { return TypeMountBlob }

// Refs names the blob.
func (c *MountBlob) Refs() []Ref {
	return []Ref{{Kind: "blob", ID: c.Digest, Name: c.RepositoryID}}
}

// UnlinkBlobs takes links back. Items are judged one by one: one that a
// manifest of the repository needs ("blob_in_use"), or that was linked again
// since LinkedAt ("stale_version"), stays and is in Outcome.Refused; the others
// go. Links that are gone are passed over.
type UnlinkBlobs struct {
	Head
	Items []model.BlobLink `json:"items"` // as they were read; Size is ignored
}

// Type is TypeUnlinkBlobs.
func (*UnlinkBlobs) Type() Type { return TypeUnlinkBlobs }

// Refs names the blobs.
func (c *UnlinkBlobs) Refs() []Ref {
	out := make([]Ref, len(c.Items))
	for i := range c.Items {
		out[i] = Ref{Kind: "blob", ID: c.Items[i].Digest, Name: c.Items[i].RepositoryID}
	}
	return out
}
