package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

const (
	// maxManifest bounds a manifest in bytes, as the specification advises.
	maxManifest = 4 << 20
	// maxDepth bounds how deep indexes may lie in each other.
	maxDepth = 4
	// maxMediaType bounds a media type in bytes.
	maxMediaType = 255
	// maxConfig is how much of an image's configuration is read for its platform.
	maxConfig = 1 << 20
)

// document is what the registry reads of a manifest or an index.
type document struct {
	SchemaVersion int                  `json:"schemaVersion"`
	MediaType     string               `json:"mediaType"`
	ArtifactType  string               `json:"artifactType"`
	Config        *ocispec.Descriptor  `json:"config"`
	Layers        []ocispec.Descriptor `json:"layers"`
	Manifests     []ocispec.Descriptor `json:"manifests"`
	Subject       *ocispec.Descriptor  `json:"subject"`
	Annotations   map[string]string    `json:"annotations"`
	FSLayers      json.RawMessage      `json:"fsLayers"` // of schema 1
	BlobsField    json.RawMessage      `json:"blobs"`    // of OCI's abandoned artifact manifest
}

func invalidManifest(format string, args ...any) *failure {
	return fail(http.StatusBadRequest, codeManifestInvalid, format, args...)
}

// readDocument parses a manifest. contentType is the request's; empty takes what
// the document says. The row that it gives has no repository yet, and in Refs
// everything that the document names, each digest once.
func readDocument(b []byte, d digest.Digest, contentType string) (*model.Manifest, *document, error) {
	var doc document
	dec := json.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(&doc); err != nil {
		return nil, nil, invalidManifest("the manifest is no JSON of the form that OCI and Docker define: %v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, nil, invalidManifest("something follows the manifest's JSON")
	}
	mediaType, err := doc.mediaType(contentType)
	if err != nil {
		return nil, nil, err
	}
	m := &model.Manifest{Descriptor: model.Descriptor{MediaType: mediaType, Digest: d.String(), Size: int64(len(b)), ArtifactType: doc.ArtifactType}}
	if err := doc.refs(m); err != nil {
		return nil, nil, err
	}
	if doc.Subject != nil {
		if err := checkDescriptor("subject", doc.Subject); err != nil {
			return nil, nil, err
		}
		m.Subject = doc.Subject.Digest.String()
	}
	if m.Descriptor.ArtifactType == "" && m.Subject != "" && doc.Config != nil {
		m.Descriptor.ArtifactType = doc.Config.MediaType // as the referrers list wants it
	}
	if len(m.Descriptor.ArtifactType) > maxMediaType {
		return nil, nil, invalidManifest("the artifactType is longer than %d bytes", maxMediaType)
	}
	annotations := 0
	for k, v := range doc.Annotations {
		annotations += len(k) + len(v)
	}
	if annotations <= state.MaxManifestAnnotations {
		m.Descriptor.Annotations = doc.Annotations
	} else {
		m.AnnotationsInBlob = true
	}
	return m, &doc, nil
}

// mediaType finds the manifest's type and refuses one that is ambiguous: what one
// client reads as an image and another as an index could be two different things.
func (doc *document) mediaType(contentType string) (string, error) {
	sent := ""
	if contentType != "" {
		var err error
		if sent, _, err = mime.ParseMediaType(contentType); err != nil {
			return "", invalidManifest("the Content-Type %q is none", clip(contentType))
		}
	}
	t := doc.MediaType
	switch {
	case t == "" && model.IsManifestType(sent):
		t = sent
	case t == "" && doc.Manifests != nil && doc.Config == nil:
		t = model.MediaTypeOCIIndex
	case t == "" && doc.Config != nil:
		t = model.MediaTypeOCIManifest
	}
	switch {
	case doc.FSLayers != nil || doc.SchemaVersion == 1 || strings.HasPrefix(sent, "application/vnd.docker.distribution.manifest.v1"):
		return "", invalidManifest("this is a manifest of Docker's schema 1, which no longer is taken: push with a newer client")
	case doc.SchemaVersion != 2:
		return "", invalidManifest("the manifest's schemaVersion is %d; it must be 2", doc.SchemaVersion)
	case !model.IsManifestType(t):
		return "", invalidManifest("manifests of the type %q are not taken; OCI image manifests and indexes and Docker's schema 2 are", clip(t))
	case sent != "" && sent != "application/json" && sent != "application/octet-stream" && sent != t:
		return "", invalidManifest("the manifest says that it is a %s, its Content-Type says %s", t, clip(sent))
	case model.IsIndexType(t) && (doc.Config != nil || doc.Layers != nil):
		return "", invalidManifest("an index names manifests, not a config or layers")
	case !model.IsIndexType(t) && doc.Manifests != nil:
		return "", invalidManifest("an image manifest names a config and layers, not manifests")
	case !model.IsIndexType(t) && doc.Config == nil:
		return "", invalidManifest("the manifest names no config")
	}
	return t, nil
}

// refs fills in what the manifest needs.
func (doc *document) refs(m *model.Manifest) error {
	type named struct {
		where string
		d     *ocispec.Descriptor
	}
	var all []named
	if doc.Config != nil {
		all = append(all, named{"config", doc.Config})
	}
	for i := range doc.Layers {
		all = append(all, named{fmt.Sprintf("layers[%d]", i), &doc.Layers[i]})
	}
	for i := range doc.Manifests {
		all = append(all, named{fmt.Sprintf("manifests[%d]", i), &doc.Manifests[i]})
	}
	seen := make(map[digest.Digest]int, min(len(all), state.MaxManifestRefs))
	for _, n := range all {
		if err := checkDescriptor(n.where, n.d); err != nil {
			return err
		}
		if at, twice := seen[n.d.Digest]; twice {
			if m.Refs[at].Size != n.d.Size {
				return invalidManifest("%s says that %s is %d bytes long, another part of the manifest %d", n.where, n.d.Digest, n.d.Size, m.Refs[at].Size)
			}
			if !images.IsNonDistributable(n.d.MediaType) && images.IsNonDistributable(m.Refs[at].MediaType) {
				m.Refs[at].MediaType = n.d.MediaType // needed once is needed
			}
			continue
		}
		if len(m.Refs) == state.MaxManifestRefs {
			return invalidManifest("the manifest names more than %d blobs and manifests", state.MaxManifestRefs)
		}
		if n.d.Digest.String() == m.Descriptor.Digest {
			return invalidManifest("%s is the manifest itself", n.where)
		}
		seen[n.d.Digest] = len(m.Refs)
		m.Refs = append(m.Refs, model.Descriptor{MediaType: n.d.MediaType, Digest: n.d.Digest.String(), Size: n.d.Size, ArtifactType: n.d.ArtifactType, Platform: platform(n.d.Platform)})
	}
	return nil
}

// checkDescriptor judges one descriptor by itself.
func checkDescriptor(where string, d *ocispec.Descriptor) error {
	switch {
	case !digestForm.MatchString(d.Digest.String()):
		return invalidManifest("%s.digest is no digest: sha256: and 64, or sha512: and 128 hexadecimal digits", where).about("digest", clip(d.Digest.String()))
	case d.Size < 0:
		return invalidManifest("%s.size is %d", where, d.Size)
	case len(d.MediaType) > maxMediaType || len(d.ArtifactType) > maxMediaType:
		return invalidManifest("%s.mediaType is longer than %d bytes", where, maxMediaType)
	case d.Data != nil && (int64(len(d.Data)) != d.Size || d.Digest.Algorithm().FromBytes(d.Data) != d.Digest):
		return invalidManifest("%s.data is not what its digest and size say", where)
	}
	return nil
}

func platform(p *ocispec.Platform) string {
	if p == nil || p.OS == "" || len(p.OS)+len(p.Architecture)+len(p.Variant) > 100 {
		return ""
	}
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

// elsewhere says whether what the manifest names may be missing: a layer that its
// maker keeps, because of its licence. By the engine's own notion, so that nothing
// is run or given out as a layer that did not have to be shown.
func (doc *document) elsewhere(ref model.Descriptor) bool {
	return images.IsNonDistributable(ref.MediaType) && doc.Config != nil && doc.Config.Digest.String() != ref.Digest
}

// depth is how deep the indexes below a manifest lie in each other; more than
// limit is not looked for. Each index is looked into once for each limit, however
// many others name it: a few hundred that name each other crosswise would keep a
// processor busy for hours.
func depth(v *state.View, m *model.Manifest, limit int) int {
	type at struct {
		digest string
		limit  int
	}
	known := map[at]int{}
	var below func(m *model.Manifest, limit int) int
	below = func(m *model.Manifest, limit int) int {
		if !model.IsIndexType(m.Descriptor.MediaType) {
			return 0
		}
		if limit == 0 {
			return 1
		}
		here := at{m.Descriptor.Digest, limit}
		if n, ok := known[here]; ok {
			return n
		}
		deepest := 0
		for _, ref := range m.Refs {
			if deepest == limit {
				break
			}
			if !model.IsIndexType(ref.MediaType) {
				continue
			}
			if child, ok := v.Manifest(m.RepositoryID, ref.Digest); ok {
				deepest = max(deepest, below(child, limit-1))
			}
		}
		known[here] = 1 + deepest
		return 1 + deepest
	}
	return below(m, limit)
}
