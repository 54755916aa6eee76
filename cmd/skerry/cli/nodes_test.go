package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/api/client"
)

// steps answers long work with a stream of events.
func (f *fake) steps(pattern string, events ...string) {
	f.handle(pattern, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, e := range events {
			name, data, _ := strings.Cut(e, " ")
			fmt.Fprintf(w, "event: %s\ndata: %s\n\n", name, data)
		}
	})
}

func TestTokenCreate(t *testing.T) {
	f := newFake(t)
	f.on("POST /join-tokens", `{"token":{"id":"k3","name":"k3","expiresAt":"2030-01-02T03:04:05Z"},"text":"SK1.m.x.default.pin.secret","commands":["skerry join SK1.m.x.default.pin.secret 10.0.0.5:7443"]}`)
	r := f.skerry(nil, "", "token", "create", "--role", "worker", "--ttl", "2d", "--uses", "3", "--environment", "blue")
	if r.code != 0 || r.out != "SK1.m.x.default.pin.secret\n" {
		t.Errorf("standard output must be the token alone: %+v", r)
	}
	if !strings.Contains(r.err, "  skerry join SK1.m.x.default.pin.secret 10.0.0.5:7443\n") {
		t.Errorf("the line to paste is missing: %q", r.err)
	}
	if got := f.requests(); got[0] != `POST /api/v1/join-tokens {"environment":"blue","role":"worker","ttlSeconds":172800,"uses":3}` {
		t.Errorf("asked %q", got)
	}
	var made client.JoinTokenCreated
	if r := f.skerry(nil, "", "token", "create", "--json"); json.Unmarshal([]byte(r.out), &made) != nil || made.Text == "" || r.err != "" {
		t.Errorf("--json: %+v", r)
	}
	for _, line := range []string{"token create --role boss", "token create --ttl soon", "token create --ttl 0", "token create x", "token revoke"} {
		if r := f.skerry(nil, "", strings.Fields(line)...); r.code != 2 {
			t.Errorf("%s: %+v", line, r)
		}
	}
}

func TestTokenList(t *testing.T) {
	f := newFake(t)
	f.on("GET /join-tokens", `{"items":[{"id":"k3v7q2xa55","name":"k3v7q2xa","role":"worker","environment":"default","environmentId":"e","uses":2,"used":1,"expiresAt":"2030-01-02T03:04:05Z","state":"usable","createdBy":"ada"},
		{"id":"a","name":"aaaa","role":"member","environmentId":"e9","uses":1,"used":0,"expiresAt":"2020-01-02T03:04:05Z","state":"expired","createdBy":"local"}]}`)
	f.handle("DELETE /join-tokens/{ref}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("ref") == "aaaa" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		refuse(w, http.StatusNotFound, "not_found", "no")
	})
	times := regexp.MustCompile(`20\d\d-\d\d-\d\d \d\d:\d\d:\d\d`)
	golden(t, "token-ls.txt", times.ReplaceAllString(f.skerry(nil, "", "token", "ls").out, "TIME"))
	if r := f.skerry(nil, "", "token", "revoke", "aaaa", "k3v7q2xb"); r.code != 1 || r.out != "aaaa\n" || !strings.Contains(r.err, `no join token "k3v7q2xb"; did you mean k3v7q2xa?`) {
		t.Errorf("%+v", r)
	}
}

