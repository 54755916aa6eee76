package cli

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerryhq/skerry/appliance/api/client"
	"github.com/skerryhq/skerry/raft/model"
)

// upstreamTexts are this file's part of the catalogue.
var upstreamTexts = map[string]text{
	"upstream":              {"Upstreams: registries outside that images come from.", "上游仓库：镜像来源的外部仓库。"},
	"upstream.ls":           {"List upstreams.", "列出上游仓库。"},
	"upstream.create":       {"Add an upstream, by its host as it stands in image names.", "添加上游仓库，写镜像名中的主机名。"},
	"upstream.create.long":  {"docker.io is known without being added; add it to give it an account, a mirror, a proxy or a CA.\nEndpoints are tried in order; without any, the host itself is asked by https.\nAn account is used for the tenants of --for only; without --for, for all of them.", "docker.io 无需添加即可使用；要为它设置账号、镜像地址、代理或 CA 时再添加。\n地址按顺序尝试；未指定时以 https 访问主机本身。\n账号仅供 --for 所列租户使用；未指定 --for 时供全部租户使用。"},
	"upstream.set":          {"Change an upstream; what is not given stays.", "修改上游仓库；未指定的部分保持不变。"},
	"upstream.set.long":     {"An empty value takes away: --user \"\" the account, --ca \"\" the CA, --proxy \"\" the proxy, --endpoint \"\" the endpoints, --for \"\" the bound to tenants.\nAnother user name drops what was cached with the old one.", "空值表示去掉：--user \"\" 去掉账号，--ca \"\" 去掉 CA，--proxy \"\" 去掉代理，--endpoint \"\" 去掉地址，--for \"\" 去掉租户限制。\n更换用户名会清除用旧账号缓存的内容。"},
	"upstream.inspect":      {"Show an upstream as JSON.", "以 JSON 显示上游仓库。"},
	"upstream.rm":           {"Remove upstreams with what was cached from them.", "删除上游仓库及其缓存。"},
	"upstream.test":         {"Try every endpoint with the account; exit status 1 when one fails.", "用账号逐个测试地址；有失败时退出码为 1。"},
	"flag.endpoint":         {"base URL, tried in the order given (repeatable)", "基础 URL，按给出的顺序尝试（可重复）"},
	"flag.upstream-user":    {"user name of the account there", "该仓库的账号用户名"},
	"flag.upstream-ca":      {"file with certificates (PEM) that are trusted beside the system's", "额外信任的证书文件（PEM）"},
	"flag.proxy":            {"http, https or socks5 URL of a proxy", "代理的 http、https 或 socks5 URL"},
	"flag.upstream-for":     {"tenant that it serves (repeatable; default: all)", "服务的租户（可重复；默认全部）"},
	"flag.upstream-disable": {"fetch nothing from it", "停止从该仓库获取内容"},
	"flag.upstream-enable":  {"fetch from it again", "恢复从该仓库获取内容"},
	"unknown.upstream":      {"there is no upstream %q", "没有上游仓库 %q"},
	"upstream.nothing":      {"say what to change; see the flags with --help", "请指定要修改的内容；用 --help 查看选项"},
	"upstream.failed":       {"%d of %d endpoints failed", "%d 个地址失败，共 %d 个"},
	"upstream.all":          {"all", "全部"},
	"upstream.itself":       {"itself", "主机本身"},
	"upstream.off":          {"disabled", "已停用"},
}

func (a *app) upstreamList(ctx context.Context) ([]client.Upstream, error) {
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	return pages[client.Upstream](func(cursor string) (*http.Response, error) {
		return c.ListUpstreams(ctx, &client.ListUpstreamsParams{Cursor: cursor, Limit: 1000})
	})
}

func (a *app) upstreamNames(ctx context.Context) []string {
	all, err := a.upstreamList(ctx)
	return namesOf(all, err, func(u client.Upstream) []string { return []string{u.Name} })
}

