package deploy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/skerryhq/skerry/raft/model"
)

func TestDifference(t *testing.T) {
	base := func() model.ServiceSpec {
		return model.ServiceSpec{Replicas: 2, Ports: []model.PortSpec{{Protocol: model.TCP, Container: 80}}, Container: model.ContainerSpec{
			Image: "docker.io/library/web:1", Env: []model.EnvVar{{Name: "A", Value: "1"}, {Name: "B", Value: "2"}}, Command: []string{"serve", "-v"},
			Mounts: []model.Mount{{Type: model.MountVolume, Source: "data", VolumeID: "v1", Path: "/data"}}, MemoryBytes: 64 << 20,
		}}
	}
	for _, c := range []struct {
		name     string
		change   func(*model.ServiceSpec)
		want     string
		replaces bool
	}{
		{"nothing", func(*model.ServiceSpec) {}, "", false},
		{"what the platform fills in", func(s *model.ServiceSpec) { s.Container.Mounts[0].VolumeID = "" }, "", false},
		{"replicas", func(s *model.ServiceSpec) { s.Replicas = 5 }, "replicas: 2 -> 5", false},
		{"a port", func(s *model.ServiceSpec) { s.Ports[0].HostPort = 8080 }, "ports.80/tcp.hostPort:  -> 8080", false},
		{"the image", func(s *model.ServiceSpec) { s.Container.Image = "x" }, "container.image: docker.io/library/web:1 -> x", true},
		{"a variable", func(s *model.ServiceSpec) { s.Container.Env = s.Container.Env[:1] }, "container.env.B: 2 -> ", true},
		{"a large number", func(s *model.ServiceSpec) { s.Container.MemoryBytes = 6 << 40 }, "container.memoryBytes: 67108864 -> 6597069766656", true},
		{"the command", func(s *model.ServiceSpec) { s.Container.Command = nil }, `container.command: ["serve","-v"] -> `, true},
		{"a mount", func(s *model.ServiceSpec) { s.Container.Mounts[0].ReadOnly = true }, "container.mounts./data.readOnly:  -> true", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := base()
			c.change(&b)
			var got []string
			for _, f := range Difference(base(), b) {
				got = append(got, fmt.Sprintf("%s: %s -> %s", f.Path, f.Before, f.After))
			}
			if s := strings.Join(got, "; "); s != c.want {
				t.Errorf("got %q, want %q", s, c.want)
			}
			if Replaces(base(), b) != c.replaces {
				t.Errorf("Replaces is %v", !c.replaces)
			}
		})
	}
}
