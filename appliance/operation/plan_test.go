package operation

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/raft/model"
)

// TestPlanApp compares what a plan says with what is there, and wants nothing
// changed by asking.
func TestPlanApp(t *testing.T) {
	w := newWorld(t)
	db := web(1)
	db.Container.Mounts = []model.Mount{{Type: model.MountVolume, Source: "data", Path: "/data"}}
	shop := map[string]model.ServiceSpec{"db": db, "web": web(2)}
	if _, err := w.desk.CreateApp(t.Context(), w.admin(), api.AppChange{Name: "shop", Services: shop}, quiet); err != nil {
		t.Fatal(err)
	}
	before := w.node.View()
	with := func(change func(map[string]model.ServiceSpec)) map[string]model.ServiceSpec {
		out := map[string]model.ServiceSpec{"db": db, "web": web(2)}
		change(out)
		return out
	}
	for _, c := range []struct {
		name     string
		services map[string]model.ServiceSpec
		want     string
	}{
		{"shop", with(func(map[string]model.ServiceSpec) {}), "keep shop: keep db 0>1; keep web 0>2"},
		{"shop", with(func(m map[string]model.ServiceSpec) { m["web"] = web(3) }), "update shop: keep db 0>1; update web 0>3 [replicas]"},
		{"shop", with(func(m map[string]model.ServiceSpec) { delete(m, "db") }), "update shop: keep web 0>2; remove db 0>0; unused data"},
		{"shop", with(func(m map[string]model.ServiceSpec) {
			s := web(2)
			s.Container.Image = "nowhere:1"
			m["web"] = s
		}), "update shop: keep db 0>1; replace web 0>2 [container.image container.imageDigest] fetch nowhere:1"},
		{"blog", map[string]model.ServiceSpec{"front": db}, "create blog: create front 0>1"},
	} {
		p, err := w.desk.PlanApp(t.Context(), w.admin(), api.AppChange{Name: c.name, Services: c.services})
		if err != nil {
			t.Errorf("%s: %v", c.want, err)
			continue
		}
		var parts []string
		for _, s := range p.Services {
			text := fmt.Sprintf("%s %s %d>%d", s.Action, s.Name, s.ContainersBefore, s.ContainersAfter)
			var fields []string
			for _, f := range s.Fields {
				fields = append(fields, f.Path)
			}
			if len(fields) > 0 {
				text += fmt.Sprint(" ", fields)
			}
			if s.ImageToFetch != "" {
				text += " fetch " + s.ImageToFetch
			}
			parts = append(parts, text)
		}
		for _, v := range p.VolumesUnused {
			parts = append(parts, "unused "+v)
		}
		if got := fmt.Sprintf("%s %s: %s", p.Action, p.Name, strings.Join(parts, "; ")); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
	a, _ := before.AppByName(w.tenant, "shop")
	b, _ := w.node.View().AppByName(w.tenant, "shop")
	if !reflect.DeepEqual(a, b) {
		t.Error("asking for a plan changed the app")
	}
	if _, err := w.desk.PlanApp(t.Context(), w.admin(), api.AppChange{Name: "Bad Name", Services: shop}); model.KindOf(err) != model.KindInvalid {
		t.Errorf("a bad name: %v", err)
	}
}
