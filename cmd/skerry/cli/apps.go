package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerryhq/skerry/appliance/api/client"
	"github.com/skerryhq/skerry/appliance/compose"
	"github.com/skerryhq/skerry/raft/model"
)

func (a *app) apps(ctx context.Context) ([]client.App, error) {
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	return pages[client.App](func(cursor string) (*http.Response, error) {
		return c.ListApps(ctx, &client.ListAppsParams{Tenant: a.tenant, Cursor: cursor, Limit: 1000})
	})
}

// app finds an app by id, name or the beginning of its id.
func (a *app) app(ctx context.Context, word string) (client.App, error) {
	c, err := a.connect()
	if err != nil {
		return client.App{}, err
	}
	if word == "" {
		return client.App{}, usagef("%s", a.say("name.empty"))
	}
	got, err := answer[client.App](c.GetApp(ctx, word, &client.GetAppParams{Tenant: a.tenant}))
	return got, a.named(err, "app", word, func() []string { return a.appNames(ctx) })
}

func (a *app) appCommands() []*cobra.Command {
	g := a.group("app", "app", a.appDeployCommand(), a.appLsCommand(), a.appInspectCommand(), a.appHistoryCommand(),
		a.appRollbackCommand(), a.appExportCommand(),
		a.appPowerCommand("stop", "app.stop"), a.appPowerCommand("start", "app.start"), a.appRmCommand())
	return []*cobra.Command{g}
}

func (a *app) appDeployCommand() *cobra.Command {
	var file, name, pull string
	var plan bool
	c := a.Command("deploy [flags]", "app.deploy", func(cmd *cobra.Command, _ []string) error {
		file := composeFile(file)
		in, err := a.composeInput(file, name)
		if err != nil {
			return err
		}
		if plan {
			return a.composeProblems(file, a.plan(cmd.Context(), file, in))
		}
		in.Pull = client.PullPolicy(pull)
		return a.composeProblems(file, a.deploy(cmd.Context(), in))
	})
	c.Args = a.exactly(0)
	f := c.Flags()
	f.StringVarP(&file, "file", "f", "compose.yaml", a.say("flag.file"))
	f.StringVarP(&name, "name", "n", "", a.say("flag.app-name"))
	f.StringVar(&pull, "pull", "missing", a.say("flag.pull"))
	f.BoolVar(&plan, "plan", false, a.say("flag.plan"))
	f.Bool("wait", true, a.say("flag.wait"))
	a.detachFlag(c)
	_ = c.MarkFlagFilename("file", "yaml", "yml")
	return c
}

// composeInput reads the compose file, the .env beside it, and the env files
// that it names.
func (a *app) composeInput(file, name string) (client.AppInput, error) {
	var in client.AppInput
	text, dir, err := a.readSource(file)
	if err != nil {
		return in, err
	}
	env := map[string]string{}
	if lines, err := envLines(filepath.Join(dir, ".env")); err == nil {
		for _, l := range lines {
			if k, v, ok := strings.Cut(l, "="); ok {
				env[k] = unquote(v)
			}
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return in, err
	}
	for _, name := range compose.Variables(text) {
		if v := a.Env(name); v != "" {
			env[name] = v
		}
	}
	in = client.AppInput{Source: text, Env: env, Files: map[string]string{}}
	for _, ref := range compose.References(text, env) {
		b, err := readBounded(resolvePath(dir, ref), compose.MaxFile)
		if errors.Is(err, os.ErrNotExist) {
			continue // the server says where it is named, unless it is optional
		}
		if err != nil {
			return in, err
		}
		in.Files[ref] = string(b)
	}
	in.Name = firstOf(name, compose.NameOf(text, env))
	if in.Name == "" {
		in.Name = folderName(dir)
	}
	if in.Name == "" {
		return in, usagef("%s", a.say("app.noname"))
	}
	return in, nil
}

func resolvePath(dir, ref string) string {
	if filepath.IsAbs(ref) {
		return ref
	}
	return filepath.Join(dir, ref)
}

// composeFile is the file to read: the default name stands for its usual
// spellings too.
func composeFile(file string) string {
	if file != "compose.yaml" {
		return file
	}
	for _, one := range []string{file, "compose.yml", "docker-compose.yaml", "docker-compose.yml"} {
		if _, err := os.Stat(one); err == nil {
			return one
		}
	}
	return file
}

func (a *app) readSource(file string) (text, dir string, err error) {
	if file == "-" {
		b, err := io.ReadAll(io.LimitReader(a.Stdin, compose.MaxSource+1))
		return string(b), ".", err
	}
	b, err := readBounded(file, compose.MaxSource+1)
	if errors.Is(err, os.ErrNotExist) {
		return "", "", fmt.Errorf("there is no file %s: name the compose file with -f", file)
	}
	return string(b), filepath.Dir(file), err
}

func readBounded(file string, most int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return b, nil
}

func unquote(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}

// folderName makes a name of the folder that holds the compose file.
func folderName(dir string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(filepath.Base(mustAbs(dir))) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			b.WriteRune(r)
		} else {
			b.WriteByte('-')
		}
	}
	name := strings.Trim(b.String(), "-_")
	return strings.Trim(name[:min(len(name), 63)], "-_")
}

