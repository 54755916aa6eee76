package ctrd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"reflect"
	"time"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/go-digest"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/skerryhq/skerry/runtime/engine"
	"github.com/skerryhq/skerry/runtime/image"
	"github.com/skerryhq/skerry/runtime/volume"
	"github.com/skerryhq/skerry/runtime/workload"
)

const (
	labelStopSignal = "skerry.stop-signal"
	ociSpecTypeURL  = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
)

// Create makes the container: its layer and its record. Nothing runs yet.
// Creating it again with the same spec is free and repairs what an interrupted
// Create left; with another spec it is ErrExists.
// Errors: ErrInvalid, ErrExists, ErrNoImage.
func (r *Runtime) Create(ctx context.Context, spec workload.Spec) error {
	if err := spec.Validate(); err != nil {
		return err
	}
	img, err := r.cfg.Images.Resolve(ctx, digest.Digest(spec.ImageDigest))
	if errors.Is(err, image.ErrNotFound) {
		return fmt.Errorf("create container %s: image %s: %w", spec.ID, spec.ImageDigest, workload.ErrNoImage)
	}
	if errdefs.IsUnavailable(toNative(err)) {
		return native(err, "create container %s", spec.ID)
	}
	if err != nil {
		return fmt.Errorf("create container %s: %w", spec.ID, err)
	}
	who, err := r.resolveUser(ctx, img, spec.User)
	if err != nil {
		return fmt.Errorf("create container %s: %w", spec.ID, err)
	}
	unlock, err := r.lock(ctx, spec.ID)
	if err != nil {
		return err
	}
	defer unlock()

	rec, err := newRecord(&spec, img, who)
	if err != nil {
		return fmt.Errorf("create container %s: %w", spec.ID, err)
	}
	// Layer and record do not need each other: both are made at once. A crash in
	// between leaves one of them; creating again or removing repairs that.
	type prepared struct {
		mounts []mount.Mount
		err    error
	}
	layer := make(chan prepared, 1)
	go func() {
		m, err := r.prepare(ctx, string(spec.ID), img.ChainID)
		layer <- prepared{m, err}
	}()
	fresh, err := r.createRecord(ctx, rec, &spec)
	p := <-layer
	if err := errors.Join(err, p.err); err != nil {
		if fresh && !errors.Is(err, workload.ErrExists) {
			undo, cancel := cleanupContext(ctx)
			defer cancel()
			err = errors.Join(err, r.removeRecord(undo, spec.ID))
		}
		return fmt.Errorf("create container %s: %w", spec.ID, err)
	}
	if err := r.copyUp(&spec, p.mounts); err != nil {
		if fresh {
			undo, cancel := cleanupContext(ctx)
			defer cancel()
			err = errors.Join(err, r.removeRecord(undo, spec.ID))
		}
		return fmt.Errorf("create container %s: %w", spec.ID, err)
	}
	r.remember(spec.ID, &facts{spec: spec, mounts: p.mounts, fresh: fresh, stopSignal: rec.Labels[labelStopSignal]})
	return nil
}

func newRecord(spec *workload.Spec, img *image.Resolved, who identity) (containers.Container, error) {
	var rec containers.Container
	oci, err := buildSpec(spec, &img.Config, who)
	if err != nil {
		return rec, err
	}
	ociJSON, err := json.Marshal(oci)
	if err != nil {
		return rec, fmt.Errorf("encode OCI spec: %w", err)
	}
	own, err := json.Marshal(spec)
	if err != nil {
		return rec, fmt.Errorf("encode spec: %w", err)
	}
	labels := map[string]string{labelImage: spec.ImageName}
	if img.Config.Config.StopSignal != "" {
		labels[labelStopSignal] = img.Config.Config.StopSignal
	}
	for k, v := range spec.Labels {
		labels[k] = v
	}
	return containers.Container{
		ID:          string(spec.ID),
		Image:       spec.ImageDigest,
		Labels:      labels,
		Runtime:     containers.RuntimeInfo{Name: engine.RuntimeName},
		Spec:        &anypb.Any{TypeUrl: ociSpecTypeURL, Value: ociJSON},
		SnapshotKey: string(spec.ID),
		Snapshotter: engine.Snapshotter,
		Extensions:  map[string]typeurl.Any{extensionSpec: &anypb.Any{TypeUrl: specTypeURL, Value: own}},
	}, nil
}

