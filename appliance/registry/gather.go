package registry

import (
	"context"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"

	"github.com/skerryhq/skerry/raft/model"
)

// Gather makes what a manifest or index of a repository needs be here, as far as
// other members have it: its documents and, with layers, the layers for this host.
// It is pinned until release, which is never nil. What cannot be had is left out:
// whoever reads it says so.
func (r *Registry) Gather(ctx context.Context, d model.Descriptor, layers bool) (release func()) {
	var pins []func()
	release = func() {
		for _, unpin := range pins {
			unpin()
		}
	}
	if r.alone() {
		return release
	}
	v, host := r.view(), platforms.Default()
	var walk func(d model.Descriptor, depth int)
	fetch := func(d model.Descriptor) {
		if unpin, err := r.bring(ctx, digest.Digest(d.Digest), d.Size); err == nil {
			pins = append(pins, unpin)
		} else {
			r.log.Debug("a part of an image is not to be had", "digest", d.Digest, "err", err)
		}
	}
	walk = func(d model.Descriptor, depth int) {
		fetch(d)
		for m := range v.ManifestsOfDigest(d.Digest) {
			config := true // comes first
			for _, ref := range m.Refs {
				switch {
				case model.IsManifestType(ref.MediaType):
					at, err := platforms.Parse(ref.Platform)
					if depth < maxDepth && (ref.Platform == "" || err == nil && host.Match(at)) {
						walk(ref, depth+1)
					}
				case config || layers:
					fetch(ref)
					config = false
				}
			}
			break
		}
	}
	walk(d, 0)
	return release
}
