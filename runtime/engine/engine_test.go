package engine_test

import (
	"context"
	"errors"
	"flag"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/runtime/engine"
	"github.com/skerryhq/skerry/runtime/runtimetest"
)

var update = flag.Bool("update", false, "rewrite the golden file")

func TestRender(t *testing.T) {
	got := engine.Config{Root: "/var/lib/skerry/engine", RunDir: "/run/skerry", BinDir: "/usr/lib/skerry"}.Render()
	const golden = "testdata/config.toml"
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	// Nothing of another engine on the host may appear.
	for _, foreign := range []string{"/run/containerd", "/var/lib/containerd", "/run/docker", "/etc/containerd"} {
		if strings.Contains(string(got), foreign) {
			t.Errorf("the configuration names %s", foreign)
		}
	}
}

func TestValidate(t *testing.T) {
	good := engine.Config{Root: "/r", RunDir: "/run", BinDir: "/b"}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]engine.Config{
		"relative root": {Root: "r", RunDir: "/run", BinDir: "/b"},
		"empty run dir": {Root: "/r", BinDir: "/b"},
		"long run dir":  {Root: "/r", RunDir: "/" + strings.Repeat("x", 100), BinDir: "/b"},
	} {
		if c.Validate() == nil || c.Prepare() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestConnectGivesUp(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := engine.Config{Root: t.TempDir(), RunDir: t.TempDir(), BinDir: "/b"}.Connect(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want the deadline and the missing socket", err)
	}
}

// TestPrivate starts the real engine and looks for traces outside of its folders.
func TestPrivate(t *testing.T) {
	before := map[string]bool{}
	for _, p := range []string{"/run/containerd", "/var/lib/containerd"} {
		_, err := os.Stat(p)
		before[p] = err == nil
	}
	h := runtimetest.New(t)
	if err := engine.Healthy(t.Context(), h.Client); err != nil {
		t.Error(err)
	}
	for p, was := range before {
		if _, err := os.Stat(p); (err == nil) != was {
			t.Errorf("%s: existed before: %v, exists now: %v", p, was, err == nil)
		}
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(h.EnginePID()) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "VmRSS") {
			t.Logf("engine resident: %s", strings.TrimSpace(line))
		}
	}
}
