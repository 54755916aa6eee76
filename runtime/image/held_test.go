package image_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/skerryhq/skerry/runtime/image"
	"github.com/skerryhq/skerry/runtime/runtimetest"
)

// stored puts content into the engine as the registry keeps it.
func stored(t *testing.T, h *runtimetest.Host, mediaType string, b []byte) ocispec.Descriptor {
	t.Helper()
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
	if err := content.WriteBlob(t.Context(), h.Client.ContentStore(), "test-"+d.Digest.String(), bytes.NewReader(b), d,
		content.WithLabels(map[string]string{"containerd.io/gc.root": "now"})); err != nil {
		t.Fatal(err)
	}
	return d
}

// pushed is an image in the content store that no record of the engine names; lie
// may change what its configuration says.
func pushed(t *testing.T, h *runtimetest.Host, lie func(*ocispec.Image), layers ...[]byte) ocispec.Descriptor {
	t.Helper()
	cfg := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}, Config: ocispec.ImageConfig{Cmd: []string{"/hello"}}, RootFS: ocispec.RootFS{Type: "layers"}}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	for _, l := range layers {
		cfg.RootFS.DiffIDs = append(cfg.RootFS.DiffIDs, digest.FromBytes(l))
		m.Layers = append(m.Layers, stored(t, h, ocispec.MediaTypeImageLayerGzip, gz(t, l)))
	}
	if lie != nil {
		lie(&cfg)
	}
	document := func(mediaType string, v any) ocispec.Descriptor {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return stored(t, h, mediaType, b)
	}
	m.Config = document(ocispec.MediaTypeImageConfig, cfg)
	return document(ocispec.MediaTypeImageManifest, m)
}

// TestAdopt holds that what the registry holds becomes an image without a copy,
// again after its record was lost, and that nothing is left of what is refused.
func TestAdopt(t *testing.T) {
	h := runtimetest.New(t)
	ctx := t.Context()
	target := pushed(t, h, nil, small(t), runtimetest.Tar(t, []runtimetest.File{{Name: "more", Body: []byte("more")}}))
	before, err := h.Images.Describe(ctx, target)
	if err != nil || len(before.Layers) != 2 || before.Config.Cmd[0] != "/hello" || before.Platform != "linux/amd64" {
		t.Fatalf("before it is an image: %+v %v", before, err)
	}
	if _, err := h.Images.Inspect(ctx, target.Digest); !errors.Is(err, image.ErrNotFound) {
		t.Fatalf("it is an image already: %v", err)
	}
	blobs, _, _, _ := held(t, h)
	for range 2 {
		if err := h.Images.Adopt(ctx, target, nil); err != nil {
			t.Fatal(err)
		}
		if r, err := h.Images.Resolve(ctx, target.Digest); err != nil || r.ChainID == "" {
			t.Fatalf("%+v %v", r, err)
		}
		if err := h.Images.Remove(ctx, target.Digest); err != nil {
			t.Fatal(err)
		}
	}
	if now, _, leases, ingests := held(t, h); now != blobs || leases != 0 || ingests != 0 {
		t.Errorf("%d blobs, there were %d; %d leases and %d half written", now, blobs, leases, ingests)
	}
	if err := h.Images.Adopt(ctx, target, nil); err != nil {
		t.Fatal(err)
	}
	parts, err := h.Images.Parts(ctx, nil)
	if err != nil || len(parts) != 4 {
		t.Errorf("its parts are %v %v", parts, err)
	}
	if parts, err := h.Images.Parts(ctx, func(d digest.Digest) bool { return d == target.Digest }); err != nil || len(parts) != 0 {
		t.Errorf("without it %v %v", parts, err)
	}
	if docs, err := h.Images.Documents(ctx, target); err != nil || len(docs) != 1 || len(docs[0].Blobs) != 3 {
		t.Errorf("to push: %+v %v", docs, err)
	}
	var tar bytes.Buffer
	if err := h.Images.ExportContent(ctx, &tar, target, "default/x:1"); err != nil || !strings.Contains(tar.String(), "default/x:1") {
		t.Errorf("export: %v", err)
	}
	_, good, _, _ := held(t, h)

	other := runtimetest.Tar(t, []runtimetest.File{{Name: "other", Body: []byte("other")}})
	for name, bad := range map[string]struct {
		target ocispec.Descriptor
		want   error
	}{
		"a layer with another content": {pushed(t, h, func(c *ocispec.Image) { c.RootFS.DiffIDs[0] = digest.FromString("lie") }, other), nil},
		"a path out of the root":       {pushed(t, h, nil, runtimetest.Tar(t, []runtimetest.File{{Name: "../../evil", Body: []byte("x")}})), image.ErrRefused},
		"another platform":             {pushed(t, h, func(c *ocispec.Image) { c.Architecture = "riscv64" }, other), image.ErrPlatform},
		"too few layers":               {pushed(t, h, func(c *ocispec.Image) { c.RootFS.DiffIDs = nil }, other), image.ErrRefused},
		"no manifest":                  {stored(t, h, ocispec.MediaTypeImageManifest, []byte("{}")), nil},
		"not here":                     {ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("absent"), Size: 10}, image.ErrRefused},
	} {
		err := h.Images.Adopt(ctx, bad.target, nil)
		if err == nil || bad.want != nil && !errors.Is(err, bad.want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := h.Images.Inspect(ctx, bad.target.Digest); !errors.Is(err, image.ErrNotFound) {
			t.Errorf("%s is an image now: %v", name, err)
		}
	}
	if _, snaps, leases, _ := held(t, h); snaps != good || leases != 0 {
		t.Errorf("%d snapshots, there were %d; %d leases", snaps, good, leases)
	}
}

