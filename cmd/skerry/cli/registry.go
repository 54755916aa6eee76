package cli

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerryhq/skerry/appliance/api/client"
	"github.com/skerryhq/skerry/raft/model"
)

func (a *app) registryCommand() *cobra.Command {
	info := a.Command("info", "registry.info", func(cmd *cobra.Command, _ []string) error {
		r, err := a.registry(cmd.Context())
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(r)
		}
		return a.details(a.say("registry.hosts"), strings.Join(r.Hosts, ", "), a.say("registry.print"), r.CaFingerprint,
			a.say("registry.blobs"), fmt.Sprint(r.Blobs), a.say("registry.bytes"), size(r.Bytes),
			a.say("registry.reclaim"), size(r.ReclaimableBytes), a.say("registry.uploads"), fmt.Sprint(r.Uploads))
	})
	info.Args = a.exactly(0)
	trust := a.Command("trust [CLIENT]", "registry.trust", func(cmd *cobra.Command, args []string) error {
		r, err := a.registry(cmd.Context())
		if err != nil {
			return err
		}
		want := "system"
		if len(args) > 0 {
			want = args[0]
		}
		var names []string
		for _, t := range r.Trust {
			if t.Client == want {
				return a.one(t, strings.Join(t.Lines, "\n"))
			}
			names = append(names, t.Client)
		}
		return errors.New(a.say("unknown.client", want, strings.Join(names, ", ")))
	})
	trust.Args = a.between(0, 1)
	trust.ValidArgs = []string{"docker", "podman", "buildah", "skopeo", "containerd", "oras", "crane", "regctl", "system"}
	collect := a.Command("collect", "registry.collect", func(cmd *cobra.Command, _ []string) error {
		c, err := a.connect()
		if err != nil {
			return err
		}
		got, err := answer[client.CollectResult](c.CollectRegistry(cmd.Context()))
		if err != nil {
			return err
		}
		return a.one(got, a.say("registry.collected", got.Blobs, size(got.Bytes)))
	})
	collect.Args = a.exactly(0)
	return a.group("registry", "registry", info, trust, a.registryLogin(), collect)
}

func (a *app) registry(ctx context.Context) (client.Registry, error) {
	c, err := a.connect()
	if err != nil {
		return client.Registry{}, err
	}
	return answer[client.Registry](c.GetRegistry(ctx))
}

func (a *app) registryLogin() *cobra.Command {
	role, ttl := string(model.RoleDeveloper), "30d"
	c := a.Command("login [flags] [HOST]", "registry.login", func(cmd *cobra.Command, args []string) error {
		r, err := a.registry(cmd.Context())
		if err != nil {
			return err
		}
		host := r.Hosts[0]
		if len(args) > 0 {
			host = args[0]
		}
		var life time.Duration
		if ttl != "" && ttl != "0" {
			if life, err = lifetime(ttl); err != nil {
				return err
			}
		}
		return a.signClientsIn(cmd.Context(), host, model.Role(role), life)
	})
	c.Args = a.between(0, 1)
	c.Flags().StringVar(&role, "role", role, a.say("flag.login-role"))
	c.Flags().StringVar(&ttl, "ttl", ttl, a.say("flag.login-ttl"))
	return c
}

// signClientsIn makes an API token and writes it where docker and most other
// clients look for credentials.
func (a *app) signClientsIn(ctx context.Context, host string, role model.Role, life time.Duration) error {
	dir := a.Env("DOCKER_CONFIG")
	if dir == "" {
		home := a.Env("HOME")
		if home == "" {
			return errors.New(a.say("registry.login.home"))
		}
		dir = filepath.Join(home, ".docker")
	}
	file := filepath.Join(dir, "config.json")
	config, err := readClientConfig(file)
	if err != nil {
		return err
	}
	if helperFor(config, host) {
		return errors.New(a.say("registry.login.helper", file, host, host))
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	me, err := answer[client.Me](c.GetSession(ctx))
	if err != nil {
		return err
	}
	if life, err = a.withinOwnToken(ctx, c, me.TokenID, life); err != nil {
		return err
	}
	machine, _ := os.Hostname()
	in := client.APITokenInput{Name: fmt.Sprintf("registry on %.30s %s", firstOf(machine, "a host"), time.Now().UTC().Format("0102-150405")), Role: role, TTLSeconds: int64(life / time.Second)}
	if role != model.RoleAdmin && role != model.RoleAuditor {
		in.Tenant = firstOf(a.tenant, me.DefaultTenant)
	}
	made, err := answer[client.NewAPIToken](c.CreateAPIToken(ctx, in))
	if err != nil {
		return err
	}
	auths, _ := config["auths"].(map[string]any)
	if auths == nil {
		auths = map[string]any{}
	}
	auths[host] = map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(firstOf(me.Name, "token") + ":" + made.Token))}
	config["auths"] = auths
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keep the credentials: %w", err)
	}
	b, err := json.MarshalIndent(config, "", "\t")
	if err != nil {
		return err
	}
	tmp := file + ".new"
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	if err := os.Rename(tmp, file); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return a.one(made.Object, a.say("registry.login.done", host, file))
}

// withinOwnToken shortens a token's life to that of the token in use: none makes
// one that outlives it.
func (a *app) withinOwnToken(ctx context.Context, c *conn, tokenID string, life time.Duration) (time.Duration, error) {
	if tokenID == "" {
		return life, nil
	}
	all, err := pages[client.APIToken](func(cursor string) (*http.Response, error) {
		return c.ListAPITokens(ctx, &client.ListAPITokensParams{Cursor: cursor, Limit: 1000})
	})
	if err != nil {
		return 0, err
	}
	for _, t := range all {
		if left := time.Until(t.ExpiresAt) - time.Minute; t.ID == tokenID && !t.ExpiresAt.IsZero() && (life == 0 || left < life) {
			return max(left, time.Second), nil
		}
	}
	return life, nil
}

// maxClientConfig is the most that is read of a client's configuration, in bytes.
const maxClientConfig = 1 << 20

func readClientConfig(file string) (map[string]any, error) {
	config := map[string]any{}
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return config, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the clients' configuration: %w", err)
	}
	defer f.Close()
	if err := json.NewDecoder(io.LimitReader(f, maxClientConfig)).Decode(&config); err != nil {
		return nil, fmt.Errorf("%s is no JSON (%w): mend it or move it away", file, err)
	}
	return config, nil
}

// helperFor says whether a client would look for a host's credentials elsewhere.
func helperFor(config map[string]any, host string) bool {
	store, _ := config["credsStore"].(string)
	helpers, _ := config["credHelpers"].(map[string]any)
	_, own := helpers[host]
	return store != "" || own
}
