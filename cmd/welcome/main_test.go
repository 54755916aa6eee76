package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

func testPage(env map[string]string, host string) *page {
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	return newPage(func() (string, error) { return host, nil }, func() []string { return []string{"10.42.0.7"} },
		func(k string) string { return env[k] }, func() time.Time { return at })
}

func get(t *testing.T, h http.Handler, path, accept string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	r.Header.Set("Accept-Language", accept)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestLanguage(t *testing.T) {
	h := testPage(nil, "web-1").handler()
	for _, c := range []struct{ path, accept, want string }{
		{"/", "", "Your container is running"},
		{"/", "zh-CN,zh;q=0.9,en;q=0.8", "容器正在运行"},
		{"/", "en;q=0.5, zh-TW;q=0.7", "容器正在运行"},
		{"/", "fr, en;q=0.3", "Your container is running"},
		{"/", "zh;q=bad", "Your container is running"},
		{"/?lang=zh", "en", "容器正在运行"},
		{"/?lang=xx", "zh", "容器正在运行"},
	} {
		if body := get(t, h, c.path, c.accept).Body.String(); !strings.Contains(body, c.want) {
			t.Errorf("%s %q: no %q", c.path, c.accept, c.want)
		}
	}
	if len(words["en"]) != len(words["zh"]) {
		t.Error("the languages have different numbers of sentences")
	}
	for k := range words["en"] {
		if words["zh"][k] == "" || !strings.Contains(pageHTML+"{{HOST}}{{ADDR}}{{REPLICA}}{{TIME}}{{UP}}{{VISITS}}{{APP}}", "{{"+k+"}}") {
			t.Errorf("%s is missing", k)
		}
	}
}

func TestPage(t *testing.T) {
	h := testPage(map[string]string{"SKERRY_APP": "<b>", "SKERRY_SERVICE": "web", "SKERRY_SLOT": "3"}, "host").handler()
	get(t, h, "/", "")
	w := get(t, h, "/", "")
	for _, want := range []string{"10.42.0.7", "&lt;b&gt; / web", "<dd>3</dd>", "<dd>2</dd>", "2030-01-02 03:04:05 UTC"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %q in the page", want)
		}
	}
	if strings.Contains(w.Body.String(), "{{") || strings.Contains(w.Body.String(), "http") {
		t.Error("a placeholder or an external resource is left in the page")
	}
	if w := get(t, h, "/healthz", ""); w.Code != 200 || w.Body.String() != "ok\n" {
		t.Errorf("healthz: %d %q", w.Code, w.Body)
	}
	if w := get(t, h, "/nothing", ""); w.Code != 404 {
		t.Errorf("unknown path: %d", w.Code)
	}
	for host, want := range map[string]string{"web-2": "2", "web": "", "7": "", "a-b-12": "12"} {
		if got := testPage(nil, host).replica(); got != want {
			t.Errorf("replica of %s = %q, want %q", host, got, want)
		}
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func TestRunEndsAtOnce(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	out := &lockedBuffer{}
	done := make(chan error, 1)
	go func() { done <- run(ctx, l, testPage(nil, "web-1"), out) }()
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String()+"/%0aforged", nil)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	begin := time.Now()
	cancel()
	select {
	case err := <-done:
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("did not end")
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("ended only after %v", took)
	}
	if text := out.b.String(); !strings.Contains(text, `GET "/%0aforged" 404`) || !strings.Contains(text, "welcome ends") {
		t.Errorf("log: %q", text)
	}
}
