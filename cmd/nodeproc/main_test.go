package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/supervise"
	"github.com/skerryhq/skerry/runtime/logs"
)

func TestUsage(t *testing.T) {
	for want, args := range map[string][]string{
		"usage:":                  {},
		`"frobnicate" is no proc`: {"frobnicate"},
		`"x" is one word too man`: {"logd", "x"},
		"flag provided but not":   {"logd", "--nonsense"},
	} {
		var out bytes.Buffer
		if code := run(args, &out); code != 2 || !strings.Contains(out.String(), want) {
			t.Errorf("%q: exit %d, %q; want 2 and %q", args, code, out.String(), want)
		}
	}
	var out bytes.Buffer
	if code := run([]string{"logd", "--run-dir", "/dev/null/x", "--data-dir", t.TempDir()}, &out); code != 1 || !strings.Contains(out.String(), "not a directory") {
		t.Errorf("unusable run dir: exit %d, %q", code, out.String())
	}
}

// The binary as it is shipped: parent and log daemon live together, stay small, and a killed log daemon neither
// ends a container's input nor loses a line.
func TestSmallProcessesTogether(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "skerry-nodeproc")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	run, err := os.MkdirTemp("", "np")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(run) })
	data := t.TempDir()
	parent, err := supervise.Ensure(t.Context(), supervise.Config{RunDir: run, DataDir: data, Binary: bin})
	must(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := parent.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	must(t, parent.Ensure(t.Context(), supervise.Spec{
		Name: "logd", Argv: []string{bin, "logd", "--run-dir", run, "--data-dir", data}, KeepFDs: 1000,
	}))
	c := logs.NewClient(run, data)
	pipes, err := c.Open(t.Context(), "web", logs.OpenOptions{Stdin: true})
	must(t, err)
	stdin, err := os.OpenFile(pipes.Stdin, os.O_RDONLY, 0)
	must(t, err)
	defer stdin.Close()
	stdout, err := os.OpenFile(pipes.Stdout, os.O_RDWR, 0)
	must(t, err)
	defer stdout.Close()
	for i := range 49 {
		_, err := c.Open(t.Context(), fmt.Sprintf("idle%d", i), logs.OpenOptions{})
		must(t, err)
	}
	st, err := parent.Status(t.Context())
	must(t, err)
	for name, pid := range map[string]int{"supervise": st.PID, "logd": st.Processes[0].PID} {
		if mib := resident(t, pid); mib > 15 {
			t.Errorf("%s is %.1f MiB resident, at most 15 allowed", name, mib)
		} else {
			t.Logf("%s: %.1f MiB resident with 50 open logs", name, mib)
		}
	}
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for st.Processes[0].KeptFDs != 101 { // they travel by themselves
		if <-tick.C; time.Now().After(deadline) {
			t.Fatalf("%d descriptors kept, want 101", st.Processes[0].KeptFDs)
		}
		st, err = parent.Status(t.Context())
		must(t, err)
	}

	fmt.Fprintln(stdout, "before")
	killed := st.Processes[0].PID
	must(t, syscall.Kill(killed, syscall.SIGKILL))
	fmt.Fprintln(stdout, "while away")
	a, err := c.Attach(t.Context(), "web", logs.AttachOptions{}) // waits for the next one
	must(t, err)
	defer a.Close()
	_, err = a.Write([]byte("still here"))
	must(t, err)
	must(t, stdin.SetReadDeadline(time.Now().Add(10*time.Second)))
	buf := make([]byte, 64)
	if n, err := stdin.Read(buf); err != nil || string(buf[:n]) != "still here" {
		t.Errorf("the container's input after the kill: %q, %v", buf[:n], err)
	}
	must(t, c.CloseStdin(t.Context(), "web"))
	if n, err := stdin.Read(buf); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the end of input did not arrive: %d, %v", n, err)
	}
	must(t, c.Close(t.Context(), "web"))
	var got []string
	for r, err := range c.Read(t.Context(), "web", logs.Options{}) {
		must(t, err)
		got = append(got, string(r.Line))
	}
	if strings.Join(got, "|") != "before|while away" {
		t.Errorf("kept %q", got)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func resident(t *testing.T, pid int) float64 {
	t.Helper()
	body, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	_, rest, _ := strings.Cut(string(body), "VmRSS:")
	var kib int
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	return float64(kib) / 1024
}
