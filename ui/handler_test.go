package ui

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

func testHandler(t *testing.T) http.Handler {
	t.Helper()
	h, err := NewHandler(fstest.MapFS{
		"index.html":            {Data: []byte("<title>page</title>")},
		"assets/app-1a2b.js":    {Data: []byte("plain")},
		"assets/app-1a2b.js.gz": {Data: []byte("gz")},
		"assets/app-1a2b.js.br": {Data: []byte("br")},
		".vite/manifest.json":   {Data: []byte("{}")},
		"favicon.svg":           {Data: []byte("<svg/>")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func get(t *testing.T, h http.Handler, method, target string, headers map[string]string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestHandler(t *testing.T) {
	h := testHandler(t)
	const page = "<title>page</title>"
	browser := "text/html,application/xhtml+xml,*/*;q=0.8"
	cases := []struct {
		name, method, path, accept, encoding string
		status                               int
		body, contentEncoding                string
	}{
		{"root", "GET", "/", browser, "", 200, page, ""},
		{"page of the router", "GET", "/apps/web", browser, "br", 200, page, ""},
		{"page with a dot in its name", "GET", "/images/nginx:1.27", browser, "", 200, page, ""},
		{"brotli first", "GET", "/assets/app-1a2b.js", "*/*", "gzip, deflate, br", 200, "br", "br"},
		{"gzip", "GET", "/assets/app-1a2b.js", "*/*", "gzip", 200, "gz", "gzip"},
		{"refused by q=0", "GET", "/assets/app-1a2b.js", "*/*", "br;q=0, gzip;q=0.5", 200, "gz", "gzip"},
		{"plain", "GET", "/assets/app-1a2b.js", "*/*", "", 200, "plain", ""},
		{"old asset is gone, not a page", "GET", "/assets/app-old.js", browser, "", 404, "404 page not found\n", ""},
		{"script that is not there", "GET", "/nothing.js", "application/json", "", 404, "404 page not found\n", ""},
		{"manifest stays inside", "GET", "/.vite/manifest.json", "application/json", "", 404, "404 page not found\n", ""},
		{"path climbs", "GET", "/../../etc/passwd", browser, "", 200, page, ""},
		{"head", "HEAD", "/", browser, "", 200, "", ""},
		{"post", "POST", "/", browser, "", 405, "the console answers GET and HEAD only\n", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := get(t, h, c.method, c.path, map[string]string{"Accept": c.accept, "Accept-Encoding": c.encoding})
			if w.Code != c.status || w.Body.String() != c.body {
				t.Fatalf("got %d %q, want %d %q", w.Code, w.Body.String(), c.status, c.body)
			}
			if got := w.Header().Get("Content-Encoding"); got != c.contentEncoding {
				t.Fatalf("Content-Encoding %q, want %q", got, c.contentEncoding)
			}
		})
	}
}

func TestHandlerCaching(t *testing.T) {
	h := testHandler(t)
	asset := get(t, h, "GET", "/assets/app-1a2b.js", map[string]string{"Accept-Encoding": "br"})
	if got := asset.Header().Get("Cache-Control"); !strings.Contains(got, "immutable") {
		t.Errorf("hashed asset has Cache-Control %q", got)
	}
	if got := asset.Header().Get("Content-Type"); !strings.HasPrefix(got, "text/javascript") {
		t.Errorf("script has Content-Type %q", got)
	}
	index := get(t, h, "GET", "/", nil)
	if got := index.Header().Get("Cache-Control"); got != "no-cache" {
		t.Errorf("index.html has Cache-Control %q", got)
	}
	again := get(t, h, "GET", "/", map[string]string{"If-None-Match": index.Header().Get("ETag")})
	if again.Code != http.StatusNotModified || again.Body.Len() != 0 {
		t.Errorf("revalidation got %d with %d bytes", again.Code, again.Body.Len())
	}
	plain := get(t, h, "GET", "/assets/app-1a2b.js", nil)
	if plain.Header().Get("ETag") == asset.Header().Get("ETag") {
		t.Error("plain and compressed bytes share a strong ETag")
	}
}

func TestEmbeddedFilesServe(t *testing.T) {
	h, err := NewHandler(FS())
	if err != nil {
		t.Fatal(err)
	}
	w := get(t, h, "GET", "/", map[string]string{"Accept": "text/html"})
	if w.Code != 200 || !strings.Contains(w.Body.String(), "<title>Skerry</title>") {
		t.Fatalf("got %d %q", w.Code, w.Body.String())
	}
	if inline := strings.Contains(w.Body.String(), "<script>"); inline {
		t.Error("index.html holds an inline script, which its own policy refuses")
	}
	if Built() == strings.Contains(w.Body.String(), "built without the console") {
		t.Errorf("Built() is %v, but the page says otherwise", Built())
	}
}
