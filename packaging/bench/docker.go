package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/skerryhq/skerry/appliance/apptest/debimage"
)

// The container that every peer starts: a small web server with a memory limit.
const (
	imageName   = "busybox:latest"
	serverPort  = 8080
	memoryLimit = 64 << 20
	firstPort   = 20000 // published by container i: firstPort+i, asked for by number
)

var serverCommand = []string{"httpd", "-f", "-p", "8080", "-h", "/etc"}

// docker is Debian's Docker engine on a private root.
type docker struct {
	dir    string
	site   *site
	daemon *daemon
	api    *http.Client
}

const dockerAPI = "http://docker/v1.41"

// startDocker unpacks and starts the engine and loads the image.
func startDocker(ctx context.Context, scratch string, n int) (peer, error) {
	tools, err := debimage.Unpack(ctx, false, "docker.io", "containerd", "runc", "tini", "libdevmapper1.02.1", "libseccomp2")
	if err != nil {
		return nil, err
	}
	d := &docker{dir: filepath.Join(scratch, "docker")}
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return nil, err
	}
	if d.site, err = newSite(ctx, "docker", n); err != nil {
		return nil, err
	}
	socket := filepath.Join(d.dir, "docker.sock")
	env := []string{
		"PATH=" + tools + "/usr/sbin:" + tools + "/usr/bin:" + os.Getenv("PATH"),
		"LD_LIBRARY_PATH=" + tools + "/usr/lib/x86_64-linux-gnu",
		"DOCKER_RAMDISK=", "TMPDIR=" + d.dir,
	}
	// An empty configuration file keeps the host's own /etc/docker out.
	config := filepath.Join(d.dir, "daemon.json")
	if err := os.WriteFile(config, []byte("{}"), 0o644); err != nil {
		return d, err
	}
	d.daemon, err = launch(d.site, filepath.Join(d.dir, "dockerd.log"), env, filepath.Join(tools, "usr/sbin/dockerd"),
		"--data-root", d.dir+"/root", "--exec-root", d.dir+"/exec", "--pidfile", d.dir+"/pid", "--host", "unix://"+socket,
		"--config-file", config, "--userland-proxy-path", tools+"/usr/sbin/docker-proxy", "--cgroup-parent", "/skb-docker",
		"--bip", "172.31.0.1/16", "--group", "root")
	if err != nil {
		return d, err
	}
	d.api = socketClient(socket)
	if err := d.daemon.ready(ctx, func(ctx context.Context) error {
		return call(ctx, d.api, http.MethodGet, dockerAPI+"/version", nil, nil)
	}); err != nil {
		return d, err
	}
	archive, err := debimage.Archive(ctx, "busybox")
	if err != nil {
		return d, err
	}
	f, err := os.Open(archive)
	if err != nil {
		return d, err
	}
	defer f.Close()
	return d, call(ctx, d.api, http.MethodPost, dockerAPI+"/images/load?quiet=1", f, nil, "Content-Type", "application/x-tar")
}

func (d *docker) name() string { return "docker" }

// run is what `docker run -d -p` asks the engine for.
func (d *docker) run(ctx context.Context, i int) (timing, error) {
	begin := time.Now()
	name := fmt.Sprintf("bench-%d", i)
	port := fmt.Sprintf("%d/tcp", serverPort)
	err := call(ctx, d.api, http.MethodPost, dockerAPI+"/containers/create?name="+name, map[string]any{
		"Image": imageName, "Cmd": serverCommand, "ExposedPorts": map[string]any{port: struct{}{}},
		"HostConfig": map[string]any{
			"Memory":       memoryLimit,
			"PortBindings": map[string]any{port: []map[string]string{{"HostPort": fmt.Sprint(firstPort + i)}}},
		},
	}, nil)
	if err != nil {
		return timing{}, err
	}
	created := time.Now()
	if err := call(ctx, d.api, http.MethodPost, dockerAPI+"/containers/"+name+"/start", nil, nil); err != nil {
		return timing{}, err
	}
	t := timing{running: time.Since(begin), steps: []step{
		{"create", created.Sub(begin)}, {"start", time.Since(created)},
	}}
	if err := d.site.answered(ctx, firstPort+i); err != nil {
		return t, err
	}
	t.answered = time.Since(begin)
	return t, nil
}

func (d *docker) remove(ctx context.Context, i int) error {
	return call(ctx, d.api, http.MethodDelete, fmt.Sprintf("%s/containers/bench-%d?force=1&v=1", dockerAPI, i), nil, nil)
}

// class sorts the processes for the memory figures.
func (d *docker) class(p process) string {
	program := filepath.Base(p.argv[0])
	switch {
	case strings.HasPrefix(program, "containerd-shim"):
		return "shims"
	case program == "dockerd", program == "containerd":
		return "daemons"
	case program == "docker-proxy":
		return "proxies"
	}
	return "others"
}

func (d *docker) folder() string { return d.dir }

func (d *docker) census(ctx context.Context) (census, error) {
	return takeCensus(d.dir).cgroups("/skb-docker/").network(ctx, d.site.node)
}

func (d *docker) close() error {
	var errs []error
	if d.daemon != nil {
		errs = append(errs, d.daemon.stop(30*time.Second))
	}
	errs = append(errs, sweep(d.dir), d.site.close())
	removeCgroups("skb-docker")
	return errors.Join(errs...)
}
