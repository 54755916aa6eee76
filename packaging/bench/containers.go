package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// peer is an engine that starts the benchmark's container. run and remove may be
// called concurrently with different numbers.
type peer interface {
	name() string
	run(ctx context.Context, i int) (timing, error)
	remove(ctx context.Context, i int) error // returns when it is gone
	folder() string                          // private folder, which its processes name in their command lines
	class(process) string                    // group of a process in the memory figures
	census(ctx context.Context) (census, error)
	close() error
}

// timing is one start. A zero means that the peer has no such moment.
type timing struct {
	running  time.Duration // from the request until the engine said that it runs
	answered time.Duration // until the published port answered
	steps    []step
}

type step struct {
	name string
	took time.Duration
}

// containers runs the sections that start containers.
func containers(ctx context.Context, o options, scratch string) (err error) {
	var peers []peer
	var failed []error
	defer func() {
		for _, p := range peers {
			if closeErr := p.close(); closeErr != nil {
				err = errors.Join(err, fmt.Errorf("end %s: %w", p.name(), closeErr))
			}
		}
	}()
	for i, name := range o.peers {
		if !slices.ContainsFunc([]string{"start", "burst", "rss"}, func(s string) bool { return slices.Contains(o.only, s) }) && name != "ours" {
			continue // the API section needs ours alone
		}
		p, err := startPeer(ctx, o, scratch, name, i+1)
		if err != nil {
			failed = append(failed, fmt.Errorf("%s takes no part: %w", name, err))
		}
		if p != nil && err == nil {
			peers = append(peers, p)
		} else if p != nil {
			failed = append(failed, p.close())
		}
	}
	for _, section := range []struct {
		name string
		do   func(context.Context, options, []peer) error
	}{{"rss", idle}, {"start", starts}, {"burst", bursts}, {"api", apiWrites}} {
		if slices.Contains(o.only, section.name) {
			failed = append(failed, section.do(ctx, o, peers))
		}
	}
	return errors.Join(failed...)
}

func startPeer(ctx context.Context, o options, scratch, name string, n int) (peer, error) {
	switch name {
	case "docker":
		return startDocker(ctx, scratch, n)
	case "engine":
		return startEngine(ctx, o, scratch)
	case "grouped":
		return startGrouped(ctx, o, scratch)
	case "debian":
		return startDebian(ctx, o, scratch)
	}
	return startOurs(ctx, o, scratch, n)
}

// idle measures the memory of peers that have just started and run nothing.
func idle(_ context.Context, _ options, peers []peer) error {
	time.Sleep(2 * time.Second) // let start-up work end: what is measured is rest
	for _, p := range peers {
		printMemory("idle", p)
	}
	return nil
}

func printMemory(when string, p peer) {
	rss, pss, count := footprint(p.folder(), p.class)
	for _, class := range slices.Sorted(maps.Keys(rss)) {
		if class == "others" {
			continue // the containers' own processes
		}
		fmt.Printf("rss_%s_%s_%s=%.1f MiB [%d processes, %.1f MiB proportional]\n", when, p.name(), class, rss[class], count[class], pss[class])
	}
}

