package exchange

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/skerryhq/skerry/appliance/registry"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// Asker is the node that a request comes from.
type Asker struct {
	NodeID string
	Role   model.NodeRole
}

// HandlerConfig is what a Handler answers with; Fetch may be nil.
type HandlerConfig struct {
	Blobs *registry.Blobs
	// Asker gives the node that a request comes from, as its certificate says.
	Asker func(ctx context.Context) (Asker, bool)
	// View is the state that says what a worker may have; nil on a worker, which
	// hands out to members only.
	View func() *state.View
	// Fetch brings what a worker may have and is not here; nil: it is not brought.
	Fetch func(ctx context.Context, d digest.Digest) (release func(), err error)
}

// Handler hands out blobs: GET and HEAD below Prefix. It is mounted for members and
// workers.
type Handler struct {
	cfg HandlerConfig

	mu     sync.Mutex
	closed map[digest.Digest]map[digest.Digest]bool // what an image consists of; guarded by mu
}

// NewHandler makes a Handler.
func NewHandler(cfg HandlerConfig) *Handler {
	return &Handler{cfg: cfg, closed: map[digest.Digest]map[digest.Digest]bool{}}
}

// ServeHTTP hands out one blob, or a part of it.
func (h *Handler) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	asker, known := h.cfg.Asker(req.Context())
	d, err := digest.Parse(strings.TrimPrefix(req.URL.Path, Prefix))
	switch {
	case !known:
		http.Error(w, "this node does not know who asks", http.StatusForbidden)
		return
	case err != nil:
		http.Error(w, "this is no digest", http.StatusBadRequest)
		return
	case req.Method != http.MethodGet && req.Method != http.MethodHead:
		http.Error(w, "blobs are handed out by GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	worker := asker.Role != model.NodeMember
	if worker && !h.reaches(req.Context(), asker.NodeID, d) {
		// The same answer as for what there is not: a digest is no key.
		http.Error(w, "no image of this worker's containers has such a part", http.StatusNotFound)
		return
	}
	release := h.cfg.Blobs.Pin(d)
	defer func() { release() }()
	c, err := h.cfg.Blobs.Open(req.Context(), d)
	if errors.Is(err, registry.ErrNoBlob) && worker && h.cfg.Fetch != nil {
		w.WriteHeader(http.StatusEarlyHints) // it takes a while
		var fetched func()
		if fetched, err = h.cfg.Fetch(req.Context(), d); err == nil {
			defer fetched()
			c, err = h.cfg.Blobs.Open(req.Context(), d)
		}
	}
	switch {
	case errors.Is(err, registry.ErrNoBlob):
		http.Error(w, "this node does not hold it", http.StatusNotFound)
		return
	case err != nil:
		http.Error(w, "this node cannot read it at the moment", http.StatusServiceUnavailable)
		return
	}
	defer c.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Etag", `"`+d.String()+`"`)
	http.ServeContent(w, req, "", time.Time{}, c)
}

// reaches says whether an image of a container that is assigned to a node has a
// part.
func (h *Handler) reaches(ctx context.Context, nodeID string, d digest.Digest) bool {
	if h.cfg.View == nil {
		return false
	}
	v := h.cfg.View()
	asked := map[string]bool{}
	for c := range v.ContainersOnNode(nodeID) {
		image := c.Spec.ImageDigest
		if asked[image] || image == "" {
			continue
		}
		asked[image] = true
		if h.parts(ctx, v, digest.Digest(image))[d] {
			return true
		}
	}
	return false
}

// maxClosed bounds how many images are remembered; what an image consists of never
// changes.
const maxClosed = 512

// parts gives everything that an image consists of. Only what could be read
// wholly is remembered.
func (h *Handler) parts(ctx context.Context, v *state.View, image digest.Digest) map[digest.Digest]bool {
	h.mu.Lock()
	known, ok := h.closed[image]
	h.mu.Unlock()
	if ok {
		return known
	}
	out := map[digest.Digest]bool{}
	whole := h.walk(ctx, v, image, out, 0)
	if whole {
		h.mu.Lock()
		if len(h.closed) >= maxClosed {
			clear(h.closed)
		}
		h.closed[image] = out
		h.mu.Unlock()
	}
	return out
}

// deepest is how deep indexes may lie in each other.
const deepest = 4

// walk adds a manifest and what it names, from its bytes or, where they are on
// another node, from the rows of the registry or by fetching them.
func (h *Handler) walk(ctx context.Context, v *state.View, d digest.Digest, out map[digest.Digest]bool, depth int) (whole bool) {
	if out[d] || d.Validate() != nil {
		return true
	}
	out[d] = true
	if depth > deepest {
		return true
	}
	for m := range v.ManifestsOfDigest(d.String()) {
		whole = true
		for _, ref := range m.Refs {
			if model.IsManifestType(ref.MediaType) {
				whole = h.walk(ctx, v, digest.Digest(ref.Digest), out, depth+1) && whole
			} else {
				out[digest.Digest(ref.Digest)] = true
			}
		}
		return whole
	}
	b, err := h.cfg.Blobs.Read(ctx, d, maxManifest)
	if errors.Is(err, registry.ErrNoBlob) && h.cfg.Fetch != nil {
		release, ferr := h.cfg.Fetch(ctx, d)
		if ferr != nil {
			return depth > 0 // a part of an index may be nowhere
		}
		defer release()
		b, err = h.cfg.Blobs.Read(ctx, d, maxManifest)
	}
	if err != nil {
		return false
	}
	var doc struct {
		Config    *part  `json:"config"`
		Layers    []part `json:"layers"`
		Manifests []part `json:"manifests"`
	}
	if json.Unmarshal(b, &doc) != nil {
		return true
	}
	if doc.Config != nil {
		out[doc.Config.Digest] = true
	}
	for _, l := range doc.Layers {
		out[l.Digest] = true
	}
	whole = true
	for _, m := range doc.Manifests {
		if m.Platform != nil && !platforms.Default().Match(*m.Platform) {
			continue // whoever brought an index outside of a repository has shown this platform's part only
		}
		whole = h.walk(ctx, v, m.Digest, out, depth+1) && whole
	}
	return whole
}

type part struct {
	Digest   digest.Digest     `json:"digest"`
	Platform *ocispec.Platform `json:"platform"`
}

// HoldersIn gives the nodes that may have an image or a blob, by the state: those
// that images' rows name, then all members, but for those that are down; never
// self.
func HoldersIn(v *state.View, self, dgst string) []Holder {
	var out []Holder
	seen := map[string]bool{self: true}
	add := func(n *model.Node) {
		if !seen[n.ID] && !n.Down() {
			seen[n.ID] = true
			out = append(out, Holder{n.ID, n.Name})
		}
	}
	for i := range v.Images() {
		if i.Digest != dgst {
			continue
		}
		for _, id := range i.NodeIDs {
			if n, ok := v.Node(id); ok {
				add(n)
			}
		}
	}
	for n := range v.Nodes() {
		if n.Member() {
			add(n)
		}
	}
	return out
}