// deploy makes the app, or puts a new revision of it in force.
func (a *app) deploy(ctx context.Context, in client.AppInput) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	have, err := answer[client.App](c.GetApp(ctx, in.Name, &client.GetAppParams{Tenant: a.tenant}))
	var got client.App
	switch {
	case err == nil:
		resp, err := c.UpdateApp(ctx, have.ID, &client.UpdateAppParams{Tenant: a.tenant, Wait: a.waitFor()},
			client.AppUpdate{Source: in.Source, Env: in.Env, Files: in.Files, Pull: in.Pull}, sse)
		if got, err = work[client.App](a, resp, err); err != nil {
			return err
		}
	case statusOf(err) == http.StatusNotFound:
		resp, err := c.CreateApp(ctx, &client.CreateAppParams{Tenant: a.tenant, Wait: a.waitFor()}, in, sse)
		if got, err = work[client.App](a, resp, err); err != nil {
			return err
		}
	default:
		return err
	}
	if err := appFailure(got); err != nil {
		return err
	}
	words := a.appWords(got)
	if have.ID != "" && have.Revision == got.Revision {
		words += "  " + a.say("app.same")
	}
	return a.one(got, words)
}

// appWords is one line about an app: name, revision, how it is, ports.
func (a *app) appWords(x client.App) string {
	words := a.say("app.line", x.Name, x.Revision, string(x.Status.Phase), x.Status.Running, x.Status.Desired)
	if p := portsText(x.Status.Ports); p != "" {
		words += "  " + p
	}
	return words
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func (a *app) appLsCommand() *cobra.Command {
	var quiet bool
	c := a.Command("ls [flags]", "app.ls", func(cmd *cobra.Command, _ []string) error {
		all, err := a.apps(cmd.Context())
		if err != nil {
			return err
		}
		now := time.Now()
		return list(a, all, quiet, func(x client.App) string { return x.Name },
			[]string{"NAME", "STATUS", "RUNNING", "SERVICES", "REVISION", "PORTS", "AGE"},
			func(x client.App) []string {
				return []string{x.Name, string(x.Status.Phase), fmt.Sprintf("%d/%d", x.Status.Running, x.Status.Desired),
					strconv.Itoa(x.Status.Services), strconv.FormatUint(x.Revision, 10), portsText(x.Status.Ports), age(x.CreatedAt, now)}
			})
	})
	c.Args = a.exactly(0)
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, a.say("flag.quiet"))
	return c
}

