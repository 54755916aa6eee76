package api

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// maxPath is the longest path that the kernel takes, in bytes.
const maxPath = 4095

// filePath is the path that a request names, as bytes.
func filePath(name, raw string) (string, error) {
	if raw != "" {
		enc := base64.StdEncoding
		if strings.ContainsAny(raw, "-_") {
			enc = base64.URLEncoding
		}
		b, err := enc.WithPadding(base64.NoPadding).DecodeString(strings.TrimRight(raw, "="))
		if err != nil {
			return "", invalid("path_invalid", "%q is no base64; encode the bytes of the absolute path", short(raw)).At("rawPath")
		}
		name = string(b)
	}
	if name == "" {
		name = "/"
	}
	if !strings.HasPrefix(name, "/") || strings.ContainsRune(name, 0) || len(name) > maxPath {
		return "", invalid("path_invalid", "%q is no absolute path of at most %d bytes; begin it with /", short(strings.ToValidUTF8(name, "\uFFFD")), maxPath).At("path")
	}
	return path.Clean(name), nil
}

// fileRequest finds whose files are meant, and the path. change: files are to
// come or go.
func (s *Server) fileRequest(c *gin.Context, noun, ref, name, raw string, change bool) (FilePlace, string, error) {
	r := of(c)
	at, err := FilePlace{}, error(nil)
	if noun == "container" {
		at.Container, err = r.enterable(ref)
	} else {
		at.Volume, err = r.view.FindVolume(r.scope, ref)
	}
	if err != nil {
		return at, "", err
	}
	p, err := filePath(name, raw)
	if err == nil && at.Volume != nil && at.Volume.NodeID == "" {
		at.Volume, err = s.housed(c, at.Volume, change)
	}
	return at, p, err
}

// housed gives a volume that nobody has mounted yet the only node that it can
// have. Among several its first container chooses: files put on another would
// be out of its reach.
func (s *Server) housed(c *gin.Context, v *model.Volume, change bool) (*model.Volume, error) {
	r := of(c)
	nodes := slices.Collect(r.view.Nodes())
	if len(nodes) != 1 {
		return nil, model.Errorf(model.KindConflict, "volume_unplaced",
			"volume %s has no files yet: the first container that mounts it decides on which node it lives; start one, or make the volume on a node that you name", v.Name)
	}
	mine := *v
	mine.NodeID = nodes[0].ID
	if change {
		if _, err := s.cluster.Propose(c.Request.Context(), &command.PutVolume{Head: command.By(r.caller.Origin), Volume: mine, ExpectVersion: v.Version}); err != nil {
			return nil, err
		}
	}
	return &mine, nil
}

// named is a path within a place as the audit shows it.
func (at FilePlace) named(p string) command.Ref {
	p = ":" + strings.ToValidUTF8(p, "\uFFFD")
	if at.Container != nil {
		return command.Ref{Kind: "container", ID: at.Container.ID, Name: at.Container.Name + p}
	}
	return command.Ref{Kind: "volume", ID: at.Volume.ID, Name: at.Volume.Name + p}
}

func (s *Server) listFiles(c *gin.Context, noun, ref, name, raw string) {
	at, p, err := s.fileRequest(c, noun, ref, name, raw, false)
	if err != nil {
		s.fail(c, err)
		return
	}
	list, err := s.runtime.ListFiles(c.Request.Context(), at, p)
	s.reply(c, http.StatusOK, list, err)
}

// readFile sends one file. It is never shown by a browser, whatever it holds.
func (s *Server) readFile(c *gin.Context, noun, ref, name, raw string) {
	at, p, err := s.fileRequest(c, noun, ref, name, raw, false)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.record(of(c), noun+".download", "", at.named(p))
	err = s.runtime.ReadFile(c.Request.Context(), at, p, func(e FileEntry, f io.ReadSeeker) error {
		s.stamp(c)
		c.Header("Content-Type", mediaOctet)
		c.Header("Content-Disposition", attachment(path.Base(p)))
		c.Header("X-Content-Type-Options", "nosniff")
		c.Header("Content-Security-Policy", "sandbox; default-src 'none'")
		patient(c)
		http.ServeContent(slowly{c.Writer, downloading(c)}, c.Request, "", e.ModifiedAt, f)
		return nil
	})
	if err != nil {
		s.fail(c, err)
	}
}

// slowly is a reply that gives the client a minute for each piece.
type slowly struct {
	gin.ResponseWriter
	body download
}

func (w slowly) Write(b []byte) (int, error) { return w.body.Write(b) }

// ReadFrom would pass Write by.
func (w slowly) ReadFrom(r io.Reader) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{w.body}, r, make([]byte, 64<<10))
}