func (a *app) upstream(ctx context.Context, word string) (client.Upstream, error) {
	c, err := a.connect()
	if err != nil {
		return client.Upstream{}, err
	}
	if word == "" {
		return client.Upstream{}, usagef("%s", a.say("name.empty"))
	}
	u, err := answer[client.Upstream](c.GetUpstream(ctx, word))
	return u, a.named(err, "upstream", word, func() []string { return a.upstreamNames(ctx) })
}

// upstreamFlags are how an upstream is reached.
type upstreamFlags struct {
	endpoints, tenants []string
	user, passwordFile string
	ca, proxy          string
	disable, enable    bool
	password           *string
}

func (f *upstreamFlags) add(a *app, c *cobra.Command) {
	c.Flags().StringArrayVar(&f.endpoints, "endpoint", nil, a.say("flag.endpoint"))
	c.Flags().StringVarP(&f.user, "user", "u", "", a.say("flag.upstream-user"))
	c.Flags().StringVar(&f.passwordFile, "password-file", "", a.say("flag.password-file"))
	c.Flags().StringVar(&f.ca, "ca", "", a.say("flag.upstream-ca"))
	c.Flags().StringVar(&f.proxy, "proxy", "", a.say("flag.proxy"))
	c.Flags().StringArrayVar(&f.tenants, "for", nil, a.say("flag.upstream-for"))
	c.Flags().BoolVar(&f.disable, "disable", false, a.say("flag.upstream-disable"))
	_ = c.RegisterFlagCompletionFunc("for", a.complete(a.tenantNames)) // only fails for a flag that is not there
}

// apply changes spec by the flags that were given and reads files.
func (f *upstreamFlags) apply(a *app, c *cobra.Command, spec *model.UpstreamSpec) error {
	given := c.Flags().Changed
	if given("endpoint") {
		spec.Endpoints = some(f.endpoints)
	}
	if given("for") {
		spec.TenantIDs = some(f.tenants)
	}
	if given("proxy") {
		spec.Proxy = f.proxy
	}
	if given("ca") {
		spec.CA = ""
		if f.ca != "" {
			b, err := readBounded(f.ca, 64<<10)
			if err != nil {
				return err
			}
			spec.CA = string(b)
		}
	}
	if given("disable") {
		spec.Disabled = f.disable
	}
	if f.enable {
		spec.Disabled = false
	}
	if given("user") {
		if spec.Username = f.user; f.user == "" {
			f.password = new(string)
		}
	}
	if given("password-file") {
		p, err := a.secretFrom(f.passwordFile)
		if err != nil {
			return err
		}
		f.password = &p
	}
	return nil
}

// some drops empty words, which say "none".
func some(words []string) []string {
	var out []string
	for _, w := range words {
		if w != "" {
			out = append(out, w)
		}
	}
	return out
}

