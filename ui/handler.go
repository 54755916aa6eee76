package ui

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// ContentSecurityPolicy is what the console needs and no more: its own scripts, its own API and event streams, and inline
// styles, which Ant Design's component styles are. No frame may hold the console.
const ContentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
	"font-src 'self'; connect-src 'self' wss:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// file is one served file with everything that is known before a request comes.
type file struct {
	contentType string
	etag        string
	immutable   bool
	plain       []byte
	gzip        []byte // nil where compressing was not worth it
	brotli      []byte
}

// handler serves the files that were there when it was made.
type handler struct {
	files map[string]*file
}

// NewHandler reads fsys once and returns a handler for GET and HEAD. Files under assets/ carry a hash in their name and may
// be kept for ever; everything else is revalidated by ETag. A path that names no file and looks like a page of the console
// (no extension, accepts HTML) is answered with index.html, because the browser's router owns those paths.
//
// It fails when fsys has no index.html or a file cannot be read.
func NewHandler(fsys fs.FS) (http.Handler, error) {
	h := &handler{files: map[string]*file{}}
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name != "." && strings.HasPrefix(entry.Name(), ".") {
				return fs.SkipDir // .vite/manifest.json is the build's business
			}
			return nil
		}
		if ext := path.Ext(name); ext == ".gz" || ext == ".br" {
			return nil
		}
		return h.add(fsys, name)
	})
	if err != nil {
		return nil, fmt.Errorf("read console files: %w", err)
	}
	if h.files["index.html"] == nil {
		return nil, fmt.Errorf("read console files: no index.html")
	}
	return h, nil
}

func (h *handler) add(fsys fs.FS, name string) error {
	plain, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(plain)
	f := &file{
		contentType: mime.TypeByExtension(path.Ext(name)),
		etag:        `"` + hex.EncodeToString(sum[:12]) + `"`,
		immutable:   strings.HasPrefix(name, "assets/"),
		plain:       plain,
	}
	if f.contentType == "" {
		f.contentType = "application/octet-stream"
	}
	// A missing twin is no error: small files have none.
	if twin, err := fs.ReadFile(fsys, name+".gz"); err == nil {
		f.gzip = twin
	}
	if twin, err := fs.ReadFile(fsys, name+".br"); err == nil {
		f.brotli = twin
	}
	h.files[name] = f
	return nil
}

// ServeHTTP answers one request for a console file.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "the console answers GET and HEAD only", http.StatusMethodNotAllowed)
		return
	}
	f := h.find(r)
	if f == nil {
		http.NotFound(w, r)
		return
	}
	header := w.Header()
	header.Set("Content-Security-Policy", ContentSecurityPolicy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "same-origin")
	header.Set("Content-Type", f.contentType)
	header.Set("Vary", "Accept-Encoding")
	if f.immutable {
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		header.Set("Cache-Control", "no-cache")
	}
	body, encoding := f.choose(r.Header.Get("Accept-Encoding"))
	// Different bytes need different strong tags.
	etag := f.etag
	if encoding != "" {
		etag = strings.TrimSuffix(etag, `"`) + "-" + encoding + `"`
		header.Set("Content-Encoding", encoding)
	}
	header.Set("ETag", etag)
	if matches(r.Header.Get("If-None-Match"), etag) {
		header.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // the client went away: nobody is left to tell
	}
}

// find returns the file that a request means, or nil.
func (h *handler) find(r *http.Request) *file {
	name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
	if f := h.files[name]; f != nil {
		return f
	}
	// Names of images and apps may hold dots, so the last segment's extension says nothing below a page: only assets are
	// never pages.
	if strings.HasPrefix(name, "assets/") || !acceptsHTML(r.Header.Get("Accept")) {
		return nil
	}
	return h.files["index.html"]
}

func acceptsHTML(accept string) bool {
	return accept == "" || strings.Contains(accept, "text/html") || strings.Contains(accept, "*/*")
}

// choose returns the smallest form of the file that the client takes.
func (f *file) choose(acceptEncoding string) (body []byte, encoding string) {
	if f.brotli != nil && accepts(acceptEncoding, "br") {
		return f.brotli, "br"
	}
	if f.gzip != nil && accepts(acceptEncoding, "gzip") {
		return f.gzip, "gzip"
	}
	return f.plain, ""
}

// accepts tells whether an Accept-Encoding header names the coding without refusing it by q=0.
func accepts(header, coding string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, parameters, _ := strings.Cut(part, ";")
		if !strings.EqualFold(strings.TrimSpace(name), coding) {
			continue
		}
		q, found := strings.CutPrefix(strings.TrimSpace(parameters), "q=")
		if !found {
			return true
		}
		weight, err := strconv.ParseFloat(strings.TrimSpace(q), 64)
		return err == nil && weight > 0
	}
	return false
}

// matches tells whether an If-None-Match header names the tag.
func matches(header, etag string) bool {
	for part := range strings.SplitSeq(header, ",") {
		candidate := strings.TrimPrefix(strings.TrimSpace(part), "W/")
		if candidate == etag || candidate == "*" {
			return true
		}
	}
	return false
}
