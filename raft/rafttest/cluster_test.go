package rafttest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
	"github.com/skerryhq/skerry/raft/rafttest"
)

// follower is a member that does not lead.
func follower(c *rafttest.Cluster) int { return (c.Leader() + 1) % 3 }

// TestForward writes on a follower and reads it there at once.
func TestForward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := rafttest.New(t, 3)
		defer c.Close()
		f := follower(c)
		n := c.Node(f)
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				name := fmt.Sprintf("v%d", i)
				r, err := n.Propose(t.Context(), volume(name))
				if err != nil {
					t.Error(err)
					return
				}
				if _, ok := n.View().VolumeByName(rafttest.TenantID, name); !ok || n.AppliedIndex() < r.Index {
					t.Errorf("%s at index %d is not here yet", name, r.Index)
				}
			})
		}
		wg.Wait()
		r, err := n.Propose(t.Context(), volume("v1"), volume("w"))
		if model.CodeOf(err) != "already_exists" || len(r.Outcomes) != 2 || r.Outcomes[1].Err != nil {
			t.Fatalf("a refusal by way of the leader: %v %+v", err, r)
		}
		if n.LeaderID() != c.ID(c.Leader()) {
			t.Fatalf("%s leads, the follower says %q", c.ID(c.Leader()), n.LeaderID())
		}
		if _, err := n.ProposeEncoded(t.Context(), [][]byte{{1, 0, 80, '{', '}'}}); !errors.Is(err, node.ErrNotLeader) {
			t.Fatalf("a follower took what was forwarded: %v", err)
		}
		if _, err := c.Node(c.Leader()).ProposeEncoded(t.Context(), [][]byte{{1, 255, 255, '{', '}'}}); model.CodeOf(err) != "command_invalid" {
			t.Fatalf("an unknown command was forwarded: %v", err)
		}
	})
}

// TestWritesSurviveFailover writes on every member while leaders die and return:
// an acknowledged write is never lost, no write that was refused as not done is
// there, and each waits for the next leader instead of failing.
func TestWritesSurviveFailover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := rafttest.New(t, 3)
		defer c.Close()
		var mu sync.Mutex
		var acked, refused []string
		failed := 0
		stop := make(chan struct{})
		var wg sync.WaitGroup
		nodes := [3]*node.Node{c.Node(0), c.Node(1), c.Node(2)}
		for i, n := range nodes {
			wg.Go(func() {
				for k := 0; ; k++ {
					select {
					case <-stop:
						return
					default:
					}
					name := fmt.Sprintf("n%d-%d", i, k)
					ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
					_, err := n.Propose(ctx, volume(name))
					cancel()
					mu.Lock()
					switch {
					case err == nil:
						acked = append(acked, name)
					case errors.Is(err, node.ErrOutcomeUnknown), model.CodeOf(err) == "not_caught_up":
						failed++
					default:
						refused = append(refused, name)
					}
					mu.Unlock()
					time.Sleep(5 * time.Millisecond)
				}
			})
		}
		for range 6 {
			time.Sleep(2 * time.Second)
			l := c.Leader()
			c.Cut(l)
			time.Sleep(3 * time.Second)
			c.Heal()
		}
		time.Sleep(3 * time.Second)
		close(stop)
		wg.Wait()
		c.RequireSameState(c.Propose(volume("end")).Index)
		v := nodes[0].View()
		for _, name := range acked {
			if _, ok := v.VolumeByName(rafttest.TenantID, name); !ok {
				t.Errorf("%s was acknowledged and is gone", name)
			}
		}
		for _, name := range refused {
			if _, ok := v.VolumeByName(rafttest.TenantID, name); ok {
				t.Errorf("%s was refused as not done and is there", name)
			}
		}
		if len(acked) < 1000 || len(refused) > 0 {
			t.Errorf("%d acknowledged, %d unknown, %d refused", len(acked), failed, len(refused))
		}
		t.Logf("%d acknowledged, %d unknown, %d refused", len(acked), failed, len(refused))
	})
}

