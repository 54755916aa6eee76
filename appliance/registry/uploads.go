package registry

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	// uploadLife is how long an upload waits for more bytes.
	uploadLife = 24 * time.Hour
	// uploadsPerCaller bounds the open uploads of one caller on a node.
	uploadsPerCaller = 100
	// uploadIdle is after how long without bytes the file is closed.
	uploadIdle = time.Minute
	// handover is how long a request waits for the one before on the same upload,
	// whose client is usually gone.
	handover = 5 * time.Second
)

// uploadRow is what is known of an upload beyond its bytes. Each is a file beside
// the one with the bytes: both outlive the daemon.
type uploadRow struct {
	ID           string    `json:"id"`
	RepositoryID string    `json:"repositoryId"`
	Caller       string    `json:"caller"` // Caller key of who began it; nobody else goes on
	StartedAt    time.Time `json:"startedAt"`
}

// upload is one upload. The holder of busy may use in.
type upload struct {
	uploadRow
	busy    chan struct{} // has room for the holder
	in      *ingest
	mu      sync.Mutex
	touched time.Time // guarded by mu: when bytes came last
	stop    func()    // guarded by mu: ends the request that holds busy
}

// uploads are the uploads of this node. Safe for concurrent use.
type uploads struct {
	dir   string
	node  string // of this node; what ids end with
	blobs *Blobs
	log   *slog.Logger
	mu    sync.Mutex
	all   map[string]*upload // guarded by mu
}

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))
}

// openUploads reads the uploads that the last run left. Rows that cannot be read
// are removed, and so are bytes without a row: they could not be given to anybody.
func openUploads(blobs *Blobs, node string, log *slog.Logger) (*uploads, error) {
	u := &uploads{dir: blobs.uploads(), node: node, blobs: blobs, log: log, all: map[string]*upload{}}
	files, err := os.ReadDir(u.dir)
	if err != nil {
		return nil, fmt.Errorf("read the folder of uploads: %w", err)
	}
	for _, f := range files {
		if filepath.Ext(f.Name()) != ".json" {
			continue
		}
		path := filepath.Join(u.dir, f.Name())
		var row uploadRow
		b, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(b, &row)
		}
		info, ierr := f.Info()
		if err = errors.Join(err, ierr); err != nil || !idForm.MatchString(row.ID) || row.ID+".json" != f.Name() {
			log.Warn("an upload cannot be gone on with", "file", f.Name(), "err", err)
			_ = os.Remove(path)
			continue
		}
		u.all[row.ID] = u.known(row, info.ModTime())
	}
	for _, f := range files {
		id, ext, _ := strings.Cut(f.Name(), ".")
		if ext != "json" && u.all[id] == nil {
			_ = os.RemoveAll(filepath.Join(u.dir, f.Name()))
		}
	}
	return u, nil
}

func (u *uploads) known(row uploadRow, touched time.Time) *upload {
	return &upload{uploadRow: row, busy: make(chan struct{}, 1), in: u.blobs.ingest(filepath.Join(u.dir, row.ID+".data")), touched: touched}
}

// errTooMany says that a caller has too many open uploads.
var errTooMany = errors.New("too many open uploads")

// begin makes an upload. It is on the disk when begin returns.
func (u *uploads) begin(repositoryID, caller string) (*upload, error) {
	now := time.Now()
	id := newID()
	if u.node != "" {
		id += "-" + u.node
	}
	up := u.known(uploadRow{ID: id, RepositoryID: repositoryID, Caller: caller, StartedAt: now.UTC()}, now)
	u.mu.Lock()
	n := 0
	for _, o := range u.all {
		if o.Caller == caller {
			n++
		}
	}
	if n >= uploadsPerCaller {
		u.mu.Unlock()
		return nil, errTooMany
	}
	u.all[up.ID] = up
	u.mu.Unlock()
	if err := u.write(up.uploadRow); err != nil {
		u.forget(up)
		return nil, u.blobs.explain(err)
	}
	return up, nil
}

