package deploy

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/skerryhq/skerry/raft/model"
)

// Field is one part of a spec that differs. An empty Before or After means that
// the field is not set there.
type Field struct {
	Path          string // e.g. "container.image", "container.env.PORT", "ports.80/tcp.hostPort"
	Before, After string
}

// Replaces reports whether the containers of a service must be made anew when
// its spec changes from a to b: replicas and ports alone do not need it.
func Replaces(a, b model.ServiceSpec) bool {
	return slices.ContainsFunc(Difference(a, b), func(f Field) bool { return strings.HasPrefix(f.Path, "container.") })
}

// Difference lists the fields in which two specs differ, sorted by path. What
// the platform fills in by itself (ids of volumes) is left out.
func Difference(a, b model.ServiceSpec) []Field {
	before, after := map[string]string{}, map[string]string{}
	flatten(before, "", generic(a))
	flatten(after, "", generic(b))
	var out []Field
	for path, was := range before {
		if is := after[path]; is != was {
			out = append(out, Field{path, was, is})
		}
	}
	for path, is := range after {
		if _, both := before[path]; !both && is != "" {
			out = append(out, Field{path, "", is})
		}
	}
	slices.SortFunc(out, func(x, y Field) int { return cmp.Compare(x.Path, y.Path) })
	return out
}

// generic gives a spec the form of its JSON. Specs hold nothing that JSON
// cannot.
func generic(s model.ServiceSpec) any {
	b, err := json.Marshal(s)
	if err != nil {
		return nil
	}
	var v any
	if json.Unmarshal(b, &v) != nil {
		return nil
	}
	return v
}

func flatten(out map[string]string, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			if name != "volumeId" {
				flatten(out, strings.TrimPrefix(path+"."+name, "."), inner)
			}
		}
	case []any:
		if plain(v) {
			b, err := json.Marshal(v)
			if err == nil && len(v) > 0 {
				out[path] = string(b)
			}
			return
		}
		for i, inner := range v {
			object, ok := inner.(map[string]any)
			if !ok {
				flatten(out, fmt.Sprintf("%s[%d]", path, i), inner)
				continue
			}
			name := path + "." + keyOf(object, i)
			if value, ok := object["value"]; ok { // a variable
				out[name] = fmt.Sprint(value)
				continue
			}
			flatten(out, name, inner)
		}
	case nil:
	case float64:
		out[path] = fmt.Sprintf("%.0f", v) // specs hold whole numbers only
	default:
		out[path] = fmt.Sprint(v)
	}
}

func plain(list []any) bool {
	return !slices.ContainsFunc(list, func(v any) bool { _, object := v.(map[string]any); return object })
}

// keyOf is what tells a variable, a mount or a port from its neighbours.
func keyOf(o map[string]any, i int) string {
	for _, name := range []string{"name", "path"} {
		if s, ok := o[name].(string); ok {
			return s
		}
	}
	if port, ok := o["containerPort"].(float64); ok {
		return fmt.Sprintf("%.0f/%v", port, o["protocol"])
	}
	return fmt.Sprint(i)
}
