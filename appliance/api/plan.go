package api

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

// PlanApp says what creating or updating an app would do.
func (s *Server) PlanApp(c *gin.Context, _ PlanAppParams) {
	var in AppInput
	if err := decode(c, &in); err != nil {
		s.fail(c, err)
		return
	}
	change := AppChange{Name: in.Name, Environment: in.Environment, Source: in.Source, Env: in.Env, Files: in.Files, Services: services(in.Services)}
	out, err := s.ops.PlanApp(c.Request.Context(), of(c).caller, change)
	s.reply(c, http.StatusOK, out, err)
}

// GetComposeSchema gives editors what compose text is accepted.
func (s *Server) GetComposeSchema(c *gin.Context) {
	body, err := s.ops.ComposeSchema()
	if err != nil {
		s.fail(c, err)
		return
	}
	c.Data(http.StatusOK, "application/json", body)
}
