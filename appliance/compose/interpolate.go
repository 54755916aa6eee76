package compose

import (
	"errors"
	"fmt"
	"strings"

	"github.com/compose-spec/compose-go/v2/template"
	"go.yaml.in/yaml/v4"
)

const maxNesting = 8 // of ${A:-${B:-...}}

// interpolate gives the text of a scalar with its variables filled in, or
// notes what is wrong with them.
func (w *walker) interpolate(n *yaml.Node, path string) (string, bool) {
	if !strings.Contains(n.Value, "$") {
		return n.Value, true
	}
	if wrong := scanVariables(n.Value, w.lookup, 0); len(wrong) > 0 {
		for _, text := range wrong {
			w.refuse(at(n), path, "%s", text)
		}
		return "", false
	}
	text, err := w.substitute(n.Value)
	if err != nil {
		w.refuse(at(n), path, "%s", err.Error())
		return "", false
	}
	return text, true
}

// quietly is interpolate for text that was checked already.
func (w *walker) quietly(n *yaml.Node) (string, bool) {
	if !strings.Contains(n.Value, "$") {
		return n.Value, true
	}
	if len(scanVariables(n.Value, w.lookup, 0)) > 0 {
		return "", false
	}
	text, err := w.substitute(n.Value)
	return text, err == nil
}

func (w *walker) substitute(s string) (string, error) {
	if strings.Count(s, "$") > 1000 {
		return "", errors.New("there are more than 1000 variables in this text; use fewer")
	}
	text, err := template.SubstituteWithOptions(s, w.lookup, template.WithoutLogging)
	if err != nil {
		return "", fmt.Errorf("the variables in %s cannot be read; write ${NAME}, ${NAME:-default} or $$ for a dollar sign", quote(s))
	}
	if w.expanded += len(text); w.expanded > maxExpanded {
		return "", fmt.Errorf("the variables of this file expand to more than %s; use shorter values", bytesText(maxExpanded))
	}
	return text, nil
}

func (w *walker) lookup(name string) (string, bool) {
	v, ok := w.in.Env[name]
	return v, ok
}

// scanVariables gives a sentence for each variable of s that is needed and not
// set, and for what cannot be read.
func scanVariables(s string, lookup func(string) (string, bool), depth int) []string {
	if depth > maxNesting {
		return []string{fmt.Sprintf("variables are nested more than %d deep here; use fewer", maxNesting)}
	}
	var wrong []string
	for i := 0; i < len(s); i++ {
		if s[i] != '$' {
			continue
		}
		rest := s[i+1:]
		switch {
		case strings.HasPrefix(rest, "$"):
			i++
		case strings.HasPrefix(rest, "{"):
			end := closing(rest)
			if end < 0 {
				return append(wrong, fmt.Sprintf("a `${` is not closed in %s; add the `}` or write $$ for a dollar sign", quote(s)))
			}
			wrong = append(wrong, scanBraced(rest[1:end], lookup, depth)...)
			i += end + 1
		default:
			if name := variableName(rest); name != "" {
				if _, ok := lookup(name); !ok {
					wrong = append(wrong, unset(name))
				}
				i += len(name)
			}
		}
	}
	return wrong
}

func unset(name string) string {
	return fmt.Sprintf("the variable %s is not set; set it, give a default as ${%s:-value}, or write $$%s to mean the text itself", name, name, name)
}

// scanBraced looks at what stands between the braces of ${...}.
func scanBraced(s string, lookup func(string) (string, bool), depth int) []string {
	name := variableName(s)
	if name == "" {
		return []string{fmt.Sprintf("%s is not the name of a variable; write ${NAME} or $$ for a dollar sign", quote(s))}
	}
	value, set := lookup(name)
	op := s[len(name):]
	if op == "" {
		if !set {
			return []string{unset(name)}
		}
		return nil
	}
	filled := set
	if strings.HasPrefix(op, ":") {
		filled, op = set && value != "", op[1:]
	}
	switch {
	case strings.HasPrefix(op, "-") && !filled, strings.HasPrefix(op, "+") && filled:
		return scanVariables(op[1:], lookup, depth+1)
	case strings.HasPrefix(op, "?") && !filled:
		return []string{fmt.Sprintf("the variable %s is required: %s", name, quote(op[1:]))}
	case strings.HasPrefix(op, "-"), strings.HasPrefix(op, "+"), strings.HasPrefix(op, "?"):
		return nil
	}
	return []string{fmt.Sprintf("%s is not the name of a variable; write ${%s} or ${%s:-default}", quote(s), name, name)}
}

// closing finds the brace that closes the one at s[0].
func closing(s string) int {
	depth := 0
	for i := range len(s) {
		switch {
		case s[i] == '{' && i > 0 && s[i-1] == '$' || i == 0:
			depth++
		case s[i] == '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

func variableName(s string) string {
	for i := range len(s) {
		c := s[i]
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return s[:i]
		}
	}
	return s
}

// variablesOf gathers the variables of every scalar, and every bare word in a
// list below `environment`.
func variablesOf(n *yaml.Node, names map[string]bool, seen map[*yaml.Node]bool) {
	if seen[n] {
		return
	}
	seen[n] = true
	switch n.Kind {
	case yaml.AliasNode:
		variablesOf(n.Alias, names, seen)
	case yaml.ScalarNode:
		for rest := n.Value; ; {
			i := strings.IndexByte(rest, '$')
			if i < 0 {
				return
			}
			rest = strings.TrimPrefix(rest[i+1:], "{")
			if strings.HasPrefix(rest, "$") {
				rest = rest[1:]
				continue
			}
			if name := variableName(rest); name != "" {
				names[name] = true
			}
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == "environment" {
				bareNames(deref(n.Content[i+1]), names)
			}
			variablesOf(n.Content[i+1], names, seen)
		}
	default:
		for _, c := range n.Content {
			variablesOf(c, names, seen)
		}
	}
}

func bareNames(n *yaml.Node, names map[string]bool) {
	for i, c := range n.Content {
		switch {
		case n.Kind == yaml.SequenceNode && c.Kind == yaml.ScalarNode && !strings.Contains(c.Value, "="):
			names[c.Value] = true
		case n.Kind == yaml.MappingNode && i%2 == 1 && deref(c).ShortTag() == "!!null":
			names[n.Content[i-1].Value] = true
		}
	}
}
