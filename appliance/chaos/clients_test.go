package chaos

import (
	"context"
	"flag"
	"math/rand/v2"
	"sync"
	"time"
)

var (
	firstSeed = flag.Uint64("seed", 1, "first seed of the runs")
	simulated = flag.Int("sim", 30, "runs in virtual time")
	hosts     = flag.Int("hosts", 3, "hosts of a run with the built binary")
	realRuns  = flag.Int("real", 10, "runs with the built binary")
)

// cloud is a cluster that is being tried. Its methods are called by many
// goroutines. An output whose why is "not done" certainly did nothing.
type cloud interface {
	size() int
	do(ctx context.Context, node int, in input, seen uint64) output
}

const notDone = "not done"

// crew is the clients of a run.
type crew struct {
	cloud   cloud
	clients int
	think   time.Duration // on average, between two requests
	limit   time.Duration // of one request
	most    int           // replicas

	mu     sync.Mutex
	events []event // guarded by mu
}

// work lets the clients work until ctx ends, and gives what they were told.
func (c *crew) work(ctx context.Context, seed uint64) []event {
	begun := time.Now()
	var wg sync.WaitGroup
	for i := range c.clients {
		wg.Go(func() { c.client(ctx, i, begun, rand.New(rand.NewPCG(seed, uint64(i)+100))) })
	}
	wg.Wait()
	return c.events
}

func (c *crew) client(ctx context.Context, i int, begun time.Time, r *rand.Rand) {
	var seen uint64
	node := r.IntN(c.cloud.size())
	for ctx.Err() == nil {
		if r.IntN(4) == 0 {
			node = r.IntN(c.cloud.size()) // as behind a load balancer
		}
		in := input{kind: []kind{create, create, scale, scale, remove, strong, strong, local, local}[r.IntN(9)], name: appName(r.IntN(pairs), r.IntN(2))}
		if in.kind == create || in.kind == scale {
			in.replicas = 1 + r.IntN(c.most)
		}
		one, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.limit)
		e := event{client: i, node: node, in: in, seen: seen, call: time.Since(begun)}
		e.out = c.cloud.do(one, node, in, seen)
		cancel()
		e.finish = time.Since(begun)
		if e.out.why == notDone {
			node = r.IntN(c.cloud.size())
		} else {
			seen = max(seen, e.out.index)
			c.mu.Lock()
			c.events = append(c.events, e)
			c.mu.Unlock()
		}
		pause := time.NewTimer(time.Duration(r.Int64N(int64(2*c.think) + 1)))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
}
