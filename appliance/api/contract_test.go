package api

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

var state0 = state.Page{Limit: state.MaxLimit}

type schema struct {
	Ref        string            `yaml:"$ref"`
	Type       string            `yaml:"type"`
	Required   []string          `yaml:"required"`
	Properties map[string]schema `yaml:"properties"`
	Items      *schema           `yaml:"items"`
	GoType     string            `yaml:"x-go-type"`
}

type contract struct {
	Paths map[string]map[string]yaml.Node `yaml:"paths"`

	Components struct {
		Schemas map[string]schema `yaml:"schemas"`
	} `yaml:"components"`
}

func readContract(t *testing.T) contract {
	t.Helper()
	var c contract
	if err := yaml.Unmarshal(document, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestContractIsComplete wants what readers and generators need of every
// operation.
func TestContractIsComplete(t *testing.T) {
	seen := map[string]bool{}
	for path, methods := range readContract(t).Paths {
		for method, node := range methods {
			if method == "parameters" {
				continue
			}
			var o struct {
				ID        string               `yaml:"operationId"`
				Summary   string               `yaml:"summary"`
				Tags      []string             `yaml:"tags"`
				Responses map[string]yaml.Node `yaml:"responses"`
			}
			if err := node.Decode(&o); err != nil {
				t.Fatal(err)
			}
			_, problem := o.Responses["default"]
			if o.ID == "" || seen[o.ID] || o.Summary == "" || len(o.Tags) != 1 || !problem || len(o.Responses) < 2 {
				t.Errorf("%s %s: operationId %q (must be unique), summary, one tag and a default problem are needed", method, path, o.ID)
			}
			seen[o.ID] = true
		}
	}
	if len(seen) < 80 {
		t.Errorf("only %d operations", len(seen))
	}
}

// TestSchemasAreTheModel compares every schema that stands for a type of
// raft/model with that type: the same fields, and nothing secret.
func TestSchemasAreTheModel(t *testing.T) {
	types := map[string]reflect.Type{}
	for _, v := range []any{model.UserSpec{}, model.TenantSpec{}, model.Tenant{}, model.Condition{}, model.NodeSpec{}, model.NodeStatus{}, model.Node{},
		model.Environment{}, model.EnvVar{}, model.Mount{}, model.ContainerSpec{}, model.PortSpec{}, model.Port{}, model.ServiceSpec{}, model.AppSpec{},
		model.Revision{}, model.ServiceStatus{}, model.Service{}, model.Intent{}, model.Assignment{}, model.ContainerStatus{}, model.Container{},
		model.Image{}, model.VolumeSpec{}, model.Event{}, model.RepositorySpec{}, model.UpstreamSpec{},
		model.NodeHealth{}, model.Placement{}, model.Resources{}} {
		rt := reflect.TypeOf(v)
		types["model."+rt.Name()] = rt
	}
	c := readContract(t)
	compared := 0
	for name, s := range c.Components.Schemas {
		if s.GoType == "" || s.Type != "object" {
			continue
		}
		rt, ok := types[s.GoType]
		if !ok {
			t.Errorf("schema %s stands for %s, which this test does not know; add it", name, s.GoType)
			continue
		}
		compared++
		fields := fieldsOf(rt)
		for f, ft := range fields {
			p, ok := s.Properties[f]
			if !ok {
				t.Errorf("schema %s lacks %s of %s", name, f, s.GoType)
			} else if p.Type != "" && p.Type != jsonType(ft) {
				t.Errorf("schema %s: %s is %s, in %s %s", name, f, p.Type, s.GoType, jsonType(ft))
			}
		}
		for f := range s.Properties {
			if _, ok := fields[f]; !ok {
				t.Errorf("schema %s has %s, which %s has not", name, f, s.GoType)
			}
		}
	}
	if compared != len(types) {
		t.Errorf("compared %d schemas with %d types", compared, len(types))
	}
	for name, s := range c.Components.Schemas {
		for p := range s.Properties {
			if low := strings.ToLower(p); strings.Contains(low, "hash") || strings.Contains(low, "sealed") {
				t.Errorf("schema %s shows %s", name, p)
			}
		}
		for _, req := range s.Required {
			if _, ok := s.Properties[req]; !ok {
				t.Errorf("schema %s requires %s, which it does not have", name, req)
			}
		}
	}
}

func jsonType(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case reflect.PointerTo(t).Implements(textUnmarshaler), t.Kind() == reflect.String, t == reflect.TypeFor[[]byte]():
		return "string"
	case t.Kind() == reflect.Bool:
		return "boolean"
	case t.Kind() == reflect.Slice:
		return "array"
	case slices.Contains([]reflect.Kind{reflect.Struct, reflect.Map}, t.Kind()):
		return "object"
	default:
		return "integer"
	}
}
