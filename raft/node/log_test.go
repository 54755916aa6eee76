package node

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestComplaints says the same of the same member once in a while, not with every
// attempt.
func TestComplaints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		l := newLogger(slog.New(slog.NewTextHandler(&b, nil)))
		for range 100 {
			l.Error("failed to heartbeat to", "peer", "a", "error", "connection refused")
			l.Error("failed to heartbeat to", "peer", "b", "error", "connection refused")
			time.Sleep(100 * time.Millisecond)
		}
		if n := strings.Count(b.String(), "failed to heartbeat"); n != 2 {
			t.Errorf("said %d times about two members:\n%s", n, b.String())
		}
		time.Sleep(sayAgain)
		l.Error("failed to heartbeat to", "peer", "a", "error", "connection refused")
		if n := strings.Count(b.String(), "failed to heartbeat"); n != 3 {
			t.Errorf("a complaint is not repeated after a while:\n%s", b.String())
		}
	})
}
