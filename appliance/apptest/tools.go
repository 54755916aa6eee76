package apptest

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/runtime/runtimetest"
)

// In gives the node to a subtest, so that what fails ends that one.
func (n *Node) In(t testing.TB) *Node {
	c := *n
	c.t = t
	return &c
}

// Busybox imports the image `busybox`: a shell with the usual tools, and the
// user app (1000:1001).
func (n *Node) Busybox() {
	n.t.Helper()
	file := filepath.Join(n.t.TempDir(), "busybox.tar")
	n.BusyboxArchive(file)
	n.OK("image", "import", file)
}

// BusyboxArchive writes the image's archive.
func (n *Node) BusyboxArchive(file string) {
	n.t.Helper()
	layer := append(runtimetest.BusyboxLayer(n.t),
		runtimetest.File{Name: "bin/timeout", Type: tar.TypeSymlink, Link: "busybox"},
		runtimetest.File{Name: "bin/nslookup", Type: tar.TypeSymlink, Link: "busybox"},
		runtimetest.File{Name: "bin/wget", Type: tar.TypeSymlink, Link: "busybox"},
		runtimetest.File{Name: "bin/usleep", Type: tar.TypeSymlink, Link: "busybox"},
		runtimetest.File{Name: "bin/df", Type: tar.TypeSymlink, Link: "busybox"},
	)
	n.Archive(file, "busybox:latest", runtimetest.ImageConfig{
		Cmd: []string{"sleep", "1000000"}, Env: []string{"PATH=/usr/bin:/bin", "FROM_IMAGE=1"}, StopSignal: "SIGKILL",
	}, layer)
}

// Probe imports the image `probe`: testdata/probe, whose first word says what it
// does.
func (n *Node) Probe() {
	n.t.Helper()
	_, here, _, _ := runtime.Caller(0)
	dir := n.t.TempDir()
	bin := filepath.Join(dir, "probe")
	cmd := exec.CommandContext(n.t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", bin, "./testdata/probe")
	cmd.Dir = filepath.Dir(here)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		n.t.Fatalf("build the probe: %v\n%s", err, out)
	}
	body, err := os.ReadFile(bin)
	if err != nil {
		n.t.Fatal(err)
	}
	file := filepath.Join(dir, "probe.tar")
	n.Archive(file, "probe:latest", runtimetest.ImageConfig{Entrypoint: []string{"/probe"}}, []runtimetest.File{{Name: "probe", Mode: 0o755, Body: body}})
	n.OK("image", "import", file)
}

// Archive writes an OCI archive with one image of one layer.
func (n *Node) Archive(file, name string, cfg runtimetest.ImageConfig, layer []runtimetest.File) {
	n.t.Helper()
	b := runtimetest.Tar(n.t, runtimetest.OCILayout(n.t, name, cfg, runtimetest.Tar(n.t, layer)))
	if err := os.WriteFile(file, b, 0o600); err != nil {
		n.t.Fatal(err)
	}
}

// Disk gives the node's data a disk of its own, before the daemon is started: a
// small file system in a file, or in memory where there are no loop devices.
func (n *Node) Disk(megabytes int) {
	n.t.Helper()
	n.disk = filepath.Join(filepath.Dir(n.RunDir), "m")
	if err := os.Mkdir(n.disk, 0o700); err != nil {
		n.t.Fatal(err)
	}
	n.DataDir = filepath.Join(n.disk, "d")
	file := filepath.Join(n.t.TempDir(), "disk")
	script := fmt.Sprintf("truncate -s %dM %s && mkfs.ext4 -q -m 0 %s && mount -o loop %s %s", megabytes, file, file, file, n.disk)
	if out, err := exec.CommandContext(n.t.Context(), "sh", "-c", script).CombinedOutput(); err != nil {
		n.t.Logf("no loop device, using memory: %v: %s", err, out)
		if err := unix.Mount("tmpfs", n.disk, "tmpfs", 0, fmt.Sprintf("size=%dm", megabytes)); err != nil {
			n.t.Fatal(err)
		}
	}
}

// Remote runs a skerry command outside, as somebody whose home is given.
func (n *Node) Remote(home string, args ...string) (stdout, stderr string, status int) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, n.bin, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "LANG=C.UTF-8", "SKERRY_LANG=en"}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	n.Outside.Must(cmd.Start)
	if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() < 0 {
		n.t.Fatalf("skerry %s: %v\n%s", strings.Join(args, " "), err, errs.String())
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// Container reads a container by its name; flags come after it.
func (n *Node) Container(name string, flags ...string) model.Container {
	n.t.Helper()
	var c model.Container
	n.JSON(&c, append([]string{"inspect", name}, flags...)...)
	return c
}

// Send sends a request with a body as it stands and gives status and body.
// Headers come in pairs.
func (n *Node) Send(method, path string, body io.Reader, headers ...string) (int, string) {
	n.t.Helper()
	req, err := http.NewRequestWithContext(n.t.Context(), method, "http://local"+path, body)
	if err != nil {
		n.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := n.Client().Do(req)
	if err != nil {
		n.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		n.t.Fatalf("%s %s: %v", method, path, err)
	}
	return res.StatusCode, string(b)
}

// Do sends JSON and gives status and body.
func (n *Node) Do(method, path string, body any) (int, string) {
	n.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		n.t.Fatal(err)
	}
	return n.Send(method, path, strings.NewReader(string(b)), "Content-Type", "application/json")
}

// Restored waits until the footprint is again what it was.
func (n *Node) Restored(before string) {
	n.t.Helper()
	var now string
	begun, nudged := time.Now(), false
	for {
		if now = n.Footprint(); now == before {
			return
		}
		if !nudged && time.Since(begun) > 5*time.Second {
			// The engine collects garbage when something is removed, and forgets
			// removals that came while it did so: the next removal makes up for it.
			nudged = true
			n.Try("run", "--rm", "--entrypoint", "/no/such/program", "library/welcome")
		}
		if time.Since(begun) > 20*time.Second {
			found, _ := filepath.Glob(filepath.Join(n.DataDir, "engine", "io.containerd.snapshotter.v1.overlayfs", "snapshots", "*"))
			n.t.Errorf("something is left over; before:\n%snow:\n%s%v", before, now, found)
			return
		}
		select {
		case <-n.t.Context().Done():
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}
