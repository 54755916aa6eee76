package api

import (
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/raft/model"
)

var update = flag.Bool("update", false, "rewrite golden files")

const goldenPermissions = "testdata/permissions.golden"

// asker is one column of the matrix.
type asker struct {
	name string
	edit edit
}

// askers makes one of each kind of caller. All of them belong to the tenant
// "default", in so far as they belong to one.
func askers(r *rig) []asker {
	in := func(role model.Role) model.UserSpec {
		return model.UserSpec{Tenants: map[string]model.Role{r.own: role}}
	}
	out := []asker{}
	person := func(name string, spec model.UserSpec) string {
		id := r.user(name, spec)
		out = append(out, asker{name, browser(r.session(id))})
		return id
	}
	adminID := person("admin", model.UserSpec{PlatformRole: model.RoleAdmin})
	person("auditor", model.UserSpec{PlatformRole: model.RoleAuditor})
	ownerID := person("owner", in(model.RoleOwner))
	person("developer", in(model.RoleDeveloper))
	person("viewer", in(model.RoleViewer))
	person("stranger", model.UserSpec{})
	disabled := in(model.RoleOwner)
	id := person("disabled", disabled)
	cookie, csrf := r.session(id)
	disabled.Disabled = true
	if _, err := r.server.people.SetDisabled(r.t.Context(), access.Caller{Principal: access.Local(), Origin: model.Origin{Actor: "local"}}, id, true); err != nil {
		r.t.Fatal(err)
	}
	out[len(out)-1].edit = browser(cookie, csrf)

	future, past := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	out = append(out,
		asker{"tok:admin", bearer(r.token("t-admin", adminID, "", model.RoleAdmin, future))},
		asker{"tok:admin-as-viewer", bearer(r.token("t-low", adminID, "", model.RoleViewer, future))},
		asker{"tok:owner-in-own", bearer(r.token("t-owner", ownerID, r.own, model.RoleOwner, future))},
		asker{"tok:admin-in-other", bearer(r.token("t-other", adminID, r.other, model.RoleDeveloper, future))},
		asker{"tok:expired", bearer(r.token("t-old", adminID, "", model.RoleAdmin, past))},
	)
	revoked := r.token("t-gone", adminID, "", model.RoleAdmin, future)
	all, err := r.node.View().ListTokens(state0, func(t *model.APIToken) bool { return t.Name == "t-gone" })
	if err != nil || len(all.Items) != 1 {
		r.t.Fatalf("the token to revoke: %v", err)
	}
	if err := r.server.people.DeleteToken(r.t.Context(), access.Caller{Principal: access.Local(), Origin: model.Origin{Actor: "local"}}, all.Items[0].ID); err != nil {
		r.t.Fatal(err)
	}
	return append(out, asker{"tok:revoked", bearer(revoked)}, asker{"anonymous", func(*http.Request) {}})
}

// gateOnly serves every operation of the contract with the real gate in front
// of a handler that says yes, so that the matrix sees decisions and nothing else.
func gateOnly(r *rig) http.Handler {
	e := gin.New()
	e.Use(r.server.identify)
	for _, o := range r.server.gates {
		e.Handle(o.method, o.route(), r.server.gate, func(c *gin.Context) { c.Status(http.StatusNoContent) })
	}
	return e
}

// ask gives the decision on one operation in one tenant: ok or the status.
func ask(h http.Handler, o operation, a asker, tenantID string) string {
	path := o.path
	if o.tenantPath {
		path = strings.Replace(path, "{ref}", tenantID, 1)
	}
	for _, p := range []string{"{ref}", "{id}", "{user}"} {
		path = strings.Replace(path, p, "thing", 1)
	}
	q := httptest.NewRequest(o.method, base+path, nil)
	if !o.tenantPath {
		q.URL.RawQuery = "tenant=" + tenantID
	}
	a.edit(q)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, q)
	if w.Code == http.StatusNoContent {
		return "ok"
	}
	return fmt.Sprint(w.Code)
}

