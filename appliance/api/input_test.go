package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerryhq/skerry/raft/model"
)

// TestBadInput wants a clear sentence for everything that people get wrong, and
// nothing done.
func TestBadInput(t *testing.T) {
	r := newRig(t)
	volumes := func() int {
		n := 0
		for range r.node.View().Volumes() {
			n++
		}
		return n
	}
	r.as("POST", "/volumes", map[string]string{"name": "taken"})
	text := header("Content-Type", "text/plain")
	for _, c := range []struct {
		name, method, path string
		body               any
		edit               edit
		status             int
		code, field, says  string
	}{
		{"broken JSON", "POST", "/volumes", "{\n  \"name\": \"a\",\n  oops}", nil, 400, "json_invalid", "", "line 3, column"},
		{"cut JSON", "POST", "/volumes", `{"name": "a"`, nil, 400, "json_invalid", "", "ends in the middle"},
		{"text behind", "POST", "/volumes", `{"name": "a"} {"name": "b"}`, nil, 400, "json_invalid", "", "behind the end"},
		{"no object", "POST", "/volumes", `["a"]`, nil, 400, "field_invalid", "", "a list stands where an object belongs"},
		{"unknown field", "POST", "/volumes", `{"name": "a", "nmae": "b"}`, nil, 400, "field_unknown", "nmae", `did you mean "name"`}, //nolint:misspell // the mistake under test
		{"unknown field below", "POST", "/apps", `{"name": "a", "services": {"web": {"container": {"image": "x", "imagee": "y"}}}}`, nil, 400, "field_unknown", "services.web.container.imagee", "did you mean"},
		{"wrong type", "POST", "/apps", `{"name": "a", "services": {"web": {"container": {"image": "x", "memoryBytes": "1G"}}}}`, nil, 400, "field_invalid", "services.web.container.memoryBytes", `the text "1G" stands where a whole number belongs`},
		{"wrong address", "POST", "/apps", `{"name": "a", "services": {"web": {"container": {"image": "x"}, "ports": [{"containerPort": 80, "hostIp": "300.1.1.1"}]}}}`, nil, 400, "field_invalid", "services.web.ports[0].hostIp", `"300.1.1.1" does not fit`},
		{"absurd port", "POST", "/apps", `{"name": "a", "services": {"web": {"container": {"image": "x"}, "ports": [{"containerPort": 99999}]}}}`, nil, 400, "field_invalid", "services.web.ports[0].containerPort", "0 to 65535"},
		{"negative port", "POST", "/apps", `{"name": "a", "services": {"web": {"container": {"image": "x"}, "ports": [{"containerPort": -1}]}}}`, nil, 400, "field_invalid", "services.web.ports[0].containerPort", "-1 is out of range"},
		{"no body", "POST", "/volumes", nil, header("Content-Type", "application/json"), 400, "body_missing", "", "no body"},
		{"content type", "POST", "/volumes", `{"name": "a"}`, text, 415, "content_type_wrong", "Content-Type", "text/plain; send application/json"},
		{"no name", "POST", "/volumes", `{}`, nil, 400, "name_missing", "name", "no name"},
		{"name with spaces", "POST", "/volumes", `{"name": "my data"}`, nil, 400, "name_invalid", "name", `"my data" cannot be the name`},
		{"unicode name", "POST", "/volumes", `{"name": "数据"}`, nil, 400, "name_invalid", "name", `"数据"`},
		{"long name", "POST", "/volumes", `{"name": "` + strings.Repeat("a", 300) + `"}`, nil, 400, "name_invalid", "name", "at most 128"},
		{"dots", "POST", "/volumes", `{"name": ".."}`, nil, 400, "name_invalid", "name", `".."`},
		{"duplicate", "POST", "/volumes", `{"name": "taken"}`, nil, 409, "name_taken", "name", "taken"},
		{"driver", "POST", "/volumes", `{"name": "a", "spec": {"driver": "nfs"}}`, nil, 400, "driver_unknown", "spec.driver", "use local"},
		{"stale", "DELETE", "/volumes/taken", nil, header("If-Match", `"1"`), 412, "stale_version", "", ""},
		{"If-Match", "DELETE", "/volumes/taken", nil, header("If-Match", `"x"`), 400, "if_match_invalid", "If-Match", "in quotes"},
		{"limit", "GET", "/volumes?limit=5000", nil, nil, 400, "limit_invalid", "limit", "1000"},
		{"limit as text", "GET", "/volumes?limit=many", nil, nil, 400, "parameter_invalid", "", "limit"},
		{"cursor", "GET", "/volumes?cursor=%21", nil, nil, 400, "cursor_invalid", "cursor", "begin again"},
		{"tenant", "GET", "/volumes?tenant=nobody", nil, nil, 404, "not_found", "", `tenant "nobody"`},
		{"every tenant for a write", "POST", "/volumes?tenant=*", `{"name": "a"}`, nil, 404, "not_found", "", "tenant"},
		{"unknown object", "GET", "/apps/nothing", nil, nil, 404, "not_found", "", `app "nothing"`},
		{"unknown path", "GET", "/nothing", nil, nil, 404, "not_found", "", "openapi.yaml"},
		{"index", "GET", "/volumes", nil, header(headerIndex, "soon"), 400, "index_invalid", headerIndex, "send back"},
		{"user name", "POST", "/users", `{"name": "Jane Doe"}`, nil, 400, "name_invalid", "name", "lower-case"},
		{"reserved user", "POST", "/users", `{"name": "local"}`, nil, 400, "name_reserved", "name", "audit"},
		{"weak password", "POST", "/users", `{"name": "jane", "password": "short"}`, nil, 400, "password_weak", "password", "at least 10"},
		{"role", "POST", "/users", `{"name": "jane", "spec": {"platformRole": "root"}}`, nil, 400, "role_invalid", "spec.platformRole", `"root"`},
		{"tenant of role", "POST", "/users", `{"name": "jane", "spec": {"tenants": {"nobody": "viewer"}}}`, nil, 400, "tenant_unknown", "spec.tenants", `"nobody"`},
		{"tenant name", "POST", "/tenants", `{"name": "A B"}`, nil, 400, "name_invalid", "name", "lower-case"},
		{"default tenant", "DELETE", "/tenants/default", nil, nil, 409, "tenant_fixed", "", "stays"},
		{"compose", "POST", "/compose/parse", `{"source": "services:\n  web:\n    build: .\n"}`, nil, 400, "compose_invalid", "services.web.build", "line 3, column 5"},
		{"since", "GET", "/events?since=yesterday", nil, nil, 400, "time_invalid", "since", "10m"},
		{"token role", "POST", "/api-tokens", `{"name": "x", "role": "king"}`, nil, 400, "role_invalid", "role", `"king"`},
		{"token ttl", "POST", "/api-tokens", `{"name": "x", "role": "viewer", "ttlSeconds": -5}`, nil, 400, "ttl_invalid", "ttlSeconds", "-5"},
		{"method", "PUT", "/volumes", `{}`, nil, 405, "method_not_allowed", "", "PUT"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, edits := volumes(), []edit{}
			if c.edit != nil {
				edits = append(edits, c.edit)
			}
			a := r.as(c.method, c.path, c.body, edits...)
			p := a.problem(t)
			if a.status != c.status || p.Status != c.status || p.Code != c.code || p.Field != c.field || !strings.Contains(p.Detail, c.says) {
				t.Errorf("got %d %s at %q: %s\nwant %d %s at %q with %q", a.status, p.Code, p.Field, p.Detail, c.status, c.code, c.field, c.says)
			}
			if p.RequestID == "" || p.RequestID != a.header.Get(headerRequest) || strings.Contains(p.Detail, "\n") {
				t.Errorf("request id %q, header %q, detail %q", p.RequestID, a.header.Get(headerRequest), p.Detail)
			}
			if after := volumes(); after != before {
				t.Errorf("%d volumes became %d", before, after)
			}
		})
	}
}

