package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
)

// census counts what a container engine can leave behind.
type census map[string]int

// takeCensus counts mounts and processes under the folder, and this host's network
// namespaces, whoever made them.
func takeCensus(dir string) census {
	c := census{"mounts": len(mountsUnder(dir)), "processes": len(under(dir))}
	if entries, err := os.ReadDir("/run/netns"); err == nil {
		c["named_netns"] = len(entries)
	}
	// A namespace may also be kept by a mount or only by a process.
	if out, err := exec.Command("lsns", "-t", "net", "-n", "-o", "NS").Output(); err == nil {
		c["netns"] = len(bytes.Fields(out))
	}
	return c
}

// cgroups adds the control groups whose path holds the mark, over all hierarchies.
// A group may vanish while it is counted.
func (c census) cgroups(mark string) census {
	c["cgroups"] = 0
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.Contains(path, mark) {
			c["cgroups"]++
		}
		return nil
	})
	return c
}

// network adds the links and rules of a network namespace.
func (c census) network(ctx context.Context, netns string) (census, error) {
	links, err := exec.CommandContext(ctx, "ip", "-n", netns, "-o", "link").Output()
	if err != nil {
		return c, fmt.Errorf("count links in %s: %w", netns, err)
	}
	c["links"] = bytes.Count(links, []byte("\n"))
	routes, err := exec.CommandContext(ctx, "ip", "-n", netns, "route").Output()
	if err != nil {
		return c, fmt.Errorf("count routes in %s: %w", netns, err)
	}
	c["routes"] = bytes.Count(routes, []byte("\n"))
	// -c enters no mount namespace, unlike `ip netns exec`.
	for _, program := range []string{"iptables-save", "iptables-legacy-save"} {
		if _, err := exec.LookPath(program); err != nil {
			continue
		}
		rules, err := exec.CommandContext(ctx, "nsenter", "--net=/run/netns/"+netns, program).Output()
		if err != nil {
			return c, fmt.Errorf("count rules in %s: %w", netns, err)
		}
		for line := range strings.Lines(string(rules)) {
			if strings.HasPrefix(line, "-A") {
				c["rules"]++
			}
		}
	}
	if sets, err := exec.CommandContext(ctx, "nsenter", "--net=/run/netns/"+netns, "ipset", "save").Output(); err == nil {
		c["set_entries"] = bytes.Count(sets, []byte("\n"))
	}
	return c, nil
}

// engine adds what a containerd keeps, of all its namespaces.
func (c census) engine(ctx context.Context, socket string) (_ census, err error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cl, err := client.New(socket, client.WithTimeout(5*time.Second))
	if err != nil {
		return c, fmt.Errorf("count in containerd: %w", err)
	}
	defer func() { err = errors.Join(err, cl.Close()) }()
	spaces, err := cl.NamespaceService().List(ctx)
	if err != nil {
		return c, fmt.Errorf("list containerd's namespaces: %w", err)
	}
	for _, space := range spaces {
		ctx := namespaces.WithNamespace(ctx, space)
		containers, err := cl.ContainerService().List(ctx)
		if err != nil {
			return c, err
		}
		leases, err := cl.LeasesService().List(ctx)
		if err != nil {
			return c, err
		}
		c["containers"] += len(containers)
		c["leases"] += len(leases)
		if err := cl.SnapshotService("overlayfs").Walk(ctx, func(context.Context, snapshots.Info) error {
			c["snapshots"]++
			return nil
		}); err != nil {
			return c, err
		}
	}
	return c, nil
}

// compare prints what there is more of than before, one line for each kind, and
// returns what was left. Namespaces are counted of the whole host, so other work on
// it shows in that line.
func (c census) compare(name string, after census) error {
	var left []string
	for _, kind := range slices.Sorted(maps.Keys(after)) {
		more := max(after[kind]-c[kind], 0)
		fmt.Printf("leak_%s_%s=%d more\n", name, kind, more)
		if more > 0 && kind != "netns" && kind != "named_netns" {
			left = append(left, fmt.Sprintf("%d %s", more, kind))
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("%s left behind: %s", name, strings.Join(left, ", "))
	}
	return nil
}

// removeCgroups removes an empty cgroup tree by name from every hierarchy.
func removeCgroups(name string) {
	hierarchies, err := os.ReadDir("/sys/fs/cgroup")
	if err != nil {
		return
	}
	for _, h := range hierarchies {
		var dirs []string
		top := filepath.Join("/sys/fs/cgroup", h.Name(), name)
		_ = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for _, dir := range slices.Backward(dirs) {
			if err := os.Remove(dir); err != nil {
				note("remove cgroup %s: %v", dir, err)
			}
		}
	}
}
