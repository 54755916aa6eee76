package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/skerryhq/skerry/appliance/apptest/debimage"
)

// members is how many take part in the section "cluster".
const members = 3

// cluster measures three members beside three of etcd, all on this machine's one
// disk: first durable writes, then what a person sees of built hosts: how long a
// join takes, how long nobody can write when the leader is killed, when replicas
// of a lost host run elsewhere, and what an idle member costs.
func cluster(ctx context.Context, o options, scratch string) error {
	etcd, stopEtcd, err := startEtcds(ctx, filepath.Join(scratch, "etcd-cluster"))
	if err != nil {
		return fmt.Errorf("etcd takes no part: %w", err)
	}
	ours, forwarded, stopOurs, err := startMembers(ctx, filepath.Join(scratch, "members"))
	if err == nil {
		err = errors.Join(writes(ctx, o, "cluster", etcd, ours, forwarded), stopOurs())
	}
	return errors.Join(err, stopEtcd(), hostFigures(ctx, o))
}

// hostFigures lets the test bed measure hosts with the built binary; it prints
// its figures itself, as the benchmark does.
func hostFigures(ctx context.Context, o options) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout", "30m", "-v", "./appliance/e2e", "-run", "^TestClusterFigures$", "-figures")
	cmd.Env = append(os.Environ(), "SKERRY_BIN="+filepath.Join(o.bin, "skerry"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // the test too; its sentinel clears up
	out, err := cmd.Output()
	for lines := bufio.NewScanner(strings.NewReader(string(out))); lines.Scan(); {
		if _, figure, ok := strings.Cut(lines.Text(), "figure "); ok {
			fmt.Println(figure)
		}
	}
	if err != nil {
		return fmt.Errorf("measure hosts: %w: %s", err, string(out[max(0, len(out)-1500):]))
	}
	return nil
}

func memberID(i int) string { return fmt.Sprintf("member-%d", i+1) }

// startEtcds starts three of Debian's etcd on loopback; clients use all of them.
func startEtcds(ctx context.Context, dir string) (writer, func() error, error) {
	tools, err := debimage.Unpack(ctx, false, "etcd-server")
	if err != nil {
		return writer{}, nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return writer{}, nil, err
	}
	put := filepath.Join(dir, "etcdput")
	build := exec.CommandContext(ctx, "go", "build", "-o", put, ".")
	build.Dir = filepath.Join("packaging", "bench", "etcdput")
	if out, err := build.CombinedOutput(); err != nil {
		return writer{}, nil, fmt.Errorf("build etcd's client (run the benchmark from the repository's root): %w: %s", err, out)
	}
	var peers, clients, initial []string
	for i := range members {
		for _, list := range []*[]string{&peers, &clients} {
			port, err := freePort()
			if err != nil {
				return writer{}, nil, err
			}
			*list = append(*list, fmt.Sprintf("http://127.0.0.1:%d", port))
		}
		initial = append(initial, memberID(i)+"="+peers[i])
	}
	var daemons []*daemon
	stop := func() error {
		var errs []error
		for _, d := range daemons {
			errs = append(errs, d.stop(10*time.Second))
		}
		return errors.Join(append(errs, sweep(dir))...)
	}
	for i := range members {
		d, err := launch(nil, filepath.Join(dir, fmt.Sprintf("log%d", i)), nil, filepath.Join(tools, "usr/bin/etcd"),
			"--name", memberID(i), "--data-dir", filepath.Join(dir, memberID(i)), "--listen-client-urls", clients[i], "--advertise-client-urls", clients[i],
			"--listen-peer-urls", peers[i], "--initial-advertise-peer-urls", peers[i], "--initial-cluster", strings.Join(initial, ","), "--log-level", "error")
		if err != nil {
			return writer{}, nil, errors.Join(err, stop())
		}
		daemons = append(daemons, d)
	}
	endpoints := strings.ReplaceAll(strings.Join(clients, ","), "http://", "")
	write := func(ctx context.Context, n int) (rate, error) {
		out, err := exec.CommandContext(ctx, put, "-endpoint", endpoints, "-clients", fmt.Sprint(n), "-for", writeFor.String()).Output()
		if err != nil {
			return rate{}, fmt.Errorf("etcdput: %w: %s", err, tail(daemons[0].log))
		}
		var r rate
		return r, json.Unmarshal(out, &r)
	}
	for i, d := range daemons {
		if err := d.ready(ctx, func(ctx context.Context) error {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", strings.TrimPrefix(clients[i], "http://"))
			if err != nil {
				return err
			}
			return conn.Close()
		}); err != nil {
			return writer{}, nil, errors.Join(err, stop())
		}
	}
	return writer{name: "etcd", write: write}, stop, nil
}