// endless is a body that counts what was taken of it.
type endless struct{ taken atomic.Int64 }

func (e *endless) Read(b []byte) (int, error) {
	clear(b)
	e.taken.Add(int64(len(b)))
	return len(b), nil
}

// TestHugeBody holds that a body of 100 MB is refused without being read, told
// beforehand or not.
func TestHugeBody(t *testing.T) {
	r := newRig(t)
	for _, length := range []int64{100 << 20, -1} {
		body := &endless{}
		q, err := http.NewRequestWithContext(t.Context(), "POST", r.web.URL+base+"/volumes", io.LimitReader(body, 100<<20))
		if err != nil {
			t.Fatal(err)
		}
		q.ContentLength = length
		q.Header.Set("Content-Type", "application/json")
		bearer(r.admin())(q)
		tr := &http.Transport{}
		resp, err := tr.RoundTrip(q)
		if err != nil {
			t.Fatalf("length %d: %v", length, err)
		}
		b, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		tr.CloseIdleConnections()
		var p Problem
		if err := json.Unmarshal(b, &p); err != nil || resp.StatusCode != 413 || p.Code != "body_too_large" || !strings.Contains(p.Detail, "1024 KiB") {
			t.Errorf("length %d: %d %s", length, resp.StatusCode, b)
		}
		if n := body.taken.Load(); n > 12<<20 { // what fits into the socket's buffers on the way
			t.Errorf("length %d: %d bytes were taken", length, n)
		}
	}
}

