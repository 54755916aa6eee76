package registry_test

import (
	"bytes"
	"io"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/skerryhq/skerry/raft/model"
)

// conformErrors asks for every refusal that the specification has a code for.
func (r *rig) conformErrors(t *testing.T) {
	const repo = "default/errors"
	m := r.image("ada", repo, random(10))
	r.put("ada", repo, "1", m)
	put := func(ref string, b []byte, kind string) ask {
		return ask{as: "ada", method: "PUT", path: "/v2/" + repo + "/manifests/" + ref, body: bytes.NewReader(b), header: map[string]string{"Content-Type": kind}}
	}
	with := func(change func(*doc)) []byte {
		n := m
		n.Layers = slices.Clone(m.Layers)
		c := *m.Config
		n.Config = &c
		change(&n)
		return n.bytes()
	}
	oci := model.MediaTypeOCIManifest
	open := r.begin(repo)
	gone := digest.FromString("gone").String()
	for _, tt := range []struct {
		name   string
		a      ask
		status int
		code   string
	}{
		{"missing manifest", ask{as: "ada", method: "GET", path: "/v2/" + repo + "/manifests/" + gone}, 404, "MANIFEST_UNKNOWN"},
		{"missing tag", ask{as: "ada", method: "GET", path: "/v2/" + repo + "/manifests/none"}, 404, "MANIFEST_UNKNOWN"},
		{"malformed digest", ask{as: "ada", method: "GET", path: "/v2/" + repo + "/manifests/sha256:baddigest"}, 400, "DIGEST_INVALID"},
		{"malformed digest of a put", put("sha256:baddigest", m.bytes(), oci), 400, "DIGEST_INVALID"},
		{"other digest", put(gone, m.bytes(), oci), 400, "DIGEST_INVALID"},
		{"other algorithm", put("md5:d41d8cd98f00b204e9800998ecf8427e", m.bytes(), oci), 400, "DIGEST_INVALID"},
		{"bad tag", put("-x", m.bytes(), oci), 400, "TAG_INVALID"},
		{"long tag", put(strings.Repeat("x", 129), m.bytes(), oci), 400, "TAG_INVALID"},
		{"no JSON", put("x", []byte("hello"), oci), 400, "MANIFEST_INVALID"},
		{"empty", put("x", nil, oci), 400, "MANIFEST_INVALID"},
		{"two documents", put("x", append(m.bytes(), "{}"...), oci), 400, "MANIFEST_INVALID"},
		{"a list", put("x", []byte("[]"), oci), 400, "MANIFEST_INVALID"},
		{"null", put("x", []byte("null"), oci), 400, "MANIFEST_INVALID"},
		{"deep", put("x", []byte(strings.Repeat("[", 1<<20)), oci), 400, "MANIFEST_INVALID"},
		{"deep unknown field", put("x", []byte(`{"schemaVersion":2,"mediaType":"`+oci+`","x":`+strings.Repeat(`{"a":`, 20_000)+"1"+strings.Repeat("}", 20_000)+"}"), oci), 400, "MANIFEST_INVALID"},
		{"10 MB", put("x", bytes.Repeat([]byte(" "), 10<<20), oci), 413, "MANIFEST_INVALID"},
		{"10 MB of unknown length", ask{as: "ada", method: "PUT", path: "/v2/" + repo + "/manifests/x", body: io.MultiReader(bytes.NewReader(bytes.Repeat([]byte(" "), 10<<20))), header: map[string]string{"Content-Type": oci}}, 413, "MANIFEST_INVALID"},
		{"schema 1", put("x", []byte(`{"schemaVersion":1,"fsLayers":[]}`), "application/vnd.docker.distribution.manifest.v1+json"), 400, "MANIFEST_INVALID"},
		{"schema 3", put("x", with(func(d *doc) { d.SchemaVersion = 3 }), oci), 400, "MANIFEST_INVALID"},
		{"other type than said", put("x", m.bytes(), model.MediaTypeDockerManifest), 400, "MANIFEST_INVALID"},
		{"unknown type", put("x", with(func(d *doc) { d.MediaType = "text/plain" }), "text/plain"), 400, "MANIFEST_INVALID"},
		{"image and index", put("x", with(func(d *doc) { d.Manifests = []desc{m.desc()} }), oci), 400, "MANIFEST_INVALID"},
		{"index with layers", put("x", with(func(d *doc) { d.MediaType = model.MediaTypeOCIIndex }), model.MediaTypeOCIIndex), 400, "MANIFEST_INVALID"},
		{"no config", put("x", with(func(d *doc) { d.Config = nil }), oci), 400, "MANIFEST_INVALID"},
		{"layer not pushed", put("x", with(func(d *doc) { d.Layers[0].Digest = digest.FromString("gone") }), oci), 400, "MANIFEST_BLOB_UNKNOWN"},
		{"layer with a path", put("x", with(func(d *doc) { d.Layers[0].Digest = "sha256:../../../etc/passwd" }), oci), 400, "MANIFEST_INVALID"},
		{"layer of another size", put("x", with(func(d *doc) { d.Layers[0].Size++ }), oci), 400, "MANIFEST_INVALID"},
		{"layer of a negative size", put("x", with(func(d *doc) { d.Layers[0].Size = -1 }), oci), 400, "MANIFEST_INVALID"},
		{"layer of two sizes", put("x", with(func(d *doc) { l := d.Layers[0]; l.Size++; d.Layers = append(d.Layers, l) }), oci), 400, "MANIFEST_INVALID"},
		{"other data", put("x", with(func(d *doc) { d.Layers[0].Data = []byte("lies") }), oci), 400, "MANIFEST_INVALID"},
		{"bad subject", put("x", with(func(d *doc) { d.Subject = &desc{Digest: "x"} }), oci), 400, "MANIFEST_INVALID"},
		{"child not pushed", put("x", doc{SchemaVersion: 2, MediaType: model.MediaTypeOCIIndex, Manifests: []desc{{MediaType: oci, Digest: digest.FromString("gone"), Size: 1}}}.bytes(), model.MediaTypeOCIIndex), 400, "MANIFEST_BLOB_UNKNOWN"},
		{"child is a blob", put("x", doc{SchemaVersion: 2, MediaType: model.MediaTypeOCIIndex, Manifests: []desc{{MediaType: oci, Digest: m.Layers[0].Digest, Size: m.Layers[0].Size}}}.bytes(), model.MediaTypeOCIIndex), 400, "MANIFEST_BLOB_UNKNOWN"},

		{"bad name", ask{as: "ada", method: "GET", path: "/v2/Default/x/tags/list"}, 400, "NAME_INVALID"},
		{"name with a dot dot", ask{as: "ada", method: "POST", path: "/v2/default/%2e%2e/blobs/uploads/"}, 400, "NAME_INVALID"},
		{"name with an escaped slash", ask{as: "ada", method: "GET", path: "/v2/default%2F..%2F..%2Fetc/manifests/x"}, 400, "NAME_INVALID"},
		{"name with a NUL", ask{as: "ada", method: "GET", path: "/v2/default/x%00/manifests/x"}, 400, "NAME_INVALID"},
		{"long name", ask{as: "ada", method: "GET", path: "/v2/default/" + strings.Repeat("x", 300) + "/tags/list"}, 400, "NAME_INVALID"},
		{"reference with a path", ask{as: "ada", method: "GET", path: "/v2/" + repo + "/manifests/..%2f..%2fx"}, 404, "UNSUPPORTED"},
		{"no such path", ask{as: "ada", method: "GET", path: "/v2/" + repo + "/layers/x"}, 404, "UNSUPPORTED"},
		{"no tenant", ask{as: "ada", method: "POST", path: "/v2/web/blobs/uploads/"}, 400, "NAME_INVALID"},
		{"method", ask{as: "ada", method: "POST", path: "/v2/" + repo + "/manifests/1"}, 405, "UNSUPPORTED"},
		{"upload with a path", ask{as: "ada", method: "GET", path: "/v2/" + repo + "/blobs/uploads/..%2fx"}, 404, "UNSUPPORTED"},
		{"no such upload", ask{as: "ada", method: "PATCH", path: "/v2/" + repo + "/blobs/uploads/" + strings.Repeat("a", 26)}, 404, "BLOB_UPLOAD_UNKNOWN"},
		{"another repository's upload", ask{as: "ada", method: "GET", path: strings.Replace(open, repo, repoA, 1)}, 404, "BLOB_UPLOAD_UNKNOWN"},
		{"another's upload", ask{as: "root", method: "GET", path: open}, 404, "BLOB_UPLOAD_UNKNOWN"},
		{"no digest at the end", ask{as: "ada", method: "PUT", path: open}, 400, "DIGEST_INVALID"},
		{"range of another length", ask{as: "ada", method: "PATCH", path: open, body: strings.NewReader("abc"), header: map[string]string{"Content-Range": "0-9"}}, 400, "SIZE_INVALID"},
		{"range that is none", ask{as: "ada", method: "PATCH", path: open, body: strings.NewReader("abc"), header: map[string]string{"Content-Range": "x-y"}}, 400, "BLOB_UPLOAD_INVALID"},
		{"unknown algorithm", ask{as: "ada", method: "POST", path: "/v2/" + repo + "/blobs/uploads/", query: url.Values{"digest-algorithm": {"md5"}}}, 400, "UNSUPPORTED"},
		{"bad token", ask{method: "GET", path: "/v2/" + repo + "/tags/list", header: map[string]string{"Authorization": "Bearer sk_x_y"}}, 401, "UNAUTHORIZED"},
		{"nobody", ask{method: "GET", path: "/v2/" + repo + "/tags/list"}, 401, "UNAUTHORIZED"},
		{"viewer pushes", ask{as: "vic", method: "POST", path: "/v2/" + repo + "/blobs/uploads/"}, 403, "DENIED"},
		{"stranger reads", ask{as: "bob", method: "GET", path: "/v2/" + repo + "/manifests/1"}, 404, "NAME_UNKNOWN"},
		{"stranger reads a blob", ask{as: "bob", method: "GET", path: "/v2/" + repo + "/blobs/" + m.Layers[0].Digest.String()}, 404, "NAME_UNKNOWN"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defer func(old testing.TB) { r.t = old }(r.t)
			r.t = t
			r.refused(tt.a, tt.status, tt.code)
		})
	}
	if tags := r.do(ask{as: "ada", method: "GET", path: "/v2/" + repo + "/tags/list"}, 200); !bytes.Contains(tags.b, []byte(`"tags":["1"]`)) {
		t.Fatalf("a refused push left something: %s", tags.b)
	}
}
