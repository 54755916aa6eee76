// Package reference writes docs/api.md from the contract, appliance/api/openapi.yaml.
//
// It owns the page's form; who holds a permission it asks appliance/access. It knows of OpenAPI only what the contract uses, and
// refuses what it does not know instead of leaving it out. Its test calls it and
// fails when the page is stale; `make docs` writes the page. Pure: equal
// contracts give equal text.
package reference

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/raft/model"
)

// contract is the part of OpenAPI 3.0 that is read.
type contract struct {
	Info struct {
		Description string `yaml:"description"`
	} `yaml:"info"`
	Servers []struct {
		URL string `yaml:"url"`
	} `yaml:"servers"`
	Tags       []tag     `yaml:"tags"`
	Paths      yaml.Node `yaml:"paths"`
	Components struct {
		Parameters map[string]parameter `yaml:"parameters"`
		Responses  map[string]response  `yaml:"responses"`
		Schemas    yaml.Node            `yaml:"schemas"`
	} `yaml:"components"`
}

type tag struct {
	Name        string `yaml:"name"`
	Description string `yaml:"description"`
}

type parameter struct {
	Ref         string `yaml:"$ref"`
	Name        string `yaml:"name"`
	In          string `yaml:"in"`
	Required    bool   `yaml:"required"`
	Description string `yaml:"description"`
	Schema      schema `yaml:"schema"`
}

type content map[string]struct {
	Schema schema `yaml:"schema"`
}

type response struct {
	Ref         string  `yaml:"$ref"`
	Description string  `yaml:"description"`
	Content     content `yaml:"content"`
}

type operation struct {
	ID          string      `yaml:"operationId"`
	Summary     string      `yaml:"summary"`
	Description string      `yaml:"description"`
	Tags        []string    `yaml:"tags"`
	Permission  string      `yaml:"x-skerry-permission"`
	Parameters  []parameter `yaml:"parameters"`
	Body        *struct {
		Required bool    `yaml:"required"`
		Content  content `yaml:"content"`
	} `yaml:"requestBody"`
	Responses yaml.Node `yaml:"responses"`

	method, path string
}

type schema struct {
	Ref         string    `yaml:"$ref"`
	Type        string    `yaml:"type"`
	Format      string    `yaml:"format"`
	Description string    `yaml:"description"`
	Enum        []string  `yaml:"enum"`
	Default     yaml.Node `yaml:"default"`
	Items       *schema   `yaml:"items"`
	AllOf       []schema  `yaml:"allOf"`
	ReadOnly    bool      `yaml:"readOnly"`
	Nullable    bool      `yaml:"nullable"`
	Required    []string  `yaml:"required"`
	Properties  yaml.Node `yaml:"properties"`
	Additional  *schema   `yaml:"additionalProperties"`
}

// Markdown is the page for a contract.
func Markdown(openapi []byte) (string, error) {
	var c contract
	if err := yaml.Unmarshal(openapi, &c); err != nil {
		return "", fmt.Errorf("read the contract: %w", err)
	}
	if len(c.Servers) != 1 {
		return "", fmt.Errorf("the contract names %d servers, want one", len(c.Servers))
	}
	ops, err := c.operations()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("# The API\n\nThis page is generated from `appliance/api/openapi.yaml`, which every node serves at `/api/v1/openapi.yaml`; `make docs` writes it and a test fails when it is not current.\n\n")
	b.WriteString(strings.TrimSpace(c.Info.Description) + "\n\n")
	fmt.Fprintf(&b, "All paths are below `%s`. [Permissions](#permissions) are held by roles.\n\n## Operations\n\n", c.Servers[0].URL)
	for _, t := range c.Tags {
		fmt.Fprintf(&b, "**%s**: %s\n\n| | | permission |\n|---|---|---|\n", t.Name, t.Description)
		for _, o := range ops[t.Name] {
			fmt.Fprintf(&b, "| [`%s %s`](#%s) | %s | `%s` |\n", o.method, o.path, strings.ToLower(o.ID), cell(o.Summary), o.Permission)
		}
		b.WriteString("\n")
	}
	permissions(&b, ops)
	for _, t := range c.Tags {
		for _, o := range ops[t.Name] {
			if err := c.section(&b, o); err != nil {
				return "", fmt.Errorf("%s: %w", o.ID, err)
			}
		}
	}
	b.WriteString("## Objects\n\n")
	if err := pairs(&c.Components.Schemas, func(name string, n *yaml.Node) error { return object(&b, name, n) }); err != nil {
		return "", err
	}
	return strings.TrimRight(b.String(), "\n") + "\n", nil
}

