package auth

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// get asks for a token as docker and most others do.
func (r *rig) get(query, user, pass string) (int, reply, http.Header) {
	r.t.Helper()
	req := httptest.NewRequest(http.MethodGet, TokenPath+"?service=skerry&"+query, nil)
	if user != "" || pass != "" {
		req.SetBasicAuth(user, pass)
	}
	return r.ask(req)
}

// post asks for a token as OAuth2 has it.
func (r *rig) post(form url.Values) (int, reply, http.Header) {
	r.t.Helper()
	req := httptest.NewRequest(http.MethodPost, TokenPath, strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r.ask(req)
}

func (r *rig) ask(req *http.Request) (int, reply, http.Header) {
	r.t.Helper()
	w := httptest.NewRecorder()
	r.door.ServeHTTP(w, req)
	var out reply
	if w.Code == http.StatusOK {
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
			r.t.Fatal(err)
		}
	}
	return w.Code, out, w.Header()
}

// visit identifies a request with an Authorization header.
func (r *rig) visit(authorization string) (*Visitor, error) {
	req := httptest.NewRequest(http.MethodGet, "/v2/", nil)
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	req.AddCookie(&http.Cookie{Name: "skerry_session", Value: "whatever"})
	return r.door.Identify(req)
}

func (r *rig) open(authorization, path string, a Action) error {
	v, err := r.visit(authorization)
	if err != nil {
		return err
	}
	_, err = r.door.Open(r.t.Context(), v, path, a)
	return err
}

func TestTokenOfAPassword(t *testing.T) {
	r := newRig(t)
	r.password("maker")
	r.repository("default", "web", model.VisibilityTenant, "")
	status, got, _ := r.get("scope=repository:default/web:pull,push&scope=repository:default/other:pull%20registry:catalog:*", "maker", password)
	if status != http.StatusOK || got.Token == "" || got.AccessToken != got.Token || got.ExpiresIn != 900 || got.RefreshToken != "" {
		t.Fatalf("%d %+v", status, got)
	}
	bearer := "Bearer " + got.Token
	for _, c := range []struct {
		path string
		a    Action
		want string
	}{
		{"default/web", Pull, ""}, {"default/web", Push, ""}, {"default/web", Delete, "scope_missing"}, {"default/new", Push, "scope_missing"}, {"default/other", Pull, "name_unknown"},
	} {
		if err := r.open(bearer, c.path, c.a); model.CodeOf(err) != c.want {
			t.Errorf("%s %s: %v, want %q", c.a, c.path, err, c.want)
		}
	}
	if v, err := r.visit(bearer); err != nil || v.Caller.Origin.Actor != "maker" || v.Caller.Origin.UserID != r.user("maker") || r.door.MayList(v) != nil {
		t.Errorf("%+v %v", v, err)
	}
}

func TestAnonymousToken(t *testing.T) {
	r := newRig(t)
	r.repository("default", "shown", model.VisibilityPublic, "")
	r.repository("default", "web", model.VisibilityTenant, "")
	status, got, _ := r.get("scope=repository:default/shown:pull&scope=repository:default/web:pull", "", "")
	if status != http.StatusOK {
		t.Fatal(status)
	}
	for path, want := range map[string]string{"default/shown": "", "default/web": "sign_in_needed"} {
		for _, auth := range []string{"Bearer " + got.Token, ""} {
			if err := r.open(auth, path, Pull); model.CodeOf(err) != want {
				t.Errorf("%s: %v, want %q", path, err, want)
			}
		}
	}
	if v, err := r.visit(""); err != nil || r.door.MayList(v) == nil {
		t.Errorf("whoever is not signed in may list: %v", err)
	}
}

func TestAPITokens(t *testing.T) {
	r := newRig(t)
	r.repository("default", "web", model.VisibilityTenant, "")
	secret := r.token(r.user("maker"), r.tenant("default"), model.RoleViewer)
	status, got, _ := r.get("scope=repository:default/web:pull,push", "anything", secret)
	if status != http.StatusOK {
		t.Fatal(status)
	}
	basic := httptest.NewRequest(http.MethodGet, "/", nil)
	basic.SetBasicAuth("x", secret)
	for _, auth := range []string{"Bearer " + got.Token, "Bearer " + secret, basic.Header.Get("Authorization")} {
		if err := r.open(auth, "default/web", Pull); err != nil {
			t.Errorf("pull with %.12s: %v", auth, err)
		}
		if err := r.open(auth, "default/web", Push); model.KindOf(err) != model.KindDenied {
			t.Errorf("a viewer's token pushed with %.12s: %v", auth, err)
		}
	}
	id := strings.Split(secret, "_")[1]
	r.propose(&command.DeleteAPIToken{ID: id})
	for _, auth := range []string{"Bearer " + got.Token, "Bearer " + secret} {
		if err := r.open(auth, "default/web", Pull); model.CodeOf(err) != "token_invalid" {
			t.Errorf("a revoked token goes on with %.12s: %v", auth, err)
		}
	}
}

