package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Summary is one line of the list of images.
type Summary struct {
	Digest digest.Digest
	// Size in bytes of what a registry would transfer for this host's platform.
	Size      int64
	CreatedAt time.Time // when it came to this host
}

// Layer is one layer of an image.
type Layer struct {
	Digest, DiffID digest.Digest
	MediaType      string
	// Size in bytes, compressed.
	Size int64
}

// Detail is what there is to know of one image.
type Detail struct {
	Summary
	// Config and History for this host's platform.
	Config  ocispec.ImageConfig
	History []ocispec.History
	// Built is when the image was made, zero when it does not say.
	Built    time.Time
	Author   string
	Platform string
	// Platforms lists every platform that the image names, whether its parts are
	// on this host or not.
	Platforms []string
	Layers    []Layer
}

// List returns the images of this host, ordered by digest.
func (s *Store) List(ctx context.Context) ([]Summary, error) {
	imgs, err := s.client.ImageService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	out := make([]Summary, 0, len(imgs))
	for _, img := range imgs {
		if digest.Digest(img.Name).Validate() != nil {
			continue // made by a build in progress, not by us
		}
		m, _, err := s.manifest(ctx, img.Target)
		if err != nil {
			if errors.Is(err, ErrPlatform) || errdefs.IsNotFound(err) {
				continue // removed meanwhile
			}
			return nil, err
		}
		out = append(out, Summary{Digest: img.Target.Digest, Size: transferSize(img.Target, m), CreatedAt: img.CreatedAt})
	}
	slices.SortFunc(out, func(a, b Summary) int { return compare(a.Digest, b.Digest) })
	return out, nil
}

func compare(a, b digest.Digest) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func transferSize(target ocispec.Descriptor, m ocispec.Manifest) int64 {
	n := target.Size + m.Config.Size
	for _, l := range m.Layers {
		n += l.Size
	}
	return n
}

// Inspect describes one image. Errors: ErrNotFound, ErrPlatform.
func (s *Store) Inspect(ctx context.Context, dgst digest.Digest) (Detail, error) {
	img, err := s.get(ctx, dgst)
	if err != nil {
		return Detail{}, err
	}
	m, cfg, err := s.manifest(ctx, img.Target)
	if err != nil {
		return Detail{}, err
	}
	d, err := s.detail(ctx, img.Target, m, cfg)
	d.CreatedAt = img.CreatedAt
	return d, err
}

func (s *Store) detail(ctx context.Context, target ocispec.Descriptor, m ocispec.Manifest, cfg ocispec.Image) (Detail, error) {
	d := Detail{
		Summary: Summary{Digest: target.Digest, Size: transferSize(target, m)},
		Config:  cfg.Config, History: cfg.History, Author: cfg.Author,
		Platform: platforms.Format(ocispec.Platform{OS: cfg.OS, Architecture: cfg.Architecture, Variant: cfg.Variant}),
	}
	if cfg.Created != nil {
		d.Built = *cfg.Created
	}
	for i, l := range m.Layers {
		d.Layers = append(d.Layers, Layer{Digest: l.Digest, DiffID: cfg.RootFS.DiffIDs[i], MediaType: l.MediaType, Size: l.Size})
	}
	var err error
	d.Platforms, err = s.platforms(ctx, target)
	return d, err
}

func (s *Store) platforms(ctx context.Context, target ocispec.Descriptor) ([]string, error) {
	if !images.IsIndexType(target.MediaType) {
		ps, err := images.Platforms(ctx, s.client.ContentStore(), target)
		if err != nil {
			return nil, fmt.Errorf("read the platform of image %s: %w", target.Digest, err)
		}
		return formatPlatforms(ps), nil
	}
	children, err := images.Children(ctx, s.client.ContentStore(), target)
	if err != nil {
		return nil, fmt.Errorf("read the index of image %s: %w", target.Digest, err)
	}
	var ps []ocispec.Platform
	for _, c := range children {
		if c.Platform != nil && c.Platform.OS != "unknown" {
			ps = append(ps, *c.Platform)
		}
	}
	return formatPlatforms(ps), nil
}

func formatPlatforms(ps []ocispec.Platform) []string {
	set := map[string]bool{}
	for _, p := range ps {
		if p.OS != "" {
			set[platforms.Format(p)] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// ExportItem is one image of an export and the names it gets there.
type ExportItem struct {
	Digest digest.Digest
	Names  []string
}

// Export writes the images as one tar that is an OCI layout and a docker-archive
// at once. Of an index only the part for this host is written, as an image of its
// own: nobody has shown that he has the others, should they be here. Errors:
// ErrNotFound.
func (s *Store) Export(ctx context.Context, w io.Writer, items ...ExportItem) error {
	opts := []archive.ExportOpt{archive.WithPlatform(s.platform)}
	for _, it := range items {
		img, err := s.get(ctx, it.Digest)
		if err != nil {
			return err
		}
		target, err := s.hostPart(ctx, img.Target)
		if err != nil {
			return err
		}
		opts = append(opts, archive.WithManifest(target, it.Names...))
	}
	if err := archive.Export(ctx, s.client.ContentStore(), w, opts...); err != nil {
		return fmt.Errorf("export images: %w", err)
	}
	return nil
}

// hostPart gives the manifest of an image that this host runs.
func (s *Store) hostPart(ctx context.Context, target ocispec.Descriptor) (ocispec.Descriptor, error) {
	children := images.FilterPlatforms(images.ChildrenHandler(s.client.ContentStore()), s.platform)
	children = images.LimitManifests(children, s.platform, 1)
	for depth := 0; images.IsIndexType(target.MediaType); depth++ {
		parts, err := children(ctx, target)
		if errdefs.IsNotFound(err) || err == nil && len(parts) == 0 || depth > deepest {
			return target, fmt.Errorf("image %s has nothing for %s: %w", target.Digest, platforms.DefaultString(), ErrPlatform)
		}
		if err != nil {
			return target, fmt.Errorf("read the index %s: %w", target.Digest, err)
		}
		target = parts[0]
	}
	return target, nil
}
