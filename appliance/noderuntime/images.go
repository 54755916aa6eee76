package noderuntime

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/appliance/mirror"
	"github.com/skerryhq/skerry/appliance/operation"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/runtime/ctrd"
	"github.com/skerryhq/skerry/runtime/image"
	"github.com/skerryhq/skerry/runtime/workload"
)

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// steps translates the image store's progress; the API takes one step at a time.
func steps(report api.Report) func(image.Progress) {
	words := map[string][2]string{
		"read":     {"importing", "reading the archive"},
		"download": {"pulling", "downloading"}, "unpack": {"extracting", "unpacking"},
	}
	var mu sync.Mutex
	return func(p image.Progress) {
		mu.Lock()
		defer mu.Unlock()
		w, ok := words[p.Step]
		if !ok {
			w = [2]string{p.Step, p.Step}
		}
		report(api.Progress{Step: w[0], ID: p.Item, Message: w[1], Current: p.Done, Total: p.Total})
	}
}

// Import reads an archive.
func (r *Local) Import(ctx context.Context, tar io.Reader, report api.Report) ([]operation.Stored, error) {
	got, err := r.cfg.Images.Import(ctx, tar, image.ImportOptions{Progress: steps(report)})
	if err != nil {
		return nil, explainImage("", err)
	}
	var out []operation.Stored
	for _, i := range got {
		s, err := r.stored(ctx, i.Digest, i.Names)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// Commit makes an image of a container's layer.
func (r *Local) Commit(ctx context.Context, c *model.Container, in api.CommitInput) (operation.Stored, error) {
	d, err := r.cfg.Containers.Commit(ctx, workload.ID(c.ID), ctrd.CommitOptions{Author: in.Author, Comment: in.Message, NoPause: in.Pause != nil && !*in.Pause})
	if err != nil {
		return operation.Stored{}, r.explain(c, explainImage(c.Spec.Image, err))
	}
	return r.stored(ctx, d, nil)
}

// Remove gives an image's content back.
func (r *Local) Remove(ctx context.Context, d string) error {
	err := r.cfg.Images.Remove(ctx, digest.Digest(d))
	if errors.Is(err, image.ErrNotFound) {
		return nil
	}
	return err
}

// SweepImages gives back what imports and pulls left that a crash interrupted,
// and images that are not needed any more.
func (r *Local) SweepImages(ctx context.Context, needed func(digest.Digest) bool) error {
	n, err := r.cfg.Images.Sweep(ctx, needed)
	if n > 0 {
		r.log.Info("gave back what an interrupted import or pull had left", "count", n)
	}
	return err
}

func (r *Local) stored(ctx context.Context, d digest.Digest, names []string) (operation.Stored, error) {
	info, err := r.cfg.Images.Inspect(ctx, d)
	if err != nil {
		return operation.Stored{}, err
	}
	return operation.Stored{Digest: d.String(), Names: names, SizeBytes: info.Size, Platforms: info.Platforms}, nil
}

// codeNoImage says that a node has not got an image.
const codeNoImage = "image_not_found"

// explainImage turns the image store's errors into what a person reads.
func explainImage(what string, err error) error {
	var kind model.Kind
	var code string
	switch {
	case errors.Is(err, image.ErrNotFound):
		return model.Errorf(model.KindNotFound, codeNoImage, "the image %s is not on this node; pull or import it again", what)
	case errors.Is(err, image.ErrRefused):
		kind, code = model.KindInvalid, "image_refused"
	case errors.Is(err, image.ErrPlatform):
		kind, code = model.KindInvalid, "image_platform"
	case errors.Is(err, image.ErrDiskFull):
		kind, code = model.KindExhausted, "disk_full"
	default:
		return mirror.Explain(what, err)
	}
	if what == "" {
		return model.Errorf(kind, code, "%v", err)
	}
	return model.Errorf(kind, code, "%s: %v", what, err)
}

// ImageConfig reads an image's configuration and layers.
func (r *Local) ImageConfig(ctx context.Context, img *model.Image) (*api.ImageConfig, []api.ImageLayer, error) {
	d, err := r.cfg.Images.Inspect(ctx, digest.Digest(img.Digest))
	if err != nil {
		return nil, nil, explainImage(img.Name, err)
	}
	cfg, layers := imageDetail(d)
	return cfg, layers, nil
}

// imageDetail renders what the image store knows of an image.
func imageDetail(d image.Detail) (*api.ImageConfig, []api.ImageLayer) {
	cfg := &api.ImageConfig{
		Architecture: "", Author: d.Author, Command: d.Config.Cmd, Entrypoint: d.Config.Entrypoint, CreatedAt: d.Built,
		Labels: d.Config.Labels, StopSignal: d.Config.StopSignal, User: d.Config.User, WorkingDir: d.Config.WorkingDir,
	}
	cfg.Os, cfg.Architecture = splitPlatform(d.Platform)
	for _, e := range d.Config.Env {
		name, value := splitEnv(e)
		cfg.Env = append(cfg.Env, model.EnvVar{Name: name, Value: value})
	}
	cfg.ExposedPorts, cfg.Volumes = sortedSet(d.Config.ExposedPorts), sortedSet(d.Config.Volumes)
	// History has an entry for every step, layers only for those that wrote something.
	var layers []api.ImageLayer
	made := []string{}
	for _, h := range d.History {
		if !h.EmptyLayer {
			made = append(made, h.CreatedBy)
		}
	}
	for i, l := range d.Layers {
		layer := api.ImageLayer{Digest: l.Digest.String(), MediaType: l.MediaType, SizeBytes: l.Size}
		if i < len(made) {
			layer.CreatedBy = made[i]
		}
		layers = append(layers, layer)
	}
	return cfg, layers
}

// ExportImage writes an image as a tar.
func (r *Local) ExportImage(ctx context.Context, img *model.Image, w io.Writer) error {
	return explainImage(img.Name, r.cfg.Images.Export(ctx, w, image.ExportItem{Digest: digest.Digest(img.Digest), Names: []string{img.Name}}))
}

func splitPlatform(p string) (os, arch string) {
	os, arch, _ = strings.Cut(p, "/")
	return os, arch
}

func splitEnv(e string) (name, value string) {
	name, value, _ = strings.Cut(e, "=")
	return name, value
}

func sortedSet(m map[string]struct{}) []string { return slices.Sorted(maps.Keys(m)) }
