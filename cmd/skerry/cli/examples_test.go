package cli

import (
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// Every example must be a command line that is understood: the command exists,
// its flags are known and its arguments are as many as it takes.
func TestExamplesAreUnderstood(t *testing.T) {
	node := func(use, key string) NodeCommand {
		return func(a Asker) *cobra.Command {
			return a.Command(use, key, func(*cobra.Command, []string) error { return nil })
		}
	}
	world := World{Stdout: io.Discard, Stderr: io.Discard, Stdin: strings.NewReader(""), Env: func(string) string { return "" }, Home: func() (string, error) { return "", nil },
		Node: []NodeCommand{node("daemon", "daemon"), node("reset", "reset")}}
	used := map[string]bool{}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Example != "" {
			used[c.Annotations["key"]] = true
		}
		for _, child := range c.Commands() {
			walk(child)
		}
	}
	walk(newApp(world).root())
	for key, lines := range examples {
		if !used[key] {
			t.Errorf("examples of %q, which is no command", key)
		}
		for line := range strings.SplitSeq(lines, "\n") {
			if i := strings.Index(line, "| skerry "); i >= 0 {
				line = line[i+2:]
			}
			line, _, _ = strings.Cut(line, " >")
			words := strings.Fields(line)
			if len(words) < 2 || words[0] != "skerry" {
				t.Errorf("%q is no command line of skerry", line)
				continue
			}
			if key == "daemon" || key == "reset" {
				continue // their flags are main's; a test there parses them
			}
			c, rest, err := newApp(world).root().Find(words[1:])
			if err != nil || c.Annotations["key"] != key {
				t.Errorf("%q is an example of %q: %v", line, c.CommandPath(), err)
				continue
			}
			if c.DisableFlagParsing {
				continue
			}
			if err := c.ParseFlags(rest); err != nil {
				t.Errorf("%q: %v", line, err)
				continue
			}
			if c.Args != nil {
				if err := c.Args(c, c.Flags().Args()); err != nil {
					t.Errorf("%q: %v", line, err)
				}
			}
		}
	}
}
