package registry

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// piece is how much goes to the engine in one message: each is answered.
const piece = 1 << 20

var pieces = sync.Pool{New: func() any { b := make([]byte, piece); return &b }}

// ingest is one content on its way into the engine. The engine allows one writer
// for each, so it is kept open between requests; when the engine was restarted
// meanwhile, it is opened again and goes on where the engine says it is. Not safe
// for concurrent use, but for size.
type ingest struct {
	b      *Blobs
	ref    string
	w      content.Writer // nil: not open
	end    context.CancelFunc
	opened time.Time
	known  bool         // size is what the engine said
	size   atomic.Int64 // bytes that the engine has acknowledged
}

func (b *Blobs) ingest(ref string) *ingest { return &ingest{b: b, ref: ref} }

// reopenAfter keeps the engine from taking a long upload for an abandoned one: it
// counts a day from the last open.
const reopenAfter = 12 * time.Hour

// open opens the writer, unless it is. It waits while the engine restarts, or
// while it still closes the last writer.
func (i *ingest) open(ctx context.Context) error {
	if i.w != nil && time.Since(i.opened) < reopenAfter {
		return nil
	}
	i.close()
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("the engine did not take it within %s", patience))
	defer cancel()
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 250*time.Millisecond) {
		err := i.openOnce()
		if err == nil || !errdefs.IsUnavailable(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("open %s: %w (%w)", i.ref, context.Cause(ctx), err)
		case <-time.After(wait):
		}
	}
}

func (i *ingest) openOnce() error {
	// The stream outlives the request that opened it.
	life, end := context.WithCancel(context.Background())
	w, err := i.b.store.Writer(life, content.WithRef(i.ref))
	if err != nil {
		end()
		return err
	}
	st, err := w.Status()
	if err != nil {
		end()
		return err
	}
	i.w, i.end, i.opened = w, end, time.Now()
	if !i.known {
		i.size.Store(st.Offset)
		i.known = true
	} else if st.Offset < i.size.Load() {
		i.close()
		i.known = false // the next open takes what the engine says
		return fmt.Errorf("%s: the engine kept %d bytes of %d: %w", i.ref, st.Offset, i.size.Load(), errLost)
	}
	return nil
}

// errLost says that acknowledged bytes are gone, as after a power cut.
var errLost = errors.New("part of the upload is lost")

// alive opens the writer, or again if the engine has dropped it.
func (i *ingest) alive(ctx context.Context) (content.Status, error) {
	for again := false; ; again = true {
		if err := i.open(ctx); err != nil {
			return content.Status{}, err
		}
		st, err := i.w.Status()
		if err == nil {
			return st, nil
		}
		i.close()
		if again {
			return st, fmt.Errorf("ask for %s: %w", i.ref, err)
		}
	}
}

// close closes the writer; what was written stays.
func (i *ingest) close() {
	if i.w != nil {
		_ = i.w.Close()
		i.end()
		i.w = nil
	}
}

// append writes p behind what is there. If the engine ends meanwhile, it goes on
// with the next one.
func (i *ingest) append(ctx context.Context, p []byte) error {
	const tries = 3
	for try := 1; len(p) > 0; {
		if _, err := i.b.space(); err != nil {
			return err
		}
		before := i.size.Load()
		if err := i.open(ctx); err != nil {
			return i.b.explain(err)
		}
		n, err := i.w.Write(p)
		if err == nil {
			i.size.Add(int64(n))
			return nil
		}
		i.close()
		if err := i.b.explain(err); errors.Is(err, ErrDiskFull) {
			return err
		}
		st, again := i.alive(ctx)
		if again != nil {
			return fmt.Errorf("write %s: %w", i.ref, errors.Join(err, again))
		}
		took := st.Offset - before
		if took > int64(len(p)) {
			return fmt.Errorf("write %s: the engine has %d bytes where at most %d were written: %w", i.ref, st.Offset, before+int64(len(p)), err)
		}
		if took == 0 {
			if try++; try > tries { // it lives and refuses
				return fmt.Errorf("write %s: %w", i.ref, err)
			}
		}
		i.size.Store(st.Offset)
		p = p[took:]
	}
	return nil
}

// readFrom appends everything that src gives and says how much that was. Reading
// goes on while the engine writes. An error of src is given as it is.
func (i *ingest) readFrom(ctx context.Context, src io.Reader) (int64, error) {
	if err := i.open(ctx); err != nil {
		return 0, i.b.explain(err)
	}
	type part struct {
		buf *[]byte
		n   int
		err error
	}
	// One piece is read while the other is written.
	full, stop := make(chan part), make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(full)
		for {
			buf := pieces.Get().(*[]byte)
			n, err := fill(src, *buf)
			select {
			case full <- part{buf, n, err}:
			case <-stop:
				pieces.Put(buf)
				return
			}
			if err != nil {
				return
			}
		}
	})
	var total int64
	var err error
	for p := range full {
		err = i.append(ctx, (*p.buf)[:p.n])
		pieces.Put(p.buf)
		if err != nil {
			break
		}
		total += int64(p.n)
		if p.err != nil && p.err != io.EOF { //nolint:errorlint // only the bare one is the end
			err = p.err
		}
	}
	close(stop)
	if err != nil {
		if s, ok := src.(interface{ stop() }); ok {
			s.stop() // the reader may wait for a client
		}
	}
	reader.Wait()
	return total, err
}

