package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skerryhq/skerry/cmd/skerry/cli"
)

var update = flag.Bool("update", false, "rewrite docs/cli.md and docs/cli.zh.md")

// docs/cli.md is the program's own help; `make docs` writes it.
func TestDocsOfTheCommandLineAreCurrent(t *testing.T) {
	for lang, name := range map[string]string{"en": "cli.md", "zh": "cli.zh.md"} {
		want := cli.Reference(lang, daemonCommand, resetCommand)
		if !strings.Contains(want, "### skerry daemon") || !strings.Contains(want, "--san") {
			t.Errorf("%s lacks the node's commands", name)
		}
		path := filepath.Join("..", "..", "docs", name)
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		have, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(have) != want {
			t.Errorf("docs/%s is not current: run make docs", name)
		}
	}
}

func TestExamplesOfNodeCommandsAreUnderstood(t *testing.T) {
	ref := cli.Reference("en", daemonCommand, resetCommand)
	lines := 0
	for line := range strings.Lines(ref) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "skerry" || words[1] != "daemon" && words[1] != "reset" || strings.Contains(line, "[flags]") {
			continue
		}
		lines++
		var out strings.Builder
		world := cli.World{Stdout: &out, Stderr: &out, Stdin: strings.NewReader(""), Env: func(string) string { return "" },
			Home: func() (string, error) { return t.TempDir(), nil }, Node: []cli.NodeCommand{daemonCommand, resetCommand}}
		if status := cli.Main(t.Context(), append(words[1:], "--help"), world); status != 0 {
			t.Errorf("%q: status %d: %s", line, status, out.String())
		}
	}
	if lines < 4 {
		t.Errorf("only %d examples were found", lines)
	}
}
