package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/appliance/apptest"
)

// fetch reads JSON from the API.
func fetch[T any](t *testing.T, n *apptest.Node, path string) (v T) {
	t.Helper()
	res, err := n.API(http.MethodGet, "/api/v1"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s %v", path, res.StatusCode, b, err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%s: %v: %s", path, err, b)
	}
	return v
}

// highest is the highest value of a metric, and how many there are.
func highest(m api.Metrics, metric string) (top float64, n int) {
	for _, s := range m.Series {
		for _, v := range s.Values {
			if s.Metric == metric && v != nil {
				top, n = max(top, *v), n+1
			}
		}
	}
	return top, n
}

// TestMetrics measures a container that computes, sends and writes, and finds
// its figures again after the daemon was killed.
func TestMetrics(t *testing.T) {
	n := apptest.Start(t)
	n.Busybox()
	n.OK("run", "-d", "-n", "busy", "busybox", "sh", "-c", "while :; do :; done")
	n.OK("run", "-d", "-n", "sender", "-p", "31234:80", "busybox", "sh", "-c", "mkdir /www; dd if=/dev/zero of=/www/big bs=1M count=30; httpd -f -p 80 -h /www")
	read := func(path string) api.Metrics { return fetch[api.Metrics](t, n, path+"/metrics?since=2m") }
	n.Eventually(30*time.Second, "the CPU that the container uses is seen", func() bool {
		top, many := highest(read("/containers/busy"), "cpu")
		return many >= 3 && top > 0.2
	})
	n.Eventually(60*time.Second, "the traffic is seen, from the container's side", func() bool {
		_, _ = n.Outside.Try("curl", "-s", "-o", "/dev/null", "-m", "5", "http://"+nodeIP+":31234/big")
		m := read("/containers/sender")
		tx, _ := highest(m, "networkTx")
		rx, _ := highest(m, "networkRx")
		return tx > 1<<20 && tx > 5*rx
	})
	node := read("/nodes/n1")
	for _, metric := range []string{"cpu", "memory", "disk", "pids"} {
		if top, _ := highest(node, metric); top <= 0 {
			t.Errorf("the node's %s is %v", metric, top)
		}
	}
	if node.DiskTotalBytes == 0 || node.CPULimit == 0 || node.MemoryLimitBytes == 0 {
		t.Errorf("the node's limits: %v %v %v", node.DiskTotalBytes, node.CPULimit, node.MemoryLimitBytes)
	}
	n.Eventually(70*time.Second, "30 seconds are stored", func() bool {
		m := fetch[api.Metrics](t, n, "/containers/busy/metrics?since=1h&step=60")
		_, many := highest(m, "cpu")
		return many > 0 && len(m.Series) > 0 && m.Series[0].Max != nil && time.Since(node.To) > 32*time.Second
	})
	n.Kill()
	n.Daemon()
	n.Eventually(30*time.Second, "the figures from before are there", func() bool {
		m := read("/containers/busy")
		_, many := highest(m, "cpu")
		return many > 35
	})
	for _, path := range []string{"/containers/none/metrics", "/services/none/none/metrics", "/nodes/none/metrics"} {
		res, err := n.API(http.MethodGet, "/api/v1"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
}

// TestFileBrowser walks through the console's way: list, upload, download,
// remove, in a running and a stopped container and in its volume.
func TestFileBrowser(t *testing.T) {
	n := apptest.Start(t)
	n.Busybox()
	n.OK("run", "-d", "-n", "web", "-v", "data:/data", "busybox", "sleep", "1000000")
	do := func(method, path, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://local/api/v1"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/octet-stream")
		res, err := n.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b)
	}
	must := func(want int, method, path, body string) string {
		t.Helper()
		status, got := do(method, path, body)
		if status != want {
			t.Errorf("%s %s: %d, want %d: %s", method, path, status, want, got)
		}
		return got
	}
	name := url.QueryEscape("/data/a\nb 🦭")
	for _, state := range []string{"running", "stopped"} {
		if state == "stopped" {
			n.OK("stop", "-t", "0", "web")
		}
		must(200, "PUT", "/containers/web/file?path="+name, state)
		if got := must(200, "GET", "/volumes/data/file?path="+url.QueryEscape("/a\nb 🦭"), ""); got != state {
			t.Errorf("%s: the volume has %q", state, got)
		}
		if l := fetch[api.FileList](t, n, "/containers/web/files?path=/data"); len(l.Items) == 0 || l.Items[0].Name != "a\nb 🦭" { // the image's own come after it
			t.Errorf("%s: %+v", state, l)
		}
		must(409, "DELETE", "/containers/web/files?path=/data&recursive=true", "")
		must(400, "DELETE", "/containers/web/files?path=/&recursive=true", "")
		if state == "running" {
			must(409, "GET", "/containers/web/file?path=/proc/version", "")
		}
		must(409, "PUT", "/containers/web/file?path=/etc/resolv.conf", "x")
		must(201, "POST", "/volumes/data/folders?path=/d", "")
		must(200, "PUT", "/volumes/data/file?path=/d/f", "x")
		must(409, "DELETE", "/containers/web/files?path=/data/d", "")
		must(204, "DELETE", "/containers/web/files?path=/data/d&recursive=true", "")
		must(404, "GET", "/volumes/data/file?path=/d/f", "")
	}
	// What was read and changed is on record, by place and path.
	n.Eventually(10*time.Second, "the audit has it", func() bool {
		l := fetch[api.AuditList](t, n, "/audit?operation=readVolumeFile&limit=100")
		w := fetch[api.AuditList](t, n, "/audit?operation=deleteContainerFile&limit=100")
		return len(l.Items) >= 2 && strings.Contains(l.Items[len(l.Items)-1].Object, "data:/a\nb 🦭") && len(w.Items) >= 6
	})
	n.OK("start", "web")
	n.Eventually(10*time.Second, "it runs with the file", func() bool {
		out, status := n.Try("exec", "web", "sh", "-c", "cat /data/a*")
		return status == 0 && strings.TrimSpace(out) == "stopped"
	})
}
