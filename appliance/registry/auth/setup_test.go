package auth

import (
	"bytes"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
	"github.com/skerryhq/skerry/raft/rafttest"
)

// rig is a door over a real one-node cluster with the tenants default and other.
type rig struct {
	t      testing.TB
	node   *node.Node
	door   *Door
	people *access.People
	mu     sync.Mutex
	noted  []command.AuditEntry // guarded by mu
	now    func() time.Time
}

const password = "correct horse battery"

func (r *rig) Record(e command.AuditEntry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.noted = append(r.noted, e)
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, node: rafttest.Single(t), now: time.Now}
	r.people = access.NewPeople(r.node)
	r.propose(&command.PutTenant{Tenant: model.Tenant{Meta: model.Meta{ID: "t-other", Name: "other"}}})
	for name, spec := range map[string]model.UserSpec{
		"admin": {PlatformRole: model.RoleAdmin}, "auditor": {PlatformRole: model.RoleAuditor},
		"owner": r.in("default", model.RoleOwner), "maker": r.in("default", model.RoleDeveloper), "developer": r.in("default", model.RoleDeveloper),
		"viewer": r.in("default", model.RoleViewer), "stranger": {}, "neighbour": r.in("other", model.RoleOwner),
	} {
		r.propose(&command.PutUser{User: model.User{Meta: model.Meta{ID: "u-" + name, Name: name}, Spec: spec}})
	}
	var err error
	r.door, err = New(Config{Cluster: r.node, People: r.people, Recorder: r, Key: bytes.Repeat([]byte("k"), 32),
		Now: func() time.Time { return r.now() }, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) tenant(name string) string {
	t, ok := r.node.View().TenantByName(name)
	if !ok {
		r.t.Fatalf("no tenant %s", name)
	}
	return t.ID
}

func (r *rig) user(name string) string { return "u-" + name }

func (r *rig) in(tenant string, role model.Role) model.UserSpec {
	return model.UserSpec{Tenants: map[string]model.Role{r.tenant(tenant): role}}
}

func (r *rig) propose(cmds ...command.Command) {
	r.t.Helper()
	if _, err := r.node.Propose(r.t.Context(), cmds...); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) repository(tenant, name string, v model.Visibility, by string) *model.Repository {
	r.t.Helper()
	r.propose(&command.PutRepository{Repository: model.Repository{Meta: model.Meta{ID: command.NewID(), Name: name}, TenantID: r.tenant(tenant), CreatedBy: by,
		Spec: model.RepositorySpec{Visibility: v}}, ExpectVersion: command.MustNotExist})
	got, _ := r.node.View().RepositoryByPath(tenant + "/" + name)
	return got
}

// token makes an API token of a user.
func (r *rig) token(user, tenantID string, role model.Role) string {
	r.t.Helper()
	id := command.NewID()
	text, hash := access.NewToken(id)
	r.propose(&command.PutAPIToken{Token: model.APIToken{Meta: model.Meta{ID: id, Name: "t" + id}, UserID: user, TenantID: tenantID, Role: role, Hash: hash}})
	return text
}

// password gives a user the test's password.
func (r *rig) password(user string) {
	r.t.Helper()
	if err := r.people.ResetPassword(r.t.Context(), access.Caller{Principal: access.Local(), Origin: model.Origin{Actor: "local"}}, user, password); err != nil {
		r.t.Fatal(err)
	}
}

type asker struct {
	name      string
	principal access.Principal
}

// askers makes one of each kind of caller.
func (r *rig) askers() []asker {
	out := []asker{{"anonymous", access.Principal{}}}
	for _, name := range []string{"admin", "auditor", "owner", "maker", "developer", "viewer", "stranger", "neighbour"} {
		p, err := access.Again(r.node.View(), time.Now(), r.user(name), "")
		if err != nil {
			r.t.Fatal(err)
		}
		out = append(out, asker{name, p})
	}
	for name, text := range map[string]string{
		"token:viewer-of-admin": r.token(r.user("admin"), "", model.RoleViewer),
	} {
		p, err := access.ByToken(r.node.View(), time.Now(), text)
		if err != nil {
			r.t.Fatal(err)
		}
		out = append(out, asker{name, p})
	}
	return out
}
