package chaos

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// The clients work with a few apps. Those of a pair ask for the same published
// port, so that only one of the two can be there.
const pairs = 4

// appName names app k (0 or 1) of a pair.
func appName(pair, k int) string { return fmt.Sprintf("app-%d-%d", pair, k) }

// place is the inverse of appName.
func place(name string) (pair, k int) {
	words := strings.Split(name, "-")
	pair, _ = strconv.Atoi(words[1])
	k, _ = strconv.Atoi(words[2])
	return pair, k
}

// kind is what a client does.
type kind string

const (
	create kind = "create"
	scale  kind = "scale"
	remove kind = "remove"
	strong kind = "strong read"
	local  kind = "local read"
)

// phase is how far an app is. After an acknowledged removal an app is leaving
// until its last container has gone, which nobody tells the clients.
type phase byte

const (
	absent phase = iota
	present
	leaving
)

// slot is an app.
type slot struct {
	phase    phase
	replicas int
}

func (s slot) String() string {
	return [...]string{"absent", fmt.Sprintf("x%d", s.replicas), "leaving"}[s.phase]
}

// input is one request.
type input struct {
	kind     kind
	name     string
	replicas int
}

// output is what the client was told. why is empty when it was done, "unknown"
// when nobody can say, otherwise the code of the refusal.
type output struct {
	why   string
	index uint64 // of the reply; 0 if there was none
	slot  slot   // reads only
}

const (
	unknown  = "unknown"
	notThere = "not_found"
	taken    = "name_taken"
	portUsed = "port_taken"
	going    = "removing" // the app is leaving
)

// pairState is the state of a pair of apps.
type pairState [2]slot

// step gives the states that a pair may be in after an operation with a given
// answer; none if that answer was impossible.
func step(s pairState, in input, out output) []pairState {
	_, k := place(in.name)
	var after []pairState
	// What is leaving may be gone by now.
	for _, mine := range settle(s[k]) {
		for _, other := range settle(s[1-k]) {
			for _, next := range act(mine, other, in, out) {
				var p pairState
				p[k], p[1-k] = next, other
				after = append(after, p)
			}
		}
	}
	return after
}

func settle(s slot) []slot {
	if s.phase == leaving {
		return []slot{s, {}}
	}
	return []slot{s}
}

// act gives the next states of the app that is meant.
func act(mine, other slot, in input, out output) []slot {
	var next slot
	var why string
	switch in.kind {
	case strong:
		if out.slot != mine {
			return nil
		}
		return []slot{mine}
	case create:
		next = slot{present, in.replicas}
		switch {
		case mine.phase != absent:
			why = taken
		case other.phase != absent:
			why = portUsed
		}
	case scale:
		next = slot{present, in.replicas}
		why = [...]string{notThere, "", going}[mine.phase]
	case remove:
		next = slot{phase: leaving}
		why = [...]string{notThere, "", ""}[mine.phase] // twice is no error,
		if mine.phase == leaving && out.why == going {
			why = going // but with force it may be one
		}
	}
	switch {
	case out.why == unknown && why == "":
		return []slot{next, mine}
	case out.why == unknown:
		return []slot{mine}
	case out.why != why:
		return nil
	case why == "":
		return []slot{next}
	}
	return []slot{mine}
}

// registers is the pairs as porcupine wants them.
func registers() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			parts := make([][]porcupine.Operation, pairs)
			for _, o := range history {
				pair, _ := place(o.Input.(input).name)
				parts[pair] = append(parts[pair], o)
			}
			return parts
		},
		Init: func() []any { return []any{pairState{}} },
		Step: func(s, in, out any) []any {
			var after []any
			for _, p := range step(s.(pairState), in.(input), out.(output)) {
				after = append(after, p)
			}
			return after
		},
		DescribeOperation: func(in, out any) string {
			i, o := in.(input), out.(output)
			return fmt.Sprintf("%s %s %d: %s %s", i.kind, i.name, i.replicas, o.why, o.slot)
		},
		DescribeState: func(s any) string { return fmt.Sprint(s) },
	}
	return m.ToModel()
}

