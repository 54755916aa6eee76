package registry_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/skerryhq/skerry/raft/model"
)

// The tests here ask for everything that OCI distribution 1.1 says a registry
// does, as a client sees it, and for what its later drafts add where clients use
// it already: tags as parameters, algorithms besides sha256, cancelling.

const (
	repoA = "default/conformance/a"
	repoB = "default/conformance/b"
)

var algorithms = []digest.Algorithm{digest.SHA256, digest.SHA512}

// expectBlob wants the whole blob by GET and by HEAD.
func (r *rig) expectBlob(repo string, d digest.Digest, want []byte) {
	r.t.Helper()
	path := "/v2/" + repo + "/blobs/" + d.String()
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		res := r.do(ask{as: "ada", method: method, path: path}, 200)
		if res.ContentLength != int64(len(want)) || res.Header.Get("Docker-Content-Digest") != d.String() || res.Header.Get("Content-Type") == "" {
			r.t.Fatalf("%s %s: length %d of %d, %v", method, path, res.ContentLength, len(want), res.Header)
		}
		if method == http.MethodGet && !bytes.Equal(res.b, want) {
			r.t.Fatalf("%s gives other bytes", path)
		}
	}
}

// begin begins an upload and gives its location.
func (r *rig) begin(repo string) string {
	r.t.Helper()
	res := r.do(ask{as: "ada", method: "POST", path: "/v2/" + repo + "/blobs/uploads/"}, 202)
	if res.Header.Get("Location") == "" || res.Header.Get("Docker-Upload-Uuid") == "" || res.Header.Get("Range") != "0-0" {
		r.t.Fatalf("an upload began with %v", res.Header)
	}
	return res.Header.Get("Location")
}

func chunk(b []byte, from, to int) ask {
	return ask{as: "ada", method: "PATCH", body: bytes.NewReader(b[from:to]), header: map[string]string{
		"Content-Type": typeBytes, "Content-Range": fmt.Sprintf("%d-%d", from, to-1)}}
}

// at directs a request.
func (a ask) at(path string) ask { a.path = path; return a }

// last makes a chunk the last one.
func (a ask) last(d digest.Digest) ask {
	a.method, a.query = "PUT", url.Values{"digest": {d.String()}}
	return a
}

func closing(d digest.Digest) ask {
	return ask{as: "ada", method: "PUT", query: url.Values{"digest": {d.String()}}}
}

