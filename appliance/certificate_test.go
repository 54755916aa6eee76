package appliance

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
	"github.com/skerryhq/skerry/raft/state"
)

func TestDueWarning(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	for _, c := range []struct {
		left   time.Duration
		warned int
		days   int
		due    bool
	}{
		{90 * day, 0, 0, false}, {30*day + 1, 0, 0, false}, {30 * day, 0, 30, true}, {29 * day, 30, 30, false},
		{14 * day, 30, 14, true}, {10 * day, 14, 14, false}, {10 * day, 0, 14, true}, {7 * day, 14, 7, true},
		{2 * day, 7, 3, true}, {time.Hour, 3, 1, true}, {time.Hour, 1, 1, false}, {0, 1, -1, true}, {-day, -1, -1, false}, {-day, 0, -1, true},
	} {
		days, due := dueWarning(&model.ServerCertificate{NotAfter: now.Add(c.left), Warned: c.warned}, now)
		if due != c.due || due && days != c.days {
			t.Errorf("%s left, warned at %d: %d, %t", c.left, c.warned, days, due)
		}
	}
	if _, due := dueWarning(nil, now); due {
		t.Error("a warning about nothing")
	}
}

// straight applies commands to a store at once, as a cluster of one would.
type straight struct {
	store *state.Store
	index uint64
	told  []int // days
}

func (s *straight) Propose(_ context.Context, cmds ...command.Command) (node.Result, error) {
	s.index++
	out := s.store.Apply([]state.Entry{{Index: s.index, Commands: cmds}})
	if err := out[0][0].Err; err != nil {
		return node.Result{}, err
	}
	if w, ok := cmds[0].(*command.WarnCertificate); ok {
		s.told = append(s.told, w.Days)
	}
	return node.Result{Index: s.index}, nil
}

func TestTheEndOfACertificateIsToldInSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &straight{store: state.New()}
		put := func(cmds ...command.Command) {
			for _, c := range cmds {
				if _, err := to.Propose(t.Context(), c); err != nil {
					t.Fatal(err)
				}
			}
		}
		head := command.By(model.Origin{Actor: "local", Time: time.Now()})
		put(&command.InitCluster{Head: head, Cluster: model.Cluster{ID: "c", PortMin: 1, PortMax: 2},
			Tenant: model.Tenant{Meta: model.Meta{ID: "t", Name: model.DefaultTenant}}, Environment: model.Environment{Meta: model.Meta{ID: "e", Name: model.DefaultEnvironment}},
			Node: model.Node{Meta: model.Meta{ID: "n", Name: "n"}}})
		put(&command.SetCertificate{Head: head, Certificate: &model.ServerCertificate{NotAfter: time.Now().Add(40 * 24 * time.Hour), Names: []string{"a.example"}}})
		desk := certificateDesk{log: slog.New(slog.DiscardHandler)}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- desk.warn(ctx, to.store, to) }()
		time.Sleep(45 * 24 * time.Hour)
		synctest.Wait()
		if want := []int{30, 14, 7, 3, 1, -1}; !slices.Equal(to.told, want) {
			t.Errorf("told at %v days, want %v", to.told, want)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
