package image

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Adopt makes an image of content that the engine holds already, such as what was
// pushed to the registry: nothing is fetched or copied, only unpacked. It is free
// for what is an image already. That every part of it belongs to whoever asks is
// decided before. Nothing is kept when it fails.
// Errors: ErrRefused, ErrPlatform, ErrDiskFull.
func (s *Store) Adopt(ctx context.Context, target ocispec.Descriptor, progress func(Progress)) error {
	if _, err := s.Resolve(ctx, target.Digest); err == nil {
		return nil
	} else if !errors.Is(err, ErrNotFound) {
		return err
	}
	return s.hold(ctx, func(ctx context.Context) error {
		m, cfg, err := s.whole(ctx, target)
		if errors.Is(err, ErrNotFound) {
			return refuse("%s is not on this node, or not all of it", target.Digest)
		}
		if err != nil {
			return err
		}
		if err := s.fits(target, cfg); err != nil {
			return err
		}
		var total int64
		for _, l := range m.Layers {
			if !images.IsLayerType(l.MediaType) {
				return refuse("image %s: layer %s has the type %q, which is not a file system layer", target.Digest, l.Digest, clip(l.MediaType))
			}
			if images.IsNonDistributable(l.MediaType) { // a repository need not hold it: what lies here may be somebody else's
				return refuse("image %s: layer %s is kept by its maker and not in a registry, so it cannot be run from one", target.Digest, l.Digest)
			}
			total += l.Size
		}
		if err := s.label(ctx, target); err != nil {
			return err
		}
		if progress != nil {
			progress(Progress{Step: "unpack", Item: target.Digest.String(), Total: total})
		}
		if err := s.unpackChecked(ctx, target, m, cfg, Limits{}.withDefaults(), false); err != nil {
			return err
		}
		_, err = s.record(ctx, target)
		return err
	})
}

// whole is manifest for content that may be no image of the engine and may be
// missing. Errors: ErrNotFound, ErrPlatform, ErrRefused.
func (s *Store) whole(ctx context.Context, target ocispec.Descriptor) (ocispec.Manifest, ocispec.Image, error) {
	_, err := s.client.ContentStore().Info(ctx, target.Digest)
	if err == nil {
		m, cfg, err := s.manifest(ctx, target)
		if err == nil || errors.Is(err, ErrPlatform) || !errdefs.IsNotFound(err) {
			return m, cfg, err
		}
	}
	if err != nil && !errdefs.IsNotFound(err) {
		return ocispec.Manifest{}, ocispec.Image{}, fmt.Errorf("look for %s: %w", target.Digest, err)
	}
	return ocispec.Manifest{}, ocispec.Image{}, fmt.Errorf("image %s: %w", target.Digest, ErrNotFound)
}

// fits refuses an image for another kind of host.
func (s *Store) fits(target ocispec.Descriptor, cfg ocispec.Image) error {
	p := ocispec.Platform{OS: cfg.OS, Architecture: cfg.Architecture, Variant: cfg.Variant}
	if p.Architecture != "" && !s.platform.Match(p) {
		return fmt.Errorf("image %s is for %s, this host runs %s: %w", target.Digest, platforms.Format(p), platforms.DefaultString(), ErrPlatform)
	}
	return nil
}

// Describe is Inspect for content that may be no image of the engine: of a
// repository. Errors: ErrNotFound, ErrPlatform, ErrRefused.
func (s *Store) Describe(ctx context.Context, target ocispec.Descriptor) (Detail, error) {
	m, cfg, err := s.whole(ctx, target)
	if err != nil {
		return Detail{}, err
	}
	return s.detail(ctx, target, m, cfg)
}

// ExportContent writes content of the engine that may be no image of it as one tar
// that is an OCI layout and a docker-archive at once, under names; without layers
// that are kept by their makers. Errors: ErrNotFound, ErrPlatform.
func (s *Store) ExportContent(ctx context.Context, w io.Writer, target ocispec.Descriptor, names ...string) error {
	if _, _, err := s.whole(ctx, target); err != nil {
		return err
	}
	if err := archive.Export(ctx, s.client.ContentStore(), w, archive.WithPlatform(s.platform), archive.WithSkipNonDistributableBlobs(), archive.WithManifest(target, names...)); err != nil {
		return fmt.Errorf("export image %s: %w", target.Digest, err)
	}
	return nil
}

// Target is the descriptor under which the engine keeps an image. Errors:
// ErrNotFound.
func (s *Store) Target(ctx context.Context, d digest.Digest) (ocispec.Descriptor, error) {
	img, err := s.get(ctx, d)
	return img.Target, err
}

// HostPart gives the manifest of an image that this host runs. It is what whoever
// has the image has shown to have: the other parts of an index he may only have
// named. Errors: ErrNotFound, ErrPlatform.
func (s *Store) HostPart(ctx context.Context, d digest.Digest) (ocispec.Descriptor, error) {
	img, err := s.get(ctx, d)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return s.hostPart(ctx, img.Target)
}

