package workload_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/skerryhq/skerry/runtime/workload"
)

func valid() workload.Spec {
	return workload.Spec{ID: "web-1", ImageDigest: "sha256:" + strings.Repeat("a", 64), CgroupParent: "/skerry/n1"}
}

func TestSpecValidate(t *testing.T) {
	good := valid()
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*workload.Spec){
		"no digest":        func(s *workload.Spec) { s.ImageDigest = "nginx" },
		"upper hex":        func(s *workload.Spec) { s.ImageDigest = "sha256:" + strings.Repeat("A", 64) },
		"workdir":          func(s *workload.Spec) { s.WorkDir = "relative" },
		"env":              func(s *workload.Spec) { s.Env = []string{"=x"} },
		"nul":              func(s *workload.Spec) { s.Command = []string{"a\x00b"} },
		"hostname":         func(s *workload.Spec) { s.Hostname = strings.Repeat("h", 65) },
		"mount source":     func(s *workload.Spec) { s.Mounts = []workload.Mount{{Source: "x", Destination: "/x"}} },
		"mount upwards":    func(s *workload.Spec) { s.Mounts = []workload.Mount{{Source: "/x", Destination: "/x/../y"}} },
		"mount over root":  func(s *workload.Spec) { s.Mounts = []workload.Mount{{Source: "/x", Destination: "//"}} },
		"tmpfs":            func(s *workload.Spec) { s.Tmpfs = map[string]string{"x": ""} },
		"cgroup":           func(s *workload.Spec) { s.CgroupParent = "/a/../../b" },
		"no cgroup":        func(s *workload.Spec) { s.CgroupParent = "" },
		"shm":              func(s *workload.Spec) { s.ShmBytes = -1 },
		"label":            func(s *workload.Spec) { s.Labels = map[string]string{"skerry.x": ""} },
		"large label":      func(s *workload.Spec) { s.Labels = map[string]string{"x": strings.Repeat("v", 5000)} },
		"signal":           func(s *workload.Spec) { s.StopSignal = "SIGNOPE" },
		"memory below":     func(s *workload.Spec) { s.Resources.MemoryBytes = workload.MinMemoryBytes - 1 },
		"memory negative":  func(s *workload.Spec) { s.Resources.MemoryBytes = -1 },
		"memory absurd":    func(s *workload.Spec) { s.Resources.MemoryBytes = 1 << 60 },
		"cpu negative":     func(s *workload.Spec) { s.Resources.CPUMilli = -1 },
		"cpu tiny":         func(s *workload.Spec) { s.Resources.CPUMilli = 1 },
		"pids":             func(s *workload.Spec) { s.Resources.PIDs = -2 },
		"open files":       func(s *workload.Spec) { s.Resources.OpenFiles = -1 },
		"id":               func(s *workload.Spec) { s.ID = "a--b" },
		"id with slash":    func(s *workload.Spec) { s.ID = "a/b" },
		"id of 300":        func(s *workload.Spec) { s.ID = workload.ID(strings.Repeat("x", 300)) },
		"id in unicode":    func(s *workload.Spec) { s.ID = "größe" },
		"id with a space":  func(s *workload.Spec) { s.ID = "a b" },
		"id ending in dot": func(s *workload.Spec) { s.ID = "a." },
	} {
		s := valid()
		change(&s)
		err := s.Validate()
		if !errors.Is(err, workload.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
			continue
		}
		if len(err.Error()) > 400 {
			t.Errorf("%s: the sentence repeats %d bytes of bad input", name, len(err.Error()))
		}
	}
	both := valid()
	both.WorkDir, both.ShmBytes = "x", -1
	if err := both.Validate(); err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("two problems: got %v, want both", err)
	}
}

// TestIDIsSafe: whatever is accepted is one path element and cannot lead anywhere.
func TestIDIsSafe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-zA-Z0-9._/-]{0,80}`)).Draw(t, "id")
		if workload.ID(s).Validate() != nil {
			return
		}
		if s == "" || len(s) > 76 || strings.ContainsAny(s, "/\x00 ") || strings.HasPrefix(s, ".") || strings.Contains(s, "..") {
			t.Fatalf("accepted %q", s)
		}
	})
}

func TestParseSignal(t *testing.T) {
	for in, want := range map[string]syscall.Signal{"SIGTERM": 15, "term": 15, "9": 9, "SIGRTMIN+3": 37, "RTMIN": 34, "SIGWINCH": 28} {
		if got, err := workload.ParseSignal(in); err != nil || got != want {
			t.Errorf("%s: got %v %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "0", "65", "-1", "SIG", "SIGNOPE", "RTMIN+99", "99999999999999999999"} {
		if got, err := workload.ParseSignal(in); !errors.Is(err, workload.ErrInvalid) {
			t.Errorf("%q: got %v %v, want ErrInvalid", in, got, err)
		}
	}
}

func TestCommandError(t *testing.T) {
	missing := &workload.CommandError{Command: "x", Err: workload.ErrCommandNotFound}
	denied := &workload.CommandError{Command: "x", Err: workload.ErrNotExecutable}
	if missing.ExitCode() != 127 || denied.ExitCode() != 126 || !errors.Is(missing, workload.ErrCommandNotFound) || !errors.Is(denied, workload.ErrNotExecutable) {
		t.Errorf("%v %v", missing, denied)
	}
}
