package operation

import (
	"net/netip"
	pathpkg "path"
	"regexp"
	"slices"
	"strings"

	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/runtime/workload"
)

const (
	maxReplicas  = 1000
	maxServices  = 200
	maxGrace     = 24 * 60 * 60 // seconds
	maxEnvBytes  = 128 << 10    // of one container; the kernel takes no more for one string
	maxEntries   = 1000         // ports, mounts, variables, labels of one service
	maxLabelSize = 4000
)

var (
	appName    = regexp.MustCompile(`^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$`)
	volumeName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$`)
	hostName   = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,61}[a-zA-Z0-9])?$`)
	capName    = regexp.MustCompile(`^(CAP_)?[A-Z][A-Z_]{1,30}$`)
)

// checkAppName says what is wrong with the name of an app or a service.
func checkAppName(kind, name string) error {
	if name == "" {
		return invalid("name_invalid", "the %s needs a name", kind)
	}
	if !appName.MatchString(name) {
		return invalid("name_invalid", "%q cannot name %s: use 1 to 63 of a-z, 0-9, - and _, beginning and ending with a letter or digit", clip(name), an(kind))
	}
	return nil
}

func an(kind string) string {
	if strings.ContainsRune("aeiou", rune(kind[0])) {
		return "an " + kind
	}
	return "a " + kind
}

// problems gathers everything that is wrong with a request, so that a person
// mends it in one go.
type problems struct {
	list []*model.Error
}

func (p *problems) add(field, code, format string, args ...any) {
	p.list = append(p.list, invalid(code, format, args...).At(field))
}

// err is nil, the one problem, or one error that lists them all.
func (p *problems) err() error {
	switch len(p.list) {
	case 0:
		return nil
	case 1:
		return p.list[0]
	}
	lines := make([]string, len(p.list))
	for i, e := range p.list {
		lines[i] = e.Error()
	}
	all := *p.list[0]
	all.Field, all.Detail = "", strings.Join(lines, "\n")
	return &all
}

// checkServices validates the services of an app and fills in defaults.
func checkServices(services map[string]model.ServiceSpec) error {
	p := &problems{}
	if len(services) == 0 {
		p.add("services", "services_missing", "an app needs at least one service: name an image")
	}
	if len(services) > maxServices {
		p.add("services", "too_many", "%d services are more than an app may have (%d): split it", len(services), maxServices)
		return p.err()
	}
	type number struct {
		protocol model.Protocol
		port     uint16
	}
	asked := map[number]string{}
	for _, name := range sortedKeys(services) {
		s := services[name]
		at := path("services.%s", clip(name))
		if err := checkAppName("service", name); err != nil {
			p.add(at, "name_invalid", "%v", err)
		}
		p.container(at+".container", &s.Container)
		p.service(at, &s)
		p.placement(at, name, &s, services)
		p.reserve(at, &s)
		for i, port := range s.Ports {
			n := number{port.Protocol, port.HostPort}
			if port.HostPort == 0 {
				continue
			}
			if other, twice := asked[n]; twice {
				p.add(path("%s.ports[%d].hostPort", at, i), "port_taken", "port %d/%s is asked for twice in this app (also by service %s): give each its own", port.HostPort, port.Protocol, other)
			}
			asked[n] = name
		}
		services[name] = s
	}
	return p.err()
}

func (p *problems) service(at string, s *model.ServiceSpec) {
	if s.Replicas < 0 || s.Replicas > maxReplicas {
		p.add(at+".replicas", "replicas_invalid", "%d replicas: must be 0 to %d", s.Replicas, maxReplicas)
	}
	if len(s.Ports) > maxEntries {
		p.add(at+".ports", "too_many", "%d ports are more than a service may publish (%d)", len(s.Ports), maxEntries)
		return
	}
	for i := range s.Ports {
		port := &s.Ports[i]
		here := path("%s.ports[%d]", at, i)
		switch port.Protocol {
		case "":
			port.Protocol = model.TCP
		case model.TCP, model.UDP:
		default:
			p.add(here+".protocol", "protocol_invalid", "%q cannot be published: use tcp or udp", clip(string(port.Protocol)))
		}
		if port.Container == 0 {
			p.add(here+".containerPort", "port_invalid", "say which port of the container, 1 to 65535")
		}
		if port.HostIP.IsValid() && !port.HostIP.Is4() {
			p.add(here+".hostIp", "ip_invalid", "%s: this version publishes on IPv4 addresses only", port.HostIP)
		}
		if port.HostIP == netip.IPv4Unspecified() {
			port.HostIP = netip.Addr{}
		}
	}
}

