package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// The headers by which one reads one's own writes on any node.
const (
	headerIndex   = "Skerry-Index"
	headerCluster = "Skerry-Cluster"
	// indexLife is how long a write is remembered between two command lines: a
	// node that is further behind than that says so itself.
	indexLife = time.Minute
)

// written is the newest change that this user made or saw: where he asks next,
// it must be known. The zero value means that nothing is.
type written struct {
	Cluster string    `json:"cluster"`
	Index   uint64    `json:"index"`
	At      time.Time `json:"at"`
}

// indexed is a transport that sends back what the replies before carried.
type indexed struct {
	inner   http.RoundTripper
	mu      sync.Mutex
	known   written // guarded by mu
	changed bool    // guarded by mu; something was written
}

// RoundTrip sends a request. A node that does not have the change in time is
// asked once more without: an old answer is better than none.
func (x *indexed) RoundTrip(r *http.Request) (*http.Response, error) {
	x.mu.Lock()
	known := x.known
	x.mu.Unlock()
	if known.Index == 0 || r.Header.Get(headerIndex) != "" {
		return x.send(r)
	}
	asked := r.Clone(r.Context())
	asked.Header.Set(headerIndex, strconv.FormatUint(known.Index, 10))
	asked.Header.Set(headerCluster, known.Cluster)
	resp, err := x.send(asked)
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable || r.Body != nil && r.GetBody == nil {
		return resp, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	var p struct{ Code string }
	if err != nil || json.Unmarshal(body, &p) != nil || p.Code != "index_not_applied" {
		return resp, nil
	}
	x.mu.Lock()
	x.known = written{}
	x.mu.Unlock()
	again := r.Clone(r.Context())
	if r.GetBody != nil {
		if again.Body, err = r.GetBody(); err != nil {
			return nil, fmt.Errorf("send the request again: %w", err)
		}
	}
	return x.send(again)
}

func (x *indexed) send(r *http.Request) (*http.Response, error) {
	resp, err := x.inner.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	index, perr := strconv.ParseUint(resp.Header.Get(headerIndex), 10, 64)
	cluster := resp.Header.Get(headerCluster)
	if perr != nil || cluster == "" {
		return resp, nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if cluster != x.known.Cluster || index > x.known.Index {
		x.known = written{Cluster: cluster, Index: index}
	}
	x.changed = x.changed || r.Method != http.MethodGet && r.Method != http.MethodHead && resp.StatusCode < 400
	return resp, nil
}

// CloseIdleConnections lets http.Client close the inner transport's.
func (x *indexed) CloseIdleConnections() {
	if c, ok := x.inner.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

func (a *app) indexFile() (string, error) {
	dir, err := a.Home()
	if err != nil {
		return "", fmt.Errorf("find your configuration folder: %w", err)
	}
	return filepath.Join(dir, "skerry", "index.json"), nil
}

// lastWritten is what an earlier command line wrote, if that is not long ago.
func (a *app) lastWritten() written {
	path, err := a.indexFile()
	if err != nil {
		return written{}
	}
	b, err := os.ReadFile(path)
	var w written
	if err != nil || json.Unmarshal(b, &w) != nil || w.Cluster == "" || time.Since(w.At) > indexLife || time.Until(w.At) > indexLife {
		return written{}
	}
	return w
}

// rememberWritten keeps the index of what was written for the next command line.
// Without a place to keep it nothing is lost but read-your-writes between nodes.
func (a *app) rememberWritten() {
	if a.index == nil {
		return
	}
	a.index.mu.Lock()
	w, changed := a.index.known, a.index.changed
	a.index.mu.Unlock()
	path, err := a.indexFile()
	if !changed || w.Index == 0 || err != nil {
		return
	}
	w.At = time.Now().UTC()
	if other := a.lastWritten(); other.Cluster == w.Cluster && other.Index > w.Index {
		w.Index = other.Index
	}
	b, err := json.Marshal(w)
	if err != nil || os.MkdirAll(filepath.Dir(path), 0o700) != nil {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(path), "index")
	if err != nil {
		return
	}
	_, err = f.Write(append(b, '\n'))
	if cerr := f.Close(); err != nil || cerr != nil || os.Rename(f.Name(), path) != nil {
		_ = os.Remove(f.Name())
	}
}

// indexing gives a client's transport the memory of this command line.
func (a *app) indexing(c *http.Client) {
	if a.index == nil {
		a.index = &indexed{known: a.lastWritten()}
	}
	a.index.inner, c.Transport = c.Transport, a.index
}