// ways to bring a blob; each gives the answer that ends it.
var ways = map[string]func(r *rig, b []byte, d digest.Digest, status int) answer{
	"one POST": func(r *rig, b []byte, d digest.Digest, status int) answer {
		return r.do(ask{as: "ada", method: "POST", path: "/v2/" + repoA + "/blobs/uploads/", query: url.Values{"digest": {d.String()}}, body: bytes.NewReader(b)}, status)
	},
	"POST, PUT": func(r *rig, b []byte, d digest.Digest, status int) answer {
		return r.do(ask{as: "ada", method: "PUT", path: r.begin(repoA), query: url.Values{"digest": {d.String()}}, body: bytes.NewReader(b)}, status)
	},
	"stream": func(r *rig, b []byte, d digest.Digest, status int) answer {
		// A body of unknown length, without a range.
		res := r.do(ask{as: "ada", method: "PATCH", path: r.begin(repoA), body: io.MultiReader(bytes.NewReader(b))}, 202)
		return r.do(closing(d).at(res.Header.Get("Location")), status)
	},
	"chunks": func(r *rig, b []byte, d digest.Digest, status int) answer {
		loc, step := r.begin(repoA), len(b)/3+1
		for from := 0; from < len(b); from += step {
			to := min(from+step, len(b))
			res := r.do(chunk(b, from, to).at(loc), 202)
			if res.Header.Get("Range") != fmt.Sprintf("0-%d", to-1) {
				r.t.Fatalf("after %d bytes the range is %q", to, res.Header.Get("Range"))
			}
			loc = res.Header.Get("Location")
		}
		return r.do(closing(d).at(loc), status)
	},
	"chunks, the last by PUT": func(r *rig, b []byte, d digest.Digest, status int) answer {
		loc, step := r.begin(repoA), len(b)/3+1
		for from := 0; ; from += step {
			if from+step >= len(b) {
				return r.do(chunk(b, from, len(b)).last(d).at(loc), status)
			}
			loc = r.do(chunk(b, from, from+step).at(loc), 202).Header.Get("Location")
		}
	},
	"chunks out of order": func(r *rig, b []byte, d digest.Digest, status int) answer {
		loc, step := r.begin(repoA), len(b)/3+1
		for from := 0; from < len(b); from += step {
			wrong := (from + step) % len(b) / step * step // the next one, or the first again
			for _, bad := range []ask{chunk(b, wrong, min(wrong+step, len(b))), chunk(b, wrong, min(wrong+step, len(b))).last(d)} {
				res := r.do(bad.at(loc), 416)
				if !slices.Equal(res.codes(), []string{"BLOB_UPLOAD_INVALID"}) || res.Header.Get("Location") == "" {
					r.t.Fatalf("out of order: %s %v", res.b, res.Header)
				}
			}
			res := r.do(ask{as: "ada", method: "GET", path: loc}, 204)
			if want := fmt.Sprintf("0-%d", max(from-1, 0)); res.Header.Get("Range") != want {
				r.t.Fatalf("the range is %q, want %q", res.Header.Get("Range"), want)
			}
			loc = res.Header.Get("Location")
			loc = r.do(chunk(b, from, min(from+step, len(b))).at(loc), 202).Header.Get("Location")
		}
		return r.do(closing(d).at(loc), status)
	},
}

func TestProtocol(t *testing.T) {
	r := newRig(t)
	t.Run("base", func(t *testing.T) {
		if res := r.do(ask{as: "ada", method: "GET", path: "/v2/"}, 200); res.Header.Get("Docker-Distribution-Api-Version") == "" {
			t.Fatal(res.Header)
		}
		res := r.do(ask{method: "GET", path: "/v2/"}, 401)
		if !strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Bearer realm=") || !slices.Equal(res.codes(), []string{"UNAUTHORIZED"}) {
			t.Fatalf("%v %s", res.Header, res.b)
		}
	})
	t.Run("nothing there yet", func(t *testing.T) {
		r.refused(ask{as: "ada", method: "GET", path: "/v2/" + repoA + "/tags/list"}, 404, "NAME_UNKNOWN")
		var list index
		res := r.do(ask{as: "ada", method: "GET", path: "/v2/" + repoA + "/referrers/" + digest.FromString("x").String()}, 200)
		if json.Unmarshal(res.b, &list) != nil || list.MediaType != model.MediaTypeOCIIndex || list.Manifests == nil {
			t.Fatalf("%s", res.b)
		}
	})
	for _, algo := range algorithms {
		t.Run(algo.String(), func(t *testing.T) {
			for _, name := range slices.Sorted(maps.Keys(ways)) {
				t.Run(name, func(t *testing.T) { r.conformBlob(t, algo, ways[name]) })
			}
			t.Run("mount", func(t *testing.T) { r.conformMount(t, algo) })
			t.Run("ranges", func(t *testing.T) { r.conformRanges(t, algo) })
			t.Run("small", func(t *testing.T) {
				for _, b := range [][]byte{{}, []byte("{}"), []byte("x")} {
					d := algo.FromBytes(b)
					r.pushAs("ada", repoA, b, d)
					r.expectBlob(repoA, d, b)
					r.do(ask{as: "ada", method: "DELETE", path: "/v2/" + repoA + "/blobs/" + d.String()}, 202)
				}
			})
			t.Run("cancel", func(t *testing.T) {
				loc := r.begin(repoA)
				r.do(chunk([]byte("something"), 0, 4).at(loc), 202)
				r.do(ask{as: "ada", method: "DELETE", path: loc}, 204)
				for _, method := range []string{"GET", "PATCH", "DELETE"} {
					r.refused(ask{as: "ada", method: method, path: loc}, 404, "BLOB_UPLOAD_UNKNOWN")
				}
			})
		})
	}
	t.Run("manifests", r.conformManifests)
	t.Run("referrers", r.conformReferrers)
	t.Run("tags", r.conformTags)
	t.Run("docker", r.conformDocker)
	t.Run("errors", r.conformErrors)
	if u, err := r.reg.Usage(t.Context()); err != nil || u.Uploads != 1 { // the one that errors leave open
		t.Errorf("left behind: %+v %v", u, err)
	}
}