func (p *problems) container(at string, c *model.ContainerSpec) {
	if _, err := parseImage(c.Image, func(string) bool { return false }); err != nil {
		p.add(at+".image", "image_name_invalid", "%v", err)
	}
	p.resources(at, c)
	p.environment(at, c)
	if c.WorkingDir != "" && !pathpkg.IsAbs(c.WorkingDir) {
		p.add(at+".workingDir", "path_invalid", "%q: must be an absolute path", clip(c.WorkingDir))
	}
	if c.Hostname != "" && !hostName.MatchString(c.Hostname) {
		p.add(at+".hostname", "name_invalid", "%q cannot be a host name: use up to 63 letters, digits, dots and dashes", clip(c.Hostname))
	}
	if strings.ContainsAny(c.User, " \t\n\x00") || len(c.User) > 128 {
		p.add(at+".user", "user_invalid", "%q is not USER, UID, USER:GROUP or UID:GID", clip(c.User))
	}
	for _, list := range [][]string{c.Command, c.Entrypoint} {
		if slices.ContainsFunc(list, func(a string) bool { return strings.ContainsRune(a, 0) }) {
			p.add(at+".command", "command_invalid", "a word contains a NUL character")
		}
	}
	switch c.Restart {
	case "":
		c.Restart = model.RestartNo
	case model.RestartNo, model.RestartOnFailure, model.RestartAlways:
	default:
		p.add(at+".restart", "restart_invalid", "%q is no restart policy: use no, on-failure or always", clip(string(c.Restart)))
	}
	if c.AutoRemove && c.Restart != model.RestartNo {
		p.add(at+".autoRemove", "restart_invalid", "a container that is removed when it ends cannot be restarted: leave one of the two out")
	}
	if c.RestartMax < 0 || (c.RestartMax > 0 && c.Restart != model.RestartOnFailure) {
		p.add(at+".restartMax", "restart_invalid", "%d: a bound is 0 or more and goes with on-failure only", c.RestartMax)
	}
	if c.StopSignal != "" {
		if _, err := workload.ParseSignal(c.StopSignal); err != nil {
			p.add(at+".stopSignal", "signal_invalid", "%v", err)
		}
	}
	if c.StopGraceSecs < 0 || c.StopGraceSecs > maxGrace {
		p.add(at+".stopGraceSeconds", "grace_invalid", "%d seconds: must be 0 (10 s) to %d", c.StopGraceSecs, maxGrace)
	}
	for i, name := range slices.Concat(c.CapAdd, c.CapDrop) {
		if !capName.MatchString(strings.ToUpper(name)) {
			p.add(path("%s.capabilities[%d]", at, i), "capability_invalid", "%q is no capability: use names such as NET_ADMIN, or ALL", clip(name))
		}
	}
	if c.LogMaxBytes != 0 && (c.LogMaxBytes < 64<<10 || c.LogMaxBytes > 1<<40) {
		p.add(at+".logMaxBytes", "size_invalid", "%d bytes: a log file holds 64 KiB to 1 TiB", c.LogMaxBytes)
	}
	if c.LogMaxFiles < 0 || c.LogMaxFiles > 100 {
		p.add(at+".logMaxFiles", "size_invalid", "%d files: must be 0 (3) to 100", c.LogMaxFiles)
	}
	p.mounts(at, c)
}

