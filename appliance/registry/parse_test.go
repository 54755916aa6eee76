package registry_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"pgregory.net/rapid"

	"github.com/skerryhq/skerry/appliance/registry"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// TestPaths: whatever a path says, the name and the reference that come out of it
// cannot lead anywhere.
func TestPaths(t *testing.T) {
	part := rapid.SampledFrom([]string{"", "a", "b.c", "x__y", "..", ".", "A", "blobs", "manifests", "tags", "list", "uploads", "referrers", "_catalog", "v2", "\x00", "%2e", "latest", "sha256:" + strings.Repeat("a", 64), "sha256:..", strings.Repeat("z", 300), "é"})
	rapid.Check(t, func(rt *rapid.T) {
		path := rapid.SampledFrom([]string{"/v2/", "/v2", "/", "", "/v2//"}).Draw(rt, "head") + strings.Join(rapid.SliceOfN(part, 0, 7).Draw(rt, "parts"), "/")
		name, ref, err := registry.Parse(path)
		if err != nil {
			return
		}
		for p := range strings.SplitSeq(name, "/") {
			if name != "" && (p == "" || strings.HasPrefix(p, ".") || strings.ContainsAny(p, "\x00%é:") || strings.ToLower(p) != p) || len(name) > 255 {
				rt.Fatalf("%q gives the name %q", path, name)
			}
		}
		if strings.ContainsAny(ref, "/\x00%") || strings.HasPrefix(ref, ".") || len(ref) > 140 {
			rt.Fatalf("%q gives the reference %q", path, ref)
		}
	})
	for path, want := range map[string]string{
		"/v2/a/b/c/manifests/x": "a/b/c x",
		"/v2/a/blobs/uploads/":  "a ",
		"/v2/a/blobs/uploads":   "a ",
		"/v2/blobs/uploads/blobs/uploads/" + strings.Repeat("a", 26): "blobs/uploads " + strings.Repeat("a", 26),
		"/v2/tags/list/tags/list":                                    "tags/list ",
		"/v2/manifests/manifests/manifests":                          "manifests manifests",
		"/v2/a/referrers/sha256:" + strings.Repeat("0", 64):          "a sha256:" + strings.Repeat("0", 64),
		"/v2/a-b/c_d/e.f/blobs/sha512:" + strings.Repeat("0", 128):   "a-b/c_d/e.f sha512:" + strings.Repeat("0", 128),
	} {
		name, ref, err := registry.Parse(path)
		if err != nil || name+" "+ref != want {
			t.Errorf("%s: %q %q %v", path, name, ref, err)
		}
	}
}

