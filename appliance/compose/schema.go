package compose

import (
	"encoding/json"
	"strings"
)

// schemaNode is one place of a JSON schema.
type schemaNode struct {
	Schema      string                 `json:"$schema,omitempty"`
	Title       string                 `json:"title,omitempty"`
	Description string                 `json:"description,omitempty"`
	AnyOf       []*schemaNode          `json:"anyOf,omitempty"`
	Type        string                 `json:"type,omitempty"`
	Properties  map[string]*schemaNode `json:"properties,omitempty"`
	Patterns    map[string]*schemaNode `json:"patternProperties,omitempty"`
	Items       *schemaNode            `json:"items,omitempty"`
	// Additional is false for a mapping with the keys of the table only, or the
	// schema of the values where any key is accepted.
	Additional any      `json:"additionalProperties,omitempty"`
	Required   []string `json:"required,omitempty"`
}

// Schema is the JSON schema (draft 7) of the compose text that is accepted, made
// from the same table that refuses everything else: what an editor proposes is
// what a deployment takes. Equal tables give equal bytes.
func Schema() ([]byte, error) {
	root := keysBelow("")
	root.Schema, root.Title = "http://json-schema.org/draft-07/schema#", "Skerry app (compose)"
	root.Required = []string{"services"}
	return json.MarshalIndent(root, "", "  ")
}

// keysBelow is a mapping whose keys stand in the table right below place.
func keysBelow(place string) *schemaNode {
	n := &schemaNode{Type: "object", Properties: map[string]*schemaNode{}, Patterns: map[string]*schemaNode{"^x-": {}}, Additional: false}
	for _, k := range table {
		name, below := strings.CutPrefix(k.path, place)
		if place != "" {
			name, below = strings.CutPrefix(k.path, place+".")
		}
		if below && name != "" && name != "*" && name != "[]" && !strings.Contains(name, ".") {
			n.Properties[name] = node(k)
		}
	}
	return n
}

// node is the schema of one key: one shape, or any of several.
func node(k key) *schemaNode {
	var shapes []*schemaNode
	add := func(s shape, n *schemaNode) {
		if k.shape&s != 0 {
			shapes = append(shapes, n)
		}
	}
	add(shapeStr, &schemaNode{Type: "string"})
	if k.shape&shapeStr != 0 { // a scalar of any kind is read as text
		shapes = append(shapes, &schemaNode{Type: "number"}, &schemaNode{Type: "boolean"})
	}
	add(shapeBool, &schemaNode{Type: "boolean"})
	add(shapeInt, &schemaNode{Type: "integer"})
	add(shapeNum, &schemaNode{Type: "number"})
	add(shapeNull, &schemaNode{Type: "null"})
	if k.shape&shapeList != 0 {
		list := &schemaNode{Type: "array"}
		if item, ok := keys[k.path+".[]"]; ok {
			list.Items = node(item)
		}
		shapes = append(shapes, list)
	}
	if k.shape&shapeMap != 0 {
		shapes = append(shapes, keysBelow(k.path))
	}
	if k.shape&shapeOpen != 0 {
		open := &schemaNode{Type: "object"}
		if value, ok := keys[k.path+".*"]; ok {
			open.Additional = node(value)
		}
		shapes = append(shapes, open)
	}
	out := &schemaNode{AnyOf: shapes}
	if len(shapes) == 1 {
		out = shapes[0]
	}
	out.Description = strings.ReplaceAll(k.note, "`", "")
	return out
}
