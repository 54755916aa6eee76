package scheduler

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/skerryhq/skerry/raft/model"
)

// Run places replicas of one service, one after the other. It sees what its own
// Next calls added to the board, and the rest when another run has been begun
// since.
type Run struct {
	board   *Board
	req     Request
	domains []*domain // with at least one node that fits
	fit     int
	nodes   int
	pending Decision // why nothing fits any more; given to all that follow
	homes   []string // ids of the nodes that hold its volumes
	refused map[*place]bool
}

// domain is a value of the label SpreadBy, or all nodes.
type domain struct {
	value    string
	replicas int32 // of the service, on all nodes of the domain
	spots    spots
}

// spot is a node that fits.
type spot struct {
	*place
	replicas int32 // of the service
	share    int64 // of its resources that is reserved, in ten thousandths
	image    bool
}

// Run judges all nodes for a service.
func (b *Board) Run(req Request) *Run {
	r := &Run{board: b, req: req}
	for _, h := range req.Homes {
		if h.NodeID != "" && !slices.Contains(r.homes, h.NodeID) {
			r.homes = append(r.homes, h.NodeID)
		}
	}
	if len(r.homes) > 1 {
		r.pending.Reason = "its volumes live on different nodes; a container can reach only volumes of its own node"
		return r
	}
	r.judge()
	return r
}

// again judges anew if another run of the board has begun since.
func (r *Run) again() {
	if r.board.run != r && r.pending.Reason == "" {
		r.domains, r.fit, r.nodes = nil, 0, 0
		r.judge()
	}
}

// judge finds the nodes that fit.
func (r *Run) judge() {
	b := r.board
	all, groups := b.sorted(), b.grouped(r.req.SpreadBy)
	on, holders := b.services[r.req.ServiceID], b.images[r.req.Image]
	hostNodes := r.hostNodes()
	meets := make([][]bool, len(r.req.Constraints))
	for i := range r.req.Constraints {
		meets[i] = b.meeting(&r.req.Constraints[i])
	}
	domains := make([]domain, len(groups.values))
	for i := range domains {
		domains[i].value, domains[i].spots.pack = groups.values[i], r.req.Strategy == model.BinPack
	}
	for p, n := range on {
		if p.EnvironmentID == r.req.EnvironmentID {
			domains[groups.of[p.rank]].replicas += n
		}
	}
	if cap(b.spare) < len(all) {
		b.spare = make([]spot, 0, len(all))
	}
	fit := b.spare[:0]
	b.run = r
nodes:
	for _, i := range groups.order {
		p := all[i]
		if p.EnvironmentID != r.req.EnvironmentID {
			continue
		}
		r.nodes++
		for _, m := range meets {
			if !m[i] {
				continue nodes
			}
		}
		if r.refused[p] || r.refusal(p, hostNodes, false) != "" {
			continue
		}
		s := spot{place: p, share: p.share(), image: len(holders) > 0 && holders[p.ID]}
		if len(on) > 0 {
			s.replicas = on[p]
		}
		fit = append(fit, s)
	}
	r.fit = len(fit)
	for begin := 0; begin < len(fit); {
		at, end := groups.of[fit[begin].rank], begin
		for end < len(fit) && groups.of[fit[end].rank] == at {
			end++
		}
		d := &domains[at]
		d.spots.list = fit[begin:end:end]
		d.spots.order()
		r.domains = append(r.domains, d)
		begin = end
	}
}

// hostNodes are the nodes that are known by an address that the service
// publishes on; none if no node is.
func (r *Run) hostNodes() []*place {
	var out []*place
	for _, ip := range r.req.HostIPs {
		for _, p := range r.board.sorted() {
			if p.Address == ip && p.EnvironmentID == r.req.EnvironmentID {
				out = append(out, p)
			}
		}
	}
	return out
}

const no = "no"

