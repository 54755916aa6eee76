package scheduler_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/skerryhq/skerry/appliance/scheduler"
	"github.com/skerryhq/skerry/raft/model"
)

func node(id string, change ...func(*scheduler.Node)) scheduler.Node {
	n := scheduler.Node{ID: id, Name: id, EnvironmentID: "e", Role: model.NodeMember, Architecture: "amd64", OS: "linux",
		Capacity: model.Resources{CPUMillis: 4000, MemoryBytes: 8 << 30}}
	for _, f := range change {
		f(&n)
	}
	return n
}

func labels(kv ...string) func(*scheduler.Node) {
	return func(n *scheduler.Node) {
		n.Labels = map[string]string{}
		for i := 0; i < len(kv); i += 2 {
			n.Labels[kv[i]] = kv[i+1]
		}
	}
}

func closed(why string) func(*scheduler.Node) {
	return func(n *scheduler.Node) { n.Closed = why }
}

func must(t interface{ Fatal(...any) }, texts ...string) []scheduler.Constraint {
	var out []scheduler.Constraint
	for _, s := range texts {
		c, err := scheduler.ParseConstraint(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	return out
}

// TestNext places replicas one after the other and looks at the nodes and the
// last reason.
func TestNext(t *testing.T) {
	foreign := node("n0", func(n *scheduler.Node) { n.EnvironmentID = "other" })
	here := netip.MustParseAddr("10.0.0.2")
	type on struct {
		node, service string
		count         int
	}
	zones := []scheduler.Node{node("a1", labels("zone", "a")), node("a2", labels("zone", "a")), node("a3", labels("zone", "a")), node("b1", labels("zone", "b")), node("c1")}
	for _, c := range []struct {
		name   string
		nodes  []scheduler.Node
		on     []on
		req    scheduler.Request
		images map[string]map[string]bool
		want   string // nodes of the replicas, separated by spaces; - means none
		reason string
	}{
		{name: "spread over empty nodes", nodes: []scheduler.Node{node("n1"), node("n2"), foreign}, want: "n1 n2 n1", reason: "n1 has 1 replica of it and 1 container, of 2 that fit"},
		{name: "fewest replicas before emptiest", nodes: []scheduler.Node{node("n1"), node("n2")}, on: []on{{"n1", "s", 1}, {"n2", "x", 5}}, want: "n2 n1"},
		{name: "emptiest by what is reserved", nodes: []scheduler.Node{node("n1"), node("n2", func(n *scheduler.Node) { n.Capacity.CPUMillis = 16000 })},
			on: []on{{"n1", "x", 1}, {"n2", "x", 2}}, req: scheduler.Request{Reserve: model.Resources{CPUMillis: 1000}}, want: "n2"},
		{name: "failure domains first", nodes: zones, req: scheduler.Request{SpreadBy: "zone"}, want: "a1 b1 c1 a2 b1 c1 a3", reason: "zone=a has 2 replicas of it; there a3 has no replica"},
		{name: "binpack fills one", nodes: []scheduler.Node{node("n1"), node("n2")}, on: []on{{"n2", "x", 1}},
			req: scheduler.Request{Strategy: model.BinPack, Reserve: model.Resources{CPUMillis: 1500}}, want: "n2 n1 n1 -", reason: "n1 has 1 of 4 cores unreserved, 1.5 are asked for; n2 has 1 of 4"},
		{name: "memory", nodes: []scheduler.Node{node("n1")}, req: scheduler.Request{Reserve: model.Resources{MemoryBytes: 5 << 30}}, want: "n1 -", reason: "n1 has 3072 MiB of 8192 MiB memory unreserved, 5120 MiB are asked for"},
		{name: "what a node has is not known", nodes: []scheduler.Node{node("n1", func(n *scheduler.Node) { n.Capacity = model.Resources{} })},
			req: scheduler.Request{Reserve: model.Resources{CPUMillis: 1}}, want: "-", reason: "n1 has not reported what it has"},
		{name: "a volume binds", nodes: []scheduler.Node{node("n1"), node("n2")}, on: []on{{"n2", "x", 9}}, req: scheduler.Request{Homes: []scheduler.Home{{"data", "n2"}}}, want: "n2 n2", reason: "its volume data lives on n2"},
		{name: "a new volume does not", nodes: []scheduler.Node{node("n1"), node("n2")}, req: scheduler.Request{Homes: []scheduler.Home{{"data", ""}}}, want: "n1"},
		{name: "volumes apart", nodes: []scheduler.Node{node("n1"), node("n2")}, req: scheduler.Request{Homes: []scheduler.Home{{"v", "n1"}, {"w", "n2"}}}, want: "-", reason: "different nodes"},
		{name: "a volume whose node is down", nodes: []scheduler.Node{node("n1"), node("n2", closed("is down"))}, req: scheduler.Request{Homes: []scheduler.Home{{"v", "n2"}}}, want: "-", reason: "its volume v lives on node n2: n2 is down"},
		{name: "not ready says why", nodes: []scheduler.Node{node("n1", closed("is not ready: its engine does not answer")), foreign}, want: "-", reason: "no node fits: n1 is not ready: its engine does not answer"},
		{name: "three reasons and a count", nodes: []scheduler.Node{node("n1", closed("is drained")), node("n2", closed("is down")), node("n3", closed("is down")), node("n4", closed("is down")), node("n5", closed("is down"))},
			want: "-", reason: "n1 is drained; n2 is down; n3 is down; and 2 more"},
		{name: "no node at all", nodes: []scheduler.Node{foreign}, want: "-", reason: "the environment has no node"},
		{name: "near", nodes: []scheduler.Node{node("n1"), node("n2")}, on: []on{{"n2", "db", 1}}, req: scheduler.Request{Near: []scheduler.Peer{{"db", "db"}}}, want: "n2 n2", reason: "n2 is the only one of 2 nodes that fits"},
		{name: "near nobody", nodes: []scheduler.Node{node("n1")}, req: scheduler.Request{Near: []scheduler.Peer{{"db", "db"}}}, want: "-", reason: "n1 runs no replica of db"},
		{name: "apart", nodes: []scheduler.Node{node("n1"), node("n2")}, on: []on{{"n1", "db", 1}}, req: scheduler.Request{Apart: []scheduler.Peer{{"db", "db"}}}, want: "n2 n2"},
		{name: "one a node", nodes: []scheduler.Node{node("n1"), node("n2")}, req: scheduler.Request{Apart: []scheduler.Peer{{"s", "s"}}}, want: "n1 n2 - -", reason: "n1 runs a replica of it already"},
		{name: "the address that it publishes on", nodes: []scheduler.Node{node("n1"), node("n2", func(n *scheduler.Node) { n.Address = here })}, req: scheduler.Request{HostIPs: []netip.Addr{here}}, want: "n2 n2"},
		{name: "an address that no node is known by", nodes: []scheduler.Node{node("n1"), node("n2")}, req: scheduler.Request{HostIPs: []netip.Addr{here}}, want: "n1 n2"},
		{name: "its image is a tie-break", nodes: []scheduler.Node{node("n1"), node("n2"), node("n3")}, on: []on{{"n3", "x", 1}},
			req: scheduler.Request{Image: "sha256:1"}, images: map[string]map[string]bool{"sha256:1": {"n2": true, "n3": true}}, want: "n2 n1 n3", reason: "it holds the image"},
		{name: "constraints", nodes: []scheduler.Node{node("n1", labels("disk", "hdd")), node("n2", labels("disk", "ssd")), node("n3")}, req: scheduler.Request{Constraints: must(t, "node.labels.disk==ssd")}, want: "n2 n2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := scheduler.NewBoard()
			for _, n := range c.nodes {
				b.SetNode(n)
			}
			for _, o := range c.on {
				b.Add(o.node, o.service, c.req.Reserve, o.count)
			}
			b.SetImages(c.images)
			c.req.ServiceID, c.req.EnvironmentID = "s", "e"
			run := b.Run(c.req)
			var got []string
			var last scheduler.Decision
			for range strings.Fields(c.want) {
				last = run.Next()
				if last.NodeID == "" {
					got = append(got, "-")
				} else {
					got = append(got, last.NodeID)
				}
			}
			if s := strings.Join(got, " "); s != c.want || !strings.Contains(last.Reason, c.reason) {
				t.Fatalf("got %s (%q), want %s (%q)", s, last.Reason, c.want, c.reason)
			}
		})
	}
}

func TestRefuse(t *testing.T) {
	b := scheduler.NewBoard()
	b.SetNode(node("n1"))
	b.SetNode(node("n2"))
	run := b.Run(scheduler.Request{ServiceID: "s", EnvironmentID: "e"})
	for range 2 {
		d := run.Next()
		run.Refuse(d.NodeID)
		if b.Replicas("s", d.NodeID) != 0 {
			t.Fatal("what was refused still counts")
		}
	}
	if d := run.Next(); d.NodeID != "" || !strings.Contains(d.Reason, "n1 has no free address; n2 has no free address") {
		t.Fatalf("got %+v", d)
	}
}

// TestDropNode removes a node with replicas on it: they count nowhere any more.
func TestDropNode(t *testing.T) {
	b := scheduler.NewBoard()
	b.SetNode(node("n1", labels("zone", "a")))
	b.SetNode(node("n2", labels("zone", "b")))
	b.SetNode(node("n3", labels("zone", "b")))
	b.Add("n3", "s", model.Resources{}, 2)
	b.DropNode("n3")
	b.Add("n3", "s", model.Resources{}, -2) // told late
	run := b.Run(scheduler.Request{ServiceID: "s", EnvironmentID: "e", SpreadBy: "zone"})
	if one, two := run.Next(), run.Next(); one.NodeID != "n1" || two.NodeID != "n2" {
		t.Fatalf("got %+v, then %+v", one, two)
	}
}

func TestParseConstraint(t *testing.T) {
	n := node("id1", labels("disk", "ssd", "a.b/c", "x=y"), func(n *scheduler.Node) { n.Name, n.Role = "alpha", model.NodeWorker })
	for _, c := range []struct {
		text  string
		holds bool
		err   string
	}{
		{"node.labels.disk==ssd", true, ""},
		{"node.labels.disk != ssd", false, ""},
		{" node.labels.a.b/c == x=y ", true, ""},
		{"node.labels.gone!=x", true, ""},
		{"node.name==alpha", true, ""},
		{"node.hostname==beta", false, ""},
		{"node.id==id1", true, ""},
		{"node.role==worker", true, ""},
		{"node.role==manager", false, ""},
		{"node.arch==x86_64", true, ""},
		{"node.platform.os==linux", true, ""},
		{"node.role==king", false, `character 12: "king" is no role`},
		{"", false, "character 1: write == or !="},
		{"node.labels.disk", false, "character 17: write == or !="},
		{"node.labels.disk=ssd", false, "character 17: write == or != here"},
		{"node.labels.disk===ssd", false, "character 19: one = too many"},
		{"node.labels.==ssd", false, "character 13: the name of the label is missing"},
		{"node.labels.a b==ssd", false, "character 14: the name of a label has no spaces"},
		{"node.color==red", false, `character 6: a node has no fact "color"; use one of node.labels.KEY`},
		{"  engine.labels.x==y", false, `character 3: "engine.labels.x" is no fact`},
		{"node.name==", false, "character 12: the value is missing"},
		{"node.name==a\x01", false, "character 13: a value has no control characters"},
		{strings.Repeat("x", 600), false, "longer than 512 bytes"},
	} {
		got, err := scheduler.ParseConstraint(c.text)
		switch {
		case c.err == "" && err != nil:
			t.Errorf("%q: %v", c.text, err)
		case c.err == "" && got.Holds(&n) != c.holds:
			t.Errorf("%q holds: %v", c.text, !c.holds)
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err) || model.CodeOf(err) != "constraint_invalid"):
			t.Errorf("%q: got %v, want %q", c.text, err, c.err)
		}
	}
}

