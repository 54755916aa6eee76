package compose

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/skerryhq/skerry/raft/model"
)

// Render writes services as compose text that Load reads back to the same
// services. Equal input gives equal text. Volume names are written as they are
// called in the tenant. Fields that only the platform fills in (digest, volume
// id, log bounds) have no place in compose and are left out.
func Render(name string, services map[string]model.ServiceSpec) (string, error) {
	root := mapping()
	if name != "" {
		root.put("name", scalar(name))
	}
	list, volumes := mapping(), map[string]bool{}
	for _, s := range slices.Sorted(maps.Keys(services)) {
		list.put(s, renderService(services[s], volumes))
	}
	root.put("services", list.node)
	if len(volumes) > 0 {
		vols := mapping()
		for _, v := range slices.Sorted(maps.Keys(volumes)) {
			one := mapping()
			one.put("name", scalar(v))
			vols.put(v, one.node)
		}
		root.put("volumes", vols.node)
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(root.node); err != nil {
		return "", fmt.Errorf("render compose text: %w", err)
	}
	return out.String(), nil
}

func renderService(s model.ServiceSpec, volumes map[string]bool) *yaml.Node {
	c, m := s.Container, mapping()
	m.put("image", scalar(c.Image))
	m.putList("entrypoint", c.Entrypoint)
	m.putList("command", c.Command)
	if len(c.Env) > 0 {
		env := mapping()
		for _, v := range c.Env {
			env.put(v.Name, scalar(v.Value))
		}
		m.put("environment", env.node)
	}
	var ports []string
	for _, p := range s.Ports {
		ports = append(ports, PortText(p))
	}
	m.putList("ports", ports)
	m.putMounts(c.Mounts, volumes)
	m.putLabels(c.Labels)
	m.putText("user", c.User)
	m.putText("working_dir", c.WorkingDir)
	m.putText("hostname", c.Hostname)
	m.putTrue("tty", c.TTY)
	m.putTrue("stdin_open", c.Stdin)
	m.putTrue("read_only", c.ReadOnly)
	m.putList("cap_add", c.CapAdd)
	m.putList("cap_drop", c.CapDrop)
	m.putTrue("privileged", c.Privileged)
	if c.PidsLimit != 0 {
		m.put("pids_limit", plainScalar(strconv.FormatInt(c.PidsLimit, 10), "!!int"))
	}
	if c.MemoryBytes != 0 {
		m.put("mem_limit", scalar(strconv.FormatInt(c.MemoryBytes, 10)))
	}
	if c.CPUMillis != 0 {
		m.put("cpus", plainScalar(strconv.FormatFloat(float64(c.CPUMillis)/1000, 'f', -1, 64), "!!float"))
	}
	switch {
	case c.Restart == model.RestartOnFailure && c.RestartMax > 0:
		m.put("restart", scalar(fmt.Sprintf("on-failure:%d", c.RestartMax)))
	case c.Restart != "":
		m.put("restart", scalar(string(c.Restart)))
	}
	m.putText("stop_signal", c.StopSignal)
	if c.StopGraceSecs > 0 {
		m.put("stop_grace_period", scalar(fmt.Sprintf("%ds", c.StopGraceSecs)))
	}
	deploy := mapping()
	if s.Replicas != 1 {
		deploy.put("replicas", plainScalar(strconv.Itoa(s.Replicas), "!!int"))
	}
	renderPlacement(s, deploy, m)
	if len(deploy.node.Content) > 0 {
		m.put("deploy", deploy.node)
	}
	return m.node
}

// PortText writes a published port in the short form that ParsePorts reads.
func PortText(p model.PortSpec) string {
	text := strconv.Itoa(int(p.Container))
	if p.HostPort != 0 {
		text = strconv.Itoa(int(p.HostPort)) + ":" + text
	}
	if p.HostIP.IsValid() {
		if p.HostPort == 0 {
			text = ":" + text
		}
		text = p.HostIP.String() + ":" + text
	}
	if p.Protocol == model.UDP {
		text += "/udp"
	}
	return text
}

func (m *yamlMap) putMounts(mounts []model.Mount, volumes map[string]bool) {
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for _, one := range mounts {
		v := mapping()
		v.put("type", scalar(string(one.Type)))
		if one.Source != "" {
			v.put("source", scalar(one.Source))
		}
		v.put("target", scalar(one.Path))
		v.putTrue("read_only", one.ReadOnly)
		if one.SizeBytes > 0 {
			t := mapping()
			t.put("size", scalar(strconv.FormatInt(one.SizeBytes, 10)))
			v.put("tmpfs", t.node)
		}
		if one.Type == model.MountVolume {
			volumes[one.Source] = true
		}
		list.Content = append(list.Content, v.node)
	}
	if len(list.Content) > 0 {
		m.put("volumes", list)
	}
}

// yamlMap writes a mapping in the order of its puts.
type yamlMap struct{ node *yaml.Node }

func mapping() *yamlMap { return &yamlMap{&yaml.Node{Kind: yaml.MappingNode}} }

func (m *yamlMap) put(name string, v *yaml.Node) {
	m.node.Content = append(m.node.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: name}, v)
}

func (m *yamlMap) putText(name, text string) {
	if text != "" {
		m.put(name, scalar(text))
	}
}

func (m *yamlMap) putTrue(name string, on bool) {
	if on {
		m.put(name, plainScalar("true", "!!bool"))
	}
}

func (m *yamlMap) putList(name string, items []string) {
	if len(items) == 0 {
		return
	}
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for _, s := range items {
		list.Content = append(list.Content, scalar(s))
	}
	m.put(name, list)
}

func (m *yamlMap) putLabels(labels map[string]string) {
	if len(labels) == 0 {
		return
	}
	l := mapping()
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		l.put(k, scalar(labels[k]))
	}
	m.put("labels", l.node)
}

// scalar writes text; a dollar sign is doubled, because a single one begins a
// variable.
func scalar(text string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: strings.ReplaceAll(text, "$", "$$")}
	switch strings.ToLower(text) {
	case "y", "n", "yes", "no", "on", "off": // truth in YAML 1.1, which other readers still speak
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

func plainScalar(text, tag string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: text}
}