// attachment is a Content-Disposition that saves under a name and cannot be
// broken out of: RFC 6266 with a plain name for those who know no other, and
// the exact one by RFC 5987.
func attachment(name string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$&+-.^_`|~"
	var simple, exact strings.Builder
	for _, r := range strings.ToValidUTF8(name, "\uFFFD") {
		if r < ' ' || r == 0x7f || r == '/' || r == '\\' {
			r = '_' // no name that a browser could save
		}
		if r < 0x80 && strings.ContainsRune(plain+" ()", r) {
			simple.WriteRune(r)
		} else {
			simple.WriteByte('_')
		}
		if r < 0x80 && strings.ContainsRune(plain, r) {
			exact.WriteRune(r)
			continue
		}
		for _, b := range []byte(string(r)) {
			fmt.Fprintf(&exact, "%%%02X", b)
		}
	}
	return `attachment; filename="` + simple.String() + `"; filename*=UTF-8''` + exact.String()
}

func (s *Server) writeFile(c *gin.Context, noun, ref, name, raw string) {
	at, p, err := s.fileRequest(c, noun, ref, name, raw, true)
	if err == nil {
		err = contentType(c.Request, mediaOctet)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	s.record(of(c), noun+".upload", "", at.named(p))
	patient(c)
	made, err := s.runtime.WriteFile(c.Request.Context(), at, p, uploaded(c))
	s.reply(c, http.StatusOK, made, err)
}

func (s *Server) removeFile(c *gin.Context, noun, ref, name, raw string, recursive bool) {
	at, p, err := s.fileRequest(c, noun, ref, name, raw, true)
	if err == nil {
		s.record(of(c), noun+".removeFile", "", at.named(p))
		_ = http.NewResponseController(c.Writer).SetWriteDeadline(time.Time{}) // a million files take a while
		err = s.runtime.RemoveFile(c.Request.Context(), at, p, recursive)
	}
	s.replyDone(c, http.StatusNoContent, err)
}

func (s *Server) makeFolder(c *gin.Context, noun, ref, name, raw string) {
	at, p, err := s.fileRequest(c, noun, ref, name, raw, true)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.record(of(c), noun+".makeFolder", "", at.named(p))
	made, err := s.runtime.MakeFolder(c.Request.Context(), at, p)
	s.reply(c, http.StatusCreated, made, err)
}

// ListContainerFiles lists a folder of a container.
func (s *Server) ListContainerFiles(c *gin.Context, ref Ref, q ListContainerFilesParams) {
	s.listFiles(c, "container", ref, q.Path, q.RawPath)
}

// ReadContainerFile sends one file of a container.
func (s *Server) ReadContainerFile(c *gin.Context, ref Ref, q ReadContainerFileParams) {
	s.readFile(c, "container", ref, q.Path, q.RawPath)
}

// WriteContainerFile takes one file of a container.
func (s *Server) WriteContainerFile(c *gin.Context, ref Ref, q WriteContainerFileParams) {
	s.writeFile(c, "container", ref, q.Path, q.RawPath)
}

// DeleteContainerFile removes a file or folder of a container.
func (s *Server) DeleteContainerFile(c *gin.Context, ref Ref, q DeleteContainerFileParams) {
	s.removeFile(c, "container", ref, q.Path, q.RawPath, q.Recursive)
}

// MakeContainerFolder makes a folder in a container.
func (s *Server) MakeContainerFolder(c *gin.Context, ref Ref, q MakeContainerFolderParams) {
	s.makeFolder(c, "container", ref, q.Path, q.RawPath)
}

// ListVolumeFiles lists a folder of a volume.
func (s *Server) ListVolumeFiles(c *gin.Context, ref Ref, q ListVolumeFilesParams) {
	s.listFiles(c, "volume", ref, q.Path, q.RawPath)
}

// ReadVolumeFile sends one file of a volume.
func (s *Server) ReadVolumeFile(c *gin.Context, ref Ref, q ReadVolumeFileParams) {
	s.readFile(c, "volume", ref, q.Path, q.RawPath)
}

// WriteVolumeFile takes one file of a volume.
func (s *Server) WriteVolumeFile(c *gin.Context, ref Ref, q WriteVolumeFileParams) {
	s.writeFile(c, "volume", ref, q.Path, q.RawPath)
}

// DeleteVolumeFile removes a file or folder of a volume.
func (s *Server) DeleteVolumeFile(c *gin.Context, ref Ref, q DeleteVolumeFileParams) {
	s.removeFile(c, "volume", ref, q.Path, q.RawPath, q.Recursive)
}

// MakeVolumeFolder makes a folder in a volume.
func (s *Server) MakeVolumeFolder(c *gin.Context, ref Ref, q MakeVolumeFolderParams) {
	s.makeFolder(c, "volume", ref, q.Path, q.RawPath)
}