func FuzzParseConstraint(f *testing.F) {
	f.Add("node.labels.disk==ssd")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := scheduler.ParseConstraint(text)
		if err != nil {
			return
		}
		again, err := scheduler.ParseConstraint(c.Text)
		n := node("n1")
		if err != nil || again.Holds(&n) != c.Holds(&n) {
			t.Fatalf("%q became %q, which means something else (%v)", text, c.Text, err)
		}
	})
}

// TestProperties places replicas in random clusters: no rule is broken, a
// replica waits only if no node fits, spread is even, the order of the nodes
// means nothing, and every decision has a reason.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var nodes []scheduler.Node
		for i := range rapid.IntRange(0, 8).Draw(t, "nodes") {
			n := node(fmt.Sprintf("n%d", i), labels("disk", rapid.SampledFrom([]string{"ssd", "hdd"}).Draw(t, "disk")))
			n.EnvironmentID = rapid.SampledFrom([]string{"e", "e", "other"}).Draw(t, "env")
			n.Closed = rapid.SampledFrom([]string{"", "", "", "is down"}).Draw(t, "closed")
			n.Capacity.CPUMillis = rapid.Int64Range(0, 4).Draw(t, "cpu") * 1000
			nodes = append(nodes, n)
		}
		req := scheduler.Request{ServiceID: "s", EnvironmentID: "e", Reserve: model.Resources{CPUMillis: rapid.SampledFrom([]int64{0, 700}).Draw(t, "reserve")},
			Strategy: rapid.SampledFrom([]model.Strategy{model.Spread, model.BinPack}).Draw(t, "strategy")}
		if rapid.Bool().Draw(t, "constrained") {
			req.Constraints = must(t, "node.labels.disk==ssd")
		}
		if rapid.Bool().Draw(t, "alone") {
			req.Apart = []scheduler.Peer{{ServiceID: "s", Name: "s"}}
		}
		replicas := rapid.IntRange(1, 12).Draw(t, "replicas")
		place := func(nodes []scheduler.Node) ([]scheduler.Decision, *scheduler.Board) {
			b := scheduler.NewBoard()
			for _, n := range nodes {
				b.SetNode(n)
			}
			run := b.Run(req)
			var out []scheduler.Decision
			for range replicas {
				out = append(out, run.Next())
			}
			return out, b
		}
		one, board := place(nodes)
		mixed := slices.Clone(nodes)
		rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)).Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		if two, _ := place(mixed); !slices.Equal(one, two) {
			t.Fatalf("order changed the choice: %+v, then %+v", one, two)
		}
		per := map[string]int{}
		waits := false
		for _, d := range one {
			if d.Reason == "" {
				t.Fatal("a decision without a reason")
			}
			waits = waits || d.NodeID == ""
			if d.NodeID != "" {
				per[d.NodeID]++
			}
		}
		fits := func(n scheduler.Node, more int) bool {
			used := int64(per[n.ID]+more) * req.Reserve.CPUMillis
			return n.EnvironmentID == "e" && n.Closed == "" && (len(req.Constraints) == 0 || n.Labels["disk"] == "ssd") &&
				(req.Reserve.CPUMillis == 0 || used <= n.Capacity.CPUMillis) && (len(req.Apart) == 0 || per[n.ID]+more <= 1)
		}
		for _, n := range nodes {
			used, containers := board.Used(n.ID)
			if containers != per[n.ID] || used.CPUMillis != int64(per[n.ID])*req.Reserve.CPUMillis {
				t.Fatalf("the board counts %d on %s, placed were %d", containers, n.ID, per[n.ID])
			}
			if per[n.ID] > 0 && !fits(n, 0) {
				t.Fatalf("%s got %d replicas and does not fit", n.ID, per[n.ID])
			}
			if waits && fits(n, 1) {
				t.Fatalf("a replica waits although %s fits", n.ID)
			}
			for _, m := range nodes {
				if req.Strategy == model.Spread && per[n.ID] > per[m.ID]+1 && fits(m, 1) {
					t.Fatalf("uneven: %d on %s, %d on %s", per[n.ID], n.ID, per[m.ID], m.ID)
				}
			}
		}
	})
}

