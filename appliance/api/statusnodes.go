package api

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skerryhq/skerry/raft/model"
)

// lookTimeout bounds how long a status waits for what other nodes say.
const lookTimeout = 2 * time.Second

// clusterStatus counts and judges nodes and quorum, and shows them to those who
// may read nodes.
func (s *Server) clusterStatus(ctx context.Context, r *request, shown bool, st *Status) {
	if silent := s.silence(); silent > staleAfter {
		st.StaleSeconds = int(silent / time.Second)
		st.clusterProblem(StatusProblemSeverityError, "CutOff", fmt.Sprintf("this node has not heard of a leader for %d seconds: what it shows may be old, and nothing can be changed through it", st.StaleSeconds), now().Add(-silent))
	}
	var all []*model.Node
	for n := range r.view.Nodes() {
		all = append(all, n)
		st.Counts.Nodes++
		if nodeReady(n) {
			st.Counts.NodesReady++
		}
	}
	if !shown {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	stats, quorum := make([]*NodeStats, len(all)), (*Quorum)(nil)
	var asked sync.WaitGroup
	for i, n := range all {
		if n.Down() {
			continue
		}
		asked.Go(func() {
			if got, err := s.runtime.NodeStats(ctx, n); err == nil {
				stats[i] = &got
			}
		})
	}
	if s.cfg.Quorum != nil && (st.ClusterID != "" || s.enrolled()) {
		asked.Go(func() { quorum, _ = s.cfg.Quorum.Quorum(ctx) })
	}
	asked.Wait()
	for i, n := range all {
		st.Nodes = append(st.Nodes, statusNode(n, stats[i]))
		st.node(n)
		if stats[i] != nil {
			st.load(n, *stats[i])
		}
	}
	st.skew(all)
	if quorum != nil {
		st.Quorum = quorum
		st.judgeQuorum(quorum)
	}
}

// nodeReady says whether a node takes work: its own word, unless the leader has
// given it up since.
func nodeReady(n *model.Node) bool { return n.Status.Ready && !n.Down() }

func statusNode(n *model.Node, stats *NodeStats) StatusNode {
	role := n.Role
	if n.Member() {
		role = model.NodeMember
	}
	out := StatusNode{ID: n.ID, Name: n.Name, Ready: nodeReady(n), Cpus: n.Status.CPUs, MemoryBytes: n.Status.MemoryBytes,
		Role: role, Availability: cmp.Or(n.Spec.Availability, model.NodeActive), Version: n.Status.SkerryVersion, Stats: stats}
	switch {
	case n.Down():
		out.Reason, out.Since = n.Health.Reason, n.Health.Since
	case !n.Status.Ready:
		out.Reason = cmp.Or(firstMessage(n.Status.Conditions), "its daemon may be starting or away")
	}
	return out
}

func (st *Status) clusterProblem(severity StatusProblemSeverity, code, message string, since time.Time) {
	st.Problems = append(st.Problems, StatusProblem{Severity: severity, Code: code, Message: "Cluster: " + message, Kind: "cluster", ID: st.ClusterID, Since: since})
}

func (st *Status) node(n *model.Node) {
	add := func(severity StatusProblemSeverity, code, message string, since time.Time) {
		st.Problems = append(st.Problems, StatusProblem{Severity: severity, Code: code, Message: fmt.Sprintf("Node %q: %s", n.Name, message),
			Kind: "node", ID: n.ID, Name: n.Name, Since: since})
	}
	if n.Down() { // what it said about itself is old
		add(StatusProblemSeverityError, "NodeDown", "it is down: "+cmp.Or(n.Health.Reason, "it sends no sign of life"), n.Health.Since)
		return
	}
	for _, cond := range n.Status.Conditions {
		add(StatusProblemSeverityWarning, cond.Reason, cond.Message, cond.Since)
	}
	if !n.Status.Ready && len(n.Status.Conditions) == 0 {
		add(StatusProblemSeverityError, "NodeNotReady", "it is not ready; its daemon may be starting or away", time.Time{})
	}
}

// skew warns of nodes that run different versions.
func (st *Status) skew(all []*model.Node) {
	of := map[string][]string{}
	for _, n := range all {
		if v := n.Status.SkerryVersion; v != "" {
			of[v] = append(of[v], n.Name)
		}
	}
	if len(of) < 2 {
		return
	}
	var words []string
	for _, v := range slices.Sorted(maps.Keys(of)) {
		words = append(words, v+" on "+list(of[v]))
	}
	st.clusterProblem(StatusProblemSeverityWarning, "VersionSkew", "the nodes run different versions ("+strings.Join(words, "; ")+"); finish the upgrade", time.Time{})
}

// list names a few and counts the rest.
func list(names []string) string {
	const shown = 5
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}

// judgeQuorum adds what is wrong with the quorum. That two members in good
// health can lose none that votes is how two members are, and no problem.
func (st *Status) judgeQuorum(q *Quorum) {
	hurt := ""
	for _, m := range q.Members {
		if !m.Alive {
			hurt = m.Name
			break
		}
	}
	switch {
	case q.CanLose < 0:
		st.clusterProblem(StatusProblemSeverityError, "QuorumLost", q.Summary, time.Time{})
	case q.LeaderID == "":
		st.clusterProblem(StatusProblemSeverityError, "NoLeader", "there is no leader at the moment, so nothing can be changed", time.Time{})
	case q.Degraded:
		st.clusterProblem(StatusProblemSeverityWarning, "QuorumDegraded", "the standby is behind, so a write is on one disk only until it has caught up", time.Time{})
	case q.CanLose == 0 && (len(q.Members) > 2 || hurt != ""):
		why := ""
		if hurt != "" {
			why = fmt.Sprintf(" (%s does not answer)", hurt)
		}
		st.clusterProblem(StatusProblemSeverityWarning, "QuorumAtRisk", "no more voters may be lost"+why+": "+q.Summary, time.Time{})
	}
}
