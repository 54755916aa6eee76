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

// registryTexts are this file's part of the catalogue.
var registryTexts = map[string]text{
	"repo":                  {"Repositories: where this cluster's own registry keeps images.", "镜像仓库：集群自带的镜像仓库保存镜像的地方。"},
	"repo.ls":               {"List the repositories that you may read.", "列出可读取的镜像仓库。"},
	"repo.inspect":          {"Show a repository as JSON.", "以 JSON 显示镜像仓库。"},
	"repo.create":           {"Create a repository; a push makes a missing one too.", "创建镜像仓库；推送时缺少的仓库会自动创建。"},
	"repo.set":              {"Change who may read a repository and its description.", "修改镜像仓库的可见范围和描述。"},
	"repo.rm":               {"Remove repositories with all their tags.", "删除镜像仓库及其全部标签。"},
	"repo.tags":             {"List the tags of a repository, the newest first.", "列出镜像仓库的标签，最新的在前。"},
	"registry":              {"The cluster's own registry, for docker, podman and others.", "集群自带的镜像仓库，可用 docker、podman 等客户端访问。"},
	"registry.info":         {"Say where the registry is and what it stores.", "显示镜像仓库的地址和存储情况。"},
	"registry.trust":        {"Print the lines that make a client trust the registry.", "打印让客户端信任本镜像仓库的命令行。"},
	"registry.trust.long":   {"Run what it prints as root on the client's machine. Clients: docker, podman, buildah, skopeo,\ncontainerd, oras, crane, regctl, and system for the machine's own store of certificates.", "在客户端机器上以 root 运行打印出的内容。客户端：docker、podman、buildah、skopeo、\ncontainerd、oras、crane、regctl；system 表示系统的证书库。"},
	"registry.login":        {"Sign docker, podman, skopeo, crane and oras in to the registry on this machine.", "让本机的 docker、podman、skopeo、crane 和 oras 登录镜像仓库。"},
	"registry.login.long":   {"It makes an API token and writes it into docker's config.json, which the others read too.\nWithout HOST the registry's best address is taken.", "创建一个 API 令牌并写入 docker 的 config.json，其他客户端也会读取。\n不写 HOST 时使用镜像仓库的首选地址。"},
	"registry.collect":      {"Give up content that nothing needs, without the grace period.", "立即清除不再需要的内容，不等宽限期。"},
	"image.push":            {"Give an image a tag in this cluster's registry, or send it to another registry.", "给镜像在集群仓库中打标签，或推送到其他镜像仓库。"},
	"image.push.long":       {"TO is NAME:TAG or TENANT/NAME:TAG for this cluster, where nothing is copied, or HOST/NAME:TAG for\nanother registry. Without TO the image keeps its name.", "TO 写成 名称:标签 或 租户/名称:标签 表示本集群（不复制内容），写成 主机/名称:标签 表示其他镜像仓库。\n不写 TO 时沿用镜像的名称。"},
	"flag.visibility":       {"who may read it: public, tenant or private", "可见范围：public、tenant 或 private"},
	"flag.description":      {"what it is, in plain text", "描述（纯文本）"},
	"flag.repo-force":       {"also while its images are in use; what runs goes on", "即使镜像正在使用也删除；运行中的不受影响"},
	"flag.push-user":        {"user name at the other registry, for this push only", "其他镜像仓库的用户名，仅用于本次推送"},
	"flag.login-role":       {"role of the token, at most your own (default developer)", "令牌角色，不高于自己的（默认 developer）"},
	"flag.login-ttl":        {"how long the token works, e.g. 12h or 90d; 0 for ever", "令牌有效期，例如 12h 或 90d；0 表示不过期"},
	"unknown.repository":    {"there is no repository %q, or it is not for you", "没有镜像仓库 %q，或您无权查看"},
	"unknown.client":        {"there are no lines for the client %q; there are some for %s", "没有客户端 %q 的命令；可用的有 %s"},
	"repo.nothing":          {"say what changes: --visibility, --description or --label", "请写明要修改什么：--visibility、--description 或 --label"},
	"repo.freed":            {"%s (%s will be freed)", "%s（将释放 %s）"},
	"registry.login.done":   {"This machine's clients are signed in to %s (%s).", "本机客户端已登录 %s（%s）。"},
	"registry.login.helper": {"%s leaves credentials for %s to a helper program, which would hide what is written there; run `docker login %s` with an API token as the password", "%s 把 %s 的凭据交给了辅助程序，写入的内容不会生效；请用 API 令牌作密码运行 `docker login %s`"},
	"registry.login.home":   {"neither HOME nor DOCKER_CONFIG says where the clients' configuration is", "HOME 和 DOCKER_CONFIG 都未设置，无法确定客户端配置的位置"},
	"registry.collected":    {"freed %d blobs, %s", "已释放 %d 个数据块，%s"},
	"registry.hosts":        {"HOSTS", "地址"},
	"registry.print":        {"CA", "CA 指纹"},
	"registry.blobs":        {"BLOBS", "数据块"},
	"registry.bytes":        {"SIZE", "大小"},
	"registry.reclaim":      {"RECLAIMABLE", "可释放"},
	"registry.uploads":      {"UPLOADS", "未完成的上传"},
}

