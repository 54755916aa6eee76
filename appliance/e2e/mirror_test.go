package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/skerryhq/skerry/appliance/apptest"
)

// companyRegistry runs Debian's docker-registry outside of the node, with a
// certificate of a company's authority and the account bot, and puts an image
// into it. end ends it.
func companyRegistry(t *testing.T, n *apptest.Node, image, password string) (ca string, end func()) {
	t.Helper()
	dir := t.TempDir()
	ca, cert, key := companyCertificate(t, "192.0.2.2")
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"htpasswd": "bot:" + string(hash) + "\n",
		"config.yml": fmt.Sprintf(`version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: %[1]s/data}}
http: {addr: "192.0.2.2:5000", tls: {certificate: %[2]s, key: %[3]s}}
auth: {htpasswd: {realm: corp, path: %[1]s/htpasswd}}
`, dir, cert, key),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := n.Outside.Start("docker-registry", "serve", filepath.Join(dir, "config.yml"))
	n.Eventually(20*time.Second, "the company's registry answers", func() bool {
		_, err := n.Outside.Try("curl", "-fsk", "-u", "bot:"+password, "https://192.0.2.2:5000/v2/")
		return err == nil
	})
	archive := filepath.Join(dir, "image.tar")
	n.BusyboxArchive(archive)
	n.Outside.Run("skopeo", "--tmpdir", dir, "copy", "-q", "--dest-tls-verify=false", "--dest-creds", "bot:"+password, "oci-archive:"+archive, "docker://192.0.2.2:5000/"+image)
	return ca, func() {
		if err := p.Kill(); err != nil {
			t.Errorf("end the company's registry: %v", err)
		}
	}
}

// TestMirror: an administrator names a company's registry; its images run, and
// clients pull them through, also when it is gone.
func TestMirror(t *testing.T) {
	n := apptest.Start(t)
	const password = "s3cret of the bot"
	ca, end := companyRegistry(t, n, "shop/web:1", password)
	word := filepath.Join(t.TempDir(), "password")
	people := filepath.Join(t.TempDir(), "people")
	for file, text := range map[string]string{word: password + "\n", people: "correct horse battery\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n.OK("tenant", "create", "other")
	n.OK("user", "create", "ada", "--member", "default=developer", "--password-file", people)
	n.OK("user", "create", "bob", "--member", "other=developer", "--password-file", people)

	n.Refused("is no host as in image names", "upstream", "create", "https://registry.corp")
	n.Refused("an endpoint bears no user and no password", "upstream", "create", "registry.corp", "--endpoint", "https://bot:x@192.0.2.2:5000")
	n.Refused("there is no password for the user bot", "upstream", "create", "registry.corp", "-u", "bot")
	n.Refused("holds no certificate", "upstream", "create", "registry.corp", "--ca", word)
	n.OK("upstream", "create", "registry.corp", "--endpoint", "https://192.0.2.2:9", "--endpoint", "https://192.0.2.2:5000", "-u", "bot", "--password-file", word, "--for", "default")
	out, status := n.Try("upstream", "test", "registry.corp")
	if status != 1 || !strings.Contains(out, "connection refused") || !strings.Contains(out, "signed by an authority that is not known here") || !strings.Contains(out, "2 of 2 endpoints failed") {
		t.Errorf("test: %d\n%s", status, out)
	}
	n.OK("upstream", "set", "registry.corp", "--ca", ca)
	if out, _ := n.Try("upstream", "test", "registry.corp"); !strings.Contains(out, "https://192.0.2.2:5000: ok") || !strings.Contains(out, "1 of 2 endpoints failed") {
		t.Errorf("test with the CA:\n%s", out)
	}
	for _, args := range [][]string{{"upstream", "inspect", "registry.corp"}, {"upstream", "ls", "--json"}, {"audit", "--json"}} {
		if out := n.OK(args...); strings.Contains(out, password) {
			t.Errorf("%v shows the password:\n%s", args, out)
		}
	}
	if out := n.OK("upstream", "ls"); !strings.Contains(out, "registry.corp") || !strings.Contains(out, "default") {
		t.Errorf("ls:\n%s", out)
	}

	// It runs, for the tenant that it serves.
	n.OK("run", "-d", "-n", "web", "registry.corp/shop/web:1")
	n.Eventually(30*time.Second, "it runs", func() bool { return n.Phase("web") == "running" })
	n.Refused("wants a user name and password", "--tenant", "other", "run", "-d", "-n", "web2", "registry.corp/shop/web:1")
	n.Refused("has no such image", "image", "pull", "registry.corp/shop/web:none")

	// Clients outside pull it through.
	pull := func(who, name string) (string, error) {
		creds := []string{"--src-no-creds"}
		if who != "" {
			creds = []string{"--src-creds", who + ":correct horse battery"}
		}
		args := append([]string{"skopeo", "--tmpdir", t.TempDir(), "copy", "-q", "--src-tls-verify=false"}, creds...)
		return n.Outside.Try(append(args, "docker://192.0.2.1:7443/"+name, "dir:"+t.TempDir())...)
	}
	if out, err := pull("ada", "registry.corp/shop/web:1"); err != nil {
		t.Errorf("ada: %v %s", err, out)
	}
	for _, who := range []string{"bob", ""} {
		if out, err := pull(who, "registry.corp/shop/web:1"); err == nil {
			t.Errorf("%q pulled what does not serve them: %s", who, out)
		}
	}
	if out := n.OK("upstream", "inspect", "registry.corp"); !strings.Contains(out, `"repositories": 1`) {
		t.Errorf("cached:\n%s", out)
	}

	// The company's registry is gone, and so is the Internet; the daemon dies once.
	end()
	n.Kill()
	n.Daemon()
	if out, err := pull("ada", "registry.corp/shop/web:1"); err != nil {
		t.Errorf("without the upstream: %v %s", err, out)
	}
	n.OK("run", "-d", "-n", "web3", "--pull", "always", "registry.corp/shop/web:1")
	n.Refused("registry.corp could not be reached at https://192.0.2.2:5000 (connection refused", "image", "pull", "registry.corp/shop/web:2")
	n.Refused("docker.io could not be reached", "run", "nginx")
	n.OK("upstream", "set", "registry.corp", "--disable")
	n.Refused("an administrator has switched that upstream off", "image", "pull", "registry.corp/shop/web:1")
	n.OK("upstream", "rm", "registry.corp")
	if out, err := pull("ada", "registry.corp/shop/web:1"); err == nil {
		t.Errorf("the cache outlives its upstream: %s", out)
	}
	if n.Phase("web") != "running" {
		t.Error("what ran from it suffered")
	}
}
