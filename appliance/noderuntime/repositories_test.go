package noderuntime

import (
	"bytes"
	"errors"
	"log/slog"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/skerryhq/skerry/appliance/registry"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/runtime/image"
	"github.com/skerryhq/skerry/runtime/runtimetest"
)

// TestAdoptMissing holds that an image whose record the engine has lost comes back
// from the repository that holds it, and that nothing else does.
func TestAdoptMissing(t *testing.T) {
	h := runtimetest.New(t)
	ctx := t.Context()
	imported, err := h.Images.Import(ctx, bytes.NewReader(runtimetest.Tar(t, runtimetest.OCILayout(t, "x", runtimetest.ImageConfig{Cmd: []string{"/x"}},
		runtimetest.Tar(t, []runtimetest.File{{Name: "x", Mode: 0o755, Body: []byte("x")}})))), image.ImportOptions{})
	if err != nil || len(imported) != 1 {
		t.Fatal(err)
	}
	target, err := h.Images.Target(ctx, imported[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	docs, err := h.Images.Documents(ctx, target)
	if err != nil || len(docs) != 1 {
		t.Fatalf("%v %v", docs, err)
	}
	w := newWorld(t)
	m := model.Manifest{RepositoryID: "r1", Descriptor: model.Descriptor{Digest: docs[0].Descriptor.Digest.String(), MediaType: docs[0].Descriptor.MediaType, Size: docs[0].Descriptor.Size}}
	var links []model.BlobLink
	for _, b := range docs[0].Blobs {
		links = append(links, model.BlobLink{RepositoryID: "r1", Digest: b.Digest.String(), Size: b.Size})
		m.Refs = append(m.Refs, model.Descriptor{Digest: b.Digest.String(), Size: b.Size})
	}
	w.apply(&command.PutRepository{Head: head(), Repository: model.Repository{Meta: model.Meta{ID: "r1", Name: "x"}, TenantID: "t1", Spec: model.RepositorySpec{Visibility: model.VisibilityTenant}}})
	w.apply(&command.LinkBlobs{Head: head(), Links: links})
	w.apply(&command.PutManifest{Head: head(), Manifest: m, Tags: []string{"1"}})
	r := New(Config{NodeID: "n1", Store: w.store, Images: h.Images, Log: slog.New(slog.DiscardHandler)})

	blobs, err := registry.NewBlobs(ctx, h.Client, t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range append(docs[0].Blobs, docs[0].Descriptor) { // as the registry keeps what a repository holds
		if err := blobs.Retain(ctx, d.Digest); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Images.Remove(ctx, imported[0].Digest); err != nil {
		t.Fatal(err)
	}
	if found, err := r.AdoptMissing(ctx, docs[0].Descriptor.Digest.String()); !found || err != nil {
		t.Fatalf("%v %v", found, err)
	}
	if _, err := h.Images.Resolve(ctx, docs[0].Descriptor.Digest); err != nil {
		t.Errorf("it cannot be started from: %v", err)
	}
	if found, err := r.AdoptMissing(ctx, digest.FromString("nowhere").String()); found || err != nil {
		t.Errorf("what no repository holds: %v %v", found, err)
	}
	cfg, layers, err := r.ManifestConfig(ctx, m.Descriptor)
	if err != nil || len(layers) != 1 || cfg.Command[0] != "/x" {
		t.Errorf("%+v %+v %v", cfg, layers, err)
	}
	if _, _, err := r.ManifestConfig(ctx, model.Descriptor{Digest: digest.FromString("nowhere").String(), MediaType: m.Descriptor.MediaType, Size: 1}); model.KindOf(err) != model.KindNotFound {
		t.Errorf("what is not here: %v", err)
	}
	if err := r.ExportManifest(ctx, model.Descriptor{Digest: digest.FromString("nowhere").String(), MediaType: m.Descriptor.MediaType, Size: 1}, "", &bytes.Buffer{}); model.KindOf(err) != model.KindInvalid {
		t.Errorf("export of what is not here: %v", err)
	}
	if _, err := h.Images.Open(ctx, ocispec.Descriptor{Digest: digest.FromString("nowhere")}); !errors.Is(err, image.ErrNotFound) {
		t.Errorf("open what is not here: %v", err)
	}
}