// createRecord returns whether the record is new.
func (r *Runtime) createRecord(ctx context.Context, rec containers.Container, spec *workload.Spec) (bool, error) {
	rec.Runtime.Options = r.runOpts
	_, err := r.client.ContainerService().Create(ctx, rec)
	if err == nil {
		return true, nil
	}
	if !errdefs.IsAlreadyExists(err) {
		return false, native(err, "record")
	}
	_, have, err := r.record(ctx, spec.ID)
	if err != nil {
		return false, err
	}
	if !sameSpec(&have, spec) {
		return false, fmt.Errorf("with another spec: %w", workload.ErrExists)
	}
	return false, nil
}

// sameSpec compares by what is stored, so nil and empty lists that mean the same are equal.
func sameSpec(a, b *workload.Spec) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && reflect.DeepEqual(x, y)
}

func (r *Runtime) prepare(ctx context.Context, key, parent string) ([]mount.Mount, error) {
	m, err := r.snaps.Prepare(ctx, key, parent,
		snapshots.WithLabels(map[string]string{labelRoot: time.Now().UTC().Format(time.RFC3339)}))
	if errdefs.IsAlreadyExists(err) {
		m, err = r.snaps.Mounts(ctx, key)
	}
	if err != nil {
		return nil, fmt.Errorf("prepare the layer: %w", err)
	}
	return m, nil
}

// copyUp fills empty volumes with what the image holds at their place.
func (r *Runtime) copyUp(spec *workload.Spec, layer []mount.Mount) error {
	var todo []workload.Mount
	for _, m := range spec.Mounts {
		if !m.CopyUp {
			continue
		}
		empty, err := volume.Empty(m.Source)
		if err != nil {
			return err
		}
		if empty {
			todo = append(todo, m)
		}
	}
	if len(todo) == 0 {
		return nil
	}
	return r.withLayer(layer, nil, false, func(t *tree) error {
		for _, m := range todo {
			dir, err := t.open(path.Clean(m.Destination), openDir, 0)
			if errors.Is(err, workload.ErrPathNotFound) {
				continue
			}
			if err != nil {
				return fmt.Errorf("volume at %s: %w", m.Destination, err)
			}
			err = volume.Populate(m.Source, dir)
			dir.Close()
			if err != nil {
				return fmt.Errorf("volume at %s: %w", m.Destination, err)
			}
		}
		return nil
	})
}

// Remove ends the container if it runs and deletes its task, record and layer.
// Removing one that is not there, or half there, is not an error.
func (r *Runtime) Remove(ctx context.Context, id workload.ID) error {
	if err := id.Validate(); err != nil {
		return err
	}
	unlock, err := r.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	spec := r.specForRemoval(ctx, id)
	if err := r.endTask(ctx, id); err != nil {
		return fmt.Errorf("remove container %s: %w", id, err)
	}
	if err := r.removeRecord(ctx, id); err != nil {
		return fmt.Errorf("remove container %s: %w", id, err)
	}
	if spec != nil {
		// Normally runc has removed it; after a lost shim it may be left over.
		r.cgroups.remove(r.cgroupPath(spec))
	}
	return nil
}

func (r *Runtime) specForRemoval(ctx context.Context, id workload.ID) *workload.Spec {
	r.mu.Lock()
	f := r.known[id]
	r.mu.Unlock()
	if f != nil {
		return &f.spec
	}
	if _, spec, err := r.record(ctx, id); err == nil {
		return &spec
	}
	return nil
}

func (r *Runtime) removeRecord(ctx context.Context, id workload.ID) error {
	r.remember(id, nil)
	r.cfg.Engine.ForgetExit(string(id))
	var errs []error
	if err := r.client.ContainerService().Delete(ctx, string(id)); err != nil && !errdefs.IsNotFound(err) {
		errs = append(errs, native(err, "delete the record"))
	}
	if err := r.snaps.Remove(ctx, string(id)); err != nil && !errdefs.IsNotFound(err) {
		errs = append(errs, native(err, "delete the layer"))
	}
	return errors.Join(errs...)
}