// starts measures single starts, one peer after the other in every round, because
// the machine's speed changes from second to second.
func starts(ctx context.Context, o options, peers []peer) error {
	running, answered, removed := figures(), figures(), figures()
	steps := map[string]map[string]*series{}
	var order []string // of steps, as they happen
	for round := -1; round < o.repeats; round++ {
		for _, p := range peers {
			t, err := p.run(ctx, 0)
			if err != nil {
				return fmt.Errorf("%s: start: %w", p.name(), err)
			}
			begin := time.Now()
			if err := p.remove(ctx, 0); err != nil {
				return fmt.Errorf("%s: remove: %w", p.name(), err)
			}
			if round < 0 {
				continue // the first start fills caches
			}
			removed.of(p).addSince(begin)
			running.of(p).add(milliseconds(t.running))
			if t.answered > 0 {
				answered.of(p).add(milliseconds(t.answered))
			}
			for _, s := range t.steps {
				if steps[p.name()] == nil {
					steps[p.name()] = map[string]*series{}
				}
				if steps[p.name()][s.name] == nil {
					steps[p.name()][s.name] = &series{}
					order = append(order, p.name()+"."+s.name)
				}
				steps[p.name()][s.name].add(milliseconds(s.took))
			}
		}
	}
	for _, p := range peers {
		running.of(p).print("start_"+p.name()+"_running", "ms")
		answered.of(p).print("start_"+p.name()+"_answering", "ms")
		removed.of(p).print("start_"+p.name()+"_remove", "ms")
	}
	for _, key := range order {
		for name, byStep := range steps {
			for s, values := range byStep {
				if name+"."+s == key {
					values.print("trace_"+name+"_"+s, "ms")
				}
			}
		}
	}
	ratio("start_ours_to_docker", answered["ours"].orZero(), answered["docker"].orZero())
	ratio("start_ours_to_engine", answered["ours"].orZero(), running["engine"].orZero())
	ratio("start_engine_to_debian", running["engine"].orZero(), running["debian"].orZero())
	return nil
}

// bursts measures many starts and removals at once, the memory while they run, and
// what is left afterwards.
func bursts(ctx context.Context, o options, peers []peer) error {
	up, down := figures(), figures()
	var left []error
	for round := range o.burstRepeats {
		for _, p := range peers {
			before, err := p.census(ctx)
			if err != nil {
				return err
			}
			begin := time.Now()
			if err := each(ctx, o.burst, o.parallel, func(ctx context.Context, i int) error {
				_, err := p.run(ctx, i)
				return err
			}); err != nil {
				return fmt.Errorf("%s: burst: %w", p.name(), err)
			}
			up.of(p).add(time.Since(begin).Seconds())
			if round == o.burstRepeats-1 && slices.Contains(o.only, "rss") {
				printMemory(fmt.Sprintf("with_%d", o.burst), p)
			}
			begin = time.Now()
			if err := each(ctx, o.burst, o.parallel, func(ctx context.Context, i int) error { return p.remove(ctx, i) }); err != nil {
				return fmt.Errorf("%s: removal: %w", p.name(), err)
			}
			down.of(p).add(time.Since(begin).Seconds())
			if round == o.burstRepeats-1 {
				after, err := settled(ctx, p, before)
				if err != nil {
					return err
				}
				if err := before.compare(p.name(), after); err != nil && p.name() == "ours" {
					left = append(left, err) // what a peer leaves is its own affair, and printed
				}
			}
		}
	}
	for _, p := range peers {
		up.of(p).print(fmt.Sprintf("burst_%s_start_%d", p.name(), o.burst), "s")
		down.of(p).print(fmt.Sprintf("burst_%s_remove_%d", p.name(), o.burst), "s")
	}
	ratio("burst_start_ours_to_docker", up["ours"].orZero(), up["docker"].orZero())
	ratio("burst_remove_ours_to_docker", down["ours"].orZero(), down["docker"].orZero())
	return errors.Join(left...)
}

// settled counts again until nothing more goes away: a namespace ends a moment
// after its last process.
func settled(ctx context.Context, p peer, before census) (census, error) {
	deadline := time.Now().Add(10 * time.Second)
	for {
		after, err := p.census(ctx)
		if err != nil {
			return nil, err
		}
		more := false
		for kind, n := range after {
			more = more || n > before[kind]
		}
		if !more || time.Now().After(deadline) {
			return after, nil
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// byPeer holds a figure for each peer.
type byPeer map[string]*series

func figures() byPeer { return byPeer{} }

func (b byPeer) of(p peer) *series {
	if b[p.name()] == nil {
		b[p.name()] = &series{}
	}
	return b[p.name()]
}

// orZero is the median, or 0 for a peer that took no part.
func (s *series) orZero() float64 {
	if s == nil {
		return 0
	}
	return s.median()
}
