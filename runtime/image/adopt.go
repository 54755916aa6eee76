package image

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// adopt turns blobs that are in the content store into an image: everything that
// this host needs must be there and be sound, references are labelled for the
// engine's garbage collection, the layers are unpacked, the record is written
// last. The caller holds a lease.
//
// held, unless nil, says which blobs whoever brings the image has shown: the
// content store is everybody's, and knowing a digest is no right to the content.
func (s *Store) adopt(ctx context.Context, target ocispec.Descriptor, lim Limits, strict bool, held func(digest.Digest) bool, progress func(Progress)) error {
	if !images.IsManifestType(target.MediaType) && !images.IsIndexType(target.MediaType) {
		return refuse("image %s: its type %q is neither a manifest nor an index", target.Digest, clip(target.MediaType))
	}
	cs := s.client.ContentStore()
	m, cfg, err := s.manifest(ctx, target)
	if err != nil {
		if errors.Is(err, ErrRefused) || errors.Is(err, ErrPlatform) || !errdefs.IsNotFound(err) {
			return err
		}
		return refuse("image %s is incomplete: %v", target.Digest, err)
	}
	if err := s.fits(target, cfg); err != nil {
		return err
	}
	if held != nil {
		for _, part := range append([]ocispec.Descriptor{m.Config}, m.Layers...) {
			if !held(part.Digest) {
				where := "in the archive"
				if !strict {
					where = "what the registry sent"
				}
				return refuse("image %s: its part %s is not %s", target.Digest, part.Digest, where)
			}
		}
	}
	var total int64
	for _, l := range m.Layers {
		total += l.Size
	}
	for _, l := range m.Layers {
		if !images.IsLayerType(l.MediaType) {
			return refuse("image %s: layer %s has the type %q, which is not a file system layer", target.Digest, l.Digest, clip(l.MediaType))
		}
		info, err := cs.Info(ctx, l.Digest)
		if err != nil || info.Size != l.Size {
			return refuse("image %s: layer %s of %d bytes is missing", target.Digest, l.Digest, l.Size)
		}
	}
	if err := s.label(ctx, target); err != nil {
		return err
	}
	if progress != nil {
		progress(Progress{Step: "unpack", Item: target.Digest.String(), Done: total, Total: total})
	}
	if err := s.unpackChecked(ctx, target, m, cfg, lim, strict); err != nil {
		return err
	}
	_, err = s.record(ctx, target)
	return err
}

// label writes the references from each document to its children, which is what
// keeps the children from the garbage collection. Platforms whose manifests are
// not here are skipped.
func (s *Store) label(ctx context.Context, target ocispec.Descriptor) error {
	cs := s.client.ContentStore()
	present := images.HandlerFunc(func(ctx context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		if !images.IsManifestType(d.MediaType) && !images.IsIndexType(d.MediaType) {
			return nil, nil
		}
		if _, err := cs.Info(ctx, d.Digest); err != nil {
			if errdefs.IsNotFound(err) {
				return nil, images.ErrSkipDesc
			}
			return nil, err
		}
		return images.Children(ctx, cs, d)
	})
	if err := images.Walk(ctx, images.SetChildrenLabels(cs, present), target); err != nil {
		return fmt.Errorf("label the parts of image %s: %w", target.Digest, err)
	}
	return nil
}
