package noderuntime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/runtime/logs"
)

// follow follows the log of the container for at most `most`.
func follow(t *testing.T, w *world, k *kept, q api.LogQuery, most time.Duration) ([]string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), most)
	defer cancel()
	k.enough = func() {
		t.Errorf("the log was read %d times", spins)
		cancel()
	}
	var got []string
	q.Follow, q.Stdout, q.Stderr = true, true, true
	err := w.runtime(k, nil).Logs(ctx, []*model.Container{w.container()}, q, func(l api.LogLine) error {
		got = append(got, l.Line)
		return nil
	})
	return got, err
}

func TestFollowingEndsAtUntil(t *testing.T) {
	for _, c := range []struct {
		name  string
		until time.Duration
		round round
	}{
		{"passed", -time.Hour, round{lines: []string{"old"}}},
		{"to come, and the log is closed", time.Minute, round{}},
		{"to come, and there is no log", time.Minute, round{err: fmt.Errorf("read: %w", logs.ErrNotFound)}},
		{"to come, and the log is open", time.Minute, round{lasts: time.Minute}},
	} {
		for _, phase := range []model.Phase{model.PhaseRunning, model.PhaseBackoff} {
			t.Run(c.name+" "+string(phase), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					w.is(phase, 1)
					began := time.Now()
					k := &kept{rounds: []round{c.round}}
					_, err := follow(t, w, k, api.LogQuery{Tail: -1, Until: began.Add(c.until)}, time.Hour)
					if err != nil {
						t.Error(err)
					}
					if took := time.Since(began); took > max(0, c.until) {
						t.Errorf("ended %v after Until", took-c.until)
					}
				})
			})
		}
	}
}

// A log may be closed, or gone, before the state says that its task has ended.
func TestFollowingDoesNotSpin(t *testing.T) {
	for name, r := range map[string]round{"closed": {}, "not found": {err: fmt.Errorf("read: %w", logs.ErrNotFound)}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.is(model.PhaseRunning, 1)
				k := &kept{rounds: []round{r}}
				const most = 10 * time.Second
				_, _ = follow(t, w, k, api.LogQuery{Tail: -1}, most)
				if n := len(k.asked); n < 2 || n > int(most/betweenReads)+1 {
					t.Errorf("the log was read %d times in %v", n, most)
				}
			})
		})
	}
}

func TestFollowingGoesOnWithTheNextTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.is(model.PhaseRunning, 1)
		began := time.Now()
		k := &kept{rounds: []round{{lines: []string{"one"}, lasts: time.Second}, {lines: []string{"two"}, lasts: time.Hour}}}
		go func() {
			time.Sleep(time.Second + 10*time.Millisecond) // the state is late
			w.is(model.PhaseBackoff, 1)
			time.Sleep(4 * time.Second)
			w.is(model.PhaseRunning, 2)
		}()
		got, err := follow(t, w, k, api.LogQuery{Tail: -1}, 10*time.Second)
		if !errors.Is(err, context.DeadlineExceeded) || !slices.Equal(got, []string{"one", "two"}) {
			t.Errorf("got %q, %v", got, err)
		}
		if len(k.asked) != 2 || !k.asked[1].Since.Equal(began.Add(1)) {
			t.Errorf("asked for %+v", k.asked)
		}
	})
}

// Who follows before the log is there hears of it at once when the task begins.
func TestFollowingFromBeforeTheStart(t *testing.T) {
	for _, phase := range []model.Phase{model.PhasePending, model.PhaseStarting} {
		t.Run(string(phase), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				if phase != model.PhasePending {
					w.is(phase, 1)
				}
				began := time.Now()
				k := &kept{rounds: []round{{err: logs.ErrNotFound}, {lines: []string{"one"}, lasts: time.Hour}}}
				go func() {
					time.Sleep(time.Second / 2)
					w.is(model.PhaseRunning, 1)
				}()
				got, _ := follow(t, w, k, api.LogQuery{Tail: -1}, 600*time.Millisecond)
				if !slices.Equal(got, []string{"one"}) {
					t.Errorf("got %q in %v", got, time.Since(began))
				}
			})
		})
	}
}

// Those that want none of what is there must not get it at a restart either.
func TestFollowingWithoutTheOldAfterARestart(t *testing.T) {
	for name, since := range map[string]time.Duration{"": 0, "since an hour": -time.Hour, "since later": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.is(model.PhaseRunning, 1)
				q, want := api.LogQuery{Tail: 0}, time.Now()
				if since != 0 {
					q.Since = time.Now().Add(since)
				}
				if since > 0 {
					want = q.Since
				}
				k := &kept{rounds: []round{{lasts: time.Second}, {lasts: time.Hour}}}
				go func() {
					time.Sleep(2 * time.Second)
					w.is(model.PhaseRunning, 2)
				}()
				_, _ = follow(t, w, k, q, 10*time.Second)
				if len(k.asked) < 2 {
					t.Fatalf("the log was read %d times", len(k.asked))
				}
				if a := k.asked[0]; a.Tail >= 0 {
					t.Errorf("first asked for %+v", a)
				}
				if a := k.asked[1]; a.Since.IsZero() || a.Since.Before(want) {
					t.Errorf("then asked for what came since %v, want %v", a.Since, want)
				}
			})
		})
	}
}
