package ctrd

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/profiles/seccomp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/skerryhq/skerry/runtime/workload"
)

// defaultPath is $PATH where neither image nor spec set one.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// defaultCaps is the set that Docker gives a container.
var defaultCaps = []string{
	"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
	"CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
}

// allCaps is every capability that the kernel of today knows.
var allCaps = []string{
	"CAP_AUDIT_CONTROL", "CAP_AUDIT_READ", "CAP_AUDIT_WRITE", "CAP_BLOCK_SUSPEND", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_IPC_LOCK", "CAP_IPC_OWNER",
	"CAP_KILL", "CAP_LEASE", "CAP_LINUX_IMMUTABLE", "CAP_MAC_ADMIN", "CAP_MAC_OVERRIDE", "CAP_MKNOD", "CAP_NET_ADMIN",
	"CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_RAW", "CAP_PERFMON", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP",
	"CAP_SETUID", "CAP_SYSLOG", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_CHROOT", "CAP_SYS_MODULE", "CAP_SYS_NICE",
	"CAP_SYS_PACCT", "CAP_SYS_PTRACE", "CAP_SYS_RAWIO", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_WAKE_ALARM",
}

var maskedPaths = []string{
	"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug",
	"/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
}

var readonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}

// buildSpec writes the OCI spec. It is pure: equal input, equal output.
func buildSpec(w *workload.Spec, img *ocispec.Image, who identity) (*specs.Spec, error) {
	args, err := commandLine(w, img)
	if err != nil {
		return nil, err
	}
	caps, err := capabilities(w)
	if err != nil {
		return nil, err
	}
	s := &specs.Spec{
		Version:  specs.Version,
		Root:     &specs.Root{Path: "rootfs", Readonly: w.ReadOnlyRoot},
		Hostname: cmp.Or(w.Hostname, string(w.ID)[:min(12, len(w.ID))]),
		Process: &specs.Process{
			Args:     args,
			Terminal: w.TTY,
			Cwd:      cmp.Or(w.WorkDir, img.Config.WorkingDir, "/"),
			User:     specs.User{UID: who.uid, GID: who.gid, AdditionalGids: who.groups},
			// Without this the processes would inherit the shim's protection from the
			// kernel's out-of-memory killer.
			OOMScoreAdj:     new(int),
			NoNewPrivileges: !w.AllowNewPrivileges && !w.Privileged,
			Capabilities:    &specs.LinuxCapabilities{Bounding: caps, Permitted: caps, Effective: caps},
		},
		Linux: &specs.Linux{
			CgroupsPath: path.Join(w.CgroupParent, string(w.ID)),
			Sysctl:      w.Sysctls,
			Resources:   resources(w),
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace},
				{Type: specs.MountNamespace}, {Type: specs.NetworkNamespace, Path: w.NetNSPath},
			},
		},
	}
	if !path.IsAbs(s.Process.Cwd) {
		s.Process.Cwd = "/" + s.Process.Cwd // images are not always careful; the root is what they mean
	}
	if who.uid != 0 && !w.Privileged {
		// Docker's behaviour: an ordinary user holds what it was explicitly given only.
		s.Process.Capabilities.Permitted = nil
		s.Process.Capabilities.Effective = nil
	}
	if w.TTY {
		s.Process.ConsoleSize = &specs.Box{Width: 80, Height: 24}
	}
	if w.Resources.OpenFiles > 0 {
		n := uint64(w.Resources.OpenFiles)
		s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: n, Soft: n}}
	}
	s.Process.Env = environment(w, img, who.home, s.Hostname)
	if s.Mounts, err = mounts(w); err != nil {
		return nil, err
	}
	if w.Privileged {
		s.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
		return s, nil
	}
	s.Linux.MaskedPaths = maskedPaths
	s.Linux.ReadonlyPaths = readonlyPaths
	if s.Linux.Seccomp, err = seccompProfile(s); err != nil {
		return nil, err
	}
	return s, nil
}

// seccompProfile is Docker's default profile without the x32 ABI. Compiling
// the filter is the largest single part of runc create that was found;
// docs/adr/0007. No distribution's kernel has x32 switched on; its system calls
// end the process, as unknown architectures do.
func seccompProfile(s *specs.Spec) (*specs.LinuxSeccomp, error) {
	p, err := seccomp.GetDefaultProfile(s)
	if err != nil {
		return nil, fmt.Errorf("build the seccomp profile: %w", err)
	}
	p.Architectures = slices.DeleteFunc(p.Architectures, func(a specs.Arch) bool { return a == specs.ArchX32 })
	return p, nil
}

func commandLine(w *workload.Spec, img *ocispec.Image) ([]string, error) {
	entry, cmd := img.Config.Entrypoint, img.Config.Cmd
	if w.Entrypoint != nil {
		entry, cmd = w.Entrypoint, nil
	}
	if w.Command != nil {
		cmd = w.Command
	}
	args := slices.Concat(entry, cmd)
	if len(args) == 0 {
		return nil, workload.Invalidf("the image has no command of its own: name one")
	}
	if args[0] == "" {
		return nil, workload.Invalidf("the command is empty: name a program")
	}
	return args, nil
}

func environment(w *workload.Spec, img *ocispec.Image, home, hostname string) []string {
	base := []string{"PATH=" + defaultPath, "HOSTNAME=" + hostname}
	if w.TTY {
		base = append(base, "TERM=xterm")
	}
	env := overlayEnv(overlayEnv(base, img.Config.Env), w.Env)
	if !slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, "HOME=") }) {
		env = append(env, "HOME="+cmp.Or(home, "/"))
	}
	return env
}

