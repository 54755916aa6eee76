package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skerryhq/skerry/appliance/api/client"
	"github.com/skerryhq/skerry/raft/model"
)

// platformRoles are those that stand alone; every other role is one within a
// tenant.
var platformRoles = []string{string(model.RoleAdmin), string(model.RoleAuditor)}

// userGrantCommand gives a user a role in tenants, or a role of the platform.
func (a *app) userGrantCommand() *cobra.Command {
	c := a.Command("grant NAME TENANT=ROLE", "user.grant", func(cmd *cobra.Command, args []string) error {
		ctx, name, what := cmd.Context(), args[0], args[1]
		conn, err := a.connect()
		if err != nil {
			return err
		}
		if slices.Contains(platformRoles, what) {
			return a.setPlatformRole(ctx, name, what, func(model.Role) (model.Role, error) { return model.Role(what), nil })
		}
		roles, err := a.memberships(ctx, []string{what})
		if err != nil {
			return err
		}
		for id, role := range roles {
			m, err := answer[client.Member](conn.SetMember(ctx, id, name, client.MemberInput{Role: role}))
			if err != nil {
				return a.named(err, "user", name, func() []string { return a.userNames(ctx) })
			}
			if !strings.Contains(what, "=") {
				what = firstOf(a.tenant, model.DefaultTenant) + "=" + what
			}
			return a.one(m, name+" "+what)
		}
		return nil
	})
	c.Args = a.exactly(2)
	c.ValidArgsFunction = a.completeGrant(func(ctx context.Context) []string {
		out := slices.Clone(platformRoles)
		for _, t := range a.tenantNames(ctx) {
			for _, r := range []model.Role{model.RoleOwner, model.RoleDeveloper, model.RoleViewer} {
				out = append(out, t+"="+string(r))
			}
		}
		return out
	})
	return c
}

// userRevokeCommand takes a role away.
func (a *app) userRevokeCommand() *cobra.Command {
	c := a.Command("revoke NAME TENANT", "user.revoke", func(cmd *cobra.Command, args []string) error {
		ctx, name, what := cmd.Context(), args[0], args[1]
		conn, err := a.connect()
		if err != nil {
			return err
		}
		if slices.Contains(platformRoles, what) {
			return a.setPlatformRole(ctx, name, what, func(has model.Role) (model.Role, error) {
				if string(has) != what {
					return "", fmt.Errorf("%s", a.say("revoke.none", name, what))
				}
				return "", nil
			})
		}
		tenants, err := a.tenants(ctx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(tenants, func(t model.Tenant) bool { return t.Name == what || t.ID == what })
		if i < 0 {
			return a.unknown("tenant", what, a.tenantNames(ctx))
		}
		if err := done(conn.RemoveMember(ctx, tenants[i].ID, name)); err != nil {
			return err
		}
		return a.one(map[string]string{"name": name, "tenant": tenants[i].Name}, name+" "+tenants[i].Name)
	})
	c.Args = a.exactly(2)
	c.ValidArgsFunction = a.completeGrant(func(ctx context.Context) []string { return append(a.tenantNames(ctx), platformRoles...) })
	return c
}

// setPlatformRole changes a user's role of the platform to what change makes of
// it, unless the user was changed by somebody else meanwhile.
func (a *app) setPlatformRole(ctx context.Context, name, words string, change func(model.Role) (model.Role, error)) error {
	conn, err := a.connect()
	if err != nil {
		return err
	}
	u, err := answer[client.User](conn.GetUser(ctx, name))
	if err != nil {
		return a.named(err, "user", name, func() []string { return a.userNames(ctx) })
	}
	if u.Spec.PlatformRole, err = change(u.Spec.PlatformRole); err != nil {
		return err
	}
	p := &client.UpdateUserParams{IfMatch: fmt.Sprintf("%q", fmt.Sprint(u.Version))}
	if u, err = answer[client.User](conn.UpdateUser(ctx, u.ID, p, u.Spec)); err != nil {
		return err
	}
	return a.one(u, u.Name+" "+words)
}

// completeGrant completes a user first and then a word of the given ones.
func (a *app) completeGrant(second func(context.Context) []string) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		switch len(args) {
		case 0:
			return a.complete(a.userNames)(cmd, args, prefix)
		case 1:
			return a.complete(second)(cmd, args, prefix)
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
}
