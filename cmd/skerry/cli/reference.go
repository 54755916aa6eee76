package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// referenceTexts are the words of docs/cli.md that no help has.
var referenceTexts = map[string]text{
	"ref.title": {"The command line", "命令行"},
	"ref.generated": {"This page is generated from the program's own help; `make docs` writes it and a test fails when it is not current.",
		"本页由程序自身的帮助生成；`make docs` 写出本页，内容过期时测试会失败。"},
	"ref.about": {"Commands go to the daemon on this host through its local socket, or to the cluster that `--host`, `SKERRY_HOST` or `skerry login` names.\n" +
		"A name may be an id, the beginning of one, or an object's name. Every listing and every change takes `--json` and then prints the API's object ([api.md](api.md)).\n" +
		"Commands that start work wait for it and draw its steps; `--detach` returns at once. Without a terminal there is no colour and nothing is redrawn.",
		"命令经本机套接字发给本机守护进程，或发给 `--host`、`SKERRY_HOST`、`skerry login` 指定的集群。\n" +
			"名称可以是 ID、ID 的开头或对象的名称。所有列表和修改命令都接受 `--json`，并打印 API 对象（见 [api.md](api.md)）。\n" +
			"启动工作的命令会等待完成并显示步骤；`--detach` 立即返回。没有终端时不使用颜色，也不重绘。"},
	"ref.exit": {"Exit status: 0 done, 1 refused or failed (one sentence on standard error), 2 wrong usage; `exec`, `attach` and `run` in the foreground end with the status of what they ran.",
		"退出码：0 完成；1 被拒绝或失败（标准错误输出一句说明）；2 用法错误；`exec`、`attach` 和前台的 `run` 以所运行命令的退出码结束。"},
	"ref.environment": {"Environment", "环境变量"},
	"ref.host":        {"address of a cluster", "集群地址"},
	"ref.rundir":      {"folder of the local daemon's socket, `/run/skerry` without it", "本机守护进程套接字所在文件夹，默认 `/run/skerry`"},
	"ref.fingerprint": {"fingerprint of the cluster's certificate authority, instead of `--ca-fingerprint`", "集群证书颁发机构的指纹，可代替 `--ca-fingerprint`"},
	"ref.lang":        {"`en` or `zh`; without it `LC_ALL`, `LC_MESSAGES` and `LANG` decide", "`en` 或 `zh`；未设置时由 `LC_ALL`、`LC_MESSAGES`、`LANG` 决定"},
	"ref.global":      {"Flags of every command", "通用选项"},
	"ref.commands":    {"Commands", "命令"},
	"ref.flag":        {"flag", "选项"},
	"ref.meaning":     {"meaning", "含义"},
	"ref.default":     {"default", "默认值"},
	"help.examples":   {"Examples:", "示例："},
}

// Reference writes the command line as a page of Markdown in a language, en or
// zh, with the commands that main hands in. Equal programs give equal text.
func Reference(lang string, node ...NodeCommand) string {
	a := newApp(World{Stdout: io.Discard, Stderr: io.Discard, Stdin: strings.NewReader(""), Env: func(name string) string {
		if name == "SKERRY_LANG" {
			return lang
		}
		return ""
	}, Home: func() (string, error) { return "", nil }, Node: node})
	root := a.root()
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s\n\n%s\n\n%s\n\n", a.say("ref.title"), a.say("ref.generated"), a.say("ref.about"), a.say("ref.exit"))
	fmt.Fprintf(&b, "## %s\n\n| | |\n|---|---|\n", a.say("ref.environment"))
	for _, e := range [][2]string{{"SKERRY_HOST", "ref.host"}, {"SKERRY_RUN_DIR", "ref.rundir"}, {"SKERRY_CA_FINGERPRINT", "ref.fingerprint"}, {"SKERRY_LANG", "ref.lang"}} {
		fmt.Fprintf(&b, "| `%s` | %s |\n", e[0], a.say(e[1]))
	}
	fmt.Fprintf(&b, "\n## %s\n\n", a.say("ref.global"))
	a.flagTable(&b, root.PersistentFlags())
	fmt.Fprintf(&b, "## %s\n\n| | |\n|---|---|\n", a.say("ref.commands"))
	var all []*cobra.Command
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, child := range c.Commands() {
			if child.IsAvailableCommand() {
				all = append(all, child)
				walk(child)
			}
		}
	}
	walk(root)
	for _, c := range all {
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s |\n", c.CommandPath(), strings.ReplaceAll(c.CommandPath(), " ", "-"), cell(c.Short))
	}
	b.WriteString("\n")
	for _, c := range all {
		a.section(&b, c)
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// section is one command.
func (a *app) section(b *strings.Builder, c *cobra.Command) {
	fmt.Fprintf(b, "### %s\n\n%s\n\n", c.CommandPath(), firstOf(c.Long, c.Short))
	if c.HasAvailableSubCommands() {
		return
	}
	fmt.Fprintf(b, "```\n%s\n```\n\n", c.UseLine())
	a.flagTable(b, c.LocalNonPersistentFlags())
	if c.Example != "" {
		fmt.Fprintf(b, "%s\n\n```\n%s\n```\n\n", a.say("help.examples"), strings.ReplaceAll(strings.TrimPrefix(c.Example, "  "), "\n  ", "\n"))
	}
}

// flagTable lists flags; --help goes without saying.
func (a *app) flagTable(b *strings.Builder, flags *pflag.FlagSet) {
	rows := 0
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		if rows++; rows == 1 {
			fmt.Fprintf(b, "| %s | %s | %s |\n|---|---|---|\n", a.say("ref.flag"), a.say("ref.meaning"), a.say("ref.default"))
		}
		name := "`--" + f.Name + "`"
		if f.Shorthand != "" {
			name = "`-" + f.Shorthand + "`, " + name
		}
		kind, usage := pflag.UnquoteUsage(f)
		if kind != "" {
			name += " " + kind
		}
		def := ""
		switch f.DefValue {
		case "", "false", "[]", "0", "0s":
		default:
			def = "`" + f.DefValue + "`"
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", name, cell(usage), def)
	})
	if rows > 0 {
		b.WriteString("\n")
	}
}

func cell(s string) string { return strings.ReplaceAll(strings.ReplaceAll(s, "|", `\|`), "\n", " ") }
