// Package quorum decides which members vote. Next is the autopilot: pure, one
// step at a time, so that every step is judged anew by what is then; Loop asks
// it and has the steps done while this node leads. It never touches containers
// and never removes a node: it only carries out what the state says about
// members.
//
// The rules: an odd number of voters, at most five; two members are one voter
// and one standby; a voter that has been dead for a while is replaced by a
// standby, never just dropped, because a smaller quorum of survivors would let
// the dead ones come back as a second cluster; voters are spread over the values
// of the node label "zone"; an administrator's wish counts where it does not
// cost a vote.
package quorum

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/skerryhq/skerry/raft/model"
)

// MaxVoters bounds the voters: more make every write slower and hardly anything
// safer.
const MaxVoters = 5

// Part is what a member does in raft.
type Part string

// The parts. None is a member that raft does not know yet.
const (
	Voter   Part = "voter"
	Standby Part = "standby"
	None    Part = "none"
)

// Server is one member, as raft and the state know it.
type Server struct {
	ID       string
	Name     string
	Zone     string // value of its label "zone"; empty is a zone of its own
	Part     Part
	Leader   bool
	Alive    bool           // the leader hears of it
	Dead     bool           // not alive, and for so long that a standby should take its place
	CaughtUp bool           // its log is as good as the leader's
	Wish     model.Suffrage // of an administrator
	Gone     bool           // raft knows it and the state does not: its node was removed
	Down     bool           // the state calls its node down
}

// Action is one change to raft's configuration.
type Action string

// The actions.
const (
	AddStandby Action = "add-standby"
	Promote    Action = "promote"
	Demote     Action = "demote"
	Remove     Action = "remove"
	Transfer   Action = "transfer" // give the leadership away, so that the present leader can be demoted or removed
)

// Step is what to do next, and why.
type Step struct {
	Action Action
	ID     string
	Reason string
}

// Target is how many voters a cluster of so many members should have.
func Target(members int) int {
	n := min(members, MaxVoters)
	if n%2 == 0 {
		n--
	}
	return max(n, 1)
}

// Next gives the next step; false if all is as it should be, or nothing can be
// done now. The order of servers does not matter.
func Next(servers []Server) (Step, bool) {
	all := slices.SortedFunc(slices.Values(servers), func(a, b Server) int { return cmp.Compare(a.ID, b.ID) })
	if s, ok := gone(all); ok {
		return s, true
	}
	all = slices.DeleteFunc(all, func(s Server) bool { return s.Gone })
	if s, ok := find(all, func(s Server) bool { return s.Part == None && !s.Down }); ok {
		return Step{AddStandby, s.ID, s.Name + " joined"}, true
	}
	voters := only(all, func(s Server) bool { return s.Part == Voter })
	ready := only(all, func(s Server) bool { return s.Part == Standby && s.Alive && s.CaughtUp })
	target := Target(len(all))
	switch {
	case len(voters) < target:
		if s, ok := grow(voters, ready, target); ok || len(voters)%2 == 1 {
			return s, ok
		}
		return even(voters)
	case len(voters) > target:
		return shrink(voters, target)
	default:
		return swap(voters, ready)
	}
}

// gone takes members out of raft whose nodes were removed, the dead ones first,
// as long as those that stay are a quorum.
func gone(all []Server) (Step, bool) {
	left := only(all, func(s Server) bool { return s.Gone && s.Part != None })
	slices.SortStableFunc(left, func(a, b Server) int { return cmp.Compare(no(a.Dead), no(b.Dead)) })
	for _, s := range left {
		if s.Leader {
			heir, ok := find(all, func(o Server) bool { return !o.Gone && o.Part == Voter && o.Alive })
			if ok {
				return Step{Transfer, heir.ID, s.Name + " was removed from the cluster and leads it"}, true
			}
			continue
		}
		if _, _, canLose := Margin(without(all, s.ID)); canLose >= 0 {
			return Step{Remove, s.ID, "its node was removed"}, true
		}
	}
	return Step{}, false
}

// no sorts what is true first.
func no(b bool) int {
	if b {
		return 0
	}
	return 1
}

// grow promotes a standby if that leads to an odd number: an even one needs more
// votes and survives no more losses.
func grow(voters, ready []Server, target int) (Step, bool) {
	if len(ready) == 0 || (len(voters)+1)%2 == 0 && len(ready) < 2 {
		return Step{}, false
	}
	s := best(voters, ready)
	return Step{Promote, s.ID, fmt.Sprintf("%d of %d voters are there", len(voters), target)}, true
}

// even takes a vote away where growing stopped half way, because the second
// standby died meanwhile: an even number of voters survives no more losses than
// one less, and needs more of them to be there. Only while all are alive: a set
// never shrinks because voters died.
func even(voters []Server) (Step, bool) {
	if _, dead := find(voters, func(s Server) bool { return !s.Alive }); dead {
		return Step{}, false
	}
	s := worst(voters)
	if s.Leader {
		return handOver(voters, s, "another voter is to be demoted")
	}
	return Step{Demote, s.ID, "an even number of voters survives no more losses than one less"}, true
}

// shrink demotes a voter that is one too many. While others are dead that is
// done only to a dead one, and only if those alive stay a majority by it.
func shrink(voters []Server, target int) (Step, bool) {
	s := worst(voters)
	if s.Leader {
		return handOver(voters, s, "another voter is to be demoted")
	}
	return Step{Demote, s.ID, fmt.Sprintf("%d voters are enough for this cluster", target)}, true
}