func (r *rig) conformBlob(t *testing.T, algo digest.Algorithm, way func(*rig, []byte, digest.Digest, int) answer) {
	b := random(3*1500 - 5)
	d := algo.FromBytes(b)
	path := "/v2/" + repoA + "/blobs/" + d.String()
	r.refused(ask{as: "ada", method: "GET", path: path}, 404, codeOf(r, repoA))
	res := way(r, b, d, 201)
	if res.Header.Get("Docker-Content-Digest") != d.String() {
		t.Fatal(res.Header)
	}
	got := r.do(ask{as: "ada", method: "GET", path: res.Header.Get("Location")}, 200)
	if !bytes.Equal(got.b, b) {
		t.Fatal("the location gives other bytes")
	}
	r.expectBlob(repoA, d, b)
	way(r, b, d, 201) // once more
	r.expectBlob(repoA, d, b)
	r.do(ask{as: "ada", method: "DELETE", path: path}, 202)
	r.refused(ask{as: "ada", method: "GET", path: path}, 404, "BLOB_UNKNOWN")
	r.refused(ask{as: "ada", method: "DELETE", path: path}, 404, "BLOB_UNKNOWN")

	// Bytes that are not what their digest says.
	bad := append(slices.Clone(random(3*1500-5)), "oh no"...)
	claimed := algo.FromBytes(bad[:len(bad)-5])
	if res := way(r, bad, claimed, 400); !slices.Equal(res.codes(), []string{"DIGEST_INVALID"}) {
		t.Fatalf("%s", res.b)
	}
	r.refused(ask{as: "ada", method: "GET", path: "/v2/" + repoA + "/blobs/" + claimed.String()}, 404, "BLOB_UNKNOWN")
}

// codeOf is what is said of a blob: a repository that nobody has pushed to is
// unknown itself.
func codeOf(r *rig, repo string) string {
	if _, ok := r.cluster.View().RepositoryByPath(repo); ok {
		return "BLOB_UNKNOWN"
	}
	return "NAME_UNKNOWN"
}

func (r *rig) conformMount(t *testing.T, algo digest.Algorithm) {
	b := random(2000)
	d := algo.FromBytes(b)
	mount := func(from string) ask {
		q := url.Values{"mount": {d.String()}}
		if from != "" {
			q.Set("from", from)
		}
		return ask{as: "ada", method: "POST", path: "/v2/" + repoA + "/blobs/uploads/", query: q}
	}
	for _, from := range []string{repoB, "", "default/no-such", "../../etc", repoA} {
		res := r.do(mount(from), 202) // missing: an upload begins
		r.do(ask{as: "ada", method: "DELETE", path: res.Header.Get("Location")}, 204)
	}
	r.pushAs("ada", repoB, b, d)
	for _, from := range []string{repoB, ""} {
		res := r.do(mount(from), 201)
		if res.Header.Get("Docker-Content-Digest") != d.String() {
			t.Fatal(res.Header)
		}
		r.do(ask{as: "ada", method: "GET", path: res.Header.Get("Location")}, 200)
		r.expectBlob(repoA, d, b)
		r.do(ask{as: "ada", method: "DELETE", path: "/v2/" + repoA + "/blobs/" + d.String()}, 202)
		r.expectBlob(repoB, d, b)
	}
	bad := mount(repoB)
	bad.query.Set("mount", "sha256:short")
	r.refused(bad, 400, "DIGEST_INVALID")
}