// TestRightsEndAtOnce holds that a token already issued ends with its user, his
// password and his role.
func TestRightsEndAtOnce(t *testing.T) {
	r := newRig(t)
	r.repository("default", "web", model.VisibilityTenant, "")
	admin := access.Caller{Principal: access.Local(), Origin: model.Origin{Actor: "local"}}
	for _, c := range []struct {
		name, want string
		end        func()
	}{
		{"disabled", "user_disabled", func() {
			if _, err := r.people.SetDisabled(t.Context(), admin, "maker", true); err != nil {
				t.Fatal(err)
			}
		}},
		{"password", "password_changed", func() {
			if err := r.people.ResetPassword(t.Context(), admin, "developer", "another long password"); err != nil {
				t.Fatal(err)
			}
		}},
		{"role", "name_unknown", func() {
			if _, err := r.people.SetMember(t.Context(), admin, r.tenant("default"), "viewer", ""); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		user := map[string]string{"disabled": "maker", "password": "developer", "role": "viewer"}[c.name]
		r.password(user)
		status, got, _ := r.get("offline_token=true&scope=repository:default/web:pull", user, password)
		if status != http.StatusOK || got.RefreshToken == "" {
			t.Fatal(status)
		}
		if err := r.open("Bearer "+got.Token, "default/web", Pull); err != nil {
			t.Fatal(err)
		}
		c.end()
		if err := r.open("Bearer "+got.Token, "default/web", Pull); model.CodeOf(err) != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
		if status, _, _ := r.post(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got.RefreshToken}}); (status == http.StatusOK) != (c.name == "role") {
			t.Errorf("%s: refreshed with %d", c.name, status)
		}
	}
}

func TestExpiryAndRefresh(t *testing.T) {
	r := newRig(t)
	r.password("maker")
	r.repository("default", "web", model.VisibilityTenant, "")
	begin := time.Now()
	scope := "repository:default/web:pull,push"
	_, got, _ := r.post(url.Values{"grant_type": {"password"}, "username": {"maker"}, "password": {password}, "scope": {scope}, "access_type": {"offline"}, "client_id": {"test"}})
	r.now = func() time.Time { return begin.Add(14 * time.Minute) }
	if err := r.open("Bearer "+got.Token, "default/web", Push); err != nil {
		t.Fatal(err)
	}
	r.now = func() time.Time { return begin.Add(16 * time.Minute) }
	err := r.open("Bearer "+got.Token, "default/web", Push)
	if model.CodeOf(err) != "token_expired" || model.KindOf(err) != model.KindUnauthenticated {
		t.Fatalf("an expired token: %v", err)
	}
	if err := r.open("Bearer "+got.RefreshToken, "default/web", Pull); model.CodeOf(err) != "token_expired" && model.CodeOf(err) != "token_invalid" {
		t.Errorf("a refresh token was taken for an access token: %v", err)
	}
	status, fresh, _ := r.post(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got.RefreshToken}, "scope": {scope}})
	if status != http.StatusOK || fresh.RefreshToken != got.RefreshToken {
		t.Fatalf("refresh: %d", status)
	}
	if err := r.open("Bearer "+fresh.Token, "default/web", Push); err != nil {
		t.Error(err)
	}
	if status, _, _ := r.post(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {fresh.Token}}); status != http.StatusUnauthorized {
		t.Errorf("an access token was taken for a refresh token: %d", status)
	}
	r.now = func() time.Time { return begin.Add(31 * 24 * time.Hour) }
	if status, _, _ := r.post(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got.RefreshToken}}); status != http.StatusUnauthorized {
		t.Errorf("a refresh token of a month ago: %d", status)
	}
}

