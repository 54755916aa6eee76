package image

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Opener gives a blob's bytes from an offset on.
type Opener func(ctx context.Context, offset int64) (io.ReadCloser, error)

// Receive brings one blob into the content store under the lease of ctx, as a
// Source does it. from are places that may have it, the best first: what one began
// the next goes on with, and bytes that are not what the digest says are thrown
// away and asked for again at the next. Whoever wants the same blob at the same
// time waits for it. done, unless nil, is told now and then how many bytes there
// are. Errors: that of the last place.
func (s *Store) Receive(ctx context.Context, d ocispec.Descriptor, from []Opener, done func(int64)) error {
	cs := s.client.ContentStore()
	ref := "peer-" + d.Digest.String()
	var last error
	for len(from) > 0 {
		w, err := content.OpenWriter(ctx, cs, content.WithRef(ref), content.WithDescriptor(ocispec.Descriptor{Digest: d.Digest, Size: d.Size}))
		if errdefs.IsAlreadyExists(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("store blob %s: %w", d.Digest, err)
		}
		from, err = s.receive(ctx, w, d, from, done)
		if cerr := w.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("store blob %s: %w", d.Digest, cerr)
		}
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		last = err
		if !errors.Is(err, errWrongBytes) {
			break
		}
		if err := cs.Abort(ctx, ref); err != nil && !errdefs.IsNotFound(err) {
			return errors.Join(last, fmt.Errorf("throw blob %s away: %w", d.Digest, err))
		}
	}
	if last == nil {
		last = fmt.Errorf("blob %s: %w", d.Digest, ErrNotFound)
	}
	return last
}

// errWrongBytes says that what came is not what the digest says.
var errWrongBytes = errors.New("other bytes came than the digest says")

// receive writes what the places give until the blob is whole. It gives the
// places that are left.
func (s *Store) receive(ctx context.Context, w content.Writer, d ocispec.Descriptor, from []Opener, done func(int64)) ([]Opener, error) {
	st, err := w.Status()
	if err != nil {
		return nil, fmt.Errorf("store blob %s: %w", d.Digest, err)
	}
	at := st.Offset
	if at > d.Size {
		if err := w.Truncate(0); err != nil {
			return nil, fmt.Errorf("store blob %s: %w", d.Digest, err)
		}
		at = 0
	}
	last := fmt.Errorf("blob %s: %w", d.Digest, ErrNotFound)
	for len(from) > 0 && at < d.Size {
		open := from[0]
		from = from[1:]
		body, err := open(ctx, at)
		if err != nil {
			last = err
			continue
		}
		src := &errReader{r: io.LimitReader(body, d.Size-at)}
		n, err := io.CopyBuffer(&counting{w: w, n: at, done: done}, struct{ io.Reader }{src}, make([]byte, 1<<20))
		_ = body.Close()
		at += n
		switch {
		case err != nil && src.err == nil:
			return nil, fmt.Errorf("store blob %s: %w", d.Digest, err)
		case err != nil:
			last = fmt.Errorf("fetch blob %s: %w", d.Digest, err)
		case at < d.Size:
			last = fmt.Errorf("fetch blob %s: %w", d.Digest, io.ErrUnexpectedEOF)
		}
	}
	if at < d.Size {
		return from, last
	}
	if err := w.Commit(ctx, d.Size, d.Digest); err != nil && !errdefs.IsAlreadyExists(err) {
		if errdefs.IsFailedPrecondition(err) {
			return from, fmt.Errorf("blob %s: %w", d.Digest, errWrongBytes)
		}
		return nil, fmt.Errorf("store blob %s: %w", d.Digest, err)
	}
	return from, nil
}

// counting tells how much was written.
type counting struct {
	w    io.Writer
	n    int64
	done func(int64)
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	if c.done != nil {
		c.done(c.n)
	}
	return n, err
}
