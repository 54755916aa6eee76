package cli

import (
	"fmt"
	"strings"
)

// language is that of the person at the terminal: SKERRY_LANG, then LC_ALL,
// LC_MESSAGES and LANG; Chinese when it begins with zh, English otherwise.
func language(env func(string) string) string {
	for _, name := range []string{"SKERRY_LANG", "LC_ALL", "LC_MESSAGES", "LANG"} {
		if v := env(name); v != "" {
			if strings.HasPrefix(strings.ToLower(v), "zh") {
				return "zh"
			}
			return "en"
		}
	}
	return "en"
}

// say gives a sentence of the catalogue in the user's language, with its gaps
// filled.
func (a *app) say(key string, args ...any) string {
	text := a.maybe(key)
	if text == "" {
		return key // a test refuses missing keys
	}
	if len(args) > 0 {
		return fmt.Sprintf(text, args...)
	}
	return text
}

func (a *app) maybe(key string) string {
	t := sentences[key]
	if a.lang == "zh" && t.zh != "" {
		return t.zh
	}
	return t.en
}

type text struct{ en, zh string }

// catalogue holds every sentence that this program says to people, by key: a
// command's key is its path, a flag's is "flag." and its name.
var catalogue = map[string]text{
	"skerry":      {"Run containers on your own hosts as one cloud.", "把自己的主机变成一朵容器云。"},
	"skerry.long": {"Without --host or a login, commands go to the daemon on this host.", "没有 --host 也没有登录时，命令发给本机的守护进程。"},

	"help.usage":    {"Usage:", "用法："},
	"help.command":  {"COMMAND", "命令"},
	"help.commands": {"Commands:", "命令："},
	"help.flags":    {"Flags:", "选项："},
	"help.global":   {"Flags of every command:", "通用选项："},
	"see.help":      {"See `%s --help`.", "请看 `%s --help`。"},

	// what goes wrong here, before the server is asked
	"group.which":        {"`%s` needs a command that says what to do", "`%s` 之后请写明要做什么"},
	"unknown.command":    {"there is no command %q in `%s`", "没有命令 %q（在 `%s` 中）"},
	"unknown.container":  {"there is no container, service or app %q", "没有名为 %q 的容器、服务或应用"},
	"unknown.app":        {"there is no app %q", "没有应用 %q"},
	"unknown.service":    {"there is no service %q; write APP.SERVICE", "没有服务 %q；请写成 应用.服务"},
	"unknown.image":      {"there is no image %q here", "这里没有镜像 %q"},
	"unknown.volume":     {"there is no volume %q", "没有数据卷 %q"},
	"unknown.node":       {"there is no node %q", "没有主机 %q"},
	"unknown.user":       {"there is no user %q", "没有用户 %q"},
	"unknown.tenant":     {"there is no tenant %q", "没有租户 %q"},
	"unknown.token":      {"there is no API token %q", "没有 API 令牌 %q"},
	"unknown.object":     {"there is no object %q", "没有对象 %q"},
	"near":               {"; did you mean %s?", "；是不是 %s？"},
	"ambiguous":          {"%q means more than one: %s; write more of the name", "%q 不唯一：%s；请写得更完整"},
	"rm.which":           {"%q is no container but something that has several, such as %s; name one of them, or remove the app with `skerry app rm %s`", "%q 不是单个容器，它包含多个容器（如 %s）；请指明其中一个，或用 `skerry app rm %s` 移除整个应用"},
	"rm.running":         {"%s is running; stop it first, or remove it with --force", "%s 正在运行；请先停止，或加 --force 强制移除"},
	"name.empty":         {"the name is empty", "名称为空"},
	"plan.volume-new":    {"volume %s is created", "将创建数据卷 %s"},
	"plan.volume-unused": {"volume %s stays; nothing uses it any more", "数据卷 %s 会保留，但不再被使用"},
	"plan.fetches":       {"fetches %s", "拉取 %s"},
	"plan.removed":       {"%s removed", "移除 %s"},
	"args.few":           {"something is missing: %s", "缺少参数：%s"},
	"args.many":          {"%q is too much: %s", "%q 是多余的：%s"},
	"session.lost":       {"the connection broke; the command may still run", "连接中断；命令可能仍在运行"},
	"detached":           {"%s goes on running", "%s 继续运行"},
	"oom":                {"%s was ended because it needed more memory than its limit", "%s 的内存超过上限，已被结束"},
	"run.replicas":       {"several replicas run in the background only; add -d", "多个副本只能在后台运行；请加 -d"},
	"run.stdin":          {"-i needs a terminal (-t) or the foreground; leave out -d", "-i 需要终端（-t）或前台运行；请去掉 -d"},
	"run.json":           {"--json needs -d, because in the foreground the container's own output is shown", "--json 需要 -d，因为前台显示的是容器自己的输出"},
	"cp.both":            {"one of the two must be on this host; copy in two steps", "两者之一必须在本机；请分两步复制"},
	"cp.none":            {"neither is in a container; write NAME:/path for one of them", "两者都不在容器里；请把其中一个写成 名称:/路径"},
	"scale.how":          {"%q: write NAME=REPLICAS with 0 to %d replicas", "%q：请写成 名称=副本数，副本数 0 到 %d"},
	"update.nothing":     {"say what to change, for example --image NAME or --replicas 3", "请写明要改什么，例如 --image 名称 或 --replicas 3"},
	"app.noname":         {"the app has no name; give one with --name or as `name:` in the file", "应用没有名称；请用 --name 或在文件里写 `name:`"},
	"export.terminal":    {"an archive on a terminal is of no use; add -o FILE", "归档不能输出到终端；请加 -o 文件"},
	"password.how":       {"there is no terminal to ask for the password; use --password-file FILE, or - for standard input", "没有终端可以询问密码；请用 --password-file 文件，或用 - 表示标准输入"},
	"password.ask":       {"Password: ", "密码："},
	"password.differ":    {"the two passwords differ; nothing was done", "两次密码不同；什么都没有做"},
	"role.none":          {"%s has no role yet; an administrator gives one with: skerry user grant %s default=developer", "%s 还没有角色；管理员可用此命令授予：skerry user grant %s default=developer"},
	"revoke.none":        {"%s has no role %s", "%s 没有角色 %s"},
	"login.first":        {"you are not signed in at %s; run `skerry login %s` first, or set SKERRY_TOKEN", "尚未登录 %s；请先运行 `skerry login %s`，或设置 SKERRY_TOKEN"},
	"run.terminal":       {"-it needs a terminal, and standard input is none; leave out -t, or run this in a terminal", "-it 需要终端，而标准输入不是终端；请去掉 -t，或在终端中运行"},
	"login.how":          {"give --user (and a password) or --token, one of the two", "请给出 --user（和密码）或 --token，二选一"},
	"logout.none":        {"you are not logged in", "没有登录"},
	"completion.which":   {"%q: write bash, zsh or fish", "%q：请写 bash、zsh 或 fish"},

	// answers
	"app.line":     {"%s  revision %d  %s  %d/%d running", "%s  版本 %d  %s  %d/%d 运行中"},
	"service.line": {"%s  %d/%d running", "%s  %d/%d 运行中"},
	"app.same":     {"nothing changed", "没有变化"},
	"token.once":   {"This is shown once: keep it now.", "只显示这一次：请立即保存。"},
	"login.done":   {"Signed in as %s at %s.", "已以 %s 登录 %s。"},
	"login.unused": {"SKERRY_RUN_DIR or --run-dir is set, so commands go on using the local node; unset it to use this sign-in", "已设置 SKERRY_RUN_DIR 或 --run-dir，命令仍使用本机；取消设置后才会使用此登录"},
	"logout.done":  {"Signed out of %s.", "已退出 %s。"},

	"status.cluster":    {"cluster", "集群"},
	"status.version":    {"version", "版本"},
	"status.apps":       {"apps", "应用"},
	"status.containers": {"containers", "容器"},
	"status.images":     {"images", "镜像"},
	"status.volumes":    {"volumes", "数据卷"},
	"status.nodes":      {"nodes", "主机"},
	"status.setup":      {"There is no administrator yet: open the console and use the setup token that `skerry init` printed.", "还没有管理员：请打开控制台，使用 `skerry init` 打印的初始化令牌。"},

	"init.done":        {"The cluster is ready.", "集群已就绪。"},
	"init.console":     {"console", "控制台"},
	"init.fingerprint": {"CA fingerprint", "CA 指纹"},
	"init.token":       {"setup token", "初始化令牌"},
	"init.next":        {"Open the console and make the first administrator with the setup token. It works once.", "打开控制台，用初始化令牌创建第一个管理员。令牌只能用一次。"},

	"step.resolving": {"resolving", "查找"}, "step.pulling": {"pulling", "拉取"}, "step.extracting": {"extracting", "解包"},
	"step.importing": {"importing", "导入"}, "step.creating": {"creating", "创建"}, "step.preparing": {"preparing", "准备"},
	"step.starting": {"starting", "启动"}, "step.running": {"running", "运行中"}, "step.stopping": {"stopping", "停止"},
	"step.removing": {"removing", "删除"}, "step.failed": {"failed", "失败"},
}