// TestPartitionedFollowerDoesNotDisturb cuts a follower off for a minute: it must
// not make the others elect again, before or after.
func TestPartitionedFollowerDoesNotDisturb(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := rafttest.New(t, 3)
		defer c.Close()
		l := c.Leader()
		m, err := c.Node(l).Members(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f := follower(c)
		c.Cut(f)
		for i := range 20 {
			c.Propose(volume(fmt.Sprintf("v%d", i)))
			time.Sleep(3 * time.Second)
		}
		c.Heal()
		begin := time.Now()
		c.RequireSameState(c.Propose(volume("back")).Index)
		if took := time.Since(begin); took > time.Second {
			t.Errorf("a follower that was away for a minute needed %v", took)
		}
		after, err := c.Node(c.Leader()).Members(t.Context())
		if err != nil || c.Leader() != l || after.Term != m.Term {
			t.Errorf("term %d led by %d became term %d led by %d (%v)", m.Term, l, after.Term, c.Leader(), err)
		}
	})
}

// TestTransfer hands the lead over on request and when a leader closes; the gap
// in which nobody can write is short.
func TestTransfer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := rafttest.New(t, 3)
		defer c.Close()
		old := c.Leader()
		if err := c.Node(old).TransferLeadership(t.Context()); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if _, err := c.Node(old).Propose(t.Context(), volume("a")); err != nil {
			t.Fatal(err)
		}
		if now := c.Leader(); now == old {
			t.Fatal("the lead did not move")
		}
		if gap := time.Since(begin); gap > 250*time.Millisecond {
			t.Errorf("a write needed %v after a transfer", gap)
		}
		old = c.Leader()
		other := c.Node((old + 1) % 3)
		c.Stop(old)
		begin = time.Now()
		if _, err := other.Propose(t.Context(), volume("b")); err != nil {
			t.Fatal(err)
		}
		if gap := time.Since(begin); gap > 250*time.Millisecond {
			t.Errorf("a write needed %v after the leader closed", gap)
		}
		c.Start(old)
		c.RequireSameState(c.Propose(volume("c")).Index)
		// With nobody to hand over to, it says so.
		l := c.Leader()
		c.Cut((l + 1) % 3)
		c.Cut((l + 2) % 3)
		time.Sleep(100 * time.Millisecond)
		if err := c.Node(l).TransferLeadership(t.Context()); err == nil && c.Node(l).Leads() {
			t.Error("the lead was handed to nobody")
		}
	})
}

// TestMembership grows a cluster from one member to three voters and a standby
// and shrinks it again.
func TestMembership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := rafttest.New(t, 1)
		defer c.Close()
		for range 3 {
			c.Add()
		}
		lead := c.Node(0)
		for i := 1; i < 4; i++ {
			if err := lead.AddStandby(t.Context(), c.ID(i)); err != nil {
				t.Fatal(err)
			}
			if err := lead.AddStandby(t.Context(), c.ID(i)); err != nil {
				t.Fatal("adding twice:", err)
			}
		}
		r := c.Propose(volume("a"))
		c.RequireSameState(r.Index)
		for i := 1; i < 3; i++ {
			if err := lead.AddVoter(t.Context(), c.ID(i)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		m, err := lead.Members(t.Context())
		if err != nil || len(m.Servers) != 4 || m.Voters() != 3 || m.LeaderID != c.ID(0) || m.ThisID != c.ID(0) || m.Degraded {
			t.Fatalf("%+v %v", m, err)
		}
		for _, s := range m.Servers {
			if !s.Alive || s.MatchIndex < r.Index || s.MatchIndex > m.CommitIndex || time.Since(s.LastContact) > time.Second || s.Leader != (s.ID == c.ID(0)) {
				t.Errorf("%+v of %+v", s, m)
			}
		}
		there, err := c.Node(3).Members(t.Context())
		if err != nil || there.LeaderID != c.ID(0) || len(there.Servers) != 4 || there.Term != m.Term {
			t.Fatalf("a standby says %+v %v", there, err)
		}
		if s, _ := there.Server(c.ID(0)); !s.Alive || !s.Leader {
			t.Errorf("a standby says of its leader %+v", s)
		}
		if err := c.Node(3).AddVoter(t.Context(), c.ID(3)); model.CodeOf(err) != "no_leader" {
			t.Errorf("a standby changed the members: %v", err)
		}
		c.Cut(3)
		time.Sleep(3 * time.Second)
		m, _ = lead.Members(t.Context())
		if s, _ := m.Server(c.ID(3)); s.Alive {
			t.Errorf("cut off and alive: %+v", s)
		}
		c.Heal()
		// The leader demotes and removes itself: it hands over first.
		if err := lead.Demote(t.Context(), c.ID(0)); !errors.Is(err, node.ErrNotLeader) {
			t.Fatalf("the leader demoted itself: %v", err)
		}
		c.Propose(volume("b"))
		next := c.Node(c.Leader())
		if next == lead {
			t.Fatal("the lead did not move")
		}
		if err := next.Demote(t.Context(), c.ID(0)); err != nil {
			t.Fatal(err)
		}
		if err := next.Remove(t.Context(), c.ID(0)); err != nil {
			t.Fatal(err)
		}
		if err := next.Remove(t.Context(), c.ID(0)); err != nil {
			t.Fatal("removing twice:", err)
		}
		if err := next.Demote(t.Context(), c.ID(0)); model.CodeOf(err) != "not_found" {
			t.Fatalf("demoting what is gone: %v", err)
		}
		other := 3 - c.Leader() // of the voters 1 and 2
		if err := next.Demote(t.Context(), c.ID(other)); err != nil {
			t.Fatal(err)
		}
		if err := next.Demote(t.Context(), c.ID(c.Leader())); model.CodeOf(err) != "last_voter" {
			t.Fatalf("the last voter was demoted: %v", err)
		}
		m, _ = next.Members(t.Context())
		if i := slices.IndexFunc(m.Servers, func(s node.Server) bool { return s.Voter }); m.Voters() != 1 || m.Servers[i].ID != c.ID(c.Leader()) {
			t.Errorf("%+v", m)
		}
	})
}

