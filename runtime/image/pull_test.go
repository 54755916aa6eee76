package image_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/skerryhq/skerry/runtime/image"
	"github.com/skerryhq/skerry/runtime/runtimetest"
)

var errAway = errors.New("the registry is away")

// source serves one image to one tenant.
type source struct {
	engine *client.Client
	target ocispec.Descriptor
	blobs  map[digest.Digest][]byte
	held   []digest.Digest // that the tenant may read already

	mu      sync.Mutex
	fetched []digest.Digest
}

// newSource serves an image of one small layer that runs a command.
func newSource(t *testing.T, h *runtimetest.Host, cmd ...string) *source {
	if len(cmd) == 0 {
		cmd = []string{"/hello"}
	}
	s := &source{engine: h.Client, blobs: map[digest.Digest][]byte{}}
	for _, f := range runtimetest.OCILayout(t, "x", runtimetest.ImageConfig{Cmd: cmd}, small(t)) {
		if hex, ok := strings.CutPrefix(f.Name, "blobs/sha256/"); ok {
			s.blobs[digest.Digest("sha256:"+hex)] = f.Body
		}
		if f.Name == "index.json" {
			var idx ocispec.Index
			if err := json.Unmarshal(f.Body, &idx); err != nil {
				t.Fatal(err)
			}
			s.target = idx.Manifests[0]
		}
	}
	return s
}

func (s *source) Resolve(context.Context) (ocispec.Descriptor, error) { return s.target, nil }

func (s *source) Holds(d digest.Digest) bool { return slices.Contains(s.held, d) }

func (s *source) Fetch(ctx context.Context, d ocispec.Descriptor, done func(int64)) (func(), error) {
	b, ok := s.blobs[d.Digest]
	if !ok {
		return nil, errAway
	}
	s.mu.Lock()
	s.fetched = append(s.fetched, d.Digest)
	s.mu.Unlock()
	if digest.FromBytes(b) != d.Digest {
		return nil, errors.New("other bytes")
	}
	own, err := s.engine.LeasesService().Create(context.WithoutCancel(ctx), leases.WithRandomID())
	if err != nil {
		return nil, err
	}
	err = content.WriteBlob(leases.WithLease(ctx, own.ID), s.engine.ContentStore(), "test-"+d.Digest.String(), bytes.NewReader(b), ocispec.Descriptor{Digest: d.Digest, Size: d.Size})
	release := func() { _ = s.engine.LeasesService().Delete(context.WithoutCancel(ctx), own) }
	if err != nil {
		release()
		return nil, err
	}
	done(int64(len(b)))
	return release, nil
}

func (s *source) layer(t *testing.T) digest.Digest {
	t.Helper()
	var m ocispec.Manifest
	if err := json.Unmarshal(s.blobs[s.target.Digest], &m); err != nil {
		t.Fatal(err)
	}
	return m.Layers[0].Digest
}

func TestPull(t *testing.T) {
	h := runtimetest.New(t)
	ctx := runtimetest.Context(t, time.Minute)
	src := newSource(t, h)
	var done int
	d, err := h.Images.Pull(ctx, src, image.PullOptions{Progress: func(p image.Progress) {
		if p.Step == "download" && p.Done == p.Total {
			done++
		}
	}})
	if err != nil || d != src.target.Digest || done != 3 || len(src.fetched) != 3 {
		t.Fatalf("%s %v: %d downloads reported, %d fetched", d, err, done, len(src.fetched))
	}
	if res, err := h.Images.Resolve(ctx, d); err != nil || res.ChainID == "" {
		t.Errorf("resolve: %+v %v", res, err)
	}

	// The same image for the tenant that has it, and for one that must prove it.
	again := newSource(t, h)
	for d := range again.blobs {
		again.held = append(again.held, d)
	}
	if _, err := h.Images.Pull(ctx, again, image.PullOptions{}); err != nil || len(again.fetched) != 0 {
		t.Errorf("what is here was fetched again: %v %v", again.fetched, err)
	}
	other := newSource(t, h)
	if _, err := h.Images.Pull(ctx, other, image.PullOptions{}); err != nil || len(other.fetched) != 3 {
		t.Errorf("for another tenant: %v, %d fetched", err, len(other.fetched))
	}
	// It is kept while it has a name, and goes with it.
	if err := h.Images.Remove(ctx, d); err != nil {
		t.Fatal(err)
	}
	if b, s, l, i := held(t, h); b+s+l+i != 0 {
		t.Errorf("the engine holds %d blobs, %d snapshots, %d leases, %d ingests", b, s, l, i)
	}
}

