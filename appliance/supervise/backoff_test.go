package supervise

import (
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	var b backoff
	for i, want := range []time.Duration{50, 100, 200, 400, 800, 1600, 3200, 5000, 5000} {
		if got := b.after(time.Second); got != want*time.Millisecond {
			t.Errorf("wait %d is %v, want %v ms", i, got, int64(want))
		}
	}
	if got := b.after(healthy); got != firstWait {
		t.Errorf("after a healthy run: %v, want %v", got, firstWait)
	}
}
