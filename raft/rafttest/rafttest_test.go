package rafttest_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
	"github.com/skerryhq/skerry/raft/rafttest"
)

func volume(name string) *command.PutVolume {
	return &command.PutVolume{Head: command.By(model.Origin{Actor: "ada", Time: time.Now().UTC()}),
		Volume: model.Volume{Meta: model.Meta{ID: "id-" + name, Name: name}, TenantID: rafttest.TenantID}}
}

func TestLeaderCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := rafttest.New(t, 3)
		defer c.Close()
		for i := range 20 {
			c.Propose(volume(fmt.Sprintf("a%d", i)))
		}
		old := c.Leader()
		c.Cut(old)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := c.Node(old).Propose(ctx, volume("lost")); model.KindOf(err) != model.KindUnavailable {
			t.Fatalf("a leader without followers answers %v", err)
		}
		r := c.Propose(volume("b"))
		c.RequireSameState(r.Index)
		if c.Leader() == old {
			t.Fatal("the one that is cut off leads")
		}
		c.Heal()
		r = c.Propose(volume("c"))
		c.RequireSameState(r.Index)
		if _, ok := c.Node(old).View().VolumeByName(rafttest.TenantID, "lost"); ok {
			t.Fatal("a write that was never committed is there")
		}
	})
}

// TestLateMember stops a member, lets the others go on beyond a snapshot, and
// starts it again: the snapshot brings it up.
func TestLateMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := rafttest.New(t, 3)
		defer c.Close()
		late := (c.Leader() + 1) % 3
		c.Stop(late)
		for i := range 30 {
			c.Propose(volume(fmt.Sprintf("a%d", i)))
		}
		if err := c.Node(c.Leader()).Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.Start(late)
		c.RequireSameState(c.Propose(volume("b")).Index)
	})
}

// TestLeading wants work in exactly one member at a time, for as long as it
// leads, through several failovers.
func TestLeading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := rafttest.New(t, 3)
		defer c.Close()
		ctx, cancel := context.WithCancelCause(t.Context())
		over := errors.New("over")
		var mu sync.Mutex
		started := 0
		busy := [3]bool{}
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				err := c.Node(i).Leading(ctx, func(term context.Context) error {
					mu.Lock()
					started++
					if busy[i] {
						t.Errorf("two terms of node %d at once", i)
					}
					busy[i] = true
					mu.Unlock()
					<-term.Done()
					mu.Lock()
					busy[i] = false
					mu.Unlock()
					return context.Cause(term)
				})
				if !errors.Is(err, over) {
					t.Errorf("leading ended with %v", err)
				}
			})
		}
		works := func() (k, at int) {
			mu.Lock()
			defer mu.Unlock()
			for i, b := range busy {
				if b {
					k, at = k+1, i
				}
			}
			return k, at
		}
		settle := func() { // the leader works and nobody else does
			t.Helper()
			for range 1000 {
				if k, at := works(); k == 1 && at == c.Leader() {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			t.Fatal("the leader does not work, or somebody else does")
		}
		for range 5 {
			settle()
			c.Cut(c.Leader())
			c.Propose(volume(command.NewID()))
			settle()
			c.Heal()
			c.RequireSameState(c.Propose(volume(command.NewID())).Index)
		}
		settle()
		leader := c.Leader()
		mu.Lock()
		if started < 6 || busy != [3]bool{leader == 0, leader == 1, leader == 2} {
			t.Errorf("%d terms, busy %v, leader %d", started, busy, leader)
		}
		mu.Unlock()
		cancel(over)
		wg.Wait()
	})
}

func TestLeadingGivesItsError(t *testing.T) {
	n := rafttest.Single(t)
	broken := errors.New("broken")
	if err := n.Leading(t.Context(), func(context.Context) error { return broken }); !errors.Is(err, broken) {
		t.Fatalf("leading gave %v", err)
	}
	if err := n.Leading(t.Context(), func(context.Context) error { return nil }); err == nil {
		t.Fatal("work that ended within its term is no error")
	}
}

// TestUnknownOutcome ends a proposal's context while it waits for a quorum.
func TestUnknownOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := rafttest.New(t, 3)
		defer c.Close()
		leader := c.Leader()
		c.Cut(leader)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := c.Node(leader).Propose(ctx, volume("perhaps"))
		if !errors.Is(err, node.ErrOutcomeUnknown) || model.CodeOf(err) != "outcome_unknown" {
			t.Fatalf("a proposal that ran out of time: %v", err)
		}
	})
}

func TestWaitIndex(t *testing.T) {
	n := rafttest.Single(t)
	r, err := n.Propose(t.Context(), volume("a"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := n.WaitIndex(ctx, r.Index+1); model.CodeOf(err) != "index_not_reached" {
		t.Fatalf("waiting for what never comes: %v", err)
	}
}
