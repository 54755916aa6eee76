package state

import (
	"crypto/subtle"
	"iter"
	"maps"
	"slices"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// expectThere is expect for a deletion or a change of part of an object: it
// must exist, and MustNotExist means the same as AnyVersion.
func expectThere(m *model.Meta, expected uint64, word, ref string) *model.Error {
	if expected == command.MustNotExist {
		expected = command.AnyVersion
	}
	return expect(m, expected, word, ref)
}

// collect reads a whole sequence, so that its rows may be changed meanwhile.
func collect[T any](s iter.Seq[T]) []T { return slices.Collect(s) }

func worksAsAdmin(u *model.User) bool {
	return u.Spec.PlatformRole == model.RoleAdmin && !u.Spec.Disabled
}

// keepAnAdmin refuses to lose the last working administrator, who is u.
func (t *tx) keepAnAdmin(u *model.User) *model.Error {
	for o := range t.v.Users() {
		if o.ID != u.ID && worksAsAdmin(o) {
			return nil
		}
	}
	return model.Errorf(model.KindConflict, "last_admin", "%s is the last administrator; make another one first", u.Name)
}

func (t *tx) putUser(c *command.PutUser) *model.Error {
	old, ok := t.v.User(c.User.ID)
	if err := expect(metaOf(users, old, ok), c.ExpectVersion, "user", c.User.ID); err != nil {
		return err
	}
	n := c.User
	if err := t.checkUser(&n); err != nil {
		return err
	}
	if !ok {
		return t.createUser(&n)
	}
	if worksAsAdmin(old) && !worksAsAdmin(&n) {
		if err := t.keepAnAdmin(old); err != nil {
			return err
		}
	}
	name := n.Name
	n.Meta = old.Meta
	n.Name = name
	if n.PasswordHash == "" {
		n.PasswordHash = old.PasswordHash
	}
	t.updated(&n.Meta)
	t.replace(tabUsers, old, &n)
	if n.Spec.Disabled && !old.Spec.Disabled {
		t.endSessions(n.ID, "")
	}
	return nil
}

// checkUser refuses a user whose name is taken or whose tenants do not exist.
func (t *tx) checkUser(u *model.User) *model.Error {
	if err := checkName(u.Name); err != nil {
		return err
	}
	if other, taken := t.v.UserByName(u.Name); taken && other.ID != u.ID {
		return nameTaken("user", u.Name, "")
	}
	for _, id := range slices.Sorted(maps.Keys(u.Spec.Tenants)) {
		if _, there := t.v.Tenant(id); !there {
			return notFound("tenant", id).At("spec.tenants")
		}
	}
	return nil
}

func (t *tx) createUser(n *model.User) *model.Error {
	if err := checkID(n.ID, "user"); err != nil {
		return err
	}
	t.created(&n.Meta)
	t.create(tabUsers, n)
	t.event(model.Event{Kind: "user", ObjectID: n.ID, Object: n.Name, Reason: "Created", Message: "user " + n.Name + " was made by " + t.origin.Actor})
	return nil
}

func (t *tx) deleteUser(c *command.DeleteUser) *model.Error {
	old, ok := t.v.User(c.ID)
	if err := expectThere(metaOf(users, old, ok), c.ExpectVersion, "user", c.ID); err != nil {
		return err
	}
	if worksAsAdmin(old) {
		if err := t.keepAnAdmin(old); err != nil {
			return err
		}
	}
	t.endSessions(old.ID, "")
	for _, k := range collect(t.v.TokensOf(old.ID)) {
		t.del(tabTokens, k)
	}
	t.del(tabUsers, old)
	t.event(model.Event{Kind: "user", ObjectID: old.ID, Object: old.Name, Reason: "Deleted", Message: "user " + old.Name + " was deleted by " + t.origin.Actor})
	return nil
}

func (t *tx) setPassword(c *command.SetPassword) *model.Error {
	old, ok := t.v.User(c.UserID)
	if !ok {
		return notFound("user", c.UserID)
	}
	n := *old
	n.PasswordHash = c.PasswordHash
	t.updated(&n.Meta)
	t.replace(tabUsers, old, &n)
	t.endSessions(n.ID, c.KeepSession)
	return nil
}

func (t *tx) useSetupToken(c *command.UseSetupToken) *model.Error {
	cluster, ok := t.v.Cluster()
	if !ok || len(cluster.SetupHash) == 0 || subtle.ConstantTimeCompare(cluster.SetupHash, c.Hash) != 1 {
		return model.Errorf(model.KindDenied, "setup_token_invalid", "this setup token is wrong or was used already; sign in, or make a user on the host with `skerry user create`")
	}
	n := c.User
	n.Spec.PlatformRole, n.Spec.Disabled = model.RoleAdmin, false
	if err := t.checkUser(&n); err != nil {
		return err
	}
	if _, there := t.v.User(n.ID); there {
		return model.Errorf(model.KindConflict, "already_exists", "user %s exists already", n.Name)
	}
	if err := t.createUser(&n); err != nil {
		return err
	}
	k := *cluster
	k.SetupHash, k.Version = nil, t.index
	t.replace(tabCluster, cluster, &k)
	return nil
}

func (t *tx) putAPIToken(c *command.PutAPIToken) *model.Error {
	n := c.Token
	if err := checkID(n.ID, "token"); err != nil {
		return err
	}
	if err := checkName(n.Name); err != nil {
		return err
	}
	var whose string
	if n.UserID == "" { // made by the local administrator, who has no row; only the token's role bounds it
		whose = " among the tokens of no user"
	} else if owner, ok := t.v.User(n.UserID); ok {
		whose = " for user " + owner.Name
	} else {
		return notFound("user", n.UserID)
	}
	if _, there := t.v.Token(n.ID); there {
		return model.Errorf(model.KindConflict, "already_exists", "token %s exists already", n.Name)
	}
	if _, taken := firstPrefix[model.APIToken](&t.v, tabTokens, idxUser, key(n.UserID, n.Name)); taken {
		return nameTaken("token", n.Name, whose)
	}
	if _, used := t.v.TokenByHash(n.Hash); used || len(n.Hash) == 0 {
		return model.Errorf(model.KindConflict, "token_invalid", "a token needs a secret of its own")
	}
	if n.TenantID != "" {
		if _, there := t.v.Tenant(n.TenantID); !there {
			return notFound("tenant", n.TenantID).At("tenantId")
		}
	}
	t.created(&n.Meta)
	t.create(tabTokens, &n)
	return nil
}

func (t *tx) deleteAPIToken(c *command.DeleteAPIToken) *model.Error {
	old, ok := t.v.Token(c.ID)
	if !ok {
		return notFound("token", c.ID)
	}
	t.del(tabTokens, old)
	return nil
}

func (t *tx) putSession(c *command.PutSession) *model.Error {
	n := c.Session
	if err := checkID(n.ID, "session"); err != nil {
		return err
	}
	u, ok := t.v.User(n.UserID)
	if !ok || u.Spec.Disabled {
		return model.Errorf(model.KindUnauthenticated, "user_disabled", "this user cannot sign in")
	}
	n.Version = t.index
	if old, there := t.v.Session(n.ID); there {
		if old.UserID != n.UserID {
			return model.Errorf(model.KindConflict, "session_taken", "this session belongs to another user")
		}
		n.CreatedAt = old.CreatedAt
		t.replace(tabSessions, old, &n)
		return nil
	}
	if n.CreatedAt.IsZero() {
		n.CreatedAt = t.now
	}
	t.create(tabSessions, &n)
	return nil
}

func (t *tx) deleteSession(c *command.DeleteSession) *model.Error {
	if old, ok := t.v.Session(c.ID); ok {
		t.del(tabSessions, old)
	}
	return nil
}

func (t *tx) deleteSessions(c *command.DeleteSessions) *model.Error {
	if c.UserID != "" {
		t.endSessions(c.UserID, c.Except)
	}
	if c.ExpiredBefore.IsZero() {
		return nil
	}
	var gone []*model.Session
	for s := range t.v.Sessions() {
		if !s.ExpiresAt.Before(c.ExpiredBefore) {
			break
		}
		gone = append(gone, s)
	}
	for _, s := range gone {
		t.del(tabSessions, s)
	}
	return nil
}

// endSessions deletes a user's sessions but one.
func (t *tx) endSessions(userID, except string) {
	for _, s := range collect(t.v.SessionsOf(userID)) {
		if s.ID != except {
			t.del(tabSessions, s)
		}
	}
}
