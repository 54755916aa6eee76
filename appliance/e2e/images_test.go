package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/apptest"
	"github.com/skerryhq/skerry/appliance/apptest/debimage"
)

// load imports images that were made from Debian's packages.
func load(t *testing.T, n *apptest.Node, names ...string) {
	t.Helper()
	for _, name := range names {
		file, err := debimage.Archive(t.Context(), name)
		if err != nil {
			t.Fatalf("make the image %s: %v", name, err)
		}
		n.OK("image", "import", file)
	}
}

// killEngine kills the node's containerd.
func killEngine(t *testing.T, n *apptest.Node) {
	t.Helper()
	out, err := exec.Command("pkill", "-9", "-f", filepath.Join(n.RunDir, "engine", "config.toml")).CombinedOutput()
	if err != nil {
		t.Fatalf("kill the engine: %v %s", err, out)
	}
}

// TestRealPrograms runs nginx, redis and postgresql with volumes and ports, uses
// them with their own clients, and finds the data again after stop and start
// and after kill -9 of daemon and engine.
func TestRealPrograms(t *testing.T) {
	n := apptest.Start(t)
	load(t, n, "nginx", "redis", "postgres")
	compose := filepath.Join(t.TempDir(), "compose.yaml")
	if err := os.WriteFile(compose, []byte(`name: shop
services:
  web:
    image: nginx
    ports: ["8080:80"]
    volumes: ["pages:/var/www/html"]
    restart: always
  cache:
    image: redis
    ports: ["6379:6379"]
    volumes: ["cache:/data"]
    restart: always
  db:
    image: postgres
    environment:
      POSTGRES_PASSWORD: secret
    ports: ["5432:5432"]
    volumes: ["pgdata:/var/lib/postgresql/data"]
    restart: always
volumes:
  pages:
  cache:
  pgdata:
`), 0o600); err != nil {
		t.Fatal(err)
	}
	n.OK("app", "deploy", "-f", compose)

	redis := func(args ...string) string {
		out, err := n.Outside.Try(append([]string{"redis-cli", "-h", "192.0.2.1"}, args...)...)
		if err != nil {
			return ""
		}
		return strings.TrimSpace(out)
	}
	psql := func(sql string) string {
		out, err := n.Outside.Try("env", "PGPASSWORD=secret", "PGCONNECT_TIMEOUT=3", "psql", "-h", "192.0.2.1", "-U", "postgres", "-tAc", sql)
		if err != nil {
			return ""
		}
		return strings.TrimSpace(out)
	}
	serve := func(what string) {
		t.Helper()
		n.Eventually(60*time.Second, what+": nginx serves", func() bool { return strings.Contains(n.Curl(n.Outside, "http://192.0.2.1:8080/"), "html") })
		n.Eventually(60*time.Second, what+": redis answers", func() bool { return redis("ping") == "PONG" })
		n.Eventually(120*time.Second, what+": postgresql answers", func() bool { return psql("select 1") == "1" })
	}
	serve("deployed")

	if got := redis("set", "answer", "42"); got != "OK" {
		t.Fatalf("redis set: %q", got)
	}
	if psql("create table t(n int)") != "CREATE TABLE" || psql("insert into t select generate_series(1, 1000)") != "INSERT 0 1000" {
		t.Fatal("postgresql does not take data")
	}
	n.OK("exec", "shop-web-1", "busybox", "sh", "-c", "echo our own page > /var/www/html/own.html")

	intact := func(what string) {
		t.Helper()
		serve(what)
		if got := redis("get", "answer"); got != "42" {
			t.Errorf("%s: redis has %q", what, got)
		}
		if got := psql("select count(*) from t"); got != "1000" {
			t.Errorf("%s: postgresql has %q rows", what, got)
		}
		if got := n.Curl(n.Outside, "http://192.0.2.1:8080/own.html"); got != "our own page\n" {
			t.Errorf("%s: nginx has %q", what, got)
		}
	}

	n.OK("app", "stop", "shop")
	if out := n.OK("ps"); strings.Contains(out, "shop-") {
		t.Errorf("after stop something runs:\n%s", out)
	}
	n.OK("app", "start", "shop")
	intact("stopped and started")

	pids := func() string {
		out := ""
		for _, name := range []string{"shop-web-1", "shop-cache-1", "shop-db-1"} {
			var c struct{ Status struct{ PID int } }
			n.JSON(&c, "inspect", name)
			out += fmt.Sprint(c.Status.PID, " ")
		}
		return out
	}
	before := pids()
	n.Kill()
	if got := redis("get", "answer"); got != "42" { // the data plane does not need the daemon
		t.Errorf("without the daemon: redis has %q", got)
	}
	n.Daemon()
	if after := pids(); after != before {
		t.Errorf("kill -9 of the daemon restarted containers: pids %s, then %s", before, after)
	}
	intact("daemon killed")

	killEngine(t, n)
	n.Eventually(30*time.Second, "the engine is back", func() bool {
		_, status := n.Try("exec", "shop-web-1", "busybox", "true")
		return status == 0
	})
	if after := pids(); after != before {
		t.Errorf("kill -9 of the engine restarted containers: pids %s, then %s", before, after)
	}
	intact("engine killed")

	n.OK("app", "rm", "shop")
	n.Eventually(60*time.Second, "the app is gone", func() bool { return !strings.Contains(n.OK("ps", "-a"), "shop-") })
	if out := n.OK("volume", "ls"); !strings.Contains(out, "pgdata") {
		t.Errorf("removing the app took the volumes:\n%s", out)
	}
}