func (a *app) repositories(ctx context.Context) ([]client.Repository, error) {
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	return pages[client.Repository](func(cursor string) (*http.Response, error) {
		return c.ListRepositories(ctx, &client.ListRepositoriesParams{Tenant: a.tenant, Cursor: cursor, Limit: 1000})
	})
}

func (a *app) repositoryNames(ctx context.Context) []string {
	all, err := a.repositories(ctx)
	return namesOf(all, err, func(x client.Repository) []string { return []string{x.Path} })
}

// repository finds a repository by id, name within the tenant, or tenant/name.
func (a *app) repository(ctx context.Context, word string) (client.Repository, error) {
	c, err := a.connect()
	if err != nil {
		return client.Repository{}, err
	}
	if word == "" {
		return client.Repository{}, usagef("%s", a.say("name.empty"))
	}
	name, _ := a.withoutHost(ctx, word)
	r, err := answer[client.Repository](c.GetRepository(ctx, name, &client.GetRepositoryParams{Tenant: a.tenant}))
	return r, a.named(err, "repository", word, func() []string { return a.repositoryNames(ctx) })
}

// withoutHost takes the registry's own host off a name; ours says that it had
// none, or ours.
func (a *app) withoutHost(ctx context.Context, name string) (rest string, ours bool) {
	host, rest, ok := strings.Cut(name, "/")
	switch {
	case !ok || !strings.ContainsAny(host, ".:"):
		return name, true
	case host == model.RegistryHost:
		return rest, true
	case !strings.Contains(host, ":"): // an upstream, such as docker.io
		return name, true
	}
	c, err := a.connect()
	if err != nil {
		return name, false
	}
	r, err := answer[client.Registry](c.GetRegistry(ctx))
	if err == nil && slices.Contains(r.Hosts, host) {
		return rest, true
	}
	return name, false
}

// splitReference parts NAME:TAG or NAME@DIGEST; the tag is latest where there is none.
func splitReference(word string) (name, reference string) {
	if name, digest, ok := strings.Cut(word, "@"); ok {
		return name, digest
	}
	if i := strings.LastIndexByte(word, ':'); i > strings.LastIndexByte(word, '/') {
		return word[:i], word[i+1:]
	}
	return word, "latest"
}

// tagged finds what NAME:TAG or NAME@DIGEST means in a repository; nil if nothing.
func (a *app) tagged(ctx context.Context, word string) (*client.ManifestDetail, error) {
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	rest, ours := a.withoutHost(ctx, word)
	if !ours || word == "" {
		return nil, nil
	}
	name, reference := splitReference(rest)
	if name == "" || reference == "" {
		return nil, nil
	}
	d, err := answer[client.ManifestDetail](c.GetManifest(ctx, name, reference, &client.GetManifestParams{Tenant: a.tenant}))
	if statusOf(err) == http.StatusNotFound {
		return nil, nil
	}
	return &d, err
}