// TestJoin lets the daemon start its parts again while the command waits.
func TestJoin(t *testing.T) {
	f := newFake(t)
	result := `{"clusterId":"c","nodeId":"n2","nodeName":"two","role":"member"}`
	f.steps("POST /join", `progress {"id":"10.0.0.5","step":"verifying"}`, "done "+result)
	var looks atomic.Int32
	f.handle("GET /nodes/{ref}", func(w http.ResponseWriter, r *http.Request) {
		switch n := looks.Add(1); {
		case n == 1:
			panic(http.ErrAbortHandler) // the old server ends in the middle
		case n == 2:
			refuse(w, http.StatusServiceUnavailable, "not_initialized", "no cluster yet")
		case n == 3:
			refuse(w, http.StatusNotFound, "not_found", "there is no node")
		default:
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"id":%q,"name":"two","status":{"ready":%t}}`, r.PathValue("ref"), n > 4)
		}
	})
	r := f.skerry(map[string]string{"SKERRY_HOST": "https://elsewhere:7443"}, "", "join", "SK1.m.x", "10.0.0.5", "--label", "disk=ssd")
	if r.code != 0 || !regexp.MustCompile(`^two joined as member and is ready after [0-9.]+m?s\.\n$`).MatchString(r.out) {
		t.Errorf("%+v", r)
	}
	if got := f.requests()[0]; got != `POST /api/v1/join {"address":"10.0.0.5","labels":{"disk":"ssd"},"token":"SK1.m.x"}` {
		t.Errorf("asked %q", got)
	}
	if looks.Load() != 5 {
		t.Errorf("looked %d times", looks.Load())
	}
	if r := f.skerry(nil, "", "join", "--rejoin", "--json"); r.code != 0 || !strings.Contains(r.out, `"nodeName": "two"`) {
		t.Errorf("--rejoin: %+v", r)
	}
	before := looks.Load()
	if r := f.skerry(nil, "", "join", "T", "h", "--worker", "--environment", "blue", "--detach"); r.code != 0 || !strings.Contains(r.out, "parts are starting") || looks.Load() != before {
		t.Errorf("--detach: %+v", r)
	}
	asked := len(f.requests())
	for _, line := range []string{"join", "join T", "join --rejoin h", "join T h x", "join T h --label =x"} {
		if r := f.skerry(nil, "", strings.Fields(line)...); r.code != 2 {
			t.Errorf("%s: %+v", line, r)
		}
	}
	if len(f.requests()) != asked {
		t.Error("a wrong line reached the daemon")
	}
}

// TestJoinAsWorker asks the worker itself: it knows nothing but how it is.
func TestJoinAsWorker(t *testing.T) {
	f := newFake(t)
	f.steps("POST /join", `done {"clusterId":"c","nodeId":"n2","nodeName":"w1","role":"worker"}`)
	var looks atomic.Int32
	f.handle("GET /worker", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"ready":%t,"conditions":[{"message":"the engine does not answer"}]}`, looks.Add(1) > 2)
	})
	if r := f.skerry(nil, "", "join", "T", "h", "--worker"); r.code != 0 || !strings.HasPrefix(r.out, "w1 joined as worker and is ready after ") || looks.Load() != 3 {
		t.Errorf("%+v after %d looks", r, looks.Load())
	}
}

