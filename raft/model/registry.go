package model

import "time"

// RegistryHost is the host in the full name of every image that is in the
// cluster's own registry, whatever name or address a client pushed it to:
// "skerry.internal/<tenant>/<repository>:<tag>". Names of nodes change, what a
// revision recorded must not.
const RegistryHost = "skerry.internal"

// LibraryTenant is the name of the tenant whose repositories stand behind
// everybody's: a name without a host means the caller's tenant, then library/,
// then the upstream. It is made with the first repository in it.
const LibraryTenant = "library"

// Visibility says who may read a repository.
type Visibility string

// The three visibilities.
const (
	VisibilityPublic  Visibility = "public"  // whoever reaches the registry, signed in or not
	VisibilityTenant  Visibility = "tenant"  // every member of the tenant; the default
	VisibilityPrivate Visibility = "private" // the user who made it, the tenant's owners, platform roles
)

// Repository is a named place for images in the cluster's own registry. Its
// full name is "<tenant name>/<Name>"; Name may hold slashes. The repository of
// an upstream's images has UpstreamID set, no tenant, and a Name that begins
// with the upstream's host ("docker.io/library/nginx").
type Repository struct {
	Meta
	TenantID   string         `json:"tenantId,omitempty"`
	UpstreamID string         `json:"upstreamId,omitempty"`
	CreatedBy  string         `json:"createdBy,omitempty"` // user id; empty for the local administrator and the platform
	Spec       RepositorySpec `json:"spec"`
}

// RepositorySpec is what a user says about a repository.
type RepositorySpec struct {
	Visibility  Visibility        `json:"visibility"`
	Description string            `json:"description,omitempty"` // plain text
	Labels      map[string]string `json:"labels,omitempty"`
}

// Descriptor names content by digest, as the OCI image specification does.
type Descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	Platform     string            `json:"platform,omitempty"` // "linux/arm64/v8"; of manifests
}

// The media types of manifests and of the indexes that list them.
const (
	MediaTypeOCIManifest    = "application/vnd.oci.image.manifest.v1+json"
	MediaTypeOCIIndex       = "application/vnd.oci.image.index.v1+json"
	MediaTypeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	MediaTypeDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// IsManifestType says whether a media type is one of a manifest or an index.
func IsManifestType(mediaType string) bool {
	return IsIndexType(mediaType) || mediaType == MediaTypeOCIManifest || mediaType == MediaTypeDockerManifest
}

// IsIndexType says whether a media type is one of an index.
func IsIndexType(mediaType string) bool {
	return mediaType == MediaTypeOCIIndex || mediaType == MediaTypeDockerList
}

// Manifest is a manifest or index in one repository. Its bytes are a blob; here
// is what the registry must know without reading them.
type Manifest struct {
	RepositoryID string     `json:"repositoryId"`
	Descriptor   Descriptor `json:"descriptor"` // annotations as in the manifest, for the referrers list
	// AnnotationsInBlob says that the annotations are too long to be kept here;
	// they are in the manifest's bytes only.
	AnnotationsInBlob bool         `json:"annotationsInBlob,omitempty"`
	Subject           string       `json:"subject,omitempty"`
	Refs              []Descriptor `json:"refs,omitempty"` // config, layers and manifests that it needs, each once
	PushedAt          time.Time    `json:"pushedAt"`
	PushedBy          string       `json:"pushedBy,omitempty"` // user name
}

// Tag is a name of a manifest in one repository.
type Tag struct {
	RepositoryID string    `json:"repositoryId"`
	Name         string    `json:"name"`
	Digest       string    `json:"digest"`
	UpdatedAt    time.Time `json:"updatedAt"`
	UpdatedBy    string    `json:"updatedBy,omitempty"` // user name
}

// BlobLink says that a repository holds a blob: only through it may the blob be
// read there. Having a digest is no permission.
type BlobLink struct {
	RepositoryID string    `json:"repositoryId"`
	Digest       string    `json:"digest"`
	Size         int64     `json:"size"`
	LinkedAt     time.Time `json:"linkedAt"`       // young ones that no manifest needs are kept for a while
	Used         bool      `json:"used,omitempty"` // a manifest has needed it since it was linked
}

// DefaultUpstream is the host of the upstream that is known without a row, and
// the UpstreamID of what is cached from it then. A row of that name wins.
const DefaultUpstream = "docker.io"

// Upstream is a registry outside that images may come from. Name is the host as
// it stands in image names ("docker.io", "registry.corp:5000").
type Upstream struct {
	Meta
	Spec     UpstreamSpec `json:"spec"`
	Password Sealed       `json:"password,omitempty"`
}

// UpstreamSpec is what an administrator says about an upstream.
type UpstreamSpec struct {
	// Endpoints are tried in order: base URLs such as "https://mirror.corp:5000";
	// empty means the host itself by https.
	Endpoints []string `json:"endpoints,omitempty"`
	Username  string   `json:"username,omitempty"`
	CA        string   `json:"ca,omitempty"`    // PEM, trusted beside the system's
	Proxy     string   `json:"proxy,omitempty"` // http, https or socks5 URL; empty means the environment's
	// TenantIDs are the tenants that this upstream serves; empty means all. What
	// was fetched with credentials is usable by these tenants only.
	TenantIDs []string `json:"tenantIds,omitempty"`
	Disabled  bool     `json:"disabled,omitempty"`
}

// Serves says whether the upstream serves a tenant.
func (u *Upstream) Serves(tenantID string) bool {
	if len(u.Spec.TenantIDs) == 0 {
		return true
	}
	for _, id := range u.Spec.TenantIDs {
		if id == tenantID {
			return true
		}
	}
	return false
}
