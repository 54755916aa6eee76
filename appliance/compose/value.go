package compose

import (
	"fmt"
	"math"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/skerryhq/skerry/raft/model"
)

// The bounds of resources that a container may ask for.
const (
	MinMemory   = 6 << 20 // bytes: below this no process starts reliably
	MaxMemory   = 1 << 50
	MaxCPUs     = 1024 // cores
	MaxReplicas = 1000
)

// ParsePorts reads a published port as people write it: `80` or `:80` (the
// platform allocates the host port), `8080:80`, `127.0.0.1:8080:80`,
// `127.0.0.1::80`, ranges of equal length, and `/udp` or `/tcp` behind it.
func ParsePorts(s string) ([]model.PortSpec, error) {
	rest, proto, hasProto := strings.Cut(s, "/")
	protocol := model.TCP
	if hasProto {
		switch strings.ToLower(proto) {
		case "tcp":
		case "udp":
			protocol = model.UDP
		default:
			return nil, fmt.Errorf("%s: the protocol %s is not known; write tcp or udp", quote(s), quote(proto))
		}
	}
	var ip netip.Addr
	if strings.HasPrefix(rest, "[") || strings.Count(rest, ":") > 2 {
		return nil, fmt.Errorf("%s: an IPv6 host address is not supported; write an IPv4 address or none", quote(s))
	}
	parts := strings.Split(rest, ":")
	if len(parts) == 3 {
		if text := checkHostIP(parts[0]); text != "" {
			return nil, fmt.Errorf("%s: %s", quote(s), text)
		}
		ip = netip.MustParseAddr(parts[0])
		parts = parts[1:]
	}
	host, inside := "", parts[len(parts)-1]
	if len(parts) == 2 {
		host = parts[0]
	}
	from, to, err := portRange(inside, "the container port")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", quote(s), err)
	}
	hostFrom, hostTo := 0, 0
	if host != "" {
		if hostFrom, hostTo, err = portRange(host, "the host port"); err != nil {
			return nil, fmt.Errorf("%s: %w", quote(s), err)
		}
		if hostTo-hostFrom != to-from {
			return nil, fmt.Errorf("%s: the two ranges must have the same length", quote(s))
		}
	}
	if to-from >= maxPorts {
		return nil, fmt.Errorf("%s: a range holds at most %d ports", quote(s), maxPorts)
	}
	var specs []model.PortSpec
	for i := 0; from+i <= to; i++ {
		p := model.PortSpec{Protocol: protocol, HostIP: ip, Container: uint16(from + i)}
		if host != "" {
			p.HostPort = uint16(hostFrom + i)
		}
		specs = append(specs, p)
	}
	return specs, nil
}

func portRange(s, what string) (int, int, error) {
	first, last, ranged := strings.Cut(s, "-")
	from, ok := portNumber(first)
	if !ok {
		return 0, 0, fmt.Errorf("%s %s must be a number from 1 to 65535", what, quote(first))
	}
	if !ranged {
		return from, from, nil
	}
	to, ok := portNumber(last)
	if !ok {
		return 0, 0, fmt.Errorf("%s %s must be a number from 1 to 65535", what, quote(last))
	}
	if to < from {
		return 0, 0, fmt.Errorf("the range %s runs backwards; write the smaller port first", quote(s))
	}
	return from, to, nil
}

func portNumber(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return int(n), err == nil && n > 0 && s[0] != '+'
}

// ParseMount reads the short form of a volume: `NAME:/path[:ro]` or
// `/host/path:/path[:ro]`.
func ParseMount(s string) (model.Mount, error) {
	parts := strings.Split(s, ":")
	if len(parts) == 1 {
		if strings.HasPrefix(s, "/") {
			return model.Mount{}, fmt.Errorf("%s names no volume; write NAME:%s, so that the data can be found again", quote(s), s)
		}
		return model.Mount{}, fmt.Errorf("%s has no path inside the container; write NAME:/path", quote(s))
	}
	if len(parts) > 3 {
		return model.Mount{}, fmt.Errorf("%s has too many colons; write NAME:/path or NAME:/path:ro", quote(s))
	}
	m := model.Mount{Type: model.MountVolume, Source: parts[0], Path: parts[1]}
	if strings.ContainsAny(m.Source, "/~.\\") && checkVolumeName(m.Source) != "" {
		m.Type = model.MountBind
	}
	if len(parts) == 3 {
		for option := range strings.SplitSeq(parts[2], ",") {
			switch option {
			case "ro":
				m.ReadOnly = true
			case "rw":
			default:
				return model.Mount{}, fmt.Errorf("%s: the option %s is not supported; write ro, rw or nothing", quote(s), quote(option))
			}
		}
	}
	if err := checkSource(m); err != nil {
		return model.Mount{}, err
	}
	if text := checkPath(m.Path); text != "" {
		return model.Mount{}, fmt.Errorf("%s: %s", quote(s), text)
	}
	m.Path = path.Clean(m.Path)
	if m.Type == model.MountBind {
		m.Source = path.Clean(m.Source)
	}
	return m, nil
}

