package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"
)

// series collects the runs of one figure. It may be used concurrently.
type series struct {
	mu     sync.Mutex
	values []float64 // guarded by mu
}

func (s *series) add(v float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values = append(s.values, v)
}

func (s *series) addSince(start time.Time) { s.add(milliseconds(time.Since(start))) }

// quantile returns the value below which the share q of the runs lies.
func (s *series) quantile(q float64) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s.values))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func (s *series) median() float64 { return s.quantile(0.5) }

func (s *series) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.values)
}

// print writes the figure: the median and, behind it, the lowest and highest run.
func (s *series) print(name, unit string) {
	if s.len() == 0 {
		return
	}
	fmt.Printf("%s=%s %s [%s-%s]\n", name, number(s.median()), unit, number(s.quantile(0)), number(s.quantile(1)))
}

// number keeps three or more meaningful digits.
func number(v float64) string {
	switch {
	case v >= 1000:
		return fmt.Sprintf("%.0f", v)
	case v >= 1:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// ratio prints how a figure stands to a peer's of the same run.
func ratio(name string, ours, peer float64) {
	if ours > 0 && peer > 0 {
		fmt.Printf("%s=%.2f ratio\n", name, ours/peer)
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func cpus() int { return runtime.NumCPU() }

// each calls do for 0..n-1, parallel at a time, and returns the first error. After
// an error it begins no further call.
func each(ctx context.Context, n, parallel int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var workers sync.WaitGroup
	for range parallel {
		workers.Go(func() {
			for i := range next {
				if err := do(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := range n {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	workers.Wait()
	return context.Cause(ctx)
}
