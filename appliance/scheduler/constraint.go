package scheduler

import (
	"strings"
	"unicode"

	"github.com/skerryhq/skerry/raft/model"
)

// Constraint is one demand on a node, such as node.labels.disk==ssd.
type Constraint struct {
	Text  string // as written, without spaces around its parts
	fact  fact
	label string // of factLabel
	value string
	not   bool
}

// fact is what of a node a constraint is about.
type fact uint8

const (
	factLabel fact = iota
	factName
	factID
	factRole
	factArch
	factOS
)

var facts = map[string]fact{
	"name": factName, "hostname": factName, "id": factID, "role": factRole,
	"arch": factArch, "platform.arch": factArch, "os": factOS, "platform.os": factOS, // as Swarm has them
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
	word, ok := strings.CutPrefix(key, "node.")
	if !ok {
		return bad(start, "%q is no fact of a node; use one of %s", key, strings.Join(constraintKeys, ", "))
	}
	c := Constraint{not: op == "!="}
	if label, isLabel := strings.CutPrefix(word, "labels."); isLabel {
		if label == "" {
			return bad(start+len("node.labels."), "the name of the label is missing")
		}
		if i := strings.IndexFunc(label, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }); i >= 0 {
			return bad(start+len("node.labels.")+i, "the name of a label has no spaces")
		}
		c.label = label
	} else if c.fact = facts[word]; c.fact == factLabel {
		return bad(start+len("node."), "a node has no fact %q; use one of %s", word, strings.Join(constraintKeys, ", "))
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
	if c.fact == factRole {
		switch value {
		case "manager": // what Swarm calls a member
			value = string(model.NodeMember)
		case string(model.NodeMember), string(model.NodeWorker):
		default:
			return bad(from, "%q is no role; a node is a member or a worker", value)
		}
	}
	if c.fact == factArch {
		value = architecture(value)
	}
	c.Text, c.value = key+op+value, value
	return c, nil
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
	switch c.fact {
	case factLabel:
		is = n.Labels[c.label]
	case factName:
		is = n.Name
	case factID:
		is = n.ID
	case factRole:
		is = string(n.Role)
	case factArch:
		is = architecture(n.Architecture)
	case factOS:
		is = n.OS
	}
	return (is == c.value) != c.not
}
