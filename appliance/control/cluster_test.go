package control

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
	"github.com/skerryhq/skerry/raft/rafttest"
)

// bed is a cluster of three nodes whose agents are played.
type bed struct {
	*testing.T
	n     *node.Node
	beats *Heartbeats
	mu    sync.Mutex
	dead  map[string]bool
}

func (b *bed) alive(id string, is bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dead[id] = !is
}

func (b *bed) isDead(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dead[id]
}

var bedNodes = []string{rafttest.NodeID, "node-2", "node-3"}

// onBed runs a test inside a bubble, with the health and deploy loops running.
func onBed(t *testing.T, test func(*bed)) {
	synctest.Test(t, func(t *testing.T) {
		b := &bed{T: t, n: rafttest.Single(t), beats: NewHeartbeats(), dead: map[string]bool{}}
		for i, id := range bedNodes {
			if i > 0 {
				do(t, b.n, &command.PutNode{Head: by(), Node: model.Node{Meta: model.Meta{ID: id, Name: id}, EnvironmentID: rafttest.EnvironmentID}})
			}
			do(t, b.n, &command.SetNodeStatus{Head: by(), NodeID: id, Status: model.NodeStatus{Ready: true, CPUs: 4, MemoryBytes: 8 << 30}})
		}
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error, 2)
		go func() {
			over <- Run(ctx, Config{Store: b.n.Store(), Proposer: b.n, Log: slog.New(slog.DiscardHandler), Heartbeats: b.beats})
		}()
		go func() { over <- b.agents(ctx) }()
		test(b)
		cancel()
		for range 2 {
			if err := <-over; err != nil {
				t.Errorf("a loop ended with %v", err)
			}
		}
	})
}

