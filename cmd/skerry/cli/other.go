package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerryhq/skerry/appliance/api/client"
)

// Version is what `skerry version` prints; main sets it.
var Version = "dev"

func (a *app) otherCommands() []*cobra.Command {
	version := a.Command("version", "version", func(cmd *cobra.Command, _ []string) error {
		v := map[string]string{"client": Version, "go": runtime.Version(), "os": runtime.GOOS, "architecture": runtime.GOARCH}
		// The server's version is shown where one answers at once; that none does is
		// no failure of this command.
		ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
		defer cancel()
		if c, err := a.connect(); err == nil {
			if cl, err := answer[client.Cluster](c.GetCluster(ctx)); err == nil {
				v["server"] = cl.SkerryVersion
			}
		}
		if a.json {
			return a.printJSON(v)
		}
		pairs := []string{}
		for _, k := range []string{"client", "server", "go", "os", "architecture"} {
			if v[k] != "" {
				pairs = append(pairs, k, v[k])
			}
		}
		return a.details(pairs...)
	})
	version.Args = a.exactly(0)
	completion := a.Command("completion bash|zsh|fish", "completion", func(cmd *cobra.Command, args []string) error {
		root := cmd.Root()
		switch args[0] {
		case "bash":
			return root.GenBashCompletionV2(a.Stdout, true)
		case "zsh":
			return root.GenZshCompletion(a.Stdout)
		case "fish":
			return root.GenFishCompletion(a.Stdout, true)
		}
		return usagef("%s", a.say("completion.which", args[0]))
	})
	completion.Args = a.exactly(1)
	completion.ValidArgs = []string{"bash", "zsh", "fish"}
	return []*cobra.Command{version, completion, a.initCommand()}
}

// complete gives a completion of names, asked for from the cluster with little
// patience.
func (a *app) complete(sources ...func(context.Context) []string) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		ctx := cmd.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		var out []string
		for _, s := range sources {
			for _, name := range s(ctx) {
				if strings.HasPrefix(name, prefix) {
					out = append(out, name)
				}
			}
		}
		slices.Sort(out)
		directive := cobra.ShellCompDirectiveNoFileComp
		if out = slices.Compact(out); len(out) > 0 && strings.HasSuffix(out[0], "=") || len(out) > 0 && strings.HasSuffix(out[0], ":") {
			directive |= cobra.ShellCompDirectiveNoSpace
		}
		return out, directive
	}
}

// cookies keeps the session's cookie for the few requests of a login, whatever
// its attributes say.
type cookies struct{ kept []*http.Cookie }

// SetCookies keeps the cookies of an answer.
func (c *cookies) SetCookies(_ *url.URL, more []*http.Cookie) { c.kept = append(c.kept, more...) }

// Cookies gives them for a request.
func (c *cookies) Cookies(*url.URL) []*http.Cookie { return c.kept }

// usageTemplate is cobra's, in the user's language.
func (a *app) usageTemplate() string {
	say := func(key string) string { return strings.ReplaceAll(a.say(key), "{{", "") }
	return fmt.Sprintf(`%s{{if .HasAvailableSubCommands}}
  {{.CommandPath}} %s{{else}}
  {{.UseLine}}{{end}}{{if .HasAvailableSubCommands}}

%s{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding }}  {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

%s
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasExample}}

%s
{{.Example}}{{end}}{{if .HasAvailableInheritedFlags}}

%s
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}
`, say("help.usage"), say("help.command"), say("help.commands"), say("help.flags"), say("help.examples"), say("help.global"))
}
