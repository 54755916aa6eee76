package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/api/client"
	"github.com/skerryhq/skerry/raft/model"
)

func container(id, app, service string, slot int, phase model.Phase) string {
	name := app
	if slot > 1 {
		name = fmt.Sprintf("%s-%d", app, slot)
	}
	return fmt.Sprintf(`{"id":%q,"name":%q,"appId":"a-%s","appName":%q,"serviceId":"s-%s","serviceName":%q,"slot":%d,"tenantId":"t1",
		"createdAt":"2020-01-01T00:00:0%dZ","spec":{"image":"docker.io/library/nginx:1.27","restart":"no"},"assign":{"nodeId":"n1"},
		"status":{"phase":%q,"task":1,"restarts":0,"exitCode":3,"startedAt":"2020-01-01T00:00:00Z","finishedAt":"2020-01-01T00:00:00Z"}}`,
		id, name, app, app, service, service, slot, slot, phase)
}

// withContainers answers lists with two replicas of web and an ended job.
func withContainers(f *fake) {
	all := []string{container("aaaa1111", "web", "front", 1, "running"), container("aaab2222", "web", "front", 2, "running"), container("bbbb3333", "数据库", "db", 1, "exited")}
	f.on("GET /containers", `{"items":[`+strings.Join(all, ",")+`]}`)
	f.on("GET /services", `{"items":[{"id":"s-front","name":"front","appName":"web","spec":{"replicas":2},"status":{"running":2},"ports":[{"protocol":"tcp","hostPort":30000,"containerPort":80},{"protocol":"udp","hostIp":"127.0.0.1","hostPort":53,"containerPort":53}]}]}`)
	f.on("GET /nodes", `{"items":[{"id":"n1","name":"sea"}]}`)
	f.handle("GET /containers/{ref}", func(w http.ResponseWriter, r *http.Request) {
		for _, c := range all {
			var m model.Container
			if json.Unmarshal([]byte(c), &m) == nil && (m.ID == r.PathValue("ref") || m.Name == r.PathValue("ref")) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, c)
				return
			}
		}
		refuse(w, http.StatusNotFound, "not_found", "there is no such container")
	})
}

var ages = regexp.MustCompile(`\d+d`)

func TestPs(t *testing.T) {
	f := newFake(t)
	withContainers(f)
	golden(t, "ps.txt", ages.ReplaceAllString(f.skerry(nil, "", "ps").out, "AGE"))
	golden(t, "ps-all.txt", ages.ReplaceAllString(f.skerry(nil, "", "ps", "-a").out, "AGE"))
	if r := f.skerry(nil, "", "ps", "-q"); r.out != "web\nweb-2\n" {
		t.Errorf("ps -q: %q", r.out)
	}
	for filter, want := range map[string]int{"status=exited": 1, "app=web": 2, "name=we": 2, "image=nginx:1.27": 3, "label=x": 0, "service=db": 1} {
		if r := f.skerry(nil, "", "ps", "-q", "--filter", filter); strings.Count(r.out, "\n") != want {
			t.Errorf("--filter %s: %q", filter, r.out)
		}
	}
	var got client.ContainerList
	if err := json.Unmarshal([]byte(f.skerry(nil, "", "ps", "-a", "--json").out), &got); err != nil || len(got.Items) != 3 {
		t.Errorf("ps --json: %v, %d items", err, len(got.Items))
	}
	if r := f.skerry(nil, "", "--tenant", "ops", "ps"); r.code != 0 || !strings.Contains(strings.Join(f.requests(), "\n"), "tenant=ops") {
		t.Errorf("the tenant was not sent: %q", f.requests())
	}
}

