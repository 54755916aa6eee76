package image_test

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerryhq/skerry/runtime/image"
	"github.com/skerryhq/skerry/runtime/runtimetest"
)

// registry serves one image as app/web:1 and, when it is given a password, only
// to those who know it.
type registry struct {
	blobs    map[string][]byte
	manifest []byte
	password string
	token    string
	corrupt  bool
	served   atomic.Int64
}

func newRegistry(t *testing.T) *registry {
	r := &registry{blobs: map[string][]byte{}}
	var digest string
	for _, f := range runtimetest.OCILayout(t, "x", runtimetest.ImageConfig{Cmd: []string{"/hello"}}, small(t)) {
		if hex, ok := strings.CutPrefix(f.Name, "blobs/sha256/"); ok {
			r.blobs["sha256:"+hex] = f.Body
		}
		if f.Name == "index.json" {
			var idx struct {
				Manifests []struct{ Digest string }
			}
			if err := json.Unmarshal(f.Body, &idx); err != nil {
				t.Fatal(err)
			}
			digest = idx.Manifests[0].Digest
		}
	}
	r.manifest = r.blobs[digest]
	return r
}

func (r *registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if r.password != "" {
		if _, p, _ := req.BasicAuth(); p != r.password {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
	}
	if r.token != "" && req.Header.Get("Authorization") != "Bearer "+r.token {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	switch path := req.URL.Path; {
	case path == "/v2/app/web/manifests/1" || path == "/v2/app/web/manifests/"+runtimetest.Digest(r.manifest):
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		w.Header().Set("Docker-Content-Digest", runtimetest.Digest(r.manifest))
		w.Write(r.manifest)
	case strings.HasPrefix(path, "/v2/app/web/blobs/") && r.blobs[strings.TrimPrefix(path, "/v2/app/web/blobs/")] != nil:
		r.served.Add(1)
		b := r.blobs[strings.TrimPrefix(path, "/v2/app/web/blobs/")]
		if r.corrupt {
			b = append([]byte("X"), b[1:]...)
		}
		w.Write(b)
	default:
		http.NotFound(w, req)
	}
}

func TestPull(t *testing.T) {
	h := runtimetest.New(t)
	ctx := runtimetest.Context(t, time.Minute)
	reg := newRegistry(t)
	plain := httptest.NewServer(reg)
	defer plain.Close()
	secure := httptest.NewTLSServer(reg)
	defer secure.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	name := strings.TrimPrefix(plain.URL, "http://") + "/app/web:1"
	secureName := strings.TrimPrefix(secure.URL, "https://") + "/app/web:1"
	clean := func() {
		t.Helper()
		list, err := h.Images.List(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range list {
			if err := h.Images.Remove(ctx, i.Digest); err != nil {
				t.Fatal(err)
			}
		}
		if b, s, l, i := held(t, h); b+s+l+i != 0 {
			t.Errorf("the engine holds %d blobs, %d snapshots, %d leases, %d ingests", b, s, l, i)
		}
	}

	var done int64
	d, err := h.Images.Pull(ctx, name, image.PullOptions{Progress: func(p image.Progress) {
		if p.Step == "download" && p.Done == p.Total {
			done++
		}
	}})
	if err != nil || d.String() != runtimetest.Digest(reg.manifest) || done < 2 {
		t.Fatalf("anonymous: %s %v (%d downloads reported)", d, err, done)
	}
	if res, err := h.Images.Resolve(ctx, d); err != nil || res.ChainID == "" {
		t.Errorf("resolve: %+v %v", res, err)
	}
	before := reg.served.Load()
	if _, err := h.Images.Pull(ctx, name, image.PullOptions{}); err != nil || reg.served.Load() != before {
		t.Errorf("pull again: %v, %d blobs fetched", err, reg.served.Load()-before)
	}
	clean()

	if _, err := h.Images.Pull(ctx, secureName, image.PullOptions{CA: ca}); err != nil {
		t.Errorf("own CA: %v", err)
	}
	clean()
	if _, err := h.Images.Pull(ctx, strings.Replace(name, ":1", ":nosuch", 1), image.PullOptions{}); !errors.Is(err, image.ErrUnknownReference) {
		t.Errorf("unknown tag: %v", err)
	}
	reg.password = "s3cret"
	if _, err := h.Images.Pull(ctx, name, image.PullOptions{}); !errors.Is(err, image.ErrDenied) {
		t.Errorf("without password: %v", err)
	}
	if _, err := h.Images.Pull(ctx, name, image.PullOptions{Credentials: image.Credentials{Username: "u", Password: "wrong"}}); !errors.Is(err, image.ErrDenied) || strings.Contains(err.Error(), "wrong") {
		t.Errorf("wrong password: %v", err)
	}
	if _, err := h.Images.Pull(ctx, name, image.PullOptions{Credentials: image.Credentials{Username: "u", Password: "s3cret"}}); err != nil {
		t.Errorf("with password: %v", err)
	}
	clean()
	reg.password, reg.token = "", "t0ken"
	if _, err := h.Images.Pull(ctx, name, image.PullOptions{Credentials: image.Credentials{BearerToken: "t0ken"}}); err != nil {
		t.Errorf("with token: %v", err)
	}
	clean()
	reg.token, reg.corrupt = "", true
	if _, err := h.Images.Pull(ctx, name, image.PullOptions{}); err == nil {
		t.Error("corrupt blobs were accepted")
	}
	clean()
}

func TestNormalize(t *testing.T) {
	for in, want := range map[string]string{
		"nginx": "docker.io/library/nginx:latest", "shop/web:2": "docker.io/shop/web:2", "127.0.0.1:7443/a/b": "127.0.0.1:7443/a/b:latest",
		"Web": "", "a b": "", "": "", "../x": "", "x:" + strings.Repeat("1", 600): "",
	} {
		got, err := image.Normalize(in)
		if got != want || (want == "") != errors.Is(err, image.ErrRefused) {
			t.Errorf("%q: got %q %v, want %q", in, got, err, want)
		}
	}
}
