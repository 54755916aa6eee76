package access

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
)

var allRoles = []model.Role{model.RoleAdmin, model.RoleAuditor, model.RoleOwner, model.RoleDeveloper, model.RoleViewer}

func TestPassword(t *testing.T) {
	hash, err := HashPassword(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash %q", hash)
	}
	again, _ := HashPassword(t.Context(), "correct horse")
	if hash == again {
		t.Error("two hashes of one password are the same: the salt is not random")
	}
	cut := hash[:len(hash)-4]
	for _, c := range []struct {
		hash, password string
		want           bool
	}{
		{hash, "correct horse", true}, {again, "correct horse", true}, {hash, "correct horsf", false}, {hash, "", false}, {"", "", false}, {"", "x", false},
		{cut, "correct horse", false}, {"$argon2id$v=19$m=99999999,t=2,p=1$AAAA$AAAA", "x", false}, {"$2y$10$abc", "x", false},
		// Made by another implementation with other costs.
		{"$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$" + other(t), "password", true},
	} {
		if got, err := VerifyPassword(t.Context(), c.hash, c.password); err != nil || got != c.want {
			t.Errorf("verify %q with %q: %v %v, want %v", c.hash, c.password, got, err, c.want)
		}
	}
	for _, bad := range []string{"", "short", "janejanejane", "aaaaaaaaaaaa", strings.Repeat("x1", 501)} {
		if model.KindOf(CheckPassword("janejanejane", bad)) != model.KindInvalid {
			t.Errorf("accepted %q", bad)
		}
	}
	if err := CheckPassword("jane", "密码密码密码"); err != nil {
		t.Errorf("refused a good password: %v", err)
	}
}

// other derives the key of a hash with low costs, as a hash from elsewhere has.
func other(t *testing.T) string {
	t.Helper()
	h := phc{memory: 64, passes: 1, threads: 1, salt: []byte("somesaltsomesalt")}
	key, err := h.derive(t.Context(), "password", 32)
	if err != nil {
		t.Fatal(err)
	}
	h.key = key
	return h.String()[strings.LastIndex(h.String(), "$")+1:]
}

