package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/skerryhq/skerry/appliance/apptest/debimage"
)

// ours is a real `skerry daemon --ephemeral` in its own namespace.
type ours struct {
	dir    string
	site   *site
	daemon *daemon
	api    *http.Client // over the local socket
	node   string       // its id
}

const ourAPI = "http://skerry/api/v1"

// startOurs starts the daemon, makes its cluster and imports the image.
func startOurs(ctx context.Context, o options, scratch string, n int) (peer, error) {
	binary := filepath.Join(o.bin, "skerry")
	if _, err := os.Stat(binary); err != nil {
		return nil, fmt.Errorf("find our daemon (make build makes it): %w", err)
	}
	s := &ours{dir: filepath.Join(scratch, "ours")}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return nil, err
	}
	var err error
	if s.site, err = newSite(ctx, "ours", n); err != nil {
		return nil, err
	}
	data, runDir := filepath.Join(s.dir, "data"), filepath.Join(s.dir, "run")
	s.daemon, err = launch(s.site, filepath.Join(s.dir, "daemon.log"), nil, binary, "daemon",
		"--data-dir", data, "--run-dir", runDir, "--listen", s.site.addr+":7443", "--name", "bench", "--ephemeral")
	if err != nil {
		return s, err
	}
	socket := filepath.Join(runDir, "skerry.sock")
	s.api = socketClient(socket)
	if err := s.daemon.ready(ctx, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, ourAPI+"/setup", nil)
		if err != nil {
			return err
		}
		resp, err := s.api.Do(req) // any answer will do: there is no cluster yet
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}); err != nil {
		return s, err
	}
	var cluster struct {
		NodeID string `json:"nodeId"`
	}
	input := map[string]any{"adminPassword": rand.Text()} // only the token below is used
	if err := call(ctx, s.api, http.MethodPost, ourAPI+"/init", input, &cluster); err != nil {
		return s, fmt.Errorf("make a cluster: %w", err)
	}
	s.node = cluster.NodeID
	archive, err := debimage.Archive(ctx, "busybox")
	if err != nil {
		return s, err
	}
	f, err := os.Open(archive)
	if err != nil {
		return s, err
	}
	defer f.Close()
	return s, call(ctx, s.api, http.MethodPost, ourAPI+"/image-imports", f, nil, "Content-Type", "application/x-tar")
}

func (s *ours) name() string { return "ours" }

// run is what `skerry run -d -p` asks the daemon for.
func (s *ours) run(ctx context.Context, i int) (timing, error) {
	name := fmt.Sprintf("bench-%d", i)
	begin := time.Now()
	header, err := exchange(ctx, s.api, http.MethodPost, ourAPI+"/apps?wait=60", map[string]any{
		"name": name, "pull": "never",
		"services": map[string]any{"web": map[string]any{
			"replicas": 1,
			"ports":    []map[string]any{{"hostPort": firstPort + i, "containerPort": serverPort}},
			"container": map[string]any{
				"image": imageName, "command": serverCommand, "memoryBytes": memoryLimit, "restart": "no",
			},
		}},
	}, nil)
	if err != nil {
		return timing{}, err
	}
	t := timing{running: time.Since(begin), steps: serverTiming(header)}
	if err := s.site.answered(ctx, firstPort+i); err != nil {
		return t, err
	}
	t.answered = time.Since(begin)
	return t, nil
}

// serverTiming reads where the time of a start went from the standard header
// Server-Timing: `propose;dur=0.9, snapshot;dur=4.1, task;dur=52`, in milliseconds.
// A metric without a duration is left out.
func serverTiming(header http.Header) []step {
	var steps []step
	for _, line := range header.Values("Server-Timing") {
		for metric := range strings.SplitSeq(line, ",") {
			name, parameters, _ := strings.Cut(strings.TrimSpace(metric), ";")
			for parameter := range strings.SplitSeq(parameters, ";") {
				value, ok := strings.CutPrefix(strings.TrimSpace(parameter), "dur=")
				if ms, err := strconv.ParseFloat(value, 64); ok && err == nil {
					steps = append(steps, step{name, time.Duration(ms * float64(time.Millisecond))})
				}
			}
		}
	}
	return steps
}

func (s *ours) remove(ctx context.Context, i int) error {
	return call(ctx, s.api, http.MethodDelete, fmt.Sprintf("%s/apps/bench-%d?force=true&wait=60", ourAPI, i), nil, nil)
}