// linearizable says whether a history can be explained. "unknown" is that the
// time was over before it was clear.
func linearizable(history []porcupine.Operation) porcupine.CheckResult {
	return porcupine.CheckOperationsTimeout(registers(), history, 60*time.Second)
}

// event is one finished request.
type event struct {
	client       int
	node         int
	in           input
	out          output
	seen         uint64 // index that the client had seen before
	call, finish time.Duration
}

// operations are the events that have to be linearizable.
func operations(events []event) []porcupine.Operation {
	var over time.Duration
	for _, e := range events {
		over = max(over, e.finish)
	}
	var ops []porcupine.Operation
	for _, e := range events {
		if e.in.kind == local || e.in.kind == strong && e.out.why != "" {
			continue
		}
		end := e.finish
		if e.out.why == unknown {
			end = over + 1 // it may still happen
		}
		ops = append(ops, porcupine.Operation{ClientId: e.client, Input: e.in, Call: int64(e.call), Output: e.out, Return: int64(end)})
	}
	return ops
}

// effect is what an app may be after a write was done.
func effect(in input) []slot {
	if in.kind == remove {
		return []slot{{phase: leaving}, {}}
	}
	return []slot{{present, in.replicas}}
}

// judgeLocal checks the local reads: the index never goes back below what the
// client had seen, and what was read is the last write up to that index, or one
// whose outcome or index nobody knows.
func judgeLocal(events []event) []string {
	var faults []string
	for _, r := range events {
		if r.in.kind != local || r.out.why != "" {
			continue
		}
		if r.out.index != 0 && r.out.index < r.seen { // refusals (there is none) bear no index
			faults = append(faults, fmt.Sprintf("client %d had seen index %d and was answered at %d by node %d", r.client, r.seen, r.out.index, r.node))
			continue
		}
		// What the client had seen contains these writes to the app.
		var contained []event
		for _, w := range events {
			if w.in.name == r.in.name && w.wrote() && w.out.index <= r.seen {
				contained = append(contained, w)
			}
		}
		var possible []slot
		if len(contained) == 0 {
			possible = append(possible, slot{})
		}
		for _, w := range events {
			if w.in.name != r.in.name || !w.wrote() && !w.maybe() || w.call > r.finish {
				continue
			}
			// A reply's index is where the node was by then, so only time says
			// which of two writes came first.
			if w.wrote() && slices.ContainsFunc(contained, func(c event) bool { return c.call > w.finish }) {
				continue // it was written over
			}
			possible = append(possible, effect(w.in)...)
		}
		if !slices.Contains(possible, r.out.slot) {
			faults = append(faults, fmt.Sprintf("client %d, who had seen index %d, read %s of %s from node %d at index %d, possible: %v",
				r.client, r.seen, r.out.slot, r.in.name, r.node, r.out.index, possible))
		}
	}
	return faults
}

func (e event) wrote() bool { return e.in.kind != local && e.in.kind != strong && e.out.why == "" }
func (e event) maybe() bool { return e.in.kind != local && e.in.kind != strong && e.out.why == unknown }

// judge fails the test for everything that is wrong with a history.
func judge(t testing.TB, events []event) {
	t.Helper()
	if got := linearizable(operations(events)); got != porcupine.Ok {
		t.Errorf("writes and strong reads: %s\n%s", map[porcupine.CheckResult]string{porcupine.Illegal: "no order explains what clients were told",
			porcupine.Unknown: "the checker did not finish"}[got], culprits(events))
	}
	for _, f := range judgeLocal(events) {
		t.Error(f)
	}
}

