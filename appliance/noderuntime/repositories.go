package noderuntime

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/appliance/mirror"
	"github.com/skerryhq/skerry/appliance/mirror/remote"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/runtime/image"
)

func descriptor(d model.Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: d.MediaType, Digest: digest.Digest(d.Digest), Size: d.Size}
}

// Adopt makes an image of what a repository of the cluster holds; nothing is
// fetched or copied.
func (r *Local) Adopt(ctx context.Context, d model.Descriptor, report api.Report) error {
	err := r.cfg.Images.Adopt(ctx, descriptor(d), steps(report))
	if err != nil {
		return explainImage("", err)
	}
	return nil
}

// HostPart gives the manifest of an image that this host runs.
func (r *Local) HostPart(ctx context.Context, dgst string) (model.Descriptor, error) {
	d, err := r.cfg.Images.HostPart(ctx, digest.Digest(dgst))
	return model.Descriptor{MediaType: d.MediaType, Digest: d.Digest.String(), Size: d.Size}, explainImage(dgst, err)
}

// Held gives what the engine's images need, but for the images in except.
func (r *Local) Held(ctx context.Context, except map[string]bool) (map[string]int64, error) {
	parts, err := r.cfg.Images.Parts(ctx, func(d digest.Digest) bool { return except[d.String()] })
	if err != nil {
		return nil, err
	}
	out := make(map[string]int64, len(parts))
	for _, p := range parts {
		out[p.Digest.String()] = p.Size
	}
	return out, nil
}

// ManifestConfig reads configuration and layers of what a repository holds.
func (r *Local) ManifestConfig(ctx context.Context, d model.Descriptor) (*api.ImageConfig, []api.ImageLayer, error) {
	got, err := r.cfg.Images.Describe(ctx, descriptor(d))
	if errors.Is(err, image.ErrRefused) || errors.Is(err, image.ErrPlatform) || errors.Is(err, image.ErrNotFound) {
		return nil, nil, model.Errorf(model.KindNotFound, "no_image", "%s is no image for this node's platform", d.Digest)
	}
	if err != nil {
		return nil, nil, err
	}
	cfg, layers := imageDetail(got)
	return cfg, layers, nil
}

// ExportManifest writes what a repository holds as a tar.
func (r *Local) ExportManifest(ctx context.Context, d model.Descriptor, name string, w io.Writer) error {
	var names []string
	if name != "" {
		names = []string{name}
	}
	err := r.cfg.Images.ExportContent(ctx, w, descriptor(d), names...)
	if errors.Is(err, image.ErrNotFound) || errors.Is(err, image.ErrRefused) || errors.Is(err, image.ErrPlatform) {
		return model.Errorf(model.KindInvalid, "no_image", "%s is no image for this node's platform, so it cannot be exported as one", d.Digest)
	}
	return err
}

// Push sends an image to another registry as the caller may. d may lack its type;
// then the engine's record of the image says it.
func (r *Local) Push(ctx context.Context, c access.Caller, d model.Descriptor, ref, username, password string, report api.Report) (string, int64, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", 0, model.Errorf(model.KindInvalid, "image_name_invalid", "%q is not an image name", ref)
	}
	tag := "latest"
	if t, ok := named.(reference.Tagged); ok {
		tag = t.Tag()
	}
	docs, err := r.cfg.Images.Documents(ctx, descriptor(d))
	if err != nil {
		return "", 0, explainImage(ref, err)
	}
	to, err := r.cfg.Sources.Pusher(c, reference.Domain(named), username, password)
	if err != nil {
		return "", 0, err
	}
	defer to.Close()
	var sent int64
	repository := reference.Path(named)
	for i, doc := range docs {
		for _, b := range doc.Blobs {
			n, err := r.pushBlob(ctx, to, repository, b, report)
			if err != nil {
				return "", sent, mirror.ExplainPush(ref, err)
			}
			sent += n
		}
		name := doc.Descriptor.Digest.String()
		if i == len(docs)-1 {
			name = tag
		}
		if err := to.PushManifest(ctx, repository, name, doc.Descriptor.MediaType, doc.Bytes); err != nil {
			return "", sent, mirror.ExplainPush(ref, err)
		}
		sent += int64(len(doc.Bytes))
	}
	return docs[len(docs)-1].Descriptor.Digest.String(), sent, nil
}

// pushBlob sends a blob unless it is there, and gives the bytes that it took.
func (r *Local) pushBlob(ctx context.Context, to *remote.Client, repository string, d ocispec.Descriptor, report api.Report) (int64, error) {
	p := api.Progress{Step: "pushing", ID: d.Digest.String(), Message: "sending", Total: d.Size}
	there, err := to.HasBlob(ctx, repository, d.Digest)
	if err != nil {
		return 0, err
	}
	if there {
		p.Message, p.Current = "is there already", d.Size
		report(p)
		return 0, nil
	}
	err = to.PushBlob(ctx, repository, d.Digest, d.Size, func() (io.ReadCloser, error) {
		rc, err := r.cfg.Images.Open(ctx, d)
		if err != nil {
			return nil, err
		}
		return &sending{ReadCloser: rc, p: p, report: report}, nil
	})
	return d.Size, err
}

// sending tells how much of a blob has been sent.
type sending struct {
	io.ReadCloser
	p      api.Progress
	report api.Report
	last   time.Time
}

// reportEvery keeps reports readable for people.
const reportEvery = 100 * time.Millisecond

// Read hands bytes on.
func (s *sending) Read(b []byte) (int, error) {
	n, err := s.ReadCloser.Read(b)
	s.p.Current += int64(n)
	if now := time.Now(); err != nil || now.Sub(s.last) >= reportEvery {
		s.last = now
		s.report(s.p)
	}
	return n, err
}
