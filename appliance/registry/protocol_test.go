package registry_test

import (
	"bytes"
	"net/url"
	"testing"

	"github.com/opencontainers/go-digest"
)

func TestSmoke(t *testing.T) {
	r := newRig(t)
	b := random(3<<20 + 17)
	d := r.push("ada", "default/web", b)
	res := r.do(ask{as: "ada", method: "GET", path: "/v2/default/web/blobs/" + d.String()}, 200)
	if !bytes.Equal(res.b, b) {
		t.Fatal("other bytes")
	}
	m := r.image("ada", "default/web", random(1000))
	r.put("ada", "default/web", "1.0", m)
	res = r.do(ask{as: "ada", method: "GET", path: "/v2/default/web/manifests/1.0"}, 200)
	if !bytes.Equal(res.b, m.bytes()) {
		t.Fatal("other manifest")
	}
	_ = url.Values{}
	_ = digest.SHA512
}
