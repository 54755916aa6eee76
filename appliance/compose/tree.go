package compose

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/skerryhq/skerry/raft/model"
)

// pos is a place in the text, 1-based.
type pos struct{ line, column int }

func at(n *yaml.Node) pos { return pos{n.Line, n.Column} }

// walker goes once over the YAML tree and keeps what it finds.
type walker struct {
	in        Input
	onlyNames bool // collect names, say nothing
	budget    int  // nodes left
	expanded  int  // bytes written by interpolation
	problems  []Problem
	more      int

	name     string
	places   map[string]pos       // by path, e.g. "services.web.image"
	ports    map[string][]portAt  // by service
	mounts   map[string][]mountAt // by service
	volumes  map[string]*volumeAt // by key under `volumes`
	envFiles map[string][]fileUse // by path as written
	byFile   map[string][]envFile // by service, in order
	texts    map[string]string    // of the limits, by path
	placing  map[string]*placing  // by service
	access   []HostAccess
	services []string
}

type portAt struct {
	model.PortSpec
	pos
	path string
}

type mountAt struct {
	model.Mount
	pos
	path string
}

type volumeAt struct {
	name     string // `name:` or empty
	external bool
	labels   map[string]string
	pos
}

type fileUse struct {
	pos
	path string
}

type envFile struct {
	name     string
	optional bool
}

func newWalker(in Input) *walker {
	return &walker{
		in: in, budget: maxNodes,
		places: map[string]pos{}, texts: map[string]string{}, placing: map[string]*placing{}, ports: map[string][]portAt{}, mounts: map[string][]mountAt{},
		volumes: map[string]*volumeAt{}, envFiles: map[string][]fileUse{}, byFile: map[string][]envFile{},
	}
}

// parse gives the root mapping, or nil after noting why there is none.
func (w *walker) parse(source string) *yaml.Node {
	if len(source) > MaxSource {
		w.refuse(pos{}, "", "the compose file has %s; at most %s are read, so move large content into images or volumes", bytesText(int64(len(source))), bytesText(MaxSource))
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader([]byte(source)))
	var doc yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		w.refuse(pos{1, 1}, "", "the compose file is empty; it needs at least `services` with one service that has an `image`")
		return nil
	} else if err != nil {
		p, text := yamlFault(err, source)
		w.refuse(p, "", "this is not valid YAML: %s", text)
		return nil
	}
	var second yaml.Node
	if err := dec.Decode(&second); err == nil {
		w.refuse(at(&second), "", "a second YAML document begins here; one compose file is one document")
		return nil
	} else if !errors.Is(err, io.EOF) {
		p, text := yamlFault(err, source)
		w.refuse(p, "", "this is not valid YAML: %s", text)
		return nil
	}
	root := &doc
	if doc.Kind == yaml.DocumentNode && len(doc.Content) == 1 {
		root = doc.Content[0]
	}
	if root.Kind != yaml.MappingNode {
		w.refuse(at(root), "", "a compose file is a mapping that begins with keys such as `services:`, not %s", kindText(root))
		return nil
	}
	if !w.measure(root, 0) {
		return nil
	}
	return root
}

// measure counts nodes as they will be read, aliases at every use, and refuses
// what is too large or refers to itself.
func (w *walker) measure(n *yaml.Node, depth int) bool {
	if depth > maxDepth {
		w.refuse(at(n), "", "the file is nested more than %d levels deep here (or an anchor refers to itself)", maxDepth)
		return false
	}
	if w.budget--; w.budget < 0 {
		w.refuse(at(n), "", "the file grows beyond %d values once its anchors are expanded; use fewer aliases", maxNodes)
		return false
	}
	if n.Kind == yaml.AliasNode {
		return w.measure(n.Alias, depth+1)
	}
	for _, c := range n.Content {
		if !w.measure(c, depth+1) {
			return false
		}
	}
	return true
}