// write puts a row on the disk for good.
func (u *uploads) write(row uploadRow) error {
	b, err := json.Marshal(row)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(u.path(row.ID), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("note upload %s: %w", row.ID, err)
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("note upload %s: %w", row.ID, err)
	}
	return syncFolder(u.dir)
}

func (u *uploads) path(id string) string { return filepath.Join(u.dir, id+".json") }

// find gives an upload of a repository that the caller began.
func (u *uploads) find(id, repositoryID, caller string) (*upload, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	up, ok := u.all[id]
	if !ok || up.RepositoryID != repositoryID || up.Caller != caller {
		return nil, false
	}
	return up, true
}

// errBusy says that another request holds an upload and does not let go.
var errBusy = errors.New("another request is sending to this upload")

// take makes the caller the one request on an upload; stop ends it when another
// one comes, which usually means that its client is gone.
func (u *uploads) take(ctx context.Context, up *upload, stop func()) (release func(), err error) {
	select {
	case up.busy <- struct{}{}:
	default:
		up.mu.Lock()
		if up.stop != nil {
			up.stop()
		}
		up.mu.Unlock()
		late := time.NewTimer(handover)
		defer late.Stop()
		select {
		case up.busy <- struct{}{}:
		case <-late.C:
			return nil, errBusy
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	up.mu.Lock()
	up.stop = stop
	up.mu.Unlock()
	if _, there := u.find(up.ID, up.RepositoryID, up.Caller); !there { // the one before ended it
		u.free(up)
		return nil, errGone
	}
	return func() { u.free(up) }, nil
}

// errGone says that an upload ended while a request waited for it.
var errGone = errors.New("the upload is over")

func (u *uploads) free(up *upload) {
	up.mu.Lock()
	up.stop = nil
	up.mu.Unlock()
	<-up.busy
}

// touch notes that bytes came. Its file's time survives the daemon.
func (u *uploads) touch(up *upload) {
	now := time.Now()
	up.mu.Lock()
	up.touched = now
	up.mu.Unlock()
	if err := os.Chtimes(u.path(up.ID), now, now); err != nil && !errors.Is(err, fs.ErrNotExist) {
		u.log.Warn("the time of an upload is not noted", "upload", up.ID, "err", err)
	}
}

// forget removes what is known of an upload; its bytes are given back or became a
// blob.
func (u *uploads) forget(up *upload) {
	u.mu.Lock()
	delete(u.all, up.ID)
	u.mu.Unlock()
	if err := os.Remove(u.path(up.ID)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		u.log.Warn("the note of an upload is left over", "upload", up.ID, "err", err)
	}
}

// cancel ends an upload and gives its bytes back. The caller holds it.
func (u *uploads) cancel(up *upload) {
	up.in.abort()
	u.forget(up)
}

// tend closes files that are idle and ends uploads that wait for too long, or
// whose repository is gone.
func (u *uploads) tend(now time.Time, exists func(repositoryID string) bool) {
	u.blobs.sweepFolders(now)
	u.mu.Lock()
	all := make([]*upload, 0, len(u.all))
	for _, up := range u.all {
		all = append(all, up)
	}
	u.mu.Unlock()
	for _, up := range all {
		up.mu.Lock()
		quiet := now.Sub(up.touched)
		up.mu.Unlock()
		if quiet < uploadIdle {
			continue
		}
		select {
		case up.busy <- struct{}{}:
		default:
			continue // a request is at it
		}
		switch {
		case quiet >= uploadLife || !exists(up.RepositoryID):
			u.log.Info("upload given up", "upload", up.ID, "repository", up.RepositoryID, "bytes", up.in.size.Load(), "quiet_s", int(quiet.Seconds()))
			u.cancel(up)
		default:
			up.in.close()
		}
		<-up.busy
	}
}

// count says how many uploads are open.
func (u *uploads) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.all)
}

// close closes all files; everything can be gone on with.
func (u *uploads) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, up := range u.all {
		select {
		case up.busy <- struct{}{}:
			up.in.close()
			<-up.busy
		default: // its request ends with the server
		}
	}
}
