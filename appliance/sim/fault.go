package sim

import (
	"fmt"
	"maps"
	"slices"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// pick gives one of a list by the world's dice.
func pick[T any](w *World, list []T) (T, bool) {
	if len(list) == 0 {
		var none T
		return none, false
	}
	return list[w.rand.IntN(len(list))], true
}

func (w *World) hostIDs(keep func(*host) bool) (out []string) {
	for _, id := range slices.Sorted(maps.Keys(w.hosts)) {
		if keep(w.hosts[id]) {
			out = append(out, id)
		}
	}
	return out
}

// Event lets something happen.
func (w *World) Event() {
	switch w.rand.IntN(12) {
	case 0:
		if id, ok := pick(w, w.hostIDs(func(h *host) bool { return h.on })); ok {
			w.note("%s loses its power", id)
			h := w.hosts[id]
			h.on, h.tasks = false, map[string]*task{}
		}
	case 1:
		if id, ok := pick(w, w.hostIDs(func(h *host) bool { return !h.on })); ok {
			w.note("%s boots", id)
			w.hosts[id].on = true
		}
	case 2:
		if id, ok := pick(w, w.hostIDs(func(h *host) bool { return !h.cut })); ok {
			w.note("%s is cut off", id)
			w.hosts[id].cut = true
		}
	case 3:
		if id, ok := pick(w, w.hostIDs(func(h *host) bool { return h.cut })); ok {
			w.note("%s is reached again", id)
			w.hosts[id].cut = false
		}
	case 4, 5:
		w.changeNode()
	case 6, 7, 8:
		w.deploy()
	case 9:
		w.scale()
	case 10:
		if a, ok := pick(w, w.apps()); ok {
			w.do(&command.RemoveApp{Head: w.by("ada"), ID: a.ID, ExpectVersion: command.AnyVersion}, "remove app %s", a.Name)
		}
	default:
		if s, ok := pick(w, slices.Collect(w.View().Services())); ok {
			w.do(&command.SetServiceStopped{Head: w.by("ada"), ServiceID: s.ID, ExpectVersion: command.AnyVersion, Stopped: !s.Stopped}, "service %s stopped: %v", s.ID, !s.Stopped)
		}
	}
}

func (w *World) apps() []*model.App { return slices.Collect(w.View().Apps()) }

// changeNode drains, activates, labels or removes a node.
func (w *World) changeNode() {
	n, ok := pick(w, slices.Collect(w.View().Nodes()))
	if !ok {
		return
	}
	m := *n
	switch w.rand.IntN(4) {
	case 0, 1:
		m.Spec.Availability = model.NodeDrain
		if n.Spec.Availability == model.NodeDrain {
			m.Spec.Availability = model.NodeActive
		}
		w.do(&command.PutNode{Head: w.by("root"), Node: m, ExpectVersion: n.Version}, "%s is to be %s", n.ID, m.Spec.Availability)
	case 2:
		m.Spec.Labels = map[string]string{"zone": n.Spec.Labels["zone"], "disk": []string{"ssd", "hdd"}[w.rand.IntN(2)]}
		w.do(&command.PutNode{Head: w.by("root"), Node: m, ExpectVersion: n.Version}, "%s gets disk=%s", n.ID, m.Spec.Labels["disk"])
	default:
		if len(w.hosts) < 3 {
			return
		}
		o := w.apply(&command.RemoveNode{Head: w.by("root"), ID: n.ID, ExpectVersion: command.AnyVersion, Force: w.rand.IntN(3) == 0})[0]
		w.note("remove %s: %v", n.ID, o.Err)
		if o.Err == nil {
			delete(w.hosts, n.ID) // it finds out by itself that it is no longer wanted
		}
	}
}

// deploy makes an app, or changes one.
func (w *World) deploy() {
	if a, ok := pick(w, w.apps()); ok && w.rand.IntN(2) == 0 {
		spec := a.Spec.Clone()
		for _, name := range slices.Sorted(maps.Keys(spec.Services)) {
			s := spec.Services[name]
			s.Container.Image = fmt.Sprintf("image:%d", w.rand.IntN(5))
			spec.Services[name] = s
		}
		again := *a
		again.Spec = spec
		w.do(&command.PutApp{Head: w.by("ada"), App: again, ExpectVersion: command.AnyVersion}, "update app %s", a.Name)
		return
	}
	if len(w.apps()) >= 6 {
		return
	}
	id := w.newID()
	app := model.App{Meta: model.Meta{ID: id, Name: "app-" + id}, TenantID: "t", EnvironmentID: "e", Spec: model.AppSpec{Services: map[string]model.ServiceSpec{}}}
	cmd := &command.PutApp{Head: w.by("ada"), ServiceIDs: map[string]string{}}
	for i := range 1 + w.rand.IntN(3) {
		name := fmt.Sprintf("s%d", i)
		app.Spec.Services[name] = w.service(id, i)
		cmd.ServiceIDs[name] = w.newID()
	}
	for _, name := range slices.Sorted(maps.Keys(app.Spec.Services)) {
		for _, m := range app.Spec.Services[name].Container.Mounts {
			cmd.Volumes = append(cmd.Volumes, model.Volume{Meta: model.Meta{ID: "vol-" + m.Source, Name: m.Source}, Spec: model.VolumeSpec{Driver: "local"}})
		}
	}
	cmd.App = app
	w.do(cmd, "deploy app %s", app.Name)
}

// service invents the i-th service of an app; it may refer to those before it.
func (w *World) service(app string, i int) model.ServiceSpec {
	s := model.ServiceSpec{Replicas: w.rand.IntN(7), MaxUnavailable: w.rand.IntN(3),
		Container: model.ContainerSpec{Image: "image:1", ImageDigest: "sha256:1", Restart: model.RestartAlways}}
	if w.rand.IntN(8) == 0 {
		s.Container.Restart = model.RestartNo
	}
	if w.rand.IntN(4) == 0 {
		s.Container.Mounts = []model.Mount{{Type: model.MountVolume, Source: fmt.Sprintf("%s-data%d", app, i), Path: "/data"}}
	}
	p := &s.Placement
	if w.rand.IntN(4) == 0 {
		p.Constraints = []string{[]string{"node.labels.disk==ssd", "node.role!=worker", "node.labels.zone==a"}[w.rand.IntN(3)]}
	}
	if w.rand.IntN(4) == 0 {
		p.AntiAffinity = []string{fmt.Sprintf("s%d", i)}
	}
	if w.rand.IntN(6) == 0 && i > 0 {
		p.Affinity = []string{"s0"}
	}
	if w.rand.IntN(6) == 0 && i > 0 && len(p.Affinity) == 0 {
		p.AntiAffinity = append(p.AntiAffinity, "s0")
	}
	if w.rand.IntN(4) == 0 {
		p.Strategy = model.BinPack
	}
	if w.rand.IntN(3) == 0 {
		p.SpreadBy = "zone"
	}
	if w.rand.IntN(2) == 0 {
		s.Reserve = model.Resources{CPUMillis: 1500, MemoryBytes: 1 << 30}
	}
	return s
}

// scale changes the number of a service's replicas.
func (w *World) scale() {
	s, ok := pick(w, slices.Collect(w.View().Services()))
	if !ok {
		return
	}
	n := w.rand.IntN(9)
	w.do(&command.SetServiceReplicas{Head: w.by("ada"), ServiceID: s.ID, ExpectVersion: command.AnyVersion, Replicas: n}, "scale %s to %d", s.ID, n)
}
