// Command etcdput writes to an etcd server as fast as a number of clients can and
// prints one JSON object: {"perSecond": ..., "p50Ms": ...}.
//
// It is a program and a module of its own, so that etcd's client is no dependency
// of Skerry. Only the benchmark calls it.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "etcdput:", err)
		os.Exit(1)
	}
}

func run() error {
	endpoint := flag.String("endpoint", "", "addresses of etcd's client ports, with commas between them")
	clients := flag.Int("clients", 1, "clients that write at the same time")
	size := flag.Int("size", 256, "bytes of each value")
	length := flag.Duration("for", 2*time.Second, "how long to write")
	connections := flag.Int("connections", 8, "gRPC connections that the clients share")
	flag.Parse()
	pool := make([]*clientv3.Client, min(*connections, *clients))
	for i := range pool {
		c, err := clientv3.New(clientv3.Config{Endpoints: strings.Split(*endpoint, ","), DialTimeout: 10 * time.Second})
		if err != nil {
			return fmt.Errorf("connect to %s: %w", *endpoint, err)
		}
		defer c.Close()
		pool[i] = c
		if _, err := c.Get(context.Background(), "warm"); err != nil { // dialling is lazy
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), *length+10*time.Second)
	defer cancel()
	value := strings.Repeat("x", *size)
	var mu sync.Mutex
	var latencies []time.Duration // guarded by mu
	var failure error             // guarded by mu
	var workers sync.WaitGroup
	begin := time.Now()
	for n := range *clients {
		workers.Go(func() {
			var mine []time.Duration
			var err error
			for i := 0; time.Since(begin) < *length && err == nil; i++ {
				sent := time.Now()
				_, err = pool[n%len(pool)].Put(ctx, fmt.Sprintf("bench/%d/%d", n, i), value)
				mine = append(mine, time.Since(sent))
			}
			mu.Lock()
			defer mu.Unlock()
			latencies = append(latencies, mine...)
			if err != nil {
				failure = fmt.Errorf("put: %w", err)
			}
		})
	}
	workers.Wait()
	if failure != nil {
		return failure
	}
	took := time.Since(begin)
	slices.Sort(latencies)
	return json.NewEncoder(os.Stdout).Encode(map[string]float64{
		"perSecond": float64(len(latencies)) / took.Seconds(),
		"p50Ms":     float64(latencies[len(latencies)/2]) / float64(time.Millisecond),
	})
}
