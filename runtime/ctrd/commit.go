package ctrd

import (
	"context"
	"fmt"

	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/skerryhq/skerry/runtime/image"
	"github.com/skerryhq/skerry/runtime/workload"
)

// CommitOptions of one commit.
type CommitOptions struct {
	Author, Comment string
	// NoPause leaves a running container running while its layer is read.
	NoPause bool
	// Change may alter the new image's defaults; may be nil.
	Change func(*ocispec.ImageConfig)
}

// Commit makes an image of the container's layer on top of its image and returns
// the new image's digest. A running container is paused meanwhile.
// Errors: ErrNotFound, ErrNoImage.
func (r *Runtime) Commit(ctx context.Context, id workload.ID, opt CommitOptions) (digest.Digest, error) {
	if err := id.Validate(); err != nil {
		return "", err
	}
	unlock, err := r.lock(ctx, id)
	if err != nil {
		return "", err
	}
	defer unlock()
	st, err := r.look(ctx, id, nil)
	if err != nil {
		return "", err
	}
	f, err := r.factsOf(ctx, id)
	if err != nil {
		return "", err
	}
	if st.Phase == workload.PhaseRunning && !opt.NoPause {
		if _, err := r.tasks.Pause(ctx, &tasksapi.PauseTaskRequest{ContainerID: string(id)}); err != nil {
			return "", native(err, "pause container %s", id)
		}
		defer func() {
			end, cancel := cleanupContext(ctx)
			defer cancel()
			if _, err := r.tasks.Resume(end, &tasksapi.ResumeTaskRequest{ContainerID: string(id)}); err != nil {
				r.log.Error("container stays paused after a commit", "container", string(id), "err", err)
			}
		}()
	}
	d, err := r.cfg.Images.Commit(ctx, image.CommitRequest{
		Base: digest.Digest(f.spec.ImageDigest), Snapshot: string(id),
		Author: opt.Author, Comment: opt.Comment,
		Change: func(c *ocispec.ImageConfig) {
			// What the container was started with stays, but for its variables: they may be
			// secrets, and an image travels further than the app that they were given to.
			if f.spec.Entrypoint != nil {
				c.Entrypoint, c.Cmd = f.spec.Entrypoint, nil
			}
			if f.spec.Command != nil {
				c.Cmd = f.spec.Command
			}
			if f.spec.WorkDir != "" {
				c.WorkingDir = f.spec.WorkDir
			}
			if f.spec.User != "" {
				c.User = f.spec.User
			}
			if opt.Change != nil {
				opt.Change(c)
			}
		},
	})
	if err != nil {
		return "", fmt.Errorf("commit container %s: %w", id, err)
	}
	return d, nil
}
