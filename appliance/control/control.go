// Package control is the leader's part of the work: loops that watch the state,
// ask the pure planners (deploy, scheduler, ipalloc) what is missing, and
// propose it. Loops live as long as the leader's term; they never touch a host.
// Running one twice, or on a leader that no longer is one, harms nothing: every
// proposal is judged again while it is applied.
package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
	"github.com/skerryhq/skerry/raft/state"
)

// Proposer changes the cluster's state.
type Proposer interface {
	Propose(ctx context.Context, cmds ...command.Command) (node.Result, error)
}

// Config is what the loops need.
type Config struct {
	Store    *state.Store
	Proposer Proposer
	Log      *slog.Logger
	// Heartbeats says which nodes live; nil: no node is ever given up.
	Heartbeats *Heartbeats
}

// Run runs all loops until ctx, the term, ends. A loop that ends by itself ends
// them all with its error.
func Run(ctx context.Context, cfg Config) error {
	log := cfg.Log.With("component", "control")
	g, ctx := errgroup.WithContext(ctx)
	d := newDeployer(cfg, log)
	g.Go(func() error { return named("deploy", d.run(ctx)) })
	g.Go(func() error { return named("sweep", sweep(ctx, cfg, log)) })
	g.Go(func() error { return named("auto-remove", autoRemove(ctx, cfg, log)) })
	g.Go(func() error { return named("rotation", rotate(ctx, cfg, log)) })
	if cfg.Heartbeats != nil {
		g.Go(func() error { return named("health", health(ctx, cfg, log)) })
	}
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func named(loop string, err error) error {
	if err != nil {
		return fmt.Errorf("control loop %s: %w", loop, err)
	}
	return nil
}

func origin(loop string) model.Origin {
	return model.Origin{Actor: "system:" + loop, Time: time.Now().UTC()}
}

// propose sends commands and logs refusals: the state has moved on, and the
// next turn sees how.
func propose(ctx context.Context, cfg Config, log *slog.Logger, cmds []command.Command) error {
	res, err := cfg.Proposer.Propose(ctx, cmds...)
	if len(res.Outcomes) == 0 {
		return err
	}
	for i, o := range res.Outcomes {
		if o.Err != nil {
			log.Debug("proposal refused", "command", cmds[i].Type().Name(), "err", o.Err)
		}
	}
	return nil
}

// sweep deletes sessions that have expired.
func sweep(ctx context.Context, cfg Config, log *slog.Logger) error {
	tick := time.NewTicker(10 * time.Minute)
	defer tick.Stop()
	for {
		now := time.Now().UTC()
		expired := false
		for s := range cfg.Store.View().Sessions() {
			expired = s.ExpiresAt.Before(now)
			break // those that expire first come first
		}
		if expired {
			cmd := &command.DeleteSessions{Head: command.By(origin("sweep")), ExpiredBefore: now}
			if err := propose(ctx, cfg, log, []command.Command{cmd}); err != nil && ctx.Err() == nil {
				log.Warn("expired sessions not deleted, trying again", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// readerTime is how long an ended `run --rm` container stays, so that whoever
// follows it can read its last lines and its exit status.
const readerTime = 15 * time.Second

// autoRemove removes apps whose containers asked to go when they end.
func autoRemove(ctx context.Context, cfg Config, log *slog.Logger) error {
	read := func(v *state.View) (map[string]time.Time, error) {
		ended := map[string]time.Time{}
		for s := range v.Services() {
			if !s.Spec.Container.AutoRemove { // the others' containers are not even watched
				continue
			}
			for c := range v.ContainersOfService(s.ID) {
				noteEnd(ended, c)
			}
		}
		return ended, nil
	}
	waits := graces{}
	for {
		watching, cancel := context.WithCancel(ctx)
		ended, changed, err := state.Changed(watching, cfg.Store, read)
		if err != nil {
			cancel()
			return err
		}
		var cmds []command.Command
		due, rest := waits.turn(ended, time.Now())
		var next <-chan time.Time
		if rest > 0 {
			next = time.After(rest)
		}
		for _, app := range due {
			cmds = append(cmds, &command.RemoveApp{Head: command.By(origin("auto-remove")), ID: app, ExpectVersion: command.AnyVersion})
		}
		if len(cmds) > 0 {
			if err := propose(ctx, cfg, log, cmds); err != nil && ctx.Err() == nil {
				log.Warn("ended containers not removed, trying again", "err", err)
				next = time.After(time.Second)
			}
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-next:
		}
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// noteEnd keeps for each app when the last of its containers ended; zero while
// one still runs, or will.
func noteEnd(ended map[string]time.Time, c *model.Container) {
	if !c.Spec.AutoRemove || c.Assign.Remove {
		return
	}
	at, seen := ended[c.AppID]
	switch {
	case c.Status.Phase != model.PhaseExited || c.Status.Task == 0:
		ended[c.AppID] = time.Time{}
	case !seen || (!at.IsZero() && c.Status.FinishedAt.After(at)):
		ended[c.AppID] = c.Status.FinishedAt
	}
}

// grace is the time that an app's readers still have.
type grace struct {
	ended time.Time // as the agent wrote it down
	over  time.Time // by the clock of this process, which never goes back
}

// graces are those of every app that has ended and waits for its removal.
type graces map[string]grace

// turn says which apps are due now, in order, and when to look again (0: not
// before the next change). An end that lies in the future, because a clock was
// set back, counts as now, and is not judged again with every turn.
func (g graces) turn(ended map[string]time.Time, now time.Time) (due []string, rest time.Duration) {
	maps.DeleteFunc(g, func(app string, _ grace) bool { return ended[app].IsZero() })
	for _, app := range slices.Sorted(maps.Keys(ended)) {
		at := ended[app]
		if at.IsZero() {
			continue
		}
		w, known := g[app]
		if !known || !w.ended.Equal(at) {
			w = grace{ended: at, over: now.Add(min(at.Add(readerTime).Sub(now), readerTime))}
			g[app] = w
		}
		left := w.over.Sub(now)
		switch {
		case left <= 0:
			due = append(due, app)
		case rest == 0 || left < rest:
			rest = left
		}
	}
	return due, rest
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
