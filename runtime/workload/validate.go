package workload

import (
	"errors"
	"path"
	"slices"
	"strings"
)

// maxID keeps an ID usable as a file name with suffixes and as a cgroup name.
const maxID = 76

// Validate reports why id cannot name a container: 1 to 76 characters, groups of
// letters and digits joined by single . _ or - characters.
func (id ID) Validate() error {
	if id == "" || len(id) > maxID {
		return invalidf("container ID %q has %d characters: it must have 1 to %d", clip(string(id)), len(id), maxID)
	}
	separator := true // at the beginning, as after a separator, only a letter or digit may follow
	for i := range len(id) {
		c := id[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && (separator || i == len(id)-1 || c != '.' && c != '_' && c != '-') {
			return invalidf("container ID %q: character %q is not allowed at position %d: use letters and digits, joined by single . _ or -", clip(string(id)), string(c), i+1)
		}
		separator = !alnum
	}
	return nil
}

// Validate returns every problem of the spec that can be seen without the image,
// joined; nil when there is none. Errors are of class ErrInvalid.
func (s *Spec) Validate() error {
	errs := []error{s.ID.Validate(), s.Resources.validate()}
	bad := func(format string, args ...any) { errs = append(errs, invalidf(format, args...)) }

	if !validDigest(s.ImageDigest) {
		bad("image digest %q: want sha256: and 64 hexadecimal digits", clip(s.ImageDigest))
	}
	if s.WorkDir != "" && !path.IsAbs(s.WorkDir) {
		bad("working directory %q: must be an absolute path", clip(s.WorkDir))
	}
	for _, e := range s.Env {
		if k, _, ok := strings.Cut(e, "="); !ok || k == "" || strings.ContainsRune(e, 0) {
			bad("environment entry %q: want KEY=VALUE without NUL characters", clip(e))
		}
	}
	for _, list := range [][]string{s.Command, s.Entrypoint, {s.WorkDir, s.User, s.Hostname}} {
		if slices.ContainsFunc(list, func(a string) bool { return strings.ContainsRune(a, 0) }) {
			bad("command, working directory, user or host name contains a NUL character")
		}
	}
	if len(s.Hostname) > 64 {
		bad("host name %q has %d characters: at most 64 are possible", clip(s.Hostname), len(s.Hostname))
	}
	for _, m := range s.Mounts {
		switch {
		case !path.IsAbs(m.Source) || hasDotDot(m.Source):
			bad("mount source %q: must be an absolute path without \"..\"", clip(m.Source))
		case !path.IsAbs(m.Destination) || hasDotDot(m.Destination) || path.Clean(m.Destination) == "/":
			bad("mount destination %q: must be an absolute path other than / without \"..\"", clip(m.Destination))
		}
	}
	for dst := range s.Tmpfs {
		if !path.IsAbs(dst) || hasDotDot(dst) || path.Clean(dst) == "/" {
			bad("tmpfs destination %q: must be an absolute path other than / without \"..\"", clip(dst))
		}
	}
	if !path.IsAbs(s.CgroupParent) || hasDotDot(s.CgroupParent) {
		bad("cgroup parent %q: must be an absolute path without \"..\"", clip(s.CgroupParent))
	}
	if s.ShmBytes < 0 {
		bad("/dev/shm size %d: must not be negative", s.ShmBytes)
	}
	for k := range s.Labels {
		if strings.HasPrefix(k, "skerry.") || len(k)+len(s.Labels[k]) > 4000 {
			bad("label %q: keys beginning with \"skerry.\" are reserved and key and value together have at most 4000 bytes", clip(k))
		}
	}
	if s.StopSignal != "" {
		if _, err := ParseSignal(s.StopSignal); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (r Resources) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, invalidf(format, args...)) }
	if r.CPUMilli < 0 || r.CPUMilli > 1024*1000 || r.CPUMilli > 0 && r.CPUMilli < 10 {
		bad("CPU limit %d milli-cores: must be 0 (none) or 10 to 1024000", r.CPUMilli)
	}
	if r.CPUShares != 0 && (r.CPUShares < 2 || r.CPUShares > 262144) {
		bad("CPU shares %d: must be 0 (default) or 2 to 262144", r.CPUShares)
	}
	if r.MemoryBytes != 0 && (r.MemoryBytes < MinMemoryBytes || r.MemoryBytes > 1<<50) {
		bad("memory limit %d bytes: must be 0 (none) or at least %d bytes (6 MiB) and below 1 PiB", r.MemoryBytes, MinMemoryBytes)
	}
	if r.PIDs < -1 || r.PIDs > 4194304 {
		bad("process limit %d: must be -1 (none), 0 (default %d) or up to 4194304", r.PIDs, DefaultPIDs)
	}
	if r.OpenFiles < 0 || r.OpenFiles > 1<<30 {
		bad("open files limit %d: must be 0 (default) or up to %d", r.OpenFiles, 1<<30)
	}
	return errors.Join(errs...)
}

func validDigest(d string) bool {
	hex, ok := strings.CutPrefix(d, "sha256:")
	return ok && len(hex) == 64 && strings.Trim(hex, "0123456789abcdef") == ""
}

func hasDotDot(p string) bool {
	return slices.Contains(strings.Split(p, "/"), "..")
}

// clip keeps absurdly long input out of error sentences.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}
