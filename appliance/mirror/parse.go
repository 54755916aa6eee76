package mirror

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/skerryhq/skerry/appliance/mirror/remote"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// document is what is read of a manifest or index.
type document struct {
	MediaType    string            `json:"mediaType"`
	ArtifactType string            `json:"artifactType"`
	Config       *part             `json:"config"`
	Layers       []part            `json:"layers"`
	Manifests    []part            `json:"manifests"`
	Subject      *part             `json:"subject"`
	Annotations  map[string]string `json:"annotations"`
}

type part struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
	Platform  *struct {
		OS, Architecture, Variant string
	} `json:"platform"`
}

// platform is the part's in the words of the specification; only of one that has
// one.
func (p part) platform() ocispec.Platform {
	return ocispec.Platform{OS: p.Platform.OS, Architecture: p.Platform.Architecture, Variant: p.Platform.Variant}
}

// known are the types of manifests and indexes.
var known = map[string]bool{
	model.MediaTypeOCIManifest: true, model.MediaTypeOCIIndex: true, model.MediaTypeDockerManifest: true, model.MediaTypeDockerList: true,
}

// parse makes the row of a manifest. What it says is a stranger's.
func parse(m remote.Manifest) (model.Manifest, error) {
	var doc document
	if err := json.Unmarshal(m.Body, &doc); err != nil {
		return model.Manifest{}, fmt.Errorf("what it calls a manifest is no JSON: %w", err)
	}
	typ := doc.MediaType
	if typ == "" {
		typ = m.MediaType
	}
	if !known[typ] {
		return model.Manifest{}, fmt.Errorf("its manifest is of the type %q, which no image has", clip(typ))
	}
	row := model.Manifest{Descriptor: model.Descriptor{MediaType: typ, Digest: m.Digest.String(), Size: m.Size, ArtifactType: clip(doc.ArtifactType)}}
	bytes := 0
	for k, v := range doc.Annotations {
		bytes += len(k) + len(v)
	}
	if row.Descriptor.Annotations = doc.Annotations; bytes > state.MaxManifestAnnotations {
		row.Descriptor.Annotations, row.AnnotationsInBlob = nil, true
	}
	if doc.Subject != nil {
		if digest.Digest(doc.Subject.Digest).Validate() != nil {
			return model.Manifest{}, fmt.Errorf("its manifest has a subject with the digest %q", clip(doc.Subject.Digest))
		}
		row.Subject = doc.Subject.Digest
	}
	parts := append(doc.Layers, doc.Manifests...)
	if doc.Config != nil {
		parts = append([]part{*doc.Config}, parts...)
	}
	seen := map[string]bool{row.Descriptor.Digest: true}
	for _, p := range parts {
		if digest.Digest(p.Digest).Validate() != nil || p.Size < 0 {
			return model.Manifest{}, fmt.Errorf("its manifest names a part with the digest %q and %d bytes", clip(p.Digest), p.Size)
		}
		if seen[p.Digest] {
			continue
		}
		seen[p.Digest] = true
		d := model.Descriptor{MediaType: clip(p.MediaType), Digest: p.Digest, Size: p.Size}
		if p.Platform != nil {
			d.Platform = clip(strings.TrimSuffix(p.Platform.OS+"/"+p.Platform.Architecture+"/"+p.Platform.Variant, "/"))
		}
		row.Refs = append(row.Refs, d)
	}
	if len(row.Refs) > state.MaxManifestRefs {
		return model.Manifest{}, fmt.Errorf("its manifest has %d parts; at most %d are taken", len(row.Refs), state.MaxManifestRefs)
	}
	return row, nil
}

func clip(s string) string {
	if len(s) > 120 {
		return s[:120] + "..."
	}
	return s
}
