package api

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

const maxProblems = 100

// GetStatus says whether all is well, and if not why. Platform roles that name
// no tenant see everything.
func (s *Server) GetStatus(c *gin.Context, q GetStatusParams) {
	r := of(c)
	p := &r.caller.Principal
	oversees := access.Decide(p, access.PermNodeRead, "") == access.Allow
	switch {
	case r.every || (q.Tenant == "" && oversees):
		r.every, r.scope = true, state.AllTenants()
	case !p.MemberOf(r.caller.TenantID()):
		if q.Tenant != "" {
			s.fail(c, notFound("tenant", q.Tenant))
			return
		}
		r.scope = state.Scope{}
	}
	st := statusOfTenants(r)
	if cl, ok := r.view.Cluster(); ok {
		st.ClusterID, st.SetupNeeded = cl.ID, len(cl.SetupHash) > 0
	}
	st.SkerryVersion, st.Time = s.cfg.Version, now()
	s.clusterStatus(c.Request.Context(), r, oversees, &st)
	s.conclude(&st)
	s.ok(c, http.StatusOK, st)
}

// visible says whether an object of a tenant is in this status.
func visible(r *request, tenantID string) bool {
	return r.scope.Covers(tenantID) && (!r.every || r.caller.Principal.MemberOf(tenantID))
}

// statusOfTenants counts and judges what belongs to tenants.
func statusOfTenants(r *request) Status {
	st := Status{Problems: []StatusProblem{}, Nodes: []StatusNode{}, Counts: StatusCounts{ContainersByPhase: map[string]int{}}}
	v := r.view
	for a := range v.Apps() {
		if visible(r, a.TenantID) {
			st.Counts.Apps++
			st.judge(v, a)
		}
	}
	for svc := range v.Services() {
		if visible(r, svc.TenantID) {
			st.Counts.Services++
		}
	}
	for o := range v.Containers() {
		if visible(r, o.TenantID) {
			st.Counts.Containers++
			st.Counts.ContainersByPhase[string(o.Status.Phase)]++
		}
	}
	for o := range v.Volumes() {
		if visible(r, o.TenantID) {
			st.Counts.Volumes++
		}
	}
	for o := range v.Images() {
		if visible(r, o.TenantID) || o.Public {
			st.Counts.Images++
		}
	}
	return st
}

// judge adds the problems of one app: its conditions, or its phase if none of
// them says why.
func (st *Status) judge(v *state.View, a *model.App) {
	full := app(v, a)
	if full.Status.Phase != AppPhaseDegraded && full.Status.Phase != AppPhaseFailed && len(full.Status.Conditions) == 0 {
		return
	}
	severity := StatusProblemSeverityWarning
	if full.Status.Phase == AppPhaseFailed {
		severity = StatusProblemSeverityError
	}
	add := func(code, message string, since time.Time) {
		st.Problems = append(st.Problems, StatusProblem{Severity: severity, Code: code, Message: fmt.Sprintf("App %q: %s", a.Name, message),
			Kind: "app", ID: a.ID, Name: a.Name, TenantID: a.TenantID, Since: since})
	}
	for _, cond := range full.Status.Conditions {
		add(cond.Reason, cond.Message, cond.Since)
	}
	if len(full.Status.Conditions) == 0 {
		add("NotRunning", full.Status.Message, time.Time{})
	}
}

// load warns of a node that runs full.
func (st *Status) load(n *model.Node, l NodeStats) {
	full := func(used, total int64) bool { return total > 0 && used*100 >= total*90 }
	warn := func(code, message string) {
		st.Problems = append(st.Problems, StatusProblem{Severity: StatusProblemSeverityWarning, Code: code, Message: fmt.Sprintf("Node %q: %s", n.Name, message), Kind: "node", ID: n.ID, Name: n.Name})
	}
	if full(l.DiskUsedBytes, l.DiskTotalBytes) {
		warn("DiskNearlyFull", fmt.Sprintf("its disk is %d %% full; remove images or volumes that nobody needs", l.DiskUsedBytes*100/l.DiskTotalBytes))
	}
	if full(l.MemoryUsedBytes, l.MemoryTotalBytes) {
		warn("MemoryNearlyFull", fmt.Sprintf("%d %% of its memory is used; scale down or add a node", l.MemoryUsedBytes*100/l.MemoryTotalBytes))
	}
}

// conclude sorts the problems, errors first, and says it in one sentence.
func (s *Server) conclude(st *Status) {
	slices.SortStableFunc(st.Problems, func(a, b StatusProblem) int { return cmp.Compare(a.Severity, b.Severity) }) // "error" < "warning"
	n := len(st.Problems)
	st.Problems = st.Problems[:min(n, maxProblems)]
	st.Ok = n == 0
	running := st.Counts.ContainersByPhase[string(model.PhaseRunning)]
	switch {
	case st.ClusterID == "":
		st.Ok, st.Summary = false, "This node has no cluster yet; make one with `skerry init`, or join one with `skerry join`."
		if s.enrolled() {
			st.Summary = "This node belongs to a cluster but does not have its state yet; it waits for a leader."
		}
	case n == 0:
		st.Summary = fmt.Sprintf("All is well: %d of %d nodes ready, %s running.", st.Counts.NodesReady, st.Counts.Nodes, containers(running))
	case n == 1:
		st.Summary = "One thing needs attention: " + st.Problems[0].Message
	default:
		st.Summary = fmt.Sprintf("%d things need attention; first: %s", n, st.Problems[0].Message)
	}
}