// TestRejoin must not take the word of the parts that are about to end.
func TestRejoin(t *testing.T) {
	f := newFake(t)
	f.steps("POST /join", `done {"clusterId":"c","nodeId":"n1","nodeName":"one","role":"member"}`)
	var looks atomic.Int32
	f.handle("GET /nodes/{ref}", func(w http.ResponseWriter, _ *http.Request) {
		if looks.Add(1) == 3 {
			refuse(w, http.StatusServiceUnavailable, "state_missing", "no state yet")
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"n1","name":"one","status":{"ready":true}}`)
	})
	if r := f.skerry(nil, "", "join", "--rejoin"); r.code != 0 || looks.Load() != 4 {
		t.Errorf("%+v after %d looks", r, looks.Load())
	}
}

// TestRejoinWithoutADaemon marks the node for its next start.
func TestRejoinWithoutADaemon(t *testing.T) {
	for _, mark := range []func(string, string, string) error{nil, func(run, data, config string) error {
		if run != "/nowhere" || data != "/d" || config != "/c" {
			return fmt.Errorf("marked %s %s %s", run, data, config)
		}
		return nil
	}} {
		var out, wrong strings.Builder
		w := World{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &wrong, Env: func(string) string { return "" },
			Home: func() (string, error) { return "", os.ErrNotExist }, MarkRejoin: mark}
		code := Main(t.Context(), []string{"join", "--rejoin", "--run-dir", "/nowhere", "--data-dir", "/d", "--config", "/c"}, w)
		if mark == nil && (code != 1 || !strings.Contains(wrong.String(), "no skerry daemon answers")) {
			t.Errorf("without a way: %d %s", code, wrong.String())
		}
		if mark != nil && (code != 0 || !strings.Contains(out.String(), "when it starts")) {
			t.Errorf("marked: %d %s%s", code, out.String(), wrong.String())
		}
	}
}

func TestJoinRefused(t *testing.T) {
	f := newFake(t)
	f.steps("POST /join", `progress {"id":"h","step":"verifying"}`, `problem {"status":403,"code":"join_token_used","detail":"this join token is used up","title":"Forbidden","requestId":"r"}`)
	if r := f.skerry(nil, "", "join", "T", "h"); r.code != 1 || r.err != "skerry: this join token is used up\n" {
		t.Errorf("%+v", r)
	}
}

func withNodes(f *fake) {
	f.on("GET /nodes", `{"items":[{"id":"n1","name":"sea","createdAt":"2020-01-01T00:00:00Z","role":"member","spec":{},"status":{"ready":true,"address":"10.0.0.1:7443","cpus":2,"memoryBytes":2147483648,"skerryVersion":"v1"}},
		{"id":"n2","name":"sky","createdAt":"2020-01-01T00:00:00Z","role":"member","health":{"state":"down","reason":"it has sent no sign of life for 5 s"},"spec":{"availability":"drain"},"status":{"ready":true,"address":"10.0.0.2:7443","cpus":4,"memoryBytes":1073741824,"skerryVersion":"v1"}},
		{"id":"n3","name":"w1","createdAt":"2020-01-01T00:00:00Z","role":"worker","spec":{},"status":{"ready":false,"address":"10.0.0.3:7443","cpus":4,"memoryBytes":1073741824,"skerryVersion":"v0"}}]}`)
	f.on("GET /status", `{"ok":false,"summary":"One thing needs attention.","problems":[],"counts":{"nodes":3,"nodesReady":1,"containersByPhase":{}},"clusterId":"c","skerryVersion":"v1","time":"2026-01-01T00:00:00Z",
		"quorum":{"canLose":0,"leaderId":"n1","voters":1,"summary":"1 of 1 voters is alive; you can lose 0 more nodes","members":[{"nodeId":"n1","name":"sea","leader":true,"part":"voter","alive":true},{"nodeId":"n2","name":"sky","part":"standby"}]},
		"nodes":[{"id":"n1","name":"sea","ready":true,"cpus":2,"role":"member","availability":"active","stats":{"cpuPercent":12,"memoryUsedBytes":1073741824,"memoryTotalBytes":2147483648,"diskUsedBytes":1,"diskTotalBytes":2,"containersRunning":7}},
		{"id":"n2","name":"sky","ready":false,"cpus":4,"memoryBytes":1073741824,"role":"member","availability":"drain","reason":"it has sent no sign of life for 5 s"},
		{"id":"n3","name":"w1","ready":false,"cpus":4,"memoryBytes":1073741824,"role":"worker","availability":"active","reason":"the engine does not answer"}]}`)
}

func TestNodeLs(t *testing.T) {
	f := newFake(t)
	withNodes(f)
	golden(t, "node-ls.txt", ages.ReplaceAllString(f.skerry(nil, "", "node", "ls").out, "AGE"))
	r := f.skerry(nil, "", "status")
	golden(t, "status.txt", r.out)
	if r.code != 1 {
		t.Errorf("a status with problems ends with %d", r.code)
	}
	if r := f.skerry(nil, "", "node", "ls", "--json"); r.code != 0 || !strings.Contains(r.out, `"availability": "drain"`) {
		t.Errorf("--json: %+v", r)
	}
}

func TestNodeLsWithoutStatus(t *testing.T) {
	f := newFake(t)
	f.on("GET /nodes", `{"items":[{"id":"n1","name":"sea","status":{"ready":true,"cpus":2,"memoryBytes":1024}}]}`)
	if r := f.skerry(nil, "", "node", "ls"); r.code != 0 || !strings.Contains(r.out, "sea") || !strings.Contains(r.out, "1.0 KiB") {
		t.Errorf("%+v", r)
	}
}

func TestNodeCommands(t *testing.T) {
	f := newFake(t)
	withNodes(f)
	var drains atomic.Int32
	f.handle("POST /nodes/{ref}/drain", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("wait") == "" {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"done":false,"left":2,"total":2}`)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "event: done\ndata: {\"done\":%t,\"left\":1,\"total\":2,\"waiting\":[{\"container\":\"db-1\",\"reason\":\"its volume lives here\"}]}\n\n", drains.Add(1) > 1)
	})
	if r := f.skerry(nil, "", "node", "drain", "sea"); r.code != 0 || r.out != "sea takes nothing new, and what can move has moved; 1 of its containers stay:\ndb-1 stays: its volume lives here\n" || drains.Load() != 2 {
		t.Errorf("drain: %+v after %d", r, drains.Load())
	}
	if r := f.skerry(nil, "", "node", "drain", "--detach", "sea"); r.code != 0 || !strings.Contains(r.out, "2 of its containers are left") {
		t.Errorf("drain --detach: %+v", r)
	}
	for _, verb := range []string{"activate", "promote"} {
		f.on("POST /nodes/{ref}/"+verb, `{"id":"n1","name":"sea"}`)
		if r := f.skerry(nil, "", "node", verb, "n1"); r.code != 0 || r.out != "sea\n" {
			t.Errorf("%s: %+v", verb, r)
		}
	}
	f.handle("POST /nodes/{ref}/demote", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusConflict, "last_member", "it is the only member")
	})
	if r := f.skerry(nil, "", "node", "demote", "sea"); r.code != 1 || r.err != "skerry: it is the only member\n" {
		t.Errorf("demote: %+v", r)
	}
	f.handle("DELETE /nodes/{ref}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("ref") == "seaa" {
			refuse(w, http.StatusNotFound, "not_found", "no")
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	if r := f.skerry(nil, "", "node", "rm", "--force", "sky", "seaa"); r.code != 1 || r.out != "sky\n" || !strings.Contains(r.err, `there is no node "seaa"; did you mean`) {
		t.Errorf("rm: %+v", r)
	}
	if got := strings.Join(f.requests(), "\n"); !strings.Contains(got, "DELETE /api/v1/nodes/sky?force=true") {
		t.Errorf("asked %s", got)
	}
}

