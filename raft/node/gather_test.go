package node

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestFill holds how long an entry waits for more: not at all with as many as
// wanted, until the last of them is there, and never longer than its patience.
func TestFill(t *testing.T) {
	const patience = 3 * time.Millisecond
	for name, tc := range map[string]struct {
		waiting int             // proposals that are there already
		later   []time.Duration // when more come
		want    int
		got     int
		took    time.Duration
	}{
		"one client":               {want: 1, got: 1},
		"nothing is known":         {want: 0, got: 1},
		"all are there":            {waiting: 3, want: 4, got: 4},
		"more than wanted":         {waiting: 9, want: 4, got: 10},
		"they come":                {waiting: 1, later: []time.Duration{time.Millisecond, 2 * time.Millisecond}, want: 4, got: 4, took: 2 * time.Millisecond},
		"one does not come":        {waiting: 1, later: []time.Duration{time.Millisecond}, want: 4, got: 3, took: patience},
		"nobody comes":             {want: 64, got: 1, took: patience},
		"the entry is full":        {waiting: 2 * maxBatch, want: 1, got: maxBatch},
		"full while others wanted": {waiting: 2 * maxBatch, want: 4 * maxBatch, got: maxBatch},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &Node{proposals: make(chan *proposal, 2*maxBatch), closing: make(chan struct{})}
				for range tc.waiting {
					n.proposals <- &proposal{size: 1}
				}
				for _, d := range tc.later {
					time.AfterFunc(d, func() { n.proposals <- &proposal{size: 1} })
				}
				b := &batch{proposals: []*proposal{{size: 1}}}
				begun := time.Now()
				n.fill(b, tc.want, patience)
				if took := time.Since(begun); len(b.proposals) != tc.got || took != tc.took {
					t.Errorf("%d after %s, want %d after %s", len(b.proposals), took, tc.got, tc.took)
				}
			})
		})
	}
}

// TestFillBytes holds that an entry takes no more once it is large.
func TestFillBytes(t *testing.T) {
	n := &Node{proposals: make(chan *proposal, 2), closing: make(chan struct{})}
	n.proposals <- &proposal{size: maxBatchBytes}
	n.proposals <- &proposal{size: 1}
	b := &batch{proposals: []*proposal{{size: 1}}}
	n.fill(b, 3, time.Hour)
	if len(b.proposals) != 2 || len(n.proposals) != 1 {
		t.Errorf("%d in the entry, %d left", len(b.proposals), len(n.proposals))
	}
}
