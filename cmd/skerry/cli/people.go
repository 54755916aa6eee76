package cli

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerryhq/skerry/appliance/api/client"
	"github.com/skerryhq/skerry/raft/model"
)

func (a *app) users(ctx context.Context) ([]client.User, error) {
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	return pages[client.User](func(cursor string) (*http.Response, error) {
		return c.ListUsers(ctx, &client.ListUsersParams{Cursor: cursor, Limit: 1000})
	})
}

func (a *app) tenants(ctx context.Context) ([]model.Tenant, error) {
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	return pages[model.Tenant](func(cursor string) (*http.Response, error) {
		return c.ListTenants(ctx, &client.ListTenantsParams{Cursor: cursor, Limit: 1000})
	})
}

func (a *app) peopleCommands() []*cobra.Command {
	return []*cobra.Command{
		a.group("user", "user", a.userCreateCommand(), a.userLsCommand(), a.userGrantCommand(), a.userRevokeCommand(),
			a.userDisableCommand(), a.userEnableCommand(), a.userResetCommand()),
		a.group("tenant", "tenant", a.tenantCreateCommand(), a.tenantLsCommand(), a.tenantRmCommand()),
		a.group("api-token", "api-token", a.tokenCreateCommand(), a.tokenLsCommand(), a.tokenRevokeCommand()),
	}
}

func (a *app) userCreateCommand() *cobra.Command {
	var role, passwordFile, display string
	var member []string
	c := a.Command("create [flags] NAME", "user.create", func(cmd *cobra.Command, args []string) error {
		conn, err := a.connect()
		if err != nil {
			return err
		}
		in := client.UserInput{Name: args[0], Spec: model.UserSpec{PlatformRole: model.Role(role), DisplayName: display}}
		if in.Spec.Tenants, err = a.memberships(cmd.Context(), member); err != nil {
			return err
		}
		if in.Password, err = a.newPassword(passwordFile); err != nil {
			return err
		}
		u, err := answer[client.User](conn.CreateUser(cmd.Context(), in))
		if err != nil {
			return err
		}
		if !a.json && u.Spec.PlatformRole == "" && len(u.Spec.Tenants) == 0 {
			fmt.Fprintln(a.Stderr, a.say("role.none", u.Name, u.Name))
		}
		return a.one(u, u.Name)
	})
	c.Args = a.exactly(1)
	f := c.Flags()
	f.StringVar(&role, "role", "", a.say("flag.platform-role"))
	f.StringArrayVar(&member, "member", nil, a.say("flag.member"))
	f.StringVar(&display, "display-name", "", a.say("flag.display-name"))
	f.StringVar(&passwordFile, "password-file", "", a.say("flag.password-file"))
	return c
}

// memberships reads TENANT=ROLE; a role alone means the chosen or default
// tenant.
func (a *app) memberships(ctx context.Context, words []string) (map[string]model.Role, error) {
	if len(words) == 0 {
		return nil, nil
	}
	tenants, err := a.tenants(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]model.Role{}
	for _, w := range words {
		name, role, ok := strings.Cut(w, "=")
		if !ok {
			name, role = firstOf(a.tenant, model.DefaultTenant), w
		}
		i := slices.IndexFunc(tenants, func(t model.Tenant) bool { return t.Name == name || t.ID == name })
		if i < 0 {
			var names []string
			for _, t := range tenants {
				names = append(names, t.Name)
			}
			return nil, a.unknown("tenant", name, names)
		}
		out[tenants[i].ID] = model.Role(role)
	}
	return out, nil
}

// newPassword reads a password, twice where a person types it.
func (a *app) newPassword(file string) (string, error) {
	first, err := a.secretFrom(file)
	if err != nil || file != "" {
		return first, err
	}
	second, err := a.secretFrom("")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", fmt.Errorf("%s", a.say("password.differ"))
	}
	return first, nil
}

func (a *app) userLsCommand() *cobra.Command {
	c := a.Command("ls", "user.ls", func(cmd *cobra.Command, _ []string) error {
		all, err := a.users(cmd.Context())
		if err != nil {
			return err
		}
		names := map[string]string{}
		if !a.json {
			if tenants, err := a.tenants(cmd.Context()); err == nil {
				for _, t := range tenants {
					names[t.ID] = t.Name
				}
			}
		}
		now := time.Now()
		return list(a, all, false, func(u client.User) string { return u.Name },
			[]string{"NAME", "SHOWN AS", "PLATFORM ROLE", "TENANTS", "DISABLED", "AGE"},
			func(u client.User) []string {
				var of []string
				for id, role := range u.Spec.Tenants {
					of = append(of, firstOf(names[id], id)+"="+string(role))
				}
				slices.Sort(of)
				return []string{u.Name, u.Spec.DisplayName, string(u.Spec.PlatformRole), strings.Join(of, ", "), yesNo(u.Spec.Disabled), age(u.CreatedAt, now)}
			})
	})
	c.Args = a.exactly(0)
	return c
}