func TestNodeLabel(t *testing.T) {
	f := newFake(t)
	f.on("GET /nodes/{ref}", `{"id":"n1","name":"sea","version":7,"spec":{"labels":{"old":"x","keep":"y"},"availability":"drain"}}`)
	match := ""
	f.handle("PUT /nodes/{ref}", func(w http.ResponseWriter, r *http.Request) {
		match = r.Header.Get("If-Match")
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"n1","name":"sea"}`)
	})
	if r := f.skerry(nil, "", "node", "label", "sea", "disk=ssd", "old-", "zone="); r.code != 0 || r.out != "sea\n" {
		t.Errorf("%+v", r)
	}
	if got := f.requests()[1]; match != `"7"` || got != `PUT /api/v1/nodes/n1 {"labels":{"disk":"ssd","keep":"y","zone":""},"availability":"drain"}` {
		t.Errorf("asked %q with %s", got, match)
	}
	for _, word := range []string{"disk", "=x", "-"} {
		if r := f.skerry(nil, "", "node", "label", "sea", word); r.code != 2 {
			t.Errorf("%s: %+v", word, r)
		}
	}
}

func TestRecover(t *testing.T) {
	f := newFake(t)
	f.handle("POST /cluster/recover", func(w http.ResponseWriter, r *http.Request) {
		var in client.RecoverInput
		_ = json.NewDecoder(r.Body).Decode(&in)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"done":%t,"generation":2,"lastIndex":42,"summary":"1 of 3 members is left","missing":["what sky acknowledged alone after 42"],"wipe":["sky (10.0.0.2)"],
			"survivors":[{"nodeId":"n1","name":"sea","address":"10.0.0.1:7443","reachable":true,"lastIndex":42,"lastTerm":3,"newest":true},{"nodeId":"n2","name":"sky","address":"10.0.0.2:7443","reachable":false}]}`, !in.DryRun)
	})
	var looks atomic.Int32
	f.handle("GET /cluster", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("consistency") != "strong" || looks.Add(1) < 3 {
			refuse(w, http.StatusServiceUnavailable, "no_leader", "no leader")
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"c"}`)
	})
	if r := f.skerry(nil, "", "recover"); r.code != 2 || !strings.Contains(r.err, "--yes") || len(f.requests()) != 0 {
		t.Errorf("without a terminal: %+v", r)
	}
	r := f.skerry(nil, "", "recover", "--dry-run")
	golden(t, "recover.txt", r.out)
	if got := f.requests(); r.code != 0 || len(got) != 1 || !strings.Contains(got[0], `{"dryRun":true}`) {
		t.Errorf("--dry-run: %+v, asked %q", r, got)
	}
	if r := f.skerry(nil, "", "recover", "--yes", "--force"); r.code != 0 || !strings.Contains(r.out, "takes writes again after") || looks.Load() != 3 {
		t.Errorf("--yes: %+v after %d looks", r, looks.Load())
	}
	if got := f.requests()[1]; !strings.Contains(got, `{"force":true}`) {
		t.Errorf("asked %q", got)
	}
}

func TestRotateAuthority(t *testing.T) {
	f := newFake(t)
	f.on("POST /cluster/rotate-authority", `{"id":"c","rotation":"trust"}`)
	var looks atomic.Int32
	f.handle("GET /cluster", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if looks.Add(1) == 1 {
			_, _ = io.WriteString(w, `{"id":"c","rotation":"issue"}`)
			return
		}
		_, _ = io.WriteString(w, `{"id":"c","caFingerprint":"sha256:new"}`)
	})
	if r := f.skerry(nil, "", "certificate", "rotate-authority"); r.code != 0 || !strings.Contains(r.out, "sha256:new") || looks.Load() != 2 {
		t.Errorf("%+v", r)
	}
	if r := f.skerry(nil, "", "certificate", "rotate-authority", "--detach"); r.code != 0 || looks.Load() != 2 {
		t.Errorf("--detach: %+v", r)
	}
}

func TestRunPlacement(t *testing.T) {
	f := newFake(t)
	f.on("POST /apps", `{"id":"a1","name":"x","status":{"phase":"running"}}`)
	r := f.skerry(nil, "", "run", "-d", "-n", "x", "--constraint", "node.labels.disk==ssd", "--constraint", "node.name!=a", "--strategy", "binpack", "--spread-by", "zone", "--reserve-cpu", "0.5", "--reserve-memory", "256m", "nginx")
	_, svc := lastRun(t, f)
	if p := svc.Placement; r.code != 0 || len(p.Constraints) != 2 || p.Strategy != "binpack" || p.SpreadBy != "zone" || svc.Reserve.CPUMillis != 500 || svc.Reserve.MemoryBytes != 256<<20 {
		t.Errorf("%+v: %+v", r, svc)
	}
	for _, flags := range []string{"--strategy best", "--reserve-cpu lots", "--reserve-memory -1"} {
		if r := f.skerry(nil, "", strings.Fields("run -d "+flags+" nginx")...); r.code != 2 {
			t.Errorf("%s: %+v", flags, r)
		}
	}
}

func TestServicePs(t *testing.T) {
	f := newFake(t)
	withNodes(f)
	f.on("GET /services/{ref}", `{"id":"s1","name":"web","appId":"a1","appName":"shop","tenantId":"t1"}`)
	f.on("GET /containers", `{"items":[{"id":"c2","name":"web-2","serviceId":"s1","slot":2,"assign":{"reason":"no node has the label disk=ssd"},"status":{"phase":"pending"}},
		{"id":"c1","name":"web-1","serviceId":"s1","slot":1,"assign":{"nodeId":"n1","reason":"it has the fewest replicas"},"status":{"phase":"running","startedAt":"2020-01-01T00:00:00Z"}},{"id":"x","name":"other","serviceId":"s2","slot":1,"assign":{},"status":{}}]}`)
	golden(t, "service-ps.txt", ages.ReplaceAllString(f.skerry(nil, "", "service", "ps", "web").out, "AGE"))
}

// TestReadYourWrites asks one node, then another of the same cluster.
func TestReadYourWrites(t *testing.T) {
	f := newFake(t)
	sent := ""
	f.handle("POST /join-tokens", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Skerry-Index", "42")
		w.Header().Set("Skerry-Cluster", "c")
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"text":"T"}`)
	})
	behind := false
	f.handle("GET /join-tokens", func(w http.ResponseWriter, r *http.Request) {
		sent += r.Header.Get("Skerry-Index") + "@" + r.Header.Get("Skerry-Cluster") + " "
		if behind && r.Header.Get("Skerry-Index") != "" {
			refuse(w, http.StatusServiceUnavailable, "index_not_applied", "not yet")
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"items":[]}`)
	})
	ls := func(want string) {
		t.Helper()
		sent = ""
		if r := f.skerry(nil, "", "token", "ls", "-q"); r.code != 0 || r.err != "" || strings.TrimSpace(sent) != want {
			t.Errorf("sent %q, want %q: %+v", sent, want, r)
		}
	}
	ls("@") // nothing was written yet
	if r := f.skerry(nil, "", "token", "create"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	ls("42@c")
	behind = true
	ls("42@c @") // an old answer is better than none
	path := filepath.Join(f.dir, "home", "skerry", "index.json")
	old, err := json.Marshal(written{Cluster: "c", Index: 9, At: time.Now().Add(-2 * indexLife)})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(old), "no json", ""} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		ls("@")
	}
}

func TestReadYourWritesWithoutAHome(t *testing.T) {
	a := newApp(World{Stdout: io.Discard, Stderr: io.Discard, Env: func(string) string { return "" }, Home: func() (string, error) { return "", os.ErrNotExist }})
	a.index = &indexed{known: written{Cluster: "c", Index: 1}, changed: true}
	a.rememberWritten()
	if got := a.lastWritten(); got.Index != 0 {
		t.Errorf("%+v", got)
	}
}
