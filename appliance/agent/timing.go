package agent

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/skerryhq/skerry/raft/state"
)

// span is one part of a container's start.
type span struct {
	name string
	took time.Duration
}

// timing remembers where the time of the latest starts went; it is for people
// who measure, and is lost with the process.
type timing struct {
	mu sync.Mutex
	of map[string][]span // container id; guarded by mu
}

// remembered bounds the memory: beyond it everything is forgotten.
const remembered = 1024

func (t *timing) note(id string, spans []span) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.of) >= remembered {
		clear(t.of)
	}
	t.of[id] = spans
}

// Timing says where the time of the slowest start among an app's containers
// went, in the form of the Server-Timing header: plan is from the commit of
// the container to its start, agent the whole of the start, network and create
// run side by side.
func (a *Agent) Timing(v *state.View, appID string) string {
	a.timing.mu.Lock()
	defer a.timing.mu.Unlock()
	var slowest []span
	for c := range v.ContainersOfApp(appID) {
		if s := a.timing.of[c.ID]; len(s) > 0 && (slowest == nil || s[len(s)-1].took > slowest[len(slowest)-1].took) {
			slowest = s
		}
	}
	parts := make([]string, len(slowest))
	for i, s := range slowest {
		parts[i] = fmt.Sprintf("%s;dur=%.1f", s.name, ms(s.took))
	}
	return strings.Join(parts, ", ")
}
