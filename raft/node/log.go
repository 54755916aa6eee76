package node

import (
	"context"
	"io"
	"log/slog"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// newLogger hands raft's lines to slog; raft's Info is our Debug, because an
// operator does not ask for it.
func newLogger(log *slog.Logger) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "raft", Level: hclog.Debug, Output: io.Discard})
	l.RegisterSink(sink{log})
	return l
}

type sink struct{ log *slog.Logger }

// Accept is called by hclog for every line.
func (s sink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	to := slog.LevelDebug
	switch level {
	case hclog.Warn:
		to = slog.LevelWarn
	case hclog.Error:
		to = slog.LevelError
	default:
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