// permissions writes who holds the permissions that operations name, as the
// policy itself decides.
func permissions(b *strings.Builder, ops map[string][]operation) {
	const tenantID = "t"
	holders := []struct {
		word string
		who  access.Principal
	}{
		{"anybody", access.Principal{}},
		{"signed in", access.Principal{Name: "u"}},
		{"`viewer`", access.Principal{Name: "u", Tenants: map[string]model.Role{tenantID: model.RoleViewer}}},
		{"`developer`", access.Principal{Name: "u", Tenants: map[string]model.Role{tenantID: model.RoleDeveloper}}},
		{"`owner`", access.Principal{Name: "u", Tenants: map[string]model.Role{tenantID: model.RoleOwner}}},
		{"`auditor`", access.Principal{Name: "u", Platform: model.RoleAuditor}},
		{"`admin`", access.Principal{Name: "u", Platform: model.RoleAdmin}},
	}
	named := map[string]bool{}
	for _, of := range ops {
		for _, o := range of {
			named[o.Permission] = true
		}
	}
	b.WriteString("## Permissions\n\n`viewer`, `developer` and `owner` are roles in a tenant and reach what belongs to it; `auditor` and `admin` are roles of the platform.\nAn API token has a role of its own, at most its user's.\n\n| permission |")
	for _, h := range holders {
		b.WriteString(" " + h.word + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat(":-:|", len(holders)) + "\n")
	for _, name := range slices.Sorted(maps.Keys(named)) {
		fmt.Fprintf(b, "| `%s` |", name)
		for _, h := range holders {
			mark := " "
			if access.Decide(&h.who, access.Permission(name), tenantID) == access.Allow {
				mark = " ✓ "
			}
			b.WriteString(mark + "|")
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
}

// operations reads every operation, by tag, in the order of the contract.
func (c *contract) operations() (map[string][]operation, error) {
	out := map[string][]operation{}
	err := pairs(&c.Paths, func(path string, item *yaml.Node) error {
		var shared struct {
			Parameters []parameter `yaml:"parameters"`
		}
		if err := item.Decode(&shared); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return pairs(item, func(method string, n *yaml.Node) error {
			if method == "parameters" {
				return nil
			}
			if !slices.Contains([]string{"get", "put", "post", "delete", "patch", "head"}, method) {
				return fmt.Errorf("%s: %q is no method that this page knows", path, method)
			}
			o := operation{method: strings.ToUpper(method), path: path}
			if err := n.Decode(&o); err != nil {
				return fmt.Errorf("%s %s: %w", method, path, err)
			}
			o.Parameters = append(slices.Clone(shared.Parameters), o.Parameters...)
			if len(o.Tags) != 1 || !slices.ContainsFunc(c.Tags, func(t tag) bool { return t.Name == o.Tags[0] }) {
				return fmt.Errorf("%s %s: it needs one tag that the contract describes, not %v", method, path, o.Tags)
			}
			out[o.Tags[0]] = append(out[o.Tags[0]], o)
			return nil
		})
	})
	return out, err
}

// section is one operation.
func (c *contract) section(b *strings.Builder, o operation) error {
	fmt.Fprintf(b, "### %s\n\n`%s %s` · permission `%s`\n\n%s.\n\n", o.ID, o.method, o.path, o.Permission, strings.TrimSuffix(o.Summary, "."))
	if o.Description != "" {
		b.WriteString(strings.TrimSpace(o.Description) + "\n\n")
	}
	if len(o.Parameters) > 0 {
		b.WriteString("| parameter | in | type | |\n|---|---|---|---|\n")
	}
	for _, p := range o.Parameters {
		if p.Ref != "" {
			name := strings.TrimPrefix(p.Ref, "#/components/parameters/")
			found, ok := c.Components.Parameters[name]
			if !ok {
				return fmt.Errorf("there is no parameter %s", name)
			}
			p = found
		}
		note := firstOf(p.Description, p.Schema.Description)
		if p.Required && p.In != "path" {
			note = strings.TrimSpace("required. " + note)
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", p.Name, p.In, p.Schema.text(), cell(note))
	}
	if len(o.Parameters) > 0 {
		b.WriteString("\n")
	}
	if o.Body != nil {
		word := "Body"
		if !o.Body.Required {
			word = "Body (may be left out)"
		}
		fmt.Fprintf(b, "%s: %s\n\n", word, o.Body.Content.text())
	}
	b.WriteString("Answers: ")
	first := true
	if err := pairs(&o.Responses, func(status string, n *yaml.Node) error {
		var r response
		if err := n.Decode(&r); err != nil {
			return err
		}
		if r.Ref != "" {
			name := strings.TrimPrefix(r.Ref, "#/components/responses/")
			found, ok := c.Components.Responses[name]
			if !ok {
				return fmt.Errorf("there is no response %s", name)
			}
			r = found
		}
		if !first {
			b.WriteString("; ")
		}
		first = false
		if status == "default" {
			status = "refused"
		}
		fmt.Fprintf(b, "**%s** %s", status, cell(r.Description))
		if text := r.Content.text(); text != "" {
			b.WriteString(": " + text)
		}
		return nil
	}); err != nil {
		return err
	}
	b.WriteString("\n\n")
	return nil
}

// text lists media types with what they carry.
func (c content) text() string {
	var kinds []string
	for kind := range c {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	for i, kind := range kinds {
		s := c[kind].Schema
		kinds[i] = "`" + kind + "`"
		if t := s.text(); t != "" && t != "string (binary)" {
			kinds[i] += " " + t
		}
	}
	return strings.Join(kinds, " or ")
}

// object is one schema of the contract.
func object(b *strings.Builder, name string, n *yaml.Node) error {
	var s schema
	if err := n.Decode(&s); err != nil {
		return fmt.Errorf("object %s: %w", name, err)
	}
	fmt.Fprintf(b, "### %s\n\n", name)
	if s.Description != "" {
		b.WriteString(strings.TrimSpace(s.Description) + "\n\n")
	}
	if s.Properties.Kind == 0 {
		fmt.Fprintf(b, "%s\n\n", s.text())
		return nil
	}
	b.WriteString("| field | type | |\n|---|---|---|\n")
	err := pairs(&s.Properties, func(field string, n *yaml.Node) error {
		var p schema
		if err := n.Decode(&p); err != nil {
			return fmt.Errorf("object %s, field %s: %w", name, field, err)
		}
		var notes []string
		if slices.Contains(s.Required, field) {
			notes = append(notes, "always there")
		}
		if p.ReadOnly {
			notes = append(notes, "read only")
		}
		if p.Default.Kind == yaml.ScalarNode {
			notes = append(notes, "default `"+p.Default.Value+"`")
		}
		note := strings.Join(notes, ", ")
		if p.Description != "" {
			if note != "" {
				note += "; "
			}
			note += p.Description
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", field, p.text(), cell(note))
		return nil
	})
	b.WriteString("\n")
	return err
}

// text is a type in few words, with a link where it is an object.
func (s schema) text() string {
	switch {
	case s.Ref != "":
		name := strings.TrimPrefix(s.Ref, "#/components/schemas/")
		return "[" + name + "](#" + strings.ToLower(name) + ")"
	case len(s.AllOf) > 0:
		var parts []string
		for _, p := range s.AllOf {
			if t := p.text(); t != "" {
				parts = append(parts, t)
			}
		}
		return strings.Join(parts, " and ")
	case len(s.Enum) > 0:
		return "`" + strings.Join(s.Enum, "`, `") + "`"
	case s.Type == "array" && s.Items != nil:
		return "list of " + s.Items.text()
	case s.Type == "object" && s.Additional != nil:
		return "map of " + firstOf(s.Additional.text(), "anything")
	case s.Type == "object" && s.Properties.Kind != 0:
		var fields []string
		_ = pairs(&s.Properties, func(field string, _ *yaml.Node) error { fields = append(fields, "`"+field+"`"); return nil })
		return "object with " + strings.Join(fields, ", ")
	case s.Format != "" && s.Type != "integer":
		return s.Type + " (" + s.Format + ")"
	}
	return s.Type
}

// pairs walks a mapping in the order of the text.
func pairs(n *yaml.Node, each func(key string, value *yaml.Node) error) error {
	if n.Kind != 0 && n.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: a mapping is wanted here", n.Line)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if err := each(n.Content[i].Value, n.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}

func firstOf(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}

func cell(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(strings.TrimSpace(s), "|", `\|`), "\n", " ")
}
