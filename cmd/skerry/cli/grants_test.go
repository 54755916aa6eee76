package cli

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skerryhq/skerry/appliance/api/client"
)

func TestGrantAndRevoke(t *testing.T) {
	f := newFake(t)
	f.on("GET /tenants", `{"items":[{"id":"t1","name":"default"},{"id":"t2","name":"ops"}]}`)
	f.on("GET /users", `{"items":[{"id":"u1","name":"ada"}]}`)
	f.on("GET /users/ada", `{"id":"u1","name":"ada","version":7,"spec":{"displayName":"Ada","platformRole":"auditor","tenants":{"t1":"viewer"}}}`)
	f.on("PUT /tenants/{ref}/members/ada", `{"name":"ada","role":"developer","userId":"u1"}`)
	f.on("PUT /users/u1", `{"id":"u1","name":"ada","spec":{}}`)
	f.handle("DELETE /tenants/{ref}/members/{user}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	for _, c := range []struct{ line, out, last string }{
		{"user grant ada ops=developer", "ada ops=developer\n", `PUT /api/v1/tenants/t2/members/ada {"role":"developer"}`},
		{"user grant ada viewer", "ada default=viewer\n", `PUT /api/v1/tenants/t1/members/ada {"role":"viewer"}`},
		{"user grant ada admin", "ada admin\n", `PUT /api/v1/users/u1 {"platformRole":"admin","tenants":{"t1":"viewer"},"displayName":"Ada"}`},
		{"user revoke ada ops", "ada ops\n", `DELETE /api/v1/tenants/t2/members/ada`},
		{"user revoke ada auditor", "ada auditor\n", `PUT /api/v1/users/u1 {"tenants":{"t1":"viewer"},"displayName":"Ada"}`},
	} {
		r := f.skerry(nil, "", strings.Fields(c.line)...)
		all := f.requests()
		if last := all[len(all)-1]; r.code != 0 || r.out != c.out || last != c.last {
			t.Errorf("%s: %+v, last request %s", c.line, r, last)
		}
	}
	for line, want := range map[string]string{
		"user grant ada opps=viewer": "there is no tenant \"opps\"; did you mean ops?",
		"user grant adda ops=viewer": "there is no user \"adda\"; did you mean ada?",
		"user revoke ada admin":      "ada has no role admin",
		"user revoke ada nowhere":    "there is no tenant \"nowhere\"",
	} {
		if r := f.skerry(nil, "", strings.Fields(line)...); r.code != 1 || !strings.Contains(r.err, want) {
			t.Errorf("%s: %+v", line, r)
		}
	}
	if r := f.skerry(nil, "", "user", "grant", "--json", "ada", "ops=developer"); r.code != 0 || !strings.Contains(r.out, `"userId": "u1"`) {
		t.Errorf("%+v", r)
	}
	if r := f.skerry(nil, "", "__complete", "user", "grant", "ada", "op"); !strings.HasPrefix(r.out, "ops=developer\nops=owner\nops=viewer\n:") {
		t.Errorf("%+v", r)
	}
}

