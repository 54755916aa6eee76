// Package exchange moves the content of images between nodes: a node that must
// start a container whose image it lacks fetches manifest and blobs from a node
// that has them, and any node hands out what it has to those who may ask.
//
// Everything that comes is compared with its digest, and a blob comes once
// however many ask. A member may fetch everything; a worker only what the images
// of the containers consist of that are assigned to it, which the member that
// serves it decides by the state. The package never decides where content should
// be: the registry keeps the copies of what was pushed.
//
// Called by the agent's way to the engine (Bring), the registry (Blob) and other
// nodes (Handler). An Exchange is safe for concurrent use.
package exchange

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/skerryhq/skerry/appliance/registry"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/runtime/image"
)

// Prefix is the path below which nodes hand out blobs; see Handler.
const Prefix = "/peer/v1/blobs/"

// Peers are the ways to other nodes: requests go to https://peer/...
type Peers interface {
	// Client gives a client whose requests reach the node, by HTTP/2.
	Client(nodeID string) *http.Client
}

// Config is what an Exchange works with. Upstream and Held may be nil.
type Config struct {
	NodeID string
	Images *image.Store
	Blobs  *registry.Blobs
	Peers  Peers
	// Holders gives the nodes that may have an image or a blob, the best first:
	// HoldersIn on a member; on a worker its members.
	Holders func(digest string) []Holder
	// Upstream fetches an image from where its name says, if no node has it any
	// more; nil: it cannot be fetched from here.
	Upstream func(ctx context.Context, digest string, report func(image.Progress)) error
	// Held notes that this node holds an image now.
	Held func(ctx context.Context, digest string) error
	Log  *slog.Logger
}

// Holder is a node that may have something.
type Holder struct{ ID, Name string }

// Exchange fetches for one node.
type Exchange struct {
	cfg Config
	log *slog.Logger

	mu      sync.Mutex
	flights map[string]*flight // by what is fetched; guarded by mu
}

// New makes an Exchange. Nothing needs closing.
func New(cfg Config) *Exchange {
	return &Exchange{cfg: cfg, log: cfg.Log.With("component", "exchange"), flights: map[string]*flight{}}
}

// signOfLife is how long a node may take to begin with an answer: blobs are files.
const signOfLife = 2 * time.Second

// flight is one fetch, for everybody who asks for the same. It goes on when those
// who asked go away: they come again.
type flight struct {
	done     chan struct{}
	err      error                  // set before done is closed
	watchers []func(image.Progress) // guarded by Exchange.mu
}

// watcher tells one who waits how far it is, until he leaves.
type watcher struct {
	mu     sync.Mutex
	report func(image.Progress) // nil: he has left; guarded by mu
}

func (w *watcher) tell(p image.Progress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.report != nil {
		w.report(p)
	}
}

func (w *watcher) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report = nil
}

