package registry

import (
	"sync"

	"github.com/opencontainers/go-digest"
)

// pins says which digests are in use by something that the rows do not show yet,
// and serialises that with the collector, digest by digest. The zero value is
// ready.
type pins struct {
	mu   sync.Mutex
	free sync.Cond             // signalled when a digest's collection is over
	n    map[digest.Digest]int // guarded by mu; collecting while it is being given up
}

const collecting = -1

func (p *pins) lock() {
	p.mu.Lock()
	if p.n == nil {
		p.n, p.free.L = map[digest.Digest]int{}, &p.mu
	}
}

// add pins d and gives what unpins it, once.
func (p *pins) add(d digest.Digest) (release func()) {
	p.lock()
	for p.n[d] == collecting {
		p.free.Wait()
	}
	p.n[d]++
	p.mu.Unlock()
	return sync.OnceFunc(func() {
		p.lock()
		defer p.mu.Unlock()
		if p.n[d]--; p.n[d] == 0 {
			delete(p.n, d)
		}
	})
}

// alone runs f while nobody can pin d; false if somebody has.
func (p *pins) alone(d digest.Digest, f func()) bool {
	p.lock()
	if p.n[d] != 0 {
		p.mu.Unlock()
		return false
	}
	p.n[d] = collecting
	p.mu.Unlock()
	defer func() {
		p.lock()
		delete(p.n, d)
		p.mu.Unlock()
		p.free.Broadcast()
	}()
	f()
	return true
}
