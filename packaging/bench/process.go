package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a line of /proc.
type process struct {
	pid  int
	argv []string
}

// under returns the processes whose command line names the folder, and their
// descendants: every peer runs with its own private folder, so this finds exactly
// what a peer started.
func under(dir string) []process {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	parents := map[int]int{}
	ours := map[int]bool{}
	all := map[int]process{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		line, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err != nil || len(line) == 0 {
			continue
		}
		all[pid] = process{pid: pid, argv: strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")}
		ours[pid] = bytes.Contains(line, []byte(dir+"/"))
		parents[pid] = parentOf(pid)
	}
	var found []process
	for pid, p := range all {
		for at := pid; at > 1; at = parents[at] {
			if ours[at] {
				found = append(found, p)
				break
			}
		}
	}
	return found
}

// parentOf reads the parent's id behind the command name, which may itself hold
// spaces and brackets.
func parentOf(pid int) int {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 2 {
		return 0
	}
	parent, _ := strconv.Atoi(fields[1]) // 0, which ends the walk, when the kernel changes its format
	return parent
}

// memory returns resident and proportional memory in MiB. A process that ended
// meanwhile counts nothing.
func (p process) memory() (rss, pss float64) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", p.pid))
	if err != nil {
		return 0, 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var kib float64
		if n, _ := fmt.Sscanf(lines.Text(), "Rss: %f kB", &kib); n == 1 {
			rss = kib / 1024
		}
		if n, _ := fmt.Sscanf(lines.Text(), "Pss: %f kB", &kib); n == 1 {
			pss = kib / 1024
		}
	}
	return rss, pss
}

// footprint sums the memory of a peer's processes by what they are.
func footprint(dir string, class func(process) string) (rss, pss map[string]float64, count map[string]int) {
	rss, pss, count = map[string]float64{}, map[string]float64{}, map[string]int{}
	for _, p := range under(dir) {
		name := class(p)
		r, s := p.memory()
		rss[name] += r
		pss[name] += s
		count[name]++
	}
	return rss, pss, count
}

// daemon is a process that a peer consists of.
type daemon struct {
	cmd  *exec.Cmd
	done chan error
	log  string
}

// launch starts a program in the site's node namespace (or here, without a site)
// with its output in a log file.
func launch(s *site, log string, env []string, program string, args ...string) (*daemon, error) {
	f, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer f.Close() // the child has its own copy
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = f, f
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the benchmark, which then ends its peers in order
	if s != nil {
		err = s.start(cmd)
	} else {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	d := &daemon{cmd: cmd, done: make(chan error, 1), log: log}
	go func() { d.done <- cmd.Wait() }()
	return d, nil
}

// ready polls until the probe succeeds; it gives up when the process ends.
func (d *daemon) ready(ctx context.Context, probe func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	for {
		err := probe(ctx)
		if err == nil {
			return nil
		}
		select {
		case exit := <-d.done:
			d.done <- exit
			return fmt.Errorf("%s ended before it was ready (%v): %s", d.cmd.Path, exit, tail(d.log)) //nolint:errorlint // exit may be nil
		case <-ctx.Done():
			return fmt.Errorf("%s was not ready: %w: %s", d.cmd.Path, err, tail(d.log))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop asks the process to end and kills it after the grace.
func (d *daemon) stop(grace time.Duration) error {
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-d.done:
		return nil
	case <-time.After(grace):
		err := d.cmd.Process.Kill()
		<-d.done
		return errors.Join(fmt.Errorf("%s did not end within %s of SIGTERM: %s", d.cmd.Path, grace, tail(d.log)), err)
	}
}

// sweep ends what a peer left behind: processes and mounts under its folder.
func sweep(dir string) error {
	var errs []error
	for range 50 {
		left := under(dir)
		if len(left) == 0 {
			break
		}
		for _, p := range left {
			if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				errs = append(errs, err)
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	for _, m := range slices.Backward(mountsUnder(dir)) {
		if err := syscall.Unmount(m, syscall.MNT_DETACH); err != nil && !errors.Is(err, syscall.EINVAL) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", m, err))
		}
	}
	return errors.Join(errs...)
}

func mountsUnder(dir string) []string {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	var found []string
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			found = append(found, fields[4])
		}
	}
	return found
}

// tail is the end of a log, for an error message.
func tail(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-1500):])
}

// socketClient speaks HTTP over a unix socket. Connections stay open, as those of
// a real client do.
func socketClient(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 64,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
	}}
}

// call sends one JSON request; out may be nil. header holds name, value pairs.
func call(ctx context.Context, c *http.Client, method, url string, in, out any, header ...string) error {
	_, err := exchange(ctx, c, method, url, in, out, header...)
	return err
}

// exchange is call that also returns the answer's header.
func exchange(ctx context.Context, c *http.Client, method, url string, in, out any, header ...string) (http.Header, error) {
	var body io.Reader
	switch v := in.(type) {
	case nil:
	case io.Reader:
		body = v
	default:
		data, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(data)
		header = append(header, "Content-Type", "application/json")
	}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 300 {
		return nil, fmt.Errorf("%s %s: %s: %s", method, url, resp.Status, bytes.TrimSpace(data))
	}
	if out == nil {
		return resp.Header, nil
	}
	return resp.Header, json.Unmarshal(data, out)
}
