package agent

import (
	"context"
	"sync"
	"time"

	"github.com/skerryhq/skerry/raft/model"
)

// preparingEvery bounds how often the state is told how far something is: progress
// in full is for logs.
const preparingEvery = 10 * time.Second

type preparingKey struct{}

// Preparing says what a container waits for that is being made, while Create runs
// with ctx: it becomes the container's condition. What
// comes too soon after the last word is left out. It may be called from any
// goroutine, and does nothing when Create is over.
func Preparing(ctx context.Context, word, message string) {
	if p, ok := ctx.Value(preparingKey{}).(*preparing); ok {
		p.say(word, message)
	}
}

// preparing hands words on to a keeper that waits in Create.
type preparing struct {
	mu    sync.Mutex
	set   func(word, message string, since time.Time) // nil: it is over; guarded by mu
	began time.Time                                   // guarded by mu
	last  time.Time                                   // guarded by mu
}

func (p *preparing) say(word, message string) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.set == nil || now.Sub(p.last) < preparingEvery {
		return
	}
	if p.last = now; p.began.IsZero() {
		p.began = now
	}
	p.set(word, message, p.began.UTC())
}

func (p *preparing) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set = nil
}

// whilePreparing gives a context for Create; end it before the keeper goes on.
func (k *keeper) whilePreparing(ctx context.Context) (context.Context, func()) {
	p := &preparing{set: func(word, message string, since time.Time) {
		st := k.status
		st.Conditions = []model.Condition{{Type: "Running", Reason: word, Message: message, Since: since}}
		k.set(st)
	}}
	return context.WithValue(ctx, preparingKey{}, p), p.end
}