// fill reads until buf is full or src ends. Unlike io.ReadFull it keeps a source
// that broke off apart from one that ended.
func fill(src io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = src.Read(buf[n:])
		n += m
	}
	return n, err
}

// commit makes the content the blob d, if that is what its bytes are, and keeps
// it from the garbage collection. The blob is pinned until release. The ingest is
// over afterwards, unless there was an error: then abort it, or go on.
// Errors: ErrDigest, ErrTooLarge, ErrDiskFull.
func (i *ingest) commit(ctx context.Context, d digest.Digest) (release func(), err error) {
	if err := i.prove(ctx, d); err != nil {
		return nil, err
	}
	release = i.b.Pin(d)
	if err := i.settle(ctx, d); err != nil {
		release()
		return nil, i.b.explain(err)
	}
	return release, nil
}

// prove compares the bytes with the digest. The engine itself does not where it
// holds a blob of that digest already.
func (i *ingest) prove(ctx context.Context, d digest.Digest) error {
	st, err := i.alive(ctx)
	if err != nil {
		return err
	}
	got := i.w.Digest()
	if d.Algorithm() == digest.SHA512 {
		if st.Offset > maxSHA512 {
			return fmt.Errorf("%d bytes named by sha512, at most %d: %w", st.Offset, int64(maxSHA512), ErrTooLarge)
		}
		if got, err = i.sha512(st.Offset); err != nil {
			return err
		}
	}
	if got != d {
		return fmt.Errorf("the %d bytes have the digest %s: %w", st.Offset, got, ErrDigest)
	}
	return nil
}

// settle commits bytes that were proved.
func (i *ingest) settle(ctx context.Context, d digest.Digest) error {
	size, kept := i.size.Load(), false
	if _, err := i.b.Stat(ctx, d); err == nil {
		switch err := i.b.keep(ctx, d); {
		case err == nil:
			kept = true // and stays: the engine drops the second copy by itself
		case !errors.Is(err, ErrNoBlob):
			return err
		}
	}
	err := i.w.Commit(ctx, size, d, content.WithLabels(rootLabel()))
	i.end()
	i.w = nil
	switch {
	case err == nil || kept:
		return nil
	case errdefs.IsAlreadyExists(err): // somebody else's came first
		return i.b.keep(ctx, d)
	}
	if _, again := i.b.Stat(ctx, d); again == nil { // committed, and the answer was lost
		return i.b.keep(ctx, d)
	}
	return fmt.Errorf("commit %s as %s: %w", i.ref, d, err)
}

// abort gives everything back. What cannot be given back now is, a day later, by
// the engine.
func (i *ingest) abort(ctx context.Context) {
	i.close()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if err := i.b.store.Abort(ctx, i.ref); err != nil && !errdefs.IsNotFound(err) {
		i.b.log.Warn("what was written of a blob is left over for a day", "ref", i.ref, "err", err)
	}
}

// sha512 hashes what was written so far.
func (i *ingest) sha512(size int64) (digest.Digest, error) {
	f, err := i.b.partial(i.ref)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha512.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return "", fmt.Errorf("hash %s: %w", i.ref, err)
	}
	if n != size {
		return "", fmt.Errorf("hash %s: %d bytes in its file, %d were written: %w", i.ref, n, size, ErrDigest)
	}
	return digest.Digest("sha512:" + hex.EncodeToString(h.Sum(nil))), nil
}

// partial opens the file of a content that is being written. The engine names
// its folder by a hash of namespace, number and ref; the ref is in a file beside.
func (b *Blobs) partial(ref string) (*os.File, error) {
	if b.root == "" {
		return nil, fmt.Errorf("the engine does not tell where its content is, so nothing can be named by sha512: %w", errors.ErrUnsupported)
	}
	all, err := os.ReadDir(filepath.Join(b.root, "ingest"))
	if err != nil {
		return nil, fmt.Errorf("look for %s: %w", ref, err)
	}
	for _, e := range all {
		dir := filepath.Join(b.root, "ingest", e.Name())
		name, err := os.ReadFile(filepath.Join(dir, "ref"))
		if err == nil && strings.HasSuffix(string(name), "/"+ref) {
			return os.Open(filepath.Join(dir, "data"))
		}
	}
	return nil, fmt.Errorf("the file of %s is gone: %w", ref, os.ErrNotExist)
}