func (p *problems) resources(at string, c *model.ContainerSpec) {
	if c.CPUMillis < 0 || (c.CPUMillis > 0 && c.CPUMillis < 10) || c.CPUMillis > 1024*1000 {
		p.add(at+".cpuMillis", "size_invalid", "%d thousandths of a core: must be 0 (no limit) or 10 to 1024000", c.CPUMillis)
	}
	if c.MemoryBytes != 0 && (c.MemoryBytes < workload.MinMemoryBytes || c.MemoryBytes > 1<<50) {
		p.add(at+".memoryBytes", "size_invalid", "%d bytes: must be 0 (no limit) or at least %d (6 MiB), the least a container can start with", c.MemoryBytes, workload.MinMemoryBytes)
	}
	if c.PidsLimit < -1 || c.PidsLimit > 4194304 {
		p.add(at+".pidsLimit", "size_invalid", "%d: must be -1 (no limit), 0 (%d) or up to 4194304", c.PidsLimit, workload.DefaultPIDs)
	}
}

func (p *problems) environment(at string, c *model.ContainerSpec) {
	if len(c.Env) > maxEntries || len(c.Labels) > maxEntries || len(c.Mounts) > maxEntries {
		p.add(at, "too_many", "more than %d variables, labels or mounts", maxEntries)
		return
	}
	for i, e := range c.Env {
		switch {
		case e.Name == "" || strings.ContainsAny(e.Name, "=\x00"):
			p.add(path("%s.env[%d].name", at, i), "env_invalid", "%q cannot name a variable: it may not be empty nor contain =", clip(e.Name))
		case strings.ContainsRune(e.Value, 0) || len(e.Value) >= maxEnvBytes:
			p.add(path("%s.env[%d].value", at, i), "env_invalid", "the value of %s contains a NUL character or is longer than 128 KiB", clip(e.Name))
		}
	}
	for k, v := range c.Labels {
		switch {
		case k == "" || strings.HasPrefix(k, "skerry."):
			p.add(at+".labels", "label_invalid", "%q: a label needs a name that does not begin with skerry., which are the platform's own", clip(k))
		case len(k)+len(v) > maxLabelSize:
			p.add(at+".labels", "label_invalid", "label %q has more than %d bytes", clip(k), maxLabelSize)
		}
	}
}

func (p *problems) mounts(at string, c *model.ContainerSpec) {
	seen := map[string]bool{}
	for i := range c.Mounts {
		m := &c.Mounts[i]
		here := path("%s.mounts[%d]", at, i)
		switch {
		case !pathpkg.IsAbs(m.Path) || slices.Contains(strings.Split(m.Path, "/"), "..") || strings.ContainsRune(m.Path, 0):
			p.add(here+".path", "path_invalid", "%q: must be an absolute path without \"..\"", clip(m.Path))
			continue
		case pathpkg.Clean(m.Path) == "/":
			p.add(here+".path", "path_invalid", "a mount cannot take the place of the whole root: choose a folder")
		}
		m.Path = pathpkg.Clean(m.Path)
		if seen[m.Path] {
			p.add(here+".path", "path_invalid", "%s is mounted twice", clip(m.Path))
		}
		seen[m.Path] = true
		switch m.Type {
		case model.MountVolume, "":
			m.Type = model.MountVolume
			if !volumeName.MatchString(m.Source) {
				p.add(here+".source", "name_invalid", "%q cannot name a volume: use up to 63 letters, digits, dots, dashes and underscores, beginning with a letter or digit", clip(m.Source))
			}
		case model.MountBind:
			if !pathpkg.IsAbs(m.Source) || slices.Contains(strings.Split(m.Source, "/"), "..") {
				p.add(here+".source", "path_invalid", "%q: a host path must be absolute and without \"..\"", clip(m.Source))
			}
		case model.MountTmpfs:
			if m.SizeBytes < 0 || m.SizeBytes > 1<<50 {
				p.add(here+".sizeBytes", "size_invalid", "%d bytes: must be 0 (half of the memory) or more", m.SizeBytes)
			}
		default:
			p.add(here+".type", "mount_invalid", "%q is no kind of mount: use volume, bind or tmpfs", clip(string(m.Type)))
		}
	}
}

// hostPaths are places of the host that no container gets, whoever asks: with
// them a container is the host.
var hostPaths = []string{"/var/lib/skerry", "/run/skerry", "/etc/skerry"}
