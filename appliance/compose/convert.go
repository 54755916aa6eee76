package compose

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v4"

	"github.com/skerryhq/skerry/raft/model"
)

// meaning lets compose-go read the tree that the walk accepted. Nothing in it
// names a file that compose-go would open.
func (w *walker) meaning(ctx context.Context, root *yaml.Node) *types.Project {
	tree, _ := w.plain(root, nil).(map[string]any)
	delete(tree, "name")
	env := maps.Clone(w.in.Env)
	if env == nil {
		env = map[string]string{}
	}
	details := types.ConfigDetails{
		WorkingDir:  "/",
		ConfigFiles: []types.ConfigFile{{Filename: "compose.yaml", Config: tree, Content: []byte("{}")}},
		Environment: env,
	}
	project, err := loader.LoadWithContext(ctx, details, func(o *loader.Options) {
		o.SetProjectName("app", true)
		o.SkipNormalization, o.ResolvePaths = true, false
		o.SkipInclude, o.SkipExtends = true, true
		o.SkipResolveEnvironment, o.SkipResolveLabels = true, true
		o.Interpolate.Substitute = func(s string, m template.Mapping) (string, error) {
			return template.SubstituteWithOptions(s, m, template.WithoutLogging)
		}
	})
	if err != nil {
		w.refuse(w.places["services"], "", "the file does not follow the compose specification: %s", firstLine(err))
		return nil
	}
	return project
}

func firstLine(err error) string {
	text, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "validating compose.yaml: "), "\n")
	return strings.TrimSpace(text)
}

// convert makes our nouns of the project.
func (w *walker) convert(project *types.Project) *App {
	app := &App{Name: w.in.Name, Services: map[string]model.ServiceSpec{}, Volumes: map[string]Volume{}}
	if app.Name == "" {
		app.Name = w.name
	}
	for name, v := range w.volumes {
		app.Volumes[w.volumeName(app.Name, name)] = Volume{
			Spec:     model.VolumeSpec{Driver: "local", Labels: clearEmpty(project.Volumes[name].Labels)},
			External: v.external, Line: v.line, Column: v.column,
		}
	}
	if len(app.Volumes) < len(w.volumes) {
		w.refuse(w.places["volumes"], "volumes", "two volumes have the same `name`; name each only once")
	}
	for name, s := range project.Services {
		app.Services[name] = w.service(app.Name, name, s)
	}
	app.HostAccess = w.access
	slices.SortStableFunc(app.HostAccess, func(a, b HostAccess) int {
		return (a.Line-b.Line)*4096 + a.Column - b.Column
	})
	return app
}

// volumeName is what a volume is called in the tenant.
func (w *walker) volumeName(app, key string) string {
	switch v := w.volumes[key]; {
	case v == nil:
		return key
	case v.name != "":
		return v.name
	case v.external || app == "":
		return key
	}
	return app + "_" + key
}

func (w *walker) service(app, name string, s types.ServiceConfig) model.ServiceSpec {
	spec := model.ServiceSpec{Replicas: 1, Container: model.ContainerSpec{
		Image: s.Image, Entrypoint: []string(s.Entrypoint), Command: []string(s.Command),
		WorkingDir: s.WorkingDir, User: s.User, Hostname: s.Hostname, Labels: clearEmpty(s.Labels),
		TTY: s.Tty, Stdin: s.StdinOpen, ReadOnly: s.ReadOnly, Privileged: s.Privileged,
		CapAdd: capabilityList(s.CapAdd), CapDrop: capabilityList(s.CapDrop),
		StopSignal: s.StopSignal, Restart: model.RestartNo,
	}}
	c := &spec.Container
	if len(c.Command) == 0 {
		c.Command = nil
	}
	if len(c.Entrypoint) == 0 {
		c.Entrypoint = nil
	}
	if s.StopGracePeriod != nil {
		c.StopGraceSecs = int(time.Duration(*s.StopGracePeriod) / time.Second)
	}
	c.Env = w.environment(name, s)
	w.limits(name, c)
	w.restart(s, c)
	if s.Deploy != nil && s.Deploy.Replicas != nil {
		spec.Replicas = *s.Deploy.Replicas
	}
	w.place(name, &spec)
	for _, p := range w.ports[name] {
		spec.Ports = append(spec.Ports, p.PortSpec)
	}
	for _, m := range w.mounts[name] {
		if m.Type == model.MountVolume {
			m.Source = w.volumeName(app, m.Source)
		}
		c.Mounts = append(c.Mounts, m.Mount)
	}
	return spec
}

// environment joins env files and `environment`, which wins, sorted by name.
func (w *walker) environment(service string, s types.ServiceConfig) []model.EnvVar {
	all := map[string]string{}
	for _, f := range w.byFile[service] {
		content, sent := w.in.Files[f.name]
		if !sent {
			continue
		}
		vars, err := parseEnvFile(content, w.lookup)
		use := w.envFiles[f.name][0]
		if err != nil {
			w.refuse(use.pos, use.path, "the env file %s cannot be read: %s", quote(f.name), firstLine(err))
			continue
		}
		maps.Copy(all, vars)
	}
	for name, value := range s.Environment {
		if value != nil {
			all[name] = *value
		} else {
			delete(all, name)
		}
	}
	var env []model.EnvVar
	for _, name := range slices.Sorted(maps.Keys(all)) {
		env = append(env, model.EnvVar{Name: name, Value: all[name]})
	}
	return env
}

// parseEnvFile reads KEY=VALUE lines.
func parseEnvFile(content string, lookup func(string) (string, bool)) (map[string]string, error) {
	if strings.Count(content, "$") > 10_000 || strings.ContainsRune(content, 0) {
		return nil, fmt.Errorf("it is not a list of KEY=VALUE lines")
	}
	return dotenv.ParseWithLookup(strings.NewReader(content), lookup)
}

// limits takes each limit from its short key or from `deploy`; the walk has
// refused two that differ.
func (w *walker) limits(service string, c *model.ContainerSpec) {
	text := func(short, long string) string {
		if t, ok := w.texts["services."+service+"."+short]; ok {
			return t
		}
		return w.texts["services."+service+".deploy.resources.limits."+long]
	}
	if t := text("cpus", "cpus"); t != "" {
		c.CPUMillis, _ = ParseCPUs(t)
	}
	if t := text("mem_limit", "memory"); t != "" {
		c.MemoryBytes, _ = ParseBytes(t)
	}
	if t := text("pids_limit", "pids"); t != "" {
		c.PidsLimit, _ = strconv.ParseInt(t, 10, 64)
	}
}

func (w *walker) restart(s types.ServiceConfig, c *model.ContainerSpec) {
	if s.Restart != "" {
		c.Restart, c.RestartMax, _ = ParseRestart(s.Restart)
	}
	if s.Deploy == nil || s.Deploy.RestartPolicy == nil {
		return
	}
	p := s.Deploy.RestartPolicy
	c.RestartMax = 0
	switch p.Condition {
	case "none":
		c.Restart = model.RestartNo
	case "on-failure":
		c.Restart = model.RestartOnFailure
		if p.MaxAttempts != nil {
			c.RestartMax = int(*p.MaxAttempts)
		}
	default:
		c.Restart = model.RestartAlways
	}
}

func capabilityList(in []string) []string {
	var out []string
	for _, s := range in {
		if name := capabilityName(s); !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

func clearEmpty(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	return maps.Clone(m)
}
