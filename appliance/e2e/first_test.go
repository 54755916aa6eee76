package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/apptest"
)

// TestFirstFiveMinutes is the README's first chapter: run, reach, look, stop,
// start, scale, remove, and nothing is left.
func TestFirstFiveMinutes(t *testing.T) {
	n := apptest.Start(t)
	before := n.Footprint()

	n.OK("run", "-d", "-n", "web", "-p", "8080:80", "library/welcome")
	n.Eventually(5*time.Second, "the port answers from outside", func() bool {
		return n.Curl(n.Outside, "http://192.0.2.1:8080/healthz") == "ok\n"
	})
	for _, url := range []string{"http://127.0.0.1:8080/healthz", "http://192.0.2.1:8080/healthz"} {
		if got := n.Curl(n.Host, url); got != "ok\n" {
			t.Errorf("%s on the node itself: got %q", url, got)
		}
	}
	if out := n.OK("ps"); !strings.Contains(out, "web") || !strings.Contains(out, "8080->80/tcp") || !strings.Contains(out, "running") {
		t.Errorf("ps does not show it:\n%s", out)
	}
	if out := n.OK("logs", "web"); !strings.Contains(out, "welcome listens") {
		t.Errorf("logs: %q", out)
	}

	var was, is struct {
		ID     string
		Assign struct{ Address string }
		Status struct{ Task uint64 }
	}
	n.JSON(&was, "inspect", "web")
	n.OK("stop", "web")
	if p := n.Phase("web"); p != "exited" {
		t.Errorf("after stop it is %q", p)
	}
	n.OK("start", "web")
	n.JSON(&is, "inspect", "web")
	if is.ID != was.ID || is.Assign.Address != was.Assign.Address || is.Status.Task != was.Status.Task+1 {
		t.Errorf("stop and start: was %+v, is %+v; want the same container with its next task", was, is)
	}

	n.OK("service", "scale", "web=3")
	n.Eventually(20*time.Second, "three replicas run", func() bool {
		return strings.Count(n.OK("ps"), "running") == 3
	})
	n.OK("rm", "-f", "web")
	n.Restored(before)
}
