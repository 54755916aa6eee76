package compose

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// walkRoot goes over the whole file against the table.
func (w *walker) walkRoot(root *yaml.Node) {
	w.walkMap(root, "", "", shapeMap)
	if _, ok := w.places["services"]; !ok {
		for i := 1; i < len(root.Content); i += 2 {
			if v := deref(root.Content[i]); v.Kind == yaml.MappingNode && hasKey(w.entries(v, ""), "image") {
				w.refuse(at(root.Content[i-1]), "services", "this looks like a Compose V1 file; write `services:` above the services and move them in by two spaces")
				return
			}
		}
		w.refuse(at(root), "services", "there is no `services`; write at least one service with an `image`")
	}
}

// walk checks one value. path is where it is, pattern its row in the table.
func (w *walker) walk(n *yaml.Node, path, pattern string) {
	k := keys[pattern]
	n = deref(n)
	switch n.Kind {
	case yaml.MappingNode:
		if k.shape&(shapeMap|shapeOpen) == 0 {
			w.refuse(at(n), path, "this must be %s, not a mapping", shapeText(k.shape))
			return
		}
		w.walkMap(n, path, pattern, k.shape)
	case yaml.SequenceNode:
		if k.shape&shapeList == 0 {
			w.refuse(at(n), path, "this must be %s, not a list", shapeText(k.shape))
			return
		}
		for i, c := range n.Content {
			item := fmt.Sprintf("%s[%d]", path, i)
			w.places[item] = at(c)
			w.walk(c, item, pattern+".[]")
		}
		w.collectList(n, path, pattern)
	case yaml.ScalarNode:
		w.walkScalar(n, path, pattern, k)
	}
}

func (w *walker) walkMap(n *yaml.Node, path, pattern string, s shape) {
	found := w.entries(n, path)
	if pattern == "services" && len(found) == 0 {
		w.refuse(at(n), path, "there is no service here; write at least one with an `image`")
	}
	if pattern == "services" && len(found) > maxServices {
		w.refuse(at(n), path, "there are %d services; one app has at most %d", len(found), maxServices)
		return
	}
	for _, e := range found {
		name := e.key.Value
		here := join(path, name)
		if s&shapeOpen != 0 {
			if text := checkOpenKey(pattern, name); text != "" {
				w.refuse(at(e.key), path, "%s", text)
				continue
			}
			w.places[here] = at(e.key)
			w.walk(e.value, here, pattern+".*")
			if pattern == "services" {
				w.services = append(w.services, name)
			}
			continue
		}
		child := join(pattern, name)
		if _, ok := keys[child]; !ok {
			if strings.HasPrefix(name, "x-") && name != "x-skerry" {
				continue // compose leaves these to the user; anchors live here
			}
			w.refuse(at(e.key), here, "%s", refusal(pattern, name))
			continue
		}
		w.places[here] = at(e.key)
		w.walk(e.value, here, child)
	}
	w.collectMap(n, path, pattern, found)
}

func (w *walker) walkScalar(n *yaml.Node, path, pattern string, k key) {
	if n.ShortTag() == "!!null" {
		if k.shape&shapeNull == 0 {
			w.refuse(at(n), path, "there is no value here; write %s or remove the key", shapeText(k.shape))
		}
		return
	}
	if n.ShortTag() == "!!binary" || strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!") {
		w.refuse(at(n), path, "the YAML tag %s is not supported; write plain text", quote(n.Tag))
		return
	}
	if k.shape&(shapeStr|shapeBool|shapeInt|shapeNum) == 0 {
		w.refuse(at(n), path, "this must be %s, not %s", shapeText(k.shape), kindText(n))
		return
	}
	text, ok := w.interpolate(n, path)
	if !ok {
		return
	}
	if strings.ContainsRune(text, 0) {
		w.refuse(at(n), path, "a zero byte is not allowed in text")
		return
	}
	if k.shape&shapeStr == 0 && !fits(k.shape, text) {
		w.refuse(at(n), path, "%s is not %s", quote(text), shapeText(k.shape))
		return
	}
	if k.check != nil {
		if wrong := k.check(text); wrong != "" {
			w.refuse(at(n), path, "%s", wrong)
			return
		}
	}
	w.collectScalar(n, path, pattern, text)
}

// fits says whether text reads as one of the scalar shapes.
func fits(s shape, text string) bool {
	if s&shapeBool != 0 {
		switch strings.ToLower(text) {
		case "true", "false", "yes", "no", "on", "off", "y", "n":
			return true
		}
	}
	if s&(shapeInt|shapeNum) != 0 {
		if _, err := strconv.ParseInt(text, 10, 64); err == nil {
			return true
		}
	}
	if s&shapeNum != 0 {
		if _, err := strconv.ParseFloat(text, 64); err == nil {
			return true
		}
	}
	return false
}

func truth(text string) bool {
	return slices.Contains([]string{"true", "yes", "on", "y"}, strings.ToLower(text))
}

func shapeText(s shape) string {
	var words []string
	for _, one := range []struct {
		bit  shape
		word string
	}{{shapeStr, "text"}, {shapeBool, "true or false"}, {shapeInt, "a whole number"}, {shapeNum, "a number"}, {shapeList, "a list"}, {shapeMap | shapeOpen, "a mapping"}} {
		if s&one.bit != 0 {
			words = append(words, one.word)
		}
	}
	switch len(words) {
	case 0:
		return "empty"
	case 1:
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// checkOpenKey checks the names that users invent.
func checkOpenKey(pattern, name string) string {
	switch pattern {
	case "services":
		return checkServiceName(name)
	case "volumes":
		return checkVolumeName(name)
	case "services.*.environment":
		return checkEnvName(name)
	}
	if name == "" || len(name) > 1024 {
		return "a name has 1 to 1024 characters"
	}
	return ""
}

// fields reads the scalars of a mapping, by key.
func (w *walker) fields(found []entry) map[string]string {
	m := map[string]string{}
	for _, e := range found {
		v := deref(e.value)
		if v.Kind != yaml.ScalarNode || v.ShortTag() == "!!null" {
			continue
		}
		if text, ok := w.quietly(v); ok {
			m[e.key.Value] = text
		}
	}
	return m
}

// serviceOf gives the service of a path such as "services.web.ports[0]".
func serviceOf(path string) string {
	rest, _ := strings.CutPrefix(path, "services.")
	name, _, _ := strings.Cut(rest, ".")
	return name
}
