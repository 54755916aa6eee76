package operation

import (
	"slices"
	"strings"

	"github.com/skerryhq/skerry/appliance/scheduler"
	"github.com/skerryhq/skerry/raft/model"
)

// placement checks what a service says about the nodes that it runs on.
func (p *problems) placement(at, name string, s *model.ServiceSpec, services map[string]model.ServiceSpec) {
	at += ".placement"
	pl := &s.Placement
	switch pl.Strategy {
	case "", model.BinPack:
	case model.Spread:
		pl.Strategy = "" // the default has one form, so that specs compare
	default:
		p.add(at+".strategy", "strategy_invalid", "%q is no strategy: use spread or binpack", clip(string(pl.Strategy)))
	}
	if len(pl.Constraints) > maxPlacement || len(pl.Affinity) > maxPlacement || len(pl.AntiAffinity) > maxPlacement {
		p.add(at, "too_many", "more than %d constraints, affinities or anti-affinities", maxPlacement)
		return
	}
	for i, text := range pl.Constraints {
		if _, err := scheduler.ParseConstraint(text); err != nil {
			p.add(path("%s.constraints[%d]", at, i), "constraint_invalid", "%v", err)
		}
	}
	for i, other := range pl.Affinity {
		here := path("%s.affinity[%d]", at, i)
		switch _, there := services[other]; {
		case !there:
			p.add(here, "service_unknown", "this app has no service %q to be near", clip(other))
		case other == name:
			p.add(here, "affinity_invalid", "a service is always near itself: leave it out")
		case slices.Contains(pl.AntiAffinity, other):
			p.add(here, "affinity_invalid", "it cannot be both near and apart from %s: keep one of them", other)
		default:
			if circle := circleFrom(name, services); circle != nil && circle[0] == slices.Min(circle) {
				p.add(here, "affinity_invalid", "the affinities go round in a circle (%s), so none of these services could be the first: leave one out", strings.Join(append(circle, circle[0]), " -> "))
				return
			}
		}
	}
	for i, other := range pl.AntiAffinity {
		if _, there := services[other]; !there {
			p.add(path("%s.antiAffinity[%d]", at, i), "service_unknown", "this app has no service %q to be apart from", clip(other))
		}
	}
	if len(pl.SpreadBy) > 256 || strings.ContainsAny(pl.SpreadBy, " \t\r\n=") {
		p.add(at+".spreadBy", "label_invalid", "%q cannot be the name of a node label", clip(pl.SpreadBy))
	}
}

// maxPlacement bounds each list of a placement.
const maxPlacement = 50

// circleFrom follows affinities from a service; it gives the services of a
// circle through it, beginning with it, or nil.
func circleFrom(name string, services map[string]model.ServiceSpec) []string {
	seen := map[string]bool{}
	var follow func(path []string) []string
	follow = func(path []string) []string {
		for _, next := range services[path[len(path)-1]].Placement.Affinity {
			if next == name {
				return path
			}
			if !seen[next] {
				seen[next] = true
				if circle := follow(append(slices.Clone(path), next)); circle != nil {
					return circle
				}
			}
		}
		return nil
	}
	return follow([]string{name})
}

// reserve checks what is kept free for each replica.
func (p *problems) reserve(at string, s *model.ServiceSpec) {
	if r := s.Reserve.CPUMillis; r < 0 || r > 1024*1000 {
		p.add(at+".reserve.cpuMillis", "size_invalid", "%d thousandths of a core: must be 0 (nothing kept) to 1024000", r)
	} else if limit := s.Container.CPUMillis; limit > 0 && r > limit {
		p.add(at+".reserve.cpuMillis", "size_invalid", "%d thousandths of a core are more than the limit of the container (%d)", r, limit)
	}
	if r := s.Reserve.MemoryBytes; r < 0 || r > 1<<50 {
		p.add(at+".reserve.memoryBytes", "size_invalid", "%d bytes: must be 0 (nothing kept) or more", r)
	} else if limit := s.Container.MemoryBytes; limit > 0 && r > limit {
		p.add(at+".reserve.memoryBytes", "size_invalid", "%d bytes are more than the limit of the container (%d)", r, limit)
	}
	if s.MaxUnavailable < 0 || s.MaxUnavailable > maxReplicas {
		p.add(at+".maxUnavailable", "replicas_invalid", "%d: must be 0 (one) to %d", s.MaxUnavailable, maxReplicas)
	}
}