func (a *app) appInspectCommand() *cobra.Command {
	c := a.Command("inspect NAME", "app.inspect", func(cmd *cobra.Command, args []string) error {
		x, err := a.app(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return a.printJSON(x)
	})
	c.Args = a.exactly(1)
	c.ValidArgsFunction = a.complete(a.appNames)
	return c
}

func (a *app) appHistoryCommand() *cobra.Command {
	c := a.Command("history NAME", "app.history", func(cmd *cobra.Command, args []string) error {
		x, err := a.app(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		all, err := a.revisions(cmd.Context(), x)
		if err != nil {
			return err
		}
		now := time.Now()
		return list(a, all, false, func(r model.Revision) string { return strconv.FormatUint(r.Number, 10) },
			[]string{"REVISION", "IN FORCE", "BY", "AGE", "IMAGES"},
			func(r model.Revision) []string {
				var images []string
				for _, s := range sortedKeys(r.Spec.Services) {
					if i := familiar(r.Spec.Services[s].Container.Image); !slices.Contains(images, i) {
						images = append(images, i)
					}
				}
				return []string{strconv.FormatUint(r.Number, 10), yesNo(r.Number == x.Revision), r.Actor, age(r.CreatedAt, now), strings.Join(images, ", ")}
			})
	})
	c.Args = a.exactly(1)
	c.ValidArgsFunction = a.complete(a.appNames)
	return c
}

func (a *app) revisions(ctx context.Context, x client.App) ([]model.Revision, error) {
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	return pages[model.Revision](func(cursor string) (*http.Response, error) {
		return c.ListRevisions(ctx, x.ID, &client.ListRevisionsParams{Tenant: x.TenantID, Cursor: cursor})
	})
}

func (a *app) appRollbackCommand() *cobra.Command {
	var to uint64
	c := a.Command("rollback [flags] NAME", "app.rollback", func(cmd *cobra.Command, args []string) error {
		x, err := a.app(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		conn, err := a.connect()
		if err != nil {
			return err
		}
		got, err := answer[client.App](conn.RollbackApp(cmd.Context(), x.ID, &client.RollbackAppParams{Tenant: x.TenantID, Wait: a.waitFor()}, client.RollbackInput{Revision: to}))
		if err == nil {
			err = appFailure(got)
		}
		if err != nil {
			return err
		}
		return a.one(got, a.appWords(got))
	})
	c.Args = a.exactly(1)
	c.Flags().Uint64Var(&to, "to", 0, a.say("flag.to"))
	a.detachFlag(c)
	c.ValidArgsFunction = a.complete(a.appNames)
	return c
}

func (a *app) appExportCommand() *cobra.Command {
	c := a.Command("export NAME", "app.export", func(cmd *cobra.Command, args []string) error {
		x, err := a.app(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(x.Spec)
		}
		text := x.Spec.Source
		if text == "" {
			if text, err = compose.Render(x.Name, x.Spec.Services); err != nil {
				return err
			}
		}
		_, err = io.WriteString(a.Stdout, strings.TrimRight(text, "\n")+"\n")
		return err
	})
	c.Args = a.exactly(1)
	c.ValidArgsFunction = a.complete(a.appNames)
	return c
}

// appPowerCommand is stop and start of a whole app.
func (a *app) appPowerCommand(word, key string) *cobra.Command {
	c := a.Command(word+" [flags] NAME", key, func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		x, err := a.app(ctx, args[0])
		if err != nil {
			return err
		}
		conn, err := a.connect()
		if err != nil {
			return err
		}
		var got client.App
		if word == "stop" {
			got, err = answer[client.App](conn.StopApp(ctx, x.ID, &client.StopAppParams{Tenant: x.TenantID, Wait: a.waitFor()}))
		} else {
			got, err = answer[client.App](conn.StartApp(ctx, x.ID, &client.StartAppParams{Tenant: x.TenantID, Wait: a.waitFor()}))
			if err == nil {
				err = appFailure(got)
			}
		}
		if err != nil {
			return err
		}
		return a.one(got, a.appWords(got))
	})
	c.Args = a.exactly(1)
	a.detachFlag(c)
	c.ValidArgsFunction = a.complete(a.appNames)
	return c
}

func (a *app) appRmCommand() *cobra.Command {
	var force, volumes bool
	c := a.Command("rm [flags] NAME...", "app.rm", func(cmd *cobra.Command, args []string) error {
		conn, err := a.connect()
		if err != nil {
			return err
		}
		var wrong []error
		var gone []client.App
		for _, w := range args {
			x, err := a.app(cmd.Context(), w)
			if err == nil {
				err = done(conn.DeleteApp(cmd.Context(), x.ID, &client.DeleteAppParams{Tenant: x.TenantID, Force: force, Volumes: volumes, Wait: a.waitFor()}))
			}
			if err != nil {
				wrong = append(wrong, err)
				continue
			}
			gone = append(gone, x)
			if !a.json {
				fmt.Fprintln(a.Stdout, w)
			}
		}
		if a.json && len(wrong) == 0 {
			return a.printJSON(page[client.App]{Items: gone})
		}
		return errors.Join(wrong...)
	})
	c.Args = a.atLeast(1)
	c.Flags().BoolVarP(&force, "force", "f", false, a.say("flag.app-force"))
	c.Flags().BoolVar(&volumes, "volumes", false, a.say("flag.volumes"))
	a.detachFlag(c)
	c.ValidArgsFunction = a.complete(a.appNames)
	return c
}
