package node

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// newLogger hands raft's lines to slog; raft's Info is our Debug, because an
// operator does not ask for it.
func newLogger(log *slog.Logger) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "raft", Level: hclog.Debug, Output: io.Discard})
	l.RegisterSink(&sink{log: log, said: map[string]time.Time{}})
	return l
}

// sayAgain is how long the same complaint about the same member is not repeated:
// raft says it with every attempt, several times a second, while one is away.
const sayAgain = 30 * time.Second

type sink struct {
	log *slog.Logger

	mu   sync.Mutex
	said map[string]time.Time // complaint -> when it was last said; guarded by mu
}

// repeated says whether the complaint was made a short while ago.
func (s *sink) repeated(what string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.said[what]) < sayAgain {
		return true
	}
	const most = 256 // members and messages are few
	if len(s.said) >= most {
		clear(s.said)
	}
	s.said[what] = now
	return false
}

// Accept is called by hclog for every line.
func (s *sink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	to := slog.LevelDebug
	switch level {
	case hclog.Warn:
		to = slog.LevelWarn
	case hclog.Error:
		to = slog.LevelError
	default:
	}
	what := msg
	for i := 0; i+1 < len(args); i += 2 {
		if args[i] == "peer" {
			what = fmt.Sprint(msg, args[i+1])
		}
	}
	if to > slog.LevelInfo && s.repeated(what, time.Now()) {
		to = slog.LevelDebug
	}
	if !s.log.Enabled(context.Background(), to) {
		return
	}
	for i := 0; i+1 < len(args); i += 2 {
		if k, ok := args[i].(string); ok {
			args[i] = strings.ReplaceAll(k, "-", "_")
		}
		if f, ok := args[i+1].(hclog.Format); ok && len(f) > 0 {
			args[i+1] = f
		}
	}
	s.log.Log(context.Background(), to, msg, args...) //nolint:sloglint // the message is raft's
}
