package skerry

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/skerryhq/skerry"

// rooms says which of our top-level folders a folder may import, and why no
// other: the foundations must stay usable and testable by themselves.
var rooms = map[string]struct {
	may []string
	why string
}{
	"raft":      {[]string{"raft"}, "replicated state has no side effects; control loops and agents watch it"},
	"runtime":   {[]string{"runtime"}, "it runs what it is told on this host; translate in appliance/agent"},
	"netfw":     {[]string{"netfw"}, "it lets through what it is told on this host; translate in appliance/agent"},
	"ui":        {[]string{"ui"}, "the console knows the API only"},
	"appliance": {[]string{"appliance", "raft", "runtime", "netfw", "ui", "packaging"}, "the living room stands on the foundations, never on the door"},
	"cmd":       {[]string{"cmd", "appliance", "raft", "ui", "packaging", "runtime/logs/logd", "runtime/engine/exits"}, "the door opens into the living room, not into the machinery"},
	"packaging": {[]string{"packaging", "cmd", "appliance", "raft", "ui"}, "packaging ships what exists"},
}

// borders says which packages alone may import a third-party module.
var borders = map[string][]string{
	"github.com/hashicorp/raft":             {"raft/node", "raft/fsm", "raft/rafttest"},
	"github.com/hashicorp/go-memdb":         {"raft/state"},
	"github.com/containerd/containerd/v2":   {"runtime/ctrd", "runtime/image", "runtime/engine", "runtime/runtimetest", "appliance/registry", "packaging/bench"},
	"github.com/vishvananda/netlink":        {"netfw/"},
	"github.com/coreos/go-iptables":         {"netfw/"},
	"github.com/gin-gonic/gin":              {"appliance/api"},
	"github.com/compose-spec/compose-go/v2": {"appliance/compose"},
	"github.com/prometheus/prometheus":      {"appliance/observe"},
}

// pure lists the packages that decide and never act: no I/O, clock, randomness
// or logging, so that they can be tested, simulated and shown as a plan.
var pure = []string{"appliance/deploy", "appliance/scheduler", "appliance/ipalloc", "netfw/rules", "raft/model"}

var impure = []string{"os", "os/exec", "net", "net/http", "math/rand", "math/rand/v2", "crypto/rand", "log", "log/slog"}

type pkg struct {
	ImportPath, Dir, Doc               string
	Imports, TestImports, XTestImports []string
	GoFiles                            []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Dir,Doc,Imports,TestImports,XTestImports,GoFiles", "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func within(path string, places []string) bool {
	return slices.ContainsFunc(places, func(place string) bool {
		return path == strings.TrimSuffix(place, "/") || strings.HasPrefix(path, strings.TrimSuffix(place, "/")+"/")
	})
}

// TestImports holds the house rules of docs/architecture.md.
func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		here := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		room, known := rooms[strings.Split(here, "/")[0]]
		if here != "" && !known {
			t.Errorf("%s: there is no such top-level folder in docs/architecture.md", here)
			continue
		}
		for _, imp := range p.Imports {
			if rest, ours := strings.CutPrefix(imp, module+"/"); ours && here != "" && !within(rest, room.may) {
				t.Errorf("%s imports %s: %s", here, rest, room.why)
			}
			for third, places := range borders {
				if within(imp, []string{third}) && !within(here, places) {
					t.Errorf("%s imports %s: only %s may, so that it can be replaced in one place", here, imp, strings.Join(places, ", "))
				}
			}
			if within(here, pure) && slices.Contains(impure, imp) && (here != "raft/model" || imp != "log/slog") {
				t.Errorf("%s imports %s: this package decides and never acts; hand it what it needs as data", here, imp)
			}
			if within(here, []string{"raft/model"}) && strings.HasPrefix(imp, module) {
				t.Errorf("raft/model imports %s: the nouns stand on nothing of ours", imp)
			}
		}
	}
}

// TestPackagesExplainThemselves wants a package comment everywhere and no name
// that explains nothing.
func TestPackagesExplainThemselves(t *testing.T) {
	empty := []string{"util", "utils", "common", "helper", "helpers", "misc", "manager", "types"}
	for _, p := range packages(t) {
		if len(p.GoFiles) == 0 {
			continue
		}
		if p.Doc == "" {
			t.Errorf("%s has no package comment: say what it owns, what it never does and who calls it", p.ImportPath)
		}
		if name := filepath.Base(p.Dir); slices.Contains(empty, name) {
			t.Errorf("%s: %q explains nothing; name it for what it owns", p.ImportPath, name)
		}
	}
}

// TestTopLevelFolders keeps the house as small as the owner fixed it.
func TestTopLevelFolders(t *testing.T) {
	want := []string{"appliance", "cmd", "docs", "netfw", "packaging", "raft", "runtime", "ui"}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	built := []string{"bin", "dist", "node_modules"}
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && !slices.Contains(want, e.Name()) && !slices.Contains(built, e.Name()) {
			t.Errorf("top-level folder %s is not part of the house (docs/architecture.md)", e.Name())
		}
	}
}

// TestFileSize keeps every hand-written file readable in one sitting.
func TestFileSize(t *testing.T) {
	const ceiling = 800
	for _, p := range packages(t) {
		files, _ := filepath.Glob(filepath.Join(p.Dir, "*.go"))
		for _, f := range files {
			if strings.HasSuffix(f, ".gen.go") {
				continue
			}
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(b), "\n"); n > ceiling {
				t.Errorf("%s has %d lines, more than %d: split it along what it owns", f, n, ceiling)
			}
		}
	}
}
