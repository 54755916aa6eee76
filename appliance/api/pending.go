package api

import "github.com/gin-gonic/gin"

// What is in the contract and is being built; each goes as its operation comes.

func (s *Server) unbuilt(c *gin.Context) {
	s.fail(c, invalid("not_built", "this operation is not built yet"))
}
