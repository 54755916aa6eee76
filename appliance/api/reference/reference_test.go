package reference_test

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/skerryhq/skerry/appliance/api/reference"
)

var update = flag.Bool("update", false, "rewrite docs/api.md")

func TestDocsOfTheAPIAreCurrent(t *testing.T) {
	openapi, err := os.ReadFile(filepath.Join("..", "openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := reference.Markdown(openapi)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range regexp.MustCompile(`operationId: (\w+)`).FindAllStringSubmatch(string(openapi), -1) {
		if !strings.Contains(want, "\n### "+id[1]+"\n") {
			t.Errorf("the page lacks the operation %s", id[1])
		}
	}
	for _, link := range regexp.MustCompile(`\]\(#(\w+)\)`).FindAllStringSubmatch(want, -1) {
		if !regexp.MustCompile(`(?mi)^##+ ` + link[1] + `$`).MatchString(want) {
			t.Errorf("a link leads to %s, which is not there", link[1])
		}
	}
	path := filepath.Join("..", "..", "..", "docs", "api.md")
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != want {
		t.Error("docs/api.md is not current: run make docs")
	}
}

func TestWhatIsNotKnownIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"": "servers",
		"servers: [{url: /x}]\ntags: [{name: a, description: A}]\npaths: {/p: {trace: {tags: [a]}}}":                                                                               "trace",
		"servers: [{url: /x}]\ntags: [{name: a, description: A}]\npaths: {/p: {get: {tags: [b]}}}":                                                                                 "tag",
		"servers: [{url: /x}]\ntags: [{name: a, description: A}]\npaths: {/p: {get: {tags: [a], operationId: g, parameters: [{$ref: '#/components/parameters/Q'}]}}}":              "parameter Q",
		"servers: [{url: /x}]\ntags: [{name: a, description: A}]\npaths: {/p: {get: {tags: [a], operationId: g, responses: {default: {$ref: '#/components/responses/Nowhere'}}}}}": "response Nowhere",
	} {
		if _, err := reference.Markdown([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want a refusal with %q", text, err, want)
		}
	}
}