// once runs work once for all who call it with the same key at the same time.
func (x *Exchange) once(ctx context.Context, key string, report func(image.Progress), work func(context.Context, func(image.Progress)) error) error {
	x.mu.Lock()
	f := x.flights[key]
	if f == nil {
		f = &flight{done: make(chan struct{})}
		x.flights[key] = f
		life := context.WithoutCancel(ctx)
		go func() {
			f.err = work(life, func(p image.Progress) {
				x.mu.Lock()
				watchers := f.watchers
				x.mu.Unlock()
				for _, w := range watchers {
					w(p)
				}
			})
			x.mu.Lock()
			delete(x.flights, key)
			x.mu.Unlock()
			close(f.done)
		}()
	}
	if report != nil {
		w := &watcher{report: report}
		defer w.leave()
		f.watchers = append(slices.Clip(f.watchers), w.tell)
	}
	x.mu.Unlock()
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Bring makes the image of a digest be an image of this node's engine, from other
// nodes or, where none has it, from outside. report, unless nil, is called from
// several goroutines, one call at a time, and not after Bring has returned. Errors are *model.Error where a person can mend something.
func (x *Exchange) Bring(ctx context.Context, dgst string, report func(image.Progress)) error {
	d, err := digest.Parse(dgst)
	if err != nil {
		return model.Errorf(model.KindInvalid, "digest_invalid", "%q is no digest", dgst)
	}
	return x.once(ctx, "image "+dgst, report, func(ctx context.Context, report func(image.Progress)) error {
		ctx, cancel := context.WithTimeoutCause(ctx, longest, errors.New("it took longer than a day"))
		defer cancel()
		if _, err := x.cfg.Images.Resolve(ctx, d); err == nil {
			return nil
		}
		src := &source{x: x, want: d}
		_, err := x.cfg.Images.Pull(ctx, src, image.PullOptions{Progress: report})
		if errors.Is(err, errNobody) && x.cfg.Upstream != nil {
			if uerr := x.cfg.Upstream(ctx, dgst, report); uerr != nil {
				return fmt.Errorf("%w, and not from outside either: %w", err, uerr)
			}
			err = nil
		}
		if err != nil {
			return explain(dgst, err)
		}
		x.log.Info("image brought here", "digest", dgst, "from", src.name())
		if x.cfg.Held != nil {
			if err := x.cfg.Held(ctx, dgst); err != nil { // the image is here all the same
				x.log.Warn("not noted that this node holds an image", "digest", dgst, "err", err)
			}
		}
		return nil
	})
}

const longest = 24 * time.Hour

// errNobody says that no node that answers has something.
var errNobody = errors.New("no node that answers has it")

// explain makes a sentence of why an image could not be brought.
func explain(dgst string, err error) error {
	if _, told := errors.AsType[*model.Error](err); told {
		return err
	}
	if errors.Is(err, errNobody) {
		return &model.Error{Kind: model.KindUnavailable, Code: "image_nowhere", Err: err,
			Detail: "the image " + dgst + " is on no node that answers at the moment; start the nodes that have it, or pull or push it again"}
	}
	if errors.Is(err, image.ErrDiskFull) {
		return &model.Error{Kind: model.KindExhausted, Code: "disk_full", Err: err, Detail: "there is no room left on this node for the image " + dgst}
	}
	return fmt.Errorf("fetch image %s from another node: %w", dgst, err)
}

// source is one image on other nodes: a runtime/image.Source.
type source struct {
	x    *Exchange
	want digest.Digest

	mu   sync.Mutex
	from []Holder // those that have its manifest; set by Resolve
	top  []byte   // the manifest
}

func (s *source) name() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.from) == 0 {
		return ""
	}
	return s.from[0].Name
}

// maxManifest bounds a manifest in bytes.
const maxManifest = 8 << 20

// Resolve asks who has the image, and reads its manifest.
func (s *source) Resolve(ctx context.Context) (ocispec.Descriptor, error) {
	holders := s.x.having(ctx, s.want)
	s.mu.Lock()
	s.from = holders
	s.mu.Unlock()
	last := error(errNobody)
	for _, h := range holders {
		b, err := s.x.read(ctx, h, s.want)
		if err != nil {
			last = err
			continue
		}
		mediaType, err := typeOf(b)
		if err != nil {
			return ocispec.Descriptor{}, err
		}
		s.mu.Lock()
		s.top = b
		s.mu.Unlock()
		return ocispec.Descriptor{MediaType: mediaType, Digest: s.want, Size: int64(len(b))}, nil
	}
	return ocispec.Descriptor{}, last
}

