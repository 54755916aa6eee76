package access

import (
	"slices"
	"strings"

	"github.com/skerryhq/skerry/raft/model"
)

// tenantCaps may be added by anybody: they reach no further than the
// container's own namespaces.
var tenantCaps = []string{"NET_ADMIN", "NET_RAW", "SYS_NICE", "SYS_PTRACE", "IPC_LOCK", "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT", "LEASE", "WAKE_ALARM", "NET_BROADCAST", "IPC_OWNER"}

// HostNeeds lists what of a spec reaches beyond the container, in words: whoever
// deploys it, or steps into such a container, needs PermHost.
func HostNeeds(c model.ContainerSpec) []string {
	var out []string
	if c.Privileged {
		out = append(out, "privileged")
	}
	for _, m := range c.Mounts {
		if m.Type == model.MountBind {
			out = append(out, "the host path "+m.Source)
		}
	}
	for _, name := range c.CapAdd {
		if short := strings.TrimPrefix(strings.ToUpper(name), "CAP_"); !slices.Contains(tenantCaps, short) {
			out = append(out, "the capability "+short)
		}
	}
	return out
}
