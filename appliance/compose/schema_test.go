package compose

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// TestSchemaIsTheTable walks the schema along every path of the table.
func TestSchemaIsTheTable(t *testing.T) {
	b, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var root map[string]any
	if err := json.Unmarshal(b, &root); err != nil {
		t.Fatal(err)
	}
	for _, k := range table {
		at := []map[string]any{root}
		for part := range strings.SplitSeq(k.path, ".") {
			at = below(at, part)
		}
		if len(at) == 0 {
			t.Errorf("%s is in the table and not in the schema", k.path)
		}
	}
	service := below(below([]map[string]any{root}, "services"), "*")
	for _, name := range []string{"privileged_by_magic", "build"} {
		if len(below(service, name)) > 0 && !slices.ContainsFunc(table, func(k key) bool { return k.path == "services.*."+name }) {
			t.Errorf("services.*.%s is in the schema and not in the table", name)
		}
	}
	if service[0]["additionalProperties"] != false {
		t.Error("a service takes keys that are not in the table")
	}
}

// below gives the places one step further, in every shape.
func below(at []map[string]any, part string) []map[string]any {
	var out []map[string]any
	step := func(v any) {
		if n, ok := v.(map[string]any); ok {
			out = append(out, n)
		}
	}
	for _, n := range shapes(at) {
		switch part {
		case "[]":
			step(n["items"])
		case "*":
			step(n["additionalProperties"])
		default:
			if p, ok := n["properties"].(map[string]any); ok {
				step(p[part])
			}
		}
	}
	return out
}

func shapes(at []map[string]any) []map[string]any {
	var out []map[string]any
	for _, n := range at {
		out = append(out, n)
		list, ok := n["anyOf"].([]any)
		if !ok {
			continue
		}
		for _, each := range list {
			if m, ok := each.(map[string]any); ok {
				out = append(out, m)
			}
		}
	}
	return out
}