// untag removes a tag, or a manifest that was named by digest.
func (a *app) untag(ctx context.Context, word string, d *client.ManifestDetail) (client.Freed, error) {
	c, err := a.connect()
	if err != nil {
		return client.Freed{}, err
	}
	_, reference := splitReference(word)
	if reference == d.Digest {
		return answer[client.Freed](c.DeleteManifest(ctx, d.Repository, reference, &client.DeleteManifestParams{}))
	}
	return answer[client.Freed](c.DeleteTag(ctx, d.Repository, reference, &client.DeleteTagParams{}))
}

func (a *app) repositoryCommands() []*cobra.Command {
	var quiet, force bool
	ls := a.Command("ls [flags]", "repo.ls", func(cmd *cobra.Command, _ []string) error {
		all, err := a.repositories(cmd.Context())
		if err != nil {
			return err
		}
		now := time.Now()
		return list(a, all, quiet, func(r client.Repository) string { return r.Path },
			[]string{"NAME", "VISIBILITY", "TAGS", "SIZE", "PUSHED", "DESCRIPTION"},
			func(r client.Repository) []string {
				return []string{r.Path, string(r.Spec.Visibility), fmt.Sprint(r.Status.Tags), size(r.Status.SizeBytes), age(r.Status.PushedAt, now), firstLine(r.Spec.Description)}
			})
	})
	ls.Args = a.exactly(0)
	ls.Flags().BoolVarP(&quiet, "quiet", "q", false, a.say("flag.quiet"))
	inspect := a.Command("inspect NAME", "repo.inspect", func(cmd *cobra.Command, args []string) error {
		r, err := a.repository(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return a.printJSON(r)
	})
	inspect.Args = a.exactly(1)
	rm := a.Command("rm [flags] NAME...", "repo.rm", func(cmd *cobra.Command, args []string) error {
		c, err := a.connect()
		if err != nil {
			return err
		}
		return removeEach(a, args, func(w string) (client.Freed, error) {
			r, err := a.repository(cmd.Context(), w)
			if err != nil {
				return client.Freed{}, err
			}
			return answer[client.Freed](c.DeleteRepository(cmd.Context(), r.ID, &client.DeleteRepositoryParams{Force: force}))
		})
	})
	rm.Args = a.atLeast(1)
	rm.Flags().BoolVarP(&force, "force", "f", false, a.say("flag.repo-force"))
	tags := a.Command("tags [flags] NAME", "repo.tags", func(cmd *cobra.Command, args []string) error {
		return a.listTags(cmd.Context(), args[0], quiet)
	})
	tags.Args = a.exactly(1)
	tags.Flags().BoolVarP(&quiet, "quiet", "q", false, a.say("flag.quiet"))
	for _, c := range []*cobra.Command{inspect, rm, tags} {
		c.ValidArgsFunction = a.complete(a.repositoryNames)
	}
	return []*cobra.Command{a.group("repo", "repo", ls, inspect, a.createRepository(), a.setRepository(), rm, tags), a.registryCommand()}
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return wide.Truncate(s, 60, "...")
}

func (a *app) listTags(ctx context.Context, word string, quiet bool) error {
	r, err := a.repository(ctx, word)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	all, err := pages[client.Tag](func(cursor string) (*http.Response, error) {
		return c.ListTags(ctx, r.ID, &client.ListTagsParams{Cursor: cursor, Limit: 1000})
	})
	if err != nil {
		return err
	}
	now := time.Now()
	return list(a, all, quiet, func(t client.Tag) string { return r.Path + ":" + t.Name },
		[]string{"NAME", "DIGEST", "SIZE", "PLATFORMS", "IN USE", "PUSHED", "BY"},
		func(t client.Tag) []string {
			_, hex, _ := strings.Cut(t.Digest, ":")
			return []string{r.Path + ":" + t.Name, short(hex), size(t.SizeBytes), strings.Join(t.Platforms, ", "), yesNo(t.InUse), age(t.UpdatedAt, now), t.UpdatedBy}
		})
}

// repositoryFlags are what create and set say about a repository.
type repositoryFlags struct {
	visibility, description string
	labels                  []string
}

func (a *app) repositoryFlags(c *cobra.Command) *repositoryFlags {
	f := &repositoryFlags{}
	c.Flags().StringVar(&f.visibility, "visibility", "", a.say("flag.visibility"))
	c.Flags().StringVar(&f.description, "description", "", a.say("flag.description"))
	c.Flags().StringArrayVarP(&f.labels, "label", "l", nil, a.say("flag.label"))
	return f
}

func (a *app) createRepository() *cobra.Command {
	var f *repositoryFlags
	c := a.Command("create [flags] NAME", "repo.create", func(cmd *cobra.Command, args []string) error {
		conn, err := a.connect()
		if err != nil {
			return err
		}
		l, err := pairs(f.labels)
		if err != nil {
			return usagef("--label: %w", err)
		}
		spec := model.RepositorySpec{Visibility: model.Visibility(f.visibility), Description: f.description, Labels: l}
		r, err := answer[client.Repository](conn.CreateRepository(cmd.Context(), &client.CreateRepositoryParams{Tenant: a.tenant}, client.RepositoryInput{Name: args[0], Spec: spec}))
		if err != nil {
			return err
		}
		return a.one(r, r.Path)
	})
	c.Args = a.exactly(1)
	f = a.repositoryFlags(c)
	return c
}

func (a *app) setRepository() *cobra.Command {
	var f *repositoryFlags
	c := a.Command("set [flags] NAME", "repo.set", func(cmd *cobra.Command, args []string) error {
		given := cmd.Flags().Changed
		if !given("visibility") && !given("description") && !given("label") {
			return usagef("%s", a.say("repo.nothing"))
		}
		r, err := a.repository(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		conn, err := a.connect()
		if err != nil {
			return err
		}
		spec := r.Spec
		if given("visibility") {
			spec.Visibility = model.Visibility(f.visibility)
		}
		if given("description") {
			spec.Description = f.description
		}
		if given("label") {
			if spec.Labels, err = pairs(f.labels); err != nil {
				return usagef("--label: %w", err)
			}
		}
		r, err = answer[client.Repository](conn.UpdateRepository(cmd.Context(), r.ID, &client.UpdateRepositoryParams{IfMatch: fmt.Sprintf("%q", fmt.Sprint(r.Version))}, spec))
		if err != nil {
			return err
		}
		return a.one(r, r.Path)
	})
	c.Args = a.exactly(1)
	f = a.repositoryFlags(c)
	c.ValidArgsFunction = a.complete(a.repositoryNames)
	return c
}

func (a *app) pushCommand() *cobra.Command {
	var user, passwordFile string
	c := a.Command("push [flags] IMAGE [TO]", "image.push", func(cmd *cobra.Command, args []string) error {
		conn, err := a.connect()
		if err != nil {
			return err
		}
		in := client.PushInput{To: args[len(args)-1], Username: user}
		if passwordFile != "" {
			if in.Password, err = a.secretFrom(passwordFile); err != nil {
				return err
			}
		}
		resp, err := conn.PushImage(cmd.Context(), args[0], &client.PushImageParams{Tenant: a.tenant}, in, sse)
		got, err := work[client.PushResult](a, resp, err)
		if err != nil {
			return err
		}
		return a.one(got, got.Name+" "+got.Digest)
	})
	c.Args = a.between(1, 2)
	c.Flags().StringVarP(&user, "user", "u", "", a.say("flag.push-user"))
	c.Flags().StringVar(&passwordFile, "password-file", "", a.say("flag.password-file"))
	c.ValidArgsFunction = a.complete(a.imageNames)
	return c
}
