package api

import (
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/skerryhq/skerry/appliance/registry/auth"
)

// wireRegistry adds the registry's protocol and where its tokens are fetched. They
// have their own gate, their own form of errors and bodies of any size.
func (s *Server) wireRegistry(e *gin.Engine) {
	if s.cfg.V2 != nil {
		e.Any("/v2", s.certain, s.registryDoor(s.cfg.V2))
		e.Any("/v2/*path", s.certain, s.registryDoor(s.cfg.V2))
	}
	if s.cfg.Token != nil {
		e.Any(auth.TokenPath, s.certain, func(c *gin.Context) { s.cfg.Token.ServeHTTP(c.Writer, c.Request) })
	}
}

// registryDoor hands a request on whole. The registry watches itself that a body
// keeps coming and an answer is taken.
func (s *Server) registryDoor(h http.Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		patient(c)
		h.ServeHTTP(c.Writer, c.Request)
	}
}

// certain refuses, in the registry's form, what bears credentials while this
// member cannot know whether they still hold.
func (s *Server) certain(c *gin.Context) {
	err := s.doubt(c, of(c))
	if err == nil {
		return
	}
	_ = c.Error(err)
	p := problemFor(err, requestID(c))
	c.Header("Retry-After", strconv.Itoa(p.RetryAfterSeconds))
	c.AbortWithStatusJSON(p.Status, gin.H{"errors": []gin.H{{"code": "UNAVAILABLE", "message": p.Detail}}})
}