// typeOf finds what kind of manifest b is.
func typeOf(b []byte) (string, error) {
	var doc struct {
		MediaType string            `json:"mediaType"`
		Manifests []json.RawMessage `json:"manifests"`
		Config    json.RawMessage   `json:"config"`
	}
	err := json.Unmarshal(b, &doc)
	switch {
	case err == nil && model.IsManifestType(doc.MediaType):
		return doc.MediaType, nil
	case err == nil && doc.MediaType == "" && doc.Manifests != nil && doc.Config == nil:
		return model.MediaTypeOCIIndex, nil
	case err == nil && doc.MediaType == "" && doc.Config != nil:
		return model.MediaTypeOCIManifest, nil
	}
	return "", model.Errorf(model.KindInvalid, "image_refused", "what an image's digest names is no manifest; push or pull the image again")
}

// Fetch brings one part under the pull's lease.
func (s *source) Fetch(ctx context.Context, d ocispec.Descriptor, done func(int64)) (release func(), err error) {
	s.mu.Lock()
	from := slices.Clone(s.from)
	s.mu.Unlock()
	for _, h := range s.x.cfg.Holders(d.Digest.String()) { // may have a part of what it has not whole
		if !slices.Contains(from, h) {
			from = append(from, h)
		}
	}
	var openers []image.Opener
	for _, h := range from {
		openers = append(openers, func(ctx context.Context, offset int64) (io.ReadCloser, error) {
			return s.x.open(ctx, h, d.Digest, offset, d.Size)
		})
	}
	if err := s.x.cfg.Images.Receive(ctx, d, openers, done); err != nil {
		if errors.Is(err, image.ErrNotFound) {
			err = errNobody
		}
		return nil, err
	}
	return func() {}, nil
}

// Holds says yes: the image was brought into the cluster by somebody who had all
// of it, and the state says that this node is to run it.
func (s *source) Holds(digest.Digest) bool { return true }

// having asks those who may have a blob whether they do. They come in the order
// of Holders, at once when the best has said yes.
func (x *Exchange) having(ctx context.Context, d digest.Digest) []Holder {
	all := x.cfg.Holders(d.String())
	yes := make([]bool, len(all))
	var g sync.WaitGroup
	for i, h := range all {
		g.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, signOfLife)
			defer cancel()
			resp, err := x.do(ctx, h, http.MethodHead, d, 0)
			if err == nil {
				yes[i] = resp.StatusCode == http.StatusOK
				_ = resp.Body.Close()
			}
		})
	}
	g.Wait()
	var out []Holder
	for i, h := range all {
		if yes[i] {
			out = append(out, h)
		}
	}
	return out
}

func (x *Exchange) do(ctx context.Context, h Holder, method string, d digest.Digest, offset int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "https://peer"+Prefix+d.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("ask the node %s: %w", h.Name, err)
	}
	if offset > 0 {
		req.Header.Set("Range", "bytes="+strconv.FormatInt(offset, 10)+"-")
	}
	resp, err := x.cfg.Peers.Client(h.ID).Do(req)
	if err != nil {
		return nil, &model.Error{Kind: model.KindUnavailable, Code: "node_away", Detail: "the node " + h.Name + " does not answer", Err: err}
	}
	return resp, nil
}

// open begins to read a blob of another node.
func (x *Exchange) open(ctx context.Context, h Holder, d digest.Digest, offset, size int64) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	late := time.AfterFunc(signOfLife, cancel)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error {
		late.Reset(secondHand) // it has to get it itself
		return nil
	}})
	resp, err := x.do(ctx, h, http.MethodGet, d, offset)
	if err == nil && !late.Stop() {
		_ = resp.Body.Close()
		err = context.Canceled
	}
	if err != nil {
		cancel()
		return nil, err
	}
	want := http.StatusOK
	if offset > 0 {
		want = http.StatusPartialContent
	}
	if resp.StatusCode != want || resp.ContentLength >= 0 && resp.ContentLength != size-offset {
		cancel()
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusForbidden {
			return nil, fmt.Errorf("blob %s on the node %s: %w", d, h.Name, image.ErrNotFound)
		}
		return nil, fmt.Errorf("the node %s answered %s with %d bytes for blob %s of %d from byte %d on", h.Name, resp.Status, resp.ContentLength, d, size, offset)
	}
	return &moving{ReadCloser: resp.Body, cancel: cancel, idle: time.AfterFunc(patience, cancel)}, nil
}

