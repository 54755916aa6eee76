package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/apptest"
)

// What is on one node is reached through any member: a worker fetches an image
// that was imported on a member, and another member reaches its container.
func TestReachAnyNode(t *testing.T) {
	b := apptest.NewBed(t, 3)
	b.Start()
	b.Host(0).OK("init")
	b.Join(1, 0)
	b.Join(2, 0, "--worker")
	b.AwaitReady(30*time.Second, 0, 1)
	b.Host(0).Busybox()

	began := time.Now()
	b.Host(1).OK("run", "-d", "-n", "far", "-v", "data:/kept", "--constraint", "node.name=="+b.Host(2).Name, "busybox", "sh", "-c", "while true; do echo tick; sleep 1; done")
	placed := running(t, b, 1, "far", 1)
	t.Logf("the worker ran it %d ms after it was asked for, image included", time.Since(began).Milliseconds())
	name := ""
	for c, on := range placed {
		if name = c; on != b.Host(2).Name {
			t.Fatalf("%s is on %s", c, on)
		}
	}
	for via := range 2 {
		h := b.Host(via)
		if out, err, status := h.Run(strings.NewReader("typed"), "exec", "-i", name, "sh", "-c", "cat; echo; echo wrong >&2; exit 3"); out != "typed\n" || !strings.Contains(err, "wrong") || status != 3 {
			t.Errorf("exec through %s: %q %q %d", h.Name, out, err, status)
		}
		h.Eventually(10*time.Second, "its log through "+h.Name, func() bool { return strings.Contains(h.OK("logs", name), "tick") })
		dir := t.TempDir()
		file := filepath.Join(dir, "f")
		if err := os.WriteFile(file, []byte(strings.Repeat(h.Name, 100_000)), 0o600); err != nil {
			t.Fatal(err)
		}
		h.OK("cp", file, name+":/kept/"+h.Name)
		h.OK("cp", name+":/kept/"+h.Name, file+".back")
		if got, err := os.ReadFile(file + ".back"); err != nil || string(got) != strings.Repeat(h.Name, 100_000) {
			t.Errorf("a file through %s: %d bytes, %v", h.Name, len(got), err)
		}
		var stats struct {
			MemoryBytes int64 `json:"memoryBytes"`
		}
		if code := b.Get(via, "/api/v1/containers/"+name+"/stats", &stats); code != 200 || stats.MemoryBytes == 0 {
			t.Errorf("stats through %s: %d %+v", h.Name, code, stats)
		}
		for _, n := range b.Nodes(via) {
			var figures struct {
				MemoryTotalBytes int64 `json:"memoryTotalBytes"`
			}
			if code := b.Get(via, "/api/v1/nodes/"+n.ID+"/stats", &figures); code != 200 || figures.MemoryTotalBytes == 0 {
				t.Errorf("figures of %s through %s: %d %+v", n.Name, h.Name, code, figures)
			}
		}
	}
	out := b.Host(1).OK("exec", name, "ls", "/kept")
	if got := strings.Fields(out); !slices.Equal(got, []string{b.Host(0).Name, b.Host(1).Name}) {
		t.Errorf("the volume holds %v", got)
	}

	// The worker goes away: who asks is told which node that is, soon.
	b.Cut(2)
	began = time.Now()
	status, said, _ := b.Ask(t.Context(), 0, http.MethodGet, "/api/v1/containers/"+name+"/stats", nil)
	if status != http.StatusServiceUnavailable || !strings.Contains(string(said), "the node "+b.Host(2).Name+" does not answer") {
		t.Errorf("a node that is cut off: %d %s", status, said)
	}
	if took := time.Since(began); took > 6*time.Second {
		t.Errorf("that took %s", took)
	}
}
