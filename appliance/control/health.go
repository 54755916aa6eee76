package control

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/skerryhq/skerry/appliance/control/lease"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// health turns heartbeats into the leader's word about nodes: down when a lease
// ran out, up when the node speaks again. Only changes are committed.
func health(ctx context.Context, cfg Config, log *slog.Logger) error {
	cfg.Heartbeats.begin(Grace)
	defer cfg.Heartbeats.end()
	read := func(v *state.View) (map[string]bool, error) {
		down := map[string]bool{}
		for n := range v.Nodes() {
			down[n.ID] = n.Down()
		}
		return down, nil
	}
	for {
		watching, cancel := context.WithCancel(ctx)
		down, changed, err := state.Changed(watching, cfg.Store, read)
		if err != nil {
			cancel()
			return err
		}
		err = judgeUntil(ctx, cfg, log, down, changed)
		cancel()
		if err != nil {
			return err
		}
	}
}

// judgeUntil judges the nodes again and again until the state's word about one
// of them changes.
func judgeUntil(ctx context.Context, cfg Config, log *slog.Logger, down map[string]bool, changed <-chan struct{}) error {
	for {
		verdict := cfg.Heartbeats.judge(down, time.Now())
		next := min(verdict.Next, BeatEvery)
		if cmds := HealthCommands(verdict, time.Now().UTC()); len(cmds) > 0 {
			for _, s := range verdict.Down {
				log.Warn("a node is down", "node", s.NodeID, "silent_ms", s.For.Milliseconds())
			}
			for _, s := range verdict.Suspected {
				log.Warn("most nodes are silent at once, so nothing is moved", "node", s.NodeID, "silent_ms", s.For.Milliseconds())
			}
			if err := propose(ctx, cfg, log, cmds); err != nil && ctx.Err() == nil {
				log.Warn("the health of a node was not written down, trying again", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
			return nil
		case <-time.After(max(next, 10*time.Millisecond)):
		}
	}
}

// HealthCommands words a verdict of the given time.
func HealthCommands(v lease.Verdict, now time.Time) []command.Command {
	var cmds []command.Command
	say := func(nodeID string, s model.HealthState, reason string) {
		cmds = append(cmds, &command.SetNodeHealth{Head: command.By(model.Origin{Actor: "system:health", Time: now}), NodeID: nodeID,
			Health: model.NodeHealth{State: s, Since: now, Reason: reason}})
	}
	for _, s := range v.Down {
		say(s.NodeID, model.NodeDown, fmt.Sprintf("it was not heard of for %.1f s", s.For.Seconds()))
	}
	for _, id := range v.Back {
		say(id, model.NodeUp, "")
	}
	for _, s := range v.Suspected {
		say(s.NodeID, model.NodeUp, fmt.Sprintf("it was not heard of for %.1f s, but most nodes are silent at once: the leader suspects its own network and moves nothing", s.For.Seconds()))
	}
	for _, id := range v.Cleared {
		say(id, model.NodeUp, "")
	}
	return cmds
}