// culprits shows the history of the pairs that cannot be explained.
func culprits(events []event) string {
	var b strings.Builder
	for pair := range pairs {
		var some []event
		for _, e := range events {
			if p, _ := place(e.in.name); p == pair {
				some = append(some, e)
			}
		}
		if linearizable(operations(some)) == porcupine.Ok {
			continue
		}
		for _, e := range some {
			if e.in.kind != local {
				fmt.Fprintf(&b, "%12s-%-12s client %d node %d %s %s %d: %q %s index %d\n", e.call, e.finish, e.client, e.node, e.in.kind, e.in.name, e.in.replicas, e.out.why, e.out.slot, e.out.index)
			}
		}
	}
	return b.String()
}

// TestJudge shows that the judge finds what is wrong.
func TestJudge(t *testing.T) {
	name, twin := appName(0, 0), appName(0, 1)
	do := func(at int, k kind, name string, n int, o output) event {
		return event{in: input{k, name, n}, out: o, call: time.Duration(at) * time.Second, finish: time.Duration(at)*time.Second + time.Second/2}
	}
	x := func(n int) slot { return slot{present, n} }
	for _, c := range []struct {
		name   string
		events []event
		right  bool
	}{
		{"made and read", []event{do(0, create, name, 2, output{index: 5}), do(1, strong, name, 0, output{slot: x(2)})}, true},
		{"a lost write", []event{do(0, create, name, 2, output{index: 5}), do(1, strong, name, 0, output{})}, false},
		{"a stale strong read", []event{do(0, create, name, 2, output{index: 5}), do(1, scale, name, 3, output{index: 6}), do(2, strong, name, 0, output{slot: x(2)})}, false},
		{"unknown and there", []event{do(0, create, name, 2, output{why: unknown}), do(1, strong, name, 0, output{slot: x(2)})}, true},
		{"unknown and not there", []event{do(0, create, name, 2, output{why: unknown}), do(1, strong, name, 0, output{})}, true},
		{"unknown and late", []event{do(0, create, name, 2, output{why: unknown}), do(1, strong, name, 0, output{}), do(2, strong, name, 0, output{slot: x(2)})}, true},
		{"unknown, there, and gone", []event{do(0, create, name, 2, output{why: unknown}), do(1, strong, name, 0, output{slot: x(2)}), do(2, strong, name, 0, output{})}, false},
		{"a port twice", []event{do(0, create, name, 2, output{index: 5}), do(1, create, twin, 1, output{index: 6})}, false},
		{"a port refused", []event{do(0, create, name, 2, output{index: 5}), do(1, create, twin, 1, output{why: portUsed})}, true},
		{"a port refused for nothing", []event{do(1, create, twin, 1, output{why: portUsed})}, false},
		{"leaving, then gone, then new", []event{do(0, create, name, 2, output{index: 5}), do(1, remove, name, 0, output{index: 6}),
			do(2, create, twin, 1, output{why: portUsed}), do(3, strong, name, 0, output{slot: slot{phase: leaving}}), do(4, create, twin, 1, output{index: 9})}, true},
		{"gone, then leaving again", []event{do(0, create, name, 2, output{index: 5}), do(1, remove, name, 0, output{index: 6}),
			do(2, strong, name, 0, output{}), do(3, strong, name, 0, output{slot: slot{phase: leaving}})}, false},
		{"a local read of the past", []event{do(0, create, name, 2, output{index: 5}), do(1, scale, name, 3, output{index: 6}), do(2, local, name, 0, output{slot: x(2), index: 5})}, true},
		{"a local read that forgets", []event{do(0, create, name, 2, output{index: 5}), do(1, scale, name, 3, output{index: 6}),
			{in: input{local, name, 0}, seen: 6, out: output{slot: x(2), index: 6}, call: 2 * time.Second, finish: 3 * time.Second}}, false},
		{"a local read that goes back", []event{{in: input{local, name, 0}, seen: 6, out: output{index: 5}}}, false},
	} {
		right := linearizable(operations(c.events)) == porcupine.Ok && len(judgeLocal(c.events)) == 0
		if right != c.right {
			t.Errorf("%s: judged %v", c.name, right)
		}
	}
}