// yamlFault finds place and words of a syntax error. The parser's error types
// are not exported, but their fields are.
func yamlFault(err error, source string) (pos, string) {
	for e := err; e != nil; e = errors.Unwrap(e) {
		v := reflect.Indirect(reflect.ValueOf(e))
		if v.Kind() != reflect.Struct {
			continue
		}
		if mark, msg := v.FieldByName("Mark"), v.FieldByName("Message"); mark.IsValid() && msg.IsValid() && mark.Kind() == reflect.Struct {
			line, col := mark.FieldByName("Line"), mark.FieldByName("Column")
			if line.IsValid() && col.IsValid() && line.CanInt() && col.CanInt() {
				text := msg.String()
				if c := v.FieldByName("ContextMessage"); c.IsValid() && c.Kind() == reflect.String && c.String() != "" {
					text += " (" + c.String() + ")"
				}
				return pos{max(1, int(line.Int())), int(col.Int()) + 1}, text
			}
		}
		if off, ok := v, v.FieldByName("Offset").IsValid(); ok {
			o := min(max(0, int(off.FieldByName("Offset").Int())), len(source))
			before := source[:o]
			return pos{1 + strings.Count(before, "\n"), 1 + o - (strings.LastIndexByte(before, '\n') + 1)}, "a byte that YAML does not allow"
		}
	}
	if ce, ok := errors.AsType[*yaml.LoadError](err); ok {
		return pos{ce.Line, ce.Column}, ce.Err.Error()
	}
	return pos{1, 1}, err.Error()
}

// entry is one key and value of a mapping, merges resolved.
type entry struct{ key, value *yaml.Node }

// entries lists a mapping's own keys and then those that `<<` brings in; own
// keys win. It refuses repeated keys and keys that are not text.
func (w *walker) entries(n *yaml.Node, path string) []entry {
	var own, merged []entry
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := deref(n.Content[i]), n.Content[i+1]
		if k.Kind == yaml.ScalarNode && (k.Tag == "!!merge" || k.Value == "<<" && k.Style == 0) {
			merged = append(merged, w.mergeEntries(deref(v), path, 0)...)
			continue
		}
		if k.Kind != yaml.ScalarNode {
			w.refuse(at(k), path, "a key must be a word, not %s", kindText(k))
			continue
		}
		if seen[k.Value] {
			w.refuse(at(k), join(path, k.Value), "this key stands here twice; keep one")
			continue
		}
		seen[k.Value] = true
		own = append(own, entry{k, v})
	}
	for _, e := range merged {
		if !seen[e.key.Value] {
			seen[e.key.Value] = true
			own = append(own, e)
		}
	}
	return own
}

func (w *walker) mergeEntries(n *yaml.Node, path string, depth int) []entry {
	switch {
	case depth > maxDepth:
		return nil
	case n.Kind == yaml.MappingNode:
		return w.entries(n, path)
	case n.Kind == yaml.SequenceNode && depth == 0:
		var all []entry
		for _, c := range n.Content {
			all = append(all, w.mergeEntries(deref(c), path, depth+1)...)
		}
		return all
	}
	w.refuse(at(n), path, "`<<` merges a mapping or a list of mappings, not %s", kindText(n))
	return nil
}

func deref(n *yaml.Node) *yaml.Node {
	for i := 0; n.Kind == yaml.AliasNode && n.Alias != nil && i < maxDepth; i++ {
		n = n.Alias
	}
	return n
}

// plain turns the tree into the maps and lists that compose-go reads, without
// the keys that mean nothing to it.
func (w *walker) plain(n *yaml.Node, path []string) any {
	n = deref(n)
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for _, e := range w.entries(n, "") {
			if isExtension(path, e.key.Value) || len(path) == 0 && e.key.Value == "version" {
				continue
			}
			m[e.key.Value] = w.plain(e.value, append(slices.Clone(path), e.key.Value))
		}
		return m
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for _, c := range n.Content {
			list = append(list, w.plain(c, append(slices.Clone(path), "[]")))
		}
		return list
	}
	var v any
	if err := n.Decode(&v); err != nil {
		return n.Value
	}
	switch v.(type) {
	case nil, bool, int, float64, string:
		return v
	}
	return n.Value // dates, huge integers: compose means their text
}

// isExtension says whether key is an `x-` key where compose allows its own.
func isExtension(path []string, key string) bool {
	if !strings.HasPrefix(key, "x-") {
		return false
	}
	pattern := patternOf(path)
	k, known := keys[pattern]
	return pattern == "" || known && k.shape&shapeOpen == 0
}

func patternOf(path []string) string {
	p := slices.Clone(path)
	for i := range p {
		if k, ok := keys[strings.Join(p[:i], ".")]; ok && k.shape&shapeOpen != 0 && p[i] != "[]" {
			p[i] = "*"
		}
	}
	return strings.Join(p, ".")
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func kindText(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		switch n.ShortTag() {
		case "!!null":
			return "nothing"
		case "!!str":
			return fmt.Sprintf("the text %s", quote(n.Value))
		}
		return fmt.Sprintf("the value %s", quote(n.Value))
	}
	return "something else"
}

// quote shows text that a user wrote, shortened.
func quote(s string) string {
	if r := []rune(s); len(r) > 60 {
		s = string(r[:57]) + "..."
	}
	return fmt.Sprintf("%q", s)
}