// BenchmarkPlace places 100,000 replicas on 1,000 nodes, in services of 100 and
// in services of one.
func BenchmarkPlace(b *testing.B) {
	for _, size := range []int{100, 10, 1} {
		b.Run(fmt.Sprintf("services-of-%d", size), func(b *testing.B) {
			const nodes = 1000
			replicas := min(100_000, 20_000*size)
			for b.Loop() {
				board := scheduler.NewBoard()
				for i := range nodes {
					n := node(fmt.Sprintf("node-%04d", i), labels("zone", fmt.Sprintf("z%d", i%5), "disk", []string{"ssd", "hdd"}[i%2]))
					n.Capacity = model.Resources{CPUMillis: 64000, MemoryBytes: 256 << 30}
					board.SetNode(n)
				}
				for s := range replicas / size {
					req := scheduler.Request{ServiceID: fmt.Sprintf("s%d", s), EnvironmentID: "e", SpreadBy: "zone", Reserve: model.Resources{CPUMillis: 100, MemoryBytes: 64 << 20}}
					if s%4 == 0 {
						req.Constraints = must(b, "node.labels.disk==ssd")
					}
					run := board.Run(req)
					for range size {
						if d := run.Next(); d.NodeID == "" {
							b.Fatal(d.Reason)
						}
					}
				}
			}
			b.ReportMetric(float64(replicas*b.N)/b.Elapsed().Seconds(), "placements/s")
		})
	}
}
