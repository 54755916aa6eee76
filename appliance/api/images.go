package api

import (
	"io"
	"net/http"
	"strings"

	"github.com/distribution/reference"
	"github.com/gin-gonic/gin"

	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// ListImages lists images, public ones included.
func (s *Server) ListImages(c *gin.Context, q ListImagesParams) {
	r := of(c)
	p, err := page(q.Limit, q.Cursor)
	if err != nil {
		s.fail(c, err)
		return
	}
	l, err := r.view.ListImages(r.scope, p, func(o *model.Image) bool {
		return (o.Public || r.sees(o.TenantID)) && contains(o.Name, q.Name)
	})
	s.reply(c, http.StatusOK, ImageList{Items: values(l.Items), NextCursor: l.Next}, err)
}

// findImage finds what ref means to a tenant: an id, a digest, a full name, or
// a short one such as nginx or library/nginx:1.27.
func findImage(v *state.View, r *request, ref string) (*model.Image, error) {
	tenantID := r.caller.TenantID()
	if o, ok := v.Image(ref); ok && (o.Public || o.TenantID == tenantID) {
		return o, nil
	}
	if strings.HasPrefix(ref, "sha256:") {
		for o := range v.Images() {
			if o.Digest == ref && (o.Public || o.TenantID == tenantID) {
				return o, nil
			}
		}
		return nil, notFound("image", ref)
	}
	if o, ok := v.ImageFor(tenantID, ref); ok {
		return o, nil
	}
	if named, err := reference.ParseNormalizedNamed(ref); err == nil {
		if o, ok := v.ImageFor(tenantID, reference.TagNameOnly(named).String()); ok {
			return o, nil
		}
	}
	return nil, notFound("image", short(ref))
}

// imageUsers lists the services and containers that use an image's name or
// content, of the caller's tenant only.
func imageUsers(v *state.View, tenantID string, img *model.Image) []UsedBy {
	out := []UsedBy{}
	for svc := range v.Services() {
		if svc.TenantID == tenantID && (svc.Spec.Container.ImageDigest == img.Digest || svc.Spec.Container.Image == img.Name) {
			out = append(out, UsedBy{Kind: "service", ID: svc.ID, Name: svc.Name, AppName: svc.AppName})
		}
	}
	for o := range v.Containers() {
		if o.TenantID == tenantID && o.Spec.ImageDigest == img.Digest {
			out = append(out, UsedBy{Kind: "container", ID: o.ID, Name: o.Name, AppName: o.AppName})
		}
	}
	return out
}

// GetImage shows an image with its configuration where a node has it.
func (s *Server) GetImage(c *gin.Context, ref ImageRef, _ GetImageParams) {
	r := of(c)
	img, err := findImage(r.view, r, ref)
	if err != nil {
		s.fail(c, err)
		return
	}
	out := ImageDetail{Image: *img, UsedBy: imageUsers(r.view, r.caller.TenantID(), img), Layers: []ImageLayer{}}
	if config, layers, err := s.runtime.ImageConfig(c.Request.Context(), img); err == nil {
		out.Config, out.Layers = config, append(out.Layers, layers...)
	} else if k := model.KindOf(err); k != model.KindUnavailable && k != model.KindNotFound {
		s.fail(c, err)
		return
	}
	if ops, _, rerr := s.registry(); rerr == nil {
		if out.FreesBytes, err = ops.FreesImage(c.Request.Context(), img); err != nil {
			s.fail(c, err)
			return
		}
	}
	s.object(c, http.StatusOK, img.Version, out)
}

// DeleteImage removes an image's name. A public image of another tenant is
// seen, but not removed.
func (s *Server) DeleteImage(c *gin.Context, ref ImageRef, q DeleteImageParams) {
	r := of(c)
	version, err := expect(q.IfMatch)
	img, ferr := findImage(r.view, r, ref)
	if err == nil {
		err = ferr
	}
	if err == nil && img.TenantID != r.caller.TenantID() {
		err = model.Errorf(model.KindDenied, "denied", "the image %q belongs to another tenant, which lets everybody use it", img.Name)
	}
	if err == nil {
		err = s.ops.DeleteImage(c.Request.Context(), r.caller, img.ID, version)
	}
	s.replyDone(c, http.StatusNoContent, err)
}

// ExportImage sends an image as a tar.
func (s *Server) ExportImage(c *gin.Context, ref ImageRef, _ ExportImageParams) {
	r := of(c)
	img, err := findImage(r.view, r, ref)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.sendTar(c, func(w io.Writer) error { return s.runtime.ExportImage(c.Request.Context(), img, w) })
}

// ImportImage reads images from a tar.
func (s *Server) ImportImage(c *gin.Context, q ImportImageParams) {
	r := of(c)
	if err := contentType(c.Request, mediaTar, mediaOctet, "application/gzip", "application/zstd"); err != nil {
		s.fail(c, err)
		return
	}
	patient(c)
	_ = http.NewResponseController(c.Writer).EnableFullDuplex() // steps are sent while the body is read
	// In this mode net/http reads what is left of the body after the request has ended,
	// beside the next request of the connection: so there is no next one.
	c.Header("Connection", "close")
	body := uploaded(c)
	s.work(c, http.StatusCreated, func(report Report) (any, error) {
		made, err := s.ops.ImportImage(c.Request.Context(), r.caller, q.Name, body, report)
		if err != nil {
			return nil, err
		}
		return ImageList{Items: values(made)}, nil
	})
}

// PullImage fetches an image.
func (s *Server) PullImage(c *gin.Context, _ PullImageParams) {
	var in PullInput
	err := decode(c, &in)
	if err == nil && in.Image == "" {
		err = invalid("image_missing", "the image has no name; write for example nginx:1.27").At("image")
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	r := of(c)
	s.work(c, http.StatusCreated, func(report Report) (any, error) {
		return s.ops.PullImage(c.Request.Context(), r.caller, in, report)
	})
}
