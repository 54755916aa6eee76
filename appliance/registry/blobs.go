package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/runtime/engine"
	"github.com/skerryhq/skerry/runtime/image"
)

// Errors of Blobs. Test with errors.Is.
var (
	// ErrNoBlob: the engine does not hold that content.
	ErrNoBlob = errors.New("no such content on this node")
	// ErrDigest: the bytes are not what the digest says.
	ErrDigest = errors.New("the content does not have this digest")
	// ErrDiskFull: the engine's disk is full, or nearly so.
	ErrDiskFull = errors.New("the disk of the registry is full")
	// ErrTooLarge: content with a sha512 digest is larger than is taken.
	ErrTooLarge = errors.New("the content is too large")
)

const (
	// labelRoot keeps content from the engine's garbage collection. Nothing but
	// this package sets it on content.
	labelRoot = "containerd.io/gc.root"
	fieldRoot = "labels." + labelRoot

	// refPrefix begins the names of everything that is being written here.
	refPrefix = image.RegistryRef

	// reserve is the space that stays free for the engine's and the cluster's own
	// records when pushes fill the disk.
	reserve = 16 << 20

	// maxSHA512 bounds content named by sha512: the engine hashes it again while
	// all its other writes wait.
	maxSHA512 = 128 << 20

	// patience is how long a write waits for an engine that restarts.
	patience = 15 * time.Second
)

// Blobs is the registry's part of the engine's content store. Safe for concurrent
// use.
type Blobs struct {
	client *client.Client
	store  content.Store
	root   string // the store's folder; empty: read through the engine
	dir    string // where bytes come in, on the same file system if possible
	boot   string // names this run of the daemon to the engine
	pins   pins
	log    *slog.Logger
}

// NewBlobs finds the content of a connected engine. dir is the registry's folder
// on this node; what a run before left half written in it is removed, but for
// uploads. Nothing needs closing.
func NewBlobs(ctx context.Context, c *client.Client, dir string, log *slog.Logger) (*Blobs, error) {
	b := &Blobs{client: c, store: c.ContentStore(), dir: dir, boot: newID(), log: log}
	if err := os.RemoveAll(b.incoming()); err != nil {
		return nil, fmt.Errorf("open the registry's folder: %w", err)
	}
	for _, d := range []string{b.incoming(), b.uploads()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("open the registry's folder: %w", err)
		}
	}
	b.root = engine.ContentRoot(ctx, c)
	if b.root == "" {
		log.Warn("the engine does not tell where its content is; blobs go through it, which is slower")
	}
	return b, nil
}

func (b *Blobs) incoming() string { return filepath.Join(b.dir, "incoming") }
func (b *Blobs) uploads() string  { return filepath.Join(b.dir, "uploads") }

func (b *Blobs) path(d digest.Digest) string {
	return filepath.Join(b.root, "blobs", d.Algorithm().String(), d.Encoded())
}

// Content is a blob that can be read from any place.
type Content struct {
	io.ReadSeekCloser
	Size int64
}

// Open opens a blob. Errors: ErrNoBlob.
func (b *Blobs) Open(ctx context.Context, d digest.Digest) (*Content, error) {
	if b.root != "" {
		f, err := os.Open(b.path(d))
		if err == nil {
			info, err := f.Stat()
			if err != nil {
				_ = f.Close()
				return nil, fmt.Errorf("open blob %s: %w", d, err)
			}
			return &Content{f, info.Size()}, nil
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("blob %s: %w", d, ErrNoBlob)
		}
	}
	size, err := b.Stat(ctx, d)
	if err != nil {
		return nil, err
	}
	ra, err := b.store.ReaderAt(ctx, ocispec.Descriptor{Digest: d, Size: size})
	if err != nil {
		return nil, fmt.Errorf("open blob %s: %w", d, err)
	}
	return &Content{struct {
		io.ReadSeeker
		io.Closer
	}{io.NewSectionReader(ra, 0, size), ra}, size}, nil
}

// Read gives the whole of a small blob. Errors: ErrNoBlob, ErrTooLarge.
func (b *Blobs) Read(ctx context.Context, d digest.Digest, limit int64) ([]byte, error) {
	c, err := b.Open(ctx, d)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if c.Size > limit {
		return nil, fmt.Errorf("blob %s of %d bytes: %w", d, c.Size, ErrTooLarge)
	}
	out := make([]byte, c.Size)
	if _, err := io.ReadFull(c, out); err != nil {
		return nil, fmt.Errorf("read blob %s: %w", d, err)
	}
	return out, nil
}

// Stat gives the size of a blob in bytes. Errors: ErrNoBlob.
func (b *Blobs) Stat(ctx context.Context, d digest.Digest) (int64, error) {
	info, err := b.store.Info(ctx, d)
	if errdefs.IsNotFound(err) {
		return 0, fmt.Errorf("blob %s: %w", d, ErrNoBlob)
	}
	if err != nil {
		return 0, fmt.Errorf("look for blob %s: %w", d, err)
	}
	return info.Size, nil
}

