package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/apptest"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/runtime/runtimetest"
)

// everything is what bad input must not change: all objects of the state.
func everything(n *apptest.Node) string {
	var b strings.Builder
	for _, kind := range []string{"app", "volume", "image", "user", "tenant"} {
		fmt.Fprintln(&b, kind, n.OK(kind, "ls", "--json"))
	}
	return b.String()
}

// TestBadInput tries what people get wrong, at the command line and at the API:
// one clear sentence, and nothing has changed.
func TestBadInput(t *testing.T) {
	n := apptest.Start(t)
	n.OK("run", "-d", "-n", "web", "-p", "8080:80", "library/welcome")
	long := strings.Repeat("a", 300)
	broken := write(t, "broken.yaml", "services:\n  web:\n    image: [welcome\n")
	unknown := write(t, "unknown.yaml", "services:\n  web:\n    image: library/welcome\n    buildd: .\n")
	unsupported := write(t, "unsupported.yaml", "services:\n  web:\n    image: library/welcome\n    network_mode: host\n")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(n.DataDir, link); err != nil {
		t.Fatal(err)
	}
	image := "library/welcome"
	before, footprint := everything(n), n.Footprint()
	for _, c := range []struct {
		name   string
		args   []string
		status int
		says   []string
	}{
		{"unknown image", []string{"run", "-d", "-n", "x", "localhost:1/no/such:image"}, 1, []string{"localhost:1/no/such:image", "could not be reached"}},
		{"image that is never fetched", []string{"run", "-d", "-n", "x", "--pull", "never", "nothing"}, 1, []string{"nothing", "is not here"}},
		{"wrong digest", []string{"run", "-d", "-n", "x", "--pull", "never", image + "@sha256:" + strings.Repeat("0", 64)}, 1, []string{"sha256:0000"}},
		{"digest of another kind", []string{"run", "-d", "-n", "x", image + "@sha256:12"}, 1, []string{"sha256:12"}},
		{"port taken by us", []string{"run", "-d", "-n", "x", "-p", "8080:80", image}, 1, []string{"8080/tcp", "web"}},
		{"port of the node", []string{"run", "-d", "-n", "x", "-p", "7443:80", image}, 1, []string{"7443/tcp", "Skerry"}},
		{"port out of range", []string{"run", "-d", "-n", "x", "-p", "65536:80", image}, 2, []string{"65536", "1 to 65535"}},
		{"port zero", []string{"run", "-d", "-n", "x", "-p", "8081:0", image}, 2, []string{"8081:0", "1 to 65535"}},
		{"memory below the minimum", []string{"run", "-d", "-n", "x", "--memory", "1m", image}, 2, []string{"memory", "1 MiB", "6 MiB"}},
		{"negative memory", []string{"run", "-d", "-n", "x", "--memory=-5m", image}, 2, []string{"-5m"}},
		{"absurd memory", []string{"run", "-d", "-n", "x", "--memory", "99999999999g", image}, 2, []string{"99999999999g"}},
		{"negative cpus", []string{"run", "-d", "-n", "x", "--cpus=-1", image}, 2, []string{"-1"}},
		{"absurd cpus", []string{"run", "-d", "-n", "x", "--cpus", "lots", image}, 2, []string{"lots"}},
		{"negative replicas", []string{"run", "-d", "-n", "x", "--replicas=-1", image}, 2, []string{"-1 replicas"}},
		{"absurd replicas", []string{"service", "scale", "web=100000"}, 2, []string{"100000"}},
		{"negative pids", []string{"run", "-d", "-n", "x", "--pids-limit=-7", image}, 2, []string{"-7"}},
		{"name with spaces", []string{"run", "-d", "-n", "my web", image}, 1, []string{`"my web"`, "a-z"}},
		{"unicode name", []string{"run", "-d", "-n", "网站", image}, 1, []string{"网站", "a-z"}},
		{"long name", []string{"run", "-d", "-n", long, image}, 1, []string{"1 to 63"}},
		{"duplicate name", []string{"run", "-d", "-n", "web", image}, 1, []string{"web", "already"}},
		{"volume path with ..", []string{"run", "-d", "-n", "x", "-v", "data:/a/../../etc", image}, 2, []string{".."}},
		{"relative volume path", []string{"run", "-d", "-n", "x", "-v", "data:etc", image}, 2, []string{"data:etc", "absolute"}},
		{"volume in place of the root", []string{"run", "-d", "-n", "x", "-v", "data:/", image}, 2, []string{"data:/", "the container itself"}},
		{"volume name with ..", []string{"run", "-d", "-n", "x", "-v", "../data:/x", image}, 2, []string{"../data"}},
		{"folder in our own", []string{"run", "-d", "-n", "x", "-v", filepath.Join(n.RunDir, "netns") + ":/x", image}, 1, []string{n.RunDir, "Skerry"}},
		{"link to our own", []string{"run", "-d", "-n", "x", "-v", link + ":/x", image}, 1, []string{link, "Skerry"}},
		{"our own folder", []string{"run", "-d", "-n", "x", "-v", n.DataDir + ":/x", image}, 1, []string{n.DataDir, "Skerry"}},
		{"unknown restart policy", []string{"run", "-d", "-n", "x", "--restart", "sometimes", image}, 2, []string{"sometimes"}},
		{"unknown signal", []string{"kill", "-s", "SIGNOTHING", "web"}, 1, []string{"SIGNOTHING"}},
		{"unknown capability", []string{"run", "-d", "-n", "x", "--cap-add", "not a cap", image}, 1, []string{"NOT A CAP"}},
		{"variable without a name", []string{"run", "-d", "-n", "x", "-e", "=x", image}, 2, []string{"NAME=VALUE"}},
		{"unknown flag", []string{"run", "--nonsense", image}, 2, []string{"--nonsense"}},
		{"unknown command", []string{"rnu", image}, 2, []string{"rnu"}},
		{"unknown container", []string{"stop", "webb"}, 1, []string{`"webb"`, "did you mean web"}},
		{"broken YAML", []string{"app", "deploy", "-f", broken}, 1, []string{":3:"}},
		{"unknown compose key", []string{"app", "deploy", "-f", unknown}, 1, []string{":4:", "buildd"}},
		{"unsupported compose key", []string{"app", "deploy", "-f", unsupported}, 1, []string{":4:", "network_mode"}},
		{"no such file", []string{"app", "deploy", "-f", "/no/such.yaml"}, 1, []string{"/no/such.yaml"}},
		{"no archive", []string{"image", "import", "/no/such.tar"}, 1, []string{"/no/such.tar"}},
		{"unknown tenant", []string{"ps", "--tenant", "nobody"}, 1, []string{"nobody"}},
		{"rollback without history", []string{"app", "rollback", "web"}, 1, []string{"web", "revision"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, errs, status := n.In(t).Run(nil, c.args...)
			if status != c.status {
				t.Errorf("status %d, want %d", status, c.status)
			}
			for _, word := range c.says {
				if !strings.Contains(errs, word) {
					t.Errorf("%q is not in: %s", word, errs)
				}
			}
			if strings.Contains(errs, "goroutine") || strings.Count(strings.TrimSpace(errs), "\n") > 2 || len(errs) > 1500 {
				t.Errorf("this is no clear sentence: %s", errs)
			}
		})
	}
	service := func(container string) string {
		return `{"name": "x", "services": {"x": {"replicas": 1, "container": {"image": "library/welcome"` + container + `}}}}`
	}
	for _, c := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		code                     string
	}{
		{"memory", "POST", "/apps", service(`, "memoryBytes": 1000`), nil, 400, "size_invalid"},
		{"negative memory", "POST", "/apps", service(`, "memoryBytes": -1`), nil, 400, "size_invalid"},
		{"negative processor", "POST", "/apps", service(`, "cpuMillis": -1`), nil, 400, "size_invalid"},
		{"volume path", "POST", "/apps", service(`, "mounts": [{"type": "volume", "source": "d", "path": "/a/../b"}]`), nil, 400, "path_invalid"},
		{"name", "POST", "/apps", strings.Replace(service(""), `"x"`, `"a b"`, 1), nil, 400, "name_invalid"},
		{"duplicate", "POST", "/apps", strings.Replace(service(""), `"x"`, `"web"`, 1), nil, 409, "name_taken"},
		{"broken JSON", "POST", "/apps", `{"name": `, nil, 400, "json_invalid"},
		{"content type", "POST", "/apps", service(""), []string{"Content-Type", "text/yaml"}, 415, "content_type_wrong"},
		{"stale version", "PUT", "/apps/web", `{"services": {"web": {"replicas": 1, "container": {"image": "library/welcome"}}}}`, []string{"If-Match", `"1"`}, 412, "stale_version"},
		{"stale version of a removal", "DELETE", "/apps/web", "", []string{"If-Match", `"1"`}, 412, "stale_version"},
		{"unknown app", "GET", "/apps/nothing", "", nil, 404, "not_found"},
		{"path that climbs", "GET", "/apps/..%2f..%2fusers", "", nil, 404, "not_found"},
	} {
		t.Run("API "+c.name, func(t *testing.T) {
			status, body := n.In(t).Send(c.method, "/api/v1"+c.path, strings.NewReader(c.body), append([]string{"Content-Type", "application/json"}, c.headers...)...)
			var p struct{ Code, Detail, RequestID string }
			if err := json.Unmarshal([]byte(body), &p); err != nil {
				t.Fatalf("no problem document: %s", body)
			}
			if status != c.status || p.Code != c.code || p.Detail == "" || p.RequestID == "" {
				t.Errorf("status %d, %+v; want %d %s", status, p, c.status, c.code)
			}
		})
	}
	t.Run("API 100 MB", func(t *testing.T) {
		out, err := n.Host.Try("sh", "-c", "head -c 104857600 /dev/zero | curl -s -o /dev/null -w '%{http_code}' -X POST -H 'Content-Type: application/json' -T - --unix-socket "+
			filepath.Join(n.RunDir, "skerry.sock")+" http://local/api/v1/apps")
		if !strings.Contains(out, "413") {
			t.Errorf("got %q (%v), want 413", out, err)
		}
	})
	if after := everything(n); after != before {
		t.Errorf("something has changed:\n%s\nwas:\n%s", after, before)
	}
	n.Restored(footprint)
	if got := n.Curl(n.Outside, "http://192.0.2.1:8080/healthz"); got != "ok\n" {
		t.Errorf("what ran answers %q", got)
	}
}

