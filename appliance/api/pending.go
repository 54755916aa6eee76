package api

import "github.com/gin-gonic/gin"

// What is in the contract and is being built; each goes as its operation comes.

func (s *Server) unbuilt(c *gin.Context) {
	s.fail(c, invalid("not_built", "this operation is not built yet"))
}

// PushImage is not built yet.
func (s *Server) PushImage(c *gin.Context, _ ImageRef, _ PushImageParams) { s.unbuilt(c) }

// GetRegistry is not built yet.
func (s *Server) GetRegistry(c *gin.Context) { s.unbuilt(c) }

// CollectRegistry is not built yet.
func (s *Server) CollectRegistry(c *gin.Context) { s.unbuilt(c) }

// ListRepositories is not built yet.
func (s *Server) ListRepositories(c *gin.Context, _ ListRepositoriesParams) { s.unbuilt(c) }

// CreateRepository is not built yet.
func (s *Server) CreateRepository(c *gin.Context, _ CreateRepositoryParams) { s.unbuilt(c) }

// DeleteRepository is not built yet.
func (s *Server) DeleteRepository(c *gin.Context, _ RepositoryRef, _ DeleteRepositoryParams) {
	s.unbuilt(c)
}

// GetRepository is not built yet.
func (s *Server) GetRepository(c *gin.Context, _ RepositoryRef, _ GetRepositoryParams) { s.unbuilt(c) }

// UpdateRepository is not built yet.
func (s *Server) UpdateRepository(c *gin.Context, _ RepositoryRef, _ UpdateRepositoryParams) {
	s.unbuilt(c)
}

// DeleteManifest is not built yet.
func (s *Server) DeleteManifest(c *gin.Context, _ RepositoryRef, _ Reference, _ DeleteManifestParams) {
	s.unbuilt(c)
}

// GetManifest is not built yet.
func (s *Server) GetManifest(c *gin.Context, _ RepositoryRef, _ Reference, _ GetManifestParams) {
	s.unbuilt(c)
}

// ExportManifest is not built yet.
func (s *Server) ExportManifest(c *gin.Context, _ RepositoryRef, _ Reference, _ ExportManifestParams) {
	s.unbuilt(c)
}

// ListTags is not built yet.
func (s *Server) ListTags(c *gin.Context, _ RepositoryRef, _ ListTagsParams) { s.unbuilt(c) }

// DeleteTag is not built yet.
func (s *Server) DeleteTag(c *gin.Context, _ RepositoryRef, _ TagName, _ DeleteTagParams) {
	s.unbuilt(c)
}

// PutTag is not built yet.
func (s *Server) PutTag(c *gin.Context, _ RepositoryRef, _ TagName, _ PutTagParams) { s.unbuilt(c) }
