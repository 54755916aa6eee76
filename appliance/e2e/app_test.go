package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/apptest"
	"github.com/skerryhq/skerry/raft/model"
)

// containersOf lists an app's containers by name.
func containersOf(t *testing.T, n *apptest.Node, app string) map[string]model.Container {
	t.Helper()
	var all []model.Container
	list(t, n, &all, "ps", "-a", "--filter", "app="+app)
	out := map[string]model.Container{}
	for _, c := range all {
		out[c.Name] = c
	}
	return out
}

func ids(of map[string]model.Container) string {
	var out []string
	for name, c := range of {
		out = append(out, fmt.Sprintf("%s %s %d", name, c.ID, c.Status.Task))
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// TestCompose deploys a file with every key that is supported, and looks for
// each in the containers; then the same file again, changes, scale, stop,
// start, history, rollback and removal.
func TestCompose(t *testing.T) {
	n := apptest.Start(t)
	n.Busybox()
	n.Probe()
	before := n.Footprint()
	dir := t.TempDir()
	put := func(name, text string) string {
		t.Helper()
		path := dir + "/" + name
		writeTo(t, path, text)
		return path
	}
	put("web.env", "FROM_FILE=file\nBOTH=file\n")
	put(".env", "TAG=latest\nPORT=8080\n")
	const text = `
name: shop
services:
  web:
    image: probe:${TAG}
    entrypoint: ["/probe", "tcp"]
    command: ["80"]
    ports: ["${PORT}:80"]
    deploy:
      replicas: 3
      resources:
        limits: {cpus: "0.5", memory: 64M}
  box:
    image: busybox
    command: sh -c 'exit_code=0; sleep 1000000'
    environment:
      BOTH: inline
      LIST: "a b"
    env_file: [web.env]
    volumes: ["data:/store", "data:/again:ro"]
    labels: {team: blue}
    user: "1000:1001"
    working_dir: /tmp
    restart: on-failure:2
volumes:
  data:
`
	file := put("compose.yaml", text)
	n.OK("app", "deploy", "-f", file)
	first := containersOf(t, n, "shop")
	if len(first) != 4 {
		t.Fatalf("deployed:\n%s", ids(first))
	}
	out := n.OK("exec", "shop-box-1", "sh", "-c", "echo $BOTH,$LIST,$FROM_FILE; pwd; id -u; id -g; touch /again/x 2>/dev/null || echo ro")
	if out != "inline,a b,file\n/tmp\n1000\n1001\nro" {
		t.Errorf("the box says %q", out)
	}
	box, web := first["shop-box-1"].Spec, first["shop-web-1"].Spec
	if box.Labels["team"] != "blue" || box.Restart != model.RestartOnFailure || box.RestartMax != 2 {
		t.Errorf("the box is %+v", box)
	}
	if web.CPUMillis != 500 || web.MemoryBytes != 64<<20 {
		t.Errorf("web's limits are %d, %d", web.CPUMillis, web.MemoryBytes)
	}
	n.Eventually(10*time.Second, "web answers", func() bool { return strings.HasPrefix(ask(n, true, nodeIP+":8080"), "shop-web-") })

	n.OK("app", "deploy", "-f", file)
	if again := containersOf(t, n, "shop"); ids(again) != ids(first) {
		t.Errorf("the same file again changed containers:\n%s\nwere:\n%s", ids(again), ids(first))
	}

	// A change of one service replaces its containers, one after the other, and
	// leaves the other service alone. Somebody always answers.
	stop := make(chan struct{})
	missed := make(chan int, 1)
	go func() {
		bad := 0
		for {
			select {
			case <-stop:
				missed <- bad
				return
			case <-time.After(20 * time.Millisecond):
			}
			if lines, err := n.Outside.Ask(nodeIP+":8080", 2*time.Second); err != nil || len(lines) == 0 {
				bad++
			}
		}
	}()
	least := 3
	changed := put("compose.yaml", strings.Replace(text, "memory: 64M", "memory: 96M", 1))
	update := n.Begin("app", "deploy", "-f", changed)
	n.Eventually(60*time.Second, "all are replaced", func() bool {
		running, fresh := 0, 0
		for name, c := range containersOf(t, n, "shop") {
			if strings.HasPrefix(name, "shop-web") && c.Status.Phase == model.PhaseRunning && !c.Assign.Remove {
				running++
				if c.Spec.MemoryBytes == 96<<20 {
					fresh++
				}
			}
		}
		least = min(least, running)
		return fresh == 3 && running == 3
	})
	if status := update.Wait(); status != 0 {
		t.Errorf("the update ended with %d: %s", status, update.Errors())
	}
	close(stop)
	if bad := <-missed; bad > 3 {
		t.Errorf("%d requests were not answered while the update rolled", bad)
	}
	if least < 2 {
		t.Errorf("only %d of 3 ran while the update rolled", least)
	}
	second := containersOf(t, n, "shop")
	if second["shop-box-1"].ID != first["shop-box-1"].ID || second["shop-box-1"].Status.Task != 1 {
		t.Error("a change of web touched the box")
	}

	n.OK("service", "scale", "shop.web=5")
	n.Eventually(20*time.Second, "five", func() bool { return len(containersOf(t, n, "shop")) == 6 })
	n.OK("service", "scale", "shop.web=1")
	n.Eventually(20*time.Second, "one", func() bool { return len(containersOf(t, n, "shop")) == 2 })
	left := containersOf(t, n, "shop")
	if left["shop-web-1"].ID != second["shop-web-1"].ID {
		t.Errorf("scaling took the first one: %s", ids(left))
	}

	n.OK("app", "stop", "shop")
	for name, c := range containersOf(t, n, "shop") {
		if c.Status.Phase != model.PhaseExited {
			t.Errorf("after stop %s is %s", name, c.Status.Phase)
		}
	}
	n.OK("app", "start", "shop")
	for name, c := range containersOf(t, n, "shop") {
		if c.Status.Phase != model.PhaseRunning || c.ID != left[name].ID || c.Assign.Address != left[name].Assign.Address {
			t.Errorf("after start %s is %s, id %s at %s", name, c.Status.Phase, c.ID, c.Assign.Address)
		}
	}

	if out := n.OK("app", "history", "shop"); strings.Count(out, "\n") < 2 {
		t.Errorf("history:\n%s", out)
	}
	n.OK("app", "rollback", "--to", "1", "shop")
	n.Eventually(60*time.Second, "the first revision is back", func() bool {
		all := containersOf(t, n, "shop")
		fit := 0
		for name, c := range all {
			if strings.HasPrefix(name, "shop-web") && c.Spec.MemoryBytes == 64<<20 && c.Status.Phase == model.PhaseRunning {
				fit++
			}
		}
		return fit == 3 && len(all) == 4
	})
	n.OK("exec", "shop-box-1", "true")
	if out := n.OK("app", "export", "shop"); !strings.Contains(out, "services:") {
		t.Errorf("export: %s", out)
	}

	// A service that is no longer in the file goes.
	n.OK("app", "deploy", "-f", put("compose.yaml", "name: shop\nservices:\n  box:\n    image: busybox\n"))
	n.Eventually(30*time.Second, "web is gone", func() bool { return len(containersOf(t, n, "shop")) == 1 })
	n.OK("app", "rm", "-f", "--volumes", "shop")
	if out := n.OK("volume", "ls", "-q"); out != "shop_data" {
		t.Errorf("a volume that the app no longer named: %q", out)
	}
	n.OK("app", "deploy", "-f", put("compose.yaml", text))
	n.OK("app", "rm", "-f", "--volumes", "shop")
	if out := n.OK("volume", "ls", "-q"); out != "" {
		why, _ := n.Try("volume", "rm", "shop_data")
		t.Errorf("--volumes left %q: %s", out, why)
	}
	n.Refused("no app", "app", "inspect", "shop")
	n.Restored(before)
}

// TestPlan shows what a deploy would do without doing it.
func TestPlan(t *testing.T) {
	n := apptest.Start(t)
	file := write(t, "compose.yaml", "name: shop\nservices:\n  web:\n    image: library/welcome\n    ports: [\"8080:80\"]\n")
	if out := n.OK("app", "deploy", "-f", file, "--plan"); !strings.Contains(out, "create") || !strings.Contains(out, "web") {
		t.Errorf("plan: %s", out)
	}
	if out := n.OK("app", "ls", "-q"); out != "" {
		t.Errorf("the plan made %s", out)
	}
	n.OK("app", "deploy", "-f", file)
	if out := n.OK("app", "deploy", "-f", file, "--plan"); !strings.Contains(out, "keep") {
		t.Errorf("plan of what runs: %s", out)
	}
	if out := n.OK("app", "deploy", "-f", file); !strings.Contains(out, "nothing changed") {
		t.Errorf("the same file again: %s", out)
	}
	for text, want := range map[string]string{"8081:80": "update", "8080:80\"]\n    environment: [\"A=1": "replace"} {
		other := write(t, "other.yaml", "name: shop\nservices:\n  web:\n    image: library/welcome\n    ports: [\""+text+"\"]\n")
		if out := n.OK("app", "deploy", "-f", other, "--plan"); !strings.Contains(out, want) {
			t.Errorf("plan of %q: %s", text, out)
		}
	}
}
