package image

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/rootfs"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/skerryhq/skerry/runtime/engine"
)

// CommitRequest says what to make an image of.
type CommitRequest struct {
	// Base is the image under the layer.
	Base digest.Digest
	// Snapshot is the engine's key of the layer.
	Snapshot        string
	Author, Comment string
	// Change may alter the new image's defaults; may be nil.
	Change func(*ocispec.ImageConfig)
}

// Commit makes an image of a container's layer and returns its digest. Nothing
// is kept when it fails. Errors: ErrNotFound, ErrDiskFull.
func (s *Store) Commit(ctx context.Context, req CommitRequest) (digest.Digest, error) {
	base, err := s.get(ctx, req.Base)
	if err != nil {
		return "", err
	}
	m, cfg, err := s.manifest(ctx, base.Target)
	if err != nil {
		return "", err
	}
	var out digest.Digest
	err = s.hold(ctx, func(ctx context.Context) error {
		layer, err := rootfs.CreateDiff(ctx, req.Snapshot, s.client.SnapshotService(engine.Snapshotter), s.client.DiffService(),
			diff.WithMediaType(ocispec.MediaTypeImageLayerGzip))
		if err != nil {
			return fmt.Errorf("pack the layer: %w", err)
		}
		id, err := images.GetDiffID(ctx, s.client.ContentStore(), layer)
		if err != nil {
			return fmt.Errorf("pack the layer: %w", err)
		}
		now := time.Now().UTC()
		cfg.Created, cfg.Author = &now, req.Author
		cfg.RootFS.DiffIDs = append(slices.Clone(cfg.RootFS.DiffIDs), id)
		cfg.History = append(slices.Clone(cfg.History), ocispec.History{Created: &now, Author: req.Author, Comment: req.Comment, CreatedBy: "skerry commit"})
		if req.Change != nil {
			req.Change(&cfg.Config)
		}
		config, err := s.document(ctx, ocispec.MediaTypeImageConfig, cfg)
		if err != nil {
			return err
		}
		manifest, err := s.document(ctx, ocispec.MediaTypeImageManifest, ocispec.Manifest{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
			Config: config, Layers: append(slices.Clone(m.Layers), layer),
		})
		if err != nil {
			return err
		}
		if err := s.label(ctx, manifest); err != nil {
			return err
		}
		if err := s.unpack(ctx, images.Image{Name: manifest.Digest.String(), Target: manifest}); err != nil {
			return err
		}
		if _, err := s.record(ctx, manifest); err != nil {
			return err
		}
		out = manifest.Digest
		return nil
	})
	if err != nil {
		return "", err
	}
	return out, nil
}

// document stores v as JSON.
func (s *Store) document(ctx context.Context, mediaType string, v any) (ocispec.Descriptor, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("encode %s: %w", mediaType, err)
	}
	dgst := digest.FromBytes(b)
	d, err := s.ingest(ctx, bytes.NewReader(b), int64(len(b)), dgst, "document-"+dgst.String())
	d.MediaType = mediaType
	return d, err
}
