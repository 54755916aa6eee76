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
	"runtime/debug"
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
func state(ctx context.Context, o options, scratch string) error {
	etcd, stopEtcd, err := startEtcd(ctx, filepath.Join(scratch, "etcd-state"))
	if err != nil {
		return fmt.Errorf("etcd takes no part: %w", err)
	}
	ours, stopOurs, err := startPropose(ctx, scratch)
	if err == nil {
		err = errors.Join(writes(ctx, o, "state", etcd, ours), stopOurs())
	}
	return errors.Join(err, stopEtcd())
}

// writes lets the writers write in turn, with one client and with 64.
func writes(ctx context.Context, o options, section string, writers ...writer) error {
	for _, clients := range []int{1, 64} {
		rates, latencies := map[string]*series{}, map[string]*series{}
		for round := -1; round < min(o.repeats, 7); round++ {
			for _, w := range writers {
				r, err := w.write(ctx, clients)
				if err != nil {
					return fmt.Errorf("%s: %s with %d clients: %w", section, w.name, clients, err)
				}
				if rates[w.name] == nil {
					rates[w.name], latencies[w.name] = &series{}, &series{}
				}
				if round >= 0 { // the first run fills caches and makes connections
					rates[w.name].add(r.PerSecond)
					latencies[w.name].add(r.P50Ms)
				}
			}
		}
		for _, w := range writers {
			rates[w.name].print(fmt.Sprintf("%s_%s_%d_clients", section, w.name, clients), "writes/s")
			latencies[w.name].print(fmt.Sprintf("%s_%s_%d_clients_p50", section, w.name, clients), "ms")
		}
		ratio(fmt.Sprintf("%s_ours_to_etcd_%d_clients", section, clients), rates["ours"].orZero(), rates["etcd"].orZero())
	}
	return nil
}

// repeatedly calls write from a number of clients for writeFor. write gets the
// client's and the write's number.
func repeatedly(ctx context.Context, clients int, write func(ctx context.Context, client, i int) error) (rate, error) {
	var latency series
	begin := time.Now()
	err := each(ctx, clients, clients, func(ctx context.Context, c int) error {
		for i := 0; time.Since(begin) < writeFor; i++ {
			sent := time.Now()
			if err := write(ctx, c, i); err != nil {
				return err
			}
			latency.addSince(sent)
		}
		return nil
	})
	took := time.Since(begin)
	return rate{PerSecond: float64(latency.len()) / took.Seconds(), P50Ms: latency.median()}, err
}

// startEtcd builds the small client program, which is a module of its own, and
// starts Debian's etcd on loopback.
func startEtcd(ctx context.Context, dir string) (writer, func() error, error) {
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
		return writer{}, nil, errors.Join(err, stop())
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

// startPropose opens a node of one member on disk, with a cluster. What it writes
// are new volumes, about as long as etcd's values.
func startPropose(ctx context.Context, scratch string) (writer, func() error, error) {
	debug.SetGCPercent(200) // as `skerry daemon` does
	n, err := node.Open(node.Config{Dir: filepath.Join(scratch, "raft"), ID: "bench", Version: "bench"})
	if err != nil {
		return writer{}, nil, err
	}
	if err := foundCluster(ctx, n); err != nil {
		return writer{}, nil, errors.Join(err, n.Close())
	}
	run := 0 // makes names unique; runs follow one another
	write := func(ctx context.Context, clients int) (rate, error) {
		run++
		prefix := fmt.Sprintf("v%d", run)
		return repeatedly(ctx, clients, func(ctx context.Context, client, i int) error {
			now := time.Now().UTC()
			_, err := n.Propose(ctx, &command.PutVolume{
				Head: command.By(model.Origin{Actor: "bench", RequestID: prefix, Time: now}),
				Volume: model.Volume{
					Meta: meta(fmt.Sprintf("%s-%d-%d", prefix, client, i), now), TenantID: "default", NodeID: "bench",
					Spec: model.VolumeSpec{Driver: "local"},
				},
			})
			return err
		})
	}
	return writer{name: "ours", write: write}, n.Close, nil
}

// foundCluster makes the node the only member of a new cluster.
func foundCluster(ctx context.Context, n *node.Node) error {
	if err := n.Bootstrap(ctx); err != nil {
		return err
	}
	if err := within(ctx, 10*time.Second, n.Barrier); err != nil {
		return err
	}
	now := time.Now().UTC()
	_, err := n.Propose(ctx, &command.InitCluster{
		Cluster: model.Cluster{
			ID: "cluster", CreatedAt: now, FeatureLevel: 1, PortMin: 30000, PortMax: 32767,
			Pool: netip.MustParsePrefix("10.42.0.0/16"), VIPPool: netip.MustParsePrefix("10.43.0.0/16"),
		},
		Tenant: model.Tenant{Meta: meta("default", now)}, Environment: model.Environment{Meta: meta("default", now)},
		Node: model.Node{Meta: meta("bench", now), EnvironmentID: "default"},
	})
	return err
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