// refusal says why a node does not fit; empty if it does. Without words it says
// only that.
func (r *Run) refusal(p *place, hostNodes []*place, words bool) string {
	say := func(format string, args ...any) string {
		if !words {
			return no
		}
		return p.Name + " " + fmt.Sprintf(format, args...)
	}
	if len(r.homes) == 1 && r.homes[0] != p.ID {
		return say("does not hold its volume %s", r.volumes())
	}
	if p.Closed != "" {
		return say("%s", p.Closed)
	}
	for i := range r.req.Constraints {
		if !r.req.Constraints[i].Holds(&p.Node) {
			return say("does not meet %s", r.req.Constraints[i].Text)
		}
	}
	if len(hostNodes) > 0 && !slices.Contains(hostNodes, p) {
		return say("does not have the address %s, on which it publishes a port", r.req.HostIPs[0])
	}
	for _, near := range r.req.Near {
		if r.board.services[near.ServiceID][p] == 0 {
			return say("runs no replica of %s, which it is to be near", near.Name)
		}
	}
	for _, apart := range r.req.Apart {
		if r.board.services[apart.ServiceID][p] == 0 {
			continue
		}
		if apart.ServiceID == r.req.ServiceID {
			return say("runs a replica of it already")
		}
		return say("runs %s, which it is to be apart from", apart.Name)
	}
	need, have := r.req.Reserve, p.Capacity
	switch {
	case need.CPUMillis > 0 && have.CPUMillis == 0 || need.MemoryBytes > 0 && have.MemoryBytes == 0:
		return say("has not reported what it has")
	case need.CPUMillis > 0 && p.used.CPUMillis+need.CPUMillis > have.CPUMillis:
		return say("has %s of %s cores unreserved, %s are asked for", cores(max(0, have.CPUMillis-p.used.CPUMillis)), cores(have.CPUMillis), cores(need.CPUMillis))
	case need.MemoryBytes > 0 && p.used.MemoryBytes+need.MemoryBytes > have.MemoryBytes:
		return say("has %s of %s memory unreserved, %s are asked for", mebi(max(0, have.MemoryBytes-p.used.MemoryBytes)), mebi(have.MemoryBytes), mebi(need.MemoryBytes))
	}
	return ""
}

func (r *Run) volumes() string {
	var names []string
	for _, h := range r.req.Homes {
		if h.NodeID != "" {
			names = append(names, h.Volume)
		}
	}
	return strings.Join(names, ", ")
}

func cores(millis int64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%d.%03d", millis/1000, millis%1000), "0"), ".")
}

func mebi(bytes int64) string { return fmt.Sprintf("%d MiB", bytes>>20) }

// share is how much of a node is reserved, in ten thousandths of what is
// scarcest there.
func (p *place) share() int64 {
	s := int64(0)
	if p.Capacity.CPUMillis > 0 {
		s = p.used.CPUMillis * 10000 / p.Capacity.CPUMillis
	}
	if p.Capacity.MemoryBytes > 0 {
		s = max(s, p.used.MemoryBytes/1024*10000/max(1, p.Capacity.MemoryBytes/1024))
	}
	return s
}

// Next chooses a node for one more replica and notes it on the board. Without a
// node the decision says why; so will all that follow.
func (r *Run) Next() Decision {
	r.again()
	for r.pending.Reason == "" {
		d := r.domain()
		if d == nil {
			r.pending.Reason = r.explain()
			break
		}
		s := &d.spots.list[0]
		if r.refusal(s.place, nil, false) != "" { // full by now, or a second replica would meet the first
			d.spots.drop(0)
			if len(d.spots.list) == 0 {
				r.domains = slices.DeleteFunc(r.domains, func(x *domain) bool { return x == d })
			}
			continue
		}
		out := Decision{NodeID: s.ID, Reason: r.praise(d, s)}
		r.board.add(s.place, r.req.ServiceID, r.req.Reserve, 1)
		s.replicas++
		s.share = s.place.share()
		d.replicas++
		d.spots.sink(0)
		return out
	}
	return r.pending
}

// Refuse takes back what Next gave for a node, which gets no more of this run:
// the caller knows a reason against it that the board does not.
func (r *Run) Refuse(nodeID string) {
	p := r.board.nodes[nodeID]
	if p == nil {
		return
	}
	r.board.add(p, r.req.ServiceID, r.req.Reserve, -1)
	if r.refused == nil {
		r.refused = map[*place]bool{}
	}
	r.refused[p] = true
	for _, d := range r.domains {
		if i := slices.IndexFunc(d.spots.list, func(s spot) bool { return s.place == p }); i >= 0 {
			d.replicas--
			d.spots.drop(i)
		}
	}
	r.domains = slices.DeleteFunc(r.domains, func(d *domain) bool { return len(d.spots.list) == 0 })
}

