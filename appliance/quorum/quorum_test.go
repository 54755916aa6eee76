package quorum_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/skerryhq/skerry/appliance/quorum"
	"github.com/skerryhq/skerry/raft/model"
)

// cluster makes servers of a text such as "A* B c d!": capitals vote, an
// asterisk leads, an exclamation mark is dead, a question mark is behind, a plus
// is wished to vote, a minus to stand by, a slash and a letter is a zone, a hash
// is not known to raft yet, a tilde was removed.
func cluster(text string) []quorum.Server {
	var out []quorum.Server
	for _, w := range strings.Fields(text) {
		s := quorum.Server{ID: strings.ToLower(w[:1]), Name: strings.ToLower(w[:1]), Part: quorum.Standby, Alive: true, CaughtUp: true}
		if w[0] >= 'A' && w[0] <= 'Z' {
			s.Part = quorum.Voter
		}
		for i, c := range w[1:] {
			switch c {
			case '*':
				s.Leader = true
			case '!':
				s.Alive, s.Dead, s.CaughtUp, s.Down = false, true, false, true
			case '?':
				s.CaughtUp = false
			case '+':
				s.Wish = model.SuffrageVoter
			case '-':
				s.Wish = model.SuffrageStandby
			case '#':
				s.Part = quorum.None
			case '~':
				s.Gone = true
			case '/':
				s.Zone = w[1:][i+1 : i+2]
			}
		}
		out = append(out, s)
	}
	return out
}

func TestNext(t *testing.T) {
	for _, c := range []struct{ servers, want string }{
		{"A*", ""},
		{"A* b#", "add-standby b"},
		{"A* b#!", ""}, // a write would wait for it
		{"A* b", ""},   // two members: one voter, one standby
		{"A* b c", "promote b"},
		{"A* b c?", ""}, // two voters would survive less than one
		{"A* b c!", ""},
		{"A* B c", "promote c"},
		{"A* B c!", "demote b"}, // growing stopped half way
		{"A* B! c!", ""},
		{"A* B C D e!", "demote b"},
		{"A* B C", ""},
		{"A* B C d", ""},
		{"A* B C d e", "promote d"},
		{"A* B C D e", "promote e"},
		{"A* B C D E f", ""}, // at most five
		{"A* B C! d", "promote d"},
		{"A* B C! D", "demote c"},
		{"A* B C!", ""},    // nobody takes its place: the set does not shrink
		{"A* B C! d?", ""}, // not yet good enough
		{"A* B", "demote b"},
		{"A B*", "demote a"},
		{"A*- b", "promote b"},
		{"A*- B C d", "promote d"},
		{"A*- B C D", "transfer b"},
		{"A- B* C D", "demote a"},
		{"A*- B C", ""}, // a wish does not cost a vote
		{"A* B C d+", "promote d"},
		{"A* B C D+", "demote b"},
		{"A*+ B+ C+ d+", ""},
		{"A* B C d-", ""},
		{"A* B C! d-", "promote d"}, // better than none
		{"A*/x B/x C/x d/y", "promote d"},
		{"A*/x B/x C/x D/y", "demote b"},
		{"A*/x B/x C/y d/z", "promote d"}, // two voters in x, none in z
		{"A* B C D~", "remove d"},
		{"A*~ B C", "transfer b"},
		{"A*~ b", "promote b"},
	} {
		got := ""
		if s, ok := quorum.Next(cluster(c.servers)); ok {
			got = fmt.Sprintf("%s %s", s.Action, s.ID)
		}
		if got != c.want {
			t.Errorf("%s: next is %q, want %q", c.servers, got, c.want)
		}
	}
}

// do carries a step out as raft would.
func do(servers []quorum.Server, s quorum.Step) []quorum.Server {
	out := slices.Clone(servers)
	i := slices.IndexFunc(out, func(o quorum.Server) bool { return o.ID == s.ID })
	switch s.Action {
	case quorum.AddStandby, quorum.Demote:
		out[i].Part = quorum.Standby
	case quorum.Promote:
		out[i].Part = quorum.Voter
	case quorum.Remove:
		out = slices.Delete(out, i, i+1)
	case quorum.Transfer:
		for j := range out {
			out[j].Leader = j == i
		}
	}
	return out
}

// TestSteps follows the autopilot from any beginning that has a quorum: it comes
// to rest, keeps the quorum and the leader on the way, and ends with an odd
// number of voters where enough members are alive.
func TestSteps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "members")
		var servers []quorum.Server
		for i := range n {
			s := quorum.Server{ID: fmt.Sprint(i), Name: fmt.Sprint(i), Part: rapid.SampledFrom([]quorum.Part{quorum.Voter, quorum.Standby, quorum.None}).Draw(t, "part")}
			s.Alive = rapid.IntRange(0, 3).Draw(t, "alive") > 0
			s.Dead, s.CaughtUp = !s.Alive, s.Alive
			s.Gone = rapid.IntRange(0, 5).Draw(t, "gone") == 0
			s.Zone = rapid.SampledFrom([]string{"", "x", "y", "z"}).Draw(t, "zone")
			s.Wish = rapid.SampledFrom([]model.Suffrage{"", "", model.SuffrageVoter, model.SuffrageStandby}).Draw(t, "wish")
			servers = append(servers, s)
		}
		servers[0] = quorum.Server{ID: "0", Name: "0", Part: quorum.Voter, Leader: true, Alive: true, CaughtUp: true}
		if _, _, canLose := quorum.Margin(servers); canLose < 0 {
			t.Skip("no quorum to begin with")
		}
		for range 60 {
			s, ok := quorum.Next(servers)
			if !ok {
				break
			}
			servers = do(servers, s)
			if _, _, canLose := quorum.Margin(servers); canLose < 0 {
				t.Fatalf("%s of %s lost the quorum: %+v", s.Action, s.ID, servers)
			}
			if !slices.ContainsFunc(servers, func(s quorum.Server) bool { return s.Leader && s.Part == quorum.Voter && s.Alive }) {
				t.Fatalf("%s of %s took the leader: %+v", s.Action, s.ID, servers)
			}
		}
		if s, ok := quorum.Next(servers); ok {
			t.Fatalf("it does not come to rest: %s of %s in %+v", s.Action, s.ID, servers)
		}
		members, alive := 0, 0
		for _, s := range servers {
			if !s.Gone {
				members++
				if s.Alive {
					alive++
				}
			}
		}
		voters, _, _ := quorum.Margin(servers)
		if alive == members && voters != quorum.Target(members) {
			t.Fatalf("%d voters of %d members", voters, members)
		}
	})
}

func TestSentence(t *testing.T) {
	for servers, want := range map[string]string{
		"A*":         "one member",
		"A* b":       "on both disks",
		"A* B C":     "you can lose 1 more node",
		"A* B C!":    "you can lose no more node",
		"A* B! C!":   "the quorum is lost: 1 of 3",
		"A* B C D E": "you can lose 2 more nodes",
	} {
		if got := quorum.Sentence(cluster(servers), false); !strings.Contains(got, want) {
			t.Errorf("%s: %q does not say %q", servers, got, want)
		}
	}
	if got := quorum.Sentence(cluster("A* b"), true); !strings.Contains(got, "one disk only") {
		t.Errorf("degraded: %q", got)
	}
}
