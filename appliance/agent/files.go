package agent

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/runtime/workload"
)

// writeFiles makes the three files that every container gets from us, and
// gives the mounts that show them. They are written in place: a running
// container's mount points at the file, not at its name.
func writeFiles(dir string, c *model.Container, hostname string, resolver netip.Addr) ([]workload.Mount, error) {
	dir = filepath.Join(dir, c.ID)
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, fmt.Errorf("make the files of container %s: %w", c.ID, err)
	}
	var mounts []workload.Mount
	for _, f := range []struct{ name, content string }{
		{"resolv.conf", fmt.Sprintf("nameserver %s\nsearch %s.skerry.internal\noptions ndots:0\n", resolver, c.AppName)},
		{"hosts", fmt.Sprintf("127.0.0.1\tlocalhost\n%s\t%s\n", c.Assign.Address, hostname)},
		{"hostname", hostname + "\n"},
	} {
		path := filepath.Join(dir, f.name)
		if err := os.WriteFile(path, []byte(f.content), 0o644); err != nil {
			return nil, fmt.Errorf("write %s of container %s: %w", f.name, c.ID, err)
		}
		mounts = append(mounts, workload.Mount{Source: path, Destination: "/etc/" + f.name})
	}
	return mounts, nil
}

func removeFiles(dir, id string) error {
	if err := os.RemoveAll(filepath.Join(dir, id)); err != nil {
		return fmt.Errorf("remove the files of container %s: %w", id, err)
	}
	return nil
}

// hostname is the container's own name as far as a host may be called so.
func hostname(c *model.Container) string {
	if c.Spec.Hostname != "" {
		return c.Spec.Hostname
	}
	return strings.TrimRight(c.Name[:min(63, len(c.Name))], "-._")
}

// translate turns a container of the state into what the runtime understands.
func (a *Agent) translate(c *model.Container, files []workload.Mount, stdio workload.Stdio) (workload.Spec, error) {
	s := workload.Spec{
		ID:          workload.ID(c.ID),
		ImageDigest: c.Spec.ImageDigest, ImageName: c.Spec.Image,
		Entrypoint: c.Spec.Entrypoint, Command: c.Spec.Command,
		WorkDir: c.Spec.WorkingDir, User: c.Spec.User, Hostname: hostname(c),
		Resources: workload.Resources{
			CPUMilli: c.Spec.CPUMillis, MemoryBytes: c.Spec.MemoryBytes, PIDs: c.Spec.PidsLimit,
		},
		ReadOnlyRoot: c.Spec.ReadOnly, CapAdd: c.Spec.CapAdd, CapDrop: c.Spec.CapDrop, Privileged: c.Spec.Privileged,
		TTY: c.Spec.TTY, OpenStdin: c.Spec.Stdin, Stdio: stdio,
		StopSignal: c.Spec.StopSignal,
		NetNSPath:  a.cfg.Links.Path(c.ID), CgroupParent: a.cfg.CgroupRoot,
		Labels: c.Spec.Labels,
		Mounts: files,
	}
	// Who it is, for programs that want to say so; the user's own variables win.
	s.Env = append(s.Env, "SKERRY_APP="+c.AppName, "SKERRY_SERVICE="+c.ServiceName, "SKERRY_SLOT="+strconv.Itoa(c.Slot))
	for _, e := range c.Spec.Env {
		s.Env = append(s.Env, e.Name+"="+e.Value)
	}
	for _, m := range c.Spec.Mounts {
		switch m.Type {
		case model.MountVolume:
			path, err := a.cfg.Volumes.Ensure(m.VolumeID)
			if err != nil {
				return s, fmt.Errorf("volume %s: %w", m.Source, err)
			}
			s.Mounts = append(s.Mounts, workload.Mount{Source: path, Destination: m.Path, ReadOnly: m.ReadOnly, CopyUp: !m.ReadOnly})
		case model.MountBind:
			s.Mounts = append(s.Mounts, workload.Mount{Source: m.Source, Destination: m.Path, ReadOnly: m.ReadOnly})
		case model.MountTmpfs:
			if s.Tmpfs == nil {
				s.Tmpfs = map[string]string{}
			}
			s.Tmpfs[m.Path] = "mode=1777"
			if m.SizeBytes > 0 {
				s.Tmpfs[m.Path] = fmt.Sprintf("mode=1777,size=%d", m.SizeBytes)
			}
		default:
			return s, fmt.Errorf("mount %s: this version knows no mounts of type %q", m.Path, m.Type)
		}
	}
	return s, nil
}
