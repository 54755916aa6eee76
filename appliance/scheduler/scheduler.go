// Package scheduler decides which node runs a container that has none yet. It
// is pure: no I/O, clock, randomness or logging; the same input gives the same
// choice whatever order it comes in. The control loop calls it and proposes
// the answer.
package scheduler

import (
	"cmp"
	"fmt"
	"slices"
)

// Node is what the scheduler needs to know of one node.
type Node struct {
	ID            string
	Name          string
	EnvironmentID string
	Ready         bool
	NotReady      string          // why, in words; empty if Ready
	Containers    int             // placed on it, removed ones not counted
	Volumes       map[string]bool // ids of the local volumes that live there
}

// Request is one container to place.
type Request struct {
	EnvironmentID string
	Volumes       []string // ids of the volumes it mounts
}

// Decision is a node, or the reason why there is none.
type Decision struct {
	NodeID string // empty if none fits
	Reason string // a sentence, for the object
}

// Place chooses the node with the fewest containers among the ready ones of
// the environment; a volume that already lives on a node binds the container
// to it. Ties go to the lower id.
func Place(r Request, nodes []Node) Decision {
	var fit []Node
	var refused []string
	homes := homesOf(r, nodes)
	for _, n := range nodes {
		switch {
		case n.EnvironmentID != r.EnvironmentID:
			continue
		case len(homes) > 0 && !slices.Contains(homes, n.ID):
			refused = append(refused, fmt.Sprintf("%s does not hold its volume", n.Name))
		case !n.Ready:
			refused = append(refused, fmt.Sprintf("%s is not ready: %s", n.Name, cmp.Or(n.NotReady, "it has not reported yet")))
		default:
			fit = append(fit, n)
		}
	}
	if len(homes) > 1 {
		return Decision{Reason: "its volumes live on different nodes; a container can reach only volumes of its own node"}
	}
	if len(fit) == 0 {
		slices.Sort(refused)
		if len(refused) == 0 {
			return Decision{Reason: "the environment has no node"}
		}
		return Decision{Reason: fmt.Sprintf("no node fits: %s", join(refused))}
	}
	best := slices.MinFunc(fit, func(a, b Node) int {
		return cmp.Or(cmp.Compare(a.Containers, b.Containers), cmp.Compare(a.ID, b.ID))
	})
	if len(homes) == 1 {
		return Decision{NodeID: best.ID, Reason: fmt.Sprintf("its volume lives on %s", best.Name)}
	}
	return Decision{NodeID: best.ID, Reason: fmt.Sprintf("%s has the fewest containers (%d) of %d ready", best.Name, best.Containers, len(fit))}
}

// homesOf lists the nodes that hold a volume of the request, each once.
func homesOf(r Request, nodes []Node) []string {
	var homes []string
	for _, n := range nodes {
		for _, v := range r.Volumes {
			if n.Volumes[v] && !slices.Contains(homes, n.ID) {
				homes = append(homes, n.ID)
			}
		}
	}
	return homes
}

// join lists at most three reasons and counts the rest.
func join(s []string) string {
	const most = 3
	out := ""
	for i, r := range s {
		if i == most {
			return fmt.Sprintf("%s; and %d more", out, len(s)-most)
		}
		if i > 0 {
			out += "; "
		}
		out += r
	}
	return out
}