// class sorts the processes for the memory figures.
func (s *ours) class(p process) string {
	program := filepath.Base(p.argv[0])
	switch {
	case strings.HasPrefix(program, "containerd-shim"):
		return "shims"
	case program == "containerd":
		return "engine"
	case program == "skerry" && len(p.argv) > 1 && p.argv[1] == "daemon":
		return "daemon"
	case strings.HasPrefix(program, "skerry"):
		return "helpers"
	}
	return "others"
}

func (s *ours) folder() string { return s.dir }

func (s *ours) census(ctx context.Context) (census, error) {
	c, err := takeCensus(s.dir).cgroups("/skerry/"+s.node+"/").network(ctx, s.site.node)
	if err != nil {
		return nil, err
	}
	socket, err := s.engineSocket()
	if err != nil {
		return nil, err
	}
	return c.engine(ctx, socket)
}

// engineSocket finds the engine's socket under the run folder; where in it the
// engine lives is the daemon's own business.
func (s *ours) engineSocket() (string, error) {
	found := ""
	err := filepath.WalkDir(filepath.Join(s.dir, "run"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "containerd.sock" {
			found = path
		}
		return nil // what vanishes while we walk is not the socket
	})
	if err == nil && found == "" {
		err = errors.New("no containerd.sock under the run folder")
	}
	return found, err
}

func (s *ours) close() error {
	var errs []error
	if s.daemon != nil {
		errs = append(errs, s.daemon.stop(30*time.Second))
		if left := under(s.dir); len(left) > 0 {
			errs = append(errs, fmt.Errorf("the ephemeral daemon left %d processes, the first is %v", len(left), left[0].argv))
		}
		if left := mountsUnder(s.dir); len(left) > 0 {
			errs = append(errs, fmt.Errorf("the ephemeral daemon left %d mounts, the first is %s", len(left), left[0]))
		}
		if left := (census{}).cgroups("/skerry/" + s.node); s.node != "" && left["cgroups"] > 0 {
			errs = append(errs, fmt.Errorf("the ephemeral daemon left %d cgroups", left["cgroups"]))
		}
	}
	return errors.Join(append(errs, sweep(s.dir), s.site.close())...)
}

// apiWrites measures state writes through the whole API (TLS, token, gate, raft)
// against etcd's through its own client.
func apiWrites(ctx context.Context, o options, peers []peer) error {
	var s *ours
	for _, p := range peers {
		if found, ok := p.(*ours); ok {
			s = found
		}
	}
	if s == nil {
		return errors.New("the section api needs our daemon")
	}
	api, err := s.tokenWriter(ctx)
	if err != nil {
		return err
	}
	etcd, stop, err := startEtcd(ctx, filepath.Join(filepath.Dir(s.dir), "etcd-api"))
	if err != nil {
		return fmt.Errorf("etcd takes no part: %w", err)
	}
	return errors.Join(writes(ctx, o, "api", etcd, api), stop())
}

// tokenWriter writes API tokens, an object that has no effect but to be stored.
func (s *ours) tokenWriter(ctx context.Context) (writer, error) {
	var token struct {
		Token string `json:"token"`
	}
	input := map[string]any{"name": "bench", "role": "admin", "user": "admin"}
	if err := call(ctx, s.api, http.MethodPost, ourAPI+"/api-tokens", input, &token); err != nil {
		return writer{}, err
	}
	// The certificate is of the cluster's own authority; checking it costs nothing
	// on connections that stay open.
	client := &http.Client{Transport: &http.Transport{
		DialContext: s.site.dial, MaxIdleConnsPerHost: 64, MaxConnsPerHost: 64,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // our own daemon in its own namespace
	}}
	url := "https://" + s.site.addr + ":7443/api/v1/api-tokens"
	run := 0 // makes names unique; runs follow one another
	write := func(ctx context.Context, clients int) (rate, error) {
		run++
		prefix := fmt.Sprintf("b%d", run)
		return repeatedly(ctx, clients, func(ctx context.Context, c, i int) error {
			return call(ctx, client, http.MethodPost, url,
				map[string]any{"name": fmt.Sprintf("%s-%d-%d", prefix, c, i), "role": "viewer", "ttlSeconds": 3600}, nil,
				"Authorization", "Bearer "+token.Token)
		})
	}
	return writer{name: "ours", write: write}, nil
}