// domain picks the failure domain of the next replica: the one with the fewest,
// then the one whose best node is best.
func (r *Run) domain() *domain {
	var best *domain
	for _, d := range r.domains {
		if best == nil {
			best = d
			continue
		}
		if d.replicas < best.replicas || d.replicas == best.replicas && d.spots.better(&d.spots.list[0], &best.spots.list[0]) {
			best = d
		}
	}
	return best
}

// praise says why a node was chosen.
func (r *Run) praise(d *domain, s *spot) string {
	switch {
	case len(r.homes) == 1:
		return fmt.Sprintf("its volume %s lives on %s", r.volumes(), s.Name)
	case r.fit == 1:
		return fmt.Sprintf("%s is the only one of %d nodes that fits", s.Name, r.nodes)
	case d.spots.pack:
		return fmt.Sprintf("%s is the fullest of %d that fit (%s)", s.Name, r.fit, s.load())
	}
	why := fmt.Sprintf("%s has %s of it and %s, of %d that fit", s.Name, count(int(s.replicas), "replica"), s.load(), r.fit)
	if r.req.SpreadBy != "" {
		why = fmt.Sprintf("%s=%s has %s of it; there ", r.req.SpreadBy, cmp.Or(d.value, "(none)"), count(int(d.replicas), "replica")) + why
	}
	if s.image {
		why += "; it holds the image"
	}
	return why
}

func (s *spot) load() string {
	out := count(int(s.containers), "container")
	if s.share > 0 {
		out += fmt.Sprintf(", %d %% reserved", s.share/100)
	}
	return out
}

func count(n int, noun string) string {
	switch n {
	case 0:
		return "no " + noun
	case 1:
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// explain says why no node fits: at most three reasons and how many more.
func (r *Run) explain() string {
	const most = 3
	if r.nodes == 0 {
		return "the environment has no node"
	}
	hostNodes := r.hostNodes()
	if len(r.homes) == 1 {
		if p := r.board.nodes[r.homes[0]]; p != nil {
			why := r.refusal(p, hostNodes, true)
			return fmt.Sprintf("its volume %s lives on node %s: %s", r.volumes(), p.Name, cmp.Or(why, p.Name+" has no free address"))
		}
		return fmt.Sprintf("its volume %s lives on a node that is gone", r.volumes())
	}
	var shown []string
	more := 0
	for _, shut := range []bool{false, true} { // why an open node does not fit says more
		for _, p := range r.board.sorted() {
			switch {
			case p.EnvironmentID != r.req.EnvironmentID || (p.Closed != "") != shut:
			case len(shown) == most:
				more++
			default:
				shown = append(shown, cmp.Or(r.refusal(p, hostNodes, true), p.Name+" has no free address"))
			}
		}
	}
	out := "no node fits: " + strings.Join(shown, "; ")
	if more > 0 {
		out += fmt.Sprintf("; and %d more", more)
	}
	return out
}

// spots is a heap of the nodes that fit, the best first.
type spots struct {
	list []spot
	pack bool
}

// better says whether a comes before b.
func (s *spots) better(a, b *spot) bool {
	if s.pack {
		switch {
		case a.share != b.share:
			return a.share > b.share
		case a.containers != b.containers:
			return a.containers > b.containers
		}
	} else {
		switch {
		case a.replicas != b.replicas:
			return a.replicas < b.replicas
		case a.share != b.share:
			return a.share < b.share
		case a.containers != b.containers:
			return a.containers < b.containers
		}
	}
	if a.image != b.image {
		return a.image
	}
	return a.rank < b.rank
}

// order makes a heap of the list.
func (s *spots) order() {
	for i := len(s.list)/2 - 1; i >= 0; i-- {
		s.sink(i)
	}
}

// sink moves a spot that has become worse to where it belongs.
func (s *spots) sink(i int) {
	for {
		child := 2*i + 1
		if child >= len(s.list) {
			return
		}
		if child+1 < len(s.list) && s.better(&s.list[child+1], &s.list[child]) {
			child++
		}
		if !s.better(&s.list[child], &s.list[i]) {
			return
		}
		s.list[i], s.list[child] = s.list[child], s.list[i]
		i = child
	}
}

// drop takes a spot out.
func (s *spots) drop(i int) {
	last := len(s.list) - 1
	s.list[i] = s.list[last]
	s.list = s.list[:last]
	s.order() // it happens once a node and run
}
