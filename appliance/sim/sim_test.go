package sim_test

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/sim"
)

var (
	seeds = flag.Uint64("sim.seeds", 150, "how many seeds to run")
	first = flag.Uint64("sim.first", 1, "the first seed")
)

// play runs one seed: faults and changes for a while, then rest, twice.
func play(seed uint64) (*sim.World, error) {
	w := sim.New(seed, 2+int(seed%8))
	for round := range 2 {
		for i := range 40 {
			w.Event()
			for range int(seed+uint64(i))%12 + 1 {
				w.Tick()
				if err := w.Always(); err != nil {
					return w, err
				}
			}
		}
		if err := w.Settle(); err != nil {
			return w, fmt.Errorf("round %d: %w", round, err)
		}
		if err := w.Check(); err != nil {
			return w, fmt.Errorf("round %d: %w", round, err)
		}
	}
	return w, nil
}

func TestSeeds(t *testing.T) {
	began := time.Now()
	for seed := *first; seed < *first+*seeds; seed++ {
		if w, err := play(seed); err != nil {
			t.Errorf("seed %d (go test ./appliance/sim -sim.first=%d -sim.seeds=1 -v): %v", seed, seed, err)
			t.Logf("what happened:\n%s", strings.Join(w.Trace, "\n"))
			break
		}
	}
	t.Logf("%d seeds in %s", *seeds, time.Since(began).Round(time.Millisecond))
}

// TestRepeats runs a seed twice: the states are the same to the byte.
func TestRepeats(t *testing.T) {
	var sums [2][32]byte
	for i := range sums {
		w, err := play(7)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := w.View().WriteSnapshot(&b, "test"); err != nil {
			t.Fatal(err)
		}
		sums[i] = sha256.Sum256(b.Bytes())
	}
	if sums[0] != sums[1] {
		t.Fatal("the same seed gave two different states")
	}
}
