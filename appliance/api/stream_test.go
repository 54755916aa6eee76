package api

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/skerryhq/skerry/raft/model"
)

// event is one SSE event.
type event struct{ name, id, data string }

// events opens a stream and gives its events until the test ends.
func (r *rig) events(path string, edits ...edit) <-chan event {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	q, err := http.NewRequestWithContext(ctx, "GET", r.web.URL+base+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	q.Header.Set("Accept", mediaSSE)
	for _, e := range append([]edit{bearer(r.admin())}, edits...) {
		e(q)
	}
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != mediaSSE {
		r.t.Fatalf("stream %s: %d %s", path, resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	out, done := make(chan event, 100), make(chan struct{})
	go func() {
		defer close(done)
		defer close(out)
		readEvents(resp.Body, out)
	}()
	r.t.Cleanup(func() { cancel(); _ = resp.Body.Close(); <-done })
	return out
}

func readEvents(body io.Reader, out chan<- event) {
	var e event
	for lines := bufio.NewScanner(body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "data":
			e.data = value
		case "":
			if e.name != "" {
				out <- e
			}
			e = event{}
		}
	}
}

// next waits for the next event that fits.
func (r *rig) next(in <-chan event, fits func(event) bool) event {
	r.t.Helper()
	limit := time.After(r.deadline)
	for {
		select {
		case e, ok := <-in:
			if !ok {
				r.t.Fatal("the stream ended")
			}
			if fits(e) {
				return e
			}
		case <-limit:
			r.t.Fatal("the event did not come")
		}
	}
}

func called(name string) func(event) bool { return func(e event) bool { return e.name == name } }

// TestEvents follows events and changes, goes on after an id, and ends when the
// reader may no longer read.
func TestEvents(t *testing.T) {
	r := newRig(t)
	id := r.user("jane", model.UserSpec{Tenants: map[string]model.Role{r.own: model.RoleViewer}})
	jane := bearer(r.token("jane", id, "", model.RoleViewer, time.Time{}))
	all, own := r.events("/events?follow=true"), r.events("/events?follow=true", jane)
	c := r.app(r.own, "shop")
	first := r.next(all, called("event"))
	if first.id == "" || !strings.Contains(first.data, `"shop"`) {
		t.Errorf("event %+v", first)
	}
	change := r.next(own, func(e event) bool { return e.name == "change" && strings.Contains(e.data, c.ID) })
	if !strings.Contains(change.data, `"kind":"container"`) {
		t.Errorf("change %+v", change)
	}
	again := r.next(r.events("/events?follow=true", header("Last-Event-ID", first.id)), called("event"))
	if again.id <= first.id {
		t.Errorf("after %s came %s", first.id, again.id)
	}
	r.app(r.other, "secret")
	r.as("POST", "/volumes", VolumeInput{Name: "seen"})
	for e := range own { // what comes before the volume must not be the other tenant's
		if strings.Contains(e.data, "secret") || strings.Contains(e.data, r.other) {
			t.Fatalf("another tenant's event: %+v", e)
		}
		if strings.Contains(e.data, `"volume"`) {
			break
		}
	}
	l := into[EventList](t, r.as("GET", "/events?kind=app&limit=1", nil), 200)
	if len(l.Items) != 1 || l.NextCursor == "" {
		t.Errorf("listed %+v", l)
	}
	if a := r.as("POST", "/users/jane/disable", nil); a.status != 200 {
		t.Fatal(string(a.body))
	}
	r.app(r.own, "later") // any change makes the stream look again
	limit := time.After(r.deadline)
	for open := true; open; {
		select {
		case _, open = <-own:
		case <-limit:
			t.Fatal("a disabled user's stream goes on")
		}
	}
}

func TestLogs(t *testing.T) {
	r := newRig(t)
	c := r.app(r.own, "shop")
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	r.runtime.add(LogLine{Time: at, Stream: LogStreamStdout, Container: c.Name, Line: "one"}, LogLine{Time: at, Stream: LogStreamStderr, Container: c.Name, Line: "two"})
	for query, want := range map[string]string{
		"":                 "one\ntwo\n",
		"?streams=stderr":  "two\n",
		"?search=on":       "one\n",
		"?timestamps=true": "2026-01-02T03:04:05.000000006Z one\n2026-01-02T03:04:05.000000006Z two\n",
		"?since=1h":        "",
	} {
		if a := r.as("GET", "/containers/"+c.ID+"/logs"+query, nil); a.status != 200 || string(a.body) != want {
			t.Errorf("logs%s: %d %q, want %q", query, a.status, a.body, want)
		}
	}
	if a := r.as("GET", "/apps/shop/logs?streams=stdin", nil); a.status != 400 || a.problem(t).Field != "streams" {
		t.Errorf("a stream that is none: %d %s", a.status, a.body)
	}
	follow := r.events("/services/shop.web/logs?follow=true")
	r.next(follow, func(e event) bool { return strings.Contains(e.data, `"two"`) })
	r.runtime.add(LogLine{Time: at, Stream: LogStreamStdout, Line: "three"})
	r.next(follow, func(e event) bool { return e.name == "log" && strings.Contains(e.data, `"three"`) })
	stats := r.events("/containers/" + c.ID + "/stats")
	if e := r.next(stats, called("stats")); !strings.Contains(e.data, `"memoryBytes":42`) {
		t.Errorf("stats %+v", e)
	}
}

// terminalOf opens a terminal and gives its connection.
func (r *rig) terminalOf(path string, q url.Values, edits ...edit) (*websocket.Conn, error) {
	req, _ := http.NewRequest("GET", "/", nil)
	for _, e := range append([]edit{bearer(r.admin())}, edits...) {
		e(req)
	}
	ws, resp, err := websocket.Dial(r.t.Context(), r.web.URL+base+path+"?"+q.Encode(), &websocket.DialOptions{HTTPHeader: req.Header})
	if resp != nil && err != nil {
		return nil, fmt.Errorf("status %d: %w", resp.StatusCode, err)
	}
	return ws, err
}

// collect reads a terminal to its end.
func collect(t *testing.T, ws *websocket.Conn) (stdout, stderr string, end control) {
	t.Helper()
	for {
		_, b, err := ws.Read(t.Context())
		if err != nil {
			if websocket.CloseStatus(err) != websocket.StatusNormalClosure {
				t.Errorf("the socket ended with %v", err)
			}
			return stdout, stderr, end
		}
		switch b[0] {
		case channelStdout:
			stdout += string(b[1:])
		case channelStderr:
			stderr += string(b[1:])
		case channelControl:
			if err := json.Unmarshal(b[1:], &end); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestExec(t *testing.T) {
	r := newRig(t)
	path := "/containers/" + r.app(r.own, "shop").ID
	open := func(command ...string) *websocket.Conn {
		t.Helper()
		ws, err := r.terminalOf(path+"/exec", url.Values{"command": command, "stdin": {"true"}})
		if err != nil {
			t.Fatal(err)
		}
		return ws
	}
	write := func(ws *websocket.Conn, channel byte, text string) {
		t.Helper()
		if err := ws.Write(t.Context(), websocket.MessageBinary, append([]byte{channel}, text...)); err != nil {
			t.Fatal(err)
		}
	}
	if out, _, end := collect(t, open("echo", "a b", "c")); out != "a b c\n" || end.Exit == nil || *end.Exit != 0 {
		t.Errorf("echo: %q %+v", out, end)
	}
	if _, bad, end := collect(t, open("fail")); bad != "it failed\n" || *end.Exit != 3 {
		t.Errorf("fail: %q %+v", bad, end)
	}
	if _, _, end := collect(t, open("no-such-command")); *end.Exit != 127 {
		t.Errorf("unknown command: %+v", end)
	}
	ws := open("cat")
	write(ws, channelStdin, "hello ")
	write(ws, channelStdin, "there")
	write(ws, channelControl, `{"closeStdin":true}`)
	if out, _, end := collect(t, ws); out != "hello there" || *end.Exit != 0 {
		t.Errorf("cat: %q %+v", out, end)
	}
	ws = open("size")
	write(ws, channelControl, `{"resize":{"cols":132,"rows":50}}`)
	if out, _, _ := collect(t, ws); out != "132x50" {
		t.Errorf("resize: %q", out)
	}
	ws = open("wait")
	write(ws, channelControl, `{"signal":"INT"}`)
	if out, _, end := collect(t, ws); out != "INT" || *end.Exit != 130 {
		t.Errorf("signal: %q %+v", out, end)
	}
	ws = open("wait")
	_ = ws.CloseNow()
	r.eventually("the command hears that its client has gone", func() bool {
		r.runtime.mu.Lock()
		defer r.runtime.mu.Unlock()
		return len(r.runtime.sent) == 1
	})
	if ws, err := r.terminalOf(path+"/attach", url.Values{"stdin": {"true"}}); err != nil {
		t.Error(err)
	} else {
		write(ws, channelStdin, "x")
		write(ws, channelControl, `{"closeStdin":true}`)
		if out, _, _ := collect(t, ws); out != "x" {
			t.Errorf("attach: %q", out)
		}
	}
	if a := r.as("GET", path+"/exec?command=ls", nil); a.status != 400 || a.problem(t).Code != "websocket_needed" {
		t.Errorf("without a socket: %d", a.status)
	}
}

// TestInputOfClientThatIsGone: a client that leaves, or is cut off, has not ended
// its input. Whoever attaches next still types to the container.
func TestInputOfClientThatIsGone(t *testing.T) {
	r := newRig(t)
	path := "/containers/" + r.app(r.own, "shop").ID + "/exec"
	for end, leave := range map[string]func(*websocket.Conn) error{
		"broke off": func(ws *websocket.Conn) error { return ws.Close(websocket.StatusNormalClosure, "detached") },
		"ended": func(ws *websocket.Conn) error {
			return ws.Write(t.Context(), websocket.MessageBinary, append([]byte{channelControl}, `{"closeStdin":true}`...))
		},
	} {
		r.runtime.mu.Lock()
		r.runtime.sent = nil
		r.runtime.mu.Unlock()
		ws, err := r.terminalOf(path, url.Values{"command": {"read"}, "stdin": {"true"}})
		if err != nil {
			t.Fatal(err)
		}
		_ = leave(ws) // the other side may answer with the end of the command
		r.eventually("the input "+end, func() bool {
			r.runtime.mu.Lock()
			defer r.runtime.mu.Unlock()
			return slices.Equal(r.runtime.sent, []string{end})
		})
		_ = ws.CloseNow()
	}
}

// TestTerminalOrigin holds that another site cannot open a terminal with a
// visitor's cookie, and that the console's own can.
func TestTerminalOrigin(t *testing.T) {
	r := newRig(t)
	path := "/containers/" + r.app(r.own, "shop").ID + "/exec"
	cookie, _ := r.session(r.user("root", model.UserSpec{PlatformRole: model.RoleAdmin}))
	q := url.Values{"command": {"echo", "hi"}}
	session := func(h *http.Request) { h.Header.Del("Authorization"); browser(cookie, "")(h) }
	for origin, allowed := range map[string]bool{r.web.URL: true, "https://evil.example": false, "": false} {
		ws, err := r.terminalOf(path, q, session, func(h *http.Request) {
			if origin != "" {
				h.Header.Set("Origin", origin)
			}
		})
		if (err == nil) != allowed {
			t.Errorf("origin %q: %v", origin, err)
		}
		if err == nil {
			collect(t, ws)
		} else if !strings.Contains(err.Error(), "403") {
			t.Errorf("origin %q: %v", origin, err)
		}
	}
}

func TestArchives(t *testing.T) {
	r := newRig(t)
	path := "/containers/" + r.app(r.own, "shop").ID + "/archive"
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	_ = w.WriteHeader(&tar.Header{Name: "hällo.txt", Size: 2, Mode: 0o644})
	_, _ = w.Write([]byte("hi"))
	_ = w.Close()
	if a := r.as("PUT", path+"?path=/etc", b.String(), header("Content-Type", mediaTar)); a.status != 204 {
		t.Fatalf("put: %d %s", a.status, a.body)
	}
	file := path + "?path=" + url.QueryEscape("/etc/hällo.txt")
	for _, method := range []string{"GET", "HEAD"} {
		a := r.as(method, file, nil)
		var st PathStat
		if err := json.Unmarshal([]byte(a.header.Get(headerStat)), &st); err != nil || a.status != 200 || st.Name != "/etc/hällo.txt" || st.Size != 2 {
			t.Errorf("%s: %d %q %v", method, a.status, a.header.Get(headerStat), err)
		}
		if method == "GET" {
			tr := tar.NewReader(bytes.NewReader(a.body))
			if _, err := tr.Next(); err != nil {
				t.Error(err)
			}
			if got, _ := io.ReadAll(tr); string(got) != "hi" {
				t.Errorf("got %q", got)
			}
		}
	}
	if a := r.as("GET", path+"?path=/nothing", nil); a.status != 404 || a.problem(t).Code != "path_unknown" {
		t.Errorf("no such path: %d", a.status)
	}
	if a := r.as("GET", path+"?path=etc", nil); a.status != 400 || a.problem(t).Field != "path" {
		t.Errorf("a relative path: %d", a.status)
	}
	if a := r.as("GET", path, nil); a.status != 400 || a.problem(t).Code != "parameter_invalid" {
		t.Errorf("no path: %d %s", a.status, a.body)
	}
}

// TestImages walks imports, pulls, names with slashes, exports and their
// streams.
func TestImages(t *testing.T) {
	r := newRig(t)
	tarred := header("Content-Type", mediaTar)
	big := strings.Repeat("x", 3<<20)
	if l := into[ImageList](t, r.as("POST", "/image-imports?name=docker.io/library/big:1", big, tarred), 201); len(l.Items) != 1 || r.ops.imported != int64(len(big)) {
		t.Errorf("imported %+v, %d bytes", l, r.ops.imported)
	}
	a := r.as("POST", "/image-imports?name=docker.io/library/big:2", big, tarred, header("Accept", mediaSSE))
	events := make(chan event, 10)
	readEvents(bytes.NewReader(a.body), events)
	if first, last := <-events, <-events; first.name != "progress" || last.name != "done" || !strings.Contains(last.data, "big:2") {
		t.Errorf("streamed %s", a.body)
	}
	a = r.as("POST", "/image-pulls", PullInput{Image: "docker.io/library/missing:1"}, header("Accept", mediaNDJSON))
	lines := strings.Split(strings.TrimSpace(string(a.body)), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], `{"progress":`) || !strings.HasPrefix(lines[1], `{"problem":`) || !strings.Contains(lines[1], `"status":404`) {
		t.Errorf("lines %q", lines)
	}
	if a := r.as("POST", "/image-imports", "x", header("Content-Type", "image/png")); a.status != 415 {
		t.Errorf("a picture: %d", a.status)
	}
	for _, ref := range []string{"welcome", "library%2Fwelcome", "docker.io%2Flibrary%2Fwelcome:latest"} {
		if got := into[ImageDetail](t, r.as("GET", "/images/"+ref, nil), 200); got.Image.Name != "docker.io/library/welcome:latest" || got.Config.Os != "linux" || len(got.Layers) != 1 {
			t.Errorf("%s: %+v", ref, got)
		}
	}
	jane := bearer(r.token("jane", r.user("jane", model.UserSpec{Tenants: map[string]model.Role{r.other: model.RoleOwner}}), "", model.RoleOwner, time.Time{}))
	if a := r.do("DELETE", "/images/welcome", nil, jane); a.status != 403 {
		t.Errorf("another tenant's public image removed: %d", a.status)
	}
	if l := into[ImageList](t, r.do("GET", "/images", nil, jane), 200); len(l.Items) != 1 {
		t.Errorf("another tenant sees %d images", len(l.Items))
	}
	if a := r.as("GET", "/images/welcome/export", nil); a.status != 200 || string(a.body) != "tar of docker.io/library/welcome:latest" {
		t.Errorf("export: %d %q", a.status, a.body)
	}
	r.as("POST", "/image-imports?name=docker.io/library/broken:1", "x", tarred)
	q, _ := http.NewRequestWithContext(t.Context(), "GET", r.web.URL+base+"/images/broken:1/export", nil)
	bearer(r.admin())(q)
	resp, err := http.DefaultClient.Do(q)
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
	}
	if err == nil || !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		t.Errorf("half an export looked whole: %v", err)
	}
	a = r.as("POST", "/apps?wait=1", AppInput{Name: "slow", Pull: PullPolicyAlways, Services: map[string]ServiceInput{"web": {Container: model.ContainerSpec{Image: "welcome"}}}}, header("Accept", mediaSSE))
	if !strings.Contains(string(a.body), `"step":"pulling"`) || !strings.Contains(string(a.body), "event: done") || !strings.Contains(string(a.body), `"phase":"starting"`) {
		t.Errorf("create with steps: %s", a.body)
	}
	if a := r.as("POST", "/apps", AppInput{Name: "slow", Services: map[string]ServiceInput{"web": {Container: model.ContainerSpec{Image: "welcome"}}}}, header("Accept", mediaSSE)); a.status != 409 {
		t.Errorf("refused before the first step: %d %s", a.status, a.body)
	}
}

// TestAfterAnImport holds that what of an import's body was not read never
// reaches the next request: the connection ends, or the request works.
func TestAfterAnImport(t *testing.T) {
	r := newRig(t)
	token := r.admin()
	for range 10 {
		c, err := net.Dial("tcp", r.web.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(c)
		body := strings.Repeat("x", earlyBytes)
		fmt.Fprintf(c, "POST %s/image-imports?name=docker.io/library/early:1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n",
			base, token, mediaTar, len(body), body)
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != 201 {
			t.Fatalf("import: %d", resp.StatusCode)
		}
		if !resp.Close {
			fmt.Fprintf(c, "0\r\n\r\nGET %s/images HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", base, token)
			if next, err := http.ReadResponse(in, nil); err != nil || next.StatusCode != 200 {
				t.Fatalf("the request after an import: %+v %v", next, err)
			}
		}
		_ = c.Close()
	}
}

func TestConsole(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	for name, content := range map[string]string{"index.html": "<html>", "assets/app-1.js": "script", "assets/app-1.js.gz": "zipped"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r.server.cfg.Console = http.Dir(dir)
	get := func(path, encoding string) answer {
		return send(t, &http.Client{Transport: &http.Transport{DisableCompression: true}}, "GET", r.web.URL+path, nil, header("Accept-Encoding", encoding))
	}
	for path, want := range map[string]string{"/": "<html>", "/apps/shop": "<html>", "/index.html": "<html>", "/assets/app-1.js": "script", "/../../etc/passwd": "<html>"} {
		a := get(path, "identity")
		if a.status != 200 || string(a.body) != want {
			t.Errorf("%s: %d %q", path, a.status, a.body)
		}
		if p := a.header.Get("Content-Security-Policy"); !strings.Contains(p, "script-src 'self';") || strings.Contains(a.header.Get("Strict-Transport-Security"), "max-age") {
			t.Errorf("%s: policy %q", path, p)
		}
	}
	if a := get("/assets/app-1.js", "gzip, br"); string(a.body) != "zipped" || a.header.Get("Content-Encoding") != "gzip" || !strings.Contains(a.header.Get("Content-Type"), "javascript") || !strings.Contains(a.header.Get("Cache-Control"), "immutable") {
		t.Errorf("compressed: %q %v", a.body, a.header)
	}
	if a := get("/assets/app-0.js", "identity"); a.status != 404 {
		t.Errorf("a script of an old build: %d", a.status)
	}
	if a := get("/api/v1/nothing", "identity"); a.status != 404 || a.problem(t).Code != "not_found" {
		t.Errorf("an unknown operation: %d", a.status)
	}
	if a := get("/metrics", "identity"); a.status != 401 {
		t.Errorf("metrics without a token: %d", a.status)
	}
	if a := get(base+"/openapi.yaml", "identity"); a.status != 200 || !bytes.Equal(a.body, document) {
		t.Errorf("openapi.yaml: %d", a.status)
	}
}
