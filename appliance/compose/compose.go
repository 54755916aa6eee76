// Package compose turns the text of one compose file into the services and
// volumes of an app, and back.
//
// It is pure: source, environment and the content of env files come in as
// data; there is no disk, network, clock or log, and equal input gives equal
// output. A key that is not supported is refused by name with its line and
// column, never ignored, and all problems are reported at once. table.go lists
// what is supported and is the source of docs/compose.md.
//
// Two readers see the text: our own walk over the YAML tree, which knows where
// everything stands and what is refused, and then compose-go, which knows what
// the specification means by it. Input is bounded (see the Max constants), so
// hostile text costs little.
//
// appliance calls it when an app is deployed; the CLI calls References to know
// which env files to send along. Everything here is safe for concurrent use.
package compose

import (
	"context"
	"maps"
	"slices"

	"go.yaml.in/yaml/v4"

	"github.com/skerryhq/skerry/raft/model"
)

// The bounds of what Load reads.
const (
	MaxSource   = 512 << 10 // bytes of compose text
	MaxFile     = 1 << 20   // bytes of one env file
	maxNodes    = 50_000    // YAML nodes, aliases counted at every use
	maxDepth    = 48        // nesting of YAML nodes
	maxExpanded = 4 << 20   // bytes that interpolation may write in all
	maxPorts    = 1000      // published ports of one app
	maxServices = 200
	maxProblems = 100 // further ones are counted, not listed
)

// Input is all that Load may look at.
type Input struct {
	Source string            // compose text
	Name   string            // name of the app; empty means the file's `name`
	Env    map[string]string // for ${VAR}; what the client read from .env and its environment
	Files  map[string]string // content of env files by the path written in the source
}

// App is the meaning of a compose file.
type App struct {
	Name       string // the given name, else the file's; may be empty
	Services   map[string]model.ServiceSpec
	Volumes    map[string]Volume // by name within the tenant
	HostAccess []HostAccess      // what needs a permission of its own, in the order of the text
}

// Volume is a volume that the app uses.
type Volume struct {
	Spec     model.VolumeSpec
	External bool // must exist already
	Line     int
	Column   int
}

// HostAccess is one place where a service asks for the host itself.
type HostAccess struct {
	Service string
	Kind    string // "bind" or "privileged"
	Path    string // host path; empty for "privileged"
	Line    int
	Column  int
}

// Load reads a compose file. An error is Problems: every problem found, each
// with its place; errors.As also finds a *model.Error of KindInvalid in it.
func Load(ctx context.Context, in Input) (*App, error) {
	w := newWalker(in)
	root := w.parse(in.Source)
	if root != nil {
		w.walkRoot(root)
		w.crossCheck()
	}
	if len(w.problems) > 0 {
		return nil, w.sorted()
	}
	project := w.meaning(ctx, root)
	if len(w.problems) > 0 {
		return nil, w.sorted()
	}
	app := w.convert(project)
	if len(w.problems) > 0 {
		return nil, w.sorted()
	}
	return app, nil
}

// References lists the env files that source names, as written there, sorted.
// The client reads them and sends their content as Input.Files. A source that
// Load would refuse gives what could be found and no error: Load has the words.
func References(source string, env map[string]string) []string {
	w := newWalker(Input{Source: source, Env: env})
	w.onlyNames = true
	if root := w.parse(source); root != nil {
		w.walkRoot(root)
	}
	return slices.Sorted(maps.Keys(w.envFiles))
}

// NameOf gives the `name` written in source, or an empty string.
func NameOf(source string, env map[string]string) string {
	w := newWalker(Input{Source: source, Env: env})
	w.onlyNames = true
	if root := w.parse(source); root != nil {
		w.walkRoot(root)
	}
	return w.name
}

// Variables lists the names that source may take from the client's environment,
// sorted: those in ${...} and $NAME, and environment names without a value. The
// client sends only these along.
func Variables(source string) []string {
	if len(source) > MaxSource {
		return nil
	}
	w := newWalker(Input{Source: source})
	w.onlyNames = true
	names := map[string]bool{}
	if root := w.parse(source); root != nil {
		variablesOf(root, names, map[*yaml.Node]bool{})
	}
	return slices.Sorted(maps.Keys(names))
}
