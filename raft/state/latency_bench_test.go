package state_test

import (
	"fmt"
	"testing"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// BenchmarkOneStatus is what one status of one container costs among 10,000 of
// them, each an entry of its own.
func BenchmarkOneStatus(b *testing.B) {
	const services, perService = 100, 100
	w := newWorld(b)
	for s := range services {
		id := fmt.Sprintf("a%d", s)
		w.ok(app("t1", id, id, map[string]model.ServiceSpec{"web": spec(perService)}))
		c := &command.PutContainers{Head: by("p")}
		for i := range perService {
			c.Containers = append(c.Containers, containerOf(id+"-web", fmt.Sprintf("%s-%d", id, i), fmt.Sprintf("%s-%d", id, i), fmt.Sprintf("10.42.%d.%d", s, i), i+1))
		}
		w.ok(c)
	}
	n := uint64(0)
	for b.Loop() {
		n++
		w.ok(status(fmt.Sprintf("a%d-%d", n%services, n/services%perService), n, model.PhaseRunning))
	}
}
