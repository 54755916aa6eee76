package control

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
	"github.com/skerryhq/skerry/raft/rafttest"
)

// begin runs a loop until the test ends, on a cluster of its own.
func begin(t *testing.T, loop func(context.Context, Config, *slog.Logger) error, setup ...command.Command) *node.Node {
	t.Helper()
	n := rafttest.Single(t)
	do(t, n, setup...)
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- loop(ctx, Config{Store: n.Store(), Proposer: n}, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-over; ctx.Err() == nil || err == nil {
			t.Errorf("the loop ended with %v", err)
		}
	})
	return n
}

func do(t *testing.T, n *node.Node, cmds ...command.Command) {
	t.Helper()
	if len(cmds) == 0 {
		return
	}
	res, err := n.Propose(t.Context(), cmds...)
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range res.Outcomes {
		if len(o.Refused) > 0 {
			t.Fatalf("%s was refused in part: %v", cmds[i].Type().Name(), o.Refused)
		}
	}
}

func by() command.Head { return command.By(model.Origin{Actor: "test", Time: time.Now().UTC()}) }

// oneOff is an app as `run --rm` makes it, with containers that have begun.
func oneOff(app string, containers ...string) []command.Command {
	spec := model.ContainerSpec{Image: "library/welcome:1", Restart: model.RestartNo, AutoRemove: true}
	put := &command.PutApp{Head: by(), ServiceIDs: map[string]string{"job": app + "-job"},
		App: model.App{Meta: model.Meta{ID: app, Name: app}, TenantID: rafttest.TenantID, EnvironmentID: rafttest.EnvironmentID,
			Spec: model.AppSpec{Services: map[string]model.ServiceSpec{"job": {Container: spec, Replicas: len(containers)}}}}}
	made := &command.PutContainers{Head: by()}
	for i, id := range containers {
		made.Containers = append(made.Containers, model.Container{Meta: model.Meta{ID: id, Name: id}, ServiceID: app + "-job",
			Slot: i + 1, Revision: 1, Spec: spec, Assign: model.Assignment{NodeID: rafttest.NodeID}})
	}
	return []command.Command{put, made}
}

func status(id string, st model.ContainerStatus) command.Command {
	return &command.SetContainerStatus{Head: by(), NodeID: rafttest.NodeID, Items: []command.StatusItem{{ID: id, Status: st}}}
}

func exited(id string, at time.Time) command.Command {
	code := 0
	return status(id, model.ContainerStatus{Phase: model.PhaseExited, Task: 1, ExitCode: &code, FinishedAt: at.UTC()})
}

func removed(n *node.Node, app string) bool {
	a, there := n.View().App(app)
	return !there || a.Removing
}

// TestAutoRemove watches an app that is to go when its containers have ended,
// from the moment when the last of them ends.
func TestAutoRemove(t *testing.T) {
	for _, c := range []struct {
		name string
		ago  time.Duration // by the clock of the agent
		want time.Duration
	}{
		{"just now", 0, readerTime},
		{"a while ago", 10 * time.Second, readerTime - 10*time.Second},
		{"long ago", time.Hour, 0},
		{"later than now: the clock was set back", -time.Hour, readerTime},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := begin(t, autoRemove, oneOff("app", "one", "two")...)
				do(t, n, exited("one", time.Now().Add(-c.ago)), status("two", model.ContainerStatus{Phase: model.PhaseRunning, Task: 1}))
				time.Sleep(time.Minute)
				if removed(n, "app") {
					t.Fatal("removed while one of its containers still runs")
				}
				do(t, n, exited("two", time.Now().Add(-c.ago)))
				if c.want > 0 {
					time.Sleep(c.want - time.Second)
					if removed(n, "app") {
						t.Fatalf("removed before its %s were over", c.want)
					}
					time.Sleep(time.Second)
				}
				time.Sleep(time.Second)
				if !removed(n, "app") {
					t.Fatalf("still there a second after its %s", c.want)
				}
			})
		})
	}
}

// TestAutoRemoveLeavesOthers keeps what nobody asked to remove by itself.
func TestAutoRemoveLeavesOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		setup := oneOff("app", "one")
		put, made := setup[0].(*command.PutApp), setup[1].(*command.PutContainers)
		job := put.App.Spec.Services["job"]
		job.Container.AutoRemove = false
		put.App.Spec.Services["job"] = job
		made.Containers[0].Spec.AutoRemove = false
		n := begin(t, autoRemove, put, made)
		do(t, n, exited("one", time.Now()))
		time.Sleep(time.Hour)
		if removed(n, "app") {
			t.Fatal("a container that was to stay is gone")
		}
	})
}

func TestGraces(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	g := graces{}
	turn := func(want []string, wantRest time.Duration, ended map[string]time.Time) {
		t.Helper()
		if due, rest := g.turn(ended, now); !slices.Equal(due, want) || rest != wantRest {
			t.Errorf("got %v and %s, want %v and %s", due, rest, want, wantRest)
		}
	}
	ended := map[string]time.Time{"a": now, "b": now.Add(-5 * time.Second), "future": now.Add(time.Hour), "runs": {}}
	turn(nil, 10*time.Second, ended) // the earliest of all, whatever the order of the map
	now = now.Add(10 * time.Second)
	turn([]string{"b"}, 5*time.Second, ended)
	now = now.Add(5 * time.Second)
	turn([]string{"a", "b", "future"}, 0, ended) // b was not removed; it stays due
	turn(nil, readerTime, map[string]time.Time{"a": now})
	if got := slices.Collect(maps.Keys(g)); !slices.Equal(got, []string{"a"}) {
		t.Errorf("remembers %v", got)
	}
}

// TestSweep deletes sessions after their end, and no others.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		session := func(id string, lives time.Duration) command.Command {
			return &command.PutSession{Head: by(), Session: model.Session{ID: id, UserID: "u1", ExpiresAt: time.Now().Add(lives).UTC()}}
		}
		user := &command.PutUser{Head: by(), User: model.User{Meta: model.Meta{ID: "u1", Name: "ada"}, PasswordHash: "x"}}
		n := begin(t, sweep, user, session("old", -time.Second), session("short", 5*time.Minute), session("long", 24*time.Hour))
		want := func(ids ...string) {
			t.Helper()
			for _, id := range []string{"old", "short", "long"} {
				if _, there := n.View().Session(id); there != slices.Contains(ids, id) {
					t.Errorf("session %s is there: %v", id, there)
				}
			}
		}
		time.Sleep(time.Second)
		want("short", "long") // the first look comes at once
		time.Sleep(6 * time.Minute)
		want("short", "long") // expired, not yet swept
		time.Sleep(5 * time.Minute)
		want("long")
	})
}
