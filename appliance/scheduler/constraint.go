package scheduler

import (
	"strings"
	"unicode"

	"github.com/skerryhq/skerry/raft/model"
)

// Constraint is one demand on a node, such as node.labels.disk==ssd.
type Constraint struct {
	Text  string // as written, without spaces around its parts
	key   string // "name", "id", "role", "arch", "os", or "labels.KEY"
	value string
	not   bool
}

// constraintKeys are the facts of a node that a constraint may name.
var constraintKeys = []string{"node.labels.KEY", "node.name", "node.id", "node.role", "node.arch", "node.os"}

const maxConstraint = 512

// ParseConstraint reads one constraint. Errors: "constraint_invalid" with a
// sentence that names the place in the text, counted from 1.
func ParseConstraint(text string) (Constraint, error) {
	bad := func(at int, format string, args ...any) (Constraint, error) {
		shown := text
		if len(shown) > 60 {
			shown = shown[:60] + "..."
		}
		e := model.Errorf(model.KindInvalid, "constraint_invalid", format, args...)
		e.Detail = model.Errorf(model.KindInvalid, "", "the constraint %q is not understood at character %d: %s", shown, at+1, e.Detail).Detail
		return Constraint{}, e
	}
	if len(text) > maxConstraint {
		return bad(maxConstraint, "it is longer than %d bytes", maxConstraint)
	}
	at := strings.IndexAny(text, "=!")
	if at < 0 {
		return bad(len(text), "write == or != behind the name of the fact, such as node.labels.disk==ssd")
	}
	op := ""
	switch rest := text[at:]; {
	case strings.HasPrefix(rest, "=="):
		op = "=="
	case strings.HasPrefix(rest, "!="):
		op = "!="
	default:
		return bad(at, "write == or != here")
	}
	left, right := text[:at], text[at+2:]
	start := len(left) - len(strings.TrimLeft(left, " \t"))
	key := strings.TrimSpace(left)
	fact, ok := strings.CutPrefix(key, "node.")
	if !ok {
		return bad(start, "%q is no fact of a node; use one of %s", key, strings.Join(constraintKeys, ", "))
	}
	switch label, isLabel := strings.CutPrefix(fact, "labels."); {
	case isLabel && label == "":
		return bad(start+len("node.labels."), "the name of the label is missing")
	case isLabel:
		if i := strings.IndexFunc(label, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }); i >= 0 {
			return bad(start+len("node.labels.")+i, "the name of a label has no spaces")
		}
	case fact == "platform.arch":
		fact = "arch"
	case fact == "platform.os":
		fact = "os"
	case fact == "hostname":
		fact = "name"
	case fact != "name" && fact != "id" && fact != "role" && fact != "arch" && fact != "os":
		return bad(start+len("node."), "a node has no fact %q; use one of %s", fact, strings.Join(constraintKeys, ", "))
	}
	value := strings.TrimSpace(right)
	from := at + 2 + len(right) - len(strings.TrimLeft(right, " \t"))
	switch i := strings.IndexFunc(value, func(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar }); {
	case value == "":
		return bad(len(text), "the value is missing")
	case i >= 0:
		return bad(from+i, "a value has no control characters")
	case strings.HasPrefix(value, "="):
		return bad(from, "one = too many")
	}
	if fact == "role" {
		switch value {
		case "manager": // what Swarm calls a member
			value = string(model.NodeMember)
		case string(model.NodeMember), string(model.NodeWorker):
		default:
			return bad(from, "%q is no role; a node is a member or a worker", value)
		}
	}
	if fact == "arch" {
		value = architecture(value)
	}
	return Constraint{Text: key + op + value, key: fact, value: value, not: op == "!="}, nil
}

// architecture gives the name that nodes report for one that people write.
func architecture(s string) string {
	switch s {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	}
	return s
}

// Holds says whether a node meets the constraint. A label that a node does not
// have equals nothing.
func (c *Constraint) Holds(n *Node) bool {
	is := ""
	switch c.key {
	case "name":
		is = n.Name
	case "id":
		is = n.ID
	case "role":
		is = string(n.Role)
	case "arch":
		is = architecture(n.Architecture)
	case "os":
		is = n.OS
	default:
		is = n.Labels[c.key[len("labels."):]]
	}
	return (is == c.value) != c.not
}
