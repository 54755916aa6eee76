package nodeview

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"

	"github.com/skerryhq/skerry/raft/model"
)

// frame is one line of the stream: the whole view first, then what has changed
// since the line before. One without either says only that the sender lives.
type frame struct {
	Index      uint64  `json:"index,omitempty"`
	Generation uint64  `json:"generation,omitempty"`
	Whole      *View   `json:"whole,omitempty"`
	Change     *change `json:"change,omitempty"`
}

// change leads from one view to the next. Short lists come whole, long ones as
// what is new in them and the keys of what is gone.
type change struct {
	Node       *model.Node            `json:"node,omitempty"` // nil: as before
	Unknown    bool                   `json:"unknown,omitempty"`
	Small      *small                 `json:"small,omitempty"` // nil: as before
	Containers part[*model.Container] `json:"containers,omitzero"`
	Names      part[Name]             `json:"names,omitzero"`
	Ports      part[Port]             `json:"ports,omitzero"`
}

// small is what is short or changes seldom.
type small struct {
	View // without Node, Containers, Names and Ports
}

// part is the change of a list.
type part[T any] struct {
	Put  []T      `json:"put,omitempty"`
	Drop []string `json:"drop,omitempty"`
}

func (p part[T]) IsZero() bool { return len(p.Put)+len(p.Drop) == 0 }

func containerKey(c *model.Container) string { return c.ID }
func nameKey(n Name) string                  { return n.Address.String() + " " + n.Container }
func portKey(p Port) string {
	return fmt.Sprintf("%s %s %05d", p.Protocol, p.HostIP, p.HostPort)
}

// diff is the change from one view to another; nil if they differ in nothing
// that matters.
func diff(from, to View) *change {
	c := change{
		Containers: diffPart(from.Containers, to.Containers, containerKey),
		Names:      diffPart(from.Names, to.Names, nameKey),
		Ports:      diffPart(from.Ports, to.Ports, portKey),
	}
	switch {
	case to.Node == nil:
		c.Unknown = from.Node != nil
	case !reflect.DeepEqual(from.Node, to.Node):
		c.Node = to.Node
	}
	if s := smallOf(to); !reflect.DeepEqual(smallOf(from), s) {
		c.Small = &s
	}
	if reflect.ValueOf(c).IsZero() {
		return nil
	}
	return &c
}

func smallOf(v View) small {
	v.Index, v.Generation, v.Node, v.Containers, v.Names, v.Ports = 0, 0, nil, nil, nil, nil
	return small{v}
}

func diffPart[T any](from, to []T, key func(T) string) part[T] {
	var p part[T]
	had := make(map[string]T, len(from))
	for _, o := range from {
		had[key(o)] = o
	}
	for _, o := range to {
		k := key(o)
		if old, there := had[k]; !there || !reflect.DeepEqual(old, o) {
			p.Put = append(p.Put, o)
		}
		delete(had, k)
	}
	for k := range had {
		p.Drop = append(p.Drop, k)
	}
	slices.Sort(p.Drop)
	return p
}

// with is v after a change. v itself stays as it is.
func (v View) with(c change) View {
	if c.Small != nil {
		s := c.Small.View
		s.Node, s.Containers, s.Names, s.Ports = v.Node, v.Containers, v.Names, v.Ports
		v = s
	}
	if c.Node != nil {
		v.Node = c.Node
	}
	if c.Unknown {
		v.Node = nil
	}
	v.Containers = mergePart(v.Containers, c.Containers, containerKey)
	v.Names = mergePart(v.Names, c.Names, nameKey)
	v.Ports = mergePart(v.Ports, c.Ports, portKey)
	return v.sorted()
}

func mergePart[T any](have []T, p part[T], key func(T) string) []T {
	if p.IsZero() {
		return have
	}
	gone := make(map[string]bool, len(p.Put)+len(p.Drop))
	for _, k := range p.Drop {
		gone[k] = true
	}
	for _, o := range p.Put {
		gone[key(o)] = true
	}
	out := make([]T, 0, len(have)+len(p.Put))
	for _, o := range have {
		if !gone[key(o)] {
			out = append(out, o)
		}
	}
	out = append(out, p.Put...)
	if len(out) == 0 {
		return nil
	}
	return out
}

// sorted is v in the one order that a remote view has, whatever changes led to it.
func (v View) sorted() View {
	v.Containers, v.Names, v.Ports = slices.Clone(v.Containers), slices.Clone(v.Names), slices.Clone(v.Ports)
	slices.SortFunc(v.Containers, func(a, b *model.Container) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	slices.SortFunc(v.Names, func(a, b Name) int { return cmp.Compare(nameKey(a), nameKey(b)) })
	slices.SortFunc(v.Ports, func(a, b Port) int { return cmp.Compare(portKey(a), portKey(b)) })
	return v
}
