package cli

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "rewrite golden files")

// fake is a server that speaks the API where a test says so, on a socket.
type fake struct {
	t    *testing.T
	dir  string
	mux  *http.ServeMux
	mu   sync.Mutex
	seen []string // "METHOD path?query body"
}

func newFake(t *testing.T) *fake {
	t.Helper()
	dir, err := os.MkdirTemp("", "skerry-cli") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	f := &fake{t: t, dir: dir, mux: http.NewServeMux()}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", filepath.Join(dir, "skerry.sock"))
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(f.serve)}}
	s.Start()
	t.Cleanup(s.Close)
	f.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, "not_found", "there is nothing at "+r.URL.Path)
	})
	return f
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	f.mu.Lock()
	f.seen = append(f.seen, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(body)))
	f.mu.Unlock()
	f.mux.ServeHTTP(w, r)
}

// requests are what the server was asked, in order.
func (f *fake) requests() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.seen...)
}

// on answers a pattern such as "GET /apps/{ref}" with JSON text.
func (f *fake) on(pattern, body string) {
	f.handle(pattern, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body)
	})
}

func (f *fake) handle(pattern string, h http.HandlerFunc) {
	method, path, _ := strings.Cut(pattern, " ")
	f.mux.HandleFunc(method+" /api/v1"+path, h)
}

func refuse(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"type": "about:blank", "title": http.StatusText(status), "status": status, "code": code, "detail": detail, "requestId": "req1"})
}

// result is what a command line did.
type result struct {
	code     int
	out, err string
}

// skerry runs one command line against the fake.
func (f *fake) skerry(env map[string]string, stdin string, args ...string) result {
	f.t.Helper()
	var out, errOut bytes.Buffer
	w := World{
		Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errOut,
		Env: func(k string) string {
			if k == "SKERRY_RUN_DIR" {
				return f.dir
			}
			return env[k]
		},
		Home: func() (string, error) { return filepath.Join(f.dir, "home"), nil },
	}
	code := Main(f.t.Context(), args, w)
	return result{code, out.String(), errOut.String()}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (write it with -update)", err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got:\n%s\nwant:\n%s", name, got, want)
	}
}

func TestEveryCommandHasBothLanguages(t *testing.T) {
	world := World{Stdout: io.Discard, Stderr: io.Discard, Stdin: strings.NewReader(""), Env: func(string) string { return "" }, Home: func() (string, error) { return "", nil }}
	root := newApp(world).root()
	var walk func(c *cobra.Command)
	commands := 0
	walk = func(c *cobra.Command) {
		if !c.Hidden {
			commands++
			k := c.Annotations["key"]
			if x := sentences[k]; x.en == "" || x.zh == "" || x.en == x.zh {
				t.Errorf("%s: the catalogue has no help %q in both languages", c.CommandPath(), k)
			}
			if long, ok := sentences[k+".long"]; ok && (long.en == "" || long.zh == "") {
				t.Errorf("%s: the long help is not in both languages", c.CommandPath())
			}
			if c.RunE == nil {
				t.Errorf("%s does nothing", c.CommandPath())
			}
			c.Flags().VisitAll(func(f *pflag.Flag) { checkFlag(t, c, f) })
		}
		for _, child := range c.Commands() {
			walk(child)
		}
	}
	walk(root)
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) { checkFlag(t, root, f) })
	if commands < 60 {
		t.Errorf("only %d commands", commands)
	}
	for k, x := range sentences {
		if x.en == "" || x.zh == "" {
			t.Errorf("%s is not in both languages", k)
		}
		if strings.Count(x.en, "%") != strings.Count(x.zh, "%") {
			t.Errorf("%s: the languages have different gaps", k)
		}
	}
}

func checkFlag(t *testing.T, c *cobra.Command, f *pflag.Flag) {
	t.Helper()
	for _, x := range sentences {
		if x.en == f.Usage && x.zh != "" {
			return
		}
	}
	t.Errorf("%s --%s: its help %q is not in the catalogue", c.CommandPath(), f.Name, f.Usage)
}