// secondHand is how long a member may take that first gets a blob itself for a
// worker.
const secondHand = 10 * time.Minute

// patience is how long a node may take for the next bytes of a blob.
const patience = 20 * time.Second

// moving is a body that must keep coming.
type moving struct {
	io.ReadCloser
	cancel context.CancelFunc
	idle   *time.Timer
}

func (m *moving) Read(p []byte) (int, error) {
	n, err := m.ReadCloser.Read(p)
	if n > 0 {
		m.idle.Reset(patience)
	}
	return n, err
}

func (m *moving) Close() error {
	m.idle.Stop()
	m.cancel()
	return m.ReadCloser.Close()
}

// read reads a small blob of another node, compared with its digest.
func (x *Exchange) read(ctx context.Context, h Holder, d digest.Digest) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	resp, err := x.do(ctx, h, http.MethodGet, d, 0)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the node %s answered %s for %s", h.Name, resp.Status, d)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxManifest+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %s from the node %s: %w", d, h.Name, err)
	case len(b) > maxManifest:
		return nil, model.Errorf(model.KindInvalid, "image_refused", "the manifest %s is larger than %d bytes", d, maxManifest)
	case d.Algorithm().FromBytes(b) != d:
		return nil, fmt.Errorf("the node %s sent other bytes than %s", h.Name, d)
	}
	return b, nil
}

// Blob makes one blob be here for the registry, which keeps it; from are tried
// before those whom Holders names. The blob is pinned until release. size is what
// is known of it; below 0: nothing. Errors: errors.Is registry.ErrNoBlob where no
// node that answers has it.
func (x *Exchange) Blob(ctx context.Context, d digest.Digest, size int64, from ...string) (release func(), err error) {
	release = x.cfg.Blobs.Pin(d)
	err = x.once(ctx, "blob "+d.String(), nil, func(ctx context.Context, _ func(image.Progress)) error {
		if _, err := x.cfg.Blobs.Stat(ctx, d); err == nil {
			return x.cfg.Blobs.Retain(ctx, d)
		}
		return x.blob(ctx, d, size, from)
	})
	if err != nil {
		release()
		return func() {}, err
	}
	return release, nil
}

func (x *Exchange) blob(ctx context.Context, d digest.Digest, size int64, from []string) error {
	all := x.cfg.Holders(d.String())
	slices.SortStableFunc(all, func(a, b Holder) int {
		return cmp.Compare(rank(from, a.ID), rank(from, b.ID))
	})
	last := fmt.Errorf("blob %s: %w", d, registry.ErrNoBlob)
	for _, h := range all {
		err := x.blobFrom(ctx, h, d, size)
		if err == nil || errors.Is(err, registry.ErrDiskFull) {
			return err
		}
		if !errors.Is(err, image.ErrNotFound) {
			last = errors.Join(last, err)
		}
	}
	return last
}

func rank(from []string, id string) int {
	if i := slices.Index(from, id); i >= 0 {
		return i
	}
	return len(from)
}

func (x *Exchange) blobFrom(ctx context.Context, h Holder, d digest.Digest, size int64) error {
	if size < 0 {
		hctx, cancel := context.WithTimeout(ctx, signOfLife)
		resp, err := x.do(hctx, h, http.MethodHead, d, 0)
		cancel()
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("blob %s on the node %s: %w", d, h.Name, image.ErrNotFound)
		}
		size = resp.ContentLength
	}
	body, err := x.open(ctx, h, d, 0, size)
	if err != nil {
		return err
	}
	defer body.Close()
	release, err := x.cfg.Blobs.Put(ctx, d, size, body)
	release()
	return err
}
