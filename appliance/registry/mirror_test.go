package registry_test

import (
	"bytes"
	"context"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/appliance/registry"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// source is an upstream with one image, as a mirror would bring it in.
type source struct {
	r     *rig
	m     doc
	layer []byte
	asked []string
}

const upstreamPath = "docker.io/library/nginx"

func (s *source) bring(ctx context.Context, d digest.Digest, b []byte) func() {
	release, err := s.r.reg.Blobs().Put(ctx, d, int64(len(b)), bytes.NewReader(b))
	if err != nil {
		s.r.t.Error(err)
	}
	return release
}

func (s *source) Manifest(ctx context.Context, c access.Caller, path, ref string) (string, string, error) {
	s.asked = append(s.asked, path+":"+ref)
	if path != upstreamPath || ref != "1" && ref != s.m.desc().Digest.String() {
		return "", "", model.Errorf(model.KindNotFound, "not_found", "the upstream has no %s:%s", path, ref)
	}
	d := s.m.desc()
	defer s.bring(ctx, d.Digest, s.m.bytes())()
	s.r.propose(&command.CacheManifest{Head: s.r.by(), UpstreamID: model.DefaultUpstream, RepositoryID: command.NewID(), Name: path,
		Manifest: model.Manifest{Descriptor: model.Descriptor{MediaType: s.m.MediaType, Digest: d.Digest.String(), Size: int64(d.Size)},
			Refs: []model.Descriptor{{MediaType: typeLayer, Digest: s.m.Layers[0].Digest.String(), Size: int64(s.m.Layers[0].Size)}}}, Tags: []string{"1"}})
	return s.r.repository(path).ID, d.Digest.String(), nil
}

func (s *source) Blob(ctx context.Context, c access.Caller, path, d string) (string, error) {
	s.asked = append(s.asked, path+"@"+d)
	if path != upstreamPath || d != s.m.Layers[0].Digest.String() {
		return "", model.Errorf(model.KindNotFound, "not_found", "the upstream has no such blob")
	}
	defer s.bring(ctx, digest.Digest(d), s.layer)()
	id := s.r.repository(path).ID
	s.r.propose(&command.LinkBlobs{Head: s.r.by(), Links: []model.BlobLink{{RepositoryID: id, Digest: d, Size: int64(len(s.layer))}}})
	return id, nil
}

// TestMirror sends to the mirror what is not ours, and nothing else.
func TestMirror(t *testing.T) {
	src := &source{layer: random(10_000)}
	config := descOf(typeConfig, []byte("{}"))
	src.m = doc{SchemaVersion: 2, MediaType: model.MediaTypeOCIManifest, Config: &config, Layers: []desc{descOf(typeLayer, src.layer)}}
	r := newRig(t, func(c *registry.Config) { c.Mirror = src })
	src.r = r
	blob := src.m.Layers[0].Digest.String()
	get := func(path string, status int, q url.Values) answer {
		t.Helper()
		return r.do(ask{as: "bob", method: "GET", path: "/v2/" + path, query: q}, status)
	}
	for _, path := range []string{upstreamPath, "library/nginx"} {
		if res := get(path+"/manifests/1", 200, nil); !bytes.Equal(res.b, src.m.bytes()) {
			t.Fatalf("%s", res.b)
		}
		if res := get(path+"/blobs/"+blob, 200, nil); !bytes.Equal(res.b, src.layer) {
			t.Fatal("other bytes")
		}
	}
	// As a mirror of another registry, in that one's names.
	ns := url.Values{"ns": {"docker.io"}}
	get("library/nginx/manifests/1", 200, ns)
	get("library/nginx/blobs/"+blob, 200, ns)
	want := []string{upstreamPath + ":1", upstreamPath + "@" + blob}
	if !slices.Equal(src.asked, slices.Repeat(want, 3)) {
		t.Fatalf("asked for %q", src.asked)
	}
	for path, code := range map[string]string{upstreamPath + "/manifests/2": "MANIFEST_UNKNOWN", "quay.io/x/manifests/1": "MANIFEST_UNKNOWN", "library/nginx/blobs/" + digest.FromString("x").String(): "BLOB_UNKNOWN"} {
		if res := get(path, 404, nil); !slices.Equal(res.codes(), []string{code}) {
			t.Errorf("%s: %s", path, res.b)
		}
	}
	// What somebody pushed to library goes first; what is ours is never asked for
	// outside.
	src.asked = nil
	mine := r.image("root", "library/nginx", random(10))
	r.put("root", "library/nginx", "1", mine)
	if res := get("library/nginx/manifests/1", 200, nil); !bytes.Equal(res.b, mine.bytes()) {
		t.Fatal("the upstream's wins over ours")
	}
	get("library/nginx/blobs/"+mine.Layers[0].Digest.String(), 200, nil)
	get("other/none/manifests/1", 404, nil)
	get("default/none/manifests/1", 404, nil)
	if len(src.asked) != 0 {
		t.Fatalf("asked for %q", src.asked)
	}
	// Nobody pushes to an upstream.
	r.refused(ask{as: "root", method: "POST", path: "/v2/" + upstreamPath + "/blobs/uploads/"}, 403, "DENIED")
	r.reg.Tend(t.Context(), time.Now())
	r.collect(0)
	get(upstreamPath+"/blobs/"+blob, 200, nil)
}