// TestIdentities holds what becomes of tokens and sessions that are no good.
func TestIdentities(t *testing.T) {
	r := newRig(t)
	id := r.user("jane", model.UserSpec{Tenants: map[string]model.Role{r.own: model.RoleDeveloper}})
	good := r.token("good", id, "", model.RoleDeveloper, time.Now().Add(time.Hour))
	cookie, csrf := r.session(id)
	for _, c := range []struct {
		name   string
		edits  []edit
		method string
		status int
		code   string
	}{
		{"token", []edit{bearer(good)}, "GET", 200, ""},
		{"another secret", []edit{bearer(good[:len(good)-2] + "aa")}, "GET", 401, "token_invalid"},
		{"no token", []edit{bearer("hello")}, "GET", 401, "token_invalid"},
		{"another scheme", []edit{header("Authorization", "Basic amFuZTpwdw==")}, "GET", 401, "authorization_invalid"},
		{"expired", []edit{bearer(r.token("old", id, "", model.RoleDeveloper, time.Now().Add(-time.Minute)))}, "GET", 401, "token_expired"},
		{"session", []edit{browser(cookie, "")}, "GET", 200, ""},
		{"session without csrf", []edit{browser(cookie, "")}, "POST", 403, "csrf_invalid"},
		{"wrong csrf", []edit{browser(cookie, "guess")}, "POST", 403, "csrf_invalid"},
		{"csrf", []edit{browser(cookie, csrf)}, "POST", 201, ""},
		{"another site", []edit{browser(cookie, csrf), header("Origin", "https://evil.example")}, "POST", 403, "origin_denied"},
		{"no such session", []edit{browser("guess", csrf)}, "GET", 401, "session_invalid"},
		{"nobody", nil, "GET", 401, "sign_in_needed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var body any
			if c.method == "POST" {
				body = map[string]string{"name": "v" + fmt.Sprint(time.Now().UnixNano())}
			}
			a := r.do(c.method, "/volumes", body, c.edits...)
			if a.status != c.status {
				t.Fatalf("status %d, want %d: %s", a.status, c.status, a.body)
			}
			if c.code != "" && a.problem(t).Code != c.code {
				t.Errorf("code %s, want %s", a.problem(t).Code, c.code)
			}
		})
	}
	// A lowered role and a disabled user count from the next request on.
	viewer := map[string]any{"tenants": map[string]string{"default": "viewer"}}
	if a := r.as("PUT", "/users/jane", viewer); a.status != 200 {
		t.Fatalf("lower the role: %s", a.body)
	}
	if a := r.do("POST", "/volumes", map[string]string{"name": "late"}, bearer(good)); a.status != 403 || a.problem(t).Code != "denied" {
		t.Errorf("a token kept a role that its user lost: %d %s", a.status, a.body)
	}
	if a := r.as("POST", "/users/jane/disable", nil); a.status != 200 {
		t.Fatalf("disable: %s", a.body)
	}
	for _, e := range []edit{bearer(good), browser(cookie, csrf)} {
		if a := r.do("GET", "/volumes", nil, e); a.status != 401 {
			t.Errorf("a disabled user got %d", a.status)
		}
	}
}

// TestDoors runs the server as production does: TLS, the redirect of plain
// HTTP, the local socket, and an end that waits for nobody.
func TestDoors(t *testing.T) {
	r := newRig(t)
	addr, local, stop := r.serve()

	me := into[Me](t, send(t, local, "GET", "http://local"+base+"/session", nil), 200)
	if !me.Local || me.PlatformRole != model.RoleAdmin || me.DefaultTenant != r.own || len(me.Tenants) != 2 {
		t.Errorf("on the socket: %+v", me)
	}
	secure := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: testRoots}, ForceAttemptHTTP2: true}}
	defer secure.CloseIdleConnections()
	if a := send(t, secure, "GET", "https://"+addr+base+"/session", nil); a.status != 401 {
		t.Errorf("TLS without a token: %d", a.status)
	}
	if a := send(t, secure, "GET", "https://"+addr+"/healthz", nil); a.status != 200 || string(a.body) != "ok\n" {
		t.Errorf("healthz: %d %q", a.status, a.body)
	}
	plain := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	a := send(t, plain, "GET", "http://"+addr+"/apps?x=1", nil)
	if a.status != http.StatusPermanentRedirect || a.header.Get("Location") != "https://"+addr+"/apps?x=1" {
		t.Errorf("plain HTTP: %d to %q", a.status, a.header.Get("Location"))
	}
	// Neither a silent client nor one that speaks something else holds anybody up.
	for _, first := range []string{"", "\x00\x01\x02", "SSH-2.0-x\r\n"} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, first)
		defer func() { _ = c.Close() }()
	}
	if a := send(t, secure, "GET", "https://"+addr+"/readyz", nil); a.status != 200 {
		t.Errorf("readyz: %d", a.status)
	}

	// An open stream ends with the server.
	q, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), "GET", "http://local"+base+"/events?follow=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := local.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	began := time.Now()
	stop()
	if d := time.Since(began); d > drainTime {
		t.Errorf("the end took %s", d)
	}
	if b, _ := io.ReadAll(resp.Body); bytes.Contains(b, []byte("problem")) {
		t.Errorf("the stream ended with %q", b)
	}
}