// TestTwoMembers wants every acknowledged write on the standby too, one wait of
// two seconds when it goes away, none after that, and both again when it is back.
func TestTwoMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := rafttest.New(t, 1)
		defer c.Close()
		standby := c.Add()
		lead := c.Node(0)
		if err := lead.AddStandby(t.Context(), c.ID(standby)); err != nil {
			t.Fatal(err)
		}
		write := func(name string) time.Duration {
			t.Helper()
			begin := time.Now()
			r, err := lead.Propose(t.Context(), volume(name))
			if err != nil {
				t.Fatal(err)
			}
			if last := c.LastIndex(standby); !lead.Degraded() && last < r.Index {
				t.Errorf("%s was acknowledged at index %d, the standby is at %d", name, r.Index, last)
			}
			return time.Since(begin)
		}
		for i := range 20 {
			if took := write(fmt.Sprintf("a%d", i)); took > 100*time.Millisecond {
				t.Errorf("a write with a standby took %v", took)
			}
		}
		if lead.Degraded() {
			t.Error("degraded although the standby is there")
		}
		c.Cut(standby)
		if took := write("b"); took < 1900*time.Millisecond || took > 2500*time.Millisecond {
			t.Errorf("the first write without the standby took %v", took)
		}
		for i := range 30 {
			if took := write(fmt.Sprintf("c%d", i)); took > 50*time.Millisecond {
				t.Errorf("a degraded write took %v", took)
			}
		}
		if !lead.Degraded() {
			t.Error("not degraded although the standby is away")
		}
		c.Heal()
		for begin := time.Now(); lead.Degraded(); time.Sleep(10 * time.Millisecond) {
			if time.Since(begin) > 2*time.Second {
				t.Fatal("still degraded")
			}
		}
		if took := write("d"); took > 100*time.Millisecond {
			t.Errorf("a write after the return took %v", took)
		}
		// Gone without a write meanwhile: no write has to find that out.
		c.Kill(standby)
		time.Sleep(5 * time.Second)
		if took := write("e"); took > 50*time.Millisecond || !lead.Degraded() {
			t.Errorf("a write %v after the standby had died, degraded %t", took, lead.Degraded())
		}
		c.Start(standby)
		c.RequireSameState(c.Propose(volume("f")).Index)
		time.Sleep(50 * time.Millisecond) // its last answer is on its way
		if lead.Degraded() {
			t.Error("degraded although the standby has caught up")
		}
	})
}

// TestTwoMembersClose wants no write acknowledged that the standby lacks, also not
// by a voter that is being closed.
func TestTwoMembersClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := rafttest.New(t, 1)
		defer c.Close()
		standby := c.Add()
		lead := c.Node(0)
		if err := lead.AddStandby(t.Context(), c.ID(standby)); err != nil {
			t.Fatal(err)
		}
		if _, err := lead.Propose(t.Context(), volume("a")); err != nil {
			t.Fatal(err)
		}
		c.Cut(standby)
		answer := make(chan error, 1)
		go func() {
			_, err := lead.Propose(t.Context(), volume("b"))
			answer <- err
		}()
		time.Sleep(500 * time.Millisecond) // it waits for the standby
		if err := lead.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-answer; !errors.Is(err, node.ErrOutcomeUnknown) {
			t.Errorf("answered with %v", err)
		}
	})
}