func (a *app) upstreamCommands() []*cobra.Command {
	var quiet bool
	ls := a.Command("ls [flags]", "upstream.ls", func(cmd *cobra.Command, _ []string) error { return a.listUpstreams(cmd.Context(), quiet) })
	ls.Args = a.exactly(0)
	ls.Flags().BoolVarP(&quiet, "quiet", "q", false, a.say("flag.quiet"))
	inspect := a.Command("inspect HOST", "upstream.inspect", func(cmd *cobra.Command, args []string) error {
		u, err := a.upstream(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return a.printJSON(u)
	})
	inspect.Args = a.exactly(1)
	inspect.ValidArgsFunction = a.complete(a.upstreamNames)
	rm := a.Command("rm HOST...", "upstream.rm", func(cmd *cobra.Command, args []string) error {
		c, err := a.connect()
		if err != nil {
			return err
		}
		return removeEach(a, args, func(w string) (client.Upstream, error) {
			u, err := a.upstream(cmd.Context(), w)
			if err != nil {
				return u, err
			}
			return u, done(c.DeleteUpstream(cmd.Context(), u.ID, &client.DeleteUpstreamParams{}))
		})
	})
	rm.Args = a.atLeast(1)
	rm.ValidArgsFunction = a.complete(a.upstreamNames)
	test := a.Command("test HOST", "upstream.test", func(cmd *cobra.Command, args []string) error { return a.testUpstream(cmd.Context(), args[0]) })
	test.Args = a.exactly(1)
	test.ValidArgsFunction = a.complete(a.upstreamNames)
	return []*cobra.Command{a.group("upstream", "upstream", ls, a.upstreamCreate(), a.upstreamSet(), inspect, rm, test)}
}

func (a *app) listUpstreams(ctx context.Context, quiet bool) error {
	all, err := a.upstreamList(ctx)
	if err != nil {
		return err
	}
	tenants := map[string]string{}
	if !a.json && !quiet {
		known, err := a.tenants(ctx)
		if err != nil {
			return err
		}
		for _, t := range known {
			tenants[t.ID] = t.Name
		}
	}
	now := time.Now()
	return list(a, all, quiet, func(u client.Upstream) string { return u.Name },
		[]string{"HOST", "ENDPOINTS", "USER", "FOR", "CACHED", "AGE"},
		func(u client.Upstream) []string {
			for i, id := range u.Spec.TenantIDs {
				u.Spec.TenantIDs[i] = firstOf(tenants[id], id)
			}
			at := firstOf(strings.Join(u.Spec.Endpoints, ", "), a.say("upstream.itself"))
			if u.Spec.Disabled {
				at = a.say("upstream.off")
			}
			return []string{u.Name, at, u.Spec.Username, firstOf(strings.Join(u.Spec.TenantIDs, ", "), a.say("upstream.all")), size(u.Status.SizeBytes), age(u.CreatedAt, now)}
		})
}

func (a *app) upstreamCreate() *cobra.Command {
	var f upstreamFlags
	c := a.Command("create [flags] HOST", "upstream.create", func(cmd *cobra.Command, args []string) error {
		conn, err := a.connect()
		if err != nil {
			return err
		}
		in := client.UpstreamInput{Name: args[0]}
		if err := f.apply(a, cmd, &in.Spec); err != nil {
			return err
		}
		if f.password != nil {
			in.Password = *f.password
		}
		u, err := answer[client.Upstream](conn.CreateUpstream(cmd.Context(), in))
		if err != nil {
			return err
		}
		return a.one(u, u.Name)
	})
	c.Args = a.exactly(1)
	f.add(a, c)
	return c
}

func (a *app) upstreamSet() *cobra.Command {
	var f upstreamFlags
	c := a.Command("set [flags] HOST", "upstream.set", func(cmd *cobra.Command, args []string) error {
		if cmd.Flags().NFlag() == 0 {
			return usagef("%s", a.say("upstream.nothing"))
		}
		conn, err := a.connect()
		if err != nil {
			return err
		}
		u, err := a.upstream(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		in := client.UpstreamChange{Spec: u.Spec}
		if err := f.apply(a, cmd, &in.Spec); err != nil {
			return err
		}
		in.Password = f.password
		u, err = answer[client.Upstream](conn.UpdateUpstream(cmd.Context(), u.ID, &client.UpdateUpstreamParams{IfMatch: strconv.Quote(fmt.Sprint(u.Version))}, in))
		if err != nil {
			return err
		}
		return a.one(u, u.Name)
	})
	c.Args = a.exactly(1)
	f.add(a, c)
	c.Flags().BoolVar(&f.enable, "enable", false, a.say("flag.upstream-enable"))
	c.MarkFlagsMutuallyExclusive("disable", "enable")
	c.ValidArgsFunction = a.complete(a.upstreamNames)
	return c
}

func (a *app) testUpstream(ctx context.Context, word string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	u, err := a.upstream(ctx, word)
	if err != nil {
		return err
	}
	got, err := answer[client.UpstreamTest](c.TestUpstream(ctx, u.ID))
	if err != nil {
		return err
	}
	if a.json {
		err = a.printJSON(got)
	}
	failed := 0
	for _, e := range got.Endpoints {
		result := fmt.Sprintf("ok, %d ms", e.TookMillis)
		if !e.Ok {
			failed++
			result = e.Message
		}
		if !a.json {
			fmt.Fprintf(a.Stdout, "%s: %s\n", e.Endpoint, result)
		}
	}
	if err == nil && failed > 0 {
		err = fmt.Errorf("%s", a.say("upstream.failed", failed, len(got.Endpoints)))
	}
	return err
}