// Pin keeps the collector from giving a blob up until release is called, which
// may be called more than once. It waits for one that is being given up at this
// moment. Pin first, then look whether the blob is there.
func (b *Blobs) Pin(d digest.Digest) (release func()) { return b.pins.add(d) }

// Retain makes the engine keep a blob that it holds. The caller has pinned it.
// Errors: ErrNoBlob.
func (b *Blobs) Retain(ctx context.Context, d digest.Digest) error {
	_, err := b.store.Update(ctx, content.Info{Digest: d, Labels: rootLabel()}, fieldRoot)
	if errdefs.IsNotFound(err) {
		return fmt.Errorf("blob %s: %w", d, ErrNoBlob)
	}
	if err != nil {
		return fmt.Errorf("keep blob %s: %w", d, err)
	}
	return nil
}

// keep is Retain for a blob that only the garbage collection may still know
// about: the lease holds it until the label does.
func (b *Blobs) keep(ctx context.Context, d digest.Digest) error {
	lm := b.client.LeasesService()
	lease, err := lm.Create(ctx, leases.WithRandomID(), leases.WithExpiration(time.Hour))
	if err != nil {
		return fmt.Errorf("take a lease: %w", err)
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if err := lm.Delete(end, lease); err != nil && !errdefs.IsNotFound(err) {
			b.log.Debug("lease not given back", "lease", lease.ID, "err", err)
		}
	}()
	if err := lm.AddResource(ctx, lease, leases.Resource{Type: "content", ID: d.String()}); err != nil {
		return fmt.Errorf("hold blob %s: %w", d, err)
	}
	return b.Retain(ctx, d)
}

// Put stores what src gives as the blob d of size bytes, and pins it. The bytes
// are compared with the digest even if the blob is there already: whoever brings
// them has proved to have them. Errors: ErrDigest, ErrDiskFull, ErrTooLarge, those
// of src. release is never nil.
func (b *Blobs) Put(ctx context.Context, d digest.Digest, size int64, src io.Reader) (release func(), err error) {
	in := b.ingest(filepath.Join(b.incoming(), newID()))
	n, err := in.readFrom(src)
	if err == nil && n != size {
		err = fmt.Errorf("%d bytes came, %d were announced: %w", n, size, ErrDigest)
	}
	if err == nil {
		if release, err = in.commit(ctx, d); err == nil {
			return release, nil
		}
	}
	in.abort()
	return func() {}, err
}

func rootLabel() map[string]string {
	return map[string]string{labelRoot: time.Now().UTC().Format(time.RFC3339)}
}

// space says how many bytes may still be written; ErrDiskFull if none.
func (b *Blobs) space() (int64, error) {
	least := int64(1 << 62)
	for _, dir := range []string{b.dir, b.root} {
		var st unix.Statfs_t
		if dir == "" || unix.Statfs(dir, &st) != nil {
			continue
		}
		free := int64(st.Bavail) * st.Bsize
		if free <= reserve || st.Files > 0 && st.Ffree < 16 {
			return 0, fmt.Errorf("%d bytes are left: %w", free, ErrDiskFull)
		}
		least = min(least, free-reserve)
	}
	return least, nil
}

// explain adds ErrDiskFull where that is what stopped the engine: its errors lose
// their class on the way here, the disk does not lie.
func (b *Blobs) explain(err error) error {
	if err == nil || errors.Is(err, ErrDiskFull) {
		return err
	}
	if _, full := b.space(); full != nil {
		return fmt.Errorf("%w (%w)", full, err)
	}
	return err
}

// sweep ends the commits that an earlier run had begun.
func (b *Blobs) sweep(ctx context.Context) error {
	all, err := b.store.ListStatuses(ctx)
	if err != nil {
		return fmt.Errorf("list what is being written: %w", err)
	}
	var errs []error
	for _, s := range all {
		if strings.HasPrefix(s.Ref, refPrefix) && !strings.HasPrefix(s.Ref, refPrefix+b.boot) {
			if err := b.store.Abort(ctx, s.Ref); err != nil && !errdefs.IsNotFound(err) {
				errs = append(errs, fmt.Errorf("give back %s: %w", s.Ref, err))
			}
		}
	}
	return errors.Join(errs...)
}

// sweepFolders removes what the engine leaves of a write that was aborted while
// it still closed it: a folder with a time in it, which it never looks at again.
func (b *Blobs) sweepFolders(now time.Time) {
	if b.root == "" {
		return
	}
	all, err := os.ReadDir(filepath.Join(b.root, "ingest"))
	if err != nil {
		return
	}
	for _, e := range all {
		dir := filepath.Join(b.root, "ingest", e.Name())
		info, err := e.Info()
		if err != nil || now.Sub(info.ModTime()) < time.Minute {
			continue // it may be about to begin
		}
		if _, err := os.Stat(filepath.Join(dir, "ref")); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, "data")); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			b.log.Debug("empty folder of a write not removed", "dir", dir, "err", err)
		}
	}
}
