package e2e

import (
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/apptest"
)

// TestPlannedStop ends a daemon the polite way, as an upgrade does, for longer
// than a silent host is given: nothing moves, and nothing is begun again.
func TestPlannedStop(t *testing.T) {
	b := apptest.NewBed(t, 2)
	b.Form()
	b.Host(0).Probe()
	web(t, b, 0, "web", 8080, 2)
	via, out := b.Leader(0), b.Other(b.Leader(0))
	before, tasks := b.Placed(via, "web"), len(b.Host(out).Tasks())
	b.Host(out).Stop()
	<-time.After(8 * time.Second)
	if n := b.Nodes(via)[b.Host(out).Name]; n.Down() {
		t.Errorf("a node that said it would be back is down: %s", n.Health.Reason)
	}
	if !askHost(b, out, 8080) {
		t.Error("the port of the host without a daemon does not answer")
	}
	b.Start(out)
	b.AwaitReady(30 * time.Second)
	if after := b.Placed(via, "web"); !sameMap(before, after) {
		t.Errorf("containers moved: before %v, after %v", before, after)
	}
	if n := len(b.Host(out).Tasks()); n != tasks {
		t.Errorf("%d tasks run on the host, %d did before", n, tasks)
	}
	// The excuse ends with the return: killed, it is given up as fast as any.
	b.Host(out).Kill()
	begun := time.Now()
	b.Host(via).Eventually(20*time.Second, "the killed node is down", func() bool { n := b.Nodes(via)[b.Host(out).Name]; return n.Down() })
	if took := time.Since(begun); took > 8*time.Second {
		t.Errorf("down only after %s", took)
	}
}