// FuzzDocument wants no panic and rows that the state takes.
func FuzzDocument(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"a","digest":"sha256:`+strings.Repeat("0", 64)+`","size":1,"platform":{"os":"linux","architecture":"amd64"}}]}`), "")
	f.Add([]byte(`{"schemaVersion":2,"config":{"digest":"sha256:`+strings.Repeat("0", 64)+`","size":1},"layers":[],"annotations":{"a":"b"},"subject":{"digest":"x"}}`), model.MediaTypeOCIManifest)
	f.Add([]byte(`{"schemaVersion":1}`), "text/html; x=\"")
	f.Fuzz(func(t *testing.T, b []byte, contentType string) {
		d := digest.FromBytes(b)
		m, _, err := registry.ReadDocument(b, d, contentType)
		if err != nil {
			return
		}
		if len(m.Refs) > state.MaxManifestRefs || m.Descriptor.Size != int64(len(b)) || !model.IsManifestType(m.Descriptor.MediaType) {
			t.Fatalf("%+v", m)
		}
		seen := map[string]bool{}
		for _, r := range m.Refs {
			if seen[r.Digest] || r.Digest == d.String() || r.Size < 0 || len(r.MediaType) > 255 || len(r.Platform) > 110 {
				t.Fatalf("%+v", r)
			}
			seen[r.Digest] = true
		}
	})
}

// TestBombs: manifests with too many references, and indexes that lie too deep in
// each other.
func TestBombs(t *testing.T) {
	r := newRig(t)
	const repo = "default/bombs"
	r.push("ada", repo, []byte("{}"))
	empty := descOf("application/vnd.oci.empty.v1+json", []byte("{}"))
	put := func(m doc, status int) answer {
		t.Helper()
		return r.do(ask{as: "ada", method: "PUT", path: "/v2/" + repo + "/manifests/" + m.desc().Digest.String(), body: bytes.NewReader(m.bytes())}, status)
	}
	wide := doc{SchemaVersion: 2, MediaType: model.MediaTypeOCIManifest, Config: &empty}
	for i := range state.MaxManifestRefs + 1 {
		wide.Layers = append(wide.Layers, desc{MediaType: typeLayer, Digest: digest.FromString(fmt.Sprint(i)), Size: 1})
	}
	if res := put(wide, 400); !slices.Equal(res.codes(), []string{"MANIFEST_INVALID"}) {
		t.Fatalf("%s", res.b)
	}
	// The same layer over and over is one layer.
	same := doc{SchemaVersion: 2, MediaType: model.MediaTypeOCIManifest, Config: &empty}
	for range 5000 {
		same.Layers = append(same.Layers, empty)
	}
	put(same, 201)

	below := doc{SchemaVersion: 2, MediaType: model.MediaTypeOCIManifest, Config: &empty}
	put(below, 201)
	for i := range 4 {
		below = doc{SchemaVersion: 2, MediaType: model.MediaTypeOCIIndex, Manifests: []desc{below.desc()}, Annotations: map[string]string{"level": fmt.Sprint(i)}}
		put(below, 201)
	}
	if res := put(doc{SchemaVersion: 2, MediaType: model.MediaTypeOCIIndex, Manifests: []desc{below.desc()}}, 400); !slices.Equal(res.codes(), []string{"MANIFEST_INVALID"}) {
		t.Fatalf("%s", res.b)
	}
	// Wide and deep at once is bounded by the same.
	many := doc{SchemaVersion: 2, MediaType: model.MediaTypeOCIIndex}
	for i := range 50 {
		one := doc{SchemaVersion: 2, MediaType: model.MediaTypeOCIIndex, Manifests: []desc{}, Annotations: map[string]string{"n": fmt.Sprint(i)}}
		put(one, 201)
		many.Manifests = append(many.Manifests, one.desc())
	}
	put(many, 201)
}

// TestCrosswise: indexes of which each names all of the next layer are judged in
// no more time than there are references.
func TestCrosswise(t *testing.T) {
	const wide = 200
	c := &cluster{store: state.New()}
	by := command.By(model.Origin{Actor: "test", Time: time.Now().UTC()})
	cmds := []command.Command{
		&command.InitCluster{Head: by,
			Cluster: model.Cluster{ID: "c", FeatureLevel: command.Level, Pool: netip.MustParsePrefix("10.42.0.0/16"), VIPPool: netip.MustParsePrefix("10.43.0.0/16"), PortMin: 30000, PortMax: 30100, SetupHash: []byte("x")},
			Tenant:  model.Tenant{Meta: model.Meta{ID: "t1", Name: model.DefaultTenant}}, Environment: model.Environment{Meta: model.Meta{ID: "e1", Name: "default"}},
			Node: model.Node{Meta: model.Meta{ID: "n1", Name: "one"}}},
		&command.PutRepository{Head: by, ExpectVersion: command.MustNotExist,
			Repository: model.Repository{Meta: model.Meta{ID: "r1", Name: "bombs"}, TenantID: "t1", Spec: model.RepositorySpec{Visibility: model.VisibilityTenant}}},
	}
	var below []model.Descriptor
	for layer := range 3 {
		var all []model.Descriptor
		for i := range wide {
			d := model.Descriptor{MediaType: model.MediaTypeOCIIndex, Digest: digest.FromString(fmt.Sprint(layer, i)).String(), Size: 1}
			cmds = append(cmds, &command.PutManifest{Head: by, Manifest: model.Manifest{RepositoryID: "r1", Descriptor: d, Refs: below}})
			all = append(all, d)
		}
		below = all
	}
	if _, err := c.Propose(t.Context(), cmds...); err != nil {
		t.Fatal(err)
	}
	top := &model.Manifest{RepositoryID: "r1", Descriptor: model.Descriptor{MediaType: model.MediaTypeOCIIndex, Digest: digest.FromString("top").String()}, Refs: below}
	got := make(chan int, 1)
	go func() { got <- registry.Depth(c.View(), top) }()
	select {
	case n := <-got:
		if n != 4 {
			t.Fatalf("%d deep, want 4", n)
		}
	case <-time.After(8 * time.Second): // a few ms; walked as a tree it takes 20 s
		t.Fatal("a bomb of indexes keeps the registry busy")
	}
}

// TestThroughEngine reads through the engine where its files cannot be opened.
func TestThroughEngine(t *testing.T) {
	r := newRig(t, func(c *registry.Config) { c.Blobs.ThroughEngine() })
	b := random(3 << 20)
	d := r.push("ada", repoA, b)
	r.expectBlob(repoA, d, b)
	r.conformRanges(t, digest.SHA256)
	m := r.image("ada", repoA, b)
	r.put("ada", repoA, "1", m)
	r.expectManifest(repoA, "1", m, m.desc().Digest)
	r.pushAs("ada", repoA, b, digest.SHA512.FromBytes(b))
	r.expectBlob(repoA, digest.SHA512.FromBytes(b), b)
	if r.unfinished() != 0 {
		t.Fatal("something is left of it")
	}
}

// TestSHA512Size bounds what is named by sha512.
func TestSHA512Size(t *testing.T) {
	r := newRig(t)
	loc := r.begin(repoA)
	part := random(32 << 20)
	h := digest.SHA512.Digester()
	for i := range 4 {
		_, _ = h.Hash().Write(part)
		a := ask{as: "ada", method: "PATCH", body: bytes.NewReader(part), header: map[string]string{"Content-Range": fmt.Sprintf("%d-%d", i*len(part), (i+1)*len(part)-1)}}
		r.do(a.at(loc), 202)
	}
	_, _ = h.Hash().Write([]byte("x"))
	r.refused(ask{as: "ada", method: "PUT", path: loc, query: url.Values{"digest": {h.Digest().String()}}, body: strings.NewReader("x")}, 413, "SIZE_INVALID")
	r.refused(ask{as: "ada", method: "GET", path: loc}, 404, "BLOB_UPLOAD_UNKNOWN")
}

// TestAnswers wants every refusal to be JSON of the specification's form.
func TestAnswers(t *testing.T) {
	r := newRig(t)
	r.push("ada", repoA, []byte("x"))
	for _, path := range []string{"/v2/x", "/v2/" + repoA + "/manifests/none", "/v2/A/tags/list", "/v2/" + repoA + "/blobs/sha256:0"} {
		for _, as := range []string{"ada", "bob", ""} {
			res := r.do(ask{as: as, method: http.MethodGet, path: path}, 400, 401, 404)
			var e struct {
				Errors []struct{ Code, Message string }
			}
			if json.Unmarshal(res.b, &e) != nil || len(e.Errors) != 1 || e.Errors[0].Message == "" || res.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: %s %v", path, res.b, res.Header)
			}
			if (res.StatusCode == 401) != (res.Header.Get("WWW-Authenticate") != "") || as == "" && res.StatusCode != 401 {
				t.Errorf("%s as %q: %d %v", path, as, res.StatusCode, res.Header)
			}
			head := r.do(ask{as: as, method: http.MethodHead, path: path}, res.StatusCode)
			if len(head.b) != 0 {
				t.Errorf("HEAD %s has a body", path)
			}
		}
	}
}
