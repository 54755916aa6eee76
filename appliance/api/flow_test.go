package api

import (
	"context"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// TestSetupAndSignIn walks the first minutes of a cluster: setup token, first
// administrator, sign-in, password, sign-out.
func TestSetupAndSignIn(t *testing.T) {
	r := newRig(t)
	jar, _ := cookiejar.New(nil)
	c := &http.Client{Jar: jar}
	url := r.web.URL + base
	if !into[Setup](t, send(t, c, "GET", url+"/setup", nil), 200).Needed {
		t.Fatal("setup is not needed")
	}
	wrong := send(t, c, "POST", url+"/setup", SetupInput{Token: "guess", Name: "root", Password: password})
	if p := wrong.problem(t); p.Code != "setup_token_invalid" || wrong.status >= 500 {
		t.Errorf("wrong token: %d %s", wrong.status, p.Code)
	}
	a := send(t, c, "POST", url+"/setup", SetupInput{Token: setupToken, Name: "root", Password: password})
	me := into[Me](t, a, 201)
	if me.PlatformRole != model.RoleAdmin || me.Csrf == "" || me.Name != "root" {
		t.Fatalf("after setup: %+v", me)
	}
	cookie := a.header.Get("Set-Cookie")
	for _, want := range []string{"HttpOnly", "SameSite=Lax", "Path=/"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("cookie %q lacks %s", cookie, want)
		}
	}
	if into[Setup](t, send(t, c, "GET", url+"/setup", nil), 200).Needed {
		t.Error("setup is needed twice")
	}
	if a := send(t, c, "POST", url+"/setup", SetupInput{Token: setupToken, Name: "root2", Password: password}); a.status < 400 {
		t.Error("the setup token worked twice")
	}
	write := header(headerCSRF, me.Csrf)
	if a := send(t, c, "POST", url+"/tenants", TenantInput{Name: "sales"}, write); a.status != 201 {
		t.Errorf("make a tenant: %d %s", a.status, a.body)
	}
	if a := send(t, c, "PUT", url+"/session/password", PasswordChange{Current: "wrong password", Password: password + "2"}, write); a.status != 400 || a.problem(t).Field != "current" {
		t.Errorf("wrong present password: %s", a.body)
	}
	if a := send(t, c, "PUT", url+"/session/password", PasswordChange{Current: password, Password: password + "2"}, write); a.status != 204 {
		t.Errorf("change the password: %s", a.body)
	}
	if got := into[Me](t, send(t, c, "GET", url+"/session", nil), 200); got.Name != "root" {
		t.Errorf("the session that changed the password ended: %+v", got)
	}
	if a := send(t, c, "DELETE", url+"/session", nil, write); a.status != 204 {
		t.Errorf("sign out: %s", a.body)
	}
	if a := send(t, c, "GET", url+"/session", nil); a.status != 401 {
		t.Errorf("after signing out: %d", a.status)
	}
	if a := send(t, c, "POST", url+"/session", SignInInput{Name: "root", Password: password}); a.status != 401 || a.problem(t).Code != "sign_in_wrong" {
		t.Errorf("the old password: %d %s", a.status, a.body)
	}
	if me := into[Me](t, send(t, c, "POST", url+"/session", SignInInput{Name: "root", Password: password + "2"}), 200); me.Csrf == "" {
		t.Error("no csrf word")
	}
	if a := send(t, http.DefaultClient, "POST", url+"/session", SignInInput{Name: "root", Password: password + "2"}, header("Origin", "https://evil.example")); a.status != 403 {
		t.Errorf("a sign-in from another site: %d", a.status)
	}
}

// TestWaitForAnAppThatGoes holds that waiting for an app that ends and removes
// itself is no error.
func TestWaitForAnAppThatGoes(t *testing.T) {
	r := newRig(t)
	done := make(chan answer, 1)
	go func() {
		done <- r.as("POST", "/apps?wait=30", AppInput{Name: "once", Services: map[string]ServiceInput{"web": {Container: model.ContainerSpec{Image: "welcome", AutoRemove: true}}}})
	}()
	r.eventually("the app is there", func() bool { _, ok := r.node.View().AppByName(r.own, "once"); return ok })
	a, _ := r.node.View().AppByName(r.own, "once")
	r.propose(&command.RemoveApp{ID: a.ID, ExpectVersion: command.AnyVersion})
	if got := into[App](t, <-done, 201); got.Name != "once" {
		t.Errorf("waited: %+v", got)
	}
}

