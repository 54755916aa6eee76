package ctrd

import (
	"errors"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/skerryhq/skerry/runtime/workload"
)

func testImage() *ocispec.Image {
	return &ocispec.Image{Config: ocispec.ImageConfig{Entrypoint: []string{"/entry"}, Cmd: []string{"cmd"}, Env: []string{"PATH=/bin", "A=image", "B=image"}, WorkingDir: "/srv"}}
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		name           string
		entry, command []string
		want           string
	}{
		{name: "image's own", want: "/entry cmd"},
		{name: "command replaced", command: []string{"a", "b"}, want: "/entry a b"},
		{name: "entrypoint replaced drops the command", entry: []string{"/other"}, want: "/other"},
		{name: "both", entry: []string{"/other"}, command: []string{"x"}, want: "/other x"},
		{name: "entrypoint removed", entry: []string{}, command: []string{"x"}, want: "x"},
		{name: "nothing left", entry: []string{}, want: ""},
		{name: "empty program", entry: []string{}, command: []string{""}, want: ""},
	} {
		got, err := commandLine(&workload.Spec{Entrypoint: c.entry, Command: c.command}, testImage())
		if strings.Join(got, " ") != c.want || (c.want == "") != errors.Is(err, workload.ErrInvalid) {
			t.Errorf("%s: got %q %v, want %q", c.name, got, err, c.want)
		}
	}
}

func TestEnvironment(t *testing.T) {
	s, err := buildSpec(&workload.Spec{ID: "abcdefghijklmnop", Env: []string{"B=spec", "C=x=y"}, TTY: true}, testImage(), identity{uid: 5, home: "/home/u"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"PATH=/bin", "HOSTNAME=abcdefghijkl", "TERM=xterm", "A=image", "B=spec", "C=x=y", "HOME=/home/u"}
	if !slices.Equal(s.Process.Env, want) {
		t.Errorf("got %q, want %q", s.Process.Env, want)
	}
}

func TestCapabilities(t *testing.T) {
	for _, c := range []struct {
		name      string
		add, drop []string
		has, not  []string
		count     int
	}{
		{name: "default", has: []string{"CAP_CHOWN"}, not: []string{"CAP_SYS_ADMIN", "CAP_NET_ADMIN"}, count: 14},
		{name: "add", add: []string{"net_admin"}, has: []string{"CAP_NET_ADMIN"}, count: 15},
		{name: "drop", drop: []string{"CAP_MKNOD"}, not: []string{"CAP_MKNOD"}, count: 13},
		{name: "drop all and add", drop: []string{"all"}, add: []string{"CHOWN"}, has: []string{"CAP_CHOWN"}, count: 1},
		{name: "add all and drop", drop: []string{"SYS_ADMIN"}, add: []string{"ALL"}, has: []string{"CAP_NET_ADMIN"}, not: []string{"CAP_SYS_ADMIN"}},
	} {
		got, err := capabilities(&workload.Spec{CapAdd: c.add, CapDrop: c.drop})
		if err != nil || c.count > 0 && len(got) != c.count {
			t.Errorf("%s: %d %v %v", c.name, len(got), got, err)
		}
		for _, h := range c.has {
			if !slices.Contains(got, h) {
				t.Errorf("%s: lacks %s", c.name, h)
			}
		}
		for _, n := range c.not {
			if slices.Contains(got, n) {
				t.Errorf("%s: has %s", c.name, n)
			}
		}
	}
	if _, err := capabilities(&workload.Spec{CapDrop: []string{"NOPE"}}); !errors.Is(err, workload.ErrInvalid) {
		t.Errorf("unknown capability: %v", err)
	}
}

func TestSpecIsConfined(t *testing.T) {
	build := func(w workload.Spec, who identity) *specs.Spec {
		t.Helper()
		w.ID, w.CgroupParent = "c1", "/skerry/n"
		s, err := buildSpec(&w, testImage(), who)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := build(workload.Spec{Resources: workload.Resources{CPUMilli: 1500, MemoryBytes: 1 << 30}}, identity{})
	if !s.Process.NoNewPrivileges || len(s.Linux.MaskedPaths) == 0 || len(s.Linux.ReadonlyPaths) == 0 || s.Linux.Seccomp == nil || s.Linux.CgroupsPath != "/skerry/n/c1" {
		t.Errorf("not confined: %+v", s.Linux)
	}
	if slices.Contains(s.Linux.Seccomp.Architectures, specs.ArchX32) {
		t.Error("the filter is compiled for x32 too: compiling it is the largest single part of runc create that was found; docs/adr/0007")
	}
	if s.Process.OOMScoreAdj == nil || *s.Process.OOMScoreAdj != 0 {
		t.Error("processes inherit the shim's protection from the out-of-memory killer")
	}
	if *s.Linux.Resources.CPU.Quota != 150_000 || *s.Linux.Resources.Memory.Limit != 1<<30 || *s.Linux.Resources.Memory.Swap != 1<<30 || *s.Linux.Resources.Pids.Limit != workload.DefaultPIDs {
		t.Errorf("limits: %+v", s.Linux.Resources)
	}
	if s := build(workload.Spec{Resources: workload.Resources{PIDs: -1}}, identity{}); s.Linux.Resources.Pids != nil {
		t.Error("no process limit was asked for and one is set")
	}
	if s := build(workload.Spec{CapAdd: []string{"NET_ADMIN"}}, identity{uid: 1000}); len(s.Process.Capabilities.Effective) != 0 || len(s.Process.Capabilities.Bounding) == 0 {
		t.Errorf("an ordinary user holds %v", s.Process.Capabilities.Effective)
	}
	p := build(workload.Spec{Privileged: true}, identity{})
	if p.Linux.Seccomp != nil || p.Process.NoNewPrivileges || len(p.Linux.MaskedPaths) != 0 {
		t.Error("privileged is still confined")
	}
	m := build(workload.Spec{Mounts: []workload.Mount{{Source: "/b", Destination: "/a/b"}, {Source: "/a", Destination: "/a", ReadOnly: true}}}, identity{})
	last := m.Mounts[len(m.Mounts)-2:]
	if last[0].Destination != "/a" || !slices.Contains(last[0].Options, "ro") || last[1].Destination != "/a/b" {
		t.Errorf("a mount below another must come after it: %+v", last)
	}
}

func TestLookupUser(t *testing.T) {
	acc := &accounts{passwd: []byte("root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n"), group: []byte("root:x:0:\nextra:x:2000:app\nwheel:x:10:root\n")}
	for in, want := range map[string]identity{
		"":            {home: "/root", groups: []uint32{10}},
		"app":         {uid: 1000, gid: 1001, home: "/home/app", groups: []uint32{2000}},
		"1000":        {uid: 1000, gid: 1001, home: "/home/app", groups: []uint32{2000}},
		"app:extra":   {uid: 1000, gid: 2000, home: "/home/app"},
		"4242":        {uid: 4242, home: "/"},
		"4242:4343":   {uid: 4242, gid: 4343, home: "/"},
		"nobody":      {},
		"-1":          {},
		"app:nogroup": {},
	} {
		got, err := acc.lookup(in)
		if want.home == "" {
			if !errors.Is(err, workload.ErrInvalid) {
				t.Errorf("%q: got %+v %v, want ErrInvalid", in, got, err)
			}
			continue
		}
		if err != nil || got.uid != want.uid || got.gid != want.gid || got.home != want.home || !slices.Equal(got.groups, want.groups) {
			t.Errorf("%q: got %+v %v, want %+v", in, got, err, want)
		}
	}
}