// Part is one blob of an image.
type Part struct {
	Digest digest.Digest
	Size   int64
}

// Parts lists everything that the engine's images consist of, as far as it is
// here, each blob once; images that skip accepts are left out.
func (s *Store) Parts(ctx context.Context, skip func(digest.Digest) bool) ([]Part, error) {
	all, err := s.client.ImageService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	cs, seen := s.client.ContentStore(), map[digest.Digest]bool{}
	var out []Part
	walk := images.HandlerFunc(func(ctx context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		if seen[d.Digest] {
			return nil, images.ErrSkipDesc
		}
		document := images.IsManifestType(d.MediaType) || images.IsIndexType(d.MediaType)
		if _, err := cs.Info(ctx, d.Digest); err != nil {
			if errdefs.IsNotFound(err) {
				return nil, images.ErrSkipDesc
			}
			return nil, err
		}
		seen[d.Digest] = true
		out = append(out, Part{d.Digest, d.Size})
		if !document {
			return nil, nil
		}
		return images.Children(ctx, cs, d)
	})
	for _, img := range all {
		if skip != nil && skip(img.Target.Digest) {
			continue
		}
		if err := images.Walk(ctx, walk, img.Target); err != nil && !errdefs.IsNotFound(err) {
			return nil, fmt.Errorf("list the parts of image %s: %w", img.Target.Digest, err)
		}
	}
	return out, nil
}

// Document is a manifest or index with what it needs beside other documents.
type Document struct {
	Descriptor ocispec.Descriptor
	Bytes      []byte
	Blobs      []ocispec.Descriptor // config and layers, each once
}

// Documents reads an image's manifests as another registry wants them, parts
// before what names them. An index of which the engine has only this host's part
// gives that part. Errors: ErrNotFound, ErrPlatform.
func (s *Store) Documents(ctx context.Context, target ocispec.Descriptor) ([]Document, error) {
	out, err := s.documents(ctx, target, nil, map[digest.Digest]bool{}, 0)
	if !errdefs.IsNotFound(err) || !images.IsIndexType(target.MediaType) {
		if errdefs.IsNotFound(err) {
			return nil, fmt.Errorf("image %s: %w", target.Digest, ErrNotFound)
		}
		return out, err
	}
	children, err := images.Children(ctx, s.client.ContentStore(), target)
	if err != nil {
		return nil, fmt.Errorf("read the index of image %s: %w", target.Digest, err)
	}
	var best *ocispec.Descriptor
	for i, c := range children {
		if c.Platform != nil && s.platform.Match(*c.Platform) && (best == nil || s.platform.Less(*c.Platform, *best.Platform)) {
			best = &children[i]
		}
	}
	if best == nil {
		return nil, fmt.Errorf("image %s has nothing for %s: %w", target.Digest, platforms.DefaultString(), ErrPlatform)
	}
	out, err = s.documents(ctx, *best, nil, map[digest.Digest]bool{}, 0)
	if errdefs.IsNotFound(err) {
		return nil, fmt.Errorf("image %s: %w", target.Digest, ErrNotFound)
	}
	return out, err
}

// deepest is how deep indexes may lie in each other.
const deepest = 4

func (s *Store) documents(ctx context.Context, d ocispec.Descriptor, out []Document, seen map[digest.Digest]bool, depth int) ([]Document, error) {
	if seen[d.Digest] {
		return out, nil
	}
	seen[d.Digest] = true
	if depth > deepest {
		return nil, refuse("image %s: indexes lie in each other more than %d deep", d.Digest, deepest)
	}
	cs := s.client.ContentStore()
	b, err := content.ReadBlob(ctx, cs, d)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", d.Digest, err)
	}
	children, err := images.Children(ctx, cs, d)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", d.Digest, err)
	}
	doc := Document{Descriptor: d, Bytes: b}
	for _, c := range children {
		if images.IsManifestType(c.MediaType) || images.IsIndexType(c.MediaType) {
			if out, err = s.documents(ctx, c, out, seen, depth+1); err != nil {
				return nil, err
			}
			continue
		}
		if seen[c.Digest] || images.IsNonDistributable(c.MediaType) {
			continue
		}
		seen[c.Digest] = true
		if _, err := cs.Info(ctx, c.Digest); err != nil {
			return nil, fmt.Errorf("look for %s: %w", c.Digest, err)
		}
		doc.Blobs = append(doc.Blobs, c)
	}
	return append(out, doc), nil
}

// Open reads one blob of the engine. Errors: ErrNotFound.
func (s *Store) Open(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	ra, err := s.client.ContentStore().ReaderAt(ctx, d)
	if errdefs.IsNotFound(err) {
		return nil, fmt.Errorf("blob %s: %w", d.Digest, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("open blob %s: %w", d.Digest, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{bufio.NewReaderSize(content.NewReader(ra), 1<<20), ra}, nil
}