// TestReadIndex wants an index that covers every acknowledged write, on every
// member, and none from a leader that is cut off.
func TestReadIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := rafttest.New(t, 3)
		defer c.Close()
		for i := range 10 {
			r, err := c.Node(i%3).Propose(t.Context(), volume(fmt.Sprintf("v%d", i)))
			if err != nil {
				t.Fatal(err)
			}
			for k := range 3 {
				begin := time.Now()
				index, err := c.Node(k).ReadIndex(t.Context())
				if err != nil || index < r.Index {
					t.Fatalf("node %d reads at %d after a write at %d: %v", k, index, r.Index, err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				if err := c.Node(k).WaitIndex(ctx, index); err != nil {
					t.Fatal(err)
				}
				cancel()
				if took := time.Since(begin); took > 100*time.Millisecond {
					t.Errorf("a strong read took %v", took)
				}
			}
		}
		old := c.Leader()
		c.Cut(old)
		r := c.Propose(volume("new"))
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if index, err := c.Node(old).ReadIndex(ctx); err == nil {
			t.Fatalf("a member that is cut off reads at %d", index)
		}
		c.Heal()
		index, err := c.Node(old).ReadIndex(t.Context())
		if err != nil || index < r.Index {
			t.Fatalf("reads at %d after a write at %d: %v", index, r.Index, err)
		}
	})
}

// TestReadIndexNeedsVoters cuts a leader off from the other voters but not from a
// standby: the standby's word must not do.
func TestReadIndexNeedsVoters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := rafttest.New(t, 3)
		defer c.Close()
		s := c.Add()
		l := c.Leader()
		if err := c.Node(l).AddStandby(t.Context(), c.ID(s)); err != nil {
			t.Fatal(err)
		}
		c.RequireSameState(c.Propose(volume("a")).Index)
		if _, err := c.Node(s).ReadIndex(t.Context()); err != nil {
			t.Fatal("a strong read on a standby:", err)
		}
		c.Part(l, (l+1)%3)
		c.Part(l, (l+2)%3)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if index, err := c.Node(l).LocalReadIndex(ctx); err == nil {
			t.Fatalf("a leader with a standby only reads at %d", index)
		}
	})
}

// TestStuckLog hangs the leader's disk: another must lead within a few seconds,
// and the old one comes back when its disk does.
func TestStuckLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := rafttest.New(t, 3)
		defer c.Close()
		old := c.Leader()
		c.Disk(old).Hang()
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		go func() { _, _ = c.Node(old).Propose(ctx, volume("stuck")) }()
		time.Sleep(50 * time.Millisecond)
		n := c.Node((old + 1) % 3)
		for k := 0; ; k++ {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := n.Propose(ctx, volume(fmt.Sprintf("v%d", k)))
			cancel()
			if err == nil {
				break
			}
			if time.Since(begin) > 10*time.Second {
				t.Fatal("no write after 10 s: ", err)
			}
		}
		took := time.Since(begin)
		t.Logf("written again after %v", took)
		if took > 6*time.Second {
			t.Errorf("needed %v", took)
		}
		c.Disk(old).Resume()
		time.Sleep(2 * time.Second)
		c.RequireSameState(c.Propose(volume("after")).Index)
		if err := c.Disk(old).Fatal(); err != nil {
			t.Errorf("the node gave up: %v", err)
		}
	})
}

// TestFullDisk fills the disk of a follower, then of a leader: it says so and
// takes no further part, the others go on, and it comes back when it is started
// again.
func TestFullDisk(t *testing.T) {
	for _, leads := range []bool{false, true} {
		t.Run(fmt.Sprintf("leader=%t", leads), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := rafttest.New(t, 3)
				defer c.Close()
				i := follower(c)
				if leads {
					i = c.Leader()
				}
				c.Disk(i).Fill()
				for k := range 20 {
					n := c.Node((i + 1) % 3)
					if _, err := n.Propose(t.Context(), volume(fmt.Sprintf("v%d", k))); err != nil && !errors.Is(err, node.ErrOutcomeUnknown) {
						t.Fatal(err)
					}
				}
				time.Sleep(5 * time.Second)
				if err := c.Disk(i).Fatal(); model.CodeOf(err) != "disk_full" {
					t.Fatalf("the node said %v", err)
				}
				if c.Leader() == i {
					t.Fatal("it leads")
				}
				c.Kill(i)
				c.Disk(i).Resume()
				c.Start(i)
				c.RequireSameState(c.Propose(volume("after")).Index)
			})
		})
	}
}
