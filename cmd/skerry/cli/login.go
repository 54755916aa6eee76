package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerryhq/skerry/appliance/api/client"
	"github.com/skerryhq/skerry/raft/model"
)

// loginFlags are the flags of `login`.
type loginFlags struct{ user, passwordFile, token, pin string }

func (a *app) loginCommands() []*cobra.Command {
	l := &loginFlags{}
	c := a.Command("login [flags] URL", "login", func(cmd *cobra.Command, args []string) error {
		return a.login(cmd.Context(), args[0], *l)
	})
	c.Args = a.exactly(1)
	f := c.Flags()
	f.StringVarP(&l.user, "user", "u", "", a.say("flag.login-user"))
	f.StringVar(&l.passwordFile, "password-file", "", a.say("flag.password-file"))
	f.StringVar(&l.token, "token", "", a.say("flag.token"))
	f.StringVar(&l.pin, "ca-fingerprint", "", a.say("flag.ca-fingerprint"))
	out := a.Command("logout", "logout", func(cmd *cobra.Command, _ []string) error { return a.logout(cmd.Context()) })
	out.Args = a.exactly(0)
	return []*cobra.Command{c, out}
}

// login signs in and keeps what later commands need. With a password it makes
// an API token of the user's own, so that the password itself is never kept.
func (a *app) login(ctx context.Context, where string, l loginFlags) error {
	if (l.user == "") == (l.token == "") {
		return usagef("%s", a.say("login.how"))
	}
	base, err := cleanURL(where)
	if err != nil {
		return err
	}
	t := target{URL: base, Token: l.token, CAFingerprint: firstOf(l.pin, a.Env("SKERRY_CA_FINGERPRINT")), User: l.user}
	if l.token == "-" {
		if t.Token, err = a.secretFrom("-"); err != nil {
			return err
		}
	}
	c, err := remote(t)
	if err != nil {
		return err
	}
	if t.Token == "" {
		if t.Token, err = a.tokenByPassword(ctx, t, l); err != nil {
			return err
		}
		if c, err = remote(t); err != nil {
			return err
		}
	}
	me, err := answer[client.Me](c.GetSession(ctx))
	if err != nil {
		return err
	}
	t.User = me.Name
	if err := a.keep(t); err != nil {
		return err
	}
	if a.runDirGiven() {
		fmt.Fprintln(a.Stderr, a.say("login.unused"))
	}
	return a.one(me, a.say("login.done", me.Name, base))
}

// cliTokenLife is how long a login lasts.
const cliTokenLife = 90 * 24 * time.Hour

func (a *app) tokenByPassword(ctx context.Context, t target, l loginFlags) (string, error) {
	password, err := a.secretFrom(l.passwordFile)
	if err != nil {
		return "", err
	}
	c, err := remote(t)
	if err != nil {
		return "", err
	}
	jar := &cookies{}
	c.http.Jar = jar
	me, err := answer[client.Me](c.SignIn(ctx, client.SignInInput{Name: l.user, Password: password}))
	if err != nil {
		return "", err
	}
	c.header.Set("Skerry-CSRF", me.Csrf)
	role := me.PlatformRole
	for _, m := range me.Tenants {
		if role == "" || role == model.RoleAuditor && stronger(m.Role, role) {
			role = m.Role
		} else if me.PlatformRole == "" && stronger(m.Role, role) {
			role = m.Role
		}
	}
	if role == "" {
		_ = done(c.SignOut(ctx))
		return "", errors.New(a.say("role.none", me.Name, me.Name))
	}
	host, _ := os.Hostname()
	made, err := answer[client.NewAPIToken](c.CreateAPIToken(ctx, client.APITokenInput{
		// Each sign-in has a token of its own: one that was lost keeps nobody out.
		Name: "skerry login on " + firstOf(host, "a host") + " " + strings.ToLower(rand.Text()[:6]), Role: role, TTLSeconds: int64(cliTokenLife / time.Second),
	}))
	_ = done(c.SignOut(ctx))
	if err != nil {
		return "", err
	}
	return made.Token, nil
}

// stronger orders the tenant roles.
func stronger(x, y model.Role) bool {
	order := map[model.Role]int{model.RoleViewer: 1, model.RoleDeveloper: 2, model.RoleOwner: 3}
	return order[x] > order[y]
}

// logout revokes the kept token and forgets it.
func (a *app) logout(ctx context.Context) error {
	t, err := a.kept()
	if err != nil {
		return err
	}
	if t == nil {
		return errors.New(a.say("logout.none"))
	}
	if c, err := remote(*t); err == nil {
		if me, err := answer[client.Me](c.GetSession(ctx)); err == nil && me.TokenID != "" {
			if err := done(c.DeleteAPIToken(ctx, me.TokenID)); err != nil && statusOf(err) != http.StatusNotFound {
				fmt.Fprintf(a.Stderr, "skerry: the token was not revoked: %v\n", err)
			}
		}
	}
	path, err := a.keepFile()
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("forget the login: %w", err)
	}
	return a.one(map[string]string{"url": t.URL}, a.say("logout.done", t.URL))
}
