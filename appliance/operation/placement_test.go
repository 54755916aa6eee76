package operation

import (
	"strings"
	"testing"

	"github.com/skerryhq/skerry/raft/model"
)

func TestCheckPlacement(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(web, db *model.ServiceSpec)
		want   string // part of the error; empty: accepted
	}{
		{"all", func(web, _ *model.ServiceSpec) {
			web.Placement = model.Placement{Strategy: model.BinPack, Constraints: []string{"node.labels.a==b"}, Affinity: []string{"db"}, AntiAffinity: []string{"web"}, SpreadBy: "zone"}
			web.Reserve = model.Resources{CPUMillis: 100, MemoryBytes: 1 << 20}
			web.MaxUnavailable = 2
		}, ""},
		{"constraint", func(web, _ *model.ServiceSpec) {
			web.Placement.Constraints = []string{"node.labels.a==b", "node.labels.a"}
		},
			`services.web.placement.constraints[1]: the constraint "node.labels.a" is not understood at character 14`},
		{"strategy", func(web, _ *model.ServiceSpec) { web.Placement.Strategy = "random" }, `services.web.placement.strategy: "random" is no strategy`},
		{"near nobody", func(web, _ *model.ServiceSpec) { web.Placement.Affinity = []string{"cache"} }, `services.web.placement.affinity[0]: this app has no service "cache" to be near`},
		{"near itself", func(web, _ *model.ServiceSpec) { web.Placement.Affinity = []string{"web"} }, "always near itself"},
		{"apart from nobody", func(web, _ *model.ServiceSpec) { web.Placement.AntiAffinity = []string{"cache"} }, `no service "cache" to be apart from`},
		{"near and apart", func(web, _ *model.ServiceSpec) {
			web.Placement.Affinity, web.Placement.AntiAffinity = []string{"db"}, []string{"db"}
		}, "both near and apart from db"},
		{"a circle", func(web, db *model.ServiceSpec) {
			web.Placement.Affinity, db.Placement.Affinity = []string{"db"}, []string{"web"}
		}, "services.db.placement.affinity[0]: the affinities go round in a circle (db -> web -> db)"},
		{"label", func(web, _ *model.ServiceSpec) { web.Placement.SpreadBy = "a b" }, "cannot be the name of a node label"},
		{"reserve below zero", func(web, _ *model.ServiceSpec) { web.Reserve.CPUMillis = -1 }, "services.web.reserve.cpuMillis: -1 thousandths"},
		{"reserve above the limit", func(web, _ *model.ServiceSpec) { web.Reserve.MemoryBytes, web.Container.MemoryBytes = 64<<20, 32<<20 }, "more than the limit of the container (33554432)"},
		{"unavailable", func(web, _ *model.ServiceSpec) { web.MaxUnavailable = -1 }, "services.web.maxUnavailable: -1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			web := model.ServiceSpec{Replicas: 1, Container: model.ContainerSpec{Image: "nginx"}}
			db := web
			c.change(&web, &db)
			err := checkServices(map[string]model.ServiceSpec{"web": web, "db": db})
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
}