func (r *rig) conformRanges(t *testing.T, algo digest.Algorithm) {
	b := random(2048)
	d := algo.FromBytes(b)
	r.pushAs("ada", repoA, b, d)
	for _, tt := range []struct {
		ask      string
		from, to int // to excluded; both 0: cannot be satisfied
	}{
		{"bytes=500-1499", 500, 1500}, {"bytes=500-", 500, 2048}, {"bytes=-500", 1548, 2048}, {"bytes=2000-5000", 2000, 2048}, {"bytes=0-0", 0, 1},
		{"bytes=500-0", 0, 0}, {"bytes=5000-10000", 0, 0}, {"bytes=2048-", 0, 0},
	} {
		status := 206
		if tt.to == 0 {
			status = 416
		}
		res := r.do(ask{as: "ada", method: "GET", path: "/v2/" + repoA + "/blobs/" + d.String(), header: map[string]string{"Range": tt.ask}}, status)
		if tt.to == 0 {
			continue
		}
		if !bytes.Equal(res.b, b[tt.from:tt.to]) || res.Header.Get("Content-Range") != fmt.Sprintf("bytes %d-%d/%d", tt.from, tt.to-1, len(b)) || res.ContentLength != int64(tt.to-tt.from) {
			t.Errorf("%s: %d bytes, %v", tt.ask, len(res.b), res.Header)
		}
	}
}

type index struct {
	SchemaVersion int
	MediaType     string
	Manifests     []desc
}

// expectManifest wants a manifest by a reference, by GET and HEAD.
func (r *rig) expectManifest(repo, ref string, m doc, d digest.Digest) {
	r.t.Helper()
	want := m.bytes()
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		res := r.do(ask{as: "ada", method: method, path: "/v2/" + repo + "/manifests/" + ref, header: map[string]string{"Accept": m.MediaType}}, 200)
		if res.Header.Get("Content-Type") != m.MediaType || res.Header.Get("Docker-Content-Digest") != d.String() || res.Header.Get("Content-Length") != strconv.Itoa(len(want)) {
			r.t.Fatalf("%s %s: %v", method, ref, res.Header)
		}
		if method == http.MethodGet && !bytes.Equal(res.b, want) {
			r.t.Fatalf("%s: other bytes", ref)
		}
	}
}

