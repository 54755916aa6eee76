package control

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

type callerKey struct{}

// beatServer serves heartbeats by HTTP/2 with TLS; the caller's id comes in a
// header here, as it comes from a certificate in real life.
func beatServer(t *testing.T, h *Heartbeats, leader string) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	inner := h.Handler(func(ctx context.Context) (string, bool) {
		id, ok := ctx.Value(callerKey{}).(string)
		return id, ok && id != ""
	}, func() string { return leader })
	mux.Handle("POST "+HeartbeatPath, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, r.Header.Get("Test-Caller"))))
	}))
	s := httptest.NewUnstartedServer(mux)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// wires leads to servers by node id.
type wires struct {
	self    string
	servers map[string]*httptest.Server
}

func (w wires) Client(nodeID string) *http.Client {
	return &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		s := w.servers[nodeID]
		if s == nil {
			return nil, http.ErrServerClosed
		}
		r = r.Clone(r.Context())
		r.URL.Host = s.Listener.Addr().String()
		r.Header.Set("Test-Caller", w.self)
		return s.Client().Transport.RoundTrip(r)
	})}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestHeartbeatHandler(t *testing.T) {
	h := NewHeartbeats()
	s := beatServer(t, h, "n1")
	post := func(caller string) *http.Response {
		t.Helper()
		resp, err := wires{caller, map[string]*httptest.Server{"x": s}}.Client("x").Post("https://peer"+HeartbeatPath, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
		return resp
	}
	if resp := post("n2"); resp.StatusCode != http.StatusMisdirectedRequest || resp.Header.Get(LeaderHeader) != "n1" || resp.ProtoMajor != 2 {
		t.Fatalf("a member that does not lead answers %s, leader %q", resp.Status, resp.Header.Get(LeaderHeader))
	}
	h.begin(Grace)
	h.judge(map[string]bool{"n2": false}, time.Now())
	if resp := post("n2"); resp.StatusCode != http.StatusNoContent {
		t.Fatalf("the leader answers %s", resp.Status)
	}
	if resp := post("stranger"); resp.StatusCode != http.StatusNotFound {
		t.Fatalf("the leader answers %s to a stranger", resp.Status)
	}
	if resp := post(""); resp.StatusCode != http.StatusForbidden {
		t.Fatalf("the leader answers %s to nobody", resp.Status)
	}
	h.end()
	if resp := post("n2"); resp.StatusCode != http.StatusMisdirectedRequest {
		t.Fatalf("after its term it answers %s", resp.Status)
	}
}

// TestSendFindsTheLeader begins with a member that does not lead, follows its
// word, and finds the next leader when that one falls silent.
func TestSendFindsTheLeader(t *testing.T) {
	follower, first, second := NewHeartbeats(), NewHeartbeats(), NewHeartbeats()
	first.begin(Grace)
	first.judge(map[string]bool{"w": false}, time.Now())
	w := wires{"w", map[string]*httptest.Server{"m1": beatServer(t, follower, "m2"), "m2": beatServer(t, first, "m2")}}
	s := &sender{log: slog.New(slog.DiscardHandler), cfg: BeatConfig{NodeID: "w", Leader: func() string { return "" }, Peers: w,
		Members: func() []string { return []string{"m1", "m3"} }}}
	s.beat(t.Context())
	if s.told != "m2" {
		t.Fatalf("told %q, not who leads", s.told)
	}
	s.beat(t.Context())
	if s.failed {
		t.Fatal("the leader did not take the heartbeat")
	}
	delete(w.servers, "m2")
	second.begin(Grace)
	second.judge(map[string]bool{"w": false}, time.Now())
	w.servers["m3"] = beatServer(t, second, "m3")
	s.beat(t.Context()) // fails
	s.beat(t.Context()) // asks a member again
	s.beat(t.Context())
	if s.failed || s.told != "m3" {
		t.Fatalf("the next leader was not found: failed %v, told %q", s.failed, s.told)
	}
}

func TestSendToOneself(t *testing.T) {
	own := NewHeartbeats()
	s := &sender{log: slog.New(slog.DiscardHandler), cfg: BeatConfig{NodeID: "n1", Leader: func() string { return "n1" }, Own: own}}
	s.beat(t.Context())
	if !s.failed {
		t.Fatal("a heartbeat counts before the term has begun")
	}
	own.begin(Grace)
	own.judge(map[string]bool{"n1": false}, time.Now().Add(-time.Minute))
	s.beat(t.Context())
	if v := own.judge(map[string]bool{"n1": false}, time.Now()); s.failed || len(v.Down) > 0 {
		t.Fatalf("the leader does not believe itself: %+v", v)
	}
}
