package cli

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/skerryhq/skerry/raft/model"
)

func TestDetachKeys(t *testing.T) {
	for _, c := range []struct {
		chunks []string
		out    string
		left   bool
	}{
		{[]string{"abc"}, "abc", false},
		{[]string{"a\x10\x11b"}, "a", true},
		{[]string{"a\x10", "\x11"}, "a", true},
		{[]string{"\x10", "x"}, "\x10x", false},
		{[]string{"\x10\x10\x11"}, "\x10", true},
		{[]string{"\x11\x10"}, "\x11", false},
	} {
		var d detachKeys
		out, left := "", false
		for _, chunk := range c.chunks {
			b, l := d.filter([]byte(chunk))
			out, left = out+string(b), left || l
		}
		if out != c.out || left != c.left {
			t.Errorf("%q: %q %v", c.chunks, out, left)
		}
	}
}

func TestEvents(t *testing.T) {
	long := strings.Repeat("x", 200_000)
	stream := ": comment\r\nevent: a\r\ndata: 1\r\ndata:2\r\n\r\nid: 7\ndata: " + long + "\n\nevent: cut\ndata: never"
	var got []string
	if err := events(strings.NewReader(stream), func(name, data string) error { got = append(got, name+"="+data); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0] != "a=1\n2" || got[1] != "message="+long {
		t.Errorf("%d events, %.100q", len(got), got)
	}
	stop := errors.New("stop")
	if err := events(strings.NewReader("data: 1\n\ndata: 2\n\n"), func(string, string) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
}

func TestStripQuery(t *testing.T) {
	for in, want := range map[string]string{
		"limit=0&cursor=&name=x": "name=x", "tail=0&follow=false": "tail=0", "command=sh&command=-c&command=": "command=sh&command=-c&command=", "wait=600": "wait=600", "": "",
	} {
		if got := stripQuery(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestTableAlignsWideText(t *testing.T) {
	var b bytes.Buffer
	if err := table(&b, [][]string{{"NAME", "X"}, {"数据库", "1"}, {"a\x1b[31m", ""}, {"абв", "2"}}); err != nil {
		t.Fatal(err)
	}
	if want := "NAME    X\n数据库  1\na?[31m  -\nабв     2\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}

func TestWords(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	for d, want := range map[time.Duration]string{0: "0s", 119 * time.Second: "119s", 3 * time.Minute: "3m", 47 * time.Hour: "47h", 72 * time.Hour: "3d", -time.Hour: "0s"} {
		if got := age(now.Add(-d), now); got != want {
			t.Errorf("age %v: %s", d, got)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 20 << 20: "20 MiB", 1 << 62: "4.0 EiB"} {
		if got := size(n); got != want {
			t.Errorf("size %d: %s", n, got)
		}
	}
	code := 137
	for want, s := range map[string]model.ContainerStatus{
		"running 10s":               {Phase: model.PhaseRunning, StartedAt: now.Add(-10 * time.Second)},
		"exited (137) 5s":           {Phase: model.PhaseExited, ExitCode: &code, FinishedAt: now.Add(-5 * time.Second)},
		"exited (out of memory) 5s": {Phase: model.PhaseExited, ExitCode: &code, OOMKilled: true, FinishedAt: now.Add(-5 * time.Second)},
		"restarting in 4s (137)":    {Phase: model.PhaseBackoff, ExitCode: &code, RetryAt: now.Add(3 * time.Second)},
		"failed: ImageMissing":      {Phase: model.PhaseFailed, Conditions: []model.Condition{{Reason: "ImageMissing"}}},
		"pending":                   {},
	} {
		if got := containerStatus(model.Container{Status: s}, now); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	for in, want := range map[string]int{"10": 10, "1m30s": 90, "0": 0, "1500ms": 2, "-1": -1, "x": -1, "9999999": -1} {
		got, err := seconds(in)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("seconds %q: %d, want %d", in, got, want)
		}
	}
}

// TestUnpackStaysInside gives unpack a tar as a hostile container would.
func TestUnpackStaysInside(t *testing.T) {
	outside := t.TempDir()
	for name, h := range map[string]tar.Header{
		"dots":     {Name: "../../evil", Typeflag: tar.TypeReg},
		"absolute": {Name: "/evil", Typeflag: tar.TypeReg},
		"link":     {Name: "top/link/evil", Typeflag: tar.TypeReg},
		"hardlink": {Name: "top/hard", Typeflag: tar.TypeLink, Linkname: "../../secret"},
	} {
		dir := filepath.Join(outside, name, "in")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		secret := filepath.Join(outside, name, "secret")
		if err := os.WriteFile(secret, []byte("s"), 0o600); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, one := range []tar.Header{{Name: "top/", Typeflag: tar.TypeDir, Mode: 0o755}, {Name: "top/link", Typeflag: tar.TypeSymlink, Linkname: filepath.Join(outside, name)}, h} {
			if err := w.WriteHeader(&one); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		_ = unpack(&b, dir, "top", "") // a refusal or a harmless place, both are right
		found, err := os.ReadDir(filepath.Join(outside, name))
		if err != nil || len(found) != 2 {
			t.Errorf("%s: something was written outside: %v %v", name, found, err)
		}
		if b, _ := os.ReadFile(secret); string(b) != "s" {
			t.Errorf("%s: the file outside was changed", name)
		}
	}
}

func TestPackAndUnpack(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{"tree/a": "1", "tree/sub/b": "2"} {
		p := filepath.Join(from, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("a", filepath.Join(from, "tree", "link")); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := pack(&b, filepath.Join(from, "tree"), "tree"); err != nil {
		t.Fatal(err)
	}
	if err := unpack(&b, to, "tree", "renamed"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"renamed/a": "1", "renamed/sub/b": "2", "renamed/link": "1"} {
		if got, err := os.ReadFile(filepath.Join(to, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
}

// TestExec plays a command behind a WebSocket.
func TestExec(t *testing.T) {
	f := newFake(t)
	withContainers(f)
	f.handle("GET /containers/{ref}/exec", func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); len(q["command"]) != 3 || q["command"][2] != "a b,c" || q.Get("stdin") != "true" || q.Has("tty") {
			t.Errorf("query %v", q)
		}
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer ws.CloseNow()
		var in []byte
		for {
			_, frame, err := ws.Read(r.Context())
			if err != nil {
				return
			}
			if frame[0] == chStdin {
				in = append(in, frame[1:]...)
				continue
			}
			var c control
			if json.Unmarshal(frame[1:], &c) == nil && c.CloseStdin {
				break
			}
		}
		_ = ws.Write(r.Context(), websocket.MessageBinary, append([]byte{chStdout}, bytes.ToUpper(in)...))
		_ = ws.Write(r.Context(), websocket.MessageBinary, append([]byte{chStderr}, "warn\n"...))
		_ = ws.Write(r.Context(), websocket.MessageBinary, append([]byte{chControl}, `{"exit":42}`...))
	})
	r := f.skerry(nil, "hello\n", "exec", "-i", "web", "sh", "-c", "a b,c")
	if r.code != 42 || r.out != "HELLO\n" || r.err != "warn\n" {
		t.Errorf("%+v", r)
	}
	f.handle("GET /containers/{ref}/attach", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusConflict, "container_not_running", "web does not run")
	})
	if r := f.skerry(nil, "", "attach", "web"); r.code != 1 || r.err != "skerry: web does not run\n" {
		t.Errorf("%+v", r)
	}
}

func TestLoginPinsTheAuthority(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/session", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer sk_1" {
			refuse(w, http.StatusUnauthorized, "unauthenticated", "the token is not valid")
			return
		}
		_, _ = io.WriteString(w, `{"name":"ada"}`)
	})
	mux.HandleFunc("GET /api/v1/apps", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"items":[]}`) })
	s := httptest.NewTLSServer(mux)
	defer s.Close()
	sum := sha256.Sum256(s.Certificate().Raw) // Go's test certificate is its own authority
	pin := "sha256:" + hex.EncodeToString(sum[:])
	home := t.TempDir()
	line := func(args ...string) result {
		var out, errOut bytes.Buffer
		w := World{Stdin: strings.NewReader("sk_1\n"), Stdout: &out, Stderr: &errOut, Env: func(string) string { return "" }, Home: func() (string, error) { return home, nil }}
		return result{Main(t.Context(), args, w), out.String(), errOut.String()}
	}
	if r := line("login", s.URL, "--token", "sk_1", "--ca-fingerprint", "sha256:"+strings.Repeat("0", 64)); r.code != 1 || !strings.Contains(r.err, "not the one whose fingerprint") {
		t.Errorf("%+v", r)
	}
	if r := line("login", s.URL, "--token", "sk_1"); r.code != 1 || !strings.Contains(r.err, "--ca-fingerprint") {
		t.Errorf("%+v", r)
	}
	if r := line("login", s.URL, "--token", "wrong", "--ca-fingerprint", pin); r.code != 1 || !strings.Contains(r.err, "the token is not valid") {
		t.Errorf("%+v", r)
	}
	if r := line("login", s.URL, "--token", "-", "--ca-fingerprint", pin); r.code != 0 || !strings.Contains(r.out, "ada") {
		t.Fatalf("%+v", r)
	}
	info, err := os.Stat(filepath.Join(home, "skerry", "login.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if r := line("app", "ls", "--json"); r.code != 0 || !strings.Contains(r.out, `"items": []`) {
		t.Errorf("%+v", r)
	}
	if r := line("--run-dir", filepath.Join(home, "none"), "app", "ls"); r.code != 1 || !strings.Contains(r.err, "no skerry daemon answers") {
		t.Errorf("a named run dir must win over the login: %+v", r)
	}
	if r := line("logout"); r.code != 0 {
		t.Errorf("%+v", r)
	}
	if _, err := os.Stat(filepath.Join(home, "skerry", "login.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("logout left the login: %v", err)
	}
	if r := line("login", "http://10.0.0.1:7443", "--token", "x"); r.code != 2 || !strings.Contains(r.err, "https://") {
		t.Errorf("%+v", r)
	}
}
