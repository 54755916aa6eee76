package compose

import (
	"net/netip"
	"path"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/skerryhq/skerry/raft/model"
)

// collectScalar keeps what later steps need from one scalar.
func (w *walker) collectScalar(n *yaml.Node, where, pattern, text string) {
	service := serviceOf(where)
	switch pattern {
	case "name":
		w.name = text
	case "services.*.ports.[]":
		w.addPorts(n, service, where, text)
	case "services.*.volumes.[]":
		m, err := ParseMount(text)
		if err != nil {
			w.refuse(at(n), where, "%s", err.Error())
			return
		}
		w.addMount(service, where, at(n), m)
	case "services.*.tmpfs", "services.*.tmpfs.[]":
		m, err := ParseTmpfs(text)
		if err != nil {
			w.refuse(at(n), where, "%s", err.Error())
			return
		}
		w.addMount(service, where, at(n), m)
	case "services.*.env_file", "services.*.env_file.[]":
		w.addEnvFile(service, where, at(n), text, false)
	case "services.*.cpus", "services.*.mem_limit", "services.*.pids_limit",
		"services.*.deploy.resources.limits.cpus", "services.*.deploy.resources.limits.memory", "services.*.deploy.resources.limits.pids":
		w.texts[where] = text
	case "services.*.privileged":
		if truth(text) {
			w.access = append(w.access, HostAccess{Service: service, Kind: "privileged", Line: n.Line, Column: n.Column})
		}
	default:
		if strings.HasPrefix(pattern, "services.*.x-skerry.") || strings.HasPrefix(pattern, "services.*.deploy.placement.") ||
			strings.HasPrefix(pattern, "services.*.deploy.resources.reservations.") {
			w.collectPlacement(n, service, where, pattern, text)
		}
	}
}

// collectMap keeps what later steps need from one mapping.
func (w *walker) collectMap(n *yaml.Node, where, pattern string, found []entry) {
	service := serviceOf(where)
	switch pattern {
	case "services.*":
		if _, ok := w.places[join(where, "image")]; !ok && !hasKey(found, "build") {
			w.refuse(w.places[where], where, "this service has no `image`; write the image to run")
		}
	case "services.*.ports.[]":
		w.longPort(n, service, where, w.fields(found))
	case "services.*.volumes.[]":
		w.longMount(n, service, where, found)
	case "services.*.env_file.[]":
		f := w.fields(found)
		if f["path"] == "" {
			w.refuse(at(n), where, "an env file needs a `path`")
			return
		}
		w.addEnvFile(service, where, at(n), f["path"], f["required"] != "" && !truth(f["required"]))
	case "volumes":
		for _, e := range found {
			w.topVolume(e)
		}
	}
}

func (w *walker) collectList(n *yaml.Node, where, pattern string) {
	if pattern == "services.*.entrypoint" && len(n.Content) == 0 {
		w.refuse(at(n), where, "an empty entrypoint is not supported; write the program to run")
	}
}

func hasKey(found []entry, name string) bool {
	for _, e := range found {
		if e.key.Value == name {
			return true
		}
	}
	return false
}

func (w *walker) longPort(n *yaml.Node, service, where string, f map[string]string) {
	if f["target"] == "" {
		if _, wrong := w.places[where+".target"]; !wrong {
			w.refuse(at(n), where, "a port needs a `target`, the port inside the container")
		}
		return
	}
	if checkPort(f["target"]) != "" || f["protocol"] != "" && f["protocol"] != "tcp" && f["protocol"] != "udp" || f["host_ip"] != "" && checkHostIP(f["host_ip"]) != "" {
		return // already refused by the table
	}
	text := f["target"]
	if f["published"] != "" {
		if strings.Contains(f["published"], ":") {
			w.refuse(w.places[where+".published"], where+".published", "%s is not a port; write a number from 1 to 65535", quote(f["published"]))
			return
		}
		text = f["published"] + ":" + text
	}
	if f["host_ip"] != "" {
		if f["published"] == "" {
			text = ":" + text
		}
		text = f["host_ip"] + ":" + text
	}
	if f["protocol"] != "" {
		text += "/" + f["protocol"]
	}
	w.addPorts(n, service, where, text)
}

// addPorts takes ports in short form.
func (w *walker) addPorts(n *yaml.Node, service, where, text string) {
	specs, err := ParsePorts(text)
	if err != nil {
		w.refuse(at(n), where, "%s", err.Error())
		return
	}
	for _, s := range specs {
		w.ports[service] = append(w.ports[service], portAt{s, at(n), where})
	}
}

