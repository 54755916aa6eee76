package api

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

// The operations here are being built; each leaves this file with its handler.

func pending(c *gin.Context) { c.AbortWithStatus(http.StatusNotImplemented) }

// JoinCluster is being built.
func (s *Server) JoinCluster(c *gin.Context) { pending(c) }

// ListJoinTokens is being built.
func (s *Server) ListJoinTokens(c *gin.Context) { pending(c) }

// CreateJoinToken is being built.
func (s *Server) CreateJoinToken(c *gin.Context) { pending(c) }

// RevokeJoinToken is being built.
func (s *Server) RevokeJoinToken(c *gin.Context, _ Ref) { pending(c) }

// GetQuorum is being built.
func (s *Server) GetQuorum(c *gin.Context) { pending(c) }

// RotateAuthority is being built.
func (s *Server) RotateAuthority(c *gin.Context) { pending(c) }

// RecoverCluster is being built.
func (s *Server) RecoverCluster(c *gin.Context) { pending(c) }

// DrainNode is being built.
func (s *Server) DrainNode(c *gin.Context, _ Ref, _ DrainNodeParams) { pending(c) }

// GetNodeDrain is being built.
func (s *Server) GetNodeDrain(c *gin.Context, _ Ref) { pending(c) }

// ActivateNode is being built.
func (s *Server) ActivateNode(c *gin.Context, _ Ref) { pending(c) }

// PromoteNode is being built.
func (s *Server) PromoteNode(c *gin.Context, _ Ref) { pending(c) }

// DemoteNode is being built.
func (s *Server) DemoteNode(c *gin.Context, _ Ref) { pending(c) }

// DeleteNode is being built.
func (s *Server) DeleteNode(c *gin.Context, _ Ref, _ DeleteNodeParams) { pending(c) }
