package registry

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// piece is how much is read from a client at once, window how much is sent to one;
// where more than a crowd wants something, each gets it in narrow windows, because
// there may be hundreds.
const (
	piece  = 256 << 10
	window = 256 << 10
	narrow = 32 << 10
	crowd  = 16
)

var (
	pieces  = sync.Pool{New: func() any { b := make([]byte, piece); return &b }}
	windows = sync.Pool{New: func() any { b := make([]byte, window); return &b }}
	// narrowWindows are windows for a crowd.
	narrowWindows = sync.Pool{New: func() any { b := make([]byte, narrow); return &b }}
	sending       atomic.Int64 // contents on their way to clients
)

// flushEvery is how much is written before the kernel is told to begin with the
// disk, so that little is left to wait for at the end.
const flushEvery = 8 << 20

// ingest is one content on its way into the engine: a file of ours beside the
// engine's, which becomes one of its blobs by a second name once its bytes are
// proved. So the engine is not needed while bytes come, and they are written once.
// Not safe for concurrent use, but for size.
type ingest struct {
	b       *Blobs
	path    string
	f       *os.File     // nil: not open
	sum     hash.Hash    // of everything in the file, by sha256; nil: not known
	flushed int64        // bytes that the kernel was told to write
	size    atomic.Int64 // bytes in the file
}

// ingest gives what is at path, which need not exist yet.
func (b *Blobs) ingest(path string) *ingest {
	i := &ingest{b: b, path: path}
	if info, err := os.Stat(path); err == nil && info.Size() > 0 {
		i.size.Store(info.Size())
	} else {
		i.sum = sha256.New()
	}
	return i
}

// open opens the file, unless it is.
func (i *ingest) open() error {
	if i.f != nil {
		return nil
	}
	f, err := os.OpenFile(i.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return i.b.explain(fmt.Errorf("open an upload's file: %w", err))
	}
	i.f = f
	return nil
}

// close closes the file; what was written stays.
func (i *ingest) close() {
	if i.f != nil {
		_ = i.f.Close()
		i.f = nil
	}
}

// append writes p behind what is there, or nothing of it.
func (i *ingest) append(p []byte) error {
	if _, err := i.b.space(); err != nil {
		return err
	}
	n := i.size.Load()
	if _, err := i.f.WriteAt(p, n); err != nil {
		_ = i.f.Truncate(n) // the next write begins at n in any case
		return i.b.explain(fmt.Errorf("write an upload: %w", err))
	}
	if i.sum != nil {
		_, _ = i.sum.Write(p) // never fails
	}
	n += int64(len(p))
	i.size.Store(n)
	if n-i.flushed >= flushEvery {
		_ = unix.SyncFileRange(int(i.f.Fd()), i.flushed, n-i.flushed, unix.SYNC_FILE_RANGE_WRITE) // a hint
		i.flushed = n
	}
	return nil
}

// readFrom appends everything that src gives and says how much that was. Reading
// goes on while the last piece is written. An error of src is given as it is.
func (i *ingest) readFrom(src io.Reader) (int64, error) {
	if err := i.open(); err != nil {
		return 0, err
	}
	if err := i.unshare(); err != nil {
		return 0, err
	}
	type part struct {
		buf *[]byte
		n   int
		err error
	}
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
		err = i.append((*p.buf)[:p.n])
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
		if s, ok := src.(interface{ hurry() }); ok {
			s.hurry() // the reader may wait for a client
		}
	}
	reader.Wait()
	return total, err
}

// unshare makes the file ours alone again, if a commit that did not come to its
// end has left it among the engine's blobs: what is written now must not reach
// content that others rely on.
func (i *ingest) unshare() error {
	var st unix.Stat_t
	if err := unix.Fstat(int(i.f.Fd()), &st); err != nil {
		return fmt.Errorf("look at an upload's file: %w", err)
	}
	if st.Nlink <= 1 {
		return nil
	}
	part := i.path + ".own"
	own, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return i.b.explain(fmt.Errorf("copy an upload's file: %w", err))
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{own}, io.NewSectionReader(i.f, 0, i.size.Load()), make([]byte, piece))
	if err == nil {
		err = os.Rename(part, i.path)
	}
	if err != nil {
		_ = own.Close()
		_ = os.Remove(part)
		return i.b.explain(fmt.Errorf("copy an upload's file: %w", err))
	}
	i.close()
	i.f = own
	return nil
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
	if err := i.open(); err != nil {
		return nil, err
	}
	if err := i.prove(d); err != nil {
		return nil, err
	}
	release = i.b.Pin(d)
	if err := i.settle(ctx, d); err != nil {
		release()
		return nil, i.b.explain(err)
	}
	i.remove()
	return release, nil
}

// prove compares the bytes with the digest. The engine itself would not where it
// holds a blob of that digest already.
func (i *ingest) prove(d digest.Digest) error {
	size, sum := i.size.Load(), i.sum
	if d.Algorithm() == digest.SHA512 {
		if size > maxSHA512 {
			return fmt.Errorf("%d bytes named by sha512, at most %d: %w", size, int64(maxSHA512), ErrTooLarge)
		}
		sum = nil
	}
	if sum == nil { // of a daemon before, or another algorithm: read it again
		if sum = sha256.New(); d.Algorithm() == digest.SHA512 {
			sum = sha512.New()
		}
		n, err := io.Copy(sum, io.NewSectionReader(i.f, 0, size))
		if err != nil {
			return fmt.Errorf("read an upload again: %w", err)
		}
		if n != size {
			return fmt.Errorf("%d bytes are left of %d: %w", n, size, ErrDigest)
		}
	}
	if got := digest.NewDigest(d.Algorithm(), sum); got != d {
		return fmt.Errorf("the %d bytes have the digest %s: %w", size, got, ErrDigest)
	}
	return nil
}

