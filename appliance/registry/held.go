package registry

import (
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// held remembers what other members asked this one to hold, until the state here
// must show who needs it. The zero value is ready.
type held struct {
	mu sync.Mutex
	at map[digest.Digest]time.Time // guarded by mu
}

func (h *held) note(d digest.Digest) {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.at == nil {
		h.at = map[digest.Digest]time.Time{}
	}
	for old, at := range h.at {
		if now.Sub(at) > heldFor {
			delete(h.at, old)
		}
	}
	h.at[d] = now
}

// lately says whether somebody asked for a blob so short a time ago that the
// state may not show it.
func (h *held) lately(d digest.Digest) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	at, ok := h.at[d]
	return ok && time.Since(at) <= heldFor
}
