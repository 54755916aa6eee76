package main

import (
	_ "embed"
	"fmt"
	"html"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

//go:embed page.html
var pageHTML string

// words are the page's sentences, by language.
var words = map[string]map[string]string{
	"en": {
		"LANG": "en", "OTHER": "中文", "OTHERLANG": "zh", "TITLE": "Your container is running",
		"LEAD": "This page is served by a container on your own cloud. You can scale it, stop it, update it or remove it: nothing else depends on it.",
		"HOST": "Host name", "ADDR": "Address", "REPLICA": "Replica", "TIME": "Time here", "UP": "Running for", "VISITS": "Visits since start",
		"HINT": "Reload: with several replicas another one may answer.", "APP": "App",
	},
	"zh": {
		"LANG": "zh-CN", "OTHER": "English", "OTHERLANG": "en", "TITLE": "容器正在运行",
		"LEAD": "这个页面由您自己的云上的一个容器提供。您可以扩缩、停止、更新或删除它：没有别的东西依赖它。",
		"HOST": "主机名", "ADDR": "地址", "REPLICA": "副本", "TIME": "当前时间", "UP": "已运行", "VISITS": "启动以来的访问次数",
		"HINT": "刷新页面：有多个副本时，可能由另一个副本应答。", "APP": "应用",
	},
}

// page knows what the page shows. Safe for concurrent use.
type page struct {
	host   string
	addrs  func() []string
	env    func(string) string
	now    func() time.Time
	start  time.Time
	visits atomic.Int64
}

func newPage(host func() (string, error), addrs func() []string, env func(string) string, now func() time.Time) *page {
	name, err := host()
	if err != nil {
		name = "unknown"
	}
	return &page{host: name, addrs: addrs, env: env, now: now, start: now()}
}

func (p *page) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("GET /{$}", p.serve)
	return mux
}

func (p *page) serve(w http.ResponseWriter, r *http.Request) {
	n := p.visits.Add(1)
	lang := language(r)
	t := words[lang]
	pairs := []string{}
	for k, v := range t {
		pairs = append(pairs, "{{"+k+"}}", html.EscapeString(v))
	}
	now := p.now()
	facts := [][2]string{{t["HOST"], p.host}, {t["ADDR"], strings.Join(p.addrs(), ", ")}}
	if app := p.env("SKERRY_APP"); app != "" {
		facts = append(facts, [2]string{t["APP"], strings.Trim(app+" / "+p.env("SKERRY_SERVICE"), " /")})
	}
	facts = append(facts, [2]string{t["REPLICA"], p.replica()}, [2]string{t["TIME"], now.UTC().Format("2006-01-02 15:04:05") + " UTC"},
		[2]string{t["UP"], now.Sub(p.start).Round(time.Second).String()}, [2]string{t["VISITS"], strconv.FormatInt(n, 10)})
	var rows strings.Builder
	for _, f := range facts {
		if f[1] != "" {
			fmt.Fprintf(&rows, "<div><dt>%s</dt><dd>%s</dd></div>\n", html.EscapeString(f[0]), html.EscapeString(f[1]))
		}
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", t["LANG"])
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept-Language")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:")
	_, _ = strings.NewReplacer(append(pairs, "{{FACTS}}", rows.String())...).WriteString(w, pageHTML)
}

// replica is the slot that the platform gave, or the number at the end of the
// host name ("welcome-web-2"), or nothing.
func (p *page) replica() string {
	if s := p.env("SKERRY_SLOT"); s != "" {
		return s
	}
	i := strings.LastIndexByte(p.host, '-')
	if _, err := strconv.Atoi(p.host[i+1:]); i < 0 || err != nil {
		return ""
	}
	return p.host[i+1:]
}

// language is the first of zh and en that the visitor asks for: by ?lang, then
// by Accept-Language with its weights.
func language(r *http.Request) string {
	if l := r.URL.Query().Get("lang"); words[l] != nil {
		return l
	}
	best, weight := "en", 0.0
	for part := range strings.SplitSeq(r.Header.Get("Accept-Language"), ",") {
		tag, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		q := 1.0
		if v, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			f, err := strconv.ParseFloat(v, 64)
			if err != nil {
				continue
			}
			q = f
		}
		base, _, _ := strings.Cut(strings.ToLower(tag), "-")
		if words[base] != nil && q > weight {
			best, weight = base, q
		}
	}
	return best
}

// logged writes one line for each request: time, visitor, method, path,
// status, duration.
func logged(next http.Handler, out io.Writer, now func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := now()
		s := &status{ResponseWriter: w, code: http.StatusOK}
		next.ServeHTTP(s, r)
		fmt.Fprintf(out, "%s %s %s %s %d %s\n", begin.UTC().Format(time.RFC3339), r.RemoteAddr, r.Method, strconv.Quote(r.URL.RequestURI()), s.code, now().Sub(begin).Round(time.Microsecond))
	})
}

type status struct {
	http.ResponseWriter
	code int
}

func (s *status) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}
