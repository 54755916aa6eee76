package e2e

import (
	"strings"
	"testing"

	"github.com/skerryhq/skerry/appliance/apptest"
)

// TestGrant makes a user without a role, who cannot sign in from a shell until
// an administrator grants one, and loses it again.
func TestGrant(t *testing.T) {
	n := apptest.New(t)
	n.Daemon()
	var made struct{ CaFingerprint string }
	n.JSON(&made, "init")
	const url = "https://192.0.2.1:7443"
	password, home := write(t, "password", "long enough 1\n"), t.TempDir()
	login := []string{"login", url, "-u", "ada", "--password-file", password, "--ca-fingerprint", made.CaFingerprint}
	hint := "skerry user grant ada default=developer"
	if _, errs, status := n.Run(nil, "user", "create", "ada", "--password-file", password); status != 0 || !strings.Contains(errs, hint) {
		t.Fatalf("user create: %d %s", status, errs)
	}
	if _, errs, status := n.Remote(home, "--host", url, "ps"); status != 1 || !strings.Contains(errs, "skerry login "+url) {
		t.Errorf("no login yet: %d %s", status, errs)
	}
	if _, errs, status := n.Remote(home, login...); status != 1 || !strings.Contains(errs, hint) {
		t.Errorf("login without a role: %d %s", status, errs)
	}
	if out := n.OK("user", "grant", "ada", "default=developer"); out != "ada default=developer" {
		t.Errorf("grant: %q", out)
	}
	if _, errs, status := n.Remote(home, login...); status != 0 {
		t.Fatalf("login of a developer: %d %s", status, errs)
	}
	if _, errs, status := n.Remote(home, "ps"); status != 0 {
		t.Errorf("ps of a developer: %d %s", status, errs)
	}
	if _, errs, status := n.Remote(home, "user", "grant", "ada", "admin"); status != 1 {
		t.Errorf("a developer made himself an administrator: %d %s", status, errs)
	}
	n.OK("user", "revoke", "ada", "default")
	if out, errs, status := n.Remote(home, "ps"); status == 0 {
		t.Errorf("ps after the role was taken: %s %s", out, errs)
	}
	n.OK("user", "grant", "ada", "auditor")
	var u struct{ Spec struct{ PlatformRole string } }
	n.JSON(&u, "user", "revoke", "ada", "auditor")
	if u.Spec.PlatformRole != "" {
		t.Errorf("auditor was not taken: %+v", u)
	}
	n.Refused("ada has no role auditor", "user", "revoke", "ada", "auditor")
	n.Refused("there is a user", "user", "create", "ada", "--password-file", password)
}