func (r *rig) conformManifests(t *testing.T) {
	const repo = "default/manifests"
	plain := r.image("ada", repo, random(100), random(200))
	large := r.image("ada", repo, random(10))
	large.Annotations = map[string]string{}
	for i := range 390 { // nearly 4 MiB
		large.Annotations[fmt.Sprintf("a%d", i)] = strings.Repeat("A", 10_000)
	}
	r.push("ada", repo, []byte("{}"))
	empty := descOf("application/vnd.oci.empty.v1+json", []byte("{}"))
	artifact := doc{SchemaVersion: 2, MediaType: model.MediaTypeOCIManifest, ArtifactType: "text/x-test", Config: &empty, Layers: []desc{empty}}
	noLayers := r.image("ada", repo)
	data := r.image("ada", repo, random(10))
	data.Layers = append(data.Layers, empty)
	data.Layers[1].Data = []byte("{}")
	foreign := r.image("ada", repo, random(10))
	foreign.Layers = append(foreign.Layers, desc{MediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", Digest: digest.FromString("elsewhere"), Size: 12345, URLs: []string{"https://store.example.com/x"}})
	noType := r.image("ada", repo, random(10))
	zstd := r.image("ada", repo, random(10))
	zstd.Layers[0].MediaType = "application/vnd.oci.image.layer.v1.tar+zstd"

	one, two := r.image("ada", repo, random(10)), r.image("ada", repo, random(10))
	multi := doc{SchemaVersion: 2, MediaType: model.MediaTypeOCIIndex, Manifests: []desc{one.desc(), two.desc()}}
	multi.Manifests[0].Platform = map[string]string{"os": "linux", "architecture": "amd64"}
	nested := doc{SchemaVersion: 2, MediaType: model.MediaTypeOCIIndex, Manifests: []desc{multi.desc()}}
	none := doc{SchemaVersion: 2, MediaType: model.MediaTypeOCIIndex, Manifests: []desc{}, Annotations: map[string]string{"a": "b"}}

	all := []doc{plain, large, artifact, noLayers, data, foreign, zstd, one, two, multi, nested, none}
	for i, m := range all {
		for _, algo := range algorithms {
			d := algo.FromBytes(m.bytes())
			tags := []string{fmt.Sprintf("p%d-%s", i, algo), fmt.Sprintf("q%d-%s", i, algo)}
			res := r.do(ask{as: "ada", method: "PUT", path: "/v2/" + repo + "/manifests/" + d.String(), query: url.Values{"tag": tags},
				body: bytes.NewReader(m.bytes()), header: map[string]string{"Content-Type": m.MediaType}}, 201)
			if res.Header.Get("Docker-Content-Digest") != d.String() || !slices.Equal(res.Header.Values("OCI-Tag"), tags) {
				t.Fatalf("%v", res.Header)
			}
			r.do(ask{as: "ada", method: "GET", path: res.Header.Get("Location")}, 200)
			for _, ref := range append(tags, d.String()) {
				r.expectManifest(repo, ref, m, d)
			}
		}
		r.put("ada", repo, fmt.Sprintf("v%d", i), m)
		r.expectManifest(repo, fmt.Sprintf("v%d", i), m, m.desc().Digest)
	}
	// Without a Content-Type, the document's own counts.
	r.do(ask{as: "ada", method: "PUT", path: "/v2/" + repo + "/manifests/untyped", body: bytes.NewReader(noType.bytes())}, 201)
	r.expectManifest(repo, "untyped", noType, noType.desc().Digest)

	view := r.cluster.View()
	rr, _ := view.RepositoryByPath(repo)
	if m, ok := view.Manifest(rr.ID, plain.desc().Digest.String()); !ok || m.Descriptor.Platform != "linux/amd64" || len(m.Refs) != 3 || m.PushedBy != "ada" {
		t.Fatalf("%+v", m)
	}

	// What an index needs stays; then everything goes.
	r.refused(ask{as: "ada", method: "DELETE", path: "/v2/" + repo + "/manifests/" + one.desc().Digest.String()}, 405, "UNSUPPORTED")
	r.refused(ask{as: "ada", method: "DELETE", path: "/v2/" + repo + "/blobs/" + plain.Layers[0].Digest.String()}, 405, "UNSUPPORTED")
	r.do(ask{as: "ada", method: "DELETE", path: "/v2/" + repo + "/manifests/v0"}, 202) // a tag
	r.refused(ask{as: "ada", method: "DELETE", path: "/v2/" + repo + "/manifests/v0"}, 404, "MANIFEST_UNKNOWN")
	r.refused(ask{as: "ada", method: "GET", path: "/v2/" + repo + "/manifests/v0"}, 404, "MANIFEST_UNKNOWN")
	r.expectManifest(repo, "p0-sha256", plain, plain.desc().Digest)
	for _, m := range []doc{nested, multi, one, two, none, zstd, foreign, data, noLayers, artifact, large, plain} {
		for _, algo := range []digest.Algorithm{digest.SHA512, digest.SHA256} {
			path := "/v2/" + repo + "/manifests/" + algo.FromBytes(m.bytes()).String()
			r.do(ask{as: "ada", method: "DELETE", path: path}, 202)
			r.refused(ask{as: "ada", method: "GET", path: path}, 404, "MANIFEST_UNKNOWN")
		}
	}
	r.refused(ask{as: "ada", method: "GET", path: "/v2/" + repo + "/manifests/p0-sha256"}, 404, "MANIFEST_UNKNOWN")
	r.do(ask{as: "ada", method: "DELETE", path: "/v2/" + repo + "/blobs/" + plain.Layers[0].Digest.String()}, 202)
}

func (r *rig) conformReferrers(t *testing.T) {
	const repo = "default/referrers"
	r.push("ada", repo, []byte("{}"))
	empty := descOf("application/vnd.oci.empty.v1+json", []byte("{}"))
	subject := r.image("ada", repo, random(10))
	r.put("ada", repo, "image", subject)
	missing := desc{MediaType: model.MediaTypeOCIManifest, Digest: digest.FromString("missing"), Size: 123}
	for _, about := range []desc{subject.desc(), missing} {
		want := map[digest.Digest]desc{}
		refer := func(m doc, artifactType string) {
			m.Subject = &about
			res := r.put("ada", repo, m.desc().Digest.String(), m)
			if res.Header.Get("OCI-Subject") != about.Digest.String() {
				t.Fatalf("%v", res.Header)
			}
			d := m.desc()
			d.ArtifactType, d.Annotations = artifactType, m.Annotations
			want[d.Digest] = d
		}
		refer(r.image("ada", repo, random(10)), typeConfig) // the type of its config
		long := map[string]string{"long": strings.Repeat("x", 100_000)}
		for i := range 150 {
			m := doc{SchemaVersion: 2, MediaType: model.MediaTypeOCIManifest, ArtifactType: "text/x-a", Config: &empty, Layers: []desc{empty}, Annotations: map[string]string{"n": strconv.Itoa(i)}}
			if i%50 == 0 {
				m.ArtifactType, m.Annotations = "text/x-b", long
			}
			refer(m, m.ArtifactType)
		}
		refer(doc{SchemaVersion: 2, MediaType: model.MediaTypeOCIIndex, ArtifactType: "text/x-index", Manifests: []desc{}}, "text/x-index")

		list := func(q url.Values) map[digest.Digest]desc {
			got := map[digest.Digest]desc{}
			path, pages := "/v2/"+repo+"/referrers/"+about.Digest.String(), 0
			for path != "" {
				res := r.do(ask{as: "ada", method: "GET", path: path, query: q}, 200)
				var l index
				if err := json.Unmarshal(res.b, &l); err != nil || l.SchemaVersion != 2 || l.MediaType != model.MediaTypeOCIIndex || res.Header.Get("Content-Type") != l.MediaType || len(res.b) > 4<<20 {
					t.Fatalf("%v %s", err, res.b[:min(len(res.b), 500)])
				}
				if q != nil && res.Header.Get("OCI-Filters-Applied") != "artifactType" {
					t.Fatalf("%v", res.Header)
				}
				for _, m := range l.Manifests {
					if _, twice := got[m.Digest]; twice {
						t.Fatalf("%s comes twice", m.Digest)
					}
					got[m.Digest] = m
				}
				path, q = nextPage(t, res), nil
				pages++
			}
			if len(got) > 100 && pages < 2 {
				t.Fatal("not paged")
			}
			return got
		}
		equal := func(got, want map[digest.Digest]desc) bool {
			return maps.EqualFunc(got, want, func(a, b desc) bool {
				return a.MediaType == b.MediaType && a.Size == b.Size && a.ArtifactType == b.ArtifactType && maps.Equal(a.Annotations, b.Annotations)
			})
		}
		if got := list(nil); !equal(got, want) {
			t.Fatalf("%d referrers, want %d", len(got), len(want))
		}
		for _, kind := range []string{"text/x-b", "text/x-index", typeConfig, "text/none"} {
			some := maps.Clone(want)
			maps.DeleteFunc(some, func(_ digest.Digest, d desc) bool { return d.ArtifactType != kind })
			if got := list(url.Values{"artifactType": {kind}}); !equal(got, some) {
				t.Fatalf("%s: %d referrers, want %d", kind, len(got), len(some))
			}
		}
	}
	r.refused(ask{as: "ada", method: "GET", path: "/v2/" + repo + "/referrers/sha256:x"}, 400, "DIGEST_INVALID")
}

// nextPage reads the Link header.
func nextPage(t *testing.T, res answer) string {
	t.Helper()
	h := res.Header.Get("Link")
	if h == "" {
		return ""
	}
	path, rel, ok := strings.Cut(strings.TrimPrefix(h, "<"), ">")
	if !ok || rel != `; rel="next"` {
		t.Fatalf("Link: %s", h)
	}
	return path
}

func (r *rig) conformTags(t *testing.T) {
	const repo = "default/tags"
	m := r.image("ada", repo, random(10))
	want := []string{"0", "1.0", "1.0.1", "A", "B-2", "_", "latest", "z.z"}
	for _, tag := range []string{"latest", "1.0", "z.z", "_", "B-2", "A", "0", "1.0.1"} {
		r.put("ada", repo, tag, m)
	}
	type list struct {
		Name         string
		Tags         []string
		Repositories []string
	}
	get := func(path string, q url.Values) (list, answer) {
		res := r.do(ask{as: "ada", method: "GET", path: path, query: q}, 200)
		var l list
		if err := json.Unmarshal(res.b, &l); err != nil {
			t.Fatal(err)
		}
		return l, res
	}
	path := "/v2/" + repo + "/tags/list"
	if l, res := get(path, nil); l.Name != repo || !slices.Equal(l.Tags, want) || res.Header.Get("Link") != "" {
		t.Fatalf("%+v", l)
	}
	for n := 1; n < 9; n++ {
		var got []string
		q, at := url.Values{"n": {strconv.Itoa(n)}}, path
		for at != "" {
			l, res := get(at, q)
			if len(l.Tags) > n {
				t.Fatalf("%d tags, asked for %d", len(l.Tags), n)
			}
			got = append(got, l.Tags...)
			q, at = nil, nextPage(t, res)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("by %d: %q", n, got)
		}
	}
	if l, _ := get(path, url.Values{"last": {"B"}}); !slices.Equal(l.Tags, want[4:]) {
		t.Fatalf("%q", l.Tags)
	}
	if l, _ := get(path, url.Values{"n": {"0"}}); l.Tags == nil || len(l.Tags) != 0 {
		t.Fatalf("%q", l.Tags)
	}
	for _, n := range []string{"-1", "x", "99999999999999999999"} {
		r.refused(ask{as: "ada", method: "GET", path: path, query: url.Values{"n": {n}}}, 400, "UNSUPPORTED")
	}
	r.push("bob", "other/secret", []byte("x"))
	l, _ := get("/v2/_catalog", nil)
	if !slices.IsSorted(l.Repositories) || !slices.Contains(l.Repositories, repo) || slices.Contains(l.Repositories, "other/secret") {
		t.Fatalf("%q", l.Repositories)
	}
	first, res := get("/v2/_catalog", url.Values{"n": {"1"}})
	second, _ := get(nextPage(t, res), nil)
	if first.Repositories[0] != l.Repositories[0] || second.Repositories[0] != l.Repositories[1] {
		t.Fatalf("%q %q", first, second)
	}
}

// conformDocker takes what Docker's own clients push.
func (r *rig) conformDocker(*testing.T) {
	const repo = "default/docker"
	m := r.image("ada", repo, random(100))
	m.MediaType = model.MediaTypeDockerManifest
	m.Config.MediaType, m.Layers[0].MediaType = "application/vnd.docker.container.image.v1+json", "application/vnd.docker.image.rootfs.diff.tar.gzip"
	m.Layers = append(m.Layers, desc{MediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", Digest: digest.FromString("windows"), Size: 7})
	r.put("ada", repo, "1", m)
	r.expectManifest(repo, "1", m, m.desc().Digest)
	list := doc{SchemaVersion: 2, MediaType: model.MediaTypeDockerList, Manifests: []desc{m.desc()}}
	r.put("ada", repo, "list", list)
	r.expectManifest(repo, "list", list, list.desc().Digest)
}
