package api

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

const (
	headerStat = "Skerry-Path-Stat"
	mediaTar   = "application/x-tar"
	mediaOctet = "application/octet-stream"
)

// findPath finds a container and checks the path within it.
func findPath(c *gin.Context, ref, path string) (*model.Container, error) {
	r := of(c)
	if !strings.HasPrefix(path, "/") || strings.ContainsRune(path, 0) || len(path) > 4096 {
		return nil, invalid("path_invalid", "%q is no absolute path; begin it with /", short(path)).At("path")
	}
	return r.enterable(ref)
}

// enterable finds a container whose inside the caller may see and change. One
// that reaches the host itself is the host: stepping into it needs the same
// permission as deploying it.
func (r *request) enterable(ref string) (*model.Container, error) {
	o, err := r.view.FindContainer(r.scope, ref)
	if err != nil {
		return nil, err
	}
	if needs := access.HostNeeds(o.Spec); len(needs) > 0 && access.Decide(&r.caller.Principal, access.PermHost, o.TenantID) != access.Allow {
		return nil, model.Errorf(model.KindDenied, "host_access_denied",
			"the container %s has %s, which reaches the host itself; only a platform administrator may step into it", o.Name, strings.Join(needs, ", "))
	}
	return o, nil
}

func short(s string) string {
	if r := []rune(s); len(r) > 80 {
		return string(r[:80]) + "..."
	}
	return s
}

// statHeader puts a PathStat into the reply's header. Escapes keep it ASCII.
func statHeader(c *gin.Context, st PathStat) error {
	b, err := json.Marshal(st)
	if err != nil {
		return fmt.Errorf("encode stat of %s: %w", st.Name, err)
	}
	var ascii strings.Builder
	for _, r := range string(b) {
		switch {
		case r < 0x80:
			ascii.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&ascii, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
		default:
			fmt.Fprintf(&ascii, `\u%04x`, r)
		}
	}
	c.Header(headerStat, ascii.String())
	return nil
}

// StatArchive says what is at a path of a container.
func (s *Server) StatArchive(c *gin.Context, ref Ref, q StatArchiveParams) {
	o, err := findPath(c, ref, q.Path)
	if err == nil {
		var st PathStat
		if st, err = s.runtime.StatPath(c.Request.Context(), o, q.Path); err == nil {
			err = statHeader(c, st)
		}
	}
	s.replyDone(c, http.StatusOK, err)
}

// GetArchive sends a file or folder of a container as a tar.
func (s *Server) GetArchive(c *gin.Context, ref Ref, q GetArchiveParams) {
	o, err := findPath(c, ref, q.Path)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.record(of(c), "container.download", "", command.Ref{Kind: "container", ID: o.ID, Name: o.Name + ":" + q.Path})
	st, tar, err := s.runtime.ReadArchive(c.Request.Context(), o, q.Path)
	if err == nil {
		defer func() { _ = tar.Close() }()
		err = statHeader(c, st)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	s.sendTar(c, func(w io.Writer) error { _, err := io.Copy(w, tar); return err })
}

// sendTar streams a tar. An error after the first byte breaks the connection,
// so that nobody takes half a tar for a whole one.
func (s *Server) sendTar(c *gin.Context, write func(io.Writer) error) {
	s.stamp(c)
	c.Header("Content-Type", mediaTar)
	patient(c)
	err := write(downloading(c))
	switch {
	case err == nil:
		c.Writer.WriteHeaderNow()
	case !c.Writer.Written():
		s.fail(c, err)
	default:
		_ = c.Error(err)
		panic(http.ErrAbortHandler)
	}
}

// PutArchive unpacks a tar into a folder of a container.
func (s *Server) PutArchive(c *gin.Context, ref Ref, q PutArchiveParams) {
	o, err := findPath(c, ref, q.Path)
	if err == nil {
		err = contentType(c.Request, mediaTar, mediaOctet)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	s.record(of(c), "container.upload", "", command.Ref{Kind: "container", ID: o.ID, Name: o.Name + ":" + q.Path})
	patient(c)
	s.replyDone(c, http.StatusNoContent, s.runtime.WriteArchive(c.Request.Context(), o, q.Path, uploaded(c)))
}

// CommitContainer makes an image from a container.
func (s *Server) CommitContainer(c *gin.Context, ref Ref, _ CommitContainerParams) {
	var in CommitInput
	r := of(c)
	o, err := r.enterable(ref)
	if err == nil {
		err = decode(c, &in)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	patient(c)
	img, err := s.ops.CommitContainer(c.Request.Context(), r.caller, o.ID, in)
	s.reply(c, http.StatusCreated, img, err)
}
