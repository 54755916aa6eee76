package api

import (
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// TestSearch looks for objects as an administrator and as a member of one
// tenant, who must not learn what another tenant has.
func TestSearch(t *testing.T) {
	r := newRig(t)
	blog := r.app(r.own, "blog")
	r.app(r.other, "blog-of-others")
	for _, o := range []model.Repository{
		{Meta: model.Meta{Name: "blog"}, TenantID: r.own, Spec: model.RepositorySpec{Visibility: model.VisibilityTenant}},
		{Meta: model.Meta{Name: "theirs"}, TenantID: r.other, CreatedBy: "somebody", Spec: model.RepositorySpec{Visibility: model.VisibilityPrivate}},
		{Meta: model.Meta{Name: "shared"}, TenantID: r.own, Spec: model.RepositorySpec{Visibility: model.VisibilityPublic}},
	} {
		o.ID = command.NewID()
		r.propose(&command.PutRepository{Head: command.By(model.Origin{Actor: "test"}), Repository: o})
	}
	jane := bearer(r.token("jane", r.user("jane", model.UserSpec{Tenants: map[string]model.Role{r.other: model.RoleViewer}}), "", model.RoleViewer, time.Time{}))
	found := func(query string, opt ...edit) string {
		t.Helper()
		var out []string
		var got SearchResult
		if len(opt) > 0 {
			got = into[SearchResult](t, r.do("GET", "/search?"+query, nil, opt...), 200)
		} else {
			got = into[SearchResult](t, r.as("GET", "/search?"+query, nil), 200)
		}
		for _, h := range got.Items {
			out = append(out, h.Kind+" "+h.Name)
		}
		return strings.Join(out, ", ")
	}
	for query, want := range map[string]string{
		"q=blog":              "app blog, repository blog, container blog-web-1",
		"q=BLOG&limit=1":      "app blog",
		"q=welcome":           "image docker.io/library/welcome:latest",
		"q=one":               "node one",
		"q=jan":               "user jane",
		"q=nothing-like-this": "",
		"q=" + blog.ID[:8]:    "container blog-web-1",
	} {
		if got := found(query); got != want {
			t.Errorf("%s: found %q, want %q", query, got, want)
		}
	}
	if got := found("q=blog", jane); got != "app blog-of-others, container blog-of-others-web-1" {
		t.Errorf("a member of another tenant found %q", got)
	}
	if got := found("q=theirs", jane) + found("q=shared", jane); got != "repository shared" {
		t.Errorf("a viewer found of the repositories %q", got)
	}
	if got := found("q=one", jane); got != "" {
		t.Errorf("a viewer found the node: %q", got)
	}
	for _, query := range []string{"q=%20", "q=" + strings.Repeat("x", 300)} {
		if a := r.as("GET", "/search?"+query, nil); a.status != 400 || a.problem(t).Field != "q" {
			t.Errorf("%s: %d %s", query, a.status, a.body)
		}
	}
}

func TestPlanAndSchema(t *testing.T) {
	r := newRig(t)
	r.app(r.own, "blog")
	in := AppInput{Name: "blog", Services: map[string]ServiceInput{"web": {Container: model.ContainerSpec{Image: "welcome"}}}}
	if p := into[AppPlan](t, r.as("POST", "/app-plans", in), 200); p.Action != PlanActionUpdate || p.Name != "blog" {
		t.Errorf("plan %+v", p)
	}
	if a := r.as("GET", "/compose/schema", nil); a.status != 200 || !strings.Contains(string(a.body), "object") {
		t.Errorf("schema: %d %s", a.status, a.body)
	}
}