// TestDocumentsOfAPart holds that an index of which a pull brought only this host's
// part is pushed as that part.
func TestDocumentsOfAPart(t *testing.T) {
	h := runtimetest.New(t)
	here := pushed(t, h, nil, small(t))
	here.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	b, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{
		{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("elsewhere"), Size: 7, Platform: &ocispec.Platform{OS: "linux", Architecture: "riscv64"}}, here,
	}})
	if err != nil {
		t.Fatal(err)
	}
	index := stored(t, h, ocispec.MediaTypeImageIndex, b)
	docs, err := h.Images.Documents(t.Context(), index)
	if err != nil || len(docs) != 1 || docs[0].Descriptor.Digest != here.Digest {
		t.Errorf("%+v %v", docs, err)
	}
	if err := h.Images.Adopt(t.Context(), index, nil); err != nil {
		t.Errorf("run from it: %v", err)
	}
}

// TestNamingADigestGivesNoContent: an image whose configuration names the layer of
// somebody else, while its own layer holds other bytes, must not get that layer.
func TestNamingADigestGivesNoContent(t *testing.T) {
	h := runtimetest.New(t)
	secret := runtimetest.Tar(t, []runtimetest.File{{Name: "secret", Body: []byte("of another tenant")}})
	theirs := pushed(t, h, nil, secret)
	thief := pushed(t, h, func(c *ocispec.Image) { c.RootFS.DiffIDs = []digest.Digest{digest.FromBytes(secret)} },
		runtimetest.Tar(t, []runtimetest.File{{Name: "mine", Body: []byte("dummy")}}))
	for _, when := range []string{"before theirs is unpacked", "while theirs is unpacked"} {
		if err := h.Images.Adopt(t.Context(), thief, nil); !errors.Is(err, image.ErrRefused) || !strings.Contains(err.Error(), "configuration says") {
			t.Fatalf("%s: %v", when, err)
		}
		if _, err := h.Images.Resolve(t.Context(), thief.Digest); !errors.Is(err, image.ErrNotFound) {
			t.Fatalf("%s it is an image: %v", when, err)
		}
		if err := h.Images.Adopt(t.Context(), theirs, nil); err != nil {
			t.Fatal(err)
		}
	}
	// The same content in another blob is proved by its bytes.
	honest := pushed(t, h, func(c *ocispec.Image) { c.Config.Cmd = []string{"/other"} }, secret)
	if err := h.Images.Adopt(t.Context(), honest, nil); err != nil {
		t.Errorf("an image of the same layer: %v", err)
	}
}

// TestLayersKeptElsewhere: a layer that its manifest says to be kept by its maker
// need not have been pushed, so a repository may name one that only somebody else
// has shown to have. Such an image does not run, and its export has no such layer.
func TestLayersKeptElsewhere(t *testing.T) {
	h := runtimetest.New(t)
	secret := runtimetest.Tar(t, []runtimetest.File{{Name: "secret", Body: []byte("of another tenant")}})
	if err := h.Images.Adopt(t.Context(), pushed(t, h, nil, secret), nil); err != nil {
		t.Fatal(err)
	}
	for _, mediaType := range []string{ocispec.MediaTypeImageLayerNonDistributableGzip, "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"} { //nolint:staticcheck // old, and that is the point
		cfg := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}, RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(secret)}},
			Config: ocispec.ImageConfig{Cmd: []string{mediaType}}}
		b, err := json.Marshal(cfg)
		if err != nil {
			t.Fatal(err)
		}
		layer := gz(t, secret)
		m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: stored(t, h, ocispec.MediaTypeImageConfig, b),
			Layers: []ocispec.Descriptor{{MediaType: mediaType, Digest: digest.FromBytes(layer), Size: int64(len(layer))}}}
		if b, err = json.Marshal(m); err != nil {
			t.Fatal(err)
		}
		thief := stored(t, h, ocispec.MediaTypeImageManifest, b)
		if err := h.Images.Adopt(t.Context(), thief, nil); !errors.Is(err, image.ErrRefused) {
			t.Errorf("%s runs: %v", mediaType, err)
		}
		var tar bytes.Buffer
		if err := h.Images.ExportContent(t.Context(), &tar, thief); err == nil && bytes.Contains(tar.Bytes(), layer) {
			t.Errorf("%s is exported", mediaType)
		}
	}
}
