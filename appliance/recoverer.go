package appliance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/skerryhq/skerry/appliance/peer"
	"github.com/skerryhq/skerry/appliance/pki"
	"github.com/skerryhq/skerry/appliance/recovery"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
)

// planFile holds a recovery that the node carries out at its next start.
const planFile = "recovery.json"

// againSoon lets the present request be answered before the parts start again.
const againSoon = 50 * time.Millisecond

// newRecovery makes this member's part of a recovery.
func (a *Appliance) newRecovery(p *parts) *recovery.Recovery {
	return recovery.New(recovery.Config{
		NodeID: p.identity.ID, View: p.node.View, Peers: p.peers.Peers(),
		Own: func() recovery.Log {
			l := recovery.Log{Generation: max(1, p.record.now().Generation), LeaderAlive: leaderAlive(p.node)}
			l.Term, l.Index = p.node.LastLog()
			return l
		},
		Plan:  a.savePlan,
		Again: func() { time.AfterFunc(againSoon, func() { p.stop(errAgain) }) },
		Adopt: func(generation uint64) error {
			if err := p.record.raise(generation); err != nil {
				return err
			}
			a.log.Warn("the cluster is being recovered: this member follows", "generation", generation)
			time.AfterFunc(againSoon, func() { p.stop(errAgain) })
			return nil
		},
		Busy:      p.recovering.Store,
		ReadError: peer.ReadError, WriteError: peer.WriteError, Log: a.log.With("component", "recovery"),
	})
}

// leaderAlive says whether this member leads with a quorum or has heard of a
// leader lately.
func leaderAlive(n *node.Node) bool {
	if n.Leads() {
		return true
	}
	m, err := n.Members(context.Background())
	if err != nil {
		return false
	}
	s, ok := m.Server(m.LeaderID)
	return ok && s.Alive
}

func (a *Appliance) savePlan(plan recovery.Plan) error {
	b, err := json.Marshal(plan)
	if err != nil {
		return fmt.Errorf("write the plan of the recovery: %w", err)
	}
	if err := pki.WriteFile(filepath.Join(a.cfg.DataDir, planFile), b); err != nil {
		return fmt.Errorf("write the plan of the recovery: %w", err)
	}
	return nil
}

func (a *Appliance) readPlan() (plan recovery.Plan, there bool, err error) {
	path := filepath.Join(a.cfg.DataDir, planFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return plan, false, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &plan)
	}
	if err != nil {
		return plan, false, fmt.Errorf("%s cannot be read; run `skerry recover` again after removing it: %w", path, err)
	}
	return plan, true, nil
}

// carryOut changes raft's files as a plan says, before they are opened. It may be
// cut short and repeated.
func (a *Appliance) carryOut(p *parts) error {
	plan, there, err := a.readPlan()
	if err != nil || !there || plan.Done {
		return err
	}
	a.log.Warn("recovering: this member begins a new generation as the only voter", "generation", plan.Generation, "last_index", plan.LastIndex)
	if err := node.Recover(a.cfg.DataDir, p.identity.ID); err != nil {
		return err
	}
	if err := p.record.raise(plan.Generation); err != nil {
		return err
	}
	plan.Done = true
	return a.savePlan(plan)
}

// concludeRecovery says in the log, once this member leads, that a new generation
// has begun.
func (a *Appliance) concludeRecovery(ctx context.Context, p *parts) error {
	plan, there, err := a.readPlan()
	if err != nil || !there {
		return err
	}
	raise := &command.RaiseGeneration{Head: command.By(model.Origin{Actor: "local", Operation: "recoverCluster", Time: plan.At}),
		Generation: plan.Generation, Survivors: plan.Survivors, LastIndex: plan.LastIndex, At: plan.At}
	for {
		_, err := p.node.Propose(ctx, raise)
		if err == nil || model.CodeOf(err) == "generation_not_raised" {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		a.log.Warn("the new generation is not written yet, trying again", "err", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
	if err := os.Remove(filepath.Join(a.cfg.DataDir, planFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget the plan of the recovery: %w", err)
	}
	a.log.Info("the cluster was recovered", "generation", plan.Generation)
	return nil
}
