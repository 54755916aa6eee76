package compose

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/skerryhq/skerry/raft/model"
)

// Problem is one thing that is wrong with a compose file.
type Problem struct {
	Line   int    // 1-based; 0 when the problem has no place
	Column int    // 1-based
	Path   string // e.g. "services.web.ports[0]"; empty for the file itself
	Detail string // one sentence: what is wrong and what to do
}

// String gives place, path and sentence.
func (p Problem) String() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "line %d, column %d: ", p.Line, p.Column)
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Detail)
	return b.String()
}

// Problems is everything that is wrong with a compose file, in the order of
// the text.
type Problems []Problem

// Error gives one line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

// As lets errors.As find a *model.Error, so that the API answers 400 with the
// sentences.
func (p Problems) As(target any) bool {
	to, ok := target.(**model.Error)
	if !ok {
		return false
	}
	*to = &model.Error{Kind: model.KindInvalid, Code: "compose_invalid", Field: "source", Detail: p.Error()}
	return true
}

// refuse notes a problem at a place.
func (w *walker) refuse(at pos, path, format string, args ...any) {
	if w.onlyNames {
		return
	}
	if len(w.problems) >= maxProblems {
		w.more++
		return
	}
	w.problems = append(w.problems, Problem{Line: at.line, Column: at.column, Path: path, Detail: fmt.Sprintf(format, args...)})
}

// sorted gives the problems in the order of the text, without repetition (an
// anchor used twice is wrong once).
func (w *walker) sorted() Problems {
	slices.SortStableFunc(w.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Detail, b.Detail))
	})
	out := slices.Compact(w.problems)
	if w.more > 0 {
		out = append(out, Problem{Detail: fmt.Sprintf("and %d more problems", w.more)})
	}
	return out
}