// checkSource looks at what a mount comes from.
func checkSource(m model.Mount) error {
	if m.Type == model.MountVolume {
		if m.Source == "" {
			return fmt.Errorf("the volume for %s has no name; give it one, so that the data can be found again", quote(m.Path))
		}
		if text := checkVolumeName(m.Source); text != "" {
			return fmt.Errorf("%s", text)
		}
		return nil
	}
	switch {
	case m.Source == "":
		return fmt.Errorf("the host path for %s is missing; write an absolute path or use a named volume", quote(m.Path))
	case !strings.HasPrefix(m.Source, "/"):
		return fmt.Errorf("the relative path %s is not supported, because the host that runs the container does not have it; use a named volume and copy files into it with `skerry cp`, or an absolute path of the host", quote(m.Source))
	case slices.Contains(strings.Split(m.Source, "/"), ".."):
		return fmt.Errorf("the host path %s must not contain `..`; write the path it means", quote(m.Source))
	case len(m.Source) > 4000:
		return fmt.Errorf("the host path has %d characters; at most 4000 are possible", len(m.Source))
	}
	return nil
}

// ParseTmpfs reads `PATH` or `PATH:size=64m`.
func ParseTmpfs(s string) (model.Mount, error) {
	where, options, _ := strings.Cut(s, ":")
	m := model.Mount{Type: model.MountTmpfs, Path: where}
	if text := checkPath(where); text != "" {
		return m, fmt.Errorf("%s", text)
	}
	m.Path = path.Clean(where)
	if options == "" {
		return m, nil
	}
	for option := range strings.SplitSeq(options, ",") {
		name, value, _ := strings.Cut(option, "=")
		switch name {
		case "size":
			if text := checkTmpfsSize(value); text != "" {
				return m, fmt.Errorf("%s: %s", quote(s), text)
			}
			m.SizeBytes, _ = ParseBytes(value)
		case "ro":
			m.ReadOnly = true
		case "rw":
		default:
			return m, fmt.Errorf("%s: the tmpfs option %s is not supported; only size is", quote(s), quote(name))
		}
	}
	return m, nil
}

// ParseBytes reads a size such as `512m`, `1g`, `1.5GiB` or `1048576`; a unit
// is a power of 1024. It is never negative.
func ParseBytes(s string) (int64, error) {
	text := strings.ToLower(strings.TrimSpace(s))
	number := strings.TrimRight(text, "bkmgtpi ")
	unit := strings.TrimSpace(text[len(number):])
	powers := map[string]float64{"": 0, "b": 0, "k": 1, "kb": 1, "kib": 1, "m": 2, "mb": 2, "mib": 2, "g": 3, "gb": 3, "gib": 3, "t": 4, "tb": 4, "tib": 4, "p": 5, "pb": 5, "pib": 5}
	power, known := powers[unit]
	if !known || number == "" || strings.ContainsAny(number, "exn_+") {
		return 0, fmt.Errorf("%s is not a size; write for example 512m or 2g", quote(s))
	}
	if n, err := strconv.ParseInt(number, 10, 64); err == nil && power == 0 {
		if n < 0 {
			return 0, fmt.Errorf("the size %s is negative; write for example 512m", quote(s))
		}
		return n, nil
	}
	f, err := strconv.ParseFloat(number, 64)
	switch {
	case err != nil || math.IsNaN(f):
		return 0, fmt.Errorf("%s is not a size; write for example 512m or 2g", quote(s))
	case f < 0:
		return 0, fmt.Errorf("the size %s is negative; write for example 512m", quote(s))
	}
	if f *= math.Pow(1024, power); f >= math.MaxInt64 {
		return 0, fmt.Errorf("the size %s is beyond every machine; write for example 512m or 2g", quote(s))
	}
	return int64(f), nil
}

// ParseMemory reads a memory limit within what a container can have.
func ParseMemory(s string) (int64, error) {
	n, err := ParseBytes(s)
	switch {
	case err != nil:
		return 0, err
	case n < MinMemory:
		return 0, fmt.Errorf("a memory limit of %s is too small for a process to start; write at least %s", bytesText(n), bytesText(MinMemory))
	case n > MaxMemory:
		return 0, fmt.Errorf("a memory limit of %s is beyond every machine; write at most %s", bytesText(n), bytesText(MaxMemory))
	}
	return n, nil
}

// ParseCPUs reads cores, e.g. `0.5`, and gives thousandths of a core.
func ParseCPUs(s string) (int64, error) {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	switch {
	case err != nil || math.IsNaN(f) || math.IsInf(f, 0):
		return 0, fmt.Errorf("%s is not a number of cores; write for example 0.5 or 2", quote(s))
	case f < 0.01:
		return 0, fmt.Errorf("%s cores are too few; write at least 0.01", s)
	case f > MaxCPUs:
		return 0, fmt.Errorf("%s cores are beyond every machine; write at most %d", s, MaxCPUs)
	}
	return int64(math.Round(f * 1000)), nil
}

// ParseRestart reads `no`, `always`, `unless-stopped`, `on-failure` or
// `on-failure:N`.
func ParseRestart(s string) (model.RestartPolicy, int, error) {
	word, count, counted := strings.Cut(s, ":")
	switch {
	case counted && word != "on-failure":
	case word == "no" || word == "false":
		return model.RestartNo, 0, nil
	case word == "always" || word == "unless-stopped":
		return model.RestartAlways, 0, nil
	case word == "on-failure" && !counted:
		return model.RestartOnFailure, 0, nil
	case word == "on-failure":
		n, err := strconv.Atoi(count)
		if err != nil || n < 1 || n > 1_000_000 {
			return "", 0, fmt.Errorf("%s: the number of restarts must be from 1 to 1000000", quote(s))
		}
		return model.RestartOnFailure, n, nil
	}
	return "", 0, fmt.Errorf("the restart policy %s is not known; write no, always, on-failure or on-failure:N", quote(s))
}

// bytesText writes a size for people.
func bytesText(n int64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	return strconv.FormatFloat(math.Round(f*10)/10, 'f', -1, 64) + " " + units[i]
}