// TestPullProvesLayers: another tenant's layer is on this host. A registry that
// knows only its digest names it in a manifest and does not have its bytes.
func TestPullProvesLayers(t *testing.T) {
	h := runtimetest.New(t)
	ctx := runtimetest.Context(t, time.Minute)
	src := newSource(t, h)
	d, err := h.Images.Pull(ctx, src, image.PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	evil := newSource(t, h)
	delete(evil.blobs, evil.layer(t))
	if got, err := h.Images.Pull(ctx, evil, image.PullOptions{}); !errors.Is(err, errAway) {
		t.Errorf("%s came from a registry that does not have its layer: %v", got, err)
	}
	if _, err := h.Images.Inspect(ctx, d); err != nil {
		t.Errorf("the first image suffered: %v", err)
	}
}

func TestPullRefuses(t *testing.T) {
	h := runtimetest.New(t)
	ctx := runtimetest.Context(t, time.Minute)
	for name, change := range map[string]func(*source){
		"corrupt":       func(s *source) { s.blobs[s.layer(t)] = []byte("X") },
		"no sha256":     func(s *source) { s.target.Digest = "sha512:" + digest.Digest(strings.Repeat("0", 128)) },
		"huge document": func(s *source) { s.target.Size = 1 << 30 },
		"negative size": func(s *source) { s.target.Size = -1 },
		"no image":      func(s *source) { s.target.MediaType = "text/plain" },
	} {
		src := newSource(t, h)
		change(src)
		if _, err := h.Images.Pull(ctx, src, image.PullOptions{}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := h.Images.Pull(ctx, newSource(t, h), image.PullOptions{Limits: image.Limits{Size: 100}}); !errors.Is(err, image.ErrRefused) {
		t.Errorf("too large: %v", err)
	}
	if b, s, l, i := held(t, h); b+s+l+i != 0 {
		t.Errorf("the engine holds %d blobs, %d snapshots, %d leases, %d ingests", b, s, l, i)
	}
}

// TestIndexNamesAStranger: an index names, beside its own image, the manifest of
// another tenant, for the same platform. It is neither run nor exported.
func TestIndexNamesAStranger(t *testing.T) {
	h := runtimetest.New(t)
	ctx := runtimetest.Context(t, time.Minute)
	secret := newSource(t, h, "/secret")
	if _, err := h.Images.Pull(ctx, secret, image.PullOptions{}); err != nil {
		t.Fatal(err)
	}
	evil := newSource(t, h, "/evil")
	own, stranger := evil.target, secret.target
	own.Annotations, stranger.Annotations = nil, nil
	own.Platform = &ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH}
	stranger.Platform = own.Platform
	for _, order := range [][]ocispec.Descriptor{{own, stranger}, {stranger, own}} {
		b, err := json.Marshal(ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: order})
		if err != nil {
			t.Fatal(err)
		}
		evil.target = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: digest.FromBytes(b), Size: int64(len(b))}
		evil.blobs[evil.target.Digest] = b
		d, err := h.Images.Pull(ctx, evil, image.PullOptions{})
		if order[0].Digest == stranger.Digest {
			if !errors.Is(err, errAway) {
				t.Errorf("the stranger's image was taken: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if r, err := h.Images.Resolve(ctx, d); err != nil || r.Config.Config.Cmd[0] != "/evil" {
			t.Errorf("%+v %v", r, err)
		}
		if p, err := h.Images.HostPart(ctx, d); err != nil || p.Digest != own.Digest {
			t.Errorf("the host's part is %+v %v", p, err)
		}
		var out bytes.Buffer
		if err := h.Images.Export(ctx, &out, image.ExportItem{Digest: d, Names: []string{"docker.io/library/x:1"}}); err != nil {
			t.Fatal(err)
		}
		if s := out.String(); strings.Contains(s, "/secret") || strings.Contains(s, stranger.Digest.Encoded()) || !strings.Contains(s, own.Digest.Encoded()) {
			t.Error("the export holds what the index only names")
		}
	}
}
