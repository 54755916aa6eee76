package noderuntime

import (
	"context"
	"io"
	"path"

	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/runtime/workload"
)

// StatPath describes a path in a container.
func (r *Local) StatPath(ctx context.Context, c *model.Container, name string) (api.PathStat, error) {
	info, err := r.cfg.Containers.Stat(ctx, workload.ID(c.ID), name)
	if err != nil {
		return api.PathStat{}, r.explain(c, err)
	}
	return api.PathStat{
		Name: path.Base(path.Clean("/" + name)), Size: info.Size, Mode: int(info.Mode.Perm()), ModifiedAt: info.ModTime,
		Directory: info.Mode.IsDir(), LinkTarget: info.LinkTarget,
	}, nil
}

// ReadArchive gives a tar of one file or folder. The copying ends when the
// caller closes it.
func (r *Local) ReadArchive(ctx context.Context, c *model.Container, name string) (api.PathStat, io.ReadCloser, error) {
	stat, err := r.StatPath(ctx, c, name)
	if err != nil {
		return stat, nil, err
	}
	out, in := io.Pipe()
	go func() {
		in.CloseWithError(r.explain(c, r.cfg.Containers.CopyOut(ctx, workload.ID(c.ID), name, in)))
	}()
	return stat, out, nil
}

// WriteArchive unpacks a tar into an existing folder of a container.
func (r *Local) WriteArchive(ctx context.Context, c *model.Container, dir string, tar io.Reader) error {
	return r.explain(c, r.cfg.Containers.CopyIn(ctx, workload.ID(c.ID), dir, tar))
}