func (w *walker) longMount(n *yaml.Node, service, where string, found []entry) {
	f := w.fields(found)
	if f["type"] == "" {
		w.refuse(at(n), where, "a volume in long form needs a `type`: volume, bind or tmpfs")
		return
	}
	if f["target"] == "" {
		w.refuse(at(n), where, "a volume needs a `target`, the absolute path inside the container")
		return
	}
	if checkPath(f["target"]) != "" {
		return // already refused by the table
	}
	m := model.Mount{Type: model.MountType(f["type"]), Source: f["source"], Path: path.Clean(f["target"]), ReadOnly: truth(f["read_only"])}
	_, sized := w.places[where+".tmpfs"]
	switch m.Type {
	case model.MountTmpfs:
		if m.Source != "" {
			w.refuse(at(n), where, "a tmpfs has no `source`; remove it")
			return
		}
		for _, e := range found {
			if v := deref(e.value); e.key.Value == "tmpfs" && v.Kind == yaml.MappingNode {
				if size := w.fields(w.entries(v, where))["size"]; size != "" && checkTmpfsSize(size) == "" {
					m.SizeBytes, _ = ParseBytes(size)
				}
			}
		}
	case model.MountVolume, model.MountBind:
		if sized {
			w.refuse(w.places[where+".tmpfs"], where+".tmpfs", "this belongs to `type: tmpfs` only; remove it")
			return
		}
		if err := checkSource(m); err != nil {
			w.refuse(at(n), where, "%s", err.Error())
			return
		}
	default:
		return // already refused by the table
	}
	w.addMount(service, where, at(n), m)
}

func (w *walker) addMount(service, where string, p pos, m model.Mount) {
	if m.Type == model.MountBind {
		w.access = append(w.access, HostAccess{Service: service, Kind: "bind", Path: m.Source, Line: p.line, Column: p.column})
	}
	w.mounts[service] = append(w.mounts[service], mountAt{m, p, where})
}

func (w *walker) addEnvFile(service, where string, p pos, name string, optional bool) {
	if name == "" {
		w.refuse(p, where, "an env file needs a name")
		return
	}
	w.envFiles[name] = append(w.envFiles[name], fileUse{p, where})
	w.byFile[service] = append(w.byFile[service], envFile{name, optional})
	content, sent := w.in.Files[name]
	switch {
	case !sent && !optional:
		w.refuse(p, where, "the env file %s was not sent; put it beside the compose file and deploy with the command line, which sends it along", quote(name))
	case len(content) > MaxFile:
		w.refuse(p, where, "the env file %s has %s; at most %s are read", quote(name), bytesText(int64(len(content))), bytesText(MaxFile))
	}
}

func (w *walker) topVolume(e entry) {
	v := &volumeAt{pos: at(e.key), labels: map[string]string{}}
	if n := deref(e.value); n.Kind == yaml.MappingNode {
		found := w.entries(n, "volumes")
		f := w.fields(found)
		v.name, v.external = f["name"], truth(f["external"])
		if v.external && (f["driver"] != "" || hasKey(found, "labels")) {
			w.refuse(v.pos, "volumes."+e.key.Value, "an external volume exists already; remove `driver` and `labels`")
		}
	}
	w.volumes[e.key.Value] = v
}

// crossCheck looks at what only the whole file shows.
func (w *walker) crossCheck() {
	type taken struct {
		ip   netip.Addr
		path string
	}
	byPort := map[model.PortSpec][]taken{}
	total := 0
	for _, service := range w.services {
		for _, p := range w.ports[service] {
			if total++; total == maxPorts+1 {
				w.refuse(p.pos, p.path, "this app publishes more than %d ports; publish fewer", maxPorts)
			}
			if p.HostPort == 0 || total > maxPorts {
				continue
			}
			k := model.PortSpec{Protocol: p.Protocol, HostPort: p.HostPort}
			for _, other := range byPort[k] {
				w.refuse(p.pos, p.path, "port %d/%s is already published by %s; choose another", p.HostPort, p.Protocol, other.path)
				break
			}
			byPort[k] = append(byPort[k], taken{p.HostIP, p.path})
		}
		w.crossMounts(service)
		w.crossLimits(service)
		w.crossPlacement(service)
	}
}

// crossLimits refuses a limit that is written in both its places, differently.
func (w *walker) crossLimits(service string) {
	for _, l := range []struct {
		short, long string
		read        func(string) (int64, error)
	}{
		{"cpus", "cpus", ParseCPUs},
		{"mem_limit", "memory", ParseBytes},
		{"pids_limit", "pids", func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }},
	} {
		short, long := "services."+service+"."+l.short, "services."+service+".deploy.resources.limits."+l.long
		a, inShort := w.texts[short]
		b, inLong := w.texts[long]
		if !inShort || !inLong {
			continue
		}
		x, _ := l.read(a)
		if y, _ := l.read(b); x != y {
			w.refuse(w.places[short], short, "this differs from %s; keep one of them", long)
		}
	}
}

func (w *walker) crossMounts(service string) {
	where := map[string]string{}
	for _, m := range w.mounts[service] {
		if other, ok := where[m.Path]; ok {
			w.refuse(m.pos, m.path, "%s is already mounted by %s; choose another path", quote(m.Path), other)
		}
		where[m.Path] = m.path
		if m.Type == model.MountVolume {
			if _, ok := w.volumes[m.Source]; !ok {
				w.refuse(m.pos, m.path, "the volume %s is not declared; add it under the top-level `volumes:`", quote(m.Source))
			}
		}
	}
}