func TestContainerNames(t *testing.T) {
	f := newFake(t)
	withContainers(f)
	f.on("POST /containers/{ref}/commit", `{"name":"docker.io/library/x:1"}`)
	f.handle("POST /containers/{ref}/kill", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	for word, id := range map[string]string{"web": "aaaa1111", "web-2": "aaab2222", "web.front": "aaaa1111", "front": "aaaa1111", "db": "bbbb3333", "bbb": "bbbb3333", "数据库": "bbbb3333"} {
		r := f.skerry(nil, "", "commit", word, "x:1")
		all := f.requests()
		if last := all[len(all)-1]; r.code != 0 || !strings.HasPrefix(last, "POST /api/v1/containers/"+id+"/commit") || !strings.Contains(last, `"x:1"`) {
			t.Errorf("%s: %+v, last request %s", word, r, last)
		}
	}
	if r := f.skerry(nil, "", "kill", "aaa"); r.code != 1 || !strings.Contains(r.err, `"aaa" means more than one: aaaa1111, aaab2222`) {
		t.Errorf("%+v", r)
	}
	if r := f.skerry(nil, "", "kill", "wbe-2"); r.code != 1 || r.err != "skerry: there is no container, service or app \"wbe-2\"; did you mean web-2?\n" {
		t.Errorf("%+v", r)
	}
	before := len(f.requests())
	if r := f.skerry(nil, "", "kill", "-s", "HUP", "web.front"); r.code != 0 || r.out != "web.front\n" || strings.Count(strings.Join(f.requests()[before:], "\n"), `/kill?tenant=t1 {"signal":"HUP"}`) != 2 {
		t.Errorf("every replica of a service: %+v, %q", r, f.requests()[before:])
	}
	r := f.skerry(nil, "", "kill", "nobody", "web-2", "nothing")
	if r.code != 1 || r.out != "web-2\n" || strings.Count(r.err, "there is no") != 2 {
		t.Errorf("several: %+v", r)
	}
}

// lastRun gives the service that the last `run` asked for.
func lastRun(t *testing.T, f *fake) (client.AppInput, client.ServiceInput) {
	t.Helper()
	all := f.requests()
	for i := len(all) - 1; i >= 0; i-- {
		if rest, ok := strings.CutPrefix(all[i], "POST /api/v1/apps"); ok {
			_, body, _ := strings.Cut(rest, " ")
			var in client.AppInput
			if err := json.Unmarshal([]byte(body), &in); err != nil {
				t.Fatal(err)
			}
			return in, in.Services[in.Name]
		}
	}
	t.Fatalf("no app was created: %q", all)
	return client.AppInput{}, client.ServiceInput{}
}

func TestRunFlags(t *testing.T) {
	f := newFake(t)
	f.on("POST /apps", `{"id":"a1","name":"x","status":{"phase":"running"}}`)
	envFile := filepath.Join(f.dir, "env")
	if err := os.WriteFile(envFile, []byte("# c\nA=1\n\nB=two words\nFROM\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		line string
		want func(client.AppInput, client.ServiceInput) any
		is   any
	}{
		{"run -d nginx", func(in client.AppInput, _ client.ServiceInput) any {
			return regexp.MustCompile(`^nginx-[0-9a-f]{4}$`).MatchString(in.Name)
		}, true},
		{"run -d host:5000/team/My_App:v1@sha256:0", func(in client.AppInput, _ client.ServiceInput) any { return strings.HasPrefix(in.Name, "my-app-") }, true},
		{"run -d -n a nginx -p 80", ports, []string{"0:80/tcp"}},
		{"run -d -n a -p :80 -p 8080:80/udp -p 127.0.0.1:1:2 nginx", ports, []string{"0:80/tcp", "8080:80/udp", "127.0.0.1:1:2/tcp"}},
		{"run -d -n a nginx -m 1g sh -c -d", command, []string{"sh", "-c", "-d"}},
		{"run -d -n a nginx -- -x y", command, []string{"-x", "y"}},
		{"run -d -n a -- nginx x", command, []string{"x"}},
		{"run -n a nginx -d sleep 5", command, []string{"sleep", "5"}},
		{"run -d -n a nginx", command, []string(nil)},
		{"run -d -n a -m 512m --cpus 1.5 --pids-limit 9 --read-only --privileged nginx", func(_ client.AppInput, s client.ServiceInput) any {
			return []any{s.Container.MemoryBytes, s.Container.CPUMillis, s.Container.PidsLimit, s.Container.ReadOnly, s.Container.Privileged}
		}, []any{int64(512 << 20), int64(1500), int64(9), true, true}},
		{"run -d -n a -e A=2 -e C= --env-file " + envFile + " nginx", func(_ client.AppInput, s client.ServiceInput) any { return s.Container.Env },
			[]model.EnvVar{{Name: "A", Value: "2"}, {Name: "B", Value: "two words"}, {Name: "FROM", Value: "here"}, {Name: "C", Value: ""}}},
		{"run -d -n a -v data:/x:ro --tmpfs /t:size=1m nginx", func(_ client.AppInput, s client.ServiceInput) any { return s.Container.Mounts },
			[]model.Mount{{Type: "volume", Source: "data", Path: "/x", ReadOnly: true}, {Type: "tmpfs", Path: "/t", SizeBytes: 1 << 20}}},
		{"run -d -n a --restart on-failure:3 --replicas 4 --rm nginx", func(_ client.AppInput, s client.ServiceInput) any {
			return []any{s.Container.Restart, s.Container.RestartMax, *s.Replicas, s.Container.AutoRemove}
		}, []any{model.RestartOnFailure, 3, 4, true}},
		{"run -d -n a -u 1:2 -w /w --entrypoint /e --stop-signal INT --stop-timeout 1m --label k=v -l e --cap-add cap_net_admin --cap-drop all nginx", func(_ client.AppInput, s client.ServiceInput) any {
			c := s.Container
			return []any{c.User, c.WorkingDir, c.Entrypoint, c.StopSignal, c.StopGraceSecs, c.Labels, c.CapAdd, c.CapDrop}
		}, []any{"1:2", "/w", []string{"/e"}, "INT", 60, map[string]string{"k": "v", "e": ""}, []string{"NET_ADMIN"}, []string{"ALL"}}},
		{"run -dit -n a nginx", func(_ client.AppInput, s client.ServiceInput) any { return []bool{s.Container.TTY, s.Container.Stdin} }, []bool{true, true}},
	} {
		r := f.skerry(map[string]string{"FROM": "here"}, "", strings.Fields(c.line)...)
		if r.code != 0 {
			t.Errorf("%s: %+v", c.line, r)
			continue
		}
		if got := c.want(lastRun(t, f)); !reflect.DeepEqual(got, c.is) {
			t.Errorf("%s: %#v, want %#v", c.line, got, c.is)
		}
	}
}

func ports(_ client.AppInput, s client.ServiceInput) any {
	var out []string
	for _, p := range s.Ports {
		text := fmt.Sprintf("%d:%d/%s", p.HostPort, p.Container, p.Protocol)
		if p.HostIP.IsValid() {
			text = p.HostIP.String() + ":" + text
		}
		out = append(out, text)
	}
	return out
}

func command(_ client.AppInput, s client.ServiceInput) any { return s.Container.Command }

func TestRunInBackgroundSaysWhyItFailed(t *testing.T) {
	f := newFake(t)
	f.handle("POST /apps", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "event: progress\ndata: {\"id\":\"nginx\",\"step\":\"pulling\"}\n\nevent: problem\ndata: {\"status\":404,\"code\":\"image_not_found\",\"detail\":\"there is no image nginx\"}\n\n")
	})
	if r := f.skerry(nil, "", "run", "-d", "nginx"); r.code != 1 || r.err != "skerry: there is no image nginx\n" || r.out != "" {
		t.Errorf("%+v", r)
	}
	f = newFake(t)
	f.on("POST /apps", `{"id":"a1","name":"x","status":{"phase":"failed","conditions":[{"message":"the port is taken"}]}}`)
	if r := f.skerry(nil, "", "run", "-d", "nginx"); r.code != 1 || r.err != "skerry: x does not run: the port is taken\n" {
		t.Errorf("%+v", r)
	}
}

