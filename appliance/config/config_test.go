package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skerryhq/skerry/appliance/config"
)

func noEnv(string) string { return "" }

func TestLaterSourcesWin(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte("data_dir: /srv/skerry\nname: alpha\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.Default(), file, func(k string) string {
		return map[string]string{"SKERRY_NAME": "beta"}[k]
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.DataDir != "/srv/skerry" || c.Name != "beta" || c.Listen != "0.0.0.0:7443" {
		t.Fatalf("got %+v", c)
	}
	if _, err := config.Load(config.Default(), file+".missing", noEnv); err == nil {
		t.Fatal("a file that the user named may not be missing")
	}
	if err := os.WriteFile(file, []byte("data_dri: /srv\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(config.Default(), file, noEnv); err == nil || !strings.Contains(err.Error(), "data_dri") {
		t.Fatalf("an unknown key must be named, got %v", err)
	}
}

func TestResolveNamesEveryProblem(t *testing.T) {
	c := config.Default()
	c.Listen, c.Name, c.LogLevel, c.RunDir, c.Advertise = "here", "No Good", "loud", "/"+strings.Repeat("x", 80), "nowhere"
	_, err := c.Resolve()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{`listen: "here"`, `name: "No Good"`, `log_level: "loud"`, "run_dir:", "advertise:"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not named in:\n%v", want, err)
		}
	}
	c = config.Default()
	c.Name = "n1"
	if c, err = c.Resolve(); err != nil || c.EngineDir == "" {
		t.Fatalf("the default does not resolve: %v", err)
	}
}