// founder makes the cluster of a rig.
type founder struct{ r *rig }

func (f founder) Init(_ context.Context, in InitInput) (*InitResult, error) {
	if in.Ports == "wrong" {
		return nil, model.Errorf(model.KindInvalid, "ports_invalid", "no range").At("ports")
	}
	f.r.found()
	return &InitResult{ClusterID: "c", SetupToken: setupToken, ConsoleUrls: []string{}}, nil
}

// TestBeforeInit holds that a node without a cluster says so everywhere, and
// that only who sits at it makes one.
func TestBeforeInit(t *testing.T) {
	r := bareRig(t)
	r.server.cfg.Founder = founder{r}
	_, local, _ := r.serve()
	const at = "http://local" + base
	for _, path := range []string{"/setup", "/apps", "/users", "/cluster", "/volumes/x"} {
		a := send(t, local, "GET", at+path, nil)
		if p := a.problem(t); a.status != 503 || p.Code != "not_initialized" || !strings.Contains(p.Detail, "skerry init") {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if a := send(t, local, "GET", "http://local/readyz", nil); a.status != 503 || !strings.Contains(string(a.body), "skerry init") {
		t.Errorf("readyz: %d %s", a.status, a.body)
	}
	if a := send(t, local, "GET", "http://local/healthz", nil); a.status != 200 {
		t.Errorf("healthz: %d", a.status)
	}
	if st := into[Status](t, send(t, local, "GET", at+"/status", nil), 200); st.Ok || !strings.Contains(st.Summary, "skerry init") {
		t.Errorf("status: %+v", st)
	}
	if a := r.do("POST", "/init", InitInput{}); a.status != 401 {
		t.Errorf("init by a stranger: %d", a.status)
	}
	if a := send(t, local, "POST", at+"/init", InitInput{Ports: "wrong"}); a.status != 400 || a.problem(t).Field != "ports" {
		t.Errorf("init with a wrong range: %d %s", a.status, a.body)
	}
	if got := into[InitResult](t, send(t, local, "POST", at+"/init", InitInput{}), 201); got.SetupToken != setupToken {
		t.Errorf("init: %+v", got)
	}
	if !into[Setup](t, send(t, local, "GET", at+"/setup", nil), 200).Needed {
		t.Error("no setup is needed after init")
	}
	if a := r.as("POST", "/init", InitInput{}); a.status != 403 || a.problem(t).Code != "not_local" {
		t.Errorf("init by a token: %d %s", a.status, a.body)
	}
}

// TestThrottledSignIn holds that guessing is slowed down, with words and a
// Retry-After, and that a user of another name is not locked out.
func TestThrottledSignIn(t *testing.T) {
	r := newRig(t)
	if a := r.as("POST", "/users", UserInput{Name: "jane", Password: password}); a.status != 201 {
		t.Fatal(string(a.body))
	}
	for range 5 {
		if a := r.do("POST", "/session", SignInInput{Name: "root", Password: "guess guess"}); a.status != 401 {
			t.Fatalf("status %d", a.status)
		}
	}
	a := r.do("POST", "/session", SignInInput{Name: "root", Password: "guess guess"})
	p := a.problem(t)
	if a.status != 429 || p.Code != "sign_in_throttled" || p.RetryAfterSeconds < 1 || a.header.Get("Retry-After") != fmt.Sprint(p.RetryAfterSeconds) || !strings.Contains(p.Detail, "try again in 1 second") {
		t.Errorf("throttled: %d %s", a.status, a.body)
	}
	if a := r.do("POST", "/session", SignInInput{Name: "jane", Password: password}); a.status != 200 {
		t.Errorf("another user: %d %s", a.status, a.body)
	}
}

// TestTokens walks an API token's life.
func TestTokens(t *testing.T) {
	r := newRig(t)
	id := r.user("jane", model.UserSpec{Tenants: map[string]model.Role{r.own: model.RoleDeveloper}})
	cookie, csrf := r.session(id)
	jane := browser(cookie, csrf)
	made := into[NewAPIToken](t, r.do("POST", "/api-tokens", APITokenInput{Name: "ci", Role: model.RoleDeveloper, Tenant: "default", TTLSeconds: 3600}, jane), 201)
	if !strings.HasPrefix(made.Token, "sk_"+made.Object.ID+"_") || made.Object.UserName != "jane" || made.Object.ExpiresAt.IsZero() {
		t.Errorf("made %+v", made)
	}
	if a := r.do("POST", "/api-tokens", APITokenInput{Name: "up", Role: model.RoleOwner}, jane); a.status != 403 || a.problem(t).Code != "token_role_too_high" {
		t.Errorf("a role above the user's: %d %s", a.status, a.body)
	}
	if a := r.do("POST", "/api-tokens", APITokenInput{Name: "up", Role: model.RoleDeveloper, Tenant: "other"}, jane); a.status != 404 {
		t.Errorf("a foreign tenant: %d %s", a.status, a.body)
	}
	if a := r.do("POST", "/api-tokens", APITokenInput{Name: "long", Role: model.RoleViewer, Tenant: "default", TTLSeconds: 7200}, bearer(made.Token)); a.status != 403 || a.problem(t).Code != "token_outlives" {
		t.Errorf("a token that outlives its maker: %d %s", a.status, a.body)
	}
	child := into[NewAPIToken](t, r.do("POST", "/api-tokens", APITokenInput{Name: "child", Role: model.RoleViewer, Tenant: "default"}, bearer(made.Token)), 201)
	if !child.Object.ExpiresAt.Equal(made.Object.ExpiresAt) {
		t.Errorf("a token without an end ends at %s, its maker at %s", child.Object.ExpiresAt, made.Object.ExpiresAt)
	}
	if a := r.do("DELETE", "/api-tokens/"+child.Object.ID, nil, jane); a.status != 204 {
		t.Errorf("revoke: %s", a.body)
	}
	list := r.do("GET", "/api-tokens", nil, jane)
	if got := into[APITokenList](t, list, 200); len(got.Items) != 1 || strings.Contains(string(list.body), "hash") || strings.Contains(string(list.body), made.Token) {
		t.Errorf("listed %s", list.body)
	}
	if a := r.do("GET", "/api-tokens?all=true", nil, jane); a.status != 403 {
		t.Errorf("everybody's tokens: %d", a.status)
	}
	if a := r.do("DELETE", "/api-tokens/"+made.Object.ID, nil, jane); a.status != 204 {
		t.Errorf("revoke: %s", a.body)
	}
	if a := r.do("GET", "/volumes", nil, bearer(made.Token)); a.status != 401 || a.problem(t).Code != "token_invalid" {
		t.Errorf("a revoked token: %d", a.status)
	}
}

// TestObjects walks versions, ETags, indexes, pages and tenants of simple
// objects.
func TestObjects(t *testing.T) {
	r := newRig(t)
	a := r.as("POST", "/volumes", VolumeInput{Name: "data"})
	v := into[Volume](t, a, 201)
	if v.Spec.Driver != "local" || v.NodeID != "" || a.header.Get("ETag") != fmt.Sprintf("%q", fmt.Sprint(v.Version)) || a.header.Get(headerIndex) == "" {
		t.Errorf("made %+v, headers %v", v, a.header)
	}
	if got := into[Volume](t, r.as("GET", "/volumes/data", nil, header(headerIndex, a.header.Get(headerIndex))), 200); got.ID != v.ID || *got.Status.UsedBytes != 4096 {
		t.Errorf("read %+v", got)
	}
	if a := r.as("GET", "/volumes/data?consistency=strong", nil); a.status != 200 {
		t.Errorf("strong: %d", a.status)
	}
	for i := range 5 {
		if a := r.as("POST", "/volumes?tenant=other", VolumeInput{Name: fmt.Sprintf("v%d", i)}); a.status != 201 {
			t.Fatal(string(a.body))
		}
	}
	names, cursor := []string{}, ""
	for range 4 {
		l := into[VolumeList](t, r.as("GET", "/volumes?tenant=other&limit=2&cursor="+cursor, nil), 200)
		for _, o := range l.Items {
			names = append(names, o.Name)
		}
		if cursor = l.NextCursor; cursor == "" {
			break
		}
	}
	if strings.Join(names, " ") != "v0 v1 v2 v3 v4" {
		t.Errorf("pages gave %v", names)
	}
	if l := into[VolumeList](t, r.as("GET", "/volumes?tenant=*", nil), 200); len(l.Items) != 6 {
		t.Errorf("every tenant: %d volumes", len(l.Items))
	}
	jane := bearer(r.token("jane", r.user("jane", model.UserSpec{Tenants: map[string]model.Role{r.other: model.RoleViewer}}), "", model.RoleViewer, time.Time{}))
	if l := into[VolumeList](t, r.do("GET", "/volumes?tenant=*", nil, jane), 200); len(l.Items) != 5 {
		t.Errorf("every tenant of a viewer: %d volumes", len(l.Items))
	}
	if l := into[VolumeList](t, r.do("GET", "/volumes", nil, jane), 200); len(l.Items) != 5 {
		t.Errorf("the viewer's own tenant: %d volumes", len(l.Items))
	}
	if a := r.do("GET", "/volumes/"+v.ID, nil, jane); a.status != 404 {
		t.Errorf("another tenant's volume: %d", a.status)
	}
	if l := into[TenantList](t, r.do("GET", "/tenants", nil, jane), 200); len(l.Items) != 1 || l.Items[0].Name != "other" {
		t.Errorf("tenants of a viewer: %+v", l.Items)
	}
	if st := into[Status](t, r.do("GET", "/status", nil, jane), 200); st.Counts.Volumes != 5 || len(st.Nodes) != 0 {
		t.Errorf("status of a viewer: %+v", st)
	}
	if a := r.do("GET", "/status?tenant=default", nil, jane); a.status != 404 {
		t.Errorf("status of another tenant: %d", a.status)
	}
	if a := r.as("DELETE", "/volumes/data", nil, header("If-Match", fmt.Sprintf("%q", fmt.Sprint(v.Version)))); a.status != 204 {
		t.Errorf("delete: %d %s", a.status, a.body)
	}
}

// TestApps walks an app through the API while the test plays the agent.
func TestApps(t *testing.T) {
	r := newRig(t)
	in := AppInput{Name: "shop", Services: map[string]ServiceInput{"web": {Container: model.ContainerSpec{Image: "welcome"}, Ports: []model.PortSpec{{Container: 80}}}}}
	a := into[App](t, r.as("POST", "/apps", in), 201)
	svc := a.Spec.Services["web"]
	if a.Status.Phase != AppPhaseStarting || a.Status.Desired != 1 || svc.Replicas != 1 || svc.Container.Restart != model.RestartNo || svc.Ports[0].Protocol != model.TCP {
		t.Errorf("made %+v", a)
	}
	if len(a.Status.Ports) != 1 || a.Status.Ports[0].HostPort < 30000 {
		t.Errorf("ports %+v", a.Status.Ports)
	}
	if l := into[PortList](t, r.as("GET", "/ports", nil), 200); len(l.Items) != 1 || l.Items[0].AppName != "shop" {
		t.Errorf("ports %+v", l)
	}
	s := into[Service](t, r.as("GET", "/services/shop.web", nil), 200)
	if got := into[Service](t, r.as("GET", "/services/web", nil), 200); got.ID != s.ID {
		t.Errorf("service by its own name: %+v", got)
	}
	c := r.app(r.own, "blog")
	if a := r.as("GET", "/services/web", nil); a.status != 409 || a.problem(t).Code != "name_ambiguous" {
		t.Errorf("a service name that two apps have: %d %s", a.status, a.body)
	}
	if got := into[App](t, r.as("GET", "/apps/blog", nil), 200); got.Status.Phase != AppPhaseRunning || got.Status.Running != 1 {
		t.Errorf("blog: %+v", got.Status)
	}
	two := 2
	if got := into[Service](t, r.as("PATCH", "/services/blog.web", ServiceUpdate{Replicas: &two}), 200); got.Spec.Replicas != 2 {
		t.Errorf("scaled: %+v", got.Spec)
	}
	if a := r.as("PATCH", "/services/blog.web", `{}`); a.status != 400 || a.problem(t).Code != "nothing_to_change" {
		t.Errorf("a change of nothing: %d", a.status)
	}
	one := 1
	into[Service](t, r.as("PATCH", "/services/blog.web", ServiceUpdate{Replicas: &one}), 200)

	// A container that ends with an error is a problem of its app, with why.
	code := 3
	r.status(c.ID, model.ContainerStatus{Phase: model.PhaseExited, Task: 1, ExitCode: &code, FinishedAt: time.Now()})
	w := into[WaitResult](t, r.as("GET", "/containers/blog-web-1/wait", nil), 200)
	if !w.Exited || w.ExitCode == nil || *w.ExitCode != 3 {
		t.Errorf("waited: %+v", w)
	}
	st := into[Status](t, r.as("GET", "/status", nil), 200)
	found := false
	for _, p := range st.Problems {
		found = found || (p.Name == "blog" && strings.Contains(p.Message, "exit code 3"))
	}
	if st.Ok || !found || len(st.Nodes) != 1 || st.Counts.Apps != 2 {
		t.Errorf("status %+v", st)
	}

	// Starting it again waits for the agent.
	done := make(chan answer, 1)
	go func() { done <- r.as("POST", "/containers/blog-web-1/start?wait=30", nil) }()
	r.eventually("the start is asked for", func() bool { now, _ := r.node.View().Container(c.ID); return now.Intent.Restarts == 1 })
	r.status(c.ID, model.ContainerStatus{Phase: model.PhaseRunning, Task: 2, Restarts: 1, StartedAt: time.Now()})
	if got := into[Container](t, <-done, 200); got.Status.Phase != model.PhaseRunning {
		t.Errorf("started: %+v", got.Status)
	}
	zero := 0
	got := into[Container](t, r.as("POST", "/containers/"+c.ID+"/stop", StopInput{Signal: "SIGINT", GraceSeconds: &zero}), 200)
	if !got.Intent.Stopped || got.Intent.Signal != "SIGINT" || got.Intent.GraceSecs != -1 {
		t.Errorf("stop: %+v", got.Intent)
	}
	if a := r.as("POST", "/containers/"+c.ID+"/stop", StopInput{Signal: "SIGNORE"}); a.status != 400 || a.problem(t).Field != "signal" {
		t.Errorf("a signal that is none: %d %s", a.status, a.body)
	}
	if a := r.as("POST", "/containers/"+c.ID+"/kill", KillInput{Signal: "HUP"}); a.status != 204 || len(r.runtime.sent) != 1 {
		t.Errorf("kill -HUP: %d %s", a.status, a.body)
	}
	if a := r.as("POST", "/containers/"+c.ID+"/stop", nil, header("If-Match", `"1"`)); a.status != 412 {
		t.Errorf("stale stop: %d", a.status)
	}

	// Removing waits until the agent has given everything back.
	gone := make(chan answer, 1)
	go func() { gone <- r.as("DELETE", "/apps/blog?wait=30", nil) }()
	r.eventually("the app is being removed", func() bool { now, ok := r.node.View().App(c.AppID); return ok && now.Removing })
	r.status(c.ID, model.ContainerStatus{Phase: model.PhaseExited, Task: 2, Restarts: 1})
	r.propose(&command.AssignContainers{Items: []command.AssignItem{{ID: c.ID, ExpectVersion: command.AnyVersion, Assign: model.Assignment{NodeID: "node-1", Remove: true}}}})
	r.propose(&command.ForgetContainers{NodeID: "node-1", IDs: []string{c.ID}})
	if a := <-gone; a.status != 202 {
		t.Errorf("removed: %d %s", a.status, a.body)
	}
	if a := r.as("GET", "/apps/blog", nil); a.status != 404 {
		t.Errorf("it is still there: %d", a.status)
	}
}