// foreground plays a container that writes three lines and ends with 7. When
// deaf, the stream stays open after the end and misses the last line.
func foreground(f *fake, deaf bool) {
	f.on("POST /apps", `{"id":"a1","name":"job","tenantId":"t1","status":{"phase":"starting"}}`)
	f.on("GET /containers", `{"items":[`+container("cccc", "job", "job", 1, "running")+`]}`)
	at := func(n int) string { return time.Unix(100, int64(n)).UTC().Format(time.RFC3339Nano) }
	log := func(w io.Writer, n int, stream, line string) {
		fmt.Fprintf(w, "event: log\ndata: {\"time\":%q,\"stream\":%q,\"containerId\":\"cccc\",\"container\":\"job\",\"line\":%q}\n\n", at(n), stream, line)
	}
	f.handle("GET /containers/{ref}/logs", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		log(w, 1, "stdout", "one")
		log(w, 2, "stderr", "two")
		log(w, 2, "stdout", "same")
		follow := r.URL.Query().Get("follow") == "true"
		if !follow || !deaf {
			log(w, 2, "stdout", "same")
			log(w, 3, "stdout", "last")
		}
		if follow && deaf {
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}
	})
	f.on("GET /containers/{ref}/wait", `{"exited":true,"exitCode":7,"phase":"exited"}`)
	f.handle("DELETE /apps/{ref}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
}