// TestHashingWaitsForItsTurn holds that a flood of sign-ins takes bounded memory
// and that who waits can give up.
func TestHashingWaitsForItsTurn(t *testing.T) {
	for range cap(hashSlots) {
		hashSlots <- struct{}{}
	}
	defer func() {
		for range cap(hashSlots) {
			<-hashSlots
		}
	}()
	gone := errors.New("client gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if _, err := HashPassword(ctx, "x"); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
}

func TestThrottle(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var th Throttle
	try := func(name, addr string) time.Duration {
		err := th.Try(now, name, addr)
		if err == nil {
			return 0
		}
		e, ok := errors.AsType[*ThrottleError](err)
		if !ok || model.KindOf(err) != model.KindThrottled || model.CodeOf(err) != "sign_in_throttled" {
			t.Fatalf("error %v", err)
		}
		return e.Wait
	}
	for range freeFailuresPerName + 1 {
		if w := try("jane", "10.0.0.1"); w != 0 {
			t.Fatalf("a free try waits %s", w)
		}
	}
	for _, want := range []time.Duration{1, 2, 4, 8, 16} {
		if w := try("jane", "10.0.0.1"); w != want*time.Second {
			t.Fatalf("wait %s, want %d s", w, want)
		}
		now = now.Add(want * time.Second)
		if w := try("jane", "10.0.0.1"); w != 0 {
			t.Fatalf("after the wait it still waits %s", w)
		}
	}
	if w := try("john", "10.0.0.1"); w != 0 {
		t.Errorf("another name waits %s", w)
	}
	th.Succeeded("jane", "10.0.0.1")
	if w := try("jane", "10.0.0.1"); w != 0 {
		t.Errorf("after a right password it waits %s", w)
	}
	for i := range 40 { // many names from one address
		_ = th.Try(now, "user"+string(rune('a'+i)), "10.0.0.2")
	}
	if w := try("someone", "10.0.0.2"); w == 0 {
		t.Error("one address may guess for ever")
	}
	for i := range maxThrottled + 100 {
		_ = th.Try(now, strings.Repeat("n", i%7)+time.Duration(i).String(), "")
	}
	if len(th.rows) > maxThrottled+1 {
		t.Errorf("%d rows are kept", len(th.rows))
	}
	if backoff(100) != longestWait || backoff(1) != firstWait || backoff(20) != longestWait {
		t.Error("the wait is not bounded")
	}
}

// TestTokenIsAnUpperBound holds, for every pair of roles and tenants, that a
// token never allows what its user may not, nor what its own role does not hold.
func TestTokenIsAnUpperBound(t *testing.T) {
	for _, platform := range append([]model.Role{""}, allRoles[:2]...) {
		for _, inA := range append([]model.Role{""}, allRoles[2:]...) {
			for _, role := range allRoles {
				for _, bound := range []string{"", "A", "B"} {
					user := Principal{Name: "u", Platform: platform, Tenants: map[string]model.Role{"A": inA}}
					token := user
					token.Token = &Bound{TokenID: "t", TenantID: bound, Role: role}
					alone := Principal{Name: "r", Platform: role, Tenants: map[string]model.Role{"A": role, "B": role}}
					for perm := range policy {
						for _, tenant := range []string{"", "A", "B"} {
							got := Decide(&token, perm, tenant)
							if got == Allow && Decide(&user, perm, tenant) != Allow {
								t.Fatalf("a %s token of %q/%q in %q may %s in %q, its user may not", role, platform, inA, bound, perm, tenant)
							}
							if got == Allow && Decide(&alone, perm, tenant) != Allow {
								t.Fatalf("a %s token may %s in %q, the role does not", role, perm, tenant)
							}
							if got == Allow && perm.Reach() == Tenant && bound != "" && tenant != bound {
								t.Fatalf("a token for %q may %s in %q", bound, perm, tenant)
							}
						}
					}
				}
			}
		}
	}
}

func TestDecideUnknown(t *testing.T) {
	p := Local()
	if v := Decide(&p, "no.such", "A"); v != Deny {
		t.Errorf("an unknown permission: %v", v)
	}
	if v := Decide(&p, "app.write", ""); v == Allow {
		t.Error("a tenant permission was allowed in no tenant")
	}
	if v := Decide(&Principal{}, "app.read", "A"); v != SignIn {
		t.Errorf("nobody: %v", v)
	}
}

// cluster is a real one-node cluster without tenants' things.
func cluster(t *testing.T) *node.Node {
	t.Helper()
	n, err := node.Open(node.Config{Dir: t.TempDir(), ID: "n1", Version: "test", Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := n.Bootstrap(ctx); err != nil {
		t.Fatal(err)
	}
	if err := n.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Propose(ctx, &command.InitCluster{
		Cluster: model.Cluster{ID: "c", PortMin: 1, PortMax: 2}, Tenant: model.Tenant{Meta: model.Meta{ID: "A", Name: "default"}},
		Environment: model.Environment{Meta: model.Meta{ID: "e", Name: "default"}}, Node: model.Node{Meta: model.Meta{ID: "n1", Name: "n1"}},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Propose(ctx, &command.PutTenant{Tenant: model.Tenant{Meta: model.Meta{ID: "B", Name: "other"}}}); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestNoTokenAboveItsMaker tries every way to climb: each user, with each token
// that he can have, asks for every token; what comes out must hold nothing that
// the asker does not hold.
func TestNoTokenAboveItsMaker(t *testing.T) {
	n := cluster(t)
	people := NewPeople(n)
	made, refused, serial := 0, 0, 0
	ask := func(p Principal, role model.Role, tenant string) (*Principal, bool) {
		serial++
		_, text, err := people.CreateToken(t.Context(), Caller{Principal: p, Origin: model.Origin{Actor: p.Name}},
			TokenWish{Name: "t" + time.Duration(serial).String(), Role: role, TenantID: tenant})
		if err != nil {
			if k := model.KindOf(err); k != model.KindDenied && k != model.KindInvalid {
				t.Fatalf("refused with %v", err)
			}
			refused++
			return nil, false
		}
		made++
		got, err := ByToken(n.View(), time.Now(), text)
		if err != nil {
			t.Fatal(err)
		}
		for perm := range policy {
			for _, in := range []string{"", "A", "B"} {
				if Decide(&got, perm, in) == Allow && Decide(&p, perm, in) != Allow {
					t.Errorf("%q (token %+v) made a %s token for %q that may %s in %q", p.Name, p.Token, role, tenant, perm, in)
				}
			}
		}
		return &got, true
	}
	for _, spec := range []model.UserSpec{
		{PlatformRole: model.RoleAdmin}, {PlatformRole: model.RoleAuditor}, {Tenants: map[string]model.Role{"A": model.RoleOwner}},
		{Tenants: map[string]model.Role{"A": model.RoleDeveloper, "B": model.RoleViewer}}, {Tenants: map[string]model.Role{"A": model.RoleViewer}}, {},
		{PlatformRole: model.RoleAuditor, Tenants: map[string]model.Role{"B": model.RoleOwner}},
	} {
		serial++
		u := model.User{Meta: model.Meta{ID: command.NewID(), Name: "u" + time.Duration(serial).String()}, Spec: spec}
		if _, err := n.Propose(t.Context(), &command.PutUser{User: u}); err != nil {
			t.Fatal(err)
		}
		p, err := ofUser(n.View(), u.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, role := range allRoles {
			for _, tenant := range []string{"", "A", "B"} {
				first, ok := ask(p, role, tenant)
				if !ok {
					continue
				}
				for _, role2 := range allRoles {
					for _, tenant2 := range []string{"", "A", "B"} {
						ask(*first, role2, tenant2)
					}
				}
			}
		}
	}
	if made < 50 || refused < 50 {
		t.Errorf("%d tokens were made, %d refused: the test tries too little", made, refused)
	}
}

// TestLastAdministrator holds that nobody locks everybody out.
func TestLastAdministrator(t *testing.T) {
	n := cluster(t)
	people, c := NewPeople(n), Caller{Principal: Local(), Origin: model.Origin{Actor: "local"}}
	if _, err := people.CreateUser(t.Context(), c, "root", "correct horse", model.UserSpec{PlatformRole: model.RoleAdmin}); err != nil {
		t.Fatal(err)
	}
	if _, err := people.SetDisabled(t.Context(), c, "root", true); model.CodeOf(err) != "last_admin" {
		t.Errorf("disabled the last administrator: %v", err)
	}
	if _, err := people.UpdateUser(t.Context(), c, "root", command.AnyVersion, model.UserSpec{}); model.CodeOf(err) != "last_admin" {
		t.Errorf("demoted the last administrator: %v", err)
	}
}

func TestMembers(t *testing.T) {
	n := cluster(t)
	people, c := NewPeople(n), Caller{Principal: Local(), Origin: model.Origin{Actor: "local"}}
	jane, err := people.CreateUser(t.Context(), c, "jane", "", model.UserSpec{Tenants: map[string]model.Role{"default": model.RoleViewer}})
	if err != nil || jane.Spec.Tenants["A"] != model.RoleViewer {
		t.Fatalf("a tenant's name did not become its id: %+v %v", jane, err)
	}
	if u, err := people.SetMember(t.Context(), c, "B", "jane", model.RoleOwner); err != nil || u.Spec.Tenants["B"] != model.RoleOwner || u.Spec.Tenants["A"] != model.RoleViewer {
		t.Errorf("second tenant: %+v %v", u, err)
	}
	if _, err := people.SetMember(t.Context(), c, "B", "jane", model.RoleAdmin); model.CodeOf(err) != "role_invalid" {
		t.Errorf("a platform role in a tenant: %v", err)
	}
	if u, err := people.SetMember(t.Context(), c, "B", "jane", ""); err != nil || len(u.Spec.Tenants) != 1 {
		t.Errorf("taken away: %+v %v", u, err)
	}
	if _, err := people.SetMember(t.Context(), c, "B", "jane", ""); model.KindOf(err) != model.KindNotFound {
		t.Errorf("taken away twice: %v", err)
	}
}

func TestSessions(t *testing.T) {
	n := cluster(t)
	people, c := NewPeople(n), Caller{Principal: Local(), Origin: model.Origin{Actor: "local"}}
	u, err := people.CreateUser(t.Context(), c, "jane", "correct horse", model.UserSpec{})
	if err != nil {
		t.Fatal(err)
	}
	in, err := people.SignIn(t.Context(), model.Origin{}, "jane", "correct horse", Device{RemoteIP: "10.0.0.9", UserAgent: strings.Repeat("x", 500)})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	p, s, err := ByCookie(n.View(), now, in.Cookie)
	if err != nil || p.UserID != u.ID || !CheckCSRF(s, in.Session.CSRF) || CheckCSRF(s, "") || len(s.UserAgent) != 200 {
		t.Fatalf("session %+v %+v %v", p, s, err)
	}
	if _, due := RenewAt(s, now); due {
		t.Error("a new session is prolonged at once")
	}
	later := now.Add(2 * time.Hour)
	until, due := RenewAt(s, later)
	if !due {
		t.Fatal("a session of two hours is not prolonged")
	}
	if err := people.Renew(t.Context(), model.Origin{}, *s, until); err != nil {
		t.Fatal(err)
	}
	if _, s, err = ByCookie(n.View(), now.Add(13*time.Hour), in.Cookie); err != nil {
		t.Errorf("a prolonged session ended: %v", err)
	}
	if _, _, err := ByCookie(n.View(), now.Add(15*time.Hour), in.Cookie); model.CodeOf(err) != "session_expired" {
		t.Errorf("after its time: %v", err)
	}
	dead := *s
	dead.ID, dead.ExpiresAt = SessionID("dead"), now.Add(-time.Hour)
	if _, err := n.Propose(t.Context(), &command.PutSession{Session: dead}); err != nil {
		t.Fatal(err)
	}
	if _, err := people.SignIn(t.Context(), model.Origin{}, "jane", "correct horse", Device{}); err != nil {
		t.Fatal(err)
	}
	if _, ok := n.View().Session(dead.ID); ok {
		t.Error("a dead session stays for ever")
	}
	if err := people.ResetPassword(t.Context(), c, "jane", "another password"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ByCookie(n.View(), now, in.Cookie); model.CodeOf(err) != "session_invalid" {
		t.Errorf("a session outlived a reset password: %v", err)
	}
}

// TestRecorder holds that what is recorded reaches the cluster, also what came
// just before the end.
func TestRecorder(t *testing.T) {
	n := cluster(t)
	caught := &catching{Node: n}
	r := NewRecorder(caught, discard())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	for _, action := range []string{"one", "two", "three"} {
		r.Record(command.AuditEntry{Action: action, Origin: model.Origin{Actor: "jane"}})
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(caught.actions, []string{"one", "two", "three"}) {
		t.Errorf("kept %v", caught.actions)
	}
}