func TestForgedTokens(t *testing.T) {
	r := newRig(t)
	r.repository("default", "web", model.VisibilityTenant, "")
	good := claims{RegisteredClaims: jwt.RegisteredClaims{Issuer: Service, Audience: jwt.ClaimStrings{Service}, ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Hour))},
		Kind: kindAccess, UserID: r.user("admin"), Grants: []grant{{"repository", "default/web", []string{"pull"}}}}
	make := func(method jwt.SigningMethod, key any, change func(*claims)) string {
		c := good
		if change != nil {
			change(&c)
		}
		s, err := jwt.NewWithClaims(method, c).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	key := []byte(strings.Repeat("k", 32))
	good.Password = r.door.mark(&access.Principal{UserID: r.user("admin")})
	if err := r.open("Bearer "+make(jwt.SigningMethodHS256, key, nil), "default/web", Pull); err != nil {
		t.Fatalf("the test's own token: %v", err)
	}
	for name, text := range map[string]string{
		"other key":    make(jwt.SigningMethodHS256, []byte(strings.Repeat("x", 32)), nil),
		"none":         make(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil),
		"other method": make(jwt.SigningMethodHS512, key, nil),
		"issuer":       make(jwt.SigningMethodHS256, key, func(c *claims) { c.Issuer = "else" }),
		"audience":     make(jwt.SigningMethodHS256, key, func(c *claims) { c.Audience = jwt.ClaimStrings{"else"} }),
		"no end":       make(jwt.SigningMethodHS256, key, func(c *claims) { c.ExpiresAt = nil }),
		"kind":         make(jwt.SigningMethodHS256, key, func(c *claims) { c.Kind = kindRefresh }),
		"gone":         make(jwt.SigningMethodHS256, key, func(c *claims) { c.UserID = "nobody" }),
		"garbage":      "a.b.c", "empty": "",
	} {
		if err := r.open("Bearer "+text, "default/web", Pull); model.KindOf(err) != model.KindUnauthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, header := range []string{"Basic bad", "Basic eDp5", "Digest x", "Bearer"} {
		if err := r.open(header, "default/web", Pull); model.KindOf(err) != model.KindUnauthenticated {
			t.Errorf("%s: %v", header, err)
		}
	}
}

func TestRefusedSignIns(t *testing.T) {
	r := newRig(t)
	r.password("maker")
	for range 6 {
		if status, _, h := r.get("", "maker", "wrong"); status != http.StatusUnauthorized && status != http.StatusTooManyRequests || status == http.StatusUnauthorized && !strings.HasPrefix(h.Get("WWW-Authenticate"), "Basic") {
			t.Fatalf("%d %v", status, h)
		}
	}
	status, _, h := r.get("", "maker", "wrong")
	if status != http.StatusTooManyRequests || h.Get("Retry-After") == "" {
		t.Errorf("guessing goes on: %d", status)
	}
	if len(r.noted) != 7 || r.noted[0].Action != "login.refused" || r.noted[0].Origin.Actor != "maker" || r.noted[0].Code != "sign_in_wrong" || r.noted[6].Code != "sign_in_throttled" {
		t.Errorf("audited %+v", r.noted)
	}
	for form, want := range map[string]int{"grant_type=magic": 400, "grant_type=password": 401, "scope=nonsense&grant_type=password": 400, "grant_type=refresh_token": 401,
		"grant_type=password&username=" + strings.Repeat("x", 80<<10): 400} {
		v, _ := url.ParseQuery(form)
		if status, _, _ := r.post(v); status != want {
			t.Errorf("%.40s: %d, want %d", form, status, want)
		}
	}
	if status, _, _ := r.get("scope="+strings.Repeat("repository:a/b:pull%20", 65), "", ""); status != http.StatusBadRequest {
		t.Errorf("65 scopes: %d", status)
	}
	req := httptest.NewRequest(http.MethodDelete, TokenPath, nil)
	if status, _, _ := r.ask(req); status != http.StatusMethodNotAllowed {
		t.Errorf("DELETE: %d", status)
	}
}

// TestManySignInsAtOnce holds that a client which fetches many layers with one
// right password is not taken for a guesser.
func TestManySignInsAtOnce(t *testing.T) {
	r := newRig(t)
	r.password("maker")
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if status, _, _ := r.get("scope=repository:default/web:pull", "maker", password); status != http.StatusOK {
				t.Errorf("status %d", status)
			}
		})
	}
	wg.Wait()
	if status, _, _ := r.get("", "maker", password+"x"); status != http.StatusUnauthorized {
		t.Errorf("a wrong password beside known ones: %d", status)
	}
}

func TestChallenge(t *testing.T) {
	for _, c := range []struct{ host, scope, want string }{
		{"10.0.0.5:7443", Scope("default/web", Push), `Bearer realm="https://10.0.0.5:7443/registry/token",service="skerry",scope="repository:default/web:pull,push"`},
		{"[::1]:7443", Scope("a/b", Pull), `Bearer realm="https://[::1]:7443/registry/token",service="skerry",scope="repository:a/b:pull"`},
		{`evil",x="`, "", `Bearer realm="https://localhost/registry/token",service="skerry"`},
	} {
		req := httptest.NewRequest(http.MethodGet, "/v2/", nil)
		req.Host, req.TLS = c.host, &tls.ConnectionState{}
		if got := Challenge(req, c.scope, signInNeeded()); got != c.want {
			t.Errorf("%s: %s", c.host, got)
		}
	}
	req := httptest.NewRequest(http.MethodGet, "/v2/", nil)
	for code, want := range map[string]string{"token_expired": `error="invalid_token"`, "scope_missing": `error="insufficient_scope"`} {
		if got := Challenge(req, "", model.Errorf(model.KindUnauthenticated, code, "x")); !strings.HasSuffix(got, want) {
			t.Errorf("%s: %s", code, got)
		}
	}
}

func FuzzScopes(f *testing.F) {
	f.Add("repository:a/b:pull,push registry:catalog:*")
	f.Add("repository(plugin):host:5000/a:pull")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseScopes([]string{s})
		if err == nil && len(got) > maxScopes {
			t.Fatal("too many")
		}
		for _, g := range got {
			if g.Type == "" || g.Name == "" {
				t.Fatalf("%q gave %+v", s, g)
			}
		}
	})
}