func (a *app) userPower(word, key string, do func(context.Context, *conn, string) (*http.Response, error)) *cobra.Command {
	c := a.Command(word+" NAME", key, func(cmd *cobra.Command, args []string) error {
		conn, err := a.connect()
		if err != nil {
			return err
		}
		u, err := answer[client.User](do(cmd.Context(), conn, args[0]))
		if err != nil {
			return a.named(err, "user", args[0], func() []string { return a.userNames(cmd.Context()) })
		}
		return a.one(u, u.Name)
	})
	c.Args = a.exactly(1)
	c.ValidArgsFunction = a.complete(a.userNames)
	return c
}

func (a *app) userDisableCommand() *cobra.Command {
	return a.userPower("disable", "user.disable", func(ctx context.Context, c *conn, name string) (*http.Response, error) {
		return c.DisableUser(ctx, name)
	})
}

func (a *app) userEnableCommand() *cobra.Command {
	return a.userPower("enable", "user.enable", func(ctx context.Context, c *conn, name string) (*http.Response, error) {
		return c.EnableUser(ctx, name)
	})
}

func (a *app) userResetCommand() *cobra.Command {
	var passwordFile string
	c := a.Command("reset-password [flags] NAME", "user.reset-password", func(cmd *cobra.Command, args []string) error {
		conn, err := a.connect()
		if err != nil {
			return err
		}
		password, err := a.newPassword(passwordFile)
		if err != nil {
			return err
		}
		if err := done(conn.ResetPassword(cmd.Context(), args[0], client.PasswordReset{Password: password})); err != nil {
			return a.named(err, "user", args[0], func() []string { return a.userNames(cmd.Context()) })
		}
		if !a.json {
			fmt.Fprintln(a.Stdout, args[0])
			return nil
		}
		u, err := answer[client.User](conn.GetUser(cmd.Context(), args[0]))
		if err != nil {
			return err
		}
		return a.printJSON(u)
	})
	c.Args = a.exactly(1)
	c.Flags().StringVar(&passwordFile, "password-file", "", a.say("flag.password-file"))
	c.ValidArgsFunction = a.complete(a.userNames)
	return c
}

func (a *app) tenantCreateCommand() *cobra.Command {
	var display string
	c := a.Command("create [flags] NAME", "tenant.create", func(cmd *cobra.Command, args []string) error {
		conn, err := a.connect()
		if err != nil {
			return err
		}
		t, err := answer[model.Tenant](conn.CreateTenant(cmd.Context(), client.TenantInput{Name: args[0], Spec: model.TenantSpec{DisplayName: display}}))
		if err != nil {
			return err
		}
		return a.one(t, t.Name)
	})
	c.Args = a.exactly(1)
	c.Flags().StringVar(&display, "display-name", "", a.say("flag.display-name"))
	return c
}

func (a *app) tenantLsCommand() *cobra.Command {
	c := a.Command("ls", "tenant.ls", func(cmd *cobra.Command, _ []string) error {
		all, err := a.tenants(cmd.Context())
		if err != nil {
			return err
		}
		now := time.Now()
		return list(a, all, false, func(t model.Tenant) string { return t.Name },
			[]string{"NAME", "SHOWN AS", "ID", "AGE"},
			func(t model.Tenant) []string {
				return []string{t.Name, t.Spec.DisplayName, t.ID, age(t.CreatedAt, now)}
			})
	})
	c.Args = a.exactly(0)
	return c
}

func (a *app) tenantRmCommand() *cobra.Command {
	c := a.Command("rm NAME...", "tenant.rm", func(cmd *cobra.Command, args []string) error {
		conn, err := a.connect()
		if err != nil {
			return err
		}
		return removeEach(a, args, func(w string) (model.Tenant, error) {
			t, err := answer[model.Tenant](conn.GetTenant(cmd.Context(), w))
			if err != nil {
				return t, a.named(err, "tenant", w, func() []string { return a.tenantNames(cmd.Context()) })
			}
			return t, done(conn.DeleteTenant(cmd.Context(), t.ID, &client.DeleteTenantParams{}))
		})
	})
	c.Args = a.atLeast(1)
	c.ValidArgsFunction = a.complete(a.tenantNames)
	return c
}