func TestRunInForegroundLosesNoLine(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		f := newFake(t)
		foreground(f, deaf)
		r := f.skerry(nil, "", "run", "--rm", "nginx")
		if r.code != 7 || r.out != "one\nsame\nsame\nlast\n" || r.err != "two\n" {
			t.Errorf("deaf=%v: %+v", deaf, r)
		}
		all := strings.Join(f.requests(), "\n")
		if !strings.Contains(all, "DELETE /api/v1/apps/a1?") {
			t.Errorf("deaf=%v: --rm removed nothing:\n%s", deaf, all)
		}
	}
}

func TestLogsOfAService(t *testing.T) {
	f := newFake(t)
	withContainers(f)
	f.handle("GET /services/{ref}/logs", func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); q.Get("since") != "10m" || q.Get("tail") != "0" || q.Has("follow") || q.Has("timestamps") {
			t.Errorf("query %q", r.URL.RawQuery)
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "event: log\ndata: {\"time\":\"2020-01-01T00:00:00Z\",\"stream\":\"stdout\",\"container\":\"web-2\",\"line\":\"hi\"}\n\n")
	})
	r := f.skerry(nil, "", "logs", "--since", "10m", "--tail", "0", "-t", "web.front")
	if r.code != 0 || r.out != "web-2 | 2020-01-01T00:00:00.000000000Z hi\n" {
		t.Errorf("%+v", r)
	}
}

func TestDeploy(t *testing.T) {
	f := newFake(t)
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("compose.yaml", "name: shop\nservices: {web: {image: 'nginx:${TAG}', env_file: [web.env, gone.env], environment: [HERE]}}\n")
	write(".env", "TAG=\"1.27\"\nOTHER=x\n")
	write("web.env", "A=1\n")
	f.on("POST /apps", `{"id":"a1","name":"shop","revision":1,"status":{"phase":"running","running":1,"desired":1,"ports":[{"protocol":"tcp","hostPort":30000,"containerPort":80}]}}`)
	r := f.skerry(map[string]string{"HERE": "yes", "SECRET": "no"}, "", "app", "deploy", "-f", filepath.Join(dir, "compose.yaml"))
	if r.code != 0 || r.out != "shop  revision 1  running  1/1 running  30000->80/tcp\n" {
		t.Errorf("%+v", r)
	}
	in, _ := lastRun(t, f)
	if in.Name != "shop" || !reflect.DeepEqual(in.Files, map[string]string{"web.env": "A=1\n"}) ||
		!reflect.DeepEqual(in.Env, map[string]string{"TAG": "1.27", "OTHER": "x", "HERE": "yes"}) {
		t.Errorf("%+v", in)
	}
	f.on("GET /apps/{ref}", `{"id":"a1","name":"shop","revision":1,"status":{"phase":"running"}}`)
	f.handle("PUT /apps/{ref}", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusBadRequest, "compose_invalid", "line 2, column 3: services.web.build: no\nline 4, column 1: x: no")
	})
	if r := f.skerry(nil, "", "app", "deploy", "-f", filepath.Join(dir, "compose.yaml")); r.code != 1 || r.err != "skerry: line 2, column 3: services.web.build: no\nline 4, column 1: x: no\n" {
		t.Errorf("%+v", r)
	}
	if r := f.skerry(nil, "", "app", "deploy", "-f", filepath.Join(dir, "none.yaml")); r.code != 1 || !strings.Contains(r.err, "there is no file") {
		t.Errorf("%+v", r)
	}
}

func TestExportRendersWhatRunMade(t *testing.T) {
	f := newFake(t)
	f.on("GET /apps/{ref}", `{"id":"a1","name":"web","spec":{"services":{"web":{"replicas":2,"container":{"image":"nginx","restart":"no"},"ports":[{"protocol":"tcp","containerPort":80}]}}}}`)
	golden(t, "export.yaml", f.skerry(nil, "", "app", "export", "web").out)
}

