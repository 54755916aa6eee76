package supervise

import "time"

const (
	firstWait   = 50 * time.Millisecond
	longestWait = 5 * time.Second
	healthy     = 10 * time.Second
)

// backoff says how long to wait before the next start: 50 ms, doubling to 5 s, from the beginning again after a
// run of 10 s.
type backoff struct{ wait time.Duration }

// after takes how long the last run lasted.
func (b *backoff) after(ran time.Duration) time.Duration {
	switch {
	case b.wait == 0 || ran >= healthy:
		b.wait = firstWait
	default:
		b.wait = min(2*b.wait, longestWait)
	}
	return b.wait
}
