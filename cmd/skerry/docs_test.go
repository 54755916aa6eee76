package main

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
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

// Every command line of the pages that people type from must be understood:
// the command exists and its flags are known.
func TestCommandsOfTheDocsAreUnderstood(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join("..", "..", "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	known := cli.Reference("en", daemonCommand, resetCommand)
	lines := 0
	for _, page := range append(pages, filepath.Join("..", "..", "README.md"), filepath.Join("..", "..", "README.zh.md")) {
		if base := filepath.Base(page); base == "cli.md" || base == "cli.zh.md" {
			continue // generated, and looked at above
		}
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		inBlock := false
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "```") {
				inBlock = !inBlock
				continue
			}
			if !inBlock {
				continue
			}
			line, _, _ = strings.Cut(line, " #")
			for _, part := range strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(";|&", r) }) {
				words := strings.Fields(strings.TrimPrefix(strings.TrimSpace(part), "bin/"))
				if len(words) < 2 || words[0] != "skerry" || words[1] == "..." {
					continue
				}
				lines++
				var out strings.Builder
				world := cli.World{Stdout: &out, Stderr: &out, Stdin: strings.NewReader(""), Env: func(string) string { return "" },
					Home: func() (string, error) { return t.TempDir(), nil }, Node: []cli.NodeCommand{daemonCommand, resetCommand}}
				path := 2 // words of the command's own name
				if len(words) > 2 && strings.Contains(known, "\n### skerry "+words[1]+" "+words[2]+"\n") {
					path = 3
				}
				name := strings.Join(words[:path], " ")
				if !strings.Contains(known, "\n### "+name+"\n") {
					t.Errorf("%s: there is no command %q", filepath.Base(page), name)
					continue
				}
				args := append(append(slices.Clone(words[1:path]), "--help"), words[path:]...)
				if status := cli.Main(t.Context(), args, world); status != 0 {
					t.Errorf("%s: %q: status %d: %s", filepath.Base(page), strings.Join(words, " "), status, out.String())
				}
			}
		}
	}
	if lines < 40 {
		t.Errorf("only %d command lines were found", lines)
	}
}
