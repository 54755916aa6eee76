package registry

import (
	"context"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"

	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// Tend is what Run does every minute, at a time.
func (r *Registry) Tend(_ context.Context, now time.Time) {
	r.uploads.tend(now, func(id string) bool { _, ok := r.view().Repository(id); return ok })
}

// Round is what Run does every ten minutes.
func (r *Registry) Round(ctx context.Context) error {
	_, _, err := r.collect(ctx, false)
	return err
}

// ThroughEngine makes b read through the engine, as if it did not tell where its
// content is.
func (b *Blobs) ThroughEngine() { b.root = "" }

// Watch calls seen with the context of every commit that the engine is asked for.
func (b *Blobs) Watch(seen func(context.Context)) { b.store = watched{b.store, seen} }

type watched struct {
	content.Store
	seen func(context.Context)
}

func (w watched) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	out, err := w.Store.Writer(ctx, opts...)
	if err != nil {
		return nil, err
	}
	return watchedWriter{out, w.seen}, nil
}

type watchedWriter struct {
	content.Writer
	seen func(context.Context)
}

func (w watchedWriter) Commit(ctx context.Context, size int64, d digest.Digest, opts ...content.Opt) error {
	w.seen(ctx)
	return w.Writer.Commit(ctx, size, d, opts...)
}

// Parse is parse.
func Parse(path string) (name, ref string, err error) {
	r, err := parse(path)
	return r.name, r.ref, err
}

// ReadDocument is readDocument.
var ReadDocument = readDocument

// Depth is depth, as far as the registry looks.
func Depth(v *state.View, m *model.Manifest) int { return depth(v, m, maxDepth) }

// Duty gives the members that keep a digest.
func Duty(v *state.View, d string) []string { return duty(keepers(v, time.Now()), d) }
