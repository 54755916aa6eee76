package api

import (
	"context"
	"io"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/raft/model"
)

// RegistryOperations are the use cases around repositories. The gate knew the
// tenant that a request acts in; whether the caller may change this repository
// is decided here, by the repository's own tenant. Bytes freed are what the next
// collection gives back. appliance/operation implements it.
type RegistryOperations interface {
	CreateRepository(ctx context.Context, caller access.Caller, in RepositoryInput) (*model.Repository, error)
	UpdateRepository(ctx context.Context, caller access.Caller, r *model.Repository, expect uint64, spec model.RepositorySpec) (*model.Repository, error)
	DeleteRepository(ctx context.Context, caller access.Caller, r *model.Repository, expect uint64, force bool) (freed int64, err error)
	PutTag(ctx context.Context, caller access.Caller, r *model.Repository, tag, digest string) error
	DeleteTag(ctx context.Context, caller access.Caller, r *model.Repository, tag string) (freed int64, err error)
	// DeleteManifest takes a tag or a digest.
	DeleteManifest(ctx context.Context, caller access.Caller, r *model.Repository, reference string, force bool) (freed int64, err error)
	// PushImage takes the id, name or digest of an image, or a tag of a repository.
	PushImage(ctx context.Context, caller access.Caller, ref string, in PushInput, report Report) (*PushResult, error)
	FreesImage(ctx context.Context, img *model.Image) (int64, error)
	FreesManifest(ctx context.Context, r *model.Repository, digest string) (int64, error)
}

// RegistryNode is this node's part of the registry.
type RegistryNode interface {
	// Address says how clients reach and trust it.
	Address() RegistryAddress
	Usage(ctx context.Context) (RegistryUsage, error)
	// Collect gives up what nothing needs, without the grace period.
	Collect(ctx context.Context) (CollectResult, error)
	// ManifestConfig reads configuration and layers of the image that a manifest
	// or index is, for this node's platform. Errors: KindNotFound where it is no
	// image or not for this platform.
	ManifestConfig(ctx context.Context, d model.Descriptor) (*ImageConfig, []ImageLayer, error)
	// ExportManifest writes an OCI layout tar with a docker manifest beside it;
	// name is the image's name in it.
	ExportManifest(ctx context.Context, d model.Descriptor, name string, w io.Writer) error
}

// RegistryAddress is where the registry is and whom its certificates come from.
type RegistryAddress struct {
	Hosts         []string // host:port, the best first; at least one
	TrustHost     string   // the best one whose certificate is of the authority below
	CAPEM         string
	CAFingerprint string
}

// RegistryUsage is what the registry holds on a node.
type RegistryUsage struct {
	Blobs            int
	Bytes            int64
	ReclaimableBytes int64
	Uploads          int // not finished
}