// swap replaces dead voters, follows wishes and spreads over zones, with as many
// voters as there are. The new one comes before the old one goes.
func swap(voters, ready []Server) (Step, bool) {
	if len(ready) == 0 {
		return Step{}, false
	}
	willing := only(ready, func(s Server) bool { return s.Wish != model.SuffrageStandby })
	if dead, ok := find(voters, func(s Server) bool { return s.Dead }); ok {
		s := best(without(voters, dead.ID), ready)
		return Step{Promote, s.ID, dead.Name + " does not answer; this one takes its place"}, true
	}
	if len(willing) == 0 {
		return Step{}, false
	}
	if tired, ok := find(voters, func(s Server) bool { return s.Wish == model.SuffrageStandby }); ok {
		s := best(without(voters, tired.ID), willing)
		return Step{Promote, s.ID, tired.Name + " is to be a standby"}, true
	}
	wished := only(willing, func(s Server) bool { return s.Wish == model.SuffrageVoter })
	if _, free := find(voters, func(s Server) bool { return s.Wish != model.SuffrageVoter }); free && len(wished) > 0 {
		s := best(voters, wished)
		return Step{Promote, s.ID, "an administrator wishes it to vote"}, true
	}
	// A zone with two voters more than one that has a willing standby is too full.
	s := best(voters, willing)
	if full := worst(voters); full.Wish != model.SuffrageVoter && crowd(voters, full.Zone) >= crowd(voters, s.Zone)+2 {
		return Step{Promote, s.ID, fmt.Sprintf("zone %q has %d voters and %q has %d", full.Zone, crowd(voters, full.Zone), s.Zone, crowd(voters, s.Zone))}, true
	}
	return Step{}, false
}

func handOver(voters []Server, from Server, reason string) (Step, bool) {
	heir, ok := find(voters, func(s Server) bool { return s.ID != from.ID && s.Alive && s.CaughtUp })
	return Step{Transfer, heir.ID, reason}, ok
}

// crowd counts the voters of a zone; one without a zone is alone in its own.
func crowd(voters []Server, zone string) int {
	if zone == "" {
		return 0
	}
	return len(only(voters, func(s Server) bool { return s.Zone == zone }))
}

// best is the candidate to promote: wished for, in an empty zone, by id.
func best(voters, candidates []Server) Server {
	return slices.MinFunc(candidates, func(a, b Server) int {
		return cmp.Or(cmp.Compare(reluctance(a), reluctance(b)), cmp.Compare(crowd(voters, a.Zone), crowd(voters, b.Zone)), cmp.Compare(a.ID, b.ID))
	})
}

func reluctance(s Server) int {
	switch s.Wish {
	case model.SuffrageVoter:
		return 0
	case model.SuffrageStandby:
		return 2
	default:
		return 1
	}
}

// worst is the voter to demote: dead, wished away, in a full zone, not the leader.
func worst(voters []Server) Server {
	return slices.MinFunc(voters, func(a, b Server) int {
		return cmp.Or(cmp.Compare(no(a.Dead), no(b.Dead)), cmp.Compare(no(!a.Alive), no(!b.Alive)), cmp.Compare(reluctance(b), reluctance(a)),
			cmp.Compare(crowd(voters, b.Zone), crowd(voters, a.Zone)), cmp.Compare(no(!a.Leader), no(!b.Leader)), cmp.Compare(a.ID, b.ID))
	})
}

// Margin says how many voters there are, how many are alive, and how many more
// may be lost; negative: the quorum is lost.
func Margin(servers []Server) (voters, alive, canLose int) {
	for _, s := range servers {
		if s.Part == Voter {
			voters++
			if s.Alive {
				alive++
			}
		}
	}
	return voters, alive, alive - (voters/2 + 1)
}

// Sentence says it in one line.
func Sentence(servers []Server, degraded bool) string {
	voters, alive, canLose := Margin(servers)
	standbys := len(only(servers, func(s Server) bool { return s.Part == Standby }))
	switch {
	case canLose < 0:
		return fmt.Sprintf("the quorum is lost: %d of %d voters are alive, %d are needed; if the others are gone for good, run `skerry recover` on a survivor", alive, voters, voters/2+1)
	case voters == 1 && standbys == 0:
		return "this cluster has one member; with three, one may be lost"
	case voters == 1 && degraded:
		return "one voter and one standby, which is behind: writes are on one disk only"
	case voters == 1:
		return "one voter and one standby: every write is on both disks; if the voter is lost, run `skerry recover` on the standby"
	case canLose == 0:
		return fmt.Sprintf("%d of %d voters are alive; you can lose no more node", alive, voters)
	default:
		return fmt.Sprintf("%d of %d voters are alive; you can lose %d more node%s", alive, voters, canLose, map[bool]string{true: "", false: "s"}[canLose == 1])
	}
}

func find(in []Server, ok func(Server) bool) (Server, bool) {
	i := slices.IndexFunc(in, ok)
	if i < 0 {
		return Server{}, false
	}
	return in[i], true
}

func only(in []Server, ok func(Server) bool) []Server {
	var out []Server
	for _, s := range in {
		if ok(s) {
			out = append(out, s)
		}
	}
	return out
}

func without(in []Server, id string) []Server {
	return only(in, func(s Server) bool { return s.ID != id })
}
