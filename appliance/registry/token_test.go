package registry_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/appliance/registry"
	"github.com/skerryhq/skerry/appliance/registry/auth"
)

// TestTokenExpiresInAnUpload holds that an upload outlives the token it was begun
// with, and that tokens reach no further than they were asked for.
func TestTokenExpiresInAnUpload(t *testing.T) {
	var ahead atomic.Int64
	var door *auth.Door
	r := newRig(t, func(c *registry.Config) {
		var err error
		door, err = auth.New(auth.Config{Cluster: c.Cluster, People: access.NewPeople(c.Cluster), Recorder: nobody{}, Key: bytes.Repeat([]byte("k"), 32),
			Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		c.Access = door
	})
	fetch := func(scopes ...string) {
		t.Helper()
		req := httptest.NewRequest(http.MethodGet, auth.TokenPath+"?"+url.Values{"scope": scopes}.Encode(), nil)
		req.SetBasicAuth("ada", r.secrets["ada"])
		w := httptest.NewRecorder()
		door.ServeHTTP(w, req)
		var got struct{ Token string }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Token == "" {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		r.secrets["jwt"] = got.Token
	}
	scope := auth.Scope("default/web", auth.Push)
	fetch(scope)
	content := bytes.Repeat([]byte("0123456789"), 1000)
	d := digest.FromBytes(content)
	chunk := func(from, to int, want int) answer {
		t.Helper()
		return r.do(ask{as: "jwt", method: http.MethodPatch, path: r.secrets["at"], body: bytes.NewReader(content[from:to]),
			header: map[string]string{"Content-Type": "application/octet-stream", "Content-Range": fmt.Sprintf("%d-%d", from, to-1)}}, want)
	}
	at := r.do(ask{as: "jwt", method: http.MethodPost, path: "/v2/default/web/blobs/uploads/"}, http.StatusAccepted).Header.Get("Location")
	r.secrets["at"] = at
	r.secrets["at"] = chunk(0, 4000, http.StatusAccepted).Header.Get("Location")

	ahead.Store(int64(16 * time.Minute))
	late := chunk(4000, 8000, http.StatusUnauthorized)
	if h := late.Header.Get("WWW-Authenticate"); !strings.Contains(h, `scope="`+scope+`"`) || !strings.Contains(h, `error="invalid_token"`) || !strings.Contains(h, auth.TokenPath) {
		t.Errorf("the challenge is %s", h)
	}
	fetch(scope)
	status := r.do(ask{as: "jwt", method: http.MethodGet, path: r.secrets["at"]}, http.StatusNoContent)
	if got := status.Header.Get("Range"); got != "0-3999" {
		t.Errorf("after the refusal the upload is at %s", got)
	}
	r.secrets["at"] = chunk(4000, 10000, http.StatusAccepted).Header.Get("Location")
	r.do(ask{as: "jwt", method: http.MethodPut, path: r.secrets["at"], query: url.Values{"digest": {d.String()}}}, http.StatusCreated)
	r.do(ask{as: "jwt", method: http.MethodHead, path: "/v2/default/web/blobs/" + d.String()}, http.StatusOK)

	// The token was asked for one repository.
	r.push("ada", "default/else", []byte("else"))
	short := r.do(ask{as: "jwt", method: http.MethodGet, path: "/v2/default/else/blobs/" + digest.FromString("else").String()}, http.StatusUnauthorized)
	if h := short.Header.Get("WWW-Authenticate"); !strings.Contains(h, `error="insufficient_scope"`) {
		t.Errorf("the challenge is %s", h)
	}
	// A digest of another repository is none of this one's.
	r.do(ask{as: "jwt", method: http.MethodGet, path: "/v2/default/web/blobs/" + digest.FromString("else").String()}, http.StatusNotFound)

	// A browser's cookie does not count.
	r.do(ask{method: http.MethodPost, path: "/v2/default/web/blobs/uploads/", header: map[string]string{"Cookie": "skerry_session=x"}}, http.StatusUnauthorized)

	// Whoever is not signed in hears the same for what is there and what is not.
	var said []string
	for _, path := range []string{"/v2/default/web/manifests/1", "/v2/default/absent/manifests/1", "/v2/nobody/absent/manifests/1"} {
		said = append(said, string(r.do(ask{method: http.MethodGet, path: path}, http.StatusUnauthorized).b))
	}
	if said[0] != said[1] || said[1] != said[2] {
		t.Errorf("strangers hear %q", said)
	}
}