// overlayEnv appends entries; one whose key exists replaces it in place.
func overlayEnv(base, over []string) []string {
	out := slices.Clone(base)
	for _, e := range over {
		k, _, _ := strings.Cut(e, "=")
		i := slices.IndexFunc(out, func(o string) bool { return strings.HasPrefix(o, k+"=") })
		if i >= 0 {
			out[i] = e
		} else {
			out = append(out, e)
		}
	}
	return out
}

func capabilities(w *workload.Spec) ([]string, error) {
	if w.Privileged {
		return hostCaps(allCaps), nil
	}
	set := map[string]bool{}
	for _, c := range defaultCaps {
		set[c] = true
	}
	change := func(names []string, on bool) error {
		for _, n := range names {
			if strings.EqualFold(n, "ALL") {
				for _, c := range hostCaps(allCaps) {
					set[c] = on
				}
				continue
			}
			c := strings.ToUpper(n)
			if !strings.HasPrefix(c, "CAP_") {
				c = "CAP_" + c
			}
			if !slices.Contains(allCaps, c) {
				return workload.Invalidf("capability %q is not known: use a name such as NET_ADMIN, or ALL", n)
			}
			set[c] = on
		}
		return nil
	}
	// "Drop ALL, add X" must leave X, and "add ALL, drop X" must not: ALL goes first.
	all := func(names []string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, "ALL") })
	}
	order := []func() error{
		func() error { return change(w.CapAdd, true) },
		func() error { return change(w.CapDrop, false) },
	}
	if all(w.CapDrop) {
		slices.Reverse(order)
	}
	for _, f := range order {
		if err := f(); err != nil {
			return nil, err
		}
	}
	maps.DeleteFunc(set, func(_ string, on bool) bool { return !on })
	return slices.Sorted(maps.Keys(set)), nil
}

const (
	cpuPeriod = 100_000 // microseconds
	swapEqual = 1       // memory and swap together may not exceed memory: no swap
)

func resources(w *workload.Spec) *specs.LinuxResources {
	res := &specs.LinuxResources{
		Devices: append([]specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}, defaultDevices()...),
	}
	in := w.Resources
	if in.CPUMilli > 0 || in.CPUShares > 0 {
		res.CPU = &specs.LinuxCPU{}
		if in.CPUMilli > 0 {
			quota, period := in.CPUMilli*cpuPeriod/1000, uint64(cpuPeriod)
			res.CPU.Quota, res.CPU.Period = &quota, &period
		}
		if in.CPUShares > 0 {
			shares := uint64(in.CPUShares)
			res.CPU.Shares = &shares
		}
	}
	if in.MemoryBytes > 0 {
		limit, swap := in.MemoryBytes, in.MemoryBytes*swapEqual
		res.Memory = &specs.LinuxMemory{Limit: &limit, Swap: &swap}
	}
	if in.PIDs >= 0 {
		pids := cmp.Or(in.PIDs, workload.DefaultPIDs)
		res.Pids = &specs.LinuxPids{Limit: &pids}
	}
	return res
}

// defaultDevices are the pseudo devices that every container may use, and the
// making (not the use) of other device nodes.
func defaultDevices() []specs.LinuxDeviceCgroup {
	dev := func(major, minor int64, access string) specs.LinuxDeviceCgroup {
		return specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: &major, Minor: &minor, Access: access}
	}
	return []specs.LinuxDeviceCgroup{
		{Allow: true, Type: "c", Access: "m"}, {Allow: true, Type: "b", Access: "m"},
		dev(1, 3, "rwm"), dev(1, 5, "rwm"), dev(1, 7, "rwm"), dev(1, 8, "rwm"), dev(1, 9, "rwm"),
		dev(5, 0, "rwm"), dev(5, 1, "rwm"), dev(5, 2, "rwm"), dev(136, -1, "rwm"),
	}
}

func mounts(w *workload.Spec) ([]specs.Mount, error) {
	sys, cgroup := "ro", "ro"
	if w.Privileged {
		sys, cgroup = "rw", "rw"
	}
	shm := cmp.Or(w.ShmBytes, int64(workload.DefaultShmBytes))
	out := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=" + strconv.FormatInt(shm, 10)}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", sys}},
	}
	if w.Privileged {
		out = append(out, specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime", cgroup}})
	}
	for _, dst := range slices.Sorted(maps.Keys(w.Tmpfs)) {
		opts := []string{"nosuid", "nodev", "noexec"}
		for _, o := range strings.Split(w.Tmpfs[dst], ",") {
			key, _, _ := strings.Cut(o, "=")
			switch key {
			case "":
			case "exec":
				opts = slices.DeleteFunc(opts, func(x string) bool { return x == "noexec" })
			case "size", "mode", "uid", "gid", "nr_inodes", "ro", "rw", "noexec", "nosuid", "nodev":
				opts = append(opts, o)
			default:
				return nil, workload.Invalidf("tmpfs %s: option %q is not known: use size, mode, uid, gid, nr_inodes, ro or exec", dst, o)
			}
		}
		out = append(out, specs.Mount{Destination: path.Clean(dst), Type: "tmpfs", Source: "tmpfs", Options: opts})
	}
	own := slices.Clone(w.Mounts)
	// A mount below another must come after it.
	slices.SortStableFunc(own, func(a, b workload.Mount) int {
		return cmp.Compare(strings.Count(path.Clean(a.Destination), "/"), strings.Count(path.Clean(b.Destination), "/"))
	})
	for _, m := range own {
		opts := []string{"rbind", "rprivate", "rw"}
		if m.ReadOnly {
			opts[2] = "ro"
		}
		out = append(out, specs.Mount{Destination: path.Clean(m.Destination), Type: "bind", Source: m.Source, Options: opts})
	}
	return out, nil
}
