package access

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/skerryhq/skerry/raft/model"
)

// The throttle's measures. The first failures are free, so that a mistyped
// password costs nothing; then the wait doubles.
const (
	freeFailuresPerName = 4
	freeFailuresPerAddr = 20 // several people may share an address
	firstWait           = time.Second
	longestWait         = 15 * time.Minute
	forgetAfter         = time.Hour // since the last failure
	maxThrottled        = 20_000    // rows; beyond it the oldest go first
)

// Throttle slows down guessing of passwords, per name and per remote address,
// in memory of this node only. The zero Throttle is ready. Safe for concurrent
// use.
type Throttle struct {
	mu   sync.Mutex
	rows map[string]*failures // guarded by mu
}

type failures struct {
	n    int
	last time.Time
}

// ThrottleError says that a sign-in was not even tried. It is of KindThrottled.
type ThrottleError struct {
	Wait time.Duration
	What string // whose attempts: "this name" or "this address"
}

// Error is the sentence.
func (e *ThrottleError) Error() string { return e.problem().Detail }

// RetrySeconds is the wait in whole seconds, at least 1.
func (e *ThrottleError) RetrySeconds() int { return max(1, int(math.Ceil(e.Wait.Seconds()))) }

// Unwrap lets errors.As and model.KindOf see the kind.
func (e *ThrottleError) Unwrap() error { return e.problem() }

func (e *ThrottleError) problem() *model.Error {
	return model.Errorf(model.KindThrottled, "sign_in_throttled",
		"too many wrong sign-ins for %s; try again in %s", e.What, inWords(e.RetrySeconds()))
}

func inWords(seconds int) string {
	switch {
	case seconds == 1:
		return "1 second"
	case seconds < 120:
		return fmt.Sprintf("%d seconds", seconds)
	default:
		return fmt.Sprintf("%d minutes", (seconds+59)/60)
	}
}

// Try asks to try a sign-in at now; a *ThrottleError if it may not be tried.
// Otherwise it counts as wrong until Succeeded says that it was not, so that
// many at once gain nothing.
func (t *Throttle) Try(now time.Time, name, addr string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	byName := t.wait(now, "n:"+name, freeFailuresPerName)
	byAddr := t.wait(now, "a:"+addr, freeFailuresPerAddr)
	switch {
	case byName <= 0 && byAddr <= 0:
		t.count(now, "n:"+name)
		t.count(now, "a:"+addr)
		return nil
	case byName >= byAddr:
		return &ThrottleError{Wait: byName, What: "this name"}
	default:
		return &ThrottleError{Wait: byAddr, What: "this address"}
	}
}

// Succeeded forgives a name, and the address this one try: one known password
// must not open the way to guessing others.
func (t *Throttle) Succeeded(name, addr string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.rows, "n:"+name)
	if f, ok := t.rows["a:"+addr]; ok && f.n > 0 {
		f.n--
	}
}

func (t *Throttle) wait(now time.Time, k string, free int) time.Duration {
	f, ok := t.rows[k]
	if !ok || f.n <= free {
		return 0
	}
	return f.last.Add(backoff(f.n - free)).Sub(now)
}

func (t *Throttle) count(now time.Time, k string) {
	if t.rows == nil {
		t.rows = map[string]*failures{}
	}
	f, ok := t.rows[k]
	if !ok || now.Sub(f.last) > forgetAfter {
		if !ok && len(t.rows) >= maxThrottled {
			t.evict(now)
		}
		f = &failures{}
		t.rows[k] = f
	}
	f.n++
	f.last = now
}

// evict makes room: what has expired goes, and if that is not enough the tenth
// part with the oldest failures.
func (t *Throttle) evict(now time.Time) {
	oldest := now
	for k, f := range t.rows {
		if now.Sub(f.last) > forgetAfter {
			delete(t.rows, k)
		} else if f.last.Before(oldest) {
			oldest = f.last
		}
	}
	if len(t.rows) < maxThrottled {
		return
	}
	cut := oldest.Add(now.Sub(oldest) / 10)
	for k, f := range t.rows {
		if !f.last.After(cut) {
			delete(t.rows, k)
		}
	}
	for k := range t.rows { // all of the same moment: any will do
		if len(t.rows) < maxThrottled {
			return
		}
		delete(t.rows, k)
	}
}

// backoff is the wait after the n-th failure beyond the free ones.
func backoff(n int) time.Duration {
	if n > 20 {
		return longestWait
	}
	return min(longestWait, firstWait<<(n-1))
}
