package ui

import (
	"io/fs"
	"strings"
	"testing"
)

func TestEmbeddedConsole(t *testing.T) {
	page, err := fs.ReadFile(FS(), "index.html")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "<title>Skerry</title>") {
		t.Errorf("index.html is not the console's: %q", page)
	}
	if strings.Contains(string(page), "<script>") || strings.Contains(string(page), "<style") {
		t.Error("index.html holds inline code, which the policy it is served under refuses")
	}
	if Built() == strings.Contains(string(page), "built without the console") {
		t.Errorf("Built() is %v, but index.html says otherwise", Built())
	}
	if !Built() {
		return
	}
	scripts, err := fs.Glob(FS(), "assets/*.js")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("the console has no scripts (%v)", err)
	}
	for _, name := range scripts {
		plain, err := fs.Stat(FS(), name)
		if err != nil {
			t.Fatal(err)
		}
		twin, err := fs.Stat(FS(), name+".br")
		if plain.Size() >= 1024 && (err != nil || twin.Size() >= plain.Size()) {
			t.Errorf("%s has no smaller compressed twin (%v); was it built by `npm run build`?", name, err)
		}
	}
}
