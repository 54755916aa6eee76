package compose

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/skerryhq/skerry/appliance/scheduler"
	"github.com/skerryhq/skerry/raft/model"
)

// placing is what a service says about the nodes that it runs on.
type placing struct {
	model.Placement
	reserve        model.Resources
	maxUnavailable int
	alone          bool // at most one replica a node
	affinity       []refAt
}

// refAt is the name of another service.
type refAt struct {
	name string
	pos
	path string
}

func (w *walker) placementOf(service string) *placing {
	if w.placing[service] == nil {
		w.placing[service] = &placing{}
	}
	return w.placing[service]
}

// collectPlacement keeps one scalar of `deploy.placement`,
// `deploy.resources.reservations` or `x-skerry`.
func (w *walker) collectPlacement(n *yaml.Node, service, where, pattern, text string) {
	p := w.placementOf(service)
	switch pattern {
	case "services.*.deploy.placement.constraints.[]", "services.*.x-skerry.placement.constraints.[]":
		p.Constraints = append(p.Constraints, text)
	case "services.*.deploy.placement.max_replicas_per_node":
		p.alone = text == "1"
	case "services.*.deploy.resources.reservations.cpus":
		p.reserve.CPUMillis, _ = ParseCPUs(text)
	case "services.*.deploy.resources.reservations.memory":
		p.reserve.MemoryBytes, _ = ParseBytes(text)
	case "services.*.x-skerry.max_unavailable":
		p.maxUnavailable, _ = strconv.Atoi(text)
	case "services.*.x-skerry.placement.strategy":
		p.Strategy = model.Strategy(text)
	case "services.*.x-skerry.placement.spread_by":
		p.SpreadBy = text
	case "services.*.x-skerry.placement.affinity.[]":
		p.Affinity = append(p.Affinity, text)
		p.affinity = append(p.affinity, refAt{text, at(n), where})
	case "services.*.x-skerry.placement.anti_affinity.[]":
		p.AntiAffinity = append(p.AntiAffinity, text)
		p.affinity = append(p.affinity, refAt{text, at(n), where})
	}
}

// crossPlacement refuses names of services that the file does not have.
func (w *walker) crossPlacement(service string) {
	p := w.placing[service]
	if p == nil {
		return
	}
	for _, r := range p.affinity {
		if !slices.Contains(w.services, r.name) {
			w.refuse(r.pos, r.path, "there is no service %s in this file", quote(r.name))
		}
	}
	for _, name := range p.Affinity {
		if slices.Contains(p.AntiAffinity, name) {
			w.refuse(w.places["services."+service], "services."+service, "it cannot be both near and apart from %s; keep one of them", quote(name))
		}
	}
}

// place puts what the walk collected into a service.
func (w *walker) place(service string, spec *model.ServiceSpec) {
	p := w.placing[service]
	if p == nil {
		return
	}
	spec.Placement, spec.Reserve, spec.MaxUnavailable = p.Placement, p.reserve, p.maxUnavailable
	if spec.Placement.Strategy == model.Spread {
		spec.Placement.Strategy = "" // the default has one form
	}
	if p.alone && !slices.Contains(spec.Placement.AntiAffinity, service) {
		spec.Placement.AntiAffinity = append(spec.Placement.AntiAffinity, service)
	}
}

func checkConstraint(s string) string {
	if _, err := scheduler.ParseConstraint(s); err != nil {
		return err.Error()
	}
	return ""
}

func checkPerNode(s string) string {
	if s != "0" && s != "1" {
		return fmt.Sprintf("%s is not possible; write 1 (one replica a node) or 0 (no limit)", quote(s))
	}
	return ""
}

func checkUnavailable(s string) string {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > MaxReplicas {
		return fmt.Sprintf("%s is not possible; write a number from 1 to %d", quote(s), MaxReplicas)
	}
	return ""
}

// renderPlacement writes what placement and reservations need.
func renderPlacement(s model.ServiceSpec, deploy, m *yamlMap) {
	if s.Reserve != (model.Resources{}) {
		r := mapping()
		if s.Reserve.CPUMillis != 0 {
			r.put("cpus", scalar(strconv.FormatFloat(float64(s.Reserve.CPUMillis)/1000, 'f', -1, 64)))
		}
		if s.Reserve.MemoryBytes != 0 {
			r.put("memory", scalar(strconv.FormatInt(s.Reserve.MemoryBytes, 10)))
		}
		resources := mapping()
		resources.put("reservations", r.node)
		deploy.put("resources", resources.node)
	}
	if len(s.Placement.Constraints) > 0 {
		p := mapping()
		p.putList("constraints", s.Placement.Constraints)
		deploy.put("placement", p.node)
	}
	x, p := mapping(), mapping()
	p.putText("strategy", string(s.Placement.Strategy))
	p.putText("spread_by", s.Placement.SpreadBy)
	p.putList("affinity", s.Placement.Affinity)
	p.putList("anti_affinity", s.Placement.AntiAffinity)
	if len(p.node.Content) > 0 {
		x.put("placement", p.node)
	}
	if s.MaxUnavailable > 0 {
		x.put("max_unavailable", plainScalar(strconv.Itoa(s.MaxUnavailable), "!!int"))
	}
	if len(x.node.Content) > 0 {
		m.put("x-skerry", x.node)
	}
}

func checkLabelName(s string) string {
	if s == "" || len(s) > 256 || strings.ContainsAny(s, " \t\r\n=") {
		return fmt.Sprintf("%s cannot be the name of a node label; write for example zone", quote(s))
	}
	return ""
}
