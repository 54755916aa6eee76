package peer

import (
	"sync"
	"time"

	"github.com/skerryhq/skerry/raft/model"
)

const (
	wrongBurst = 10              // wrong secrets that a host may try at once
	wrongEvery = 6 * time.Second // afterwards one in this time
	wrongHosts = 4096            // hosts that are remembered
)

// throttle bounds how often a host, or a node, may do what costs others: try
// wrong secrets, fill the log, announce. blocked's error is about secrets.
type throttle struct {
	mu    sync.Mutex
	until map[string]time.Time // when the host's tries are all back; guarded by mu
}

func newThrottle() *throttle { return &throttle{until: map[string]time.Time{}} }

// blocked says whether a host has to wait.
func (t *throttle) blocked(host string, now time.Time) *model.Error {
	t.mu.Lock()
	defer t.mu.Unlock()
	until, known := t.until[host]
	over := until.Sub(now) - wrongBurst*wrongEvery + wrongEvery
	if !known || over <= 0 {
		return nil
	}
	return model.Errorf(model.KindThrottled, "join_throttled", "too many wrong join tokens came from %s; wait %d seconds and try again", host, int(over.Seconds())+1)
}

// wrong counts one time, such as a wrong secret.
func (t *throttle) wrong(host string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.until) >= wrongHosts {
		for h, u := range t.until {
			if u.Before(now) {
				delete(t.until, h)
			}
		}
	}
	if _, known := t.until[host]; !known && len(t.until) >= wrongHosts {
		host = "" // a flood from everywhere shares one limit
	}
	from := t.until[host]
	if from.Before(now) {
		from = now
	}
	t.until[host] = from.Add(wrongEvery)
}
