package api

import (
	_ "embed"
	"fmt"
	"net/http"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/skerryhq/skerry/appliance/access"
)

// document is the contract, as it is served and as the gate reads it.
//
//go:embed openapi.yaml
var document []byte

// operation is what the gate knows about one operation of the contract.
type operation struct {
	id         string
	permission access.Permission
	method     string
	path       string // as in the contract, e.g. /apps/{ref}
	noun       string // first part of the path: what {ref} is
	hasRef     bool
	tenantPath bool // {ref} is the tenant itself
}

// operations reads the contract. An operation without a permission, or with one
// that the policy does not know, is a fault that keeps the server from starting.
func operations(doc []byte) ([]operation, error) {
	var spec struct {
		Paths map[string]map[string]yaml.Node `yaml:"paths"`
	}
	if err := yaml.Unmarshal(doc, &spec); err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	var out []operation
	for path, methods := range spec.Paths {
		for method, node := range methods {
			if method == "parameters" {
				continue
			}
			var o struct {
				ID         string            `yaml:"operationId"`
				Permission access.Permission `yaml:"x-skerry-permission"`
			}
			if err := node.Decode(&o); err != nil {
				return nil, fmt.Errorf("openapi.yaml: %s %s: %w", method, path, err)
			}
			if o.ID == "" || !o.Permission.Known() {
				return nil, fmt.Errorf("openapi.yaml: %s %s: operation %q has the permission %q, which is not in appliance/access", method, path, o.ID, o.Permission)
			}
			noun, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
			out = append(out, operation{
				id: o.ID, permission: o.Permission, method: strings.ToUpper(method), path: path, noun: noun,
				hasRef: strings.HasPrefix(rest, "{ref}"), tenantPath: noun == "tenants" && strings.HasPrefix(rest, "{ref}"),
			})
		}
	}
	return out, nil
}

// base is where the contract begins.
const base = "/api/v1"

// route is how gin names the operation's path.
func (o operation) route() string {
	parts := strings.Split(o.path, "/")
	for i, p := range parts {
		if strings.HasPrefix(p, "{") {
			parts[i] = ":" + strings.Trim(p, "{}")
		}
	}
	return base + strings.Join(parts, "/")
}

// writes says whether the operation may change something.
func (o operation) writes() bool { return o.method != http.MethodGet && o.method != http.MethodHead }
