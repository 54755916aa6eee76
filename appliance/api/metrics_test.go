package api

import (
	"testing"
	"time"

	"github.com/skerryhq/skerry/raft/model"
)

func TestWindow(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		since, until string
		step         int
		span         time.Duration
		code         string
	}{
		{"", "", 0, 15 * time.Minute, ""},
		{"1h", "", 0, time.Hour, ""},
		{"2h", "1h", 60, time.Hour, ""},
		{"2026-03-01T11:00:00Z", "2026-03-02T12:00:00Z", 0, time.Hour, ""},
		{"1h", "2h", 0, 0, "window_invalid"},
		{"2026-03-02T00:00:00Z", "", 0, 0, "window_invalid"},
		{"1000h", "", 0, 0, "window_invalid"},
		{"24h", "", 1, 0, "step_invalid"},
		{"24h", "", -1, 0, "step_invalid"},
		{"24h", "", 100_000, 0, "step_invalid"},
		{"yesterday", "", 0, 0, "time_invalid"},
	} {
		w, err := window(c.since, c.until, c.step, now)
		if model.CodeOf(err) != c.code || (err == nil && w.To.Sub(w.From) != c.span) {
			t.Errorf("%+v: %v, %v", c, w.To.Sub(w.From), err)
		}
	}
}

func TestMetrics(t *testing.T) {
	r := newRig(t)
	ct := r.app(r.own, "shop")
	for _, path := range []string{"/containers/" + ct.ID, "/services/" + ct.ServiceID, "/nodes/one"} {
		a := r.as("GET", path+"/metrics?since=10m&step=5", nil)
		got := into[Metrics](t, a, 200)
		if got.StepSeconds != 5 || len(got.Series) != 1 || *got.Series[0].Values[0] != 0.5 || got.Series[0].Values[1] != nil {
			t.Errorf("%s: %s", path, a.body)
		}
		if a := r.as("GET", path+"/metrics?since=tomorrow", nil); a.problem(t).Code != "time_invalid" {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	foreign := r.token("foreign", "", r.other, model.RoleOwner, time.Time{})
	for path, status := range map[string]int{"/containers/" + ct.ID: 404, "/services/" + ct.ServiceID: 404, "/nodes/one": 403} {
		if a := r.do("GET", path+"/metrics", nil, bearer(foreign)); a.status != status {
			t.Errorf("%s by another tenant: %d %s", path, a.status, a.body)
		}
	}
}
