package agent

import (
	"slices"
	"time"

	"github.com/skerryhq/skerry/appliance/nodeview"
	"github.com/skerryhq/skerry/raft/model"
)

// lingerTime is how long a container that is to go still answers while others of
// its service take over: by then every node has left it out of its rules and
// names, so that no connection meets one that has ended.
const lingerTime = 300 * time.Millisecond

// servers lists the containers that answer for each service, by name.
func servers(v nodeview.View) map[string][]string {
	out := map[string][]string{}
	for _, n := range v.Names {
		if n.Serving {
			key := n.AppID + "/" + n.Service
			out[key] = append(out[key], n.Container)
		}
	}
	return out
}

// relieved says whether another container of the same service answers.
func (a *Agent) relieved(c *model.Container) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.ContainsFunc(a.serving[c.AppID+"/"+c.ServiceName], func(name string) bool { return name != c.Name })
}

// linger is how long the container still answers before it is ended; 0: it ends
// now. One that is killed, or that nobody takes over from, ends at once.
func (k *keeper) linger(c *model.Container, now time.Time) time.Duration {
	if !c.Assign.Remove || c.Intent.Stopped || !k.a.relieved(c) {
		return 0
	}
	if k.leaves.IsZero() {
		k.leaves = now.Add(lingerTime)
	}
	return max(0, k.leaves.Sub(now))
}
