package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/skerryhq/skerry/appliance/apptest/debimage"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
)

// writeFor is how long one run of a state benchmark writes.
const writeFor = 1500 * time.Millisecond

// rate is one run.
type rate struct {
	PerSecond float64 `json:"perSecond"`
	P50Ms     float64 `json:"p50Ms"`
}

// writer writes durable state with a number of clients.
type writer struct {
	name  string
	write func(ctx context.Context, clients int) (rate, error)
}

// state measures durable writes: ours through Propose, with real commands on the
// real state, and etcd's through its own client. Both sync each write to the same
// disk.
func state(ctx context.Context, o options, scratch string) (err error) {
	var writers []writer
	var failed []error
	for _, start := range []func(context.Context, string) (writer, func() error, error){startEtcd, startPropose} {
		w, stop, err := start(ctx, scratch)
		if stop != nil {
			defer func() { failed = append(failed, stop()) }()
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		writers = append(writers, w)
	}
	rounds := min(max(o.repeats, 1), 7)
	for _, clients := range []int{1, 64} {
		rates, latencies := map[string]*series{}, map[string]*series{}
		for round := -1; round < rounds; round++ {
			for _, w := range writers {
				r, err := w.write(ctx, clients)
				if err != nil {
					return errors.Join(append(failed, fmt.Errorf("%s with %d clients: %w", w.name, clients, err))...)
				}
				if rates[w.name] == nil {
					rates[w.name], latencies[w.name] = &series{}, &series{}
				}
				if round >= 0 { // the first run fills caches
					rates[w.name].add(r.PerSecond)
					latencies[w.name].add(r.P50Ms)
				}
			}
		}
		for _, w := range writers {
			rates[w.name].print(fmt.Sprintf("state_%s_%d_clients", w.name, clients), "writes/s")
			latencies[w.name].print(fmt.Sprintf("state_%s_%d_clients_p50", w.name, clients), "ms")
		}
		ratio(fmt.Sprintf("state_ours_to_etcd_%d_clients", clients), rates["ours"].orZero(), rates["etcd"].orZero())
	}
	return errors.Join(failed...)
}

// startEtcd builds the small client program, which is a module of its own, and
// starts Debian's etcd on loopback.
func startEtcd(ctx context.Context, scratch string) (writer, func() error, error) {
	tools, err := debimage.Unpack(ctx, false, "etcd-server")
	if err != nil {
		return writer{}, nil, err
	}
	put := filepath.Join(scratch, "etcdput")
	build := exec.CommandContext(ctx, "go", "build", "-o", put, ".")
	build.Dir = filepath.Join("packaging", "bench", "etcdput")
	if out, err := build.CombinedOutput(); err != nil {
		return writer{}, nil, fmt.Errorf("build etcd's client (run the benchmark from the repository's root): %w: %s", err, out)
	}
	dir := filepath.Join(scratch, "etcd")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return writer{}, nil, err
	}
	client, err := freePort()
	if err != nil {
		return writer{}, nil, err
	}
	peerPort, err := freePort()
	if err != nil {
		return writer{}, nil, err
	}
	peerURL := fmt.Sprintf("http://127.0.0.1:%d", peerPort)
	d, err := launch(nil, filepath.Join(dir, "log"), nil, filepath.Join(tools, "usr/bin/etcd"),
		"--data-dir", dir+"/data", "--listen-client-urls", fmt.Sprintf("http://127.0.0.1:%d", client),
		"--advertise-client-urls", fmt.Sprintf("http://127.0.0.1:%d", client), "--listen-peer-urls", peerURL,
		"--initial-advertise-peer-urls", peerURL, "--initial-cluster", "default="+peerURL, "--log-level", "error")
	if err != nil {
		return writer{}, nil, err
	}
	stop := func() error { return errors.Join(d.stop(10*time.Second), sweep(dir)) }
	endpoint := fmt.Sprintf("127.0.0.1:%d", client)
	write := func(ctx context.Context, clients int) (rate, error) {
		out, err := exec.CommandContext(ctx, put, "-endpoint", endpoint, "-clients", fmt.Sprint(clients), "-for", writeFor.String()).Output()
		if err != nil {
			return rate{}, fmt.Errorf("etcdput: %w: %s", err, tail(d.log))
		}
		var r rate
		return r, json.Unmarshal(out, &r)
	}
	if err := d.ready(ctx, func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", endpoint)
		if err != nil {
			return err
		}
		return conn.Close()
	}); err != nil {
		return writer{}, stop, err
	}
	return writer{name: "etcd", write: write}, stop, nil
}

// freePort returns a loopback port that nobody listens on at this moment.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// startPropose opens a node of one member on disk, with a cluster.
func startPropose(ctx context.Context, scratch string) (writer, func() error, error) {
	n, err := node.Open(node.Config{Dir: filepath.Join(scratch, "raft"), ID: "bench", Version: "bench"})
	if err != nil {
		return writer{}, nil, err
	}
	stop := n.Close
	if err := n.Bootstrap(ctx); err != nil {
		return writer{}, stop, err
	}
	if err := within(ctx, 10*time.Second, n.Barrier); err != nil {
		return writer{}, stop, err
	}
	now := time.Now().UTC()
	if _, err := n.Propose(ctx, &command.InitCluster{
		Cluster: model.Cluster{
			ID: "cluster", CreatedAt: now, FeatureLevel: 1, PortMin: 30000, PortMax: 32767,
			Pool: netip.MustParsePrefix("10.42.0.0/16"), VIPPool: netip.MustParsePrefix("10.43.0.0/16"),
		},
		Tenant:      model.Tenant{Meta: meta("default", now)},
		Environment: model.Environment{Meta: meta("default", now)}, Node: model.Node{Meta: meta("bench", now), EnvironmentID: "default"},
	}); err != nil {
		return writer{}, stop, err
	}
	var mu sync.Mutex
	run := 0 // guarded by mu; makes names unique
	write := func(ctx context.Context, clients int) (rate, error) {
		mu.Lock()
		run++
		prefix := fmt.Sprintf("v%d", run)
		mu.Unlock()
		return propose(ctx, n, prefix, clients)
	}
	return writer{name: "ours", write: write}, stop, nil
}

// propose creates volumes, about as long as etcd's values are, for writeFor.
func propose(ctx context.Context, n *node.Node, prefix string, clients int) (rate, error) {
	var latency series
	begin := time.Now()
	err := each(ctx, clients, clients, func(ctx context.Context, c int) error {
		for i := 0; time.Since(begin) < writeFor; i++ {
			sent := time.Now()
			_, err := n.Propose(ctx, &command.PutVolume{
				Head: command.By(model.Origin{Actor: "bench", RequestID: prefix, Time: sent.UTC()}),
				Volume: model.Volume{
					Meta: meta(fmt.Sprintf("%s-%d-%d", prefix, c, i), sent.UTC()), TenantID: "default", NodeID: "bench",
					Spec: model.VolumeSpec{Driver: "local"},
				},
			})
			if err != nil {
				return err
			}
			latency.addSince(sent)
		}
		return nil
	})
	took := time.Since(begin)
	return rate{PerSecond: float64(latency.len()) / took.Seconds(), P50Ms: latency.median()}, err
}

func meta(id string, now time.Time) model.Meta {
	return model.Meta{ID: id, Name: id, CreatedAt: now, UpdatedAt: now}
}

// within calls do with a deadline until it succeeds.
func within(ctx context.Context, limit time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := do(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}
