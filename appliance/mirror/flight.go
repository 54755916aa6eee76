package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/skerryhq/skerry/appliance/mirror/remote"
)

// flight is one fetch under way, for everybody who asks for the same with the
// same right. It lives as long as somebody waits for it, unless it lasts.
type flight struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiting int  // guarded by Mirror.mu
	lasts   bool // goes on when nobody waits any more; guarded by Mirror.mu
	read    atomic.Int64
	release func() // set before done is closed; nil if it failed
	err     error  // set before done is closed
}

// errAbandoned ends a fetch that nobody waits for any more.
var errAbandoned = errors.New("nobody waits for it any more")

// fetches is how many blobs are fetched at a time; more of them wait.
const fetches = 32

// reportEvery is how often somebody who waits is told how far it is.
const reportEvery = 100 * time.Millisecond

// shared runs work once for all who call it with the same key at the same time,
// and gives everybody its result. What release gives back is kept until the last
// of them has called theirs.
func (m *Mirror) shared(ctx context.Context, key string, done func(int64), work func(ctx context.Context, f *flight) (release func(), err error)) (release func(), err error) {
	m.mu.Lock()
	f := m.flights[key]
	if f == nil {
		life, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
		f = &flight{done: make(chan struct{}), cancel: func() { cancel(errAbandoned) }}
		m.flights[key] = f
		go func() {
			f.release, f.err = work(life, f)
			cancel(nil)
			m.mu.Lock()
			if m.flights[key] == f {
				delete(m.flights, key)
			}
			m.mu.Unlock()
			close(f.done)
			m.leave(key, f) // its own share
		}()
		f.waiting++
	}
	f.waiting++
	m.mu.Unlock()
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for {
		select {
		case <-f.done:
			if f.err != nil {
				m.leave(key, f)
				return nil, f.err
			}
			return func() { m.leave(key, f) }, nil
		case <-ctx.Done():
			m.leave(key, f)
			return nil, context.Cause(ctx)
		case <-tick.C:
			if done != nil {
				done(f.read.Load())
			}
		}
	}
}

// leave takes one share of a flight back. The last one out gives back what it
// brought; the last one before it landed ends it.
func (m *Mirror) leave(key string, f *flight) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f.waiting--
	switch {
	case f.waiting == 1 && m.flights[key] == f && !f.lasts: // only its own share is left
		delete(m.flights, key) // who comes now begins anew
		f.cancel()
	case f.waiting == 0 && f.release != nil:
		f.release()
	}
}

// fetch brings a blob of an upstream's repository into the content store and
// keeps it there until release. size is what is known of it; -1: nothing.
//
// A blob is served when it is here whole and was compared with its digest. A
// client that does not have the patience finds it when it comes again: what lasts
// is fetched to its end.
func (m *Mirror) fetch(ctx context.Context, w *way, repository string, d digest.Digest, size int64, lasts bool, done func(int64)) (release func(), err error) {
	return m.shared(ctx, "blob "+w.right+" "+d.String(), done, func(ctx context.Context, f *flight) (func(), error) {
		select {
		case m.slots <- struct{}{}:
			defer func() { <-m.slots }()
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		body, length, err := w.client.Blob(ctx, repository, d)
		if err != nil {
			return nil, err
		}
		defer body.Close()
		m.mu.Lock()
		f.lasts = lasts
		m.mu.Unlock()
		if size < 0 {
			size = length
		}
		if size < 0 || length >= 0 && length != size {
			return nil, &remote.Error{Kind: remote.Nonsense, Host: w.client.Host(), Reason: fmt.Sprintf("%d bytes for %s where %d were announced", length, d, size)}
		}
		release, err := m.cfg.Blobs.Put(ctx, d, size, &counted{body, &f.read})
		if err != nil {
			return nil, err
		}
		m.prove(w, d)
		return release, nil
	})
}

// counted counts what passes.
type counted struct {
	r io.Reader
	n *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// maxProven bounds what is remembered; what is forgotten comes again.
const maxProven = 1 << 16

// prove remembers that d came by a way.
func (m *Mirror) prove(w *way, d digest.Digest) {
	if !w.named {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.proven) >= maxProven {
		clear(m.proven)
	}
	m.proven[w.right+" "+d.String()] = struct{}{}
}

func (m *Mirror) provenBy(w *way, d digest.Digest) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.proven[w.right+" "+d.String()]
	return ok
}
