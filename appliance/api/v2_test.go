package api

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/skerryhq/skerry/appliance/registry/auth"
)

// TestRegistryDoor hands every request under /v2 on as it came: any method, any
// path, a body that is no JSON and is large, and no gate of the API's before.
func TestRegistryDoor(t *testing.T) {
	r := bareRig(t)
	echo := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			n, err := io.Copy(io.Discard, req.Body)
			w.Header().Set("Seen", fmt.Sprintf("%s %s %s %d %v", name, req.Method, req.URL.Path, n, err))
			w.WriteHeader(http.StatusTeapot)
		})
	}
	s, err := New(Config{Cluster: r.node, Operations: r.ops, Runtime: r.runtime, V2: echo("v2"), Token: echo("token"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s.Handler())
	defer web.Close()
	body := bytes.Repeat([]byte("x"), 20<<20)
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
		for _, path := range []string{"/v2", "/v2/", "/v2/a/b/blobs/uploads/", "/v2/a//b", "/v2/a/manifests/sha256:x", auth.TokenPath} {
			var in io.Reader
			size := 0
			if method != "GET" && method != "HEAD" {
				in, size = bytes.NewReader(body), len(body)
			}
			req, err := http.NewRequestWithContext(t.Context(), method, web.URL+path, in)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/octet-stream")
			res, err := web.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			name := "v2"
			if path == auth.TokenPath {
				name = "token"
			}
			if want := fmt.Sprintf("%s %s %s %d <nil>", name, method, path, size); res.StatusCode != http.StatusTeapot || res.Header.Get("Seen") != want {
				t.Errorf("%d %q, want %q", res.StatusCode, res.Header.Get("Seen"), want)
			}
		}
	}
}