// settle gives proved bytes to the engine. It waits while the engine restarts;
// how long the disk takes for them is for ctx to bound.
func (i *ingest) settle(ctx context.Context, d digest.Digest) error {
	var since time.Time // the engine is away
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 250*time.Millisecond) {
		err := i.settleOnce(ctx, d)
		if err == nil || !errdefs.IsUnavailable(err) && !errors.Is(err, errAgain) && !errors.Is(err, io.EOF) {
			return err
		}
		if since.IsZero() {
			since = time.Now()
		}
		if time.Since(since) > patience {
			return fmt.Errorf("give blob %s to the engine, which did not take it within %s: %w", d, patience, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("give blob %s to the engine: %w (%w)", d, context.Cause(ctx), err)
		case <-time.After(wait):
		}
	}
}

// errAgain says that the engine's garbage collection came between.
var errAgain = errors.New("the engine has dropped it")

func (i *ingest) settleOnce(ctx context.Context, d digest.Digest) error {
	if _, err := i.b.Stat(ctx, d); err == nil {
		if err := i.b.keep(ctx, d); !errors.Is(err, ErrNoBlob) {
			return err
		}
	} else if !errors.Is(err, ErrNoBlob) {
		return err
	}
	if err := i.f.Sync(); err != nil {
		return fmt.Errorf("write blob %s: %w", d, err)
	}
	size := i.size.Load()
	linked, err := i.b.link(i.path, d)
	if err != nil {
		return err
	}
	// A writer for content whose file is there already only lacks its commit.
	opts := []content.WriterOpt{content.WithRef(i.b.ref(i.path))}
	if linked {
		opts = append(opts, content.WithDescriptor(ocispec.Descriptor{Digest: d, Size: size}))
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	w, err := i.b.store.Writer(life, opts...)
	if errdefs.IsAlreadyExists(err) {
		return i.b.keep(ctx, d)
	}
	if err != nil {
		return fmt.Errorf("commit blob %s: %w", d, err)
	}
	st, err := w.Status()
	switch {
	case err != nil:
	case linked && st.Offset != size:
		err = errAgain // it went between the two: link it again
	case !linked:
		if err = w.Truncate(0); err == nil { // of a try before
			_, err = io.CopyBuffer(struct{ io.Writer }{w}, io.NewSectionReader(i.f, 0, size), make([]byte, 1<<20))
		}
	}
	if err == nil {
		err = w.Commit(ctx, size, d, content.WithLabels(rootLabel()))
	}
	switch {
	case err == nil:
		return nil
	case errdefs.IsAlreadyExists(err): // somebody else's came first
		return i.b.keep(ctx, d)
	}
	err = i.b.explain(err) // before there is space again
	end()
	if aborted := i.b.store.Abort(ctx, i.b.ref(i.path)); aborted != nil && !errdefs.IsNotFound(aborted) {
		i.b.log.Debug("commit not taken back", "digest", d, "err", aborted)
	}
	return fmt.Errorf("commit blob %s: %w", d, err)
}

// ref names a commit to the engine; those of other runs of the daemon are swept.
func (b *Blobs) ref(path string) string { return refPrefix + b.boot + "-" + filepath.Base(path) }

// link gives a file its name among the engine's blobs; false where that cannot be,
// because the two are on different file systems or the engine does not tell where
// its are. The layout is the engine's own; nothing else here writes to it.
func (b *Blobs) link(path string, d digest.Digest) (bool, error) {
	if b.root == "" {
		return false, nil
	}
	if err := os.Chmod(path, 0o444); err != nil {
		return false, fmt.Errorf("commit blob %s: %w", d, err)
	}
	to := b.path(d)
	err := os.Link(path, to)
	if errors.Is(err, fs.ErrNotExist) { // the engine makes the folder with its first blob
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return false, fmt.Errorf("commit blob %s: %w", d, err)
		}
		err = os.Link(path, to)
	}
	switch {
	case errors.Is(err, unix.EXDEV), errors.Is(err, unix.EPERM), errors.Is(err, unix.EMLINK):
		return false, nil
	case err != nil && !errors.Is(err, fs.ErrExist):
		return false, fmt.Errorf("commit blob %s: %w", d, err)
	}
	if info, err := os.Stat(to); err != nil { // dropped already: the caller sees it
		return true, nil //nolint:nilerr // the engine says so itself
	} else if mine, err := os.Stat(path); err != nil || info.Size() != mine.Size() {
		return false, nil //nolint:nilerr // half written by somebody else, who will replace it
	}
	return true, syncFolder(filepath.Dir(to))
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("make a name last: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("make a name last: %w", err)
	}
	return nil
}

// abort gives everything back.
func (i *ingest) abort() { i.remove() }

// remove removes the file; as a blob it lives on under its other name.
func (i *ingest) remove() {
	i.close()
	if err := os.Remove(i.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		i.b.log.Warn("the file of an upload is left over", "file", i.path, "err", err)
	}
}