func TestLanguage(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want string
	}{
		{nil, "en"},
		{map[string]string{"LANG": "zh_CN.UTF-8"}, "zh"},
		{map[string]string{"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"},
		{map[string]string{"LANG": "de_DE", "SKERRY_LANG": "zh"}, "zh"},
		{map[string]string{"LC_ALL": "zh_TW", "SKERRY_LANG": "en"}, "en"},
	} {
		if got := language(func(k string) string { return c.env[k] }); got != c.want {
			t.Errorf("%v: %s, want %s", c.env, got, c.want)
		}
	}
	f := newFake(t)
	for _, lang := range []string{"en", "zh"} {
		r := f.skerry(map[string]string{"SKERRY_LANG": lang}, "", "--help")
		golden(t, "help."+lang+".txt", strings.ReplaceAll(r.out, f.dir, "RUNDIR"))
		r = f.skerry(map[string]string{"SKERRY_LANG": lang}, "", "run", "--help")
		golden(t, "help-run."+lang+".txt", strings.ReplaceAll(r.out, f.dir, "RUNDIR"))
	}
}

func TestUsageEndsWithTwo(t *testing.T) {
	f := newFake(t)
	for _, line := range []string{
		"nonsense", "app", "app nonsense", "ps extra", "ps --nonsense", "stop", "run", "run --memory lots x", "run -p 99999:1 x", "run --restart maybe x",
		"run -e =x x", "run --cpus -1 x", "run -v rel:x x", "run --replicas 2 x", "run -d -i x", "run --json x", "run x --nonsense", "exec c", "cp a b", "cp a:/x b:/y",
		"service scale web", "service scale web=-1", "service scale web=x", "logs", "logs x --tail -5", "completion", "completion csh", "login https://x",
		"login https://x --token a --user b", "ps --filter nonsense", "stop -t x y", "inspect", "api-token create x --ttl soon", "run --pull sometimes x", "version x",
	} {
		if r := f.skerry(nil, "", strings.Fields(line)...); r.code != 2 || !strings.HasPrefix(r.err, "skerry: ") {
			t.Errorf("%s: status %d, %q", line, r.code, r.err)
		}
	}
	if got := f.requests(); len(got) != 0 {
		t.Errorf("the server was asked for lines that are wrong: %q", got)
	}
	r := f.skerry(nil, "", "services")
	if want := "did you mean service?"; !strings.Contains(r.err, want) {
		t.Errorf("no near command in %q", r.err)
	}
}

func TestNoDaemon(t *testing.T) {
	f := newFake(t)
	os.Remove(filepath.Join(f.dir, "skerry.sock"))
	r := f.skerry(nil, "", "ps")
	if r.code != 1 || !strings.Contains(r.err, "no skerry daemon answers at "+filepath.Join(f.dir, "skerry.sock")) {
		t.Errorf("%d %q", r.code, r.err)
	}
}

func TestRefusalIsOneSentence(t *testing.T) {
	f := newFake(t)
	f.handle("GET /apps", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusServiceUnavailable, "no_leader", "there is no leader; try again")
	})
	f.handle("GET /nodes", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusBadGateway) })
	if r := f.skerry(nil, "", "app", "ls"); r.code != 1 || r.err != "skerry: there is no leader; try again (request req1)\n" || r.out != "" {
		t.Errorf("%+v", r)
	}
	if r := f.skerry(nil, "", "node", "ls"); r.code != 1 || !strings.Contains(r.err, "502 Bad Gateway") {
		t.Errorf("%+v", r)
	}
}

func TestPagesAreJoined(t *testing.T) {
	f := newFake(t)
	f.handle("GET /tenants", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Query().Get("cursor") {
		case "":
			fmt.Fprint(w, `{"items":[{"id":"1","name":"one"}],"nextCursor":"a b&c"}`)
		case "a b&c":
			fmt.Fprint(w, `{"items":[{"id":"2","name":"两"}]}`)
		}
	})
	r := f.skerry(nil, "", "tenant", "ls", "--json")
	var got page[struct{ Name string }]
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || len(got.Items) != 2 || got.Items[1].Name != "两" {
		t.Errorf("%+v %v", r, err)
	}
}