// agents beat and run what they are told, as long as they are alive.
func (b *bed) agents(ctx context.Context) error {
	for ctx.Err() == nil {
		for _, id := range bedNodes {
			if b.isDead(id) {
				continue
			}
			b.beats.Beat(id, time.Now())
			v := b.n.View()
			var gone []string
			for c := range v.ContainersOnNode(id) {
				switch {
				case c.Assign.Remove:
					gone = append(gone, c.ID)
				case c.Status.Phase == model.PhasePending:
					do(b.T, b.n, &command.SetContainerStatus{Head: by(), NodeID: id, Items: []command.StatusItem{{ID: c.ID, Status: model.ContainerStatus{Phase: model.PhaseRunning, Task: 1}}}})
				}
			}
			for o := range v.OrphansOf(id) {
				gone = append(gone, o.ID)
			}
			if len(gone) > 0 {
				do(b.T, b.n, &command.ForgetContainers{Head: by(), NodeID: id, IDs: gone})
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil
}

// deploy makes an app with one service; volume: it mounts one.
func (b *bed) deploy(name string, replicas int, volume bool) {
	b.Helper()
	spec := model.ServiceSpec{Replicas: replicas, Container: model.ContainerSpec{Image: "library/welcome:1", Restart: model.RestartAlways}}
	put := &command.PutApp{Head: by(), ServiceIDs: map[string]string{"web": name + "-web"}}
	if volume {
		spec.Container.Mounts = []model.Mount{{Type: model.MountVolume, Source: name + "-data", Path: "/data"}}
		put.Volumes = []model.Volume{{Meta: model.Meta{ID: name + "-data", Name: name + "-data"}, Spec: model.VolumeSpec{Driver: "local"}}}
	}
	put.App = model.App{Meta: model.Meta{ID: name, Name: name}, TenantID: rafttest.TenantID, EnvironmentID: rafttest.EnvironmentID, Spec: model.AppSpec{Services: map[string]model.ServiceSpec{"web": spec}}}
	do(b.T, b.n, put)
}

// where gives the nodes of a service's running containers, sorted.
func (b *bed) where(service string) string {
	var out []string
	for c := range b.n.View().ContainersOfService(service) {
		if c.Status.Phase == model.PhaseRunning && !c.Assign.Remove {
			out = append(out, c.Assign.NodeID)
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func (b *bed) conditions(service string) string {
	s, _ := b.n.View().Service(service)
	return fmt.Sprint(s.Status.Conditions)
}

func TestNodeDies(t *testing.T) {
	onBed(t, func(b *bed) {
		b.deploy("shop", 3, false)
		b.deploy("db", 1, true)
		time.Sleep(time.Second)
		if got := b.where("shop-web"); got != "node-1 node-2 node-3" {
			b.Fatalf("spread over %s", got)
		}
		vol, _ := b.n.View().Volume("db-data")
		if vol.NodeID == "" || b.where("db-web") != vol.NodeID {
			b.Fatalf("the volume lives on %q, its container on %q", vol.NodeID, b.where("db-web"))
		}
		victim := vol.NodeID
		b.alive(victim, false)
		time.Sleep(3 * time.Second) // a short cut
		b.alive(victim, true)
		time.Sleep(2 * time.Second)
		if got := b.where("shop-web"); got != "node-1 node-2 node-3" {
			b.Fatalf("a cut of 3 s moved something: %s", got)
		}
		b.alive(victim, false)
		died := time.Now()
		for strings.Contains(b.where("shop-web"), victim) || len(strings.Fields(b.where("shop-web"))) < 3 {
			if time.Since(died) > 20*time.Second {
				b.Fatalf("not placed anew after 20 s: %s", b.where("shop-web"))
			}
			time.Sleep(10 * time.Millisecond)
		}
		took := time.Since(died)
		b.Logf("replicas of a dead node run elsewhere after %s, of which %s are the grace", took, Grace)
		if took > 6*time.Second {
			b.Errorf("took %s", took)
		}
		time.Sleep(time.Second)
		if got := b.conditions("db-web"); !strings.Contains(got, "waits for node "+nameOf(b, victim)+", which holds its volume db-data, and the node is down") {
			b.Errorf("the service says %s", got)
		}
		if b.where("db-web") != victim {
			b.Errorf("what is bound to a volume moved to %q", b.where("db-web"))
		}
		b.alive(victim, true)
		time.Sleep(3 * time.Second)
		n, _ := b.n.View().Node(victim)
		orphans := 0
		for range b.n.View().OrphansOf(victim) {
			orphans++
		}
		if n.Down() || orphans > 0 || b.conditions("db-web") != "[]" {
			b.Errorf("after its return: down %v, %d orphans, %s", n.Down(), orphans, b.conditions("db-web"))
		}
	})
}

func nameOf(b *bed, id string) string {
	n, _ := b.n.View().Node(id)
	return n.Name
}

func TestDrain(t *testing.T) {
	onBed(t, func(b *bed) {
		b.deploy("shop", 4, false)
		b.deploy("one", 1, false)
		b.deploy("db", 1, true)
		time.Sleep(time.Second)
		vol, _ := b.n.View().Volume("db-data")
		target := vol.NodeID
		set := func(a model.Availability) {
			n, _ := b.n.View().Node(target)
			m := *n
			m.Spec.Availability = a
			do(b.T, b.n, &command.PutNode{Head: by(), Node: m, ExpectVersion: n.Version})
		}
		least := map[string]int{"shop-web": 4, "one-web": 1}
		set(model.NodeDrain)
		for range 1000 {
			for s := range least {
				least[s] = min(least[s], len(strings.Fields(b.where(s))))
			}
			time.Sleep(10 * time.Millisecond)
		}
		if least["shop-web"] < 4 || least["one-web"] < 1 {
			b.Errorf("replicas were away while the node was drained: %v", least)
		}
		d := DrainProgress(b.n.View(), target)
		if !d.Done || d.Left != 1 || len(d.Waiting) != 1 || !strings.Contains(d.Waiting[0].Reason, "which holds its volume db-data") {
			b.Errorf("the drain shows %+v", d)
		}
		if got := b.where("shop-web"); strings.Contains(got, target) || len(strings.Fields(got)) != 4 {
			b.Errorf("shop runs on %s", got)
		}
		before := b.where("shop-web")
		set(model.NodeActive)
		time.Sleep(5 * time.Second)
		if got := b.where("shop-web"); got != before {
			b.Errorf("activation moved %s to %s", before, got)
		}
		b.deploy("new", 2, false)
		time.Sleep(time.Second)
		if got := b.where("new-web"); !strings.Contains(got, target) {
			b.Errorf("what is new runs on %s, not on the empty node %s", got, target)
		}
	})
}

// TestBurstOfAddresses asks one node for more containers than its first block
// holds: no container is made that has to wait for an address.
func TestBurstOfAddresses(t *testing.T) {
	onBed(t, func(b *bed) {
		b.deploy("big", 400, false)
		time.Sleep(2 * time.Second)
		seen := map[netip.Addr]bool{}
		for c := range b.n.View().ContainersOfService("big-web") {
			if c.Assign.NodeID == "" || seen[c.Assign.Address] {
				b.Fatalf("%s: %+v", c.Name, c.Assign)
			}
			seen[c.Assign.Address] = true
		}
		if len(seen) != 400 {
			b.Fatalf("%d containers", len(seen))
		}
	})
}