// TestHostileArchives imports what is broken or wants out: each is refused with
// a sentence, and the engine keeps nothing of it.
func TestHostileArchives(t *testing.T) {
	n := apptest.Start(t)
	type files = []runtimetest.File
	ok := runtimetest.Tar(t, files{{Name: "hello", Body: []byte("hello")}})
	layout := func(layer []byte) files {
		return runtimetest.OCILayout(t, "bad:latest", runtimetest.ImageConfig{}, layer)
	}
	whole := runtimetest.Tar(t, layout(ok))
	victim := filepath.Join(t.TempDir(), "victim")
	swapped := layout(ok)
	for i := range swapped {
		if strings.HasPrefix(swapped[i].Name, "blobs/") && bytes.Equal(swapped[i].Body, ok) {
			swapped[i].Body = bytes.Replace(ok, []byte("hello"), []byte("jello"), 1)
		}
	}
	var bomb bytes.Buffer
	z, err := gzip.NewWriterLevel(&bomb, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	if err := w.WriteHeader(&tar.Header{Name: "zeros", Typeflag: tar.TypeReg, Mode: 0o644, Size: 1 << 30}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(w, zeros{}, 1<<30); err != nil {
		t.Fatal(err)
	}
	if w.Close() != nil || z.Close() != nil {
		t.Fatal("make the bomb")
	}
	stored := func() string {
		blobs, _ := filepath.Glob(filepath.Join(n.DataDir, "engine", "io.containerd.content.v1.content", "blobs", "sha256", "*"))
		snapshots, _ := filepath.Glob(filepath.Join(n.DataDir, "engine", "io.containerd.snapshotter.v1.overlayfs", "snapshots", "*"))
		return fmt.Sprintf("blobs %d, snapshots %d", len(blobs), len(snapshots))
	}
	before, images := stored(), n.OK("image", "ls", "--json")
	for _, c := range []struct {
		name string
		body []byte
		says string
	}{
		{"empty", nil, "archive"},
		{"no archive", []byte(strings.Repeat("this is not a tar\n", 1000)), "not"},
		{"truncated", whole[:len(whole)/2], "truncated"},
		{"truncated at the end", whole[:len(whole)-2000], ""},
		{"other bytes than the digest", runtimetest.Tar(t, swapped), "other bytes"},
		{"entry that climbs", runtimetest.Tar(t, append(files{{Name: "../../../../../../" + victim, Body: []byte("x")}}, layout(ok)...)), "leads out"},
		{"absolute entry", runtimetest.Tar(t, append(files{{Name: victim, Body: []byte("x")}}, layout(ok)...)), "absolute path"},
		{"layer that climbs", runtimetest.Tar(t, layout(runtimetest.Tar(t, files{{Name: "../../.." + victim, Body: []byte("x")}}))), "leads out"},
		{"absolute layer entry", runtimetest.Tar(t, layout(runtimetest.Tar(t, files{{Name: victim, Body: []byte("x")}}))), "absolute path"},
		{"layer through a link", runtimetest.Tar(t, layout(runtimetest.Tar(t, files{
			{Name: "out", Type: tar.TypeSymlink, Link: filepath.Dir(victim)}, {Name: "out/victim", Body: []byte("x")},
		}))), ""},
		{"layer through a climbing link", runtimetest.Tar(t, layout(runtimetest.Tar(t, files{
			{Name: "out", Type: tar.TypeSymlink, Link: "../../../../../.." + filepath.Dir(victim)}, {Name: "out/victim", Body: []byte("x")},
		}))), "leads out"},
		{"hard link to the outside", runtimetest.Tar(t, layout(runtimetest.Tar(t, files{{Name: "h", Type: tar.TypeLink, Link: "../../etc/shadow"}}))), "outside"},
		{"compressed bomb", bomb.Bytes(), "bomb"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := n.In(t)
			file := write(t, "image.tar", string(c.body))
			out, errs, status := n.Run(nil, "image", "import", file)
			if c.says == "" && status == 0 {
				n.OK("image", "rm", "bad") // it is harmless: see below
			} else if status != 1 || !strings.Contains(errs, c.says) || strings.Contains(errs, "goroutine") {
				t.Errorf("status %d, want 1 with %q: %s%s", status, c.says, errs, out)
			}
			if _, err := os.Lstat(victim); err == nil {
				t.Error("it wrote outside")
			}
			n.Eventually(20*time.Second, "nothing is kept of it", func() bool { return stored() == before })
			if now := n.OK("image", "ls", "--json"); now != images {
				t.Errorf("the images are now %s", now)
			}
		})
	}
	// Half an archive that is cut off while it is sent.
	reader, writer := io.Pipe()
	go func() {
		_, _ = writer.Write(whole[:len(whole)/2])
		_ = writer.CloseWithError(io.ErrUnexpectedEOF)
	}()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://local/api/v1/image-imports", reader)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-tar")
	if res, err := n.Client().Do(req); err == nil {
		_ = res.Body.Close()
		if res.StatusCode < 400 {
			t.Errorf("a cut upload was answered with %d", res.StatusCode)
		}
	}
	n.Eventually(20*time.Second, "nothing is kept of the cut upload", func() bool { return stored() == before })
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// TestDiskFull imports more than the disk holds: it is said, the space is given
// back, the state is whole and what ran goes on.
func TestDiskFull(t *testing.T) {
	n := apptest.New(t)
	n.Disk(128)
	n.Daemon()
	n.OK("init")
	n.OK("run", "-d", "-n", "web", "-p", "8080:80", "library/welcome")
	free := func() int {
		var mb int
		if _, err := fmt.Sscan(strings.Split(n.Host.Run("df", "--output=avail", "-m", n.DataDir), "\n")[1], &mb); err != nil {
			t.Fatal(err)
		}
		return mb
	}
	before, images := free(), n.OK("image", "ls", "--json")
	big := runtimetest.Tar(t, []runtimetest.File{{Name: "zeros", Body: make([]byte, 150<<20)}})
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(big); err != nil || z.Close() != nil {
		t.Fatal("compress")
	}
	for name, layer := range map[string][]byte{"while storing": big, "while unpacking": packed.Bytes()} {
		layout := runtimetest.OCILayout(t, "big:latest", runtimetest.ImageConfig{}, layer)
		if name == "while unpacking" {
			layout = runtimetest.Compressed(t, "big:latest", big, packed.Bytes())
		}
		file := write(t, "big.tar", string(runtimetest.Tar(t, layout)))
		if _, errs, status := n.Run(nil, "image", "import", file); status != 1 || !strings.Contains(errs, "disk") {
			t.Errorf("%s: status %d, %s", name, status, errs)
		}
		n.Eventually(20*time.Second, name+": the space is given back", func() bool { return free() >= before-3 })
		if now := n.OK("image", "ls", "--json"); now != images {
			t.Errorf("%s: the images are now %s", name, now)
		}
	}
	if got := n.Curl(n.Outside, "http://192.0.2.1:8080/healthz"); got != "ok\n" {
		t.Errorf("what ran answers %q", got)
	}
	n.OK("volume", "create", "still-works")
	n.Kill()
	n.Daemon()
	if out := n.OK("volume", "ls", "-q"); out != "still-works" {
		t.Errorf("after a restart the volumes are %q", out)
	}
	n.Busybox()
	if out := n.OK("run", "--rm", "busybox", "echo", "fits"); out != "fits" {
		t.Errorf("an image that fits gives %q", out)
	}
}

// TestDoor comes in from outside by TLS on 7443: setup, passwords, tokens,
// tenants.
func TestDoor(t *testing.T) {
	n := apptest.New(t)
	n.Daemon()
	var made struct{ SetupToken, CaFingerprint string }
	n.JSON(&made, "init")
	const url = "https://192.0.2.1:7443"
	curl := func(method, path, body string, more ...string) (status int, answer string) {
		t.Helper()
		args := append([]string{"curl", "-sk", "-m", "10", "-w", "\n%{http_code}", "-X", method, url + "/api/v1" + path}, more...)
		if body != "" {
			args = append(args, "-H", "Content-Type: application/json", "-d", body)
		}
		out, err := n.Outside.Try(args...)
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		out = strings.TrimSpace(out)
		i := strings.LastIndexByte(out, '\n')
		if _, err := fmt.Sscan(out[i+1:], &status); err != nil {
			t.Fatal(err)
		}
		return status, out[:max(i, 0)]
	}
	want := func(what string, status, wanted int, body, code string) {
		t.Helper()
		if status != wanted || code != "" && !strings.Contains(body, `"`+code+`"`) {
			t.Errorf("%s: %d %s, want %d %s", what, status, body, wanted, code)
		}
	}

	// Plain HTTP is sent to HTTPS.
	if out := n.Outside.Run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", "http://192.0.2.1:7443/x?y=1"); strings.TrimSpace(out) != "308 https://192.0.2.1:7443/x?y=1" && strings.TrimSpace(out) != "307 https://192.0.2.1:7443/x?y=1" {
		t.Errorf("plain HTTP: %q", out)
	}
	// The setup token works once.
	status, body := curl("POST", "/setup", `{"token": "aaaaa-bbbbb-ccccc-ddddd", "name": "root", "password": "long enough 1"}`)
	if status < 400 {
		t.Errorf("a wrong setup token: %d %s", status, body)
	}
	setup := `{"token": "` + made.SetupToken + `", "name": "%s", "password": "long enough 1"}`
	status, body = curl("POST", "/setup", fmt.Sprintf(setup, "root"))
	want("setup", status, 201, body, "")
	if status, body = curl("POST", "/setup", fmt.Sprintf(setup, "second")); status < 400 {
		t.Errorf("the setup token worked twice: %d %s", status, body)
	}
	status, body = curl("GET", "/apps", "")
	want("nobody", status, 401, body, "")

	// Login with the CA pinned.
	password := write(t, "password", "long enough 1\n")
	home := t.TempDir()
	out, errs, code := n.Remote(home, "login", url, "--user", "root", "--password-file", password, "--ca-fingerprint", "sha256:"+strings.Repeat("0", 64))
	if code == 0 || !strings.Contains(errs, "fingerprint") {
		t.Errorf("a wrong fingerprint: %d %s%s", code, out, errs)
	}
	if found, _ := filepath.Glob(filepath.Join(home, ".*", "*", "*")); len(found) > 0 {
		t.Errorf("a failed login was kept: %v", found)
	}
	if _, errs, code = n.Remote(home, "login", url, "--user", "root", "--password-file", password, "--ca-fingerprint", made.CaFingerprint); code != 0 {
		t.Fatalf("login: %s", errs)
	}
	if out, errs, code = n.Remote(home, "run", "-d", "-n", "web", "library/welcome"); code != 0 || strings.TrimSpace(out) != "web" {
		t.Errorf("run from outside: %d %s%s", code, out, errs)
	}
	if out, errs, code = n.Remote(home, "exec", "web", "/no/such"); code != 127 {
		t.Errorf("exec from outside: %d %s%s", code, out, errs)
	}

	// Tenants: an id of another is as unknown as no id at all.
	n.OK("tenant", "create", "red")
	n.OK("tenant", "create", "blue")
	n.OK("user", "create", "rita", "--member", "red=owner", "--password-file", password)
	n.OK("run", "-d", "-n", "secret", "--tenant", "blue", "library/welcome")
	var app model.App
	n.JSON(&app, "app", "inspect", "--tenant", "blue", "secret")
	token := n.OK("api-token", "create", "t", "--tenant", "red", "--user", "rita", "--role", "owner")
	bearer := func(token string) []string { return []string{"-H", "Authorization: Bearer " + token} }
	status, body = curl("GET", "/apps?tenant=red", "", bearer(token)...)
	want("own apps", status, 200, body, "")
	for _, method := range []string{"GET", "DELETE"} {
		status, body = curl(method, "/apps/"+app.ID, "", bearer(token)...)
		want(method+" another tenant's app", status, 404, body, "not_found")
	}
	status, body = curl("GET", "/containers/"+n.Container("secret", "--tenant", "blue").ID+"/logs", "", bearer(token)...)
	want("another tenant's log", status, 404, body, "not_found")
	status, body = curl("GET", "/apps?tenant=blue", "", bearer(token)...)
	want("another tenant's list", status, 404, body, "")
	status, body = curl("POST", "/tenants", `{"name": "mine"}`, bearer(token)...)
	want("a platform operation", status, 403, body, "")

	// Tokens end.
	var kept struct {
		Object struct{ ID string }
		Token  string
	}
	n.JSON(&kept, "api-token", "create", "short", "--tenant", "red", "--user", "rita", "--role", "viewer", "--ttl", "2s")
	status, body = curl("GET", "/apps?tenant=red", "", bearer(kept.Token)...)
	want("a fresh token", status, 200, body, "")
	n.Eventually(10*time.Second, "it expires", func() bool {
		status, body = curl("GET", "/apps?tenant=red", "", bearer(kept.Token)...)
		return status == 401
	})
	want("an expired token", status, 401, body, "token_expired")
	n.JSON(&kept, "api-token", "create", "gone", "--tenant", "red", "--user", "rita", "--role", "viewer")
	n.OK("api-token", "revoke", kept.Object.ID)
	status, body = curl("GET", "/apps?tenant=red", "", bearer(kept.Token)...)
	want("a revoked token", status, 401, body, "token_invalid")

	// Guessing passwords gets slow, and says so.
	throttled := false
	for range 30 {
		status, body = curl("POST", "/session", `{"name": "rita", "password": "wrong wrong wrong"}`)
		if status == 429 {
			throttled = strings.Contains(body, "retryAfterSeconds")
			break
		}
		want("a wrong password", status, 401, body, "")
	}
	if !throttled {
		t.Errorf("no throttle: %d %s", status, body)
	}
}
