package observe

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// TestRingIsAMap compares the ring with a plain map that forgets what is old.
func TestRingIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, plain := ring{metrics: 2}, map[int64]float32{}
		second, newest := int64(1_700_000_000), int64(0)
		for range rapid.IntRange(1, 300).Draw(t, "puts") {
			second += int64(rapid.OneOf(rapid.Just(1), rapid.IntRange(-30, 200), rapid.IntRange(0, 3000)).Draw(t, "step"))
			v := float64(rapid.Int32().Draw(t, "value"))
			r.put(second, []float64{v, hole})
			newest = max(newest, second/minute)
			plain[second] = float32(v)
		}
		got := map[int64]float32{}
		r.each(0, math.MaxInt64, func(s int64, v []float32) {
			if !math.IsNaN(float64(v[0])) {
				got[s] = v[0]
			}
			if !math.IsNaN(float64(v[1])) {
				t.Fatalf("at %d the other metric is %v, want a hole", s, v[1])
			}
		})
		for s, v := range plain {
			if have, ok := got[s]; s/minute > newest-keptBlocks+1 && (!ok || have != v) {
				t.Fatalf("at %d, %d minutes before the newest: %v %v, want %v", s, newest-s/minute, have, ok, v)
			}
		}
		for s, v := range got {
			if plain[s] != v {
				t.Fatalf("at %d: %v, want %v", s, v, plain[s])
			}
		}
		if len(r.blocks) > keptBlocks {
			t.Fatalf("%d blocks", len(r.blocks))
		}
	})
}

func TestFiftyContainersAreSmall(t *testing.T) {
	total := 0
	for range 50 {
		r := ring{metrics: int(containerMetrics)}
		values := make([]float64, containerMetrics)
		r.put(0, values)
		if r.bytes() > 2<<10 {
			t.Fatalf("the first second costs %d bytes", r.bytes())
		}
		for s := range int64(3600) {
			r.put(s, values)
		}
		total += r.bytes()
	}
	if total > 5<<20 {
		t.Errorf("50 containers cost %d bytes", total)
	}
	t.Logf("bytes per container: %d", total/50)
}
