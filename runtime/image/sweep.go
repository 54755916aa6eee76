package image

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// RegistryRef begins the names of what the node's registry is writing. Sweep
// leaves that alone: uploads outlive the daemon.
const RegistryRef = "skerry-registry-"

// Sweep gives back what a crash in the middle of an import or a pull left:
// leases, half written blobs, and images that keep does not want. Call it when
// the daemon starts, before anything is imported or pulled. It returns how many
// things went.
func (s *Store) Sweep(ctx context.Context, keep func(digest.Digest) bool) (int, error) {
	gone := 0
	var errs []error
	note := func(err error, what string) {
		switch {
		case err == nil:
			gone++
		case !errdefs.IsNotFound(err):
			errs = append(errs, fmt.Errorf("sweep %s: %w", what, err))
		}
	}
	cs := s.client.ContentStore()
	half, err := cs.ListStatuses(ctx)
	if err != nil {
		return 0, fmt.Errorf("sweep half written blobs: %w", err)
	}
	for _, h := range half {
		if strings.HasPrefix(h.Ref, RegistryRef) {
			continue
		}
		note(cs.Abort(ctx, h.Ref), "half written blob "+h.Ref)
	}
	all, err := s.client.ImageService().List(ctx)
	if err != nil {
		return gone, fmt.Errorf("sweep images: %w", err)
	}
	for _, img := range all {
		if !keep(img.Target.Digest) {
			note(s.client.ImageService().Delete(ctx, img.Name, images.SynchronousDelete()), "image "+img.Name)
		}
	}
	lm := s.client.LeasesService()
	held, err := lm.List(ctx)
	if err != nil {
		return gone, fmt.Errorf("sweep leases: %w", err)
	}
	for _, l := range held {
		note(lm.Delete(ctx, l, leases.SynchronousDelete), "lease "+l.ID)
	}
	return gone, errors.Join(errs...)
}
