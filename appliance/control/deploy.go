package control

import (
	"context"
	"log/slog"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/state"
)

// restMost bounds the rest between two turns: the loop takes at most half of a
// core however fast the state changes, and what changes meanwhile is one turn.
const restMost = 20 * time.Millisecond

// deployer makes every service have the containers it asks for.
type deployer struct {
	cfg     Config
	log     *slog.Logger
	planner *Planner
}

func newDeployer(cfg Config, log *slog.Logger) *deployer {
	return &deployer{cfg: cfg, log: log, planner: NewPlanner(func() time.Time { return time.Now().UTC() }, command.NewID)}
}

// anything reads what the loop depends on, coarsely: its mark says that there
// is something to look at, the cache finds out what.
func anything(v *state.View) (bool, error) {
	for range v.Nodes() {
		break
	}
	for range v.Services() {
		break
	}
	for range v.Containers() {
		break
	}
	for range v.Volumes() {
		break
	}
	for range v.Images() {
		break
	}
	for range v.Orphans() {
		break
	}
	_, ok := v.Cluster()
	return ok, nil
}

func (d *deployer) run(ctx context.Context) error {
	failures := 0
	for {
		watching, cancel := context.WithCancel(ctx)
		_, changed, err := state.Changed(watching, d.cfg.Store, anything)
		if err != nil {
			cancel()
			return err
		}
		began := time.Now()
		cmds, more, hold := d.planner.Turn(d.cfg.Store.View(), d.untrusted)
		again := time.Duration(0) // not before the next change
		switch refused, err := d.propose(ctx, cmds); {
		case ctx.Err() != nil:
			cancel()
			return ctx.Err()
		case err != nil || refused:
			if err != nil {
				d.log.Warn("plan not proposed, trying again", "err", err)
			}
			failures++
			again = min(100*time.Millisecond<<min(failures, 6), 5*time.Second)
		default:
			failures = 0
			if more || len(cmds) > 0 {
				again = time.Nanosecond
			}
		}
		if again == 0 || hold > 0 && hold < again {
			again = hold
		}
		err = wait(ctx, changed, again)
		cancel()
		if err != nil {
			return err
		}
		if rest := min(time.Since(began), restMost); failures == 0 && rest > time.Millisecond {
			if err := wait(ctx, nil, rest); err != nil {
				return err
			}
		}
	}
}

// wait sleeps until something changes, but not longer than most if that is not
// 0.
func wait(ctx context.Context, changed <-chan struct{}, most time.Duration) error {
	var late <-chan time.Time
	if most > 0 {
		t := time.NewTimer(most)
		defer t.Stop()
		late = t.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-changed:
	case <-late:
	}
	return nil
}

func (d *deployer) untrusted(nodeID string) (time.Duration, int) {
	if d.cfg.Heartbeats == nil {
		return 0, 0
	}
	return d.cfg.Heartbeats.untrusted(nodeID, time.Now())
}

// propose sends a turn's commands. Refusals are no errors: the state has moved
// on, and the services concerned are planned again.
func (d *deployer) propose(ctx context.Context, cmds []command.Command) (refused bool, err error) {
	if len(cmds) == 0 {
		return false, nil
	}
	res, err := d.cfg.Proposer.Propose(ctx, cmds...)
	if len(res.Outcomes) == 0 && err != nil {
		d.planner.Forget() // nobody knows what became of them
		return true, err
	}
	for i, o := range res.Outcomes {
		if o.Err != nil {
			refused = true
			d.log.Debug("proposal refused", "command", cmds[i].Type().Name(), "err", o.Err)
			d.planner.Refused(d.cfg.Store.View(), cmds[i])
		}
	}
	return refused, nil
}
