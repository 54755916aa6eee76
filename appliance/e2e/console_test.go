package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/skerryhq/skerry/appliance/apptest"
)

// TestConsole drives the console in a real Chromium against a real node, both
// in the node's own network: setup, sign-in, deploy, open, log, scale, remove,
// in both languages. The steps are in ui/e2e.
func TestConsole(t *testing.T) {
	_, here, _, _ := runtime.Caller(0)
	ui := filepath.Join(filepath.Dir(here), "..", "..", "ui")
	if _, err := os.Stat(filepath.Join(ui, "node_modules", "playwright-core")); err != nil {
		t.Fatal("ui/node_modules is missing: run make build first")
	}
	if _, err := os.Stat("/usr/bin/chromium"); err != nil {
		t.Fatal("chromium is missing: packaging/deps.sh test installs it")
	}
	n := apptest.New(t)
	n.Daemon()
	var born struct{ SetupToken string }
	n.JSON(&born, "init")

	cmd := exec.CommandContext(t.Context(), "npm", "run", "--silent", "e2e")
	cmd.Dir = ui
	cmd.Env = append(os.Environ(), "SKERRY_URL=https://127.0.0.1:7443", "SKERRY_SETUP_TOKEN="+born.SetupToken)
	var out []byte
	err := n.Host.Do(func() (err error) {
		out, err = cmd.CombinedOutput()
		return err
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
