package operation

import (
	"context"

	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// wanted gives the digests of images that something other than the registry
// needs: image rows, services, containers and kept revisions. skipImage leaves
// out one image row.
func wanted(v *state.View, skipImage string) map[string]bool {
	out := map[string]bool{}
	for i := range v.Images() {
		if i.ID != skipImage {
			out[i.Digest] = true
		}
	}
	for s := range v.Services() {
		out[s.Spec.Container.ImageDigest] = true
	}
	for c := range v.Containers() {
		out[c.Spec.ImageDigest] = true
	}
	for a := range v.Apps() {
		for r := range v.Revisions(a.ID) {
			for _, s := range r.Spec.Services {
				out[s.Container.ImageDigest] = true
			}
		}
	}
	delete(out, "")
	return out
}

// closure adds everything that a manifest of a repository needs, itself included.
func closure(v *state.View, repositoryID, digest string, out map[string]int64) {
	if _, seen := out[digest]; seen {
		return
	}
	m, ok := v.Manifest(repositoryID, digest)
	if !ok {
		return
	}
	out[digest] = m.Descriptor.Size
	for _, d := range m.Refs {
		if _, nested := v.Manifest(repositoryID, d.Digest); nested {
			closure(v, repositoryID, d.Digest, out)
		} else {
			out[d.Digest] = d.Size
		}
	}
}

// frees adds up what of the candidates nothing needs once the manifests gone, by
// repository and digest, are deleted and an image row (or "") is.
func (d *Desk) frees(ctx context.Context, v *state.View, candidates map[string]int64, gone map[[2]string]bool, skipImage string) (int64, error) {
	keep := wanted(v, skipImage)
	except := map[string]bool{}
	var total int64
	left := map[string]int64{}
	for digest, size := range candidates {
		if !heldByRegistry(v, digest, gone) && !keep[digest] {
			left[digest], except[digest] = size, true
		}
	}
	if len(left) == 0 {
		return 0, nil
	}
	held, err := d.cfg.Images.Held(ctx, except)
	if err != nil {
		return 0, err
	}
	for digest, size := range left {
		if _, ok := held[digest]; !ok {
			total += size
		}
	}
	return total, nil
}

// heldByRegistry says whether a manifest that stays is, or needs, a digest.
func heldByRegistry(v *state.View, digest string, gone map[[2]string]bool) bool {
	for m := range v.ManifestsOfDigest(digest) {
		if !gone[[2]string{m.RepositoryID, digest}] {
			return true
		}
	}
	for l := range v.BlobLinksOf(digest) {
		for m := range v.ManifestsNeeding(l.RepositoryID, digest) {
			if !gone[[2]string{l.RepositoryID, m.Descriptor.Digest}] {
				return true
			}
		}
	}
	return false
}

// FreesImage says how many bytes removing an image row would free.
func (d *Desk) FreesImage(ctx context.Context, img *model.Image) (int64, error) {
	v := d.cfg.Store.View()
	all, err := d.cfg.Images.Held(ctx, nil)
	if err != nil {
		return 0, err
	}
	others, err := d.cfg.Images.Held(ctx, map[string]bool{img.Digest: true})
	if err != nil {
		return 0, err
	}
	candidates := map[string]int64{}
	for digest, size := range all {
		if _, ok := others[digest]; !ok {
			candidates[digest] = size
		}
	}
	if wanted(v, img.ID)[img.Digest] {
		return 0, nil
	}
	return d.frees(ctx, v, candidates, nil, img.ID)
}

// FreesManifest says how many bytes deleting a manifest with its tags would free.
func (d *Desk) FreesManifest(ctx context.Context, r *model.Repository, digest string) (int64, error) {
	v := d.cfg.Store.View()
	return d.freesAll(ctx, v, r, doomed(v, r.ID, digest))
}

func (d *Desk) freesAll(ctx context.Context, v *state.View, r *model.Repository, digests []string) (int64, error) {
	gone, candidates := map[[2]string]bool{}, map[string]int64{}
	for _, dg := range digests {
		gone[[2]string{r.ID, dg}] = true
		closure(v, r.ID, dg, candidates)
	}
	return d.frees(ctx, v, candidates, gone, "")
}

// doomed gives what goes with a manifest: itself, what refers to it (signatures,
// descriptions), and the parts of an index that nothing else in the repository
// names; in the order in which they can be deleted.
func doomed(v *state.View, repositoryID, digest string) []string {
	var out []string
	going := map[string]bool{}
	var add func(string)
	add = func(dg string) {
		m, ok := v.Manifest(repositoryID, dg)
		if !ok || going[dg] {
			return
		}
		going[dg] = true
		out = append(out, dg)
		for o := range v.Referrers(repositoryID, dg) {
			if !named(v, repositoryID, o.Descriptor.Digest, going) {
				add(o.Descriptor.Digest)
			}
		}
		for _, part := range m.Refs {
			if _, nested := v.Manifest(repositoryID, part.Digest); nested && !named(v, repositoryID, part.Digest, going) {
				add(part.Digest)
			}
		}
	}
	add(digest)
	return out
}

// named says whether a tag, or an index that stays, names a manifest.
func named(v *state.View, repositoryID, digest string, going map[string]bool) bool {
	for range v.TagsOf(repositoryID, digest) {
		return true
	}
	for m := range v.ManifestsNeeding(repositoryID, digest) {
		if !going[m.Descriptor.Digest] {
			return true
		}
	}
	return false
}