// TestPermissions walks every operation of the contract, every kind of caller,
// and two tenants: the caller's own and another. The golden file is the whole
// policy in one readable table; a new operation appears in it by itself.
func TestPermissions(t *testing.T) {
	r := newRig(t)
	who, h := askers(r), gateOnly(r)
	ops := make([]operation, 0, len(r.server.gates))
	for _, o := range r.server.gates {
		ops = append(ops, o)
	}
	slices.SortFunc(ops, func(a, b operation) int { return strings.Compare(a.path+a.method, b.path+b.method) })

	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(&table, "# Every operation, its permission, and what each kind of caller gets: in his own tenant / in another one.")
	fmt.Fprintln(&table, "# One word where both are the same. 401 sign in, 403 not allowed, 404 does not exist for him.")
	fmt.Fprint(w, "operation\tpermission")
	for _, a := range who {
		fmt.Fprint(w, "\t"+a.name)
	}
	fmt.Fprintln(w)
	for _, o := range ops {
		fmt.Fprintf(w, "%s\t%s", o.id, o.permission)
		for _, a := range who {
			own, other := ask(h, o, a, r.own), ask(h, o, a, r.other)
			if own != other {
				own += "/" + other
			}
			fmt.Fprint(w, "\t"+own)
		}
		fmt.Fprintln(w)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	got := trimLines(table.String())
	if *update {
		if err := os.WriteFile(goldenPermissions, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(goldenPermissions)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the policy differs from %s; read the difference, then run go test ./appliance/api -run TestPermissions -update\n%s", goldenPermissions, firstDifference(string(want), got))
	}
}

func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

func firstDifference(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(a), len(b)) {
		x, y := "", ""
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			return fmt.Sprintf("line %d\nwant %s\ngot  %s", i+1, x, y)
		}
	}
	return "no difference by line"
}

// TestObjectsOfOthersDoNotExist asks for objects of another tenant by their
// ids, without naming a tenant: whoever has no role there learns nothing.
func TestObjectsOfOthersDoNotExist(t *testing.T) {
	r := newRig(t)
	h := gateOnly(r)
	c := r.app(r.other, "theirs")
	developer := bearer(r.token("dev", r.user("dev", model.UserSpec{Tenants: map[string]model.Role{r.own: model.RoleDeveloper}}), "", model.RoleDeveloper, time.Time{}))
	theirs := bearer(r.token("their", r.user("their", model.UserSpec{Tenants: map[string]model.Role{r.other: model.RoleDeveloper}}), "", model.RoleDeveloper, time.Time{}))
	ids := map[string]string{"apps": c.AppID, "services": c.ServiceID, "containers": c.ID}
	asked := 0
	for _, o := range r.server.gates {
		id, ok := ids[o.noun]
		if !ok || !o.hasRef {
			continue
		}
		asked++
		path := base + strings.Replace(o.path, "{ref}", id, 1)
		for name, want := range map[string]int{"stranger": http.StatusNotFound, "member": http.StatusNoContent} {
			q := httptest.NewRequest(o.method, path, nil)
			if name == "stranger" {
				developer(q)
			} else {
				theirs(q)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, q)
			if w.Code != want {
				t.Errorf("%s by a %s: status %d, want %d", o.id, name, w.Code, want)
			}
		}
	}
	if asked < 20 {
		t.Errorf("only %d operations were asked", asked)
	}
}

// TestEveryRouteIsGated sends every operation to the real server without any
// identity: nothing but the public ones may get past the gate.
func TestEveryRouteIsGated(t *testing.T) {
	r := newRig(t)
	for _, o := range r.server.gates {
		path := o.path
		for _, p := range []string{"{ref}", "{id}", "{user}"} {
			path = strings.Replace(path, p, "thing", 1)
		}
		q := httptest.NewRequest(o.method, base+path, strings.NewReader("{}"))
		w := httptest.NewRecorder()
		r.server.Handler().ServeHTTP(w, q)
		if open := o.permission == access.PermPublic; open == (w.Code == http.StatusUnauthorized) {
			t.Errorf("%s %s: status %d to nobody, permission %s", o.method, o.path, w.Code, o.permission)
		}
	}
}

// TestNoPermissionNoStart holds that an operation without a permission, or with
// one that the policy does not know, keeps the server from starting.
func TestNoPermissionNoStart(t *testing.T) {
	for _, doc := range []string{
		"paths: {/a: {get: {operationId: a}}}",
		"paths: {/a: {get: {operationId: a, x-skerry-permission: no.such}}}",
		"paths: {/a: {get: {x-skerry-permission: public}}}",
	} {
		if _, err := operations([]byte(doc)); err == nil {
			t.Errorf("accepted %s", doc)
		}
	}
	if ops, err := operations([]byte("paths: {/a: {get: {operationId: a, x-skerry-permission: public}}}")); err != nil || len(ops) != 1 {
		t.Errorf("refused a good operation: %v", err)
	}
}