func TestScaleAndUpdate(t *testing.T) {
	f := newFake(t)
	service := `{"id":"s1","name":"web","appName":"shop","tenantId":"t1","version":9,"spec":{"replicas":1,"container":{"image":"nginx","restart":"no","env":[{"name":"A","value":"1"},{"name":"B","value":"2"}]}},"status":{"running":1}}`
	f.on("GET /services/{ref}", service)
	var body, match string
	f.handle("PATCH /services/{ref}", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		body, match = string(b), r.Header.Get("If-Match")
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, service)
	})
	if r := f.skerry(nil, "", "service", "scale", "shop.web=0"); r.code != 0 || body != `{"replicas":0}` || match != "" {
		t.Errorf("%+v %s %q", r, body, match)
	}
	if r := f.skerry(nil, "", "service", "update", "web", "-e", "A=9", "--env-rm", "B", "--image", "nginx:2"); r.code != 0 || match != `"9"` ||
		!strings.Contains(body, `"env":[{"name":"A","value":"9"}]`) || !strings.Contains(body, `"image":"nginx:2"`) {
		t.Errorf("%+v %s %q", r, body, match)
	}
	if r := f.skerry(nil, "", "service", "update", "web", "-p", ""); r.code != 0 || body != `{"ports":[]}` {
		t.Errorf("%+v %s", r, body)
	}
	if r := f.skerry(nil, "", "service", "update", "web"); r.code != 2 {
		t.Errorf("%+v", r)
	}
}

func TestImages(t *testing.T) {
	f := newFake(t)
	f.handle("GET /images/{ref}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("ref") != "team/app:v1" {
			refuse(w, http.StatusNotFound, "not_found", "no")
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"image":{"id":"i1","name":"docker.io/team/app:v1","tenantId":"t1"}}`)
	})
	f.on("GET /images", `{"items":[{"id":"i1","name":"docker.io/team/app:v1","digest":"sha256:0123456789abcdef","sizeBytes":1572864}]}`)
	f.handle("DELETE /images/{ref}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	if r := f.skerry(nil, "", "image", "rm", "team/app:v1"); r.code != 0 || r.out != "team/app:v1\n" {
		t.Errorf("%+v", r)
	}
	if r := f.skerry(nil, "", "image", "rm", "team/ap:v1"); r.code != 1 || !strings.Contains(r.err, "did you mean team/app:v1?") {
		t.Errorf("%+v", r)
	}
	f.handle("POST /image-imports", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if string(b) != "tar" || r.Header.Get("Content-Type") != "application/x-tar" || r.ContentLength != 3 {
			t.Errorf("body %q, %v", b, r.Header)
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "event: done\ndata: {\"items\":[{\"name\":\"docker.io/library/x:1\",\"digest\":\"sha256:1\"}]}\n\n")
	})
	file := filepath.Join(f.dir, "x.tar")
	if err := os.WriteFile(file, []byte("tar"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := f.skerry(nil, "", "image", "import", file); r.code != 0 || r.out != "x:1 sha256:1\n" {
		t.Errorf("%+v", r)
	}
	if r := f.skerry(nil, "", "image", "import", f.dir); r.code != 1 || !strings.Contains(r.err, "is a folder") {
		t.Errorf("%+v", r)
	}
}

func TestCompletionOfNames(t *testing.T) {
	f := newFake(t)
	withContainers(f)
	f.on("GET /apps", `{"items":[{"id":"a","name":"web"},{"id":"b","name":"shop"}]}`)
	if r := f.skerry(nil, "", "__complete", "app", "stop", "s"); r.code != 0 || !strings.HasPrefix(r.out, "shop\n:") {
		t.Errorf("%+v", r)
	}
	if r := f.skerry(nil, "", "__complete", "exec", "web"); r.code != 0 || !strings.HasPrefix(r.out, "web\nweb-2\n:") {
		t.Errorf("%+v", r)
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if r := f.skerry(nil, "", "completion", shell); r.code != 0 || !strings.Contains(r.out, "__complete") {
			t.Errorf("%s: %d", shell, r.code)
		}
	}
}