// TestNoRole makes a user without a role and signs in as one.
func TestNoRole(t *testing.T) {
	const hint = "ada has no role yet; an administrator gives one with: skerry user grant ada default=developer\n"
	f := newFake(t)
	f.on("POST /users", `{"id":"u1","name":"ada","spec":{}}`)
	if r := f.skerry(nil, "pw\n", "user", "create", "ada", "--password-file", "-"); r.code != 0 || r.out != "ada\n" || r.err != hint {
		t.Errorf("%+v", r)
	}
	mux := http.NewServeMux()
	var ended bool
	mux.HandleFunc("POST /api/v1/session", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"name":"ada","csrf":"c","tenants":[]}`))
	})
	mux.HandleFunc("DELETE /api/v1/session", func(w http.ResponseWriter, _ *http.Request) {
		ended = true
		w.WriteHeader(http.StatusNoContent)
	})
	s := httptest.NewServer(mux)
	defer s.Close()
	if r := f.skerry(nil, "pw\n", "login", s.URL, "-u", "ada", "--password-file", "-"); r.code != 1 || r.err != "skerry: "+hint || !ended {
		t.Errorf("%+v, session ended: %v", r, ended)
	}
	if r := f.skerry(nil, "", "--host", s.URL, "ps"); r.code != 1 || !strings.Contains(r.err, "run `skerry login "+s.URL+"` first") {
		t.Errorf("%+v", r)
	}
}

func TestHabits(t *testing.T) {
	f := newFake(t)
	f.on("GET /events", `{"items":[]}`)
	f.on("GET /audit", `{"items":[]}`)
	for _, line := range []string{"event", "event ls", "event ls -n 3", "audit", "audit ls"} {
		if r := f.skerry(nil, "", strings.Fields(line)...); r.code != 0 {
			t.Errorf("%s: %+v", line, r)
		}
	}
	for _, line := range []string{"event ls ls", "audit rm", "run -it busybox"} {
		if r := f.skerry(nil, "", strings.Fields(line)...); r.code != 2 {
			t.Errorf("%s: %+v", line, r)
		}
	}
	if r := f.skerry(nil, "", "app"); strings.Count(r.err, "--help") != 1 {
		t.Errorf("the hint comes once: %q", r.err)
	}
}

func TestUsersOfVolume(t *testing.T) {
	var v client.Volume
	v.Status.UsedBy = []client.UsedBy{
		{Kind: "service", Name: "db", AppName: "shop"}, {Kind: "service", Name: "box", AppName: "box"},
		{Kind: "container", Name: "shop-db", AppName: "shop"}, {Kind: "container", Name: "box-2", AppName: "box"}, {Kind: "container", Name: "old", AppName: "old"},
	}
	if got := strings.Join(usersOf(v), " "); got != "box old shop.db" {
		t.Errorf("%q", got)
	}
}

func TestProgressLeavesNothing(t *testing.T) {
	var b bytes.Buffer
	a := newApp(World{Stderr: &b, Env: func(string) string { return "" }})
	a.terminal = true
	p := a.newProgress()
	p.step(client.Progress{ID: "tt", Step: "running"})
	p.step(client.Progress{ID: "uu", Step: "running"})
	b.Reset()
	p.end()
	p.end()
	if b.String() != "\x1b[2A\r\x1b[J" {
		t.Errorf("%q", b.String())
	}
}

const refusedCompose = `{"type":"about:blank","status":400,"code":"compose_invalid","detail":"line 3, column 5: no (and 1 more)","requestId":"r",
	"problems":[{"line":3,"column":5,"path":"services.web.build","message":"images are not built here"},{"path":"services.db","message":"no image"}]}`

func TestEveryComposeProblem(t *testing.T) {
	f := newFake(t)
	f.handle("POST /apps", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(refusedCompose))
	})
	f.handle("POST /app-plans", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(refusedCompose))
	})
	file := filepath.Join(f.dir, "c.yaml")
	if err := os.WriteFile(file, []byte("services: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := file + ":3:5: services.web.build: images are not built here\n" + file + ": services.db: no image\n"
	for _, more := range [][]string{nil, {"--plan"}} {
		if r := f.skerry(nil, "", append([]string{"app", "deploy", "-n", "a", "-f", file}, more...)...); r.code != 1 || r.err != want {
			t.Errorf("%v: %+v", more, r)
		}
	}
}

func TestPlan(t *testing.T) {
	f := newFake(t)
	f.on("POST /app-plans", `{"name":"a","action":"update","volumesCreated":["cache"],"volumesUnused":["old"],"services":[
		{"name":"db","action":"keep","containersBefore":1,"containersAfter":1,"containersReplaced":0},
		{"name":"web","action":"replace","containersBefore":2,"containersAfter":3,"containersReplaced":2,"imageToFetch":"nginx:2","fields":[
			{"path":"container.image","before":"docker.io/library/nginx:1","after":"nginx:2"},{"path":"container.imageDigest","before":"sha256:1"},
			{"path":"container.env.A","after":"1"},{"path":"ports.80/tcp.hostPort","before":"8080"}]}]}`)
	file := filepath.Join(f.dir, "c.yaml")
	if err := os.WriteFile(file, []byte("services: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := f.skerry(nil, "", "app", "deploy", "-n", "a", "-f", file, "--plan")
	for _, want := range []string{"db", "keep", "2 -> 3", "fetches nginx:2; image nginx:1 -> nginx:2; env.A = 1; ports.80/tcp.hostPort removed", "cache", "old"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("the plan does not say %q:\n%s%s", want, r.out, r.err)
		}
	}
	if strings.Contains(r.out, "imageDigest") {
		t.Errorf("the plan speaks of what nobody wrote:\n%s", r.out)
	}
}

func TestNothingChanged(t *testing.T) {
	f := newFake(t)
	f.on("GET /apps/{ref}", `{"id":"a1","name":"a","revision":4,"status":{"phase":"running"}}`)
	next := 4
	f.handle("PUT /apps/{ref}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"id":"a1","name":"a","revision":%d,"status":{"phase":"running"}}`, next)
	})
	for _, c := range []struct {
		revision int
		same     bool
	}{{4, true}, {5, false}} {
		next = c.revision
		if r := f.skerry(nil, "services: {}\n", "app", "deploy", "-n", "a", "-f", "-"); r.code != 0 || strings.Contains(r.out, "nothing changed") != c.same {
			t.Errorf("revision %d: %+v", c.revision, r)
		}
	}
}

func TestLogNamesAreAligned(t *testing.T) {
	f := newFake(t)
	withContainers(f)
	f.handle("GET /services/{ref}/logs", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprint(w, "event: log\ndata: {\"container\":\"web\",\"line\":\"one\",\"stream\":\"stdout\"}\n\nevent: log\ndata: {\"container\":\"web-2\",\"line\":\"two\",\"stream\":\"stdout\"}\n\n")
	})
	if r := f.skerry(nil, "", "logs", "web.front"); r.code != 0 || r.out != "web   | one\nweb-2 | two\n" {
		t.Errorf("%+v", r)
	}
}
