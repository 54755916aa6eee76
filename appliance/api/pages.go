package api

import (
	"context"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/raft/model"
)

// csp lets the console load its own scripts, styles and data and nothing else.
// Ant Design writes its styles at run time, so styles may be inline; scripts
// may not.
const csp = "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; " +
	"connect-src 'self'; worker-src 'self' blob:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"

const readyTimeout = 3 * time.Second

// wirePages adds what is served outside of the contract.
func (s *Server) wirePages(e *gin.Engine) {
	e.GET("/healthz", func(c *gin.Context) { c.String(http.StatusOK, "ok\n") })
	e.GET("/readyz", s.readyz)
	e.GET("/metrics", s.metrics)
	e.NoRoute(s.console)
	e.NoMethod(func(c *gin.Context) {
		c.Header("Content-Type", "application/problem+json")
		p := problemFor(invalid("method_not_allowed", "%s does not take %s", c.Request.URL.Path, c.Request.Method), requestID(c))
		p.Status, p.Title = http.StatusMethodNotAllowed, http.StatusText(http.StatusMethodNotAllowed)
		c.AbortWithStatusJSON(http.StatusMethodNotAllowed, p)
	})
}

// readyz says whether requests should be sent here.
func (s *Server) readyz(c *gin.Context) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), readyTimeout)
	defer cancel()
	err := error(nil)
	if _, ok := s.cluster.View().Cluster(); !ok {
		err = s.notInitialized()
	} else if silent := s.silence(); silent > leaderPatience {
		err = model.Errorf(model.KindUnavailable, "no_leader", "this node has not heard of a leader for %d seconds", silent/time.Second)
	} else if s.cfg.Ready != nil {
		err = s.cfg.Ready(ctx)
	}
	if err != nil {
		c.String(http.StatusServiceUnavailable, "not ready: %s\n", problemFor(err, requestID(c)).Detail)
		return
	}
	c.String(http.StatusOK, "ready\n")
}

// metrics needs a token of a platform role, or the local socket.
func (s *Server) metrics(c *gin.Context) {
	r := &request{op: operation{id: "metrics", method: http.MethodGet, permission: access.PermPlatformRead}, view: s.cluster.View()}
	r.caller.Origin.Time = now()
	err := s.doubt(c, r)
	if err == nil {
		err = s.authenticate(c, r)
	}
	switch {
	case err != nil:
	case access.Decide(&r.caller.Principal, access.PermPlatformRead, "") != access.Allow:
		err = s.denied(r, "")
	case s.cfg.Metrics == nil:
		err = model.Errorf(model.KindNotFound, "no_metrics", "this node has no metrics")
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	s.cfg.Metrics.ServeHTTP(c.Writer, c.Request)
}

// console serves the built console. What is no file of it is a page of its
// router: index.html. Under the API's path nothing is a page.
func (s *Server) console(c *gin.Context) {
	name := c.Request.URL.Path
	switch {
	case strings.HasPrefix(name, "/api/") || name == "/api" || strings.HasPrefix(name, "/v2/"):
		s.fail(c, model.Errorf(model.KindNotFound, "not_found", "there is nothing at %s; %s/openapi.yaml lists what there is", short(name), base))
		return
	case c.Request.Method != http.MethodGet && c.Request.Method != http.MethodHead:
		s.fail(c, model.Errorf(model.KindNotFound, "not_found", "there is nothing at %s", short(name)))
		return
	}
	pageHeaders(c.Writer.Header())
	if s.cfg.Console == nil {
		c.String(http.StatusOK, "This binary was built without its console. The API is at %s.\n", base)
		return
	}
	name = path.Clean("/" + name)
	if name == "/" || !s.page(c, name) {
		if path.Ext(name) != "" && name != "/index.html" && strings.HasPrefix(name, "/assets/") {
			c.String(http.StatusNotFound, "no such file\n") // an old page asks for a script of an old build
			return
		}
		if !s.page(c, "/index.html") {
			c.String(http.StatusOK, "This binary was built without its console. The API is at %s.\n", base)
		}
	}
}

func pageHeaders(h http.Header) {
	h.Set("Content-Security-Policy", csp)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
}

// page sends one file, compressed as the client takes it; false if there is none.
func (s *Server) page(c *gin.Context, name string) bool {
	for _, enc := range []struct{ word, ext string }{{"br", ".br"}, {"gzip", ".gz"}, {"", ""}} {
		if enc.word != "" && !strings.Contains(c.GetHeader("Accept-Encoding"), enc.word) {
			continue
		}
		f, err := s.cfg.Console.Open(name + enc.ext)
		if err != nil {
			continue
		}
		sent := sendFile(c, f, name, enc.word)
		_ = f.Close()
		if sent {
			return true
		}
	}
	return false
}

func sendFile(c *gin.Context, f http.File, name, encoding string) bool {
	info, err := f.Stat()
	if err != nil || info.IsDir() || !info.Mode().IsRegular() && info.Mode()&fs.ModeType != 0 {
		return false
	}
	h := c.Writer.Header()
	h.Add("Vary", "Accept-Encoding")
	if encoding != "" {
		h.Set("Content-Encoding", encoding)
	}
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		h.Set("Content-Type", t)
	}
	if strings.HasPrefix(name, "/assets/") { // their names carry a hash of their content
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	c.Status(http.StatusOK)
	http.ServeContent(c.Writer, c.Request, name, time.Time{}, io.ReadSeeker(f))
	return true
}