func (a *app) tokenCreateCommand() *cobra.Command {
	var role, ttl, user string
	c := a.Command("create [flags] NAME", "api-token.create", func(cmd *cobra.Command, args []string) error {
		conn, err := a.connect()
		if err != nil {
			return err
		}
		in := client.APITokenInput{Name: args[0], Role: model.Role(role), Tenant: a.tenant, User: user}
		if ttl != "" && ttl != "0" {
			d, err := lifetime(ttl)
			if err != nil {
				return err
			}
			in.TTLSeconds = int64(d / time.Second)
		}
		t, err := answer[client.NewAPIToken](conn.CreateAPIToken(cmd.Context(), in))
		if err != nil {
			return err
		}
		if !a.json {
			fmt.Fprintln(a.Stderr, a.say("token.once"))
		}
		return a.one(t, t.Token)
	})
	c.Args = a.exactly(1)
	c.Flags().StringVar(&role, "role", "developer", a.say("flag.token-role"))
	c.Flags().StringVar(&ttl, "ttl", "", a.say("flag.ttl"))
	c.Flags().StringVar(&user, "user", "", a.say("flag.token-user"))
	return c
}

// lifetime reads a duration; `30d` is days.
func lifetime(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n int
		if _, err := fmt.Sscanf(days, "%d", &n); err == nil && n > 0 && n <= 36500 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < time.Second {
		return 0, usagef("--ttl %s: write for example 12h or 30d, or 0 for no end", s)
	}
	return d, nil
}

func (a *app) tokenLsCommand() *cobra.Command {
	var everybody bool
	c := a.Command("ls [flags]", "api-token.ls", func(cmd *cobra.Command, _ []string) error {
		all, err := a.tokens(cmd.Context(), everybody)
		if err != nil {
			return err
		}
		now := time.Now()
		return list(a, all, false, func(t client.APIToken) string { return t.ID },
			[]string{"ID", "NAME", "USER", "ROLE", "TENANT", "EXPIRES", "AGE"},
			func(t client.APIToken) []string {
				expires := "never"
				switch {
				case t.Expired:
					expires = "expired"
				case !t.ExpiresAt.IsZero():
					expires = t.ExpiresAt.UTC().Format("2006-01-02 15:04Z")
				}
				return []string{t.ID, t.Name, firstOf(t.UserName, t.UserID), string(t.Role), t.TenantID, expires, age(t.CreatedAt, now)}
			})
	})
	c.Args = a.exactly(0)
	c.Flags().BoolVar(&everybody, "all", false, a.say("flag.token-all"))
	return c
}

func (a *app) tokens(ctx context.Context, everybody bool) ([]client.APIToken, error) {
	conn, err := a.connect()
	if err != nil {
		return nil, err
	}
	return pages[client.APIToken](func(cursor string) (*http.Response, error) {
		return conn.ListAPITokens(ctx, &client.ListAPITokensParams{Cursor: cursor, All: everybody})
	})
}

func (a *app) tokenRevokeCommand() *cobra.Command {
	c := a.Command("revoke ID...", "api-token.revoke", func(cmd *cobra.Command, args []string) error {
		conn, err := a.connect()
		if err != nil {
			return err
		}
		all, err := a.tokens(cmd.Context(), false)
		if err != nil {
			return err
		}
		if more, err := a.tokens(cmd.Context(), true); err == nil { // an administrator sees everybody's
			all = append(all, more...)
		}
		return removeEach(a, args, func(w string) (client.APIToken, error) {
			i := slices.IndexFunc(all, func(t client.APIToken) bool { return t.ID == w || t.Name == w })
			if i < 0 {
				var names []string
				for _, t := range all {
					names = append(names, t.ID, t.Name)
				}
				return client.APIToken{}, a.unknown("token", w, names)
			}
			return all[i], done(conn.DeleteAPIToken(cmd.Context(), all[i].ID))
		})
	})
	c.Args = a.atLeast(1)
	c.ValidArgsFunction = a.complete(func(ctx context.Context) []string {
		all, err := a.tokens(ctx, false)
		return namesOf(all, err, func(t client.APIToken) []string { return []string{t.ID} })
	})
	return c
}
